//! Outcome B: a valid receipt or notice of another provider stops clocks, settles recipients, and goes to the sender
//! (RFC 6109 §2.2.2, §2.2.3, §3.2.4; spec 5.3, 7, 0.2 D11, D12).

use pec::{
    Address, Kind, Transaction, original,
    reception::{CheckLine, ReceivedReceipt},
};

use super::{
    Incoming,
    addressed::Addressed,
    anomaly::{self, Signed},
    revocation_noted,
};
use crate::{
    BlobKey, Rim, SpoolId, StageError, bounds,
    ids::{Door, MailboxId, Partition, Side, blob_name},
    issue,
    log::{About, Event, LogEntry},
    origin,
    ports::Scan,
    rim::{Body, Draft, Found},
    rows::{FilingRow, OriginHead, OriginRecipient, Outcome, SeenReceipt, Summary},
};

/// Italian reason for M8: a receipt that does not count (spec 0.2 D12).
const DOES_NOT_COUNT: &str = "la ricevuta non si riferisce a un messaggio inviato tramite questo gestore";

/// What a receipt says of recipients of a letter.
enum Effect {
    /// M7
    TakeCharge(Vec<Address>),
    /// M9
    Virus(Address, String),
    /// M11, M12, M10
    Final(Address, Outcome),
}

/// A receipt that counts, with the letter it speaks of.
struct Counting {
    effect: Effect,
    head: OriginHead,
}

impl Incoming {
    pub(super) async fn receipt(
        self,
        rim: &Rim,
        receipt: ReceivedReceipt,
        addressed: Vec<Addressed>,
        virus: Option<String>,
        checks: &[CheckLine],
    ) -> Result<(), StageError> {
        // 1. The same receipt again changes nothing (design §4: by Message-ID and digest).
        let seen = SeenReceipt {
            message_id: receipt.message_id.clone(),
            sha256: self.sha256.clone(),
            spool: self.spool_or_own(),
        };
        let bounded = anomaly::about_certified(rim, &self, &receipt.certification)
            .filter(|_| receipt.message_id.len() <= MESSAGE_ID_BYTES_MAX);
        let Some(about) = bounded else {
            return self.does_not_count(rim, receipt, addressed, virus, checks).await;
        };
        if rim.read::<SeenReceipt>(&seen.key()).await?.is_some() {
            let mut draft = Draft::new();
            draft.append(self.entry(about, Event::Duplicate, checks));
            self.close(&mut draft, "duplicate", None, Some(receipt.message_id))?;
            return rim.commit(draft).await;
        }

        // 2. Does it count? Then its facts do, even if it is infected (D11).
        if is_effective(receipt.kind) {
            return match counting(rim, &receipt).await? {
                Some(counts) => self.count(rim, receipt, counts, &addressed, &seen, virus, checks).await,
                None => self.does_not_count(rim, receipt, addressed, virus, checks).await,
            };
        }

        // 3. Any other is for its recipients to read.
        let mut draft = Draft::new();
        draft.insert(&seen, None)?;
        draft.append(self.entry(about.clone(), Event::Received, checks).with("kind", receipt.kind.name()));
        if let Some(virus) = &virus {
            self.lock_away(rim).await?;
            draft.append(self.virus_entry(rim, about, virus, checks));
        } else {
            let mut mailboxes: Vec<MailboxId> = Vec::new();
            for (one, mailbox) in addressed.iter().filter_map(|a| a.open().map(|m| (a, m))) {
                if !mailboxes.contains(&mailbox.id) && mailboxes.len() < crate::lay::ROOM {
                    mailboxes.push(mailbox.id.clone());
                    let filing = self.filing(&receipt, &mailbox.id, &one.address, about.clone());
                    draft.insert(&filing, Some(issue::filing_debt(&filing, self.at)))?;
                }
            }
        }
        self.close(&mut draft, "receipt", Some(self.partition()), Some(receipt.message_id))?;
        rim.commit(draft).await
    }

