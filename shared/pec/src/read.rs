//! Reading a PEC message back: header, certification data, original (spec 2.2, 2.3; G10: only the XML is parsed).

use bytes::Bytes;
use mime::{Entity, Headers, Limits, MimeError};
use serde::Serialize;

use crate::{
    daticert::{self, Certification},
    document::Kind,
    words::{self, header},
};

#[cfg(test)]
mod tests;

/// A message that has the shape of a PEC message; says nothing of its signature.
#[derive(Clone, Debug)]
pub struct PecMessage {
    /// The value of `X-Ricevuta` or `X-Trasporto`, lower case.
    pub wire_kind: String,
    /// Which of the twelve it is, from the two header fields, `X-VerificaSicurezza` and, for the timeout notices
    /// that share a header, the text of `errore-esteso`.
    pub kind: Kind,
    /// The `From:` address.
    pub from: Option<String>,
    /// The top-level Message-ID with angle brackets.
    pub message_id: Option<String>,
    /// `X-Riferimento-Message-ID`
    pub reference_id: Option<String>,
    /// Raw `X-TipoRicevuta`
    pub receipt_form: Option<String>,
    /// The top-level Subject, decoded.
    pub subject: Option<String>,
    /// daticert.xml decoded, if the part is there.
    pub daticert_xml: Option<Bytes>,
    /// Its content, if there and readable.
    pub certification: Option<Certification>,
    /// postacert.eml, byte for byte, if the part is there.
    pub postacert: Option<Bytes>,
}

/// Why a message is not a PEC message, or a malformed one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub enum ReadError {
    /// Neither header field, both, or an unknown value: not a PEC message.
    #[error("find X-Ricevuta or X-Trasporto with a known value")]
    NotPec,
    /// A PEC header on a structure that is not one.
    #[error("find the structure of a PEC message: {0}")]
    Structure(String),
    /// The certification data are missing or unreadable where they must be.
    #[error("read the certification data: {0}")]
    Certification(String),
}

/// Reads the PEC structure of a message. The certification data may be missing here only for the anomaly envelope;
/// whether postacert.eml must be there is the business of [`crate::reception`].
///
/// # Errors
/// [`ReadError`]
pub fn read(message: &Bytes) -> Result<PecMessage, ReadError> {
    // The header alone classifies the message (G10, G15): most mail ends here.
    let (headers, _) = Headers::parse(message, &Limits::default()).map_err(structure)?;
    classify(&headers)?;
    of(&Entity::parse(message, &Limits::default()).map_err(structure)?)
}

/// As [`read`], of a message that is in its parts already.
///
/// # Errors
/// [`ReadError`]
pub(crate) fn of(entity: &Entity) -> Result<PecMessage, ReadError> {
    // 1. What it is.
    let headers = entity.headers();
    let (wire_kind, kind) = classify(headers)?;

    // 2. multipart/signed around multipart/mixed; parts are known by name, in either order (spec 2.2).
    let mixed = signed_content(entity)?;
    let daticert_xml = daticert_xml(mixed)?;
    let postacert = postacert(mixed)?;

    // 3. The certification data, which only an anomaly envelope does without (spec 2.3, 0.2 D9).
    let certification = match (&daticert_xml, kind) {
        (_, Kind::AnomalyEnvelope) => daticert_xml.as_ref().and_then(|xml| daticert::read(xml).ok()),
        (None, _) => return Err(ReadError::Certification(format!("{} is missing", words::DATICERT))),
        (Some(xml), _) => {
            Some(daticert::read(xml).map_err(|error| ReadError::Certification(error.to_string()))?)
        }
    };

    Ok(PecMessage {
        wire_kind,
        kind: timeout(kind, certification.as_ref()),
        from: headers.first("From").and_then(address),
        message_id: value(headers, "Message-ID"),
        reference_id: value(headers, header::REFERENCE),
        receipt_form: value(headers, header::RECEIPT_FORM),
        subject: headers.first("Subject").map(mime::Field::decoded),
        daticert_xml,
        certification,
        postacert,
    })
}

/// What a receipt takes out of an envelope.
pub(crate) struct Enclosed {
    /// As in [`PecMessage::kind`].
    pub kind: Kind,
    /// Whether its certification data have this `identificativo`.
    pub is_of_the_letter: bool,
    /// As in [`PecMessage::postacert`].
    pub postacert: Option<Bytes>,
}

/// As [`read`], and no more than what a receipt about this letter needs: the certification data were read when the
/// envelope came in, and are looked at for the letter's id only.
///
/// # Errors
/// [`ReadError`]
pub(crate) fn enclosed(message: &Bytes, pec_id: &str) -> Result<Enclosed, ReadError> {
    let entity = Entity::parse(message, &Limits::default()).map_err(structure)?;
    let (_, kind) = classify(entity.headers())?;
    let mixed = signed_content(&entity)?;
    let is_of_the_letter = match daticert_xml(mixed)? {
        Some(xml) if says_id(&xml, pec_id) => true,
        // Written in another way, perhaps.
        Some(xml) => daticert::read(&xml).is_ok_and(|read| read.pec_id == pec_id),
        None => false,
    };
    Ok(Enclosed { kind, is_of_the_letter, postacert: postacert(mixed)? })
}

