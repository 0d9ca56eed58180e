use super::*;

fn corpus() -> Vec<String> {
    let encoded = "From: =?iso-8859-1?q?Citt=E0?= <comune@pec.citta.example>\r\nTo: Uffici: b@beta.example, c@gamma.example;\r\nCc: copia@x.example\r\n\
        Date: Sun, 1 Mar 2026 23:30:00 -0500\r\nSubject: Re: =?utf-8?b?UGVyY2jDqQ==?=\r\nX-Ricevuta: accettazione\r\nMessage-ID: <2@citta.example>\r\n\
        Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n\r\n\
        TGEgY2l0dOAg6CBiZWxs\r\nYQ==\r\n--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: segreto interno\r\n\r\nqp=2E\r\n--x\r\n\
        Content-Type: application/pdf\r\n\r\nprotocollo nel pdf\r\n--x--\r\n";
    vec![message("uno"), encoded.to_owned(), message("due")]
}

fn searcher() -> Client {
    let corpus = corpus();
    let messages: Vec<&str> = corpus.iter().map(String::as_str).collect();
    Provider::new().inbox(&messages)
}

fn found(client: &mut Client, keys: &str) -> String {
    let heard = client.say(&format!("SEARCH {keys}"));
    let line = heard.lines().next().unwrap_or_default();
    line.strip_prefix("* SEARCH").unwrap_or_else(|| panic!("{keys}: {heard}")).trim().to_owned()
}

#[test]
fn every_key() {
    let mut client = searcher();
    client.say("STORE 1 +FLAGS (\\Seen \\Flagged Lavoro)");
    client.say("STORE 3 +FLAGS (\\Deleted \\Draft \\Answered)");
    let size = corpus()[1].len();
    for (keys, expected) in [
        ("ALL", "1 2 3"),
        ("SEEN", "1"),
        ("UNSEEN", "2 3"),
        ("FLAGGED", "1"),
        ("UNFLAGGED", "2 3"),
        ("DELETED", "3"),
        ("UNDELETED", "1 2"),
        ("DRAFT", "3"),
        ("UNDRAFT", "1 2"),
        ("ANSWERED", "3"),
        ("UNANSWERED", "1 2"),
        ("KEYWORD lavoro", "1"),
        ("UNKEYWORD Lavoro", "2 3"),
        ("KEYWORD Mai", ""),
        ("RECENT", ""),
        ("OLD", "1 2 3"),
        ("NEW", ""),
        ("2:3", "2 3"),
        ("UID 1,3:*", "1 3"),
        ("NOT 1", "2 3"),
        ("OR 1 3", "1 3"),
        ("(1:2) (2:3)", "2"),
        (&format!("LARGER {}", size - 1), "2"),
        (&format!("SMALLER {size}"), "1 3"),
        ("SINCE 2-Mar-2026", "1 2 3"),
        ("BEFORE 2-Mar-2026", ""),
        ("ON 2-Mar-2026", "1 2 3"),
        // The sender's day, whatever day it was elsewhere.
        ("SENTON 1-Mar-2026", "2"),
        ("SENTSINCE 2-Mar-2026", ""),
        ("SENTBEFORE 2-Mar-2026", "2"),
        ("FROM città", "2"),
        ("FROM comune@pec.citta", "2"),
        ("FROM mittente", "1 3"),
        ("TO gamma", "2"),
        ("TO destinatario", "1 3"),
        ("CC copia", "2"),
        ("BCC x", ""),
        ("SUBJECT perché", "2"),
        ("SUBJECT UNO", "1"),
        ("SUBJECT \"\"", "1 2 3"),
        ("HEADER X-Ricevuta accetta", "2"),
        ("HEADER X-Ricevuta \"\"", "2"),
        ("HEADER X-Altro \"\"", ""),
        ("HEADER Message-ID <2@citta.example>", "2"),
        ("HEADER Subject perch", "2"),
        ("BODY \"città è bella\"", "2"),
        ("BODY \"TESTO DI DUE\"", "3"),
        ("BODY mittente", ""),
        ("BODY \"segreto interno\"", "2"),
        ("BODY protocollo", ""),
        ("TEXT mittente", "1 3"),
        ("TEXT \"perché\"", "2"),
        ("TEXT \"\"", "1 2 3"),
        ("NOT TEXT uno", "2 3"),
        ("OR BODY \"di due\" SUBJECT uno", "1 3"),
        ("UNSEEN BODY testo", "3"),
        ("CHARSET UTF-8 SUBJECT {7+}\r\nperché", "2"),
        ("MODSEQ 5", "1 3 (MODSEQ 6)"),
        ("MODSEQ 99", ""),
    ] {
        assert_eq!(found(&mut client, keys), expected, "{keys}");
    }
    assert_eq!(
        client.last("SEARCH CHARSET KOI8-R ALL"),
        "t NO [BADCHARSET (US-ASCII UTF-8)] only US-ASCII and UTF-8 are searched in"
    );
    assert_eq!(client.last("SEARCH 9"), "t BAD there is no message of this number");
    assert_eq!(client.say("UID SEARCH 2:3"), "* SEARCH 2 3\nt OK done\n");
}

