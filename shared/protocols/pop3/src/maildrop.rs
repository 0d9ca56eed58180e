//! The maildrop of one session: what was in INBOX at sign-in.

use stages::mailbox::{UidSet, View};

/// One message of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Message {
    uid: u32,
    size_bytes: u32,
    deleted: bool,
}

/// The messages of a session, by numbers from 1 that stay the same in it (RFC 1939 §5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maildrop {
    uidvalidity: u32,
    messages: Vec<Message>,
}

impl Maildrop {
    /// Messages by UID and size, in order.
    #[must_use]
    pub fn new(uidvalidity: u32, messages: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let message = |(uid, size_bytes)| Message { uid, size_bytes, deleted: false };
        Self { uidvalidity, messages: messages.into_iter().map(message).collect() }
    }

    /// What a view shows.
    #[must_use]
    pub fn of(view: &View) -> Self {
        let entries = view.entries().iter().map(|e| (e.uid, e.size_bytes));
        Self::new(view.state().uidvalidity, entries)
    }

    fn place(number: u32) -> Option<usize> {
        usize::try_from(number.checked_sub(1)?).ok()
    }

    fn get(&self, number: u32) -> Option<&Message> {
        self.messages.get(Self::place(number)?).filter(|m| !m.deleted)
    }

    /// The UID behind a number, unless there is no such message, or it is marked as deleted.
    pub(crate) fn uid(&self, number: u32) -> Option<u32> {
        self.get(number).map(|m| m.uid)
    }

    /// Number and octets of what is not marked as deleted.
    pub(crate) fn stat(&self) -> (usize, u64) {
        let left = || self.messages.iter().filter(|m| !m.deleted);
        (left().count(), left().map(|m| u64::from(m.size_bytes)).sum())
    }

    /// A line of LIST.
    pub(crate) fn scan(&self, number: u32) -> Option<String> {
        self.get(number).map(|m| format!("{number} {}", m.size_bytes))
    }

    /// A line of UIDL: UIDVALIDITY and UID name a message of a mailbox for ever (RFC 1939 §7).
    pub(crate) fn unique_id(&self, number: u32) -> Option<String> {
        self.get(number).map(|m| format!("{number} {}.{}", self.uidvalidity, m.uid))
    }

    /// The highest number.
    pub(crate) fn last(&self) -> u32 {
        u32::try_from(self.messages.len()).unwrap_or(u32::MAX)
    }

    /// Marks a message as deleted; answers whether there was one.
    pub(crate) fn delete(&mut self, number: u32) -> bool {
        let message = Self::place(number).and_then(|n| self.messages.get_mut(n)).filter(|m| !m.deleted);
        message.map(|m| m.deleted = true).is_some()
    }

    /// Takes all marks away.
    pub(crate) fn reset(&mut self) {
        self.messages.iter_mut().for_each(|m| m.deleted = false);
    }

    /// What is marked as deleted.
    pub(crate) fn deleted(&self) -> UidSet {
        self.messages.iter().filter(|m| m.deleted).map(|m| m.uid).collect()
    }
}
