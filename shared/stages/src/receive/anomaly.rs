//! Outcome C: a message of a provider that is not in form is propagated inside an anomaly envelope (M8, RFC 6109
//! §3.2.2), or meets the virus rule (spec 0.2 D11).

use pec::{
    Address, Letter,
    daticert::Certification,
    document::Matter,
    original::{self, OriginalFacts},
    reception::{CheckLine, Origin},
};

use super::{Incoming, addressed::Addressed, envelope};
use crate::{
    BlobKey, Rim, StageError,
    acts::{self, Addressee, Desk, Order},
    bounds,
    ids::MailboxId,
    lay,
    log::{About, Event},
    rim::Draft,
    rows::{ActRow, Next},
};

/// Who signed what is not in form.
pub(super) struct Signed {
    pub(super) origin: Origin,
    /// Its certification data, if a virus notice may be made from them.
    pub(super) certification: Option<Box<Certification>>,
}

impl Incoming {
    pub(super) async fn anomaly(
        self,
        rim: &Rim,
        signed: Signed,
        reason: String,
        addressed: Vec<Addressed>,
        virus: Option<String>,
        checks: &[CheckLine],
    ) -> Result<(), StageError> {
        let facts = original::facts(&self.bytes);
        let about = self.about_itself(&facts, &signed.origin.provider_name);
        let mut draft = Draft::new();
        draft.append(self.entry(about.clone(), Event::Received, checks).with("reason", reason.clone()));

        // 1. Infected: under lock, no M8; a notice for each recipient if it says whose letter it is.
        if let Some(virus) = virus {
            self.lock_away(rim).await?;
            draft.append(self.virus_entry(rim, about, &virus, checks));
            let notices = self.virus_notices(rim, &signed, &addressed, &virus).await?;
            self.add_notices(rim, &mut draft, &notices).await?;
            self.close(&mut draft, "anomaly", None, facts.client_id)?;
            return rim.commit(draft).await;
        }

        // 2. Else wrapped, for every mailbox that is there: the holder's refusal of ordinary mail does not count. For the
        //    others it cannot be stored, and its reverse path is told so (D14).
        let (takers, absent): (Vec<&Addressed>, Vec<_>) = addressed.iter().partition(|a| a.open().is_some());
        if !absent.is_empty() {
            self.tell_the_sender(rim, &mut draft, &facts, &absent).await?;
        }
        if let Some(act) = self.wrap(rim, &facts, reason, &takers)? {
            draft.insert(&act, Some(acts::owed(&act)))?;
        } else {
            tracing::error!(incoming = %self.id, "an anomaly came in for no mailbox of ours");
        }
        self.close(&mut draft, "anomaly", Some(self.partition()), facts.client_id)?;
        rim.commit(draft).await
    }

    /// M8, one for all mailboxes that take it; `None` when none does (spec 2.5 M8, 0.2 D14).
    pub(super) fn wrap(
        &self,
        rim: &Rim,
        facts: &OriginalFacts,
        reason: String,
        takers: &[&Addressed],
    ) -> Result<Option<ActRow>, StageError> {
        let Some(first) = takers.first() else { return Ok(None) };
        let desk = Desk::of(rim, (*first.environment).clone(), self.at)?;
        let mut mailboxes: Vec<MailboxId> = Vec::new();
        for mailbox in takers.iter().filter_map(|t| t.mailbox.as_ref()) {
            if !mailboxes.contains(&mailbox.id) {
                mailboxes.push(mailbox.id.clone());
            }
        }
        let order = Order {
            partition: self.partition(),
            discriminator: String::new(),
            letter: self.wrapped_letter(facts),
            letter_in_head: false,
            to: String::new(),
            matter: Matter::AnomalyEnvelope {
                reason,
                recipients: self.transaction.forward_paths.clone(),
                reverse_path: self.transaction.reverse_path.clone(),
                fresh_id: String::new(),
            },
            source: Some(self.blob.clone()),
            addressee: Addressee::Nobody,
            sending_provider: String::new(),
        };
        let mut act = desk.act(rim, order);
        // G13: it inherits the Message-ID of what it wraps; without one, the act's own is the fresh one (D14).
        if let Matter::AnomalyEnvelope { fresh_id, .. } = &mut act.document.matter {
            fresh_id.clone_from(&act.document.message_id);
        }
        if let Some(id) = inherited(facts) {
            id.clone_into(&mut act.document.message_id);
        }
        act.target = BlobKey::anomaly(&self.id);
        act.next = Next::File { mailboxes };
        Ok(Some(act))
    }

