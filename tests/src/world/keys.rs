//! A test authority, the certificates of two providers, and the keeper of their keys.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, OnceLock},
};

use async_trait::async_trait;
use pec::Instant;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PKCS_RSA_SHA256, RevokedCertParams, RsaKeySize, SanType, SerialNumber, date_time_ymd,
};
use smime::{Anchors, Certificate, Identity, RsaKey, Verifier};
use stages::{
    ids::CertificateId,
    ports::{Signer, SignerError},
};

use super::provider::{ALFA, BETA, GAMMA, Provider};

/// A new certificate comes into use this long after its notBefore (design §3 rule 7).
pub const SETTLED_AFTER_S: i64 = 48 * 3600;

/// The authority and all certificates, made once per process: making RSA keys is slow.
pub static PKI: LazyLock<Pki> = LazyLock::new(Pki::new);

/// Serial number of GAMMA's certificate, the one that names a revocation list.
pub const GAMMA_SERIAL: u64 = 5;

/// An authority with what it has certified.
pub struct Pki {
    ca: Certificate,
    issuer: Issuer<'static, KeyPair>,
    credentials: Vec<Arc<Credential>>,
    /// Made when it is asked for: few worlds have three providers.
    third: OnceLock<Arc<Credential>>,
}

/// A certificate with its key.
pub struct Credential {
    /// SHA-256 of its DER.
    pub id: CertificateId,
    /// The record of its provider.
    pub environment: String,
    /// The certificate in DER.
    pub der: Vec<u8>,
    not_before: Instant,
    identity: Arc<Identity>,
    key: RsaKey,
}

impl Pki {
    fn new() -> Self {
        let ca_key = rsa();
        let mut params = params("Autorità di prova", 1, (2025, 1, 1));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca =
            Certificate::from_der(params.self_signed(&ca_key).expect("a certificate").der()).expect("DER");
        let issuer = Issuer::new(params, ca_key);
        let credentials = vec![
            credential(&issuer, &ALFA, 2, (2026, 1, 1)),
            // The successor: it comes into use at the beginning of 2026-03-05.
            credential(&issuer, &ALFA, 3, (2026, 3, 3)),
            credential(&issuer, &BETA, 4, (2026, 1, 1)),
        ];
        Self { ca, issuer, credentials, third: OnceLock::new() }
    }

    /// Everything that signatures are verified with.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        Verifier::new(Anchors::from_certificates([self.ca.clone()]))
    }

    /// The authority, for judges that are not ours.
    #[must_use]
    pub const fn authority(&self) -> &Certificate {
        &self.ca
    }

    /// A revocation list of the authority, in DER: these serial numbers since then.
    #[must_use]
    pub fn list(&self, revoked: &[u64], since: Instant, from: Instant, until: Instant) -> Vec<u8> {
        let date =
            |at: Instant| std::time::UNIX_EPOCH + std::time::Duration::from_secs(at.unix_s().unsigned_abs());
        let entry = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date(since).into(),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date(from).into(),
            next_update: date(until).into(),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect("a list").der().to_vec()
    }

    /// The certificates of a provider, the oldest first.
    #[must_use]
    pub fn of(&self, provider: &Provider) -> Vec<Arc<Credential>> {
        if provider.record == GAMMA.record {
            let make = || credential(&self.issuer, &GAMMA, GAMMA_SERIAL, (2026, 1, 1));
            return vec![Arc::clone(self.third.get_or_init(make))];
        }
        self.credentials.iter().filter(|c| c.environment == provider.record).cloned().collect()
    }
}

impl Credential {
    /// A detached signature over some content (CMS, DER), as our own messages have it.
    #[must_use]
    pub fn detached(&self, content: &[u8], at: Instant) -> Vec<u8> {
        let pending = self.identity.prepare(smime::sha256([content]), at.unix_s()).expect("a signer");
        let signature = self.key.sign_digest(pending.digest()).expect("a signature");
        pending.assemble(&signature).expect("CMS")
    }
}

fn rsa() -> KeyPair {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key")
}

fn params(name: &str, serial: u64, not_before: (i32, u8, u8)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(not_before.0, not_before.1, not_before.2);
    params.not_after = date_time_ymd(2029, 1, 1);
    params.serial_number = Some(SerialNumber::from(serial));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn credential(
    issuer: &Issuer<'_, KeyPair>,
    provider: &Provider,
    serial: u64,
    not_before: (i32, u8, u8),
) -> Arc<Credential> {
    let key = rsa();
    let mut params = params(provider.name, serial, not_before);
    let address = provider.certified().as_str().try_into().expect("ASCII");
    params.subject_alt_names = vec![SanType::Rfc822Name(address)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
    params.use_authority_key_identifier_extension = true;
    if serial == GAMMA_SERIAL {
        let uris = vec!["http://ca.example/lista.crl".to_owned()];
        params.crl_distribution_points = vec![CrlDistributionPoint { uris }];
    }
    let der = params.signed_by(&key, issuer).expect("a certificate").der().to_vec();
    let identity = Identity::from_chain(std::slice::from_ref(&der)).expect("a chain");
    Arc::new(Credential {
        id: CertificateId(identity.certificate().sha256_hex()),
        environment: provider.record.to_owned(),
        not_before: Instant::from_unix_s(identity.certificate().not_before_unix_s()),
        identity: Arc::new(identity),
        key: RsaKey::from_pkcs8_der(&key.serialize_der()).expect("an RSA key"),
        der,
    })
}

/// A certificate, and a digest that its key has signed.
type Signed = (CertificateId, [u8; 32]);

/// The keeper of a provider's keys. What it has signed once it remembers: the signature is a function of key and
/// digest, and the same letters are signed thousands of times here.
pub struct TestSigner {
    credentials: Vec<Arc<Credential>>,
    signed: Mutex<HashMap<Signed, Vec<u8>>>,
}

impl TestSigner {
    /// With these certificates, the oldest first.
    #[must_use]
    pub fn new(credentials: Vec<Arc<Credential>>) -> Self {
        Self { credentials, signed: Mutex::default() }
    }

    fn credential(&self, id: &CertificateId) -> Result<&Credential, SignerError> {
        let found = self.credentials.iter().find(|c| c.id == *id);
        found.map(AsRef::as_ref).ok_or_else(|| SignerError::NoKey(id.clone()))
    }
}

#[async_trait]
impl Signer for TestSigner {
    fn current(&self, environment: &str, at: Instant) -> Result<CertificateId, SignerError> {
        let own = || self.credentials.iter().filter(|c| c.environment == environment);
        let settled = own().rfind(|c| c.not_before.plus_s(SETTLED_AFTER_S) <= at);
        let found = settled.or_else(|| own().next());
        found.map(|c| c.id.clone()).ok_or_else(|| SignerError::NoKey(CertificateId(environment.to_owned())))
    }

    fn identity(&self, certificate: &CertificateId) -> Result<Arc<Identity>, SignerError> {
        self.credential(certificate).map(|c| Arc::clone(&c.identity))
    }

    async fn sign(&self, certificate: &CertificateId, digest: [u8; 32]) -> Result<Vec<u8>, SignerError> {
        let credential = self.credential(certificate)?;
        let mut signed = self.signed.lock().unwrap();
        if let Some(known) = signed.get(&(certificate.clone(), digest)) {
            return Ok(known.clone());
        }
        let signature =
            credential.key.sign_digest(digest).map_err(|e| SignerError::Unavailable(e.to_string()))?;
        signed.insert((certificate.clone(), digest), signature.clone());
        Ok(signature)
    }
}
