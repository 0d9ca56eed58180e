//! The doors' common half: from bytes in hand to a spool entry that will not be lost (design §4 "Causes have ids").
//!
//! The message is stored first, its ticket after it: the ticket is the commit point. A door answers `250` or `202`
//! when [`submit`] or [`receive`] has returned.

use bytes::Bytes;
use mime::Rope;
use pec::{Address, Instant, Transaction, original};
use serde::{Deserialize, Serialize};

use crate::{
    BlobKey, Job, Rim, SpoolId, StageError, bounds,
    ids::{Door, MailboxId, blob_name},
    ports::{BlobError, RowKey, Table},
    registry::MailboxState,
    rim::{Body, Draft},
    rows::{Scanned, Sighting, Ticket},
};

/// How a message came, for its trace and for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// The door's own name, after `by` in `Received:`.
    pub by: String,
    /// The protocol as `Received:` says it: `ESMTPSA`, `HTTPS`, ...
    pub with: String,
    /// The door: `https`, `smtps`, ...
    pub via: String,
    /// TLS version, or `none`.
    pub tls: String,
}

/// A message of a user who has signed in.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The mailbox that signed in.
    pub account: MailboxId,
    /// MAIL FROM and RCPT TO.
    pub transaction: Transaction,
    /// The message, dot-unstuffed, not otherwise touched.
    pub raw: Bytes,
    /// How it came.
    pub channel: Channel,
    /// Two submissions of one account with one key are one letter; the second must be the same as the first.
    pub idempotency_key: Option<String>,
}

/// A message from outside.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// MAIL FROM and RCPT TO.
    pub transaction: Transaction,
    /// The message, dot-unstuffed, stored as it is.
    pub raw: Bytes,
    /// How it came.
    pub channel: Channel,
}

/// What the SMTP server of somebody else that took a message for us, such as Amazon SES, tells of it.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    /// What its scanner said.
    pub scanned: Option<Scanned>,
    /// Nobody vouches for the reverse path, and nothing can be refused any more: no delivery status notification will
    /// go there (spec 0.2 D13, behind SES).
    pub is_unanswerable: bool,
}

/// Why a door does not take a message. All but the last are answers to the client. Displays finish the sentence
/// "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// F7: the account does not own MAIL FROM, or the mailbox is not active (spec 4.1).
    #[error("send as this address: it is not the account's")]
    NotOwner,
    /// No recipient.
    #[error("send to nobody")]
    NoRecipient,
    /// More recipients than rows can hold, far above the lawful limit, which makes a notice (spec 0.2 D3).
    #[error("take so many recipients")]
    TooManyRecipients,
    /// The account's idempotency key is that of another letter.
    #[error("take another letter under the idempotency key of an earlier one")]
    KeyOfAnother,
    /// Over the technical bound: refused without a notice (RFC 6109 §3.1.2, spec 0.2 D3).
    #[error("take {size_bytes} octets: at most {size_bytes_max}")]
    TooLarge {
        /// What came.
        size_bytes: u64,
        /// The bound.
        size_bytes_max: u64,
    },
    /// Ours: the client tries again.
    #[error("spool the message")]
    Stage(#[from] StageError),
}

/// Takes a letter of a user. When it returns, the letter will end in a receipt or a notice, whatever crashes.
///
/// # Errors
/// [`DoorError`]; after [`DoorError::Stage`] the letter may have been taken or not.
pub async fn submit(rim: &Rim, submission: Submission) -> Result<SpoolId, DoorError> {
    // 1. What a door refuses by itself: size, nobody to send to, somebody else's address (F7).
    let raw_bytes = bounded(rim, &submission.raw, &submission.transaction)?;
    if submission.transaction.forward_paths.is_empty() {
        return Err(DoorError::NoRecipient);
    }
    if !owns(rim, &submission.account, submission.transaction.reverse_path.as_ref()).await? {
        return Err(DoorError::NotOwner);
    }

    // 2. The id, before anything is stored. With an idempotency key it is the one that came first.
    let at = rim.now();
    let fresh = rim.spool_id(at);
    let spool = match &submission.idempotency_key {
        Some(key) => claim(rim, Claim::new(&submission, key, fresh, at)).await?,
        None => fresh,
    };

    // 3. The message with our trace, then the ticket. Power fails in between: nobody was promised anything.
    let Channel { by, with, via, tls } = submission.channel;
    let trace = original::Trace { by, with, id: spool.as_str().to_owned(), at };
    let ticket = Ticket {
        spool: spool.clone(),
        door: Door::Submission,
        transaction: submission.transaction,
        account: Some(submission.account),
        raw_bytes,
        at,
        via,
        tls,
        is_unanswerable: false,
        seen: Sighting::default(),
        scanned: None,
    };
    put(rim, &ticket, original::admit(&submission.raw, &trace)).await?;

    // 4. The hint. Lost: `watch` sweeps the spool.
    hint(rim, Job::Accept { spool: spool.clone() }).await;
    Ok(spool)
}

