//! The selected mailbox as the client knows it: sequence numbers, and what is told of changes (RFC 9051 §7.5.1).

use std::sync::Arc;

use stages::mailbox::{Entry, UidSet, View};

use crate::{
    command::{By, Set},
    fault::Fault,
    views::Lease,
};

/// A selected mailbox. Its sequence numbers count what the client was told of: the messages of `told` and the ghosts.
pub(super) struct Selected {
    /// As it is.
    pub(super) view: View,
    /// The messages that the client knows of and that were there when it was told last.
    pub(super) told: Arc<Vec<Entry>>,
    /// UIDs of messages that are gone, which it was not told.
    ghosts: Vec<u32>,
    /// Keywords that it was told of.
    pub(super) keywords: usize,
    /// EXAMINE.
    pub(super) read_only: bool,
    /// What SEARCH saved.
    pub(super) saved: UidSet,
    pub(super) lease: Lease,
}

/// What the client is to be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Sequence numbers with the UIDs of what is gone, the highest first.
    pub(super) expunged: Vec<(u32, u32)>,
    /// How many there are, if more came.
    pub(super) exists: Option<u32>,
    /// UIDs of those whose flags changed.
    pub(super) changed: Vec<u32>,
}

impl Selected {
    pub(super) fn new(view: View, lease: Lease, read_only: bool) -> Self {
        let (told, keywords) = (view.shared_entries(), view.keywords().all().len());
        Self { view, told, ghosts: Vec::new(), keywords, read_only, saved: UidSet::new(), lease }
    }

    /// How many messages the client knows of.
    pub(super) fn exists(&self) -> u32 {
        count(self.told.len() + self.ghosts.len())
    }

    /// The sequence number of a message that the client knows of.
    pub(super) fn sequence(&self, uid: u32) -> u32 {
        rank(&self.told, &self.ghosts, uid)
    }

    /// The message with this UID, if the client knows of it and it was not found gone.
    pub(super) fn entry(&self, uid: u32) -> Option<&Entry> {
        self.told.get(self.told.binary_search_by_key(&uid, |e| e.uid).ok()?)
    }

    /// Every message that the client knows of and that was not found gone, with its sequence number.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (u32, &Entry)> {
        let mut ghosts = self.ghosts.iter().peekable();
        let mut sequence = 0;
        self.told.iter().map(move |entry| {
            while ghosts.next_if(|ghost| **ghost < entry.uid).is_some() {
                sequence += 1;
            }
            sequence += 1;
            (sequence, entry)
        })
    }

    /// The UIDs that a set names, and whether one of the messages is known to be gone.
    pub(super) fn resolve(&self, set: &Set, by: By) -> Result<(UidSet, bool), Fault> {
        let named = match (set, by) {
            (Set::Saved, _) => self.saved.clone(),
            (Set::Ranges(ranges), By::Uid) => {
                let last = self.told.last().map(|e| e.uid).max(self.ghosts.last().copied()).unwrap_or(0);
                let bound = |bound: &Option<u32>| bound.unwrap_or(last);
                UidSet::from_ranges(ranges.iter().map(|(a, b)| (bound(a), bound(b))))
            }
            (Set::Ranges(ranges), By::Sequence) => self.by_sequence(ranges)?,
        };
        let gone = self.ghosts.iter().any(|ghost| named.contains(*ghost));
        Ok((self.present(&named), gone))
    }

    /// Those of them that are there, each named: so that a set of ranges costs what it holds.
    pub(super) fn present(&self, named: &UidSet) -> UidSet {
        let ranges = named.ranges().iter().flat_map(|(first, last)| {
            let from = self.told.partition_point(|e| e.uid < *first);
            self.told.iter().skip(from).take_while(move |e| e.uid <= *last)
        });
        ranges.map(|e| e.uid).collect()
    }

    fn by_sequence(&self, ranges: &[(Option<u32>, Option<u32>)]) -> Result<UidSet, Fault> {
        let exists = self.exists();
        if exists == 0 {
            return Ok(UidSet::new());
        }
        let mut merged = Vec::new();
        if !self.ghosts.is_empty() {
            merged.extend(self.told.iter().map(|e| e.uid).chain(self.ghosts.iter().copied()));
            merged.sort_unstable();
        }
        let uid = |sequence: u32| {
            let index = usize::try_from(sequence).ok()?.checked_sub(1)?;
            if merged.is_empty() { self.told.get(index).map(|e| e.uid) } else { merged.get(index).copied() }
        };
        // Between two messages that follow each other are no others: ranges stay ranges.
        let pairs = ranges.iter().map(|(a, b)| {
            let (a, b) = (a.unwrap_or(exists), b.unwrap_or(exists));
            uid(a).zip(uid(b)).ok_or(Fault::Bad("there is no message of this number"))
        });
        Ok(UidSet::from_ranges(pairs.collect::<Result<Vec<_>, _>>()?))
    }

    /// What happened since the client was told last, and that it is told now. Without `expunges` it is not told of
    /// messages that are gone: they stay, as ghosts, so that no sequence number changes.
    pub(super) fn news(&mut self, expunges: bool) -> News {
        let now = self.view.shared_entries();
        if Arc::ptr_eq(&now, &self.told) && (self.ghosts.is_empty() || !expunges) {
            return News::default();
        }
        let was = std::mem::replace(&mut self.told, now);
        let known = was.last().map_or(0, |e| e.uid).max(self.ghosts.last().copied().unwrap_or(0));
        let (mut gone, mut changed) = (Vec::new(), Vec::new());
        let mut rest = self.told.as_slice();
        for entry in was.iter() {
            match rest.split_first() {
                Some((first, after)) if first.uid == entry.uid => {
                    rest = after;
                    if first.flags != entry.flags || first.modseq != entry.modseq {
                        changed.push(first.uid);
                    }
                }
                _ => gone.push(entry.uid),
            }
        }
        let mut news = News { changed, ..News::default() };
        let ghosts = &self.ghosts;
        if expunges {
            let all = gone.iter().chain(ghosts);
            news.expunged = all.map(|uid| (rank(&was, ghosts, *uid), *uid)).collect();
            news.expunged.sort_unstable_by(|a, b| b.cmp(a));
            self.ghosts = Vec::new();
        } else if !gone.is_empty() {
            self.ghosts.extend(gone);
            self.ghosts.sort_unstable();
        }
        if self.told.last().is_some_and(|e| e.uid > known) {
            news.exists = Some(self.exists());
        }
        news
    }
}

/// The place of a UID among messages and ghosts, from 1 on.
fn rank(told: &[Entry], ghosts: &[u32], uid: u32) -> u32 {
    count(told.partition_point(|e| e.uid < uid) + ghosts.partition_point(|ghost| *ghost < uid) + 1)
}

/// UIDs are of 32 bits, so no folder has more.
fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
