//! What the inbound door answers before the stage runs (spec 0.2 D13).

use bytes::Bytes;
use pec::{Instant, Transaction, reception::Verdict};

use super::{addressed, bounce};
use crate::{Rim, StageError};

/// What the door may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classified {
    /// `250`: PEC, or about a letter of ours. `receive` decides again.
    Take,
    /// `250`: ordinary mail that somebody takes, as far as can be seen.
    Ordinary,
    /// `550 5.1.1`: ordinary mail, and no recipient exists.
    NoSuchMailbox,
    /// `554 5.7.1`: ordinary mail, and every recipient refuses it.
    OrdinaryRefused,
}

/// Whether a message is certainly ordinary mail that all its recipients refuse: V1 to V3 over the octets as they
/// came. Nothing is stored, nothing is logged.
///
/// # Errors
/// [`StageError::Facts`]: the door answers `451`.
pub async fn classify(
    rim: &Rim,
    message: &Bytes,
    transaction: &Transaction,
    at: Instant,
) -> Result<Classified, StageError> {
    let index = rim.directory.index();
    let examination = pec::reception::examine(message, transaction, at, &index, &rim.verifier);
    // What waits for a fresh revocation list is not judged here (0.2 D15).
    let waits = matches!(examination.revocation, smime::Standing::Stale(_));
    if waits || !matches!(examination.verdict, Verdict::Ordinary { .. }) {
        return Ok(Classified::Take);
    }
    let addressed = addressed::resolve(rim, &transaction.forward_paths).await?;
    if addressed.iter().any(|a| a.takes_ordinary().is_some()) {
        return Ok(Classified::Ordinary);
    }
    // A bounce about a letter of ours is for everybody who exists, and for the service address (D13, D17).
    if bounce::quoted(rim, message, transaction).await?.is_some() {
        return Ok(Classified::Take);
    }
    let unknown = addressed.iter().all(|a| a.mailbox.is_none());
    Ok(if unknown { Classified::NoSuchMailbox } else { Classified::OrdinaryRefused })
}