    /// What M8 shows of the wrapped message; texts that do not fit into a row are left out.
    pub(super) fn wrapped_letter(&self, facts: &OriginalFacts) -> Letter {
        let reverse_path = self.transaction.reverse_path.as_ref();
        let sender = facts.from.as_ref().or(reverse_path).map(ToString::to_string);
        let letter = Letter {
            sender: sender.unwrap_or_else(|| pec::words::UNKNOWN_SENDER.to_owned()),
            recipients: Vec::new(),
            replies: String::new(),
            subject: facts.subject.clone(),
            subject_raw: facts.subject_raw.clone(),
            pec_id: self.id.clone(),
            client_id: None,
        };
        let letter = if bounds::texts_fit(&letter) { letter } else { bounds::without_texts(letter) };
        Letter { pec_id: String::new(), ..letter }
    }

    async fn virus_notices(
        &self,
        rim: &Rim,
        signed: &Signed,
        addressed: &[Addressed],
        virus: &str,
    ) -> Result<Vec<ActRow>, StageError> {
        let Some(letter) = signed.certification.as_deref().and_then(letter_of) else { return Ok(Vec::new()) };
        let own = envelope::own_sender(rim, &signed.origin, &letter, addressed).await?.is_some();
        let mut notices = Vec::with_capacity(addressed.len());
        for one in addressed {
            let desk = Desk::of(rim, (*one.environment).clone(), self.at)?;
            let next = Next::RecordVirus {
                pec_id: letter.pec_id.clone(),
                recipient: one.address.clone(),
                virus: virus.to_owned(),
            };
            let order = Order {
                partition: self.partition(),
                discriminator: one.address.key(),
                letter: letter.clone(),
                letter_in_head: false,
                to: signed.origin.mail_receipt.clone(),
                matter: Matter::VirusDetection { recipient: one.address.clone(), virus: virus.to_owned() },
                source: None,
                addressee: if own { Addressee::Ourselves(next) } else { service_mailbox(&signed.origin) },
                sending_provider: signed.origin.provider_name.clone(),
            };
            notices.push(desk.act(rim, order));
        }
        Ok(notices)
    }

    /// Notices that do not fit into the commit go before it, each once.
    async fn add_notices(&self, rim: &Rim, draft: &mut Draft, notices: &[ActRow]) -> Result<(), StageError> {
        let early = notices.len().saturating_sub(lay::ROOM / 2);
        let mut before = Draft::new();
        for (n, notice) in notices.iter().enumerate() {
            if n < early {
                if rim.read::<ActRow>(&notice.key.row()).await?.is_none() {
                    before.insert(notice, Some(acts::owed(notice)))?;
                }
            } else {
                draft.insert(notice, Some(acts::owed(notice)))?;
            }
            if lay::is_full(&before) {
                rim.commit(std::mem::take(&mut before)).await?;
            }
        }
        if before.items() > 0 {
            rim.commit(before).await?;
        }
        Ok(())
    }
}

/// Where M7 and M9 to another provider go (spec 5.4, 0.2 D10).
pub(super) fn service_mailbox(origin: &Origin) -> Addressee {
    match Address::parse(&origin.mail_receipt) {
        Ok(address) => Addressee::Elsewhere { record: origin.record.clone(), address },
        Err(_) => {
            tracing::error!(record = %origin.record, "a record of the index has no usable mailReceipt");
            Addressee::Nobody
        }
    }
}

/// The letter that certification data speak of, if they name sender and id and fit into rows.
pub(super) fn letter_of(certification: &Certification) -> Option<Letter> {
    let letter = Letter {
        sender: certification.sender.clone(),
        recipients: certification.recipients.clone(),
        replies: certification.replies.clone(),
        subject: certification.subject.clone(),
        subject_raw: None,
        pec_id: certification.pec_id.clone(),
        client_id: certification.client_id.clone(),
    };
    let usable = !letter.sender.is_empty() && bounds::texts_fit(&letter) && bounds::recipients_fit(&letter);
    usable.then_some(letter)
}

/// What the log says of a letter that certification data speak of. The sender's provider is the one that manages the
/// sender's domain (spec 0.2 D22): the data name only who issued them.
pub(super) fn about_certified(
    rim: &Rim,
    incoming: &Incoming,
    certification: &Certification,
) -> Option<About> {
    let letter = letter_of(certification)?;
    let index = rim.directory.index();
    let domain = letter.sender.rsplit_once('@').map_or("", |(_, domain)| domain);
    let sending = index.by_domain(domain).map(|r| r.provider_name.as_str()).unwrap_or_default();
    let about = About::letter(&letter, sending, &certification.provider);
    Some(about.of(&incoming.transaction.forward_paths))
}

fn inherited(facts: &OriginalFacts) -> Option<&str> {
    facts.client_id.as_deref().filter(|id| id.len() <= MESSAGE_ID_BYTES_MAX)
}

/// A line of a header (RFC 5322 §2.1.1).
const MESSAGE_ID_BYTES_MAX: usize = 900;
