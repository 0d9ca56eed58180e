//! A folder as one session sees it.

use std::sync::Arc;

use super::{
    Entry, Keywords, MailboxError, UidSet,
    desk::state_of,
    open,
    rows::{ChangeRow, FolderState},
};
use crate::{Rim, ids::MailboxId};

/// What others did in a folder since the session last asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New messages.
    pub arrived: UidSet,
    /// Messages whose flags changed.
    pub flags: UidSet,
    /// Messages that are not there any more.
    pub vanished: UidSet,
}

impl Changes {
    /// Whether there were none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.arrived.is_empty() && self.flags.is_empty() && self.vanished.is_empty()
    }
}

/// A folder as one session sees it: all its messages with what FETCH can say of them without reading a row. It is as
/// the folder was at one moment; [`View::refresh`] and every operation on it bring it up to date.
///
/// Sequence numbers are the session's own: it may tell its client of a message that has vanished only between
/// commands (RFC 9051 §7.5.1), so its list lags behind this one.
#[derive(Clone, Debug)]
pub struct View {
    pub(super) mailbox: MailboxId,
    pub(super) state: FolderState,
    /// Shared with who keeps what a session was told, and with other sessions on the folder.
    pub(super) entries: Arc<Vec<Entry>>,
    pub(super) pending: Changes,
}

impl View {
    /// Opens a folder by its id.
    ///
    /// # Errors
    /// [`Refusal::NoFolder`](super::Refusal); [`MailboxError::Stage`].
    pub async fn open(rim: &Rim, mailbox: &MailboxId, folder: &str) -> Result<Self, MailboxError> {
        let folded = open::fold(rim, mailbox, folder).await?;
        Ok(Self {
            mailbox: mailbox.clone(),
            state: folded.state,
            entries: Arc::new(folded.entries),
            pending: Changes::default(),
        })
    }

    /// The mailbox.
    #[must_use]
    pub const fn mailbox(&self) -> &MailboxId {
        &self.mailbox
    }

    /// The folder: UIDVALIDITY, UIDNEXT, HIGHESTMODSEQ, counters. Where a message went while the folder was opened,
    /// EXISTS is [`View::entries`]`.len()`.
    #[must_use]
    pub const fn state(&self) -> &FolderState {
        &self.state
    }

    /// Its keywords.
    #[must_use]
    pub const fn keywords(&self) -> &Keywords {
        &self.state.keywords
    }

    /// All messages in order of UID.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The same, to be kept: what changes in the view does not change in it.
    #[must_use]
    pub fn shared_entries(&self) -> Arc<Vec<Entry>> {
        Arc::clone(&self.entries)
    }

    /// One message.
    #[must_use]
    pub fn entry(&self, uid: u32) -> Option<&Entry> {
        self.entries.get(self.entries.binary_search_by_key(&uid, |e| e.uid).ok()?)
    }

