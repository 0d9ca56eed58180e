//! Steps (b) and (c) of every act (design §4): from a row that owes a signed document to stored bytes and what they
//! owe next. Whoever runs it, however often and at the same time: one byte string leaves the building.

use bytes::Bytes;
use mime::Rope;
use pec::{Kind, document::Matter};

use crate::{
    Job, Rim, StageError, acts, deliver,
    ids::MailboxId,
    lay::ROOM,
    log::{Event, LogEntry},
    origin,
    ports::{Debt, Destination, Put, RowKey},
    rim::{Draft, Found},
    rows::{ActRow, DispatchRow, FilingRow, IssuedBytes, Next, Parcel, Summary},
};

/// How often the commit is tried anew on the same stored bytes when another stage wrote one of its rows.
const RACES_MAX: usize = 5;

/// A letter to more recipients fills its sender's mailbox with receipts that come together: they are filed by the queue
/// of the mailbox, many in one commit.
const QUIET_RECIPIENTS_MAX: usize = 4;

/// Issues the act of a row.
///
/// # Errors
/// [`StageError`]; the debt stays.
pub async fn issue(rim: &Rim, act: &RowKey) -> Result<(), StageError> {
    // 1. The row holds every input. We read no clock, no index and no setting for the document.
    let Some(mut found) = open(rim, act).await? else { return Ok(()) };

    // 2. Compose, sign, store: the first writer wins, everybody else goes on with what is stored.
    //    Power fails after it: the next run finds the bytes, and nobody has seen them yet.
    let kind = found.value.key.kind;
    let issued = store(rim, &found.value).await?;

    // 3. One commit: the log entry with the digest of what is stored, the debt gone, the next one owed.
    //    A race for a recipient's row or a mailbox is settled by reading again; the stored bytes are the same.
    for attempt in 0..RACES_MAX {
        let files = attempt == 0 && is_for_a_quiet_mailbox(rim, &found.value);
        let finished =
            if files { Box::pin(file(rim, found, &issued)).await } else { finish(rim, found, &issued).await };
        match finished {
            Err(StageError::Raced) => {}
            other => return other.inspect(|()| tell(kind)),
        }
        match open(rim, act).await? {
            Some(again) => found = again,
            None => return Ok(()),
        }
    }
    Err(StageError::Raced)
}

/// What an issued act owes to its addressees: mailboxes or destinations.
pub(crate) enum Onward {
    /// Its own filing, into the mailbox that is its home.
    Home(MailboxId),
    /// Filings, into mailboxes of ours.
    File(Vec<FilingRow>),
    /// Transactions to make.
    Send(Vec<DispatchRow>),
    /// Its own transaction, with our own incoming point.
    Inward,
}

/// What an issued act's `next` comes to; `None` where nothing is filed or sent.
pub(crate) fn onward(act: &ActRow, issued: &IssuedBytes) -> Option<Onward> {
    if let Some(mailbox) = act.home() {
        return Some(Onward::Home(mailbox.clone()));
    }
    if act.inward().is_some() {
        return Some(Onward::Inward);
    }
    match &act.next {
        Next::File { mailboxes } => {
            Some(Onward::File(mailboxes.iter().map(|m| filing(act, issued, m)).collect()))
        }
        Next::Send { reverse_path, parcels, give_up_at } => {
            let row = |parcel: &Parcel| DispatchRow {
                act: act.key.clone(),
                destination: parcel.destination.clone(),
                blob: act.target.clone(),
                reverse_path: reverse_path.clone(),
                recipients: parcel.recipients.iter().map(|r| (r.clone(), None)).collect(),
                attempts: 0,
                next_attempt: None,
                give_up_at: *give_up_at,
                done: false,
                about: acts::about(act).of::<&str>([]),
            };
            Some(Onward::Send(parcels.iter().map(row).collect()))
        }
        Next::RecordTakeCharge { .. } | Next::RecordVirus { .. } | Next::Nothing => None,
    }
}

/// The debt of a filing.
pub(crate) fn filing_debt(row: &FilingRow, at: pec::Instant) -> Debt {
    use crate::rim::Body;
    Debt::now(Job::Deliver { mailbox: row.group(), filing: row.key() }, at)
}

