//! The incoming point on messages that we compose, sign with test keys and alter (spec 5.2, 5.3, T-IN-01 to 10).

#![allow(clippy::unwrap_used, reason = "the helpers of a test end it at the first surprise")]

mod fixtures;

use std::{path::Path, process::Command, sync::OnceLock};

use bytes::Bytes;
use fixtures::{address, document, source};
use mime::{Entity, Limits, encode};
use proptest::prelude::*;
use sigillo_pec::{
    Index, Instant, Kind, Transaction, compose,
    document::{Document, Matter, ReceiptForm},
    index::{IndexCertificate, Record},
    reception::{Examination, Verdict, examine},
};
use smime::{Anchors, Certificate, Identity, RsaKey, Verifier};

/// One signer: its certificate, the chain inside its messages, its key.
struct Signer {
    certificate: Certificate,
    identity: Identity,
    key: RsaKey,
    pem: String,
}

/// Two providers, one that is in no index, one whose authority nobody trusts.
struct Pki {
    folder: tempfile::TempDir,
    anchors: Anchors,
    alfa: Signer,
    beta: Signer,
    gamma: Signer,
    stranger: Signer,
}

fn pki() -> &'static Pki {
    static PKI: OnceLock<Pki> = OnceLock::new();
    PKI.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        authority(path, "ca");
        authority(path, "foreign");
        let anchors = Anchors::from_files([std::fs::read(path.join("ca.pem")).unwrap().as_slice()]).unwrap();
        let signer = |ca: &str, name: &str| signer(path, ca, name);
        Pki {
            anchors,
            alfa: signer("ca", "alfa"),
            beta: signer("ca", "beta"),
            gamma: signer("ca", "gamma"),
            stranger: signer("foreign", "stranger"),
            folder,
        }
    })
}

fn openssl(folder: &Path, arguments: &str) -> Vec<u8> {
    let output = Command::new("openssl").current_dir(folder).args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn authority(folder: &Path, name: &str) {
    openssl(
        folder,
        &format!(
            "req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN={name} -keyout {name}.key -out {name}.pem"
        ),
    );
}

fn signer(folder: &Path, ca: &str, name: &str) -> Signer {
    let extensions = format!(
        "keyUsage=critical,digitalSignature\nextendedKeyUsage=emailProtection\n\
         subjectAltName=email:posta-certificata@pec.{name}.example\n"
    );
    std::fs::write(folder.join(format!("{name}.ext")), extensions).unwrap();
    openssl(
        folder,
        &format!("req -new -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"),
    );
    openssl(
        folder,
        &format!(
            "x509 -req -in {name}.csr -CA {ca}.pem -CAkey {ca}.key -CAcreateserial -days 365 -extfile {name}.ext -out {name}.pem"
        ),
    );
    let read = |file: String| std::fs::read(folder.join(file)).unwrap();
    let certificate = Certificate::from_pem(&read(format!("{name}.pem"))).unwrap().remove(0);
    let identity = Identity::from_chain(&[certificate.der().to_vec()]).unwrap();
    Signer {
        certificate,
        identity,
        key: RsaKey::from_pem(&read(format!("{name}.key"))).unwrap(),
        pem: name.to_owned(),
    }
}

impl Signer {
    /// A detached signature, as ours are.
    fn cms(&self, content: &[u8]) -> Vec<u8> {
        let pending = self.identity.prepare(smime::sha256([content]), at().unix_s()).unwrap();
        let signature = self.key.sign_digest(pending.digest()).unwrap();
        pending.assemble(&signature).unwrap()
    }
}

/// A minute after the youngest certificate began to be valid: no clock is read here.
fn at() -> Instant {
    let Pki { alfa, beta, gamma, stranger, .. } = pki();
    let signers = [alfa, beta, gamma, stranger];
    let youngest = signers.iter().map(|s| s.certificate.not_before_unix_s()).max().unwrap();
    Instant::from_unix_s(youngest + 60)
}

fn record(name: &str, unit: Option<&str>, domains: &[&str], signers: &[&Signer]) -> Record {
    let receipts = format!("servizio@{}", domains[0]);
    Record {
        id: Record::id_of(name, unit),
        provider_name: name.to_owned(),
        provider_unit: unit.map(str::to_owned),
        mail_receipt: address(&receipts),
        managed_domains: domains.iter().map(|d| (*d).to_owned()).collect(),
        certificates: signers.iter().map(|s| IndexCertificate::new(s.certificate.der().to_vec())).collect(),
        ldif_location: None,
    }
}

fn index() -> Index {
    let Pki { alfa, beta, stranger, .. } = pki();
    Index::new(vec![
        record("ALFA", None, &["pec.alfa.example"], &[alfa]),
        record("BETA", None, &["pec.beta.example"], &[beta]),
        record("STRANGER", None, &["pec.stranger.example"], &[stranger]),
    ])
}

fn run_in(message: impl Into<Bytes>, index: &Index, at: Instant) -> Examination {
    let transaction =
        Transaction::new(Some(address("mittente@pec.alfa.example")), [address("ufficio@pec.beta.example")]);
    examine(&message.into(), &transaction, at, index, &Verifier::new(pki().anchors.clone()))
}

fn run(message: impl Into<Bytes>) -> Examination {
    run_in(message, &index(), at())
}

/// Who signs messages of this kind in the fixtures.
fn signer_of(document: &Document) -> &'static Signer {
    if document.issuer.address.domain() == "pec.beta.example" { &pki().beta } else { &pki().alfa }
}

