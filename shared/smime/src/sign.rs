//! Signing in two phases, because the key is elsewhere (design §3.7): what is to be signed is prepared here, its
//! digest goes to the keeper of the key, and the signature that comes back is assembled here into the CMS.
//! Pure: the instant and the content's digest are given.

use std::sync::Arc;
use std::time::Duration;

use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5911, rfc5912};
use der::asn1::{GeneralizedTime, UtcTime};
use der::{DateTime, Encode};

use crate::algorithm::KeyKind;
use crate::attributes::SIGNING_CERTIFICATE_V2;
use crate::ber::{self, tag};
use crate::certificate::{Certificate, CertificateError};

/// Certificates inside a signature of ours at most, the signer's included.
pub const CHAIN_MAX: usize = 8;

/// Everything about a signing certificate that does not change from message to message.
#[derive(Clone, Debug)]
pub struct Identity(Arc<Fixed>);

#[derive(Debug)]
struct Fixed {
    chain: Vec<Certificate>,
    /// Octets of a signature: the size of the modulus.
    signature_size: usize,
    /// `[0] IMPLICIT CertificateSet`.
    certificate_set: Vec<u8>,
    /// IssuerAndSerialNumber.
    signer_id: Vec<u8>,
    content_type: Vec<u8>,
    signing_certificate: Vec<u8>,
    digest_algorithm: Vec<u8>,
    signature_algorithm: Vec<u8>,
}

/// Why a chain is no identity. Displays finish the sentence "failed to …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No certificate, or more than [`CHAIN_MAX`].
    #[error("use a chain of {found} certificates: expected 1 to {CHAIN_MAX}, the signer's first")]
    Length {
        /// How many came.
        found: usize,
    },
    /// One of them is unreadable.
    #[error("read certificate {number} of the chain: {source}")]
    Certificate {
        /// Which one, from 1.
        number: usize,
        /// Why.
        source: CertificateError,
    },
    /// A certificate that is not the issuer of the one before it.
    #[error("use the chain: expected {expected} as certificate {number}, found {found}")]
    Order {
        /// Which one, from 1.
        number: usize,
        /// The issuer named by the one before.
        expected: String,
        /// The subject that came.
        found: String,
    },
    /// The signer's key is not RSA of 2048 bits or more (spec 10.1).
    #[error("use the signer's key: expected RSA of at least 2048 bits, found {found}")]
    Key {
        /// What came.
        found: KeyKind,
    },
    /// A structure cannot be encoded.
    #[error("encode the identity: {0}")]
    Encode(String),
}

/// Why a signature is not made. Displays finish the sentence "failed to …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The instant has no signing-time: before 1970 or after 9999.
    #[error("write signing time {at}: expected seconds between 1970 and 9999")]
    Time {
        /// What came.
        at: i64,
    },
    /// The keeper of the key gave something that is no signature of this key.
    #[error("use a signature of {found} octets: expected {expected}")]
    SignatureSize {
        /// What came.
        found: usize,
        /// The size of the modulus.
        expected: usize,
    },
}

impl Identity {
    /// From certificates in DER, the signer's first, then its issuers as far as they shall be inside the messages
    /// (the root may be left out).
    ///
    /// # Errors
    /// [`IdentityError`] if they are not a chain, or the key is not RSA.
    pub fn from_chain(chain: &[Vec<u8>]) -> Result<Self, IdentityError> {
        let certificates = parse_chain(chain)?;
        let signer = certificates.first().ok_or(IdentityError::Length { found: 0 })?;
        let bits = match signer.key() {
            KeyKind::Rsa { bits } if *bits >= 2048 => *bits,
            other => return Err(IdentityError::Key { found: other.clone() }),
        };
        let encode = |error: der::Error| IdentityError::Encode(error.to_string());
        let null = ber::element(0x05, &[]);
        let fixed = Fixed {
            signature_size: bits.div_ceil(8) as usize,
            certificate_set: certificate_set(&certificates),
            signer_id: signer_id(signer),
            content_type: attribute(rfc5911::ID_CONTENT_TYPE, &rfc5911::ID_DATA.to_der().map_err(encode)?),
            signing_certificate: attribute(SIGNING_CERTIFICATE_V2, &signing_certificate(signer)),
            // RFC 5754 §2: parameters absent for the hash. RFC 4055 §5: NULL for the signature.
            digest_algorithm: algorithm(rfc5912::ID_SHA_256, &[]),
            signature_algorithm: algorithm(rfc5912::SHA_256_WITH_RSA_ENCRYPTION, &null),
            chain: certificates,
        };
        Ok(Self(Arc::new(fixed)))
    }

