//! The rim: all ports together, and the one way to commit and hint.

use std::sync::Arc;

use bytes::Bytes;
use pec::Instant;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    BlobKey, SpoolId, StageError,
    jobs::Hint,
    log::LogEntry,
    mailbox::{Bells, Crowds},
    ports::{
        BlobError, Blobs, Carrier, Clock, Commit, Committed, Debt, Directory, Facts, FactsError, Ids, Lookup,
        Queue, Row, RowKey, Scanner, Signer, Table, Write,
    },
};

/// Rows that are read at a time.
const PAGE_ROWS: usize = 200;

/// Everything outside of the rules.
#[derive(Clone)]
pub struct Rim {
    /// Tables.
    pub facts: Arc<dyn Facts>,
    /// Bytes.
    pub blobs: Arc<dyn Blobs>,
    /// Hints.
    pub queue: Arc<dyn Queue>,
    /// Keys.
    pub signer: Arc<dyn Signer>,
    /// SMTP to the outside.
    pub carrier: Arc<dyn Carrier>,
    /// Viruses.
    pub scanner: Arc<dyn Scanner>,
    /// The provider index.
    pub directory: Arc<dyn Directory>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub ids: Arc<dyn Ids>,
    /// Signature and chain checks, with the anchors of the PEC network.
    pub verifier: Arc<smime::Verifier>,
    /// The provider's limits.
    pub limits: pec::check::Limits,
    /// Who is told at once that a mailbox changed.
    pub bells: Bells,
    /// Mailboxes where commits were lost lately.
    pub crowds: Crowds,
}

/// The typed body of a row: where it lives, and how it is found again.
pub trait Body: Serialize + DeserializeOwned {
    /// Its table.
    const TABLE: Table;
    /// Its key.
    fn key(&self) -> RowKey;
    /// Takes from the key of its row what is not stored in the body again.
    fn keyed(&mut self, _key: &RowKey) {}
    /// Its place in the table's index.
    fn lookup(&self) -> Option<Lookup> {
        None
    }
    /// Rows that are looked at by the stage that pays its debt, itself among them, as far as they are known from it; none
    /// where it is the only one.
    fn ahead(&self) -> Vec<RowKey> {
        Vec::new()
    }
}

/// A typed row as read.
#[derive(Clone, Debug)]
pub struct Found<T> {
    /// Its body.
    pub value: T,
    /// The version to condition on.
    pub version: u64,
    /// What it owes.
    pub debt: Option<Debt>,
}

/// Reads one typed row.
///
/// # Errors
/// [`FactsError`], also for a body that cannot be understood.
pub async fn read<T: Body>(facts: &dyn Facts, key: &RowKey) -> Result<Option<Found<T>>, FactsError> {
    facts.get(key).await?.map(typed).transpose()
}

/// Gives a stored row its type.
///
/// # Errors
/// [`FactsError::Damaged`] for a body that cannot be understood.
pub fn typed<T: Body>(stored: crate::ports::StoredRow) -> Result<Found<T>, FactsError> {
    let value = body(&stored.row.key, &stored.row.body)?;
    Ok(Found { value, version: stored.version, debt: stored.row.debt })
}

/// Reads the body of the row with this key.
///
/// # Errors
/// [`FactsError::Damaged`] for a body that cannot be understood.
pub fn body<T: Body>(key: &RowKey, text: &str) -> Result<T, FactsError> {
    let damaged = |e| FactsError::Damaged(format!("{}: {e}", key.sk));
    let mut value: T = serde_json::from_str(text).map_err(damaged)?;
    value.keyed(key);
    Ok(value)
}

/// A commit in the making.
#[derive(Debug, Default)]
pub struct Draft {
    commit: Commit,
    hints: Vec<Hint>,
    /// Hints name the rows that are looked at.
    far: bool,
}

impl Draft {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A row that must not be there.
    ///
    /// # Errors
    /// [`FactsError::Damaged`] if the body cannot be written as JSON, which would be a mistake of ours.
    pub fn insert<T: Body>(&mut self, body: &T, debt: Option<Debt>) -> Result<(), FactsError> {
        let row = self.row(body, debt)?;
        self.commit.writes.push(Write::Insert(row));
        Ok(())
    }

    /// A row that must still be in the version that was read.
    ///
    /// # Errors
    /// As [`Draft::insert`].
    pub fn replace<T: Body>(&mut self, was: u64, body: &T, debt: Option<Debt>) -> Result<(), FactsError> {
        let row = self.row(body, debt)?;
        self.commit.writes.push(Write::Replace { row, was });
        Ok(())
    }

    /// As [`Draft::replace`], with a debt that was there before: it is not hinted again.
    ///
    /// # Errors
    /// As [`Draft::insert`].
    pub fn replace_still_owing<T: Body>(&mut self, was: u64, body: &T, debt: Debt) -> Result<(), FactsError> {
        let row = self.row(body, None)?;
        self.commit.writes.push(Write::Replace { row: Row { debt: Some(debt), ..row }, was });
        Ok(())
    }

