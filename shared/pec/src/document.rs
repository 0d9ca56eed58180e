//! The inputs of every message that a provider generates (M1-M12, spec 2.3).
//!
//! A [`Document`] is everything that composing needs besides the bytes of the original: it is stored with the act,
//! and two compositions from one document are the same message.

use serde::{Deserialize, Serialize};

use crate::{Address, Instant};

/// Which of the twelve messages it is (spec 2.3); or the one thing beside them that a provider writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// M1, RFC 6109 §3.1.2
    NonAcceptance,
    /// M2, RFC 6109 §3.1.3
    NonAcceptanceVirus,
    /// M3, RFC 6109 §3.1.4
    Acceptance,
    /// M4, RFC 6109 §3.1.5
    TransportEnvelope,
    /// M5, RFC 6109 §3.1.6: twelve hours
    TimeoutFirst,
    /// M6, RFC 6109 §3.1.6: twenty-four hours
    TimeoutLast,
    /// M7, RFC 6109 §3.2.1
    TakeCharge,
    /// M8, RFC 6109 §3.2.2
    AnomalyEnvelope,
    /// M9, RFC 6109 §3.2.3
    VirusDetection,
    /// M10, RFC 6109 §3.2.4
    NonDeliveryVirus,
    /// M11, RFC 6109 §3.3.2
    Delivery,
    /// M12, RFC 6109 §3.3.3
    NonDelivery,
    /// A delivery status notification (RFC 3464) about ordinary mail: no PEC message, and not signed (spec 0.2 D13,
    /// D14, D19).
    DeliveryStatus,
}

impl Kind {
    /// All twelve of PEC, in the order of spec 2.3.
    pub const ALL: [Self; 12] = [
        Self::NonAcceptance,
        Self::NonAcceptanceVirus,
        Self::Acceptance,
        Self::TransportEnvelope,
        Self::TimeoutFirst,
        Self::TimeoutLast,
        Self::TakeCharge,
        Self::AnomalyEnvelope,
        Self::VirusDetection,
        Self::NonDeliveryVirus,
        Self::Delivery,
        Self::NonDelivery,
    ];

    /// One English word group per kind, used in keys, logs and interfaces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NonAcceptance => "non-acceptance",
            Self::NonAcceptanceVirus => "non-acceptance-virus",
            Self::Acceptance => "acceptance",
            Self::TransportEnvelope => "transport-envelope",
            Self::TimeoutFirst => "timeout-first",
            Self::TimeoutLast => "timeout-last",
            Self::TakeCharge => "take-charge",
            Self::AnomalyEnvelope => "anomaly-envelope",
            Self::VirusDetection => "virus-detection",
            Self::NonDeliveryVirus => "non-delivery-virus",
            Self::Delivery => "delivery",
            Self::NonDelivery => "non-delivery",
            Self::DeliveryStatus => "delivery-status",
        }
    }

    /// The kind of this [name](Kind::name).
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().chain([Self::DeliveryStatus]).find(|kind| kind.name() == name)
    }

    /// Whether it says that a letter did not go its way: a notice ("avviso"), not a receipt or an envelope.
    #[must_use]
    pub const fn is_notice(self) -> bool {
        match self {
            Self::NonAcceptance
            | Self::NonAcceptanceVirus
            | Self::TimeoutFirst
            | Self::TimeoutLast
            | Self::VirusDetection
            | Self::NonDeliveryVirus
            | Self::NonDelivery => true,
            Self::Acceptance
            | Self::TransportEnvelope
            | Self::TakeCharge
            | Self::AnomalyEnvelope
            | Self::Delivery
            | Self::DeliveryStatus => false,
        }
    }
}

/// `certificato` or `esterno`: whether the recipient's domain is in the provider index (spec 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecipientKind {
    /// In the index: `certificato`, "posta certificata".
    Certified,
    /// Not in the index: `esterno`, "posta ordinaria".
    Ordinary,
}

/// One recipient of the original, typed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The forward path.
    pub address: Address,
    /// Its type at the instant of acceptance.
    pub kind: RecipientKind,
}

/// The form of delivery receipt that the sender asked for (`X-TipoRicevuta`, spec 6.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReceiptForm {
    /// `completa`; also when nothing or something unknown was asked.
    #[default]
    Complete,
    /// `breve`
    Brief,
    /// `sintetica`
    Synthetic,
}

/// `intestazione` and the identifiers of `dati`: what all messages about one letter share (spec 3.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// `mittente`: the reverse path of the original (G6). Raw text: it may come from somebody else's daticert, and
    /// for M1 may be empty or foreign.
    pub sender: String,
    /// `destinatari`: all recipients of the original.
    pub recipients: Vec<Recipient>,
    /// `risposte` (spec 0.2 D6).
    pub replies: String,
    /// `oggetto`, decoded Unicode; `None` when the original has no Subject (D7).
    pub subject: Option<String>,
    /// The raw field body of the original's Subject, for the `Subject:` header (D7: never decoded, only refolded).
    /// At a destination: the raw Subject of what was received, without its prefix.
    pub subject_raw: Option<String>,
    /// `identificativo`: the PEC id, no angle brackets.
    pub pec_id: String,
    /// `msgid`: the client's Message-ID with angle brackets, if the client wrote one.
    pub client_id: Option<String>,
}

