//! SPF (RFC 7208), DKIM (RFC 6376) and DMARC (RFC 7489) of ordinary mail: for the log, nothing is decided by them.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
};
use mail_auth::{
    AuthenticatedMessage, AuthenticationResults, MessageAuthenticator, dmarc::verify::DmarcParameters,
    spf::verify::SpfParameters,
};
use mime::{Headers, Limits};
use pec::Address;
use tokio::time::timeout;

/// For everything that DNS is asked about one message.
const PATIENCE: Duration = Duration::from_secs(10);
/// Signatures of one message: each costs a question.
const SIGNATURES_MAX: usize = 10;

/// Asks one resolver.
pub struct Authenticator {
    asks: MessageAuthenticator,
    name: String,
}

impl Authenticator {
    /// `resolver` is a recursive one; `name` is ours.
    ///
    /// # Errors
    /// [`NetError`] when the resolver cannot be set up.
    pub fn new(resolver: SocketAddr, name: &str) -> Result<Self, NetError> {
        let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
        connections.iter_mut().for_each(|connection| connection.port = resolver.port());
        let server = NameServerConfig::new(resolver.ip(), true, connections);
        let config = ResolverConfig::from_name_servers(vec![server]);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().use_hosts_file = ResolveHosts::Never;
        Ok(Self { asks: MessageAuthenticator(builder.build()?), name: name.to_owned() })
    }

    /// The results, in the words of `Authentication-Results` (RFC 8601), on one line.
    pub async fn results(
        &self,
        peer: IpAddr,
        hello: &str,
        path: Option<&Address>,
        message: &Bytes,
    ) -> String {
        let results = timeout(PATIENCE, self.ask(peer, hello, path, message)).await;
        results.unwrap_or_else(|_| format!("{}; none (DNS was silent)", self.name))
    }

    async fn ask(&self, peer: IpAddr, hello: &str, path: Option<&Address>, message: &Bytes) -> String {
        let path_text = path.map(Address::as_str).unwrap_or_default();
        let spf = match path {
            Some(_) => SpfParameters::verify_mail_from(peer, hello, &self.name, path_text),
            None => SpfParameters::verify_ehlo(peer, hello, &self.name),
        };
        let spf = self.asks.verify_spf(spf).await;
        let mut results =
            AuthenticationResults::new(&self.name).with_spf_mailfrom_result(&spf, peer, path_text, hello);
        if signatures(message) <= SIGNATURES_MAX
            && let Some(read) = AuthenticatedMessage::parse(message)
        {
            let dkim = self.asks.verify_dkim(&read).await;
            let domain = path.map_or_else(|| hello.to_owned(), Address::domain);
            let dmarc = self.asks.verify_dmarc(DmarcParameters::new(&read, &dkim, &domain, &spf)).await;
            results = results.with_dkim_results(&dkim, read.from()).with_dmarc_result(&dmarc);
        }
        results.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

fn signatures(message: &Bytes) -> usize {
    Headers::parse(message, &Limits::default())
        .map_or(usize::MAX, |(headers, _)| headers.count("DKIM-Signature"))
}

#[cfg(test)]
mod tests;