/// Takes a message from outside, as it is. The octets are not touched: duplicates are known by their digest.
///
/// # Errors
/// [`DoorError`]; after [`DoorError::Stage`] the message may have been taken or not.
pub async fn receive(rim: &Rim, arrival: Arrival) -> Result<SpoolId, DoorError> {
    take(rim, arrival, Sighting::default(), Gate::default()).await
}

/// The same, with what the door saw of the other end.
///
/// # Errors
/// As [`receive`].
pub async fn receive_from(rim: &Rim, arrival: Arrival, seen: Sighting) -> Result<SpoolId, DoorError> {
    take(rim, arrival, seen, Gate::default()).await
}

/// Takes a message that somebody else's SMTP server has taken for us, with what that server knows of it.
///
/// # Errors
/// As [`receive`].
pub async fn receive_behind(rim: &Rim, arrival: Arrival, gate: Gate) -> Result<SpoolId, DoorError> {
    take(rim, arrival, Sighting::default(), gate).await
}

async fn take(rim: &Rim, arrival: Arrival, seen: Sighting, gate: Gate) -> Result<SpoolId, DoorError> {
    let raw_bytes = bounded(rim, &arrival.raw, &arrival.transaction)?;
    if arrival.transaction.forward_paths.is_empty() {
        return Err(DoorError::NoRecipient);
    }
    let at = rim.now();
    let spool = rim.spool_id(at);
    let ticket = Ticket {
        spool: spool.clone(),
        door: Door::Incoming,
        transaction: arrival.transaction,
        account: None,
        raw_bytes,
        at,
        via: arrival.channel.via,
        tls: arrival.channel.tls,
        is_unanswerable: gate.is_unanswerable,
        seen,
        scanned: gate.scanned,
    };
    put(rim, &ticket, Rope::from(arrival.raw)).await?;
    hint(rim, Job::Receive { spool: spool.clone() }).await;
    Ok(spool)
}

/// The ticket of a spool entry.
///
/// # Errors
/// [`StageError::Blobs`]; a hint for an entry without its ticket is a mistake, so that is missing, not nothing.
pub async fn ticket(rim: &Rim, door: Door, spool: &SpoolId) -> Result<Ticket, StageError> {
    let key = BlobKey::spool_ticket(door, spool);
    let json = rim.blob(&key).await?;
    serde_json::from_slice(&json).map_err(|e| BlobError::Damaged(key, e.to_string()).into())
}

/// Which spool entry an idempotency key named first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    account: MailboxId,
    key_sha256: String,
    spool: SpoolId,
    at: Instant,
    /// Digest of transaction and message; none in a row of a release that did not compare them.
    #[serde(default)]
    letter_sha256: Option<String>,
}
impl Claim {
    fn new(submission: &Submission, key: &str, spool: SpoolId, at: Instant) -> Self {
        let Submission { account, transaction, raw, .. } = submission;
        let paths = transaction.reverse_path.iter().chain(&transaction.forward_paths);
        // No address has a line end, and no message begins before the empty line.
        let paths: String = paths.map(|path| format!("{path}\n")).chain(["\n".to_owned()]).collect();
        Self {
            account: account.clone(),
            key_sha256: blob_name(key.as_bytes()),
            spool,
            at,
            letter_sha256: Some(hex::encode(smime::sha256([paths.as_bytes(), raw]))),
        }
    }

