//! Digests, signatures and keys that we can verify, and when we may.

use std::fmt;
use std::sync::OnceLock;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self as aws, ParsedPublicKey, VerificationAlgorithm};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912;

/// What a verifier lets pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Policy {
    /// The historic view: SHA-1 in message digests, signatures and certificates, and RSA keys from 1024 bits.
    /// Old mail is judged so, as of the time of its signing (spec 10.1); new mail never is.
    pub allow_sha1: bool,
}

impl Policy {
    /// Without SHA-1: what holds for mail that arrives now.
    pub const TODAY: Self = Self { allow_sha1: false };
    /// With SHA-1 and short keys: for mail of the past.
    pub const HISTORIC: Self = Self { allow_sha1: true };

    /// The shortest RSA modulus accepted, in bits.
    pub const fn rsa_bits_min(self) -> u32 {
        if self.allow_sha1 { 1024 } else { 2048 }
    }
}

/// A hash function of RFC 5754, or SHA-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DigestAlgorithm {
    /// SHA-1, for the past only.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl DigestAlgorithm {
    /// The name as `micalg` writes it (RFC 8551 §3.5.3.2): `sha-256`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    pub(crate) fn from_oid(oid: &ObjectIdentifier) -> Option<Self> {
        match *oid {
            rfc5912::ID_SHA_1 => Some(Self::Sha1),
            rfc5912::ID_SHA_256 => Some(Self::Sha256),
            rfc5912::ID_SHA_384 => Some(Self::Sha384),
            rfc5912::ID_SHA_512 => Some(Self::Sha512),
            _ => None,
        }
    }

    pub(crate) fn context(self) -> digest::Context {
        digest::Context::new(self.implementation())
    }

    pub(crate) fn digest(self, data: &[u8]) -> digest::Digest {
        digest::digest(self.implementation(), data)
    }

    fn implementation(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

impl fmt::Display for DigestAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A NIST curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Curve {
    /// secp256r1.
    P256,
    /// secp384r1.
    P384,
    /// secp521r1.
    P521,
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        })
    }
}

/// A signature algorithm with its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// RSASSA-PKCS1-v1_5.
    Rsa(DigestAlgorithm),
    /// ECDSA on the curve of the key.
    Ecdsa(Curve, DigestAlgorithm),
}

impl SignatureAlgorithm {
    /// The hash inside.
    pub const fn digest(self) -> DigestAlgorithm {
        match self {
            Self::Rsa(digest) | Self::Ecdsa(_, digest) => digest,
        }
    }

    fn implementation(self) -> Option<&'static dyn VerificationAlgorithm> {
        use DigestAlgorithm::{Sha1, Sha256, Sha384, Sha512};
        Some(match self {
            // Key sizes are judged by the policy; these accept 1024 to 8192 bits (SHA-384: from 2048).
            Self::Rsa(Sha1) => &aws::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Rsa(Sha256) => &aws::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
            Self::Rsa(Sha384) => &aws::RSA_PKCS1_2048_8192_SHA384,
            Self::Rsa(Sha512) => &aws::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
            Self::Ecdsa(Curve::P256, Sha1) => &aws::ECDSA_P256_SHA1_ASN1,
            Self::Ecdsa(Curve::P256, Sha256) => &aws::ECDSA_P256_SHA256_ASN1,
            Self::Ecdsa(Curve::P256, Sha384) => &aws::ECDSA_P256_SHA384_ASN1,
            Self::Ecdsa(Curve::P256, Sha512) => &aws::ECDSA_P256_SHA512_ASN1,
            Self::Ecdsa(Curve::P384, Sha256) => &aws::ECDSA_P384_SHA256_ASN1,
            Self::Ecdsa(Curve::P384, Sha384) => &aws::ECDSA_P384_SHA384_ASN1,
            Self::Ecdsa(Curve::P384, Sha512) => &aws::ECDSA_P384_SHA512_ASN1,
            Self::Ecdsa(Curve::P521, Sha1) => &aws::ECDSA_P521_SHA1_ASN1,
            Self::Ecdsa(Curve::P521, Sha256) => &aws::ECDSA_P521_SHA256_ASN1,
            Self::Ecdsa(Curve::P521, Sha384) => &aws::ECDSA_P521_SHA384_ASN1,
            Self::Ecdsa(Curve::P521, Sha512) => &aws::ECDSA_P521_SHA512_ASN1,
            Self::Ecdsa(Curve::P384, Sha1) => return None,
        })
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(digest) => write!(f, "RSA PKCS#1 v1.5 with {digest}"),
            Self::Ecdsa(curve, digest) => write!(f, "ECDSA {curve} with {digest}"),
        }
    }
}

