//! The recipients' rows of our users' letters: delivery, failure and the last notice compete for them.

use std::collections::HashMap;

use pec::{Address, Instant, Kind, RecipientKind, deadline, document::Matter};

use crate::{
    Job, Rim, StageError,
    acts::{self, Addressee, Desk, Order},
    ids::{Partition, Side},
    lay,
    log::{About, Event, LogEntry},
    ports::{Debt, Table},
    rim::{Body, Draft, Found},
    rows::{ActKey, ActRow, OriginHead, OriginRecipient, Outcome},
};

/// The head of a letter of ours that was accepted.
pub(crate) async fn head(rim: &Rim, pec_id: &str) -> Result<Option<OriginHead>, StageError> {
    let found = rim.read::<OriginHead>(&OriginHead::key_of(pec_id)).await?;
    Ok(found.map(|f| f.value).filter(|h| h.refused.is_none()))
}

/// The rows of some recipients of a letter, in their order; `None` for who is no recipient of it.
pub(crate) async fn recipients(
    rim: &Rim,
    pec_id: &str,
    addresses: &[Address],
) -> Result<Vec<Option<Found<OriginRecipient>>>, StageError> {
    let mut rows = Vec::with_capacity(addresses.len());
    if addresses.len() <= 4 {
        for address in addresses {
            rows.push(rim.read(&OriginRecipient::key_of(pec_id, address)).await?);
        }
        return Ok(rows);
    }
    let all: Vec<Found<OriginRecipient>> =
        rim.all(Table::Letters, Partition::origin(pec_id).as_str(), "rcpt#").await?;
    let mut all: HashMap<String, _> = all.into_iter().map(|f| (f.value.recipient.address.key(), f)).collect();
    rows.extend(addresses.iter().map(|a| all.remove(&a.key())));
    Ok(rows)
}

/// What a recipient's row owes: a look at its clocks, while they run (spec 7: none for ordinary recipients).
pub(crate) fn owed(row: &OriginRecipient) -> Option<Debt> {
    let running = row.outcome.is_none() && row.recipient.kind == RecipientKind::Certified;
    let due = deadline::next(&row.clocks).filter(|_| running)?;
    Some(Debt::later(Job::Deadline { recipient: row.key() }, due))
}

/// Ends the tracking of a recipient of ours, whose letter we took in charge at this instant; answers as [`settle`].
pub(crate) fn settle_own(
    draft: &mut Draft,
    found: &mut Found<OriginRecipient>,
    outcome: Outcome,
    taken_in_charge_at: Instant,
    at: Instant,
) -> Result<bool, StageError> {
    found.value.clocks.taken_in_charge_at.get_or_insert(taken_in_charge_at);
    settle(draft, found, outcome, at)
}

/// Ends the tracking of a recipient, if nothing ended it before; answers whether this did.
pub(crate) fn settle(
    draft: &mut Draft,
    found: &mut Found<OriginRecipient>,
    outcome: Outcome,
    at: Instant,
) -> Result<bool, StageError> {
    if found.value.outcome.is_some() {
        return Ok(false);
    }
    found.value.outcome = Some(outcome);
    found.value.clocks.settled_at = Some(at);
    draft.replace(found.version, &found.value, None)?;
    Ok(true)
}

/// When we took a letter of ours in charge for a recipient of ours (spec 4.7); `None` if we did not. The acts of the
/// destination say so, and the recipient's row need not: most letters are delivered hours before a clock has to know.
pub(crate) async fn took_in_charge(
    rim: &Rim,
    head: &OriginHead,
    recipient: &Address,
) -> Result<Option<Instant>, StageError> {
    let envelope = ActKey::envelope(&head.letter.pec_id);
    let act = rim.read::<ActRow>(&envelope.row()).await?;
    let Some(issued) = act.and_then(|act| act.value.issued) else { return Ok(None) };
    let partition = Partition::destination(&head.environment, &head.letter.pec_id, &issued.sha256);
    let receipts: Vec<Found<ActRow>> =
        rim.all(Table::Letters, partition.as_str(), &ActKey::prefix(Kind::TakeCharge)).await?;
    let covers = |act: &ActRow| match &act.document.matter {
        Matter::TakeCharge { received } => received.iter().any(|r| r.key() == recipient.key()),
        _ => false,
    };
    Ok(receipts.iter().filter(|act| covers(&act.value)).map(|act| act.value.document.at).min())
}

