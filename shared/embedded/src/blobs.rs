//! Blobs in append-only segments, and in files of their own where they are large (design §6).
//!
//! A put becomes a record at the end of the newest segment. One thread writes: whatever waits goes to the disk in one
//! write and one fsync, then everybody is answered, so that hundreds of puts share the price of one. A body over
//! 256 KiB is written to a file of its own by whoever puts it, and synced there; the record that names it is what makes
//! it a blob, so that no rename is needed: nobody looks at a file before a record names it.
//!
//! The keys are indexed in SQLite, late and in batches; until then they are in memory. A start reads the segments from
//! the last batch on, bounded by [`Sizes::batch_bytes`], and cuts a torn tail. If the index is lost, the segments make
//! it anew. A copy is a second key for the same bytes; bytes go when their last key goes, by [`Segments::compact`] or,
//! for files, at once.
//!
//! What is proven by what: `tests/forgetful.rs` runs this on a [`ForgetfulDisk`](crate::disk::ForgetfulDisk), which
//! loses whatever was not synced, at every single change of the disk. The index itself is on the real disk there,
//! because SQLite with `synchronous=FULL` keeps it; what is tested is that it never knows more than the segments.

pub(crate) mod backup;
mod compact;
mod index;
mod recent;
mod record;
mod recover;
mod shared;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError, TryLockError, atomic::Ordering},
};

use async_trait::async_trait;
use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use mime::Rope;
use stages::{
    BlobKey,
    ports::{BlobError, Blobs, Put},
};
use tokio::sync::oneshot;

use crate::{
    Counters,
    disk::Disk,
    group::{Asked, Group},
};
use compact::Compaction;
use index::Index;
use record::{Entry, KEY_BYTES_MAX};
use shared::{Seen, Shared};
use writer::{Ask, Became, Body, What, Writer};

pub use compact::Compacted;
pub use writer::Sizes;

/// Changes that share one fsync at most.
const GROUP_MAX: usize = 1024;

/// A body of this size or less is read where it is asked for; a longer one on a blocking thread.
const INLINE_READ_BYTES_MAX: u64 = 256 << 10;

/// How often a read looks again for a body that moved under its eyes.
const MOVES_MAX: usize = 5;

/// What begins so is read again within milliseconds, by the next stage; what lies in a mailbox, when somebody looks.
const SOON: [&str; 2] = ["spool/", "letters/"];

fn is_soon_again(key: &BlobKey) -> bool {
    SOON.iter().any(|prefix| key.as_str().starts_with(prefix))
}

/// The blobs of one provider.
pub struct Segments {
    // In this order they end: what was asked is written, then the index.
    writer: Group<Ask>,
    index: Arc<Group<Errand>>,
    shared: Arc<Shared>,
    compacting: Mutex<()>,
    sizes: Sizes,
}

/// What the thread of the index does.
enum Errand {
    /// Write what waits.
    Flush(Option<oneshot::Sender<io::Result<()>>>),
    /// A segment was looked at.
    Cleared(u64),
}

