//! The blobs on a disk that forgets: the power goes, or the disk fails, at every single change of it. What was answered
//! is there, nothing torn is served, the first bytes under a key stay.

#![allow(clippy::unwrap_used, reason = "the helpers of a test end it at the first surprise")]

use std::{collections::BTreeMap, path::Path, sync::Arc};

use bytes::Bytes;
use sigillo_embedded::{
    Counters, Segments, SqliteFacts,
    blobs::Sizes,
    disk::{Disk, ForgetfulDisk},
};
use stages::{
    BlobKey,
    ports::{BlobError, Blobs, Commit, Committed, Facts, Put, Row, RowKey, Table, Write},
};
use tempfile::TempDir;

/// So small that a few puts end segments, write the index, use files, and make compaction worth while.
const TINY: Sizes = Sizes { segment_bytes: 2500, inline_bytes: 700, batch_keys: 3, batch_bytes: 4000 };

/// A store that dies and comes back.
struct Store {
    disk: ForgetfulDisk,
    index: TempDir,
}

impl Store {
    fn new(seed: u64) -> Self {
        Self { disk: ForgetfulDisk::new(seed), index: folder() }
    }

    fn open(&self) -> Result<Segments, BlobError> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        Segments::open_with_index(
            disk,
            Path::new("/"),
            self.index.path(),
            TINY,
            Arc::new(Counters::default()),
        )
    }
}

/// A folder for the index: in memory where there is such a place, since thousands of stores are opened here.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn key(n: u64) -> BlobKey {
    BlobKey::listed(format!("letters/{n:03}/envelope.eml"))
}

/// A body that tells which key and which try it was made for. Every fifth goes into a file of its own.
fn body(n: u64, attempt: u64) -> Bytes {
    let len = if n.is_multiple_of(5) { 900 + n } else { 100 + 37 * (n % 11) };
    let text = format!("{n}/{attempt} ");
    Bytes::from(text.repeat(usize::try_from(len).unwrap() / text.len() + 1))
}

/// What may be under each key, after answers and after failures that leave it open.
#[derive(Clone, Debug, Default)]
struct Ledger(BTreeMap<BlobKey, Vec<Option<Bytes>>>);

impl Ledger {
    fn may_be(&self, key: &BlobKey) -> Vec<Option<Bytes>> {
        self.0.get(key).cloned().unwrap_or_else(|| vec![None])
    }

    fn is(&mut self, key: &BlobKey, what: Option<Bytes>) {
        self.0.insert(key.clone(), vec![what]);
    }

    fn may_also_be(&mut self, key: &BlobKey, what: impl IntoIterator<Item = Option<Bytes>>) {
        let mut all = self.may_be(key);
        all.extend(what);
        self.0.insert(key.clone(), all);
    }

    /// Compares, and takes what is there for settled.
    async fn check(&mut self, blobs: &Segments, when: &str) {
        let mut there = Vec::new();
        for (key, allowed) in &mut self.0 {
            let found = blobs.get(key).await.unwrap_or_else(|e| panic!("{when}: {key}: {e}"));
            assert!(allowed.contains(&found), "{when}: {key} is {found:?}, not one of {allowed:?}");
            there.extend(found.is_some().then(|| key.clone()));
            *allowed = vec![found];
        }
        assert_eq!(blobs.list("", None, 10_000).await.unwrap(), there, "{when}: the list");
    }
}

/// The same work each time, as far as the disk lets it come: puts, repeated puts, copies, removals, compactions.
async fn work(blobs: &Segments, ledger: &mut Ledger, from: u64, to: u64, goes_on: impl Fn() -> bool) {
    for n in from..to {
        if !goes_on() {
            return;
        }
        put(blobs, ledger, &key(n), body(n, 0)).await;
        if n % 3 == 0 {
            put(blobs, ledger, &key(n), body(n, 1)).await;
        }
        if n % 2 == 0 {
            copy(blobs, ledger, &key(n), &BlobKey::listed(format!("mailboxes/{n:03}/x.eml"))).await;
        }
        if n % 4 != 0 && n > 2 {
            delete(blobs, ledger, &key(n - 2)).await;
        }
        if n % 7 == 6 {
            // What it could not do it does the next time.
            let _ = tokio::task::block_in_place(|| blobs.compact());
        }
    }
}

