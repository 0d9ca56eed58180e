//! The reads, each over one connection.

use pec::Instant;
use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};
use stages::{
    Job,
    log::LogEntry,
    ports::{Debt, FactsError, Lookup, Page, Row, RowKey, StoredRow, Table},
};

use super::{
    partitions::{LOG, table_number},
    unavailable,
};

/// A row after its key, as [`stored`] reads it.
const COLUMNS: &str = "version, body, debt_job, owed_since, due, lookup_pk, lookup_sk";

/// Rows with their keys, as [`whole`] reads them.
const WHOLE: &str = "SELECT tab, pk, sk, version, body, debt_job, owed_since, due, lookup_pk, lookup_sk
                     FROM rows JOIN partitions ON partitions.id = rows.partition";

/// The partition of the first two parameters.
const PARTITION: &str = "(SELECT id FROM partitions WHERE tab = ?1 AND pk = ?2)";

pub(super) fn get(db: &Connection, key: &RowKey) -> Result<Option<StoredRow>, FactsError> {
    let sql = format!("SELECT {COLUMNS} FROM rows WHERE partition = {PARTITION} AND sk = ?3");
    let mut statement = db.prepare_cached(&sql).map_err(unavailable)?;
    statement
        .query_row(params![table_number(key.table), key.pk, key.sk], |r| Ok(stored(key.clone(), r, 0)))
        .optional()
        .map_err(unavailable)?
        .transpose()
}

pub(super) fn query(
    db: &Connection,
    table: Table,
    pk: &str,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Page, FactsError> {
    // One lower bound, so that the index is entered where the page begins.
    let (bound, lower) = match after {
        Some(after) if after >= prefix => (">", after),
        _ => (">=", prefix),
    };
    let sql = format!(
        "SELECT sk, {COLUMNS} FROM rows WHERE partition = {PARTITION} AND sk {bound} ?3 ORDER BY sk LIMIT ?4"
    );
    let mut statement = db.prepare_cached(&sql).map_err(unavailable)?;
    // One more than asked tells whether to go on.
    let mut found = statement
        .query(params![table_number(table), pk, lower, as_limit(limit.saturating_add(1))])
        .map_err(unavailable)?;
    let mut page = Page::default();
    while let Some(r) = found.next().map_err(unavailable)? {
        let key = RowKey { table, pk: pk.to_owned(), sk: r.get(0).map_err(damaged)? };
        let row = stored(key, r, 1)?;
        if !row.row.key.sk.starts_with(prefix) {
            break;
        }
        if page.rows.len() == limit {
            page.next = page.rows.last().map(|r| r.row.key.sk.clone());
            break;
        }
        page.rows.push(row);
    }
    Ok(page)
}

pub(super) fn lookup(
    db: &Connection,
    table: Table,
    pk: &str,
    from: &str,
    limit: usize,
) -> Result<Vec<StoredRow>, FactsError> {
    let sql = format!(
        "{WHOLE} WHERE lookup_tab = ?1 AND lookup_pk = ?2 AND lookup_sk >= ?3 ORDER BY lookup_sk LIMIT ?4"
    );
    rows(db, &sql, params![table_number(table), pk, from, as_limit(limit)])
}

pub(super) fn due(db: &Connection, now: Instant, limit: usize) -> Result<Vec<StoredRow>, FactsError> {
    let sql = format!("{WHOLE} WHERE due <= ?1 ORDER BY due LIMIT ?2");
    rows(db, &sql, params![now.unix_s(), as_limit(limit)])
}

pub(super) fn log(db: &Connection, pec_id: &str, limit: usize) -> Result<Vec<LogEntry>, FactsError> {
    let sql = format!("SELECT body FROM log WHERE partition = {PARTITION} ORDER BY seq LIMIT ?3");
    let mut statement = db.prepare_cached(&sql).map_err(unavailable)?;
    let mut found = statement.query(params![LOG, pec_id, as_limit(limit)]).map_err(unavailable)?;
    let mut entries = Vec::new();
    while let Some(r) = found.next().map_err(unavailable)? {
        let body = r.get_ref(0).map_err(unavailable)?.as_str().map_err(damaged)?;
        entries.push(serde_json::from_str(body).map_err(damaged)?);
    }
    Ok(entries)
}

/// Entries in the order of commit, after a place in it.
pub(super) fn log_after(
    db: &Connection,
    place: u64,
    limit: usize,
) -> Result<Vec<(u64, LogEntry)>, FactsError> {
    let place = i64::try_from(place).unwrap_or(i64::MAX);
    let mut statement =
        db.prepare("SELECT seq, body FROM log WHERE seq > ?1 ORDER BY seq LIMIT ?2").map_err(unavailable)?;
    let mut found = statement.query(params![place, as_limit(limit)]).map_err(unavailable)?;
    let mut entries = Vec::new();
    while let Some(r) = found.next().map_err(unavailable)? {
        let place = r.get::<_, i64>(0).map_err(unavailable)?.cast_unsigned();
        let body = r.get_ref(1).map_err(unavailable)?.as_str().map_err(damaged)?;
        entries.push((place, serde_json::from_str(body).map_err(damaged)?));
    }
    Ok(entries)
}

/// The place of the last entry.
pub(super) fn log_end(db: &Connection) -> Result<u64, FactsError> {
    let end = db.query_row("SELECT coalesce(max(seq), 0) FROM log", [], |r| r.get::<_, i64>(0));
    Ok(end.map_err(unavailable)?.cast_unsigned())
}

/// Events of the service levels. The log has no index by time: all of it is passed, and parsed where it counts.
pub(super) fn log_between(
    db: &Connection,
    from: Instant,
    to: Instant,
    mut take: impl FnMut(LogEntry),
) -> Result<(), FactsError> {
    const EVENTS: &str = "SELECT body FROM log WHERE at >= ?1 AND at < ?2 AND (sk GLOB 'origin#accepted#*'
        OR sk GLOB 'origin#refused#*' OR sk GLOB 'origin#filed#*' OR sk GLOB 'destination#delivered#*')
        ORDER BY seq";
    let mut statement = db.prepare(EVENTS).map_err(unavailable)?;
    let mut found = statement.query(params![from.unix_s(), to.unix_s()]).map_err(unavailable)?;
    while let Some(r) = found.next().map_err(unavailable)? {
        let body = r.get_ref(0).map_err(unavailable)?.as_str().map_err(damaged)?;
        take(serde_json::from_str(body).map_err(damaged)?);
    }
    Ok(())
}

