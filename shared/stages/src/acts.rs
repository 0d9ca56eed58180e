//! How a stage makes an act: with every input of its document fixed, so that issuing it reads no index, no setting
//! and no clock (design §4).

use pec::{Address, Document, Instant, Issuer, Kind, Letter, document::Matter};

use serde::Deserialize;

use crate::{
    BlobKey, Job, Rim, StageError,
    ids::{CertificateId, MailboxId, Partition, Side},
    log::About,
    ports::{Debt, Destination, FactsError, RowKey},
    registry::Environment,
    rim::Found,
    rows::{ActKey, ActRow, Next, Parcel},
};

/// How long we try to hand over what goes to another system, in seconds (RFC 6109 §2.2.2: 24 hours).
pub(crate) const GIVE_UP_AFTER_S: i64 = 24 * 3600;

/// Who certifies, with which certificate, at which instant: chosen once per transaction (G9, design §3 rules 5, 7).
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    pub(crate) environment: Environment,
    pub(crate) certificate: CertificateId,
    pub(crate) at: Instant,
}

/// Whom a message is for.
#[derive(Clone, Debug)]
pub(crate) enum Addressee {
    /// A mailbox of ours.
    Mailbox(MailboxId),
    /// Another provider's service mailbox or user.
    Elsewhere {
        /// Its record in the index.
        record: String,
        /// RCPT TO.
        address: Address,
    },
    /// A reverse path, told with a null one that something was not delivered: nobody answers to that (RFC 5321 §4.5.5).
    ReversePath {
        /// Where it is.
        destination: Destination,
        /// RCPT TO.
        address: Address,
    },
    /// Our own service mailbox: what is to be recorded instead of sent.
    Ourselves(Next),
    /// Nobody that can be reached: it is issued and logged all the same.
    Nobody,
}

/// One act to be made.
pub(crate) struct Order {
    /// Side and cause.
    pub(crate) partition: Partition,
    /// Recipient or transaction; empty where the kind occurs once.
    pub(crate) discriminator: String,
    pub(crate) letter: Letter,
    /// Whether the head of the partition has the same.
    pub(crate) letter_in_head: bool,
    /// `To:`
    pub(crate) to: String,
    pub(crate) matter: Matter,
    pub(crate) source: Option<BlobKey>,
    pub(crate) addressee: Addressee,
    /// The sender's provider (spec 0.2 D22).
    pub(crate) sending_provider: String,
}

impl Desk {
    /// The desk of an environment, by its id.
    pub(crate) async fn open(rim: &Rim, environment: &str, at: Instant) -> Result<Self, StageError> {
        Self::of(rim, rim.environment(environment).await?, at)
    }

    /// The desk of an environment.
    pub(crate) fn of(rim: &Rim, environment: Environment, at: Instant) -> Result<Self, StageError> {
        let certificate = rim.signer.current(&environment.id, at)?;
        Ok(Self { environment, certificate, at })
    }

    /// As what it signs.
    pub(crate) fn issuer(&self) -> Issuer {
        Issuer {
            provider_name: self.environment.provider_name.clone(),
            address: self.environment.address.clone(),
        }
    }

    /// The act. Its Message-ID and the name of its blob come from its key, so they are the same however often the
    /// stage is run before its commit.
    pub(crate) fn act(&self, rim: &Rim, order: Order) -> ActRow {
        let mut document = Document {
            at: self.at,
            message_id: String::new(),
            seed: format!("{:032x}", rim.ids.fresh()),
            issuer: self.issuer(),
            to: order.to,
            letter: order.letter,
            matter: order.matter,
        };
        let key =
            ActKey { partition: order.partition, kind: document.kind(), discriminator: order.discriminator };
        let name = key.blob_name();
        let local = name.get(..32).unwrap_or(&name);
        document.message_id = format!("<{local}@{}>", self.environment.mail_domain);
        let (target, next) = self.way(&name, order.addressee);
        ActRow {
            key,
            document,
            letter_in_head: order.letter_in_head,
            certificate: self.certificate.clone(),
            source: order.source,
            target,
            next,
            sending_provider: order.sending_provider,
            issued: None,
            filed: None,
            taken_off: Vec::new(),
        }
    }

