//! Timestamps of an authority that is asked by HTTP.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use directory::timestamps::Authority;
use stages::{
    ports::Ids as _,
    sealing::{Timestamps, TimestampsError},
};
use tokio::task::spawn_blocking;

use crate::RandomIds;

/// [`Timestamps`] of an authority (RFC 3161).
pub struct Stamps {
    authority: Arc<Authority>,
    nonces: RandomIds,
}

impl Stamps {
    /// Of this one.
    #[must_use]
    pub fn new(authority: Arc<Authority>, nonces: RandomIds) -> Self {
        Self { authority, nonces }
    }
}

#[async_trait]
impl Timestamps for Stamps {
    async fn stamp(&self, sha256: [u8; 32]) -> Result<Bytes, TimestampsError> {
        let authority = Arc::clone(&self.authority);
        // As many of its octets as a nonce has.
        #[allow(clippy::cast_possible_truncation, reason = "any 64 of them are as good as others")]
        let nonce = self.nonces.fresh() as u64;
        let token = spawn_blocking(move || authority.stamp(&sha256, nonce)).await;
        let token = token.map_err(|error| TimestampsError(error.to_string()))?;
        Ok(token.map_err(|error| TimestampsError(format!("failed to {error}")))?.into())
    }
}
