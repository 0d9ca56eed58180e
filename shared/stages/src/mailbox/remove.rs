//! EXPUNGE: messages go, their octets with them (RFC 9051 §6.4.3, RFC 4315 §2.1).

use super::{
    Entry, Flags, MailboxError, RACES_MAX, UidSet, View,
    leaving::Leaving,
    rows::{ChangeRow, Message},
};
use crate::{Rim, StageError, rim::Body};

/// Messages of one commit, at most: each is an item of it, beside the folder, the mailbox and the change.
const MESSAGES_MAX: usize = 90;

/// Removes messages with `\Deleted`, all or those `within` (UID EXPUNGE). Answers which; many take several commits.
///
/// # Errors
/// [`Refusal::NoFolder`](super::Refusal); [`MailboxError::Stage`]: what went before it is out of the view.
pub async fn expunge(rim: &Rim, view: &mut View, within: Option<&UidSet>) -> Result<UidSet, MailboxError> {
    let all = UidSet::range(1, u32::MAX);
    let mut removed = UidSet::new();
    // Until none is left: one that another session moves within the folder has another UID then.
    for _ in 0..RACES_MAX {
        view.refresh(rim).await?;
        let deleted = view.among(within.unwrap_or(&all)).filter(|e| is_deleted(e));
        let uids: Vec<u32> = deleted.map(|e| e.uid).collect();
        if uids.is_empty() {
            break;
        }
        removed.extend(&remove_all(rim, view, &uids, is_deleted).await?);
    }
    Ok(removed)
}

/// Removes messages whatever their flags (POP3 DELE). Answers which were there.
///
/// # Errors
/// As [`expunge`].
pub async fn remove(rim: &Rim, view: &mut View, uids: &UidSet) -> Result<UidSet, MailboxError> {
    let uids: Vec<u32> = view.among(uids).map(|e| e.uid).collect();
    remove_all(rim, view, &uids, |_| true).await
}

const fn is_deleted(entry: &Entry) -> bool {
    entry.flags.contains(Flags::DELETED)
}

async fn remove_all(
    rim: &Rim,
    view: &mut View,
    uids: &[u32],
    wanted: fn(&Entry) -> bool,
) -> Result<UidSet, MailboxError> {
    let mut removed = UidSet::new();
    for some in uids.chunks(MESSAGES_MAX) {
        removed.extend(&remove_some(rim, view, some, wanted).await?);
    }
    Ok(removed)
}

async fn remove_some(
    rim: &Rim,
    view: &mut View,
    uids: &[u32],
    wanted: fn(&Entry) -> bool,
) -> Result<UidSet, MailboxError> {
    for _ in 0..RACES_MAX {
        // 1. Which of them are there, and still wanted: somebody may have undeleted one.
        let Some(leaving) = Leaving::look(rim, view, uids, wanted).await? else { continue };
        let Leaving { mut desk, entries, rows, gone } = leaving;
        if entries.is_empty() {
            return Ok(gone);
        }

        // 2. One commit: rows, counters, what clients are told, and the debt of the octets.
        let (mailbox, id) = (view.mailbox.clone(), view.state.id.clone());
        let head = desk.head_mut();
        head.count = head.count.saturating_sub(entries.len() as u64);
        head.bytes = rows.iter().fold(head.bytes, |n, m| n.saturating_sub(m.value.summary.size_bytes));
        let state = desk.folder_mut(rim, &id).await?;
        state.highestmodseq += 1;
        for (entry, row) in entries.iter().zip(&rows) {
            state.leaves(row.value.summary.size_bytes, entry.flags);
        }
        let state = state.clone();
        let blobs = rows.iter().map(|found| found.value.blob.clone()).collect();
        let change = ChangeRow { gone: gone.clone(), blobs, ..ChangeRow::new(&mailbox, &state) };
        let debt = change.debt(desk.at);
        desk.draft.insert(&change, debt)?;
        for found in &rows {
            desk.draft.delete(Message::key(&found.value), found.version);
        }
        match desk.commit(rim).await {
            Err(StageError::Raced) => continue,
            other => other?,
        }
        view.remove(&gone);
        view.state = state;
        return Ok(gone);
    }
    Err(StageError::Raced.into())
}
