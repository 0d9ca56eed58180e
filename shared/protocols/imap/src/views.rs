//! Open folders, shared by the sessions that have them open and kept for a while after them: whoever looks again tells
//! the others, and what a folder shows of its messages is in memory once.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mime::outline::Outline;
use stages::{
    Rim,
    ids::MailboxId,
    mailbox::{MailboxError, Message, View},
};

/// Messages of folders that nobody has open any more, over all of them.
const LEFT_MESSAGES_MAX: usize = 500_000;
/// Octets of outlines that are remembered, over all folders.
const KNOWN_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What a row takes beside its outline.
const ROW_BYTES: usize = 600;

type Key = (MailboxId, String);

/// The folders that a process has open, or had.
#[derive(Clone, Default)]
pub(crate) struct Views(Arc<Mutex<Folders>>);

#[derive(Default)]
struct Folders {
    all: HashMap<Key, Open>,
    /// Those that nobody has open, the one that was left first at the front; some of them are open again or gone.
    left: VecDeque<Key>,
    left_messages: usize,
    known_bytes: usize,
}

struct Open {
    /// The newest view of it that anybody made.
    view: View,
    sessions: usize,
    /// Rows that were read, with their outlines: for one UID they never change.
    known: HashMap<u32, Arc<Known>>,
    known_bytes: usize,
}

/// A row of a message without its structure, and the outline that this holds, once it was asked for.
pub(crate) struct Known {
    pub(crate) row: Message,
    pub(crate) outline: Option<Outline>,
    /// Octets of it in memory, about.
    pub(crate) bytes: usize,
}

impl Known {
    pub(crate) fn new(mut row: Message, outline: Option<Outline>) -> Self {
        // In memory an outline takes about twice what it takes as text.
        let bytes = ROW_BYTES + row.structure.take().map_or(0, |text| text.len() * 2);
        Self { row, outline, bytes }
    }
}

/// That a session has a folder open, until it is dropped.
pub(crate) struct Lease {
    views: Views,
    key: Key,
}

impl Views {
    /// Opens a folder.
    pub(crate) async fn open(
        &self,
        rim: &Rim,
        mailbox: &MailboxId,
        folder: &str,
    ) -> Result<(View, Lease), MailboxError> {
        let key = (mailbox.clone(), folder.to_owned());
        let known = self.folders().all.get(&key).map(|open| open.view.clone());
        let view = match known {
            Some(mut view) => {
                view.refresh(rim).await?;
                view
            }
            None => View::open(rim, mailbox, folder).await?,
        };
        let mut folders = self.folders();
        let left = folders.all.get(&key).filter(|open| open.sessions == 0);
        let left_messages = left.map_or(0, |open| open.view.entries().len());
        folders.left_messages = folders.left_messages.saturating_sub(left_messages);
        let open = folders.all.entry(key.clone()).or_insert_with(|| Open::new(view.clone()));
        open.sessions += 1;
        open.offer(&view);
        drop(folders);
        Ok((view, Lease { views: self.clone(), key }))
    }

    fn folders(&self) -> MutexGuard<'_, Folders> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Folders {
    /// One session less has it open.
    fn leave(&mut self, key: Key) {
        let Some(open) = self.all.get_mut(&key) else { return };
        open.sessions = open.sessions.saturating_sub(1);
        if open.sessions > 0 {
            return;
        }
        self.left_messages += open.view.entries().len();
        self.left.push_back(key);
        while self.left_messages > LEFT_MESSAGES_MAX || self.left.len() > self.all.len() * 2 {
            let Some(key) = self.left.pop_front() else { return };
            if self.all.get(&key).is_some_and(|open| open.sessions == 0) && !self.left.contains(&key) {
                self.forget(&key);
            }
        }
    }

    fn forget(&mut self, key: &Key) {
        if let Some(open) = self.all.remove(key) {
            self.left_messages = self.left_messages.saturating_sub(open.view.entries().len());
            self.known_bytes = self.known_bytes.saturating_sub(open.known_bytes);
        }
    }
}

impl Open {
    fn new(view: View) -> Self {
        Self { view, sessions: 0, known: HashMap::new(), known_bytes: 0 }
    }

    fn offer(&mut self, view: &View) {
        if view.state().highestmodseq > self.view.state().highestmodseq {
            self.view = view.clone();
            // Each session finds out by itself what is new to it.
            let _ = self.view.take_changes();
        }
    }
}

impl Lease {
    /// Brings a view up to date, from what others know where that is newer.
    pub(crate) async fn refresh(&self, rim: &Rim, view: &mut View) -> Result<(), MailboxError> {
        if let Some(open) = self.views.folders().all.get(&self.key)
            && open.view.state().highestmodseq >= view.state().highestmodseq
        {
            *view = open.view.clone();
        }
        view.refresh(rim).await?;
        self.offer(view);
        Ok(())
    }

    /// Tells the others of a view that may be newer than theirs.
    pub(crate) fn offer(&self, view: &View) {
        if let Some(open) = self.views.folders().all.get_mut(&self.key) {
            open.offer(view);
        }
    }

    /// What is known of these messages, in their order; and the UIDs of the others.
    pub(crate) fn known(&self, uids: &[u32], outlines: bool) -> (Vec<Arc<Known>>, Vec<u32>) {
        let folders = self.views.folders();
        let Some(open) = folders.all.get(&self.key) else { return (Vec::new(), uids.to_vec()) };
        let (mut found, mut others) = (Vec::with_capacity(uids.len()), Vec::new());
        for uid in uids {
            match open.known.get(uid).filter(|known| known.outline.is_some() || !outlines) {
                Some(known) => found.push(Arc::clone(known)),
                None => others.push(*uid),
            }
        }
        (found, others)
    }

    /// Remembers what was read, as far as there is room.
    pub(crate) fn keep(&self, new: &[Arc<Known>]) {
        let mut folders = self.views.folders();
        let room = KNOWN_BYTES_MAX.saturating_sub(folders.known_bytes);
        let Some(open) = folders.all.get_mut(&self.key) else { return };
        let before = open.known_bytes;
        for known in new {
            if open.known_bytes + known.bytes > before + room {
                break;
            }
            open.known_bytes += known.bytes;
            if let Some(old) = open.known.insert(known.row.uid, Arc::clone(known)) {
                open.known_bytes = open.known_bytes.saturating_sub(old.bytes);
            }
        }
        // What was removed meanwhile is not asked for again.
        if open.known.len() > open.view.entries().len() * 2 {
            let view = open.view.clone();
            let mut freed = 0;
            open.known.retain(|uid, known| {
                let stays = view.entry(*uid).is_some();
                freed += if stays { 0 } else { known.bytes };
                stays
            });
            open.known_bytes = open.known_bytes.saturating_sub(freed);
        }
        let (before, after) = (before, open.known_bytes);
        folders.known_bytes = folders.known_bytes.saturating_sub(before) + after;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.views.folders().leave(self.key.clone());
    }
}
