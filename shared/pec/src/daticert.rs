//! `daticert.xml`: written in the order of the DTD, read tolerantly (RFC 6109 §4.4, spec 3).

use serde::{Deserialize, Serialize};

use crate::document::{Document, ReceiptForm, Recipient};

mod parse;
mod print;
#[cfg(test)]
mod tests;

pub(crate) use print::extended_error;

/// The content of a daticert.xml as it was read; addresses are raw text, since they are somebody else's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certification {
    /// `postacert/@tipo`
    pub kind: String,
    /// `postacert/@errore`
    pub error: String,
    /// `mittente`
    pub sender: String,
    /// `destinatari`; those that are no addresses are in `odd_recipients`.
    pub recipients: Vec<Recipient>,
    /// `destinatari` that do not parse as addresses, as written.
    pub odd_recipients: Vec<String>,
    /// `risposte`
    pub replies: String,
    /// `oggetto`
    pub subject: Option<String>,
    /// `gestore-emittente`
    pub provider: String,
    /// `data/@zona`
    pub zone: String,
    /// `giorno`
    pub day: String,
    /// `ora`
    pub hour: String,
    /// `identificativo`
    pub pec_id: String,
    /// `msgid`
    pub client_id: Option<String>,
    /// `ricevuta/@tipo`
    pub form: Option<ReceiptForm>,
    /// `consegna`
    pub delivery: Option<String>,
    /// `ricezione`
    pub received: Vec<String>,
    /// `errore-esteso`
    pub extended_error: Option<String>,
}

/// Why a daticert.xml cannot be read (V4, spec 0.2 D9).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DaticertError {
    /// Not well-formed XML, or over the bounds.
    #[error("read daticert.xml as XML: {0}")]
    Xml(String),
    /// A mandatory element or attribute of the DTD is missing.
    #[error("find {0} in daticert.xml")]
    Missing(&'static str),
    /// A value that the DTD does not know.
    #[error("understand {0} in daticert.xml")]
    Value(&'static str),
}

/// Writes the certification data of a document (UTF-8, with CRLF line ends, no DOCTYPE); `None` for M8, which has
/// none.
#[must_use]
pub fn write(document: &Document) -> Option<String> {
    print::print(document)
}

/// Reads a daticert.xml: mandatory elements must be there, what is unknown is passed over (spec 0.2 D9). External
/// entities are never resolved; size and depth are bounded.
///
/// # Errors
/// [`DaticertError`] says what is missing.
pub fn read(xml: &[u8]) -> Result<Certification, DaticertError> {
    parse::parse(xml)
}

/// The largest daticert.xml that is read, in octets.
pub const SIZE_BYTES_MAX: usize = 1 << 20;
/// How deep its elements may be nested.
pub const DEPTH_MAX: usize = 16;
/// How many `destinatari` (and how many `ricezione`) it may have.
pub const RECIPIENTS_MAX: usize = 10_000;

/// What XML 1.0 §2.2 does not allow becomes U+FFFD (spec 0.2 D8).
fn legal(c: char) -> char {
    match c {
        '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}' => c,
        _ => char::REPLACEMENT_CHARACTER,
    }
}
