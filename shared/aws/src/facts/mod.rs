//! [`Facts`] on DynamoDB: a commit is one TransactWriteItems.
//!
//! Every commit carries a token of its own, so that the SDK may repeat a request whose answer was lost: DynamoDB
//! answers the repetition as it answered the first (for ten minutes). Reads of rows and of the log are strongly
//! consistent; reads by an index are completed from the table.

mod days;
pub(crate) mod item;
mod json;
pub mod remembered;
pub mod schema;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::{SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::{RequestId, transact_write_items::TransactWriteItemsError, update_item::UpdateItemError},
    types::{ConditionCheck, Delete, KeysAndAttributes, Put, TransactWriteItem},
};
use futures_util::future::try_join_all;
use machine::RandomIds;
use pec::Instant;
use stages::{
    log::LogEntry,
    ports::{Commit, Committed, Facts, FactsError, Ids as _, Page, RowKey, StoredRow, Table, Write},
};

pub use item::{day, sender_month};
pub(crate) use json::Item;

use self::{
    item::{key, n, s},
    schema::{DUE, DUE_INDEX, DUE_SHARD, DUE_SHARDS, LOOKUP_INDEX, LOOKUP_PK, LOOKUP_SK, PK, SK, VERSION},
};
use crate::{clients::tell, config::Tables};

/// Octets of one body at most.
const BODY_BYTES_MAX: usize = 350 * 1024;
/// Octets of the keys that a row may have.
const PK_BYTES_MAX: usize = 1024;
const SK_BYTES_MAX: usize = 512;
/// Keys of one BatchGetItem.
const BATCH_MAX: usize = 100;
/// Rounds of a BatchGetItem that answers in parts.
const ROUNDS_MAX: usize = 20;

const TABLES: [Table; 3] = [Table::Letters, Table::Mailboxes, Table::Registry];

/// The tables on DynamoDB.
#[derive(Debug)]
pub struct DynamoFacts {
    client: Client,
    tables: Tables,
    order: item::Order,
    tokens: RandomIds,
}

impl DynamoFacts {
    /// On these tables.
    #[must_use]
    pub fn new(client: Client, tables: Tables) -> Self {
        Self { client, tables, order: item::Order::default(), tokens: RandomIds::new() }
    }

    fn name(&self, table: Table) -> &str {
        self.tables.rows(table)
    }

    /// The rows behind keys that an index gave, as they are now; what is gone is left out.
    async fn rows(&self, keys: Vec<RowKey>) -> Result<Vec<StoredRow>, FactsError> {
        let batches = keys.chunks(BATCH_MAX).map(|keys| self.batch(keys));
        Ok(try_join_all(batches).await?.concat())
    }

    async fn batch(&self, keys: &[RowKey]) -> Result<Vec<StoredRow>, FactsError> {
        let mut wanted = HashMap::new();
        for table in TABLES {
            let keys: Vec<Item> =
                keys.iter().filter(|k| k.table == table).map(|k| key(&k.pk, &k.sk)).collect();
            if !keys.is_empty() {
                let keys = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
                wanted.insert(self.name(table).to_owned(), keys.map_err(mistake)?);
            }
        }
        let mut rows = Vec::new();
        for _ in 0..ROUNDS_MAX {
            if wanted.is_empty() {
                return Ok(rows);
            }
            let request = self.client.batch_get_item().set_request_items(Some(wanted));
            let answer = request.send().await.map_err(|e| failed(&e))?;
            let found = answer.responses.unwrap_or_default();
            for table in TABLES {
                for item in found.get(self.name(table)).into_iter().flatten() {
                    rows.push(item::stored(table, item)?);
                }
            }
            wanted = answer.unprocessed_keys.unwrap_or_default();
        }
        Err(FactsError::Unavailable("a batch of rows that does not end".to_owned()))
    }