    fn key_of(account: &MailboxId, key_sha256: &str) -> RowKey {
        RowKey { table: Table::Letters, pk: format!("claim#{account}#{key_sha256}"), sk: "claim".to_owned() }
    }

    fn is_of_letter(&self, other: &Self) -> bool {
        self.letter_sha256.is_none() || self.letter_sha256 == other.letter_sha256
    }
}
impl Body for Claim {
    const TABLE: Table = Table::Letters;
    fn key(&self) -> RowKey {
        Self::key_of(&self.account, &self.key_sha256)
    }
}

/// How long a claim without its ticket is waited for, in seconds: afterwards the sweep of the spool would not see
/// its entry any more, so a new one takes its place.
const CLAIM_WAIT_S_MAX: i64 = 600;

/// The spool id that belongs to an idempotency key: the claim's own if nobody came before.
async fn claim(rim: &Rim, claim: Claim) -> Result<SpoolId, DoorError> {
    let mut draft = Draft::new();
    match rim.read::<Claim>(&claim.key()).await? {
        None => draft.insert(&claim, None).map_err(StageError::from)?,
        Some(earlier) => {
            let ticket = BlobKey::spool_ticket(Door::Submission, &earlier.value.spool);
            let waiting = claim.at < earlier.value.at.plus_s(CLAIM_WAIT_S_MAX);
            if waiting || rim.blobs.size(&ticket).await.map_err(StageError::from)?.is_some() {
                return first(earlier.value, &claim);
            }
            draft.replace(earlier.version, &claim, None).map_err(StageError::from)?;
        }
    }
    match rim.commit(draft).await {
        Ok(()) => Ok(claim.spool),
        Err(StageError::Raced) => {
            let winner = rim.read::<Claim>(&claim.key()).await?.ok_or(StageError::Raced)?;
            first(winner.value, &claim)
        }
        Err(error) => Err(error.into()),
    }
}

/// The entry of the submission that came first, if this one is the same letter.
fn first(earlier: Claim, this: &Claim) -> Result<SpoolId, DoorError> {
    if earlier.is_of_letter(this) { Ok(earlier.spool) } else { Err(DoorError::KeyOfAnother) }
}

/// The size, if it is within the technical bound and recipients fit into a row.
fn bounded(rim: &Rim, raw: &Bytes, transaction: &Transaction) -> Result<u64, DoorError> {
    let size_bytes = raw.len() as u64;
    let size_bytes_max = rim.limits.technical_bytes_max;
    if size_bytes > size_bytes_max {
        return Err(DoorError::TooLarge { size_bytes, size_bytes_max });
    }
    if !bounds::transaction_fits(transaction) {
        return Err(DoorError::TooManyRecipients);
    }
    Ok(size_bytes)
}

/// F7 (RFC 6109 §5.2, spec 4.1): whether the account owns the reverse path, and may send. [`submit`] asks it again.
///
/// # Errors
/// [`StageError::Facts`]
pub async fn owns(rim: &Rim, account: &MailboxId, sender: Option<&Address>) -> Result<bool, StageError> {
    let Some(sender) = sender else { return Ok(false) };
    let mailbox = rim.mailbox(sender).await?;
    Ok(mailbox.is_some_and(|m| m.id == *account && m.state == MailboxState::Active))
}

async fn put(rim: &Rim, ticket: &Ticket, message: Rope) -> Result<(), StageError> {
    let json = serde_json::to_vec(ticket).map_err(|e| StageError::Damaged(format!("a ticket: {e}")))?;
    rim.blobs.put_if_absent(&BlobKey::spool_message(ticket.door, &ticket.spool), message).await?;
    rim.blobs.put_if_absent(&BlobKey::spool_ticket(ticket.door, &ticket.spool), Rope::from(json)).await?;
    Ok(())
}

async fn hint(rim: &Rim, job: Job) {
    if let Err(error) = rim.queue.send(vec![job.into()]).await {
        tracing::warn!(error = %error, "a hint was not sent, watch will send it");
    }
}
