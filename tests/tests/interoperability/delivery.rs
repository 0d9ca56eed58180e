//! T-DP: the delivery point (RFC 6109 §2.2.3, §3.3; spec 6).

use bytes::Bytes;
use pec::Kind;
use sigillo_tests::world::{ALFA, BETA, letters::submission};

use crate::{
    ACCEPTANCE, DELIVERY, ENVELOPE, FAILURE, kinds, of_kind, one,
    plain::{Opened, Plain, openssl},
    sent, wire,
};

const COMPLETE: &str = "Ricevuta di avvenuta consegna";
const BRIEF: &str = "Ricevuta breve di avvenuta consegna";
const SYNTHETIC: &str = "Ricevuta sintetica di avvenuta consegna";

/// A letter with such fields and a body, to BETA's users.
fn written(head: &str, body: &str) -> Bytes {
    Bytes::from(format!(
        "From: mittente@pec.alfa.example\r\nSubject: Prova\r\nMessage-ID: <cliente.1@posta.alfa.example>\r\n\
         Date: Mon, 2 Mar 2026 09:00:00 +0100\r\n{head}\r\n{body}"
    ))
}

/// T-DP-01: the table of spec 6.2, each cell.
#[test]
fn t_dp_01_which_receipt_for_whom() {
    for (wish, primary) in [
        ("", COMPLETE),
        ("completa", COMPLETE),
        ("qualunque", COMPLETE),
        ("breve", BRIEF),
        ("sintetica", SYNTHETIC),
    ] {
        let wish_field = if wish.is_empty() { String::new() } else { format!("X-TipoRicevuta: {wish}\r\n") };
        // One in To, one in Cc, one in both.
        let (to, cc, twice) = (BETA.user("destinatario"), BETA.user("copia"), BETA.user("aperta"));
        let raw =
            written(&format!("To: {to}, {twice}\r\nCc: {cc}, {twice}\r\n{wish_field}"), "Buongiorno.\r\n");
        let network = sent(submission(&ALFA, vec![to.clone(), cc.clone(), twice.clone()], raw));
        let receipts = of_kind(&network.evidence(&ALFA), "mittente", DELIVERY);
        assert_eq!(receipts.len(), 3, "{wish}");
        for receipt in receipts {
            assert_eq!(
                receipt.field("Subject").as_deref(),
                Some("CONSEGNA: Prova"),
                "the same for all forms"
            );
            let opened = receipt.opened();
            let about = opened.elements("consegna").remove(0);
            let expected = if about == cc.as_str() { SYNTHETIC } else { primary };
            assert_eq!(opened.text.lines().next(), Some(expected), "{wish:?} for {about}");
            assert_eq!(opened.original.is_some(), expected != SYNTHETIC, "{wish:?} for {about}");
            let form =
                ["completa", "breve", "sintetica"].into_iter().find(|f| *f == wish).unwrap_or("completa");
            assert!(
                opened.daticert().contains(&format!("<ricevuta tipo=\"{form}\"")),
                "what was asked for (0.2 D20)"
            );
        }
    }
}

/// The brief receipt of a letter, and the original that its recipient got.
fn brief(head: &str, body: &str) -> (Plain, Plain) {
    let to = BETA.user("destinatario");
    let raw = written(&format!("To: {to}\r\nX-TipoRicevuta: breve\r\nMIME-Version: 1.0\r\n{head}"), body);
    let network = sent(submission(&ALFA, vec![to], raw));
    let opened: Opened = one(&network.evidence(&ALFA), "mittente", DELIVERY).opened();
    assert_eq!(opened.text.lines().next(), Some(BRIEF));
    let got = one(&network.evidence(&BETA), "destinatario", ENVELOPE).opened();
    (Plain::of(&opened.original.unwrap()), Plain::of(&got.original.unwrap()))
}

/// What openssl says of the octets of a part as they are transported.
fn sha1(octets: &[u8]) -> Vec<u8> {
    let said = String::from_utf8(openssl(&["dgst", "-sha1", "-r"], octets)).unwrap();
    said.split(' ').next().unwrap().as_bytes().to_vec()
}

/// A part of the receipt stands for this one, under this name.
#[track_caller]
fn assert_stands_for(found: &Plain, original: &Plain, name: &str) {
    let kind = found.field("Content-Type").unwrap();
    assert!(kind.starts_with("text/plain") && kind.contains(&format!("{name}.hash")), "{kind}");
    assert_eq!(found.body, sha1(&original.body), "{name}");
}

