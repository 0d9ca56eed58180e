//! The signed part of a generated message and its signature part (spec 2.2).

use bytes::Bytes;
use mime::{Headers, Limits, Rope, encode};

use super::{Boundaries, ComposeError};
use crate::{
    Document, Kind,
    document::{Matter, ReceiptForm},
    original::{self, OriginalFacts},
    read,
    text::Readable,
    words,
};

/// What a message takes from its source.
pub(super) struct Material {
    /// The header of what an envelope wraps; empty for receipts and notices.
    pub headers: Headers,
    /// `{mittente}`.
    pub sender: String,
    /// Where replies to an envelope go, if the wrapped header does not say.
    pub reply_to: Option<String>,
    /// The content of postacert.eml, in the kinds that have it (G12).
    postacert: Option<Rope>,
    /// Must the message say that it is not of 7 bits? Only what was received can bring it to that (spec 0.2 D4).
    pub is_8bit: bool,
}

impl Material {
    /// Takes what this kind needs from its source.
    pub(super) fn gather(document: &Document, source: Option<&Bytes>) -> Result<Self, ComposeError> {
        let source = || source.ok_or(ComposeError::NoSource(document.kind().name()));
        match &document.matter {
            Matter::TransportEnvelope { .. } => Self::of_original(document, source()?),
            Matter::AnomalyEnvelope { .. } => Ok(Self::of_received(document, source()?)),
            Matter::Delivery { form_due: ReceiptForm::Complete, .. } => {
                Ok(Self::with(document, Some(Rope::from(enclosed(document, source()?)?))))
            }
            Matter::Delivery { form_due: ReceiptForm::Brief, .. } => {
                Ok(Self::with(document, Some(crate::brief::brief(&enclosed(document, source()?)?))))
            }
            _ => Ok(Self::with(document, None)),
        }
    }

    fn with(document: &Document, postacert: Option<Rope>) -> Self {
        let sender = document.letter.sender.clone();
        let is_8bit = postacert.as_ref().is_some_and(|rope| !rope.chunks().all(|chunk| chunk.is_ascii()));
        Self { headers: Headers::default(), sender, reply_to: None, postacert, is_8bit }
    }

    /// M4: the original with its identifiers rewritten (RFC 6109 §3.1.5, spec 4.3).
    fn of_original(document: &Document, source: &Bytes) -> Result<Self, ComposeError> {
        let (headers, _) = Headers::parse(source, &Limits::default())
            .map_err(|error| ComposeError::Source(error.to_string()))?;
        let from = original::facts(source).from;
        let reply_to = from.map_or_else(|| document.letter.sender.clone(), |from| from.to_string());
        let postacert = original::rewrite(source, &document.letter.pec_id);
        Ok(Self { headers, reply_to: Some(reply_to), ..Self::with(document, Some(postacert)) })
    }

    /// M8: whatever was received, whole (RFC 6109 §3.2.2). A header beyond our bounds gives nothing to copy.
    fn of_received(document: &Document, source: &Bytes) -> Self {
        let headers =
            Headers::parse(source, &Limits::default()).map(|(headers, _)| headers).unwrap_or_default();
        let named = wrapped_sender(document, &original::facts(source));
        let sender = named.clone().unwrap_or_else(|| words::UNKNOWN_SENDER.to_owned());
        let postacert = Some(Rope::from(source.clone()));
        Self { headers, sender, reply_to: named, ..Self::with(document, postacert) }
    }
}

/// Whom the wrapped message comes from: its From, else its reverse path (spec 0.2 D14).
fn wrapped_sender(document: &Document, facts: &OriginalFacts) -> Option<String> {
    let Matter::AnomalyEnvelope { reverse_path, .. } = &document.matter else { return None };
    facts.from.as_ref().or(reverse_path.as_ref()).map(ToString::to_string)
}

/// postacert.eml of the transport envelope of this letter, byte for byte (RFC 6109 §3.3.2.1).
fn enclosed(document: &Document, envelope: &Bytes) -> Result<Bytes, ComposeError> {
    let failed = |why: &str| ComposeError::Source(why.to_owned());
    let read = read::enclosed(envelope, &document.letter.pec_id);
    let enclosed = read.map_err(|error| ComposeError::Source(error.to_string()))?;
    if enclosed.kind != Kind::TransportEnvelope {
        return Err(failed("it is no transport envelope"));
    }
    if !enclosed.is_of_the_letter {
        return Err(failed("it is the envelope of another letter"));
    }
    enclosed.postacert.ok_or_else(|| failed("it has no postacert.eml"))
}

