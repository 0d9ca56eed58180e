//! The mathematics of a signature: digest, attributes, and the value made with the signer's key. Whether the
//! signer's certificate is to be trusted is another question: [`crate::Verifier::check_chain`].

use aws_lc_rs::digest::Digest;
use bytes::Bytes;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911;

use crate::algorithm::{AlgorithmError, DigestAlgorithm, Policy, SignatureAlgorithm};
use crate::attributes::{self, SignedAttributes};
use crate::ber::{self, Malformed, tag};
use crate::certificate::{Certificate, CertificateError};
use crate::cms::{self, SignedData, SignerId, SignerInfo};
use crate::message::SignedMessage;
use crate::name::DirectoryName;

/// A signature that holds.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Every signer, in the order of the CMS; all of them were verified.
    pub signers: Vec<Signer>,
    /// Every readable certificate inside, the signers' too, in the order of the CMS.
    pub certificates: Vec<Certificate>,
    /// True if the content verifies only with its line ends restored to CRLF: a copy damaged in storage.
    pub canonicalised: bool,
}

/// Who signed, and how.
#[derive(Clone, Debug)]
pub struct Signer {
    /// The certificate whose key made the signature.
    pub certificate: Certificate,
    /// The hash of the content.
    pub digest: DigestAlgorithm,
    /// The algorithm of the signature.
    pub signature: SignatureAlgorithm,
    /// The signing-time attribute, seconds since 1970 UTC: what the signer claims.
    pub signed_at_unix_s: Option<i64>,
    /// False if the signature is over the content itself.
    pub has_signed_attributes: bool,
}

/// Why a message is not verified. Displays finish the sentence "failed to …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// More octets than are read.
    #[error("read the signature: {found} octets where at most {maximum} are read")]
    TooLarge {
        /// Size that came.
        found: usize,
        /// The bound.
        maximum: usize,
    },
    /// Not the BER of a CMS structure; says which part of it.
    #[error("parse the signature: {0}")]
    Malformed(String),
    /// Another kind of CMS.
    #[error("find a signature: expected SignedData, found content type {found}")]
    NotSignedData {
        /// Its object identifier.
        found: String,
    },
    /// A SignedData that should hold its content and does not.
    #[error("open signed data: it holds no content")]
    NoContent,
    /// Certificates and nothing signed.
    #[error("find a signer: there is none")]
    NoSigner,
    /// More certificates than are read.
    #[error("read the certificates: more than {maximum}")]
    TooManyCertificates {
        /// The bound.
        maximum: usize,
    },
    /// More signers than are read.
    #[error("read the signers: more than {maximum}")]
    TooManySigners {
        /// The bound.
        maximum: usize,
    },
    /// One of the signers does not verify; then the message does not.
    #[error("verify signer {number} of {count} ({name}): {source}")]
    Signer {
        /// Which one, from 1.
        number: usize,
        /// Of how many.
        count: usize,
        /// Subject of its certificate, or what identifies it.
        name: String,
        /// What is wrong.
        source: SignerError,
    },
}

