//! The formal checks of the access point, F0 to F6 (RFC 6109 §3.1.1, spec 4.1, 0.2 D1-D4). F7 is the submission
//! door's, F8 the scanner's.

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use bytes::Bytes;
use memchr::memchr3_iter;
use mime::Headers;
use serde::{Deserialize, Serialize};

use crate::{
    Address, Transaction,
    original::{Addressed, OriginalFacts, facts_of, identity},
};

/// Fields that an original may have once at most (D1); `From` must be there as well, which is F1's to say.
const SINGLE: [&str; 7] = ["From", "To", "Cc", "Subject", "Date", "Message-ID", "Reply-To"];

/// Octets of a line without its CRLF (RFC 5322 §2.1.1, D1).
const LINE_BYTES_MAX: usize = 998;

/// The provider's limits (spec 0.2 D3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Distinct recipients of one letter; at least 50 by law.
    pub recipients_max: usize,
    /// Octets times recipients, inclusive; at least 30 x 2^20 by our reading.
    pub product_bytes_max: u64,
    /// Above this many octets the door refuses and no notice is written.
    pub technical_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { recipients_max: 500, product_bytes_max: 30 << 20, technical_bytes_max: 100 << 20 }
    }
}

/// Why a letter is not accepted: a lawful outcome, certified by M1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// F0: the header is not well-formed (field repeated, bounds).
    MalformedHeader,
    /// F0: a line over 998 octets.
    LineTooLong,
    /// F0: NUL, or a bare CR or LF.
    IllegalOctet,
    /// D4: 8-bit octets that may not be converted.
    EightBit,
    /// F1
    From,
    /// F2
    To,
    /// F3
    SenderDiffers,
    /// F4
    RecipientsDiffer,
    /// F5
    Bcc,
    /// F6
    TooLarge,
    /// D3
    TooManyRecipients,
}

impl Refusal {
    /// The Italian `errore-esteso` and text of M1 (spec 4.1).
    #[must_use]
    pub const fn wire(self) -> &'static str {
        match self {
            Self::MalformedHeader => "intestazione del messaggio non conforme",
            Self::LineTooLong => "riga del messaggio più lunga di 998 caratteri",
            Self::IllegalOctet => "caratteri non ammessi nel messaggio",
            Self::EightBit => "caratteri a 8 bit non codificati nel messaggio",
            Self::From => "campo From mancante o non conforme",
            Self::To => "campo To mancante o non conforme",
            Self::SenderDiffers => "mittente diverso dal campo From",
            Self::RecipientsDiffer => "destinatario non presente in To o Cc",
            Self::Bcc => "campo Bcc valorizzato",
            Self::TooLarge => "dimensione del messaggio eccedente",
            Self::TooManyRecipients => "numero dei destinatari eccedente",
        }
    }
}

/// Checks an original against its transaction. `raw_bytes` is the size as submitted, before the door's trace and
/// before rewriting (D3). The order is F0 to F6; the first failure is the reason.
///
/// # Errors
/// The [`Refusal`]; the facts for the notice come from [`crate::original::facts`].
pub fn check(
    original: &Bytes,
    transaction: &Transaction,
    raw_bytes: u64,
    limits: &Limits,
) -> Result<OriginalFacts, Refusal> {
    let headers = well_formed(original)?;
    let facts = facts_of(&headers);
    sender(&facts, transaction)?;
    recipients(&headers, &facts, transaction)?;
    no_bcc(&headers)?;
    size(transaction, raw_bytes, limits)?;
    Ok(facts)
}

/// F0 (D1, D4).
fn well_formed(original: &Bytes) -> Result<Headers, Refusal> {
    let (headers, _) =
        Headers::parse(original, &mime::Limits::default()).map_err(|_| Refusal::MalformedHeader)?;
    if headers.malformed().next().is_some() || SINGLE.iter().any(|name| headers.count(name) > 1) {
        return Err(Refusal::MalformedHeader);
    }
    lines(original)?;
    if original.is_ascii() { Ok(headers) } else { Err(Refusal::EightBit) }
}

/// The lines of a message, in one pass over it; the first offence is the reason.
fn lines(octets: &[u8]) -> Result<(), Refusal> {
    let mut line = 0; // where the line being read starts
    let mut cr = None; // where its CR stands
    for at in memchr3_iter(b'\r', b'\n', 0, octets) {
        match (octets.get(at), cr) {
            (Some(b'\r'), None) if at - line > LINE_BYTES_MAX => return Err(Refusal::LineTooLong),
            (Some(b'\r'), None) => cr = Some(at),
            (Some(b'\n'), Some(before)) if before + 1 == at => (line, cr) = (at + 1, None),
            _ => return Err(Refusal::IllegalOctet),
        }
    }
    match cr {
        Some(_) => Err(Refusal::IllegalOctet),
        None if octets.len() - line > LINE_BYTES_MAX => Err(Refusal::LineTooLong),
        None => Ok(()),
    }
}

/// F1, and F2 before F3 as spec 4.1 orders them.
fn sender(facts: &OriginalFacts, transaction: &Transaction) -> Result<(), Refusal> {
    let from = facts.from.as_ref().ok_or(Refusal::From)?;
    if facts.to.is_empty() {
        return Err(Refusal::To);
    }
    let same = transaction.reverse_path.as_ref().is_some_and(|path| identity(path) == from.key());
    if same { Ok(()) } else { Err(Refusal::SenderDiffers) }
}

/// F4: RCPT and To ∪ Cc are the same set (D2). An address that SMTP cannot carry is in the field and in no RCPT.
fn recipients(headers: &Headers, facts: &OriginalFacts, transaction: &Transaction) -> Result<(), Refusal> {
    let whole = ["To", "Cc"].iter().all(|name| {
        let field = Addressed::read(headers, name);
        field.readable && field.odd == 0
    });
    let named: HashSet<String> = facts.to.iter().chain(&facts.cc).map(Address::key).collect();
    let given: HashSet<String> = transaction.forward_paths.iter().map(identity).collect();
    if whole && named == given { Ok(()) } else { Err(Refusal::RecipientsDiffer) }
}

/// F5: the field may be there, a value may not (RFC 6109 §3.1.1).
fn no_bcc(headers: &Headers) -> Result<(), Refusal> {
    let empty = headers.all("Bcc").all(|field| field.unfolded().is_empty());
    if empty { Ok(()) } else { Err(Refusal::Bcc) }
}

/// F6 and the number of recipients (D3).
fn size(transaction: &Transaction, raw_bytes: u64, limits: &Limits) -> Result<(), Refusal> {
    let recipients = transaction.forward_paths.iter().map(Address::key).collect::<HashSet<_>>().len();
    let product = raw_bytes.saturating_mul(u64::try_from(recipients).unwrap_or(u64::MAX));
    if product > limits.product_bytes_max || raw_bytes > limits.technical_bytes_max {
        return Err(Refusal::TooLarge);
    }
    if recipients > limits.recipients_max { Err(Refusal::TooManyRecipients) } else { Ok(()) }
}
