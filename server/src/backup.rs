//! Backups of a folder: the stores as of one moment, and the files beside them.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use directory::Form;
use embedded::backup::{BackupError, Beside, List, Source};
use serde::{Deserialize, Serialize};

use crate::{command::chain, demo::Demo, folder::Folder};

/// Files that are beside the stores are smaller.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// How far a backup is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum State {
    /// Under way.
    Running {
        /// Octets of blobs that were copied.
        copied_bytes: u64,
    },
    /// It is there.
    Taken(Taken),
    /// It is not.
    Failed {
        /// Why.
        why: String,
    },
}

/// A backup that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The moment, in seconds since 1970 (UTC).
    pub at_unix_s: i64,
    /// Whether private keys and passwords are in it.
    pub with_keys: bool,
    /// Files.
    pub files: u64,
    /// Octets in them.
    pub bytes: u64,
}

impl From<List> for Taken {
    fn from(list: List) -> Self {
        let List { at_unix_s, with_keys, files, .. } = list;
        Self {
            at_unix_s,
            with_keys,
            files: files.len() as u64,
            bytes: files.iter().map(|file| file.bytes).sum(),
        }
    }
}

/// Where a running provider's backups come from: one at a time.
#[derive(Clone)]
pub struct Backups {
    source: Source,
    folder: Folder,
    state: Arc<Mutex<Option<State>>>,
}

impl Backups {
    /// Of a provider in a folder.
    #[must_use]
    pub fn new(source: Source, folder: Folder) -> Self {
        Self { source, folder, state: Arc::default() }
    }

    /// Begins one, unless one is under way; takes a thread for it. [`Backups::state`] tells how far it is.
    pub fn begin(&self, to: PathBuf, at_unix_s: i64, with_keys: bool) -> State {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(State::Running { .. }) = *state {
            return State::Failed { why: "another backup is under way".to_owned() };
        }
        let begun = State::Running { copied_bytes: 0 };
        *state = Some(begun.clone());
        let this = self.clone();
        // A thread of its own: the end of the provider does not wait for it, and without its list it is no backup.
        std::thread::spawn(move || {
            let ended = match take(&this.source, &this.folder, &to, at_unix_s, with_keys) {
                Ok(list) => State::Taken(list.into()),
                Err(error) => State::Failed { why: chain(&error) },
            };
            match &ended {
                State::Taken(taken) => {
                    tracing::info!(files = taken.files, bytes = taken.bytes, "a backup was taken");
                }
                _ => tracing::error!(alarm = "backup", "a backup was not taken"),
            }
            *this.state.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
        });
        begun
    }

    /// How far the last one is.
    #[must_use]
    pub fn state(&self) -> State {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match state {
            Some(State::Running { .. }) => State::Running { copied_bytes: self.source.copied_bytes() },
            Some(ended) => ended,
            None => State::Failed { why: "none was begun".to_owned() },
        }
    }
}

/// Takes one now. On a blocking thread.
///
/// # Errors
/// [`BackupError`]
pub fn take(
    source: &Source,
    folder: &Folder,
    to: &Path,
    at_unix_s: i64,
    with_keys: bool,
) -> Result<List, BackupError> {
    let beside = beside(folder, with_keys)?;
    source.take(to, at_unix_s, with_keys, &beside)
}

/// Settings, index and certificates; private keys and passwords where they are asked for.
fn beside(folder: &Folder, with_keys: bool) -> Result<Vec<Beside>, BackupError> {
    let mut files = Vec::new();
    let fetched = |form: Form| folder.fetched_index(form.suffix());
    for path in [folder.index(), fetched(Form::Signed), fetched(Form::Directory)] {
        files.extend(read(folder, &path)?);
    }
    if let Some(demo) = read(folder, &folder.demo())? {
        files.push(if with_keys { demo } else { without_passwords(folder, demo)? });
    }
    files.extend(seals(folder)?);
    let pki = folder.root().join("pki");
    let failed = |e| BackupError::File(pki.clone(), e);
    for entry in std::fs::read_dir(&pki).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_type().map_err(failed)?.is_file() {
            continue;
        }
        files.extend(read(folder, &entry.path())?.filter(|file| with_keys || !is_private(file)));
    }
    Ok(files)
}

/// The sealed segments; what is in the making is left out.
fn seals(folder: &Folder) -> Result<Vec<Beside>, BackupError> {
    let path = folder.seals();
    let failed = |e| BackupError::File(path.clone(), e);
    let mut files = Vec::new();
    let found = match std::fs::read_dir(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(files),
        found => found.map_err(failed)?,
    };
    for entry in found {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|suffix| suffix != "making") {
            files.extend(read(folder, &path)?);
        }
    }
    Ok(files)
}

fn read(folder: &Folder, path: &Path) -> Result<Option<Beside>, BackupError> {
    let below = path.strip_prefix(folder.root()).unwrap_or(path).to_owned();
    match crate::folder::read_bounded(path, FILE_BYTES_MAX) {
        Ok(octets) => Ok(Some(Beside { path: below, octets })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(BackupError::File(path.to_owned(), error)),
    }
}

/// RFC 7468 §10, §11, and the older forms: every label of a private key ends so.
fn is_private(file: &Beside) -> bool {
    let label = b"PRIVATE KEY-----";
    file.path.extension().is_some_and(|e| e == "key") || file.octets.windows(label.len()).any(|w| w == label)
}

/// Names of the provider; the accounts are in the tables, with the hashes of their passwords.
fn without_passwords(folder: &Folder, file: Beside) -> Result<Beside, BackupError> {
    let damaged = |e: serde_json::Error| BackupError::Damaged(folder.demo(), e.to_string());
    let mut demo: Demo = serde_json::from_slice(&file.octets).map_err(damaged)?;
    demo.accounts.clear();
    Ok(Beside { octets: serde_json::to_vec_pretty(&demo).map_err(damaged)?, ..file })
}
