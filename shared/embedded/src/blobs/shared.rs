//! What the threads of the blobs have in common: the keys that are not in the index yet, the index for reading, the
//! open segments.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use bytes::Bytes;
use stages::ports::BlobError;

use super::{
    index::{Batch, Index, Reader},
    recent::Recent,
    record::Entry,
};
use crate::{
    Counters,
    disk::{Disk, DiskFile},
};

/// Connections that read the index.
const READERS: usize = 4;

/// Open segments at most; beyond it they are closed and opened again.
const OPEN_MAX: usize = 256;

/// Keys that wait for the index at most: beyond it, puts wait for the index.
const WAITING_MAX: usize = 65_536;

/// How long a put waits for the index.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Octets of a body that is kept in memory after it was read, at most.
const RECENT_BYTES_MAX: usize = 256 << 10;

pub(super) struct Shared {
    pub disk: Arc<dyn Disk>,
    pub dir: PathBuf,
    pub counters: Arc<Counters>,
    memory: Mutex<Memory>,
    flushed: Condvar,
    readers: [Mutex<Reader>; READERS],
    open: Mutex<HashMap<u64, Arc<dyn DiskFile>>>,
    /// Bodies that were put lately.
    pub recent: Recent,
    /// The number of the next file.
    pub next_file: AtomicU64,
    /// The folder of files that is known to be there, durably.
    pub shard: Mutex<Option<u64>>,
    /// Held by whoever removes files, and by whoever copies them and wants them to stay.
    pub files_stay: Mutex<()>,
}

/// Changes that are durable in the segments and not in the index yet.
#[derive(Default)]
struct Memory {
    /// Since the last batch.
    young: Batch,
    /// Bytes of records in it.
    young_bytes: u64,
    /// The batch that is being written.
    old: Option<Arc<Batch>>,
    /// Batches written: what somebody saw in the index is good while this stands still.
    batches: u64,
}

/// What somebody saw under a key, outside of the writing thread.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    pub entry: Option<Entry>,
    batches: u64,
}

