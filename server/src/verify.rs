//! `sigillo verify`: judges any PEC message, ours or another provider's, from its octets alone (spec 5.2, 10.1).
//!
//! Offline: revocation is not asked about. Nothing here reads a clock or a file.

mod checks;
mod report;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use mime::{Headers, Limits};
use pec::{
    Index, Instant,
    daticert::Certification,
    read::{PecMessage, ReadError},
    words::header,
};
use smime::{Anchors, Policy, Signer, Verified, Verifier};

pub use report::{Chain, Check, Original, Report, Signature, SignerFacts, Verdict};

/// As of when a chain is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// When it was signed, by the signer's word: the historic view, which accepts SHA-1 and says so.
    SigningTime,
    /// An instant: now, or another.
    Instant(Instant),
}

/// What a message is judged by.
pub struct Standard {
    /// Whom to trust; without it the chain is not checked.
    pub anchors: Option<Anchors>,
    /// Who may sign for which domain; without it nobody asks.
    pub index: Option<Index>,
    /// As of when.
    pub at: At,
}

/// Judges a message.
#[must_use]
pub fn verify(message: &Bytes, standard: &Standard) -> Report {
    // 1. Is it PEC at all? The header says so (G10), before anything is verified.
    let mut report = Report { kind: wire_kind(message), ..Report::default() };
    let read = pec::read::read(message);
    let pec = read.as_ref().ok();
    if let Some(pec) = pec {
        report.kind = Some(pec.wire_kind.clone());
        report.certification = pec.certification.clone();
        report.original = pec.postacert.as_ref().map(Original::of);
    }

    // 2. The signature over the octets that came.
    let verified = signature(message, standard.at, &mut report);

    // 3. The chain of the signer to an anchor.
    if let (Some(verified), Some(anchors)) = (&verified, &standard.anchors) {
        chain(verified, anchors, standard.at, pec, &mut report);
    }

    // 4. What the signed content and the header say of each other, and the index of the signer.
    match &read {
        Ok(pec) => {
            let signer = verified.as_ref().map(|v| &main_signer(v, pec).certificate);
            report.checks.extend(checks::formal(pec, signer));
            if let (Some(signer), Some(index)) = (signer, &standard.index) {
                report.checks.extend(checks::origin(pec, signer, index));
            }
        }
        Err(error) => report.checks.push(Check::failed("structure", format!("failed to {error}"))),
    }

    // 5. The verdict, and the one reason for it.
    conclude(&mut report, read.as_ref().err());
    report
}

/// `X-Ricevuta` or `X-Trasporto`, whatever it says.
fn wire_kind(message: &Bytes) -> Option<String> {
    let (headers, _) = Headers::parse(message, &Limits::default()).ok()?;
    let field = headers.first(header::RECEIPT).or_else(|| headers.first(header::TRANSPORT))?;
    Some(field.text().to_ascii_lowercase())
}

fn signature(message: &Bytes, at: At, report: &mut Report) -> Option<Verified> {
    let policy = policy(at);
    let signed = match smime::split_signed(message) {
        Ok(signed) => signed,
        Err(error) => {
            // A signature that is there and cannot be read is no absent one.
            report.signature = match error {
                smime::NotSigned::TopLevel { .. } | smime::NotSigned::Protocol { .. } => Signature::Absent,
                _ if report.kind.is_some() => Signature::Invalid,
                _ => Signature::Absent,
            };
            report.checks.push(Check::failed("signature", format!("failed to {error}")));
            return None;
        }
    };
    match smime::verify(&signed, &policy) {
        Ok(verified) => {
            report.signature = Signature::Valid;
            report.signed_by(&verified);
            report.checks.extend(checks::signature(&verified));
            Some(verified)
        }
        Err(error) => {
            report.signature = Signature::Invalid;
            // What only the historic view accepts is shown, and why it does not count.
            if let Ok(verified) = smime::verify(&signed, &Policy::HISTORIC) {
                report.signed_by(&verified);
                let detail = format!("failed to {error}; --at signing-time judges it as of its time");
                report.checks.push(Check::failed("digest", detail));
            } else {
                report.checks.push(Check::failed("signature", format!("failed to {error}")));
            }
            None
        }
    }
}

