//! The tables in SQLite: one writing thread that puts all waiting commits into one transaction, connections that
//! read beside it, checkpoints by a third thread.
//!
//! Durability is SQLite's: WAL with `synchronous=FULL` writes a transaction with a checksum and fsyncs it before
//! COMMIT returns; we answer after that. What a torn or lost tail of the log does to answered commits is tested in
//! `facts/tests.rs` by cutting and garbling the log file; the sectors below it are SQLite's own test suite's work.

mod cache;
mod checkpoint;
mod partitions;
mod places;
mod read;
mod schema;
mod snapshot;
mod statements;
#[cfg(test)]
mod tests;
mod write;

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use pec::Instant;
use rusqlite::Connection;
use stages::{
    log::LogEntry,
    ports::{Commit, Committed, Facts, FactsError, Page, RowKey, StoredRow, Table},
};
use tokio::sync::oneshot;

use crate::{
    Counters,
    group::{Asked, Group},
};
use cache::Cache;
use checkpoint::Checkpoints;
use partitions::Partitions;
use snapshot::Holds;
pub(crate) use snapshot::{Acts, Snapshots};
use statements::Statements;
use write::Prepared;

/// Commits that share one transaction at most.
const GROUP_MAX: usize = 256;

/// Connections that read.
const READERS: usize = 4;

/// A read of more rows than this goes to a blocking thread; a shorter one takes less time than the way there
/// (`examples/storage.rs` measures both).
const INLINE_ROWS_MAX: usize = 32;

/// The tables of one provider.
pub struct SqliteFacts {
    writer: Group<Ask>,
    readers: Arc<Readers>,
    cache: Arc<Cache>,
    snapshots: Snapshots,
}

/// One thing to write, and where to say whether its conditions held.
struct Ask {
    what: What,
    answer: oneshot::Sender<Result<bool, FactsError>>,
}

enum What {
    Commit(Prepared),
    Postpone { key: RowKey, version: u64, from: Instant, to: Instant },
}

impl SqliteFacts {
    /// Opens the tables in this file, or makes them.
    ///
    /// # Errors
    /// [`FactsError::Unavailable`] if SQLite cannot open it, or a later release wrote it.
    pub fn open(path: &Path, counters: Arc<Counters>) -> Result<Self, FactsError> {
        let connection = schema::writer(path)?;
        let holds = Holds::default();
        let checkpoints = Checkpoints::start(path, Arc::clone(&counters), holds.clone())?;
        let snapshots = Snapshots::new(path, holds);
        let readers = Readers::open(path).map_err(unavailable)?;
        let cache = Arc::new(Cache::default());
        let kept = Arc::clone(&cache);
        let serve = move |mut asked: Asked<Ask>| {
            let thread = Writer {
                db: &connection,
                partitions: Partitions::default(),
                cache: kept,
                counters,
                checkpoints,
            };
            thread.serve(&mut asked);
        };
        let writer =
            Group::start("facts", GROUP_MAX, serve).map_err(|e| FactsError::Unavailable(e.to_string()))?;
        Ok(Self { writer, readers: Arc::new(readers), cache, snapshots })
    }

    /// Copies of all tables as of one moment, beside their use.
    pub(crate) fn snapshots(&self) -> Snapshots {
        self.snapshots.clone()
    }

    async fn write(&self, what: What) -> Result<bool, FactsError> {
        let (answer, answered) = oneshot::channel();
        let gone = || FactsError::Unavailable("the writing thread is gone".to_owned());
        if !self.writer.ask(Ask { what, answer }) {
            return Err(gone());
        }
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Reads here if it is short: without a limit that says so, it is tried with a short one.
    async fn read<T: Send + 'static>(
        &self,
        limit: usize,
        read: impl Fn(&Connection, usize) -> Result<T, FactsError> + Send + 'static,
        len: impl Fn(&T) -> usize,
    ) -> Result<T, FactsError> {
        let short = read(&self.readers.any(), limit.min(INLINE_ROWS_MAX))?;
        if limit <= INLINE_ROWS_MAX || len(&short) < INLINE_ROWS_MAX {
            return Ok(short);
        }
        let readers = Arc::clone(&self.readers);
        tokio::task::spawn_blocking(move || read(&readers.any(), limit))
            .await
            .map_err(|e| FactsError::Unavailable(e.to_string()))?
    }
}

#[async_trait]
impl Facts for SqliteFacts {
    async fn commit(&self, commit: Commit) -> Result<Committed, FactsError> {
        let held = self.write(What::Commit(write::prepare(commit)?)).await?;
        Ok(if held { Committed::Now } else { Committed::Lost })
    }

    async fn get(&self, key: &RowKey) -> Result<Option<StoredRow>, FactsError> {
        let seen = match self.cache.get(key) {
            Ok(known) => return Ok(known),
            Err(seen) => seen,
        };
        let found = read::get(&self.readers.any(), key)?;
        self.cache.found(key, &found, seen);
        Ok(found)
    }

