//! Rows that are read together, ahead of the steps that look at them one by one: a request of the table instead of
//! several.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use pec::Instant;

use crate::{
    Rim, StageError,
    log::LogEntry,
    ports::{Commit, Committed, Facts, FactsError, Page, RowKey, StoredRow, Table},
};

impl Rim {
    /// The same rim, with these rows read, where reads go far. What was read counts until the next commit; whoever tries
    /// anew reads anew.
    ///
    /// # Errors
    /// [`StageError::Facts`]
    pub async fn ahead(&self, keys: impl FnOnce() -> Vec<RowKey> + Send) -> Result<Self, StageError> {
        if !self.facts.is_far() {
            return Ok(self.clone());
        }
        let keys = keys();
        if keys.is_empty() {
            return Ok(self.clone());
        }
        let rows = self.facts.get_many(&keys).await?;
        let rows = Mutex::new(keys.into_iter().zip(rows).collect());
        Ok(Self { facts: Arc::new(Ahead { facts: Arc::clone(&self.facts), rows }), ..self.clone() })
    }
}

struct Ahead {
    facts: Arc<dyn Facts>,
    rows: Mutex<HashMap<RowKey, Option<StoredRow>>>,
}

#[async_trait]
impl Facts for Ahead {
    async fn commit(&self, commit: Commit) -> Result<Committed, FactsError> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.facts.commit(commit).await
    }

    async fn get(&self, key: &RowKey) -> Result<Option<StoredRow>, FactsError> {
        let known = self.rows.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        match known {
            Some(row) => Ok(row),
            None => self.facts.get(key).await,
        }
    }

    async fn get_many(&self, keys: &[RowKey]) -> Result<Vec<Option<StoredRow>>, FactsError> {
        // Some were read for somebody else already, perhaps all.
        let mut known = {
            let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
            keys.iter().map(|key| rows.get(key).cloned()).collect::<Vec<_>>()
        };
        let missing = keys.iter().zip(&known).filter(|(_, row)| row.is_none());
        let missing: Vec<RowKey> = missing.map(|(key, _)| key.clone()).collect();
        if !missing.is_empty() {
            let mut read = self.facts.get_many(&missing).await?.into_iter();
            known.iter_mut().filter(|row| row.is_none()).for_each(|row| *row = read.next());
        }
        Ok(known.into_iter().map(Option::flatten).collect())
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
