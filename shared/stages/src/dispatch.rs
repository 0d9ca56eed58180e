//! To other systems (design §4 "Dispatch"): one row for each message and destination, tried until it is taken,
//! refused for good, or given up. A resend after a lost final `250` is the receiver's duplicate.

use std::collections::HashMap;

use pec::{
    Address, Instant, Kind, Letter, RecipientKind,
    document::{DeliveryError, FailedRecipient, Matter},
    words::Reason,
};

use crate::{
    Job, Rim, StageError,
    acts::{self, Addressee, Desk, Order},
    ids::{Side, blob_name},
    lay,
    log::{About, Event, LogEntry},
    origin,
    ports::{Debt, Destination, Errand, Relayed, RowKey},
    rim::{Draft, Found},
    rows::{ActRow, DispatchRow, OriginHead, OriginRecipient, Outcome},
};

/// Minutes to wait after each try; the last one repeats.
const BACKOFF_MINUTES: [i64; 5] = [1, 5, 15, 30, 60];

/// Seconds to wait where a destination has no place for another transaction.
const BUSY_S: i64 = 10;

/// How often what came back is written anew when another commit was faster.
const RACES_MAX: usize = 5;

/// How many recipients one commit settles beside the row itself: each with its row, an act and an entry.
const SETTLED_MAX: usize = 25;

/// The enhanced status of what was not tried any more, or not long enough to be taken (RFC 3463 §3.5: delivery time
/// expired).
const EXPIRED: &str = "5.4.7";

/// The enhanced status of a domain that is not there (RFC 3463 §3.2: bad destination system).
const NO_DOMAIN: &str = "5.1.2";

/// Characters of an answer that are kept.
const ANSWER_CHARS_MAX: usize = 300;

/// Makes one try for a row.
///
/// # Errors
/// [`StageError`]; the debt stays.
pub async fn dispatch(rim: &Rim, row: &RowKey) -> Result<(), StageError> {
    // 1. What is owed, and whether it is time: a hint can come twice, and a start hints what is not due yet.
    let Some(found) = open(rim, row).await? else { return Ok(()) };
    if let Some(next) = found.value.next_attempt.filter(|next| *next > rim.now()) {
        return put_off(rim, row, &found, next).await;
    }

    // 2. A place among the transactions with this destination, before anything large is read. None: soon again,
    //    which is no try.
    let Some(place) = rim.carrier.place(&found.value.destination).await else {
        return put_off(rim, row, &found, rim.now().plus_s(BUSY_S)).await;
    };

    // 3. Who is settled meanwhile is not served any more: after the last notice there is no later attempt (spec 0.2
    //    D18), and who has certified something about the message has it, whatever was answered to us.
    let now = rim.now();
    let owed = owed(&found.value);
    let mut came_back = settled(rim, &found.value, &owed).await?;
    let in_time = !(ends_with_last_notice(&found.value) && now >= found.value.give_up_at);
    let open = owed.into_iter().filter(|a| in_time && !came_back.contains_key(&a.key()));
    let recipients: Vec<Address> = open.collect();

    // 4. One transaction. Power fails after it: it is made again, and the receiver knows the duplicate.
    if !recipients.is_empty() {
        let errand = Errand {
            destination: found.value.destination.clone(),
            reverse_path: found.value.reverse_path.clone(),
            recipients: recipients.clone(),
            message: rim.blob(&found.value.blob).await?,
        };
        let outcomes = rim.carrier.carry(errand).await;
        let lost = Relayed::Later { answer: "no outcome".to_owned() };
        let outcomes = outcomes.into_iter().chain(std::iter::repeat(lost));
        came_back.extend(recipients.iter().zip(outcomes).map(|(a, outcome)| (a.key(), bounded(outcome))));
    }
    drop(place);

    // 5. What came back is a fact: it is written, whoever else writes this row.
    let mut found = found;
    for _ in 0..RACES_MAX {
        match record(rim, found, &came_back, now).await {
            Err(StageError::Raced) => {}
            other => return other,
        }
        let again = rim.read::<DispatchRow>(row).await?;
        found = again.ok_or_else(|| StageError::Damaged(format!("{}: no such row", row.sk)))?;
    }
    Err(StageError::Raced)
}

/// Takes a recipient off the row: no later attempt. Answers whether there was anything left to take off.
pub(crate) fn cancel(row: &mut DispatchRow, recipient: &Address) -> bool {
    let mut changed = false;
    for (address, became) in &mut row.recipients {
        if address == recipient && is_owed(became.as_ref()) {
            *became = Some(expired("the last notice was issued"));
            changed = true;
        }
    }
    row.done = row.recipients.iter().all(|(_, became)| !is_owed(became.as_ref()));
    changed
}

