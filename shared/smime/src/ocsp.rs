//! What an authority's responder says of one certificate (OCSP, RFC 6960), as spec 5.2 V3 and 0.2 D15 want it asked.
//! Nothing is fetched here: [`question`] is what to ask, and an answer is kept if the authority, or somebody whom it
//! has certified for that (RFC 6960 §4.2.2.2), has signed it.
//!
//! The forms are RFC 6960's own ASN.1, as far as it is read: the crate of that name is of an older `der`.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912;
use der::asn1::{Any, BitString, GeneralizedTime, Null, OctetString};
use der::{Choice, Decode, Encode, Enumerated, Sequence};
use x509_cert::ext::Extensions;
use x509_cert::ext::pkix::{AuthorityInfoAccessSyntax, name::GeneralName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::algorithm::{DigestAlgorithm, Policy};
use crate::certificate::{Certificate, signed_range};
use crate::revocation::{Last, ListError, Standing, URLS_MAX, judge};

/// Octets of one answer that are read at most.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Certificates of responders that are looked at in one answer.
const RESPONDERS_MAX: usize = 4;
/// A responder's clock may be ahead of ours so far, in seconds: it answers with the present.
const SKEW_S: i64 = 300;
/// An answer that does not say when the next one comes is taken for new so long, in seconds: it is asked for each hour.
const UNDATED_S: i64 = 2 * 3600;

/// id-pkix-ocsp-basic (RFC 6960 §4.2.1).
const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
/// id-ad-ocsp (RFC 5280 §4.2.2.1).
const RESPONDER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1");
/// id-kp-OCSPSigning (RFC 6960 §4.2.2.2).
const MAY_ANSWER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.9");
/// The extension that names responders.
pub(crate) const INFORMATION_ACCESS: ObjectIdentifier = rfc5912::ID_PE_AUTHORITY_INFO_ACCESS;

#[derive(Sequence)]
struct Request {
    tbs: TbsRequest,
}

#[derive(Sequence)]
struct TbsRequest {
    list: Vec<SingleRequest>,
}

#[derive(Sequence)]
struct SingleRequest {
    id: CertificateId,
}

#[derive(Sequence)]
struct CertificateId {
    hash: AlgorithmIdentifierOwned,
    issuer_name: OctetString,
    issuer_key: OctetString,
    serial: SerialNumber,
}

#[derive(Sequence)]
struct Response {
    status: ResponseStatus,
    #[asn1(context_specific = "0", optional = "true", tag_mode = "EXPLICIT")]
    bytes: Option<ResponseBytes>,
}

#[derive(Clone, Copy, Debug, Enumerated, PartialEq, Eq)]
#[asn1(type = "ENUMERATED")]
#[repr(u8)]
enum ResponseStatus {
    Successful = 0,
    MalformedRequest = 1,
    InternalError = 2,
    TryLater = 3,
    SigRequired = 5,
    Unauthorized = 6,
}

#[derive(Sequence)]
struct ResponseBytes {
    kind: ObjectIdentifier,
    octets: OctetString,
}

#[derive(Sequence)]
struct BasicResponse {
    data: ResponseData,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
    #[asn1(context_specific = "0", optional = "true", tag_mode = "EXPLICIT")]
    certificates: Option<Vec<Any>>,
}

#[derive(Sequence)]
struct ResponseData {
    #[asn1(context_specific = "0", optional = "true", tag_mode = "EXPLICIT")]
    version: Option<u8>,
    responder: Any,
    produced_at: GeneralizedTime,
    responses: Vec<SingleResponse>,
    #[asn1(context_specific = "1", optional = "true", tag_mode = "EXPLICIT")]
    extensions: Option<Extensions>,
}

#[derive(Sequence)]
struct SingleResponse {
    id: CertificateId,
    status: CertificateStatus,
    this_update: GeneralizedTime,
    #[asn1(context_specific = "0", optional = "true", tag_mode = "EXPLICIT")]
    next_update: Option<GeneralizedTime>,
    #[asn1(context_specific = "1", optional = "true", tag_mode = "EXPLICIT")]
    extensions: Option<Extensions>,
}

#[derive(Choice)]
enum CertificateStatus {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    Good(Null),
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true")]
    Revoked(RevokedInfo),
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT")]
    Unknown(Null),
}

#[derive(Sequence)]
struct RevokedInfo {
    since: GeneralizedTime,
    #[asn1(context_specific = "0", optional = "true", tag_mode = "EXPLICIT")]
    reason: Option<x509_cert::ext::pkix::CrlReason>,
}

/// An answer that holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// thisUpdate, nextUpdate.
    pub(crate) this_update: i64,
    next_update: i64,
    revoked_since: Option<i64>,
}

/// What to ask an issuer's responder about a certificate: DER, unsigned, without a nonce, so that an answer may have
/// been signed before (RFC 5019 §2.1).
pub(crate) fn question(certificate: &Certificate, issuer: &Certificate) -> der::Result<Vec<u8>> {
    // RFC 5019 §2.1.1: SHA-1, which is a name here and proves nothing.
    let hash = |octets: &[u8]| OctetString::new(DigestAlgorithm::Sha1.digest(octets).as_ref());
    let id = CertificateId {
        hash: AlgorithmIdentifierOwned { oid: rfc5912::ID_SHA_1, parameters: Some(Null.into()) },
        issuer_name: hash(issuer.subject_der())?,
        issuer_key: hash(issuer.public_key().bytes())?,
        serial: SerialNumber::new(certificate.serial())?,
    };
    Request { tbs: TbsRequest { list: vec![SingleRequest { id }] } }.to_der()
}

