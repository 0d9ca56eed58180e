//! The signed attributes of one signer (RFC 5652 §11, RFC 5035, RFC 6211).

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911;
use der::Decode;
use x509_cert::time::Time;

use crate::algorithm::DigestAlgorithm;
use crate::ber::{self, Tlv, tag};
use crate::certificate::Certificate;
use crate::cms::{self, Attribute, SignerInfo};
use crate::verify::{SignerError, expect_content_type};

pub(crate) const SIGNING_CERTIFICATE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
pub(crate) const SIGNING_CERTIFICATE_V2: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
const ALGORITHM_PROTECTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.52");

const MESSAGE_DIGEST_NAME: &str = "message-digest";
const CONTENT_TYPE_NAME: &str = "content-type";
const SIGNING_TIME_NAME: &str = "signing-time";
const SIGNING_CERTIFICATE_NAME: &str = "signing-certificate";
const SIGNING_CERTIFICATE_V2_NAME: &str = "signing-certificate-v2";
const ALGORITHM_PROTECTION_NAME: &str = "cmsAlgorithmProtection";

/// The attributes that we understand; others are tolerated (spec 10.1).
pub(crate) struct SignedAttributes<'a> {
    pub(crate) message_digest: Vec<u8>,
    pub(crate) signing_time_unix_s: Option<i64>,
    /// The SET OF in DER but in the order received.
    pub(crate) as_received: Vec<u8>,
    content_type: ObjectIdentifier,
    signing_certificate: Option<Tlv<'a>>,
    signing_certificate_v2: Option<Tlv<'a>>,
    algorithm_protection: Option<Tlv<'a>>,
}

pub(crate) fn read<'a>(set: &Tlv<'a>) -> Result<SignedAttributes<'a>, SignerError> {
    let all = cms::attributes(set)?;
    let required = |oid, name| optional(&all, oid, name)?.ok_or(SignerError::AttributeMissing { name });
    let content_type = required(rfc5911::ID_CONTENT_TYPE, CONTENT_TYPE_NAME)?;
    let message_digest = required(rfc5911::ID_MESSAGE_DIGEST, MESSAGE_DIGEST_NAME)?;
    let signing_time = optional(&all, rfc5911::ID_SIGNING_TIME, SIGNING_TIME_NAME)?;
    Ok(SignedAttributes {
        content_type: read_oid(&content_type)?,
        message_digest: octet_string(&message_digest, MESSAGE_DIGEST_NAME)?,
        signing_time_unix_s: signing_time.as_ref().map(unix_s).transpose()?,
        signing_certificate: optional(&all, SIGNING_CERTIFICATE, SIGNING_CERTIFICATE_NAME)?,
        signing_certificate_v2: optional(&all, SIGNING_CERTIFICATE_V2, SIGNING_CERTIFICATE_V2_NAME)?,
        algorithm_protection: optional(&all, ALGORITHM_PROTECTION, ALGORITHM_PROTECTION_NAME)?,
        as_received: explicit_set(set)?,
    })
}

impl SignedAttributes<'_> {
    /// Each attribute against what it speaks of.
    pub(crate) fn check(
        &self,
        info: &SignerInfo<'_>,
        certificate: &Certificate,
        content_type: ObjectIdentifier,
    ) -> Result<(), SignerError> {
        expect_content_type(content_type, self.content_type)?;
        if let Some(value) = &self.signing_certificate {
            check_certificate(value, SIGNING_CERTIFICATE_NAME, certificate, DigestAlgorithm::Sha1)?;
        }
        if let Some(value) = &self.signing_certificate_v2 {
            check_certificate(value, SIGNING_CERTIFICATE_V2_NAME, certificate, DigestAlgorithm::Sha256)?;
        }
        match &self.algorithm_protection {
            Some(value) => check_algorithms(value, info),
            None => Ok(()),
        }
    }
}

fn optional<'a>(
    all: &[Attribute<'a>],
    oid: ObjectIdentifier,
    name: &'static str,
) -> Result<Option<Tlv<'a>>, SignerError> {
    let mut found = all.iter().filter(|attribute| attribute.oid == oid);
    let Some(attribute) = found.next() else { return Ok(None) };
    match (attribute.values.as_slice(), found.next()) {
        ([value], None) => Ok(Some(*value)),
        _ => Err(SignerError::AttributeRepeated { name }),
    }
}