async fn open(rim: &Rim, row: &RowKey) -> Result<Option<Found<DispatchRow>>, StageError> {
    let found = rim.read::<DispatchRow>(row).await?;
    let found = found.ok_or_else(|| StageError::Damaged(format!("{}: no such row", row.sk)))?;
    Ok((!found.value.done && found.debt.is_some()).then_some(found))
}

/// Moves the hint of a debt that is not paid now.
async fn put_off(
    rim: &Rim,
    row: &RowKey,
    found: &Found<DispatchRow>,
    until: Instant,
) -> Result<(), StageError> {
    if let Some(debt) = found.debt.as_ref().filter(|debt| debt.due != until) {
        // Whoever moved it first, or wrote the row, has put it where it belongs.
        rim.facts.postpone(row, found.version, debt.due, until).await?;
    }
    Ok(())
}

fn owed(row: &DispatchRow) -> Vec<Address> {
    row.recipients.iter().filter(|(_, b)| is_owed(b.as_ref())).map(|(a, _)| a.clone()).collect()
}

const fn is_owed(became: Option<&Relayed>) -> bool {
    matches!(became, None | Some(Relayed::Later { .. }))
}

fn expired(answer: &str) -> Relayed {
    Relayed::Refused { code: EXPIRED.to_owned(), answer: answer.to_owned(), no_domain: false }
}

fn bounded(outcome: Relayed) -> Relayed {
    let cut = |answer: String| answer.chars().take(ANSWER_CHARS_MAX).collect();
    match outcome {
        Relayed::Taken => Relayed::Taken,
        Relayed::Later { answer } => Relayed::Later { answer: cut(answer) },
        Relayed::Refused { code, answer, no_domain } => {
            Relayed::Refused { code: code.chars().take(12).collect(), answer: cut(answer), no_domain }
        }
    }
}

/// The letter that an envelope carries; receipts and notices have no recipients' rows.
fn letter_of(row: &DispatchRow) -> Option<&str> {
    let is_envelope = row.act.kind == Kind::TransportEnvelope;
    row.act.partition.as_str().strip_prefix("origin#").filter(|_| is_envelope)
}

/// An envelope to another provider is tried until the last notice takes its recipients off the row (spec 0.2 D18); it
/// alone ends the tracking of a certified recipient that nobody answers for. After 24 hours nothing is tried, however
/// late the notice is (RFC 6109 §2.2.2).
const fn ends_with_last_notice(row: &DispatchRow) -> bool {
    matches!((row.act.kind, &row.destination), (Kind::TransportEnvelope, Destination::Provider { .. }))
}

/// What the letter's rows say of recipients that this row still owes.
async fn settled(
    rim: &Rim,
    row: &DispatchRow,
    owed: &[Address],
) -> Result<HashMap<String, Relayed>, StageError> {
    let Some(pec_id) = letter_of(row) else { return Ok(HashMap::new()) };
    let rows = origin::recipients(rim, pec_id, owed).await?;
    let closed = rows.into_iter().flatten().filter_map(|found| {
        let became = match found.value.outcome? {
            Outcome::Expired => expired("the last notice was issued"),
            Outcome::Failed => expired("it has failed already"),
            Outcome::Delivered | Outcome::Virus | Outcome::Relayed => Relayed::Taken,
        };
        Some((found.value.recipient.address.key(), became))
    });
    Ok(closed.collect())
}

/// One commit: the row with what became of each recipient, the letter's rows that this settles, the log, the next
/// try. More recipients than fit are settled before it: a repetition finds them settled.
async fn record(
    rim: &Rim,
    mut found: Found<DispatchRow>,
    came_back: &HashMap<String, Relayed>,
    now: Instant,
) -> Result<(), StageError> {
    let row = &mut found.value;
    let noticed = ends_with_last_notice(row);
    let giving_up = now >= row.give_up_at && !noticed;
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    for (address, became) in &mut row.recipients {
        let Some(outcome) = came_back.get(&address.key()) else { continue };
        let is_news =
            is_owed(became.as_ref()) || (*outcome == Relayed::Taken && *became != Some(Relayed::Taken));
        if !is_news {
            continue;
        }
        let outcome = match outcome {
            Relayed::Later { answer } if giving_up => expired(answer),
            other => other.clone(),
        };
        match &outcome {
            Relayed::Taken => taken.push(address.clone()),
            // The last notice is in the log itself.
            Relayed::Refused { code, .. } if code == EXPIRED && noticed => {}
            Relayed::Refused { .. } => refused.push((address.clone(), outcome.clone())),
            Relayed::Later { .. } => {}
        }
        *became = Some(outcome);
    }
    row.attempts = row.attempts.saturating_add(1);
    row.done = row.recipients.iter().all(|(_, became)| !is_owed(became.as_ref()));

    let mut draft = Draft::new();
    if !taken.is_empty() {
        draft.append(
            LogEntry::new(row.about.clone().of(&taken), side(row), Event::Relayed, disc(row, &taken), now)
                .with("kind", row.act.kind.name())
                .with("to", to(row)),
        );
    }
    if let Some(pec_id) = letter_of(row).map(str::to_owned) {
        settle(rim, &mut draft, row, &pec_id, &taken, &refused, now).await?;
    }
    if !refused.is_empty() {
        let addresses: Vec<Address> = refused.iter().map(|(a, _)| a.clone()).collect();
        let about = row.about.clone().of(&addresses);
        let mut entry = LogEntry::new(about, side(row), Event::RelayFailed, disc(row, &addresses), now)
            .with("kind", row.act.kind.name())
            .with("to", to(row));
        if let Some((_, Relayed::Refused { code, answer, .. })) = refused.first() {
            entry = entry.with("code", code.clone()).with("answer", answer.clone());
        }
        draft.append(entry);
        if letter_of(row).is_none() {
            tracing::error!(kind = row.act.kind.name(), "a receipt or notice could not be handed over");
        }
    }
    // Owed since it was owed first: an hour of tries is an alarm, however many there were (`watch`).
    let owed_since = found.debt.as_ref().map_or(now, |debt| debt.owed_since);
    row.next_attempt = (!row.done).then(|| next_try(row, now));
    let job = || Job::Dispatch { dispatch: row_key(row) };
    let debt = row.next_attempt.map(|due| Debt::again(job(), owed_since, due));
    draft.replace(found.version, &found.value, debt)?;
    rim.commit(draft).await
}

