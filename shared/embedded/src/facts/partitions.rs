//! Partitions by number. The names of partitions are long and many are hashes; their numbers are short and grow with
//! time, so that the rows of the letters of this minute lie beside each other in every index, however many there are.

use rusqlite::{Error, OptionalExtension, params};
use stages::ports::Table;

use super::{places::Places, statements::Statements};
use crate::HashMap;

/// Names that are remembered at most: a letter has four, and is over within a second.
const REMEMBERED_MAX: usize = 32_768;

/// The number of the legal log in the column `tab`.
pub(super) const LOG: i64 = 3;

/// The number of a table in the column `tab`. Never changes.
pub(super) const fn table_number(table: Table) -> i64 {
    match table {
        Table::Letters => 0,
        Table::Mailboxes => 1,
        Table::Registry => 2,
    }
}

/// Numbers that the writing thread has seen. A number that is seen stays: partitions are never removed.
#[derive(Default)]
pub(super) struct Partitions {
    of_table: [HashMap<String, i64>; 4],
    remembered: usize,
    /// What is in those that were made here.
    pub places: Places,
}

impl Partitions {
    /// The number of a partition; `None` if nothing was ever in it.
    pub(super) fn find(
        &mut self,
        db: &mut Statements<'_>,
        tab: i64,
        pk: &str,
    ) -> rusqlite::Result<Option<i64>> {
        if let Some(number) = self.of(tab).get(pk) {
            return Ok(Some(*number));
        }
        let number = db.partition.query_row(params![tab, pk], |r| r.get(0)).optional()?;
        if let Some(number) = number {
            self.remember(tab, pk, number);
        }
        Ok(number)
    }

    /// The number of a partition, a new one if there is none: mostly there is none, so that is tried first.
    pub(super) fn find_or_make(
        &mut self,
        db: &mut Statements<'_>,
        tab: i64,
        pk: &str,
    ) -> rusqlite::Result<i64> {
        if let Some(number) = self.of(tab).get(pk) {
            return Ok(*number);
        }
        let number = match db.new_partition.insert(params![tab, pk]) {
            Ok(number) => {
                self.places.begin(number);
                number
            }
            Err(Error::StatementChangedRows(0)) => db.partition.query_row(params![tab, pk], |r| r.get(0))?,
            Err(error) => return Err(error),
        };
        self.remember(tab, pk, number);
        Ok(number)
    }

    /// A transaction failed: numbers that it gave are not given, rows that it wrote are not there.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    fn of(&mut self, tab: i64) -> &mut HashMap<String, i64> {
        let [letters, mailboxes, registry, log] = &mut self.of_table;
        match tab {
            0 => letters,
            1 => mailboxes,
            2 => registry,
            _ => log,
        }
    }

    fn remember(&mut self, tab: i64, pk: &str, number: i64) {
        if self.remembered >= REMEMBERED_MAX {
            self.of_table = Default::default();
            self.remembered = 0;
        }
        self.remembered += 1;
        self.of(tab).insert(pk.to_owned(), number);
    }
}
