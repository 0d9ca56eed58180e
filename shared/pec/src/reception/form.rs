//! V4: does a provider's message have the form of a PEC message (spec 5.2, 0.2 D9).

use bytes::Bytes;
use mime::{Entity, Field, Headers, Limits};

use super::{Reason, Report, Signed, domain_of};
use crate::{
    daticert::{self, Certification},
    document::Kind,
    read::{self, PecMessage, ReadError},
    words,
};

/// Octets of an `identificativo`: it must fit on the line of a Message-ID field.
const PEC_ID_BYTES_MAX: usize = 900;

/// A message in form.
pub(super) struct Formed<'s> {
    pub(super) message: PecMessage,
    pub(super) certification: Certification,
    /// Of the message itself, with angle brackets.
    pub(super) message_id: String,
    pub(super) headers: &'s Headers,
}

/// A message from a provider that is not in form.
pub(super) struct Fault {
    pub(super) reason: Reason,
    /// What can be read of it all the same (D11).
    pub(super) certification: Option<Box<Certification>>,
    pub(super) from: Option<String>,
}

/// The checklist of spec 5.2. All checks that can be made are made; the first that fails is the reason.
pub(super) fn check<'s>(
    message: &Bytes,
    signed: &'s Signed<'_>,
    report: &mut Report,
) -> Result<Formed<'s>, Fault> {
    let in_parts = match &signed.entity {
        Ok(entity) => read::of(entity).map(|pec| (pec, entity.headers())),
        // It exceeds the bounds; its header may say that it would be no PEC message anyway.
        Err(error) => Err(read::read(message).err().unwrap_or(ReadError::Structure(error.to_string()))),
    };
    let (pec, headers) = match in_parts {
        Ok(read) => read,
        Err(error) => {
            report.failed("V4 form", format!("failed to {error}"));
            return Err(Fault {
                reason: reason_of(&error),
                certification: readable(signed).map(Box::new),
                from: None,
            });
        }
    };
    report.passed("V4 form", format!("{} ({})", pec.wire_kind, pec.kind.name()));
    // `read` has had certification data for all but the anomaly envelope.
    let Some(certification) = pec.certification.clone().filter(|_| pec.kind != Kind::AnomalyEnvelope) else {
        report.failed("V4 type", "expected another type from outside, found an anomaly envelope");
        let reason = Reason::AnomalyEnvelope;
        return Err(Fault { reason, certification: pec.certification.map(Box::new), from: pec.from });
    };

    let mut checks = vec![
        ("V4 sender", Reason::Sender, sender(headers, &pec, signed)),
        ("V4 domain", Reason::Domain, domain(&pec, signed)),
        ("V4 parts", Reason::Structure, parts(signed)),
        ("V4 type", Reason::Type, same("tipo", &pec.wire_kind, &certification.kind.to_ascii_lowercase())),
        ("V4 identifier", Reason::Identifier, identifier(&pec, &certification)),
    ];
    if pec.kind == Kind::TransportEnvelope {
        checks.push(("V4 original", Reason::NoOriginal, original(&pec)));
        checks.push(("V4 original id", Reason::OriginalIdentifier, original_id(&pec, &certification)));
    }
    let mut first = None;
    for (name, reason, outcome) in checks {
        match outcome {
            Ok(detail) => report.passed(name, detail),
            Err(detail) => {
                report.failed(name, detail);
                first.get_or_insert(reason);
            }
        }
    }
    match first {
        Some(reason) => Err(Fault { reason, certification: Some(Box::new(certification)), from: pec.from }),
        None => {
            let message_id = pec.message_id.clone().unwrap_or_default();
            Ok(Formed { message: pec, certification, message_id, headers })
        }
    }
}

fn reason_of(error: &ReadError) -> Reason {
    match error {
        ReadError::NotPec => Reason::UnknownType,
        ReadError::Structure(_) => Reason::Structure,
        ReadError::Certification(_) => Reason::Certification,
    }
}

/// Certification data of a message whose form does not hold, if they are there.
fn readable(signed: &Signed<'_>) -> Option<Certification> {
    let daticert = signed.entity.as_ref().ok()?.walk().find(|part| is_named(part, words::DATICERT))?;
    daticert::read(&daticert.decoded_body().ok()?).ok()
}

