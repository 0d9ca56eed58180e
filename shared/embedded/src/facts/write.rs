//! What the writing thread does with one commit inside a transaction.

use pec::Instant;
use rusqlite::{Connection, OptionalExtension, params};
use stages::{
    log::LogEntry,
    ports::{Commit, FactsError, Row, RowKey, Table, Write},
};

/// A commit as the writing thread gets it: checked against the bounds, everything already in the form of a column.
pub(super) struct Prepared {
    writes: Vec<PreparedWrite>,
    entries: Vec<PreparedEntry>,
}

enum PreparedWrite {
    Insert(PreparedRow),
    Replace { row: PreparedRow, was: u64 },
    Delete { key: RowKey, was: u64 },
    Check { key: RowKey, was: u64 },
}

struct PreparedRow {
    row: Row,
    job: Option<String>,
}

struct PreparedEntry {
    pec_id: String,
    sk: String,
    at: Instant,
    body: String,
}

/// The largest body of a row, in bytes.
const BODY_BYTES_MAX: usize = 350 * 1024;

/// Checks a commit against the bounds of the port and writes its parts as text.
pub(super) fn prepare(commit: Commit) -> Result<Prepared, FactsError> {
    let items = commit.writes.len() + commit.entries.len();
    if items > Commit::ITEMS_MAX {
        return Err(FactsError::TooLarge(format!("{items} items, at most {}", Commit::ITEMS_MAX)));
    }
    if repeats(commit.writes.iter().map(Write::key))
        || repeats(commit.entries.iter().map(|e| (&e.pec_id, e.sk())))
    {
        return Err(FactsError::TooLarge("a key occurs twice".to_owned()));
    }
    let writes = commit.writes.into_iter().map(prepare_write).collect::<Result<Vec<_>, _>>()?;
    let entries = commit.entries.iter().map(prepare_entry).collect::<Result<Vec<_>, _>>()?;
    let bytes = writes.iter().map(PreparedWrite::bytes).sum::<usize>()
        + entries.iter().map(|e| e.body.len()).sum::<usize>();
    if bytes > Commit::BYTES_MAX {
        return Err(FactsError::TooLarge(format!("{bytes} bytes, at most {}", Commit::BYTES_MAX)));
    }
    Ok(Prepared { writes, entries })
}

fn repeats<K: std::hash::Hash + Eq>(mut keys: impl Iterator<Item = K>) -> bool {
    let mut seen = std::collections::HashSet::new();
    !keys.all(|key| seen.insert(key))
}

impl PreparedWrite {
    const fn bytes(&self) -> usize {
        match self {
            Self::Insert(p) | Self::Replace { row: p, .. } => p.row.body.len(),
            Self::Delete { .. } | Self::Check { .. } => 0,
        }
    }
}

fn prepare_write(write: Write) -> Result<PreparedWrite, FactsError> {
    let key = write.key();
    if key.pk.len() > 1024 || key.sk.len() > 512 {
        return Err(FactsError::TooLarge("a key over 1,024 and 512 bytes".to_owned()));
    }
    Ok(match write {
        Write::Insert(row) => PreparedWrite::Insert(prepare_row(row)?),
        Write::Replace { row, was } => PreparedWrite::Replace { row: prepare_row(row)?, was },
        Write::Delete { key, was } => PreparedWrite::Delete { key, was },
        Write::Check { key, was } => PreparedWrite::Check { key, was },
    })
}

fn prepare_row(row: Row) -> Result<PreparedRow, FactsError> {
    if row.body.len() > BODY_BYTES_MAX {
        return Err(FactsError::TooLarge(format!("row {} has {} bytes", row.key.sk, row.body.len())));
    }
    let job = row.debt.as_ref().map(|debt| serde_json::to_string(&debt.job)).transpose();
    let job = job.map_err(|e| FactsError::Damaged(e.to_string()))?;
    Ok(PreparedRow { row, job })
}

fn prepare_entry(entry: &LogEntry) -> Result<PreparedEntry, FactsError> {
    let body = serde_json::to_string(entry).map_err(|e| FactsError::Damaged(e.to_string()))?;
    Ok(PreparedEntry { pec_id: entry.pec_id.clone(), sk: entry.sk(), at: entry.at, body })
}

/// The number of a table in the column `tab`. Never changes.
pub(super) const fn table_number(table: Table) -> i64 {
    match table {
        Table::Letters => 0,
        Table::Mailboxes => 1,
        Table::Registry => 2,
    }
}