    /// Where it is stored and what issuing it owes next. Receipts leave with our service address as reverse path
    /// (G7).
    fn way(&self, name: &str, addressee: Addressee) -> (BlobKey, Next) {
        match addressee {
            Addressee::Mailbox(mailbox) => {
                (BlobKey::mailbox(&mailbox, name), Next::File { mailboxes: vec![mailbox] })
            }
            Addressee::Elsewhere { record, address } => {
                let destination = Destination::Provider { record, domain: address.domain() };
                let next = Next::Send {
                    reverse_path: Some(self.environment.address.clone()),
                    parcels: vec![Parcel { destination, recipients: vec![address] }],
                    give_up_at: self.at.plus_s(GIVE_UP_AFTER_S),
                };
                (BlobKey::outbound(name), next)
            }
            Addressee::ReversePath { destination, address } => {
                let next = Next::Send {
                    reverse_path: None,
                    parcels: vec![Parcel { destination, recipients: vec![address] }],
                    give_up_at: self.at.plus_s(GIVE_UP_AFTER_S),
                };
                (BlobKey::outbound(name), next)
            }
            Addressee::Ourselves(next) => (BlobKey::service(name), next),
            Addressee::Nobody => (BlobKey::outbound(name), Next::Nothing),
        }
    }
}

/// An act with its letter, wherever that is kept.
///
/// # Errors
/// [`StageError::Damaged`] where the head is not there.
pub(crate) async fn read(rim: &Rim, key: &RowKey) -> Result<Option<Found<ActRow>>, StageError> {
    let Some(mut act) = rim.read::<ActRow>(key).await? else { return Ok(None) };
    if act.value.letter_in_head {
        let head = act.value.key.head();
        let stored = rim.facts.get(&head).await?;
        let stored =
            stored.ok_or_else(|| StageError::Damaged(format!("{}: an act without a head", head.pk)))?;
        let Head { letter } = serde_json::from_str(&stored.row.body)
            .map_err(|e| FactsError::Damaged(format!("{}: {e}", head.pk)))?;
        act.value.document.letter = letter;
    }
    Ok(Some(act))
}

/// What the heads of both sides have.
#[derive(Deserialize)]
struct Head {
    letter: Letter,
}

/// The debt of an act that was just made.
pub(crate) fn owed(act: &ActRow) -> Debt {
    let row = act.key.row();
    let job = match act.key.kind {
        Kind::TransportEnvelope => Job::Seal { act: row },
        _ => Job::Certify { act: row },
    };
    Debt::now(job, act.document.at)
}

/// The side that an act belongs to.
pub(crate) fn side(act: &ActRow) -> Side {
    if act.key.partition.as_str().starts_with("origin#") { Side::Origin } else { Side::Destination }
}

/// What the log says of an act: the recipients are those that it concerns.
pub(crate) fn about(act: &ActRow) -> About {
    let document = &act.document;
    let mut about = About::letter(&document.letter, &act.sending_provider, &document.issuer.provider_name);
    if about.pec_id.is_empty() {
        about.pec_id = act.key.partition.as_str().replacen('#', ":", 1);
    }
    match &document.matter {
        Matter::TakeCharge { received } => about.of(received),
        Matter::AnomalyEnvelope { recipients, .. } => about.of(recipients),
        Matter::TimeoutFirst { recipient }
        | Matter::TimeoutLast { recipient }
        | Matter::VirusDetection { recipient, .. }
        | Matter::NonDeliveryVirus { recipient, .. }
        | Matter::Delivery { recipient, .. }
        | Matter::NonDelivery { recipient, .. } => about.of([recipient]),
        Matter::DeliveryStatus { failures, .. } => about.of(failures.iter().map(|f| &f.recipient)),
        Matter::NonAcceptance { .. }
        | Matter::NonAcceptanceVirus { .. }
        | Matter::Acceptance
        | Matter::TransportEnvelope { .. } => about.of(document.letter.recipients.iter().map(|r| &r.address)),
    }
}