#[test]
fn a_text_that_is_cut_by_reading_is_found() {
    let long = format!("a: b\r\n\r\n{}ago nel PAGLIAIO{}", "x".repeat(256 * 1024 - 15), "y".repeat(300_000));
    let mut client = Provider::new().inbox(&[&long]);
    assert_eq!(found(&mut client, "BODY \"ago nel pagliaio\""), "1");
    assert_eq!(found(&mut client, "BODY \"pagliaio ago\""), "");
}

#[test]
fn extended_results() {
    let mut client = searcher();
    for (command, expected) in [
        ("SEARCH RETURN (MIN MAX COUNT ALL) ALL", "* ESEARCH (TAG \"t\") MIN 1 MAX 3 ALL 1:3 COUNT 3"),
        ("UID SEARCH RETURN () 1,3", "* ESEARCH (TAG \"t\") UID ALL 1,3"),
        ("SEARCH RETURN (COUNT) BCC x", "* ESEARCH (TAG \"t\") COUNT 0"),
        ("SEARCH RETURN (MIN) BCC x", "* ESEARCH (TAG \"t\")"),
        ("SEARCH RETURN (MAX) MODSEQ 1", "* ESEARCH (TAG \"t\") MAX 3 MODSEQ 4"),
        ("SEARCH RETURN (MIN) MODSEQ 1", "* ESEARCH (TAG \"t\") MIN 1 MODSEQ 2"),
        (
            "UID SORT RETURN (ALL COUNT) (REVERSE ARRIVAL SUBJECT) UTF-8 ALL",
            "* ESEARCH (TAG \"t\") UID ALL 3,2,1 COUNT 3",
        ),
    ] {
        assert_eq!(client.say(command), format!("{expected}\nt OK done\n"), "{command}");
    }
    client.say("ENABLE IMAP4rev2");
    assert_eq!(client.say("SEARCH SEEN"), "* ESEARCH (TAG \"t\")\nt OK done\n");
}

#[test]
fn saved_results() {
    let mut client = searcher();
    assert_eq!(client.say("FETCH $ UID"), "t OK done\n", "nothing saved yet");
    assert_eq!(client.say("SEARCH RETURN (SAVE) OR 1 3"), "t OK done\n");
    assert_eq!(client.say("FETCH $ UID"), "* 1 FETCH (UID 1)\n* 3 FETCH (UID 3)\nt OK done\n");
    assert_eq!(
        client.say("UID SEARCH RETURN (COUNT) $ NOT UID 1"),
        "* ESEARCH (TAG \"t\") UID COUNT 1\nt OK done\n"
    );
    assert_eq!(client.say("SEARCH RETURN (SAVE MIN) 2:3"), "* ESEARCH (TAG \"t\") MIN 2\nt OK done\n");
    assert_eq!(client.say("FETCH $ UID"), "* 2 FETCH (UID 2)\nt OK done\n");
    // A search that fails saves nothing (RFC 9051 §6.4.4.1).
    client.say("SEARCH RETURN (SAVE) 99");
    assert_eq!(client.say("FETCH $ UID"), "t OK done\n");
}

#[test]
fn sort() {
    let mut client = Provider::new().client();
    for (from, subject, date, size) in [
        ("b@x.example", "Re: zeta", "Mon, 2 Mar 2026 09:00:00 +0100", 5),
        ("a@x.example", "alfa", "Sun, 1 Mar 2026 09:00:00 +0100", 50),
        ("c@x.example", "Zeta (fwd)", "Tue, 3 Mar 2026 09:00:00 +0100", 1),
    ] {
        client.append(
            "INBOX",
            &format!("From: {from}\r\nSubject: {subject}\r\nDate: {date}\r\n\r\n{}", "x".repeat(size)),
        );
    }
    client.say("SELECT INBOX");
    for (order, expected) in [
        ("ARRIVAL", "1 2 3"),
        ("REVERSE ARRIVAL", "1 2 3"),
        ("DATE", "2 1 3"),
        ("REVERSE DATE", "3 1 2"),
        ("FROM", "2 1 3"),
        ("SUBJECT", "2 1 3"),
        ("SUBJECT REVERSE DATE", "2 3 1"),
        ("SIZE", "3 1 2"),
        ("TO CC", "1 2 3"),
    ] {
        let heard = client.say(&format!("SORT ({order}) UTF-8 ALL"));
        assert_eq!(heard, format!("* SORT {expected}\nt OK done\n"), "{order}");
    }
    assert_eq!(client.say("UID SORT (SIZE) UTF-8 SUBJECT zeta"), "* SORT 3 1\nt OK done\n");
    assert_eq!(client.say("SORT (SIZE) UTF-8 BCC x"), "* SORT\nt OK done\n");
}