const fn policy(at: At) -> Policy {
    match at {
        At::SigningTime => Policy::HISTORIC,
        At::Instant(_) => Policy::TODAY,
    }
}

fn chain(verified: &Verified, anchors: &Anchors, at: At, pec: Option<&PecMessage>, report: &mut Report) {
    let signer = pec.map_or_else(|| verified.signers.first(), |pec| Some(main_signer(verified, pec)));
    let Some(signer) = signer else { return };
    let instant = match at {
        At::Instant(instant) => Some((instant, "")),
        At::SigningTime => signing_time(signer, pec.and_then(|p| p.certification.as_ref())),
    };
    let Some((instant, source)) = instant else {
        report.chain = Chain::Untrusted;
        report.checks.push(Check::failed("chain", "failed to find the time of signing".to_owned()));
        return;
    };
    let verifier = Verifier::new(anchors.clone());
    let judged =
        verifier.check_chain(&signer.certificate, &verified.certificates, instant.unix_s(), &policy(at));
    match judged {
        Ok(()) => {
            report.chain = Chain::Trusted;
            report.checks.push(Check::passed("chain", format!("leads to an anchor as of {instant}{source}")));
        }
        Err(error) => {
            report.chain = Chain::Untrusted;
            report
                .checks
                .push(Check::failed("chain", format!("failed to {error} (as of {instant}{source})")));
        }
    }
}

/// The signer whose certificate has the address of `From:`; else the first.
fn main_signer<'v>(verified: &'v Verified, pec: &PecMessage) -> &'v Signer {
    let is_from = |signer: &&Signer| checks::certifies(&signer.certificate, pec.from.as_deref());
    // A signature that verifies has at least one signer.
    #[allow(clippy::indexing_slicing, reason = "smime::verify refuses a signature without signers")]
    verified.signers.iter().find(is_from).unwrap_or(&verified.signers[0])
}

/// The signing-time attribute; without it the instant in the signed certification data.
fn signing_time(signer: &Signer, certification: Option<&Certification>) -> Option<(Instant, &'static str)> {
    let attribute = signer.signed_at_unix_s.map(|s| (Instant::from_unix_s(s), ", the signing time"));
    attribute.or_else(|| {
        let instant = certified_instant(certification?)?;
        Some((instant, ", the time of the certification data (there is no signing time)"))
    })
}

/// `giorno`, `ora` and `zona` (spec 11).
fn certified_instant(c: &Certification) -> Option<Instant> {
    let mut day = c.day.splitn(3, '/');
    let (d, m, y) = (day.next()?, day.next()?, day.next()?);
    let (hours, minutes) = c.zone.split_at_checked(3)?;
    let minutes = minutes.trim_start_matches(':');
    Instant::parse(&format!("{y}-{m}-{d}T{}{hours}:{minutes}", c.hour)).ok()
}

fn conclude(report: &mut Report, unread: Option<&ReadError>) {
    let first_failed = report.checks.iter().find(|check| !check.passed).map(|check| check.detail.clone());
    (report.verdict, report.reason) = match (unread, report.signature, &report.kind) {
        (Some(ReadError::NotPec), ..) | (_, _, None) => {
            let reason = unread.map_or_else(String::new, |error| format!("failed to {error}"));
            (Verdict::NotPec, Some(format!("not a PEC message: {reason}")))
        }
        // Its header says PEC: without a signature that holds, whatever else is wrong with it comes second.
        (_, Signature::Absent, _) => (Verdict::Invalid, labelled("signature absent", first_failed)),
        (_, Signature::Invalid, _) => (Verdict::Invalid, labelled("signature not valid", first_failed)),
        (Some(error), ..) => (Verdict::NotPec, Some(format!("not a PEC message in form: failed to {error}"))),
        _ if report.chain == Chain::Untrusted => {
            (Verdict::Invalid, labelled("chain not trusted", report.detail_of("chain")))
        }
        _ => match first_failed {
            Some(_) => (Verdict::Invalid, labelled("signed content and header differ", first_failed)),
            None => (Verdict::Valid, None),
        },
    };
}

fn labelled(label: &str, detail: Option<String>) -> Option<String> {
    Some(detail.map_or_else(|| label.to_owned(), |detail| format!("{label}: {detail}")))
}
