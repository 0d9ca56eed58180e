//! A copy of a provider's stores as of one moment, taken while it runs.
//!
//! # Why every blob that a row names is in the copy
//! A stage puts blobs before it commits the rows that name them, and removes a blob after it committed that nobody names
//! it any more. So a copy of the tables alone, then of the blobs, would miss what was removed in between; blobs first,
//! then tables, would miss what was put in between. Here both are of one moment: the thread that writes blobs stands
//! still between two groups while a transaction of SQLite takes its state, some microseconds, and says where the segments
//! end then. What a row of that state names was put, and answered, before; and it was removed after, if ever, because a
//! removal is asked for only after a commit that the state does not have. Segments only grow and files never change, so
//! both are copied at leisure up to that end; until then no segment and no file is removed from the disk.
//!
//! The moment is one of the provider's own life: as after a power cut there. What was under way goes on in the copy.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use stages::ports::{BlobError, FactsError};

use crate::{
    Counters, Segments,
    blobs::{Sizes, backup::Part},
    disk::RealDisk,
    facts::Snapshots,
    provider::{self, BLOBS, FACTS, OpenError},
};

/// The list of what is in a backup, written last: a folder without it is none.
pub const LIST: &str = "backup.json";

/// The form of a backup that this release writes.
pub const FORM: u32 = 1;

/// Bytes that are read at once.
const PIECE_BYTES: usize = 1 << 20;

/// What is in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// [`FORM`]
    pub form: u32,
    /// The moment, in seconds since 1970 (UTC).
    pub at_unix_s: i64,
    /// Whether private keys and passwords are in it.
    pub with_keys: bool,
    /// Every file.
    pub files: Vec<Listed>,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Below the folder.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// SHA-256, hex.
    pub sha256: String,
}

/// A file that goes with the stores: settings, certificates.
pub struct Beside {
    /// Its place below the folder.
    pub path: PathBuf,
    /// What is in it.
    pub octets: Vec<u8>,
}

