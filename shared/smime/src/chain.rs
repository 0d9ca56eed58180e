//! From a signer's certificate to a trust anchor (RFC 5280 §6), at an instant that the caller gives.
//!
//! Ours, because the checkers at hand refuse what real PEC certificates carry (critical policies) and let pass
//! what the profile forbids (a key for encipherment only): see spec 10.2. Every signature is verified by the
//! crypto library; the walk is bounded in depth and in the number of signatures tried.

use std::collections::HashMap;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912;

use crate::algorithm::{AlgorithmError, Policy};
use crate::certificate::{Certificate, CertificateError};
use crate::name::DirectoryName;

/// Certificates of a path at most, the signer's and the anchor included.
pub const PATH_CERTIFICATES_MAX: usize = 8;
/// Signatures of certificates verified for one question at most.
const SIGNATURES_MAX: usize = 64;

/// Certificates that are trusted because somebody said so: self-signed or intermediate, all alike.
#[derive(Clone, Debug, Default)]
pub struct Anchors {
    by_subject: HashMap<DirectoryName, Vec<Certificate>>,
}

impl Anchors {
    /// No anchor: every chain fails.
    pub fn new() -> Self {
        Self::default()
    }

    /// From parsed certificates.
    pub fn from_certificates(certificates: impl IntoIterator<Item = Certificate>) -> Self {
        let mut anchors = Self::new();
        certificates.into_iter().for_each(|certificate| anchors.add(certificate));
        anchors
    }

    /// From the contents of files, each PEM with any number of certificates or DER with one.
    ///
    /// # Errors
    /// The first [`CertificateError`] met.
    pub fn from_files<'a>(files: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, CertificateError> {
        let mut anchors = Self::new();
        for file in files {
            Certificate::from_file(file)?.into_iter().for_each(|certificate| anchors.add(certificate));
        }
        Ok(anchors)
    }

    /// One more; the same one twice counts once.
    pub fn add(&mut self, certificate: Certificate) {
        let same_name = self.by_subject.entry(certificate.subject_name().clone()).or_default();
        if !same_name.contains(&certificate) {
            same_name.push(certificate);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_subject.values().map(Vec::len).sum()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.by_subject.is_empty()
    }

    /// The anchor that certified a certificate itself, if one did.
    pub(crate) fn issuer_of(&self, certificate: &Certificate, policy: Policy) -> Option<&Certificate> {
        match self.named(certificate.issuer_name()) {
            [] => None,
            several => {
                several.iter().find(|anchor| certificate.is_signed_by(anchor, policy).unwrap_or(false))
            }
        }
    }

    fn contains(&self, certificate: &Certificate) -> bool {
        self.named(certificate.subject_name()).contains(certificate)
    }

    fn named(&self, name: &DirectoryName) -> &[Certificate] {
        self.by_subject.get(name).map_or(&[], Vec::as_slice)
    }
}