/// What is wrong with one signer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// The signer's certificate is not in the message (RFC 6109 §2.1 wants it there).
    #[error("find the signer's certificate among {readable} inside ({unreadable} more are unreadable)")]
    CertificateMissing {
        /// Certificates that could be read.
        readable: usize,
        /// Certificates that could not.
        unreadable: usize,
    },
    /// An algorithm that is not accepted.
    #[error(transparent)]
    Algorithm(#[from] AlgorithmError),
    /// The content is not what was signed.
    #[error("match the content with its {algorithm} digest: expected {expected}, found {found}")]
    MessageDigest {
        /// The hash.
        algorithm: DigestAlgorithm,
        /// The message-digest attribute, hex.
        expected: String,
        /// The digest of the content, hex.
        found: String,
    },
    /// The signature value does not belong to the attributes (or the content) and the key.
    #[error("verify the signature value with the signer's key ({algorithm})")]
    Signature {
        /// The algorithm.
        algorithm: SignatureAlgorithm,
    },
    /// The content type is not id-data, or the attribute says another.
    #[error("accept content type {found}: expected {expected}")]
    ContentType {
        /// What must stand there.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// A mandatory attribute is not there (RFC 5652 §5.3).
    #[error("find signed attribute {name}")]
    AttributeMissing {
        /// Its name.
        name: &'static str,
    },
    /// An attribute stands there twice or has not exactly one value (RFC 5652 §11).
    #[error("read signed attribute {name}: expected once with one value")]
    AttributeRepeated {
        /// Its name.
        name: &'static str,
    },
    /// An attribute cannot be read.
    #[error("read signed attribute {name}")]
    AttributeMalformed {
        /// Its name.
        name: &'static str,
    },
    /// The signing-certificate attribute names another certificate (RFC 5035 §5).
    #[error("match the signer's certificate with attribute {name}")]
    SigningCertificate {
        /// signing-certificate or signing-certificate-v2.
        name: &'static str,
    },
    /// cmsAlgorithmProtection names other algorithms (RFC 6211 §3).
    #[error("match {field} with attribute cmsAlgorithmProtection: expected {expected}, found {found}")]
    AlgorithmProtection {
        /// digestAlgorithm or signatureAlgorithm.
        field: &'static str,
        /// What the attribute says.
        expected: String,
        /// What the SignerInfo says.
        found: String,
    },
    /// No signed attributes, and the content looks like signed attributes taken from another message.
    #[error("accept a signature without signed attributes over content that is itself signed attributes")]
    AttributesAsContent,
    /// A part of the SignerInfo cannot be read.
    #[error("parse {0}")]
    Malformed(String),
}

impl From<Malformed> for VerifyError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed.to_string())
    }
}

impl From<Malformed> for SignerError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed.to_string())
    }
}

/// Verifies the signature of a split message: every signer, by its certificate inside. No chain, no dates.
///
/// # Errors
/// [`VerifyError`]: what was expected and what came.
pub fn verify(signed: &SignedMessage, policy: &Policy) -> Result<Verified, VerifyError> {
    detached(&signed.content, &signed.cms, *policy, &Certificate::from_der)
}

/// Verifies a SignedData that holds its content (`.p7m`, as the provider index: spec 9.4) and gives the content.
///
/// # Errors
/// [`VerifyError`]; [`VerifyError::NoContent`] if the content is elsewhere.
pub fn open_signed_data(der: &[u8], policy: &Policy) -> Result<(Bytes, Verified), VerifyError> {
    enclosed(der, *policy, &Certificate::from_der)
}

/// Makes a certificate of octets: by parsing, or from a cache.
pub(crate) type ReadCertificate<'r> = &'r dyn Fn(&[u8]) -> Result<Certificate, CertificateError>;

pub(crate) fn detached(
    content: &[u8],
    cms: &[u8],
    policy: Policy,
    read: ReadCertificate<'_>,
) -> Result<Verified, VerifyError> {
    let data = SignedData::parse(cms, cms::CMS_BYTES_MAX)?;
    verify_signers(&data, rfc5911::ID_DATA, &mut Content::new(content, true), policy, read)
}

pub(crate) fn enclosed(
    der: &[u8],
    policy: Policy,
    read: ReadCertificate<'_>,
) -> Result<(Bytes, Verified), VerifyError> {
    let data = SignedData::parse(der, cms::ENCLOSED_BYTES_MAX)?;
    open(&data, rfc5911::ID_DATA, policy, read)
}

/// As [`enclosed`], with content of this type.
pub(crate) fn typed(
    der: &[u8],
    kind: ObjectIdentifier,
    policy: Policy,
    read: ReadCertificate<'_>,
) -> Result<(Bytes, Verified), VerifyError> {
    let data = SignedData::parse(der, cms::ENCLOSED_BYTES_MAX)?;
    if data.content_type != kind {
        return Err(VerifyError::NotSignedData { found: data.content_type.to_string() });
    }
    open(&data, kind, policy, read)
}

fn open(
    data: &SignedData<'_>,
    kind: ObjectIdentifier,
    policy: Policy,
    read: ReadCertificate<'_>,
) -> Result<(Bytes, Verified), VerifyError> {
    let content = data.content.as_ref().ok_or(VerifyError::NoContent)?.octets()?;
    // The octets inside were never lines of mail: there is no second reading of them.
    let verified = verify_signers(data, kind, &mut Content::new(&content, false), policy, read)?;
    Ok((Bytes::from(content.into_owned()), verified))
}

