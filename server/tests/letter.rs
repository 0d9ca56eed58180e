//! A letter travels through the real binary, and everything that others can judge is judged by others.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{fs, path::Path};

use bytes::Bytes;
use common::{Provider, code, count, run, sigillo, stderr, stdout};
use serde_json::Value;

/// A real multipart message with attachments: text, HTML, a binary, a nested message. LF line ends, as a file has.
const LETTER: &str = "Subject: =?utf-8?q?Richiesta_di_documenti_=E2=82=AC?=\n\
    Content-Type: multipart/mixed; boundary=\"parti\"\n\
    \n\
    --parti\n\
    Content-Type: multipart/alternative; boundary=\"testi\"\n\
    \n\
    --testi\n\
    Content-Type: text/plain; charset=utf-8\n\
    Content-Transfer-Encoding: quoted-printable\n\
    \n\
    Perch=C3=A9 no?\n\
    --testi\n\
    Content-Type: text/html; charset=utf-8\n\
    Content-Transfer-Encoding: quoted-printable\n\
    \n\
    <p>Perch=C3=A9 no?</p>\n\
    --testi--\n\
    --parti\n\
    Content-Type: application/pdf; name=\"atto.pdf\"\n\
    Content-Disposition: attachment; filename=\"atto.pdf\"\n\
    Content-Transfer-Encoding: base64\n\
    \n\
    JVBERi0xLjQKJcOkw7zDtsOfCjIgMCBvYmoKPDwvTGVuZ3RoIDMgMCBSPj4K\n\
    --parti\n\
    Content-Type: message/rfc822; name=\"allegato.eml\"\n\
    Content-Disposition: attachment; filename=\"allegato.eml\"\n\
    \n\
    Subject: dentro\n\
    \n\
    Ciao.\n\
    --parti--\n";

/// RFC 6109 §4.4 (spec 3.1).
const DTD: &str = r#"<!ELEMENT postacert (intestazione, dati)>
<!ATTLIST postacert
  tipo (accettazione | non-accettazione | presa-in-carico | avvenuta-consegna | posta-certificata |
        errore-consegna | preavviso-errore-consegna | rilevazione-virus) #REQUIRED
  errore (nessuno | no-dest | no-dominio | virus | altro) "nessuno">
