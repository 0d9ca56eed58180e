//! From a document to the bytes of a message, in two steps around the signature (spec 2.2).

use std::sync::OnceLock;

use bytes::Bytes;
use mime::Rope;
use smime::sha256;

use crate::{Document, Kind};

mod body;
mod head;
mod report;
#[cfg(test)]
mod tests;

/// Why a message cannot be composed. Always our own mistake or a damaged store, never a refusal.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// A delivery status notification where something that is signed was asked for, or the other way round.
    #[error("compose {0} this way")]
    Unsigned(&'static str),
    /// This kind carries a message and none was given.
    #[error("compose {0} without its source message")]
    NoSource(&'static str),
    /// The source is not what the document says.
    #[error("read the source message: {0}")]
    Source(String),
}

/// A message that lacks only its signature.
#[derive(Debug)]
pub struct Draft {
    head: Vec<u8>,
    boundary: String,
    content: Rope,
    sha256: OnceLock<[u8; 32]>,
}

impl Draft {
    /// SHA-256 of the exact octets to be signed (RFC 1847: the multipart/mixed from its first header line to the
    /// CRLF before the delimiter, excluded).
    #[must_use]
    pub fn content_sha256(&self) -> [u8; 32] {
        *self.sha256.get_or_init(|| sha256(self.content.chunks()))
    }

    /// The finished message around a detached CMS signature in DER.
    #[must_use]
    pub fn seal(self, cms: &[u8]) -> Rope {
        let mut tail = body::signature_part(&self.boundary, cms);
        tail.extend_from_slice(["--", &self.boundary, "--\r\n"].concat().as_bytes());
        let mut message = Rope::from(self.head);
        message.push(["--", &self.boundary, "\r\n"].concat());
        message.append(self.content);
        message.push(tail);
        message
    }
}

/// Composes the message of a document. `source` is the original as spooled (M4), the received message (M8) or the
/// transport envelope (M11 complete and brief); it is shared, never copied.
///
/// # Errors
/// [`ComposeError`] when the source is missing or is not what the document speaks of.
pub fn compose(document: &Document, source: Option<&Bytes>) -> Result<Draft, ComposeError> {
    if document.kind() == Kind::DeliveryStatus {
        return Err(ComposeError::Unsigned(document.kind().name()));
    }
    let material = body::Material::gather(document, source)?;
    let boundaries = Boundaries::new(&document.seed);
    let content = body::content(document, &material, &boundaries);
    let head = head::head(document, &material, &boundaries.signed);
    Ok(Draft { head, boundary: boundaries.signed, content, sha256: OnceLock::new() })
}

/// Composes a delivery status notification (RFC 3464, RFC 6522): finished, since nothing signs it. `source` is the
/// message that was not delivered.
///
/// # Errors
/// [`ComposeError`] when the document is of another kind, or the source is missing.
pub fn report(document: &Document, source: Option<&Bytes>) -> Result<Rope, ComposeError> {
    let source = source.ok_or(ComposeError::NoSource(document.kind().name()))?;
    report::report(document, source, &Boundaries::new(&document.seed).mixed)
}

/// The delimiters of the three levels of multipart (spec 2.2): from the seed alone, all different. `=_` is in no
/// quoted-printable and no base64 text.
struct Boundaries {
    signed: String,
    mixed: String,
    alternative: String,
}

impl Boundaries {
    fn new(seed: &str) -> Self {
        let level = |name: &str| {
            let mut name = smime::hex(&sha256([seed, ":", name]));
            name.truncate(32);
            ["=_", &name].concat()
        };
        Self { signed: level("signed"), mixed: level("mixed"), alternative: level("alternative") }
    }
}