fn is_named(part: &Entity, name: &str) -> bool {
    part.name().is_some_and(|n| n.trim().eq_ignore_ascii_case(name))
}

/// Says what came when it is what was expected.
type Outcome = Result<String, String>;

fn same(what: &str, expected: &str, found: &str) -> Outcome {
    if expected == found {
        return Ok(found.to_owned());
    }
    Err(format!("expected {what} {expected}, found {found}"))
}

/// G2, G3: the one From address is the rfc822Name of the certificate.
fn sender(headers: &Headers, pec: &PecMessage, signed: &Signed<'_>) -> Outcome {
    let mails = signed.certificate.mails();
    match (&pec.from, headers.count("From")) {
        (Some(from), 1) if mails.iter().any(|mail| mail.eq_ignore_ascii_case(from)) => Ok(from.clone()),
        (from, count) => {
            let from = from.as_deref().unwrap_or("no address");
            Err(format!("expected From {}, found {from} ({count} fields)", mails.join(" or ")))
        }
    }
}

/// RFC 6109 §7, D10: against all records that hold the certificate.
fn domain(pec: &PecMessage, signed: &Signed<'_>) -> Outcome {
    match pec.from.as_deref().and_then(domain_of) {
        Some(domain) if signed.manages(domain) => Ok(domain.to_owned()),
        found => Err(format!("expected a From domain of the signer, found {}", found.unwrap_or("none"))),
    }
}

/// RFC 6109 §4.3: the text comes first; one daticert.xml, one postacert.eml at most, in either order.
fn parts(signed: &Signed<'_>) -> Outcome {
    let mixed = signed.entity.as_ref().ok().and_then(|entity| entity.children().first());
    let parts = mixed.map(Entity::children).unwrap_or_default();
    let text = parts.first().map(Entity::content_type);
    let count = |name| parts.iter().filter(|part| is_named(part, name)).count();
    let (daticert, postacert) = (count(words::DATICERT), count(words::POSTACERT));
    let text_first = text.as_ref().is_some_and(|kind| matches!(kind.media().0, "text" | "multipart"));
    let found = format!(
        "{} parts, the first {}, {daticert} daticert.xml, {postacert} postacert.eml",
        parts.len(),
        text.map_or_else(|| "missing".to_owned(), |kind| kind.value.clone()),
    );
    if text_first && daticert == 1 && postacert <= 1 {
        return Ok(found);
    }
    Err(format!("expected a text first, one daticert.xml and at most one postacert.eml, found {found}"))
}

/// The message has an id, the letter has one that can be written into a field, and in an envelope the two are one
/// (RFC 6109 §2.2.1).
fn identifier(pec: &PecMessage, certification: &Certification) -> Outcome {
    let id = &certification.pec_id;
    let is_id = |b: u8| b.is_ascii_graphic() && !b"<>".contains(&b);
    if id.is_empty() || id.len() > PEC_ID_BYTES_MAX || !id.bytes().all(is_id) {
        return Err("expected a usable identificativo, found another".to_owned());
    }
    match pec.message_id.as_deref() {
        None => Err("expected a Message-ID, found none".to_owned()),
        Some(found) if pec.kind == Kind::TransportEnvelope => same("Message-ID", id, bare(found)),
        Some(_) => Ok(id.clone()),
    }
}

/// D9: demanded of an envelope only.
fn original(pec: &PecMessage) -> Outcome {
    match &pec.postacert {
        Some(postacert) => Ok(format!("postacert.eml of {} octets", postacert.len())),
        None => Err("expected postacert.eml, found none".to_owned()),
    }
}

/// RFC 6109 §2.2.1: the PEC id is the Message-ID of the original as well.
fn original_id(pec: &PecMessage, certification: &Certification) -> Outcome {
    let postacert = pec.postacert.as_ref().map(|p| Headers::parse(p, &Limits::default()));
    let headers = postacert.and_then(Result::ok).map(|(headers, _)| headers).unwrap_or_default();
    match headers.first("Message-ID").map(Field::text) {
        Some(found) => same("Message-ID in postacert.eml", &certification.pec_id, bare(&found)),
        None => Err("expected a Message-ID in postacert.eml, found none".to_owned()),
    }
}

/// An id without its angle brackets.
fn bare(id: &str) -> &str {
    let id = id.trim();
    id.strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or(id)
}