/// The debt of a transaction to be made: another system's, or our own incoming point (spec 4.7).
pub(crate) fn dispatch_debt(row: &DispatchRow, at: pec::Instant) -> Debt {
    use crate::rim::Body;
    let dispatch = row.key();
    let job = match row.destination {
        Destination::Own => Job::ReceiveOwn { dispatch },
        Destination::Provider { .. } | Destination::Ordinary { .. } => Job::Dispatch { dispatch },
    };
    Debt::now(job, at)
}

/// The act, while its issue is owed.
async fn open(rim: &Rim, act: &RowKey) -> Result<Option<Found<ActRow>>, StageError> {
    let found = acts::read(rim, act).await?;
    let found = found.ok_or_else(|| StageError::Damaged(format!("act {}: no such row", act.sk)))?;
    // A row that was laid for a large letter and owes nothing yet is not a fact.
    Ok((found.value.issued.is_none() && found.debt.is_some()).then_some(found))
}

async fn store(rim: &Rim, act: &ActRow) -> Result<IssuedBytes, StageError> {
    let source = match &act.source {
        Some(key) => Some(rim.blob(key).await?),
        None => None,
    };
    let message = compose(rim, act, source.as_ref()).await?;
    let (sha256, size_bytes) = (smime::sha256(message.chunks()), message.len() as u64);
    match rim.blobs.put_hashed(&act.target, message, sha256).await? {
        Put::New => Ok(IssuedBytes { sha256: smime::hex(&sha256), size_bytes }),
        Put::Existing => {
            let (stored, sha256) = rim.blob_hashed(&act.target).await?;
            Ok(IssuedBytes { sha256, size_bytes: stored.len() as u64 })
        }
    }
}

/// The message, signed but for what is no PEC message.
async fn compose(rim: &Rim, act: &ActRow, source: Option<&Bytes>) -> Result<Rope, StageError> {
    if act.key.kind == Kind::DeliveryStatus {
        return Ok(pec::report(&act.document, source)?);
    }
    let draft = pec::compose(&act.document, source)?;
    let identity = rim.signer.identity(&act.certificate)?;
    let pending = identity.prepare(draft.content_sha256(), act.document.at.unix_s())?;
    let signature = rim.signer.sign(&act.certificate, pending.digest()).await?;
    Ok(draft.seal(&pending.assemble(&signature)?))
}

async fn finish(rim: &Rim, mut found: Found<ActRow>, issued: &IssuedBytes) -> Result<(), StageError> {
    let act = &found.value;
    let mut draft = rim.draft();
    draft.append(entry(act, issued));
    let mut debt = None;
    match onward(act, issued) {
        Some(Onward::Home(mailbox)) => {
            let job = Job::Deliver { mailbox, filing: act.key.row() };
            debt = Some(Debt::now(job, act.document.at));
        }
        Some(Onward::Inward) => {
            debt = Some(Debt::now(Job::ReceiveOwn { dispatch: act.key.row() }, act.document.at));
        }
        Some(Onward::File(rows)) if rows.len() <= ROOM => {
            for row in &rows {
                draft.insert(row, Some(filing_debt(row, act.document.at)))?;
            }
        }
        Some(Onward::Send(rows)) if rows.len() <= ROOM => {
            for row in &rows {
                draft.insert(row, Some(dispatch_debt(row, act.document.at)))?;
            }
        }
        // More than one commit takes: the act itself owes the spreading of its `next`.
        Some(_) => debt = Some(Debt::now(Job::Spread { head: act.key.row() }, act.document.at)),
        None => record(rim, act, &mut draft).await?,
    }
    found.value.issued = Some(issued.clone());
    draft.replace(found.version, &found.value, debt)?;
    rim.commit(draft).await
}

/// Whether its mailbox hardly gets anything else at the same time: no receipts for many recipients, and nothing was lost
/// there lately.
fn is_for_a_quiet_mailbox(rim: &Rim, act: &ActRow) -> bool {
    let is_quiet = |mailbox| !rim.crowds.has(mailbox, rim.now());
    act.home().is_some_and(is_quiet) && act.document.letter.recipients.len() <= QUIET_RECIPIENTS_MAX
}

