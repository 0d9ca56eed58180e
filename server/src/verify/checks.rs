//! The checks that follow a signature that holds (spec 5.2 V2 and V4, 10.1).

use mime::{Headers, Limits};
use pec::{Address, Index, Kind, daticert::Certification, read::PecMessage};
use smime::{Certificate, DigestAlgorithm, Verified};

use super::report::Check;

/// Signature, digest, line ends, number of signers.
pub(super) fn signature(verified: &Verified) -> Vec<Check> {
    let mut checks = Vec::new();
    let signers = verified.signers.len();
    checks.push(Check::passed(
        "signature",
        format!("holds over the octets of the message, {signers} signer(s)"),
    ));
    for signer in &verified.signers {
        let digests = [signer.digest, signer.signature.digest()];
        let weak = if digests.contains(&DigestAlgorithm::Sha1) {
            ": accepted in the historic view only"
        } else {
            ""
        };
        checks.push(Check::passed("digest", format!("{}, signature over {}{weak}", digests[0], digests[1])));
        if !signer.has_signed_attributes {
            checks.push(Check::passed("attributes", "none: the signature is over the content itself"));
        }
    }
    if verified.canonicalised {
        checks.push(Check::passed("line-ends", "holds once bare LF is restored to CRLF"));
    }
    checks
}

/// Whether a certificate has this address (G2).
pub(super) fn certifies(certificate: &Certificate, from: Option<&str>) -> bool {
    from.is_some_and(|from| certificate.mails().iter().any(|mail| mail.eq_ignore_ascii_case(from)))
}

/// What header, certification data and original say of each other (V4).
pub(super) fn formal(pec: &PecMessage, signer: Option<&Certificate>) -> Vec<Check> {
    let mut checks = Vec::new();
    checks.extend(signer.map(|signer| from(pec, signer)));
    match &pec.certification {
        Some(certification) => {
            checks.push(Check::passed("daticert", "well-formed, every mandatory element is there"));
            checks.push(tipo(pec, certification));
            if pec.kind == Kind::TransportEnvelope {
                checks.push(identificativo(pec, certification));
            }
        }
        None => checks.push(Check::passed("daticert", "none, as is right for an anomaly envelope")),
    }
    checks.push(postacert(pec));
    checks
}

/// RFC 6109 §2.1 (G2): `From:` is the address in the signer's certificate.
fn from(pec: &PecMessage, signer: &Certificate) -> Check {
    let from = pec.from.as_deref().unwrap_or("no address");
    let mails = signer.mails().join(", ");
    if certifies(signer, pec.from.as_deref()) {
        Check::passed("from", format!("{from} is in the signer's certificate"))
    } else {
        Check::failed("from", format!("From is {from}, the signer's certificate is for {mails}"))
    }
}

/// Spec 3.2: `tipo` is the value of the header field.
fn tipo(pec: &PecMessage, certification: &Certification) -> Check {
    let (header, tipo) = (&pec.wire_kind, &certification.kind);
    if pec.kind.words().certification.is_some_and(|expected| expected.eq_ignore_ascii_case(tipo)) {
        Check::passed("tipo", format!("{tipo}, as the header says"))
    } else {
        Check::failed("tipo", format!("the header says {header}, the certification data say {tipo}"))
    }
}

/// RFC 6109 §2.2.1 (spec 4.3): envelope and original have the PEC id as their Message-ID.
fn identificativo(pec: &PecMessage, certification: &Certification) -> Check {
    let expected = format!("<{}>", certification.pec_id);
    let inside = pec.postacert.as_ref().and_then(|original| {
        let (headers, _) = Headers::parse(original, &Limits::default()).ok()?;
        Some(headers.first("Message-ID")?.text())
    });
    for (what, found) in [("the envelope", pec.message_id.as_ref()), ("the original", inside.as_ref())] {
        let found = found.map_or("no Message-ID", String::as_str);
        if found != expected {
            return Check::failed("identificativo", format!("expected {expected}, {what} has {found}"));
        }
    }
    Check::passed("identificativo", format!("{expected} in envelope and original"))
}

/// Spec 0.2 D9: required in a transport envelope, free in a delivery receipt; elsewhere it does no harm. An anomaly
/// envelope carries the whole received message.
fn postacert(pec: &PecMessage) -> Check {
    let required = matches!(pec.kind, Kind::TransportEnvelope | Kind::AnomalyEnvelope);
    match (&pec.postacert, required) {
        (Some(original), _) => Check::passed("postacert", format!("{} octets", original.len())),
        (None, false) => Check::passed("postacert", "none, and none is required"),
        (None, true) => Check::failed("postacert", "expected postacert.eml, found none"),
    }
}

/// V2: the index knows the signer, and lets it sign for this domain (spec 5.2, 0.2 D10).
pub(super) fn origin(pec: &PecMessage, signer: &Certificate, index: &Index) -> Vec<Check> {
    let records = index.by_certificate(signer.der());
    if records.is_empty() {
        let sha1 = signer.sha1_hex();
        return vec![Check::failed("index", format!("no provider of the index has certificate {sha1}"))];
    }
    let names: Vec<&str> = records.iter().map(|record| record.id.as_str()).collect();
    let domain = pec.from.as_deref().and_then(|from| Address::parse(from).ok()).map(|from| from.domain());
    let managed = domain.as_deref().is_some_and(|d| records.iter().any(|record| record.manages(d)));
    let domain = domain.unwrap_or_else(|| "no domain".to_owned());
    let names = names.join(", ");
    vec![
        Check::passed("index", format!("the certificate is that of {names}")),
        if managed {
            Check::passed("domain", format!("{domain} is managed by {names}"))
        } else {
            Check::failed("domain", format!("{domain} is not managed by {names}"))
        },
    ]
}
