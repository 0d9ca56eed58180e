//! A copy of the stores of a provider that works: what a row names is there, with every octet; and a copy that is not
//! whole is refused.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use machine::BuiltinScanner;
use mime::Rope;
use pec::{
    Address, Index,
    index::{IndexCertificate, Record},
};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize, SanType};
use sigillo_embedded::{
    Config, Counters, Provider, Segments, SqliteFacts,
    backup::{BackupError, List, Source},
    blobs::Sizes,
    disk::RealDisk,
    restore::restore,
    signer::KeyFiles,
};
use smime::Anchors;
use stages::{
    BlobKey, Rim,
    ports::{Blobs as _, Commit, Committed, Facts as _, Row, RowKey, Table, Write},
};

fn open(dir: &Path) -> Provider {
    let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let mut params = CertificateParams::default();
    let mail = "posta-certificata@pec.alfa.example".try_into().unwrap();
    params.subject_alt_names = vec![SanType::Rfc822Name(mail)];
    let [key, chain] = ["key", "pem"].map(|name| dir.join(format!("one.{name}")));
    fs::write(&key, pair.serialize_pem()).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let certificate = params.self_signed(&pair).unwrap();
    fs::write(&chain, certificate.pem()).unwrap();
    let index = Index::new(vec![Record {
        id: "Alfa".to_owned(),
        provider_name: "Alfa".to_owned(),
        provider_unit: None,
        mail_receipt: Address::parse("ricevute@pec.alfa.example").unwrap(),
        managed_domains: vec!["pec.alfa.example".to_owned()],
        certificates: vec![IndexCertificate::new(certificate.der().to_vec())],
        ldif_location: None,
    }]);
    fs::write(dir.join("index.ldif"), index.to_ldif()).unwrap();
    let keys = vec![KeyFiles { environment: "alfa".to_owned(), key, chain }];
    let scanner = Arc::new(BuiltinScanner::new("").unwrap());
    let config = Config { keys, anchors: Anchors::new(), limits: pec::check::Limits::default(), scanner };
    Provider::open(dir, config).unwrap()
}

fn row_key(worker: usize, n: usize) -> RowKey {
    RowKey { table: Table::Letters, pk: format!("worker#{worker}"), sk: format!("{n:08}") }
}

/// Bytes that tell whose they are; every seventh is so large that it is a file of its own.
fn body(worker: usize, n: usize) -> Vec<u8> {
    let len = if n.is_multiple_of(7) { 300 << 10 } else { 500 };
    format!("{worker}/{n} ").into_bytes().into_iter().cycle().take(len).collect()
}

/// Puts a blob, then a row that names it; later takes the row away, then the blob: as stages do.
async fn work(rim: Rim, worker: usize, stop: Arc<AtomicBool>, done: Arc<AtomicUsize>) {
    let blob = |n: usize| BlobKey::outbound(&format!("{worker}-{n}"));
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        rim.blobs.put_if_absent(&blob(n), Rope::from(body(worker, n))).await.unwrap();
        let row = Row {
            key: row_key(worker, n),
            body: format!("{{\"blob\":\"{}\"}}", blob(n).as_str()),
            debt: None,
            lookup: None,
        };
        let commit = Commit { writes: vec![Write::Insert(row)], entries: vec![] };
        assert_eq!(rim.facts.commit(commit).await.unwrap(), Committed::Now);
        if let Some(old) = n.checked_sub(5) {
            let gone = Write::Delete { key: row_key(worker, old), was: 1 };
            let commit = Commit { writes: vec![gone], entries: vec![] };
            assert_eq!(rim.facts.commit(commit).await.unwrap(), Committed::Now);
            rim.blobs.delete(&blob(old)).await.unwrap();
        }
        n += 1;
        done.fetch_add(1, Ordering::Relaxed);
    }
}

async fn waits_for(done: &AtomicUsize, enough: usize) {
    while done.load(Ordering::Relaxed) < enough {
        tokio::task::yield_now().await;
    }
}

async fn take(source: &Source, to: &Path) -> Result<List, BackupError> {
    let (source, to) = (source.clone(), to.to_owned());
    tokio::task::spawn_blocking(move || source.take(&to, 1_780_000_000, false, &[])).await.unwrap()
}

