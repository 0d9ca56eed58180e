//! The seal of the legal log on AWS (docs/log-seal.md): segments of the copies that are in the vault, below
//! `vault/seals/`, by the function `notarize` on its hourly tick.
//!
//! The copies of the vault have an order that never changes, that of their storing: a copy's place is the second in which
//! S3 has taken it. A segment goes up to some minutes ago, so that no copy of its seconds is on its way any more, and takes
//! copies whole. The log's stream gives a copy of an entry a day late at most, and sometimes twice: then the entry is in two
//! segments.

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use aws_sdk_s3::Client;
use bytes::Bytes;
use directory::timestamps::{Authority, StampError};
use machine::{RandomIds, Stamps};
use mime::Rope;
use pec::Instant;
use serde_json::{Map, Value};
use stages::{
    BlobKey,
    log::LogEntry,
    ports::{BlobError, Blobs as _, FactsError, Put},
    sealing::{LogTail, SealError, Sealer, SegmentStore, Timestamps},
};

use crate::{
    Config, KmsSigner, S3Blobs,
    blobs::VAULT_PREFIX,
    clients::tell,
    config::SETTINGS_PREFIX,
    facts::{item::fields_of_entry, schema::PK},
    signer::{KeyChain, KeysError},
};

/// Authorities of timestamps in the data bucket, below [`SETTINGS_PREFIX`]: PEM, put there by operators.
const TIMESTAMPS_CA: &str = "timestamps-ca.pem";
/// A copy that is younger than this, in seconds, may have neighbours that are not there yet.
const SETTLED_S: i64 = 300;
/// How late a copy may come, in seconds, as days of its key tell: the stream keeps a day, and batches wait a minute.
const LATE_S: i64 = 2 * 24 * 3600;

/// Why nothing was sealed. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    /// The log, the store, the authority.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A setting in the data bucket.
    #[error("read a setting")]
    Settings(#[from] BlobError),
    /// A setting that is not there.
    #[error("find {0} in the data bucket")]
    Missing(String),
    /// The authority's certificates.
    #[error(transparent)]
    Authority(#[from] StampError),
    /// The key, or its certificate.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

/// What seals the log of a stack.
pub struct Notary {
    vault: Vault,
    kms: aws_sdk_kms::Client,
    config: Config,
}

impl Notary {
    /// With these clients.
    #[must_use]
    pub fn new(s3: Client, kms: aws_sdk_kms::Client, config: Config) -> Self {
        let blobs = S3Blobs::new(s3.clone(), config.buckets.clone());
        let vault = Vault { client: s3, bucket: config.buckets.vault.clone(), blobs };
        Self { vault, kms, config }
    }

    /// Seals what is due, by the stack's own key; answers how many segments it became. Before there is a certificate
    /// nothing is.
    ///
    /// # Errors
    /// [`SealingError`]; the next tick tries again.
    pub async fn tick(&self, now: Instant) -> Result<u64, SealingError> {
        let Some(own) = self.config.keys.first() else { return Ok(0) };
        // Certificates may have been replaced meanwhile, so they are read each time.
        let mut chains = Vec::new();
        for key in self.config.keys.iter().filter(|key| key.environment == own.environment) {
            chains.push(KeyChain { key: key.clone(), chain: self.setting(&key.chain_key).await? });
        }
        let signer = KmsSigner::new(self.kms.clone(), chains)?;
        signer.check().await?;
        let stamps = match &self.config.timestamps_url {
            Some(url) => {
                let ca = self.setting(&format!("{SETTINGS_PREFIX}{TIMESTAMPS_CA}")).await?;
                Some(Stamps::new(Arc::new(Authority::new(url, &ca)?), RandomIds::new()))
            }
            None => None,
        };
        let tail = VaultTail { vault: &self.vault, now };
        let sealer = Sealer {
            tail: &tail,
            store: &self.vault,
            signer: &signer,
            environment: &own.environment,
            timestamps: stamps.as_ref().map(|stamps| stamps as &dyn Timestamps),
        };
        Ok(sealer.seal(now).await?)
    }

    async fn setting(&self, key: &str) -> Result<Vec<u8>, SealingError> {
        let found = self.vault.blobs.get(&BlobKey::listed(key.to_owned())).await?;
        found.map(Into::into).ok_or_else(|| SealingError::Missing(key.to_owned()))
    }
}

/// The vault: copies of the log, and segments.
struct Vault {
    client: Client,
    bucket: String,
    blobs: S3Blobs,
}

impl Vault {
    /// Keys below a prefix, each with the second in which it was stored.
    async fn list(&self, prefix: &str, after: Option<String>) -> Result<Vec<(i64, String)>, BlobError> {
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let mut pages = list.set_start_after(after).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| BlobError::Unavailable(tell(&error)))?;
            for object in page.contents.into_iter().flatten() {
                if let (Some(key), Some(at)) = (object.key, object.last_modified) {
                    found.push((at.secs(), key));
                }
            }
        }
        Ok(found)
    }
}

