//! A letter into a mailbox: M11 when it is there, M12 when it cannot be (RFC 6109 §3.3.2, §3.3.3; spec 6, 12).

use pec::{
    Address,
    document::{DeliveryError, Matter, ReceiptForm},
};

use super::{Desk, Place, Ways};
use crate::{
    Rim, StageError,
    acts::{self, Addressee, Order},
    ids::{MailboxId, Side},
    log::{About, Event, LogEntry},
    origin,
    registry::{Mailbox, MailboxState},
    rim::Found,
    rows::{Certifies, DestinationHead, Filed, FilingRow, OriginRecipient, Outcome},
};

/// Why a letter cannot be put into a mailbox (spec 12, 0.2 D19).
struct Failure {
    code: &'static str,
    description: &'static str,
    error: DeliveryError,
}

const NO_MAILBOX: Failure =
    Failure { code: "5.1.1", description: "indirizzo non valido", error: DeliveryError::NoRecipient };
const DISABLED: Failure =
    Failure { code: "5.2.1", description: "casella disabilitata", error: DeliveryError::Other };
const FULL: Failure = Failure { code: "5.2.2", description: "casella piena", error: DeliveryError::Other };

impl Desk {
    /// Files a letter, or does not; either way what is certified becomes owed in this commit, and for a letter of
    /// ours the origin's row is settled in it.
    pub(super) async fn letter(&mut self, rim: &Rim, row: &FilingRow) -> Result<Filed, StageError> {
        let Some(certifies) = &row.certifies else { return Ok(Filed::Before) };
        let head = rim.read::<DestinationHead>(&DestinationHead::key_of(&row.partition)).await?;
        let Some(Found { value: head, .. }) = head else {
            return Err(StageError::Damaged(format!("filing {}: no letter", row.discriminator)));
        };
        let settings = self.settings(rim, &certifies.recipient).await?;
        let (filed, outcome, matter) = match self.failure(row, settings.as_ref()) {
            None => {
                let before_bytes = self.mailbox.head().bytes;
                // Two recipients may have one mailbox. A letter of ours goes to whom it names, and nobody else.
                let is_for_one = head.own_sender.is_some() && head.letter.recipients.len() == 1;
                let ways = if is_for_one { Ways::One } else { Ways::Several };
                let filed = self.put(rim, row, Place::Inbox, ways).await?;
                if filed != Filed::Before {
                    self.warn(rim, settings.as_ref(), before_bytes, &row.name).await?;
                }
                let matter = Matter::Delivery {
                    recipient: certifies.recipient.clone(),
                    form_asked: head.form,
                    form_due: certifies.form_due,
                };
                (filed, Outcome::Delivered, matter)
            }
            Some(Failure { code, description, error }) => {
                let matter = Matter::NonDelivery {
                    recipient: certifies.recipient.clone(),
                    error,
                    code: code.to_owned(),
                    description: description.to_owned(),
                };
                (Filed::Failed { code: code.to_owned() }, Outcome::Failed, matter)
            }
        };
        let act = self.certify(rim, row, certifies, &head, matter).await?;
        if head.own_sender.is_some() {
            self.settle(rim, &head, &certifies.recipient, outcome, act).await?;
        }
        Ok(filed)
    }

    /// Why the mailbox does not take it. An address that leads to another mailbox by now has changed hands: the
    /// mailbox that was addressed is gone.
    fn failure(&self, row: &FilingRow, settings: Option<&Mailbox>) -> Option<Failure> {
        let Some(mailbox) = settings.filter(|m| row.mailbox.as_ref() == Some(&m.id)) else {
            return Some(NO_MAILBOX);
        };
        match mailbox.state {
            MailboxState::Revoked => Some(NO_MAILBOX),
            MailboxState::Disabled => Some(DISABLED),
            MailboxState::Active => {
                let bytes = self.mailbox.head().bytes.saturating_add(row.summary.size_bytes);
                (bytes > mailbox.quota_bytes).then_some(FULL)
            }
        }
    }

    /// M11 or M12 becomes owed, and the log says what happened, under the act's name: once for each recipient of
    /// each envelope.
    async fn certify(
        &mut self,
        rim: &Rim,
        row: &FilingRow,
        certifies: &Certifies,
        head: &DestinationHead,
        matter: Matter,
    ) -> Result<String, StageError> {
        let addressee = addressee(rim, head);
        let at = self.at;
        let desk = match self.environments.entry(certifies.environment.clone()) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(acts::Desk::open(rim, &certifies.environment, at).await?)
            }
        };
        let code = match &matter {
            Matter::NonDelivery { code, .. } => Some(code.clone()),
            _ => None,
        };
        // The complete and the brief form carry the original out of the envelope (spec 6.3).
        let carries =
            matches!(&matter, Matter::Delivery { form_due: ReceiptForm::Complete | ReceiptForm::Brief, .. });
        let act = desk.act(
            rim,
            Order {
                partition: row.partition.clone(),
                discriminator: certifies.recipient.key(),
                letter: head.letter.clone(),
                letter_in_head: true,
                to: head.letter.sender.clone(),
                matter,
                source: carries.then(|| row.source.clone()),
                addressee,
                sending_provider: head.origin.provider_name.clone(),
            },
        );
        let event = if code.is_some() { Event::DeliveryFailed } else { Event::Delivered };
        let name = act.key.blob_name();
        let mut entry = LogEntry::new(acts::about(&act), Side::Destination, event, name.clone(), at)
            .message(&row.summary.message_id)
            .message(&act.document.message_id)
            .digest(head.envelope_sha256.clone());
        if let Some(code) = code {
            entry = entry.with("code", code);
        }
        self.draft().append(entry);
        self.draft().insert(&act, Some(acts::owed(&act)))?;
        Ok(name)
    }

    /// The origin's row of a letter of ours: delivery competes with the last notice (design §4 "Deadlines"). The
    /// loser is logged as late; its receipt goes out all the same.
    async fn settle(
        &mut self,
        rim: &Rim,
        head: &DestinationHead,
        recipient: &Address,
        outcome: Outcome,
        act: String,
    ) -> Result<(), StageError> {
        let key = OriginRecipient::key_of(&head.letter.pec_id, recipient);
        let Some(mut found) = rim.read::<OriginRecipient>(&key).await? else {
            tracing::error!("a letter of ours was delivered to who is no recipient of it");
            return Ok(());
        };
        if !origin::settle_own(&mut self.mailbox.draft, &mut found, outcome, head.received_at, self.at)? {
            let provider = &head.origin.provider_name;
            let about = About::letter(&head.letter, provider, provider).of([recipient]);
            let late = LogEntry::new(about, Side::Origin, Event::Late, act, self.at);
            self.draft().append(late);
        }
        Ok(())
    }
}

/// Who gets the receipt: the sender's mailbox here, or the reverse path at its provider (G5).
fn addressee(rim: &Rim, head: &DestinationHead) -> Addressee {
    if let Some(mailbox) = &head.own_sender {
        return Addressee::Mailbox(MailboxId::clone(mailbox));
    }
    match Address::parse(&head.letter.sender) {
        Ok(address) => {
            let index = rim.directory.index();
            let record = index.by_domain(&address.domain()).map_or(&head.origin.record, |r| &r.id).clone();
            Addressee::Elsewhere { record, address }
        }
        Err(_) => {
            tracing::error!("the sender of a letter to us is no address: its receipt goes nowhere");
            Addressee::Nobody
        }
    }
}
