//! How many connections each peer has.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What counts as one peer: an IPv4 address, or the /64 of an IPv6 address, since one customer has at least that
/// (RFC 6177). An IPv4 address that came in IPv6 clothes is IPv4.
#[must_use]
pub fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
    }
}

/// The connections of one door, by peer. At most as many entries as there are connections.
#[derive(Debug, Default)]
pub(crate) struct Peers(Mutex<HashMap<IpAddr, usize>>);

/// One connection that is counted, until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    peers: Arc<Peers>,
    network: IpAddr,
}

impl Peers {
    /// Counts a connection, if its peer has fewer than `max`.
    pub(crate) fn enter(self: &Arc<Self>, ip: IpAddr, max: usize) -> Option<Counted> {
        let network = network(ip);
        let mut counts = self.counts();
        let count = counts.entry(network).or_insert(0);
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Counted { peers: Arc::clone(self), network })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.peers.counts();
        if let Some(count) = counts.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_peer_is_an_ipv4_address_or_a_64() {
        let of = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_ne!(of("2001:db8:1:3::1"), of("2001:db8:1:2::1"));
    }

    proptest! {
        #[test]
        fn never_more_than_the_bound_and_nothing_left_behind(
            steps in prop::collection::vec((0_u8..4, any::<bool>()), 0..200),
            max in 1_usize..5,
        ) {
            let peers = Arc::new(Peers::default());
            let mut open: Vec<(u8, Counted)> = Vec::new();
            for (peer, enters) in steps {
                let has = open.iter().filter(|(p, _)| *p == peer).count();
                if enters {
                    let entered = peers.enter(IpAddr::from([192, 0, 2, peer]), max);
                    prop_assert_eq!(entered.is_some(), has < max);
                    open.extend(entered.map(|counted| (peer, counted)));
                } else if let Some(at) = open.iter().position(|(p, _)| *p == peer) {
                    open.remove(at);
                }
            }
            open.clear();
            prop_assert!(peers.counts().is_empty());
        }
    }
}