fn seals(name: &str) -> String {
    format!("{VAULT_PREFIX}seals/{name}")
}

#[async_trait]
impl SegmentStore for Vault {
    async fn last(&self) -> Result<u64, BlobError> {
        let found = self.list(&seals(""), None).await?;
        let number = |key: &String| key.strip_prefix(&seals(""))?.strip_suffix(".p7m")?.parse::<u64>().ok();
        Ok(found.iter().filter_map(|(_, key)| number(key)).max().unwrap_or(0))
    }

    async fn get(&self, name: &str) -> Result<Option<Bytes>, BlobError> {
        self.blobs.get(&BlobKey::listed(seals(name))).await
    }

    async fn put(&self, name: &str, octets: Bytes) -> Result<Put, BlobError> {
        self.blobs.put_if_absent(&BlobKey::listed(seals(name)), Rope::from(octets)).await
    }
}

/// The log as the vault has it.
struct VaultTail<'a> {
    vault: &'a Vault,
    now: Instant,
}

#[async_trait]
impl LogTail for VaultTail<'_> {
    async fn after(&self, place: u64, limit: usize) -> Result<Vec<(u64, LogEntry)>, FactsError> {
        let unavailable = |error: BlobError| FactsError::Unavailable(error.to_string());
        let place = i64::try_from(place).unwrap_or(i64::MAX);
        // 1. The copies, in the order of their storing. Their keys begin with the day of their entries.
        let first = Instant::from_unix_s((place - LATE_S).max(0)).day();
        let prefix = format!("{VAULT_PREFIX}log/");
        let mut copies =
            self.vault.list(&prefix, Some(format!("{prefix}{first}"))).await.map_err(unavailable)?;
        let settled = self.now.unix_s() - SETTLED_S;
        copies.retain(|(at, _)| *at > place && *at <= settled);
        copies.sort_unstable();

        // 2. Their entries. All copies of one second are one place.
        let (mut entries, mut seen, mut last) = (Vec::new(), HashSet::new(), place);
        for (at, key) in copies {
            if at != last && entries.len() >= limit {
                break;
            }
            last = at;
            let copy = self.vault.blobs.get(&BlobKey::listed(key.clone())).await.map_err(unavailable)?;
            let copy = copy.ok_or_else(|| FactsError::Unavailable(format!("{key}: no such object")))?;
            for line in copy.split(|octet| *octet == b'\n').filter(|line| !line.is_empty()) {
                let entry = entry(line).map_err(|why| FactsError::Damaged(format!("{key}: {why}")))?;
                if seen.insert((entry.pec_id.clone(), entry.sk())) {
                    entries.push((at.unsigned_abs(), entry));
                }
            }
        }
        Ok(entries)
    }

    /// Nothing leaves the vault, and places are seconds.
    async fn last(&self) -> Result<u64, FactsError> {
        Ok(self.now.unix_s().unsigned_abs())
    }
}

/// The entry of a line of the vault.
fn entry(line: &[u8]) -> Result<LogEntry, String> {
    let mut fields: Map<String, Value> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let pec_id = fields.remove(PK).ok_or("an entry without its id")?;
    fields_of_entry(&mut fields);
    fields.insert("pec_id".to_owned(), pec_id);
    serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())
}
