//! Outcome A: a valid transport envelope is taken in charge and goes to the mailboxes, or meets the virus rule
//! (RFC 6109 §2.2.2, §3.2.1, §3.2.3; spec 5.3-5.5).

use std::collections::HashMap;

use pec::{
    Address, Instant, Kind, Letter,
    document::{Matter, ReceiptForm},
    original,
    reception::{CheckLine, Origin, ReceivedEnvelope},
};

use super::{
    Incoming,
    addressed::{self, Addressed},
};
use crate::{
    Job, Rim, StageError,
    acts::{self, Addressee, Desk, Order},
    bounds,
    ids::{MailboxId, Partition, blob_name},
    issue,
    lay::{self, ROOM},
    log::{About, Event, LogEntry},
    origin as origin_side,
    ports::{Debt, Table},
    registry::Environment,
    rim::{Body, Draft, Found, typed},
    rows::{ActKey, ActRow, Certifies, DestinationHead, FilingRow, Next, Summary},
};

/// Italian reason for M8: more than our rows can hold (DM 2005 art. 12 (1): a provider has its limits).
const TOO_LARGE: &str = "i dati di certificazione eccedono i limiti del gestore";

/// A letter whose origin is known.
struct Letters<'a> {
    partition: Partition,
    origin: &'a Origin,
    letter: &'a Letter,
    form: ReceiptForm,
    /// The mailbox that sent it, when it is ours.
    own_sender: Option<MailboxId>,
}

impl Incoming {
    pub(super) async fn envelope(
        self,
        rim: &Rim,
        envelope: ReceivedEnvelope,
        addressed: Vec<Addressed>,
        virus: Option<String>,
        checks: &[CheckLine],
    ) -> Result<(), StageError> {
        let ReceivedEnvelope { origin, letter, form, reverse_path_in_record } = envelope;
        if !bounds::texts_fit(&letter) || !bounds::recipients_fit(&letter) {
            let signed = super::anomaly::Signed { origin, certification: None };
            return self.anomaly(rim, signed, TOO_LARGE.to_owned(), addressed, virus, checks).await;
        }
        // D10: looked at, but no anomaly.
        if !reverse_path_in_record {
            tracing::error!(incoming = %self.id, "the reverse path of an envelope is not its signer's");
        }

        // What belongs to this very envelope: same signer record, id and digest (design §4).
        let partition = Partition::destination(&origin.record, &letter.pec_id, &self.sha256);
        let own_sender = own_sender(rim, &origin, &letter, &addressed).await?;
        let letters = Letters { partition, origin: &origin, letter: &letter, form, own_sender };

        // It seldom came before: the first try takes it that nothing of it is there. If something is, the commit is
        // lost and the second try looks; so does the first of what does not fit into one commit.
        if virus.is_none() && addressed.len() <= ROOM {
            match self.take_in_charge(rim, &letters, Known::default(), &addressed, None, checks).await {
                Err(StageError::Raced) => {}
                other => return other,
            }
        }
        let known = Known::read(rim, &letters.partition).await?;
        self.take_in_charge(rim, &letters, known, &addressed, virus.as_deref(), checks).await
    }

