//! What `sigillo verify` found: its JSON, its words, its exit code.

use std::fmt;

use bytes::Bytes;
use mime::{Headers, Limits};
use pec::{Instant, daticert::Certification};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use smime::{Certificate, Verified};

use crate::text::printable;

/// Whether the octets are those that were signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signature {
    /// They are.
    Valid,
    /// They are not, or the signature cannot be read.
    Invalid,
    /// There is no S/MIME signature.
    #[default]
    Absent,
}

/// Whether the signer leads to an anchor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Chain {
    /// It does.
    Trusted,
    /// It does not.
    Untrusted,
    /// No anchors were given, or the signature does not hold.
    #[default]
    NotChecked,
}

/// The whole of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Exit code 0.
    Valid,
    /// Exit code 1.
    #[default]
    Invalid,
    /// Exit code 2.
    NotPec,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// Whether it holds.
    pub passed: bool,
    /// What was expected and what came.
    pub detail: String,
}

impl Check {
    /// It holds.
    #[must_use]
    pub fn passed(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, passed: true, detail: detail.into() }
    }
    /// It does not hold.
    #[must_use]
    pub fn failed(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, passed: false, detail: detail.into() }
    }
}

/// Who signed, by the certificate inside the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignerFacts {
    /// RFC 4514.
    pub subject: String,
    /// RFC 4514.
    pub issuer: String,
    /// Hex.
    pub serial: String,
    /// SHA-1 of the certificate, as the provider index has it.
    pub sha1: String,
    /// The first rfc822Name.
    pub mail: Option<String>,
}

impl SignerFacts {
    fn of(certificate: &Certificate) -> Self {
        Self {
            subject: certificate.subject().to_owned(),
            issuer: certificate.issuer().to_owned(),
            serial: certificate.serial_hex(),
            sha1: certificate.sha1_hex(),
            mail: certificate.mails().first().cloned(),
        }
    }
}

/// What the original (postacert.eml) says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Original {
    /// Its Message-ID, as written: the PEC id in angle brackets.
    pub message_id: Option<String>,
    /// `From:`
    pub from: Option<String>,
    /// `To:`
    pub to: Vec<String>,
    /// `Cc:`
    pub cc: Vec<String>,
    /// Decoded.
    pub subject: Option<String>,
}

impl Original {
    pub(super) fn of(postacert: &Bytes) -> Self {
        let facts = pec::original::facts(postacert);
        let headers = Headers::parse(postacert, &Limits::default()).map(|(headers, _)| headers).ok();
        let message_id = headers.and_then(|h| h.first("Message-ID").map(mime::Field::text));
        let texts = |addresses: Vec<pec::Address>| addresses.iter().map(ToString::to_string).collect();
        Self {
            message_id,
            from: facts.from.map(|from| from.to_string()),
            to: texts(facts.to),
            cc: texts(facts.cc),
            subject: facts.subject,
        }
    }
}

/// Everything that was found. Serialised it is the JSON of `sigillo verify --json`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The signature.
    pub signature: Signature,
    /// The chain.
    pub chain: Chain,
    /// Why it is not valid; none if it is.
    pub reason: Option<String>,
    /// The value of `X-Ricevuta` or `X-Trasporto`, lower case.
    pub kind: Option<String>,
    /// The signing-time attribute.
    pub signed_at: Option<Instant>,
    /// The hash of the content: `sha-256`.
    pub digest: Option<String>,
    /// Who signed.
    pub signer: Option<SignerFacts>,
    /// daticert.xml.
    #[serde(serialize_with = "certification")]
    pub certification: Option<Certification>,
    /// postacert.eml.
    pub original: Option<Original>,
    /// Every check in order.
    pub checks: Vec<Check>,
    /// Not in the JSON: the exit code.
    #[serde(skip)]
    pub verdict: Verdict,
}