/// A finished message of a document.
fn signed(document: &Document) -> Bytes {
    let draft = compose(document, source(document.kind()).as_ref()).unwrap();
    let content_sha256 = draft.content_sha256();
    let signer = signer_of(document);
    let pending = signer.identity.prepare(content_sha256, at().unix_s()).unwrap();
    let signature = signer.key.sign_digest(pending.digest()).unwrap();
    draft.seal(&pending.assemble(&signature).unwrap()).to_bytes()
}

fn envelope() -> Bytes {
    signed(&document(Kind::TransportEnvelope))
}

/// The header of a message, what is signed, and the header's boundary.
fn taken_apart(message: &Bytes) -> (String, Bytes, String) {
    let entity = Entity::parse(message, &Limits::default()).unwrap();
    let head = String::from_utf8(entity.head().to_vec()).unwrap();
    let boundary = entity.content_type().get("boundary").unwrap().to_owned();
    (head, smime::split_signed(message).unwrap().content, boundary)
}

/// The message with another content and another signature.
fn resealed(message: &Bytes, content: &[u8], cms: &[u8]) -> Vec<u8> {
    let (head, _, boundary) = taken_apart(message);
    let mut out = format!("{head}--{boundary}\r\n").into_bytes();
    out.extend_from_slice(content);
    let part = "Content-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    out.extend_from_slice(format!("\r\n--{boundary}\r\n{part}").as_bytes());
    out.extend_from_slice(&encode::base64_lines(cms));
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    out
}

/// The message with its content changed and signed anew.
fn resigned(message: &Bytes, change: impl FnOnce(String) -> String, signer: &Signer) -> Vec<u8> {
    let (_, content, _) = taken_apart(message);
    let content = change(String::from_utf8(content.to_vec()).unwrap());
    resealed(message, content.as_bytes(), &signer.cms(content.as_bytes()))
}

/// The message with another header; what is signed stays.
fn with_head(message: &Bytes, from: &str, to: &str) -> Vec<u8> {
    let (head, _, _) = taken_apart(message);
    assert!(head.contains(from), "{from} in {head}");
    [head.replacen(from, to, 1).as_bytes(), &message[head.len()..]].concat()
}

fn failed(examination: &Examination) -> Vec<&str> {
    examination.checks.iter().filter(|c| !c.passed).map(|c| c.name.as_str()).collect()
}

#[track_caller]
fn assert_ordinary(examination: &Examination, check: &str) {
    let Verdict::Ordinary { reason } = &examination.verdict else { panic!("not D: {examination:?}") };
    assert_eq!(reason, "la firma digitale del messaggio non risulta attendibile");
    assert_eq!(failed(examination), [check]);
}

#[track_caller]
fn assert_anomaly(examination: &Examination, check: &str, reason: &str) {
    let Verdict::Anomaly { reason: found, .. } = &examination.verdict else {
        panic!("not C: {examination:?}")
    };
    assert!(found.contains(reason), "{found}");
    assert_eq!(failed(examination), [check], "{examination:?}");
}

