//! Revocation lists (RFC 5280 §5), as spec 5.2 V3 and 0.2 D15 want them asked. Nothing is fetched here: lists are handed
//! in, and only those are kept that an anchor has signed. A certificate is asked about when the anchor that certified it
//! publishes a list (cRLDistributionPoints) or has a responder ([`crate::ocsp`]); that of an authority in between is not.

use std::collections::HashMap;
use std::sync::Arc;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912;
use der::{Decode, Encode};
use x509_cert::crl::{CertificateList, RevokedCert};
use x509_cert::ext::pkix::{
    CrlReason, IssuingDistributionPoint, name::DistributionPointName, name::GeneralName,
};
use x509_cert::ext::{Extensions, pkix::CrlDistributionPoints};

use crate::algorithm::{AlgorithmError, Policy};
use crate::certificate::{Certificate, signed_range, unix};
use crate::ocsp;

/// Octets of one list that are read at most.
pub const LIST_BYTES_MAX: usize = 10 << 20;
/// Addresses of lists, and of responders, that one certificate may name.
pub(crate) const URLS_MAX: usize = 4;
/// A list that does not say when the next one comes is taken for new so long, in seconds.
const UNDATED_S: i64 = 24 * 3600;

/// What is known of a certificate at an instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nobody asks here, or its issuer publishes no list that we could verify.
    #[default]
    NotAsked,
    /// On no list; the list is of then (seconds since 1970 UTC).
    Good {
        /// thisUpdate of the list.
        listed_at: i64,
    },
    /// It is on a list.
    Revoked {
        /// Since when.
        since: i64,
    },
    /// There is no list that counts at that instant; the last one that there was would say this.
    Stale(Option<Last>),
}

/// What the last list says, though it is old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Last {
    /// Since when the certificate is on it; `None` if it is not.
    pub revoked_since: Option<i64>,
    /// thisUpdate of the list.
    pub listed_at: i64,
}

/// Why a list is not used. Displays finish the sentence "failed to …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// More octets than are read.
    #[error("read what is revoked: {0} octets are too many")]
    TooLarge(usize),
    /// Not the DER of a list.
    #[error("parse a revocation list: {0}")]
    Malformed(String),
    /// Another authority's.
    #[error("accept the revocation list of {found}: expected one of {expected}")]
    Issuer {
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// The authority may not sign lists.
    #[error("accept the revocation list of {0}: its keyUsage has no cRLSign")]
    KeyUsage(String),
    /// The signature does not hold.
    #[error("verify the signature of the revocation list of {0}")]
    Signature(String),
    /// Its algorithm is not accepted.
    #[error("verify the signature of a revocation list")]
    Algorithm(#[from] AlgorithmError),
    /// It is of another time.
    #[error("accept a revocation list of the future")]
    Future,
    /// It does not speak of all certificates of its issuer, or of all reasons, or has an extension that we must
    /// understand and do not.
    #[error("accept a revocation list with {0}")]
    Scope(String),
    /// A responder does not say what it was asked.
    #[error("be told by the responder: {0}")]
    Refused(String),
}

/// A list that holds.
#[derive(Debug)]
pub(crate) struct RevocationList {
    /// thisUpdate, nextUpdate.
    pub(crate) this_update: i64,
    next_update: i64,
    /// Since when, by serial number.
    revoked: HashMap<Vec<u8>, i64>,
}

impl Standing {
    /// Of what a list says and what a responder says: whoever says revoked is believed, then who is up to date.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (revoked @ Self::Revoked { .. }, _) | (_, revoked @ Self::Revoked { .. }) => revoked,
            (Self::Good { listed_at: one }, Self::Good { listed_at: other }) => {
                Self::Good { listed_at: one.max(other) }
            }
            (good @ Self::Good { .. }, _) | (_, good @ Self::Good { .. }) => good,
            (Self::Stale(one), Self::Stale(other)) => Self::Stale(one.max(other)),
            (Self::NotAsked, other) => other,
            (one, Self::NotAsked) => one,
        }
    }

    /// Since when it must not be believed at an instant, by the best list that there is.
    pub fn revoked_at(&self, at_unix_s: i64) -> Option<i64> {
        let since = match self {
            Self::Revoked { since } => Some(*since),
            Self::Stale(Some(last)) => last.revoked_since,
            Self::NotAsked | Self::Good { .. } | Self::Stale(None) => None,
        };
        since.filter(|since| *since <= at_unix_s)
    }
}

impl RevocationList {
    /// Reads a list of this issuer.
    pub(crate) fn read(der: &[u8], issuer: &Certificate, now: i64) -> Result<Self, ListError> {
        if der.len() > LIST_BYTES_MAX {
            return Err(ListError::TooLarge(der.len()));
        }
        let malformed = |error: der::Error| ListError::Malformed(error.to_string());
        let list: CertificateList = CertificateList::from_der(der).map_err(malformed)?;
        let of = &list.tbs_cert_list;

        // 1. Its issuer, who may sign it, and did.
        if of.issuer.to_der().map_err(malformed)? != issuer.subject_der() {
            let (found, expected) = (of.issuer.to_string(), issuer.subject().to_owned());
            return Err(ListError::Issuer { found, expected });
        }
        if issuer.extensions().key_usage.as_ref().is_some_and(|usage| !usage.crl_sign()) {
            return Err(ListError::KeyUsage(issuer.subject().to_owned()));
        }
        if list.signature_algorithm != of.signature {
            return Err(ListError::Malformed("two different signature algorithms".to_owned()));
        }
        let key = issuer.public_key();
        let algorithm = key.algorithm(&list.signature_algorithm.oid, None, Policy::TODAY)?;
        let range = signed_range(der).map_err(|error| ListError::Malformed(error.to_string()))?;
        let signed = der.get(range).unwrap_or_default();
        if !key.verify(algorithm, signed, list.signature.raw_bytes()) {
            return Err(ListError::Signature(issuer.subject().to_owned()));
        }

        // 2. All that it should speak of.
        all_certificates(of.crl_extensions.as_ref())?;
        let this_update = unix(of.this_update);
        if this_update > now {
            return Err(ListError::Future);
        }
        let revoked =
            of.revoked_certificates.iter().flatten().filter_map(|entry| entry_of(entry).transpose());
        Ok(Self {
            this_update,
            next_update: of.next_update.map_or(this_update + UNDATED_S, unix),
            revoked: revoked.collect::<Result<_, _>>()?,
        })
    }