impl Report {
    /// The exit code: 0 valid, 1 signature or chain not valid, 2 not a PEC message.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self.verdict {
            Verdict::Valid => 0,
            Verdict::Invalid => 1,
            Verdict::NotPec => 2,
        }
    }

    pub(super) fn signed_by(&mut self, verified: &Verified) {
        let Some(signer) = verified.signers.first() else { return };
        self.signed_at = signer.signed_at_unix_s.map(Instant::from_unix_s);
        self.digest = Some(signer.digest.to_string());
        self.signer = Some(SignerFacts::of(&signer.certificate));
    }

    pub(super) fn detail_of(&self, name: &str) -> Option<String> {
        self.checks.iter().find(|check| check.name == name).map(|check| check.detail.clone())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.verdict, &self.reason) {
            (Verdict::Valid, _) => writeln!(f, "valid")?,
            (Verdict::Invalid, Some(reason)) => writeln!(f, "NOT VALID: {reason}")?,
            (_, reason) => writeln!(f, "{}", reason.as_deref().unwrap_or("not valid"))?,
        }
        let mut line = |name: &str, value: Option<&str>| match value {
            Some(value) => writeln!(f, "  {name:<14} {}", printable(value)),
            None => Ok(()),
        };
        line("kind", self.kind.as_deref())?;
        line("signed at", self.signed_at.map(|at| at.to_string()).as_deref())?;
        if let Some(signer) = &self.signer {
            line("signer", Some(&signer.subject))?;
            line("issuer", Some(&signer.issuer))?;
        }
        if let Some(certification) = &self.certification {
            for (name, value) in fields(certification) {
                line(name, Some(&plain(&value)))?;
            }
        }
        if let Some(original) = &self.original {
            line("original", original.message_id.as_deref())?;
        }
        for check in &self.checks {
            let mark = if check.passed { "ok" } else { "FAILED" };
            line(mark, Some(&format!("{}: {}", check.name, check.detail)))?;
        }
        Ok(())
    }
}

/// A value on one line.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => fields.values().map(plain).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

fn certification<S: Serializer>(c: &Option<Certification>, serializer: S) -> Result<S::Ok, S::Error> {
    let object = c.as_ref().map(|c| Map::from_iter(fields(c).into_iter().map(|(k, v)| (k.to_owned(), v))));
    object.serialize(serializer)
}

/// The content of daticert.xml under the names of its DTD (spec 3.1), in its order. Elements that may repeat are
/// arrays; an element with an attribute is an object, with the text of a `destinatari` as `indirizzo`.
fn fields(c: &Certification) -> Vec<(&'static str, Value)> {
    let known = c.recipients.iter().map(|r| (r.kind.wire(), r.address.as_str()));
    // Their type was read with the address and is lost when that is none.
    let odd = c.odd_recipients.iter().map(|r| ("", r.as_str()));
    let recipients: Vec<Value> = known
        .chain(odd)
        .map(|(kind, address)| match kind {
            "" => json!({ "tipo": null, "indirizzo": address }),
            kind => json!({ "tipo": kind, "indirizzo": address }),
        })
        .collect();
    let mut fields = vec![
        ("tipo", json!(c.kind)),
        ("errore", json!(c.error)),
        ("mittente", json!(c.sender)),
        ("destinatari", Value::Array(recipients)),
        ("risposte", json!(c.replies)),
    ];
    let mut optional = |name, value: Option<Value>| fields.extend(value.map(|value| (name, value)));
    optional("oggetto", c.subject.as_ref().map(|s| json!(s)));
    optional("gestore-emittente", Some(json!(c.provider)));
    optional("data", Some(json!({ "zona": c.zone, "giorno": c.day, "ora": c.hour })));
    optional("identificativo", Some(json!(c.pec_id)));
    optional("msgid", c.client_id.as_ref().map(|id| json!(id)));
    optional("ricevuta", c.form.map(|form| json!({ "tipo": form.wire() })));
    optional("consegna", c.delivery.as_ref().map(|to| json!(to)));
    optional("ricezione", (!c.received.is_empty()).then(|| json!(c.received)));
    optional("errore-esteso", c.extended_error.as_ref().map(|error| json!(error)));
    fields
}