/// T-IN-01, outcome A.
#[test]
fn a_valid_envelope() {
    let examination = run(envelope());
    let Verdict::Envelope(received) = &examination.verdict else { panic!("not A: {examination:?}") };
    assert_eq!(failed(&examination), [] as [&str; 0]);
    assert_eq!(received.letter, fixtures::letter());
    assert_eq!(received.form, ReceiptForm::Complete);
    assert!(received.reverse_path_in_record);
    assert_eq!(received.origin.record, "ALFA");
    assert_eq!(received.origin.provider_name, "ALFA");
    assert_eq!(received.origin.mail_receipt, "servizio@pec.alfa.example");
    assert_eq!(received.origin.certificate_sha256, pki().alfa.certificate.sha256_hex());
    let names: Vec<&str> = examination.checks.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names[..4], ["V1 existence", "V2 origin", "V3 validity", "V4 form"], "not to be reordered");
    assert!(names.contains(&"V4 original id"));
}

/// Spec 0.2 D7: the Subject goes on as it is written, or is absent where the letter has none.
#[test]
fn the_subject_of_an_envelope_loses_its_prefix() {
    for (subject, raw) in [
        (Some("=?iso-8859-1?Q?Perch=E9?= no"), Some("=?iso-8859-1?Q?Perch=E9?= no")),
        (Some("POSTA CERTIFICATA: due volte"), Some("POSTA CERTIFICATA: due volte")),
        (Some(""), Some("")),
        (None, None),
    ] {
        let mut document = document(Kind::TransportEnvelope);
        document.letter.subject_raw = subject.map(str::to_owned);
        document.letter.subject = subject.map(|s| mime::word::decode(s.as_bytes()));
        let examination = run(signed(&document));
        let Verdict::Envelope(received) = examination.verdict else { panic!("not A") };
        assert_eq!(received.letter.subject_raw.as_deref(), raw);
        assert_eq!(received.letter.subject, document.letter.subject);
    }
    let encoded = with_head(
        &envelope(),
        "POSTA CERTIFICATA: Invio documenti",
        "=?UTF-8?Q?POSTA_CERTIFICATA:_Perch=C3=A9?=",
    );
    let Verdict::Envelope(received) = run(encoded).verdict else { panic!("not A") };
    assert_eq!(mime::word::decode(received.letter.subject_raw.unwrap().as_bytes()), "Perché");
}

/// T-IN-09, outcome B: every receipt and notice.
#[test]
fn valid_receipts_and_notices() {
    for kind in Kind::ALL {
        if matches!(kind, Kind::TransportEnvelope | Kind::AnomalyEnvelope) {
            continue;
        }
        let document = document(kind);
        let examination = run(signed(&document));
        let Verdict::Receipt(received) = &examination.verdict else { panic!("not B: {examination:?}") };
        assert_eq!(received.kind, kind);
        assert_eq!(received.message_id, document.message_id);
        assert_eq!(received.certification.pec_id, document.letter.pec_id);
        // D12: those of the recipient's provider speak for its recipient.
        let by_beta = document.issuer.address.domain() == "pec.beta.example";
        assert_eq!(received.signer_manages_recipient, by_beta, "{kind:?}");
        // D10: they answer to the record of the letter's sender if that holds the certificate.
        assert_eq!(received.origin.record, if by_beta { "BETA" } else { "ALFA" });
    }
}

/// D12: only whose domain it is can take charge.
#[test]
fn receipts_for_recipients_of_others_are_told_apart() {
    let mut document = document(Kind::TakeCharge);
    document.matter = Matter::TakeCharge {
        received: vec![address("ufficio@pec.beta.example"), address("x@pec.stranger.example")],
    };
    let Verdict::Receipt(received) = run(signed(&document)).verdict else { panic!("not B") };
    assert!(!received.signer_manages_recipient, "every one must be the signer's");

    let mut document = fixtures::document(Kind::Delivery);
    let (form_asked, form_due) = (ReceiptForm::Brief, ReceiptForm::Synthetic);
    document.matter = Matter::Delivery { recipient: address("info@gamma.example"), form_asked, form_due };
    let Verdict::Receipt(received) = run(signed(&document)).verdict else { panic!("not B") };
    assert!(!received.signer_manages_recipient);
}

/// Spec 0.2 D9: a delivery receipt without postacert.eml is in form.
#[test]
fn a_synthetic_receipt_is_in_form() {
    let mut document = document(Kind::Delivery);
    let (form_asked, form_due) = (ReceiptForm::Complete, ReceiptForm::Synthetic);
    document.matter =
        Matter::Delivery { recipient: address("ufficio@pec.beta.example"), form_asked, form_due };
    let Verdict::Receipt(received) = run(signed(&document)).verdict else { panic!("not B") };
    assert!(received.signer_manages_recipient);
    assert_eq!(received.certification.form, Some(ReceiptForm::Complete), "D20");
}

