//! The access point (RFC 6109 §2.2.1, spec 4): a submitted message becomes a letter, or is refused with a notice.

use bytes::Bytes;
use pec::{
    Letter, Recipient,
    check::Refusal,
    deadline::Clocks,
    document::Matter,
    original::{self, OriginalFacts},
};

use crate::{
    BlobKey, Job, Rim, SpoolId, StageError,
    acts::{self, Addressee, Desk, GIVE_UP_AFTER_S, Order},
    bounds, door,
    ids::{Door, MailboxId, Partition, Side},
    lay::{self, ROOM},
    log::{About, Event, LogEntry},
    origin,
    ports::Debt,
    registry::Domain,
    rim::{Body, Draft},
    rows::{ActRow, Next, OriginHead, OriginRecipient, Parcel, SpoolRow, Ticket},
    scan,
};

mod parcels;

/// Handles one submitted message: acceptance, or refusal. Whoever runs it, however often: one outcome.
///
/// # Errors
/// [`StageError`]: nothing was decided, the spool entry stays.
pub async fn accept(rim: &Rim, spool: &SpoolId) -> Result<(), StageError> {
    // 1. Decided before? Then this hint came twice.
    if rim.read::<SpoolRow>(&SpoolRow::key_of(spool)).await?.is_some() {
        return Ok(());
    }

    // 2. The message and its transaction. Without an owned reverse path (F7) it is nobody's letter.
    let ticket = door::ticket(rim, Door::Submission, spool).await?;
    let (bytes, sha256) = rim.blob_hashed(&BlobKey::spool_message(Door::Submission, spool)).await?;
    let Some(entry) = Submitted::read(rim, &ticket, &bytes, &sha256).await? else {
        return drop_unowned(rim, &ticket, &bytes, sha256).await;
    };

    // 3. F8, then F0 to F6: infected and malformed is infected (spec 0.2 D1).
    let virus = scan::virus(rim, &entry.bytes, ticket.scanned.as_ref()).await?;
    let checked =
        pec::check::check(&entry.bytes, &entry.ticket.transaction, entry.ticket.raw_bytes, &rim.limits);

    // 4. One commit with the outcome.
    match (virus, checked) {
        (Some(virus), _) => entry.refuse(rim, Reason::Virus(virus)).await,
        (None, Err(refusal)) => entry.refuse(rim, Reason::Formal(refusal)).await,
        (None, Ok(facts)) => {
            let letter = entry.letter(rim, facts.clone());
            if !bounds::recipients_fit(&letter) {
                entry.refuse(rim, Reason::Formal(Refusal::TooManyRecipients)).await
            } else if !bounds::texts_fit(&letter) {
                entry.refuse(rim, Reason::Formal(Refusal::MalformedHeader)).await
            } else {
                entry.accept(rim, letter, &facts).await
            }
        }
    }
}

/// Why a letter is not accepted.
enum Reason {
    Formal(Refusal),
    Virus(String),
}

/// A submitted message with all that is known of its sender.
struct Submitted {
    ticket: Ticket,
    bytes: Bytes,
    /// Of the bytes, hex.
    sha256: String,
    sender: MailboxId,
    domain: Domain,
    desk: Desk,
}

impl Submitted {
    async fn read(
        rim: &Rim,
        ticket: &Ticket,
        bytes: &Bytes,
        sha256: &str,
    ) -> Result<Option<Self>, StageError> {
        let (Some(sender), Some(path)) = (ticket.account.clone(), &ticket.transaction.reverse_path) else {
            return Ok(None);
        };
        let Some(domain) = rim.domain(path).await? else { return Ok(None) };
        let desk = Desk::open(rim, &domain.environment, rim.now()).await?;
        let (ticket, bytes, sha256) = (ticket.clone(), bytes.clone(), sha256.to_owned());
        Ok(Some(Self { ticket, bytes, sha256, sender, domain, desk }))
    }

    fn spool(&self) -> &SpoolId {
        &self.ticket.spool
    }

    fn partition(&self) -> Partition {
        Partition::origin(&self.spool().pec_id(&self.desk.environment.mail_domain))
    }

