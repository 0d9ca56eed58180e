//! What the writing thread does with one commit inside a transaction.

use pec::Instant;
use rusqlite::{OptionalExtension, params};
use stages::{
    log::LogEntry,
    ports::{Commit, FactsError, Lookup, Row, RowKey, StoredRow, Table, Write},
};

use super::{
    partitions::{LOG, Partitions, table_number},
    places::Place,
    statements::Statements,
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
    let writes = commit.writes.into_iter().map(prepare_write).collect::<Result<Vec<_>, _>>()?;
    let entries = commit.entries.iter().map(prepare_entry).collect::<Result<Vec<_>, _>>()?;
    if repeats(writes.iter().map(PreparedWrite::key)) || repeats(entries.iter().map(|e| (&e.pec_id, &e.sk))) {
        return Err(FactsError::TooLarge("a key occurs twice".to_owned()));
    }
    let bytes = writes.iter().map(PreparedWrite::bytes).sum::<usize>()
        + entries.iter().map(|e| e.body.len()).sum::<usize>();
    if bytes > Commit::BYTES_MAX {
        return Err(FactsError::TooLarge(format!("{bytes} bytes, at most {}", Commit::BYTES_MAX)));
    }
    Ok(Prepared { writes, entries })
}

impl Prepared {
    /// What each of its rows is after it was written, as far as that is worth remembering: a row that owes nothing any
    /// more is done, and a message that was filed is not looked at within milliseconds.
    pub(super) fn left(self) -> Vec<(RowKey, Option<Option<StoredRow>>)> {
        let soon = |row: &Row, replaced: bool| match row.key.table {
            Table::Letters => row.debt.is_some() || !replaced,
            Table::Mailboxes => replaced,
            Table::Registry => true,
        };
        let kept = |row: Row, version, replaced| {
            let key = row.key.clone();
            let stored = soon(&row, replaced).then_some(Some(StoredRow { row, version }));
            (key, stored)
        };
        let now = |write| match write {
            PreparedWrite::Insert(p) => Some(kept(p.row, 1, false)),
            PreparedWrite::Replace { row: p, was } => Some(kept(p.row, was + 1, true)),
            PreparedWrite::Delete { key, .. } => Some((key, Some(None))),
            PreparedWrite::Check { .. } => None,
        };
        self.writes.into_iter().filter_map(now).collect()
    }
}

fn repeats<K: Ord>(keys: impl Iterator<Item = K>) -> bool {
    let mut keys: Vec<K> = keys.collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair.first() == pair.last())
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
    let job = row.debt.as_ref().map(|debt| debt.job.brief(&row.key)).transpose();
    let job = job.map_err(|e| FactsError::Damaged(e.to_string()))?;
    Ok(PreparedRow { row, job })
}

fn prepare_entry(entry: &LogEntry) -> Result<PreparedEntry, FactsError> {
    let body = stages::rim::json(entry)?;
    Ok(PreparedEntry { pec_id: entry.pec_id.clone(), sk: entry.sk(), at: entry.at, body })
}

/// Looks at all conditions, then writes all; tells whether they held. If not, nothing was written but numbers of
/// partitions, so the neighbours in the transaction are not touched.
pub(super) fn apply(
    db: &mut Statements<'_>,
    partitions: &mut Partitions,
    commit: &Prepared,
) -> rusqlite::Result<bool> {
    // 1. Where the rows are and will be; every condition holds, or nothing is written.
    let mut places = Vec::with_capacity(commit.writes.len());
    for write in &commit.writes {
        let key = write.key();
        let table = table_number(key.table);
        let partition = match write {
            PreparedWrite::Insert(_) => Some(partitions.find_or_make(db, table, &key.pk)?),
            _ => partitions.find(db, table, &key.pk)?,
        };
        let found = match partition {
            Some(partition) => find(db, partitions, partition, &key.sk, write.lookup())?,
            None => None,
        };
        if found.map(|f| f.version) != write.was() {
            return Ok(false);
        }
        places.extend(partition.map(|partition| (write, partition, found)));
    }
    let mut entries = Vec::with_capacity(commit.entries.len());
    for entry in &commit.entries {
        let partition = partitions.find_or_make(db, LOG, &entry.pec_id)?;
        if entry_exists(db, partitions, partition, &entry.sk)? {
            return Ok(false);
        }
        entries.push((entry, partition));
    }
    // 2. All hold: write. A row or an entry occurs once in a commit (`prepare`), so nothing here can collide.
    for (write, partition, found) in places {
        match (write, found) {
            (PreparedWrite::Insert(p), _) => insert(db, partitions, partition, p)?,
            (PreparedWrite::Replace { row, .. }, Some(found)) => replace(db, partitions, found, row)?,
            (PreparedWrite::Delete { key, .. }, Some(found)) => delete(db, partitions, found, key)?,
            (PreparedWrite::Check { .. }, _) | (_, None) => {}
        }
    }
    for (entry, partition) in entries {
        append(db, partitions, partition, entry)?;
    }
    Ok(true)
}