/// Whether an element of certification data is this id, as we write it. A comment could look so too: it is our own store
/// that is looked at here, not the sender.
fn says_id(xml: &[u8], pec_id: &str) -> bool {
    let is_plain = !pec_id.is_empty() && !pec_id.contains(['<', '>', '&']);
    let element = format!("<identificativo>{pec_id}</identificativo>");
    is_plain && memchr::memmem::find(xml, element.as_bytes()).is_some()
}

/// What a header says that its message is; the timeout notices are not told apart yet.
fn classify(headers: &Headers) -> Result<(String, Kind), ReadError> {
    let (field, wire_kind) = classifying_field(headers)?;
    let security = value(headers, header::SECURITY)
        .is_some_and(|value| value.eq_ignore_ascii_case(words::SECURITY_ERROR));
    let kind = Kind::from_wire(field, &wire_kind, security).ok_or(ReadError::NotPec)?;
    Ok((wire_kind, kind))
}

fn structure(error: MimeError) -> ReadError {
    ReadError::Structure(error.to_string())
}

/// The one field that says what the message is, and its value in lower case.
fn classifying_field(headers: &Headers) -> Result<(&'static str, String), ReadError> {
    let is_pec = |field: &&mime::Field| field.is(header::RECEIPT) || field.is(header::TRANSPORT);
    let mut fields = headers.iter().filter(is_pec);
    match (fields.next(), fields.next()) {
        (Some(field), None) => {
            let name = if field.is(header::RECEIPT) { header::RECEIPT } else { header::TRANSPORT };
            Ok((name, field.text().to_ascii_lowercase()))
        }
        _ => Err(ReadError::NotPec),
    }
}

/// A field's value, if it has any.
fn value(headers: &Headers, name: &str) -> Option<String> {
    headers.first(name).map(mime::Field::text).filter(|value| !value.is_empty())
}

/// The address of a `From:`, if it is one.
fn address(field: &mime::Field) -> Option<String> {
    let mut mailboxes = mime::address::parse_list(field.raw_body(), 1).ok()?.into_iter();
    mailboxes.next().map(|mailbox| mailbox.addr_spec)
}

/// The multipart/mixed inside the multipart/signed.
fn signed_content(entity: &Entity) -> Result<&Entity, ReadError> {
    let expected = |what: &str| ReadError::Structure(what.to_owned());
    if entity.content_type().value != "multipart/signed" {
        return Err(expected("the message is not multipart/signed"));
    }
    let content = entity.children().first().ok_or_else(|| expected("nothing is signed"))?;
    if content.content_type().value != "multipart/mixed" {
        return Err(expected("the signed part is not multipart/mixed"));
    }
    Ok(content)
}

/// The part of this name, in any case.
fn part<'a>(mixed: &'a Entity, name: &str) -> Option<&'a Entity> {
    mixed.children().iter().find(|part| part.name().is_some_and(|n| n.trim().eq_ignore_ascii_case(name)))
}

/// daticert.xml without its transfer encoding. Base64 makes it a third larger, its line ends a little more.
fn daticert_xml(mixed: &Entity) -> Result<Option<Bytes>, ReadError> {
    let Some(part) = part(mixed, words::DATICERT) else { return Ok(None) };
    if part.body().len() > 2 * daticert::SIZE_BYTES_MAX {
        return Err(ReadError::Certification(format!("{} is too large", words::DATICERT)));
    }
    part.decoded_body().map(Some).map_err(structure)
}

/// postacert.eml as it was transported. RFC 2046 §5.2.1: nothing may be encoded around a message.
fn postacert(mixed: &Entity) -> Result<Option<Bytes>, ReadError> {
    let Some(part) = part(mixed, words::POSTACERT) else { return Ok(None) };
    match part.transfer_encoding().as_str() {
        "7bit" | "8bit" | "binary" => Ok(Some(part.body().clone())),
        _ => Err(ReadError::Structure(format!("{} is encoded", words::POSTACERT))),
    }
}

/// Tells the two timeout notices apart: the wire gives them one header (spec 2.3 M5, M6). Without a word about the
/// last one it is the first, after which another notice may come.
fn timeout(kind: Kind, certification: Option<&Certification>) -> Kind {
    let text = certification.and_then(|c| c.extended_error.as_deref()).unwrap_or_default().to_lowercase();
    let says = |words: [&str; 2]| words.iter().any(|word| text.contains(word));
    match kind {
        Kind::TimeoutFirst if says(["ventiquattro", "24 ore"]) => Kind::TimeoutLast,
        Kind::TimeoutFirst if says(["dodici", "12 ore"]) => Kind::TimeoutFirst,
        Kind::TimeoutFirst if text.starts_with(words::TIMEOUT_CODE) => Kind::TimeoutLast,
        kind => kind,
    }
}
