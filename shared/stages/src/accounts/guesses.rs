//! Failures, counted by account and by peer, and the waits that they cost.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
};

use aws_lc_rs::hmac;
use pec::Instant;
use serde::{Deserialize, Serialize};

use super::{MEMORY_MAX, registry};
use crate::{
    Rim, StageError,
    ids::MailboxId,
    ports::{RowKey, Table},
    rim::{Body, Draft},
};

/// Failures of one account before the backoff begins.
pub(super) const FREE_FAILURES: u32 = 5;
/// Failures from one peer before it: many users may share one address.
pub(super) const FREE_FAILURES_PEER: u32 = 20;
/// The longest wait between two tries.
pub(super) const WAIT_S_MAX: u64 = 300;
/// A failure that is so old counts no more.
pub(super) const FORGET_S: i64 = 3600;

/// Failures in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failures {
    count: u32,
    last: Instant,
}

impl Default for Failures {
    fn default() -> Self {
        Self { count: 0, last: Instant::from_unix_s(0) }
    }
}

impl Failures {
    /// With one more.
    pub(super) fn and_one(self, now: Instant) -> Self {
        let before = if self.is_old(now) { 0 } else { self.count };
        Self { count: before.saturating_add(1), last: now }
    }

    /// Seconds until the next try: 2, 4, 8, ... after the free ones; instants have whole seconds, so it is up to one
    /// less. A clock that was set back makes no wait longer than the longest.
    pub(super) fn wait_s(self, free: u32, now: Instant) -> Option<u64> {
        let over = self.count.checked_sub(free)?;
        let pause = (2_u64 << over.min(16)).min(WAIT_S_MAX);
        let passed = u64::try_from(now.unix_s().saturating_sub(self.last.unix_s())).unwrap_or(0);
        pause.checked_sub(passed).filter(|left| *left > 0)
    }

    fn is_old(self, now: Instant) -> bool {
        now.unix_s().saturating_sub(self.last.unix_s()) > FORGET_S
    }
}

/// The failures of an account, or of a place of unknown names: a row, so that a restart or another process of the
/// provider does not begin anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Guesses {
    id: String,
    pub(super) failures: Failures,
}

impl Guesses {
    pub(super) fn of(id: &str, failures: Failures) -> Self {
        Self { id: id.to_owned(), failures }
    }

    pub(super) fn key_of(id: &str) -> RowKey {
        registry(format!("guesses#{id}"), "guesses".to_owned())
    }
}
impl Body for Guesses {
    const TABLE: Table = Table::Registry;
    fn key(&self) -> RowKey {
        Self::key_of(&self.id)
    }
}

/// Where the failures of names that are no account are counted: a bounded number of places, since strangers make up
/// the names. By a keyed hash, or somebody could look for two names in one place and learn which one is an account.
pub(super) struct Places(hmac::Key);

/// The key of [`Places`]; made once, for all processes of the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PlacesKey {
    /// Hex.
    key: String,
}
impl PlacesKey {
    fn key_of() -> RowKey {
        registry("guesses#key".to_owned(), "key".to_owned())
    }
}
impl Body for PlacesKey {
    const TABLE: Table = Table::Registry;
    fn key(&self) -> RowKey {
        Self::key_of()
    }
}

