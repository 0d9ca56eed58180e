//! Identifiers and keys. All are made once, at the door or from a cause that has an id; none holds content.

use std::fmt;

use pec::Instant;
use serde::{Deserialize, Serialize};

/// The id of what came in through a door: time-ordered, made before anything is stored (design §4 "Causes have
/// ids"). 32 hexadecimal digits of a UUID v7.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SpoolId(String);

impl SpoolId {
    /// A new id from an instant, the thousandths of its second, and 128 fresh random bits. Instants here have whole
    /// seconds: where the clock does not say more, the rest of the time is random too.
    #[must_use]
    pub fn new(at: Instant, thousandths: Option<u16>, random: u128) -> Self {
        let millis = u64::try_from(at.unix_s()).unwrap_or(0).saturating_mul(1000);
        let mut ten = [0; 10];
        ten.copy_from_slice(&random.to_be_bytes()[6..]);
        let at_random = || u64::from(random.to_be_bytes()[0]) * 999 / 255;
        let millis = millis + thousandths.map_or_else(at_random, |part| u64::from(part).min(999));
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &ten).into_uuid().simple().to_string())
    }

    /// Reads an id that was printed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 32 && text.bytes().all(lower)).then(|| Self(text.to_owned()))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When it was made, in seconds since 1970 (UTC).
    #[must_use]
    pub fn unix_s(&self) -> i64 {
        let millis = self.0.get(..12).and_then(|hex| i64::from_str_radix(hex, 16).ok());
        millis.unwrap_or(0) / 1000
    }

    /// The PEC id of the letter that entered under this id (RFC 6109 §2.2.1: unique string @ provider mail domain).
    #[must_use]
    pub fn pec_id(&self, mail_domain: &str) -> String {
        format!("{}@{mail_domain}", self.0)
    }
}
impl fmt::Display for SpoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which door something came in by; part of its blob keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    /// From our users.
    Submission,
    /// From other providers and ordinary mail.
    Incoming,
}

impl Door {
    /// The folder of the spool.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Submission => "submission",
            Self::Incoming => "incoming",
        }
    }
}

/// The name of a blob (design §5 "Blobs"). Never holds a UID, a folder or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlobKey(String);

impl BlobKey {
    /// The bytes that came in.
    #[must_use]
    pub fn spool_message(door: Door, id: &SpoolId) -> Self {
        Self(format!("spool/{}/{id}.eml", door.name()))
    }
    /// The transaction around them: written after the bytes, it is the commit point.
    #[must_use]
    pub fn spool_ticket(door: Door, id: &SpoolId) -> Self {
        Self(format!("spool/{}/{id}.json", door.name()))
    }
    /// Prefix of all that came in by a door.
    #[must_use]
    pub fn spool_prefix(door: Door) -> String {
        format!("spool/{}/", door.name())
    }
    /// The transport envelope of a letter of ours. The id's domain part is left out: no key holds an address.
    #[must_use]
    pub fn envelope(spool: &SpoolId) -> Self {
        Self(format!("letters/{spool}/envelope.eml"))
    }
    /// The anomaly envelope around something that came in. One for all mailboxes.
    #[must_use]
    pub fn anomaly(incoming: &str) -> Self {
        Self(format!("letters/{incoming}/anomaly.eml"))
    }
    /// Whether it is an envelope of ours, which nothing removes.
    #[must_use]
    pub fn is_with_its_letter(&self) -> bool {
        self.0.starts_with("letters/")
    }
    /// Whether a mailbox has it for itself: then it goes with its last row there.
    #[must_use]
    pub fn is_of_a_mailbox(&self) -> bool {
        self.0.starts_with("mailboxes/")
    }
    /// Whether this mailbox has it for itself. An act that is stored there has its only home there.
    #[must_use]
    pub fn is_of(&self, mailbox: &MailboxId) -> bool {
        let name = self.0.strip_prefix("mailboxes/").and_then(|rest| rest.strip_prefix(mailbox.0.as_str()));
        name.is_some_and(|name| name.starts_with('/'))
    }
    /// A message in a mailbox, where it has octets of its own.
    #[must_use]
    pub fn mailbox(mailbox: &MailboxId, name: &str) -> Self {
        Self(["mailboxes/", &mailbox.0, "/", name, ".eml"].concat())
    }
    /// An act on its way to another provider.
    #[must_use]
    pub fn outbound(name: &str) -> Self {
        Self(format!("outbound/{name}.eml"))
    }
    /// A take-charge receipt or virus notice to ourselves.
    #[must_use]
    pub fn service(name: &str) -> Self {
        Self(format!("service/{name}.eml"))
    }
    /// An infected message under lock (design §5 "Vault").
    #[must_use]
    pub fn vault(incoming: &str) -> Self {
        Self(format!("vault/infected/{incoming}.eml"))
    }
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// A key as it was listed by a store.
    #[must_use]
    pub fn listed(text: String) -> Self {
        Self(text)
    }
}
impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a blob made from a cause: SHA-256, in hex, of the act's key or of received bytes; never of bytes that
/// we compose, or two copies of one act would not collide (design §5).
#[must_use]
pub fn blob_name(cause: &[u8]) -> String {
    smime::hex(&smime::sha256([cause]))
}