<!ELEMENT intestazione (mittente, destinatari+, risposte, oggetto?)>
<!ELEMENT mittente (#PCDATA)>
<!ELEMENT destinatari (#PCDATA)>
<!ATTLIST destinatari tipo (certificato | esterno) "certificato">
<!ELEMENT risposte (#PCDATA)>
<!ELEMENT oggetto (#PCDATA)>
<!ELEMENT dati (gestore-emittente, data, identificativo, msgid?, ricevuta?, consegna?, ricezione*, errore-esteso?)>
<!ELEMENT gestore-emittente (#PCDATA)>
<!ELEMENT data (giorno, ora)>
<!ATTLIST data zona CDATA #REQUIRED>
<!ELEMENT giorno (#PCDATA)>
<!ELEMENT ora (#PCDATA)>
<!ELEMENT identificativo (#PCDATA)>
<!ELEMENT msgid (#PCDATA)>
<!ELEMENT ricevuta EMPTY>
<!ATTLIST ricevuta tipo (completa | breve | sintetica) #REQUIRED>
<!ELEMENT consegna (#PCDATA)>
<!ELEMENT ricezione (#PCDATA)>
<!ELEMENT errore-esteso (#PCDATA)>
"#;

#[test]
fn a_letter_to_two_accounts_ends_in_evidence_that_others_accept() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start(&dir.path().join("data"));
    let [sender, other] = provider.accounts();
    let file = provider.file("letter.eml", LETTER);

    // 1. The letter, to the other account and to oneself.
    let sent = provider.json(&["send", "--from", &sender, "--to", &other, "--to", &sender, &file]);
    assert_eq!(sent["state"], "delivered", "{sent}");
    let pec_id = sent["pec_id"].as_str().unwrap();

    // 2. What is in the mailboxes.
    let own = provider.list(&sender);
    assert_eq!(own.len(), 4, "{own:?}");
    assert_eq!(count(&own, "accettazione"), 1);
    assert_eq!(count(&own, "avvenuta-consegna"), 2);
    assert_eq!(count(&own, "posta-certificata"), 1);
    let others = provider.list(&other);
    assert_eq!((others.len(), count(&others, "posta-certificata")), (1, 1));
    for entry in own.iter().chain(&others) {
        assert_eq!(entry["pec_id"], pec_id);
        assert!(entry["subject"].as_str().unwrap().ends_with(": Richiesta di documenti \u{20ac}"), "{entry}");
        assert!(entry["size_bytes"].as_u64().unwrap() > 1000);
        assert!(entry["message_id"].as_str().unwrap().starts_with('<'));
    }

    // 3. Each of them, judged by others and by ourselves.
    let out = dir.path().join("out");
    for (account, list) in [(&sender, &own), (&other, &others)] {
        let folder = out.join(account);
        let exported = provider.sigillo(&["mailbox", "export", account, folder.to_str().unwrap()]);
        assert_eq!(code(&exported), 0, "{}", stderr(&exported));
        for entry in list {
            let uid = entry["uid"].to_string();
            let path = folder.join(format!("{uid}.eml"));
            let raw = provider.sigillo(&["mailbox", "show", account, &uid, "--raw"]);
            assert_eq!(raw.stdout, fs::read(&path).unwrap());
            judged(&provider, &path, entry, dir.path());
        }
    }

    // 4. The original is the same octets wherever it is.
    let originals: Vec<Bytes> = own.iter().filter_map(|entry| postacert(&out.join(&sender), entry)).collect();
    let theirs = postacert(&out.join(&other), &others[0]).unwrap();
    assert_eq!(originals.len(), 3, "two complete receipts and an envelope");
    assert!(originals.iter().all(|original| *original == theirs));
    let text = String::from_utf8(theirs.to_vec()).unwrap();
    assert!(text.ends_with(&LETTER.split_once("\n\n").unwrap().1.replace('\n', "\r\n")));
    assert!(
        text.contains(&format!("\r\nMessage-ID: <{pec_id}>\r\n")) || text.starts_with("Message-ID"),
        "{text}"
    );

    // 5. The log tells it in order.
    let log = provider.json(&["audit", "letter", &format!("<{pec_id}>")]);
    let events: Vec<&str> = log.as_array().unwrap().iter().map(|e| e["event"].as_str().unwrap()).collect();
    let position =
        |event| events.iter().position(|e| *e == event).unwrap_or_else(|| panic!("{event}: {events:?}"));
    assert_eq!(position("accepted"), 0);
    assert!(position("issued") < position("received"), "{events:?}");
    assert!(position("received") <= position("taken-in-charge"), "{events:?}");
    assert!(position("taken-in-charge") <= position("delivered"), "{events:?}");
    assert_eq!(events.iter().filter(|event| **event == "delivered").count(), 2, "{events:?}");
    assert_eq!(code(&provider.sigillo(&["audit", "letter", "nobody@nowhere.example"])), 1);
    let plain = provider.sigillo(&["audit", "letter", pec_id]);
    assert_eq!(stdout(&plain).lines().count(), events.len());

    // 6. The log can be read without the provider, too.
    let data = provider.data().to_owned();
    provider.stop();
    let offline = sigillo(&["audit", "letter", pec_id, "--json", "--data", data.to_str().unwrap()]);
    assert_eq!(serde_json::from_slice::<Value>(&offline.stdout).unwrap(), log);
}

/// openssl verifies signature and chain, xmllint the certification data, `sigillo verify` all of it.
fn judged(provider: &Provider, path: &Path, entry: &Value, scratch: &Path) {
    let (file, ca) = (path.to_str().unwrap(), provider.path("ca"));
    run("openssl", &["cms", "-verify", "-CAfile", &ca, "-in", file, "-out", "/dev/null"]);
    run("openssl", &["smime", "-verify", "-CAfile", &ca, "-in", file, "-out", "/dev/null"]);

    let index = provider.path("index");
    let verified = sigillo(&["verify", file, "--ca", &ca, "--index", &index, "--json"]);
    let report: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(code(&verified), 0, "{report}");
    assert_eq!((&report["signature"], &report["chain"]), (&"valid".into(), &"trusted".into()));
    let data = provider.data().to_str().unwrap();
    let by_data = sigillo(&["verify", file, "--data", data, "--json"]);
    let by_data: Value = serde_json::from_slice(&by_data.stdout).unwrap();
    for field in ["verdict", "signature", "chain", "signer"] {
        assert_eq!(by_data[field], report[field], "{field}");
    }
    assert_eq!(report["kind"], entry["kind"]);
    assert_eq!(report["certification"]["identificativo"], entry["pec_id"]);

    let read = pec::read::read(&Bytes::from(fs::read(path).unwrap())).unwrap();
    let (xml, dtd) = (scratch.join("daticert.xml"), scratch.join("postacert.dtd"));
    fs::write(&xml, read.daticert_xml.unwrap()).unwrap();
    fs::write(&dtd, DTD).unwrap();
    run("xmllint", &["--noout", "--nonet", "--dtdvalid", dtd.to_str().unwrap(), xml.to_str().unwrap()]);
}

/// postacert.eml of an exported message; the synthetic form has none.
fn postacert(folder: &Path, entry: &Value) -> Option<Bytes> {
    let octets = fs::read(folder.join(format!("{}.eml", entry["uid"]))).unwrap();
    pec::read::read(&Bytes::from(octets)).unwrap().postacert
}

#[test]
fn a_letter_against_the_rules_is_refused_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start(&dir.path().join("data"));
    let [sender, other] = provider.accounts();

    // F5 (spec 4.1): a Bcc field.
    let file = provider.file("bcc.eml", format!("Bcc: {other}\nSubject: a\n\nb\n"));
    let sent = provider.sigillo(&["send", "--from", &sender, "--to", &other, &file]);
    assert_eq!(code(&sent), 1, "{}", stdout(&sent));
    assert!(stderr(&sent).contains("Bcc"), "{}", stderr(&sent));
    let own = provider.list(&sender);
    assert_eq!((own.len(), count(&own, "non-accettazione")), (1, 1), "{own:?}");
    assert_eq!(provider.list(&other), Vec::<Value>::new());

    // F4: the flags name somebody whom the header does not.
    let file = provider.file("to.eml", format!("To: {other}\nSubject: a\n\nb\n"));
    let sent = provider.sigillo(&["send", "--from", &sender, "--to", &sender, "--json", &file]);
    let report: Value = serde_json::from_slice(&sent.stdout).unwrap();
    assert_eq!((code(&sent), &report["state"]), (1, &"refused".into()), "{report}");
    assert!(report["reason"].as_str().unwrap().contains("destinatario"), "{report}");

    // F8: the test virus, in an attachment.
    let eicar = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*";
    let file = provider.file("virus.eml", format!("Subject: a\n\n{eicar}\n"));
    let sent = provider.sigillo(&["send", "--from", &sender, "--to", &other, &file]);
    assert_eq!(code(&sent), 1);
    let subjects: Vec<String> =
        provider.list(&sender).iter().map(|entry| entry["subject"].as_str().unwrap().to_owned()).collect();
    assert!(subjects.iter().any(|s| s.starts_with("AVVISO DI NON ACCETTAZIONE PER VIRUS: ")), "{subjects:?}");
}

#[test]
fn the_way_of_a_letter_is_told_line_by_line() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start(&dir.path().join("data"));
    let [sender, other] = provider.accounts();
    let file = provider
        .file("letter.eml", format!("To: {other}\nCc: Altri <info@gamma.example>\nSubject: a\n\nb\n"));
    let sent = provider.sigillo(&["send", "--from", &sender, &file]);
    assert_eq!(code(&sent), 0, "{}", stderr(&sent));
    let text = stdout(&sent);
    let words: Vec<&str> = text.lines().map(|line| line.split("  ").next().unwrap()).collect();
    let place = |word| words.iter().position(|w| *w == word).unwrap_or_else(|| panic!("{word}: {text}"));
    let places = ["submitted", "accepted", "taken in charge", "delivered", "receipts"].map(place);
    assert!(places.is_sorted() && place("sealed") > place("accepted"), "{text}");
    assert!(words.contains(&"ordinary mail"), "{text}");
    assert!(!text.contains('\u{1b}'), "no cursor moves on a pipe: {text}");
}

#[test]
fn an_unknown_mailbox_of_ours_gives_a_notice_of_non_delivery() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start(&dir.path().join("data"));
    let [sender, other] = provider.accounts();
    let nobody = format!("nessuno@{}", other.split_once('@').unwrap().1);
    let file = provider.file("letter.eml", "Subject: a\n\nb\n");
    let sent =
        provider.sigillo(&["send", "--from", &sender, "--to", &nobody, "--cc", &other, "--json", &file]);
    let report: Value = serde_json::from_slice(&sent.stdout).unwrap();
    assert_eq!((code(&sent), &report["state"]), (1, &"not-delivered".into()), "{report}");
    assert!(report["reason"].as_str().unwrap().starts_with("5.1.1 - "), "{report}");
    let own = provider.list(&sender);
    assert_eq!((count(&own, "errore-consegna"), count(&own, "avvenuta-consegna")), (1, 1));
}

#[test]
fn a_command_that_is_repeated_with_its_key_is_one_letter() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start(&dir.path().join("data"));
    let [sender, other] = provider.accounts();
    let file = provider.file("letter.eml", "Subject: a\n\nb\n");
    let send = ["send", "--from", &sender, "--to", &other, "--idempotency-key", "k", &file];
    let sent = [0; 2].map(|_| provider.json(&send)["pec_id"].clone());
    assert_eq!(sent[0], sent[1]);
    // Another letter under the key of this one.
    provider.file("letter.eml", "Subject: c\n\nb\n");
    let refused = provider.sigillo(&send);
    assert_eq!(code(&refused), 1);
    assert!(stderr(&refused).contains("key-of-another"), "{}", stderr(&refused));
}

#[test]
fn a_start_on_the_same_folder_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let provider = Provider::start(&data);
    let first = &provider.ready["accounts"][0];
    assert!(first["password"].as_str().unwrap().len() > 20, "printed once");
    let [sender, other] = provider.accounts();
    let file = provider.file("letter.eml", "Subject: a\n\nb\n");
    // Accepted, and not followed: what is under way at the stop is done after the start.
    let sent = provider.sigillo(&["send", "--from", &sender, "--to", &other, "--wait-s", "0", &file]);
    assert_eq!(code(&sent), 75, "{}", stderr(&sent));
    provider.stop();

    let provider = Provider::start(&data);
    assert_eq!(provider.ready["accounts"][0].get("password"), None);
    assert_eq!(provider.accounts()[0], sender);
    common::until("the receipts", || {
        (count(&provider.list(&sender), "avvenuta-consegna") == 1).then_some(())
    });
    let sent = provider.json(&["send", "--from", &sender, "--to", &other, &file]);
    assert_eq!(sent["state"], "delivered");
    let uids: Vec<u64> = provider.list(&sender).iter().map(|entry| entry["uid"].as_u64().unwrap()).collect();
    assert!(uids.is_sorted() && uids.len() == 4, "{uids:?}");
}

#[test]
fn secrets_are_for_their_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start(&dir.path().join("data"));
    for name in ["demo.json", "pki/ca.key", "pki/provider.key", "pki/tls.key"] {
        let mode = fs::metadata(provider.data().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

/// Spec 4.2: the provider's own limits; what is over them is a notice, and not an error of the door.
#[test]
fn limits_of_letters_are_the_providers_choice() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start_with(&dir.path().join("data"), &["--recipients-max", "50"]);
    let [sender, other] = provider.accounts();
    let letter = provider.file("letter.eml", "Subject: Prova\r\n\r\nTesto.\r\n");
    let send = |recipients: usize| {
        let mut words = ["send", "--json", "--wait-s", "60", "--from", &sender].map(String::from).to_vec();
        words.extend((1..recipients).flat_map(|n| ["--to".to_owned(), format!("utente{n}@posta.example")]));
        words.extend(["--to".to_owned(), other.clone(), letter.clone()]);
        provider.sigillo(&words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let output = send(51);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((code(&output), &said["state"]), (1, &"refused".into()), "{said}");
    let absurd = sigillo(&["up", "--data", "nowhere", "--recipients-max", "49"]);
    assert_eq!(code(&absurd), 64);
}