/// Why there is no backup, or none that can be restored. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file or folder.
    #[error("use {0}: {1}")]
    File(PathBuf, #[source] io::Error),
    /// Something is there.
    #[error("use {0}: it is not empty")]
    NotEmpty(PathBuf),
    /// A file is not what the list says, or the list is none.
    #[error("trust {0}: {1}")]
    Damaged(PathBuf, String),
    /// The provider's folder.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The tables.
    #[error("read the tables: {0}")]
    Facts(#[from] FactsError),
    /// The blobs.
    #[error("read the blobs: {0}")]
    Blobs(#[from] BlobError),
}

/// A provider's stores.
#[derive(Clone)]
pub struct Source {
    pub(crate) snapshots: Snapshots,
    pub(crate) blobs: Arc<Segments>,
    /// Bytes that were copied so far.
    copied: Arc<AtomicU64>,
    // Of a folder in which no provider runs.
    _lock: Option<Arc<File>>,
}

impl Source {
    pub(crate) fn new(snapshots: Snapshots, blobs: Arc<Segments>) -> Self {
        Self { snapshots, blobs, copied: Arc::default(), _lock: None }
    }

    /// The stores of a provider that does not run.
    ///
    /// # Errors
    /// [`OpenError`], also if it runs, or there is none.
    pub fn of_folder(dir: &Path) -> Result<Self, OpenError> {
        fs::metadata(dir.join(FACTS)).map_err(|e| OpenError::Folder(dir.to_owned(), e))?;
        let lock = provider::lock(dir)?;
        let counters = Arc::new(Counters::default());
        let facts = crate::SqliteFacts::open(&dir.join(FACTS), Arc::clone(&counters))?;
        let blobs = Segments::open(Arc::new(RealDisk), &dir.join(BLOBS), Sizes::default(), counters)?;
        Ok(Self { _lock: Some(Arc::new(lock)), ..Self::new(facts.snapshots(), Arc::new(blobs)) })
    }

    /// Bytes that the backup under way has copied.
    #[must_use]
    pub fn copied_bytes(&self) -> u64 {
        self.copied.load(Ordering::Relaxed)
    }

    /// Copies everything into a folder that is empty or not there, with files beside it. On a blocking thread; takes as
    /// long as the disk needs. Power fails in it: there is no list, so no backup.
    ///
    /// # Errors
    /// [`BackupError`]
    pub fn take(
        &self,
        to: &Path,
        at_unix_s: i64,
        with_keys: bool,
        beside: &[Beside],
    ) -> Result<List, BackupError> {
        // 1. A place of its own, for its owner alone.
        empty(to)?;
        let mut copy = Copy { to, files: Vec::new(), copied: &self.copied };
        self.copied.store(0, Ordering::Relaxed);
        // 2. The moment.
        let snapshot = Arc::new(std::sync::Mutex::new(self.snapshots.ready()?));
        let holding = Arc::clone(&snapshot);
        let hold = move || match holding.lock() {
            Ok(snapshot) => snapshot.hold().map_err(io::Error::other),
            Err(error) => Err(io::Error::other(error.to_string())),
        };
        let held = self.blobs.hold(Box::new(hold)).map_err(|e| BackupError::File(to.to_owned(), e))?;
        // 3. Blobs, and the files beside.
        for part in held.parts().map_err(|e| BackupError::File(to.to_owned(), e))? {
            copy.part(&part)?;
        }
        drop(held);
        for file in beside {
            copy.octets(file)?;
        }
        // 4. The tables. SQLite writes them, we read what it wrote.
        let facts = to.join(FACTS);
        let snapshot = snapshot.lock().map_err(|e| FactsError::Unavailable(e.to_string()))?;
        snapshot.copy(&facts)?;
        drop(snapshot);
        copy.written(Path::new(FACTS))?;
        // 5. The list makes it a backup.
        let list = List { form: FORM, at_unix_s, with_keys, files: copy.files };
        let text = serde_json::to_vec_pretty(&list)
            .map_err(|e| BackupError::File(to.join(LIST), io::Error::other(e)))?;
        sync_folders(to).map_err(|e| BackupError::File(to.to_owned(), e))?;
        write_new(&to.join(LIST), &text).map_err(|e| BackupError::File(to.join(LIST), e))?;
        sync_folders(to).map_err(|e| BackupError::File(to.to_owned(), e))?;
        Ok(list)
    }
}

/// Makes the folder; refuses one in which something is.
pub(crate) fn empty(dir: &Path) -> Result<(), BackupError> {
    let failed = |e| BackupError::File(dir.to_owned(), e);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    match fs::read_dir(dir).map_err(failed)?.next() {
        None => Ok(()),
        Some(_) => Err(BackupError::NotEmpty(dir.to_owned())),
    }
}

/// Copies and lists.
struct Copy<'a> {
    to: &'a Path,
    files: Vec<Listed>,
    copied: &'a AtomicU64,
}

impl Copy<'_> {
    fn part(&mut self, part: &Part) -> Result<(), BackupError> {
        let path = Path::new(BLOBS).join(&part.name);
        let target = self.to.join(&path);
        let copied = (|| {
            make_parent(&target)?;
            let from = File::open(&part.from)?.take(part.bytes_max);
            copy_file(from, &target, |bytes| {
                self.copied.fetch_add(bytes, Ordering::Relaxed);
            })
        })();
        let (bytes, sha256) = copied.map_err(|e| BackupError::File(part.from.clone(), e))?;
        self.files.push(Listed { path, bytes, sha256 });
        Ok(())
    }

    fn octets(&mut self, file: &Beside) -> Result<(), BackupError> {
        let target = self.to.join(&file.path);
        make_parent(&target)
            .and_then(|()| write_new(&target, &file.octets))
            .map_err(|e| BackupError::File(target, e))?;
        self.written(&file.path)
    }

    /// A file that is there already.
    fn written(&mut self, path: &Path) -> Result<(), BackupError> {
        let target = self.to.join(path);
        let (bytes, sha256) = digest_of(&target).map_err(|e| BackupError::File(target, e))?;
        self.files.push(Listed { path: path.to_owned(), bytes, sha256 });
        Ok(())
    }
}

/// Copies what a reader gives into a new file, durably; answers its length and digest.
pub(crate) fn copy_file(
    mut from: impl io::Read,
    to: &Path,
    mut tell: impl FnMut(u64),
) -> io::Result<(u64, String)> {
    let mut file = new_file(to)?;
    let (mut context, mut total) = (Context::new(&SHA256), 0);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let len = from.read(&mut piece)?;
        let Some(read) = piece.get(..len).filter(|read| !read.is_empty()) else { break };
        file.write_all(read)?;
        context.update(read);
        total += len as u64;
        tell(len as u64);
    }
    file.sync_all()?;
    Ok((total, hex::encode(context.finish())))
}

/// Length and digest of a file.
fn digest_of(path: &Path) -> io::Result<(u64, String)> {
    let (mut file, mut context, mut total) = (File::open(path)?, Context::new(&SHA256), 0);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let len = file.read(&mut piece)?;
        let Some(read) = piece.get(..len).filter(|read| !read.is_empty()) else { break };
        context.update(read);
        total += len as u64;
    }
    Ok((total, hex::encode(context.finish())))
}

fn write_new(path: &Path, octets: &[u8]) -> io::Result<()> {
    let mut file = new_file(path)?;
    file.write_all(octets)?;
    file.sync_all()
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

pub(crate) fn make_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => fs::DirBuilder::new().recursive(true).mode(0o700).create(parent),
        None => Ok(()),
    }
}

/// Makes the names below a folder durable.
pub(crate) fn sync_folders(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    File::open(dir)?.sync_all()
}