    /// Keys in one shard of the index `due`, oldest due first, with their due.
    async fn due_keys(
        &self,
        table: Table,
        shard: u8,
        now: Instant,
        limit: usize,
    ) -> Result<Vec<(String, RowKey)>, FactsError> {
        let mut pages = self
            .client
            .query()
            .table_name(self.name(table))
            .index_name(DUE_INDEX)
            .key_condition_expression("#shard = :shard AND #due <= :now")
            .expression_attribute_names("#shard", DUE_SHARD)
            .expression_attribute_names("#due", DUE)
            .expression_attribute_values(":shard", s(shard.to_string()))
            .expression_attribute_values(":now", s(now.to_string()))
            .limit(page_size(limit))
            .into_paginator()
            .items()
            .send();
        let mut keys = Vec::new();
        while keys.len() < limit {
            let Some(item) = pages.next().await else { break };
            let item = item.map_err(|e| failed(&e))?;
            let due = item::text(&item, DUE).unwrap_or_default().to_owned();
            keys.push((due, item::row_key(table, &item)?));
        }
        Ok(keys)
    }
}

#[async_trait]
impl Facts for DynamoFacts {
    async fn commit(&self, commit: Commit) -> Result<Committed, FactsError> {
        // 1. What DynamoDB would refuse, and a little earlier.
        fits(&commit)?;

        // 2. Rows with their conditions, entries with theirs, in one transaction under one token.
        let mut items = Vec::with_capacity(commit.writes.len() + commit.entries.len());
        for write in &commit.writes {
            items.push(self.write(write)?);
        }
        let at_us = self.order.next(now_us());
        for (index, entry) in commit.entries.iter().enumerate() {
            items.push(self.append(entry, &item::place(at_us, index))?);
        }
        if items.is_empty() {
            return Ok(Committed::Now);
        }
        let token = format!("{:032x}", self.tokens.fresh());
        let request =
            self.client.transact_write_items().set_transact_items(Some(items)).client_request_token(token);

        // 3. A condition that failed is an answer; all else is not.
        match request.send().await {
            Ok(_) => Ok(Committed::Now),
            Err(error) if error.as_service_error().is_some_and(is_lost) => Ok(Committed::Lost),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn get(&self, key: &RowKey) -> Result<Option<StoredRow>, FactsError> {
        let request = self
            .client
            .get_item()
            .table_name(self.name(key.table))
            .set_key(Some(item::key(&key.pk, &key.sk)))
            .consistent_read(true);
        let answer = request.send().await.map_err(|e| failed(&e))?;
        answer.item.map(|item| item::stored(key.table, &item)).transpose()
    }

    async fn get_many(&self, keys: &[RowKey]) -> Result<Vec<Option<StoredRow>>, FactsError> {
        if let [key] = keys {
            return Ok(vec![self.get(key).await?]);
        }
        // A batch takes each key once.
        let once: BTreeSet<&RowKey> = keys.iter().collect();
        let found = self.rows(once.into_iter().cloned().collect()).await?;
        let found: HashMap<RowKey, StoredRow> = found.into_iter().map(|r| (r.row.key.clone(), r)).collect();
        Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
    }

    fn is_far(&self) -> bool {
        true
    }

    async fn query(
        &self,
        table: Table,
        pk: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, FactsError> {
        // The service takes a place to start from only inside of what is asked for.
        let start = match after {
            Some(after) if after.starts_with(prefix) && !after.is_empty() => Some(key(pk, after)),
            Some(after) if after > prefix => return Ok(Page::default()),
            _ => None,
        };
        let mut request = self
            .client
            .query()
            .table_name(self.name(table))
            .consistent_read(true)
            .expression_attribute_names("#pk", PK)
            .expression_attribute_values(":pk", s(pk))
            .set_exclusive_start_key(start)
            .limit(page_size(limit));
        request = if prefix.is_empty() {
            request.key_condition_expression("#pk = :pk")
        } else {
            request
                .key_condition_expression("#pk = :pk AND begins_with(#sk, :prefix)")
                .expression_attribute_names("#sk", SK)
                .expression_attribute_values(":prefix", s(prefix))
        };
        let answer = request.send().await.map_err(|e| failed(&e))?;
        let next = answer.last_evaluated_key().and_then(|last| item::text(last, SK)).map(str::to_owned);
        let rows = answer.items().iter().map(|item| item::stored(table, item)).collect::<Result<_, _>>()?;
        Ok(Page { rows, next })
    }

    async fn lookup(
        &self,
        table: Table,
        pk: &str,
        from: &str,
        limit: usize,
    ) -> Result<Vec<StoredRow>, FactsError> {
        // 1. Keys by the index.
        let mut request = self
            .client
            .query()
            .table_name(self.name(table))
            .index_name(LOOKUP_INDEX)
            .expression_attribute_names("#pk", LOOKUP_PK)
            .expression_attribute_values(":pk", s(pk))
            .limit(page_size(limit));
        request = if from.is_empty() {
            request.key_condition_expression("#pk = :pk")
        } else {
            request
                .key_condition_expression("#pk = :pk AND #sk >= :from")
                .expression_attribute_names("#sk", LOOKUP_SK)
                .expression_attribute_values(":from", s(from))
        };
        let mut items = request.into_paginator().items().send();
        let mut keys = Vec::new();
        while keys.len() < limit {
            let Some(item) = items.next().await else { break };
            keys.push(item::row_key(table, &item.map_err(|e| failed(&e))?)?);
        }

        // 2. Rows from the table: those that are still there and still found so.
        let mut rows = self.rows(keys).await?;
        rows.retain(|r| r.row.lookup.as_ref().is_some_and(|l| l.pk == pk && l.sk.as_str() >= from));
        rows.sort_by(|a, b| place_of(a).cmp(&place_of(b)));
        Ok(rows)
    }

    async fn due(&self, now: Instant, limit: usize) -> Result<Vec<StoredRow>, FactsError> {
        // 1. Keys by the index, of all shards of all tables; the oldest of them.
        let shards = TABLES.into_iter().flat_map(|table| (0..DUE_SHARDS).map(move |shard| (table, shard)));
        let mut keys = try_join_all(shards.map(|(table, shard)| self.due_keys(table, shard, now, limit)))
            .await?
            .concat();
        keys.sort_unstable();
        keys.truncate(limit);

        // 2. Rows from the table: those that still owe.
        let mut rows = self.rows(keys.into_iter().map(|(_, key)| key).collect()).await?;
        rows.retain(|r| r.row.debt.as_ref().is_some_and(|d| d.due <= now));
        rows.sort_by_cached_key(|r| (r.row.debt.as_ref().map(|d| d.due), r.row.key.clone()));
        Ok(rows)
    }

    async fn postpone(
        &self,
        key: &RowKey,
        version: u64,
        from: Instant,
        to: Instant,
    ) -> Result<bool, FactsError> {
        let request = self
            .client
            .update_item()
            .table_name(self.name(key.table))
            .set_key(Some(item::key(&key.pk, &key.sk)))
            .update_expression("SET #due = :to")
            .condition_expression("#version = :version AND #due = :from")
            .expression_attribute_names("#due", DUE)
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":version", n(version))
            .expression_attribute_values(":from", s(from.to_string()))
            .expression_attribute_values(":to", s(to.to_string()));
        match request.send().await {
            Ok(_) => Ok(true),
            // Also when it was moved by an attempt whose answer was lost: then the hint waits until the new due.
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Ok(false)
            }
            Err(error) => Err(failed(&error)),
        }
    }

    async fn log(&self, pec_id: &str) -> Result<Vec<LogEntry>, FactsError> {
        let mut items = self
            .client
            .query()
            .table_name(&self.tables.log)
            .consistent_read(true)
            .key_condition_expression("#pk = :pk")
            .expression_attribute_names("#pk", PK)
            .expression_attribute_values(":pk", s(pec_id))
            .into_paginator()
            .items()
            .send();
        let mut entries = Vec::new();
        while let Some(item) = items.next().await {
            entries.push(item::logged(item.map_err(|e| failed(&e))?)?);
        }
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(entries.into_iter().map(|(_, entry)| entry).collect())
    }
}

/// The condition of an insertion: there is no such item.
macro_rules! absent {
    ($builder:expr) => {
        $builder.condition_expression("attribute_not_exists(#pk)").expression_attribute_names("#pk", PK)
    };
}

/// The condition of a change: the item is in this version.
macro_rules! unchanged {
    ($builder:expr, $was:expr) => {
        $builder
            .condition_expression("#version = :was")
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":was", n($was))
    };
}