/// V1.
#[test]
fn without_signature_it_is_ordinary_mail() {
    assert_ordinary(&run(fixtures::original()), "V1 existence");
    assert_ordinary(&run(Bytes::new()), "V1 existence");
    let pgp = with_head(&envelope(), "application/pkcs7-signature", "application/pgp-signature");
    assert_ordinary(&run(pgp), "V1 existence");
}

/// V1: the part that readers find is the part that is signed, whatever a reader makes of an odd boundary.
#[test]
fn two_readings_of_one_boundary_are_no_signature() {
    let envelope = envelope();
    let (head, content, boundary) = taken_apart(&envelope);
    let forged = String::from_utf8(content.to_vec()).unwrap().replace("Invio", "Altro");
    let head = head.replace(&boundary, "B ");
    let message =
        format!("{head}--B\r\n{forged}\r\n--B\r\nContent-Type: application/pkcs7-signature\r\n\r\nx\r\n");
    let signature = encode::base64_lines(&pki().alfa.cms(&content));
    let part = "Content-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    let genuine =
        [b"--B \r\n", &content[..], b"\r\n--B \r\n", part.as_bytes(), &signature, b"--B --\r\n"].concat();
    let examination = run([message.as_bytes(), &genuine].concat());
    assert_ordinary(&examination, "V1 existence");
}

/// T-IN-02, V3.
#[test]
fn a_tampered_body_is_ordinary_mail() {
    let mut message = envelope().to_vec();
    let at = message.windows(13).position(|w| w == b"In allegato i").unwrap();
    message[at] ^= 1;
    assert_ordinary(&run(message), "V3 validity");
}

/// T-IN-03, V2.
#[test]
fn a_signer_that_is_not_in_the_index() {
    let message = resigned(&envelope(), |content| content, &pki().gamma);
    assert_ordinary(&run(message), "V2 origin");
    assert_ordinary(&run_in(envelope(), &Index::default(), at()), "V2 origin");
}

/// T-IN-04, V3: the dates at the instant of reception, and the path.
#[test]
fn a_certificate_out_of_its_time_or_without_path() {
    let alfa = &pki().alfa.certificate;
    let expired = Instant::from_unix_s(alfa.not_after_unix_s() + 1);
    assert_ordinary(&run_in(envelope(), &index(), expired), "V3 validity");
    let early = Instant::from_unix_s(alfa.not_before_unix_s() - 1);
    assert_ordinary(&run_in(envelope(), &index(), early), "V3 validity");
    let message = resigned(&envelope(), |content| content, &pki().stranger);
    assert_ordinary(&run(message), "V3 validity");
}

/// Spec 10.1, T-IN-10: signatures by another hand; SHA-1 is refused, BER and two signers are not.
#[test]
fn signatures_made_by_openssl() {
    let envelope = envelope();
    let (_, content, _) = taken_apart(&envelope);
    let folder = pki().folder.path();
    std::fs::write(folder.join("content"), &content).unwrap();
    let cms = |options: &str| {
        let Signer { pem, .. } = &pki().alfa;
        let signer = format!("-signer {pem}.pem -inkey {pem}.key");
        openssl(folder, &format!("cms -sign -binary -in content -outform DER {signer} {options}"))
    };
    let examined = |options: &str| run(resealed(&envelope, &content, &cms(options)));
    for options in ["-md sha256", "-md sha512 -stream", "-md sha256 -noattr"] {
        let examination = examined(options);
        assert!(matches!(examination.verdict, Verdict::Envelope(_)), "{options}: {examination:?}");
    }
    assert_ordinary(&examined("-md sha1"), "V3 validity");
    // One of two signers is a provider; both signatures must hold.
    let two = examined("-md sha256 -signer gamma.pem -inkey gamma.key");
    assert!(matches!(two.verdict, Verdict::Envelope(_)), "{two:?}");
}

/// Spec 2.2, T-IN-10.
#[test]
fn the_other_name_of_the_signature_type() {
    let message = String::from_utf8(envelope().to_vec()).unwrap();
    let message = message.replace("application/pkcs7-signature", "application/x-pkcs7-signature");
    assert!(matches!(run(message).verdict, Verdict::Envelope(_)));
}

