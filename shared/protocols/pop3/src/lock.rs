//! One session of a mailbox at a time (RFC 1939 §4): in this process. Nothing depends on it but what the RFC promises:
//! what a session removes is removed by commits like everybody's.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use stages::ids::MailboxId;

/// The mailboxes that sessions have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Locks(Arc<Mutex<HashSet<MailboxId>>>);

/// A mailbox that a session has, until it is dropped.
#[derive(Debug)]
pub(crate) struct Locked {
    locks: Locks,
    mailbox: MailboxId,
}

impl Locks {
    /// Takes a mailbox, unless another session has it.
    pub(crate) fn lock(&self, mailbox: &MailboxId) -> Option<Locked> {
        let taken = self.all().insert(mailbox.clone());
        taken.then(|| Locked { locks: self.clone(), mailbox: mailbox.clone() })
    }

    fn all(&self) -> MutexGuard<'_, HashSet<MailboxId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.locks.all().remove(&self.mailbox);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_has_one_session() {
        let (locks, mailbox) = (Locks::default(), MailboxId("m".to_owned()));
        let first = locks.lock(&mailbox);
        assert!(first.is_some() && locks.lock(&mailbox).is_none());
        assert!(locks.lock(&MailboxId("n".to_owned())).is_some());
        drop(first);
        assert!(locks.lock(&mailbox).is_some());
    }
}