    /// What an envelope adds to what is known of it.
    async fn take_in_charge(
        &self,
        rim: &Rim,
        letters: &Letters<'_>,
        known: Known,
        addressed: &[Addressed],
        virus: Option<&str>,
        checks: &[CheckLine],
    ) -> Result<(), StageError> {
        // 1. What is new of it. Infected: under lock before the commit that says so.
        if virus.is_some() {
            self.lock_away(rim).await?;
        }
        let news = self.news(rim, letters, &known, addressed, virus)?;
        let provider = &letters.origin.provider_name;
        let about =
            About::letter(letters.letter, provider, provider).of(addressed.iter().map(|a| &a.address));
        let close = |draft: &mut Draft, outcome: &str| {
            self.close(draft, outcome, Some(letters.partition.clone()), Some(bracketed(letters.letter)))
        };
        let mut draft = rim.draft();

        // 2. Nothing: the sender's provider did not hear our answer and sent it again.
        if news.is_empty() {
            draft.append(self.entry(about, Event::Duplicate, checks));
            close(&mut draft, "duplicate")?;
            return rim.commit(draft).await;
        }

        // 3. Many recipients: their rows first, without debts. Power fails in between: rows that owe nothing, which
        //    the next run takes over.
        let fits = news.fits(&known);
        if !fits {
            lay::lay(rim, "file#", &news.filings, |f| f.filed.is_some()).await?;
            lay::lay(rim, "act#virus-detection#", &news.notices, |n| n.issued.is_some()).await?;
        }

        // 4. One commit: reception, take-charge owed, filings or notices owed, or the spread that makes them so.
        draft.append(self.entry(about.clone(), Event::Received, checks));
        if let Some(virus) = virus {
            draft.append(self.virus_entry(rim, about, virus, checks));
        }
        for receipt in &news.receipts {
            draft.append(self.taken_in_charge(letters, receipt));
            draft.insert(receipt, Some(acts::owed(receipt)))?;
        }
        if fits {
            news.into_draft(&mut draft, self.at)?;
        }
        known.head_into(&mut draft, self.head(letters, fits))?;
        close(&mut draft, "envelope")?;
        rim.commit(draft).await
    }

    /// Take-charge: one per transaction and environment (spec 5.4), whatever the scanner says (spec 5.5). For each
    /// recipient that nothing was done for yet: the letter, or a virus notice to its sender's provider.
    fn news(
        &self,
        rim: &Rim,
        letters: &Letters<'_>,
        known: &Known,
        addressed: &[Addressed],
        virus: Option<&str>,
    ) -> Result<News, StageError> {
        let mut receipts = Vec::new();
        for (environment, recipients) in addressed::by_environment(addressed) {
            let desk = Desk::of(rim, (*environment).clone(), self.at)?;
            let receipt = letters.take_charge(rim, &desk, recipients);
            if !known.stands(&receipt.key.row().sk) {
                receipts.push(receipt);
            }
        }
        let open: Vec<&Addressed> =
            addressed.iter().filter(|a| !known.is_served(letters, &a.address)).collect();
        let (filings, notices) = match virus {
            None => (self.filings(letters, &open), Vec::new()),
            Some(virus) => (Vec::new(), letters.virus_notices(rim, &open, virus, self.at)?),
        };
        Ok(News { receipts, filings, notices })
    }

    fn taken_in_charge(&self, letters: &Letters<'_>, receipt: &ActRow) -> LogEntry {
        let mut entry = self.entry(acts::about(receipt), Event::TakenInCharge, &[]);
        entry.sending_provider.clone_from(&letters.origin.provider_name);
        entry.discriminator = format!("{}#{}", self.id, receipt.key.discriminator);
        entry.message(&receipt.document.message_id)
    }

    fn head(&self, letters: &Letters<'_>, spread: bool) -> DestinationHead {
        DestinationHead {
            partition: letters.partition.clone(),
            origin: letters.origin.clone(),
            letter: letters.letter.clone(),
            form: letters.form,
            envelope: self.blob.clone(),
            envelope_sha256: self.sha256.clone(),
            received_at: self.at,
            spread,
            own_sender: letters.own_sender.clone(),
        }
    }

