//! APPEND: a client puts a message into a folder (RFC 9051 §6.3.12).

use mime::{Headers, Limits, Rope};
use pec::Instant;

use super::{MailboxError, RACES_MAX, Refusal, STRUCTURE_BYTES_MAX, desk::Desk, making::Made, rows::Message};
use crate::{Rim, StageError, ids::MailboxId, rows::Summary};

/// Octets at the beginning of a message that are looked at for its header.
const HEAD_BYTES: usize = 64 * 1024;

/// Characters of a text that the mailbox shows, at most.
const SHOWN_MAX: usize = 500;

/// A message that a client appends.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Its octets, kept as they are.
    pub octets: Rope,
    /// Names of flags.
    pub flags: Vec<String>,
    /// INTERNALDATE, if the client says one.
    pub received_at: Option<Instant>,
    /// See [`Message::structure`]; one that is too large is not kept.
    pub structure: Option<String>,
}

/// Where it is: APPENDUID (RFC 4315 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Of the folder.
    pub uidvalidity: u32,
    /// Of the message.
    pub uid: u32,
}

/// Puts a message into a folder (by id). It is durable when this answers.
///
/// # Errors
/// [`Refusal::NoFolder`] (TRYCREATE), [`Refusal::OverQuota`], [`Refusal::BadFlag`], [`Refusal::TooMany`] keywords;
/// [`MailboxError::Stage`]: whether it is there is not known.
pub async fn append(
    rim: &Rim,
    mailbox: &MailboxId,
    folder: &str,
    message: NewMessage,
    quota_bytes: u64,
) -> Result<Appended, MailboxError> {
    // 1. Nothing is stored of what will be refused.
    let size_bytes = message.octets.len() as u64;
    let mut desk = Desk::open(rim, mailbox).await?;
    desk.folder_mut(rim, folder).await?.keywords.learn(&message.flags)?;
    if desk.head().bytes.saturating_add(size_bytes) > quota_bytes {
        return Err(Refusal::OverQuota.into());
    }

    // 2. The octets. Power fails after it: they go in an hour, and the client was told nothing.
    let at = rim.now();
    let summary = summary(&message.octets, size_bytes, message.received_at.unwrap_or(at));
    let structure = message.structure.filter(|text| text.len() <= STRUCTURE_BYTES_MAX);
    let made = Made::begin(rim, mailbox, 1).await?;
    for blob in made.blobs() {
        rim.blobs.put_if_absent(blob, message.octets.clone()).await?;
    }

    // 3. One commit.
    let named =
        Named { folder, flags: &message.flags, at: message.received_at.unwrap_or(at), summary, structure };
    match name(rim, mailbox, &made, &named, quota_bytes).await {
        Err(MailboxError::Refused(refusal)) => {
            made.undo(rim).await;
            Err(refusal.into())
        }
        other => other,
    }
}

struct Named<'a> {
    folder: &'a str,
    flags: &'a [String],
    at: Instant,
    summary: Summary,
    structure: Option<String>,
}

async fn name(
    rim: &Rim,
    mailbox: &MailboxId,
    made: &Made,
    named: &Named<'_>,
    quota_bytes: u64,
) -> Result<Appended, MailboxError> {
    let size_bytes = named.summary.size_bytes;
    for _ in 0..RACES_MAX {
        let mut desk = Desk::open(rim, mailbox).await?;
        let head = desk.head_mut();
        head.bytes = head.bytes.saturating_add(size_bytes);
        head.count += 1;
        if head.bytes > quota_bytes {
            return Err(Refusal::OverQuota.into());
        }
        let state = desk.folder_mut(rim, named.folder).await?;
        let flags = state.keywords.learn(named.flags)?;
        let (uid, modseq) = state.arrives(size_bytes, flags).ok_or_else(|| {
            StageError::Damaged(format!("folder {} of {mailbox}: no UID left", named.folder))
        })?;
        let appended = Appended { uidvalidity: state.uidvalidity, uid };
        for blob in made.blobs() {
            let message = Message {
                mailbox: mailbox.clone(),
                folder: named.folder.to_owned(),
                uid,
                blob: blob.clone(),
                summary: named.summary.clone(),
                filed_flags: flags,
                filed_modseq: modseq,
                received_at: named.at,
                structure: named.structure.clone(),
            };
            desk.draft.insert(&message, None)?;
        }
        made.done(&mut desk.draft);
        match desk.commit(rim).await {
            Err(StageError::Raced) => {}
            other => {
                other?;
                return Ok(appended);
            }
        }
    }
    Err(StageError::Raced.into())
}

/// What the mailbox shows of a message that no stage has made.
fn summary(octets: &Rope, size_bytes: u64, at: Instant) -> Summary {
    let head = octets.slice(0..octets.len().min(HEAD_BYTES)).to_bytes();
    let headers = Headers::parse(&head, &Limits::default()).ok().map(|(headers, _)| headers);
    let field = |name: &str| {
        let field = headers.as_ref().and_then(|h| h.first(name));
        field.map(|f| f.decoded().chars().take(SHOWN_MAX).collect::<String>()).unwrap_or_default()
    };
    Summary {
        kind: None,
        from: field("From"),
        subject: field("Subject"),
        message_id: field("Message-ID"),
        pec_id: None,
        size_bytes,
        at,
    }
}
