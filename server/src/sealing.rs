//! The seal of the legal log of the embedded form: its folder, who says when, and the look whether one is due.

use std::{path::Path, sync::Arc, time::Duration};

use directory::timestamps::{Authority, StampError};
use embedded::segments::{FileTail, SegmentFolder};
use machine::{RandomIds, Stamps};
use stages::{
    Rim,
    sealing::{Sealer, Timestamps},
};

use crate::folder::{Folder, FolderError};

/// How often it is looked whether one is due.
const LOOK: Duration = Duration::from_secs(60);
/// After a failure.
const RETRY: Duration = Duration::from_secs(300);
/// Authorities are smaller.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// Why there is no authority. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Its certificates.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// What was set.
    #[error(transparent)]
    Stamp(#[from] StampError),
}

/// An authority of timestamps at this URL, certified by one of those in this file.
///
/// # Errors
/// [`AuthorityError`]
pub fn authority(url: &str, ca: &Path) -> Result<Stamps, AuthorityError> {
    let pem = Folder::read(ca, PEM_BYTES_MAX)?;
    Ok(Stamps::new(Arc::new(Authority::new(url, &pem)?), RandomIds::new()))
}

/// Seals the log for as long as it is polled.
pub async fn keep(rim: Rim, folder: Folder, environment: String, stamps: Option<Stamps>) {
    if stamps.is_none() {
        tracing::warn!("seals of the log have no timestamp: the law asks for one each day (--timestamps)");
    }
    loop {
        let wait = match seal(&rim, &folder, &environment, stamps.as_ref()).await {
            Ok(0) => LOOK,
            Ok(segments) => {
                tracing::info!(segments, "the log was sealed");
                LOOK
            }
            Err(error) => {
                tracing::error!(alarm = "seal", error, "the log is not sealed");
                RETRY
            }
        };
        tokio::time::sleep(wait).await;
    }
}

async fn seal(rim: &Rim, folder: &Folder, environment: &str, stamps: Option<&Stamps>) -> Result<u64, String> {
    let store = SegmentFolder::open(&folder.seals()).map_err(|error| error.to_string())?;
    let tail = FileTail::new(folder.root());
    let timestamps = stamps.map(|stamps| stamps as &dyn Timestamps);
    let sealer = Sealer { tail: &tail, store: &store, signer: rim.signer.as_ref(), environment, timestamps };
    sealer.seal(rim.now()).await.map_err(|error| crate::command::chain(&error))
}