async fn put(blobs: &Segments, ledger: &mut Ledger, key: &BlobKey, bytes: Bytes) {
    match blobs.put_if_absent(key, bytes.clone().into()).await {
        Ok(Put::New) => {
            assert!(ledger.may_be(key).contains(&None), "{key} was taken");
            ledger.is(key, Some(bytes));
        }
        Ok(Put::Existing) => {
            let taken: Vec<_> = ledger.may_be(key).into_iter().filter(Option::is_some).collect();
            assert!(!taken.is_empty(), "{key} was free");
            ledger.0.insert(key.clone(), taken);
        }
        Err(_) => ledger.may_also_be(key, [Some(bytes)]),
    }
}

async fn copy(blobs: &Segments, ledger: &mut Ledger, from: &BlobKey, to: &BlobKey) {
    let source = ledger.may_be(from);
    match blobs.copy_if_absent(from, to).await {
        Ok(Put::New) => {
            assert!(ledger.may_be(to).contains(&None), "{to} was taken");
            // The source is whatever the copy is.
            let bytes = blobs.get(to).await.ok().flatten();
            match bytes {
                Some(bytes) => {
                    assert!(source.contains(&Some(bytes.clone())));
                    ledger.is(to, Some(bytes));
                }
                None => {
                    ledger.0.insert(to.clone(), source.into_iter().filter(Option::is_some).collect());
                }
            }
        }
        Ok(Put::Existing) => assert!(ledger.may_be(to).iter().any(Option::is_some), "{to} was free"),
        Err(BlobError::Missing(_)) => assert!(source.contains(&None), "{from} was there"),
        Err(_) => ledger.may_also_be(to, source),
    }
}

async fn delete(blobs: &Segments, ledger: &mut Ledger, key: &BlobKey) {
    match blobs.delete(key).await {
        Ok(()) => ledger.is(key, None),
        Err(_) => ledger.may_also_be(key, [None]),
    }
}

