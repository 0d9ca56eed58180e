//! Rows that were read or written lately. SQLite forgets the pages of a reading connection at every commit of the
//! writer, so that under load each read begins at the disk cache; most rows are read again within milliseconds.
//!
//! It is never behind an answered commit: the writing thread puts its rows here after COMMIT and before anybody is
//! answered, and what a read found is only kept if no commit happened meanwhile. Nobody else writes the file, because
//! the folder is locked.

use std::sync::{Mutex, MutexGuard, PoisonError};

use stages::ports::{RowKey, StoredRow};

use crate::HashMap;

/// Bytes of rows in one of the two halves.
const HALF_BYTES: usize = 4 << 20;

/// What an entry costs beside its strings, about.
const ENTRY_BYTES: usize = 200;

#[derive(Default)]
pub(super) struct Cache(Mutex<Halves>);

/// Two halves: what is used goes into the young one; when that is full, the old one goes.
#[derive(Default)]
struct Halves {
    young: HashMap<RowKey, Option<StoredRow>>,
    young_bytes: usize,
    old: HashMap<RowKey, Option<StoredRow>>,
    commits: u64,
}

/// The number of commits when a read began.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen(u64);

impl Cache {
    /// What is known of a row: that it is there, that it is not, or nothing.
    pub(super) fn get(&self, key: &RowKey) -> Result<Option<StoredRow>, Seen> {
        let mut halves = self.halves();
        if let Some(known) = halves.young.get(key) {
            return Ok(known.clone());
        }
        match halves.old.remove(key) {
            Some(known) => {
                halves.insert(key.clone(), known.clone());
                Ok(known)
            }
            None => Err(Seen(halves.commits)),
        }
    }

    /// What a read found, if it is not behind.
    pub(super) fn found(&self, key: &RowKey, what: &Option<StoredRow>, seen: Seen) {
        let mut halves = self.halves();
        if Seen(halves.commits) == seen {
            halves.insert(key.clone(), what.clone());
        }
    }

    /// What a transaction left under its keys; `None` where that is not known. Before anybody is answered.
    pub(super) fn committed(&self, rows: impl IntoIterator<Item = (RowKey, Option<Option<StoredRow>>)>) {
        let mut halves = self.halves();
        halves.commits += 1;
        for (key, now) in rows {
            halves.old.remove(&key);
            match now {
                Some(now) => halves.insert(key, now),
                None => halves.forget(&key),
            }
        }
    }

    /// A transaction failed, and what it left is not known.
    pub(super) fn clear(&self) {
        let mut halves = self.halves();
        let commits = halves.commits + 1;
        *halves = Halves { commits, ..Halves::default() };
    }

    fn halves(&self) -> MutexGuard<'_, Halves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Halves {
    fn insert(&mut self, key: RowKey, row: Option<StoredRow>) {
        let key_bytes = key.pk.len() + key.sk.len();
        self.young_bytes += size(key_bytes, row.as_ref());
        if let Some(was) = self.young.insert(key, row) {
            self.young_bytes -= size(key_bytes, was.as_ref());
        }
        if self.young_bytes > HALF_BYTES {
            // The old one's table is used again: a new one would be asked for, and moved, size by size.
            self.old.clear();
            std::mem::swap(&mut self.young, &mut self.old);
            self.young_bytes = 0;
        }
    }

    fn forget(&mut self, key: &RowKey) {
        if let Some(was) = self.young.remove(key) {
            self.young_bytes -= size(key.pk.len() + key.sk.len(), was.as_ref());
        }
    }
}

/// Bytes of an entry, about.
fn size(key_bytes: usize, row: Option<&StoredRow>) -> usize {
    ENTRY_BYTES + key_bytes + row.map_or(0, |r| r.row.body.capacity())
}

#[cfg(test)]
mod tests {
    use stages::ports::{Row, Table};

    use super::*;

    fn key(n: usize) -> RowKey {
        RowKey { table: Table::Letters, pk: "p".to_owned(), sk: n.to_string() }
    }

    fn row(n: usize, version: u64) -> Option<StoredRow> {
        let row = Row { key: key(n), body: "x".repeat(1000), debt: None, lookup: None };
        Some(StoredRow { row, version })
    }

    #[test]
    fn what_a_read_found_before_a_commit_is_not_kept_after_it() {
        let cache = Cache::default();
        let Err(seen) = cache.get(&key(1)) else { panic!("known already") };
        cache.committed([(key(1), Some(row(1, 2)))]);
        cache.found(&key(1), &row(1, 1), seen);
        assert_eq!(cache.get(&key(1)).ok(), Some(row(1, 2)));
        let Err(seen) = cache.get(&key(2)) else { panic!("known already") };
        cache.found(&key(2), &None, seen);
        assert_eq!(cache.get(&key(2)).ok(), Some(None), "that a row is not there is known too");
        cache.committed([(key(2), Some(row(2, 1))), (key(1), None)]);
        assert_eq!(cache.get(&key(2)).ok(), Some(row(2, 1)));
        assert!(cache.get(&key(1)).is_err());
    }

    #[test]
    fn it_stays_small_and_keeps_what_is_used() {
        let cache = Cache::default();
        cache.committed([(key(0), Some(row(0, 1)))]);
        for n in 1..50_000 {
            cache.committed([(key(n), Some(row(n, 1)))]);
            if n % 1000 == 0 {
                assert!(cache.get(&key(0)).is_ok(), "{n}");
            }
        }
        let halves = cache.halves();
        assert!((halves.young.len() + halves.old.len()) * 1200 <= 2 * HALF_BYTES + 1200);
        assert!(!halves.young.contains_key(&key(1)) && !halves.old.contains_key(&key(1)));
    }

    #[test]
    fn after_a_failure_nothing_is_known() {
        let cache = Cache::default();
        cache.committed([(key(1), Some(row(1, 1)))]);
        let Err(seen) = cache.get(&key(2)) else { panic!("known already") };
        cache.clear();
        cache.found(&key(2), &None, seen);
        assert!(cache.get(&key(1)).is_err() && cache.get(&key(2)).is_err());
    }
}