/// The provider (or environment of it) that certifies: who signs and under what name (G2, spec 3.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuer {
    /// `gestore-emittente` = providerName.
    pub provider_name: String,
    /// `posta-certificata@dom`: the rfc822Name of the certificate.
    pub address: Address,
}

/// `errore` of a non-delivery notice (spec 0.2 D19, 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryError {
    /// `no-dest`: 5.1.1
    NoRecipient,
    /// `no-dominio`: no such domain
    NoDomain,
    /// `altro`
    Other,
}

/// What only one kind of message needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Matter {
    /// M1: `reason` is the Italian text of the refusal (spec 4.1), also `errore-esteso`.
    NonAcceptance {
        /// Italian, from [`crate::check::Refusal::wire`].
        reason: String,
    },
    /// M2: the name that the scanner gives.
    NonAcceptanceVirus {
        /// The scanner's name of what it found.
        virus: String,
    },
    /// M3
    Acceptance,
    /// M4. Source bytes: the original as stored in the spool. `form` goes to `X-TipoRicevuta` and `ricevuta`.
    TransportEnvelope {
        /// The form asked.
        form: ReceiptForm,
    },
    /// M5
    TimeoutFirst {
        /// `consegna`
        recipient: Address,
    },
    /// M6
    TimeoutLast {
        /// `consegna`
        recipient: Address,
    },
    /// M7: one per SMTP transaction.
    TakeCharge {
        /// `ricezione`, in the order of the transaction.
        received: Vec<Address>,
    },
    /// M8. Source bytes: the whole received message.
    AnomalyEnvelope {
        /// Italian description of the error (spec 2.4 M8).
        reason: String,
        /// `{dest}`: the RCPTs (spec 0.2 D14).
        recipients: Vec<Address>,
        /// The reverse path of the received message, `None` when null.
        reverse_path: Option<Address>,
        /// The Message-ID to write when the received message has none (D14); with angle brackets.
        fresh_id: String,
    },
    /// M9
    VirusDetection {
        /// `consegna`
        recipient: Address,
        /// The scanner's name of what it found.
        virus: String,
    },
    /// M10; `virus` and the recipient come from the M9.
    NonDeliveryVirus {
        /// `consegna`
        recipient: Address,
        /// As the M9 named it.
        virus: String,
    },
    /// M11. Source bytes: the transport envelope, for the complete and the brief form.
    Delivery {
        /// `consegna`
        recipient: Address,
        /// `ricevuta/@tipo` (D20): what the sender asked.
        form_asked: ReceiptForm,
        /// What is sent (spec 6.2).
        form_due: ReceiptForm,
    },
    /// M12: `errore-esteso` is `{code} - {provider} - {description}` (spec 12).
    NonDelivery {
        /// `consegna`
        recipient: Address,
        /// `errore`
        error: DeliveryError,
        /// Enhanced status, e.g. `5.1.1`.
        code: String,
        /// Italian description, e.g. `indirizzo non valido`.
        description: String,
    },
    /// A delivery status notification. Source bytes: the message that it speaks of; its header is returned.
    DeliveryStatus {
        /// Who did not get it.
        failures: Vec<FailedRecipient>,
        /// When the message came to us.
        arrived_at: Instant,
    },
}

/// A recipient of whom a delivery status notification speaks (RFC 3464 §2.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedRecipient {
    /// `Final-Recipient`
    pub recipient: Address,
    /// `Status`: the enhanced status, e.g. `5.7.1`.
    pub code: String,
    /// `Diagnostic-Code`: what another system answered; `None` when it is we who do not deliver.
    pub answer: Option<String>,
}

/// All inputs of one generated message besides its source bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The one instant of the transaction (G9).
    pub at: Instant,
    /// Message-ID of the generated message, with angle brackets. For M4 it is `<pec_id>`; M8 inherits its own.
    pub message_id: String,
    /// Seed of the MIME boundaries: 32 hexadecimal digits of randomness.
    pub seed: String,
    /// Who certifies.
    pub issuer: Issuer,
    /// `To:` of receipts and notices (G5: the reverse path; M7 and M9: a mailReceipt). Ignored by M4 and M8, which
    /// copy it.
    pub to: String,
    /// What all messages about the letter share. M8 uses only `subject_raw` and `subject`.
    pub letter: Letter,
    /// What this kind needs.
    pub matter: Matter,
}

impl Document {
    /// The kind of message.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self.matter {
            Matter::NonAcceptance { .. } => Kind::NonAcceptance,
            Matter::NonAcceptanceVirus { .. } => Kind::NonAcceptanceVirus,
            Matter::Acceptance => Kind::Acceptance,
            Matter::TransportEnvelope { .. } => Kind::TransportEnvelope,
            Matter::TimeoutFirst { .. } => Kind::TimeoutFirst,
            Matter::TimeoutLast { .. } => Kind::TimeoutLast,
            Matter::TakeCharge { .. } => Kind::TakeCharge,
            Matter::AnomalyEnvelope { .. } => Kind::AnomalyEnvelope,
            Matter::VirusDetection { .. } => Kind::VirusDetection,
            Matter::NonDeliveryVirus { .. } => Kind::NonDeliveryVirus,
            Matter::Delivery { .. } => Kind::Delivery,
            Matter::NonDelivery { .. } => Kind::NonDelivery,
            Matter::DeliveryStatus { .. } => Kind::DeliveryStatus,
        }
    }
}