/// Rows of all workers, each of which must have its blob.
async fn rows_with_their_blobs(dir: &Path, workers: usize) -> usize {
    let counters = Arc::new(Counters::default());
    let facts = SqliteFacts::open(&dir.join("facts.sqlite"), Arc::clone(&counters)).unwrap();
    let blobs = Segments::open(Arc::new(RealDisk), &dir.join("blobs"), Sizes::default(), counters).unwrap();
    let mut rows = 0;
    for worker in 0..workers {
        let page = facts.query(Table::Letters, &format!("worker#{worker}"), "", None, 10_000).await.unwrap();
        for row in &page.rows {
            let n: usize = row.row.key.sk.parse().unwrap();
            let found = blobs.get(&BlobKey::outbound(&format!("{worker}-{n}"))).await.unwrap();
            assert_eq!(found.as_deref(), Some(body(worker, n).as_slice()), "{worker}/{n}");
        }
        rows += page.rows.len();
    }
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_row_of_the_copy_names_is_in_the_copy() {
    const WORKERS: usize = 6;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    let provider = open(&data);
    let (stop, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let works: Vec<_> = (0..WORKERS)
        .map(|worker| {
            tokio::spawn(work(provider.rim().clone(), worker, Arc::clone(&stop), Arc::clone(&done)))
        })
        .collect();
    for round in 1..=4 {
        waits_for(&done, round * 150).await;
        let before = done.load(Ordering::Relaxed);
        let copy = dir.path().join(format!("copy-{round}"));
        let list = take(&provider.backup_source(), &copy).await.unwrap();
        assert!(done.load(Ordering::Relaxed) > before, "work goes on meanwhile");
        let restored = dir.path().join(format!("restored-{round}"));
        let (from, to) = (copy, restored.clone());
        let found = tokio::task::spawn_blocking(move || restore(&from, &to)).await.unwrap().unwrap();
        assert_eq!(found.files, list.files.len() as u64);
        let rows = rows_with_their_blobs(&restored, WORKERS).await;
        assert!((WORKERS..=WORKERS * 6).contains(&rows), "{rows} rows");
    }
    stop.store(true, Ordering::Relaxed);
    for work in works {
        work.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_not_whole_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    let provider = open(&data);
    for n in 0..10 {
        let key = BlobKey::outbound(&n.to_string());
        provider.rim().blobs.put_if_absent(&key, Rope::from(body(0, n))).await.unwrap();
    }
    drop(provider);
    // One that does not run is copied as well; nothing is written over.
    let copy = dir.path().join("copy");
    let list = take(&Source::of_folder(&data).unwrap(), &copy).await.unwrap();
    let again = take(&Source::of_folder(&data).unwrap(), &copy).await;
    assert!(matches!(again, Err(BackupError::NotEmpty(_))), "{again:?}");

    let into = dir.path().join("restored");
    let restored = |from: &Path| {
        let (from, into) = (from.to_owned(), into.clone());
        tokio::task::spawn_blocking(move || restore(&from, &into))
    };
    // Every file, one octet of each: it is found, and nothing is there.
    for file in &list.files {
        let path = copy.join(&file.path);
        let whole = fs::read(&path).unwrap();
        let mut bent = whole.clone();
        let Some(octet) = bent.get_mut(whole.len() / 2) else { continue };
        *octet ^= 1;
        fs::write(&path, bent).unwrap();
        let error = restored(&copy).await.unwrap().unwrap_err();
        assert!(matches!(error, BackupError::Damaged(..)), "{}: {error}", file.path.display());
        assert_eq!(fs::read_dir(&into).unwrap().count(), 0);
        assert!(!into.with_file_name("restored.restoring").exists());
        fs::write(&path, whole).unwrap();
    }
    // A segment that was damaged before it was copied: its list is right, its records are not.
    let segment = list.files.iter().find(|file| file.path.starts_with("blobs/segments")).unwrap();
    let damaged = data.join(&segment.path);
    let mut octets = fs::read(&damaged).unwrap();
    octets[90] ^= 1;
    fs::write(&damaged, octets).unwrap();
    // The index knows the records already, so that a start does not look.
    let bad = dir.path().join("bad");
    take(&Source::of_folder(&data).unwrap(), &bad).await.unwrap();
    let error = restored(&bad).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("damaged at octet 0"), "{error}");
    // A folder in use, a list that leads elsewhere, no list.
    fs::write(into.join("something"), "").unwrap();
    assert!(matches!(restored(&copy).await.unwrap(), Err(BackupError::NotEmpty(_))));
    fs::remove_file(into.join("something")).unwrap();
    let text = fs::read_to_string(copy.join("backup.json")).unwrap();
    fs::write(copy.join("backup.json"), text.replace("\"facts.sqlite\"", "\"../facts.sqlite\"")).unwrap();
    assert!(matches!(restored(&copy).await.unwrap(), Err(BackupError::Damaged(..))));
    fs::remove_file(copy.join("backup.json")).unwrap();
    assert!(matches!(restored(&copy).await.unwrap(), Err(BackupError::File(..))));
}