    /// One commit: the receipt is handled, the letter's rows say so, the sender gets it.
    #[allow(clippy::too_many_arguments, reason = "the parts of one reception, each used once")]
    async fn count(
        self,
        rim: &Rim,
        receipt: ReceivedReceipt,
        counting: Counting,
        addressed: &[Addressed],
        seen: &SeenReceipt,
        virus: Option<String>,
        checks: &[CheckLine],
    ) -> Result<(), StageError> {
        let Counting { effect, head } = counting;
        let pec_id = &head.letter.pec_id;
        let sending = addressed.first().map(|a| a.environment.provider_name.clone()).unwrap_or_default();
        let about = |recipients: &[Address]| {
            About::letter(&head.letter, &sending, &receipt.certification.provider).of(recipients)
        };
        let mut draft = Draft::new();
        draft.insert(seen, None)?;
        // Handled once by Message-ID and digest, and logged under them.
        let name = blob_name(format!("{}\0{}", seen.message_id, seen.sha256).as_bytes());
        let entry = |about: About, event: Event| {
            revocation_noted(LogEntry::new(about, Side::Origin, event, name.clone(), self.at), checks)
                .message(&receipt.message_id)
                .digest(self.sha256.clone())
                .with("kind", receipt.kind.name())
        };
        if let Some(virus) = &virus {
            self.lock_away(rim).await?;
            draft.append(self.virus_entry(rim, about(&[]), virus, checks));
        }
        match &effect {
            Effect::TakeCharge(recipients) => {
                draft.append(entry(about(recipients), Event::TakeChargeRecorded));
                origin::record_take_charge(rim, &mut draft, pec_id, recipients, self.received_at).await?;
            }
            Effect::Virus(recipient, virus_name) => {
                // RFC 6109 §2.2.2: the sender's provider looks why its own scanner missed it.
                tracing::error!(incoming = %self.id, "another provider found a virus in a letter of ours");
                let again = rescan(rim, &head).await?;
                let found = entry(about(std::slice::from_ref(recipient)), Event::VirusFound);
                draft.append(
                    found
                        .with("virus", virus_name)
                        .with("scanner", rim.scanner.version())
                        .with("new-scan", again),
                );
                origin::record_virus(rim, &mut draft, pec_id, recipient, virus_name, self.received_at, &name)
                    .await?;
            }
            Effect::Final(recipient, outcome) => {
                let found = rim.read::<OriginRecipient>(&OriginRecipient::key_of(pec_id, recipient)).await?;
                let missing = || StageError::Damaged(format!("{pec_id}: a recipient without its row"));
                let mut found: Found<OriginRecipient> = found.ok_or_else(missing)?;
                let won = origin::settle(&mut draft, &mut found, outcome.clone(), self.received_at)?;
                let event = if won { Event::Settled } else { Event::Late };
                draft.append(entry(about(std::slice::from_ref(recipient)), event));
                if virus.is_none() {
                    let about = about(std::slice::from_ref(recipient));
                    let sender = Address::parse(&head.letter.sender).unwrap_or_else(|_| recipient.clone());
                    let filing = self.filing(&receipt, &head.sender, &sender, about);
                    draft.insert(&filing, Some(issue::filing_debt(&filing, self.at)))?;
                }
            }
        }
        self.close(&mut draft, "receipt", Some(Partition::origin(pec_id)), Some(receipt.message_id.clone()))?;
        rim.commit(draft).await
    }

    /// Filed inside an anomaly envelope, without effect, with an alarm (D12); infected, under lock only (D11).
    async fn does_not_count(
        self,
        rim: &Rim,
        receipt: ReceivedReceipt,
        addressed: Vec<Addressed>,
        virus: Option<String>,
        checks: &[CheckLine],
    ) -> Result<(), StageError> {
        tracing::error!(incoming = %self.id, kind = receipt.kind.name(), "a receipt does not count");
        let signed = Signed { origin: receipt.origin, certification: None };
        self.anomaly(rim, signed, DOES_NOT_COUNT.to_owned(), addressed, virus, checks).await
    }

