use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use pec::index::{IndexCertificate, Record};
use serde_json::Value;

use super::*;
use crate::demo::pki::{Names, Pki, make};

const NOW: i64 = 1_800_000_000;
const SERVICE: &str = "posta-certificata@gestore.alfa.example";
const PEC_ID: &str = "0123abcd@gestore.alfa.example";

/// RSA keys take time: one CA for all tests of this file, and a second one that nobody trusts.
static PKI: LazyLock<Pki> = LazyLock::new(|| pki("Alfa PEC"));
static FOREIGN: LazyLock<Pki> = LazyLock::new(|| pki("Beta PEC"));

fn pki(provider_name: &str) -> Pki {
    make(Names { provider_name, address: SERVICE }, NOW).unwrap()
}

/// A PEC message in the making; by default an acceptance receipt.
struct Letter {
    field: &'static str,
    kind: &'static str,
    from: &'static str,
    message_id: &'static str,
    tipo: &'static str,
    tail: &'static str,
    original_id: Option<&'static str>,
    daticert: bool,
}

const ACCEPTANCE: Letter = Letter {
    field: "X-Ricevuta",
    kind: "accettazione",
    from: SERVICE,
    message_id: "fresh@gestore.alfa.example",
    tipo: "accettazione",
    tail: "",
    original_id: None,
    daticert: true,
};

const ENVELOPE: Letter = Letter {
    field: "X-Trasporto",
    kind: "posta-certificata",
    message_id: PEC_ID,
    tipo: "posta-certificata",
    tail: "<ricevuta tipo=\"completa\"/>",
    original_id: Some(PEC_ID),
    ..ACCEPTANCE
};

impl Letter {
    fn content(&self) -> String {
        let daticert = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<postacert tipo=\"{}\" errore=\"nessuno\"><intestazione>\
             <mittente>mittente@pec.alfa.example</mittente><destinatari tipo=\"certificato\">uno@pec.beta.example\
             </destinatari><destinatari tipo=\"esterno\">due@gamma.example</destinatari><risposte>\
             mittente@pec.alfa.example</risposte><oggetto>Citt\u{e0}</oggetto></intestazione><dati>\
             <gestore-emittente>Alfa PEC</gestore-emittente><data zona=\"+0100\"><giorno>15/01/2027</giorno>\
             <ora>09:00:00</ora></data><identificativo>{PEC_ID}</identificativo>\
             <msgid>&lt;m1@client.example&gt;</msgid>{}</dati></postacert>",
            self.tipo, self.tail
        );
        let mut parts = vec!["Content-Type: text/plain; charset=\"iso-8859-1\"\r\n\r\nTesto.".to_owned()];
        if self.daticert {
            parts.push(format!(
                "Content-Type: application/xml; name=\"daticert.xml\"\r\nContent-Transfer-Encoding: base64\r\n\
                 Content-Disposition: inline; filename=\"daticert.xml\"\r\n\r\n{}",
                STANDARD.encode(daticert)
            ));
        }
        if let Some(id) = self.original_id {
            parts.push(format!(
                "Content-Type: message/rfc822; name=\"postacert.eml\"\r\nContent-Disposition: inline; \
                 filename=\"postacert.eml\"\r\n\r\nFrom: mittente@pec.alfa.example\r\nTo: uno@pec.beta.example\r\n\
                 Cc: due@gamma.example\r\nSubject: =?utf-8?q?Citt=C3=A0?=\r\nMessage-ID: <{id}>\r\n\r\nCiao.\r\n"
            ));
        }
        let body: String = parts.iter().map(|part| format!("--dentro\r\n{part}\r\n")).collect();
        format!("Content-Type: multipart/mixed; boundary=\"dentro\"\r\n\r\n{body}--dentro--\r\n")
    }

    fn header(&self) -> String {
        format!(
            "{}: {}\r\nFrom: \"Per conto di: x\" <{}>\r\nMessage-ID: <{}>\r\nMIME-Version: 1.0\r\n",
            self.field, self.kind, self.from, self.message_id
        )
    }

    fn signed(&self, pki: &Pki) -> Bytes {
        let content = self.content();
        let chain = [pki.provider.certificate_der.clone(), pki.ca.certificate_der.clone()];
        let identity = smime::Identity::from_chain(&chain).unwrap();
        let key = smime::RsaKey::from_pem(pki.provider.key_pem.as_bytes()).unwrap();
        let pending = identity.prepare(smime::sha256([content.as_bytes()]), NOW).unwrap();
        let signature = key.sign_digest(pending.digest()).unwrap();
        let cms = STANDARD.encode(pending.assemble(&signature).unwrap());
        Bytes::from(format!(
            "{}Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256; \
             boundary=\"fuori\"\r\n\r\n--fuori\r\n{content}\r\n--fuori\r\nContent-Type: \
             application/pkcs7-signature; name=\"smime.p7s\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{cms}\r\n\
             --fuori--\r\n",
            self.header()
        ))
    }
}