impl Places {
    pub(super) async fn open(rim: &Rim) -> Result<Self, StageError> {
        let fresh = [rim.ids.fresh().to_be_bytes(), rim.ids.fresh().to_be_bytes()].concat();
        let mut draft = Draft::new();
        draft.insert(&PlacesKey { key: hex::encode(fresh) }, None)?;
        // Whoever is first makes it, everybody reads it.
        if rim.read::<PlacesKey>(&PlacesKey::key_of()).await?.is_none() {
            match rim.commit(draft).await {
                Ok(()) | Err(StageError::Raced) => {}
                Err(error) => return Err(error),
            }
        }
        let found = rim.read::<PlacesKey>(&PlacesKey::key_of()).await?;
        let key = found.and_then(|found| hex::decode(found.value.key).ok());
        let key = key.ok_or_else(|| StageError::Damaged("the key of guesses".to_owned()))?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// What stands for a mailbox id where there is none.
    pub(super) fn of(&self, name: &str) -> MailboxId {
        let tag = hmac::sign(&self.0, name.to_ascii_lowercase().as_bytes());
        MailboxId(format!("unknown-{}", hex::encode(tag.as_ref().get(..2).unwrap_or_default())))
    }
}

/// Failures by peer, in memory: addresses are cheap, and a restart forgives them.
#[derive(Debug, Default)]
pub(super) struct Peers(HashMap<IpAddr, Failures>);

impl Peers {
    pub(super) fn wait_s(&self, peer: IpAddr, now: Instant) -> Option<u64> {
        self.0.get(&network(peer))?.wait_s(FREE_FAILURES_PEER, now)
    }

    pub(super) fn failed(&mut self, peer: IpAddr, now: Instant) {
        // Full: what is old goes, then who does not wait, then all.
        let keeps: [fn(&Failures, Instant) -> bool; 3] =
            [|f, now| !f.is_old(now), |f, now| f.wait_s(FREE_FAILURES_PEER, now).is_some(), |_, _| false];
        for keep in keeps {
            if self.0.len() >= MEMORY_MAX {
                self.0.retain(|_, failures| keep(failures, now));
            }
        }
        let failures = self.0.entry(network(peer)).or_default();
        *failures = failures.and_one(now);
    }
}

/// What counts as one peer: an IPv4 address, or the /64 of an IPv6 address (RFC 6177), as where connections are
/// counted.
pub(super) fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(s: i64) -> Instant {
        Instant::from_unix_s(1_800_000_000 + s)
    }

    #[test]
    fn the_wait_doubles_up_to_its_bound() {
        let wait = |count| Failures { count, last: at(0) }.wait_s(FREE_FAILURES, at(0));
        assert_eq!(wait(FREE_FAILURES - 1), None);
        assert_eq!(wait(FREE_FAILURES), Some(2));
        assert_eq!(wait(FREE_FAILURES + 3), Some(16));
        assert_eq!(wait(u32::MAX), Some(WAIT_S_MAX));
    }

    #[test]
    fn peers_share_the_waits_of_their_network_and_the_memory_is_bounded() {
        let mut peers = Peers::default();
        let peer = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]);
        for n in 0..20 {
            assert_eq!(peers.wait_s(peer(n), at(0)), None);
            peers.failed(peer(n), at(0));
        }
        assert_eq!(peers.wait_s(peer(99), at(0)), Some(2));
        assert_eq!(peers.wait_s(IpAddr::from([192, 0, 2, 1]), at(0)), None);
        // Many others do not make it forget who waits.
        for n in 0..3 * u32::try_from(MEMORY_MAX).unwrap() {
            peers.failed(IpAddr::from((0x0a00_0000 + n).to_be_bytes()), at(0));
        }
        assert!(peers.0.len() <= MEMORY_MAX);
        assert_eq!(peers.wait_s(peer(99), at(0)), Some(2));
    }

    proptest! {
        /// Whatever the order of failures and clocks: never longer than the longest wait, and never a wait that the
        /// passing of time does not end.
        #[test]
        fn every_wait_ends(steps in prop::collection::vec(-500_i64..500, 1..60)) {
            let mut failures = Failures::default();
            let mut now = 0;
            for step in steps {
                now += step;
                failures = failures.and_one(at(now));
                if let Some(wait_s) = failures.wait_s(FREE_FAILURES, at(now)) {
                    prop_assert!((1..=WAIT_S_MAX).contains(&wait_s));
                    let end = now + i64::try_from(wait_s).unwrap();
                    prop_assert_eq!(failures.wait_s(FREE_FAILURES, at(end)), None);
                    prop_assert!(failures.wait_s(FREE_FAILURES, at(end - 1)).is_some());
                }
            }
        }
    }
}
