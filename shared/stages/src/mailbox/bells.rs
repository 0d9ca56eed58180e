//! Who waits for a change of a mailbox is told at once, in this process (IDLE, RFC 2177). A hint like those of queues:
//! what another process commits rings no bell, so who waits also looks from time to time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::Notify;

use crate::ids::MailboxId;

/// The bells of all mailboxes that somebody listens to.
#[derive(Clone, Debug, Default)]
pub struct Bells(Arc<Mutex<HashMap<MailboxId, Weak<Bell>>>>);

/// Somebody who listens to one mailbox.
#[derive(Debug)]
pub struct Ear {
    bell: Arc<Bell>,
    mailbox: MailboxId,
    bells: Bells,
    heard: u64,
}

#[derive(Debug, Default)]
struct Bell {
    rings: Mutex<u64>,
    notify: Notify,
}

impl Bells {
    /// Tells all who listen to a mailbox that it changed.
    pub fn ring(&self, mailbox: &MailboxId) {
        let bell = self.all().get(mailbox).and_then(Weak::upgrade);
        if let Some(bell) = bell {
            *bell.rings() += 1;
            bell.notify.notify_waiters();
        }
    }

    /// Listens from now on. Who then looks at the mailbox, and waits, misses nothing.
    #[must_use]
    pub fn listen(&self, mailbox: &MailboxId) -> Ear {
        let mut all = self.all();
        let bell = all.get(mailbox).and_then(Weak::upgrade).unwrap_or_default();
        all.insert(mailbox.clone(), Arc::downgrade(&bell));
        let heard = *bell.rings();
        Ear { bell, mailbox: mailbox.clone(), bells: self.clone(), heard }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<MailboxId, Weak<Bell>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ear {
    /// Waits for the next ring after the last one that was heard; for ever, if none comes.
    pub async fn rung(&mut self) {
        loop {
            let next = self.bell.notify.notified();
            let rings = *self.bell.rings();
            if rings != self.heard {
                self.heard = rings;
                return;
            }
            next.await;
        }
    }
}

impl Drop for Ear {
    /// The last one who listened takes the bell away.
    fn drop(&mut self) {
        let mut all = self.bells.all();
        if Arc::strong_count(&self.bell) == 1
            && all.get(&self.mailbox).is_some_and(|b| b.as_ptr() == Arc::as_ptr(&self.bell))
        {
            all.remove(&self.mailbox);
        }
    }
}

impl Bell {
    fn rings(&self) -> MutexGuard<'_, u64> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_ring_is_heard_once_by_each_also_when_nobody_waited_yet() {
        let (bells, one, two) = (Bells::default(), MailboxId("1".to_owned()), MailboxId("2".to_owned()));
        let (mut a, mut b, mut other) = (bells.listen(&one), bells.listen(&one), bells.listen(&two));
        assert_eq!(a.rung().now_or_never(), None);
        bells.ring(&one);
        bells.ring(&one);
        for ear in [&mut a, &mut b] {
            assert_eq!(ear.rung().now_or_never(), Some(()));
            assert_eq!(ear.rung().now_or_never(), None);
        }
        assert_eq!(other.rung().now_or_never(), None);
        drop(a);
        bells.ring(&one);
        assert_eq!(b.rung().now_or_never(), Some(()));
        drop(b);
        drop(other);
        assert!(bells.all().is_empty(), "nobody listens, nothing is kept");
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let (bells, mailbox) = (Bells::default(), MailboxId("1".to_owned()));
        let mut ear = bells.listen(&mailbox);
        let waits = tokio::spawn(async move { ear.rung().await });
        tokio::task::yield_now().await;
        bells.ring(&mailbox);
        waits.await.unwrap();
    }
}
