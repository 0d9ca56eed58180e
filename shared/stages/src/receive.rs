//! The incoming point (RFC 6109 §2.2.2, spec 5): what came in is examined, taken in charge, or wrapped, or refused.

use bytes::Bytes;
use pec::{
    Instant, Transaction,
    reception::{CheckLine, REVOCATION, Verdict},
};
use smime::Standing;

use crate::{
    BlobKey, Rim, SpoolId, StageError, door,
    ids::{Door, Partition, Side, blob_name},
    log::{self, About, Event, LogEntry},
    ports::{Relayed, RowKey},
    rim::{Draft, Found},
    rows::{ActRow, DispatchRow, Next, Scanned, Sighting, SpoolRow},
    scan,
};

mod addressed;
mod anomaly;
mod bounce;
mod classify;
mod envelope;
mod ordinary;
mod receipt;
mod status;

pub use classify::{Classified, classify};

/// Handles one message from outside.
///
/// # Errors
/// [`StageError`]: nothing was decided, the spool entry stays.
pub async fn receive(rim: &Rim, spool: &SpoolId) -> Result<(), StageError> {
    // 1. Decided before? Then this hint came twice.
    if rim.read::<SpoolRow>(&SpoolRow::key_of(spool)).await?.is_some() {
        return Ok(());
    }
    // 2. What came, and when: an event counts at its reception instant (spec 0.2 D18).
    let ticket = door::ticket(rim, Door::Incoming, spool).await?;
    let blob = BlobKey::spool_message(Door::Incoming, spool);
    let (bytes, sha256) = rim.blob_hashed(&blob).await?;
    let incoming = Incoming {
        id: spool.as_str().to_owned(),
        blob,
        sha256,
        bytes,
        transaction: ticket.transaction,
        received_at: ticket.at,
        at: rim.now(),
        via: ticket.via,
        tls: ticket.tls,
        is_answerable: !ticket.is_unanswerable,
        seen: ticket.seen,
        scanned: ticket.scanned,
        from: Source::Spool(spool.clone()),
    };
    // 3. D16: what comes in clear is handled, and looked at.
    if incoming.tls == "none" {
        tracing::warn!(spool = %spool, "a message came in clear");
    }
    incoming.handle(rim).await
}

/// Handles what our own provider addresses to its own users: the same way, all of it (spec 4.7).
///
/// # Errors
/// [`StageError`]; the debt of the row stays.
pub async fn receive_own(rim: &Rim, dispatch: &RowKey) -> Result<(), StageError> {
    // The head of the letter is looked at when its envelope has been examined.
    let head = || RowKey { sk: "head".to_owned(), ..dispatch.clone() };
    let rim = &rim.ahead(|| vec![dispatch.clone(), head()]).await?;
    let Some(own) = Own::read(rim, dispatch).await? else { return Ok(()) };
    let blob = own.blob().clone();
    let (bytes, sha256) = rim.blob_hashed(&blob).await?;
    let at = rim.now();
    let incoming = Incoming {
        id: blob_name([&dispatch.pk, "\0", &dispatch.sk].concat().as_bytes()),
        blob,
        sha256,
        bytes,
        transaction: own.transaction(),
        received_at: at,
        at,
        via: log::OWN.to_owned(),
        tls: "in-process".to_owned(),
        is_answerable: true,
        seen: Sighting::default(),
        scanned: None,
        from: Source::Own(own),
    };
    incoming.handle(rim).await
}

/// Where something came from: what its reception closes.
enum Source {
    Spool(SpoolId),
    Own(Own),
}

/// What our own provider hands over.
enum Own {
    /// One transaction of several.
    Row(Box<Found<DispatchRow>>),
    /// An act that goes [inward](ActRow::inward) as it is.
    Act(Box<Found<ActRow>>),
}

impl Own {
    /// What a row hands over; `None` where that is done.
    async fn read(rim: &Rim, key: &RowKey) -> Result<Option<Self>, StageError> {
        let missing = || StageError::Damaged(format!("{}: no such row", key.sk));
        if key.sk.starts_with("act#") {
            let act = rim.read::<ActRow>(key).await?.ok_or_else(missing)?;
            let is_owed = act.value.issued.is_some() && act.debt.is_some() && act.value.inward().is_some();
            return Ok(is_owed.then(|| Self::Act(Box::new(act))));
        }
        let row = rim.read::<DispatchRow>(key).await?.ok_or_else(missing)?;
        Ok((!row.value.done).then(|| Self::Row(Box::new(row))))
    }

