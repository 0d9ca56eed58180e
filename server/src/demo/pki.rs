//! The demo's test CA and what it certifies: the provider's signature and the doors' TLS (spec 10.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize, SanType,
    string::Ia5String,
};

/// RFC 5280 §4.2.1.2
const SUBJECT_KEY_IDENTIFIER: [u64; 4] = [2, 5, 29, 14];
/// Clocks of others may be behind ours.
const BACKDATED_S: i64 = 3600;
const DAY_S: i64 = 86_400;

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate; for what the CA certifies, its own certificate alone.
    pub certificate_pem: String,
    /// In DER.
    pub certificate_der: Vec<u8>,
    /// PKCS#8.
    pub key_pem: String,
}

/// What a demo needs.
#[derive(Clone, Debug)]
pub struct Pki {
    /// Signs the two below. Ten years.
    pub ca: Pair,
    /// Signs receipts and envelopes. Three years.
    pub provider: Pair,
    /// TLS of 127.0.0.1 and localhost. Three years.
    pub tls: Pair,
}

/// The names in the provider's certificate.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// `providerName`: in O and CN.
    pub provider_name: &'a str,
    /// `posta-certificata@[provider mail domain]`: the rfc822Name.
    pub address: &'a str,
}

/// Makes a test CA and lets it certify. RSA-2048 throughout, SHA-256.
///
/// # Errors
/// [`rcgen::Error`] of the crypto library, or for names that are not ASCII.
pub fn make(names: Names<'_>, now_unix_s: i64) -> Result<Pki, rcgen::Error> {
    let ca = Ca::new(names.provider_name, now_unix_s)?;
    let provider = ca.provider(names, now_unix_s)?;
    let addresses = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let tls = ca.host(names.provider_name, &["localhost"], &addresses, now_unix_s)?;
    Ok(Pki { ca: ca.pair, provider, tls })
}

/// A test CA: of one demo, or of several providers that are tried together.
pub struct Ca {
    /// Its own certificate and key.
    pub pair: Pair,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    /// Makes one, for ten years.
    ///
    /// # Errors
    /// [`rcgen::Error`] of the crypto library.
    pub fn new(organization: &str, now_unix_s: i64) -> Result<Self, rcgen::Error> {
        let key = rsa()?;
        let mut ca = params(organization, "Test CA", now_unix_s, 3652);
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pair = pair(&ca.self_signed(&key)?, &key);
        Ok(Self { pair, issuer: Issuer::new(ca, key) })
    }

    /// Certifies a provider: spec 10.2 to the letter. No basicConstraints, one rfc822Name, no address in the subject.
    ///
    /// # Errors
    /// [`rcgen::Error`] of the crypto library, or for names that are not ASCII.
    pub fn provider(&self, names: Names<'_>, now_unix_s: i64) -> Result<Pair, rcgen::Error> {
        let mut provider = params(names.provider_name, names.provider_name, now_unix_s, 1096);
        provider.subject_alt_names = vec![SanType::Rfc822Name(Ia5String::try_from(names.address)?)];
        provider.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
        certified(provider, &self.issuer)
    }

    /// Certifies the TLS of a host, by names and addresses.
    ///
    /// # Errors
    /// [`rcgen::Error`] of the crypto library, or for names that are not ASCII.
    pub fn host(
        &self,
        organization: &str,
        names: &[&str],
        addresses: &[IpAddr],
        now_unix_s: i64,
    ) -> Result<Pair, rcgen::Error> {
        let mut tls = params(organization, names.first().unwrap_or(&"localhost"), now_unix_s, 1096);
        for name in names {
            tls.subject_alt_names.push(SanType::DnsName(Ia5String::try_from(*name)?));
        }
        tls.subject_alt_names.extend(addresses.iter().map(|a| SanType::IpAddress(*a)));
        tls.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        certified(tls, &self.issuer)
    }
}

fn rsa() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
}

