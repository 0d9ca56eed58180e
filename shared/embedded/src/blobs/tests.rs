use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::disk::{DiskFile, ForgetfulDisk, RealDisk};

struct Store {
    disk: ForgetfulDisk,
    index: TempDir,
}

impl Store {
    fn new() -> Self {
        Self { disk: ForgetfulDisk::new(7), index: tempfile::tempdir().unwrap() }
    }

    fn open(&self, sizes: Sizes) -> Segments {
        let (disk, counters) = (Arc::new(self.disk.clone()), Arc::default());
        Segments::open_with_index(disk, Path::new("/"), self.index.path(), sizes, counters).unwrap()
    }

    fn segment(&self, number: u64) -> Arc<dyn DiskFile> {
        self.disk.open(&PathBuf::from(format!("/segments/{number:016x}"))).unwrap()
    }

    fn names(&self, folder: &str) -> Vec<String> {
        self.disk.list(Path::new(folder)).unwrap()
    }
}

fn key(name: &str) -> BlobKey {
    BlobKey::listed(name.to_owned())
}

async fn put(blobs: &Segments, name: &str, body: &[u8]) -> Put {
    blobs.put_if_absent(&key(name), body.to_vec().into()).await.unwrap()
}

async fn get(blobs: &Segments, name: &str) -> Option<Bytes> {
    blobs.get(&key(name)).await.unwrap()
}

/// Small segments, large batches: the index lags behind until it is asked for.
const SMALL: Sizes =
    Sizes { segment_bytes: 4000, inline_bytes: 1000, batch_keys: 1000, batch_bytes: 1 << 20 };

#[tokio::test]
async fn what_lay_behind_a_torn_record_never_comes_back() {
    let store = Store::new();
    let blobs = store.open(Sizes::default());
    for name in ["a", "b", "c"] {
        put(&blobs, name, &[b'x'; 300]).await;
    }
    drop(blobs);
    let record = (record::HEAD_BYTES + 1 + 300) as u64;
    assert_eq!(store.segment(1).size().unwrap(), 3 * record);
    store.segment(1).write_at(b"torn", record + 200).unwrap();

    let blobs = store.open(Sizes::default());
    assert_eq!(store.segment(1).size().unwrap(), record, "cut behind the last whole record");
    assert_eq!(get(&blobs, "c").await, None);
    put(&blobs, "B", &[b'y'; 300]).await; // as long as the torn one: what was behind it would fit again
    drop(blobs);
    let blobs = store.open(Sizes::default());
    assert_eq!(blobs.list("", None, 10).await.unwrap(), ["B", "a"].map(key));
}

