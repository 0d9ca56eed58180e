//! The small ports: clock, randomness, index file, and the carrier that there is not yet.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use aws_lc_rs::rand;
use pec::{Index, Instant};
use stages::ports::{Carrier, Clock, Directory, Errand, Ids, Relayed};

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Instant::from_unix_s(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }
}

/// The crypto library's random generator, drawn in blocks: it is asked for a seed with every act.
#[derive(Debug, Default)]
pub struct RandomIds {
    block: Mutex<Vec<u128>>,
}

impl Ids for RandomIds {
    #[allow(
        clippy::panic,
        reason = "without randomness nothing may go on: an id that repeats would merge two letters"
    )]
    fn fresh(&self) -> u128 {
        let mut block = self.block.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = block.pop() {
            return one;
        }
        let mut bytes = [0; 16 * 64];
        if rand::fill(&mut bytes).is_err() {
            panic!("the random generator gives nothing");
        }
        block.extend(bytes.as_chunks::<16>().0.iter().map(|b| u128::from_be_bytes(*b)));
        block.pop().unwrap_or_default()
    }
}

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

/// No way out yet: the mail doors bring the SMTP client. Everything that goes to others stays owed, and the clocks of
/// RFC 6109 §3.1.6 tell the sender.
#[derive(Debug, Default)]
pub struct NoCarrier {
    said: AtomicBool,
}

#[async_trait]
impl Carrier for NoCarrier {
    async fn carry(&self, errand: Errand) -> Vec<Relayed> {
        if !self.said.swap(true, Ordering::Relaxed) {
            tracing::warn!("this provider has no SMTP door yet: what goes to other systems waits");
        }
        let later = Relayed::Later { answer: "no SMTP door".to_owned() };
        vec![later; errand.recipients.len()]
    }
}