/// Why a certificate does not lead to an anchor. Displays finish the sentence "failed to …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Neither an anchor nor a certificate of the message has the issuer's name.
    #[error(
        "find the issuer of {subject}: expected a certificate of {issuer} among the anchors or in the message"
    )]
    NoIssuer {
        /// Whose issuer.
        subject: String,
        /// The name looked for.
        issuer: String,
    },
    /// There is a certificate with the issuer's name, but its key did not make the signature.
    #[error("verify the signature of certificate {subject} with the key of {issuer}")]
    Signature {
        /// The certificate.
        subject: String,
        /// The one whose key was tried.
        issuer: String,
    },
    /// The algorithm of a certificate's signature is not accepted.
    #[error("verify the signature of certificate {subject}")]
    Algorithm {
        /// The certificate.
        subject: String,
        /// What is wrong with the algorithm.
        source: AlgorithmError,
    },
    /// A key is not accepted.
    #[error("accept the key of certificate {subject}: it has {bits} bits, expected at least {minimum}")]
    WeakKey {
        /// The certificate.
        subject: String,
        /// Size that came.
        bits: u32,
        /// Size expected.
        minimum: u32,
    },
    /// Before notBefore.
    #[error("accept certificate {subject} at {}: it is valid from {}", instant(*at), instant(*not_before))]
    NotYetValid {
        /// The certificate.
        subject: String,
        /// Start of its validity, seconds since 1970 UTC.
        not_before: i64,
        /// The instant asked about.
        at: i64,
    },
    /// After notAfter.
    #[error("accept certificate {subject} at {}: it was valid until {}", instant(*at), instant(*not_after))]
    Expired {
        /// The certificate.
        subject: String,
        /// End of its validity, seconds since 1970 UTC.
        not_after: i64,
        /// The instant asked about.
        at: i64,
    },
    /// The keyUsage does not allow what the key was used for.
    #[error("accept certificate {subject}: keyUsage is {found}, expected {expected}")]
    KeyUsage {
        /// The certificate.
        subject: String,
        /// What it allows.
        found: String,
        /// What it should allow.
        expected: &'static str,
    },
    /// The extendedKeyUsage is of something else: neither emailProtection nor anyExtendedKeyUsage, for mail.
    #[error("accept certificate {subject}: extendedKeyUsage is {found}, expected {expected}")]
    ExtendedKeyUsage {
        /// The certificate.
        subject: String,
        /// The purposes that it has.
        found: String,
        /// The one that it should have.
        expected: &'static str,
    },
    /// An issuer that is not a certification authority.
    #[error("accept {subject} as an issuer: expected basicConstraints with cA TRUE")]
    NotAnAuthority {
        /// The certificate.
        subject: String,
    },
    /// More intermediates than an issuer allows below itself.
    #[error("accept the path below {subject}: {found} intermediates, expected at most {maximum}")]
    PathLength {
        /// The issuer with the limit.
        subject: String,
        /// Intermediates below it.
        found: usize,
        /// Its pathLenConstraint.
        maximum: u8,
    },
    /// A name outside what an issuer is allowed to certify.
    #[error("accept {name} of certificate {subject}: outside the name constraints of {issuer}")]
    NameConstraint {
        /// The certificate with the name.
        subject: String,
        /// The name.
        name: String,
        /// The issuer with the constraints.
        issuer: String,
    },
    /// A critical extension that we do not understand.
    #[error("understand critical extension {oid} of certificate {subject}")]
    CriticalExtension {
        /// The certificate.
        subject: String,
        /// The extension.
        oid: String,
    },
    /// Too many certificates, or too many with the same names.
    #[error("find a path within {PATH_CERTIFICATES_MAX} certificates and {SIGNATURES_MAX} signatures")]
    TooComplex,
}

impl ChainError {
    /// How much a failure explains: of several paths tried, the one that says most is reported.
    fn weight(&self) -> u8 {
        match self {
            Self::NoIssuer { .. } => 0,
            Self::Signature { .. } => 1,
            Self::TooComplex => 3,
            _ => 2,
        }
    }
}

/// A path that was found.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    /// SHA-256 of the certificates between signer and anchor.
    pub(crate) intermediates: Vec<[u8; 32]>,
    /// The instants at which all of it is valid, both inclusive.
    pub(crate) valid: std::ops::RangeInclusive<i64>,
}

/// What a certificate is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To sign messages.
    Mail,
    /// To make timestamps.
    Timestamps,
}

/// Walks from the signer to an anchor.
pub(crate) fn find_path(
    anchors: &Anchors,
    signer: &Certificate,
    others: &[Certificate],
    at: i64,
    policy: Policy,
    purpose: Purpose,
) -> Result<Path, ChainError> {
    // 1. What the signer's own certificate must say, whoever issued it.
    check_dates(signer, at)?;
    check_critical(signer)?;
    check_signer_usage(signer, purpose)?;
    check_key(signer, policy)?;

    // 2. Given as an anchor itself: nothing more to ask.
    if anchors.contains(signer) {
        return Ok(path(&[signer], None));
    }

    // 3. Upwards, one issuer at a time.
    let mut search = Search { anchors, others, at, policy, signatures_left: SIGNATURES_MAX };
    search.climb(&mut vec![signer])
}

struct Search<'a> {
    anchors: &'a Anchors,
    others: &'a [Certificate],
    at: i64,
    policy: Policy,
    signatures_left: usize,
}

impl<'a> Search<'a> {
    /// `below` is the path so far, signer first. Recursion is bounded by [`PATH_CERTIFICATES_MAX`].
    fn climb(&mut self, below: &mut Vec<&'a Certificate>) -> Result<Path, ChainError> {
        let Some(&child) = below.last() else { return Err(ChainError::TooComplex) };
        let mut worst =
            ChainError::NoIssuer { subject: child.subject().to_owned(), issuer: child.issuer().to_owned() };
        if below.len() >= PATH_CERTIFICATES_MAX {
            return Err(ChainError::TooComplex);
        }
        for (issuer, is_anchor) in self.candidates(child, below) {
            let found = match self.check_link(child, issuer, is_anchor, below) {
                Ok(()) if is_anchor => Ok(path(below, Some(issuer))),
                Ok(()) => {
                    below.push(issuer);
                    let found = self.climb(below);
                    below.pop();
                    found
                }
                Err(error) => Err(error),
            };
            match found {
                Ok(path) => return Ok(path),
                Err(ChainError::TooComplex) => return Err(ChainError::TooComplex),
                Err(error) if error.weight() > worst.weight() => worst = error,
                Err(_) => {}
            }
        }
        Err(worst)
    }