impl DynamoFacts {
    fn write(&self, write: &Write) -> Result<TransactWriteItem, FactsError> {
        let table = self.name(write.key().table);
        let at = || key(&write.key().pk, &write.key().sk);
        let item = TransactWriteItem::builder();
        Ok(match write {
            Write::Insert(row) => {
                let put = Put::builder().table_name(table).set_item(Some(item::row(row, 1)?));
                item.put(absent!(put).build().map_err(mistake)?)
            }
            Write::Replace { row, was } => {
                let put =
                    Put::builder().table_name(table).set_item(Some(item::row(row, was.saturating_add(1))?));
                item.put(unchanged!(put, *was).build().map_err(mistake)?)
            }
            Write::Delete { was, .. } => {
                let delete = Delete::builder().table_name(table).set_key(Some(at()));
                item.delete(unchanged!(delete, *was).build().map_err(mistake)?)
            }
            Write::Check { was, .. } => {
                let check = ConditionCheck::builder().table_name(table).set_key(Some(at()));
                item.condition_check(unchanged!(check, *was).build().map_err(mistake)?)
            }
        }
        .build())
    }

    fn append(&self, entry: &LogEntry, place: &str) -> Result<TransactWriteItem, FactsError> {
        let put = Put::builder().table_name(&self.tables.log).set_item(Some(item::entry(entry, place)?));
        Ok(TransactWriteItem::builder().put(absent!(put).build().map_err(mistake)?).build())
    }
}

