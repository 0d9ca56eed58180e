//! What time brings: hints that were lost, spool entries that nobody handled, deadlines (design §4, spec 7).

use pec::{
    Instant, RecipientKind,
    deadline::{self, Notice},
    document::Matter,
};
use serde::{Deserialize, Serialize};

use crate::{
    BlobKey, Job, Rim, SpoolId, StageError,
    acts::{self, Desk},
    dispatch,
    ids::{Door, Side},
    log::{About, Event, LogEntry},
    origin,
    ports::{RowKey, Table},
    rim::{Body, Draft, Found},
    rows::{ActKey, ActRow, DispatchRow, Next, OriginHead, OriginRecipient, Outcome, SpoolRow},
};

/// A debt of this age, in seconds, is an alarm.
const ALARM_AFTER_S: i64 = 3600;

/// A spool entry of this age, in seconds, that nobody handled is hinted again.
const SPOOL_OVERDUE_S: i64 = 600;

/// No spool entry appears under an id older than this, in seconds: a door stores within minutes of making the id.
const SPOOL_SETTLED_S: i64 = 3600;

/// Keys of the spool that are listed at a time.
const SPOOL_PAGE: usize = 1000;

/// Sends the hints of debts that are due, at most `limit`, oldest first; answers how many. Each is looked at again
/// later and later: after 5, 15 and 60 minutes.
///
/// # Errors
/// [`StageError::Facts`]. A hint that cannot be sent is not an error: its debt is due again.
pub async fn hints(rim: &Rim, now: Instant, limit: usize) -> Result<usize, StageError> {
    let mut jobs = Vec::new();
    for stored in rim.facts.due(now, limit).await? {
        let Some(debt) = stored.row.debt else { continue };
        let age_s = now.unix_s() - debt.owed_since.unix_s();
        if age_s >= ALARM_AFTER_S {
            tracing::error!(age_s, sk = kind(&stored.row.key), "a debt is not paid");
        }
        // Another watcher that moves it first sends the hint.
        if rim
            .facts
            .postpone(&stored.row.key, stored.version, debt.due, now.plus_s(patience_s(age_s)))
            .await?
        {
            jobs.push(debt.job);
        }
    }
    let sent = jobs.len();
    send(rim, jobs).await;
    Ok(sent)
}

/// Hints spool entries older than ten minutes that nobody handled; answers how many.
///
/// An `.eml` without its `.json` was promised to nobody: it is left to the lifecycle of the spool.
///
/// # Errors
/// [`StageError`]
pub async fn sweep(rim: &Rim, now: Instant) -> Result<usize, StageError> {
    sweep_older(rim, now, SPOOL_OVERDUE_S).await
}

/// As [`sweep`], for entries older than `age_s` seconds: 0 right after a start, when no door is open yet.
///
/// # Errors
/// [`StageError`]
pub async fn sweep_older(rim: &Rim, now: Instant, age_s: i64) -> Result<usize, StageError> {
    let mut sent = 0;
    for door in [Door::Submission, Door::Incoming] {
        sent += sweep_door(rim, door, now, age_s).await?;
    }
    Ok(sent)
}

/// Looks at the clocks of a recipient and makes the notices that are due: M5, M6 (RFC 6109 §3.1.6, spec 7, 0.2 D18).
/// Never early. After a long outage both are due: the first goes first.
///
/// # Errors
/// [`StageError`]; the debt stays.
pub async fn deadline(rim: &Rim, recipient: &RowKey) -> Result<(), StageError> {
    while look(rim, recipient).await? {}
    Ok(())
}

