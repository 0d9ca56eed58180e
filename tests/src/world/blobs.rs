//! The blobs in memory.

use std::{
    collections::{BTreeMap, btree_map::Entry, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    ops::Bound,
    sync::Mutex,
};

use async_trait::async_trait;
use bytes::Bytes;
use mime::Rope;
use stages::{
    BlobKey,
    ports::{BlobError, Blobs, Put},
};

/// Byte strings by key, exactly as [`Blobs`] says.
#[derive(Debug, Default)]
pub struct MemoryBlobs(Mutex<State>);

#[derive(Clone, Debug, Default)]
struct State {
    blobs: BTreeMap<BlobKey, Bytes>,
    /// The sum of the hashes of all blobs: a hash of the content, kept up to date.
    content: u64,
}

fn hash_blob(key: &BlobKey, body: &Bytes) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, body).hash(&mut hasher);
    hasher.finish()
}

impl MemoryBlobs {
    /// Another store with the same content, independent from here on. The bytes are shared.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self(Mutex::new(self.0.lock().unwrap().clone()))
    }

    /// Every blob, in order.
    #[must_use]
    pub fn all(&self) -> BTreeMap<BlobKey, Bytes> {
        self.0.lock().unwrap().blobs.clone()
    }

    /// A hash of all content.
    #[must_use]
    pub fn content(&self) -> u64 {
        self.0.lock().unwrap().content
    }

    fn put(&self, key: &BlobKey, body: Bytes) -> Put {
        let mut state = self.0.lock().unwrap();
        let hash = hash_blob(key, &body);
        match state.blobs.entry(key.clone()) {
            Entry::Occupied(_) => return Put::Existing,
            Entry::Vacant(free) => free.insert(body),
        };
        state.content = state.content.wrapping_add(hash);
        Put::New
    }

    fn read(&self, key: &BlobKey) -> Option<Bytes> {
        self.0.lock().unwrap().blobs.get(key).cloned()
    }
}

#[async_trait]
impl Blobs for MemoryBlobs {
    async fn put_if_absent(&self, key: &BlobKey, body: Rope) -> Result<Put, BlobError> {
        Ok(self.put(key, body.to_bytes()))
    }

    async fn get(&self, key: &BlobKey) -> Result<Option<Bytes>, BlobError> {
        Ok(self.read(key))
    }

    async fn get_range(&self, key: &BlobKey, from: u64, len: u64) -> Result<Option<Bytes>, BlobError> {
        let place = |n: u64, size: usize| usize::try_from(n).unwrap_or(size).min(size);
        Ok(self.read(key).map(|b| b.slice(place(from, b.len())..place(from.saturating_add(len), b.len()))))
    }

    async fn size(&self, key: &BlobKey) -> Result<Option<u64>, BlobError> {
        Ok(self.read(key).map(|b| b.len() as u64))
    }

    async fn copy_if_absent(&self, from: &BlobKey, to: &BlobKey) -> Result<Put, BlobError> {
        let body = self.read(from).ok_or_else(|| BlobError::Missing(from.clone()))?;
        Ok(self.put(to, body))
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        let mut state = self.0.lock().unwrap();
        if let Some(old) = state.blobs.remove(key) {
            state.content = state.content.wrapping_sub(hash_blob(key, &old));
        }
        Ok(())
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&BlobKey>,
        limit: usize,
    ) -> Result<Vec<BlobKey>, BlobError> {
        let state = self.0.lock().unwrap();
        let from = match after.filter(|a| a.as_str() >= prefix) {
            Some(after) => Bound::Excluded(after.clone()),
            None => Bound::Included(BlobKey::listed(prefix.to_owned())),
        };
        let keys = state.blobs.range((from, Bound::Unbounded)).map(|(key, _)| key);
        Ok(keys.take_while(|key| key.as_str().starts_with(prefix)).take(limit).cloned().collect())
    }
}
