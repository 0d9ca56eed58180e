//! The shell around the stages, over ports in memory and a clock that only the tests move: what fails comes back, what
//! panics harms nobody else, what was owed before the start is done, and a stop waits for what runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of a test ends it at the first surprise"
)]

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use mime::Rope;
use sigillo_embedded::{directory::IndexFile, queue::MemoryQueue, workers::Workers};
use sigillo_tests::world::{ALFA, World, letters};
use stages::{
    BlobKey, Job, Rim, SpoolId, door,
    ports::{BlobError, Blobs, Put, Queue},
};
use tempfile::TempDir;

/// Blobs that do something to the first reads.
struct Troubled {
    blobs: Arc<dyn Blobs>,
    reads: AtomicUsize,
    trouble: fn(usize) -> Option<BlobError>,
}

#[async_trait]
impl Blobs for Troubled {
    async fn put_if_absent(&self, key: &BlobKey, body: Rope) -> Result<Put, BlobError> {
        self.blobs.put_if_absent(key, body).await
    }
    async fn get(&self, key: &BlobKey) -> Result<Option<Bytes>, BlobError> {
        match (self.trouble)(self.reads.fetch_add(1, Ordering::Relaxed)) {
            Some(error) => Err(error),
            None => self.blobs.get(key).await,
        }
    }
    async fn get_range(&self, key: &BlobKey, from: u64, len: u64) -> Result<Option<Bytes>, BlobError> {
        self.blobs.get_range(key, from, len).await
    }
    async fn size(&self, key: &BlobKey) -> Result<Option<u64>, BlobError> {
        self.blobs.size(key).await
    }
    async fn copy_if_absent(&self, from: &BlobKey, to: &BlobKey) -> Result<Put, BlobError> {
        self.blobs.copy_if_absent(from, to).await
    }
    async fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        self.blobs.delete(key).await
    }
    async fn list(
        &self,
        prefix: &str,
        after: Option<&BlobKey>,
        limit: usize,
    ) -> Result<Vec<BlobKey>, BlobError> {
        self.blobs.list(prefix, after, limit).await
    }
}

/// A provider in memory whose hints go to the queue under test.
struct Shell {
    world: World,
    rim: Rim,
    queue: Arc<MemoryQueue>,
    index: Arc<IndexFile>,
    _folder: TempDir,
}

impl Shell {
    fn new(trouble: fn(usize) -> Option<BlobError>) -> Self {
        let (world, queue) = (World::of(&ALFA), Arc::new(MemoryQueue::default()));
        let mut rim = world.rim();
        rim.queue = Arc::clone(&queue) as _;
        rim.blobs = Arc::new(Troubled { blobs: Arc::clone(&rim.blobs), reads: AtomicUsize::new(0), trouble });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.ldif");
        fs::write(&path, rim.directory.index().to_ldif()).unwrap();
        let index = Arc::new(IndexFile::open(&path).unwrap());
        Self { world, rim, queue, index, _folder: folder }
    }

    async fn start(&self) -> Workers {
        Workers::start(self.rim.clone(), Arc::clone(&self.queue), Arc::clone(&self.index), || {})
            .await
            .unwrap()
    }

    async fn submit(&self) -> SpoolId {
        door::submit(&self.rim, letters::letter(&ALFA, &[ALFA.user("destinatario")], &[])).await.unwrap()
    }

    /// Lets time pass until nothing is left to do; the runtime's clock is paused, so that it takes none.
    async fn settle(&self) {
        for _ in 0..10_000 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if self.queue.depth() == 0 {
                return;
            }
        }
        panic!("work without an end");
    }

    fn assert_complete(&self, letters: usize) {
        let evidence = self.world.evidence();
        evidence.assert_lawful();
        assert_eq!(evidence.acts_of(pec::Kind::Delivery).len(), letters);
    }
}

#[tokio::test(start_paused = true)]
async fn letters_travel_to_the_last_receipt() {
    let shell = Shell::new(|_| None);
    let workers = shell.start().await;
    for _ in 0..20 {
        shell.submit().await;
    }
    shell.settle().await;
    workers.stop().await;
    shell.assert_complete(20);
    assert_eq!(shell.queue.dead_letters().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_life_owed_is_done_without_waiting() {
    let shell = Shell::new(|_| None);
    // The hints are lost with the queue of that life: one letter is in the spool, one owes its envelope and receipt.
    shell.submit().await;
    let spool = shell.submit().await;
    stages::run(&shell.rim, &Job::Accept { spool }).await.unwrap();
    let again = Shell { queue: Arc::new(MemoryQueue::default()), ..shell };
    let again = Shell { rim: Rim { queue: Arc::clone(&again.queue) as _, ..again.rim.clone() }, ..again };
    let began = tokio::time::Instant::now();
    let workers = again.start().await;
    again.settle().await;
    assert!(began.elapsed() < Duration::from_secs(2));
    workers.stop().await;
    again.assert_complete(2);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_panics_harms_nobody_and_is_tried_again() {
    let shell = Shell::new(|read| {
        assert!(read % 3 != 0 || read > 12, "a mistake in a stage");
        None
    });
    let workers = shell.start().await;
    for _ in 0..5 {
        shell.submit().await;
    }
    shell.settle().await;
    workers.stop().await;
    shell.assert_complete(5);
    assert_eq!(shell.queue.dead_letters().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_always_fails_is_a_dead_letter_and_its_debt_stays() {
    let shell = Shell::new(|_| Some(BlobError::Unavailable("the disk is gone".to_owned())));
    let workers = shell.start().await;
    let spool = shell.submit().await;
    shell.settle().await;
    workers.stop().await;
    let dead = shell.queue.dead_letters();
    assert_eq!(dead.iter().map(|d| &d.job).collect::<Vec<_>>(), [&Job::Accept { spool: spool.clone() }]);
    assert!(dead[0].error.contains("the disk is gone"), "{}", dead[0].error);
    // The spool still has it: a later life, or `watch`, finds it.
    assert!(
        shell
            .rim
            .blobs
            .size(&BlobKey::spool_ticket(stages::ids::Door::Submission, &spool))
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_stop_no_job_is_taken() {
    let shell = Shell::new(|_| None);
    let workers = shell.start().await;
    shell.submit().await;
    shell.settle().await;
    workers.stop().await;
    let spool = shell.submit().await;
    shell.queue.send(vec![Job::Accept { spool }.into()]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(shell.queue.depth(), 1);
    assert_eq!(shell.world.evidence().acts_of(pec::Kind::Delivery).len(), 1, "of the first letter");
}
