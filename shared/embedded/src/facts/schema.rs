//! The tables, and how a connection to them is set up.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, config::DbConfig};
use stages::ports::FactsError;

use super::unavailable;

/// How the tables look; a later form adds to it and counts `user_version` up.
///
/// `rows.id` and the numbers of partitions grow with time, so that a new row lands beside its neighbours and not in a
/// random page. The legal log is append-only: the triggers refuse whatever an SQL statement of ours could do to an
/// entry (design §3 rule 4).
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS partitions(
    id INTEGER PRIMARY KEY,
    tab INTEGER NOT NULL,
    pk TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS partitions_by_name ON partitions(tab, pk);
CREATE TRIGGER IF NOT EXISTS partitions_keep_names BEFORE UPDATE ON partitions
    BEGIN SELECT RAISE(ABORT, 'partitions are never changed'); END;
CREATE TRIGGER IF NOT EXISTS partitions_stay BEFORE DELETE ON partitions
    BEGIN SELECT RAISE(ABORT, 'partitions are never changed'); END;

CREATE TABLE IF NOT EXISTS rows(
    id INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    sk TEXT NOT NULL,
    version INTEGER NOT NULL,
    debt_job TEXT,
    owed_since INTEGER,
    due INTEGER,
    lookup_tab INTEGER,
    lookup_pk TEXT,
    lookup_sk TEXT,
    body TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS rows_by_key ON rows(partition, sk);
CREATE INDEX IF NOT EXISTS rows_by_due ON rows(due) WHERE due IS NOT NULL;
CREATE INDEX IF NOT EXISTS rows_by_lookup ON rows(lookup_tab, lookup_pk, lookup_sk) WHERE lookup_tab IS NOT NULL;

CREATE TABLE IF NOT EXISTS log(
    seq INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    sk TEXT NOT NULL,
    at INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS log_by_key ON log(partition, sk);
CREATE TRIGGER IF NOT EXISTS log_keeps_entries BEFORE UPDATE ON log
    BEGIN SELECT RAISE(ABORT, 'the legal log is append-only'); END;
CREATE TRIGGER IF NOT EXISTS log_loses_nothing BEFORE DELETE ON log
    BEGIN SELECT RAISE(ABORT, 'the legal log is append-only'); END;
";

/// The form of the tables that this code writes.
const FORM: i64 = 1;

/// How long a connection waits for another one: the checkpoint that starts the log anew holds everybody up briefly.
const BUSY_MAX: Duration = Duration::from_secs(10);

/// The connection that writes. Makes the tables if they are not there.
pub(super) fn writer(path: &Path) -> Result<Connection, FactsError> {
    let form = |db: &Connection| db.pragma_query_value(None, "user_version", |r| r.get(0));
    let connection = open(path).map_err(unavailable)?;
    match form(&connection).map_err(unavailable)? {
        FORM => return Ok(connection),
        0 => {}
        later => {
            return Err(FactsError::Unavailable(format!(
                "tables of form {later}, this release knows {FORM}"
            )));
        }
    }
    connection.execute_batch(SCHEMA).map_err(unavailable)?;
    connection.pragma_update(None, "user_version", FORM).map_err(unavailable)?;
    Ok(connection)
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_MAX)?;
    keep_plans(&connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: a COMMIT that returned is on the disk. Checkpoints are somebody else's work.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // Not more: a COMMIT after a page was split looks at all of it.
    connection.pragma_update(None, "cache_size", -8 * 1024)?;
    // Statements that replace rows would otherwise fire no DELETE trigger.
    connection.pragma_update(None, "recursive_triggers", true)?;
    Ok(connection)
}

/// A statement keeps its plan. Else one with `LIMIT ?` is planned anew whenever it is bound.
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// A connection that only reads.
pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_MAX)?;
    keep_plans(&connection)?;
    connection.pragma_update(None, "cache_size", -8 * 1024)?;
    connection.set_prepared_statement_cache_capacity(16);
    Ok(connection)
}