    fn reverse_path(&self) -> String {
        self.ticket.transaction.reverse_path.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    /// The certification data: paths from the transaction, types from the index (G6, spec 4.5), the rest from the
    /// header.
    fn letter(&self, rim: &Rim, facts: OriginalFacts) -> Letter {
        let index = rim.directory.index();
        let typed = |a: &pec::Address| Recipient { address: a.clone(), kind: index.kind_of(a) };
        let sender = self.reverse_path();
        Letter {
            recipients: self.ticket.transaction.forward_paths.iter().map(typed).collect(),
            replies: if facts.replies.is_empty() { sender.clone() } else { facts.replies },
            sender,
            subject: facts.subject,
            subject_raw: facts.subject_raw,
            pec_id: self.spool().pec_id(&self.desk.environment.mail_domain),
            client_id: facts.client_id,
        }
    }

    fn head(&self, letter: Letter, facts: &OriginalFacts, refused: Option<String>) -> OriginHead {
        OriginHead {
            letter,
            spool: self.spool().clone(),
            sender: self.sender.clone(),
            organisation: self.domain.organisation.clone(),
            environment: self.desk.environment.id.clone(),
            certificate: self.desk.certificate.clone(),
            accepted_at: self.desk.at,
            refused,
            form: facts.form,
            spread: true,
        }
    }

    fn spool_row(&self, outcome: &str, letter: &Letter) -> SpoolRow {
        SpoolRow {
            spool: self.spool().clone(),
            door: Door::Submission,
            outcome: outcome.to_owned(),
            sha256: self.sha256.clone(),
            message_id: letter.client_id.clone(),
            became: Some(self.partition()),
            at: self.desk.at,
        }
    }

    fn act(&self, rim: &Rim, letter: &Letter, matter: Matter) -> ActRow {
        let order = Order {
            partition: self.partition(),
            discriminator: String::new(),
            letter: letter.clone(),
            letter_in_head: true,
            to: letter.sender.clone(),
            matter,
            source: None,
            addressee: Addressee::Mailbox(self.sender.clone()),
            sending_provider: self.desk.environment.provider_name.clone(),
        };
        self.desk.act(rim, order)
    }

    fn entry(&self, rim: &Rim, letter: &Letter, event: Event, spooled: &SpoolRow) -> LogEntry {
        let provider = &self.desk.environment.provider_name;
        let about =
            About::letter(letter, provider, provider).of(letter.recipients.iter().map(|r| &r.address));
        let entry = LogEntry::new(about, Side::Origin, event, "", self.desk.at)
            .digest(spooled.sha256.clone())
            .with("via", self.ticket.via.clone())
            .with("tls", self.ticket.tls.clone())
            .with("scanner", rim.scanner.version());
        scan::noted(entry, self.ticket.scanned.as_ref())
    }

    /// Acceptance (RFC 6109 §2.2.1, spec 4.6): the receipt and the envelope become owed in the commit that decides,
    /// so no receipt exists without its envelope being owed (design §3 rule 3).
    async fn accept(&self, rim: &Rim, letter: Letter, facts: &OriginalFacts) -> Result<(), StageError> {
        // 1. Where everybody's envelope goes: fixed now, no index is read later.
        let routes = parcels::route(rim, &self.domain, &letter.recipients).await?;
        let rows = self.recipient_rows(&letter, &routes.records);

        // 2. Many recipients: their rows first, without debts; the head's commit owes a spread.
        //    Power fails in between: rows without a head, that nobody reads and the next run takes over.
        let fits = rows.len() <= ROOM;
        if !fits {
            lay::lay(rim, "rcpt#", &rows, |row| row.outcome.is_some()).await?;
        }

        // 3. One commit: outcome, head, recipients with their clocks, M3 and M4 owed, the log entry.
        let mut draft = rim.draft();
        let spooled = self.spool_row("accepted", &letter);
        let mut head = self.head(letter, facts, None);
        let receipt = self.act(rim, &head.letter, Matter::Acceptance);
        let envelope = self.envelope(rim, &head, routes.parcels);
        draft.append(
            self.entry(rim, &head.letter, Event::Accepted, &spooled)
                .message(&envelope.document.message_id)
                .with("form", head.form.wire()),
        );
        draft.insert(&spooled, None)?;
        draft.insert(&receipt, Some(acts::owed(&receipt)))?;
        draft.insert(&envelope, Some(acts::owed(&envelope)))?;
        if fits {
            for row in &rows {
                draft.insert(row, origin::owed(row))?;
            }
            draft.insert(&head, None)?;
        } else {
            head.spread = false;
            let debt = Debt::now(Job::Spread { head: head.key() }, self.desk.at);
            draft.insert(&head, Some(debt))?;
        }
        rim.commit(draft).await
    }

    /// M4: the original as it was spooled goes in, its identifiers are rewritten by composing (spec 4.3).
    fn envelope(&self, rim: &Rim, head: &OriginHead, parcels: Vec<Parcel>) -> ActRow {
        let mut act = self.act(rim, &head.letter, Matter::TransportEnvelope { form: head.form });
        act.document.message_id = format!("<{}>", head.letter.pec_id);
        act.source = Some(BlobKey::spool_message(Door::Submission, self.spool()));
        act.target = BlobKey::envelope(self.spool());
        // G8: the paths of the original are those of its envelope.
        act.next = Next::Send {
            reverse_path: self.ticket.transaction.reverse_path.clone(),
            parcels,
            give_up_at: self.desk.at.plus_s(GIVE_UP_AFTER_S),
        };
        act
    }

    fn recipient_rows(&self, letter: &Letter, records: &[Option<String>]) -> Vec<OriginRecipient> {
        let clocks = Clocks {
            accepted_at: self.desk.at,
            taken_in_charge_at: None,
            settled_at: None,
            first_notice_at: None,
            last_notice_at: None,
        };
        let row = |(recipient, record): (&Recipient, &Option<String>)| OriginRecipient {
            pec_id: letter.pec_id.clone(),
            recipient: recipient.clone(),
            record: record.clone(),
            clocks,
            outcome: None,
        };
        letter.recipients.iter().zip(records).map(row).collect()
    }

    /// Non-acceptance: M1, or M2 with the message under lock (RFC 6109 §3.1.2, §3.1.3, spec 2.5). Nothing of it
    /// enters PEC.
    async fn refuse(&self, rim: &Rim, reason: Reason) -> Result<(), StageError> {
        let facts = original::facts(&self.bytes);
        let letter = self.letter(rim, facts.clone());
        let letter = if bounds::texts_fit(&letter) { letter } else { bounds::without_texts(letter) };
        let spooled = self.spool_row("refused", &letter);
        let mut draft = Draft::new();
        let mut entry = self.entry(rim, &letter, Event::Refused, &spooled);
        let (word, matter) = match reason {
            Reason::Formal(refusal) => {
                (refusal.wire().to_owned(), Matter::NonAcceptance { reason: refusal.wire().to_owned() })
            }
            Reason::Virus(virus) => {
                // Under lock before the commit. Power fails in between: a copy more, of what will be refused.
                let source = BlobKey::spool_message(Door::Submission, self.spool());
                rim.blobs.copy_if_absent(&source, &BlobKey::vault(self.spool().as_str())).await?;
                draft.append(
                    self.entry(rim, &letter, Event::VirusFound, &spooled).with("virus", virus.clone()),
                );
                tracing::error!(spool = %self.spool(), "a user submitted a virus");
                (virus.clone(), Matter::NonAcceptanceVirus { virus })
            }
        };
        let notice = self.act(rim, &letter, matter);
        entry = entry.message(&notice.document.message_id).with("reason", word.clone());
        draft.append(entry);
        draft.insert(&spooled, None)?;
        draft.insert(&notice, Some(acts::owed(&notice)))?;
        draft.insert(&self.head(letter, &facts, Some(word)), None)?;
        rim.commit(draft).await
    }
}

/// What came in without an account that owns its reverse path (F7, design §4): logged and dropped.
async fn drop_unowned(rim: &Rim, ticket: &Ticket, bytes: &Bytes, sha256: String) -> Result<(), StageError> {
    let facts = original::facts(bytes);
    let spooled = SpoolRow {
        spool: ticket.spool.clone(),
        door: Door::Submission,
        outcome: "dropped".to_owned(),
        sha256,
        message_id: facts.client_id.clone(),
        became: None,
        at: rim.now(),
    };
    let about = About {
        pec_id: format!("spool:{}", ticket.spool),
        client_id: facts.client_id,
        sender: ticket.transaction.reverse_path.as_ref().map(ToString::to_string).unwrap_or_default(),
        subject: facts.subject,
        ..About::default()
    };
    let about = about.of(&ticket.transaction.forward_paths);
    let entry = LogEntry::new(about, Side::Origin, Event::Refused, "", spooled.at)
        .digest(spooled.sha256.clone())
        .with("reason", "not the owner of the reverse path");
    let mut draft = Draft::new();
    draft.insert(&spooled, None)?;
    draft.append(entry);
    rim.commit(draft).await
}
