//! What the benchmark programs share: a test authority, figures of time, memory of this process, a running provider,
//! clients over TLS.

mod provider;
pub mod tls;

use std::{
    error::Error,
    fs,
    time::{Duration, Instant},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize, SanType,
};

pub use provider::Provider;

/// Any error: a benchmark that cannot run says why and ends.
pub type Failure = Box<dyn Error + Send + Sync>;

/// A provider certificate under a test authority, with its RSA-2048 key.
pub struct Pki {
    /// The authority, DER.
    pub ca: Vec<u8>,
    /// The authority, PEM.
    pub ca_pem: String,
    /// The provider's certificate, DER.
    pub leaf: Vec<u8>,
    /// The provider's certificate, PEM.
    pub leaf_pem: String,
    /// Its key, PKCS#8 PEM.
    pub key_pem: String,
}

impl Pki {
    /// Makes one, for this rfc822Name and provider name (profile of RFC 6109 §5.5).
    ///
    /// # Errors
    /// When the crypto library makes no key or certificate.
    pub fn new(mail: &str, provider_name: &str) -> Result<Self, Failure> {
        let ca_key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
        let mut ca = CertificateParams::default();
        ca.distinguished_name = name("Bench CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_cert = ca.self_signed(&ca_key)?;

        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
        let mut leaf = CertificateParams::default();
        leaf.distinguished_name = name(provider_name);
        leaf.subject_alt_names = vec![SanType::Rfc822Name(mail.try_into()?)];
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
        leaf.use_authority_key_identifier_extension = true;
        let leaf_cert = leaf.signed_by(&key, &Issuer::from_params(&ca, &ca_key))?;
        Ok(Self {
            ca: ca_cert.der().to_vec(),
            ca_pem: ca_cert.pem(),
            leaf: leaf_cert.der().to_vec(),
            leaf_pem: leaf_cert.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// Runs `work` until about `budget` has passed, at least five times, and gives the median time of one run.
pub fn median(budget: Duration, mut work: impl FnMut()) -> Duration {
    let start = Instant::now();
    let mut times = Vec::new();
    while times.len() < 5 || start.elapsed() < budget {
        let one = Instant::now();
        work();
        times.push(one.elapsed());
    }
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The value at a fraction of sorted figures, in milliseconds.
#[must_use]
pub fn percentile_ms(sorted: &[Duration], fraction: f64) -> f64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let at = ((sorted.len().saturating_sub(1)) as f64 * fraction).round() as usize;
    sorted.get(at).map_or(f64::NAN, |d| d.as_secs_f64() * 1000.0)
}

/// A field of `/proc/self/status` in bytes, e.g. `VmHWM` (peak resident memory) or `VmRSS`; 0 where there is none.
#[must_use]
pub fn status_bytes(field: &str) -> u64 {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|text| {
            text.lines().find_map(|line| {
                line.strip_prefix(field)?.strip_prefix(':')?.split_whitespace().next()?.parse().ok()
            })
        })
        .map_or(0, |kib: u64| kib * 1024)
}