    /// Certificates with the issuer's name, anchors first; those with the wrong key identifier last.
    fn candidates(&self, child: &Certificate, below: &[&Certificate]) -> Vec<(&'a Certificate, bool)> {
        let name = child.issuer_name();
        let anchors = self.anchors.named(name).iter().map(|anchor| (anchor, true));
        let others = self
            .others
            .iter()
            .filter(|other| other.subject_name() == name && !below.contains(other))
            .map(|other| (other, false));
        let mut all: Vec<_> = anchors.chain(others).collect();
        all.sort_by_key(|(issuer, _)| key_ids_differ(child, issuer)); // stable
        all
    }

    fn check_link(
        &mut self,
        child: &Certificate,
        issuer: &Certificate,
        is_anchor: bool,
        below: &[&Certificate],
    ) -> Result<(), ChainError> {
        self.signatures_left = self.signatures_left.checked_sub(1).ok_or(ChainError::TooComplex)?;
        match child.is_signed_by(issuer, self.policy) {
            Ok(true) => {}
            Ok(false) => {
                return Err(ChainError::Signature {
                    subject: child.subject().to_owned(),
                    issuer: issuer.subject().to_owned(),
                });
            }
            Err(source) => {
                return Err(ChainError::Algorithm { subject: child.subject().to_owned(), source });
            }
        }
        check_dates(issuer, self.at)?;
        check_authority(issuer, is_anchor)?;
        check_path_length(issuer, below)?;
        check_names(issuer, below)?;
        if is_anchor {
            return Ok(()); // what else it says was judged by who gave it to us
        }
        check_critical(issuer)?;
        check_extended_usage(issuer)
    }
}

fn path(below: &[&Certificate], anchor: Option<&Certificate>) -> Path {
    let all = || below.iter().copied().chain(anchor);
    let from = all().map(Certificate::not_before_unix_s).max().unwrap_or(i64::MAX);
    let until = all().map(Certificate::not_after_unix_s).min().unwrap_or(i64::MIN);
    Path { intermediates: below.iter().skip(1).map(|c| c.sha256()).collect(), valid: from..=until }
}

fn key_ids_differ(child: &Certificate, issuer: &Certificate) -> bool {
    match (&child.extensions().authority_key_id, &issuer.extensions().subject_key_id) {
        (Some(wanted), Some(found)) => wanted != found,
        _ => false,
    }
}

fn check_dates(certificate: &Certificate, at: i64) -> Result<(), ChainError> {
    let subject = || certificate.subject().to_owned();
    let (not_before, not_after) = (certificate.not_before_unix_s(), certificate.not_after_unix_s());
    if at < not_before {
        return Err(ChainError::NotYetValid { subject: subject(), not_before, at });
    }
    if at > not_after {
        return Err(ChainError::Expired { subject: subject(), not_after, at });
    }
    Ok(())
}

/// RFC 5280 §4.2: a critical extension that is not recognised refuses the certificate.
fn check_critical(certificate: &Certificate) -> Result<(), ChainError> {
    match certificate.extensions().not_understood.first() {
        None => Ok(()),
        Some(oid) => Err(ChainError::CriticalExtension {
            subject: certificate.subject().to_owned(),
            oid: oid.to_string(),
        }),
    }
}

/// RFC 8550 §4.4.2: digitalSignature or nonRepudiation where there is a keyUsage (RFC 6109 §5.5.2 wants
/// digitalSignature; of others' certificates we ask what S/MIME asks), emailProtection where there is an
/// extendedKeyUsage (§4.4.4).
fn check_signer_usage(signer: &Certificate, purpose: Purpose) -> Result<(), ChainError> {
    if let Some(usage) = &signer.extensions().key_usage
        && !usage.digital_signature()
        && !usage.non_repudiation()
    {
        return Err(ChainError::KeyUsage {
            subject: signer.subject().to_owned(),
            found: usage_names(usage),
            expected: "digitalSignature or nonRepudiation",
        });
    }
    match purpose {
        Purpose::Mail => check_extended_usage(signer),
        Purpose::Timestamps => check_timestamper_usage(signer),
    }
}