/// How many changes of the disk the work takes.
async fn changes_of_the_work() -> u64 {
    let store = Store::new(0);
    let mut ledger = Ledger::default();
    let blobs = store.open().unwrap();
    work(&blobs, &mut ledger, 1, 40, || true).await;
    ledger.check(&blobs, "without trouble").await;
    store.disk.changes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_power_goes_at_every_change() {
    let changes = changes_of_the_work().await;
    assert!(changes > 200, "only {changes} changes");
    for at in 0..changes {
        for seed in [at, at + 10_000] {
            let store = Store::new(seed);
            let mut ledger = Ledger::default();
            store.disk.cut_at(at);
            if let Ok(blobs) = store.open() {
                work(&blobs, &mut ledger, 1, 40, || !store.disk.is_dark()).await;
            }
            store.disk.power_cut();
            // The power goes again while it starts.
            store.disk.cut_at(store.disk.changes() + seed % 7);
            let _ = store.open();
            store.disk.power_cut();
            let blobs = store.open().unwrap();
            ledger.check(&blobs, &format!("cut at {at}, seed {seed}")).await;
            work(&blobs, &mut ledger, 40, 60, || true).await;
            ledger.check(&blobs, &format!("going on after a cut at {at}, seed {seed}")).await;
            drop(blobs);
            store.disk.power_cut();
            ledger
                .check(&store.open().unwrap(), &format!("the second start, cut at {at}, seed {seed}"))
                .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_fails_once_at_every_change() {
    for at in 0..changes_of_the_work().await {
        let store = Store::new(at);
        let mut ledger = Ledger::default();
        store.disk.fail_at(at);
        let blobs = match store.open() {
            Ok(blobs) => blobs,
            Err(_) => store.open().unwrap(),
        };
        work(&blobs, &mut ledger, 1, 40, || true).await;
        // Whoever was told "perhaps" asks again with other bytes, as a second copy of a job would.
        for n in 1..40 {
            if ledger.may_be(&key(n)).len() > 1 {
                put(&blobs, &mut ledger, &key(n), body(n, 7)).await;
            }
        }
        ledger.check(&blobs, &format!("failed at {at}")).await;
        drop(blobs);
        // A new process reads the page cache, and may find there what a failed sync left.
        store.disk.restart();
        ledger.check(&store.open().unwrap(), &format!("restart after a failure at {at}")).await;
        store.disk.power_cut();
        ledger.check(&store.open().unwrap(), &format!("power cut after a failure at {at}")).await;
    }
}

/// A killed process leaves in the page cache what no sync has seen. What the next life serves of it must be durable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_left_is_durable_before_it_is_served() {
    for at in 0..changes_of_the_work().await {
        let store = Store::new(at);
        let mut ledger = Ledger::default();
        store.disk.kill_at(at);
        if let Ok(blobs) = store.open() {
            work(&blobs, &mut ledger, 1, 40, || !store.disk.is_dark()).await;
        }
        store.disk.restart();
        let blobs = store.open().unwrap();
        ledger.check(&blobs, &format!("killed at {at}")).await;
        drop(blobs);
        store.disk.power_cut();
        ledger.check(&store.open().unwrap(), &format!("power cut after a kill at {at}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_index_is_made_again_from_the_segments() {
    for seed in 0..20 {
        let mut store = Store::new(seed);
        let mut ledger = Ledger::default();
        let blobs = store.open().unwrap();
        work(&blobs, &mut ledger, 1, 60 + seed, || true).await;
        drop(blobs);
        store.disk.power_cut();
        store.index = folder();
        let blobs = store.open().unwrap();
        ledger.check(&blobs, &format!("seed {seed}")).await;
        work(&blobs, &mut ledger, 100, 140, || true).await;
        ledger.check(&blobs, &format!("going on, seed {seed}")).await;
    }
}

/// Many at once, and the power goes somewhere among them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_racing_puts_the_answered_winner_stays() {
    for seed in 0..60 {
        let store = Store::new(seed);
        let blobs = Arc::new(store.open().unwrap());
        store.disk.cut_at(store.disk.changes() + seed);
        let tasks: Vec<_> = (0..60u64)
            .map(|n| {
                let blobs = Arc::clone(&blobs);
                tokio::spawn(async move {
                    let (key, bytes) = (key(n / 3), body(n / 3, n % 3));
                    (key.clone(), bytes.clone(), blobs.put_if_absent(&key, bytes.into()).await.ok())
                })
            })
            .collect();
        let (mut won, mut taken) = (BTreeMap::new(), Vec::new());
        for task in tasks {
            match task.await.unwrap() {
                (key, bytes, Some(Put::New)) => {
                    assert_eq!(won.insert(key.clone(), bytes), None, "two winners for {key}, seed {seed}");
                }
                (key, _, Some(Put::Existing)) => taken.push(key),
                (_, _, None) => {}
            }
        }
        drop(blobs);
        store.disk.power_cut();
        let blobs = store.open().unwrap();
        for (key, bytes) in won {
            assert_eq!(blobs.get(&key).await.unwrap(), Some(bytes), "{key}, seed {seed}");
        }
        for key in taken {
            assert!(blobs.get(&key).await.unwrap().is_some(), "{key} was said to be taken, seed {seed}");
        }
    }
}

/// A stage puts, then commits. The table may go on a little longer than the blobs; whatever it holds, no row names a
/// blob that is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_row_names_a_blob_that_is_lost() {
    let mut named = 0;
    for seed in 0..60u64 {
        let store = Store::new(seed);
        let (blobs, table) = (Arc::new(store.open().unwrap()), folder());
        let facts = SqliteFacts::open(&table.path().join("facts.sqlite"), Arc::default()).unwrap();
        let facts = Arc::new(facts);
        store.disk.cut_at(store.disk.changes() + seed * 2);
        let tasks: Vec<_> = (0..40u64)
            .map(|n| {
                let (blobs, facts) = (Arc::clone(&blobs), Arc::clone(&facts));
                tokio::spawn(async move {
                    blobs.put_if_absent(&key(n), body(n, 0).into()).await.ok()?;
                    let copy = BlobKey::listed(format!("mailboxes/{n}/x.eml"));
                    blobs.copy_if_absent(&key(n), &copy).await.ok()?;
                    let write = Write::Insert(Row {
                        key: RowKey {
                            table: Table::Mailboxes,
                            pk: "m".to_owned(),
                            sk: copy.as_str().to_owned(),
                        },
                        body: "{}".to_owned(),
                        debt: None,
                        lookup: None,
                    });
                    let commit = Commit { writes: vec![write], entries: Vec::new() };
                    assert_eq!(facts.commit(commit).await.unwrap(), Committed::Now);
                    Some(())
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        drop((blobs, facts));
        store.disk.power_cut();
        let blobs = store.open().unwrap();
        let facts = SqliteFacts::open(&table.path().join("facts.sqlite"), Arc::default()).unwrap();
        for stored in facts.query(Table::Mailboxes, "m", "", None, 1000).await.unwrap().rows {
            let blob = BlobKey::listed(stored.row.key.sk);
            let n: u64 = blob.as_str().split('/').nth(1).unwrap().parse().unwrap();
            assert_eq!(blobs.get(&blob).await.unwrap(), Some(body(n, 0)), "{blob}, seed {seed}");
            named += 1;
        }
    }
    assert!(named > 100, "only {named} rows were committed before the cuts");
}
