//! The statements of the writing thread, prepared once: a letter takes some thirty, and to find one by its text costs more
//! than some of them do.

use rusqlite::{Connection, PrepFlags, Statement};

/// What the writing thread says to SQLite.
pub(super) struct Statements<'c> {
    pub begin: Statement<'c>,
    pub commit: Statement<'c>,
    /// A partition by its name.
    pub partition: Statement<'c>,
    /// A new number for a name that has none, else nothing.
    pub new_partition: Statement<'c>,
    /// Id and version of a row, and whether its place in the table's index is the one that is given.
    pub find_row: Statement<'c>,
    pub insert_row: Statement<'c>,
    pub replace_row: Statement<'c>,
    pub move_lookup: Statement<'c>,
    pub delete_row: Statement<'c>,
    pub postpone: Statement<'c>,
    pub find_entry: Statement<'c>,
    pub append_entry: Statement<'c>,
}

impl<'c> Statements<'c> {
    pub(super) fn prepare(db: &'c Connection) -> rusqlite::Result<Self> {
        let prepare = |sql| db.prepare_with_flags(sql, PrepFlags::SQLITE_PREPARE_PERSISTENT);
        Ok(Self {
            begin: prepare("BEGIN IMMEDIATE")?,
            commit: prepare("COMMIT")?,
            partition: prepare("SELECT id FROM partitions WHERE tab = ?1 AND pk = ?2")?,
            new_partition: prepare(
                "INSERT INTO partitions(tab, pk) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            )?,
            find_row: prepare(
                "SELECT id, version, lookup_pk IS ?3 AND lookup_sk IS ?4
                 FROM rows WHERE partition = ?1 AND sk = ?2",
            )?,
            insert_row: prepare(
                "INSERT INTO rows(partition, sk, version, body, debt_job, owed_since, due, lookup_tab, lookup_pk, lookup_sk)
                 VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?,
            replace_row: prepare(
                "UPDATE rows SET version = version + 1, body = ?2, debt_job = ?3, owed_since = ?4, due = ?5 WHERE id = ?1",
            )?,
            move_lookup: prepare(
                "UPDATE rows SET lookup_tab = ?2, lookup_pk = ?3, lookup_sk = ?4 WHERE id = ?1",
            )?,
            delete_row: prepare("DELETE FROM rows WHERE id = ?1")?,
            postpone: prepare(
                "UPDATE rows SET due = ?1 WHERE partition = ?2 AND sk = ?3 AND version = ?4 AND due = ?5",
            )?,
            find_entry: prepare("SELECT 1 FROM log WHERE partition = ?1 AND sk = ?2")?,
            append_entry: prepare("INSERT INTO log(partition, sk, at, body) VALUES (?1, ?2, ?3, ?4)")?,
        })
    }
}
