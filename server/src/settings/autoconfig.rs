//! The file that mail programs look for at a domain (Mozilla's "config-v1.1.xml").

use std::fmt::Write as _;

use quick_xml::escape::escape;

use super::Published;
use crate::doors::Kind;

/// Servers of a kind: element, its type, the door.
const SERVERS: [(&str, &str, Kind); 4] = [
    ("incomingServer", "imap", Kind::IMAPS),
    ("incomingServer", "pop3", Kind::POP3S),
    ("outgoingServer", "smtp", Kind::SMTPS),
    ("outgoingServer", "smtp", Kind::SUBMISSION),
];

/// What a mail program is told about the accounts of a domain: the best way first.
#[must_use]
pub fn autoconfig(published: &Published, domain: &str) -> String {
    let (domain, name, host) = (escape(domain), escape(&published.provider), escape(&published.host));
    let mut servers = String::new();
    for (element, protocol, kind) in SERVERS {
        let Some(port) = published.port(kind) else { continue };
        let socket = if kind.implicit_tls { "SSL" } else { "STARTTLS" };
        // Writing into a string does not fail.
        let _ = write!(
            servers,
            "    <{element} type=\"{protocol}\">\n      <hostname>{host}</hostname>\n      <port>{port}</port>\n      \
             <socketType>{socket}</socketType>\n      <authentication>password-cleartext</authentication>\n      \
             <username>%EMAILADDRESS%</username>\n    </{element}>\n"
        );
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<clientConfig version=\"1.1\">\n  <emailProvider id=\"{domain}\">\n    \
         <domain>{domain}</domain>\n    <displayName>{name}</displayName>\n    \
         <displayShortName>{name}</displayShortName>\n{servers}  </emailProvider>\n</clientConfig>\n"
    )
}