    /// One filing for each recipient: the envelope as it is (RFC 6109 §2.2.3).
    fn filings(&self, letters: &Letters<'_>, addressed: &[&Addressed]) -> Vec<FilingRow> {
        let letter = letters.letter;
        let summary = Summary {
            kind: Some(Kind::TransportEnvelope),
            from: format!("{}{}", pec::words::ON_BEHALF_OF, letter.sender),
            subject: issue::subject(Kind::TransportEnvelope, letter.subject.as_deref()),
            message_id: bracketed(letter),
            pec_id: Some(letter.pec_id.clone()),
            size_bytes: self.bytes.len() as u64,
            at: self.at,
        };
        let filing = |one: &&Addressed| FilingRow {
            partition: letters.partition.clone(),
            discriminator: one.address.key(),
            mailbox: one.mailbox.as_ref().map(|m| m.id.clone()),
            source: self.blob.clone(),
            name: self.sha256.clone(),
            summary: summary.clone(),
            certifies: Some(Certifies {
                recipient: one.address.clone(),
                form_due: original::form_due(letters.form, original::role(&self.bytes, &one.address)),
                environment: one.environment.id.clone(),
            }),
            address: Some(one.address.clone()),
            about: About::default(),
            filed: None,
        };
        addressed.iter().map(filing).collect()
    }
}

impl Letters<'_> {
    /// M7: to the mailReceipt of the signer's record (spec 5.4, 0.2 D10), or recorded at once when that is us.
    fn take_charge(&self, rim: &Rim, desk: &Desk, recipients: Vec<Address>) -> ActRow {
        let mut keys: Vec<String> = recipients.iter().map(Address::key).collect();
        keys.sort_unstable();
        let next =
            Next::RecordTakeCharge { pec_id: self.letter.pec_id.clone(), recipients: recipients.clone() };
        let order = Order {
            partition: self.partition.clone(),
            discriminator: blob_name(keys.join("\n").as_bytes()),
            letter: self.letter.clone(),
            letter_in_head: true,
            to: self.origin.mail_receipt.clone(),
            matter: Matter::TakeCharge { received: recipients },
            source: None,
            addressee: self.service_mailbox(next),
            sending_provider: self.origin.provider_name.clone(),
        };
        desk.act(rim, order)
    }

    /// M9: one for each recipient (spec 5.5).
    fn virus_notices(
        &self,
        rim: &Rim,
        addressed: &[&Addressed],
        virus: &str,
        at: Instant,
    ) -> Result<Vec<ActRow>, StageError> {
        let mut desks: HashMap<String, Desk> = HashMap::new();
        let mut notices = Vec::with_capacity(addressed.len());
        for one in addressed {
            if !desks.contains_key(&one.environment.id) {
                let desk = Desk::of(rim, Environment::clone(&one.environment), at)?;
                desks.insert(one.environment.id.clone(), desk);
            }
            let Some(desk) = desks.get(&one.environment.id) else { continue };
            let next = Next::RecordVirus {
                pec_id: self.letter.pec_id.clone(),
                recipient: one.address.clone(),
                virus: virus.to_owned(),
            };
            let order = Order {
                partition: self.partition.clone(),
                discriminator: one.address.key(),
                letter: self.letter.clone(),
                letter_in_head: true,
                to: self.origin.mail_receipt.clone(),
                matter: Matter::VirusDetection { recipient: one.address.clone(), virus: virus.to_owned() },
                source: None,
                addressee: self.service_mailbox(next),
                sending_provider: self.origin.provider_name.clone(),
            };
            notices.push(desk.act(rim, order));
        }
        Ok(notices)
    }

    fn service_mailbox(&self, next: Next) -> Addressee {
        if self.own_sender.is_some() {
            return Addressee::Ourselves(next);
        }
        super::anomaly::service_mailbox(self.origin)
    }
}

/// What one reception adds.
struct News {
    receipts: Vec<ActRow>,
    filings: Vec<FilingRow>,
    notices: Vec<ActRow>,
}

impl News {
    fn is_empty(&self) -> bool {
        self.receipts.is_empty() && self.filings.is_empty() && self.notices.is_empty()
    }