impl Shared {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        index: &Path,
        counters: Arc<Counters>,
        next_file: u64,
    ) -> rusqlite::Result<Self> {
        let reader = || Reader::open(index).map(Mutex::new);
        Ok(Self {
            readers: [reader()?, reader()?, reader()?, reader()?],
            disk,
            dir,
            counters,
            memory: Mutex::default(),
            flushed: Condvar::new(),
            open: Mutex::default(),
            recent: Recent::default(),
            next_file: AtomicU64::new(next_file),
            shard: Mutex::default(),
            files_stay: Mutex::default(),
        })
    }

    /// What a key has. Never something that is not durable.
    pub(super) fn look(&self, key: &str) -> rusqlite::Result<Seen> {
        let batches = {
            let memory = self.memory();
            if let Some(entry) = memory.get(key) {
                return Ok(Seen { entry, batches: memory.batches });
            }
            memory.batches
        };
        // Memory first: a key leaves it only after it is in the index.
        Ok(Seen { entry: self.reader().with(batches)?.get(key)?, batches })
    }

    /// The same for the writing thread, given what somebody saw before: only the writing thread changes keys, so that
    /// what was in the index is still so if no batch was written since.
    pub(super) fn look_again(&self, key: &str, seen: Option<Seen>) -> rusqlite::Result<Option<Entry>> {
        let batches = {
            let memory = self.memory();
            if let Some(entry) = memory.get(key) {
                return Ok(entry);
            }
            if let Some(seen) = seen.filter(|s| s.batches == memory.batches) {
                return Ok(seen.entry);
            }
            memory.batches
        };
        self.reader().with(batches)?.get(key)
    }

    /// The writing thread made these durable. Tells whether it is time to write a batch.
    pub(super) fn publish(&self, durable: Batch, bytes: u64, keys_max: usize, bytes_max: u64) -> bool {
        let mut memory = self.memory();
        memory.young.changes.extend(durable.changes);
        memory.young.left.extend(durable.left);
        memory.young.mark = durable.mark;
        memory.young_bytes += bytes;
        memory.young.changes.len() >= keys_max || memory.young_bytes >= bytes_max
    }

    /// Whether there is room for more keys, waiting a while if not.
    pub(super) fn has_room(&self) -> bool {
        let full = |memory: &mut Memory| memory.young.changes.len() >= WAITING_MAX;
        let waited = self.flushed.wait_timeout_while(self.memory(), WAIT_MAX, full);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Writes what waits into the index; what was begun and failed before is begun anew.
    pub(super) fn flush(&self, index: &mut Index) -> rusqlite::Result<()> {
        let batch = {
            let mut memory = self.memory();
            if memory.old.is_none() && !memory.young.changes.is_empty() {
                memory.young_bytes = 0;
                memory.old = Some(Arc::new(std::mem::take(&mut memory.young)));
            }
            memory.old.clone()
        };
        let Some(batch) = batch else { return Ok(()) };
        index.write(&batch)?;
        let mut memory = self.memory();
        memory.old = None;
        memory.batches += 1;
        drop(memory);
        self.flushed.notify_all();
        if let Err(error) = self.checkpoint(index) {
            tracing::warn!(error = %error, "no checkpoint this time, the log of the index grows");
        }
        Ok(())
    }

    /// Brings the batch from the write-ahead log into the database. Before it nobody reads an older state, so that all
    /// of it is copied; after it nobody reads from the log, so that it begins anew with the next batch.
    fn checkpoint(&self, index: &Index) -> rusqlite::Result<()> {
        self.let_go()?;
        index.checkpoint()?;
        self.let_go()
    }

    fn let_go(&self) -> rusqlite::Result<()> {
        let hold = |r: &'_ Mutex<Reader>| r.lock().unwrap_or_else(PoisonError::into_inner).let_go();
        self.readers.iter().try_for_each(hold)
    }

    /// Keys with this prefix from memory: in order, with whether there is a body.
    pub(super) fn waiting(&self, from: &str, including: bool, prefix: &str) -> Vec<(String, bool)> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let lower = if including { Included(from) } else { Excluded(from) };
        let memory = self.memory();
        let mut merged = std::collections::BTreeMap::new();
        // The younger one wins.
        for batch in memory.old.as_deref().into_iter().chain([&memory.young]) {
            let range = batch.changes.range::<str, _>((lower, Unbounded));
            for (key, entry) in range.take_while(|(key, _)| key.starts_with(prefix)) {
                merged.insert(key.clone(), entry.is_some());
            }
        }
        merged.into_iter().collect()
    }

    /// A connection to the index: a free one, or the first that gets free.
    pub(super) fn reader(&self) -> MutexGuard<'_, Reader> {
        let [first, ..] = &self.readers;
        let free = self.readers.iter().find_map(|r| r.try_lock().ok());
        free.unwrap_or_else(|| first.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads a part of a body. `None`: the segment or file is gone, so the body has moved or nobody has it any more.
    pub(super) fn read(&self, entry: &Entry, from: u64, len: u64) -> Result<Option<Vec<u8>>, ReadError> {
        let (from, len) = (from.min(entry.len), len.min(entry.len.saturating_sub(from)));
        let (file, at) = match entry.place.file() {
            Some(number) => (self.disk.open(&self.file_path(number)), 0),
            None => (self.segment(entry.place.segment), entry.place.offset),
        };
        let file = match file {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ReadError::Io(error)),
        };
        let mut bytes =
            vec![0; usize::try_from(len).map_err(|_| ReadError::Io(io::ErrorKind::OutOfMemory.into()))?];
        match file.read_at(&mut bytes, at.saturating_add(from)) {
            Ok(()) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ReadError::Short),
            Err(error) => Err(ReadError::Io(error)),
        }
    }

    /// A whole body: from memory, or read and compared with its digest.
    pub(super) fn get(&self, entry: &Entry, is_soon_again: bool) -> Result<Option<Bytes>, ReadError> {
        if let Some(body) = self.recent.get(&entry.sha256) {
            return Ok(Some(body));
        }
        let found = self.read_whole(entry)?;
        if let Some(body) = found.as_ref().filter(|body| is_soon_again && body.len() <= RECENT_BYTES_MAX) {
            self.recent.keep(entry.sha256, body.clone());
        }
        Ok(found)
    }

    /// Reads a whole body and compares its digest.
    pub(super) fn read_whole(&self, entry: &Entry) -> Result<Option<Bytes>, ReadError> {
        let Some(bytes) = self.read(entry, 0, entry.len)? else { return Ok(None) };
        if super::sha256([bytes.as_slice()]) == entry.sha256 {
            Ok(Some(Bytes::from(bytes)))
        } else {
            Err(ReadError::Digest)
        }
    }

    /// An open segment.
    pub(super) fn segment(&self, number: u64) -> io::Result<Arc<dyn DiskFile>> {
        if let Some(file) = self.open().get(&number) {
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open(&self.segment_path(number))?;
        self.remember(number, &file);
        Ok(file)
    }

    /// Keeps a segment open.
    pub(super) fn remember(&self, number: u64, file: &Arc<dyn DiskFile>) {
        let mut open = self.open();
        if open.len() >= OPEN_MAX {
            open.clear();
        }
        open.insert(number, Arc::clone(file));
    }

    /// Closes a segment that was removed.
    pub(super) fn forget(&self, number: u64) {
        self.open().remove(&number);
    }

    pub(super) fn segments_dir(&self) -> PathBuf {
        self.dir.join("segments")
    }

    pub(super) fn segment_path(&self, number: u64) -> PathBuf {
        self.segments_dir().join(format!("{number:016x}"))
    }

    pub(super) fn files_dir(&self) -> PathBuf {
        self.dir.join("files")
    }

    /// The folder of a file: 4,096 files each, so that a start looks at few of them.
    pub(super) fn shard_path(&self, shard: u64) -> PathBuf {
        self.files_dir().join(format!("{shard:013x}"))
    }

    pub(super) fn file_path(&self, number: u64) -> PathBuf {
        self.shard_path(super::shard_of(number)).join(format!("{number:016x}"))
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<dyn DiskFile>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn get(&self, key: &str) -> Option<Option<Entry>> {
        let old = || self.old.as_ref().and_then(|batch| batch.changes.get(key));
        self.young.changes.get(key).or_else(old).copied()
    }
}

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("{0}")]
    Io(io::Error),
    #[error("it ends too early")]
    Short,
    #[error("its digest is another one")]
    Digest,
}

impl ReadError {
    pub(super) fn of(self, key: &stages::BlobKey) -> BlobError {
        match self {
            Self::Io(error) => BlobError::Unavailable(error.to_string()),
            Self::Short | Self::Digest => BlobError::Damaged(key.clone(), self.to_string()),
        }
    }
}