    /// The signer's certificate.
    pub fn certificate(&self) -> &Certificate {
        // Not empty: `from_chain` refuses an empty chain, and nothing else makes an Identity.
        #[allow(clippy::expect_used, reason = "from_chain refuses an empty chain")]
        self.0.chain.first().expect("an identity has its signer's certificate")
    }

    /// The chain in DER, the signer's certificate first.
    pub fn chain_der(&self) -> impl Iterator<Item = &[u8]> {
        self.0.chain.iter().map(Certificate::der)
    }

    /// Phase one: the attributes that will be signed for content with this SHA-256, signed at this instant
    /// (seconds since 1970 UTC). Content-type, message-digest, signing-time, signing-certificate-v2.
    ///
    /// # Errors
    /// [`SignError::Time`].
    pub fn prepare(&self, content_sha256: [u8; 32], at_unix_s: i64) -> Result<Pending, SignError> {
        let digest = ber::element(tag::OCTET_STRING, &[&content_sha256]);
        let mut attributes = [
            self.0.content_type.clone(),
            attribute(rfc5911::ID_MESSAGE_DIGEST, &digest),
            attribute(rfc5911::ID_SIGNING_TIME, &signing_time(at_unix_s)?),
            self.0.signing_certificate.clone(),
        ];
        attributes.sort(); // DER: SET OF in ascending order of the encodings
        let pieces: Vec<&[u8]> = attributes.iter().map(Vec::as_slice).collect();
        let to_be_signed = ber::element(tag::SET, &pieces);
        Ok(Pending { identity: Arc::clone(&self.0), digest: crate::sha256([&to_be_signed]), to_be_signed })
    }
}

/// A signature that lacks only the value made with the key. Owns all it needs: it can wait in a future.
#[derive(Clone, Debug)]
pub struct Pending {
    identity: Arc<Fixed>,
    to_be_signed: Vec<u8>,
    digest: [u8; 32],
}

impl Pending {
    /// The SHA-256 that the keeper of the key signs with RSA PKCS#1 v1.5 (KMS: MessageType DIGEST).
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The octets that [`Self::digest`] is of, for a keeper that wants to hash itself. Under 4 KB.
    pub fn to_be_signed(&self) -> &[u8] {
        &self.to_be_signed
    }

    /// Phase two: the DER of a ContentInfo with a detached SignedData. The value is not verified here.
    ///
    /// # Errors
    /// [`SignError::SignatureSize`] if the value cannot be of this key.
    pub fn assemble(self, signature: &[u8]) -> Result<Vec<u8>, SignError> {
        self.finish(signature, &[])
    }

    /// As [`Self::assemble`], with the content inside: the file of a provider index (RFC 6109 §4.5.6). The content is
    /// that whose SHA-256 was given to [`Identity::prepare`].
    ///
    /// # Errors
    /// As there.
    pub fn assemble_enclosing(self, content: &[u8], signature: &[u8]) -> Result<Vec<u8>, SignError> {
        let octets = ber::element(tag::OCTET_STRING, &[content]);
        self.finish(signature, &ber::element(tag::context_constructed(0), &[&octets]))
    }

    fn finish(self, signature: &[u8], enclosed: &[u8]) -> Result<Vec<u8>, SignError> {
        let fixed = &*self.identity;
        if signature.len() != fixed.signature_size {
            return Err(SignError::SignatureSize { found: signature.len(), expected: fixed.signature_size });
        }
        let version = ber::element(tag::INTEGER, &[&[1]]);
        // In the SignerInfo the attributes carry an implicit tag instead of SET (RFC 5652 §5.4).
        let mut attributes = self.to_be_signed;
        if let Some(first) = attributes.first_mut() {
            *first = tag::context_constructed(0);
        }
        let signer_info = ber::element(
            tag::SEQUENCE,
            &[
                &version,
                &fixed.signer_id,
                &fixed.digest_algorithm,
                &attributes,
                &fixed.signature_algorithm,
                &ber::element(tag::OCTET_STRING, &[signature]),
            ],
        );
        let signed_data = ber::element(
            tag::SEQUENCE,
            &[
                &version,
                &ber::element(tag::SET, &[&fixed.digest_algorithm]),
                &ber::element(tag::SEQUENCE, &[&oid(rfc5911::ID_DATA), enclosed]),
                &fixed.certificate_set,
                &ber::element(tag::SET, &[&signer_info]),
            ],
        );
        let explicit = ber::element(tag::context_constructed(0), &[&signed_data]);
        Ok(ber::element(tag::SEQUENCE, &[&oid(rfc5911::ID_SIGNED_DATA), &explicit]))
    }
}

