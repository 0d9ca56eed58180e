//! Mailboxes where a commit was lost to another one lately, as far as this process has seen: what can wait in line for
//! such a mailbox does so, since a commit that is lost is paid for as well.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use pec::Instant;

use crate::ids::MailboxId;

/// How long a mailbox counts as crowded, in seconds after a commit was lost there.
const CROWDED_S: i64 = 60;

/// Mailboxes that are remembered at most.
const REMEMBERED_MAX: usize = 4_096;

/// Mailboxes where much happens at the same time, and until when that counts.
#[derive(Clone, Debug, Default)]
pub struct Crowds(Arc<Mutex<HashMap<MailboxId, Instant>>>);

impl Crowds {
    /// A commit was lost to another one of this mailbox.
    pub fn note(&self, mailbox: &MailboxId, now: Instant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED_MAX {
            all.retain(|_, until| *until > now);
        }
        if all.len() >= REMEMBERED_MAX {
            all.clear();
        }
        all.insert(mailbox.clone(), now.plus_s(CROWDED_S));
    }

    /// Whether one was lost there lately.
    #[must_use]
    pub fn has(&self, mailbox: &MailboxId, now: Instant) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(mailbox).is_some_and(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_forgotten_after_a_minute_and_there_are_not_too_many() {
        let (crowds, now) = (Crowds::default(), Instant::from_unix_s(1_800_000_000));
        let mailbox = |n: usize| MailboxId(n.to_string());
        assert!(!crowds.has(&mailbox(0), now));
        crowds.note(&mailbox(0), now);
        assert!(crowds.has(&mailbox(0), now.plus_s(59)) && !crowds.has(&mailbox(0), now.plus_s(60)));
        assert!(!crowds.has(&mailbox(1), now));
        for n in 0..3 * REMEMBERED_MAX {
            crowds.note(&mailbox(n), now);
            assert!(crowds.has(&mailbox(n), now), "{n}");
        }
        assert!(crowds.0.lock().unwrap().len() <= REMEMBERED_MAX);
    }
}