/// The multipart/mixed that is signed: text, certification data, original.
pub(super) fn content(document: &Document, material: &Material, boundaries: &Boundaries) -> Rope {
    let mut content = Content { rope: Rope::new(), boundary: &boundaries.mixed };
    let encoding = if material.is_8bit { "Content-Transfer-Encoding: 8bit\r\n" } else { "" };
    content.rope.push(multipart("mixed", &boundaries.mixed, encoding));
    content.part(readable(document, &material.sender, &boundaries.alternative));
    if let Some(xml) = crate::daticert::write(document) {
        content.part(named_head("application/xml", words::DATICERT, "base64", "inline"));
        content.rope.push(encode::base64_lines(xml.as_bytes()));
    }
    if let Some(postacert) = &material.postacert {
        let encoding = if material.is_8bit { "8bit" } else { "7bit" };
        content.part(named_head("message/rfc822", words::POSTACERT, encoding, "inline"));
        content.rope.append(postacert.clone());
    }
    content.close()
}

/// The signature part with its delimiter before, from the CRLF that ends the signed octets.
pub(super) fn signature_part(boundary: &str, cms: &[u8]) -> Vec<u8> {
    let head = named_head("application/pkcs7-signature", words::SIGNATURE, "base64", "attachment");
    let encoded = encode::base64_lines(cms);
    // The last delimiter follows.
    let mut part = Vec::with_capacity(head.len() + encoded.len() + 2 * boundary.len() + 14);
    for piece in [b"\r\n--", boundary.as_bytes(), b"\r\n", head.as_bytes(), &encoded] {
        part.extend_from_slice(piece);
    }
    part
}

/// Parts behind their delimiters.
struct Content<'a> {
    rope: Rope,
    boundary: &'a str,
}

impl Content<'_> {
    fn part(&mut self, start: impl Into<Bytes>) {
        self.rope.push(["\r\n--", self.boundary, "\r\n"].concat());
        self.rope.push(start);
    }

    fn close(mut self) -> Rope {
        self.rope.push(["\r\n--", self.boundary, "--\r\n"].concat());
        self.rope
    }
}

/// The text, with its HTML alternative but in an anomaly envelope (spec 2.2, 0.2 D14).
fn readable(document: &Document, sender: &str, boundary: &str) -> Vec<u8> {
    let readable = Readable::new(document, sender);
    let plain = text_part("text/plain", &readable.plain());
    if document.kind() == Kind::AnomalyEnvelope {
        return plain;
    }
    let html = text_part("text/html", &readable.html());
    let start = multipart("alternative", boundary, "");
    let (next, end) = (["\r\n--", boundary, "\r\n"].concat(), ["\r\n--", boundary, "--\r\n"].concat());
    [start.as_bytes(), next.as_bytes(), &plain, next.as_bytes(), &html, end.as_bytes()].concat()
}

pub(super) fn text_part(media: &str, latin1: &[u8]) -> Vec<u8> {
    let text = encode::quoted_printable(latin1);
    let head = [
        "Content-Type: ",
        media,
        "; charset=\"iso-8859-1\"\r\nContent-Transfer-Encoding: quoted-printable\r\n",
        "Content-Disposition: inline\r\n\r\n",
    ];
    let mut part = Vec::with_capacity(head.iter().map(|piece| piece.len()).sum::<usize>() + text.len());
    head.iter().for_each(|piece| part.extend_from_slice(piece.as_bytes()));
    part.extend(text);
    part
}

pub(super) fn part_head(media: &str, encoding: &str) -> String {
    ["Content-Type: ", media, "\r\nContent-Transfer-Encoding: ", encoding, "\r\n"].concat()
}

/// The header of a part that has a name, with its blank line.
fn named_head(media: &str, name: &str, encoding: &str, disposition: &str) -> String {
    let start = ["Content-Type: ", media, "; name=\"", name, "\"\r\nContent-Transfer-Encoding: ", encoding];
    let end = ["\r\nContent-Disposition: ", disposition, "; filename=\"", name, "\"\r\n\r\n"];
    [start.as_slice(), end.as_slice()].concat().concat()
}

/// The header of a multipart and the blank line. The delimiter that follows brings the next CRLF.
fn multipart(subtype: &str, boundary: &str, encoding: &str) -> String {
    ["Content-Type: multipart/", subtype, ";\r\n boundary=\"", boundary, "\"\r\n", encoding].concat()
}