/// Moves a due date, if the row is in this version and owes since this due date.
pub(super) fn postpone(
    db: &mut Statements<'_>,
    partitions: &mut Partitions,
    key: &RowKey,
    version: u64,
    from: Instant,
    to: Instant,
) -> rusqlite::Result<bool> {
    let Some(partition) = partitions.find(db, table_number(key.table), &key.pk)? else { return Ok(false) };
    let moved =
        db.postpone.execute(params![to.unix_s(), partition, key.sk, version.cast_signed(), from.unix_s()])?;
    Ok(moved == 1)
}

impl PreparedWrite {
    const fn key(&self) -> &RowKey {
        match self {
            Self::Insert(p) | Self::Replace { row: p, .. } => &p.row.key,
            Self::Delete { key, .. } | Self::Check { key, .. } => key,
        }
    }

    /// The version that must be there.
    const fn was(&self) -> Option<u64> {
        match self {
            Self::Insert(_) => None,
            Self::Replace { was, .. } | Self::Delete { was, .. } | Self::Check { was, .. } => Some(*was),
        }
    }

    /// The place in the table's index that it will have.
    const fn lookup(&self) -> Option<&Lookup> {
        match self {
            Self::Insert(p) | Self::Replace { row: p, .. } => p.row.lookup.as_ref(),
            Self::Delete { .. } | Self::Check { .. } => None,
        }
    }
}

/// A row that is there.
#[derive(Clone, Copy)]
struct Found {
    partition: i64,
    id: i64,
    version: u64,
    /// Its place in the table's index stays.
    same_lookup: bool,
}

fn find(
    db: &mut Statements<'_>,
    partitions: &mut Partitions,
    partition: i64,
    sk: &str,
    lookup: Option<&Lookup>,
) -> rusqlite::Result<Option<Found>> {
    if let Some(rows) = partitions.places.of(partition) {
        return Ok(rows.get(sk).map(|row| Found {
            partition,
            id: row.id,
            version: row.version,
            same_lookup: row.lookup.as_ref() == lookup,
        }));
    }
    db.find_row
        .query_row(params![partition, sk, lookup.map(|l| &l.pk), lookup.map(|l| &l.sk)], |r| {
            let version = r.get::<_, i64>(1)?.cast_unsigned();
            Ok(Found { partition, id: r.get(0)?, version, same_lookup: r.get(2)? })
        })
        .optional()
}

fn entry_exists(
    db: &mut Statements<'_>,
    partitions: &mut Partitions,
    partition: i64,
    sk: &str,
) -> rusqlite::Result<bool> {
    if let Some(entries) = partitions.places.of(partition) {
        return Ok(entries.get(sk).is_some());
    }
    db.find_entry.exists(params![partition, sk])
}

fn insert(
    db: &mut Statements<'_>,
    partitions: &mut Partitions,
    partition: i64,
    p: &PreparedRow,
) -> rusqlite::Result<()> {
    let (row, debt, lookup) = (&p.row, p.row.debt.as_ref(), p.row.lookup.as_ref());
    let table = table_number(row.key.table);
    let id = db.insert_row.insert(params![
        partition,
        row.key.sk,
        row.body,
        p.job,
        debt.map(|d| d.owed_since.unix_s()),
        debt.map(|d| d.due.unix_s()),
        lookup.map(|_| table),
        lookup.map(|l| &l.pk),
        lookup.map(|l| &l.sk),
    ])?;
    partitions.places.wrote(partition, &row.key.sk, Place { id, version: 1, lookup: lookup.cloned() });
    Ok(())
}

fn replace(
    db: &mut Statements<'_>,
    partitions: &mut Partitions,
    was: Found,
    p: &PreparedRow,
) -> rusqlite::Result<()> {
    let (row, debt) = (&p.row, p.row.debt.as_ref());
    db.replace_row.execute(params![
        was.id,
        row.body,
        p.job,
        debt.map(|d| d.owed_since.unix_s()),
        debt.map(|d| d.due.unix_s()),
    ])?;
    // An index is written whenever its columns are named, so they are only named when they change.
    if !was.same_lookup {
        let lookup = row.lookup.as_ref();
        let table = lookup.map(|_| table_number(row.key.table));
        db.move_lookup.execute(params![was.id, table, lookup.map(|l| &l.pk), lookup.map(|l| &l.sk)])?;
    }
    let now = Place { id: was.id, version: was.version + 1, lookup: row.lookup.clone() };
    partitions.places.wrote(was.partition, &row.key.sk, now);
    Ok(())
}

fn delete(
    db: &mut Statements<'_>,
    partitions: &mut Partitions,
    was: Found,
    key: &RowKey,
) -> rusqlite::Result<()> {
    db.delete_row.execute([was.id])?;
    partitions.places.removed(was.partition, &key.sk);
    Ok(())
}

fn append(
    db: &mut Statements<'_>,
    partitions: &mut Partitions,
    partition: i64,
    entry: &PreparedEntry,
) -> rusqlite::Result<()> {
    let seq = db.append_entry.insert(params![partition, entry.sk, entry.at.unix_s(), entry.body])?;
    partitions.places.wrote(partition, &entry.sk, Place { id: seq, version: 1, lookup: None });
    Ok(())
}
