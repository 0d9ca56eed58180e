//! The national provider index, fetched daily (RFC 6109 §4.5, §5.6; spec 9.4): over HTTPS, with a client certificate,
//! signed, and put in force only if all of that holds. The last good copy stays otherwise.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use pec::{
    Instant,
    index::{SIGNED_BYTES_MAX, SignedIndex, SignedIndexError},
};
use serde::Deserialize;
use smime::{Anchors, Verifier};
use ureq::{
    Agent,
    tls::{Certificate, ClientCert, PrivateKey},
};

use crate::{
    folder::{Access, Folder, FolderError},
    tls,
};

/// How old a copy may become (RFC 6109 §4.5: daily).
const REFRESH: Duration = Duration::from_secs(24 * 3600);
/// After a failure.
const RETRY: Duration = Duration::from_secs(3600);
/// How often it is looked whether a refresh is due: the age is that of the file, also after a restart.
const LOOK: Duration = Duration::from_secs(60);
/// Settings, certificates and keys are smaller.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The settings: where the index is, who may serve it, who may sign it, as whom we ask. Paths are relative to the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The URL of `o=postacert`'s LDIFLocationURL; `https` only.
    url: String,
    /// PEM of the authorities that certify the server.
    server_ca: PathBuf,
    /// PEM of the certificates that the index's signer leads to.
    signer_ca: PathBuf,
    /// PEM of our client certificate with its chain.
    certificate: PathBuf,
    /// PEM of its key.
    key: PathBuf,
}

/// Where the index comes from.
pub struct Source {
    url: String,
    agent: Agent,
    verifier: Verifier,
}

/// Why there is no new index. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A file of the settings.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// What is in it.
    #[error("read {0}: {1}")]
    File(PathBuf, String),
    /// No answer, or an answer that is no file.
    #[error("fetch the index: {0}")]
    Fetch(#[from] Box<ureq::Error>),
    /// What came is not put in force.
    #[error(transparent)]
    Unfit(#[from] SignedIndexError),
    /// The work was cut off.
    #[error("fetch the index: {0}")]
    Cut(String),
}

impl Source {
    /// Reads the settings and what they name.
    ///
    /// # Errors
    /// [`DirectoryError`]
    pub fn open(path: &Path) -> Result<Self, DirectoryError> {
        let text = Folder::read(path, FILE_BYTES_MAX)?;
        let settings: Settings = serde_json::from_slice(&text).map_err(strange(path))?;
        let beside = |file: &Path| path.parent().unwrap_or(Path::new("")).join(file);
        let pem = |file: &Path| {
            let path = beside(file);
            Folder::read(&path, FILE_BYTES_MAX).map(|pem| (path, pem))
        };
        if !settings.url.starts_with("https://") {
            return Err(DirectoryError::File(path.to_owned(), "expected an https URL".to_owned()));
        }
        let (path, signers) = pem(&settings.signer_ca)?;
        let anchors = smime::Certificate::from_pem(&signers).map_err(strange(&path))?;
        let roots = certificates(pem(&settings.server_ca)?)?;
        let chain = certificates(pem(&settings.certificate)?)?;
        let (path, key) = pem(&settings.key)?;
        let key = PrivateKey::from_pem(&key).map_err(strange(&path))?;
        let client = ClientCert::new_with_certs(&chain, key);
        let config = Agent::config_builder()
            .tls_config(tls::config(&roots, Some(client)))
            .https_only(true)
            .max_redirects(0)
            .timeout_connect(Some(Duration::from_secs(30)))
            .timeout_global(Some(Duration::from_secs(600)))
            .build();
        Ok(Self {
            url: settings.url,
            agent: config.new_agent(),
            verifier: Verifier::new(Anchors::from_certificates(anchors)),
        })
    }

    /// Fetches the index and judges it as of `now`. Blocks.
    ///
    /// # Errors
    /// [`DirectoryError`]
    pub fn fetch(&self, now: Instant) -> Result<Fetched, DirectoryError> {
        let mut response = self.agent.get(&self.url).call().map_err(Box::new)?;
        let body = response.body_mut().with_config().limit(SIGNED_BYTES_MAX as u64);
        let file = body.read_to_vec().map_err(Box::new)?;
        let signed = SignedIndex::open(&file, &self.verifier, now)?;
        Ok(Fetched { file, signed })
    }
}

/// An index that may be put in force.
pub struct Fetched {
    file: Vec<u8>,
    /// What is in it.
    pub signed: SignedIndex,
}

impl Fetched {
    /// Puts it in force: a running provider takes the file up within a minute. The signed file is kept beside it, and
    /// is written last, so that its age tells how old the index is. Power fails between: it is fetched again.
    ///
    /// # Errors
    /// [`DirectoryError`]
    pub fn keep(&self, folder: &Folder) -> Result<(), DirectoryError> {
        Folder::write(&folder.index(), &self.signed.ldif, Access::Public)?;
        Ok(Folder::write(&folder.signed_index(), &self.file, Access::Public)?)
    }
}

/// Keeps the index fresh for as long as it is polled.
pub async fn keep_fresh(source: Source, folder: Folder, now: impl Fn() -> Instant) {
    let source = Arc::new(source);
    loop {
        if age(&folder).is_none_or(|age| age >= REFRESH)
            && let Err(error) = refresh(&source, &folder, now()).await
        {
            tracing::error!(alarm = "directory", error = %error, "the provider index stays as it was");
            tokio::time::sleep(RETRY).await;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn refresh(source: &Arc<Source>, folder: &Folder, now: Instant) -> Result<(), DirectoryError> {
    let (source, folder) = (Arc::clone(source), folder.clone());
    let work = move || {
        let fetched = source.fetch(now)?;
        fetched.keep(&folder)?;
        Ok::<_, DirectoryError>(fetched.signed.index)
    };
    let index = tokio::task::spawn_blocking(work).await.map_err(|e| DirectoryError::Cut(e.to_string()))??;
    tracing::info!(records = index.records().len(), "the provider index was refreshed");
    Ok(())
}

/// How old the copy is; `None` without one, or with one from the future.
fn age(folder: &Folder) -> Option<Duration> {
    std::fs::metadata(folder.signed_index()).and_then(|meta| meta.modified()).ok()?.elapsed().ok()
}

fn certificates((path, pem): (PathBuf, Vec<u8>)) -> Result<Vec<Certificate<'static>>, DirectoryError> {
    let certificates = tls::certificates(&pem).map_err(strange(&path))?;
    if certificates.is_empty() {
        return Err(DirectoryError::File(path, "expected a certificate in PEM".to_owned()));
    }
    Ok(certificates)
}

fn strange<E: std::fmt::Display>(path: &Path) -> impl Fn(E) -> DirectoryError + '_ {
    move |error| DirectoryError::File(path.to_owned(), error.to_string())
}
