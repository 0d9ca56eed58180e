//! Which certificate signs now (design §3 rule 7).

use std::collections::HashMap;

use pec::Instant;
use stages::{ids::CertificateId, ports::SignerError};

/// How long a new certificate rests before it signs: every provider has its index by then.
pub const REST_S: i64 = 48 * 3600;

/// The certificates of every environment, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    environments: HashMap<String, Vec<(i64, CertificateId)>>,
}

impl Keyring {
    /// Adds a certificate that is valid from this second of UTC on.
    pub fn insert(&mut self, environment: String, not_before_unix_s: i64, certificate: CertificateId) {
        let of_environment = self.environments.entry(environment).or_default();
        of_environment.push((not_before_unix_s, certificate));
        of_environment.sort();
    }

    /// The newest that has rested, or the oldest if none has.
    ///
    /// # Errors
    /// [`SignerError::NoKey`] for an environment without any.
    pub fn current(&self, environment: &str, at: Instant) -> Result<CertificateId, SignerError> {
        let keys = self.environments.get(environment).map(Vec::as_slice).unwrap_or_default();
        let rested = keys.iter().rev().find(|(from, _)| from.saturating_add(REST_S) <= at.unix_s());
        let chosen = rested.or_else(|| keys.first()).map(|(_, id)| id.clone());
        chosen.ok_or_else(|| SignerError::NoKey(CertificateId(format!("environment {environment}"))))
    }
}
