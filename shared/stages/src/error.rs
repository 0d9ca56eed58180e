//! Errors of stages: ours, so they become a retry, then the dead-letter queue and an alarm. Refusals are not here.

use crate::ports::{BlobError, FactsError, PasswordsError, ScannerError, SignerError};

/// Why a stage did not finish. The debt stays; running it again is always right.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The table.
    #[error("reach the facts")]
    Facts(#[from] FactsError),
    /// The blobs.
    #[error("reach the blobs")]
    Blobs(#[from] BlobError),
    /// The keeper of the key.
    #[error("sign")]
    Signer(#[from] SignerError),
    /// The scanner.
    #[error("scan")]
    Scanner(#[from] ScannerError),
    /// The hash of passwords.
    #[error("judge a password")]
    Passwords(#[from] PasswordsError),
    /// No fresh revocation list: the message waits (spec 0.2 D15).
    #[error("find a fresh revocation list of who certified the signer")]
    NoRevocationList,
    /// Somebody else committed in between; run again.
    #[error("commit: another copy was faster")]
    Raced,
    /// A stored thing contradicts itself: a human looks.
    #[error("make sense of {0}")]
    Damaged(String),
    /// A message could not be composed.
    #[error("compose")]
    Compose(#[from] pec::ComposeError),
    /// The CMS structure could not be made.
    #[error("assemble the signature")]
    Cms(#[from] smime::SignError),
}

/// An error with its sources, on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
