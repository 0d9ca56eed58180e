//! What a folder shows, put together from its pages, the messages that came since, and what changed since.
//!
//! All of it is read while others commit. The state of the folder is read first, and says up to which change the
//! outcome is whole. Nothing up to there can be missed: pages are never behind what the state says of them, a message
//! that is not there any more left a change row, and rows that are read late can only tell of later changes, which
//! read the same when they are met again. Change rows are only taken away below the floor, so the floor is looked at
//! again at the end.

use super::{
    Entry, MailboxError, UidSet,
    desk::state_of,
    page::PageRow,
    rows::{ChangeRow, FolderState, Message, Slim, partition},
};
use crate::{
    Rim, StageError,
    ids::MailboxId,
    ports::{FactsError, Table},
    rim::Found,
};

/// Rows that are read at a time.
const ROWS: usize = 500;

/// How often a folder is read anew when its history was cut meanwhile.
const TRIES: usize = 5;

/// A page as it is stored.
pub(super) struct Stored {
    pub lo: u32,
    pub version: u64,
    pub entries: Vec<Entry>,
}

/// A folder as it was at one moment.
pub(super) struct Folded {
    pub state: FolderState,
    pub pages: Vec<Stored>,
    /// All its messages in order of UID.
    pub entries: Vec<Entry>,
}

/// Reads a folder.
pub(super) async fn fold(rim: &Rim, mailbox: &MailboxId, id: &str) -> Result<Folded, MailboxError> {
    for _ in 0..TRIES {
        let state = state_of(rim, mailbox, id).await?;
        let folded = attempt(rim, mailbox, state).await?;
        if state_of(rim, mailbox, id).await?.floor <= folded.state.packed_modseq {
            return Ok(folded);
        }
    }
    Err(StageError::Raced.into())
}

async fn attempt(rim: &Rim, mailbox: &MailboxId, state: FolderState) -> Result<Folded, StageError> {
    // 1. Pages, then messages that came after them, then changes: a message that goes while this is read is either
    //    still found, or its change is.
    let pages = pages(rim, mailbox, &state.id).await?;
    let mut entries: Vec<Entry> = pages.iter().flat_map(|p| &p.entries).copied().collect();
    let paged = entries.last().map_or(0, |e| e.uid);
    let tail = arrivals(rim, mailbox, &state.id, state.packed_uid).await?;
    entries.extend(tail.into_iter().filter(|e| e.uid > paged));
    let changes = changes(rim, mailbox, &state.id, state.packed_modseq).await?;

    // 2. What came after the state was read is for another time.
    entries.retain(|e| e.uid < state.uidnext);
    let until = changes.iter().filter(|c| c.modseq <= state.highestmodseq);
    apply(&mut entries, until, |_| {});
    Ok(Folded { state, pages, entries })
}

async fn pages(rim: &Rim, mailbox: &MailboxId, id: &str) -> Result<Vec<Stored>, StageError> {
    let rows: Vec<Found<PageRow>> =
        rim.all(Table::Mailboxes, &partition(mailbox), &PageRow::prefix(id)).await?;
    let stored = |found: Found<PageRow>| {
        let (lo, version) = (found.value.lo, found.version);
        let entries = found.value.entries();
        let entries =
            entries.ok_or_else(|| StageError::Damaged(format!("page {lo} of {id} of {mailbox}")))?;
        Ok(Stored { lo, version, entries })
    };
    rows.into_iter().map(stored).collect()
}

/// Messages with a UID above `after`, with the flags that they came with.
pub(super) async fn arrivals(
    rim: &Rim,
    mailbox: &MailboxId,
    id: &str,
    after: u32,
) -> Result<Vec<Entry>, StageError> {
    let after = Message::key_of(mailbox, id, after).sk;
    bodies::<Slim, _>(rim, mailbox, &Message::prefix(id), after, Entry::from).await
}

/// Changes after one of them, in order.
pub(super) async fn changes(
    rim: &Rim,
    mailbox: &MailboxId,
    id: &str,
    after: u64,
) -> Result<Vec<ChangeRow>, StageError> {
    let after = ChangeRow::sk(id, after);
    bodies::<ChangeRow, _>(rim, mailbox, &ChangeRow::prefix(id), after, |row| row).await
}

/// The bodies of all rows of a prefix after one of them.
async fn bodies<T: serde::de::DeserializeOwned, U>(
    rim: &Rim,
    mailbox: &MailboxId,
    prefix: &str,
    after: String,
    make: impl Fn(T) -> U,
) -> Result<Vec<U>, StageError> {
    let (pk, mut all, mut after) = (partition(mailbox), Vec::new(), Some(after));
    while let Some(from) = after {
        let page = rim.facts.query(Table::Mailboxes, &pk, prefix, Some(&from), ROWS).await?;
        for stored in &page.rows {
            let body = serde_json::from_str(&stored.row.body)
                .map_err(|e| FactsError::Damaged(format!("{}: {e}", stored.row.key.sk)))?;
            all.push(make(body));
        }
        after = page.next;
    }
    Ok(all)
}

/// Applies changes in their order to messages that may know them already; names each message whose flags changed.
/// Answers which messages have gone.
pub(super) fn apply<'a>(
    entries: &mut Vec<Entry>,
    changes: impl IntoIterator<Item = &'a ChangeRow>,
    mut changed: impl FnMut(u32),
) -> UidSet {
    let mut gone = UidSet::new();
    for change in changes {
        for (uids, flags) in &change.flags {
            for range in uids.ranges() {
                let from = entries.partition_point(|e| e.uid < range.0);
                let hit = entries.iter_mut().skip(from).take_while(|e| e.uid <= range.1);
                for entry in hit.filter(|e| e.modseq < change.modseq) {
                    entry.flags = *flags;
                    entry.modseq = change.modseq;
                    changed(entry.uid);
                }
            }
        }
        gone.extend(&change.gone);
    }
    let mut vanished = Vec::new();
    if !gone.is_empty() {
        entries.retain(|e| {
            !gone.contains(e.uid) || {
                vanished.push(e.uid);
                false
            }
        });
    }
    vanished.into_iter().collect()
}
