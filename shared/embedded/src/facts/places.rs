//! Where the rows are that were written lately. A partition that the writing thread has made itself is known whole, so
//! that neither a row that is there nor one that is not has to be looked for: only this thread writes, and most
//! partitions are a letter's, which is over within a second.

use stages::ports::Lookup;

use crate::HashMap;

/// Rows and partitions in one of the two halves.
const HALF_MAX: usize = 16_384;

/// A partition with more rows than this is looked at in the table, as older ones are.
const ROWS_MAX: usize = 256;

/// A row as it is in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub id: i64,
    pub version: u64,
    pub lookup: Option<Lookup>,
}

/// Rows of one partition, all of them. Mostly they are a handful.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rows(Vec<(String, Place)>);

impl Rows {
    pub(super) fn get(&self, sk: &str) -> Option<&Place> {
        self.0.iter().find(|(known, _)| known == sk).map(|(_, place)| place)
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// Two halves: what is used goes into the young one; when that is full, the old one goes.
#[derive(Default)]
pub(super) struct Places {
    young: HashMap<i64, Rows>,
    young_size: usize,
    old: HashMap<i64, Rows>,
}

impl Places {
    /// A partition was made: nothing is in it.
    pub(super) fn begin(&mut self, partition: i64) {
        self.take_in(partition, Rows::default());
    }

    /// The rows of a partition, if it is known.
    pub(super) fn of(&mut self, partition: i64) -> Option<&Rows> {
        self.known(partition).map(|rows| &*rows)
    }

    /// A row was written.
    pub(super) fn wrote(&mut self, partition: i64, sk: &str, place: Place) {
        let Some(rows) = self.known(partition) else { return };
        if rows.len() >= ROWS_MAX {
            self.young.remove(&partition);
            return;
        }
        match rows.0.iter_mut().find(|(known, _)| known == sk) {
            Some((_, known)) => *known = place,
            None => {
                rows.0.push((sk.to_owned(), place));
                self.young_size += 1;
            }
        }
    }

    /// A row is gone.
    pub(super) fn removed(&mut self, partition: i64, sk: &str) {
        if let Some(rows) = self.known(partition) {
            rows.0.retain(|(known, _)| known != sk);
        }
    }

    fn known(&mut self, partition: i64) -> Option<&mut Rows> {
        if !self.young.contains_key(&partition) {
            let rows = self.old.remove(&partition)?;
            self.take_in(partition, rows);
        }
        self.young.get_mut(&partition)
    }

    fn take_in(&mut self, partition: i64, rows: Rows) {
        if self.young_size >= HALF_MAX {
            self.old.clear();
            std::mem::swap(&mut self.young, &mut self.old);
            self.young_size = 0;
        }
        self.young_size += 1 + rows.len();
        self.young.insert(partition, rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(id: i64) -> Place {
        Place { id, version: 1, lookup: None }
    }

    #[test]
    fn only_what_was_made_here_is_known_and_then_all_of_it() {
        let mut places = Places::default();
        places.wrote(7, "a", place(1));
        assert_eq!(places.of(7), None, "who made it is not known, nor what else is in it");
        places.begin(8);
        places.wrote(8, "a", place(2));
        places.wrote(8, "a", Place { version: 2, ..place(2) });
        assert_eq!(places.of(8).and_then(|rows| rows.get("a")).map(|p| p.version), Some(2));
        assert_eq!(places.of(8).map(|rows| rows.get("b").is_some()), Some(false));
        places.removed(8, "a");
        assert_eq!(places.of(8).map(Rows::len), Some(0));
    }

    #[test]
    fn it_stays_small_keeps_what_is_used_and_forgets_partitions_whole() {
        let mut places = Places::default();
        places.begin(0);
        places.wrote(0, "a", place(1));
        for n in 1..100_000 {
            places.begin(n);
            places.wrote(n, "a", place(n));
            if n % 1000 == 0 {
                assert!(places.of(0).is_some_and(|rows| rows.get("a").is_some()), "{n}");
            }
        }
        assert_eq!(places.of(1), None);
        assert!(places.young.len() + places.old.len() <= 2 * HALF_MAX);
        for n in 0..=ROWS_MAX {
            places.wrote(0, &n.to_string(), place(1));
        }
        assert_eq!(places.of(0), None, "a large one is not kept in part");
    }
}