impl Segments {
    /// Opens the blobs in a folder, or makes them. What was answered in an earlier life is there.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`] with what the disk or SQLite says.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        sizes: Sizes,
        counters: Arc<Counters>,
    ) -> Result<Self, BlobError> {
        Self::open_with_index(disk, dir, dir, sizes, counters)
    }

    /// The same with the index in a folder of the real disk, for a disk that is not.
    ///
    /// # Errors
    /// As [`Segments::open`].
    pub fn open_with_index(
        disk: Arc<dyn Disk>,
        dir: &Path,
        index_dir: &Path,
        sizes: Sizes,
        counters: Arc<Counters>,
    ) -> Result<Self, BlobError> {
        let path = index_dir.join("blobs.sqlite");
        let mut index = Index::writer(&path).map_err(unavailable)?;
        let found = recover::recover(disk.as_ref(), dir, &mut index).map_err(unavailable)?;
        let shared = Arc::new(
            Shared::new(disk, dir.to_owned(), &path, counters, found.next_file).map_err(unavailable)?,
        );
        let of_index = Arc::clone(&shared);
        let index =
            Group::start("blob-index", 64, move |mut errands| keep_index(&of_index, index, &mut errands));
        let index = Arc::new(index.map_err(unavailable)?);
        let thread = Writer {
            shared: Arc::clone(&shared),
            sizes,
            active: found.active,
            broken: None,
            buffer: Vec::new(),
            newest: found.newest,
            index: Arc::clone(&index),
        };
        let writer = Group::start("blobs", GROUP_MAX, move |mut asked| thread.serve(&mut asked))
            .map_err(unavailable)?;
        Ok(Self { writer, index, shared, compacting: Mutex::new(()), sizes })
    }

    /// Gives back the room of removed blobs, unless somebody does, or copies them: empties and removes segments of which less than half is wanted. Takes as
    /// long as it takes to copy what is; to be called on a blocking thread, beside all other work.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`]; what was not done is done the next time.
    pub fn compact(&self) -> Result<Compacted, BlobError> {
        let _one = match self.compacting.try_lock() {
            Ok(one) => one,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(Compacted::default()),
        };
        Compaction { shared: &self.shared, writer: &self.writer, index: &self.index }
            .run()
            .map_err(unavailable)
    }

    async fn change(&self, what: What) -> Result<Became, BlobError> {
        let (answer, answered) = oneshot::channel();
        if !self.writer.ask(Ask { what, answer }) {
            return Err(unavailable("the writing thread is gone"));
        }
        answered.await.map_err(|_| unavailable("the writing thread is gone"))?.map_err(unavailable)
    }

    fn look(&self, key: &BlobKey) -> Result<Seen, BlobError> {
        self.shared.look(key.as_str()).map_err(unavailable)
    }

    /// Writes a large body to a file of its own, durably.
    async fn put_file(
        &self,
        key: &BlobKey,
        seen: Seen,
        body: Rope,
        known: Option<[u8; 32]>,
    ) -> Result<Became, BlobError> {
        let shared = Arc::clone(&self.shared);
        let (number, sha256, len) = on_blocking_thread(move || {
            let sha256 = known.unwrap_or_else(|| sha256(body.chunks()));
            Ok::<_, io::Error>((write_file(&shared, &body)?, sha256, body.len() as u64))
        })
        .await?
        .map_err(unavailable)?;
        let key = key.as_str().to_owned();
        let became = self.change(What::Put { key, seen, body: Body::File(number), sha256, len }).await?;
        if became == Became::Existing {
            // Nobody has heard of it. If this fails, the next start removes it.
            let shared = Arc::clone(&self.shared);
            let _ = on_blocking_thread(move || shared.disk.remove(&shared.file_path(number))).await;
        }
        Ok(became)
    }

    /// Stores; the digest is computed here if the caller does not know it.
    async fn put(&self, key: &BlobKey, body: Rope, known: Option<[u8; 32]>) -> Result<Put, BlobError> {
        check_key(key)?;
        let seen = self.look(key)?;
        if seen.entry.is_some() {
            return Ok(Put::Existing);
        }
        let len = body.len() as u64;
        let became = if len > self.sizes.inline_bytes {
            self.put_file(key, seen, body, known).await?
        } else {
            let sha256 = known.unwrap_or_else(|| sha256(body.chunks()));
            if is_soon_again(key) {
                self.shared.recent.put(sha256, &body);
            }
            let key = key.as_str().to_owned();
            self.change(What::Put { key, seen, body: Body::Here(body), sha256, len }).await?
        };
        Ok(as_put(became))
    }

    /// Reads with what the key has, again if the body moved meanwhile.
    async fn read<T: Send + 'static>(
        &self,
        key: &BlobKey,
        cost_bytes: impl Fn(&Entry) -> u64,
        read: impl Fn(&Shared, &Entry) -> Result<Option<T>, shared::ReadError> + Clone + Send + 'static,
    ) -> Result<Option<T>, BlobError> {
        for _ in 0..MOVES_MAX {
            let Some(entry) = self.look(key)?.entry else { return Ok(None) };
            let found = if cost_bytes(&entry) <= INLINE_READ_BYTES_MAX {
                read(&self.shared, &entry)
            } else {
                let (shared, read) = (Arc::clone(&self.shared), read.clone());
                on_blocking_thread(move || read(&shared, &entry)).await?
            };
            if let Some(found) = found.map_err(|e| e.of(key))? {
                return Ok(Some(found));
            }
        }
        Err(BlobError::Damaged(key.clone(), "its segment or file is not there".to_owned()))
    }
}

