//! Timestamps over HTTP (RFC 3161 §3.4). A token is signed, so no connection has to be; over HTTPS the server too must be
//! certified by an authority of timestamps.

use std::time::Duration;

use smime::{Anchors, REPLY_BYTES_MAX, TimestampError, Verifier, timestamp_request, timestamp_token};
use ureq::Agent;

use crate::tls;

/// How long a reply may take.
const WAIT: Duration = Duration::from_secs(30);
/// Media types of a request, and of its reply.
const QUERY: &str = "application/timestamp-query";
const REPLY: &str = "application/timestamp-reply";

/// Why there is no timestamp. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum StampError {
    /// Something that operators have set.
    #[error("use the authority of timestamps: {0}")]
    Settings(String),
    /// No reply, or one that is none.
    #[error("ask {0}: {1}")]
    Fetch(String, Box<ureq::Error>),
    /// What came is not used.
    #[error(transparent)]
    Unfit(#[from] TimestampError),
}

/// An authority that says when something was there.
pub struct Authority {
    url: String,
    agent: Agent,
    verifier: Verifier,
}

impl Authority {
    /// At this URL, `http` or `https`; certified by one of these, PEM.
    ///
    /// # Errors
    /// [`StampError::Settings`]
    pub fn new(url: &str, authorities: &[u8]) -> Result<Self, StampError> {
        let unfit = |why: String| StampError::Settings(why);
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(unfit("expected http, or https".to_owned()));
        }
        let anchors = smime::Certificate::from_pem(authorities).map_err(|error| unfit(error.to_string()))?;
        if anchors.is_empty() {
            return Err(unfit("expected certificates in PEM".to_owned()));
        }
        let roots = tls::certificates(authorities).map_err(|error| unfit(error.to_string()))?;
        let config = Agent::config_builder()
            .tls_config(tls::config(&roots, None))
            .max_redirects(0)
            .timeout_global(Some(WAIT))
            .build();
        let verifier = Verifier::new(Anchors::from_certificates(anchors));
        Ok(Self { url: url.to_owned(), agent: config.new_agent(), verifier })
    }

    /// A token for a SHA-256, verified; the nonce is used once. Blocks.
    ///
    /// # Errors
    /// [`StampError`]
    pub fn stamp(&self, sha256: &[u8; 32], nonce: u64) -> Result<Vec<u8>, StampError> {
        let failed = |error: ureq::Error| StampError::Fetch(self.url.clone(), Box::new(error));
        let request = timestamp_request(sha256, nonce)?;
        let post = self.agent.post(&self.url).header("Content-Type", QUERY).header("Accept", REPLY);
        let mut response = post.send(&request).map_err(failed)?;
        let body = response.body_mut().with_config().limit(REPLY_BYTES_MAX as u64);
        let token = timestamp_token(&body.read_to_vec().map_err(failed)?)?;
        self.verifier.timestamp(&token, sha256, Some(nonce))?;
        Ok(token)
    }
}
