//! What the stages need from the world. Each trait says what an implementation owes; one contract suite runs
//! against every implementation.

use async_trait::async_trait;
use bytes::Bytes;
use mime::Rope;
use pec::{Address, Instant};
use serde::{Deserialize, Serialize};

use crate::{BlobKey, Job, accounts::Password, ids::CertificateId, jobs::Hint, log::LogEntry};

// ---------------------------------------------------------------------------------------------- Facts

/// A table of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Table {
    /// Heads, recipients, acts, dispatch and filing rows, spool rows.
    Letters,
    /// Mailboxes, folders, messages.
    Mailboxes,
    /// Organisations, domains, accounts, environments, settings.
    Registry,
}

impl Table {
    /// As it stands in names of tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Letters => "letters",
            Self::Mailboxes => "mailboxes",
            Self::Registry => "registry",
        }
    }
}

/// The key of a row: a partition and a place in it. Rows of one partition are ordered by `sk`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowKey {
    /// The table.
    pub table: Table,
    /// Partition key, at most 1,024 bytes.
    pub pk: String,
    /// Sort key, at most 512 bytes.
    pub sk: String,
}

/// What a row still owes: a job, since when, and when it is to be hinted (again).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debt {
    /// The job that pays it.
    pub job: Job,
    /// Since when it is owed: the alarm goes by this.
    pub owed_since: Instant,
    /// When `watch` sends the hint (again).
    pub due: Instant,
}

impl Debt {
    /// How long after the commit a hint counts as lost.
    pub const OVERDUE_S: i64 = 300;

    /// Owed at once: the hint is sent after the commit, and again when overdue.
    #[must_use]
    pub fn now(job: Job, at: Instant) -> Self {
        Self { job, owed_since: at, due: at.plus_s(Self::OVERDUE_S) }
    }

    /// Owed at a later time: `watch` sends the hint when it is due.
    #[must_use]
    pub const fn later(job: Job, due: Instant) -> Self {
        Self { job, owed_since: due, due }
    }

    /// Owed since then, and not paid by a try: `watch` sends the hint for the next one when it is due.
    #[must_use]
    pub const fn again(job: Job, owed_since: Instant, due: Instant) -> Self {
        Self { job, owed_since, due }
    }

    /// Whether it was made by [`Debt::now`] and not touched since: its hint goes out with the commit.
    #[must_use]
    pub fn is_for_now(&self) -> bool {
        self.due == self.owed_since.plus_s(Self::OVERDUE_S)
    }
}

/// A second way to find rows: one sparse index per table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    /// What is looked for, e.g. a recipient.
    pub pk: String,
    /// The order, e.g. an instant.
    pub sk: String,
}

/// A row: its key, its body as a JSON object, what it owes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its key.
    pub key: RowKey,
    /// A JSON object, at most 350 KB.
    pub body: String,
    /// What it owes.
    pub debt: Option<Debt>,
    /// Its place in the table's index.
    pub lookup: Option<Lookup>,
}

/// A row as it was read, with the version that a later write conditions on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    /// The row.
    pub row: Row,
    /// Counts the writes of this row, from 1. Never reused while the row exists.
    pub version: u64,
}

/// One write of a commit, with its condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// The row must not be there.
    Insert(Row),
    /// The row must be there in this version.
    Replace {
        /// The new row.
        row: Row,
        /// The version that was read.
        was: u64,
    },
    /// The row must be there in this version, and goes.
    Delete {
        /// Its key.
        key: RowKey,
        /// The version that was read.
        was: u64,
    },
    /// The row must be there in this version, and stays as it is.
    Check {
        /// Its key.
        key: RowKey,
        /// The version that was read.
        was: u64,
    },
}

impl Write {
    /// The key it writes or looks at.
    #[must_use]
    pub const fn key(&self) -> &RowKey {
        match self {
            Self::Insert(row) | Self::Replace { row, .. } => &row.key,
            Self::Delete { key, .. } | Self::Check { key, .. } => key,
        }
    }
}