fn verify_signers(
    data: &SignedData<'_>,
    kind: ObjectIdentifier,
    content: &mut Content<'_>,
    policy: Policy,
    read: ReadCertificate<'_>,
) -> Result<Verified, VerifyError> {
    let mut inside = Inside { certificates: Vec::new(), unreadable: 0 };
    for der in &data.certificates {
        match read(der) {
            Ok(certificate) => inside.certificates.push(certificate),
            Err(_) => inside.unreadable += 1, // only the signers' own must be readable
        }
    }
    let mut signers = Vec::new();
    for (index, info) in data.signers.iter().enumerate() {
        let certificate = inside.find(&info.id);
        let name = certificate.as_ref().map_or_else(|| describe(&info.id), |c| c.subject().to_owned());
        let signer = certificate
            .ok_or(SignerError::CertificateMissing {
                readable: inside.certificates.len(),
                unreadable: inside.unreadable,
            })
            .and_then(|certificate| {
                verify_signer(info, certificate, (kind, data.content_type), content, policy)
            })
            .map_err(|source| VerifyError::Signer {
                number: index + 1,
                count: data.signers.len(),
                name,
                source,
            })?;
        signers.push(signer);
    }
    Ok(Verified { signers, certificates: inside.certificates, canonicalised: content.canonicalised })
}

fn verify_signer(
    info: &SignerInfo<'_>,
    certificate: Certificate,
    (kind, content_type): (ObjectIdentifier, ObjectIdentifier),
    content: &mut Content<'_>,
    policy: Policy,
) -> Result<Signer, SignerError> {
    // 1. Algorithms: known, allowed, consistent with each other and with the key.
    let digest = DigestAlgorithm::from_oid(&info.digest_oid)
        .ok_or_else(|| AlgorithmError::Digest { oid: info.digest_oid.to_string() })?;
    let algorithm = certificate.public_key().algorithm(&info.signature_oid, Some(digest), policy)?;

    // 2. S/MIME signs MIME entities, which are id-data (RFC 8551 §2.4.1).
    expect_content_type(kind, content_type)?;

    // 3. The value, over the attributes or over the content.
    let signed_at_unix_s = match &info.signed_attributes {
        Some(set) => {
            let attributes = attributes::read(set)?;
            attributes.check(info, &certificate, content_type)?;
            content.match_digest(digest, &attributes.message_digest)?;
            verify_attributes(&attributes, &certificate, algorithm, info)?;
            attributes.signing_time_unix_s
        }
        None => {
            content.verify_value(&certificate, algorithm, &info.signature)?;
            None
        }
    };
    Ok(Signer {
        certificate,
        digest,
        signature: algorithm,
        signed_at_unix_s,
        has_signed_attributes: info.signed_attributes.is_some(),
    })
}

/// The signature is over the DER SET OF (RFC 5652 §5.4). Senders exist that sign the attributes in the order in
/// which they send them; that order is tried first, the sorted one if it differs. Both hold the same attributes.
fn verify_attributes(
    attributes: &SignedAttributes,
    certificate: &Certificate,
    algorithm: SignatureAlgorithm,
    info: &SignerInfo<'_>,
) -> Result<(), SignerError> {
    let holds = |octets: &[u8]| certificate.public_key().verify(algorithm, octets, &info.signature);
    if holds(&attributes.as_received) {
        return Ok(());
    }
    let sorted = ber::normalise(&ber::single(&attributes.as_received, "signed attributes")?, true)?;
    if sorted != attributes.as_received && holds(&sorted) {
        return Ok(());
    }
    Err(SignerError::Signature { algorithm })
}

pub(crate) fn expect_content_type(
    expected: ObjectIdentifier,
    found: ObjectIdentifier,
) -> Result<(), SignerError> {
    if expected == found {
        return Ok(());
    }
    Err(SignerError::ContentType { expected: expected.to_string(), found: found.to_string() })
}

struct Inside {
    certificates: Vec<Certificate>,
    unreadable: usize,
}

