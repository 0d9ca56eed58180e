//! Revocation lists, fetched by HTTP (RFC 5280 §4.2.1.13), and what responders say (OCSP, RFC 6960 appendix A): all of it
//! is signed, so no connection has to be.

use std::time::Duration;

use pec::Index;
use smime::{Certificate, LIST_BYTES_MAX, ListError, Verifier, Wanted};
use ureq::Agent;

use crate::tls;

/// How often a list is fetched anew (spec 5.2: often enough that a revocation is soon known).
pub const REFRESH_S: i64 = 3600;
/// After a failure.
pub const RETRY_S: i64 = 300;
/// How long a fetch may take.
const WAIT: Duration = Duration::from_secs(30);
/// Addresses may have moved.
const REDIRECTS_MAX: u32 = 3;

/// The lists and responders that certificates of the index name, of those that an anchor has certified.
#[must_use]
pub fn wanted(verifier: &Verifier, index: &Index) -> Vec<Wanted> {
    let certificates = index.records().iter().flat_map(|record| &record.certificates);
    let certificates: Vec<Certificate> =
        certificates.filter_map(|certificate| Certificate::from_der(&certificate.der).ok()).collect();
    verifier.wanted(&certificates)
}

/// Media types of a question, and of its answer.
const QUESTION: &str = "application/ocsp-request";
const ANSWER: &str = "application/ocsp-response";

/// Why there is no new list. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum ListsError {
    /// No answer, or one that is no file.
    #[error("fetch {0}: {1}")]
    Fetch(String, Box<ureq::Error>),
    /// What came is not used.
    #[error("use {0}: failed to {1}")]
    Unfit(String, ListError),
}

/// What fetches lists.
pub struct Fetcher(Agent);

impl Default for Fetcher {
    fn default() -> Self {
        // Nobody is trusted for TLS: an address that leads there fails, and the list with it.
        let config = Agent::config_builder()
            .tls_config(tls::config(&[], None))
            .max_redirects(REDIRECTS_MAX)
            .timeout_global(Some(WAIT))
            .build();
        Self(config.new_agent())
    }
}

impl Fetcher {
    /// Fetches a list, or asks a responder, and hands what comes to the verifier if it holds. Blocks. Answers its
    /// octets, to be kept.
    ///
    /// # Errors
    /// [`ListsError`]; what the verifier has stays.
    pub fn refresh(
        &self,
        verifier: &Verifier,
        wanted: &Wanted,
        now_unix_s: i64,
    ) -> Result<Vec<u8>, ListsError> {
        let url = &wanted.url;
        let failed = |error: ureq::Error| ListsError::Fetch(url.clone(), Box::new(error));
        let unfit = |error| ListsError::Unfit(url.clone(), error);
        let response = match wanted.question().map_err(unfit)? {
            None => self.0.get(url).call(),
            Some(question) => {
                let post = self.0.post(url).header("Content-Type", QUESTION).header("Accept", ANSWER);
                post.send(&question)
            }
        };
        let mut response = response.map_err(failed)?;
        let body = response.body_mut().with_config().limit(LIST_BYTES_MAX as u64);
        let list = body.read_to_vec().map_err(failed)?;
        verifier.take(wanted, &list, now_unix_s).map_err(unfit)?;
        Ok(list)
    }
}
