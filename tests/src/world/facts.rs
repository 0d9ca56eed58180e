//! The tables in memory.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    ops::Bound,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use pec::Instant;
use stages::{
    log::LogEntry,
    ports::{Commit, Committed, Debt, Facts, FactsError, Page, RowKey, StoredRow, Table, Write},
};

/// Octets of one body at most.
const BODY_BYTES_MAX: usize = 350_000;
/// A page is cut here, as DynamoDB cuts it: who reads must go on.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// Rows and log, exactly as [`Facts`] says. Far, as on AWS.
#[derive(Debug, Default)]
pub struct MemoryFacts {
    state: Mutex<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    rows: BTreeMap<RowKey, Arc<StoredRow>>,
    /// Rows that owe something, by when it is due.
    owed: BTreeSet<(Instant, RowKey)>,
    log: BTreeMap<String, Vec<LogEntry>>,
    appended: HashSet<(String, String)>,
    /// The sum of the hashes of all rows and entries: a hash of the content, kept up to date.
    content: u64,
}

impl MemoryFacts {
    /// Another store with the same content, independent from here on.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { state: Mutex::new(self.state.lock().unwrap().clone()) }
    }

    /// Every row, in order of table, partition, place.
    #[must_use]
    pub fn rows(&self) -> Vec<StoredRow> {
        self.state.lock().unwrap().rows.values().map(|s| s.as_ref().clone()).collect()
    }

    /// What is owed.
    #[must_use]
    pub fn debts(&self) -> Vec<Debt> {
        let state = self.state.lock().unwrap();
        state.owed.iter().filter_map(|(_, key)| state.rows.get(key)?.row.debt.clone()).collect()
    }

    /// When something is due next.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.state.lock().unwrap().owed.first().map(|(due, _)| *due)
    }

    /// Whether there is such a row.
    #[must_use]
    pub fn has(&self, key: &RowKey) -> bool {
        self.state.lock().unwrap().rows.contains_key(key)
    }

    /// Every log entry, by PEC id in order of commit.
    #[must_use]
    pub fn entries(&self) -> Vec<LogEntry> {
        self.state.lock().unwrap().log.values().flatten().cloned().collect()
    }

    /// A hash of all content.
    #[must_use]
    pub fn content(&self) -> u64 {
        self.state.lock().unwrap().content
    }
}

/// A hash of a row with all that belongs to it.
pub(super) fn hash_row(stored: &StoredRow) -> u64 {
    let mut hasher = DefaultHasher::new();
    let StoredRow { row, version } = stored;
    (&row.key, version, &row.body).hash(&mut hasher);
    format!("{:?}{:?}", row.debt, row.lookup).hash(&mut hasher);
    hasher.finish()
}

fn hash_entry(entry: &LogEntry, place: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    (place, format!("{entry:?}")).hash(&mut hasher);
    hasher.finish()
}

impl State {
    fn holds(&self, commit: &Commit) -> bool {
        let version = |key: &RowKey| self.rows.get(key).map(|s| s.version);
        commit.writes.iter().all(|write| match write {
            Write::Insert(row) => version(&row.key).is_none(),
            Write::Replace { row, was } => version(&row.key) == Some(*was),
            Write::Delete { key, was } | Write::Check { key, was } => version(key) == Some(*was),
        }) && commit.entries.iter().all(|e| !self.appended.contains(&(e.pec_id.clone(), e.sk())))
    }

    fn apply(&mut self, commit: Commit) {
        for write in commit.writes {
            match write {
                Write::Insert(row) => self.put(StoredRow { row, version: 1 }),
                Write::Replace { row, was } => self.put(StoredRow { row, version: was + 1 }),
                Write::Delete { key, .. } => self.remove(&key),
                Write::Check { .. } => {}
            }
        }
        for entry in commit.entries {
            self.appended.insert((entry.pec_id.clone(), entry.sk()));
            let log = self.log.entry(entry.pec_id.clone()).or_default();
            self.content = self.content.wrapping_add(hash_entry(&entry, log.len()));
            log.push(entry);
        }
    }

    fn put(&mut self, stored: StoredRow) {
        let key = stored.row.key.clone();
        self.remove(&key);
        self.content = self.content.wrapping_add(hash_row(&stored));
        self.owed.extend(stored.row.debt.as_ref().map(|debt| (debt.due, key.clone())));
        self.rows.insert(key, Arc::new(stored));
    }

    fn remove(&mut self, key: &RowKey) {
        if let Some(old) = self.rows.remove(key) {
            self.content = self.content.wrapping_sub(hash_row(&old));
            if let Some(debt) = &old.row.debt {
                self.owed.remove(&(debt.due, key.clone()));
            }
        }
    }
}

