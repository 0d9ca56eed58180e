//! Mail addresses and the SMTP transaction.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One addr-spec, as it came: the case of every octet is kept, comparison ignores it (spec 0.2 D2).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Address(String);

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address of the form local@domain")]
pub struct AddressError;

impl Address {
    /// Reads `local@domain` (RFC 5321 §4.1.2 `Mailbox`, at most 254 octets, printable ASCII; a quoted local part
    /// is allowed, an address literal is not). Surrounding angle brackets are not accepted.
    ///
    /// # Errors
    /// [`AddressError`] when it is not one address.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError)?;
        let printable = |b: u8| (0x21..0x7f).contains(&b);
        if text.len() > 254 || local.is_empty() || local.len() > 64 || !is_local(local) || !is_domain(domain)
        {
            return Err(AddressError);
        }
        if !text.bytes().all(|b| printable(b) || b == b' ') {
            return Err(AddressError);
        }
        Ok(Self(text.to_owned()))
    }

    /// The whole address as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The domain, lower case.
    #[must_use]
    pub fn domain(&self) -> String {
        self.0.rsplit_once('@').map_or("", |(_, d)| d).to_ascii_lowercase()
    }

    /// The form under which two addresses are the same: everything lower case (spec 0.2 D2).
    #[must_use]
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

fn is_local(local: &str) -> bool {
    let atext = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    if let Some(inner) = local.strip_prefix('"').and_then(|l| l.strip_suffix('"')) {
        let mut escaped = false;
        for b in inner.bytes() {
            match (escaped, b) {
                (true, 0x20..0x7f) => escaped = false,
                (false, b'\\') => escaped = true,
                (false, b'"') => return false,
                (false, 0x20..0x7f) => {}
                _ => return false,
            }
        }
        return !escaped && local.len() >= 2;
    }
    local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(atext))
}

fn is_domain(domain: &str) -> bool {
    !domain.is_empty()
        && domain.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}
impl Eq for Address {}
impl std::hash::Hash for Address {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}
impl PartialOrd for Address {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Address {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::str::FromStr for Address {
    type Err = AddressError;
    fn from_str(s: &str) -> Result<Self, AddressError> {
        Self::parse(s)
    }
}

/// What SMTP said: the paths that certification data come from (RFC 6109 §2.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// MAIL FROM; `None` is the null reverse path `<>`.
    pub reverse_path: Option<Address>,
    /// RCPT TO, in order, duplicates collapsed by [`Transaction::new`].
    pub forward_paths: Vec<Address>,
}

impl Transaction {
    /// A transaction whose repeated recipients count once (spec 0.2 D2).
    #[must_use]
    pub fn new(reverse_path: Option<Address>, recipients: impl IntoIterator<Item = Address>) -> Self {
        let mut seen = std::collections::HashSet::new();
        let forward_paths = recipients.into_iter().filter(|r| seen.insert(r.key())).collect();
        Self { reverse_path, forward_paths }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_without_case_and_keep_it() {
        let a = Address::parse("Mario.Rossi@PEC.Alfa.Example").unwrap();
        assert_eq!(a, Address::parse("mario.rossi@pec.alfa.example").unwrap());
        assert_eq!(a.as_str(), "Mario.Rossi@PEC.Alfa.Example");
        assert_eq!(a.domain(), "pec.alfa.example");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "a@b..c",
            "a b@c",
            ".a@b",
            "a.@b",
            "a@-b",
            "a@b-",
            "a@[1.2.3.4]",
            "<a@b>",
            "a@b\r\n",
            "\"a@b",
            "\"a\"b\"@c",
            "à@b",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["a@b", "\"a b\"@c.d", "\"a\\\"b\"@c", "x+y=z@d-e.f"] {
            assert!(Address::parse(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_transaction_counts_a_recipient_once() {
        let [a, b, c] = ["x@a.b", "X@A.b", "y@a.b"].map(|t| Address::parse(t).unwrap());
        assert_eq!(Transaction::new(None, [a.clone(), b, c.clone()]).forward_paths, [a, c]);
    }
}