fn standard(pki: &Pki) -> Standard {
    let ca = smime::Certificate::from_der(&pki.ca.certificate_der).unwrap();
    let at = At::Instant(Instant::from_unix_s(NOW));
    Standard { anchors: Some(Anchors::from_certificates([ca])), index: None, at }
}

fn index(domain: &str) -> Index {
    Index::new(vec![Record {
        id: "Alfa PEC".to_owned(),
        provider_name: "Alfa PEC".to_owned(),
        provider_unit: None,
        mail_receipt: pec::Address::parse(SERVICE).unwrap(),
        managed_domains: vec![domain.to_owned()],
        certificates: vec![IndexCertificate::new(PKI.provider.certificate_der.clone())],
        ldif_location: None,
    }])
}

fn replaced(message: &Bytes, from: &str, to: &str) -> Bytes {
    let text = String::from_utf8(message.to_vec()).unwrap();
    assert!(text.contains(from));
    Bytes::from(text.replacen(from, to, 1))
}

fn failed(report: &Report) -> Vec<&str> {
    report.checks.iter().filter(|check| !check.passed).map(|check| check.name).collect()
}

#[test]
fn a_valid_receipt_gives_the_json_of_the_contract() {
    let mut standard = standard(&PKI);
    standard.index = Some(index("gestore.alfa.example"));
    let report = verify(&ACCEPTANCE.signed(&PKI), &standard);
    assert_eq!(report.exit_code(), 0, "{report}");
    let json: Value = serde_json::to_value(&report).unwrap();
    assert_eq!(json["signature"], "valid");
    assert_eq!(json["chain"], "trusted");
    assert_eq!(json["reason"], Value::Null);
    assert_eq!(json["kind"], "accettazione");
    assert_eq!(json["signed_at"], "2027-01-15T08:00:00Z");
    assert_eq!(json["digest"], "sha-256");
    assert_eq!(json["signer"]["mail"], SERVICE);
    let sha1 = smime::Certificate::from_der(&PKI.provider.certificate_der).unwrap().sha1_hex();
    assert_eq!(json["signer"]["sha1"], sha1);
    assert!(json["signer"]["subject"].as_str().unwrap().contains("O=Alfa PEC"));
    let certification = &json["certification"];
    assert_eq!(certification["tipo"], "accettazione");
    assert_eq!(certification["mittente"], "mittente@pec.alfa.example");
    assert_eq!(certification["destinatari"][1]["tipo"], "esterno");
    assert_eq!(certification["destinatari"][1]["indirizzo"], "due@gamma.example");
    assert_eq!(certification["oggetto"], "Citt\u{e0}");
    assert_eq!(certification["gestore-emittente"], "Alfa PEC");
    assert_eq!(certification["data"]["zona"], "+0100");
    assert_eq!(certification["identificativo"], PEC_ID);
    assert_eq!(certification["msgid"], "<m1@client.example>");
    assert_eq!(certification.get("consegna"), None);
    assert_eq!(json["original"], Value::Null);
    assert_eq!(json.get("verdict"), None);
}

#[test]
fn an_envelope_shows_its_original() {
    let report = verify(&ENVELOPE.signed(&PKI), &standard(&PKI));
    assert_eq!(report.exit_code(), 0, "{report}");
    let original = serde_json::to_value(report.original.unwrap()).unwrap();
    assert_eq!(original["message_id"], format!("<{PEC_ID}>"));
    assert_eq!(original["from"], "mittente@pec.alfa.example");
    assert_eq!(original["to"][0], "uno@pec.beta.example");
    assert_eq!(original["cc"][0], "due@gamma.example");
    assert_eq!(original["subject"], "Citt\u{e0}");
}

#[test]
fn no_bit_of_the_signed_part_can_change() {
    let message = ENVELOPE.signed(&PKI);
    let content = smime::split_signed(&message).unwrap().content;
    let start = content.as_ptr() as usize - message.as_ptr() as usize;
    let standard = standard(&PKI);
    for n in 0..content.len() {
        let mut broken = message.to_vec();
        broken[start + n] ^= 1 << (n % 8);
        let report = verify(&Bytes::from(broken), &standard);
        assert_eq!((report.exit_code(), report.signature), (1, Signature::Invalid), "octet {n}: {report}");
    }
}

#[test]
fn without_anchors_the_chain_is_not_checked() {
    let standard = Standard { anchors: None, ..standard(&PKI) };
    let report = verify(&ACCEPTANCE.signed(&PKI), &standard);
    assert_eq!((report.exit_code(), report.chain), (0, Chain::NotChecked));
}

