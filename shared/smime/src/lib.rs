//! S/MIME signatures: made in two phases around a remote key, verified in all the variants that real providers
//! send. Knows nothing of PEC; reads no clock, draws no randomness, does no I/O.
//!
//! - Signing: [`Identity::prepare`] → a signature over [`Pending::digest`], wherever the key is →
//!   [`Pending::assemble`].
//! - Verifying: [`split_signed`] → [`verify`] (the mathematics) → [`Verifier::check_chain`] (whom to trust, at an
//!   instant that the caller gives). [`Verifier`] remembers certificates and chains; use it for many messages.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod algorithm;
mod attributes;
mod ber;
mod certificate;
mod chain;
mod cms;
mod key;
mod message;
mod name;
mod ocsp;
mod request;
mod revocation;
mod sign;
mod timestamp;
mod verifier;
mod verify;

use aws_lc_rs::digest::{Context, SHA256};

pub use algorithm::{AlgorithmError, Curve, DigestAlgorithm, KeyKind, Policy, SignatureAlgorithm};
pub use certificate::{CERTIFICATE_BYTES_MAX, Certificate, CertificateError, PEM_CERTIFICATES_MAX};
pub use chain::{Anchors, ChainError, PATH_CERTIFICATES_MAX};
pub use cms::{CERTIFICATES_MAX, CMS_BYTES_MAX, ENCLOSED_BYTES_MAX, SIGNERS_MAX};
pub use key::{KeyError, RsaKey};
pub use message::{NotSigned, SignedMessage, split_opaque, split_signed};
pub use request::{CertificateRequest, RequestError};
pub use revocation::{LIST_BYTES_MAX, Last, ListError, Standing, Wanted};
pub use sign::{CHAIN_MAX, Identity, IdentityError, Pending, SignError};
pub use timestamp::{REPLY_BYTES_MAX, Timestamp, TimestampError, timestamp_request, timestamp_token};
pub use verifier::Verifier;
pub use verify::{Signer, SignerError, Verified, VerifyError, open_signed_data, verify};

/// SHA-256 over pieces that belong together, as the chunks of a [`mime::Rope`]; nothing is joined.
pub fn sha256<C: AsRef<[u8]>>(chunks: impl IntoIterator<Item = C>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for chunk in chunks {
        context.update(chunk.as_ref());
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// A digest in lower-case hexadecimal digits. A letter has dozens: `hex::encode` would push them one by one.
pub fn hex(digest: &[u8; 32]) -> String {
    let mut digits = [0; 64];
    // Twice as many digits as octets: it never fails.
    let _ = hex::encode_to_slice(digest, &mut digits);
    String::from_utf8_lossy(&digits).into_owned()
}

/// Text from outside as an error message may show it: short, and without control characters.
fn excerpt(text: &str) -> String {
    text.chars().take(100).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