    async fn query(
        &self,
        table: Table,
        pk: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, FactsError> {
        let (pk, prefix, after) = (pk.to_owned(), prefix.to_owned(), after.map(str::to_owned));
        let read =
            move |db: &Connection, limit| read::query(db, table, &pk, &prefix, after.as_deref(), limit);
        self.read(limit, read, |page| page.rows.len()).await
    }

    async fn lookup(
        &self,
        table: Table,
        pk: &str,
        from: &str,
        limit: usize,
    ) -> Result<Vec<StoredRow>, FactsError> {
        let (pk, from) = (pk.to_owned(), from.to_owned());
        self.read(limit, move |db, limit| read::lookup(db, table, &pk, &from, limit), Vec::len).await
    }

    async fn due(&self, now: Instant, limit: usize) -> Result<Vec<StoredRow>, FactsError> {
        self.read(limit, move |db, limit| read::due(db, now, limit), Vec::len).await
    }

    async fn postpone(
        &self,
        key: &RowKey,
        version: u64,
        from: Instant,
        to: Instant,
    ) -> Result<bool, FactsError> {
        self.write(What::Postpone { key: key.clone(), version, from, to }).await
    }

    async fn log(&self, pec_id: &str) -> Result<Vec<LogEntry>, FactsError> {
        let pec_id = pec_id.to_owned();
        self.read(usize::MAX, move |db, limit| read::log(db, &pec_id, limit), Vec::len).await
    }
}

/// The legal log of one PEC id in the tables of this file, in the order of commit; also beside a provider that uses
/// them. Nothing is written.
///
/// # Errors
/// [`FactsError`]
pub fn read_log(path: &Path, pec_id: &str) -> Result<Vec<LogEntry>, FactsError> {
    read::log(&schema::reader(path).map_err(unavailable)?, pec_id, usize::MAX)
}

/// Entries of the legal log after a place in the order of commit, each with its place.
pub(crate) fn read_log_after(
    path: &Path,
    place: u64,
    limit: usize,
) -> Result<Vec<(u64, LogEntry)>, FactsError> {
    read::log_after(&schema::reader(path).map_err(unavailable)?, place, limit)
}

/// The place of the last entry of the legal log; 0 before the first.
pub(crate) fn read_log_end(path: &Path) -> Result<u64, FactsError> {
    read::log_end(&schema::reader(path).map_err(unavailable)?)
}

/// Entries between two instants that tell of decisions, answers and deliveries, in the order of commit.
///
/// # Errors
/// [`FactsError`]
pub fn read_log_between(
    path: &Path,
    from: Instant,
    to: Instant,
    take: impl FnMut(LogEntry),
) -> Result<(), FactsError> {
    read::log_between(&schema::reader(path).map_err(unavailable)?, from, to, take)
}

/// The writing thread's own.
struct Writer<'c> {
    db: &'c Connection,
    partitions: Partitions,
    cache: Arc<Cache>,
    counters: Arc<Counters>,
    checkpoints: Checkpoints,
}

impl<'c> Writer<'c> {
    /// Takes all that waits, one transaction, one fsync, then everybody is answered.
    fn serve(mut self, asked: &mut Asked<Ask>) {
        let mut statements = None;
        while let Some(group) = asked.next() {
            match self.transact(&mut statements, &group) {
                Ok(held) => self.answer(group, held),
                // What is there of the group is not known; everybody's debt stands, so everybody tries again.
                Err(error) => {
                    tracing::error!(error = %error, commits = group.len(), "a transaction failed");
                    let _ = self.db.execute_batch("ROLLBACK"); // it may have ended by itself
                    self.cache.clear();
                    self.partitions.forget();
                    for ask in group {
                        let _ = ask.answer.send(Err(FactsError::Unavailable(error.to_string())));
                    }
                }
            }
        }
    }

    /// All of a group in one transaction: for each whether its conditions held. The first one prepares the statements.
    fn transact(
        &mut self,
        statements: &mut Option<Statements<'c>>,
        group: &[Ask],
    ) -> rusqlite::Result<Vec<bool>> {
        let db = match statements {
            Some(prepared) => prepared,
            None => statements.insert(Statements::prepare(self.db)?),
        };
        let partitions = &mut self.partitions;
        db.begin.execute([])?;
        let mut held = Vec::with_capacity(group.len());
        for ask in group {
            held.push(match &ask.what {
                What::Commit(commit) => write::apply(db, partitions, commit)?,
                What::Postpone { key, version, from, to } => {
                    write::postpone(db, partitions, key, *version, *from, *to)?
                }
            });
        }
        db.commit.execute([])?;
        Ok(held)
    }

    /// It is durable: the cache knows it first, then those who asked.
    fn answer(&self, group: Vec<Ask>, held: Vec<bool>) {
        self.counters.transaction(group.len(), held.iter().filter(|&&h| !h).count());
        self.checkpoints.wrote(group.len());
        let (whats, answers): (Vec<_>, Vec<_>) = group.into_iter().map(|ask| (ask.what, ask.answer)).unzip();
        let done = whats.into_iter().zip(&held).filter(|(_, held)| **held);
        self.cache.committed(done.flat_map(|(what, _)| match what {
            What::Commit(commit) => commit.left(),
            What::Postpone { key, .. } => vec![(key, None)],
        }));
        for (answer, held) in answers.into_iter().zip(held) {
            // Who does not wait any more will read the table.
            let _ = answer.send(Ok(held));
        }
    }
}

/// Connections that read. A read takes some ten microseconds, so nobody waits long for one.
struct Readers {
    connections: [Mutex<Connection>; READERS],
    next: AtomicUsize,
}

impl Readers {
    fn open(path: &Path) -> rusqlite::Result<Self> {
        let open = || schema::reader(path).map(Mutex::new);
        Ok(Self { connections: [open()?, open()?, open()?, open()?], next: AtomicUsize::new(0) })
    }

    /// A free one if there is one, else the next in turn.
    fn any(&self) -> MutexGuard<'_, Connection> {
        let free = self.connections.iter().find_map(|c| c.try_lock().ok());
        free.unwrap_or_else(|| {
            let turn = self.next.fetch_add(1, Ordering::Relaxed) % READERS;
            // A panic in a read leaves the connection as good as it was: statements are reset when they are dropped.
            self.connections[turn].lock().unwrap_or_else(PoisonError::into_inner)
        })
    }
}

/// What SQLite said, as the port says it.
fn unavailable(error: rusqlite::Error) -> FactsError {
    FactsError::Unavailable(error.to_string())
}
