//! Rows and log entries as items of DynamoDB.

use std::sync::atomic::{AtomicI64, Ordering};

use aws_sdk_dynamodb::types::AttributeValue;
use pec::Instant;
use serde_json::Value;
use stages::{
    Job,
    log::{Event, LogEntry, OWN},
    ports::{Debt, FactsError, Lookup, Row, RowKey, StoredRow, Table},
};

use super::{
    json::{self, Item},
    schema::{
        AT, BODY, BODY_TEXT, CLIENT_SHA256, COMMITTED, DAY, DAY_SHARDS, DUE, DUE_SHARD, DUE_SHARDS, JOB,
        LOOKUP_PK, LOOKUP_SK, OWED_SINCE, PK, SENDER_MONTH, SENDER_SHARDS, SK, VERSION, shard,
    },
};

/// Octets of a sender that are indexed; a longer one is no address.
const SENDER_BYTES_MAX: usize = 512;

/// A text.
pub(crate) fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// A version.
pub(super) fn n(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// The attributes of a key.
pub(super) fn key(pk: &str, sk: &str) -> Item {
    Item::from([(PK.to_owned(), s(pk)), (SK.to_owned(), s(sk))])
}

/// A row in a version.
pub(super) fn row(row: &Row, version: u64) -> Result<Item, FactsError> {
    let mut item = key(&row.key.pk, &row.key.sk);
    let mut set = |name: &str, value: AttributeValue| item.insert(name.to_owned(), value);
    set(VERSION, n(version));
    match json::to_map(&row.body) {
        Some(map) => set(BODY, AttributeValue::M(map)),
        None => set(BODY_TEXT, s(&*row.body)),
    };
    if let Some(debt) = &row.debt {
        let job = debt.job.brief(&row.key).map_err(|e| FactsError::Damaged(e.to_string()))?;
        set(JOB, s(job));
        set(OWED_SINCE, s(debt.owed_since.to_string()));
        set(DUE, s(debt.due.to_string()));
        set(DUE_SHARD, s(shard(&row.key.pk, DUE_SHARDS).to_string()));
    }
    if let Some(lookup) = &row.lookup {
        set(LOOKUP_PK, s(&*lookup.pk));
        set(LOOKUP_SK, s(&*lookup.sk));
    }
    Ok(item)
}

/// A row as it was read.
pub(crate) fn stored(table: Table, item: &Item) -> Result<StoredRow, FactsError> {
    let key = row_key(table, item)?;
    let damaged = |what: &str| FactsError::Damaged(format!("{}: {what}", key.sk));
    let body = match (item.get(BODY), item.get(BODY_TEXT)) {
        (Some(AttributeValue::M(map)), _) => json::from_map(map).map(|m| Value::Object(m).to_string()),
        (_, Some(AttributeValue::S(text))) => Some(text.clone()),
        _ => None,
    };
    let body = body.ok_or_else(|| damaged("no body"))?;
    let version = item.get(VERSION).and_then(|v| v.as_n().ok()).and_then(|v| v.parse().ok());
    let version = version.ok_or_else(|| damaged("no version"))?;
    let debt = debt(&key, item).map_err(damaged)?;
    let lookup = match (text(item, LOOKUP_PK), text(item, LOOKUP_SK)) {
        (Some(pk), Some(sk)) => Some(Lookup { pk: pk.to_owned(), sk: sk.to_owned() }),
        _ => None,
    };
    Ok(StoredRow { row: Row { key, body, debt, lookup }, version })
}

/// The key of an item.
pub(super) fn row_key(table: Table, item: &Item) -> Result<RowKey, FactsError> {
    match (text(item, PK), text(item, SK)) {
        (Some(pk), Some(sk)) => Ok(RowKey { table, pk: pk.to_owned(), sk: sk.to_owned() }),
        _ => Err(FactsError::Damaged("a row without a key".to_owned())),
    }
}

fn debt(key: &RowKey, item: &Item) -> Result<Option<Debt>, &'static str> {
    let Some(job) = text(item, JOB) else { return Ok(None) };
    let job = Job::from_brief(key, job).map_err(|_| "a job that is not understood")?;
    let instant =
        |name| text(item, name).and_then(|t| Instant::parse(t).ok()).ok_or("a debt without its instants");
    Ok(Some(Debt { job, owed_since: instant(OWED_SINCE)?, due: instant(DUE)? }))
}

pub(super) fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

/// An entry of the log, at its place in the order of commits.
pub(super) fn entry(entry: &LogEntry, committed: &str) -> Result<Item, FactsError> {
    let unfit = || FactsError::TooLarge("a log entry that is no flat object".to_owned());
    let Ok(Value::Object(fields)) = serde_json::to_value(entry) else { return Err(unfit()) };
    let mut item = key(&entry.pec_id, &entry.sk());
    for (name, value) in fields.into_iter().filter(|(name, value)| name != "pec_id" && !value.is_null()) {
        item.insert(name, json::to_attribute(&value, 1).ok_or_else(unfit)?);
    }
    let mut set = |name: &str, value: String| item.insert(name.to_owned(), AttributeValue::S(value));
    set(COMMITTED, committed.to_owned());
    if begins(entry) {
        set(SENDER_MONTH, sender_month(&entry.sender, entry.at, shard(&entry.pec_id, SENDER_SHARDS)));
        set(DAY, day(entry.at, shard(&entry.pec_id, DAY_SHARDS)));
        if let Some(client) = &entry.client_id {
            set(CLIENT_SHA256, stages::ids::sha256_hex(client.as_bytes()));
        }
    }
    Ok(item)
}