#[tokio::test]
async fn a_damaged_body_is_not_served() {
    let store = Store::new();
    let blobs = store.open(Sizes::default());
    put(&blobs, "a", &[b'x'; 300]).await;
    put(&blobs, "b", &[b'x'; 300]).await;
    drop(blobs);
    let blobs = store.open(Sizes::default()); // what was put lately is in memory
    store.segment(1).write_at(b"?", 200).unwrap();
    let error = blobs.get(&key("a")).await.unwrap_err();
    assert!(matches!(error, BlobError::Damaged(damaged, _) if damaged == key("a")));
    assert_eq!(get(&blobs, "b").await.unwrap().len(), 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_lost_most_of_its_bodies_is_emptied_and_removed() {
    let store = Store::new();
    let blobs = store.open(SMALL);
    for n in 0..40u8 {
        put(&blobs, &format!("{n:02}"), &[n; 500]).await;
    }
    blobs.copy_if_absent(&key("03"), &key("copy")).await.unwrap();
    let before = store.names("/segments").len();
    for n in (0..40u8).filter(|n| n % 10 != 3) {
        blobs.delete(&key(&format!("{n:02}"))).await.unwrap();
    }
    let done = tokio::task::block_in_place(|| blobs.compact()).unwrap();
    assert!(done.segments >= 4, "{done:?} of {before}");
    assert!(done.moved_bytes <= 4 * 500, "{done:?}");
    assert!(store.names("/segments").len() < before);
    let again = tokio::task::block_in_place(|| blobs.compact()).unwrap();
    assert_eq!(again, Compacted::default(), "done already");
    check_the_rest(&blobs).await;
    drop(blobs);
    check_the_rest(&store.open(SMALL)).await;
}

async fn check_the_rest(blobs: &Segments) {
    for n in 0..40u8 {
        let expected = (n % 10 == 3).then(|| Bytes::from(vec![n; 500]));
        assert_eq!(get(blobs, &format!("{n:02}")).await, expected, "{n}");
    }
    assert_eq!(get(blobs, "copy").await, Some(Bytes::from(vec![3; 500])));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_a_large_blob_goes_with_its_last_key() {
    let store = Store::new();
    let blobs = store.open(SMALL);
    put(&blobs, "large", &[7; 5000]).await;
    blobs.copy_if_absent(&key("large"), &key("copy")).await.unwrap();
    let files = || store.names(&format!("/files/{:013x}", 0)).len();
    blobs.delete(&key("large")).await.unwrap();
    tokio::task::block_in_place(|| blobs.compact()).unwrap(); // writes the index
    assert_eq!(files(), 1);
    assert_eq!(get(&blobs, "copy").await.unwrap().len(), 5000);
    blobs.delete(&key("copy")).await.unwrap();
    tokio::task::block_in_place(|| blobs.compact()).unwrap();
    assert_eq!(files(), 0);
    assert_eq!(put(&blobs, "large", &[8; 5000]).await, Put::New);
    assert_eq!(put(&blobs, "large", &[9; 5000]).await, Put::Existing);
    assert_eq!(files(), 1, "the loser's file does not stay");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_and_writers_do_not_notice_a_compaction() {
    let folder = tempfile::tempdir().unwrap();
    let sizes = Sizes { segment_bytes: 20_000, inline_bytes: 2000, batch_keys: 50, batch_bytes: 10_000 };
    let blobs = Segments::open(Arc::new(RealDisk), folder.path(), sizes, Arc::default()).unwrap();
    let blobs = Arc::new(blobs);
    for n in 0..300u32 {
        put(&blobs, &format!("stays/{n}"), &n.to_le_bytes().repeat(50)).await;
        put(&blobs, &format!("goes/{n}"), &[1; 1500]).await;
    }
    let busy = (0..4u32).map(|task| {
        let blobs = Arc::clone(&blobs);
        tokio::spawn(async move {
            for n in (task..300).step_by(4) {
                blobs.delete(&key(&format!("goes/{n}"))).await.unwrap();
                blobs.copy_if_absent(&key(&format!("stays/{n}")), &key(&format!("copy/{n}"))).await.unwrap();
                for n in (0..300u32).step_by(7) {
                    let body = get(&blobs, &format!("stays/{n}")).await;
                    assert_eq!(body.as_deref(), Some(n.to_le_bytes().repeat(50).as_slice()));
                }
            }
        })
    });
    let busy: Vec<_> = busy.collect();
    let mut gone = 0;
    while busy.iter().any(|task| !task.is_finished()) {
        gone += tokio::task::block_in_place(|| blobs.compact()).unwrap().segments;
    }
    for task in busy {
        task.await.unwrap();
    }
    gone += tokio::task::block_in_place(|| blobs.compact()).unwrap().segments;
    assert!(gone > 10, "{gone} segments");
    for n in 0..300u32 {
        let body = Some(Bytes::from(n.to_le_bytes().repeat(50)));
        assert_eq!(get(&blobs, &format!("stays/{n}")).await, body);
        assert_eq!(get(&blobs, &format!("copy/{n}")).await, body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_puts_share_one_sync() {
    let folder = tempfile::tempdir().unwrap();
    let counters = Arc::new(Counters::default());
    let blobs = Segments::open(Arc::new(RealDisk), folder.path(), Sizes::default(), Arc::clone(&counters));
    let blobs = Arc::new(blobs.unwrap());
    let tasks: Vec<_> = (0..200u32)
        .map(|n| {
            let blobs = Arc::clone(&blobs);
            tokio::spawn(async move { put(&blobs, &n.to_string(), &[0; 100]).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Put::New);
    }
    let counts = counters.now();
    assert_eq!(counts.puts, 200);
    assert!(counts.put_groups < 100, "{counts:?}");
    assert!(counts.blob_bytes >= 200 * 100);
}

#[tokio::test]
async fn a_start_reads_only_what_the_index_does_not_know() {
    let store = Store::new();
    let sizes = Sizes { batch_keys: 10, ..SMALL };
    let blobs = store.open(sizes);
    for n in 0..95u8 {
        put(&blobs, &format!("{n:02}"), &[n; 100]).await;
    }
    tokio::task::spawn_blocking(move || blobs.compact().unwrap()).await.unwrap();
    // Everything is in the index: a segment that it knows is not looked at, though it is ruined.
    let ruined = store.segment(1);
    ruined.write_at(&[0; 100], 0).unwrap();
    let blobs = store.open(sizes);
    assert_eq!(get(&blobs, "94").await, Some(Bytes::from(vec![94; 100])));
    assert_eq!(blobs.list("", None, 1000).await.unwrap().len(), 95);
}

#[tokio::test]
async fn who_looks_into_the_index_sees_each_batch_and_keeps_no_log_of_it() {
    let store = Store::new();
    let blobs = store.open(Sizes { batch_keys: 10, segment_bytes: 1 << 20, ..SMALL });
    let log = store.index.path().join("blobs.sqlite-wal");
    let mut longest = 0;
    for n in 0..3000 {
        assert_eq!(put(&blobs, &format!("{n:04}"), b"x").await, Put::New);
        // One that is in the index, and one that is nowhere.
        assert!(get(&blobs, &format!("{:04}", n / 2)).await.is_some(), "{n}");
        assert_eq!(get(&blobs, "none").await, None);
        longest = longest.max(std::fs::metadata(&log).unwrap().len());
    }
    assert!(longest < 1 << 20, "{longest} octets of log for an index of some 400 KiB");
}