#[async_trait]
impl Facts for MemoryFacts {
    async fn commit(&self, commit: Commit) -> Result<Committed, FactsError> {
        within_limits(&commit)?;
        let mut state = self.state.lock().unwrap();
        if !state.holds(&commit) {
            return Ok(Committed::Lost);
        }
        state.apply(commit);
        Ok(Committed::Now)
    }

    async fn get(&self, key: &RowKey) -> Result<Option<StoredRow>, FactsError> {
        Ok(self.state.lock().unwrap().rows.get(key).map(|s| s.as_ref().clone()))
    }

    fn is_far(&self) -> bool {
        true
    }

    async fn query(
        &self,
        table: Table,
        pk: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, FactsError> {
        let key = |sk: &str| RowKey { table, pk: pk.to_owned(), sk: sk.to_owned() };
        let from = match after.filter(|a| *a >= prefix) {
            Some(after) => Bound::Excluded(key(after)),
            None => Bound::Included(key(prefix)),
        };
        let state = self.state.lock().unwrap();
        let mut rest = state
            .rows
            .range((from, Bound::Unbounded))
            .map(|(_, stored)| stored)
            .take_while(|s| {
                s.row.key.table == table && s.row.key.pk == pk && s.row.key.sk.starts_with(prefix)
            })
            .peekable();
        let (mut page, mut bytes) = (Page::default(), 0);
        while page.rows.len() < limit
            && let Some(stored) =
                rest.next_if(|s| page.rows.is_empty() || bytes + s.row.body.len() <= PAGE_BYTES_MAX)
        {
            bytes += stored.row.body.len();
            page.rows.push(stored.as_ref().clone());
        }
        page.next = rest.peek().and(page.rows.last()).map(|s| s.row.key.sk.clone());
        Ok(page)
    }

    async fn lookup(
        &self,
        table: Table,
        pk: &str,
        from: &str,
        limit: usize,
    ) -> Result<Vec<StoredRow>, FactsError> {
        let state = self.state.lock().unwrap();
        let place = |s: &&Arc<StoredRow>| s.row.lookup.as_ref().map(|l| l.sk.clone());
        let mut found: Vec<&Arc<StoredRow>> = state
            .rows
            .values()
            .filter(|s| s.row.key.table == table)
            .filter(|s| s.row.lookup.as_ref().is_some_and(|l| l.pk == pk && l.sk.as_str() >= from))
            .collect();
        found.sort_by_key(place);
        Ok(found.into_iter().take(limit).map(|s| s.as_ref().clone()).collect())
    }

    async fn due(&self, now: Instant, limit: usize) -> Result<Vec<StoredRow>, FactsError> {
        let state = self.state.lock().unwrap();
        let due = state.owed.iter().take_while(|(due, _)| *due <= now).take(limit);
        Ok(due.filter_map(|(_, key)| state.rows.get(key)).map(|s| s.as_ref().clone()).collect())
    }

    async fn postpone(
        &self,
        key: &RowKey,
        version: u64,
        from: Instant,
        to: Instant,
    ) -> Result<bool, FactsError> {
        let mut state = self.state.lock().unwrap();
        let found = state.rows.get(key).filter(|s| s.version == version);
        let Some(stored) = found.filter(|s| s.row.debt.as_ref().is_some_and(|d| d.due == from)) else {
            return Ok(false);
        };
        let mut stored = stored.as_ref().clone();
        stored.row.debt.iter_mut().for_each(|d| d.due = to);
        state.put(stored);
        Ok(true)
    }

    async fn log(&self, pec_id: &str) -> Result<Vec<LogEntry>, FactsError> {
        Ok(self.state.lock().unwrap().log.get(pec_id).cloned().unwrap_or_default())
    }
}

fn within_limits(commit: &Commit) -> Result<(), FactsError> {
    let refuse = |why: String| Err(FactsError::TooLarge(why));
    let items = commit.writes.len() + commit.entries.len();
    if items > Commit::ITEMS_MAX {
        return refuse(format!("{items} items"));
    }
    let mut bytes = 0;
    for write in &commit.writes {
        let (key, body) = match write {
            Write::Insert(row) | Write::Replace { row, .. } => (&row.key, row.body.len()),
            Write::Delete { key, .. } | Write::Check { key, .. } => (key, 0),
        };
        if key.pk.len() > 1024 || key.sk.len() > 512 || body > BODY_BYTES_MAX {
            return refuse(format!("row {}: a key or a body of {body} octets", key.sk));
        }
        bytes += body;
    }
    if bytes > Commit::BYTES_MAX {
        return refuse(format!("{bytes} octets"));
    }
    let rows: HashSet<&RowKey> = commit.writes.iter().map(Write::key).collect();
    let entries: HashSet<(&str, String)> =
        commit.entries.iter().map(|e| (e.pec_id.as_str(), e.sk())).collect();
    if rows.len() + entries.len() < items {
        return refuse("a key that occurs twice".to_owned());
    }
    Ok(())
}
