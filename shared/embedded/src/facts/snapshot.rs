//! All tables as of one moment, copied while they are in use.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
};
use stages::{
    ports::{FactsError, RowKey, Table},
    rim,
    rows::ActRow,
};

use super::{partitions::table_number, schema, unavailable};

/// Pages that are copied in one step: 4 MiB.
const PAGES: std::ffi::c_int = 1024;

/// Acts that are read at once.
const ACTS: usize = 256;

/// How many snapshots are held.
#[derive(Clone, Default)]
pub(super) struct Holds(Arc<AtomicUsize>);

impl Holds {
    /// Whether one is.
    pub(super) fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// Where snapshots come from.
#[derive(Clone)]
pub(crate) struct Snapshots {
    path: PathBuf,
    holds: Holds,
}

impl Snapshots {
    pub(super) fn new(path: &Path, holds: Holds) -> Self {
        Self { path: path.to_owned(), holds }
    }

    /// Gets ready to hold a state: what takes time is done before [`Snapshot::hold`].
    ///
    /// # Errors
    /// [`FactsError`]
    pub(crate) fn ready(&self) -> Result<Snapshot, FactsError> {
        let db = schema::reader(&self.path).map_err(unavailable)?;
        self.holds.0.fetch_add(1, Ordering::Relaxed);
        Ok(Snapshot { db, holds: self.holds.clone() })
    }
}

/// A state of all tables, from [`Snapshot::hold`] on until it is dropped. What is committed meanwhile stays in the
/// write-ahead log, which grows.
pub(crate) struct Snapshot {
    db: Connection,
    holds: Holds,
}

impl Snapshot {
    /// The state of this moment: with every commit that was answered before. Takes microseconds.
    ///
    /// # Errors
    /// [`FactsError`]
    pub(crate) fn hold(&self) -> Result<(), FactsError> {
        // A transaction has its state from its first read on.
        let read = self.db.execute_batch("BEGIN").and_then(|()| {
            self.db.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get::<_, i64>(0)).map(drop)
        });
        read.map_err(unavailable)
    }

    /// Writes the state into a new file, durably.
    ///
    /// # Errors
    /// [`FactsError`]
    pub(crate) fn copy(&self, to: &Path) -> Result<(), FactsError> {
        let mut target = Connection::open(to).map_err(unavailable)?;
        target.pragma_update(None, "synchronous", "FULL").map_err(unavailable)?;
        // The transaction of the source stands, so that every step copies pages of its state.
        let backup = Backup::new(&self.db, &mut target).map_err(unavailable)?;
        loop {
            match backup.step(PAGES).map_err(unavailable)? {
                StepResult::Done => return Ok(()),
                StepResult::More => {}
                other => return Err(FactsError::Unavailable(format!("the copy of the tables: {other:?}"))),
            }
        }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.holds.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the tables of a file say of acts that were issued.
pub(crate) struct Acts {
    db: Connection,
    after: i64,
}

impl Acts {
    /// Of a file that nobody uses. All of it is looked at first.
    ///
    /// # Errors
    /// [`FactsError::Damaged`] with what SQLite's own check finds.
    pub(crate) fn open(path: &Path) -> Result<Self, FactsError> {
        // As one that writes: the file is in the mode of a log that is not there yet.
        let db = schema::writer(path)?;
        let found: String =
            db.query_row("PRAGMA integrity_check(1)", [], |r| r.get(0)).map_err(unavailable)?;
        if found != "ok" {
            return Err(FactsError::Damaged(found));
        }
        Ok(Self { db, after: 0 })
    }

    /// How many entries the legal log has.
    ///
    /// # Errors
    /// [`FactsError`]
    pub(crate) fn entries(&self) -> Result<u64, FactsError> {
        let count = self.db.query_row("SELECT count(*) FROM log", [], |r| r.get::<_, i64>(0));
        Ok(count.map_err(unavailable)?.unsigned_abs())
    }

    /// Some more acts that were issued, each with whether the legal log has its entry with its digest.
    ///
    /// # Errors
    /// [`FactsError`]
    pub(crate) fn next(&mut self) -> Result<Option<Vec<(ActRow, bool)>>, FactsError> {
        const ROWS: &str =
            "SELECT rows.id, pk, sk, body FROM rows JOIN partitions ON partitions.id = partition
            WHERE tab = ?1 AND rows.id > ?2 AND sk >= 'act#' AND sk < 'act$' ORDER BY rows.id LIMIT ?3";
        let mut statement = self.db.prepare_cached(ROWS).map_err(unavailable)?;
        let limit = i64::try_from(ACTS).unwrap_or(i64::MAX);
        let found = statement
            .query_map((table_number(Table::Letters), self.after, limit), |r| {
                let key = RowKey { table: Table::Letters, pk: r.get(1)?, sk: r.get(2)? };
                Ok((r.get::<_, i64>(0)?, key, r.get::<_, String>(3)?))
            })
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
            .map_err(unavailable)?;
        let Some((last, ..)) = found.last() else { return Ok(None) };
        self.after = *last;
        let mut acts = Vec::with_capacity(found.len());
        for (_, key, body) in found {
            let act: ActRow = rim::body(&key, &body)?;
            if act.issued.is_some() {
                let logged = self.logs(&act)?;
                acts.push((act, logged));
            }
        }
        Ok(Some(acts))
    }

    fn logs(&self, act: &ActRow) -> Result<bool, FactsError> {
        let entries = super::read::log(&self.db, &act.logged_under(), usize::MAX)?;
        Ok(stages::custody::is_logged(act, &entries))
    }
}
