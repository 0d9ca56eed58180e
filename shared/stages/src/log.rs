//! The legal log (RFC 6109 §2.3, spec 8.1): one entry for every event, written in the commit that makes it.

use std::collections::BTreeMap;

use pec::{Instant, Letter};
use serde::{Deserialize, Serialize};

use crate::ids::Side;

/// `via` of what our own provider addresses to its own users (spec 4.7).
pub const OWN: &str = "own";

/// What happened (spec 8.1 "event type"). One English word group each, understood by an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A submitted letter passed all checks.
    Accepted,
    /// A submitted letter did not pass.
    Refused,
    /// A virus was found, at either point.
    VirusFound,
    /// A receipt, notice or envelope was issued: signed and stored.
    Issued,
    /// Something was sent to another system, or refused by it.
    Relayed,
    /// The other system refused, for good.
    RelayFailed,
    /// A message came in from outside (or from ourselves) and was examined.
    Received,
    /// An envelope was taken in charge.
    TakenInCharge,
    /// A take-charge receipt of another provider (or ours) covers a recipient.
    TakeChargeRecorded,
    /// A letter is in the recipient's mailbox.
    Delivered,
    /// A letter could not be put into the recipient's mailbox.
    DeliveryFailed,
    /// A receipt, notice or anomaly envelope is in a user's mailbox.
    Filed,
    /// A delivery receipt or failure came in and settled a recipient.
    Settled,
    /// A receipt came in after its recipient was settled or expired.
    Late,
    /// A deadline passed.
    DeadlinePassed,
    /// Ordinary mail was refused or dropped.
    OrdinaryRefused,
    /// A duplicate of something already handled.
    Duplicate,
}

impl Event {
    /// As it stands in keys.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::VirusFound => "virus-found",
            Self::Issued => "issued",
            Self::Relayed => "relayed",
            Self::RelayFailed => "relay-failed",
            Self::Received => "received",
            Self::TakenInCharge => "taken-in-charge",
            Self::TakeChargeRecorded => "take-charge-recorded",
            Self::Delivered => "delivered",
            Self::DeliveryFailed => "delivery-failed",
            Self::Filed => "filed",
            Self::Settled => "settled",
            Self::Late => "late",
            Self::DeadlinePassed => "deadline-passed",
            Self::OrdinaryRefused => "ordinary-refused",
            Self::Duplicate => "duplicate",
        }
    }
}

/// One entry. Its key is (PEC id, side#event#discriminator): no instant is in it, or a retry would append twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// `identificativo`; for what has none, `spool:<id>`.
    pub pec_id: String,
    /// On which side.
    pub side: Side,
    /// What.
    pub event: Event,
    /// What makes it unique among events of its kind: a recipient, an act, a transaction; may be empty.
    pub discriminator: String,
    /// The transaction's single time value (G9).
    pub at: Instant,
    /// The client's Message-ID.
    pub client_id: Option<String>,
    /// Sender of the original: the reverse path.
    pub sender: String,
    /// Recipients of the original: the forward paths that the event concerns.
    pub recipients: Vec<String>,
    /// Subject of the original, decoded.
    pub subject: Option<String>,
    /// Message-IDs of the generated messages it speaks of.
    pub messages: Vec<String>,
    /// The sender's provider (spec 0.2 D22).
    pub sending_provider: String,
    /// Who issued the message it speaks of.
    pub issuer: String,
    /// SHA-256 of the bytes it speaks of, hex.
    pub sha256: Option<String>,
    /// Anything else: kind, code, virus, scanner, tls, checks. Field names are English, in kebab case.
    pub detail: BTreeMap<String, String>,
}

/// What the entries about one letter share (spec 8.1): kept with rows whose stage does not read the letter itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// `identificativo`; for what has none, `spool:<id>`.
    pub pec_id: String,
    /// The client's Message-ID.
    pub client_id: Option<String>,
    /// Sender of the original.
    pub sender: String,
    /// Recipients of the original that it concerns.
    pub recipients: Vec<String>,
    /// Subject of the original, decoded.
    pub subject: Option<String>,
    /// The sender's provider (spec 0.2 D22).
    pub sending_provider: String,
    /// Who issued the message it speaks of.
    pub issuer: String,
}

impl About {
    /// About a letter; recipients are named by the caller, since most events concern one.
    #[must_use]
    pub fn letter(letter: &Letter, sending_provider: &str, issuer: &str) -> Self {
        Self {
            pec_id: letter.pec_id.clone(),
            client_id: letter.client_id.clone(),
            sender: letter.sender.clone(),
            recipients: Vec::new(),
            subject: letter.subject.clone(),
            sending_provider: sending_provider.to_owned(),
            issuer: issuer.to_owned(),
        }
    }

    /// Whether nothing is kept here.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// With these recipients.
    #[must_use]
    pub fn of<R: ToString>(mut self, recipients: impl IntoIterator<Item = R>) -> Self {
        self.recipients = recipients.into_iter().map(|r| r.to_string()).collect();
        self
    }
}

impl LogEntry {
    /// An entry about a letter.
    #[must_use]
    pub fn new(
        about: About,
        side: Side,
        event: Event,
        discriminator: impl Into<String>,
        at: Instant,
    ) -> Self {
        Self {
            pec_id: about.pec_id,
            side,
            event,
            discriminator: discriminator.into(),
            at,
            client_id: about.client_id,
            sender: about.sender,
            recipients: about.recipients,
            subject: about.subject,
            messages: Vec::new(),
            sending_provider: about.sending_provider,
            issuer: about.issuer,
            sha256: None,
            detail: BTreeMap::new(),
        }
    }

    /// Speaks of this generated message.
    #[must_use]
    pub fn message(mut self, message_id: impl Into<String>) -> Self {
        self.messages.push(message_id.into());
        self
    }

    /// Speaks of the bytes with this digest.
    #[must_use]
    pub fn digest(mut self, sha256: impl Into<String>) -> Self {
        self.sha256 = Some(sha256.into());
        self
    }

    /// With a detail; the name is English, in kebab case.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }

    /// The sort key.
    #[must_use]
    pub fn sk(&self) -> String {
        [self.side.name(), "#", self.event.name(), "#", &self.discriminator].concat()
    }
}
