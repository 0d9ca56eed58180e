//! The national provider index, fetched (RFC 6109 §4.5, §5.6; spec 9.4): over HTTPS, with a client certificate, signed.
//! What does not hold in all of that is never handed out. Where the copy in force lies, and how old it may become, is
//! each form's own. And revocation lists ([`lists`]).
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod lists;
pub mod tls;

use std::{fmt, time::Duration};

use pec::{
    Instant,
    index::{SIGNED_BYTES_MAX, SignedIndex, SignedIndexError},
};
use smime::{Anchors, Verifier};
use ureq::{
    Agent,
    tls::{Certificate, ClientCert, PrivateKey},
};

/// How old a copy may become before a new one is fetched (RFC 6109 §4.5: daily).
pub const REFRESH: Duration = Duration::from_secs(24 * 3600);
/// How long a connection to the server is waited for.
const CONNECT_WAIT: Duration = Duration::from_secs(30);

/// Where the index is, who may serve it, who may sign it, as whom we ask. Certificates and keys are PEM.
#[derive(Clone)]
pub struct Settings {
    /// The URL of `o=postacert`'s LDIFLocationURL; `https` only.
    pub url: String,
    /// The authorities that certify the server.
    pub server_ca: Vec<u8>,
    /// The certificates that the index's signer leads to.
    pub signer_ca: Vec<u8>,
    /// Our client certificate with its chain.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: Vec<u8>,
    /// How long all of a fetch may take.
    pub wait: Duration,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// [`Settings::url`]
    Url,
    /// [`Settings::server_ca`]
    ServerCa,
    /// [`Settings::signer_ca`]
    SignerCa,
    /// [`Settings::certificate`]
    Certificate,
    /// [`Settings::key`]
    Key,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url => "URL",
            Self::ServerCa => "server's authorities",
            Self::SignerCa => "signer's authorities",
            Self::Certificate => "client certificate",
            Self::Key => "client key",
        })
    }
}

/// Why there is no new index. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A part of the settings.
    #[error("use the {0} of the index: {1}")]
    Settings(Part, String),
    /// No answer, or an answer that is no file.
    #[error("fetch the index: {0}")]
    Fetch(#[from] Box<ureq::Error>),
    /// What came is not put in force.
    #[error(transparent)]
    Unfit(#[from] SignedIndexError),
}

/// Where the index comes from.
pub struct Source {
    url: String,
    agent: Agent,
    verifier: Verifier,
}

impl Source {
    /// With these settings; nothing is asked yet.
    ///
    /// # Errors
    /// [`FetchError::Settings`]
    pub fn new(settings: &Settings) -> Result<Self, FetchError> {
        if !settings.url.starts_with("https://") {
            return Err(FetchError::Settings(Part::Url, "expected https".to_owned()));
        }
        let signers = smime::Certificate::from_pem(&settings.signer_ca).map_err(strange(Part::SignerCa))?;
        let roots = certificates(Part::ServerCa, &settings.server_ca)?;
        let chain = certificates(Part::Certificate, &settings.certificate)?;
        let key = PrivateKey::from_pem(&settings.key).map_err(strange(Part::Key))?;
        let client = ClientCert::new_with_certs(&chain, key);
        let config = Agent::config_builder()
            .tls_config(tls::config(&roots, Some(client)))
            .https_only(true)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_WAIT.min(settings.wait)))
            .timeout_global(Some(settings.wait))
            .build();
        let verifier = Verifier::new(Anchors::from_certificates(signers));
        Ok(Self { url: settings.url.clone(), agent: config.new_agent(), verifier })
    }

    /// Fetches the index and judges it as of `now`. Blocks.
    ///
    /// # Errors
    /// [`FetchError`]
    pub fn fetch(&self, now: Instant) -> Result<Fetched, FetchError> {
        let mut response = self.agent.get(&self.url).call().map_err(Box::new)?;
        let body = response.body_mut().with_config().limit(SIGNED_BYTES_MAX as u64);
        let file = body.read_to_vec().map_err(Box::new)?;
        let signed = SignedIndex::open(&file, &self.verifier, now)?;
        Ok(Fetched { file, signed })
    }
}

/// An index that may be put in force.
pub struct Fetched {
    /// The signed file.
    pub file: Vec<u8>,
    /// What is in it.
    pub signed: SignedIndex,
}

fn certificates(part: Part, pem: &[u8]) -> Result<Vec<Certificate<'static>>, FetchError> {
    let certificates = tls::certificates(pem).map_err(strange(part))?;
    if certificates.is_empty() {
        return Err(FetchError::Settings(part, "expected a certificate in PEM".to_owned()));
    }
    Ok(certificates)
}

fn strange<E: fmt::Display>(part: Part) -> impl Fn(E) -> FetchError {
    move |error| FetchError::Settings(part, error.to_string())
}
