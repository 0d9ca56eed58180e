//! From a domain to the hosts that take its mail (RFC 5321 §5.1, RFC 7505).

use std::net::IpAddr;

use crate::dns::{Names, Unresolved};

/// Hosts of a domain that are tried.
const HOSTS_MAX: usize = 8;
/// Addresses of a host that are tried.
const ADDRESSES_MAX: usize = 4;

/// A host that takes mail, with its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// As its certificate names it, without a final dot.
    pub name: String,
    /// At least one.
    pub addresses: Vec<IpAddr>,
}

/// Why there is no way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// None, ever: enhanced status and words.
    Never(&'static str, &'static str),
    /// Not known now.
    Later(String),
}

/// The hosts of a domain in the order in which they are tried. `turn` turns hosts of one preference, so that they share
/// the work.
///
/// # Errors
/// [`NoRoute`]
pub async fn hosts(names: &dyn Names, domain: &str, turn: usize) -> Result<Vec<Host>, NoRoute> {
    // 1. Who takes its mail; without MX records the domain itself.
    let exchangers = match names.exchangers(domain).await {
        Ok(records) => in_order(records, turn),
        Err(Unresolved::NoRecord) => vec![domain.to_owned()],
        Err(Unresolved::NoName) => return Err(NoRoute::Never("5.1.2", "no such domain")),
        Err(Unresolved::Unknown(why)) => return Err(NoRoute::Later(why)),
    };
    if exchangers.iter().any(|host| host == ".") {
        return Err(NoRoute::Never("5.1.10", "the domain takes no mail")); // RFC 7505 §4
    }

    // 2. Their addresses. One that is unknown now is a reason to come back, if there is no other.
    let mut found = Vec::new();
    let mut unknown = None;
    for name in exchangers.into_iter().take(HOSTS_MAX) {
        match names.addresses(&name).await {
            Ok(mut addresses) => {
                addresses.truncate(ADDRESSES_MAX);
                let name = name.trim_end_matches('.').to_owned();
                found.push(Host { name, addresses });
            }
            Err(Unresolved::NoName | Unresolved::NoRecord) => {}
            Err(Unresolved::Unknown(why)) => unknown = Some(why),
        }
    }
    match (found.is_empty(), unknown) {
        (false, _) => Ok(found),
        (true, Some(why)) => Err(NoRoute::Later(why)),
        (true, None) => Err(NoRoute::Never("5.4.4", "no host takes mail for the domain")),
    }
}

fn in_order(mut records: Vec<(u16, String)>, turn: usize) -> Vec<String> {
    records.sort();
    records.dedup();
    for group in records.chunk_by_mut(|a, b| a.0 == b.0) {
        let turn = turn % group.len();
        group.rotate_left(turn);
    }
    records.into_iter().map(|(_, host)| host).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use async_trait::async_trait;

    use super::*;

    type Answer<T> = Result<Vec<T>, Unresolved>;

    #[derive(Default)]
    struct Zone {
        mx: HashMap<&'static str, Answer<(u16, &'static str)>>,
        a: HashMap<&'static str, Answer<u8>>,
    }

    #[async_trait]
    impl Names for Zone {
        async fn exchangers(&self, domain: &str) -> Result<Vec<(u16, String)>, Unresolved> {
            let found = self.mx.get(domain).cloned().unwrap_or(Err(Unresolved::NoRecord))?;
            Ok(found.into_iter().map(|(n, host)| (n, host.to_owned())).collect())
        }
        async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Unresolved> {
            let found = self.a.get(host).cloned().unwrap_or(Err(Unresolved::NoName))?;
            Ok(found.into_iter().map(ip).collect())
        }
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    fn zone(mx: &[(&'static str, Answer<(u16, &'static str)>)], a: &[(&'static str, Answer<u8>)]) -> Zone {
        Zone { mx: mx.iter().cloned().collect(), a: a.iter().cloned().collect() }
    }

    async fn names(zone: &Zone, turn: usize) -> Result<Vec<String>, NoRoute> {
        Ok(hosts(zone, "pec.example", turn).await?.into_iter().map(|h| h.name).collect())
    }

    /// RFC 5321 §5.1
    #[tokio::test]
    async fn hosts_come_by_preference_and_equals_take_turns() {
        let zone = zone(
            &[("pec.example", Ok(vec![(20, "backup."), (10, "b."), (10, "a."), (10, "b.")]))],
            &[("a.", Ok(vec![1])), ("b.", Ok(vec![2, 3])), ("backup.", Ok(vec![4]))],
        );
        assert_eq!(names(&zone, 0).await.unwrap(), ["a", "b", "backup"]);
        assert_eq!(names(&zone, 1).await.unwrap(), ["b", "a", "backup"]);
        assert_eq!(hosts(&zone, "pec.example", 0).await.unwrap()[1].addresses, [ip(2), ip(3)]);
    }

    #[tokio::test]
    async fn without_mx_records_the_domain_takes_its_mail() {
        let zone = zone(&[], &[("pec.example", Ok(vec![1]))]);
        assert_eq!(names(&zone, 0).await.unwrap(), ["pec.example"]);
    }

    /// RFC 5321 §5.1: with MX records the domain's own addresses do not count.
    #[tokio::test]
    async fn domains_without_a_host_are_refused() {
        let no_name = zone(&[("pec.example", Err(Unresolved::NoName))], &[]);
        assert!(matches!(names(&no_name, 0).await, Err(NoRoute::Never("5.1.2", _))));
        let null = zone(&[("pec.example", Ok(vec![(0, ".")]))], &[("pec.example", Ok(vec![1]))]);
        assert!(matches!(names(&null, 0).await, Err(NoRoute::Never("5.1.10", _))));
        let nothing = zone(&[], &[("pec.example", Err(Unresolved::NoRecord))]);
        assert!(matches!(names(&nothing, 0).await, Err(NoRoute::Never("5.4.4", _))));
        let nowhere = zone(&[("pec.example", Ok(vec![(10, "a.")]))], &[("pec.example", Ok(vec![1]))]);
        assert!(matches!(names(&nowhere, 0).await, Err(NoRoute::Never("5.4.4", _))));
    }

    #[tokio::test]
    async fn what_is_not_known_now_is_asked_again() {
        let unknown = || Unresolved::Unknown("DNS: timeout".to_owned());
        let no_mx = zone(&[("pec.example", Err(unknown()))], &[("pec.example", Ok(vec![1]))]);
        assert!(matches!(names(&no_mx, 0).await, Err(NoRoute::Later(_))));
        let mx = [("pec.example", Ok(vec![(10, "a."), (20, "b.")]))];
        let one = zone(&mx, &[("a.", Err(unknown())), ("b.", Ok(vec![1]))]);
        assert_eq!(names(&one, 0).await.unwrap(), ["b"]);
        let none = zone(&mx, &[("a.", Err(unknown()))]);
        assert!(matches!(names(&none, 0).await, Err(NoRoute::Later(_))));
    }

    #[tokio::test]
    async fn hosts_and_addresses_are_bounded() {
        let mx: Vec<(u16, &'static str)> =
            (0..50).map(|n| (n, if n % 2 == 0 { "a." } else { "b." })).collect();
        let many: Vec<u8> = (1..=50).collect();
        let zone = zone(&[("pec.example", Ok(mx))], &[("a.", Ok(many.clone())), ("b.", Ok(many))]);
        let found = hosts(&zone, "pec.example", 0).await.unwrap();
        assert_eq!((found.len(), found[0].addresses.len()), (HOSTS_MAX, ADDRESSES_MAX));
    }
}