impl Inside {
    fn find(&self, id: &SignerId<'_>) -> Option<Certificate> {
        match id {
            SignerId::KeyId(wanted) => self
                .certificates
                .iter()
                .find(|certificate| certificate.extensions().subject_key_id.as_ref() == Some(wanted)),
            SignerId::IssuerAndSerial { issuer, serial } => {
                let der = ber::normalise(issuer, false).ok()?;
                let name = ber::single(&der, "issuer").and_then(|tlv| DirectoryName::parse(&tlv)).ok()?;
                self.certificates.iter().find(|certificate| {
                    same_number(certificate.serial(), serial)
                        && (certificate.issuer_der() == der || *certificate.issuer_name() == name)
                })
            }
        }
        .cloned()
    }
}

/// Serial numbers, without regard to leading zeros (some are encoded with too many).
fn same_number(a: &[u8], b: &[u8]) -> bool {
    let significant =
        |octets: &[u8]| octets.iter().copied().skip_while(|octet| *octet == 0).collect::<Vec<_>>();
    significant(a) == significant(b)
}

fn describe(id: &SignerId<'_>) -> String {
    match id {
        SignerId::KeyId(key_id) => format!("subject key identifier {}", hex::encode(key_id)),
        SignerId::IssuerAndSerial { serial, .. } => format!("serial number {}", hex::encode(serial)),
    }
}

/// What was signed, with the digests taken of it: one pass per hash function and form, however many signers.
struct Content<'a> {
    octets: &'a [u8],
    /// Whether line ends may have been damaged in storage.
    is_mail: bool,
    taken: Vec<(DigestAlgorithm, Form, Digest)>,
    canonicalised: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    AsReceived,
    Canonical,
}

impl<'a> Content<'a> {
    fn new(octets: &'a [u8], is_mail: bool) -> Self {
        Self { octets, is_mail, taken: Vec::new(), canonicalised: false }
    }

    fn match_digest(&mut self, algorithm: DigestAlgorithm, expected: &[u8]) -> Result<(), SignerError> {
        self.in_some_form(algorithm, |digest| digest.as_ref() == expected).map_err(|found| {
            SignerError::MessageDigest {
                algorithm,
                expected: hex::encode(expected),
                found: hex::encode(found),
            }
        })
    }

    fn verify_value(
        &mut self,
        certificate: &Certificate,
        algorithm: SignatureAlgorithm,
        signature: &[u8],
    ) -> Result<(), SignerError> {
        // Without this, the signed attributes of any message could be passed off as a message.
        if ber::single(self.octets, "content").is_ok_and(|tlv| tlv.tag == tag::SET) {
            return Err(SignerError::AttributesAsContent);
        }
        let key = certificate.public_key();
        self.in_some_form(algorithm.digest(), |digest| key.verify_digest(algorithm, digest, signature))
            .map_err(|_| SignerError::Signature { algorithm })
    }

    /// Tries the octets as received, then with CRLF restored if some were lost. Err: the digest as received.
    fn in_some_form(
        &mut self,
        algorithm: DigestAlgorithm,
        holds: impl Fn(&Digest) -> bool,
    ) -> Result<(), Digest> {
        let as_received = self.digest(algorithm, Form::AsReceived);
        if holds(&as_received) {
            return Ok(());
        }
        if self.is_mail && has_bare_lf(self.octets) && holds(&self.digest(algorithm, Form::Canonical)) {
            self.canonicalised = true;
            return Ok(());
        }
        Err(as_received)
    }

    fn digest(&mut self, algorithm: DigestAlgorithm, form: Form) -> Digest {
        if let Some((_, _, digest)) = self.taken.iter().find(|(a, f, _)| (*a, *f) == (algorithm, form)) {
            return *digest;
        }
        let digest = match form {
            Form::AsReceived => algorithm.digest(self.octets),
            Form::Canonical => canonical_digest(algorithm, self.octets),
        };
        self.taken.push((algorithm, form, digest));
        digest
    }
}

/// The digest of the canonical form (RFC 8551 §3.1.1: lines end with CRLF), without making a copy of it.
fn canonical_digest(algorithm: DigestAlgorithm, octets: &[u8]) -> Digest {
    let mut context = algorithm.context();
    mime::canonical_line_ends([octets], |piece| context.update(piece));
    context.finish()
}

fn has_bare_lf(octets: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', octets)
        .any(|at| at.checked_sub(1).and_then(|before| octets.get(before)) != Some(&b'\r'))
}
