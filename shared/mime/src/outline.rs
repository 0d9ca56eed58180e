//! The structure of a message with the place of every part: all that a mailbox needs to show it without its bytes
//! (RFC 9051 §7.5.2, `ENVELOPE` and `BODYSTRUCTURE`), small enough to be kept beside it.
//!
//! [`Scanner`] reads a message in pieces of any size, once, in memory that does not grow with it; any octets have an
//! outline. Parts are found where [`crate::Entity`] finds them, and a `message/rfc822` is opened.

mod envelope;
mod scan;

use serde::{Deserialize, Serialize};

pub use envelope::{Addr, Envelope};
pub use scan::Scanner;

/// Levels of parts below the root; what is deeper stays a part without parts.
pub const DEPTH_MAX: usize = 32;
/// Parts of one message; what comes after them is not listed.
pub const PARTS_MAX: usize = 500;
/// Octets of header fields that one outline keeps, over all parts; what comes after them is left out.
pub const TEXT_BYTES_MAX: usize = 96 * 1024;
/// Octets of one header that are looked at.
const HEADER_BYTES_MAX: usize = 256 * 1024;
/// Lines of one header that are looked at.
const HEADER_LINES_MAX: usize = 4000;
/// Parameters of one field that are kept.
const PARAMS_MAX: usize = 100;

/// A message in outline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outline {
    /// Octets of the message.
    #[serde(rename = "z")]
    pub size: u64,
    /// The message itself.
    #[serde(rename = "r")]
    pub root: Part,
}

/// The message, or a part of it. Offsets count the octets of the whole message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Where its header starts.
    #[serde(rename = "s")]
    pub start: u64,
    /// Where its body starts.
    #[serde(rename = "b")]
    pub body: u64,
    /// Where it ends.
    #[serde(rename = "e")]
    pub end: u64,
    /// Line ends in its body.
    #[serde(rename = "n")]
    pub lines: u64,
    /// The type as transported, `text` where it has none.
    #[serde(rename = "t")]
    pub kind: String,
    /// The subtype.
    #[serde(rename = "u")]
    pub subtype: String,
    /// The parameters of the type, as transported.
    #[serde(rename = "p", default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<(String, String)>,
    /// `Content-ID`
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `Content-Description`
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `Content-Transfer-Encoding` as transported, if any.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// `Content-MD5`
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub md5: Option<String>,
    /// `Content-Disposition` with its parameters.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub disposition: Option<(String, Vec<(String, String)>)>,
    /// `Content-Language`
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
    /// `Content-Location`
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Of a message: of the root, and of what is inside of a `message/rfc822`.
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    pub envelope: Option<Box<Envelope>>,
    /// The parts of a multipart; of a `message/rfc822` the message in it, alone.
    #[serde(rename = "k", default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Part>,
}

impl Outline {
    /// Of a message in one piece.
    #[must_use]
    pub fn of(message: &[u8]) -> Self {
        let mut scanner = Scanner::new();
        scanner.push(message);
        scanner.finish()
    }

    /// The envelope of the message.
    #[must_use]
    pub fn envelope(&self) -> Option<&Envelope> {
        self.root.envelope.as_deref()
    }

    /// The part with this number (RFC 9051 §6.4.5.1): `[2, 1]` is `2.1`. The number 1 of what is no multipart is that
    /// itself; a number below a `message/rfc822` counts the parts of the message in it.
    #[must_use]
    pub fn part(&self, number: &[u32]) -> Option<&Part> {
        let (first, rest) = number.split_first()?;
        let mut part = self.root.numbered(*first)?;
        for number in rest {
            let within = if part.is_message() { part.children.first()? } else { part };
            // 2.1 of a part 2 that holds no parts is none: only a whole message counts itself.
            if !part.is_message() && !within.is_multipart() {
                return None;
            }
            part = within.numbered(*number)?;
        }
        Some(part)
    }
}

impl Part {
    /// A multipart, with parts or without.
    #[must_use]
    pub fn is_multipart(&self) -> bool {
        self.kind.eq_ignore_ascii_case("multipart")
    }

    /// A `message/rfc822` that was opened.
    #[must_use]
    pub fn is_message(&self) -> bool {
        !self.is_multipart() && !self.children.is_empty()
    }

    /// The value of a parameter of the type, as transported.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// This part and all below it, each before its children.
    pub fn walk(&self) -> impl Iterator<Item = &Part> {
        let mut stack = vec![self];
        std::iter::from_fn(move || {
            let next = stack.pop()?;
            stack.extend(next.children.iter().rev());
            Some(next)
        })
    }

    fn numbered(&self, number: u32) -> Option<&Part> {
        if self.is_multipart() {
            return self.children.get(usize::try_from(number).ok()?.checked_sub(1)?);
        }
        (number == 1).then_some(self)
    }
}

#[cfg(test)]
mod tests;
