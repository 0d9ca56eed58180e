//! The national provider index, fetched (RFC 6109 §4.5, §5.6; spec 9.4): over HTTPS, with a client certificate, signed.
//! What does not hold in all of that is never handed out. A test bed may keep it in LDAP instead, unsigned.
//! Where the copy in force lies, and how old it may become, is each form's own. And revocation lists
//! ([`lists`]), and timestamps ([`timestamps`]).
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod ldap;
pub mod lists;
pub mod timestamps;
pub mod tls;

use std::{fmt, time::Duration};

use bytes::Bytes;
use pec::{
    Index, Instant,
    index::{IndexError, SIGNED_BYTES_MAX, SignedIndex, SignedIndexError},
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
    /// The URL of `o=postacert`'s LDIFLocationURL, `https`; or a test bed's directory, `ldaps`.
    pub url: String,
    /// The authorities that certify the server.
    pub server_ca: Vec<u8>,
    /// The certificates that the index's signer leads to. `None` for a directory, which nobody signs.
    pub signer_ca: Option<Vec<u8>>,
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
    /// No answer of a directory, or a refusal.
    #[error("read the index from the directory: {0}")]
    Ldap(String),
    /// What came is not put in force.
    #[error(transparent)]
    Unfit(#[from] SignedIndexError),
    /// What a directory holds is not put in force.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// In which form the index comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A signed LDIF over HTTPS, as the law has it (RFC 6109 §4.5).
    Signed,
    /// Entries of a directory over LDAPS, which nobody signs: for test beds.
    Directory,
}

impl Form {
    /// The form of what is at this URL.
    ///
    /// # Errors
    /// [`FetchError::Settings`] for what is neither.
    pub fn of(url: &str) -> Result<Self, FetchError> {
        match url.split_once("://") {
            Some(("https", _)) => Ok(Self::Signed),
            Some(("ldaps", _)) => Ok(Self::Directory),
            _ => Err(FetchError::Settings(Part::Url, "expected https, or ldaps".to_owned())),
        }
    }

    /// What a copy of [`Fetched::file`] is called, after the name of the index in force: its age is the index's.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Signed => ".p7m",
            Self::Directory => ".ldap",
        }
    }
}

/// Where the index comes from.
pub struct Source {
    form: Form,
    way: Way,
}

enum Way {
    Signed { url: String, agent: Box<Agent>, verifier: Box<Verifier> },
    Ldap(ldap::Directory),
}

impl Source {
    /// With these settings; nothing is asked yet.
    ///
    /// # Errors
    /// [`FetchError::Settings`]
    pub fn new(settings: &Settings) -> Result<Self, FetchError> {
        let unfit = |part, why: &str| FetchError::Settings(part, why.to_owned());
        let form = Form::of(&settings.url)?;
        let way = match (form, &settings.signer_ca) {
            (Form::Signed, Some(signer_ca)) => signed(settings, signer_ca)?,
            (Form::Directory, None) => Way::Ldap(ldap::Directory::new(settings)?),
            (Form::Signed, None) => {
                return Err(unfit(Part::SignerCa, "expected certificates: what comes over HTTPS is signed"));
            }
            (Form::Directory, Some(_)) => {
                return Err(unfit(Part::SignerCa, "expected none: what a directory holds is not signed"));
            }
        };
        Ok(Self { form, way })
    }

    /// In which form it comes.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// Fetches the index and judges it as of `now`. Blocks.
    ///
    /// # Errors
    /// [`FetchError`]
    pub fn fetch(&self, now: Instant) -> Result<Fetched, FetchError> {
        match &self.way {
            Way::Signed { url, agent, verifier } => {
                let mut response = agent.get(url).call().map_err(Box::new)?;
                let body = response.body_mut().with_config().limit(SIGNED_BYTES_MAX as u64);
                let file = body.read_to_vec().map_err(Box::new)?;
                let SignedIndex { index, ldif, signer } = SignedIndex::open(&file, verifier, now)?;
                Ok(Fetched { file: file.into(), ldif, index, signer: Some(signer.subject().to_owned()) })
            }
            Way::Ldap(directory) => {
                let ldif = Bytes::from(directory.read()?);
                let index = Index::from_ldif(&ldif)?;
                Ok(Fetched { file: ldif.clone(), ldif, index, signer: None })
            }
        }
    }
}

/// An index that may be put in force.
pub struct Fetched {
    /// What came: the signed file, or the entries of the directory as LDIF.
    pub file: Bytes,
    /// The LDIF, octet for octet.
    pub ldif: Bytes,
    /// What is in it, never empty.
    pub index: Index,
    /// Who signed it; `None` for a directory.
    pub signer: Option<String>,
}

fn signed(settings: &Settings, signer_ca: &[u8]) -> Result<Way, FetchError> {
    let signers = smime::Certificate::from_pem(signer_ca).map_err(strange(Part::SignerCa))?;
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
    let verifier = Box::new(Verifier::new(Anchors::from_certificates(signers)));
    Ok(Way::Signed { url: settings.url.clone(), agent: Box::new(config.new_agent()), verifier })
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
