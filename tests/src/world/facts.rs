//! The tables in memory.

use std::{
    collections::{BTreeMap, HashSet, hash_map::DefaultHasher},
    hash::Hash,
    ops::Bound,
    sync::Mutex,
};

use async_trait::async_trait;
use pec::Instant;
use stages::{
    log::LogEntry,
    ports::{Commit, Committed, Facts, FactsError, Page, RowKey, StoredRow, Table, Write},
};

/// Octets of one body at most.
const BODY_BYTES_MAX: usize = 350_000;
/// A page is cut here, as DynamoDB cuts it: who reads must go on.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// Rows and log, exactly as [`Facts`] says.
#[derive(Debug, Default)]
pub struct MemoryFacts(Mutex<State>);

#[derive(Clone, Debug, Default)]
struct State {
    rows: BTreeMap<RowKey, StoredRow>,
    log: BTreeMap<String, Vec<LogEntry>>,
    appended: HashSet<(String, String)>,
}

impl MemoryFacts {
    /// Another store with the same content, independent from here on.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self(Mutex::new(self.0.lock().unwrap().clone()))
    }

    /// Every row, in order of table, partition, place.
    #[must_use]
    pub fn rows(&self) -> Vec<StoredRow> {
        self.0.lock().unwrap().rows.values().cloned().collect()
    }

    /// Every log entry, by PEC id in order of commit.
    #[must_use]
    pub fn entries(&self) -> Vec<LogEntry> {
        self.0.lock().unwrap().log.values().flatten().cloned().collect()
    }

    /// Feeds all content to a hash.
    pub fn hash_into(&self, hasher: &mut DefaultHasher) {
        let state = self.0.lock().unwrap();
        for (key, stored) in &state.rows {
            key.hash(hasher);
            stored.version.hash(hasher);
            stored.row.body.hash(hasher);
            format!("{:?}{:?}", stored.row.debt, stored.row.lookup).hash(hasher);
        }
        for entry in state.log.values().flatten() {
            format!("{entry:?}").hash(hasher);
        }
    }
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
                Write::Insert(row) => {
                    self.rows.insert(row.key.clone(), StoredRow { row, version: 1 });
                }
                Write::Replace { row, was } => {
                    self.rows.insert(row.key.clone(), StoredRow { row, version: was + 1 });
                }
                Write::Delete { key, .. } => {
                    self.rows.remove(&key);
                }
                Write::Check { .. } => {}
            }
        }
        for entry in commit.entries {
            self.appended.insert((entry.pec_id.clone(), entry.sk()));
            self.log.entry(entry.pec_id.clone()).or_default().push(entry);
        }
    }
}

#[async_trait]
impl Facts for MemoryFacts {
    async fn commit(&self, commit: Commit) -> Result<Committed, FactsError> {
        within_limits(&commit)?;
        let mut state = self.0.lock().unwrap();
        if !state.holds(&commit) {
            return Ok(Committed::Lost);
        }
        state.apply(commit);
        Ok(Committed::Now)
    }

    async fn get(&self, key: &RowKey) -> Result<Option<StoredRow>, FactsError> {
        Ok(self.0.lock().unwrap().rows.get(key).cloned())
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
        let state = self.0.lock().unwrap();
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
            page.rows.push(stored.clone());
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
        let state = self.0.lock().unwrap();
        let place = |s: &&StoredRow| s.row.lookup.as_ref().map(|l| l.sk.clone());
        let mut found: Vec<&StoredRow> = state
            .rows
            .values()
            .filter(|s| s.row.key.table == table)
            .filter(|s| s.row.lookup.as_ref().is_some_and(|l| l.pk == pk && l.sk.as_str() >= from))
            .collect();
        found.sort_by_key(place);
        Ok(found.into_iter().take(limit).cloned().collect())
    }

    async fn due(&self, now: Instant, limit: usize) -> Result<Vec<StoredRow>, FactsError> {
        let state = self.0.lock().unwrap();
        let due = |s: &&StoredRow| s.row.debt.as_ref().map(|d| d.due);
        let mut found: Vec<&StoredRow> =
            state.rows.values().filter(|s| due(s).is_some_and(|due| due <= now)).collect();
        found.sort_by_key(due);
        Ok(found.into_iter().take(limit).cloned().collect())
    }

    async fn postpone(
        &self,
        key: &RowKey,
        version: u64,
        from: Instant,
        to: Instant,
    ) -> Result<bool, FactsError> {
        let mut state = self.0.lock().unwrap();
        let debt = state
            .rows
            .get_mut(key)
            .filter(|s| s.version == version)
            .and_then(|s| s.row.debt.as_mut())
            .filter(|d| d.due == from);
        Ok(debt.map(|d| d.due = to).is_some())
    }

    async fn log(&self, pec_id: &str) -> Result<Vec<LogEntry>, FactsError> {
        Ok(self.0.lock().unwrap().log.get(pec_id).cloned().unwrap_or_default())
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
