//! [`Signer`] on KMS: the key never leaves it (design §3 rule 7). What is sent is a digest, what comes back a
//! signature.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use aws_sdk_kms::{
    Client,
    primitives::Blob,
    types::{KeyUsageType, MessageType, SigningAlgorithmSpec},
};
use der::{Decode as _, Encode as _};
use futures_util::future::try_join_all;
use machine::Keyring;
use pec::Instant;
use smime::{Certificate, Identity};
use stages::{
    ids::CertificateId,
    ports::{Signer, SignerError},
};

use crate::{clients::tell, config::SigningKey};

/// A key with its certificate chain as it was read.
#[derive(Clone, Debug)]
pub struct KeyChain {
    /// Which key, for which environment.
    pub key: SigningKey,
    /// PEM, the signer's certificate first.
    pub chain: Vec<u8>,
}

/// Why keys are not usable. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A chain that is none.
    #[error("use the certificates {0}: {1}")]
    Chain(String, String),
    /// KMS does not tell the public half.
    #[error("read the public half of key {0}: {1}")]
    Unavailable(String, String),
    /// A key that does not sign as PEC needs it.
    #[error("use key {0}: expected an RSA key that signs RSASSA_PKCS1_V1_5_SHA_256")]
    Kind(String),
    /// A certificate of another key.
    #[error("use key {0}: the first certificate of {1} is of another key")]
    Mismatch(String, String),
}

/// Keys in KMS.
#[derive(Debug)]
pub struct KmsSigner {
    client: Client,
    keys: HashMap<CertificateId, Kept>,
    ring: Keyring,
}

#[derive(Debug)]
struct Kept {
    key: String,
    identity: Arc<Identity>,
}

impl KmsSigner {
    /// Takes up keys with their certificates.
    ///
    /// # Errors
    /// [`KeysError::Chain`]: none of them is taken up then.
    pub fn new(client: Client, keys: Vec<KeyChain>) -> Result<Self, KeysError> {
        let mut signer = Self { client, keys: HashMap::new(), ring: Keyring::default() };
        for KeyChain { key, chain } in keys {
            let identity = identity(&chain).map_err(|why| KeysError::Chain(key.chain_key.clone(), why))?;
            let id = CertificateId(identity.certificate().sha256_hex());
            let from = identity.certificate().not_before_unix_s();
            signer.ring.insert(key.environment, from, id.clone());
            signer.keys.insert(id, Kept { key: key.key, identity: Arc::new(identity) });
        }
        Ok(signer)
    }

    /// Asks KMS for the public half of every key: it must be the certificate's, and sign as PEC needs it. For
    /// functions that sign, at their start.
    ///
    /// # Errors
    /// [`KeysError`]
    pub async fn check(&self) -> Result<(), KeysError> {
        try_join_all(self.keys.values().map(|kept| self.check_one(kept))).await?;
        Ok(())
    }

    async fn check_one(&self, kept: &Kept) -> Result<(), KeysError> {
        let key = &kept.key;
        let answer = self.client.get_public_key().key_id(key).send().await;
        let answer = answer.map_err(|e| KeysError::Unavailable(key.clone(), tell(&e)))?;
        let signs = answer.key_usage == Some(KeyUsageType::SignVerify)
            && answer.signing_algorithms().contains(&SigningAlgorithmSpec::RsassaPkcs1V15Sha256);
        if !signs {
            return Err(KeysError::Kind(key.clone()));
        }
        let certificate = kept.identity.certificate();
        let public = answer.public_key.unwrap_or_else(|| Blob::new([])).into_inner();
        if public_key_info(certificate).is_none_or(|info| info != public) {
            return Err(KeysError::Mismatch(key.clone(), certificate.subject().to_owned()));
        }
        Ok(())
    }

    fn kept(&self, certificate: &CertificateId) -> Result<&Kept, SignerError> {
        self.keys.get(certificate).ok_or_else(|| SignerError::NoKey(certificate.clone()))
    }
}

#[async_trait]
impl Signer for KmsSigner {
    fn current(&self, environment: &str, at: Instant) -> Result<CertificateId, SignerError> {
        self.ring.current(environment, at)
    }

    fn identity(&self, certificate: &CertificateId) -> Result<Arc<Identity>, SignerError> {
        self.kept(certificate).map(|kept| Arc::clone(&kept.identity))
    }

    async fn sign(&self, certificate: &CertificateId, digest: [u8; 32]) -> Result<Vec<u8>, SignerError> {
        sign(&self.client, &self.kept(certificate)?.key, digest).await
    }
}

/// RSASSA-PKCS1-v1_5 over a SHA-256 digest.
pub(crate) async fn sign(client: &Client, key: &str, digest: [u8; 32]) -> Result<Vec<u8>, SignerError> {
    let request = client
        .sign()
        .key_id(key)
        .message(Blob::new(digest))
        .message_type(MessageType::Digest)
        .signing_algorithm(SigningAlgorithmSpec::RsassaPkcs1V15Sha256);
    let answer = request.send().await.map_err(|e| SignerError::Unavailable(tell(&e)))?;
    let signature =
        answer.signature.ok_or_else(|| SignerError::Unavailable("no signature came".to_owned()))?;
    Ok(signature.into_inner())
}

fn identity(pem: &[u8]) -> Result<Identity, String> {
    let chain = Certificate::from_pem(pem).map_err(|e| e.to_string())?;
    let der: Vec<Vec<u8>> = chain.iter().map(|c| c.der().to_vec()).collect();
    Identity::from_chain(&der).map_err(|e| e.to_string())
}

/// SubjectPublicKeyInfo in DER: what KMS gives as the public half.
fn public_key_info(certificate: &Certificate) -> Option<Vec<u8>> {
    let parsed = x509_cert::Certificate::from_der(certificate.der()).ok()?;
    parsed.tbs_certificate().subject_public_key_info().to_der().ok()
}