    fn filing(
        &self,
        receipt: &ReceivedReceipt,
        mailbox: &MailboxId,
        to: &Address,
        about: About,
    ) -> FilingRow {
        let facts = original::facts(&self.bytes);
        let summary = Summary {
            kind: Some(receipt.kind),
            from: facts.from.map(|a| a.to_string()).unwrap_or_default(),
            subject: issue::subject(receipt.kind, receipt.certification.subject.as_deref()),
            message_id: receipt.message_id.clone(),
            pec_id: Some(receipt.certification.pec_id.clone()),
            size_bytes: self.bytes.len() as u64,
            at: self.at,
        };
        FilingRow {
            partition: self.partition(),
            discriminator: format!("{mailbox}#{}", self.sha256),
            mailbox: Some(mailbox.clone()),
            source: self.blob.clone(),
            name: self.sha256.clone(),
            summary,
            certifies: None,
            address: Some(to.clone()),
            about,
            filed: None,
        }
    }

    /// The spool entry that brought it. Our own receipts to ourselves do not come this way.
    fn spool_or_own(&self) -> SpoolId {
        match &self.from {
            super::Source::Spool(spool) => spool.clone(),
            super::Source::Own(_) => SpoolId::new(self.at, None, 0),
        }
    }
}

/// Whether a kind says something of a recipient's delivery (D12).
const fn is_effective(kind: Kind) -> bool {
    match kind {
        Kind::TakeCharge
        | Kind::VirusDetection
        | Kind::NonDeliveryVirus
        | Kind::Delivery
        | Kind::NonDelivery => true,
        Kind::NonAcceptance
        | Kind::NonAcceptanceVirus
        | Kind::Acceptance
        | Kind::TransportEnvelope
        | Kind::TimeoutFirst
        | Kind::TimeoutLast
        | Kind::AnomalyEnvelope
        | Kind::DeliveryStatus => false,
    }
}

/// D12: signed by who manages the recipient's domain, about a letter of ours, that has that recipient.
async fn counting(rim: &Rim, receipt: &ReceivedReceipt) -> Result<Option<Counting>, StageError> {
    let certification = &receipt.certification;
    if !receipt.signer_manages_recipient || !bounds::is_pec_id(&certification.pec_id) {
        return Ok(None);
    }
    let Some(effect) = effect(receipt) else { return Ok(None) };
    let Some(head) = origin::head(rim, &certification.pec_id).await? else { return Ok(None) };
    let addresses = match &effect {
        Effect::TakeCharge(recipients) => recipients.as_slice(),
        Effect::Virus(recipient, _) | Effect::Final(recipient, _) => std::slice::from_ref(recipient),
    };
    let has = |a: &Address| head.letter.recipients.iter().any(|r| r.address == *a);
    Ok(addresses.iter().all(has).then_some(Counting { effect, head }))
}

/// What it says, from its certification data alone (G10).
fn effect(receipt: &ReceivedReceipt) -> Option<Effect> {
    let certification = &receipt.certification;
    let delivery = || Address::parse(certification.delivery.as_deref()?).ok();
    match receipt.kind {
        Kind::TakeCharge => {
            let parsed: Result<Vec<Address>, _> =
                certification.received.iter().map(|r| Address::parse(r)).collect();
            let taken = Transaction::new(None, parsed.ok()?).forward_paths;
            (!taken.is_empty()).then_some(Effect::TakeCharge(taken))
        }
        Kind::VirusDetection => {
            let name = certification.extended_error.as_deref().unwrap_or("virus");
            Some(Effect::Virus(delivery()?, name.chars().take(VIRUS_CHARS_MAX).collect()))
        }
        Kind::Delivery => Some(Effect::Final(delivery()?, Outcome::Delivered)),
        Kind::NonDelivery => Some(Effect::Final(delivery()?, Outcome::Failed)),
        Kind::NonDeliveryVirus => Some(Effect::Final(delivery()?, Outcome::Virus)),
        _ => None,
    }
}

/// What our scanner says now of the original that passed it (D11).
async fn rescan(rim: &Rim, head: &OriginHead) -> Result<String, StageError> {
    let original = BlobKey::spool_message(Door::Submission, &head.spool);
    let Some(bytes) = rim.blobs.get(&original).await? else { return Ok("original not kept".to_owned()) };
    Ok(match rim.scanner.scan(&bytes).await? {
        Scan::Clean => "clean".to_owned(),
        Scan::Infected { virus } => format!("infected: {virus}"),
    })
}

/// Octets of a receipt's Message-ID.
const MESSAGE_ID_BYTES_MAX: usize = 900;
/// Characters of a virus name that another provider gives.
const VIRUS_CHARS_MAX: usize = 200;