/// Whether an event is the first that is known of something: these are found by the log's indexes, and the others with
/// them, by the PEC id. Each place in an index costs as much as half an entry. What we received of ourselves began with
/// its acceptance.
fn begins(entry: &LogEntry) -> bool {
    match entry.event {
        Event::Accepted | Event::Refused | Event::OrdinaryRefused => true,
        Event::Received => entry.detail.get("via").is_none_or(|via| via != OWN),
        _ => false,
    }
}

/// A partition of the index `by-sender`.
#[must_use]
pub fn sender_month(sender: &str, at: Instant, shard: u8) -> String {
    let sender = sender.to_lowercase();
    let end =
        (0..=SENDER_BYTES_MAX.min(sender.len())).rev().find(|i| sender.is_char_boundary(*i)).unwrap_or(0);
    format!("{}#{}#{shard}", sender.get(..end).unwrap_or_default(), at.month())
}

/// A partition of the index `by-day`.
#[must_use]
pub fn day(at: Instant, shard: u8) -> String {
    format!("{}#{shard:02}", at.day())
}

/// An entry as it was read, with its place.
pub(super) fn logged(mut item: Item) -> Result<(String, LogEntry), FactsError> {
    let damaged = |what: &str| FactsError::Damaged(format!("a log entry: {what}"));
    let committed = text(&item, COMMITTED).ok_or_else(|| damaged("without its place"))?.to_owned();
    let pec_id = item.remove(PK).ok_or_else(|| damaged("without its id"))?;
    for ours in NOT_OF_ENTRIES {
        item.remove(ours);
    }
    debug_assert!(item.contains_key(AT), "the index's order is a field of the entry");
    item.insert("pec_id".to_owned(), pec_id);
    let fields = json::from_map(&item).ok_or_else(|| damaged("a field of an odd type"))?;
    let entry = serde_json::from_value(Value::Object(fields)).map_err(|e| damaged(&e.to_string()))?;
    Ok((committed, entry))
}

/// Attributes of an item of the log, beside its `pk`, that are no fields of the entry.
const NOT_OF_ENTRIES: [&str; 5] = [SK, COMMITTED, SENDER_MONTH, DAY, CLIENT_SHA256];

/// Leaves of an item, as JSON without its `pk`, what is a field of the entry.
pub(crate) fn fields_of_entry(fields: &mut serde_json::Map<String, Value>) {
    fields.retain(|name, _| !NOT_OF_ENTRIES.contains(&name.as_str()));
}

/// The order of commits: the clock of whoever commits, in microseconds, never twice the same in one process. Commits
/// that depend on one another are a queue or a request apart, which is more than clocks of functions differ.
#[derive(Debug, Default)]
pub(super) struct Order(AtomicI64);

impl Order {
    /// A place after all that this process gave before, `now_us` microseconds after 1970 or later.
    pub(super) fn next(&self, now_us: i64) -> i64 {
        let mut last = self.0.load(Ordering::Relaxed);
        loop {
            let next = now_us.max(last.saturating_add(1));
            match self.0.compare_exchange_weak(last, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return next,
                Err(other) => last = other,
            }
        }
    }
}

/// A place in words, e.g. `2026-03-02T08:00:00.000123Z#004`: the fifth entry of that commit.
pub(super) fn place(commit_us: i64, index: usize) -> String {
    let second = Instant::from_unix_s(commit_us.div_euclid(1_000_000)).to_string();
    let second = second.strip_suffix('Z').unwrap_or(&second);
    format!("{second}.{:06}Z#{index:03}", commit_us.rem_euclid(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_ordered_as_their_commits() {
        let order = Order::default();
        let all = [order.next(1_772_438_400_999_999), order.next(5), order.next(1_772_438_401_000_000)];
        let places: Vec<String> = all.iter().flat_map(|c| [place(*c, 0), place(*c, 99)]).collect();
        assert_eq!(places[0], "2026-03-02T08:00:00.999999Z#000");
        assert!(places.is_sorted_by(|a, b| a < b), "{places:?}");
    }

    #[test]
    fn a_sender_that_is_no_address_is_cut_where_a_character_ends() {
        let at = Instant::from_unix_s(1_772_438_400);
        assert_eq!(sender_month("Mittente@PEC.Alfa.Example", at, 3), "mittente@pec.alfa.example#2026-03#3");
        assert_eq!(sender_month("", at, 0), "#2026-03#0");
        let long = sender_month(&format!("a{}", "è".repeat(600)), at, 0);
        assert_eq!(long.len(), 511 + "#2026-03#0".len());
    }
}