fn rows(db: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<Vec<StoredRow>, FactsError> {
    let mut statement = db.prepare_cached(sql).map_err(unavailable)?;
    let mut found = statement.query(params).map_err(unavailable)?;
    let mut rows = Vec::new();
    while let Some(r) = found.next().map_err(unavailable)? {
        rows.push(whole(r)?);
    }
    Ok(rows)
}

/// A row of [`WHOLE`].
fn whole(r: &SqlRow<'_>) -> Result<StoredRow, FactsError> {
    let table = match r.get(0).map_err(damaged)? {
        0_i64 => Table::Letters,
        1 => Table::Mailboxes,
        2 => Table::Registry,
        other => return Err(FactsError::Damaged(format!("a row of table {other}"))),
    };
    let key = RowKey { table, pk: r.get(1).map_err(damaged)?, sk: r.get(2).map_err(damaged)? };
    stored(key, r, 3)
}

/// The columns after the key, the first of them at `at`.
fn stored(key: RowKey, r: &SqlRow<'_>, at: usize) -> Result<StoredRow, FactsError> {
    let debt = match r.get_ref(at + 2).map_err(damaged)?.as_str_or_null().map_err(damaged)? {
        None => None,
        Some(text) => Some(Debt {
            job: Job::from_brief(&key, text).map_err(damaged)?,
            owed_since: Instant::from_unix_s(r.get(at + 3).map_err(damaged)?),
            due: Instant::from_unix_s(r.get(at + 4).map_err(damaged)?),
        }),
    };
    let lookup = match (r.get(at + 5).map_err(damaged)?, r.get(at + 6).map_err(damaged)?) {
        (Some(pk), Some(sk)) => Some(Lookup { pk, sk }),
        _ => None,
    };
    let version = r.get::<_, i64>(at).map_err(damaged)?.cast_unsigned();
    Ok(StoredRow { row: Row { key, body: r.get(at + 1).map_err(damaged)?, debt, lookup }, version })
}

fn damaged(error: impl std::fmt::Display) -> FactsError {
    FactsError::Damaged(error.to_string())
}

fn as_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