    fn last(&self, certificate: &Certificate) -> Last {
        let revoked_since = self.revoked.get(certificate.serial()).copied();
        Last { listed_at: self.this_update, revoked_since }
    }

    /// What it says of a certificate of its issuer at an instant.
    pub(crate) fn standing(&self, certificate: &Certificate, at: i64) -> Standing {
        judge(self.last(certificate), self.next_update, at)
    }
}

/// What was said last, and holds until then, at an instant.
pub(crate) const fn judge(last: Last, until: i64, at: i64) -> Standing {
    match last.revoked_since {
        _ if at > until => Standing::Stale(Some(last)),
        Some(since) if since <= at => Standing::Revoked { since },
        _ => Standing::Good { listed_at: last.listed_at },
    }
}

/// RFC 5280 §5.2: what restricts a list, or must be understood.
fn all_certificates(extensions: Option<&Extensions>) -> Result<(), ListError> {
    for extension in extensions.into_iter().flatten() {
        match extension.extn_id {
            rfc5912::ID_CE_ISSUING_DISTRIBUTION_POINT => {
                let point = IssuingDistributionPoint::from_der(extension.extn_value.as_bytes())
                    .map_err(|error| ListError::Malformed(error.to_string()))?;
                let narrow = point.only_contains_ca_certs
                    || point.only_contains_attribute_certs
                    || point.indirect_crl
                    || point.only_some_reasons.is_some();
                if narrow {
                    return Err(ListError::Scope("a scope of its own".to_owned()));
                }
            }
            rfc5912::ID_CE_DELTA_CRL_INDICATOR => {
                return Err(ListError::Scope("what changed only".to_owned()));
            }
            other if extension.critical => return Err(ListError::Scope(other.to_string())),
            _ => {}
        }
    }
    Ok(())
}

/// RFC 5280 §5.3: a serial number with its date; `None` if it is to be taken off.
fn entry_of(entry: &RevokedCert) -> Result<Option<(Vec<u8>, i64)>, ListError> {
    for extension in entry.crl_entry_extensions.iter().flatten() {
        match extension.extn_id {
            rfc5912::ID_CE_CRL_REASONS => {
                let reason = CrlReason::from_der(extension.extn_value.as_bytes());
                if matches!(reason, Ok(CrlReason::RemoveFromCRL)) {
                    return Ok(None);
                }
            }
            other if extension.critical => return Err(ListError::Scope(other.to_string())),
            _ => {}
        }
    }
    Ok(Some((entry.serial_number.as_bytes().to_vec(), unix(entry.revocation_date))))
}

/// The addresses of a certificate's lists; those of other issuers are left out. HTTP alone: a list is signed, and one behind
/// TLS would need another list first (RFC 5280 §8).
pub(crate) fn addresses(extension: &[u8]) -> Vec<String> {
    let Ok(points) = CrlDistributionPoints::from_der(extension) else { return Vec::new() };
    let own = points.0.into_iter().filter(|point| point.crl_issuer.is_none() && point.reasons.is_none());
    let names = own.filter_map(|point| match point.distribution_point {
        Some(DistributionPointName::FullName(names)) => Some(names),
        _ => None,
    });
    let urls = names.flatten().filter_map(|name| match name {
        GeneralName::UniformResourceIdentifier(url) => Some(url.to_string()),
        _ => None,
    });
    urls.filter(|url| url.starts_with("http://")).take(URLS_MAX).collect()
}

/// The extension that names them.
pub(crate) const DISTRIBUTION_POINTS: ObjectIdentifier = rfc5912::ID_CE_CRL_DISTRIBUTION_POINTS;

/// Where to ask, and who must have signed what comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// HTTP.
    pub url: String,
    /// The anchor that publishes the list, or has the responder.
    pub issuer: Certificate,
    /// The certificate that a responder is asked about; `None` for a list.
    pub about: Option<Certificate>,
}

impl Wanted {
    /// What to ask a responder, DER (RFC 6960 §4.1.1), to be posted; `None` for a list, which is simply read.
    ///
    /// # Errors
    /// [`ListError::Malformed`] for a certificate that cannot be asked about.
    pub fn question(&self) -> Result<Option<Vec<u8>>, ListError> {
        let ask = |about| ocsp::question(about, &self.issuer);
        let question = self.about.as_ref().map(ask).transpose();
        question.map_err(|error| ListError::Malformed(error.to_string()))
    }

    /// A name for what comes, to keep it under: hex of a digest.
    pub fn name(&self) -> String {
        let about = self.about.as_ref().map(Certificate::sha256_hex).unwrap_or_default();
        hex::encode(crate::sha256([self.url.as_bytes(), about.as_bytes()]))
    }
}

/// A list as it is kept.
pub(crate) type Kept = Arc<RevocationList>;