/// Issues it and files it in one commit, without another job between: each is paid for. Lost to another commit of the
/// mailbox, its filing is owed instead, and waits in line with the others.
async fn file(rim: &Rim, found: Found<ActRow>, issued: &IssuedBytes) -> Result<(), StageError> {
    let (entry, home) = (entry(&found.value, issued), found.value.home().cloned());
    let filed = deliver::at_once(rim, found, issued, entry).await;
    if let (Err(StageError::Raced), Some(mailbox)) = (&filed, home) {
        rim.crowds.note(&mailbox, rim.now());
    }
    filed
}

/// What a message to our own service mailbox is for: M7 and M9 are consumed where they are made.
async fn record(rim: &Rim, act: &ActRow, draft: &mut Draft) -> Result<(), StageError> {
    let at = act.document.at;
    match &act.next {
        // The recipients' rows are not touched: whose clock is looked at is asked of the destination's acts
        // (`origin::took_in_charge`), and mostly deliver was faster.
        Next::RecordTakeCharge { .. } => {
            let entry = LogEntry::new(
                acts::about(act),
                crate::ids::Side::Origin,
                Event::TakeChargeRecorded,
                act.key.blob_name(),
                at,
            );
            draft.append(entry.message(&act.document.message_id));
            Ok(())
        }
        Next::RecordVirus { pec_id, recipient, virus } => {
            let name = act.key.blob_name();
            Box::pin(origin::record_virus(rim, draft, pec_id, recipient, virus, at, &name)).await
        }
        Next::File { .. } | Next::Send { .. } | Next::Nothing => Ok(()),
    }
}

/// Operators count notices by this line (infra/log-alarms.yaml): many of them are a fault, ours or somebody else's.
fn tell(kind: Kind) {
    if kind.is_notice() {
        tracing::info!(kind = kind.name(), "a notice was issued");
    }
}

fn entry(act: &ActRow, issued: &IssuedBytes) -> LogEntry {
    let disc = [act.key.kind.name(), "#", &act.key.blob_name()].concat();
    let entry = LogEntry::new(acts::about(act), acts::side(act), Event::Issued, disc, act.document.at)
        .message(&act.document.message_id)
        .digest(issued.sha256.clone())
        .with("kind", act.key.kind.name());
    let is_signed = act.key.kind != Kind::DeliveryStatus;
    let entry = if is_signed { entry.with("certificate", act.certificate.to_string()) } else { entry };
    match &act.document.matter {
        Matter::NonDelivery { code, .. } => entry.with("code", code.clone()),
        Matter::NonAcceptanceVirus { virus }
        | Matter::VirusDetection { virus, .. }
        | Matter::NonDeliveryVirus { virus, .. } => entry.with("virus", virus.clone()),
        _ => entry,
    }
}

/// The filing of an issued act.
pub(crate) fn filing(act: &ActRow, issued: &IssuedBytes, mailbox: &MailboxId) -> FilingRow {
    let name = act.key.blob_name();
    FilingRow {
        partition: act.key.partition.clone(),
        discriminator: [&mailbox.0, "#", &name].concat(),
        mailbox: Some(mailbox.clone()),
        source: act.target.clone(),
        name,
        summary: summary(act, issued),
        certifies: None,
        // A receipt goes to the reverse path; an anomaly envelope to INBOX, whatever the settings are.
        address: pec::Address::parse(&act.document.to).ok().filter(|_| act.key.kind != Kind::AnomalyEnvelope),
        about: acts::about(act),
        filed: None,
    }
}

fn summary(act: &ActRow, issued: &IssuedBytes) -> Summary {
    let document = &act.document;
    let letter = &document.letter;
    let from = match act.key.kind {
        Kind::TransportEnvelope | Kind::AnomalyEnvelope => {
            [pec::words::ON_BEHALF_OF, &letter.sender].concat()
        }
        _ => document.issuer.address.to_string(),
    };
    Summary {
        kind: Some(act.key.kind),
        from,
        subject: subject(act.key.kind, letter.subject.as_deref()),
        message_id: document.message_id.clone(),
        pec_id: (!letter.pec_id.is_empty()).then(|| letter.pec_id.clone()),
        size_bytes: issued.size_bytes,
        at: document.at,
    }
}

/// The subject as a mailbox shows it (spec 2.3).
pub(crate) fn subject(kind: Kind, original: Option<&str>) -> String {
    [kind.words().subject_prefix, original.unwrap_or_default()].concat()
}
