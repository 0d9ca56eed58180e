//! The incoming point: V1 to V4 and their outcomes A to D (RFC 6109 §2.2.2, spec 5.2, 5.3).
//!
//! What is not here: revocation, which is judged by the caller's trust anchors and lists (spec 0.2 D15), and the
//! scanner (V5).

mod form;
mod reason;
mod signature;

pub use signature::REVOCATION;

use bytes::Bytes;
use mime::{Headers, word};
use serde::{Deserialize, Serialize};

use self::{form::Formed, reason::Reason, signature::Signed};
use crate::{
    Index, Instant, Letter, Transaction,
    daticert::Certification,
    document::{Kind, ReceiptForm},
    original,
};

/// Who signed, as the index knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The record that answers for the message (D10: that of the `mittente` domain, else of the From domain, else
    /// the main one, among those that hold the certificate).
    pub record: String,
    /// Its `providerName`.
    pub provider_name: String,
    /// Its `mailReceipt`: where M7 and M9 go.
    pub mail_receipt: String,
    /// SHA-256 of the signer certificate, hex.
    pub certificate_sha256: String,
}

/// A valid transport envelope (outcome A).
#[derive(Clone, Debug)]
pub struct ReceivedEnvelope {
    /// Who signed.
    pub origin: Origin,
    /// The certification data in our form; `subject_raw` is the envelope's raw Subject without its prefix.
    pub letter: Letter,
    /// The form asked (`X-TipoRicevuta`).
    pub form: ReceiptForm,
    /// The reverse path's domain is managed by the signer's record; otherwise log and alarm (D10).
    pub reverse_path_in_record: bool,
}

/// A valid receipt or notice (outcome B).
#[derive(Clone, Debug)]
pub struct ReceivedReceipt {
    /// Who signed.
    pub origin: Origin,
    /// Which one.
    pub kind: Kind,
    /// Its certification data.
    pub certification: Certification,
    /// Its own Message-ID with angle brackets.
    pub message_id: String,
    /// The signer's records manage the domain of its `consegna` / every `ricezione` (D12); false where it names
    /// none, as the messages do that a provider writes to its own user.
    pub signer_manages_recipient: bool,
}

/// What a received message is.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// A: pass to delivery, take in charge.
    Envelope(Box<ReceivedEnvelope>),
    /// B: pass to the user or to the service mailbox.
    Receipt(Box<ReceivedReceipt>),
    /// C: signed by a provider, but not in form: wrapped in M8.
    Anomaly {
        /// Who signed.
        origin: Origin,
        /// Its certification data when they can be read (for M9 of an infected case C, D11).
        certification: Option<Box<Certification>>,
        /// Italian reason for M8 (spec 2.4).
        reason: String,
    },
    /// D: ordinary mail; the check that says so.
    Ordinary {
        /// Italian reason for M8.
        reason: String,
    },
}

/// One check, for the log and for `sigillo verify`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckLine {
    /// `V1 existence`, ...
    pub name: String,
    /// Whether it holds.
    pub passed: bool,
    /// What was expected and what came.
    pub detail: String,
}

/// The verdict with the checks that led to it.
#[derive(Clone, Debug)]
pub struct Examination {
    /// What it is.
    pub verdict: Verdict,
    /// Every check made, in order.
    pub checks: Vec<CheckLine>,
    /// What is known of the revocation of the signer's certificate; where that is old, the verdict goes by the last list
    /// that there was, and whoever can waits for a new one (spec 0.2 D15).
    pub revocation: smime::Standing,
}

/// Examines a received message as of the instant of its reception.
///
/// Where a message has several signers, all their signatures must hold, and the first one counts whose certificate
/// is in the index and leads to an anchor. SHA-1 is not accepted (spec 10.1).
#[must_use]
pub fn examine(
    message: &Bytes,
    transaction: &Transaction,
    at: Instant,
    index: &Index,
    verifier: &smime::Verifier,
) -> Examination {
    let mut report = Report::default();
    let verdict = match signature::check(message, at, index, verifier, &mut report) {
        None => Verdict::Ordinary { reason: Reason::Untrusted.wire().to_owned() },
        Some(signed) => match form::check(message, &signed, &mut report) {
            Ok(formed) => in_form(formed, &signed, transaction, &mut report),
            Err(fault) => Verdict::Anomaly {
                origin: signed.origin(fault.certification.as_deref(), fault.from.as_deref()),
                certification: fault.certification,
                reason: fault.reason.wire().to_owned(),
            },
        },
    };
    Examination { verdict, checks: report.checks, revocation: report.revocation }
}