    /// Its messages among these UIDs, in order.
    pub fn among<'a>(&'a self, uids: &'a UidSet) -> impl Iterator<Item = &'a Entry> + 'a {
        uids.ranges().iter().flat_map(|(first, last)| {
            let from = self.entries.partition_point(|e| e.uid < *first);
            self.entries.iter().skip(from).take_while(move |e| e.uid <= *last)
        })
    }

    /// Messages that came or changed after a MODSEQ (`CHANGEDSINCE`, RFC 7162 §3.1.4.1).
    pub fn changed_since(&self, modseq: u64) -> impl Iterator<Item = &Entry> + '_ {
        self.entries.iter().filter(move |e| e.modseq > modseq)
    }

    /// UIDs that have vanished after a MODSEQ (`VANISHED (EARLIER)`, RFC 7162 §3.2.10.1), up to this view. Where the
    /// history does not go back so far, all UIDs that are not there: RFC 7162 §3.2.5.1 lets a server say more than
    /// is needed.
    ///
    /// # Errors
    /// As [`View::refresh`].
    pub async fn vanished_since(&self, rim: &Rim, modseq: u64) -> Result<UidSet, MailboxError> {
        let mut gone = UidSet::new();
        if modseq >= self.state.floor {
            for change in open::changes(rim, &self.mailbox, &self.state.id, modseq).await? {
                gone.extend(&change.gone);
            }
            if state_of(rim, &self.mailbox, &self.state.id).await?.floor <= modseq {
                // What has vanished since the view was made is still in it, and is told another time.
                return Ok(gone.iter().filter(|uid| self.entry(*uid).is_none()).collect());
            }
        }
        Ok(UidSet::gaps(self.entries.iter().map(|e| e.uid), self.state.uidnext - 1))
    }

    /// Brings it up to date: one read if nothing happened. What others did is kept for [`View::take_changes`].
    ///
    /// # Errors
    /// [`Refusal::NoFolder`](super::Refusal) when the folder was deleted; [`MailboxError::Stage`].
    pub async fn refresh(&mut self, rim: &Rim) -> Result<(), MailboxError> {
        let state = state_of(rim, &self.mailbox, &self.state.id).await?;
        self.catch_up(rim, state).await
    }

    /// What others did since this was last called. What the session did itself is not among it.
    #[must_use]
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.pending)
    }

    /// Brings it to a state that was just read.
    pub(super) async fn catch_up(&mut self, rim: &Rim, state: FolderState) -> Result<(), MailboxError> {
        let known = self.state.highestmodseq;
        if state.highestmodseq == known {
            self.state = state;
            return Ok(());
        }
        // Arrivals before changes: a message that comes and goes meanwhile is then not there.
        let arrived = open::arrivals(rim, &self.mailbox, &state.id, self.state.uidnext - 1).await?;
        let changes = open::changes(rim, &self.mailbox, &state.id, known).await?;
        if state_of(rim, &self.mailbox, &state.id).await?.floor > known {
            return self.reopen(rim).await;
        }
        let arrived = arrived.into_iter().filter(|e| e.uid < state.uidnext);
        self.absorb(arrived, changes.iter().filter(|c| c.modseq <= state.highestmodseq));
        self.state = state;
        Ok(())
    }

    fn absorb<'a>(
        &mut self,
        arrived: impl Iterator<Item = Entry>,
        changes: impl Iterator<Item = &'a ChangeRow>,
    ) {
        let before = self.state.uidnext;
        let newest = self.entries.last().map_or(0, |e| e.uid);
        Arc::make_mut(&mut self.entries).extend(arrived.filter(|e| e.uid > newest));
        let mut flags = Vec::new();
        let gone = open::apply(Arc::make_mut(&mut self.entries), changes, |uid| flags.push(uid));
        let is_known = |uid: &u32| *uid < before;
        self.pending.vanished.extend(&gone.iter().filter(is_known).collect());
        self.pending.flags.extend(&flags.into_iter().filter(is_known).collect());
        let new = self.entries.partition_point(|e| e.uid < before);
        self.pending.arrived.extend(&self.entries.iter().skip(new).map(|e| e.uid).collect());
        self.forget_vanished();
    }

    /// It is so far behind that its history is gone: it is opened anew and compared.
    async fn reopen(&mut self, rim: &Rim) -> Result<(), MailboxError> {
        let now = Self::open(rim, &self.mailbox, &self.state.id).await?;
        let before = std::mem::replace(&mut self.entries, now.entries);
        let uidnext = self.state.uidnext;
        self.state = now.state;
        let is_gone = |e: &&Entry| self.entry(e.uid).is_none();
        let gone: UidSet = before.iter().filter(is_gone).map(|e| e.uid).collect();
        let changed = |e: &&Entry| self.entry(e.uid).is_some_and(|now| now.flags != e.flags);
        let flags: UidSet = before.iter().filter(changed).map(|e| e.uid).collect();
        let arrived: UidSet = self.entries.iter().map(|e| e.uid).filter(|uid| *uid >= uidnext).collect();
        self.pending.vanished.extend(&gone);
        self.pending.flags.extend(&flags);
        self.pending.arrived.extend(&arrived);
        self.forget_vanished();
        Ok(())
    }

    /// What has vanished has nothing else to tell; what came and went unseen was never there.
    fn forget_vanished(&mut self) {
        let Changes { arrived, flags, vanished } = &mut self.pending;
        if vanished.is_empty() {
            return;
        }
        let unseen = vanished.and(arrived);
        *arrived = arrived.without(vanished);
        *flags = flags.without(vanished);
        *vanished = vanished.without(&unseen);
    }

    /// Takes messages out of it that the session itself removed.
    pub(super) fn remove(&mut self, uids: &UidSet) {
        Arc::make_mut(&mut self.entries).retain(|e| !uids.contains(e.uid));
        self.pending.flags = self.pending.flags.without(uids);
        self.pending.arrived = self.pending.arrived.without(uids);
    }
}