/// All or nothing: rows and log entries of one fact. A key occurs once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// Rows with their conditions.
    pub writes: Vec<Write>,
    /// Entries of the legal log; each must not be there yet, or the commit is lost.
    pub entries: Vec<LogEntry>,
}

impl Commit {
    /// How many rows and entries one commit takes (the limit of TransactWriteItems).
    pub const ITEMS_MAX: usize = 100;
    /// How many bytes of bodies one commit takes, with headroom under the 4 MB of TransactWriteItems.
    pub const BYTES_MAX: usize = 3_500_000;
}

/// What became of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is durable, all of it.
    Now,
    /// A condition did not hold: nothing was written. Read again and decide again.
    Lost,
}

/// Rows of one partition in order, and where to go on.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The rows.
    pub rows: Vec<StoredRow>,
    /// The `sk` to continue after; `None` at the end.
    pub next: Option<String>,
}

/// Why the table did not answer. All are ours, all are retried.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// The store is out of reach, throttled, or full. Whether a commit happened is not known.
    #[error("reach the table: {0}")]
    Unavailable(String),
    /// A commit or row over the limits: a mistake of ours.
    #[error("commit: {0}")]
    TooLarge(String),
    /// A stored row or entry that cannot be read.
    #[error("read a stored row: {0}")]
    Damaged(String),
}

/// The tables. Reads are strongly consistent: they see every commit that was answered before.
#[async_trait]
pub trait Facts: Send + Sync {
    /// Commits all or nothing, and durably when it answers `Now`. A commit that is repeated after a lost answer
    /// answers `Lost`, since its conditions no longer hold.
    async fn commit(&self, commit: Commit) -> Result<Committed, FactsError>;

    /// One row.
    async fn get(&self, key: &RowKey) -> Result<Option<StoredRow>, FactsError>;

    /// Several rows, each in the place of its key. Each is read by itself: together they are no snapshot.
    async fn get_many(&self, keys: &[RowKey]) -> Result<Vec<Option<StoredRow>>, FactsError> {
        let mut rows = Vec::with_capacity(keys.len());
        for key in keys {
            rows.push(self.get(key).await?);
        }
        Ok(rows)
    }

    /// Whether each request goes over a network and is paid for: rows are better read together, ahead of who looks at
    /// them, and what one commit can do is better not left to a further job.
    fn is_far(&self) -> bool {
        false
    }

    /// Rows of one partition whose `sk` begins with `prefix`, after `after`, in order of `sk`; at most `limit`.
    async fn query(
        &self,
        table: Table,
        pk: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, FactsError>;

    /// Keys of rows by the table's index, in order of the lookup's `sk`, beginning with `from`; at most `limit`.
    /// May lag behind commits: no decision is taken on it.
    async fn lookup(
        &self,
        table: Table,
        pk: &str,
        from: &str,
        limit: usize,
    ) -> Result<Vec<StoredRow>, FactsError>;

    /// Rows whose debt is due at `now`, oldest due first; at most `limit`. May lag behind commits.
    async fn due(&self, now: Instant, limit: usize) -> Result<Vec<StoredRow>, FactsError>;

    /// Moves the `due` of a debt, if the row is still in this version and its `due` is still `from`. The version
    /// stays. Answers whether it was moved.
    async fn postpone(
        &self,
        key: &RowKey,
        version: u64,
        from: Instant,
        to: Instant,
    ) -> Result<bool, FactsError>;

    /// The legal log of one PEC id, in the order of commit.
    async fn log(&self, pec_id: &str) -> Result<Vec<LogEntry>, FactsError>;
}

// ---------------------------------------------------------------------------------------------- Blobs

/// What became of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// These bytes are stored, durably.
    New,
    /// Somebody else's bytes were there first, durably: go on with those.
    Existing,
}

/// Why a blob could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The store is out of reach, throttled, or full. Whether a put happened is not known.
    #[error("reach the blobs: {0}")]
    Unavailable(String),
    /// A blob that must be there is not.
    #[error("find blob {0}")]
    Missing(BlobKey),
    /// A stored blob that is not what was stored.
    #[error("read blob {0}: {1}")]
    Damaged(BlobKey, String),
}

