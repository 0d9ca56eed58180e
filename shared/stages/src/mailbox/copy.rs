//! COPY and MOVE (RFC 9051 §6.4.7, §6.4.8; RFC 4315 §3).

use std::sync::Arc;

use super::{
    Entry, Flags, Keywords, MailboxError, RACES_MAX, Refusal, UidSet, View,
    desk::Desk,
    leaving::Leaving,
    making::Made,
    read,
    rows::{ChangeRow, FolderState, Message},
};
use crate::{
    BlobKey, Rim, StageError,
    ports::BlobError,
    rim::{Body, Found},
};

/// Messages that one commit copies, at most.
const COPIES_MAX: usize = 90;
/// Messages that one commit moves, at most: each is a row that goes and a row that comes.
const MOVES_MAX: usize = 45;

/// Where messages are now: COPYUID.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// UIDVALIDITY of the folder that they are in.
    pub uidvalidity: u32,
    /// For each that was there: its UID before and now, in order.
    pub uids: Vec<(u32, u32)>,
}

/// Copies messages into a folder (by id), with flags and date. All of them or, where something fails, none; if power
/// fails in between, some may be there.
///
/// # Errors
/// [`Refusal::NoFolder`]: the view's, or the other one (TRYCREATE); [`Refusal::OverQuota`]; [`MailboxError::Stage`].
pub async fn copy(
    rim: &Rim,
    view: &mut View,
    uids: &UidSet,
    to: &str,
    quota_bytes: u64,
) -> Result<Copied, MailboxError> {
    // All of it fits, or nothing is begun.
    view.refresh(rim).await?;
    let mut desk = Desk::open(rim, &view.mailbox).await?;
    let mut copied = Copied { uidvalidity: desk.folder(rim, to).await?.uidvalidity, uids: Vec::new() };
    let bytes: u64 = view.among(uids).map(|e| u64::from(e.size_bytes)).sum();
    if bytes > 0 && desk.head().bytes.saturating_add(bytes) > quota_bytes {
        return Err(Refusal::OverQuota.into());
    }
    let all: Vec<u32> = view.among(uids).map(|e| e.uid).collect();
    for some in all.chunks(COPIES_MAX) {
        match copy_some(rim, view, some, to, quota_bytes).await {
            Ok(uids) => copied.uids.extend(uids),
            Err(error) => {
                undo(rim, view, to, &copied).await;
                return Err(error);
            }
        }
    }
    Ok(copied)
}

/// A copy that failed leaves the folder as it was (RFC 9051 §6.4.7), if that is possible.
async fn undo(rim: &Rim, view: &View, to: &str, copied: &Copied) {
    let uids: UidSet = copied.uids.iter().map(|(_, new)| *new).collect();
    if uids.is_empty() {
        return;
    }
    let undone = async { super::remove(rim, &mut View::open(rim, &view.mailbox, to).await?, &uids).await };
    if let Err(error) = Box::pin(undone).await {
        tracing::warn!(error = %error, "a copy that failed could not be taken back");
    }
}

async fn copy_some(
    rim: &Rim,
    view: &mut View,
    uids: &[u32],
    to: &str,
    quota_bytes: u64,
) -> Result<Vec<(u32, u32)>, MailboxError> {
    for _ in 0..RACES_MAX {
        // 1. What is there of them.
        let wanted: UidSet = uids.iter().copied().collect();
        let rows = read::rows(rim, &view.mailbox, &view.state.id, &wanted).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }

        // 2. Their octets under names of their own.
        let made = Made::begin(rim, &view.mailbox, rows.len()).await?;
        let from: Vec<BlobKey> = rows.iter().map(|found| found.value.blob.clone()).collect();
        match made.copy(rim, &from).await {
            Ok(()) => {}
            // One was removed meanwhile.
            Err(StageError::Blobs(BlobError::Missing(_))) => {
                made.undo(rim).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        }

        // 3. One commit.
        match name_copies(rim, view, &rows, &made, to, quota_bytes).await {
            Err(MailboxError::Refused(refusal)) => {
                made.undo(rim).await;
                return Err(refusal.into());
            }
            other => return other,
        }
    }
    Err(StageError::Raced.into())
}