    const fn blob(&self) -> &BlobKey {
        match self {
            Self::Row(row) => &row.value.blob,
            Self::Act(act) => &act.value.target,
        }
    }

    /// Whom the last notice took off is not served any more (spec 0.2 D18).
    fn transaction(&self) -> Transaction {
        match self {
            Self::Row(row) => {
                let open = row.value.recipients.iter().filter(|(_, became)| became.is_none());
                Transaction::new(row.value.reverse_path.clone(), open.map(|(r, _)| r.clone()))
            }
            Self::Act(act) => {
                let reverse_path = match &act.value.next {
                    Next::Send { reverse_path, .. } => reverse_path.clone(),
                    _ => None,
                };
                let recipients = act.value.inward().into_iter().flatten();
                let open = recipients.filter(|r| !act.value.taken_off.contains(r)).cloned();
                Transaction::new(reverse_path, open)
            }
        }
    }

    /// Nothing is owed any more.
    fn close(&self, draft: &mut Draft) -> Result<(), StageError> {
        match self {
            Self::Row(found) => {
                let mut row = found.value.clone();
                row.done = true;
                for (_, became) in &mut row.recipients {
                    became.get_or_insert(Relayed::Taken);
                }
                draft.replace(found.version, &row, None)?;
            }
            Self::Act(found) => draft.replace(found.version, &found.value, None)?,
        }
        Ok(())
    }
}

/// Something that came in.
struct Incoming {
    /// The spool id, or the digest of the key of the row that hands it over.
    id: String,
    blob: BlobKey,
    bytes: Bytes,
    sha256: String,
    transaction: Transaction,
    /// When it came: what it proves is true from then on.
    received_at: Instant,
    /// The instant of everything that its reception makes (G9).
    at: Instant,
    via: String,
    tls: String,
    /// Whether the reverse path may be told that it was not delivered.
    is_answerable: bool,
    seen: Sighting,
    scanned: Option<Scanned>,
    from: Source,
}

/// With what was said of the revocation of the signer's certificate, where it was asked.
fn revocation_noted(entry: LogEntry, checks: &[CheckLine]) -> LogEntry {
    match checks.iter().find(|check| check.name == REVOCATION) {
        Some(check) => entry.with("revocation", check.detail.clone()),
        None => entry,
    }
}

/// How long a message waits for a fresh revocation list, in seconds (spec 0.2 D15).
const LIST_PATIENCE_S: i64 = 4 * 3600;

impl Incoming {
    /// Without a fresh list it waits; after four hours the last good one counts, with an alarm (spec 0.2 D15). What is our
    /// own has no other instant of reception than now: it does not wait.
    fn waits_for_a_list(&self, revocation: &Standing) -> Result<(), StageError> {
        let Standing::Stale(last) = revocation else { return Ok(()) };
        if matches!(self.from, Source::Spool(_)) && self.at < self.received_at.plus_s(LIST_PATIENCE_S) {
            return Err(StageError::NoRevocationList);
        }
        let listed_at = last.map(|last| Instant::from_unix_s(last.listed_at).to_string());
        let listed_at = listed_at.as_deref().unwrap_or("none");
        tracing::error!(alarm = "revocation", listed_at, incoming = %self.id, "an old revocation list counts");
        Ok(())
    }