fn params(organization: &str, common_name: &str, now_unix_s: i64, days: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CountryName, "IT");
    name.push(DnType::OrganizationName, organization);
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    params.not_before = instant(now_unix_s - BACKDATED_S);
    params.not_after = instant(now_unix_s + days * DAY_S);
    params
}

/// Certifies an end entity with a new key: critical digitalSignature, both key identifiers, no basicConstraints.
fn certified(mut params: CertificateParams, ca: &Issuer<'_, KeyPair>) -> Result<Pair, rcgen::Error> {
    let key = rsa()?;
    params.is_ca = IsCa::NoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let identifier = params.key_identifier(&key);
    params.custom_extensions =
        vec![CustomExtension::from_oid_content(&SUBJECT_KEY_IDENTIFIER, octet_string(&identifier))];
    let certificate = params.signed_by(&key, ca)?;
    Ok(pair(&certificate, &key))
}

/// DER of an OCTET STRING shorter than 128 octets; a key identifier has twenty.
fn octet_string(octets: &[u8]) -> Vec<u8> {
    let length = u8::try_from(octets.len()).unwrap_or(0) & 0x7f;
    [&[0x04, length], octets].concat()
}

fn pair(certificate: &Certificate, key: &KeyPair) -> Pair {
    Pair {
        certificate_pem: certificate.pem(),
        certificate_der: certificate.der().to_vec(),
        key_pem: key.serialize_pem(),
    }
}

/// Instants as rcgen takes them.
fn instant<T>(unix_s: i64) -> T
where
    T: From<std::time::SystemTime>,
{
    let since = std::time::Duration::from_secs(u64::try_from(unix_s).unwrap_or(0));
    T::from(std::time::UNIX_EPOCH + since)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names<'_> =
        Names { provider_name: "Prova PEC", address: "posta-certificata@gestore.alfa.example" };
    const NOW: i64 = 1_800_000_000;

    /// Spec 10.2: the profile of RFC 6109 §5.5.
    #[test]
    fn the_provider_certificate_leads_to_the_ca_and_names_the_provider() {
        let pki = make(NAMES, NOW).unwrap();
        let ca = smime::Certificate::from_der(&pki.ca.certificate_der).unwrap();
        let provider = smime::Certificate::from_der(&pki.provider.certificate_der).unwrap();
        assert_eq!(provider.mails(), [NAMES.address]);
        assert!(provider.subject().contains("O=Prova PEC"), "{}", provider.subject());
        let verifier = smime::Verifier::new(smime::Anchors::from_certificates([ca]));
        verifier.check_chain(&provider, &[], NOW, &smime::Policy::TODAY).unwrap();
        // The doors' certificate signs no mail.
        let tls = smime::Certificate::from_der(&pki.tls.certificate_der).unwrap();
        assert!(verifier.check_chain(&tls, &[], NOW, &smime::Policy::TODAY).is_err());
        let key = smime::RsaKey::from_pem(pki.provider.key_pem.as_bytes()).unwrap();
        assert!(key.belongs_to(&provider));
    }

    /// Spec 10.2: which extensions, and which of them are critical, as openssl reads them.
    #[test]
    fn the_provider_certificate_has_the_extensions_of_the_profile() {
        let pki = make(NAMES, NOW).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("provider.pem");
        std::fs::write(&file, &pki.provider.certificate_pem).unwrap();
        let output = std::process::Command::new("openssl")
            .args(["x509", "-noout", "-text", "-in"])
            .arg(&file)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for expected in [
            "Version: 3 (0x2)",
            "Public-Key: (2048 bit)",
            "X509v3 Key Usage: critical Digital Signature",
            "X509v3 Extended Key Usage: E-mail Protection",
            "X509v3 Subject Alternative Name: email:posta-certificata@gestore.alfa.example",
            "X509v3 Subject Key Identifier:",
            "X509v3 Authority Key Identifier:",
        ] {
            assert!(flat.contains(expected), "{expected} in {flat}");
        }
        assert_eq!(flat.matches("critical").count(), 1, "{flat}");
        assert!(!flat.contains("Basic Constraints"), "{flat}");
    }
}
