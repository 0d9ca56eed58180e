//! One certificate for all doors, and how it is replaced while they are open.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::SystemTime,
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio_rustls::TlsAcceptor;

/// Certificates and keys are smaller.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// Why a certificate cannot be used. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file.
    #[error("read {0}: {1}")]
    File(PathBuf, io::Error),
    /// A chain or a key that is none, or that do not belong together.
    #[error("use the TLS certificate: {0}")]
    Unusable(String),
}

/// What a look at the files gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// They are those of the last look.
    Unchanged,
    /// New handshakes use the new certificate.
    New,
    /// They changed into something that cannot be used: the old certificate stays, and an alarm was raised.
    Kept,
}

/// The certificate of the doors. Cheap to clone: all clones change together.
#[derive(Clone, Debug)]
pub struct Tls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    source: Option<Source>,
}

/// Files, and how they looked when they were read last.
#[derive(Debug)]
struct Source {
    chain: PathBuf,
    key: PathBuf,
    seen: Mutex<Option<Seen>>,
}

/// Time of change, and length: of the chain, then of the key.
type Seen = [(SystemTime, u64); 2];

/// What rustls asks at each handshake.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Tls {
    /// A chain and its key from two PEM files, which [`Tls::reload`] looks at again.
    ///
    /// # Errors
    /// [`TlsError`]
    pub fn from_files(chain: &Path, key: &Path) -> Result<Self, TlsError> {
        let seen = seen(chain, key).ok();
        let (chain_pem, key_pem) = (read(chain)?, read(key)?);
        let source = Source { chain: chain.to_owned(), key: key.to_owned(), seen: Mutex::new(seen) };
        Self::new(&chain_pem, &key_pem, Some(source))
    }

    /// A chain and its key, both in PEM, from anywhere; [`Tls::replace`] changes them.
    ///
    /// # Errors
    /// [`TlsError::Unusable`]
    pub fn from_pem(chain_pem: &[u8], key_pem: &[u8]) -> Result<Self, TlsError> {
        Self::new(chain_pem, key_pem, None)
    }

    fn new(chain_pem: &[u8], key_pem: &[u8], source: Option<Source>) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let certified = certified(&provider, chain_pem, key_pem)?;
        let current = Arc::new(Current(RwLock::new(Arc::new(certified))));
        Ok(Self(Arc::new(Inner { provider, current, source })))
    }

    /// Accepts TLS 1.2 and 1.3 (RFC 8997: nothing older) with whatever certificate is current at the handshake.
    /// Mail doors offer no ALPN protocol, HTTPS offers `http/1.1`.
    ///
    /// # Errors
    /// [`TlsError::Unusable`] if the crypto library lacks these versions.
    pub fn acceptor(&self, alpn: &[&[u8]]) -> Result<TlsAcceptor, TlsError> {
        let Inner { provider, current, .. } = self.0.as_ref();
        let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(current) as Arc<_>);
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Takes a new chain and key into use for the handshakes to come; sessions keep what they have.
    ///
    /// # Errors
    /// [`TlsError::Unusable`]: the old ones stay.
    pub fn replace(&self, chain_pem: &[u8], key_pem: &[u8]) -> Result<(), TlsError> {
        let certified = certified(&self.0.provider, chain_pem, key_pem)?;
        *self.0.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
        Ok(())
    }

    /// Looks at the files, if it was made of files, and takes them into use if they changed. They are two, so they
    /// may be seen half replaced: then the old certificate stays, and the next look finds them whole. Reads files:
    /// call it where that may block, every minute or at SIGHUP.
    pub fn reload(&self) -> Reloaded {
        let Some(source) = &self.0.source else { return Reloaded::Unchanged };
        let mut last = source.last();
        let now = seen(&source.chain, &source.key);
        if now.as_ref().is_ok_and(|now| last.as_ref() == Some(now)) {
            return Reloaded::Unchanged;
        }
        let replaced = now.and_then(|now| {
            self.replace(&read(&source.chain)?, &read(&source.key)?)?;
            Ok(now)
        });
        match replaced {
            Ok(now) => {
                *last = Some(now);
                tracing::info!("a new TLS certificate is in use");
                Reloaded::New
            }
            Err(error) => {
                // `last` stays, so that the alarm is raised at every look until somebody has heard it.
                tracing::error!(error = %error, "the new TLS certificate cannot be used: the old one stays");
                Reloaded::Kept
            }
        }
    }
}

impl Source {
    fn last(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For a client that verifies the other side against these anchors, TLS 1.2 and 1.3.
///
/// # Errors
/// [`TlsError::Unusable`] if the crypto library lacks these versions.
pub fn client_config(anchors: RootCertStore) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_root_certificates(anchors)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The chain with its key: that they belong together is looked at now, not at the first handshake.
fn certified(provider: &CryptoProvider, chain_pem: &[u8], key_pem: &[u8]) -> Result<CertifiedKey, TlsError> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(chain_pem).collect::<Result<_, _>>().map_err(unusable)?;
    if chain.is_empty() {
        return Err(TlsError::Unusable("no certificate in the file".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(unusable)?;
    CertifiedKey::from_der(chain, key, provider).map_err(unusable)
}

fn unusable(error: impl std::fmt::Display) -> TlsError {
    TlsError::Unusable(error.to_string())
}

fn seen(chain: &Path, key: &Path) -> Result<Seen, TlsError> {
    let look = |path: &Path| {
        let looked = fs::metadata(path).and_then(|meta| Ok((meta.modified()?, meta.len())));
        looked.map_err(|error| TlsError::File(path.to_owned(), error))
    };
    Ok([look(chain)?, look(key)?])
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let bounded = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(PEM_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > PEM_BYTES_MAX {
            true => Err(io::Error::from(io::ErrorKind::FileTooLarge)),
            false => Ok(bytes),
        }
    };
    bounded().map_err(|error| TlsError::File(path.to_owned(), error))
}