/// Records a verified take-charge of another provider for these recipients: it stops the first notice, not the last (spec 7, 0.2 D18).
/// Rows that do not fit into the commit of `draft` go before it: a repetition finds them recorded.
pub(crate) async fn record_take_charge(
    rim: &Rim,
    draft: &mut Draft,
    pec_id: &str,
    recipients_taken: &[Address],
    received_at: Instant,
) -> Result<(), StageError> {
    // Its clock is looked at when the first notice would be due: most are settled long before.
    let mut open: Vec<Found<OriginRecipient>> = recipients(rim, pec_id, recipients_taken)
        .await?
        .into_iter()
        .flatten()
        .filter(|f| f.value.outcome.is_none() && f.value.clocks.taken_in_charge_at.is_none())
        .collect();
    for found in &mut open {
        found.value.clocks.taken_in_charge_at = Some(received_at);
    }
    let early = open.len().saturating_sub(lay::ROOM);
    let mut before = Draft::new();
    for (n, found) in open.iter().enumerate() {
        let draft = if n < early { &mut before } else { &mut *draft };
        match found.debt.clone() {
            Some(debt) => draft.replace_still_owing(found.version, &found.value, debt)?,
            None => draft.replace(found.version, &found.value, owed(&found.value))?,
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

/// A verified virus notice (M9) about a recipient: settles it and makes the notice to the sender (M10, RFC 6109
/// §3.2.4). Too late, it is logged only, under its cause: the sender has been told already.
pub(crate) async fn record_virus(
    rim: &Rim,
    draft: &mut Draft,
    pec_id: &str,
    recipient: &Address,
    virus: &str,
    received_at: Instant,
    cause: &str,
) -> Result<(), StageError> {
    let (Some(head), Some(mut found)) =
        (head(rim, pec_id).await?, rim.read(&OriginRecipient::key_of(pec_id, recipient)).await?)
    else {
        tracing::error!("a virus notice of ours speaks of no letter of ours");
        return Ok(());
    };
    let desk = Desk::open(rim, &head.environment, rim.now()).await?;
    let provider = desk.environment.provider_name.clone();
    let about = About::letter(&head.letter, &provider, &provider).of([recipient]);
    if !settle(draft, &mut found, Outcome::Virus, received_at)? {
        draft.append(LogEntry::new(about, Side::Origin, Event::Late, cause, desk.at).with("virus", virus));
        return Ok(());
    }
    let matter = Matter::NonDeliveryVirus { recipient: recipient.clone(), virus: virus.to_owned() };
    let act = notice(rim, &desk, &head, matter, recipient);
    draft.insert(&act, Some(acts::owed(&act)))?;
    let entry = LogEntry::new(about, Side::Origin, Event::Settled, recipient.key(), desk.at)
        .with("outcome", "virus")
        .with("virus", virus);
    draft.append(entry);
    Ok(())
}

/// A notice of ours to the sender of a letter of ours, about one recipient (M5, M6, M10, M12).
pub(crate) fn notice(
    rim: &Rim,
    desk: &Desk,
    head: &OriginHead,
    matter: Matter,
    recipient: &Address,
) -> ActRow {
    let order = Order {
        partition: Partition::origin(&head.letter.pec_id),
        discriminator: recipient.key(),
        to: head.letter.sender.clone(),
        letter: head.letter.clone(),
        letter_in_head: true,
        matter,
        source: None,
        addressee: Addressee::Mailbox(head.sender.clone()),
        sending_provider: desk.environment.provider_name.clone(),
    };
    desk.act(rim, order)
}