/// What kind of key a certificate holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA with a modulus of so many bits.
    Rsa {
        /// Size of the modulus.
        bits: u32,
    },
    /// Elliptic curve.
    Ec(Curve),
    /// A key that we cannot use, by the object identifier of its algorithm (or of its curve).
    Other(String),
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits } => write!(f, "RSA {bits} bits"),
            Self::Ec(curve) => write!(f, "EC {curve}"),
            Self::Other(oid) => write!(f, "algorithm {oid}"),
        }
    }
}

/// Why a signature with this algorithm and this key is not even tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlgorithmError {
    /// A hash function that we do not know.
    #[error("accept digest algorithm {oid}: expected SHA-256, SHA-384, SHA-512, or SHA-1 of the past")]
    Digest {
        /// What came.
        oid: String,
    },
    /// A signature algorithm that we do not know.
    #[error("accept signature algorithm {oid}: expected RSA PKCS#1 v1.5 or ECDSA")]
    Signature {
        /// What came.
        oid: String,
    },
    /// SHA-1 where the policy has none of it.
    #[error("accept SHA-1: it is allowed only for mail of the past, as of its signing time")]
    Sha1,
    /// An RSA key below the policy's minimum.
    #[error("accept an RSA key of {bits} bits: expected at least {minimum}")]
    WeakKey {
        /// Size that came.
        bits: u32,
        /// Size that was expected.
        minimum: u32,
    },
    /// The signature algorithm names another hash than the digest algorithm.
    #[error("accept a signature with {signature} over a message digested with {digest}")]
    Inconsistent {
        /// Hash of the digestAlgorithm field.
        digest: DigestAlgorithm,
        /// Hash of the signatureAlgorithm field.
        signature: DigestAlgorithm,
    },
    /// The key is not of the kind that the algorithm needs.
    #[error("use signature algorithm {oid} with a key of kind {key}")]
    Key {
        /// The signature algorithm.
        oid: String,
        /// The key that came.
        key: KeyKind,
    },
}

/// The public key of a certificate. Parsed by the crypto library once per hash function, then kept.
pub(crate) struct PublicKey {
    kind: KeyKind,
    bytes: Box<[u8]>,
    parsed: [OnceLock<Option<ParsedPublicKey>>; 4],
}

impl PublicKey {
    /// `bytes` is the content of the BIT STRING subjectPublicKey.
    pub(crate) fn new(kind: KeyKind, bytes: &[u8]) -> Self {
        Self { kind, bytes: bytes.into(), parsed: Default::default() }
    }

    pub(crate) fn kind(&self) -> &KeyKind {
        &self.kind
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The size of a key that the policy refuses, and the size that it asks for.
    pub(crate) fn weakness(&self, policy: Policy) -> Option<(u32, u32)> {
        match self.kind {
            KeyKind::Rsa { bits } if bits < policy.rsa_bits_min() => Some((bits, policy.rsa_bits_min())),
            _ => None,
        }
    }

    /// Resolves an algorithm identifier against this key and the policy. `digest` is the hash that the context
    /// names (CMS digestAlgorithm); None takes the one of the signature algorithm (certificates).
    pub(crate) fn algorithm(
        &self,
        oid: &ObjectIdentifier,
        digest: Option<DigestAlgorithm>,
        policy: Policy,
    ) -> Result<SignatureAlgorithm, AlgorithmError> {
        let (family, own) = family(oid).ok_or_else(|| AlgorithmError::Signature { oid: oid.to_string() })?;
        let hash = match (digest, own) {
            (Some(digest), Some(signature)) if digest != signature => {
                return Err(AlgorithmError::Inconsistent { digest, signature });
            }
            (Some(hash), _) | (None, Some(hash)) => hash,
            (None, None) => return Err(AlgorithmError::Signature { oid: oid.to_string() }),
        };
        let algorithm = match (family, &self.kind) {
            (Family::Rsa, KeyKind::Rsa { .. }) => SignatureAlgorithm::Rsa(hash),
            (Family::Ecdsa, KeyKind::Ec(curve)) => SignatureAlgorithm::Ecdsa(*curve, hash),
            _ => return Err(AlgorithmError::Key { oid: oid.to_string(), key: self.kind.clone() }),
        };
        self.admit(algorithm, policy)?;
        Ok(algorithm)
    }

    /// True if `signature` over `message` holds.
    pub(crate) fn verify(&self, algorithm: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        self.parsed(algorithm).is_some_and(|key| key.verify_sig(message, signature).is_ok())
    }

    /// As [`Self::verify`] over a message whose digest is known already.
    pub(crate) fn verify_digest(
        &self,
        algorithm: SignatureAlgorithm,
        digest: &digest::Digest,
        signature: &[u8],
    ) -> bool {
        self.parsed(algorithm).is_some_and(|key| key.verify_digest_sig(digest, signature).is_ok())
    }

    fn admit(&self, algorithm: SignatureAlgorithm, policy: Policy) -> Result<(), AlgorithmError> {
        if algorithm.digest() == DigestAlgorithm::Sha1 && !policy.allow_sha1 {
            return Err(AlgorithmError::Sha1);
        }
        match self.weakness(policy) {
            Some((bits, minimum)) => Err(AlgorithmError::WeakKey { bits, minimum }),
            None => Ok(()),
        }
    }

    fn parsed(&self, algorithm: SignatureAlgorithm) -> Option<&ParsedPublicKey> {
        let [sha1, sha256, sha384, sha512] = &self.parsed;
        // The curve belongs to the key, so the hash alone tells the algorithms of one key apart.
        let slot = match algorithm.digest() {
            DigestAlgorithm::Sha1 => sha1,
            DigestAlgorithm::Sha256 => sha256,
            DigestAlgorithm::Sha384 => sha384,
            DigestAlgorithm::Sha512 => sha512,
        };
        slot.get_or_init(|| ParsedPublicKey::new(algorithm.implementation()?, &self.bytes).ok()).as_ref()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.kind)
    }
}

