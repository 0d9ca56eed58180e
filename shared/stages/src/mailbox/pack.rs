//! Packing: what happened in a folder goes into its pages, and history that nobody is likely to ask for goes away.
//! Nothing of it can be seen, and `deliver` never waits for it: pages are written first, in place and ahead of what
//! the folder says of them; then one small commit says that they are.

use serde::{Deserialize, Serialize};

use super::{
    Entry, MailboxError, RACES_MAX,
    desk::Desk,
    open::{self, Folded, Stored},
    page::{ENTRIES_MAX, PageRow},
    rows::{ChangeRow, FolderRow, FolderState, MailboxHead, PACK_AFTER, partition, row},
};
use crate::{
    Job, Rim, StageError,
    ids::MailboxId,
    lay,
    ports::{RowKey, StoredRow, Table},
    rim::{Body, Draft, typed},
};

/// Changes that are remembered after they were packed, for clients that come back (RFC 7162 §3.2.5).
pub(super) const HISTORY: u64 = 2000;

/// Rows that are removed at a time.
const ROWS: usize = 90;

/// Who packs a folder replaces this row with every commit: nobody writes pages that another one has packed since.
#[derive(Debug, Serialize, Deserialize)]
struct Packing {
    mailbox: MailboxId,
    folder: String,
}
impl Packing {
    fn key_of(mailbox: &MailboxId, folder: &str) -> RowKey {
        row(mailbox, format!("packing#{folder}"))
    }
}
impl Body for Packing {
    const TABLE: Table = Table::Mailboxes;
    fn key(&self) -> RowKey {
        Self::key_of(&self.mailbox, &self.folder)
    }
}

/// Packs the folders whose state is in this row.
///
/// # Errors
/// [`StageError`]; the debt stays.
pub(crate) async fn pack(rim: &Rim, key: &RowKey) -> Result<(), StageError> {
    let owes = |stored: &StoredRow| {
        let job = stored.row.debt.as_ref().map(|debt| &debt.job);
        matches!(job, Some(Job::Pack { .. }))
    };
    let Some(stored) = rim.facts.get(key).await?.filter(owes) else { return Ok(()) };
    let (mailbox, all, worth_it) = folders_of(stored)?;
    for folder in &worth_it {
        match pack_folder(rim, &mailbox, folder).await {
            Ok(()) => {}
            Err(MailboxError::Refused(_)) => sweep(rim, &mailbox, folder).await?,
            Err(MailboxError::Stage(error)) => return Err(error),
        }
    }
    // What was worth it may have moved elsewhere: then nothing is owed here.
    if let (true, Some(folder)) = (worth_it.is_empty(), all.first()) {
        let mut desk = Desk::open(rim, &mailbox).await?;
        if desk.folder_mut(rim, folder).await.is_ok() {
            desk.packed(folder);
            desk.commit_unseen(rim).await?;
        }
    }
    Ok(())
}

/// The folders of a row, and those that are worth packing.
fn folders_of(stored: StoredRow) -> Result<(MailboxId, Vec<String>, Vec<String>), StageError> {
    let worth_it = |state: &FolderState| state.highestmodseq - state.packed_modseq >= PACK_AFTER / 2;
    let is_head = !stored.row.key.sk.starts_with(FolderRow::PREFIX);
    let (mailbox, states) = if is_head {
        let head = typed::<MailboxHead>(stored)?.value;
        (head.mailbox, vec![head.inbox, head.receipts])
    } else {
        let folder = typed::<FolderRow>(stored)?.value;
        (folder.mailbox, if folder.dropped { Vec::new() } else { vec![folder.state] })
    };
    let ids = |states: &[FolderState], wanted: &dyn Fn(&FolderState) -> bool| {
        states.iter().filter(|s| wanted(s)).map(|s| s.id.clone()).collect()
    };
    Ok((mailbox, ids(&states, &|_| true), ids(&states, &worth_it)))
}