/// RFC 6109 §4.3, T-IN-10: daticert.xml and postacert.eml in either order.
#[test]
fn parts_in_either_order() {
    let envelope = envelope();
    let (_, content, _) = taken_apart(&envelope);
    let mixed = Entity::parse(&content, &Limits::default()).unwrap();
    let [text, daticert, postacert] = mixed.children() else { panic!("three parts") };
    let boundary = mixed.content_type().get("boundary").unwrap().to_owned();
    let assemble = |parts: &[&Entity]| {
        let mut out = mixed.head().to_vec();
        for part in parts {
            out.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
            out.extend_from_slice(part.raw());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        resealed(&envelope, &out, &pki().alfa.cms(&out))
    };
    let swapped = run(assemble(&[text, postacert, daticert]));
    assert!(matches!(swapped.verdict, Verdict::Envelope(_)), "{swapped:?}");

    assert_anomaly(&run(assemble(&[daticert, text, postacert])), "V4 parts", "struttura");
    assert_anomaly(&run(assemble(&[text, daticert, daticert, postacert])), "V4 parts", "struttura");
    let no_original = run(assemble(&[text, daticert]));
    assert!(matches!(no_original.verdict, Verdict::Anomaly { .. }));
    assert_eq!(failed(&no_original), ["V4 original", "V4 original id"]);

    // T-IN-05: without certification data there is nothing to say but that it came from a provider.
    let missing = run(assemble(&[text, postacert]));
    assert_anomaly(&missing, "V4 form", "dati di certificazione");
    let Verdict::Anomaly { origin, certification, .. } = missing.verdict else { panic!("not C") };
    assert_eq!((origin.record.as_str(), certification.is_none()), ("ALFA", true));
}

/// T-IN-05: the header fields that classify.
#[test]
fn headers_that_do_not_classify() {
    let receipt = signed(&document(Kind::Acceptance));
    let both = with_head(
        &receipt,
        "X-Ricevuta: accettazione",
        "X-Trasporto: posta-certificata\r\nX-Ricevuta: accettazione",
    );
    assert_anomaly(&run(both), "V4 form", "tipo del messaggio");
    let none = with_head(&receipt, "X-Ricevuta: accettazione", "X-Altro: accettazione");
    let examination = run(none);
    assert_anomaly(&examination, "V4 form", "tipo del messaggio");
    let Verdict::Anomaly { certification, .. } = examination.verdict else { panic!("not C") };
    assert_eq!(certification.unwrap().kind, "accettazione", "D11: read all the same");
    let unknown = with_head(&receipt, "X-Ricevuta: accettazione", "X-Ricevuta: ignoto");
    assert_anomaly(&run(unknown), "V4 form", "tipo del messaggio");
}

/// T-IN-05: the certification data speak of another kind of message.
#[test]
fn a_receipt_under_another_name() {
    let receipt = signed(&document(Kind::Acceptance));
    let delivery = with_head(&receipt, "X-Ricevuta: accettazione", "X-Ricevuta: avvenuta-consegna");
    let examination = run(delivery);
    assert_anomaly(&examination, "V4 type", "tipo indicato");
    let Verdict::Anomaly { certification: Some(data), .. } = examination.verdict else { panic!("not C") };
    assert_eq!(data.kind, "accettazione");
}

/// Spec 5.2: never legitimate from outside.
#[test]
fn an_anomaly_envelope_of_another_provider() {
    assert_anomaly(&run(signed(&document(Kind::AnomalyEnvelope))), "V4 type", "busta di anomalia");
}

/// G2, T-IN-06.
#[test]
fn a_from_that_is_not_the_signers() {
    let envelope = envelope();
    let from = "<posta-certificata@pec.alfa.example>";
    let other = with_head(&envelope, from, "<altro@pec.alfa.example>");
    assert_anomaly(&run(other), "V4 sender", "campo From");
    let twice =
        with_head(&envelope, from, "<posta-certificata@pec.alfa.example>\r\nFrom: x@pec.alfa.example");
    assert_anomaly(&run(twice), "V4 sender", "campo From");
    let elsewhere = with_head(&envelope, from, "<posta-certificata@pec.beta.example>");
    let examination = run(elsewhere);
    assert_eq!(failed(&examination), ["V4 sender", "V4 domain"]);
    // The certificate is right, the index gives its record other domains.
    let index = Index::new(vec![record("ALFA", None, &["altro.example"], &[&pki().alfa])]);
    let examination = run_in(envelope, &index, at());
    assert_anomaly(&examination, "V4 domain", "dominio del campo From");
    let Verdict::Anomaly { origin, .. } = examination.verdict else { panic!("not C") };
    assert_eq!(origin.record, "ALFA", "D10: the main record answers");
}

/// RFC 6109 §2.2.1: one id in certification data, envelope and original.
#[test]
fn identifiers_that_differ() {
    let envelope = envelope();
    let id = fixtures::letter().pec_id;
    let header = with_head(&envelope, &format!("<{id}>"), "<altro@pec.alfa.example>");
    assert_anomaly(&run(header), "V4 identifier", "identificativo del messaggio");
    let missing = with_head(&envelope, "Message-ID: ", "X-Message-ID: ");
    assert_anomaly(&run(missing), "V4 identifier", "identificativo del messaggio");
    let message_id = format!("Message-ID: <{id}>");
    for change in ["Message-ID: <altro@pec.alfa.example>", "X-Altro: y"] {
        let original = resigned(&envelope, |content| content.replace(&message_id, change), &pki().alfa);
        assert_anomaly(&run(original), "V4 original id", "messaggio originale");
    }
}

/// D10: whose path it is does not decide, but is told.
#[test]
fn a_reverse_path_of_others_is_flagged() {
    for path in [Some(address("mittente@pec.beta.example")), None] {
        let transaction = Transaction::new(path, [address("ufficio@pec.beta.example")]);
        let verifier = Verifier::new(pki().anchors.clone());
        let examination = examine(&envelope(), &transaction, at(), &index(), &verifier);
        let Verdict::Envelope(received) = &examination.verdict else { panic!("not A: {examination:?}") };
        assert!(!received.reverse_path_in_record);
        assert_eq!(failed(&examination), ["D10 reverse path"]);
    }
}

/// D10: records that share a certificate; the sender's domain chooses, then From, then the main one.
#[test]
fn records_that_share_a_certificate() {
    let alfa = &pki().alfa;
    let record_for = |domains: [&str; 3]| {
        let [unit, main, second] = domains;
        let index = Index::new(vec![
            record("ALFA", Some("Interno"), &[unit], &[alfa]),
            record("ALFA", None, &[main], &[alfa]),
            record("ALFA", Some("Altro"), &[second], &[alfa]),
        ]);
        let mut document = document(Kind::TransportEnvelope);
        document.letter.sender = "mittente@clienti.example".to_owned();
        match run_in(signed(&document), &index, at()).verdict {
            Verdict::Envelope(received) => (received.origin.record, received.origin.mail_receipt),
            Verdict::Anomaly { origin, .. } => (origin.record, origin.mail_receipt),
            other => panic!("{other:?}"),
        }
    };
    let answer = |record: &str, mail: &str| (record.to_owned(), mail.to_owned());
    let from = "pec.alfa.example";
    assert_eq!(
        record_for(["x.example", from, "clienti.example"]),
        answer("Altro,ALFA", "servizio@clienti.example")
    );
    assert_eq!(
        record_for([from, "x.example", "y.example"]),
        answer("Interno,ALFA", "servizio@pec.alfa.example")
    );
    assert_eq!(record_for(["x.example", "y.example", "z.example"]), answer("ALFA", "servizio@y.example"));
}

fn cached_envelope() -> &'static (Bytes, Index, Verifier) {
    static CACHE: OnceLock<(Bytes, Index, Verifier)> = OnceLock::new();
    CACHE.get_or_init(|| (envelope(), index(), Verifier::new(pki().anchors.clone())))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_are_examined_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let (_, index, verifier) = cached_envelope();
        let transaction = Transaction::new(None, []);
        let examination = examine(&Bytes::from(bytes), &transaction, at(), index, verifier);
        prop_assert!(!examination.checks.is_empty());
    }

    /// Any octet changed: no panic; inside of what is signed, nothing of it counts any more.
    #[test]
    fn any_damage_is_examined_without_panic(at_octet in any::<usize>(), flip in 1u8..=255) {
        let (envelope, index, verifier) = cached_envelope();
        let mut message = envelope.to_vec();
        let at_octet = at_octet % message.len();
        message[at_octet] ^= flip;
        let transaction = Transaction::new(None, []);
        let examination = examine(&Bytes::from(message), &transaction, at(), index, verifier);
        let content = smime::split_signed(envelope).unwrap().content;
        let start = content.as_ptr() as usize - envelope.as_ptr() as usize;
        if (start..start + content.len()).contains(&at_octet) {
            prop_assert!(matches!(examination.verdict, Verdict::Ordinary { .. }), "{:?}", examination);
        }
    }
}
