//! The seal of the legal log (DM 2005 art. 10; spec 8.3; design §5): about once a day everything that was logged since
//! the last time becomes a segment, whose statement is signed by the provider, names the segment before, and has an
//! authority's timestamp. Whoever has the files and the certificates can tell whether an entry was changed, removed or put
//! in later ([`proof`]); nobody has to be asked.
//!
//! A segment is three files, named by its number: `.jsonl`, the entries, a line each, after a line that says which;
//! `.p7m`, the [`Statement`] inside its signature; `.tst`, the timestamp of the `.p7m`. They are written in this order, each
//! once. Power fails after the first or the second: the next look goes on with what is there.

pub mod merkle;
pub mod proof;

use async_trait::async_trait;
use bytes::Bytes;
use pec::Instant;
use serde::{Deserialize, Serialize};

use crate::{
    StageError,
    ids::{CertificateId, sha256_hex},
    log::LogEntry,
    ports::{BlobError, FactsError, Put, Signer},
};

/// After this long a new segment is due, in seconds: less than the day that the law allows (DM 2005 art. 10).
pub const EVERY_S: i64 = 23 * 3600;
/// Entries of one segment at most; what is more goes into the next one, at once. A segment is in memory while it is made.
pub const ENTRIES_MAX: usize = 50_000;

/// The legal log from its beginning, in an order that never changes.
#[async_trait]
pub trait LogTail: Send + Sync {
    /// Entries after a place in that order, each with its own place; at most so many.
    async fn after(&self, place: u64, limit: usize) -> Result<Vec<(u64, LogEntry)>, FactsError>;
    /// The place of the last entry, or a later one; 0 before the first. A log that ends before what was sealed of it has
    /// lost entries.
    async fn last(&self) -> Result<u64, FactsError>;
}

/// Where segments are kept. What is there never changes.
#[async_trait]
pub trait SegmentStore: Send + Sync {
    /// The number of the last segment that has a statement; 0 before the first.
    async fn last(&self) -> Result<u64, BlobError>;
    /// A file.
    async fn get(&self, name: &str) -> Result<Option<Bytes>, BlobError>;
    /// Puts a file, unless there is one of this name.
    async fn put(&self, name: &str, octets: Bytes) -> Result<Put, BlobError>;
}

/// Whoever says when something was there (RFC 3161).
#[async_trait]
pub trait Timestamps: Send + Sync {
    /// A token for a SHA-256, verified.
    async fn stamp(&self, sha256: [u8; 32]) -> Result<Bytes, TimestampsError>;
}

/// No timestamp was made: the seal waits for it. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
#[error("get a timestamp: {0}")]
pub struct TimestampsError(pub String);

/// Why nothing was sealed. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The log, the key, or the store.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The authority.
    #[error(transparent)]
    Timestamps(#[from] TimestampsError),
    /// What is there is none of ours.
    #[error("go on after segment {0}: {1}")]
    Damaged(u64, String),
}

/// What a seal says of its segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Version of the form; 1 so far.
    pub v: u32,
    /// Who seals: the id of the provider environment.
    pub provider: String,
    /// Its number: 1, 2, 3 and so on.
    pub segment: u64,
    /// The place of the last entry of the segment before; 0 at the beginning.
    pub after: u64,
    /// The place of its own last entry.
    pub upto: u64,
    /// How many entries it has.
    pub entries: usize,
    /// When it was sealed.
    pub sealed_at: Instant,
    /// SHA-256 of the `.jsonl`, hex.
    pub sha256: String,
    /// The root of the entries' tree (RFC 6962 §2.1), hex; a leaf is a line without its end.
    pub root: String,
    /// SHA-256 of the `.p7m` before, hex; none at the beginning.
    pub previous: Option<String>,
}

/// The first line of a `.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Heading {
    pub(crate) segment: u64,
    pub(crate) after: u64,
    pub(crate) upto: u64,
}

/// The three files of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// The entries.
    Entries,
    /// The signed statement.
    Seal,
    /// Its timestamp.
    Timestamp,
}

impl File {
    /// Its name.
    #[must_use]
    pub fn name(self, segment: u64) -> String {
        let suffix = match self {
            Self::Entries => "jsonl",
            Self::Seal => "p7m",
            Self::Timestamp => "tst",
        };
        format!("{segment:010}.{suffix}")
    }
}

/// What seals.
pub struct Sealer<'a> {
    /// The log.
    pub tail: &'a dyn LogTail,
    /// The segments.
    pub store: &'a dyn SegmentStore,
    /// The key.
    pub signer: &'a dyn Signer,
    /// Whose key signs: the id of the provider environment.
    pub environment: &'a str,
    /// Who says when; without it a seal has no timestamp.
    pub timestamps: Option<&'a dyn Timestamps>,
}