/// One look; answers whether another one is needed at once.
async fn look(rim: &Rim, key: &RowKey) -> Result<bool, StageError> {
    // 1. A recipient that is still tracked, of a letter that was accepted.
    let Some(mut found) = rim.read::<OriginRecipient>(key).await? else { return Ok(false) };
    let tracked = found.value.outcome.is_none() && found.value.recipient.kind == RecipientKind::Certified;
    let Some(head) = origin::head(rim, &found.value.pec_id).await?.filter(|_| tracked) else {
        return Ok(false);
    };
    found.value.clocks.accepted_at = head.accepted_at;
    let now = rim.now();
    if deadline::due(&found.value.clocks, now) == Some(Notice::First)
        && found.value.clocks.taken_in_charge_at.is_none()
    {
        found.value.clocks.taken_in_charge_at =
            origin::took_in_charge(rim, &head, &found.value.recipient.address).await?;
    }

    // 2. Nothing due: then it is owed when something will be.
    let Some(notice) = deadline::due(&found.value.clocks, now) else {
        let owed = origin::owed(&found.value);
        if found.debt.as_ref().map(|d| d.owed_since) != owed.as_ref().map(|d| d.owed_since) {
            let mut draft = Draft::new();
            draft.replace(found.version, &found.value, owed)?;
            rim.commit(draft).await?;
        }
        return Ok(false);
    };

    // 3. One commit: the notice owed, the clocks moved or stopped, and what dispatch still owes cancelled.
    let desk = Desk::open(rim, &head.environment, now).await?;
    let address = found.value.recipient.address.clone();
    let mut draft = Draft::new();
    let (word, matter) = match notice {
        Notice::First => {
            found.value.clocks.first_notice_at = Some(now);
            ("first", Matter::TimeoutFirst { recipient: address.clone() })
        }
        Notice::Last => {
            found.value.clocks.last_notice_at = Some(now);
            found.value.outcome = Some(Outcome::Expired);
            cancel(rim, &mut draft, &found.value).await?;
            ("last", Matter::TimeoutLast { recipient: address.clone() })
        }
    };
    let act = origin::notice(rim, &desk, &head, matter, &address);
    draft.append(entry(&desk, &head, &found.value, word).message(&act.document.message_id));
    draft.insert(&act, Some(acts::owed(&act)))?;
    draft.replace(found.version, &found.value, origin::owed(&found.value))?;
    rim.commit(draft).await?;
    Ok(notice == Notice::First)
}

fn entry(desk: &Desk, head: &OriginHead, row: &OriginRecipient, word: &str) -> LogEntry {
    let provider = &desk.environment.provider_name;
    let address = &row.recipient.address;
    let about = About::letter(&head.letter, provider, provider).of([address]);
    let disc = format!("{word}#{}", address.key());
    LogEntry::new(about, Side::Origin, Event::DeadlinePassed, disc, desk.at).with("notice", word)
}

/// M6 cancels what dispatch still owes to the recipient: no later attempt, no M12 (D18). A transaction that is under
/// way is no later attempt; dispatch reads the recipient's row before each of its own.
async fn cancel(rim: &Rim, draft: &mut Draft, row: &OriginRecipient) -> Result<(), StageError> {
    let envelope = ActKey::envelope(&row.pec_id);
    let Some(mut act) = rim.read::<ActRow>(&envelope.row()).await? else { return Ok(()) };
    let address = &row.recipient.address;
    if act.value.inward().is_some_and(|recipients| recipients.contains(address))
        && act.value.issued.is_some()
        && let Some(debt) = act.debt.clone()
    {
        act.value.taken_off.push(address.clone());
        let mut all = act.value.inward().into_iter().flatten();
        let is_done = all.all(|r| act.value.taken_off.contains(r));
        let debt = (!is_done).then_some(debt);
        draft.replace(act.version, &act.value, debt)?;
        return Ok(());
    }
    let Next::Send { parcels, .. } = &act.value.next else { return Ok(()) };
    let Some(parcel) = parcels.iter().find(|p| p.recipients.contains(address)) else { return Ok(()) };
    let key = DispatchRow::key_of(&act.value.key, &parcel.destination);
    let Some(mut found) = rim.read::<DispatchRow>(&key).await? else { return Ok(()) };
    if !found.value.done && dispatch::cancel(&mut found.value, address) {
        let debt = found.debt.clone().filter(|_| !found.value.done);
        draft.replace(found.version, &found.value, debt)?;
    }
    Ok(())
}

/// How far the spool was found handled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Floor {
    door: Door,
    /// The last key of the spool below which everything is handled.
    key: String,
}
impl Floor {
    fn key_of(door: Door) -> RowKey {
        RowKey { table: Table::Letters, pk: format!("sweep#{}", door.name()), sk: "floor".to_owned() }
    }
}
impl Body for Floor {
    const TABLE: Table = Table::Letters;
    fn key(&self) -> RowKey {
        Self::key_of(self.door)
    }
}