/// Looks at all conditions, then writes all; tells whether they held. If not, nothing was written, so the neighbours
/// in the transaction are not touched.
pub(super) fn apply(db: &Connection, commit: &Prepared) -> rusqlite::Result<bool> {
    // 1. Where the rows are; every condition holds, or nothing is written.
    let mut places = Vec::with_capacity(commit.writes.len());
    for write in &commit.writes {
        let (key, was) = match write {
            PreparedWrite::Insert(p) => (&p.row.key, None),
            PreparedWrite::Replace { row: p, was } => (&p.row.key, Some(*was)),
            PreparedWrite::Delete { key, was } | PreparedWrite::Check { key, was } => (key, Some(*was)),
        };
        let found = find(db, key)?;
        if found.map(|f| f.version) != was {
            return Ok(false);
        }
        places.push(found.map_or(0, |f| f.id));
    }
    for entry in &commit.entries {
        if entry_exists(db, entry)? {
            return Ok(false);
        }
    }
    // 2. All hold: write. A row or an entry occurs once in a commit (`prepare`), so nothing here can collide.
    for (write, id) in commit.writes.iter().zip(places) {
        match write {
            PreparedWrite::Insert(p) => insert(db, p)?,
            PreparedWrite::Replace { row, .. } => replace(db, id, row)?,
            PreparedWrite::Delete { .. } => delete(db, id)?,
            PreparedWrite::Check { .. } => {}
        }
    }
    for entry in &commit.entries {
        append(db, entry)?;
    }
    Ok(true)
}

/// Moves a due date, if the row is in this version and owes since this due date.
pub(super) fn postpone(
    db: &Connection,
    key: &RowKey,
    version: u64,
    from: Instant,
    to: Instant,
) -> rusqlite::Result<bool> {
    let mut statement = db.prepare_cached(
        "UPDATE rows SET due = ?1 WHERE tab = ?2 AND pk = ?3 AND sk = ?4 AND version = ?5 AND due = ?6",
    )?;
    let table = table_number(key.table);
    let moved = statement.execute(params![
        to.unix_s(),
        table,
        key.pk,
        key.sk,
        version.cast_signed(),
        from.unix_s()
    ])?;
    Ok(moved == 1)
}

#[derive(Clone, Copy)]
struct Place {
    id: i64,
    version: u64,
}

fn find(db: &Connection, key: &RowKey) -> rusqlite::Result<Option<Place>> {
    db.prepare_cached("SELECT id, version FROM rows WHERE tab = ?1 AND pk = ?2 AND sk = ?3")?
        .query_row(params![table_number(key.table), key.pk, key.sk], |r| {
            Ok(Place { id: r.get(0)?, version: r.get::<_, i64>(1)?.cast_unsigned() })
        })
        .optional()
}

fn entry_exists(db: &Connection, entry: &PreparedEntry) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM log WHERE pec_id = ?1 AND sk = ?2")?.exists([&entry.pec_id, &entry.sk])
}

fn insert(db: &Connection, p: &PreparedRow) -> rusqlite::Result<()> {
    let (row, debt, lookup) = (&p.row, p.row.debt.as_ref(), p.row.lookup.as_ref());
    db.prepare_cached(
        "INSERT INTO rows(tab, pk, sk, version, body, debt_job, owed_since, due, lookup_pk, lookup_sk)
         VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        table_number(row.key.table),
        row.key.pk,
        row.key.sk,
        row.body,
        p.job,
        debt.map(|d| d.owed_since.unix_s()),
        debt.map(|d| d.due.unix_s()),
        lookup.map(|l| &l.pk),
        lookup.map(|l| &l.sk),
    ])?;
    Ok(())
}

fn replace(db: &Connection, id: i64, p: &PreparedRow) -> rusqlite::Result<()> {
    let (row, debt, lookup) = (&p.row, p.row.debt.as_ref(), p.row.lookup.as_ref());
    db.prepare_cached(
        "UPDATE rows SET version = version + 1, body = ?2, debt_job = ?3, owed_since = ?4, due = ?5,
                lookup_pk = ?6, lookup_sk = ?7 WHERE id = ?1",
    )?
    .execute(params![
        id,
        row.body,
        p.job,
        debt.map(|d| d.owed_since.unix_s()),
        debt.map(|d| d.due.unix_s()),
        lookup.map(|l| &l.pk),
        lookup.map(|l| &l.sk),
    ])?;
    Ok(())
}

fn delete(db: &Connection, id: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM rows WHERE id = ?1")?.execute([id])?;
    Ok(())
}

fn append(db: &Connection, entry: &PreparedEntry) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO log(pec_id, sk, at, body) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        entry.pec_id,
        entry.sk,
        entry.at.unix_s(),
        entry.body
    ])?;
    Ok(())
}