#[async_trait]
impl Blobs for Segments {
    async fn put_if_absent(&self, key: &BlobKey, body: Rope) -> Result<Put, BlobError> {
        self.put(key, body, None).await
    }

    async fn put_hashed(&self, key: &BlobKey, body: Rope, sha256: [u8; 32]) -> Result<Put, BlobError> {
        self.put(key, body, Some(sha256)).await
    }

    async fn get(&self, key: &BlobKey) -> Result<Option<Bytes>, BlobError> {
        let is_soon = is_soon_again(key);
        self.read(key, |e| e.len, move |shared, entry| shared.get(entry, is_soon)).await
    }

    async fn get_hashed(&self, key: &BlobKey) -> Result<Option<(Bytes, [u8; 32])>, BlobError> {
        // What is read is compared with its digest, and what is in memory is found by it.
        let is_soon = is_soon_again(key);
        let read = move |shared: &Shared, entry: &Entry| {
            Ok(shared.get(entry, is_soon)?.map(|body| (body, entry.sha256)))
        };
        self.read(key, |e| e.len, read).await
    }

    async fn get_range(&self, key: &BlobKey, from: u64, len: u64) -> Result<Option<Bytes>, BlobError> {
        let cost = move |e: &Entry| len.min(e.len);
        self.read(key, cost, move |shared, entry| Ok(shared.read(entry, from, len)?.map(Bytes::from))).await
    }

    async fn size(&self, key: &BlobKey) -> Result<Option<u64>, BlobError> {
        Ok(self.look(key)?.entry.map(|e| e.len))
    }

    async fn copy_if_absent(&self, from: &BlobKey, to: &BlobKey) -> Result<Put, BlobError> {
        check_key(to)?;
        let (from_seen, to_seen) = (self.look(from)?, self.look(to)?);
        if to_seen.entry.is_some() {
            return Ok(Put::Existing);
        }
        let (from_key, to) = (from.as_str().to_owned(), to.as_str().to_owned());
        match self.change(What::Copy { from: from_key, from_seen, to, to_seen }).await? {
            Became::Missing => Err(BlobError::Missing(from.clone())),
            became => Ok(as_put(became)),
        }
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        let seen = self.look(key)?;
        if seen.entry.is_some() {
            self.change(What::Delete { key: key.as_str().to_owned(), seen }).await?;
        }
        Ok(())
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&BlobKey>,
        limit: usize,
    ) -> Result<Vec<BlobKey>, BlobError> {
        let (shared, prefix, after) = (Arc::clone(&self.shared), prefix.to_owned(), after.cloned());
        on_blocking_thread(move || {
            let (from, including) = match &after {
                Some(after) if after.as_str() >= prefix.as_str() => (after.as_str(), false),
                _ => (prefix.as_str(), true),
            };
            list(&shared, from, including, &prefix, limit).map_err(unavailable)
        })
        .await?
    }
}

/// Memory over index. Memory is read first: a key leaves it only after it is in the index.
fn list(
    shared: &Shared,
    from: &str,
    including: bool,
    prefix: &str,
    limit: usize,
) -> rusqlite::Result<Vec<BlobKey>> {
    let waiting = shared.waiting(from, including, prefix);
    let gone = waiting.iter().filter(|(_, there)| !there).count();
    // As many more as memory can take away, so that what is left reaches the limit.
    let indexed = shared.reader().newest()?.list(from, including, prefix, limit.saturating_add(gone))?;
    let mut all: std::collections::BTreeMap<String, bool> =
        indexed.into_iter().map(|key| (key, true)).collect();
    all.extend(waiting);
    let there = all.into_iter().filter(|(_, there)| *there).map(|(key, _)| BlobKey::listed(key));
    Ok(there.take(limit).collect())
}

