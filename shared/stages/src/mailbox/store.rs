//! STORE: flags of messages (RFC 9051 §6.4.6, RFC 7162 §3.1.3).

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Entry, Flags, MailboxError, RACES_MAX, UidSet, View,
    desk::Desk,
    flags,
    rows::{ChangeRow, FolderState},
};
use crate::{Rim, StageError};

/// Messages of one commit, at most: their change is one row.
const MESSAGES_MAX: usize = 5000;

/// What STORE does with the flags that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum How {
    /// `FLAGS`: these and no others.
    Replace,
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}

impl How {
    const fn apply(self, before: Flags, named: Flags) -> Flags {
        match self {
            Self::Replace => named,
            Self::Add => before.with(named),
            Self::Remove => before.without(named),
        }
    }
}

/// What became of a STORE. What flags the messages have now is in the view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Messages whose flags are as they were asked to be, changed or not.
    pub done: UidSet,
    /// Messages that changed after `UNCHANGEDSINCE`: MODIFIED.
    pub modified: UidSet,
    /// UIDs of which there is no message, or no more.
    pub missing: UidSet,
}

/// Changes flags of messages. With `unchanged_since`, only of those that did not change after this MODSEQ. Many
/// messages take several commits; each message changes in one of them, and doing all again is right.
///
/// # Errors
/// [`Refusal::BadFlag`](super::Refusal), [`Refusal::TooMany`](super::Refusal) keywords,
/// [`Refusal::NoFolder`](super::Refusal); [`MailboxError::Stage`].
pub async fn store<S: AsRef<str>>(
    rim: &Rim,
    view: &mut View,
    uids: &UidSet,
    how: How,
    names: &[S],
    unchanged_since: Option<u64>,
) -> Result<Stored, MailboxError> {
    let mut stored = Stored::default();
    let all: Vec<u32> = view.among(uids).map(|e| e.uid).collect();
    for some in all.chunks(MESSAGES_MAX) {
        store_some(rim, view, some, how, names, unchanged_since, &mut stored).await?;
    }
    stored.missing = uids.without(&stored.done).without(&stored.modified);
    Ok(stored)
}

async fn store_some<S: AsRef<str>>(
    rim: &Rim,
    view: &mut View,
    uids: &[u32],
    how: How,
    names: &[S],
    unchanged_since: Option<u64>,
    stored: &mut Stored,
) -> Result<(), MailboxError> {
    for _ in 0..RACES_MAX {
        // 1. The folder as it is now, and the messages in it.
        let mut desk = Desk::open(rim, &view.mailbox).await?;
        let before = desk.folder(rim, &view.state.id).await?.clone();
        view.catch_up(rim, before.clone()).await?;
        let mut state = view.state.clone();
        let named = match how {
            How::Remove => flags::known(&state.keywords, names)?,
            How::Replace | How::Add => state.keywords.learn(names)?,
        };

        // 2. What changes of it.
        let now: Vec<Entry> = uids.iter().filter_map(|uid| view.entry(*uid)).copied().collect();
        let (now, modified): (Vec<Entry>, Vec<Entry>) =
            now.into_iter().partition(|e| unchanged_since.is_none_or(|since| e.modseq <= since));
        let change = change(&mut state, &now, |flags| how.apply(flags, named), &view.mailbox);

        // 3. One commit, if there is something to say.
        if let Some(change) = change {
            // The view may have been opened anew, later than what is on the desk.
            if state.highestmodseq != before.highestmodseq + 1 {
                continue;
            }
            desk.draft.insert(&change, None)?;
            *desk.folder_mut(rim, &state.id).await? = state.clone();
            match desk.commit(rim).await {
                Err(StageError::Raced) => continue,
                other => other?,
            }
            super::open::apply(Arc::make_mut(&mut view.entries), [&change], |_| {});
            view.state = state;
        }
        stored.done.extend(&now.iter().map(|e| e.uid).collect());
        stored.modified.extend(&modified.iter().map(|e| e.uid).collect());
        return Ok(());
    }
    Err(StageError::Raced.into())
}

/// Counts a change of flags in the state of the folder; none if all messages have these flags already.
fn change(
    state: &mut FolderState,
    entries: &[Entry],
    to: impl Fn(Flags) -> Flags,
    mailbox: &crate::ids::MailboxId,
) -> Option<ChangeRow> {
    let mut groups: BTreeMap<u64, (Flags, Vec<u32>)> = BTreeMap::new();
    for entry in entries {
        let flags = to(entry.flags);
        if flags != entry.flags {
            state.changes(entry.flags, flags);
            groups.entry(flags.bits()).or_insert_with(|| (flags, Vec::new())).1.push(entry.uid);
        }
    }
    if groups.is_empty() {
        return None;
    }
    state.highestmodseq += 1;
    let flags = groups.into_values().map(|(flags, uids)| (uids.into_iter().collect(), flags)).collect();
    Some(ChangeRow { flags, ..ChangeRow::new(mailbox, state) })
}