    /// A row that must still be in this version, and stays.
    pub fn check(&mut self, key: RowKey, was: u64) {
        self.commit.writes.push(Write::Check { key, was });
    }

    /// A row that must still be in this version, and goes.
    pub fn delete(&mut self, key: RowKey, was: u64) {
        self.commit.writes.push(Write::Delete { key, was });
    }

    /// An entry of the legal log.
    pub fn append(&mut self, entry: LogEntry) {
        self.commit.entries.push(entry);
    }

    /// How many items it has.
    #[must_use]
    pub const fn items(&self) -> usize {
        self.commit.writes.len() + self.commit.entries.len()
    }

    /// How many bytes of row bodies it has so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let body = |w: &Write| match w {
            Write::Insert(row) | Write::Replace { row, .. } => row.body.len(),
            Write::Delete { .. } | Write::Check { .. } => 0,
        };
        self.commit.writes.iter().map(body).sum()
    }

    fn row<T: Body>(&mut self, body: &T, debt: Option<Debt>) -> Result<Row, FactsError> {
        let text = json(body)?;
        if let Some(debt) = debt.as_ref().filter(|d| d.is_for_now()) {
            self.hints.push(match self.far {
                true => Hint::new(debt.job.clone(), body.ahead()),
                false => debt.job.clone().into(),
            });
        }
        Ok(Row { key: body.key(), body: text, debt, lookup: body.lookup() })
    }
}

impl Rim {
    /// An empty draft, whose hints name the rows that are looked at, where reads go far.
    #[must_use]
    pub fn draft(&self) -> Draft {
        Draft { far: self.facts.is_far(), ..Draft::default() }
    }

    /// Commits, then hints what is owed at once. Power fails before the commit: nothing happened, the old debt
    /// stands. After it and before the hints: `watch` hints what is overdue.
    ///
    /// # Errors
    /// [`StageError::Raced`] when a condition did not hold; [`StageError::Facts`] when the answer is unknown.
    pub async fn commit(&self, draft: Draft) -> Result<(), StageError> {
        match self.facts.commit(draft.commit).await? {
            Committed::Lost => Err(StageError::Raced),
            Committed::Now => {
                if !draft.hints.is_empty()
                    && let Err(error) = self.queue.send(draft.hints).await
                {
                    tracing::warn!(error = %error, "hints were not sent, watch will send them");
                }
                Ok(())
            }
        }
    }

    /// Reads one typed row.
    ///
    /// # Errors
    /// [`StageError::Facts`]
    pub async fn read<T: Body>(&self, key: &RowKey) -> Result<Option<Found<T>>, StageError> {
        Ok(read(self.facts.as_ref(), key).await?)
    }

    /// All typed rows of a partition whose `sk` begins with `prefix`.
    ///
    /// # Errors
    /// [`StageError::Facts`]
    pub async fn all<T: Body>(
        &self,
        table: Table,
        pk: &str,
        prefix: &str,
    ) -> Result<Vec<Found<T>>, StageError> {
        let mut rows = Vec::new();
        let mut after = None;
        loop {
            let page = self.facts.query(table, pk, prefix, after.as_deref(), PAGE_ROWS).await?;
            for stored in page.rows {
                rows.push(typed(stored)?);
            }
            after = page.next;
            if after.is_none() {
                return Ok(rows);
            }
        }
    }

    /// A blob that must be there.
    ///
    /// # Errors
    /// [`StageError::Blobs`]
    pub async fn blob(&self, key: &BlobKey) -> Result<Bytes, StageError> {
        Ok(self.blobs.get(key).await?.ok_or_else(|| BlobError::Missing(key.clone()))?)
    }

    /// A blob that must be there, with its SHA-256 in hex.
    ///
    /// # Errors
    /// [`StageError::Blobs`]
    pub async fn blob_hashed(&self, key: &BlobKey) -> Result<(Bytes, String), StageError> {
        let found = self.blobs.get_hashed(key).await?;
        let (bytes, sha256) = found.ok_or_else(|| BlobError::Missing(key.clone()))?;
        Ok((bytes, smime::hex(&sha256)))
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// A new id for what came in at this instant.
    #[must_use]
    pub fn spool_id(&self, at: Instant) -> SpoolId {
        SpoolId::new(at, self.clock.thousandths(), self.ids.fresh())
    }
}

/// Octets that most bodies of rows and entries of the log stay below: their text is written without being moved.
const BODY_BYTES: usize = 1024;

/// A body as JSON.
///
/// # Errors
/// [`FactsError::Damaged`] where it cannot be said in JSON.
pub fn json(body: &impl serde::Serialize) -> Result<String, FactsError> {
    let mut text = Vec::with_capacity(BODY_BYTES);
    serde_json::to_writer(&mut text, body).map_err(|e| FactsError::Damaged(e.to_string()))?;
    String::from_utf8(text).map_err(|e| FactsError::Damaged(e.to_string()))
}
