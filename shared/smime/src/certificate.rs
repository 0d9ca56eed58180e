//! One X.509 certificate: the octets that came in, and the facts that we read in them.

use std::fmt;
use std::sync::Arc;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912;
use der::{Decode, Encode};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};

use crate::algorithm::{AlgorithmError, Curve, DigestAlgorithm, KeyKind, Policy, PublicKey};
use crate::ber::{self, Malformed, tag};
use crate::name::{CertifiedNames, DirectoryName, GeneralName, NameConstraints};
use crate::{ocsp, revocation};

/// Octets of one certificate that we read at most. The authority's own, with all its name constraints, has 8 KB.
pub const CERTIFICATE_BYTES_MAX: usize = 64 * 1024;
/// Certificates read from one PEM text at most.
pub const PEM_CERTIFICATES_MAX: usize = 4096;

/// A parsed certificate. Cheap to clone; two are equal if their octets are.
#[derive(Clone)]
pub struct Certificate(Arc<Facts>);

struct Facts {
    der: Vec<u8>,
    sha256: [u8; 32],
    subject: String,
    issuer: String,
    serial: Vec<u8>,
    not_before: i64,
    not_after: i64,
    mails: Vec<String>,
    key: PublicKey,
    issuer_name: DirectoryName,
    issuer_der: Vec<u8>,
    subject_der: Vec<u8>,
    names: CertifiedNames,
    extensions: Extensions,
    /// Algorithm identifier, value of the signature and the octets it is over.
    signature_oid: ObjectIdentifier,
    signature: Vec<u8>,
    signed: std::ops::Range<usize>,
}

/// The extensions that path validation asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extensions {
    pub(crate) basic: Option<BasicConstraints>,
    pub(crate) key_usage: Option<KeyUsage>,
    pub(crate) extended_key_usage: Option<Vec<ObjectIdentifier>>,
    pub(crate) name_constraints: Option<NameConstraints>,
    pub(crate) subject_key_id: Option<Vec<u8>>,
    pub(crate) authority_key_id: Option<Vec<u8>>,
    pub(crate) not_understood: Vec<ObjectIdentifier>,
    /// Where its issuer publishes revocation lists.
    pub(crate) lists: Vec<String>,
    /// Where its issuer answers about it.
    pub(crate) responders: Vec<String>,
}

/// Why octets are not a certificate that we can use. Displays finish the sentence "failed to …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// More octets than [`CERTIFICATE_BYTES_MAX`], or more certificates than [`PEM_CERTIFICATES_MAX`].
    #[error("read certificates: {found} where at most {maximum} are read")]
    TooLarge {
        /// What came.
        found: usize,
        /// The bound.
        maximum: usize,
    },
    /// Not the DER of an X.509 certificate.
    #[error("parse a certificate: {0}")]
    Malformed(String),
    /// An extension that we must understand cannot be read, or stands there twice.
    #[error("read extension {oid} of certificate {subject}")]
    Extension {
        /// The extension.
        oid: String,
        /// Whose certificate.
        subject: String,
    },
    /// The text is not PEM, or holds no certificate.
    #[error("read PEM: expected -----BEGIN CERTIFICATE-----")]
    Pem,
}

impl From<Malformed> for CertificateError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed.to_string())
    }
}