/// Immutable byte strings by key. The first one stored under a key stays.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Stores if the key is free. Durable when it returns, whichever way it answers.
    async fn put_if_absent(&self, key: &BlobKey, body: Rope) -> Result<Put, BlobError>;
    /// The same for bytes whose SHA-256 the caller has computed: a store that keeps it need not do so again.
    async fn put_hashed(&self, key: &BlobKey, body: Rope, sha256: [u8; 32]) -> Result<Put, BlobError> {
        let _ = sha256; // this store keeps none
        self.put_if_absent(key, body).await
    }
    /// The whole blob.
    async fn get(&self, key: &BlobKey) -> Result<Option<Bytes>, BlobError>;
    /// The whole blob with its SHA-256, which a store that has compared it need not compute again.
    async fn get_hashed(&self, key: &BlobKey) -> Result<Option<(Bytes, [u8; 32])>, BlobError> {
        Ok(self.get(key).await?.map(|bytes| {
            let sha256 = smime::sha256([&bytes]);
            (bytes, sha256)
        }))
    }
    /// Bytes `from..from+len`, cut at the end.
    async fn get_range(&self, key: &BlobKey, from: u64, len: u64) -> Result<Option<Bytes>, BlobError>;
    /// The size in bytes.
    async fn size(&self, key: &BlobKey) -> Result<Option<u64>, BlobError>;
    /// A second key for the same bytes, without moving them through us; put-if-absent as above.
    async fn copy_if_absent(&self, from: &BlobKey, to: &BlobKey) -> Result<Put, BlobError>;
    /// Removes; it is no error if it is not there.
    async fn delete(&self, key: &BlobKey) -> Result<(), BlobError>;
    /// Keys with this prefix after `after`, in order; at most `limit`.
    async fn list(
        &self,
        prefix: &str,
        after: Option<&BlobKey>,
        limit: usize,
    ) -> Result<Vec<BlobKey>, BlobError>;
}

// ---------------------------------------------------------------------------------------------- Queue

/// Why hints were not sent. Harmless: the debts are in the table.
#[derive(Debug, thiserror::Error)]
#[error("send hints: {0}")]
pub struct QueueError(pub String);

/// Hints to the stages. At least once, in no order but by group.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Sends hints; each goes to the queue that [`Job::queue`] names, grouped by [`Job::group`]. Whoever reads nearby
    /// may forget which rows they name.
    async fn send(&self, hints: Vec<Hint>) -> Result<(), QueueError>;
}

// ---------------------------------------------------------------------------------------------- Signer

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The keeper of the key is out of reach or throttles: retried.
    #[error("reach the keeper of the key: {0}")]
    Unavailable(String),
    /// No key for this certificate: a human looks.
    #[error("find the key of certificate {0}")]
    NoKey(CertificateId),
}

/// The keeper of the provider's keys.
#[async_trait]
pub trait Signer: Send + Sync {
    /// The certificate to sign new acts with, for an environment at an instant: the newest whose notBefore is at
    /// least 48 hours past, or the oldest if none is (design §3 rule 7).
    fn current(&self, environment: &str, at: Instant) -> Result<CertificateId, SignerError>;
    /// The certificate with its chain.
    fn identity(&self, certificate: &CertificateId) -> Result<std::sync::Arc<smime::Identity>, SignerError>;
    /// RSASSA-PKCS1-v1_5 over a SHA-256 digest, with the key of this certificate.
    async fn sign(&self, certificate: &CertificateId, digest: [u8; 32]) -> Result<Vec<u8>, SignerError>;
}

// ---------------------------------------------------------------------------------------------- Carrier

/// Where a message goes outside of this provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "to")]
pub enum Destination {
    /// Our own incoming point: same way, without SMTP (spec 4.7, 0.2 D16).
    Own,
    /// Another provider, by its index record; `domain` names the MX.
    Provider {
        /// Id of the index record.
        record: String,
        /// The domain whose MX takes it.
        domain: String,
    },
    /// Ordinary mail.
    Ordinary {
        /// The domain whose MX takes it.
        domain: String,
    },
}

