//! Timestamps (RFC 3161): what to ask an authority, and what its token proves. The forms are the RFC's own ASN.1, as far
//! as it is read.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912;
use der::asn1::{Any, GeneralizedTime, Int, Null, OctetString};
use der::{Decode, Encode, Sequence};
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::algorithm::{DigestAlgorithm, Policy};
use crate::certificate::Certificate;
use crate::chain::ChainError;
use crate::verifier::Verifier;
use crate::verify::VerifyError;

/// Octets of one reply that are read at most.
pub const REPLY_BYTES_MAX: usize = 64 << 10;
/// TSTInfo (RFC 3161 §2.4.2).
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");

#[derive(Sequence)]
struct Request {
    version: u8,
    imprint: Imprint,
    nonce: Int,
    wants_certificate: bool,
}

#[derive(Sequence)]
struct Imprint {
    algorithm: AlgorithmIdentifierOwned,
    digest: OctetString,
}

#[derive(Sequence)]
struct Reply {
    status: Any,
    #[asn1(optional = "true")]
    token: Option<Any>,
}

/// The head of a TSTInfo; what follows is read field by field, for all of it is optional.
#[derive(Sequence)]
struct Info {
    version: u8,
    policy: ObjectIdentifier,
    imprint: Imprint,
    serial: Int,
    made_at: GeneralizedTime,
    #[asn1(optional = "true")]
    accuracy: Option<Accuracy>,
    #[asn1(default = "Default::default")]
    ordering: bool,
    #[asn1(optional = "true")]
    nonce: Option<Int>,
    #[asn1(context_specific = "0", optional = "true", tag_mode = "EXPLICIT")]
    authority: Option<Any>,
    #[asn1(context_specific = "1", optional = "true", tag_mode = "IMPLICIT", constructed = "true")]
    extensions: Option<x509_cert::ext::Extensions>,
}

#[derive(Sequence)]
struct Accuracy {
    #[asn1(optional = "true")]
    seconds: Option<u32>,
    #[asn1(context_specific = "0", optional = "true", tag_mode = "IMPLICIT")]
    millis: Option<u16>,
    #[asn1(context_specific = "1", optional = "true", tag_mode = "IMPLICIT")]
    micros: Option<u16>,
}

/// What a token proves: that a digest was there at an instant.
#[derive(Clone, Debug)]
pub struct Timestamp {
    /// genTime, seconds since 1970 UTC.
    pub at_unix_s: i64,
    /// The authority's certificate.
    pub signer: Certificate,
}

/// Why there is no timestamp. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum TimestampError {
    /// Not the DER of a request's reply, or of a token.
    #[error("parse a timestamp: {0}")]
    Malformed(String),
    /// The authority gave none.
    #[error("get a timestamp: the authority's status is {0}")]
    Refused(String),
    /// It is of something else.
    #[error("accept a timestamp: it is of another {0}")]
    Other(&'static str),
    /// Its signature does not hold.
    #[error("verify a timestamp: failed to {0}")]
    Signature(#[from] VerifyError),
    /// Whoever signed it is no authority that we trust.
    #[error("trust who made a timestamp: failed to {0}")]
    Untrusted(#[from] ChainError),
}

/// What to post to an authority for a SHA-256 (RFC 3161 §2.4.1): its reply must repeat the nonce, and have its certificate
/// inside.
///
/// # Errors
/// [`TimestampError::Malformed`], which would be a mistake of ours.
pub fn timestamp_request(sha256: &[u8; 32], nonce: u64) -> Result<Vec<u8>, TimestampError> {
    let algorithm = AlgorithmIdentifierOwned { oid: rfc5912::ID_SHA_256, parameters: Some(Null.into()) };
    let build = || -> der::Result<Vec<u8>> {
        let imprint = Imprint { algorithm, digest: OctetString::new(*sha256)? };
        Request { version: 1, imprint, nonce: integer(nonce)?, wants_certificate: true }.to_der()
    };
    build().map_err(|error| malformed(&error))
}

/// A number that is not negative.
fn integer(number: u64) -> der::Result<Int> {
    let octets = number.to_be_bytes();
    let from = octets.iter().position(|octet| *octet != 0).unwrap_or(octets.len() - 1);
    let digits = octets.get(from..).unwrap_or_default();
    // Its first bit is its sign.
    let sign: &[u8] = if digits.first().is_some_and(|octet| octet & 0x80 != 0) { &[0] } else { &[] };
    Int::new(&[sign, digits].concat())
}

/// The token in the reply to such a request: its own octets, to be kept.
///
/// # Errors
/// [`TimestampError`]; the token is not verified yet.
pub fn timestamp_token(reply: &[u8]) -> Result<Vec<u8>, TimestampError> {
    if reply.len() > REPLY_BYTES_MAX {
        return Err(TimestampError::Malformed(format!("{} octets are too many", reply.len())));
    }
    let Reply { status, token } = Reply::from_der(reply).map_err(|error| malformed(&error))?;
    // granted, grantedWithMods (RFC 3161 §2.4.2); the words that may follow are not read.
    let granted = matches!(status.value(), [0x02, 0x01, 0 | 1, ..]);
    match token {
        Some(token) if granted => token.to_der().map_err(|error| malformed(&error)),
        _ => Err(TimestampError::Refused(hex::encode(status.value().get(..3).unwrap_or_default()))),
    }
}

impl Verifier {
    /// What a token proves of a SHA-256: signed by somebody whom an anchor certifies for nothing but timestamps
    /// (RFC 3161 §2.3), as of the instant that it says. `nonce` is that of the request, where the token has just come.
    ///
    /// # Errors
    /// [`TimestampError`]
    pub fn timestamp(
        &self,
        token: &[u8],
        sha256: &[u8; 32],
        nonce: Option<u64>,
    ) -> Result<Timestamp, TimestampError> {
        let (info, verified) = self.open_typed(token, TST_INFO, &Policy::TODAY)?;
        let info = Info::from_der(&info).map_err(|error| malformed(&error))?;
        let digest = DigestAlgorithm::from_oid(&info.imprint.algorithm.oid);
        if digest != Some(DigestAlgorithm::Sha256) || info.imprint.digest.as_bytes() != sha256 {
            return Err(TimestampError::Other("digest"));
        }
        let expected = nonce.map(integer).transpose().map_err(|error| malformed(&error))?;
        if expected.is_some() && info.nonce != expected {
            return Err(TimestampError::Other("request"));
        }
        let at_unix_s = i64::try_from(info.made_at.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
        // What is no id-data is signed by its attributes (RFC 5652 §5.3), by one authority (RFC 3161 §2.4.2).
        let signer = match verified.signers.as_slice() {
            [only] if only.has_signed_attributes => only.certificate.clone(),
            _ => return Err(TimestampError::Other("kind")),
        };
        self.check_timestamper(&signer, &verified.certificates, at_unix_s)?;
        Ok(Timestamp { at_unix_s, signer })
    }
}

fn malformed(error: &der::Error) -> TimestampError {
    TimestampError::Malformed(error.to_string())
}