impl From<der::Error> for CertificateError {
    fn from(error: der::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl Certificate {
    /// Parses one certificate. No signature is verified here.
    ///
    /// # Errors
    /// [`CertificateError`] if it is too large, not DER, or holds an unreadable extension of those that we use.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(CertificateError::TooLarge { found: der.len(), maximum: CERTIFICATE_BYTES_MAX });
        }
        let parsed = x509_cert::Certificate::from_der(der)?;
        let tbs = parsed.tbs_certificate();
        if parsed.signature_algorithm() != tbs.signature() {
            return Err(CertificateError::Malformed("two different signature algorithms".to_owned()));
        }
        let subject = tbs.subject().to_string();
        let (extensions, alternative) =
            read_extensions(tbs.extensions().map_or(&[], Vec::as_slice), &subject)?;
        let issuer_der = tbs.issuer().to_der()?;
        let subject_der = tbs.subject().to_der()?;
        let subject_name = directory_name(&subject_der)?;
        let facts = Facts {
            sha256: crate::sha256([der]),
            issuer: tbs.issuer().to_string(),
            serial: tbs.serial_number().as_bytes().to_vec(),
            not_before: unix(tbs.validity().not_before),
            not_after: unix(tbs.validity().not_after),
            mails: mails(&alternative),
            key: public_key(tbs.subject_public_key_info())?,
            issuer_name: directory_name(&issuer_der)?,
            names: CertifiedNames { subject: subject_name, alternative },
            signature_oid: parsed.signature_algorithm().oid,
            signature: parsed.signature().raw_bytes().to_vec(),
            signed: signed_range(der)?,
            der: der.to_vec(),
            subject,
            subject_der,
            issuer_der,
            extensions,
        };
        Ok(Self(Arc::new(facts)))
    }

    /// All certificates in a PEM text, in order; other objects in it are passed over.
    ///
    /// # Errors
    /// [`CertificateError::Pem`] if there is none, else the first error of [`Self::from_der`].
    pub fn from_pem(pem: &[u8]) -> Result<Vec<Self>, CertificateError> {
        let mut certificates = Vec::new();
        for der in CertificateDer::pem_slice_iter(pem) {
            certificates.push(Self::from_der(&der.map_err(|_| CertificateError::Pem)?)?);
            if certificates.len() > PEM_CERTIFICATES_MAX {
                let found = certificates.len();
                return Err(CertificateError::TooLarge { found, maximum: PEM_CERTIFICATES_MAX });
            }
        }
        if certificates.is_empty() { Err(CertificateError::Pem) } else { Ok(certificates) }
    }

    /// The certificates of a file, PEM or one in DER.
    ///
    /// # Errors
    /// As [`Self::from_pem`] and [`Self::from_der`].
    pub fn from_file(bytes: &[u8]) -> Result<Vec<Self>, CertificateError> {
        if bytes.first() == Some(&tag::SEQUENCE) {
            Ok(vec![Self::from_der(bytes)?])
        } else {
            Self::from_pem(bytes)
        }
    }

    /// The octets, as they came in.
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// SHA-1 of the octets in lower-case hex: the key of the provider index (RFC 6109 §4.5.1; compare without
    /// regard to case, spec 5.2 V2).
    pub fn sha1_hex(&self) -> String {
        hex::encode(DigestAlgorithm::Sha1.digest(self.der()))
    }

    /// SHA-256 of the octets.
    pub fn sha256(&self) -> [u8; 32] {
        self.0.sha256
    }

    /// SHA-256 of the octets in lower-case hex.
    pub fn sha256_hex(&self) -> String {
        crate::hex(&self.0.sha256)
    }

    /// The subject in the notation of RFC 4514, most specific attribute first.
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// The issuer, written as the subject is.
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// The serial number in lower-case hex, two digits an octet, without the sign octet.
    pub fn serial_hex(&self) -> String {
        match self.0.serial.as_slice() {
            [0, rest @ ..] if !rest.is_empty() => hex::encode(rest),
            all => hex::encode(all),
        }
    }

    /// Start of validity, seconds since 1970 UTC, inclusive.
    pub fn not_before_unix_s(&self) -> i64 {
        self.0.not_before
    }

    /// End of validity, seconds since 1970 UTC, inclusive.
    pub fn not_after_unix_s(&self) -> i64 {
        self.0.not_after
    }

    /// The rfc822Name entries of subjectAltName, in order and as written.
    pub fn mails(&self) -> &[String] {
        &self.0.mails
    }

    /// What kind of key it certifies.
    pub fn key(&self) -> &KeyKind {
        self.0.key.kind()
    }

