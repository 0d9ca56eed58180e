//! The provider index of the embedded form: where its source is set, the copy in force, and how old it is.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use directory::{FetchError, Fetched, REFRESH, Settings, Source};
use pec::Instant;
use serde::Deserialize;

use crate::folder::{Access, Folder, FolderError};

/// After a failure.
const RETRY: Duration = Duration::from_secs(3600);
/// How often it is looked whether a refresh is due: the age is that of the file, also after a restart.
const LOOK: Duration = Duration::from_secs(60);
/// How long a fetch may take.
const WAIT: Duration = Duration::from_secs(600);
/// Settings, certificates and keys are smaller.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The settings as they are written. Paths are relative to the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    url: String,
    server_ca: PathBuf,
    #[serde(default)]
    signer_ca: Option<PathBuf>,
    certificate: PathBuf,
    key: PathBuf,
}

/// Why there is no new index. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// A file of the settings, or of the folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The settings are none.
    #[error("read {0}: {1}")]
    File(PathBuf, String),
    /// The source.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The work was cut off.
    #[error("fetch the index: {0}")]
    Cut(String),
}

/// Reads the settings and what they name.
///
/// # Errors
/// [`IndexError`]
pub fn source(path: &Path) -> Result<Source, IndexError> {
    let text = Folder::read(path, FILE_BYTES_MAX)?;
    let written: Written =
        serde_json::from_slice(&text).map_err(|e| IndexError::File(path.to_owned(), e.to_string()))?;
    let read = |file: &Path| Folder::read(&path.parent().unwrap_or(Path::new("")).join(file), FILE_BYTES_MAX);
    Ok(Source::new(&Settings {
        server_ca: read(&written.server_ca)?,
        signer_ca: written.signer_ca.as_deref().map(read).transpose()?,
        certificate: read(&written.certificate)?,
        key: read(&written.key)?,
        url: written.url,
        wait: WAIT,
    })?)
}

/// Fetches an index and puts it in force: a running provider takes the file up within a minute. What came is kept beside
/// it, and is written last, so that its age tells how old the index is. Power fails between: it is fetched again.
///
/// # Errors
/// [`IndexError`]; the last good copy stays.
pub fn renew(source: &Source, folder: &Folder, now: Instant) -> Result<Fetched, IndexError> {
    let fetched = source.fetch(now)?;
    Folder::write(&folder.index(), &fetched.ldif, Access::Public)?;
    Folder::write(&folder.fetched_index(source.form().suffix()), &fetched.file, Access::Public)?;
    Ok(fetched)
}

/// Keeps the index fresh for as long as it is polled.
pub async fn keep_fresh(source: Source, folder: Folder, now: impl Fn() -> Instant) {
    let source = Arc::new(source);
    loop {
        if age(&folder.fetched_index(source.form().suffix())).is_none_or(|age| age >= REFRESH)
            && let Err(error) = refresh(&source, &folder, now()).await
        {
            tracing::error!(alarm = "directory", error = %error, "the provider index stays as it was");
            tokio::time::sleep(RETRY).await;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn refresh(source: &Arc<Source>, folder: &Folder, now: Instant) -> Result<(), IndexError> {
    let (source, folder) = (Arc::clone(source), folder.clone());
    let work = move || renew(&source, &folder, now).map(|fetched| fetched.index);
    let index = tokio::task::spawn_blocking(work).await.map_err(|e| IndexError::Cut(e.to_string()))??;
    tracing::info!(records = index.records().len(), "the provider index was refreshed");
    Ok(())
}

/// How old the copy is; `None` without one, or with one from the future.
fn age(copy: &Path) -> Option<Duration> {
    std::fs::metadata(copy).and_then(|meta| meta.modified()).ok()?.elapsed().ok()
}
