//! Reading of messages, and what is kept to read less.

use super::{
    UidSet,
    rows::{MailboxHead, Message, partition},
};
use crate::{
    Rim, StageError,
    ids::MailboxId,
    lay,
    ports::Table,
    rim::{Draft, Found, typed},
};

/// Octets of [`Message::structure`], at most: a message with a larger one is read anew.
pub const STRUCTURE_BYTES_MAX: usize = 16 * 1024;

/// Rows that are read in one go are read as a range, where at most so many of it are for nothing for each that is not.
const SPARSE: u64 = 3;

/// Rows that are read at a time.
const ROWS: usize = 500;

/// Messages of a folder with a UID above `after`, in order; at most `limit`. What their flags are now is in a
/// [`View`](super::View).
///
/// # Errors
/// [`StageError::Facts`]
pub async fn list(
    rim: &Rim,
    mailbox: &MailboxId,
    folder: &str,
    after: u32,
    limit: usize,
) -> Result<Vec<Message>, StageError> {
    let after = Message::key_of(mailbox, folder, after).sk;
    let prefix = Message::prefix(folder);
    let page = rim.facts.query(Table::Mailboxes, &partition(mailbox), &prefix, Some(&after), limit).await?;
    let messages = page.rows.into_iter().map(|stored| Ok(typed::<Message>(stored)?.value));
    messages.collect()
}

/// One message of a folder.
///
/// # Errors
/// [`StageError::Facts`]
pub async fn message(
    rim: &Rim,
    mailbox: &MailboxId,
    folder: &str,
    uid: u32,
) -> Result<Option<Message>, StageError> {
    Ok(rim.read(&Message::key_of(mailbox, folder, uid)).await?.map(|f: Found<Message>| f.value))
}

/// Messages of a folder by their UIDs, in order; those that are not there are left out. A session asks for some
/// hundreds at a time, so as not to hold more.
///
/// # Errors
/// [`StageError::Facts`]
pub async fn messages(
    rim: &Rim,
    mailbox: &MailboxId,
    folder: &str,
    uids: &UidSet,
) -> Result<Vec<Message>, StageError> {
    Ok(rows(rim, mailbox, folder, uids).await?.into_iter().map(|found| found.value).collect())
}

/// The same with their versions.
pub(super) async fn rows(
    rim: &Rim,
    mailbox: &MailboxId,
    folder: &str,
    uids: &UidSet,
) -> Result<Vec<Found<Message>>, StageError> {
    let (Some(first), Some(last)) = (uids.first(), uids.last()) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    if u64::from(last - first) < uids.len().saturating_mul(SPARSE + 1) {
        let mut after = first - 1;
        loop {
            let sk = Message::key_of(mailbox, folder, after).sk;
            let limit = ROWS.min((last - after) as usize);
            let prefix = Message::prefix(folder);
            let page =
                rim.facts.query(Table::Mailboxes, &partition(mailbox), &prefix, Some(&sk), limit).await?;
            for stored in page.rows {
                let row: Found<Message> = typed(stored)?;
                after = row.value.uid;
                if after <= last && uids.contains(after) {
                    found.push(row);
                }
            }
            if page.next.is_none() || after >= last {
                return Ok(found);
            }
        }
    }
    for uid in uids.iter() {
        found.extend(rim.read(&Message::key_of(mailbox, folder, uid)).await?);
    }
    Ok(found)
}

/// Keeps what a door found out about the form of messages in their rows, for the next time. Nothing is lost where
/// that does not work: a message that was moved or removed meanwhile, or a structure that is too large, is left out.
///
/// # Errors
/// [`StageError::Facts`]
pub async fn keep_structures(rim: &Rim, structures: Vec<(Message, String)>) -> Result<(), StageError> {
    let mut draft = Draft::new();
    for (message, structure) in structures {
        if structure.len() > STRUCTURE_BYTES_MAX {
            continue;
        }
        let key = Message::key_of(&message.mailbox, &message.folder, message.uid);
        if let Some(mut found) = rim.read::<Message>(&key).await?.filter(|f| f.value.blob == message.blob) {
            found.value.structure = Some(structure);
            draft.replace(found.version, &found.value, None)?;
        }
        if lay::is_full(&draft) {
            ignore_race(rim.commit(std::mem::take(&mut draft)).await)?;
        }
    }
    if draft.items() > 0 {
        ignore_race(rim.commit(draft).await)?;
    }
    Ok(())
}

fn ignore_race(result: Result<(), StageError>) -> Result<(), StageError> {
    match result {
        Err(StageError::Raced) => Ok(()),
        other => other,
    }
}

/// What a mailbox holds (RFC 9208 STORAGE and MESSAGE). Its limit is in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Octets of all messages.
    pub bytes: u64,
    /// Their number.
    pub messages: u64,
}

/// What a mailbox holds.
///
/// # Errors
/// [`StageError::Facts`]
pub async fn quota(rim: &Rim, mailbox: &MailboxId) -> Result<Quota, StageError> {
    let head = rim.read::<MailboxHead>(&MailboxHead::key_of(mailbox)).await?.map(|f| f.value);
    Ok(head.map_or(Quota { bytes: 0, messages: 0 }, |h| Quota { bytes: h.bytes, messages: h.count }))
}
