//! The provider index in a file.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use pec::Index;
use stages::ports::Directory;

/// The provider index in a file. [`IndexFile::reload`] takes up a new one; a bad one changes nothing.
pub struct IndexFile {
    path: PathBuf,
    state: RwLock<(Option<SystemTime>, Arc<Index>)>,
}

/// Why an index file was not taken up. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum IndexFileError {
    /// A file that cannot be read.
    #[error("read the index {0}: {1}")]
    File(PathBuf, std::io::Error),
    /// A file that is no index.
    #[error("take the index {0}: {1}")]
    Index(PathBuf, pec::index::IndexError),
}

impl IndexFile {
    /// Opens it. There is no provider without an index (spec 9.4: do not start with an empty one).
    ///
    /// # Errors
    /// [`IndexFileError`]
    pub fn open(path: &Path) -> Result<Self, IndexFileError> {
        let state = RwLock::new(load(path)?);
        Ok(Self { path: path.to_owned(), state })
    }

    /// Takes up the file if it was replaced. Answers whether it did.
    ///
    /// # Errors
    /// [`IndexFileError`]: the last good copy stays in force.
    pub fn reload(&self) -> Result<bool, IndexFileError> {
        let changed = fs::metadata(&self.path).and_then(|m| m.modified()).ok();
        if changed == self.state.read().unwrap_or_else(PoisonError::into_inner).0 {
            return Ok(false);
        }
        let state = load(&self.path)?;
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
        Ok(true)
    }
}

fn load(path: &Path) -> Result<(Option<SystemTime>, Arc<Index>), IndexFileError> {
    let file = |e| IndexFileError::File(path.to_owned(), e);
    let changed = fs::metadata(path).map_err(file)?.modified().ok();
    let bytes = fs::read(path).map_err(file)?;
    let index = Index::from_ldif(&bytes).map_err(|e| IndexFileError::Index(path.to_owned(), e))?;
    for complaint in index.complaints() {
        tracing::error!(complaint = %complaint, "a record of the provider index was left out");
    }
    Ok((changed, Arc::new(index)))
}

impl Directory for IndexFile {
    fn index(&self) -> Arc<Index> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner).1)
    }
}
