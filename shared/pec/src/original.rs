//! The original message: what its header says, the rewriting of its identifiers, who is addressed how.

mod admission;
mod rewriting;
mod splice;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use mime::{Headers, Limits, address, charset, word};
use serde::{Deserialize, Serialize};

use crate::{Address, document::ReceiptForm, words::header};

pub use admission::admit;
pub use rewriting::rewrite;
pub(crate) use splice::Splice;

/// Addresses that are read from one field.
const ADDRESSES_MAX: usize = 10_000;

/// A longer Message-ID does not fit on the line of an X-Riferimento-Message-ID field: it counts as absent.
const CLIENT_ID_BYTES_MAX: usize = 970;

/// What certification needs to know of an original. Read tolerantly: a refusal needs it as well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginalFacts {
    /// The `From:` address, if there is exactly one compliant one.
    pub from: Option<Address>,
    /// Compliant addresses of `To:`.
    pub to: Vec<Address>,
    /// Compliant addresses of `Cc:`.
    pub cc: Vec<Address>,
    /// Decoded Subject (D7: `None` without the field).
    pub subject: Option<String>,
    /// Raw field body of the Subject, unfolded, raw 8-bit encoded per RFC 2047, controls stripped (D7).
    pub subject_raw: Option<String>,
    /// The client's Message-ID with its angle brackets.
    pub client_id: Option<String>,
    /// `risposte`: Reply-To addr-specs joined by `, `; empty when there are none (D6: the caller falls back to the
    /// sender).
    pub replies: String,
    /// `X-TipoRicevuta`, absent or unknown is complete.
    pub form: ReceiptForm,
}

/// Whether a recipient is addressed in To or in Cc (spec 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Found in `To:` only.
    Primary,
    /// Found in `Cc:` only.
    Copy,
    /// In both, in neither, or the header cannot be parsed: counts as primary.
    Unclear,
}

/// The trace that the submission door writes (spec 0.2 D5).
#[derive(Clone, Debug)]
pub struct Trace {
    /// The door's own name.
    pub by: String,
    /// How it came: `HTTPS`, `ESMTPSA`, ...
    pub with: String,
    /// The spool id.
    pub id: String,
    /// When.
    pub at: crate::Instant,
}

/// Reads the facts of an original. Never fails: what cannot be read is absent.
#[must_use]
pub fn facts(original: &Bytes) -> OriginalFacts {
    Headers::parse(original, &Limits::default()).map(|(headers, _)| facts_of(&headers)).unwrap_or_default()
}

/// How a recipient is addressed by the header of a message (its top-level To and Cc; spec 6.2).
#[must_use]
pub fn role(message: &Bytes, recipient: &Address) -> Role {
    let Ok((headers, _)) = Headers::parse(message, &Limits::default()) else { return Role::Unclear };
    let [to, cc] = ["To", "Cc"].map(|name| Addressed::read(&headers, name));
    if !to.readable || !cc.readable {
        return Role::Unclear;
    }
    match (to.holds(recipient), cc.holds(recipient)) {
        (true, false) => Role::Primary,
        (false, true) => Role::Copy,
        _ => Role::Unclear,
    }
}

/// Which form of delivery receipt is due (spec 6.2, RFC 6109 §3.3.2.1-3).
#[must_use]
pub fn form_due(asked: ReceiptForm, role: Role) -> ReceiptForm {
    match role {
        Role::Copy => ReceiptForm::Synthetic,
        Role::Primary | Role::Unclear => asked,
    }
}

/// The facts of a header.
pub(crate) fn facts_of(headers: &Headers) -> OriginalFacts {
    let [from, to, cc, replies] = ["From", "To", "Cc", "Reply-To"].map(|name| Addressed::read(headers, name));
    let form = headers.first(header::RECEIPT_FORM).and_then(|f| ReceiptForm::from_wire(&f.text()));
    let replies: Vec<&str> = replies.addresses.iter().map(Address::as_str).collect();
    OriginalFacts {
        from: from.only(),
        to: to.addresses,
        cc: cc.addresses,
        subject: subject(headers),
        subject_raw: subject_raw(headers),
        client_id: client_id(headers),
        replies: replies.join(", "),
        form: form.unwrap_or_default(),
    }
}

/// The addresses of all fields of one name.
#[derive(Debug)]
pub(crate) struct Addressed {
    /// Those that RFC 5321 can carry.
    pub(crate) addresses: Vec<Address>,
    /// Each field is an address list of RFC 5322.
    pub(crate) readable: bool,
    /// Mailboxes that are no [`Address`], such as those at an address literal.
    pub(crate) odd: usize,
    /// How many fields there are.
    fields: usize,
}

impl Addressed {
    pub(crate) fn read(headers: &Headers, name: &str) -> Self {
        let mut all = Self { addresses: Vec::new(), readable: true, odd: 0, fields: 0 };
        for field in headers.all(name) {
            all.fields += 1;
            match address::parse_list(field.raw_body(), ADDRESSES_MAX) {
                Ok(mailboxes) => mailboxes.iter().for_each(|m| match Address::parse(&m.addr_spec) {
                    Ok(address) => all.addresses.push(address),
                    Err(_) => all.odd += 1,
                }),
                Err(_) => all.readable = false,
            }
        }
        all
    }

    /// The address, where there is one field with exactly one.
    fn only(&self) -> Option<Address> {
        match self.addresses.as_slice() {
            [only] if self.fields == 1 && self.odd == 0 => Some(only.clone()),
            _ => None,
        }
    }

    fn holds(&self, address: &Address) -> bool {
        let wanted = identity(address);
        self.addresses.iter().any(|a| a.key() == wanted)
    }
}

/// The form under which an address from SMTP equals one read from a header field: lower case (spec 0.2 D2), and
/// quoted only where it must be, as [`Addressed`] gives it.
pub(crate) fn identity(address: &Address) -> String {
    let read = address::parse_list(address.as_str().as_bytes(), 1).ok().and_then(|m| m.into_iter().next());
    read.map_or_else(|| address.key(), |mailbox| mailbox.addr_spec.to_ascii_lowercase())
}

fn subject(headers: &Headers) -> Option<String> {
    let decoded = headers.first("Subject")?.decoded();
    Some(decoded.chars().filter(|&c| c == '\t' || !c.is_control()).collect())
}

/// D7: as written, never decoded. Only raw 8-bit text, which is no Subject of RFC 5322, is encoded anew.
pub(crate) fn subject_raw(headers: &Headers) -> Option<String> {
    let body = headers.first("Subject")?.unfolded();
    let text = charset::guess(&body);
    let text = if text.is_ascii() { text } else { word::encode_unstructured(&word::decode(text.as_bytes())) };
    Some(text.chars().filter(|&c| c == '\t' || !c.is_control()).collect())
}

/// The client's Message-ID between angle brackets, which some clients forget.
fn client_id(headers: &Headers) -> Option<String> {
    let text = headers.first("Message-ID")?.text();
    let id = match text.split_once('<') {
        Some((_, rest)) => rest.split_once('>')?.0,
        None => text.as_str(),
    };
    let id = id.trim();
    let fits = !id.is_empty() && id.len() + 2 <= CLIENT_ID_BYTES_MAX;
    (fits && id.bytes().all(|b| matches!(b, b' '..=b'~') && !b"<>".contains(&b))).then(|| format!("<{id}>"))
}
