//! A whole provider in one folder.
//!
//! ```text
//! DIR/lock            held while a provider runs here: two in one folder would be two notaries with one register
//! DIR/facts.sqlite    tables and legal log (with its -wal and -shm)
//! DIR/blobs/          segments, large files, the index of their keys
//! DIR/index.ldif      the provider index; whoever replaces it renames a new one over it
//! ```
//! Keys and certificates lie where [`Config`] says.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use machine::{NoCarrier, RandomIds, SystemClock};
use pec::Instant;
use smime::{Anchors, Verifier};
use stages::{
    Rim, StageError,
    log::LogEntry,
    ports::{BlobError, FactsError, Scanner},
};

use crate::{
    Counters, Segments, SqliteFacts, backup,
    blobs::Sizes,
    directory::{IndexFile, IndexFileError},
    disk::RealDisk,
    facts::Snapshots,
    queue::MemoryQueue,
    signer::{FileSigner, KeyFiles, KeysError},
    workers::Workers,
};

const LOCK: &str = "lock";
pub(crate) const FACTS: &str = "facts.sqlite";
pub(crate) const BLOBS: &str = "blobs";
const INDEX: &str = "index.ldif";

/// What a provider needs besides its folder.
pub struct Config {
    /// Keys with their chains, for every environment.
    pub keys: Vec<KeyFiles>,
    /// Whom the PEC network trusts.
    pub anchors: Anchors,
    /// Limits for letters.
    pub limits: pec::check::Limits,
    /// The virus scanner.
    pub scanner: Arc<dyn Scanner>,
}

/// Why a provider does not open. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder.
    #[error("use the folder {0}: {1}")]
    Folder(PathBuf, io::Error),
    /// Another provider runs in it.
    #[error("use the folder {0}: another provider runs in it")]
    Busy(PathBuf),
    /// The tables.
    #[error("open the tables")]
    Facts(#[from] FactsError),
    /// The blobs.
    #[error("open the blobs")]
    Blobs(#[from] BlobError),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The provider index.
    #[error(transparent)]
    Index(#[from] IndexFileError),
}

/// An open provider: its rim is whole, its workers are not started.
pub struct Provider {
    rim: Rim,
    queue: Arc<MemoryQueue>,
    index: Arc<IndexFile>,
    blobs: Arc<Segments>,
    snapshots: Snapshots,
    counters: Arc<Counters>,
    workers: Option<Workers>,
    // Last: the folder is free when everything else is closed.
    _lock: File,
}

impl Provider {
    /// Opens the provider of a folder, or makes its stores. The index must be there.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open(dir: &Path, config: Config) -> Result<Self, OpenError> {
        let lock = lock(dir)?;
        let counters = Arc::new(Counters::default());
        let facts = SqliteFacts::open(&dir.join(FACTS), Arc::clone(&counters))?;
        let blobs_dir = dir.join(BLOBS);
        fs::create_dir_all(&blobs_dir)
            .and_then(|()| File::open(dir)?.sync_all())
            .map_err(|e| OpenError::Folder(blobs_dir.clone(), e))?;
        let disk = Arc::new(RealDisk);
        let blobs = Arc::new(Segments::open(disk, &blobs_dir, Sizes::default(), Arc::clone(&counters))?);
        let queue = Arc::new(MemoryQueue::default());
        let index = Arc::new(IndexFile::open(&dir.join(INDEX))?);
        let snapshots = facts.snapshots();
        let rim = Rim {
            facts: Arc::new(facts),
            blobs: Arc::clone(&blobs) as Arc<_>,
            queue: Arc::clone(&queue) as Arc<_>,
            signer: Arc::new(FileSigner::open(&config.keys)?),
            carrier: Arc::new(NoCarrier::default()),
            scanner: config.scanner,
            directory: Arc::clone(&index) as Arc<_>,
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds::default()),
            verifier: Arc::new(Verifier::new(config.anchors)),
            limits: config.limits,
            bells: stages::mailbox::Bells::default(),
            crowds: stages::mailbox::Crowds::default(),
        };
        Ok(Self { rim, queue, index, blobs, snapshots, counters, workers: None, _lock: lock })
    }

    /// The legal log of one PEC id in a folder, in order; also while a provider runs in it. Makes nothing.
    ///
    /// # Errors
    /// [`OpenError`] if there is no provider in the folder.
    pub fn read_log(dir: &Path, pec_id: &str) -> Result<Vec<LogEntry>, OpenError> {
        let path = dir.join(FACTS);
        fs::metadata(&path).map_err(|e| OpenError::Folder(dir.to_owned(), e))?;
        Ok(crate::facts::read_log(&path, pec_id)?)
    }

    /// Entries of the legal log with an instant from one to before another, in order, that tell when letters were
    /// decided, answered and delivered; also while a provider runs in the folder. Makes nothing.
    ///
    /// # Errors
    /// [`OpenError`] if there is no provider in the folder.
    pub fn read_log_between(
        dir: &Path,
        from: Instant,
        to: Instant,
        take: impl FnMut(LogEntry),
    ) -> Result<(), OpenError> {
        let path = dir.join(FACTS);
        fs::metadata(&path).map_err(|e| OpenError::Folder(dir.to_owned(), e))?;
        Ok(crate::facts::read_log_between(&path, from, to, take)?)
    }

    /// All ports.
    #[must_use]
    pub const fn rim(&self) -> &Rim {
        &self.rim
    }

    /// All ports, to put another one in place of ours before [`Provider::start`]: a real scanner, a carrier, a
    /// measuring wrapper.
    pub const fn rim_mut(&mut self) -> &mut Rim {
        &mut self.rim
    }

    /// Where backups are taken from while it runs.
    #[must_use]
    pub fn backup_source(&self) -> backup::Source {
        backup::Source::new(self.snapshots.clone(), Arc::clone(&self.blobs))
    }

    /// What the storage did so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The queues: their depth and dead letters.
    #[must_use]
    pub fn queue(&self) -> &MemoryQueue {
        &self.queue
    }

    /// Gives the space of emptied segments back, as the workers do every few minutes. On a blocking thread.
    ///
    /// # Errors
    /// [`BlobError`]
    pub fn compact(&self) -> Result<crate::blobs::Compacted, BlobError> {
        self.blobs.compact()
    }

    /// Starts the workers: first what an earlier life owed, then everything. Doors open after this.
    ///
    /// # Errors
    /// [`StageError`] if what is owed cannot be read.
    pub async fn start(&mut self) -> Result<(), StageError> {
        let blobs = Arc::clone(&self.blobs);
        let compact = move || match blobs.compact() {
            Ok(done) if done.segments > 0 => {
                tracing::info!(
                    segments = done.segments,
                    freed_bytes = done.freed_bytes,
                    "gave back emptied segments"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(error = %error, "emptied segments stay until the next time"),
        };
        let (queue, index) = (Arc::clone(&self.queue), Arc::clone(&self.index));
        self.workers = Some(Workers::start(self.rim.clone(), queue, index, compact).await?);
        Ok(())
    }

    /// Lets running jobs finish and stops. Doors are closed before this.
    pub async fn stop(mut self) {
        if let Some(workers) = self.workers.take() {
            workers.stop().await;
        }
    }
}

pub(crate) fn lock(dir: &Path) -> Result<File, OpenError> {
    let folder = |e| OpenError::Folder(dir.to_owned(), e);
    fs::create_dir_all(dir).map_err(folder)?;
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(dir.join(LOCK)).map_err(folder)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(OpenError::Busy(dir.to_owned())),
        Err(fs::TryLockError::Error(error)) => Err(folder(error)),
    }
}