/// One SMTP transaction to make.
#[derive(Clone, Debug)]
pub struct Errand {
    /// Where to.
    pub destination: Destination,
    /// MAIL FROM.
    pub reverse_path: Option<Address>,
    /// RCPT TO.
    pub recipients: Vec<Address>,
    /// The bytes, never re-encoded.
    pub message: Bytes,
}

/// What became of one recipient of an errand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Relayed {
    /// The other side has it.
    Taken,
    /// Try again later; the text is for the log.
    Later {
        /// What came back.
        answer: String,
    },
    /// Never.
    Refused {
        /// Enhanced status, e.g. `5.1.1`.
        code: String,
        /// What came back, bounded, printable.
        answer: String,
        /// The domain does not exist or has no MX.
        no_domain: bool,
    },
}

/// A place among the transactions that run with one destination at the same time. Dropping it gives it back.
#[derive(Default)]
pub struct Place(Option<Box<dyn std::any::Any + Send>>);

impl Place {
    /// Holds something until it is dropped.
    #[must_use]
    pub fn holding(permit: impl std::any::Any + Send) -> Self {
        Self(Some(Box::new(permit)))
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Place").field(&self.0.is_some()).finish()
    }
}

/// The SMTP client. Never fails as a whole: what did not work is `Later` for every recipient.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// Waits a little for a place at a destination, which takes so many transactions at the same time; `None` where
    /// too many others wait. A carrier without limits has a place for everybody.
    async fn place(&self, _destination: &Destination) -> Option<Place> {
        Some(Place::default())
    }

    /// Makes the transaction; one outcome for each recipient, in their order.
    async fn carry(&self, errand: Errand) -> Vec<Relayed>;
}

// ---------------------------------------------------------------------------------------------- Scanner

/// What the scanner says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "scan")]
pub enum Scan {
    /// Nothing found.
    Clean,
    /// Something found.
    Infected {
        /// The scanner's name for it, printable and bounded.
        virus: String,
    },
}

/// The scanner is unavailable: letters wait, nothing passes unscanned.
#[derive(Debug, thiserror::Error)]
#[error("reach the scanner: {0}")]
pub struct ScannerError(pub String);

/// The virus scanner (RFC 6109 §5.4).
#[async_trait]
pub trait Scanner: Send + Sync {
    /// Scans a whole message, looking into its parts.
    async fn scan(&self, message: &Bytes) -> Result<Scan, ScannerError>;
    /// Name and version of scanner and database, for the log.
    fn version(&self) -> String;
}

// ---------------------------------------------------------------------------------------------- Passwords

/// Why a password was neither hashed nor compared. Ours, retried.
#[derive(Debug, thiserror::Error)]
#[error("hash a password: {0}")]
pub struct PasswordsError(pub String);

/// The hash of passwords. Each call costs tens of milliseconds of a core and megabytes: an implementation runs a
/// bounded number at a time, and not where it holds up others.
#[async_trait]
pub trait Passwords: Send + Sync {
    /// argon2id in PHC form, with a fresh salt.
    async fn hash(&self, password: &Password) -> Result<String, PasswordsError>;
    /// Whether a password has this hash. As long for a wrong one; a hash that is none is no password's.
    async fn matches(&self, password: &Password, phc: &str) -> Result<bool, PasswordsError>;
}

// ---------------------------------------------------------------------------------------------- Directory, Clock, Ids

/// The provider index in force.
pub trait Directory: Send + Sync {
    /// The last good copy. Costs nothing per message.
    fn index(&self) -> std::sync::Arc<pec::Index>;
}

/// The clock (DM 2005 art. 9: within one second of UTC).
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Instant;
    /// Thousandths of the running second, where it knows them: the ids of a second are in their order then. Nothing that
    /// is written for others has them.
    fn thousandths(&self) -> Option<u16> {
        None
    }
}

/// Randomness.
pub trait Ids: Send + Sync {
    /// 128 fresh random bits.
    fn fresh(&self) -> u128;
}
