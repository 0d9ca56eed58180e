//! The provider's folder: what lies where, and how files get there whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// A data folder. Its paths are fixed: `sigillo` commands find each other by them.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

/// Why a file of the folder could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {path}: {source}")]
pub struct FolderError {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody on the machine: 0644.
    Public,
    /// Its owner: 0600. Keys and passwords.
    Private,
}

impl Access {
    const fn mode(self) -> u32 {
        match self {
            Self::Public => 0o644,
            Self::Private => 0o600,
        }
    }
}

impl Folder {
    /// The folder at this path, which need not be there yet.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        // doors.json holds absolute paths, so that it can be read from anywhere.
        Self { root: std::path::absolute(root).unwrap_or_else(|_| root.to_owned()) }
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Domain and accounts of the demo, with passwords.
    #[must_use]
    pub fn demo(&self) -> PathBuf {
        self.root.join("demo.json")
    }

    /// Where the doors are, while the provider runs.
    #[must_use]
    pub fn doors(&self) -> PathBuf {
        self.root.join("doors.json")
    }

    /// The operator's token, while the provider runs.
    #[must_use]
    pub fn operator(&self) -> PathBuf {
        self.root.join("operator.token")
    }

    /// The provider index.
    #[must_use]
    pub fn index(&self) -> PathBuf {
        self.root.join("index.ldif")
    }

    /// What the provider index was taken from, if it was fetched: the index's name with a suffix
    /// ([`directory::Form::suffix`]).
    #[must_use]
    pub fn fetched_index(&self, suffix: &str) -> PathBuf {
        self.root.join(format!("index.ldif{suffix}"))
    }

    /// The sealed segments of the legal log.
    #[must_use]
    pub fn seals(&self) -> PathBuf {
        self.root.join("seals")
    }

    /// Where revocation lists are kept.
    #[must_use]
    pub fn lists(&self) -> PathBuf {
        self.root.join("crl")
    }

    /// A revocation list.
    #[must_use]
    pub fn list(&self, name: &str) -> PathBuf {
        self.lists().join(format!("{name}.crl"))
    }

    /// A file of the demo's certificates and keys.
    #[must_use]
    pub fn pki(&self, name: &str) -> PathBuf {
        self.root.join("pki").join(name)
    }

    /// Makes the folder and the one for keys, for their owner alone.
    ///
    /// # Errors
    /// [`FolderError`]
    pub fn create(&self) -> Result<(), FolderError> {
        let pki = self.root.join("pki");
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&pki).map_err(failed("make", &pki))
    }

    /// Makes the folder and takes it for this process, until the file that is given is dropped: a demo is made by
    /// one process at a time.
    ///
    /// # Errors
    /// [`FolderError`], also when another process has it.
    pub fn claim(&self) -> Result<File, FolderError> {
        self.create()?;
        let path = self.root.join("up.lock");
        let claimed = || {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
            file.try_lock().map_err(|error| match error {
                fs::TryLockError::WouldBlock => io::Error::other("another sigillo up runs in this folder"),
                fs::TryLockError::Error(error) => error,
            })?;
            Ok(file)
        };
        claimed().map_err(failed("take", &path))
    }

    /// A file of at most `bytes_max` octets.
    ///
    /// # Errors
    /// [`FolderError`], also for a larger file.
    pub fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, FolderError> {
        read_bounded(path, bytes_max).map_err(failed("read", path))
    }

    /// Puts a file there whole: power fails before the rename, and the old one (or none) is there; after it, the new.
    ///
    /// # Errors
    /// [`FolderError`]
    pub fn write(path: &Path, bytes: &[u8], access: Access) -> Result<(), FolderError> {
        replace(path, bytes, access).map_err(failed("write", path))
    }
}

/// A file of at most `bytes_max` octets.
///
/// # Errors
/// Of the file system; `FileTooLarge` for more octets.
pub fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    use io::Read as _;
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let text = format!("more than {bytes_max} octets");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

fn replace(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Made anew, so that its mode is ours from its first octet on.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(access.mode()).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FolderError + 'a {
    move |source| FolderError { doing, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_is_taken_by_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(&dir.path().join("data"));
        let claim = folder.claim().unwrap();
        assert!(folder.claim().unwrap_err().to_string().contains("another sigillo up"));
        drop(claim);
        folder.claim().unwrap();
    }

    #[test]
    fn files_are_replaced_whole_and_keys_are_for_their_owner() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        folder.create().unwrap();
        let key = folder.pki("a.key");
        Folder::write(&key, b"one", Access::Private).unwrap();
        Folder::write(&key, b"two", Access::Private).unwrap();
        assert_eq!(Folder::read(&key, 3).unwrap(), b"two");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Folder::read(&key, 2).is_err());
    }
}
