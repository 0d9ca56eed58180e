//! Checkpoints: pages go from the write-ahead log into the database beside the writer, not in its way.

use std::{path::Path, sync::Arc};

use rusqlite::Connection;
use stages::ports::FactsError;

use super::{schema, snapshot::Holds};
use crate::{
    Counters,
    group::{Asked, Group},
};

/// Commits between two checkpoints. At some five pages each this is about 40 MiB of log; with more, a page that is
/// written again and again is copied less often, and a start reads more.
const COMMITS: usize = 2048;

/// From this length the log is started anew, which makes the writer wait for the little that is left to copy.
const LOG_PAGES_MAX: i64 = 16_384;

/// The thread that makes the checkpoints.
pub(super) struct Checkpoints(Group<usize>);

impl Checkpoints {
    /// Starts it with a connection of its own.
    pub(super) fn start(path: &Path, counters: Arc<Counters>, holds: Holds) -> Result<Self, FactsError> {
        let connection = schema::writer(path)?;
        Group::start("checkpoint", usize::MAX, move |mut asked| {
            serve(&connection, &mut asked, &counters, &holds)
        })
        .map(Self)
        .map_err(|e| FactsError::Unavailable(e.to_string()))
    }

    /// So many commits were written.
    pub(super) fn wrote(&self, commits: usize) {
        // If the thread is gone, the log grows: slower starts, nothing lost.
        self.0.ask(commits);
    }
}

fn serve(db: &Connection, asked: &mut Asked<usize>, counters: &Counters, holds: &Holds) {
    let mut waiting = 0;
    while let Some(commits) = asked.next() {
        waiting += commits.into_iter().sum::<usize>();
        if waiting < COMMITS {
            continue;
        }
        waiting = 0;
        if let Err(error) = checkpoint(db, counters, holds) {
            tracing::warn!(error = %error, "no checkpoint this time, the log of the table grows");
        }
    }
}

fn checkpoint(db: &Connection, counters: &Counters, holds: &Holds) -> rusqlite::Result<()> {
    let (log, copied) = run(db, "PASSIVE")?;
    counters.checkpoint(u64::try_from(copied).unwrap_or(0));
    // Who reads an old state for minutes would make the writer wait in vain: the log grows until then.
    if log > LOG_PAGES_MAX && !holds.any() {
        // Nearly all of it was copied just now; readers of the old log are waited for.
        run(db, "RESTART")?;
    }
    Ok(())
}

/// Pages in the log, and how many of them are copied.
fn run(db: &Connection, mode: &str) -> rusqlite::Result<(i64, i64)> {
    db.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |r| Ok((r.get(1)?, r.get(2)?)))
}