    /// Whether all of it goes into one commit: few rows, none of them laid before, no large letter many times.
    fn fits(&self, known: &Known) -> bool {
        let letter = self.notices.first().map_or(0, |n| n.document.letter.recipients.len());
        let bytes = self.notices.len() * (2_000 + 100 * letter);
        let is_laid = |sk: String| known.rows.contains_key(&sk);
        self.filings.len() + self.notices.len() <= ROOM
            && bytes < lay::ROOM_BYTES
            && !self.filings.iter().any(|f| is_laid(f.key().sk))
            && !self.notices.iter().any(|n| is_laid(n.key.row().sk))
    }

    fn into_draft(self, draft: &mut Draft, at: Instant) -> Result<(), StageError> {
        for filing in &self.filings {
            draft.insert(filing, Some(issue::filing_debt(filing, at)))?;
        }
        for notice in &self.notices {
            draft.insert(notice, Some(acts::owed(notice)))?;
        }
        Ok(())
    }
}

/// What earlier receptions of the same envelope left.
#[derive(Default)]
struct Known {
    head: Option<Found<DestinationHead>>,
    /// Filings and acts by `sk`: whether they owe their work or have done it. The others were laid by a run that did
    /// not come to its commit.
    rows: HashMap<String, bool>,
}

impl Known {
    /// One query: head, filings and acts are one partition.
    async fn read(rim: &Rim, partition: &Partition) -> Result<Self, StageError> {
        let mut known = Self::default();
        let mut after = None;
        loop {
            let page = rim.facts.query(Table::Letters, partition.as_str(), "", after.as_deref(), 200).await?;
            for stored in page.rows {
                let sk = stored.row.key.sk.clone();
                let owes = stored.row.debt.is_some();
                if sk == "head" {
                    known.head = Some(typed(stored)?);
                } else if sk.starts_with("file#") {
                    let row: Found<FilingRow> = typed(stored)?;
                    known.rows.insert(sk, owes || row.value.filed.is_some());
                } else if sk.starts_with("act#") {
                    let row: Found<ActRow> = typed(stored)?;
                    known.rows.insert(sk, owes || row.value.issued.is_some());
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(known);
            }
        }
    }

    fn stands(&self, sk: &str) -> bool {
        self.rows.get(sk).copied().unwrap_or(false)
    }

    /// Whether a recipient has got the letter or its virus notice: never both, whatever the scanner says next time.
    fn is_served(&self, letters: &Letters<'_>, recipient: &Address) -> bool {
        let notice = ActKey {
            partition: letters.partition.clone(),
            kind: Kind::VirusDetection,
            discriminator: recipient.key(),
        };
        let filing = FilingRow::key_of(&letters.partition, &recipient.key());
        self.stands(&filing.sk) || self.stands(&notice.row().sk)
    }

    /// The head: made once. Later receptions condition on it, and may make it owe a spread (again).
    fn head_into(&self, draft: &mut Draft, new: DestinationHead) -> Result<(), StageError> {
        let debt = |head: &DestinationHead| {
            (!head.spread).then(|| Debt::now(Job::Spread { head: head.key() }, new.received_at))
        };
        match &self.head {
            None => draft.insert(&new, debt(&new))?,
            Some(found) if new.spread => draft.check(found.value.key(), found.version),
            Some(found) => {
                let head = DestinationHead { spread: false, ..found.value.clone() };
                draft.replace(found.version, &head, debt(&head))?;
            }
        }
        Ok(())
    }
}

/// The mailbox that sent the letter, when its signer is an environment of ours and the letter is in our rows.
pub(super) async fn own_sender(
    rim: &Rim,
    origin: &Origin,
    letter: &Letter,
    addressed: &[Addressed],
) -> Result<Option<MailboxId>, StageError> {
    let ours = addressed.iter().any(|a| a.environment.id == origin.record)
        || rim.read::<Environment>(&Environment::key_of(&origin.record)).await?.is_some();
    if !ours {
        return Ok(None);
    }
    Ok(origin_side::head(rim, &letter.pec_id).await?.map(|head| head.sender))
}

fn bracketed(letter: &Letter) -> String {
    format!("<{}>", letter.pec_id)
}