fn parse_chain(chain: &[Vec<u8>]) -> Result<Vec<Certificate>, IdentityError> {
    if chain.is_empty() || chain.len() > CHAIN_MAX {
        return Err(IdentityError::Length { found: chain.len() });
    }
    let mut certificates: Vec<Certificate> = Vec::with_capacity(chain.len());
    for (index, der) in chain.iter().enumerate() {
        let number = index + 1;
        let certificate =
            Certificate::from_der(der).map_err(|source| IdentityError::Certificate { number, source })?;
        if let Some(before) = certificates.last()
            && before.issuer_name() != certificate.subject_name()
        {
            return Err(IdentityError::Order {
                number,
                expected: before.issuer().to_owned(),
                found: certificate.subject().to_owned(),
            });
        }
        certificates.push(certificate);
    }
    Ok(certificates)
}

fn certificate_set(chain: &[Certificate]) -> Vec<u8> {
    let mut sorted: Vec<&[u8]> = chain.iter().map(Certificate::der).collect();
    sorted.sort_unstable();
    ber::element(tag::context_constructed(0), &sorted)
}

/// IssuerAndSerialNumber (RFC 5652 §10.2.4).
fn signer_id(signer: &Certificate) -> Vec<u8> {
    ber::element(tag::SEQUENCE, &[signer.issuer_der(), &ber::element(tag::INTEGER, &[signer.serial()])])
}

/// SigningCertificateV2 (RFC 5035 §3): the certificate's SHA-256 (the default, hence not named) and its issuer
/// and serial number.
fn signing_certificate(signer: &Certificate) -> Vec<u8> {
    let general_names =
        ber::element(tag::SEQUENCE, &[&ber::element(tag::context_constructed(4), &[signer.issuer_der()])]);
    let issuer_serial =
        ber::element(tag::SEQUENCE, &[&general_names, &ber::element(tag::INTEGER, &[signer.serial()])]);
    let hash = ber::element(tag::OCTET_STRING, &[&signer.sha256()]);
    let ess_cert_id = ber::element(tag::SEQUENCE, &[&hash, &issuer_serial]);
    ber::element(tag::SEQUENCE, &[&ber::element(tag::SEQUENCE, &[&ess_cert_id])])
}

fn oid(oid: ObjectIdentifier) -> Vec<u8> {
    ber::element(tag::OID, &[oid.as_bytes()])
}

fn algorithm(identifier: ObjectIdentifier, parameters: &[u8]) -> Vec<u8> {
    ber::element(tag::SEQUENCE, &[&oid(identifier), parameters])
}

/// An attribute with one value.
fn attribute(identifier: ObjectIdentifier, value: &[u8]) -> Vec<u8> {
    ber::element(tag::SEQUENCE, &[&oid(identifier), &ber::element(tag::SET, &[value])])
}

/// UTCTime through 2049, GeneralizedTime after (RFC 5652 §11.3); whole seconds.
fn signing_time(at_unix_s: i64) -> Result<Vec<u8>, SignError> {
    let refuse = || SignError::Time { at: at_unix_s };
    let since_epoch = Duration::from_secs(u64::try_from(at_unix_s).map_err(|_| refuse())?);
    let date = DateTime::from_unix_duration(since_epoch).map_err(|_| refuse())?;
    if date.year() <= UtcTime::MAX_YEAR {
        UtcTime::from_date_time(date).and_then(|time| time.to_der()).map_err(|_| refuse())
    } else {
        GeneralizedTime::from_date_time(date).to_der().map_err(|_| refuse())
    }
}
