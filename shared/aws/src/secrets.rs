//! Certificates with their keys, from Secrets Manager: those of doors, and those that we show to others.

use std::fmt;

use aws_sdk_secretsmanager::Client;
use serde::Deserialize;

/// Why a secret cannot be used. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager does not give it.
    #[error("read the secret {0}: {1}")]
    Unread(String, String),
    /// It is not what it should be.
    #[error("understand the secret {0}: expected JSON with \"certificate\" and \"key\", both PEM")]
    Form(String),
}

/// A certificate and its key, as they lie in Secrets Manager.
#[derive(Clone, Deserialize, PartialEq, Eq)]
pub struct Pair {
    /// The chain, PEM, its own certificate first.
    pub certificate: String,
    /// Its key, PEM.
    pub key: String,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pair")
    }
}

/// Reads a secret as it is now.
///
/// # Errors
/// [`SecretError`], without a word of what is in it.
pub async fn pair(client: &Client, secret: &str) -> Result<Pair, SecretError> {
    let read = client.get_secret_value().secret_id(secret).send().await;
    let read =
        read.map_err(|error| SecretError::Unread(secret.to_owned(), error.into_service_error().to_string()))?;
    let text = read.secret_string().unwrap_or_default();
    serde_json::from_str(text).map_err(|_| SecretError::Form(secret.to_owned()))
}