/// The checks made so far.
#[derive(Default)]
struct Report {
    checks: Vec<CheckLine>,
    revocation: smime::Standing,
}

impl Report {
    fn passed(&mut self, name: &str, detail: impl Into<String>) {
        self.checks.push(CheckLine { name: name.to_owned(), passed: true, detail: detail.into() });
    }

    fn failed(&mut self, name: &str, detail: impl Into<String>) {
        self.checks.push(CheckLine { name: name.to_owned(), passed: false, detail: detail.into() });
    }
}

/// Outcome A or B.
fn in_form(
    formed: Formed<'_>,
    signed: &Signed<'_>,
    transaction: &Transaction,
    report: &mut Report,
) -> Verdict {
    let origin = signed.origin(Some(&formed.certification), formed.message.from.as_deref());
    if formed.message.kind != Kind::TransportEnvelope {
        return Verdict::Receipt(Box::new(ReceivedReceipt {
            origin,
            kind: formed.message.kind,
            message_id: formed.message_id,
            signer_manages_recipient: manages_recipients(&formed.certification, signed),
            certification: formed.certification,
        }));
    }
    let reverse_path_in_record = manages_reverse_path(transaction, signed, report);
    let form = formed.message.receipt_form.as_deref().and_then(ReceiptForm::from_wire);
    Verdict::Envelope(Box::new(ReceivedEnvelope {
        origin,
        letter: letter(formed.certification, formed.headers),
        form: form.unwrap_or_default(),
        reverse_path_in_record,
    }))
}

/// D10: flagged only, since the texts do not say that it is a rule (spec 5.2).
fn manages_reverse_path(transaction: &Transaction, signed: &Signed<'_>, report: &mut Report) -> bool {
    const NAME: &str = "D10 reverse path";
    match transaction.reverse_path.as_ref().map(crate::Address::domain) {
        Some(domain) if signed.manages(&domain) => {
            report.passed(NAME, domain);
            true
        }
        found => {
            let found = found.as_deref().unwrap_or("the null path");
            report.failed(NAME, format!("expected a domain of the signer, found {found}"));
            false
        }
    }
}

/// D12.
fn manages_recipients(certification: &Certification, signed: &Signed<'_>) -> bool {
    let mut recipients = certification.delivery.iter().chain(&certification.received).peekable();
    recipients.peek().is_some() && recipients.all(|r| domain_of(r).is_some_and(|d| signed.manages(d)))
}

fn letter(certification: Certification, headers: &Headers) -> Letter {
    Letter {
        subject_raw: certification.subject.is_some().then(|| bare_subject(headers)),
        sender: certification.sender,
        recipients: certification.recipients,
        replies: certification.replies,
        subject: certification.subject,
        pec_id: certification.pec_id,
        client_id: certification.client_id,
    }
}

/// The envelope's raw Subject without its prefix, also where the prefix is inside of an encoded word.
fn bare_subject(headers: &Headers) -> String {
    let prefix = Kind::TransportEnvelope.words().subject_prefix.trim_end();
    let raw = original::subject_raw(headers).unwrap_or_default();
    if let Some(rest) = without_prefix(&raw, prefix) {
        return rest.to_owned();
    }
    let decoded = word::decode(raw.as_bytes());
    without_prefix(&decoded, prefix).map_or(raw, word::encode_unstructured)
}

fn without_prefix<'s>(subject: &'s str, prefix: &str) -> Option<&'s str> {
    let (head, rest) = subject.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| rest.trim_start())
}

/// The domain of an address as somebody else wrote it.
fn domain_of(address: &str) -> Option<&str> {
    address.trim().rsplit_once('@').map(|(_, domain)| domain)
}
