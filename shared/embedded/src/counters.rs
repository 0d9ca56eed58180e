//! What the storage did, in numbers: for benchmarks and the status page.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start. Shared by facts and blobs of one provider.
#[derive(Debug, Default)]
pub struct Counters {
    commits: AtomicU64,
    transactions: AtomicU64,
    lost: AtomicU64,
    puts: AtomicU64,
    put_groups: AtomicU64,
    blob_bytes: AtomicU64,
    blob_syncs: AtomicU64,
    checkpoints: AtomicU64,
    log_pages: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Commits and postponements that were answered, lost ones too.
    pub commits: u64,
    /// SQLite transactions that carried them. Each is one fsync of the write-ahead log.
    pub transactions: u64,
    /// Commits whose condition did not hold.
    pub lost: u64,
    /// Puts, copies and deletions of blobs.
    pub puts: u64,
    /// Groups that carried them.
    pub put_groups: u64,
    /// Bytes written into segments and files.
    pub blob_bytes: u64,
    /// fsyncs of segments, files and their folders.
    pub blob_syncs: u64,
    /// Checkpoints of the write-ahead log; each is one fsync or two.
    pub checkpoints: u64,
    /// Pages copied by checkpoints, 4,096 bytes each: about as many were written to the write-ahead log before, or more.
    pub checkpointed_pages: u64,
}

impl Counters {
    /// The counts now.
    #[must_use]
    pub fn now(&self) -> Counts {
        let get = |c: &AtomicU64| c.load(Ordering::Relaxed);
        Counts {
            commits: get(&self.commits),
            transactions: get(&self.transactions),
            lost: get(&self.lost),
            puts: get(&self.puts),
            put_groups: get(&self.put_groups),
            blob_bytes: get(&self.blob_bytes),
            blob_syncs: get(&self.blob_syncs),
            checkpoints: get(&self.checkpoints),
            checkpointed_pages: get(&self.log_pages),
        }
    }

    pub(crate) fn transaction(&self, commits: usize, lost: usize) {
        add(&self.transactions, 1);
        add(&self.commits, commits as u64);
        add(&self.lost, lost as u64);
    }

    pub(crate) fn put_group(&self, puts: usize) {
        add(&self.put_groups, 1);
        add(&self.puts, puts as u64);
    }

    pub(crate) fn blob_write(&self, bytes: usize) {
        add(&self.blob_bytes, bytes as u64);
    }

    pub(crate) fn blob_sync(&self) {
        add(&self.blob_syncs, 1);
    }

    pub(crate) fn checkpoint(&self, pages: u64) {
        add(&self.checkpoints, 1);
        add(&self.log_pages, pages);
    }
}

fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