/// What makes an entry about these recipients unique: each of them is taken once, and refused once.
fn disc(row: &DispatchRow, recipients: &[Address]) -> String {
    let keys: Vec<String> = recipients.iter().map(Address::key).collect();
    blob_name(format!("{}\0{}", row_name(row), keys.join("\n")).as_bytes())
}

/// When to try again: later each time, the last time at the instant of giving up.
fn next_try(row: &DispatchRow, now: Instant) -> Instant {
    let n =
        usize::try_from(row.attempts.saturating_sub(1)).unwrap_or(usize::MAX).min(BACKOFF_MINUTES.len() - 1);
    let minutes = BACKOFF_MINUTES.get(n).copied().unwrap_or(60);
    let next = now.plus_s(60 * minutes);
    if now < row.give_up_at { next.min(row.give_up_at) } else { next }
}

/// What the outcomes mean for recipients of a letter of ours (spec 5.6, 0.2 D19): an ordinary one is settled by
/// being handed over or refused; a certified one by a permanent refusal, with a notice of ours. A certified one whose
/// time ran out is the last notice's.
async fn settle(
    rim: &Rim,
    draft: &mut Draft,
    row: &DispatchRow,
    pec_id: &str,
    taken: &[Address],
    refused: &[(Address, Relayed)],
    now: Instant,
) -> Result<(), StageError> {
    let addresses: Vec<Address> = taken.iter().chain(refused.iter().map(|(a, _)| a)).cloned().collect();
    let rows = origin::recipients(rim, pec_id, &addresses).await?;
    let outcomes = taken.iter().map(|_| None).chain(refused.iter().map(|(_, r)| Some(r)));
    let open: Vec<(Found<OriginRecipient>, Option<&Relayed>)> = rows
        .into_iter()
        .zip(outcomes)
        .filter_map(|(found, refusal)| Some((found?, refusal)))
        .filter(|(found, refusal)| found.value.outcome.is_none() && settles(&found.value, *refusal))
        .collect();
    if open.is_empty() {
        return Ok(());
    }
    let Some(head) = origin::head(rim, pec_id).await? else {
        return Err(StageError::Damaged(format!("{pec_id}: recipients without a head")));
    };
    let desk = Desk::open(rim, &head.environment, now).await?;
    tracing::debug!(row = %row_name(row), recipients = open.len(), "recipients are settled by relaying");
    // A notice holds the letter with all its recipients.
    let notice_bytes = 2_000 + 150 * head.letter.recipients.len();
    let at_once = (lay::ROOM_BYTES / notice_bytes).clamp(1, SETTLED_MAX);
    let mut open = open.into_iter();
    loop {
        let is_last = open.len() <= at_once;
        let mut before = Draft::new();
        let target = if is_last { &mut *draft } else { &mut before };
        let mut failures = Vec::new();
        for (mut found, refusal) in open.by_ref().take(at_once) {
            failures.extend(settle_one(rim, target, &desk, &head, &mut found, refusal)?);
        }
        // Who wrote to ordinary mail learns of it in the commit that settles it: once for each recipient.
        if !failures.is_empty()
            && let Some(act) = status(rim, &desk, &head, row, failures)
        {
            target.insert(&act, Some(acts::owed(&act)))?;
        }
        if is_last {
            return Ok(());
        }
        rim.commit(before).await?;
    }
}