#[test]
fn a_signer_of_another_ca_or_another_time_is_not_trusted() {
    let foreign = ACCEPTANCE.signed(&FOREIGN);
    // The anchors decide, not what the message brings along.
    let report = verify(&foreign, &standard(&PKI));
    assert_eq!((report.exit_code(), report.signature, report.chain), (1, Signature::Valid, Chain::Untrusted));
    assert!(report.reason.unwrap().starts_with("chain not trusted: "));

    let message = ACCEPTANCE.signed(&PKI);
    let later = At::Instant(Instant::from_unix_s(NOW + 4 * 365 * 86_400));
    let report = verify(&message, &Standard { at: later, ..standard(&PKI) });
    assert_eq!((report.exit_code(), report.chain), (1, Chain::Untrusted));
    let report = verify(&message, &Standard { at: At::SigningTime, ..standard(&PKI) });
    assert_eq!((report.exit_code(), report.chain), (0, Chain::Trusted));
}

/// Spec 5.2 V4: the header is not signed, so it must say what the signed content says.
#[test]
fn header_and_signed_content_must_agree() {
    let standard = standard(&PKI);
    let message = ACCEPTANCE.signed(&PKI);
    let report = verify(&replaced(&message, "accettazione", "avvenuta-consegna"), &standard);
    assert_eq!((report.exit_code(), failed(&report)), (1, vec!["tipo"]));
    let report = verify(&replaced(&message, SERVICE, "posta-certificata@altro.example"), &standard);
    assert_eq!((report.exit_code(), failed(&report)), (1, vec!["from"]));
    for letter in [
        Letter { message_id: "altro@gestore.alfa.example", ..ENVELOPE },
        Letter { original_id: Some("altro@gestore.alfa.example"), ..ENVELOPE },
    ] {
        let report = verify(&letter.signed(&PKI), &standard);
        assert_eq!((report.exit_code(), failed(&report)), (1, vec!["identificativo"]));
    }
    let report = verify(&Letter { original_id: None, ..ENVELOPE }.signed(&PKI), &standard);
    assert_eq!(report.exit_code(), 1);
    assert!(failed(&report).contains(&"postacert"));
}

/// Spec 5.2 V2, 0.2 D10.
#[test]
fn the_index_must_know_the_signer_and_its_domain() {
    let with = |index| Standard { index: Some(index), ..standard(&PKI) };
    let report = verify(&ACCEPTANCE.signed(&PKI), &with(index("altro.example")));
    assert_eq!((report.exit_code(), failed(&report)), (1, vec!["domain"]));
    let report = verify(
        &ACCEPTANCE.signed(&FOREIGN),
        &Standard { index: Some(index("gestore.alfa.example")), ..standard(&FOREIGN) },
    );
    assert_eq!((report.exit_code(), failed(&report)), (1, vec!["index"]));
}

#[test]
fn what_is_no_pec_message_is_2_and_a_pec_header_without_a_signature_is_1() {
    let standard = standard(&PKI);
    let plain = |header: &str| Bytes::from(format!("{header}Content-Type: text/plain\r\n\r\nCiao.\r\n"));
    for message in [
        plain("From: a@b.example\r\n"),
        plain("X-Ricevuta: altro\r\n"),
        Bytes::new(),
        Bytes::from_static(b"\xff\xfe\x00"),
        Bytes::from(vec![b'a'; 3_000_000]),
        // Signed and without PEC header, or without its certification data.
        replaced(&ACCEPTANCE.signed(&PKI), "X-Ricevuta", "X-Altro"),
        Letter { daticert: false, ..ACCEPTANCE }.signed(&PKI),
    ] {
        let report = verify(&message, &standard);
        assert_eq!(report.exit_code(), 2, "{report}");
        assert!(report.reason.unwrap().starts_with("not a PEC message"));
    }
    let report = verify(&plain(&ACCEPTANCE.header()), &standard);
    assert_eq!((report.exit_code(), report.signature), (1, Signature::Absent));
    assert!(report.reason.unwrap().starts_with("signature absent: "));
}

#[test]
fn certified_instants_are_read_with_their_zone() {
    let report = verify(&ACCEPTANCE.signed(&PKI), &standard(&PKI));
    let certification = report.certification.unwrap();
    assert_eq!(certified_instant(&certification), Some(Instant::from_unix_s(NOW)));
    for zone in ["", "+1", "0100\u{e8}"] {
        let odd = Certification { zone: zone.to_owned(), ..certification.clone() };
        assert_eq!(certified_instant(&odd), None, "{zone}");
    }
}

#[test]
fn words_of_others_move_no_cursor() {
    let mut report = verify(&ACCEPTANCE.signed(&PKI), &standard(&PKI));
    report.certification.as_mut().unwrap().subject = Some("a\u{1b}[2Jb\r\nc".to_owned());
    let text = report.to_string();
    assert!(!text.contains('\u{1b}') && text.contains("a\u{fffd}[2Jb"), "{text}");
}
