//! Finding the signature in a message (RFC 1847, RFC 8551 §3): what was signed, and the CMS beside it.

use std::fmt;

use bytes::Bytes;
use mime::param::Value;
use mime::{Headers, Limits, MimeError};

use crate::cms::CMS_BYTES_MAX;
use crate::excerpt;

/// A detached signature is in base64 at most this long: four octets for three, and line ends.
const ENCODED_BYTES_MAX: usize = CMS_BYTES_MAX * 2;

/// A message with a detached signature, taken apart. Nothing is verified yet.
#[derive(Clone)]
pub struct SignedMessage {
    /// The exact octets that were signed: the first part, headers included, without the line end that belongs to
    /// the delimiter. A slice of the message.
    pub content: Bytes,
    /// The CMS of the second part, decoded.
    pub cms: Vec<u8>,
    /// The `micalg` parameter, as written. The CMS says which hash it really was.
    pub micalg: Option<String>,
    /// The media type of the second part, in lower case: with or without the `x-`.
    pub signature_type: String,
}

/// Sizes only: what was signed is nobody's log line.
impl fmt::Debug for SignedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedMessage")
            .field("content_bytes", &self.content.len())
            .field("cms_bytes", &self.cms.len())
            .finish_non_exhaustive()
    }
}

/// Why a message has no signature of ours (spec 5.2 V1). Displays finish the sentence "failed to …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// Another kind of message.
    #[error("find a signature: expected {expected} at top level, found {found}")]
    TopLevel {
        /// What was expected.
        expected: &'static str,
        /// What came; empty without Content-Type.
        found: String,
    },
    /// A signature by other means, OpenPGP for instance.
    #[error("find an S/MIME signature: the protocol is {found}")]
    Protocol {
        /// The `protocol` parameter.
        found: String,
    },
    /// multipart/signed without a boundary.
    #[error("split the message: there is no boundary parameter")]
    NoBoundary,
    /// Not the two parts of RFC 1847 §2.1.
    #[error("split the message: expected two parts, found {found}")]
    Parts {
        /// How many came.
        found: usize,
    },
    /// The second part is no signature.
    #[error("find the signature: expected application/pkcs7-signature in the second part, found {found}")]
    SignaturePart {
        /// Its media type.
        found: String,
    },
    /// The signature is larger than what we read.
    #[error("read the signature: {found} octets where at most {maximum} are read")]
    TooLarge {
        /// Encoded size that came.
        found: usize,
        /// The bound.
        maximum: usize,
    },
    /// The signature's transfer encoding is broken.
    #[error("decode the signature: it is not base64")]
    Encoding,
    /// The message cannot be read within bounds.
    #[error("read the message: {0}")]
    Mime(#[from] MimeError),
}

/// Takes a `multipart/signed` apart. Either name of the signature's type will do, in the protocol parameter (which
/// may be absent) and on the part.
///
/// # Errors
/// [`NotSigned`] says which of its marks the message lacks.
pub fn split_signed(message: &Bytes) -> Result<SignedMessage, NotSigned> {
    let (content_type, body) = head(message)?;
    if content_type.value != "multipart/signed" {
        return Err(NotSigned::TopLevel {
            expected: "multipart/signed",
            found: excerpt(&content_type.value),
        });
    }
    if let Some(protocol) = content_type.get("protocol")
        && !is_signature_type(&protocol.trim().to_ascii_lowercase())
    {
        return Err(NotSigned::Protocol { found: excerpt(protocol) });
    }
    let boundary = content_type.get("boundary").ok_or(NotSigned::NoBoundary)?;
    let (content, signature) = two_parts(&body, boundary)?;
    let (signature_type, cms) = signature_part(&signature)?;
    Ok(SignedMessage { content, cms, micalg: content_type.get("micalg").map(str::to_owned), signature_type })
}

/// The CMS of an `application/pkcs7-mime` whose content is inside (RFC 8551 §3.5.2), for
/// [`crate::open_signed_data`]. A `smime-type` other than signed-data refuses; without one the CMS will tell.
///
/// # Errors
/// [`NotSigned`].
pub fn split_opaque(message: &Bytes) -> Result<Vec<u8>, NotSigned> {
    let (content_type, body, encoding) = opened(message)?;
    let is_opaque =
        matches!(content_type.value.as_str(), "application/pkcs7-mime" | "application/x-pkcs7-mime")
            && content_type.get("smime-type").is_none_or(|kind| kind.eq_ignore_ascii_case("signed-data"));
    if !is_opaque {
        return Err(NotSigned::TopLevel {
            expected: "application/pkcs7-mime",
            found: excerpt(&content_type.value),
        });
    }
    decode(&body, &encoding, crate::cms::ENCLOSED_BYTES_MAX.saturating_mul(2))
}

fn two_parts(body: &Bytes, boundary: &str) -> Result<(Bytes, Bytes), NotSigned> {
    let parts = mime::split::multipart(body, boundary.as_bytes(), 2)
        .map_err(|error| match error {
            MimeError::TooManyParts { .. } => NotSigned::Parts { found: 3 },
            other => other.into(),
        })?
        .parts;
    let found = parts.len();
    <[Bytes; 2]>::try_from(parts)
        .map(|[content, signature]| (content, signature))
        .map_err(|_| NotSigned::Parts { found })
}

fn signature_part(part: &Bytes) -> Result<(String, Vec<u8>), NotSigned> {
    let (content_type, body, encoding) = opened(part)?;
    if !is_signature_type(&content_type.value) {
        return Err(NotSigned::SignaturePart { found: excerpt(&content_type.value) });
    }
    Ok((content_type.value, decode(&body, &encoding, ENCODED_BYTES_MAX)?))
}

fn is_signature_type(lower: &str) -> bool {
    matches!(lower, "application/pkcs7-signature" | "application/x-pkcs7-signature")
}

fn head(entity: &Bytes) -> Result<(Value, Bytes), NotSigned> {
    opened(entity).map(|(content_type, body, _)| (content_type, body))
}

/// Content-Type, body, and Content-Transfer-Encoding in lower case.
fn opened(entity: &Bytes) -> Result<(Value, Bytes, String), NotSigned> {
    let (headers, body) = Headers::parse(entity, &Limits::default())?;
    let value =
        |name: &str| headers.first(name).map_or_else(Value::default, |field| Value::parse(field.raw_body()));
    let encoding = value("Content-Transfer-Encoding").value;
    Ok((value("Content-Type"), entity.slice(body.min(entity.len())..), encoding))
}

/// Base64, whatever the header says, unless the octets are plainly BER already.
fn decode(body: &Bytes, encoding: &str, maximum: usize) -> Result<Vec<u8>, NotSigned> {
    if body.len() > maximum {
        return Err(NotSigned::TooLarge { found: body.len(), maximum });
    }
    let is_raw = encoding != "base64" && body.first() == Some(&crate::ber::tag::SEQUENCE);
    if is_raw {
        return Ok(body.to_vec());
    }
    mime::encode::base64_decode(body).map_err(|_| NotSigned::Encoding)
}