/// The delivery status notification to a sender of ours about ordinary recipients (spec 0.2 D19): it comes in at our
/// own incoming point with a null reverse path, and reaches the mailbox inside an anomaly envelope, as a report of
/// another system would.
fn status(
    rim: &Rim,
    desk: &Desk,
    head: &OriginHead,
    row: &DispatchRow,
    failures: Vec<FailedRecipient>,
) -> Option<ActRow> {
    let address = Address::parse(&head.letter.sender).ok()?;
    let keys: Vec<Address> = failures.iter().map(|f| f.recipient.clone()).collect();
    let order = Order {
        partition: row.act.partition.clone(),
        discriminator: disc(row, &keys),
        to: head.letter.sender.clone(),
        letter: Letter { recipients: Vec::new(), ..head.letter.clone() },
        letter_in_head: false,
        matter: Matter::DeliveryStatus { failures, arrived_at: head.accepted_at },
        source: Some(row.blob.clone()),
        addressee: Addressee::ReversePath { destination: Destination::Own, address },
        sending_provider: desk.environment.provider_name.clone(),
    };
    Some(desk.act(rim, order))
}

/// Whether this outcome ends the tracking of a recipient.
fn settles(row: &OriginRecipient, refusal: Option<&Relayed>) -> bool {
    match (row.recipient.kind, refusal) {
        (RecipientKind::Ordinary, _) => true,
        (RecipientKind::Certified, Some(Relayed::Refused { code, .. })) => code != EXPIRED,
        (RecipientKind::Certified, _) => false,
    }
}

/// Settles one; answers what a delivery status notification says of an ordinary one that failed.
fn settle_one(
    rim: &Rim,
    draft: &mut Draft,
    desk: &Desk,
    head: &OriginHead,
    found: &mut Found<OriginRecipient>,
    refusal: Option<&Relayed>,
) -> Result<Option<FailedRecipient>, StageError> {
    let outcome = if refusal.is_some() { Outcome::Failed } else { Outcome::Relayed };
    if !origin::settle(draft, found, outcome, desk.at)? {
        return Ok(None);
    }
    let recipient = &found.value.recipient.address;
    let Some(Relayed::Refused { code, answer, no_domain }) = refusal else { return Ok(None) };
    let provider = &desk.environment.provider_name;
    let about = About::letter(&head.letter, provider, provider).of([recipient]);
    let entry =
        LogEntry::new(about, Side::Origin, Event::Settled, format!("relay#{}", recipient.key()), desk.at)
            .with("outcome", "failed")
            .with("code", code.clone())
            .with("answer", answer.clone());
    if found.value.recipient.kind == RecipientKind::Ordinary {
        draft.append(entry);
        let answer = (!no_domain).then(|| answer.clone());
        return Ok(Some(FailedRecipient { recipient: recipient.clone(), code: code.clone(), answer }));
    }
    let (error, description) = said(code, *no_domain);
    let matter = Matter::NonDelivery {
        recipient: recipient.clone(),
        error,
        code: code.clone(),
        description: description.to_owned(),
    };
    let notice = origin::notice(rim, desk, head, matter, recipient);
    draft.append(entry.message(&notice.document.message_id));
    draft.insert(&notice, Some(acts::owed(&notice)))?;
    Ok(None)
}

/// How a notice says why the other side refused (spec 0.2 D19).
fn said(code: &str, no_domain: bool) -> (DeliveryError, &'static str) {
    if no_domain {
        return (DeliveryError::NoDomain, Reason::of(NO_DOMAIN, false).italian);
    }
    let error = if code == "5.1.1" { DeliveryError::NoRecipient } else { DeliveryError::Other };
    (error, Reason::of(code, false).italian)
}

fn side(row: &DispatchRow) -> Side {
    if row.act.partition.as_str().starts_with("origin#") { Side::Origin } else { Side::Destination }
}

fn to(row: &DispatchRow) -> String {
    match &row.destination {
        Destination::Own => "own".to_owned(),
        Destination::Provider { domain, .. } | Destination::Ordinary { domain } => domain.clone(),
    }
}

fn row_key(row: &DispatchRow) -> RowKey {
    DispatchRow::key_of(&row.act, &row.destination)
}

fn row_name(row: &DispatchRow) -> String {
    let key = row_key(row);
    blob_name(format!("{}\0{}", key.pk, key.sk).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spec 0.2 D19.
    #[test]
    fn a_refusal_is_said_by_its_code() {
        assert_eq!(said("5.1.1", false).0, DeliveryError::NoRecipient);
        assert_eq!(said("5.1.2", true).0, DeliveryError::NoDomain);
        assert_eq!(said("5.2.2", false), (DeliveryError::Other, "casella piena"));
        assert_eq!(said("5.7.1", false).0, DeliveryError::Other);
    }
}
