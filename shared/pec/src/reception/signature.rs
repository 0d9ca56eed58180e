//! V1 to V3: is there a signature, whose is it, does it hold (RFC 6109 §2.2.2, spec 5.2).

use bytes::Bytes;
use mime::{Entity, Limits, MimeError};
use smime::{Certificate, Last, Policy, SignedMessage, Standing, Verified, Verifier};

use super::{CheckLine, Origin, Report, domain_of};
use crate::{Index, Instant, daticert::Certification, index::Record};

const EXISTENCE: &str = "V1 existence";
const ORIGIN: &str = "V2 origin";
const VALIDITY: &str = "V3 validity";
/// The line of [`super::Examination::checks`] about revocation, where it was asked.
pub const REVOCATION: &str = "V3 revocation";

/// A message that comes from a provider: V1 to V3 hold.
pub(super) struct Signed<'i> {
    /// The signer's certificate.
    pub(super) certificate: Certificate,
    /// The records that hold it; never empty.
    records: Vec<&'i Record>,
    /// The message in its parts, the first of which is what was signed; an error where it exceeds the bounds.
    pub(super) entity: Result<Entity, MimeError>,
}

/// V1, V2, V3, in this order; `None` is ordinary mail (outcome D).
///
/// Whose the signature is can only be read from a signature that can be read: where the mathematics of V3 fails,
/// V2 is not reported. The outcome is the same.
pub(super) fn check<'i>(
    message: &Bytes,
    at: Instant,
    index: &'i Index,
    verifier: &Verifier,
    report: &mut Report,
) -> Option<Signed<'i>> {
    let (signed, entity) = existence(message, report)?;
    let verified = match verifier.verify(&signed, &Policy::TODAY) {
        Ok(verified) => verified,
        Err(error) => {
            report.failed(VALIDITY, format!("failed to {error}"));
            return None;
        }
    };
    let candidates = origin(&verified, index, report)?;
    let (certificate, records) = validity(candidates, &verified, at, verifier, report)?;
    Some(Signed { certificate, records, entity })
}

/// V1. Whoever reads the message later must find in it what was signed, and nothing else: a boundary that two
/// readers take differently is no signature structure.
fn existence(message: &Bytes, report: &mut Report) -> Option<(SignedMessage, Result<Entity, MimeError>)> {
    let signed = match smime::split_signed(message) {
        Ok(signed) => signed,
        Err(error) => {
            report.failed(EXISTENCE, format!("failed to {error}"));
            return None;
        }
    };
    let entity = Entity::parse(message, &Limits::default());
    if let Ok(entity) = &entity {
        let first = entity.children().first().map(Entity::raw);
        if first.map(|f| (f.as_ptr(), f.len())) != Some((signed.content.as_ptr(), signed.content.len())) {
            report.failed(EXISTENCE, "expected the signed octets as the first part, found others");
            return None;
        }
    }
    report.passed(EXISTENCE, format!("multipart/signed with {}", signed.signature_type));
    Some((signed, entity))
}

/// V2: the signers whose certificates are in the index, each with its records.
fn origin<'i>(
    verified: &Verified,
    index: &'i Index,
    report: &mut Report,
) -> Option<Vec<(Certificate, Vec<&'i Record>)>> {
    let certificates = verified.signers.iter().map(|signer| &signer.certificate);
    let known: Vec<_> = certificates
        .map(|certificate| (certificate.clone(), index.by_certificate(certificate.der())))
        .filter(|(_, records)| !records.is_empty())
        .collect();
    if known.is_empty() {
        let hashes: Vec<String> = verified.signers.iter().map(|s| s.certificate.sha1_hex()).collect();
        let hashes = hashes.join(", ");
        report.failed(ORIGIN, format!("expected a certificate of the provider index, found SHA-1 {hashes}"));
        return None;
    }
    let ids: Vec<&str> = known.iter().flat_map(|(_, records)| records).map(|r| r.id.as_str()).collect();
    report.passed(ORIGIN, ids.join("; "));
    Some(known)
}

/// V3: the signatures hold already; here the path of the first signer that has one.
fn validity<'i>(
    candidates: Vec<(Certificate, Vec<&'i Record>)>,
    verified: &Verified,
    at: Instant,
    verifier: &Verifier,
    report: &mut Report,
) -> Option<(Certificate, Vec<&'i Record>)> {
    let mut faults = Vec::new();
    for (certificate, records) in candidates {
        match verifier.check_chain(&certificate, &verified.certificates, at.unix_s(), &Policy::TODAY) {
            Ok(()) => {
                let standing = verifier.standing(&certificate, at.unix_s());
                let revoked = standing.revoked_at(at.unix_s()).is_some();
                if let Some(told) = told(&standing) {
                    let line = CheckLine { name: REVOCATION.to_owned(), passed: !revoked, detail: told };
                    report.checks.push(line);
                }
                report.revocation = standing;
                if revoked {
                    faults.push(format!("accept {}: it is revoked", certificate.subject()));
                    continue;
                }
                report.passed(VALIDITY, format!("signed by {}, trusted at {at}", certificate.subject()));
                return Some((certificate, records));
            }
            Err(error) => faults.push(format!("failed to {error}")),
        }
    }
    report.failed(VALIDITY, faults.join("; "));
    None
}

/// What the legal log is told of revocation; nothing where nobody asks.
fn told(standing: &Standing) -> Option<String> {
    let of = |at: i64| Instant::from_unix_s(at);
    Some(match standing {
        Standing::NotAsked => return None,
        Standing::Good { listed_at } => format!("not on the list of {}", of(*listed_at)),
        Standing::Revoked { since } => format!("revoked since {}", of(*since)),
        Standing::Stale(Some(Last { listed_at, revoked_since: None })) => {
            format!("not on the list of {}, which is old", of(*listed_at))
        }
        Standing::Stale(Some(Last { listed_at, revoked_since: Some(since) })) => {
            format!("revoked since {}, by the list of {}, which is old", of(*since), of(*listed_at))
        }
        Standing::Stale(None) => "no list".to_owned(),
    })
}

impl Signed<'_> {
    /// Whether one of the records that hold the certificate manages this domain (D10).
    pub(super) fn manages(&self, domain: &str) -> bool {
        self.records.iter().any(|record| record.manages(domain))
    }

    /// Who answers for the message (D10): the record of the `mittente` domain, else of the From domain, else the
    /// main one.
    pub(super) fn origin(&self, certification: Option<&Certification>, from: Option<&str>) -> Origin {
        let sender = certification.map(|c| c.sender.as_str());
        let by_domain = |address: Option<&str>| {
            let domain = domain_of(address?)?;
            self.records.iter().find(|record| record.manages(domain))
        };
        let main = || self.records.iter().find(|record| record.provider_unit.is_none());
        let record = by_domain(sender).or_else(|| by_domain(from)).or_else(main).or(self.records.first());
        let text = |get: fn(&Record) -> &str| record.map(|r| get(r).to_owned()).unwrap_or_default();
        Origin {
            record: text(|r| &r.id),
            provider_name: text(|r| &r.provider_name),
            mail_receipt: text(|r| r.mail_receipt.as_str()),
            certificate_sha256: self.certificate.sha256_hex(),
        }
    }
}
