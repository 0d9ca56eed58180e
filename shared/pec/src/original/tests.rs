use proptest::prelude::*;

use super::*;
use crate::Instant;

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn facts_of_text(text: &str) -> OriginalFacts {
    facts(&Bytes::copy_from_slice(text.as_bytes()))
}

fn trace() -> Trace {
    Trace {
        by: "invio.pec.alfa.example".to_owned(),
        with: "HTTPS".to_owned(),
        id: "0198f2".to_owned(),
        at: Instant::parse("2026-09-19T13:41:19Z").unwrap(),
    }
}

const RECEIVED: &str =
    "Received: by invio.pec.alfa.example with HTTPS id 0198f2;\r\n\tSat, 19 Sep 2026 15:41:19 +0200\r\n";

fn admitted(raw: &[u8]) -> Vec<u8> {
    let out = admit(&Bytes::copy_from_slice(raw), &trace()).to_bytes();
    out.strip_prefix(RECEIVED.as_bytes()).expect("one Received field comes first").to_vec()
}

fn rewritten(original: &[u8]) -> String {
    let out = rewrite(&Bytes::copy_from_slice(original), "id1@pec.alfa.example").to_bytes();
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn the_facts_of_a_whole_header() {
    let facts = facts_of_text(
        "from: =?UTF-8?Q?Mario?= Rossi (ufficio) <Mario.Rossi@PEC.alfa.example>\r\n\
         TO: Gruppo: a@pec.beta.example, \"B, C\" <b@pec.beta.example>;, c@[192.0.2.1]\r\n\
         Cc: d@gamma.example (D)\r\nReply-To: r1@pec.alfa.example,\r\n R2 <r2@pec.alfa.example>\r\n\
         Message-ID:\r\n <x.1@client.example>\r\nX-Tiporicevuta: Breve \r\n\
         Subject: =?iso-8859-1?Q?Caff=E8?=\r\n  doppio\r\n\r\nTo: corpo@x.example\r\n",
    );
    assert_eq!(facts.from.unwrap().as_str(), "Mario.Rossi@PEC.alfa.example");
    assert_eq!(facts.to, ["a@pec.beta.example", "b@pec.beta.example"].map(address));
    assert_eq!(facts.cc, [address("d@gamma.example")]);
    assert_eq!(facts.replies, "r1@pec.alfa.example, r2@pec.alfa.example", "spec 0.2 D6");
    assert_eq!(facts.client_id.as_deref(), Some("<x.1@client.example>"));
    assert_eq!(facts.subject.as_deref(), Some("Caffè  doppio"));
    assert_eq!(facts.subject_raw.as_deref(), Some("=?iso-8859-1?Q?Caff=E8?=  doppio"));
    assert_eq!(facts.form, ReceiptForm::Brief);
}

/// Spec 0.2 D7.
#[test]
fn subjects_absent_empty_raw_and_with_controls() {
    let subject = |line: &[u8]| {
        let facts = facts(&Bytes::from([line, b"\r\n\r\n"].concat()));
        (facts.subject, facts.subject_raw)
    };
    let pair = |decoded: &str, raw: &str| (Some(decoded.to_owned()), Some(raw.to_owned()));
    assert_eq!(subject(b"From: a@b.example"), (None, None));
    assert_eq!(subject(b"Subject:"), pair("", ""));
    assert_eq!(subject(b"Subject: a\x07b\x0bc"), pair("abc", "abc"));
    assert_eq!(subject("Subject: perché no".as_bytes()), pair("perché no", "=?UTF-8?Q?perch=C3=A9?= no"));
    assert_eq!(subject(b"Subject: perch\xe9").1, pair("", "=?UTF-8?Q?perch=C3=A9?=").1, "Latin-1 is guessed");
    let mixed = subject("Subject: =?UTF-8?Q?caff=C3=A8?= è".as_bytes());
    assert_eq!(word::decode(mixed.1.unwrap().as_bytes()), "caffè è", "encoded words are not encoded twice");
    assert_eq!(subject(b"Subject: =?UTF-8?Q?a=0D=0AX:_b?=").0.unwrap(), "aX: b", "no line end gets out");
}

#[test]
fn client_ids_come_with_their_brackets() {
    let id = |body: &str| facts_of_text(&format!("Message-Id:{body}\r\n\r\n")).client_id;
    assert_eq!(id(" <a@b>").as_deref(), Some("<a@b>"));
    assert_eq!(id("\r\n\t<a@b> (comment)").as_deref(), Some("<a@b>"));
    assert_eq!(id(" a@b").as_deref(), Some("<a@b>"), "forgotten brackets");
    for absent in ["", " ", " <>", " <a@b", " <è@b>", &format!(" <{}@b>", "x".repeat(980))] {
        assert_eq!(id(absent), None, "{absent:?}");
    }
}

#[test]
fn what_cannot_be_read_is_absent() {
    assert_eq!(facts(&Bytes::new()), OriginalFacts::default());
    let endless = Bytes::from(vec![b'x'; 1 << 20]);
    assert_eq!(facts(&endless), OriginalFacts::default());
    assert_eq!(facts_of_text("From: a@b.example, c@d.example\r\n\r\n").from, None, "F1: one address");
    assert_eq!(facts_of_text("From: a@b.example\r\nFrom: a@b.example\r\n\r\n").from, None);
    assert_eq!(
        facts_of_text("X-TipoRicevuta: lunga\r\n\r\n").form,
        ReceiptForm::Complete,
        "RFC 6109 §3.3.2.1"
    );
}

/// Spec 0.2 D5: exactly one Received, nothing else changes in a 7-bit message.
#[test]
fn the_door_prepends_its_trace() {
    let raw = Bytes::from_static(b"Received: from client\r\nFrom: a@b.example\r\n\r\ncorpo\r\n");
    let out = admit(&raw, &trace());
    assert_eq!(out.to_bytes(), [RECEIVED.as_bytes(), &raw].concat());
    assert!(out.chunks().any(|c| c.as_ptr() == raw.as_ptr() && c.len() == raw.len()), "shared, not copied");
}

#[test]
fn the_trace_holds_nothing_that_ends_it() {
    let hostile = Trace { id: "x;\r\nBcc: y".to_owned(), ..trace() };
    let out = admit(&Bytes::new(), &hostile).to_bytes();
    assert_eq!(out.iter().filter(|&&b| b == b';').count(), 1);
    assert!(out.starts_with(b"Received: by invio.pec.alfa.example with HTTPS id xBcc:y;\r\n\t"));
}

/// Spec 0.2 D4: one text part changes in its transfer encoding and body, nothing else.
#[test]
fn eight_bit_text_becomes_quoted_printable() {
    let long = "è".repeat(600);
    let message = |cte: &str, text: &str| {
        format!(
            "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=B\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
             --B\r\nContent-Type: text/html; charset=utf-8\r\n{cte}X-Y: z\r\n\r\n{text}\r\n--B\r\n\r\n7bit\r\n--B--\r\n"
        )
    };
    let expected = |text: &str| {
        let cte = "Content-Transfer-Encoding: quoted-printable\r\n";
        let encoded = String::from_utf8(encode_qp(text)).unwrap();
        (message(cte, &encoded), message("", &encoded).replace("X-Y: z\r\n", &format!("X-Y: z\r\n{cte}")))
    };
    for text in ["perché = no \r\nsì", &long] {
        let (in_place, added) = expected(text);
        for cte in ["8bit", "7bit", "BINARY"] {
            let raw = message(&format!("content-transfer-encoding:\r\n {cte}\r\n"), text);
            assert_eq!(String::from_utf8(admitted(raw.as_bytes())).unwrap(), in_place, "{cte}");
        }
        assert_eq!(String::from_utf8(admitted(message("", text).as_bytes())).unwrap(), added);
    }
    assert!(expected(&long).0.lines().all(|l| l.len() <= 76), "long 8-bit lines are cured on the way");
}

fn encode_qp(text: &str) -> Vec<u8> {
    mime::encode::quoted_printable(text.as_bytes())
}

#[test]
fn a_message_that_is_one_8_bit_text_is_converted() {
    let out = admitted("From: a@b.example\r\n\r\nperché\r\n".as_bytes());
    let expected = "From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
                    perch=C3=A9\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    let out = admitted(b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\nperch\xe9");
    assert!(out.ends_with(b"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nperch=E9"));
}

#[test]
fn text_of_an_attached_message_is_converted_too() {
    let inner = |cte: &str, body: &str| format!("MIME-Version: 1.0\r\nSubject: x\r\n{cte}\r\n{body}");
    let outer = |inner: &str| {
        format!(
            "Content-Type: multipart/mixed; boundary=B\r\n\r\n--B\r\nContent-Type: message/rfc822\r\n\r\n{inner}\r\n--B--"
        )
    };
    let out = admitted(outer(&inner("", "sì")).as_bytes());
    let expected = outer(&inner("Content-Transfer-Encoding: quoted-printable\r\n", "s=C3=AC"));
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

/// Spec 0.2 D4: what may not be converted stays for the checks to refuse.
#[test]
fn what_may_not_be_converted_stays() {
    for raw in [
        "Content-Type: multipart/signed; boundary=B\r\n\r\n--B\r\n\r\nsì\r\n--B\r\n\r\nsig\r\n--B--\r\n",
        "Content-Type: application/octet-stream\r\n\r\nsì",
        "Content-Transfer-Encoding: base64\r\n\r\nsì",
        "Content-Transfer-Encoding: quoted-printable\r\n\r\nsì",
        "Subject: sì\r\n\r\n7bit",
        "Content-Type: multipart/mixed; boundary=B\r\n\r\nsì\r\n--B\r\n\r\n7bit\r\n--B--\r\n",
        "MIME-Version: 1.0\r\n\r\nsì\nbare LF",
        "MIME-Version: 1.0\r\n\r\nsì\0",
    ] {
        assert_eq!(String::from_utf8(admitted(raw.as_bytes())).unwrap(), raw);
    }
}

/// RFC 6109 §2.2.1, spec 4.3: the PEC id takes the place, the client's id goes beside it.
#[test]
fn the_pec_id_replaces_the_clients() {
    let ours = "Message-ID: <id1@pec.alfa.example>\r\n";
    let with_client = format!("{ours}X-Riferimento-Message-ID: <c@x>\r\n");
    for (original, expected) in [
        (
            "A: 1\r\nmessage-id:\r\n  <c@x>\r\nB: 2\r\n\r\nMessage-ID: <c@x>\r\n",
            format!("A: 1\r\n{with_client}B: 2\r\n\r\nMessage-ID: <c@x>\r\n"),
        ),
        ("Received: r\r\n\tx\r\nA: 1\r\n\r\n", format!("Received: r\r\n\tx\r\n{ours}A: 1\r\n\r\n")),
        ("Received: r\r\n\r\n", format!("Received: r\r\n{ours}\r\n")),
        ("Received: r", format!("{ours}Received: r")),
        ("", ours.to_owned()),
        // Spec 0.2 D5: a forged reference is replaced, or removed with no client id.
        ("X-Riferimento-Message-Id: <f@x>\r\nMessage-ID: <c@x>\r\n\r\n", format!("{with_client}\r\n")),
        (
            "x-riferimento-message-id:\r\n <f@x>\r\nA: 1\r\nX-Riferimento-Message-ID: g\r\n\r\n",
            format!("{ours}A: 1\r\n\r\n"),
        ),
        ("Message-ID: <>\r\n\r\n", format!("{ours}\r\n")),
    ] {
        assert_eq!(rewritten(original.as_bytes()), expected, "{original:?}");
    }
}

#[test]
fn rewriting_shares_the_body() {
    let mut original = b"Message-ID: <c@x>\r\nSubject: s\r\n\r\n".to_vec();
    original.resize(30 << 20, b'x');
    let original = Bytes::from(original);
    let out = rewrite(&original, "id1@pec.alfa.example");
    let copied: usize =
        out.chunks().filter(|c| !original.as_ptr_range().contains(&c.as_ptr())).map(Bytes::len).sum();
    assert!(copied < 200, "{copied} octets copied");
}

proptest! {
    /// Without the two fields, what goes in comes out.
    #[test]
    fn nothing_else_is_rewritten(
        fields in proptest::collection::vec(
            ("(Message-ID|MESSAGE-id|Subject|X-Riferimento-Message-ID|x-RIFERIMENTO-message-id|Received|From)",
             "( |\r\n |\r\n\t){0,2}[ -~]{0,30}(\r\n [!-~]{1,9})?"), 0..8),
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let head: String = fields.iter().map(|(name, value)| format!("{name}:{value}\r\n")).collect();
        let original = [head.as_bytes(), b"\r\n", &body].concat();
        let out = rewrite(&Bytes::from(original.clone()), "id1@pec.alfa.example").to_bytes();
        prop_assert_eq!(without_ids(&out).concat(), without_ids(&original).concat());
        let headers = Headers::parse(&out, &Limits::default()).unwrap().0;
        prop_assert_eq!(headers.count("Message-ID"), 1);
        prop_assert_eq!(headers.first("Message-ID").unwrap().text(), "<id1@pec.alfa.example>");
        let client = facts(&Bytes::from(original)).client_id;
        let reference: Vec<String> = headers.all(header::REFERENCE).map(mime::Field::text).collect();
        prop_assert_eq!(reference, client.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes_pass_without_panic(raw in proptest::collection::vec(any::<u8>(), 0..300)) {
        let raw = Bytes::from(raw);
        let out = admit(&raw, &trace()).to_bytes();
        let _ = (facts(&out), rewrite(&out, "id@x"), role(&raw, &address("a@b.example")));
    }
}

/// The message without its two id fields, by a reader that is not the one under test.
fn without_ids(message: &[u8]) -> Vec<&[u8]> {
    let end = message.windows(4).position(|w| w == b"\r\n\r\n").map_or(0, |at| at + 2);
    let end = if message.starts_with(b"\r\n") { 0 } else { end };
    let (head, rest) = message.split_at(end);
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut dropping = false;
    for line in head.split_inclusive(|&b| b == b'\n') {
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let name =
                String::from_utf8_lossy(line.split(|&b| b == b':').next().unwrap()).to_ascii_lowercase();
            dropping = name == "message-id" || name == "x-riferimento-message-id";
        }
        if !dropping {
            kept.push(line);
        }
    }
    kept.push(rest);
    kept
}

/// Spec 6.2, all of the table.
#[test]
fn the_table_of_forms() {
    use ReceiptForm::{Brief, Complete, Synthetic};
    for (asked, primary, copy, unclear) in [
        (Complete, Complete, Synthetic, Complete),
        (Brief, Brief, Synthetic, Brief),
        (Synthetic, Synthetic, Synthetic, Synthetic),
    ] {
        assert_eq!(form_due(asked, Role::Primary), primary);
        assert_eq!(form_due(asked, Role::Copy), copy);
        assert_eq!(form_due(asked, Role::Unclear), unclear);
    }
}

/// RFC 6109 §3.3.2.1: ambiguity counts as primary, hence its own role.
#[test]
fn roles_by_to_and_cc() {
    let message = Bytes::from_static(
        b"To: A <a@b.example>, both@b.example\r\nCc: C@B.example, Both@B.example, \"q\"@b.example\r\n\r\nTo: body@b.example\r\n",
    );
    for (who, expected) in [
        ("A@b.EXAMPLE", Role::Primary),
        ("c@b.example", Role::Copy),
        ("\"q\"@b.example", Role::Copy),
        ("both@b.example", Role::Unclear),
        ("neither@b.example", Role::Unclear),
        ("body@b.example", Role::Unclear),
    ] {
        assert_eq!(role(&message, &address(who)), expected, "{who}");
    }
    let broken = Bytes::from_static(b"To: <<<\r\nCc: a@b.example\r\n\r\n");
    assert_eq!(role(&broken, &address("a@b.example")), Role::Unclear);
}
