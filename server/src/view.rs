//! What the holder of a mailbox sees of its letters and messages, whichever way it looks: the HTTPS door and the
//! commands read it here, on either form.

use bytes::Bytes;
use pec::{Address, Instant, RecipientKind};
use stages::{
    Rim, SpoolId, StageError,
    log::{Event, LogEntry},
    mailbox::{self, Folder, Named},
    registry::Mailbox,
};

use crate::http::wire::{self, Outcome, Progress, Recipient};

/// Messages of one page.
pub const PAGE: usize = 200;

/// The right side of the PEC ids of what a mailbox sends; `None` if its domain is not here any more.
///
/// # Errors
/// [`StageError`]
pub async fn pec_domain(rim: &Rim, mailbox: &Mailbox) -> Result<Option<String>, StageError> {
    let Some(domain) = rim.domain(&mailbox.address).await? else { return Ok(None) };
    Ok(Some(rim.environment(&domain.environment).await?.mail_domain))
}

/// How a letter fares, by PEC id or by spool id; `None` for what was not looked at yet, or is not this mailbox's.
///
/// # Errors
/// [`StageError`]
pub async fn progress(rim: &Rim, mailbox: &Mailbox, id: &str) -> Result<Option<Progress>, StageError> {
    let pec_id = match SpoolId::parse(id) {
        Some(spool) => match pec_domain(rim, mailbox).await? {
            Some(domain) => spool.pec_id(&domain),
            None => return Ok(None),
        },
        None => id.to_owned(),
    };
    let found = mailbox::progress(rim, &pec_id).await?;
    let Some(own) = found.filter(|progress| progress.head.sender == mailbox.id) else { return Ok(None) };
    let mut shown = letter(own);
    // A row takes no note of a take-charge that comes after its outcome, nor of our own before it; the log has it
    // whenever it came.
    let silent = |r: &Recipient| {
        r.certified && matches!(r.outcome, None | Some(Outcome::Delivered)) && r.taken_in_charge_at.is_none()
    };
    if shown.recipients.iter().any(silent) {
        let log = rim.facts.log(&shown.pec_id).await?;
        for recipient in shown.recipients.iter_mut().filter(|r| silent(r)) {
            recipient.taken_in_charge_at = taken_in_charge_at(&log, &recipient.address);
        }
    }
    Ok(Some(shown))
}

/// The folders of a mailbox.
///
/// # Errors
/// [`StageError`]
pub async fn folders(rim: &Rim, mailbox: &Mailbox) -> Result<wire::Folders, StageError> {
    let folders = mailbox::folders(rim, &mailbox.id).await?;
    let shown = |folder: Folder| wire::Folder {
        name: folder.name,
        uidvalidity: folder.state.uidvalidity,
        uidnext: folder.state.uidnext,
        exists: u64::from(folder.state.exists),
    };
    Ok(wire::Folders { folders: folders.into_iter().map(shown).collect() })
}

/// Messages of a folder with a higher UID than `after`, in order, at most `limit`; `None` without that folder.
///
/// # Errors
/// [`StageError`]
pub async fn page(
    rim: &Rim,
    mailbox: &Mailbox,
    folder: &str,
    after: u32,
    limit: usize,
) -> Result<Option<wire::Page>, StageError> {
    let Some(folder) = named(rim, mailbox, folder).await? else { return Ok(None) };
    let messages = mailbox::list(rim, &mailbox.id, &folder.id, after, limit).await?;
    let next = (messages.len() == limit).then(|| messages.last().map(|message| message.uid)).flatten();
    let messages = messages.into_iter().map(|message| entry(message, &folder.name)).collect();
    Ok(Some(wire::Page { messages, next }))
}

/// The stored octets of a message; `None` if it is not there.
///
/// # Errors
/// [`StageError`]
pub async fn message(
    rim: &Rim,
    mailbox: &Mailbox,
    folder: &str,
    uid: u32,
) -> Result<Option<Bytes>, StageError> {
    let Some(folder) = named(rim, mailbox, folder).await? else { return Ok(None) };
    match mailbox::message(rim, &mailbox.id, &folder.id, uid).await? {
        Some(message) => Ok(Some(rim.blob(&message.blob).await?)),
        None => Ok(None),
    }
}

async fn named(rim: &Rim, mailbox: &Mailbox, name: &str) -> Result<Option<Named>, StageError> {
    Ok(mailbox::tree(rim, &mailbox.id).await?.find(name).cloned())
}

fn entry(message: mailbox::Message, folder: &str) -> wire::Message {
    let summary = message.summary;
    wire::Message {
        uid: message.uid,
        folder: folder.to_owned(),
        kind: summary.kind.map(|kind| kind.words().value.to_owned()),
        subject: summary.subject,
        message_id: summary.message_id,
        pec_id: summary.pec_id,
        size_bytes: summary.size_bytes,
        received_at: message.received_at,
    }
}

/// When the recipient's provider took the letter in charge, ours or another one.
fn taken_in_charge_at(log: &[LogEntry], recipient: &Address) -> Option<Instant> {
    let about = |entry: &&LogEntry| {
        matches!(entry.event, Event::TakenInCharge | Event::TakeChargeRecorded)
            && entry.recipients.iter().any(|address| address.eq_ignore_ascii_case(recipient.as_str()))
    };
    log.iter().filter(about).map(|entry| entry.at).min()
}

fn letter(progress: mailbox::Progress) -> Progress {
    let head = progress.head;
    let recipients = progress.recipients.into_iter().map(|row| Recipient {
        address: row.recipient.address,
        certified: row.recipient.kind == RecipientKind::Certified,
        taken_in_charge_at: row.clocks.taken_in_charge_at,
        outcome: row.outcome.map(|outcome| match outcome {
            stages::rows::Outcome::Delivered => Outcome::Delivered,
            stages::rows::Outcome::Failed => Outcome::Failed,
            stages::rows::Outcome::Virus => Outcome::Virus,
            stages::rows::Outcome::Expired => Outcome::Expired,
            stages::rows::Outcome::Relayed => Outcome::Relayed,
        }),
    });
    Progress {
        pec_id: head.letter.pec_id,
        accepted_at: head.refused.is_none().then_some(head.accepted_at),
        refused: head.refused,
        sealed: progress.sealed,
        recipients: recipients.collect(),
    }
}