/// T-DP-02: which parts are replaced by what; the digests are made anew by openssl.
#[test]
fn t_dp_02_brief_receipts() {
    const PDF: &str = "Content-Type: application/pdf; name=\"atto.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n\
                       JVBERi0xLjQKJcOkw7zDtsOf\r\n";
    const NOTE: &str = "Content-Type: text/plain; charset=us-ascii\r\nContent-Disposition: attachment; filename=\"nota.txt\"\r\n\r\n\
                        Una nota.\r\n";
    const IMAGE: &str = "Content-Type: image/png; name=\"logo.png\"\r\nContent-ID: <logo>\r\n\
                         Content-Disposition: inline\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n";
    const INNER: &str = "Content-Type: message/rfc822\r\n\r\nSubject: dentro\r\nMIME-Version: 1.0\r\n\
                         Content-Type: text/plain; name=\"x.txt\"\r\n\r\nDentro.\r\n";
    let text = "Content-Type: text/plain; charset=us-ascii\r\n\r\nBuongiorno.\r\n";
    let mixed = |parts: &[&str]| {
        let body: String = parts.iter().map(|part| format!("--est\r\n{part}\r\n")).collect();
        format!("{body}--est--\r\n")
    };
    let head = "Content-Type: multipart/mixed; boundary=\"est\"\r\n";

    // 1. name=, filename=, an image that is shown, a message inside: each by its digest; the text stays.
    let (receipt, original) = brief(head, &mixed(&[text, PDF, NOTE, IMAGE, INNER]));
    let (found, parts) = (receipt.parts(), original.parts());
    assert_eq!(found.len(), parts.len(), "the structure stays");
    assert_eq!(found[0].body, parts[0].body);
    for (n, name) in [(1, "atto.pdf"), (2, "nota.txt"), (3, "logo.png"), (4, "messaggio-1.eml")] {
        assert_stands_for(&found[n], &parts[n], name);
    }

    // 2. Signed: the parts inside as above, the signature untouched.
    let signed = format!(
        "--firma\r\nContent-Type: multipart/mixed; boundary=\"est\"\r\n\r\n{}\r\n--firma\r\n\
         Content-Type: application/pkcs7-signature; name=\"smime.p7s\"\r\nContent-Transfer-Encoding: base64\r\n\r\nMIIB\r\n--firma--\r\n",
        mixed(&[text, PDF])
    );
    let head = "Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256; boundary=\"firma\"\r\n";
    let (receipt, original) = brief(head, &signed);
    let (found, parts) = (receipt.parts(), original.parts());
    assert_stands_for(&found[0].parts()[1], &parts[0].parts()[1], "atto.pdf");
    assert_eq!(receipt.raw_parts()[1], original.raw_parts()[1]);

    // 3. Opaque: left whole.
    let head = "Content-Type: application/pkcs7-mime; smime-type=signed-data; name=\"smime.p7m\"\r\nContent-Transfer-Encoding: base64\r\n";
    let (receipt, original) = brief(head, "MIIBAAAA\r\n");
    assert_eq!(
        (&receipt.body, receipt.field("Content-Type")),
        (&original.body, original.field("Content-Type"))
    );
}

/// T-DP-03: no mailbox, a full one, a disabled one (spec 12).
#[test]
fn t_dp_03_what_cannot_be_delivered() {
    let to = ["ignoto", "piena", "sospesa"].map(|local| BETA.user(local));
    let list = to.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let network =
        sent(submission(&ALFA, to.to_vec(), written(&format!("To: {list}\r\n"), "Buongiorno.\r\n")));
    let failures = of_kind(&network.evidence(&ALFA), "mittente", FAILURE);
    let mut said: Vec<(String, String, bool)> = failures
        .iter()
        .map(|m| {
            assert_eq!(
                (m.field("X-VerificaSicurezza"), m.field("Subject").as_deref()),
                (None, Some("AVVISO DI MANCATA CONSEGNA: Prova"))
            );
            let opened = m.opened();
            assert!(opened.text.contains("Il messaggio è stato rifiutato dal sistema."));
            assert_eq!(
                (opened.elements("gestore-emittente").remove(0).as_str(), opened.original.as_ref()),
                (BETA.name, None)
            );
            let code = opened.elements("errore-esteso").remove(0).split(" - ").next().unwrap().to_owned();
            (opened.elements("consegna").remove(0), code, opened.daticert().contains("errore=\"no-dest\""))
        })
        .collect();
    said.sort();
    let expected = [("ignoto", "5.1.1", true), ("piena", "5.2.2", false), ("sospesa", "5.2.1", false)];
    assert_eq!(
        said,
        expected.map(|(local, code, nobody)| (BETA.user(local).to_string(), code.to_owned(), nobody))
    );
}

/// T-DP-04: sender and recipient in one domain: every message all the same (RFC 6109 §3.4).
#[test]
fn t_dp_04_within_one_domain() {
    let to = ALFA.user("destinatario");
    let network =
        sent(submission(&ALFA, vec![to.clone()], written(&format!("To: {to}\r\n"), "Buongiorno.\r\n")));
    let evidence = network.evidence(&ALFA);
    assert_eq!(kinds(&evidence, "mittente"), [ACCEPTANCE, DELIVERY]);
    assert_eq!(kinds(&evidence, "destinatario"), [ENVELOPE]);
    assert_eq!(evidence.acts_of(Kind::TakeCharge).len(), 1, "made and logged (spec 4.7)");
    assert!(
        wire(&network, &ALFA, &BETA).is_empty() && network.ordinary().is_empty(),
        "nothing left the provider"
    );
}
