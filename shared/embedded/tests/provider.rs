//! A provider's folder: keys, lock, log (design §3, §6).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of a test ends it at the first surprise"
)]

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use machine::{BuiltinScanner, REST_S};
use pec::{
    Address, Index, Instant,
    index::{IndexCertificate, Record},
};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize, SanType};
use sigillo_embedded::{
    Config, OpenError, Provider,
    signer::{FileSigner, KeyFiles, KeysError},
};
use smime::{Anchors, Certificate};
use stages::{
    ids::Side,
    log::{Event, LogEntry},
    ports::{Commit, Committed, Signer as _},
};

const DAY_S: i64 = 24 * 3600;

/// A key of an environment whose certificate is valid from this day of 2026-01 on.
fn key(dir: &Path, name: &str, day: u8) -> KeyFiles {
    let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names =
        vec![SanType::Rfc822Name("posta-certificata@pec.alfa.example".try_into().unwrap())];
    params.not_before = rcgen::date_time_ymd(2026, 1, day);
    let certificate = params.self_signed(&pair).unwrap();
    let files = KeyFiles {
        environment: "alfa".to_owned(),
        key: dir.join(format!("{name}.key")),
        chain: dir.join(format!("{name}.pem")),
    };
    fs::write(&files.key, pair.serialize_pem()).unwrap();
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&files.chain, certificate.pem()).unwrap();
    files
}

fn certificate(files: &KeyFiles) -> Certificate {
    Certificate::from_pem(&fs::read(&files.chain).unwrap()).unwrap().remove(0)
}

fn open(dir: &Path) -> Result<Provider, OpenError> {
    let key = key(dir, "one", 1);
    let index = Index::new(vec![Record {
        id: "Alfa".to_owned(),
        provider_name: "Alfa".to_owned(),
        provider_unit: None,
        mail_receipt: Address::parse("ricevute@pec.alfa.example").unwrap(),
        managed_domains: vec!["pec.alfa.example".to_owned()],
        certificates: vec![IndexCertificate::new(certificate(&key).der().to_vec())],
        ldif_location: None,
    }]);
    fs::write(dir.join("index.ldif"), index.to_ldif()).unwrap();
    Provider::open(
        dir,
        Config {
            keys: vec![key],
            anchors: Anchors::new(),
            limits: pec::check::Limits::default(),
            scanner: Arc::new(BuiltinScanner::new("").unwrap()),
        },
    )
}

fn entry() -> LogEntry {
    LogEntry {
        pec_id: "1@pec.alfa.example".to_owned(),
        side: Side::Origin,
        event: Event::Accepted,
        discriminator: String::new(),
        at: Instant::from_unix_s(1_780_000_000),
        client_id: None,
        sender: "a@pec.alfa.example".to_owned(),
        recipients: vec![],
        subject: None,
        messages: vec![],
        sending_provider: "Alfa".to_owned(),
        issuer: "Alfa".to_owned(),
        sha256: None,
        detail: BTreeMap::new(),
    }
}

/// RFC 6109 §5.1, design §3 rule 7.
#[test]
fn a_key_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let files = key(dir.path(), "one", 1);
    assert!(FileSigner::open(std::slice::from_ref(&files)).is_ok());
    for mode in [0o640, 0o604, 0o620, 0o660] {
        fs::set_permissions(&files.key, fs::Permissions::from_mode(mode)).unwrap();
        let refused = FileSigner::open(std::slice::from_ref(&files)).err();
        assert!(matches!(refused, Some(KeysError::Mode(_, m)) if m == mode), "{mode:o}");
    }
}

#[test]
fn a_chain_must_certify_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (key(dir.path(), "one", 1), key(dir.path(), "two", 1));
    let crossed = KeyFiles { chain: two.chain, ..one };
    assert!(matches!(FileSigner::open(&[crossed]), Err(KeysError::Mismatch(..))));
}

/// Design §3 rule 7: a new key comes into use 48 hours after its notBefore, and the old one stays.
#[tokio::test]
async fn a_new_key_rests_for_48_hours() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (key(dir.path(), "old", 1), key(dir.path(), "new", 20));
    let signer = FileSigner::open(&[new.clone(), old.clone()]).unwrap();
    let [old, new] = [old, new].map(|k| certificate(&k));
    let at = |s| signer.current("alfa", Instant::from_unix_s(s)).unwrap().0;
    let from = new.not_before_unix_s();
    assert_eq!(at(from + REST_S - 1), old.sha256_hex());
    assert_eq!(at(from + REST_S), new.sha256_hex());
    assert_eq!(at(old.not_before_unix_s() - DAY_S), old.sha256_hex(), "the oldest, if none has rested");
    let id = stages::ids::CertificateId(old.sha256_hex());
    assert!(signer.sign(&id, [1; 32]).await.is_ok(), "a retry signs with the old key");
    assert!(signer.current("beta", Instant::from_unix_s(from)).is_err());
}

#[test]
fn a_folder_has_one_provider_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    assert!(matches!(open(dir.path()), Err(OpenError::Busy(_))));
    drop(first);
    assert!(open(dir.path()).is_ok());
}

/// RFC 6109 §2.3: kept unmodified; design §3 rule 4.
#[tokio::test]
async fn the_legal_log_is_append_only() {
    let dir = tempfile::tempdir().unwrap();
    let provider = open(dir.path()).unwrap();
    let commit = || Commit { writes: vec![], entries: vec![entry()] };
    let facts = &provider.rim().facts;
    assert_eq!(facts.commit(commit()).await.unwrap(), Committed::Now);
    assert_eq!(facts.commit(commit()).await.unwrap(), Committed::Lost);

    let db = rusqlite::Connection::open(dir.path().join("facts.sqlite")).unwrap();
    for attack in ["UPDATE log SET body = '{}'", "DELETE FROM log", "REPLACE INTO log SELECT * FROM log"] {
        // SQLite fires DELETE triggers of REPLACE only where this is asked for; the unique key holds either way.
        db.pragma_update(None, "recursive_triggers", true).unwrap();
        let refused = db.execute(attack, []).unwrap_err().to_string();
        assert!(refused.contains("append-only"), "{attack}: {refused}");
    }
    drop(db);
    assert_eq!(Provider::read_log(dir.path(), "1@pec.alfa.example").unwrap(), [entry()]);
    drop(provider);
    assert_eq!(
        Provider::read_log(dir.path(), "1@pec.alfa.example").unwrap(),
        [entry()],
        "also when nobody runs"
    );
}
