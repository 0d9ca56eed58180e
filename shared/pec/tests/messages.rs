//! Each of M1 to M12, signed with a real key, before judges that are not ours: openssl and xmllint (spec 2, 3).
#![allow(clippy::unwrap_used, reason = "a fixture that cannot be made fails the test")]

mod fixtures;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    sync::OnceLock,
};

use bytes::Bytes;
use mime::Rope;
use sigillo_pec::{
    Document, Kind, compose, daticert,
    document::{DeliveryError, Matter, ReceiptForm},
    original, read,
};
use smime::{Identity, RsaKey};
use tempfile::TempDir;

/// A test authority, and a certificate for each of the two providers of the fixtures.
struct Keys {
    dir: TempDir,
    alfa: (Identity, RsaKey),
    beta: (Identity, RsaKey),
}

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        run(
            "openssl",
            path,
            &[
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-sha256",
                "-days",
                "36500",
                "-subj",
                "/CN=Test CA",
                "-keyout",
                "ca.key",
                "-out",
                "ca.pem",
            ],
        );
        let alfa = provider(path, "alfa");
        let beta = provider(path, "beta");
        Keys { alfa, beta, dir }
    })
}

/// A certificate whose rfc822Name is the provider's address (G2).
fn provider(dir: &Path, name: &str) -> (Identity, RsaKey) {
    let [key, request, der, extensions] = ["key", "csr", "der", "ext"].map(|kind| format!("{name}.{kind}"));
    fs::write(
        dir.join(&extensions),
        format!(
            "keyUsage=critical,digitalSignature\nextendedKeyUsage=emailProtection\n\
             subjectAltName=email:posta-certificata@pec.{name}.example\n"
        ),
    )
    .unwrap();
    let subject = format!("/O={name}/CN=Posta Certificata");
    run(
        "openssl",
        dir,
        &["req", "-newkey", "rsa:2048", "-nodes", "-subj", &subject, "-keyout", &key, "-out", &request],
    );
    run(
        "openssl",
        dir,
        &[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-days",
            "36500",
            "-sha256",
            "-extfile",
            &extensions,
            "-outform",
            "DER",
            "-out",
            &der,
        ],
    );
    let identity = Identity::from_chain(&[fs::read(dir.join(der)).unwrap()]).unwrap();
    (identity, RsaKey::from_pem(&fs::read(dir.join(key)).unwrap()).unwrap())
}

fn command(program: &str, dir: &Path, arguments: &[&str]) -> Output {
    Command::new(program).current_dir(dir).args(arguments).output().unwrap()
}

