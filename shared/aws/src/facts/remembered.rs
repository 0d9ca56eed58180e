//! What of the registry is remembered for half a minute: domains and environments. Every stage asks for them, there
//! are few, and they hardly change. Mailboxes are always read: whether one is there decides what is done.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use pec::Instant;
use stages::{
    log::LogEntry,
    ports::{Commit, Committed, Facts, FactsError, Page, RowKey, StoredRow, Table},
};
use tokio::time;

/// How long what is remembered counts.
const FRESH: Duration = Duration::from_secs(30);
/// Rows that are remembered; more than a provider has.
const ROWS_MAX: usize = 4096;
/// Rows of these kinds.
const KINDS: [&str; 2] = ["domain", "environment"];

/// Tables, with some rows of the registry in memory.
pub struct Remembered {
    facts: Arc<dyn Facts>,
    rows: Mutex<HashMap<RowKey, (time::Instant, StoredRow)>>,
}

impl Remembered {
    /// On top of these tables.
    #[must_use]
    pub fn new(facts: Arc<dyn Facts>) -> Self {
        Self { facts, rows: Mutex::default() }
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<RowKey, (time::Instant, StoredRow)>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recall(&self, key: &RowKey) -> Option<StoredRow> {
        let rows = self.rows();
        rows.get(key).filter(|(read, _)| read.elapsed() < FRESH).map(|(_, row)| row.clone())
    }

    /// Only what is there: something new is seen at once.
    fn remember(&self, row: &StoredRow) {
        let key = &row.row.key;
        if key.table == Table::Registry && KINDS.contains(&key.sk.as_str()) {
            let mut rows = self.rows();
            if rows.len() >= ROWS_MAX {
                rows.clear();
            }
            rows.insert(key.clone(), (time::Instant::now(), row.clone()));
        }
    }
}

#[async_trait]
impl Facts for Remembered {
    async fn commit(&self, commit: Commit) -> Result<Committed, FactsError> {
        let settings = commit.writes.iter().any(|w| w.key().table == Table::Registry);
        let committed = self.facts.commit(commit).await;
        // What the commit was made from may be what has changed.
        if settings || !matches!(committed, Ok(Committed::Now)) {
            self.rows().clear();
        }
        committed
    }

    async fn get(&self, key: &RowKey) -> Result<Option<StoredRow>, FactsError> {
        if let Some(row) = self.recall(key) {
            return Ok(Some(row));
        }
        let row = self.facts.get(key).await?;
        row.iter().for_each(|row| self.remember(row));
        Ok(row)
    }

    async fn get_many(&self, keys: &[RowKey]) -> Result<Vec<Option<StoredRow>>, FactsError> {
        let mut rows: Vec<Option<StoredRow>> = keys.iter().map(|key| self.recall(key)).collect();
        let asked = |rows: &[Option<StoredRow>]| -> Vec<RowKey> {
            keys.iter().zip(rows).filter(|(_, row)| row.is_none()).map(|(key, _)| key.clone()).collect()
        };
        let mut read = self.facts.get_many(&asked(&rows)).await?.into_iter();
        for row in rows.iter_mut().filter(|row| row.is_none()) {
            *row = read.next().flatten();
            row.iter().for_each(|row| self.remember(row));
        }
        Ok(rows)
    }

    fn is_far(&self) -> bool {
        self.facts.is_far()
    }

    async fn query(
        &self,
        table: Table,
        pk: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, FactsError> {
        self.facts.query(table, pk, prefix, after, limit).await
    }

    async fn lookup(
        &self,
        table: Table,
        pk: &str,
        from: &str,
        limit: usize,
    ) -> Result<Vec<StoredRow>, FactsError> {
        self.facts.lookup(table, pk, from, limit).await
    }

    async fn due(&self, now: Instant, limit: usize) -> Result<Vec<StoredRow>, FactsError> {
        self.facts.due(now, limit).await
    }

    async fn postpone(
        &self,
        key: &RowKey,
        version: u64,
        from: Instant,
        to: Instant,
    ) -> Result<bool, FactsError> {
        self.facts.postpone(key, version, from, to).await
    }

    async fn log(&self, pec_id: &str) -> Result<Vec<LogEntry>, FactsError> {
        self.facts.log(pec_id).await
    }
}

#[cfg(test)]
mod tests {
    use sigillo_tests::world::MemoryFacts;
    use stages::ports::{Row, Write};

    use super::*;

    fn row(pk: &str, sk: &str, body: &str) -> Row {
        let key = RowKey { table: Table::Registry, pk: pk.to_owned(), sk: sk.to_owned() };
        Row { key, body: body.to_owned(), debt: None, lookup: None }
    }

    async fn commit(facts: &dyn Facts, write: Write) -> Committed {
        facts.commit(Commit { writes: vec![write], entries: Vec::new() }).await.unwrap()
    }

    async fn body(facts: &dyn Facts, row: &Row) -> Option<String> {
        let alone = facts.get(&row.key).await.unwrap();
        let among = facts.get_many(&[row.key.clone(), row.key.clone()]).await.unwrap();
        assert_eq!(among, [alone.clone(), alone.clone()]);
        alone.map(|r| r.row.body)
    }

    #[tokio::test(start_paused = true)]
    async fn a_domain_is_remembered_for_half_a_minute_and_a_mailbox_is_not() {
        let table = Arc::new(MemoryFacts::default());
        let facts = Remembered::new(Arc::clone(&table) as _);
        let (domain, mailbox) = (row("domain#a", "domain", "1"), row("address#a", "mailbox", "1"));
        assert_eq!(body(&facts, &domain).await, None);
        for row in [&domain, &mailbox] {
            commit(table.as_ref(), Write::Insert(row.clone())).await;
            assert_eq!(body(&facts, row).await.as_deref(), Some("1"), "what is new is seen at once");
            let row = Row { body: "2".to_owned(), ..row.clone() };
            commit(table.as_ref(), Write::Replace { row, was: 1 }).await;
        }
        assert_eq!(body(&facts, &domain).await.as_deref(), Some("1"));
        assert_eq!(body(&facts, &mailbox).await.as_deref(), Some("2"));
        time::advance(FRESH).await;
        assert_eq!(body(&facts, &domain).await.as_deref(), Some("2"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_that_is_lost_or_changes_the_registry_ends_what_is_remembered() {
        let table = Arc::new(MemoryFacts::default());
        let facts = Remembered::new(Arc::clone(&table) as _);
        let domain = row("domain#a", "domain", "1");
        commit(&facts, Write::Insert(domain.clone())).await;
        let change = |body: &str, was| Write::Replace { row: row("domain#a", "domain", body), was };
        assert_eq!(body(&facts, &domain).await.as_deref(), Some("1"));
        commit(&facts, change("2", 1)).await;
        assert_eq!(body(&facts, &domain).await.as_deref(), Some("2"));
        commit(table.as_ref(), change("3", 2)).await;
        let other = RowKey { table: Table::Letters, ..row("p", "s", "").key };
        assert_eq!(commit(&facts, Write::Check { key: other, was: 1 }).await, Committed::Lost);
        assert_eq!(body(&facts, &domain).await.as_deref(), Some("3"));
    }
}
