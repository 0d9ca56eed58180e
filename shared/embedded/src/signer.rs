//! The keeper of the keys: files that only their owner can read (design §3 rule 7).

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use machine::Keyring;
use pec::Instant;
use smime::{Certificate, Identity, RsaKey};
use stages::{
    ids::CertificateId,
    ports::{Signer, SignerError},
};

/// A key file with its chain. `environment` is the provider environment that it signs for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFiles {
    /// The provider environment.
    pub environment: String,
    /// PEM, PKCS#8 or PKCS#1; nobody but its owner may read it.
    pub key: PathBuf,
    /// PEM: the certificate, then its issuers; the root may be left out.
    pub chain: PathBuf,
}

/// Why keys could not be taken up. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file that cannot be read.
    #[error("read {0}: {1}")]
    File(PathBuf, std::io::Error),
    /// A key that others can read.
    #[error("take the key {0}: its mode is {1:o}, only its owner may read it (0600)")]
    Mode(PathBuf, u32),
    /// Something that is no key.
    #[error("take the key {0}: {1}")]
    Key(PathBuf, smime::KeyError),
    /// Something that is no chain.
    #[error("take the chain {0}: {1}")]
    Chain(PathBuf, String),
    /// A certificate of another key.
    #[error("take the key {0}: {1} certifies another one")]
    Mismatch(PathBuf, PathBuf),
}

/// Keys in memory, read once.
pub struct FileSigner {
    keys: HashMap<CertificateId, Kept>,
    ring: Keyring,
}

struct Kept {
    identity: Arc<Identity>,
    key: RsaKey,
}

impl FileSigner {
    /// Takes up keys.
    ///
    /// # Errors
    /// [`KeysError`]: none of them is taken up then.
    pub fn open(files: &[KeyFiles]) -> Result<Self, KeysError> {
        let mut keys = HashMap::new();
        let mut ring = Keyring::default();
        for file in files {
            let (id, kept) = Kept::open(&file.key, &file.chain)?;
            let from = kept.identity.certificate().not_before_unix_s();
            ring.insert(file.environment.clone(), from, id.clone());
            keys.insert(id, kept);
        }
        Ok(Self { keys, ring })
    }

    fn kept(&self, certificate: &CertificateId) -> Result<&Kept, SignerError> {
        self.keys.get(certificate).ok_or_else(|| SignerError::NoKey(certificate.clone()))
    }
}

impl Kept {
    fn open(key_file: &Path, chain_file: &Path) -> Result<(CertificateId, Self), KeysError> {
        let mode =
            fs::metadata(key_file).map_err(|e| KeysError::File(key_file.to_owned(), e))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(KeysError::Mode(key_file.to_owned(), mode & 0o7777));
        }
        let read = |path: &Path| fs::read(path).map_err(|e| KeysError::File(path.to_owned(), e));
        let key = RsaKey::from_pem(&read(key_file)?).map_err(|e| KeysError::Key(key_file.to_owned(), e))?;
        let chain_error = |e: String| KeysError::Chain(chain_file.to_owned(), e);
        let chain = Certificate::from_pem(&read(chain_file)?).map_err(|e| chain_error(e.to_string()))?;
        let der: Vec<Vec<u8>> = chain.iter().map(|c| c.der().to_vec()).collect();
        let identity = Identity::from_chain(&der).map_err(|e| chain_error(e.to_string()))?;
        if !key.belongs_to(identity.certificate()) {
            return Err(KeysError::Mismatch(key_file.to_owned(), chain_file.to_owned()));
        }
        let id = CertificateId(identity.certificate().sha256_hex());
        Ok((id, Self { identity: Arc::new(identity), key }))
    }
}

#[async_trait]
impl Signer for FileSigner {
    fn current(&self, environment: &str, at: Instant) -> Result<CertificateId, SignerError> {
        self.ring.current(environment, at)
    }

    fn identity(&self, certificate: &CertificateId) -> Result<Arc<Identity>, SignerError> {
        self.kept(certificate).map(|k| Arc::clone(&k.identity))
    }

    /// Signs right here: a signature takes as long as a small write, and there are as many workers as cores.
    async fn sign(&self, certificate: &CertificateId, digest: [u8; 32]) -> Result<Vec<u8>, SignerError> {
        let kept = self.kept(certificate)?;
        kept.key.sign_digest(digest).map_err(|e| SignerError::Unavailable(e.to_string()))
    }
}