impl Sealer<'_> {
    /// Seals what was logged since the last seal, if that is long enough ago; answers how many segments it became.
    ///
    /// # Errors
    /// [`SealError`]; what is there stays, and the next call goes on.
    pub async fn seal(&self, now: Instant) -> Result<u64, SealError> {
        let last = self.store.last().await.map_err(StageError::from)?;
        let mut before = match last {
            0 => None,
            _ => {
                let before = self.read(last).await?;
                // Power failed, or nobody could say when.
                self.stamp(last, &before.1).await?;
                Some(before)
            }
        };
        if before.as_ref().is_some_and(|(statement, _)| now < statement.sealed_at.plus_s(EVERY_S)) {
            return Ok(0);
        }
        let mut made = 0;
        loop {
            let next = self.segment(before.as_ref(), now).await?;
            made += 1;
            let more = next.0.entries >= ENTRIES_MAX;
            before = Some(next);
            if !more {
                return Ok(made);
            }
        }
    }

    /// Makes the segment after this one.
    async fn segment(
        &self,
        before: Option<&(Statement, Bytes)>,
        now: Instant,
    ) -> Result<(Statement, Bytes), SealError> {
        // 1. The entries. The first to write them says how far they go.
        let segment = before.map_or(0, |(statement, _)| statement.segment) + 1;
        let after = before.map_or(0, |(statement, _)| statement.upto);
        let damaged = |why: String| SealError::Damaged(segment - 1, why);
        if self.tail.last().await.map_err(StageError::from)? < after {
            return Err(damaged("the log ends before what was sealed of it".to_owned()));
        }
        let made = self.entries(segment, after).await?;
        let name = File::Entries.name(segment);
        let entries = match self.store.put(&name, made.clone()).await.map_err(StageError::from)? {
            Put::New => made,
            Put::Existing => self.there(&name).await?,
        };
        let (heading, lines) = lines(&entries).map_err(damaged)?;
        if (heading.segment, heading.after) != (segment, after) {
            return Err(damaged(format!("{name} is of another place in the log")));
        }

        // 2. The statement, signed.
        let statement = Statement {
            v: 1,
            provider: self.environment.to_owned(),
            segment,
            after,
            upto: heading.upto,
            entries: lines.len(),
            sealed_at: now,
            sha256: sha256_hex(&entries),
            root: hex::encode(merkle::root(&lines)),
            previous: before.map(|(_, seal)| sha256_hex(seal)),
        };
        let seal = self.sign(&statement, now).await?;
        let name = File::Seal.name(segment);
        let sealed = match self.store.put(&name, seal.clone()).await.map_err(StageError::from)? {
            Put::New => (statement, seal),
            Put::Existing => self.read(segment).await?,
        };

        // 3. When.
        self.stamp(segment, &sealed.1).await?;
        Ok(sealed)
    }

    async fn entries(&self, segment: u64, after: u64) -> Result<Bytes, SealError> {
        let entries = self.tail.after(after, ENTRIES_MAX).await.map_err(StageError::from)?;
        let upto = entries.last().map_or(after, |(place, _)| *place);
        let mut text = line(&Heading { segment, after, upto })?;
        for (_, entry) in &entries {
            text.push_str(&line(entry)?);
        }
        Ok(text.into())
    }

    async fn sign(&self, statement: &Statement, now: Instant) -> Result<Bytes, SealError> {
        let text = serde_json::to_vec(statement).map_err(|error| unwritable(&error))?;
        let of = |certificate: &CertificateId| self.signer.identity(certificate);
        let certificate = self.signer.current(self.environment, now).map_err(StageError::from)?;
        let identity = of(&certificate).map_err(StageError::from)?;
        let pending = identity.prepare(smime::sha256([&text]), now.unix_s()).map_err(StageError::from)?;
        let signature = self.signer.sign(&certificate, pending.digest()).await.map_err(StageError::from)?;
        Ok(pending.assemble_enclosing(&text, &signature).map_err(StageError::from)?.into())
    }

    async fn stamp(&self, segment: u64, seal: &[u8]) -> Result<(), SealError> {
        let Some(timestamps) = self.timestamps else { return Ok(()) };
        let name = File::Timestamp.name(segment);
        if self.store.get(&name).await.map_err(StageError::from)?.is_none() {
            let token = timestamps.stamp(smime::sha256([seal])).await?;
            self.store.put(&name, token).await.map_err(StageError::from)?;
        }
        Ok(())
    }

    /// The statement of a segment that is there, with its file.
    async fn read(&self, segment: u64) -> Result<(Statement, Bytes), SealError> {
        let seal = self.there(&File::Seal.name(segment)).await?;
        let statement = proof::unsigned(&seal).map_err(|why| SealError::Damaged(segment, why))?;
        Ok((statement, seal))
    }

    async fn there(&self, name: &str) -> Result<Bytes, SealError> {
        let found = self.store.get(name).await.map_err(StageError::from)?;
        found.ok_or_else(|| StageError::Damaged(format!("{name}: no such file")).into())
    }
}

fn line<T: Serialize>(what: &T) -> Result<String, SealError> {
    let mut line = serde_json::to_string(what).map_err(|error| unwritable(&error))?;
    line.push('\n');
    Ok(line)
}

fn unwritable(error: &serde_json::Error) -> SealError {
    StageError::Damaged(format!("what is sealed cannot be written: {error}")).into()
}

/// The heading of a `.jsonl` and its entries, each without its end.
pub(crate) fn lines(entries: &[u8]) -> Result<(Heading, Vec<&[u8]>), String> {
    let whole = entries.strip_suffix(b"\n").ok_or("entries that do not end")?;
    let mut lines = whole.split(|octet| *octet == b'\n');
    let heading = serde_json::from_slice(lines.next().unwrap_or_default())
        .map_err(|error| format!("no heading of entries: {error}"))?;
    Ok((heading, lines.collect()))
}