/// Keys of the spool are in order of time: from where everything is handled to where everything is young.
async fn sweep_door(rim: &Rim, door: Door, now: Instant, age_s: i64) -> Result<usize, StageError> {
    let floor: Option<Found<Floor>> = rim.read(&Floor::key_of(door)).await?;
    let mut after = floor.as_ref().map(|f| BlobKey::listed(f.value.key.clone()));
    let mut handled: Option<String> = None;
    let mut unbroken = true;
    let mut sent = 0;
    loop {
        let keys = rim.blobs.list(&BlobKey::spool_prefix(door), after.as_ref(), SPOOL_PAGE).await?;
        let Some(last) = keys.last().cloned() else { break };
        let tickets: Vec<(SpoolId, BlobKey)> =
            keys.into_iter().filter_map(|key| Some((ticket_of(door, &key)?, key))).collect();
        let (old, young) =
            tickets.split_at(tickets.partition_point(|(spool, _)| spool.unix_s() <= now.unix_s() - age_s));
        let rows: Vec<RowKey> = old.iter().map(|(spool, _)| SpoolRow::key_of(spool)).collect();
        let mut jobs = Vec::new();
        for ((spool, key), row) in old.iter().zip(rim.facts.get_many(&rows).await?) {
            if row.is_none() {
                unbroken = false;
                jobs.push(match door {
                    Door::Submission => Job::Accept { spool: spool.clone() },
                    Door::Incoming => Job::Receive { spool: spool.clone() },
                });
            } else if unbroken && spool.unix_s() <= now.unix_s() - SPOOL_SETTLED_S {
                handled = Some(key.as_str().to_owned());
            }
        }
        sent += jobs.len();
        send(rim, jobs).await;
        if !young.is_empty() {
            break;
        }
        after = Some(last);
    }
    if let Some(key) = handled {
        raise(rim, floor, Floor { door, key }).await?;
    }
    Ok(sent)
}

/// Remembers how far it got. Another sweep that was faster remembers for both.
async fn raise(rim: &Rim, was: Option<Found<Floor>>, floor: Floor) -> Result<(), StageError> {
    let mut draft = Draft::new();
    match was {
        None => draft.insert(&floor, None)?,
        Some(was) => draft.replace(was.version, &floor, None)?,
    }
    match rim.commit(draft).await {
        Err(StageError::Raced) => Ok(()),
        other => other,
    }
}

fn ticket_of(door: Door, key: &BlobKey) -> Option<SpoolId> {
    let name = key.as_str().strip_prefix(&BlobKey::spool_prefix(door))?;
    SpoolId::parse(name.strip_suffix(".json")?)
}

/// How long a hint of a debt of this age is waited for.
const fn patience_s(age_s: i64) -> i64 {
    match age_s {
        ..900 => 300,
        900..ALARM_AFTER_S => 900,
        ALARM_AFTER_S.. => 3600,
    }
}

/// The kind of a row: its key may hold an address, which belongs in no log of ours.
fn kind(key: &RowKey) -> &str {
    key.sk.split('#').next().unwrap_or_default()
}

async fn send(rim: &Rim, jobs: Vec<Job>) {
    if jobs.is_empty() {
        return;
    }
    if let Err(error) = rim.queue.send(jobs.into_iter().map(Into::into).collect()).await {
        tracing::warn!(error = %error, "hints were not sent, they are due again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debt_is_hinted_less_and_less_often() {
        assert_eq!([0, 899, 900, 3599, 3600, 90_000].map(patience_s), [300, 300, 900, 900, 3600, 3600]);
    }

    #[test]
    fn only_tickets_are_swept() {
        let id = SpoolId::new(Instant::from_unix_s(1_800_000_000), None, 7);
        assert_eq!(ticket_of(Door::Incoming, &BlobKey::spool_ticket(Door::Incoming, &id)), Some(id.clone()));
        assert_eq!(ticket_of(Door::Incoming, &BlobKey::spool_message(Door::Incoming, &id)), None);
        assert_eq!(ticket_of(Door::Submission, &BlobKey::spool_ticket(Door::Incoming, &id)), None);
        assert_eq!(id.unix_s(), 1_800_000_000);
    }
}