impl Answer {
    /// Reads an answer about a certificate of this issuer. `certified` says whether a certificate is the issuer's, and
    /// not revoked.
    pub(crate) fn read(
        der: &[u8],
        certificate: &Certificate,
        issuer: &Certificate,
        now: i64,
        certified: &dyn Fn(&Certificate) -> bool,
    ) -> Result<Self, ListError> {
        if der.len() > ANSWER_BYTES_MAX {
            return Err(ListError::TooLarge(der.len()));
        }
        let malformed = |error: der::Error| ListError::Malformed(error.to_string());
        let response = Response::from_der(der).map_err(malformed)?;
        let bytes = match (response.status, response.bytes) {
            (ResponseStatus::Successful, Some(bytes)) if bytes.kind == BASIC => bytes.octets,
            (ResponseStatus::Successful, _) => {
                return Err(ListError::Malformed("no basic response".to_owned()));
            }
            (status, _) => return Err(ListError::Refused(format!("{status:?}"))),
        };
        let basic = BasicResponse::from_der(bytes.as_bytes()).map_err(malformed)?;

        // 1. The authority has signed it, or somebody whom it has certified to answer.
        let responder = match &basic.certificates {
            Some(others) => delegate(others, now, certified),
            None => None,
        };
        let range =
            signed_range(bytes.as_bytes()).map_err(|error| ListError::Malformed(error.to_string()))?;
        let signed = bytes.as_bytes().get(range).unwrap_or_default();
        let has_signed = |signer: &Certificate| {
            let key = signer.public_key();
            let algorithm = key.algorithm(&basic.algorithm.oid, None, Policy::TODAY);
            algorithm.is_ok_and(|algorithm| key.verify(algorithm, signed, basic.signature.raw_bytes()))
        };
        if !has_signed(issuer) && !responder.as_ref().is_some_and(has_signed) {
            return Err(ListError::Signature(issuer.subject().to_owned()));
        }

        // 2. It speaks of this certificate, and with nothing that we must understand and do not.
        understood(basic.data.extensions.as_ref())?;
        let mine = basic.data.responses.iter().find(|single| names(&single.id, certificate, issuer));
        let mine = mine.ok_or(ListError::Refused("an answer about another certificate".to_owned()))?;
        understood(mine.extensions.as_ref())?;
        let this_update = seconds(&mine.this_update);
        if this_update > now.saturating_add(SKEW_S) {
            return Err(ListError::Future);
        }
        let revoked_since = match &mine.status {
            CertificateStatus::Good(_) => None,
            CertificateStatus::Revoked(info) => Some(seconds(&info.since)),
            CertificateStatus::Unknown(_) => {
                return Err(ListError::Refused("the certificate is unknown to it".to_owned()));
            }
        };
        let next_update = mine.next_update.as_ref().map_or(this_update.saturating_add(UNDATED_S), seconds);
        Ok(Self { this_update, next_update, revoked_since })
    }

    /// What it says of its certificate at an instant.
    pub(crate) fn standing(&self, at: i64) -> Standing {
        let last = Last { listed_at: self.this_update, revoked_since: self.revoked_since };
        judge(last, self.next_update, at)
    }
}

/// The first of these that may answer for the issuer at this instant (RFC 6960 §4.2.2.2).
fn delegate(others: &[Any], now: i64, certified: &dyn Fn(&Certificate) -> bool) -> Option<Certificate> {
    let read = |any: &Any| Certificate::from_der(&any.to_der().ok()?).ok();
    let may = |certificate: &Certificate| {
        let usage = certificate.extensions().extended_key_usage.as_ref();
        usage.is_some_and(|usage| usage.contains(&MAY_ANSWER))
            && (certificate.not_before_unix_s()..=certificate.not_after_unix_s()).contains(&now)
            && certified(certificate)
    };
    others.iter().take(RESPONDERS_MAX).filter_map(read).find(may)
}

/// Whether an id is this certificate's, whichever digest it is made with.
fn names(id: &CertificateId, certificate: &Certificate, issuer: &Certificate) -> bool {
    let Some(digest) = DigestAlgorithm::from_oid(&id.hash.oid) else { return false };
    id.serial.as_bytes() == certificate.serial()
        && id.issuer_name.as_bytes() == digest.digest(issuer.subject_der()).as_ref()
        && id.issuer_key.as_bytes() == digest.digest(issuer.public_key().bytes()).as_ref()
}

fn understood(extensions: Option<&Extensions>) -> Result<(), ListError> {
    match extensions.into_iter().flatten().find(|extension| extension.critical) {
        Some(strange) => Err(ListError::Scope(strange.extn_id.to_string())),
        None => Ok(()),
    }
}

fn seconds(time: &GeneralizedTime) -> i64 {
    i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
}

/// The addresses of a certificate's responders. HTTP alone: answers are signed (RFC 5019 §5).
pub(crate) fn addresses(extension: &[u8]) -> Vec<String> {
    let Ok(access) = AuthorityInfoAccessSyntax::from_der(extension) else { return Vec::new() };
    let responders = access.0.into_iter().filter(|description| description.access_method == RESPONDER);
    let urls = responders.filter_map(|description| match description.access_location {
        GeneralName::UniformResourceIdentifier(url) => Some(url.to_string()),
        _ => None,
    });
    urls.filter(|url| url.starts_with("http://")).take(URLS_MAX).collect()
}
