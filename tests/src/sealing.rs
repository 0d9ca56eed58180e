//! The seal of a log in memory (`stages::sealing`), with a store and an authority that fail.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use pec::Instant;
use smime::{Anchors, Verifier};
use stages::{
    ids::Side,
    log::{About, Event, LogEntry},
    ports::{BlobError, FactsError, Put},
    sealing::{
        File, LogTail, Sealer, SegmentStore, Timestamps, TimestampsError,
        proof::{Chain, Files, Held, Trust, compare},
    },
};

use crate::world::{PKI, Provider, World, exec};

/// A log in memory.
#[derive(Default)]
pub struct Log(pub Mutex<Vec<(u64, LogEntry)>>);

impl Log {
    /// Of these entries.
    #[must_use]
    pub fn of(entries: &[LogEntry]) -> Self {
        Self(Mutex::new((1..).zip(entries.iter().cloned()).collect()))
    }

    /// Some entries of a letter; places have gaps, as they may.
    pub fn grow(&self, letter: &str, entries: u64) {
        let mut log = self.0.lock().unwrap();
        for n in 0..entries {
            let about = About { pec_id: letter.to_owned(), ..About::default() };
            let entry =
                LogEntry::new(about, Side::Origin, Event::Issued, n.to_string(), Instant::from_unix_s(0));
            let place = log.last().map_or(0, |(place, _)| *place) + 1 + n % 2;
            log.push((place, entry));
        }
    }
}

#[async_trait]
impl LogTail for Log {
    async fn after(&self, place: u64, limit: usize) -> Result<Vec<(u64, LogEntry)>, FactsError> {
        Ok(self.0.lock().unwrap().iter().filter(|(at, _)| *at > place).take(limit).cloned().collect())
    }
    async fn last(&self) -> Result<u64, FactsError> {
        Ok(self.0.lock().unwrap().last().map_or(0, |(place, _)| *place))
    }
}

/// A store whose calls fail from one on: before they did anything, or after it.
#[derive(Default)]
pub struct Store {
    /// What is in it.
    pub files: Mutex<BTreeMap<String, Bytes>>,
    calls: AtomicUsize,
    /// The first call that fails, and whether it does its work before.
    pub fails_at: Option<(usize, bool)>,
}

impl Store {
    fn call<T>(&self, work: impl FnOnce(&mut BTreeMap<String, Bytes>) -> T) -> Result<T, BlobError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let gone = || Err(BlobError::Unavailable("gone".to_owned()));
        match self.fails_at {
            Some((at, false)) if call >= at => gone(),
            Some((at, true)) if call > at => gone(),
            Some((at, true)) if call == at => {
                work(&mut self.files.lock().unwrap());
                gone()
            }
            _ => Ok(work(&mut self.files.lock().unwrap())),
        }
    }

    /// The names of its files.
    pub fn names(&self) -> Vec<String> {
        self.files.lock().unwrap().keys().cloned().collect()
    }
}

#[async_trait]
impl SegmentStore for Store {
    async fn last(&self) -> Result<u64, BlobError> {
        self.call(|files| files.keys().filter(|name| name.ends_with(".p7m")).count() as u64)
    }
    async fn get(&self, name: &str) -> Result<Option<Bytes>, BlobError> {
        self.call(|files| files.get(name).cloned())
    }
    async fn put(&self, name: &str, octets: Bytes) -> Result<Put, BlobError> {
        self.call(|files| match files.contains_key(name) {
            true => Put::Existing,
            false => {
                files.insert(name.to_owned(), octets);
                Put::New
            }
        })
    }
}

/// An authority that is out of reach, or says what it was asked.
pub struct Stamps(pub bool);

#[async_trait]
impl Timestamps for Stamps {
    async fn stamp(&self, sha256: [u8; 32]) -> Result<Bytes, TimestampsError> {
        if self.0 { Ok(sha256.to_vec().into()) } else { Err(TimestampsError("out of reach".to_owned())) }
    }
}

/// Seals a provider's log, so long after now.
///
/// # Errors
/// What the sealer says.
pub fn seal(
    world: &World,
    provider: &Provider,
    log: &Log,
    store: &Store,
    stamps: &Stamps,
    after_s: i64,
) -> Result<u64, String> {
    let rim = world.rim();
    let sealer = Sealer {
        tail: log,
        store,
        signer: rim.signer.as_ref(),
        environment: provider.record,
        timestamps: Some(stamps),
    };
    exec::run(sealer.seal(world.now().plus_s(after_s))).unwrap().map_err(|error| error.to_string())
}

/// Verifies all segments of a store against the log.
///
/// # Errors
/// What does not hold.
pub fn verify(store: &Store, log: &Log) -> Result<Vec<Held>, String> {
    let provider = Verifier::new(Anchors::from_certificates([PKI.authority().clone()]));
    let trust = Trust { provider: &provider, timestamps: None };
    let files = store.files.lock().unwrap();
    let (mut chain, mut held) = (Chain::default(), Vec::new());
    for segment in 1.. {
        let file = |file: File| files.get(&file.name(segment));
        let (Some(entries), Some(seal)) = (file(File::Entries), file(File::Seal)) else { break };
        assert!(file(File::Timestamp).is_some(), "each seal has its timestamp");
        held.push(chain.next(Files { entries, seal, timestamp: None }, trust)?);
        compare(entries, &held.last().unwrap().statement, |place, limit| {
            Ok(exec::run(log.after(place, limit)).unwrap().unwrap())
        })?;
    }
    Ok(held)
}
