//! A signing key in memory, for the form in which the keeper of the key is this process (design §3.7).

use std::fmt;

use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use crate::certificate::Certificate;

/// An RSA private key of 2048 to 8192 bits.
pub struct RsaKey(RsaKeyPair);

/// Why a key is not usable. Displays finish the sentence "failed to …". Never shows key material.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not PEM with a private key.
    #[error("read the key: expected PEM with a private key")]
    Pem,
    /// Not RSA in PKCS#8 or PKCS#1, or of a size that is not accepted.
    #[error("read the key: expected RSA of 2048 to 8192 bits in PKCS#8 or PKCS#1")]
    Rejected,
    /// The crypto library did not sign.
    #[error("sign with the key")]
    Sign,
}

impl RsaKey {
    /// From PKCS#8 DER.
    ///
    /// # Errors
    /// [`KeyError::Rejected`].
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        RsaKeyPair::from_pkcs8(der).map(Self).map_err(|_| KeyError::Rejected)
    }

    /// From the first private key of a PEM text, PKCS#8 or PKCS#1, not encrypted.
    ///
    /// # Errors
    /// [`KeyError::Pem`] or [`KeyError::Rejected`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        match PrivateKeyDer::from_pem_slice(pem).map_err(|_| KeyError::Pem)? {
            PrivateKeyDer::Pkcs8(key) => Self::from_pkcs8_der(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => {
                RsaKeyPair::from_der(key.secret_pkcs1_der()).map(Self).map_err(|_| KeyError::Rejected)
            }
            _ => Err(KeyError::Rejected),
        }
    }

    /// RSA PKCS#1 v1.5 over a SHA-256 that was taken elsewhere: what [`crate::Pending::assemble`] wants, and what
    /// KMS does with MessageType DIGEST.
    ///
    /// # Errors
    /// [`KeyError::Sign`].
    pub fn sign_digest(&self, sha256: [u8; 32]) -> Result<Vec<u8>, KeyError> {
        // The digest is one that `Pending` computed over its own attributes.
        let digest = Digest::import_less_safe(&sha256, &SHA256).map_err(|_| KeyError::Sign)?;
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign_digest(&RSA_PKCS1_SHA256, &digest, &mut signature).map_err(|_| KeyError::Sign)?;
        Ok(signature)
    }

    /// The public half as SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) in DER.
    ///
    /// # Errors
    /// [`KeyError::Rejected`] if the crypto library cannot encode it.
    pub fn public_key_info(&self) -> Result<Vec<u8>, KeyError> {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().map_err(|_| KeyError::Rejected)?;
        Ok(der.as_ref().to_vec())
    }

    /// True if this is the key that the certificate certifies.
    pub fn belongs_to(&self, certificate: &Certificate) -> bool {
        self.0.public_key().as_ref() == certificate.public_key().bytes()
    }
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RsaKey({} bits)", self.0.public_modulus_len() * 8)
    }
}