    async fn handle(self, rim: &Rim) -> Result<(), StageError> {
        // 1. V1 to V4, as of the reception instant and with the index in force.
        let index = rim.directory.index();
        let examination =
            pec::reception::examine(&self.bytes, &self.transaction, self.received_at, &index, &rim.verifier);
        self.waits_for_a_list(&examination.revocation)?;
        // 2. V5, on everything that comes in (spec 0.2 D11). No scanner: it waits.
        let virus = scan::virus(rim, &self.bytes, self.scanned.as_ref()).await?;
        // 3. Who of ours is addressed.
        let addressed = addressed::resolve(rim, &self.transaction.forward_paths).await?;
        // 4. One commit by outcome (spec 5.3).
        let checks = &examination.checks;
        match examination.verdict {
            Verdict::Envelope(envelope) => self.envelope(rim, *envelope, addressed, virus, checks).await,
            Verdict::Receipt(receipt) => {
                Box::pin(self.receipt(rim, *receipt, addressed, virus, checks)).await
            }
            Verdict::Anomaly { origin, certification, reason } => {
                let signed = anomaly::Signed { origin, certification };
                Box::pin(self.anomaly(rim, signed, reason, addressed, virus, checks)).await
            }
            Verdict::Ordinary { reason } => {
                Box::pin(self.ordinary(rim, reason, addressed, virus, checks)).await
            }
        }
    }

    /// The partition of what belongs to no letter.
    fn partition(&self) -> Partition {
        Partition::spool(&self.id)
    }

    /// The row that says it is handled: part of every reception's commit.
    fn close(
        &self,
        draft: &mut Draft,
        outcome: &str,
        became: Option<Partition>,
        message_id: Option<String>,
    ) -> Result<(), StageError> {
        match &self.from {
            Source::Spool(spool) => {
                let row = SpoolRow {
                    spool: spool.clone(),
                    door: Door::Incoming,
                    outcome: outcome.to_owned(),
                    sha256: self.sha256.clone(),
                    message_id,
                    became,
                    at: self.at,
                };
                draft.insert(&row, None)?;
            }
            Source::Own(own) => own.close(draft)?,
        }
        Ok(())
    }

    /// What the log says of something that belongs to no letter: its paths and its own header.
    fn about_itself(&self, facts: &pec::original::OriginalFacts, provider: &str) -> About {
        let bounded = |text: &String| text.chars().take(TEXT_CHARS_MAX).collect();
        let about = About {
            pec_id: format!("spool:{}", self.id),
            client_id: facts.client_id.as_ref().map(bounded),
            sender: self.transaction.reverse_path.as_ref().map(ToString::to_string).unwrap_or_default(),
            recipients: Vec::new(),
            subject: facts.subject.as_ref().map(bounded),
            sending_provider: provider.to_owned(),
            issuer: provider.to_owned(),
        };
        about.of(&self.transaction.forward_paths)
    }

    /// An entry about it, with what the checks said.
    fn entry(&self, about: About, event: Event, checks: &[CheckLine]) -> LogEntry {
        let failed = checks.iter().filter(|c| !c.passed).map(|c| c.name.as_str());
        let failed = failed.collect::<Vec<_>>().join(", ");
        let entry = LogEntry::new(about, Side::Destination, event, self.id.clone(), self.at);
        let mut entry = revocation_noted(entry, checks)
            .digest(self.sha256.clone())
            .with("via", self.via.clone())
            .with("tls", self.tls.clone());
        let Sighting { peer, hello, authentication } = &self.seen;
        for (name, value) in [("peer", peer), ("hello", hello), ("authentication", authentication)] {
            if !value.is_empty() {
                entry = entry.with(name, value.chars().take(TEXT_CHARS_MAX).collect::<String>());
            }
        }
        let entry = scan::noted(entry, self.scanned.as_ref());
        if failed.is_empty() { entry } else { entry.with("failed-checks", failed) }
    }

    /// An infected message goes under lock before the commit that says so (RFC 6109 §2.2.4). Power fails in
    /// between: it is there, and the next run finds it there.
    async fn lock_away(&self, rim: &Rim) -> Result<(), StageError> {
        rim.blobs.copy_if_absent(&self.blob, &BlobKey::vault(&self.id)).await?;
        tracing::error!(incoming = %self.id, "a virus came in");
        Ok(())
    }

    fn virus_entry(&self, rim: &Rim, about: About, virus: &str, checks: &[CheckLine]) -> LogEntry {
        self.entry(about, Event::VirusFound, checks)
            .with("virus", virus)
            .with("scanner", rim.scanner.version())
    }
}

/// Characters of what others wrote about what is no letter, in the log.
const TEXT_CHARS_MAX: usize = 2_000;