async fn name_copies(
    rim: &Rim,
    view: &mut View,
    rows: &[Found<Message>],
    made: &Made,
    to: &str,
    quota_bytes: u64,
) -> Result<Vec<(u32, u32)>, MailboxError> {
    for _ in 0..RACES_MAX {
        let mut desk = Desk::open(rim, &view.mailbox).await?;
        let state = desk.folder(rim, &view.state.id).await?.clone();
        view.catch_up(rim, state).await?;
        let bytes: u64 = rows.iter().map(|found| found.value.summary.size_bytes).sum();
        let head = desk.head_mut();
        head.bytes = head.bytes.saturating_add(bytes);
        head.count += rows.len() as u64;
        if head.bytes > quota_bytes {
            return Err(Refusal::OverQuota.into());
        }
        let target = desk.folder_mut(rim, to).await?;
        let mut new = Vec::with_capacity(rows.len());
        for (found, blob) in rows.iter().zip(made.blobs()) {
            let flags = flags_of(view, &found.value);
            let message = Message { blob: blob.clone(), ..found.value.clone() };
            new.push(arrive(target, message, flags, &view.state.keywords)?);
        }
        for message in &new {
            desk.draft.insert(message, None)?;
        }
        made.done(&mut desk.draft);
        match desk.commit(rim).await {
            Err(StageError::Raced) => {}
            other => {
                other?;
                return Ok(rows.iter().zip(new).map(|(old, new)| (old.value.uid, new.uid)).collect());
            }
        }
    }
    Err(StageError::Raced.into())
}

/// The flags of a message now; of one that was removed meanwhile, those it came with.
fn flags_of(view: &View, message: &Message) -> Flags {
    view.entry(message.uid).map_or(message.filed_flags, |e| e.flags)
}

/// A message as it comes into another folder: under its next UID, with the same flags as far as the folder has room
/// for their keywords.
fn arrive(
    target: &mut FolderState,
    message: Message,
    flags: Flags,
    keywords: &Keywords,
) -> Result<Message, StageError> {
    let mut translated = Flags::NONE;
    for name in keywords.names(flags) {
        if let Ok(flag) = target.keywords.learn(&[name]) {
            translated = translated.with(flag);
        }
    }
    let (uid, modseq) = target.arrives(message.summary.size_bytes, translated).ok_or_else(|| {
        StageError::Damaged(format!("folder {} of {}: no UID left", target.id, message.mailbox))
    })?;
    let (folder, filed_flags, filed_modseq) = (target.id.clone(), translated, modseq);
    Ok(Message { folder, uid, filed_flags, filed_modseq, ..message })
}

/// Moves messages into a folder (by id), with flags and date. Each is moved by one commit, and many take several; the
/// octets stay where they are.
///
/// # Errors
/// [`Refusal::NoFolder`]: the view's, or the other one (TRYCREATE); [`MailboxError::Stage`]: what went before it is
/// out of the view.
pub async fn move_to(rim: &Rim, view: &mut View, uids: &UidSet, to: &str) -> Result<Copied, MailboxError> {
    let mut desk = Desk::open(rim, &view.mailbox).await?;
    let mut moved = Copied { uidvalidity: desk.folder(rim, to).await?.uidvalidity, uids: Vec::new() };
    let all: Vec<u32> = view.among(uids).map(|e| e.uid).collect();
    for some in all.chunks(MOVES_MAX) {
        moved.uids.extend(move_some(rim, view, some, to).await?);
    }
    Ok(moved)
}

async fn move_some(
    rim: &Rim,
    view: &mut View,
    uids: &[u32],
    to: &str,
) -> Result<Vec<(u32, u32)>, MailboxError> {
    for _ in 0..RACES_MAX {
        // 1. Which of them are there.
        let Some(leaving) = Leaving::look(rim, view, uids, |_| true).await? else { continue };
        let Leaving { mut desk, entries, rows, gone } = leaving;
        if entries.is_empty() {
            return Ok(Vec::new());
        }

        // 2. One commit: out of the one folder, into the other.
        let id = view.state.id.clone();
        let source = desk.folder_mut(rim, &id).await?;
        source.highestmodseq += 1;
        for (entry, row) in entries.iter().zip(&rows) {
            source.leaves(row.value.summary.size_bytes, entry.flags);
        }
        let change = ChangeRow { gone: gone.clone(), ..ChangeRow::new(&view.mailbox, source) };
        let target = desk.folder_mut(rim, to).await?;
        let mut new = Vec::with_capacity(rows.len());
        for (entry, row) in entries.iter().zip(&rows) {
            new.push(arrive(target, row.value.clone(), entry.flags, &view.state.keywords)?);
        }
        let state = desk.folder(rim, &id).await?.clone();
        desk.draft.insert(&change, None)?;
        for (old, new) in rows.iter().zip(&new) {
            desk.draft.delete(old.value.key(), old.version);
            desk.draft.insert(new, None)?;
        }
        match desk.commit(rim).await {
            Err(StageError::Raced) => continue,
            other => other?,
        }
        view.remove(&gone);
        view.state = state;
        if to == id {
            Arc::make_mut(&mut view.entries).extend(new.iter().map(Entry::from));
            view.pending.arrived.extend(&new.iter().map(|m| m.uid).collect());
        }
        return Ok(rows.iter().zip(new).map(|(old, new)| (old.value.uid, new.uid)).collect());
    }
    Err(StageError::Raced.into())
}