/// SHA-256 in hex, as it is written into rows and log entries.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    blob_name(bytes)
}

/// An immutable mailbox id; an address that changes hands gets a new one (design §5).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MailboxId(pub String);
impl fmt::Display for MailboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The certificate that an act is signed with: SHA-256 of its DER, hex.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CertificateId(pub String);
impl fmt::Display for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The side on which something happened: in the key of every act and log entry (design §3 rule 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The sender's provider.
    Origin,
    /// The recipient's provider.
    Destination,
}
impl Side {
    /// As it stands in keys.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Destination => "destination",
        }
    }
}

/// The partition of the `letters` table that something belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partition(String);

impl Partition {
    /// A letter of our users: keyed by PEC id.
    #[must_use]
    pub fn origin(pec_id: &str) -> Self {
        Self(format!("origin#{pec_id}"))
    }
    /// A letter to our users: signer record, PEC id, envelope digest (same id with another digest is another).
    #[must_use]
    pub fn destination(record: &str, pec_id: &str, envelope_sha256: &str) -> Self {
        // The PEC id and the record come from outside: hashed, so that a key is bounded and plain. Ids mostly begin
        // with their time, so that what they begin with brings the letters of an hour together.
        let begin: String = pec_id.chars().filter(char::is_ascii_alphanumeric).take(16).collect();
        let hash = sha256_hex(format!("{record}\0{pec_id}\0{envelope_sha256}").as_bytes());
        Self(format!("destination#{begin}#{hash}"))
    }
    /// Anything else that came in.
    #[must_use]
    pub fn spool(id: &str) -> Self {
        Self(format!("spool#{id}"))
    }
    /// The one that a row is in.
    #[must_use]
    pub fn of_row(key: &crate::ports::RowKey) -> Self {
        Self(key.pk.clone())
    }
    /// As text: the `pk` of the rows.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spool_ids_are_ordered_by_time_and_print_back() {
        let early = SpoolId::new(Instant::from_unix_s(1_800_000_000), None, u128::MAX);
        let late = SpoolId::new(Instant::from_unix_s(1_800_000_001), None, 0);
        assert!(early < late, "{early} {late}");
        let part = |n, random| SpoolId::new(Instant::from_unix_s(1_800_000_000), Some(n), random);
        assert!(part(7, u128::MAX) < part(8, 0));
        assert_eq!(part(999, 7).unix_s(), 1_800_000_000);
        assert_eq!(SpoolId::parse(early.as_str()), Some(early));
        assert_eq!(SpoolId::parse("../etc"), None);
    }

    #[test]
    fn destination_keys_differ_by_each_of_their_parts() {
        let keys = [("r", "i", "d"), ("r2", "i", "d"), ("r", "i2", "d"), ("r", "i", "d2"), ("ri", "", "d")]
            .map(|(r, i, d)| Partition::destination(r, i, d));
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }
}