async fn pack_folder(rim: &Rim, mailbox: &MailboxId, id: &str) -> Result<(), MailboxError> {
    // 1. The folder as it is, after the row that tells whether somebody else has packed meanwhile.
    let mut lock = Lock::read(rim, mailbox, id).await?;
    let folded = open::fold(rim, mailbox, id).await?;

    // 2. Its pages, where they have changed. Power fails in between: some pages are ahead, which readers do not mind.
    let mut draft = Draft::new();
    for page in plan(&folded) {
        let (lo, entries) = (page.lo, page.entries);
        let row = PageRow::new(mailbox, id, lo, entries);
        match page.was {
            None => draft.insert(&row, None)?,
            Some(was) if entries.is_empty() => draft.delete(row.key(), was),
            Some(was) => draft.replace(was, &row, None)?,
        }
        if lay::is_full(&draft) {
            lock.commit(rim, std::mem::take(&mut draft)).await?;
        }
    }
    if draft.items() > 0 {
        lock.commit(rim, draft).await?;
    }

    // 3. The folder says that they are packed. What others commit meanwhile changes nothing of it.
    flip(rim, &lock, &folded.state).await?;

    // 4. History below the floor goes.
    trim(rim, mailbox, id).await
}

/// A page to write.
#[derive(Debug, PartialEq, Eq)]
struct Page<'a> {
    lo: u32,
    was: Option<u64>,
    entries: &'a [Entry],
}

/// Pages that are not as they should be. A page keeps its place while it has messages; new ones go into the last
/// page, then into new pages. A page that lost all its messages goes, and its place is never taken again.
fn plan(folded: &Folded) -> Vec<Page<'_>> {
    let (mut rest, mut pages) = (folded.entries.as_slice(), Vec::new());
    for (n, Stored { lo, version, entries: before }) in folded.pages.iter().enumerate() {
        let end = folded
            .pages
            .get(n + 1)
            .map_or(rest.len().min(ENTRIES_MAX), |next| rest.partition_point(|e| e.uid < next.lo));
        let (entries, after) = rest.split_at(end);
        rest = after;
        if entries != before {
            pages.push(Page { lo: *lo, was: Some(*version), entries });
        }
    }
    let new = rest
        .chunks(ENTRIES_MAX)
        .filter_map(|entries| Some(Page { lo: entries.first()?.uid, was: None, entries }));
    pages.extend(new);
    pages
}

async fn flip(rim: &Rim, lock: &Lock, packed: &FolderState) -> Result<(), MailboxError> {
    for _ in 0..RACES_MAX {
        let mut desk = Desk::open(rim, &lock.row.mailbox).await?;
        let state = desk.folder_mut(rim, &packed.id).await?;
        state.packed_uid = packed.uidnext - 1;
        state.packed_modseq = packed.highestmodseq;
        state.floor = state.floor.max(packed.highestmodseq.saturating_sub(HISTORY));
        desk.packed(&packed.id);
        lock.write(&mut desk.draft)?;
        match desk.commit_unseen(rim).await {
            Err(StageError::Raced) => {}
            other => return Ok(other?),
        }
        // Lost to others that changed the folder: again. Lost to another packer: from the beginning.
        if Lock::read(rim, &lock.row.mailbox, &packed.id).await?.was != lock.was {
            break;
        }
    }
    Err(StageError::Raced.into())
}

/// Removes change rows below the floor that owe nothing.
async fn trim(rim: &Rim, mailbox: &MailboxId, id: &str) -> Result<(), MailboxError> {
    let floor = ChangeRow::sk(id, super::desk::state_of(rim, mailbox, id).await?.floor);
    let is_old = |stored: &StoredRow| stored.row.key.sk <= floor;
    Ok(remove(rim, mailbox, &ChangeRow::prefix(id), is_old).await?)
}

/// What an unlucky packer left of a folder that was deleted meanwhile.
async fn sweep(rim: &Rim, mailbox: &MailboxId, id: &str) -> Result<(), StageError> {
    remove(rim, mailbox, &PageRow::prefix(id), |_| true).await?;
    remove(rim, mailbox, &Packing::key_of(mailbox, id).sk, |_| true).await
}

/// Removes the pages of a deleted folder, its history, and the row of its packers.
pub(super) async fn remove_all(rim: &Rim, mailbox: &MailboxId, id: &str) -> Result<(), StageError> {
    remove(rim, mailbox, &ChangeRow::prefix(id), |_| true).await?;
    sweep(rim, mailbox, id).await
}