#[derive(Clone, Copy)]
enum Family {
    Rsa,
    Ecdsa,
}

/// The family of a signature algorithm and its hash if it names one (rsaEncryption and id-ecPublicKey do not).
fn family(oid: &ObjectIdentifier) -> Option<(Family, Option<DigestAlgorithm>)> {
    use DigestAlgorithm::{Sha1, Sha256, Sha384, Sha512};
    Some(match *oid {
        rfc5912::RSA_ENCRYPTION => (Family::Rsa, None),
        rfc5912::SHA_1_WITH_RSA_ENCRYPTION => (Family::Rsa, Some(Sha1)),
        rfc5912::SHA_256_WITH_RSA_ENCRYPTION => (Family::Rsa, Some(Sha256)),
        rfc5912::SHA_384_WITH_RSA_ENCRYPTION => (Family::Rsa, Some(Sha384)),
        rfc5912::SHA_512_WITH_RSA_ENCRYPTION => (Family::Rsa, Some(Sha512)),
        rfc5912::ID_EC_PUBLIC_KEY => (Family::Ecdsa, None),
        ECDSA_WITH_SHA_1 => (Family::Ecdsa, Some(Sha1)),
        rfc5912::ECDSA_WITH_SHA_256 => (Family::Ecdsa, Some(Sha256)),
        rfc5912::ECDSA_WITH_SHA_384 => (Family::Ecdsa, Some(Sha384)),
        rfc5912::ECDSA_WITH_SHA_512 => (Family::Ecdsa, Some(Sha512)),
        _ => return None,
    })
}

const ECDSA_WITH_SHA_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.1");

#[cfg(test)]
mod tests {
    use super::*;

    fn rsa(bits: u32) -> PublicKey {
        PublicKey::new(KeyKind::Rsa { bits }, &[])
    }

    #[test]
    fn sha1_and_short_keys_pass_only_in_the_historic_view() {
        let oid = rfc5912::SHA_1_WITH_RSA_ENCRYPTION;
        assert_eq!(rsa(2048).algorithm(&oid, None, Policy::TODAY), Err(AlgorithmError::Sha1));
        assert_eq!(
            rsa(1024).algorithm(&oid, None, Policy::HISTORIC),
            Ok(SignatureAlgorithm::Rsa(DigestAlgorithm::Sha1))
        );
        assert_eq!(
            rsa(1024).algorithm(&rfc5912::SHA_256_WITH_RSA_ENCRYPTION, None, Policy::TODAY),
            Err(AlgorithmError::WeakKey { bits: 1024, minimum: 2048 })
        );
        assert_eq!(
            rsa(512).algorithm(&oid, None, Policy::HISTORIC),
            Err(AlgorithmError::WeakKey { bits: 512, minimum: 1024 })
        );
    }

    #[test]
    fn the_hash_of_the_signature_must_be_the_hash_of_the_message() {
        assert_eq!(
            rsa(2048).algorithm(
                &rfc5912::SHA_256_WITH_RSA_ENCRYPTION,
                Some(DigestAlgorithm::Sha512),
                Policy::TODAY
            ),
            Err(AlgorithmError::Inconsistent {
                digest: DigestAlgorithm::Sha512,
                signature: DigestAlgorithm::Sha256
            })
        );
    }

    #[test]
    fn an_algorithm_needs_its_kind_of_key() {
        let key = PublicKey::new(KeyKind::Ec(Curve::P256), &[]);
        assert!(matches!(
            key.algorithm(&rfc5912::RSA_ENCRYPTION, Some(DigestAlgorithm::Sha256), Policy::TODAY),
            Err(AlgorithmError::Key { .. })
        ));
        assert!(matches!(
            key.algorithm(&rfc5912::ID_RSASSA_PSS, None, Policy::TODAY),
            Err(AlgorithmError::Signature { .. })
        ));
    }
}