/// RFC 3161 §2.3: timeStamping and nothing else.
fn check_timestamper_usage(signer: &Certificate) -> Result<(), ChainError> {
    let purposes = signer.extensions().extended_key_usage.as_deref().unwrap_or_default();
    if purposes == [rfc5912::ID_KP_TIME_STAMPING] {
        return Ok(());
    }
    let found = purposes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let (subject, expected) = (signer.subject().to_owned(), "timeStamping alone");
    Err(ChainError::ExtendedKeyUsage { subject, found, expected })
}

fn check_extended_usage(certificate: &Certificate) -> Result<(), ChainError> {
    const ANY: ObjectIdentifier = rfc5912::ANY_EXTENDED_KEY_USAGE;
    const EMAIL: ObjectIdentifier = rfc5912::ID_KP_EMAIL_PROTECTION;
    match &certificate.extensions().extended_key_usage {
        Some(purposes) if !purposes.iter().any(|purpose| *purpose == EMAIL || *purpose == ANY) => {
            let found = purposes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let (subject, expected) = (certificate.subject().to_owned(), "emailProtection");
            Err(ChainError::ExtendedKeyUsage { subject, found, expected })
        }
        _ => Ok(()),
    }
}

fn check_key(signer: &Certificate, policy: Policy) -> Result<(), ChainError> {
    match signer.public_key().weakness(policy) {
        None => Ok(()),
        Some((bits, minimum)) => {
            Err(ChainError::WeakKey { subject: signer.subject().to_owned(), bits, minimum })
        }
    }
}

/// RFC 5280 §6.1.4 (k) and (n). An anchor may be silent (old roots are), but not say the opposite: a provider's
/// own certificate given as an anchor vouches for itself and issues nothing.
fn check_authority(issuer: &Certificate, is_anchor: bool) -> Result<(), ChainError> {
    let extensions = issuer.extensions();
    let is_authority = extensions.basic.as_ref().map_or(is_anchor, |basic| basic.ca);
    if !is_authority {
        return Err(ChainError::NotAnAuthority { subject: issuer.subject().to_owned() });
    }
    match &extensions.key_usage {
        Some(usage) if !usage.key_cert_sign() => Err(ChainError::KeyUsage {
            subject: issuer.subject().to_owned(),
            found: usage_names(usage),
            expected: "keyCertSign",
        }),
        _ => Ok(()),
    }
}

/// RFC 5280 §6.1.4 (l) and (m): intermediates below this one that are not self-issued.
fn check_path_length(issuer: &Certificate, below: &[&Certificate]) -> Result<(), ChainError> {
    let Some(maximum) = issuer.extensions().basic.as_ref().and_then(|basic| basic.path_len_constraint) else {
        return Ok(());
    };
    let found = below.iter().skip(1).filter(|certificate| !certificate.is_self_issued()).count();
    if found > usize::from(maximum) {
        return Err(ChainError::PathLength { subject: issuer.subject().to_owned(), found, maximum });
    }
    Ok(())
}

/// RFC 5280 §6.1.3 (b) and (c): every certificate below, but self-issued intermediates.
fn check_names(issuer: &Certificate, below: &[&Certificate]) -> Result<(), ChainError> {
    let Some(constraints) = &issuer.extensions().name_constraints else { return Ok(()) };
    for (depth, certificate) in below.iter().enumerate() {
        if depth > 0 && certificate.is_self_issued() {
            continue;
        }
        if let Some(name) = constraints.violation(certificate.names()) {
            return Err(ChainError::NameConstraint {
                subject: certificate.subject().to_owned(),
                name: name.describe(),
                issuer: issuer.subject().to_owned(),
            });
        }
    }
    Ok(())
}

fn usage_names(usage: &x509_cert::ext::pkix::KeyUsage) -> String {
    let names = [
        (usage.digital_signature(), "digitalSignature"),
        (usage.non_repudiation(), "nonRepudiation"),
        (usage.key_encipherment(), "keyEncipherment"),
        (usage.data_encipherment(), "dataEncipherment"),
        (usage.key_agreement(), "keyAgreement"),
        (usage.key_cert_sign(), "keyCertSign"),
        (usage.crl_sign(), "cRLSign"),
        (usage.encipher_only(), "encipherOnly"),
        (usage.decipher_only(), "decipherOnly"),
    ];
    let set: Vec<_> = names.into_iter().filter_map(|(set, name)| set.then_some(name)).collect();
    if set.is_empty() { "empty".to_owned() } else { set.join(", ") }
}

/// RFC 3339, for messages.
fn instant(unix_s: i64) -> String {
    u64::try_from(unix_s)
        .ok()
        .and_then(|s| der::DateTime::from_unix_duration(std::time::Duration::from_secs(s)).ok())
        .map_or_else(|| format!("second {unix_s} of 1970"), |date| date.to_string())
}