/// The thread of the index: writes batches and removes the files that nobody wants any more.
fn keep_index(shared: &Shared, mut index: Index, errands: &mut Asked<Errand>) {
    while let Some(group) = errands.next() {
        let mut answers = Vec::new();
        let mut flush = false;
        for errand in group {
            match errand {
                Errand::Flush(answer) => {
                    flush = true;
                    answers.extend(answer);
                }
                Errand::Cleared(segment) => {
                    if let Err(error) = index.cleared(segment) {
                        tracing::warn!(error = %error, "a segment will be looked at once more");
                    }
                }
            }
        }
        if !flush {
            continue;
        }
        let flushed =
            shared.flush(&mut index).map_err(io::Error::other).and_then(|()| remove_doomed(shared, &index));
        if let Err(error) = &flushed {
            tracing::warn!(error = %error, "the index of the blobs was not written, it is tried again");
        }
        for answer in answers {
            let copy = flushed.as_ref().copied().map_err(|e| io::Error::new(e.kind(), e.to_string()));
            let _ = answer.send(copy); // who does not wait any more does not need it
        }
    }
}

/// Removes the files that nobody wants; later, while somebody copies them.
fn remove_doomed(shared: &Shared, index: &Index) -> io::Result<()> {
    match shared.files_stay.try_lock() {
        Ok(_removing) => recover::remove_doomed(&shared.disk, |file| shared.file_path(file), index),
        Err(_) => Ok(()),
    }
}

/// Writes a file that no record names yet; answers its number.
fn write_file(shared: &Shared, body: &Rope) -> io::Result<u64> {
    const PIECE_BYTES: usize = 1 << 20;
    let number = shared.next_file.fetch_add(1, Ordering::Relaxed);
    let shard = shard_of(number);
    let folder = shared.shard_path(shard);
    {
        let mut known = shared.shard.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != Some(shard) {
            shared.disk.create_dir(&folder)?;
            shared.disk.sync_dir(&shared.files_dir())?;
            *known = Some(shard);
        }
    }
    let file = shared.disk.create(&shared.file_path(number))?;
    // Small pieces are gathered, large ones go as they are.
    let (mut at, mut gathered) = (0, Vec::new());
    let write = |bytes: &[u8], at: &mut u64| {
        file.write_at(bytes, *at)?;
        *at += bytes.len() as u64;
        Ok::<_, io::Error>(())
    };
    for chunk in body.chunks() {
        if gathered.len() + chunk.len() > PIECE_BYTES {
            write(&gathered, &mut at)?;
            gathered.clear();
        }
        if chunk.len() > PIECE_BYTES {
            write(chunk, &mut at)?;
        } else {
            gathered.extend_from_slice(chunk);
        }
    }
    write(&gathered, &mut at)?;
    file.sync()?;
    shared.disk.sync_dir(&folder)?;
    shared.counters.blob_write(body.len());
    shared.counters.blob_sync();
    shared.counters.blob_sync();
    Ok(number)
}

/// The folder that a file is in.
const fn shard_of(number: u64) -> u64 {
    number >> 12
}

fn sha256<T: AsRef<[u8]>>(pieces: impl IntoIterator<Item = T>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    pieces.into_iter().for_each(|piece| context.update(piece.as_ref()));
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

fn as_put(became: Became) -> Put {
    if became == Became::Done { Put::New } else { Put::Existing }
}

fn check_key(key: &BlobKey) -> Result<(), BlobError> {
    if key.as_str().len() > KEY_BYTES_MAX {
        return Err(unavailable("a key over 1,024 bytes"));
    }
    Ok(())
}

fn unavailable(error: impl std::fmt::Display) -> BlobError {
    BlobError::Unavailable(error.to_string())
}

async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BlobError> {
    tokio::task::spawn_blocking(work).await.map_err(unavailable)
}