/// Removes rows from the first one of a prefix on, for as long as they are wanted. A row that owes something stays.
async fn remove(
    rim: &Rim,
    mailbox: &MailboxId,
    prefix: &str,
    wanted: impl Fn(&StoredRow) -> bool,
) -> Result<(), StageError> {
    let (pk, mut after) = (partition(mailbox), None::<String>);
    loop {
        let page = rim.facts.query(Table::Mailboxes, &pk, prefix, after.as_deref(), ROWS).await?;
        let rows = page.rows.len();
        let mut draft = Draft::new();
        let mut taken = 0;
        for stored in page.rows.into_iter().take_while(|s| wanted(s)) {
            taken += 1;
            after = Some(stored.row.key.sk.clone());
            if stored.row.debt.is_none() {
                draft.delete(stored.row.key, stored.version);
            }
        }
        if draft.items() > 0 {
            rim.commit(draft).await?;
        }
        if taken < rows || page.next.is_none() {
            return Ok(());
        }
    }
}

/// The row of the packers of a folder, as it was read or written last.
struct Lock {
    row: Packing,
    was: Option<u64>,
}

impl Lock {
    async fn read(rim: &Rim, mailbox: &MailboxId, id: &str) -> Result<Self, StageError> {
        let found = rim.read::<Packing>(&Packing::key_of(mailbox, id)).await?;
        let row = Packing { mailbox: mailbox.clone(), folder: id.to_owned() };
        Ok(Self { row, was: found.map(|f| f.version) })
    }

    fn write(&self, draft: &mut Draft) -> Result<(), StageError> {
        match self.was {
            None => draft.insert(&self.row, None)?,
            Some(was) => draft.replace(was, &self.row, None)?,
        }
        Ok(())
    }

    /// Commits pages, unless another packer was here.
    async fn commit(&mut self, rim: &Rim, mut draft: Draft) -> Result<(), StageError> {
        self.write(&mut draft)?;
        rim.commit(draft).await?;
        self.was = Some(self.was.map_or(1, |was| was + 1));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use pec::Instant;

    use super::*;
    use crate::mailbox::Flags;

    fn entry(uid: u32) -> Entry {
        let received_at = Instant::from_unix_s(0);
        Entry { uid, size_bytes: 1, flags: Flags::NONE, modseq: u64::from(uid), received_at }
    }

    fn folded(pages: &[&[u32]], now: impl IntoIterator<Item = u32>) -> Folded {
        let stored = |uids: &&[u32]| Stored {
            lo: uids[0],
            version: u64::from(uids[0]),
            entries: uids.iter().map(|uid| entry(*uid)).collect(),
        };
        Folded {
            state: FolderState::new("f", 1),
            pages: pages.iter().map(stored).collect(),
            entries: now.into_iter().map(entry).collect(),
        }
    }

    fn planned(folded: &Folded) -> Vec<(u32, Option<u64>, Vec<u32>)> {
        let uids = |page: &Page<'_>| page.entries.iter().map(|e| e.uid).collect();
        plan(folded).iter().map(|p| (p.lo, p.was, uids(p))).collect()
    }

    #[test]
    fn only_pages_that_changed_are_written() {
        assert!(planned(&folded(&[&[1, 2], &[5, 6]], [1, 2, 5, 6])).is_empty());
        assert_eq!(planned(&folded(&[&[1, 2], &[5, 6]], [2, 5, 6])), [(1, Some(1), vec![2])]);
        assert_eq!(planned(&folded(&[&[1, 2], &[5, 6]], [1, 2, 6, 7])), [(5, Some(5), vec![6, 7])]);
        assert_eq!(planned(&folded(&[&[1, 2], &[5, 6]], [5, 6])), [(1, Some(1), vec![])]);
        assert_eq!(planned(&folded(&[&[1, 2]], [])), [(1, Some(1), vec![])]);
        assert_eq!(planned(&folded(&[], [3, 4])), [(3, None, vec![3, 4])]);
        assert!(planned(&folded(&[], [])).is_empty());
    }

    #[test]
    fn what_does_not_fit_into_the_last_page_begins_new_ones() {
        let max = u32::try_from(ENTRIES_MAX).unwrap();
        let all: Vec<u32> = (1..=2 * max + 3).collect();
        let planned = planned(&folded(&[&all[..2]], all.iter().copied()));
        let sizes: Vec<_> = planned.iter().map(|(lo, was, uids)| (*lo, *was, uids.len())).collect();
        assert_eq!(sizes, [(1, Some(1), ENTRIES_MAX), (max + 1, None, ENTRIES_MAX), (2 * max + 1, None, 3)]);
    }
}