    /// True if subject and issuer are the same name.
    pub fn is_self_issued(&self) -> bool {
        self.0.names.subject == self.0.issuer_name
    }

    pub(crate) fn public_key(&self) -> &PublicKey {
        &self.0.key
    }

    pub(crate) fn extensions(&self) -> &Extensions {
        &self.0.extensions
    }

    pub(crate) fn names(&self) -> &CertifiedNames {
        &self.0.names
    }

    pub(crate) fn subject_name(&self) -> &DirectoryName {
        &self.0.names.subject
    }

    pub(crate) fn issuer_name(&self) -> &DirectoryName {
        &self.0.issuer_name
    }

    pub(crate) fn subject_der(&self) -> &[u8] {
        &self.0.subject_der
    }

    pub(crate) fn issuer_der(&self) -> &[u8] {
        &self.0.issuer_der
    }

    /// Content of the INTEGER.
    pub(crate) fn serial(&self) -> &[u8] {
        &self.0.serial
    }

    /// Whether `issuer`'s key made this certificate's signature.
    pub(crate) fn is_signed_by(&self, issuer: &Self, policy: Policy) -> Result<bool, AlgorithmError> {
        let key = issuer.public_key();
        let algorithm = key.algorithm(&self.0.signature_oid, None, policy)?;
        let signed = self.0.der.get(self.0.signed.clone()).unwrap_or_default();
        Ok(key.verify(algorithm, signed, &self.0.signature))
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.0.der == other.0.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.0.subject)
            .field("issuer", &self.0.issuer)
            .field("serial", &self.serial_hex())
            .finish_non_exhaustive()
    }
}

pub(crate) fn unix(time: x509_cert::time::Time) -> i64 {
    i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
}

fn mails(alternative: &[GeneralName]) -> Vec<String> {
    alternative
        .iter()
        .filter_map(|name| match name {
            GeneralName::Mail(mail) => Some(mail.clone()),
            _ => None,
        })
        .collect()
}

fn directory_name(der: &[u8]) -> Result<DirectoryName, Malformed> {
    DirectoryName::parse(&ber::single(der, "distinguished name")?)
}

/// Where the tbsCertificate stands: the octets that the signature is over.
pub(crate) fn signed_range(der: &[u8]) -> Result<std::ops::Range<usize>, Malformed> {
    let outer = ber::single(der, "certificate")?;
    let tbs = outer.inside().expect(tag::SEQUENCE, "tbsCertificate")?;
    let start = der.len() - outer.content.len(); // the content is the end of the one element
    Ok(start..start + tbs.whole.len())
}

fn public_key(info: &x509_cert::spki::SubjectPublicKeyInfoOwned) -> Result<PublicKey, CertificateError> {
    let bytes = info.subject_public_key.raw_bytes();
    let kind = match info.algorithm.oid {
        rfc5912::RSA_ENCRYPTION => KeyKind::Rsa { bits: modulus_bits(bytes)? },
        rfc5912::ID_EC_PUBLIC_KEY => {
            match info.algorithm.parameters.as_ref().and_then(|any| any.decode_as::<ObjectIdentifier>().ok())
            {
                Some(rfc5912::SECP_256_R_1) => KeyKind::Ec(Curve::P256),
                Some(rfc5912::SECP_384_R_1) => KeyKind::Ec(Curve::P384),
                Some(rfc5912::SECP_521_R_1) => KeyKind::Ec(Curve::P521),
                Some(curve) => KeyKind::Other(curve.to_string()),
                None => KeyKind::Other(info.algorithm.oid.to_string()),
            }
        }
        other => KeyKind::Other(other.to_string()),
    };
    Ok(PublicKey::new(kind, bytes))
}

/// RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER } (RFC 8017 A.1.1).
fn modulus_bits(key: &[u8]) -> Result<u32, Malformed> {
    const WHAT: &str = "RSA public key";
    let modulus = ber::single(key, WHAT)?.inside().expect(tag::INTEGER, WHAT)?.content;
    let zeros = modulus.iter().take_while(|octet| **octet == 0).count();
    let significant = modulus.get(zeros..).unwrap_or_default();
    let top = significant.first().map_or(0, |octet| octet.leading_zeros());
    let bits = u32::try_from(significant.len() * 8).map_err(|_| Malformed(WHAT))?;
    Ok(bits.saturating_sub(top))
}

/// Critical extensions that hold nothing that this profile has to act upon. Policies are accepted whatever they
/// are: nobody here demands one, so a certificate may insist on its own (RFC 5280 §6.1.1 c, any-policy, with
/// initial-explicit-policy false). Revocation is judged elsewhere, with or without distribution points.
const UNDERSTOOD: [ObjectIdentifier; 6] = [
    rfc5912::ID_CE_CERTIFICATE_POLICIES,
    rfc5912::ID_CE_POLICY_MAPPINGS,
    rfc5912::ID_CE_INHIBIT_ANY_POLICY,
    rfc5912::ID_CE_ISSUER_ALT_NAME,
    rfc5912::ID_PE_AUTHORITY_INFO_ACCESS,
    ID_PE_QC_STATEMENTS,
];
const ID_PE_QC_STATEMENTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.3");

fn read_extensions(
    list: &[Extension],
    subject: &str,
) -> Result<(Extensions, Vec<GeneralName>), CertificateError> {
    let mut read = Extensions::default();
    let mut alternative = Vec::new();
    for (index, extension) in list.iter().enumerate() {
        let refuse = || CertificateError::Extension {
            oid: extension.extn_id.to_string(),
            subject: subject.to_owned(),
        };
        let earlier = list.get(..index).unwrap_or_default();
        if earlier.iter().any(|other| other.extn_id == extension.extn_id) {
            return Err(refuse()); // RFC 5280 §4.2: not more than one instance
        }
        read_extension(extension, &mut read, &mut alternative).ok_or_else(refuse)?;
    }
    Ok((read, alternative))
}

fn read_extension(
    extension: &Extension,
    read: &mut Extensions,
    alternative: &mut Vec<GeneralName>,
) -> Option<()> {
    let value = extension.extn_value.as_bytes();
    match extension.extn_id {
        rfc5912::ID_CE_BASIC_CONSTRAINTS => read.basic = Some(BasicConstraints::from_der(value).ok()?),
        rfc5912::ID_CE_KEY_USAGE => read.key_usage = Some(KeyUsage::from_der(value).ok()?),
        rfc5912::ID_CE_EXT_KEY_USAGE => {
            read.extended_key_usage = Some(ExtendedKeyUsage::from_der(value).ok()?.0);
        }
        rfc5912::ID_CE_NAME_CONSTRAINTS => {
            read.name_constraints = Some(NameConstraints::parse(value).ok()?);
        }
        rfc5912::ID_CE_SUBJECT_ALT_NAME => *alternative = GeneralName::parse_all(value).ok()?,
        rfc5912::ID_CE_SUBJECT_KEY_IDENTIFIER => {
            let id = ber::single(value, "key identifier").ok()?;
            (id.tag == tag::OCTET_STRING).then_some(())?;
            read.subject_key_id = Some(id.content.to_vec());
        }
        rfc5912::ID_CE_AUTHORITY_KEY_IDENTIFIER => {
            let sequence = ber::single(value, "authority key identifier").ok()?;
            let id = sequence.inside().optional(tag::context(0), "key identifier").ok()?;
            read.authority_key_id = id.map(|id| id.content.to_vec());
        }
        revocation::DISTRIBUTION_POINTS => read.lists = revocation::addresses(value),
        ocsp::INFORMATION_ACCESS => read.responders = ocsp::addresses(value),
        other if extension.critical && !UNDERSTOOD.contains(&other) => read.not_understood.push(other),
        _ => {}
    }
    Some(())
}