/// What a commit may be. DynamoDB has the same limits or wider ones; two stores refuse alike.
fn fits(commit: &Commit) -> Result<(), FactsError> {
    let too_large = |what: String| Err(FactsError::TooLarge(what));
    let items = commit.writes.len() + commit.entries.len();
    if items > Commit::ITEMS_MAX {
        return too_large(format!("{items} items, {} fit", Commit::ITEMS_MAX));
    }
    let mut bytes = 0;
    let mut keys = HashSet::new();
    for write in &commit.writes {
        let key = write.key();
        if key.pk.is_empty()
            || key.pk.len() > PK_BYTES_MAX
            || key.sk.is_empty()
            || key.sk.len() > SK_BYTES_MAX
        {
            return too_large(format!("a key of {} and {} octets", key.pk.len(), key.sk.len()));
        }
        if let Write::Insert(row) | Write::Replace { row, .. } = write {
            if row.body.len() > BODY_BYTES_MAX {
                return too_large(format!("a body of {} octets", row.body.len()));
            }
            bytes += row.body.len();
        }
        if !keys.insert(key) {
            return too_large("a key that occurs twice".to_owned());
        }
    }
    if bytes > Commit::BYTES_MAX {
        return too_large(format!("{bytes} octets of bodies, {} fit", Commit::BYTES_MAX));
    }
    let entries: BTreeSet<_> = commit.entries.iter().map(|e| (&e.pec_id, e.sk())).collect();
    if entries.len() != commit.entries.len() {
        return too_large("a log entry that occurs twice".to_owned());
    }
    Ok(())
}

/// A condition did not hold, whatever else happened at the same time: nothing was written.
fn is_lost(error: &TransactWriteItemsError) -> bool {
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else { return false };
    cancelled.cancellation_reasons().iter().any(|reason| reason.code() == Some("ConditionalCheckFailed"))
}

fn place_of(stored: &StoredRow) -> (Option<&str>, &RowKey) {
    (stored.row.lookup.as_ref().map(|l| l.sk.as_str()), &stored.row.key)
}

fn page_size(limit: usize) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX).max(1)
}

fn now_us() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}

fn failed<E, R>(error: &SdkError<E, R>) -> FactsError
where
    E: ProvideErrorMetadata,
    SdkError<E, R>: RequestId,
{
    match error.as_service_error().and_then(ProvideErrorMetadata::code) {
        Some("ValidationException" | "ItemCollectionSizeLimitExceededException") => {
            FactsError::TooLarge(tell(error))
        }
        _ => FactsError::Unavailable(tell(error)),
    }
}

fn mistake(error: aws_sdk_dynamodb::error::BuildError) -> FactsError {
    FactsError::TooLarge(error.to_string())
}