fn read_oid(value: &Tlv<'_>) -> Result<ObjectIdentifier, SignerError> {
    let name = CONTENT_TYPE_NAME;
    if value.tag != tag::OID {
        return Err(SignerError::AttributeMalformed { name });
    }
    ObjectIdentifier::from_bytes(value.content).map_err(|_| SignerError::AttributeMalformed { name })
}

fn octet_string(value: &Tlv<'_>, name: &'static str) -> Result<Vec<u8>, SignerError> {
    if value.tag & !tag::CONSTRUCTED != tag::OCTET_STRING {
        return Err(SignerError::AttributeMalformed { name });
    }
    Ok(value.octets().map_err(|_| SignerError::AttributeMalformed { name })?.into_owned())
}

fn unix_s(value: &Tlv<'_>) -> Result<i64, SignerError> {
    Time::from_der(value.whole)
        .ok()
        .and_then(|time| i64::try_from(time.to_unix_duration().as_secs()).ok())
        .ok_or(SignerError::AttributeMalformed { name: SIGNING_TIME_NAME })
}

/// `[0] IMPLICIT` as the SET OF that is signed (RFC 5652 §5.4), lengths definite, order kept.
fn explicit_set(set: &Tlv<'_>) -> Result<Vec<u8>, SignerError> {
    let mut der = ber::normalise(set, false)?;
    if let Some(first) = der.first_mut() {
        *first = tag::SET;
    }
    Ok(der)
}

/// The first ESSCertID(v2) names the signer's certificate (RFC 5035 §3 and §4). `default_hash` is the hash where
/// none is named.
fn check_certificate(
    value: &Tlv<'_>,
    name: &'static str,
    certificate: &Certificate,
    default_hash: DigestAlgorithm,
) -> Result<(), SignerError> {
    let malformed = || SignerError::AttributeMalformed { name };
    let read = || {
        let mut certs = cms::sequence(value, name)?.expect(tag::SEQUENCE, name)?.inside();
        let mut first = certs.expect(tag::SEQUENCE, name)?.inside();
        let hash = first.optional(tag::SEQUENCE, name)?;
        Ok::<_, ber::Malformed>((hash, first.string(tag::OCTET_STRING, name)?.octets()?))
    };
    let (hash, expected) = read().map_err(|_| malformed())?;
    let hash = match hash {
        None => default_hash,
        Some(identifier) => {
            let oid = cms::oid(&mut identifier.inside(), name).map_err(|_| malformed())?;
            DigestAlgorithm::from_oid(&oid).ok_or_else(malformed)?
        }
    };
    if hash.digest(certificate.der()).as_ref() == &*expected {
        Ok(())
    } else {
        Err(SignerError::SigningCertificate { name })
    }
}

/// RFC 6211 §2: CMSAlgorithmProtection ::= SEQUENCE { digestAlgorithm, [1] signatureAlgorithm, [2] mac }.
fn check_algorithms(value: &Tlv<'_>, info: &SignerInfo<'_>) -> Result<(), SignerError> {
    let name = ALGORITHM_PROTECTION_NAME;
    let malformed = |_| SignerError::AttributeMalformed { name };
    let mut fields = cms::sequence(value, name).map_err(malformed)?;
    let digest = cms::algorithm(&mut fields, name).map_err(malformed)?;
    let signature = fields.expect(tag::context_constructed(1), name).map_err(malformed)?;
    let signature = cms::oid(&mut signature.inside(), name).map_err(malformed)?;
    let pairs =
        [("digestAlgorithm", digest, info.digest_oid), ("signatureAlgorithm", signature, info.signature_oid)];
    match pairs.into_iter().find(|(_, expected, found)| expected != found) {
        None => Ok(()),
        Some((field, expected, found)) => Err(SignerError::AlgorithmProtection {
            field,
            expected: expected.to_string(),
            found: found.to_string(),
        }),
    }
}
