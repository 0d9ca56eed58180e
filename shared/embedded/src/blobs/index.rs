//! Which key has which body, in SQLite: written in batches long after the records are durable in the segments, and
//! made again from the segments if it is lost.

use std::{collections::BTreeMap, path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use super::record::{Entry, Place};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS blobs(
    key TEXT PRIMARY KEY,
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    len INTEGER NOT NULL,
    sha256 BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS blobs_by_place ON blobs(segment, offset);
CREATE TABLE IF NOT EXISTS mark(one INTEGER PRIMARY KEY CHECK(one = 1), segment INTEGER NOT NULL, offset INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS doomed(file INTEGER PRIMARY KEY) STRICT;
CREATE TABLE IF NOT EXISTS suspects(segment INTEGER PRIMARY KEY) STRICT;
";

/// Changes of keys in the order of the segments, folded: what each key has now.
pub(super) type Changes = BTreeMap<String, Option<Entry>>;

/// A batch for the index.
#[derive(Default)]
pub(super) struct Batch {
    /// What each key has now.
    pub changes: Changes,
    /// Places that lost a key.
    pub left: Vec<Place>,
    /// Everything before this is in the index with it.
    pub mark: Mark,
}

/// A place in the segments: all records before it are in the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    /// The segment; 0 before the first.
    pub segment: u64,
    /// Offset in it.
    pub offset: u64,
}

/// A connection to the index.
pub(super) struct Index(Connection);

impl Index {
    /// For the one that writes. A batch is durable when [`Index::write`] returns.
    pub(super) fn writer(path: &Path) -> rusqlite::Result<Self> {
        let db = Connection::open(path)?;
        db.busy_timeout(Duration::from_secs(10))?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        // Checkpoints are made when nobody reads an older state (`Index::checkpoint`).
        db.pragma_update(None, "wal_autocheckpoint", 0)?;
        db.pragma_update(None, "cache_size", -16 * 1024)?;
        db.execute_batch(SCHEMA)?;
        Ok(Self(db))
    }

    /// For those that read.
    fn reader(path: &Path) -> rusqlite::Result<Self> {
        let db = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        db.busy_timeout(Duration::from_secs(10))?;
        db.pragma_update(None, "cache_size", -8 * 1024)?;
        Ok(Self(db))
    }

    /// What a key has.
    pub(super) fn get(&self, key: &str) -> rusqlite::Result<Option<Entry>> {
        self.0
            .prepare_cached("SELECT segment, offset, len, sha256 FROM blobs WHERE key = ?1")?
            .query_row([key], |r| entry(r, 0))
            .optional()
    }

    /// Keys from `from` on (itself only if `including`) that begin with `prefix`, in order.
    pub(super) fn list(
        &self,
        from: &str,
        including: bool,
        prefix: &str,
        limit: usize,
    ) -> rusqlite::Result<Vec<String>> {
        let bound = if including { ">=" } else { ">" };
        let sql = format!("SELECT key FROM blobs WHERE key {bound} ?1 ORDER BY key LIMIT ?2");
        let mut statement = self.0.prepare_cached(&sql)?;
        let mut rows = statement.query(params![from, i64::try_from(limit).unwrap_or(i64::MAX)])?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next()? {
            let key: String = row.get(0)?;
            if !key.starts_with(prefix) {
                break;
            }
            keys.push(key);
        }
        Ok(keys)
    }

    /// Up to where the segments are in the index.
    pub(super) fn mark(&self) -> rusqlite::Result<Mark> {
        let mark = self.0.query_row("SELECT segment, offset FROM mark", [], |r| {
            Ok(Mark { segment: number(r, 0)?, offset: number(r, 1)? })
        });
        Ok(mark.optional()?.unwrap_or_default())
    }

    /// The highest number of a file that the index knows; 0 if none.
    pub(super) fn last_file(&self) -> rusqlite::Result<u64> {
        let sql = "SELECT max(coalesce((SELECT max(offset) FROM blobs WHERE segment = 0), 0),
                              coalesce((SELECT max(file) FROM doomed), 0))";
        self.0.query_row(sql, [], |r| number(r, 0))
    }

    /// Writes a batch in one transaction, durably. Files that nobody refers to any more are doomed with it, segments
    /// that lost a body are noted.
    pub(super) fn write(&mut self, batch: &Batch) -> rusqlite::Result<()> {
        let transaction = self.0.transaction()?;
        {
            let mut put = transaction.prepare_cached(
                "INSERT INTO blobs(key, segment, offset, len, sha256) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT(key) DO UPDATE SET segment = ?2, offset = ?3, len = ?4, sha256 = ?5",
            )?;
            let mut delete = transaction.prepare_cached("DELETE FROM blobs WHERE key = ?1")?;
            for (key, change) in &batch.changes {
                match change {
                    Some(e) => {
                        let (segment, offset) = (e.place.segment.cast_signed(), e.place.offset.cast_signed());
                        put.execute(params![key, segment, offset, e.len.cast_signed(), e.sha256])?
                    }
                    None => delete.execute([key])?,
                };
            }
            let mut referred = transaction
                .prepare_cached("SELECT 1 FROM blobs WHERE segment = ?1 AND offset = ?2 LIMIT 1")?;
            for place in &batch.left {
                if referred.exists([place.segment.cast_signed(), place.offset.cast_signed()])? {
                    continue;
                }
                match place.file() {
                    Some(file) => transaction
                        .execute("INSERT OR IGNORE INTO doomed(file) VALUES (?1)", [file.cast_signed()])?,
                    None => transaction.execute(
                        "INSERT OR IGNORE INTO suspects(segment) VALUES (?1)",
                        [place.segment.cast_signed()],
                    )?,
                };
            }
            transaction.execute(
                "INSERT INTO mark(one, segment, offset) VALUES (1, ?1, ?2)
                 ON CONFLICT(one) DO UPDATE SET segment = ?1, offset = ?2",
                [batch.mark.segment.cast_signed(), batch.mark.offset.cast_signed()],
            )?;
        }
        transaction.commit()
    }

    /// Copies what was written from the write-ahead log into the database, as far as nobody reads an older state.
    pub(super) fn checkpoint(&self) -> rusqlite::Result<()> {
        self.0.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
    }

    /// Files that nobody refers to any more and that are still to be removed.
    pub(super) fn doomed(&self) -> rusqlite::Result<Vec<u64>> {
        self.numbers("SELECT file FROM doomed LIMIT 1000")
    }

    /// A doomed file is gone.
    pub(super) fn removed(&self, file: u64) -> rusqlite::Result<()> {
        self.0.execute("DELETE FROM doomed WHERE file = ?1", [file.cast_signed()]).map(drop)
    }

    /// Whether a body is referred to.
    pub(super) fn is_referred(&self, place: Place) -> rusqlite::Result<bool> {
        self.0
            .prepare_cached("SELECT 1 FROM blobs WHERE segment = ?1 AND offset = ?2 LIMIT 1")?
            .exists([place.segment.cast_signed(), place.offset.cast_signed()])
    }

    /// Segments that lost a body since somebody looked at them.
    pub(super) fn suspects(&self) -> rusqlite::Result<Vec<u64>> {
        self.numbers("SELECT segment FROM suspects ORDER BY segment")
    }

    /// A segment was looked at.
    pub(super) fn cleared(&self, segment: u64) -> rusqlite::Result<()> {
        self.0.execute("DELETE FROM suspects WHERE segment = ?1", [segment.cast_signed()]).map(drop)
    }

    /// Bytes of the bodies of a segment that are referred to.
    pub(super) fn live_bytes(&self, segment: u64) -> rusqlite::Result<u64> {
        let sql =
            "SELECT coalesce(sum(len), 0) FROM (SELECT DISTINCT offset, len FROM blobs WHERE segment = ?1)";
        self.0.query_row(sql, [segment.cast_signed()], |r| number(r, 0))
    }

    /// Keys whose body lies in a segment, in the order of the bodies; those of one body are beside each other.
    pub(super) fn keys_in(&self, segment: u64, limit: usize) -> rusqlite::Result<Vec<(String, Entry)>> {
        let sql = "SELECT key, segment, offset, len, sha256 FROM blobs
                   WHERE segment = ?1 ORDER BY offset, key LIMIT ?2";
        let mut statement = self.0.prepare_cached(sql)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map([segment.cast_signed(), limit], |r| Ok((r.get(0)?, entry(r, 1)?)))?;
        rows.collect()
    }

    fn numbers(&self, sql: &str) -> rusqlite::Result<Vec<u64>> {
        self.0.prepare_cached(sql)?.query_map([], |r| number(r, 0))?.collect()
    }
}

/// A connection that reads the same state until a batch was written: to ask SQLite for the newest one costs several
/// times what finding a key does.
pub(super) struct Reader {
    index: Index,
    /// The number of batches that were written when its state was taken up.
    as_of: Option<u64>,
}

impl Reader {
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        Index::reader(path).map(|index| Self { index, as_of: None })
    }

    /// The newest state.
    pub(super) fn newest(&mut self) -> rusqlite::Result<&Index> {
        self.let_go()?;
        Ok(&self.index)
    }

    /// A state with all of so many batches in it.
    pub(super) fn with(&mut self, batches: u64) -> rusqlite::Result<&Index> {
        if self.as_of != Some(batches) {
            self.let_go()?;
            self.index.0.prepare_cached("BEGIN")?.execute([])?;
            self.as_of = Some(batches);
        }
        Ok(&self.index)
    }

    /// Ends reading this state: while somebody does, the write-ahead log is kept for him.
    pub(super) fn let_go(&mut self) -> rusqlite::Result<()> {
        if self.as_of.take().is_some() {
            self.index.0.prepare_cached("COMMIT")?.execute([])?;
        }
        Ok(())
    }
}

fn entry(row: &Row<'_>, at: usize) -> rusqlite::Result<Entry> {
    let place = Place { segment: number(row, at)?, offset: number(row, at + 1)? };
    Ok(Entry { place, len: number(row, at + 2)?, sha256: row.get(at + 3)? })
}

fn number(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(at).map(i64::cast_unsigned)
}
