//! What DNS says of a domain.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use async_trait::async_trait;
use hickory_resolver::{
    ResolverBuilder, TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{DnsError, NetError, NoRecords, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, RecordType},
    },
};

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// The name does not exist.
    NoName,
    /// The name exists, without a record of this kind.
    NoRecord,
    /// Nobody knows now: tried again.
    Unknown(String),
}

/// DNS as a sender needs it.
#[async_trait]
pub trait Names: Send + Sync {
    /// The MX records of a domain: preference and host; `.` is the null MX (RFC 7505).
    async fn exchangers(&self, domain: &str) -> Result<Vec<(u16, String)>, Unresolved>;
    /// The addresses of a host, IPv4 first. No record and no name are answers.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Unresolved>;
}

/// The resolver of this machine, or another one.
pub struct Dns(TokioResolver);

impl Dns {
    /// Asks a server at this address, or those of `/etc/resolv.conf`; where there are none, this machine. Names are taken
    /// as absolute; the machine's own file of hosts says nothing about mail.
    ///
    /// # Errors
    /// What the resolver says of its configuration.
    pub fn new(server: Option<SocketAddr>) -> Result<Self, NetError> {
        let mut builder = match (server, TokioResolver::builder_tokio()) {
            (None, Ok(builder)) => builder,
            (None, Err(_)) => asking(SocketAddr::from((Ipv4Addr::LOCALHOST, 53))),
            (Some(server), _) => asking(server),
        };
        let options = builder.options_mut();
        options.use_hosts_file = ResolveHosts::Never;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        Ok(Self(builder.build()?))
    }
}

#[async_trait]
impl Names for Dns {
    async fn exchangers(&self, domain: &str) -> Result<Vec<(u16, String)>, Unresolved> {
        let found = self.0.lookup(absolute(domain)?, RecordType::MX).await.map_err(unresolved)?;
        let mx = |data: &RData| match data {
            RData::MX(mx) => Some((mx.preference, mx.exchange.to_ascii())),
            _ => None,
        };
        let records: Vec<_> = found.answers().iter().filter_map(|record| mx(&record.data)).collect();
        if records.is_empty() { Err(Unresolved::NoRecord) } else { Ok(records) }
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Unresolved> {
        let found = self.0.lookup_ip(absolute(host)?).await.map_err(unresolved)?;
        let mut addresses: Vec<IpAddr> = found.iter().collect();
        addresses.sort_by_key(IpAddr::is_ipv6);
        if addresses.is_empty() { Err(Unresolved::NoRecord) } else { Ok(addresses) }
    }
}

fn asking(server: SocketAddr) -> ResolverBuilder<TokioRuntimeProvider> {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    connections.iter_mut().for_each(|c| c.port = server.port());
    let server = NameServerConfig::new(server.ip(), true, connections);
    let config = ResolverConfig::from_name_servers(vec![server]);
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
}

/// A name that no search list is added to. What cannot be a name does not exist.
fn absolute(name: &str) -> Result<Name, Unresolved> {
    let mut name = Name::from_ascii(name).map_err(|_| Unresolved::NoName)?;
    name.set_fqdn(true);
    Ok(name)
}

fn unresolved(error: NetError) -> Unresolved {
    match &error {
        NetError::Dns(DnsError::NoRecordsFound(NoRecords { response_code, .. })) => match response_code {
            ResponseCode::NXDomain => Unresolved::NoName,
            ResponseCode::NoError => Unresolved::NoRecord,
            other => Unresolved::Unknown(format!("DNS: {other}")),
        },
        other => Unresolved::Unknown(format!("DNS: {other}")),
    }
}