fn run(program: &str, dir: &Path, arguments: &[&str]) {
    let output = command(program, dir, arguments);
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Compose, sign, seal: as the stage that issues does it.
fn issue(document: &Document, source: Option<&Bytes>) -> Rope {
    let draft = compose(document, source).unwrap();
    let keys = keys();
    let alfa = document.issuer.address.domain() == "pec.alfa.example";
    let (identity, key) = if alfa { &keys.alfa } else { &keys.beta };
    let pending = identity.prepare(draft.content_sha256(), document.at.unix_s()).unwrap();
    let signature = key.sign_digest(pending.digest()).unwrap();
    draft.seal(&pending.assemble(&signature).unwrap())
}

/// Every kind with a source that was itself issued.
fn every_kind() -> Vec<(Document, Bytes)> {
    let envelope =
        issue(&fixtures::document(Kind::TransportEnvelope), Some(&fixtures::original())).to_bytes();
    let source = |kind| match kind {
        Kind::Delivery => Some(envelope.clone()),
        kind => fixtures::source(kind),
    };
    Kind::ALL
        .into_iter()
        .map(|kind| {
            (fixtures::document(kind), issue(&fixtures::document(kind), source(kind).as_ref()).to_bytes())
        })
        .collect()
}

/// G1, G2, RFC 6109 §2.1: whoever has the authority's certificate can verify each of our messages.
#[test]
fn openssl_verifies_each_message() {
    let dir = keys().dir.path();
    for (document, message) in every_kind() {
        let name = format!("{}.eml", document.kind().name());
        fs::write(dir.join(&name), &message).unwrap();
        for tool in ["cms", "smime"] {
            let content = format!("{name}.{tool}");
            run("openssl", dir, &[tool, "-verify", "-CAfile", "ca.pem", "-in", &name, "-out", &content]);
            let signed = smime_content(&message);
            assert_eq!(fs::read(dir.join(content)).unwrap(), signed, "{name} {tool}");
        }
    }
}

fn smime_content(message: &Bytes) -> Bytes {
    let entity = mime::Entity::parse(message, &mime::Limits::default()).unwrap();
    entity.children()[0].raw().clone()
}

/// The judge can say no: one bit of the signed part flipped.
#[test]
fn openssl_refuses_a_message_that_was_changed() {
    let dir = keys().dir.path();
    for (document, message) in every_kind() {
        let name = format!("{}.changed.eml", document.kind().name());
        let mut changed = message.to_vec();
        let at = message.windows(9).position(|w| w == b"messaggio").unwrap();
        changed[at] ^= 1;
        fs::write(dir.join(&name), changed).unwrap();
        for tool in ["cms", "smime"] {
            let output = command("openssl", dir, &[tool, "-verify", "-CAfile", "ca.pem", "-in", &name]);
            assert!(!output.status.success(), "{name} {tool}");
        }
    }
}

/// Spec 3.1: each certification data file is valid against the DTD, the forms and errors included.
#[test]
fn xmllint_validates_each_certification_data_file() {
    let dir = tempfile::tempdir().unwrap();
    let dtd = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/daticert.dtd");
    let mut documents: Vec<Document> = Kind::ALL.map(fixtures::document).to_vec();
    let recipient = fixtures::address("ufficio@pec.beta.example");
    for form in [ReceiptForm::Brief, ReceiptForm::Synthetic] {
        for matter in [
            Matter::TransportEnvelope { form },
            Matter::Delivery { recipient: recipient.clone(), form_asked: form, form_due: form },
        ] {
            documents.push(Document { matter, ..fixtures::document(Kind::TransportEnvelope) });
        }
    }
    for error in [DeliveryError::NoDomain, DeliveryError::Other] {
        let (code, description) = ("5.1.2".to_owned(), "<dominio> & \"altro\"".to_owned());
        let matter = Matter::NonDelivery { recipient: recipient.clone(), error, code, description };
        documents.push(Document { matter, ..fixtures::document(Kind::NonDelivery) });
    }
    let mut bare = fixtures::document(Kind::TakeCharge);
    (bare.letter.subject, bare.letter.client_id) = (None, None);
    bare.letter.recipients.clear();
    documents.push(bare);
    let mut odd = fixtures::document(Kind::Acceptance);
    odd.letter.subject = Some("è ’ 😀 <a> & \u{0}\u{b}\u{ffff}\r\n\t]]>".into());
    documents.push(odd);

    let files: Vec<String> = documents
        .iter()
        .filter_map(daticert::write)
        .enumerate()
        .map(|(number, xml)| {
            let name = format!("{number}.xml");
            fs::write(dir.path().join(&name), xml).unwrap();
            name
        })
        .collect();
    assert_eq!(files.len(), documents.len() - 1); // all but M8
    for file in files {
        run("xmllint", dir.path(), &["--noout", "--dtdvalid", &dtd.to_string_lossy(), &file]);
    }
    fs::write(dir.path().join("bad.xml"), "<postacert tipo=\"accettazione\"><dati/></postacert>").unwrap();
    let bad = command("xmllint", dir.path(), &["--noout", "--dtdvalid", &dtd.to_string_lossy(), "bad.xml"]);
    assert!(!bad.status.success());
}

/// Spec 2.3, G9, G10: what was issued is read back with its kind and certification data.
#[test]
fn each_message_is_read_back() {
    for (document, message) in every_kind() {
        let kind = document.kind();
        let read = read::read(&message).unwrap();
        assert_eq!(read.kind, kind);
        let Some(certification) = read.certification else {
            assert_eq!(kind, Kind::AnomalyEnvelope);
            continue;
        };
        let (letter, time) = (&document.letter, document.at.legal());
        assert_eq!(certification.pec_id, letter.pec_id);
        assert_eq!(certification.client_id, letter.client_id);
        assert_eq!(certification.recipients, letter.recipients);
        assert_eq!(certification.provider, document.issuer.provider_name);
        assert_eq!(
            (certification.day, certification.hour, certification.zone),
            (time.day, time.hour, time.zone)
        );
    }
}

/// RFC 6109 §3.1.5, §3.3.2.1: the original in the envelope is the rewritten one, and the complete delivery receipt
/// gives it back, byte for byte.
#[test]
fn the_original_comes_back_byte_for_byte() {
    let document = fixtures::document(Kind::TransportEnvelope);
    let original = original::rewrite(&fixtures::original(), &document.letter.pec_id).to_bytes();
    let mut seen = 0;
    for (document, message) in every_kind() {
        if matches!(document.kind(), Kind::TransportEnvelope | Kind::Delivery) {
            assert_eq!(read::read(&message).unwrap().postacert.unwrap(), original);
            seen += 1;
        }
    }
    assert_eq!(seen, 2);
}
