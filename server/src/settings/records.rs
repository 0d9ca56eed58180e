//! DNS records by which mail programs and other providers find the doors.

use std::net::IpAddr;

use super::Published;
use crate::doors::Kind;

/// Seconds that others may keep a record.
const TTL_S: u32 = 3600;

/// Services of RFC 6186 §3 and RFC 8314 §5.1 with their doors and the priority among services for one purpose; those
/// without a door are said to be not there (RFC 6186 §3.4).
const SERVICES: [(&str, Option<Kind>, u8); 6] = [
    ("_submissions", Some(Kind::SMTPS), 0),
    ("_submission", Some(Kind::SUBMISSION), 10),
    ("_imaps", Some(Kind::IMAPS), 0),
    ("_imap", None, 0),
    ("_pop3s", Some(Kind::POP3S), 10),
    ("_pop3", None, 0),
];

/// The records of a domain, one a line, in the form of zone files (RFC 1035 §5).
#[must_use]
pub fn records(published: &Published, domain: &str) -> Vec<String> {
    let Some(target) = target(published) else { return Vec::new() };
    let mut records: Vec<String> = exchange(published, domain).into_iter().collect();
    for (service, kind, priority) in SERVICES {
        let data = match kind.and_then(|kind| published.port(kind)) {
            Some(port) => format!("SRV {priority} 1 {port} {target}"),
            None => "SRV 0 0 0 .".to_owned(),
        };
        records.push(record(&format!("{service}._tcp.{domain}"), &data));
    }
    records.push(record(&format!("autoconfig.{domain}"), &format!("CNAME {target}")));
    records
}

/// The record by which mail for a domain comes to our door, if there is one.
#[must_use]
pub fn exchange(published: &Published, domain: &str) -> Option<String> {
    published.port(Kind::SMTP)?;
    Some(record(domain, &format!("MX 10 {}", target(published)?)))
}

/// An address is no target of a record (RFC 2782): the doors have a name, or there are no records.
fn target(published: &Published) -> Option<String> {
    match published.host.parse::<IpAddr>() {
        Ok(_) => None,
        Err(_) => Some(format!("{}.", published.host.trim_end_matches('.'))),
    }
}

fn record(name: &str, data: &str) -> String {
    format!("{name}. {TTL_S} IN {data}")
}
