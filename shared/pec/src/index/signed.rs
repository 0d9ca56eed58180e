//! The index as it is published: an LDIF inside a signature (RFC 6109 §4.5, §4.5.6; spec 9.4).

use bytes::Bytes;
use smime::{Certificate, Policy, Verifier};

use super::{Index, IndexError, LDIF_BYTES_MAX};
use crate::Instant;

/// The largest file that is opened, in octets: an LDIF with its signature and certificates.
pub const SIGNED_BYTES_MAX: usize = LDIF_BYTES_MAX + (1 << 20);

/// An index that somebody answers for.
#[derive(Clone, Debug)]
pub struct SignedIndex {
    /// The index, never empty.
    pub index: Index,
    /// The LDIF, octet for octet.
    pub ldif: Bytes,
    /// The first signer whose chain holds.
    pub signer: Certificate,
}

/// Why a file is not put in force. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum SignedIndexError {
    /// It is larger than any index.
    #[error("open the index: it has {0} octets, at most {SIGNED_BYTES_MAX} are read")]
    TooLarge(usize),
    /// No PKCS#7 signed data in DER, or a signature that does not hold.
    #[error("open the index: failed to {0}")]
    Signature(#[from] smime::VerifyError),
    /// The signature holds, but nobody whom we trust made it.
    #[error("trust who signed the index: {0}")]
    Untrusted(String),
    /// What is signed is no index.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl SignedIndex {
    /// Opens a `.p7m` and judges it as of an instant. Every signature in it must hold, and one of the signers must
    /// lead to an anchor of `verifier` then. An index without a provider is refused (spec 9.4).
    ///
    /// # Errors
    /// [`SignedIndexError`]; whoever has a good copy keeps it.
    pub fn open(p7m: &[u8], verifier: &Verifier, at: Instant) -> Result<Self, SignedIndexError> {
        if p7m.len() > SIGNED_BYTES_MAX {
            return Err(SignedIndexError::TooLarge(p7m.len()));
        }
        let (ldif, verified) = verifier.open_signed_data(p7m, &Policy::TODAY)?;
        let mut faults = Vec::new();
        for signer in verified.signers {
            match verifier.check_chain(
                &signer.certificate,
                &verified.certificates,
                at.unix_s(),
                &Policy::TODAY,
            ) {
                Ok(()) => {
                    let index = Index::from_ldif(&ldif)?;
                    return Ok(Self { index, ldif, signer: signer.certificate });
                }
                Err(error) => faults.push(error.to_string()),
            }
        }
        Err(SignedIndexError::Untrusted(faults.join("; ")))
    }
}
