//! A certificate request (PKCS #10, RFC 2986) in two phases around a remote key: what an authority makes the
//! certificate of a signing key from.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use const_oid::db::rfc5912::SHA_256_WITH_RSA_ENCRYPTION;
use der::{
    Decode as _, Encode as _,
    asn1::{Any, BitString, Ia5String, OctetString},
    oid::AssociatedOid,
};
use x509_cert::{
    attr::Attribute,
    ext::{
        Extension,
        pkix::{KeyUsage, KeyUsages, SubjectAltName, name::GeneralName},
    },
    name::Name,
    request::{CertReq, CertReqInfo, ExtensionReq, Version},
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned},
};

/// Why there is no request. Displays finish the sentence "failed to …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The subject is no distinguished name.
    #[error("use the subject {0:?}: expected the form of RFC 4514, e.g. CN=Posta Certificata,O=Alfa,C=IT")]
    Subject(String),
    /// A structure cannot be encoded.
    #[error("encode the request: {0}")]
    Encode(#[from] der::Error),
}

/// A request that waits for the signature of its key, which proves that the key is there.
#[derive(Clone, Debug)]
pub struct CertificateRequest {
    info: CertReqInfo,
    digest: [u8; 32],
}

impl CertificateRequest {
    /// For a key, given by its SubjectPublicKeyInfo in DER, to sign as `mail`: the rfc822Name of the subjectAltName.
    ///
    /// # Errors
    /// [`RequestError`]
    pub fn prepare(subject: &str, mail: &str, public_key_info: &[u8]) -> Result<Self, RequestError> {
        let name: Name = subject.parse().map_err(|_| RequestError::Subject(subject.to_owned()))?;
        if name.is_empty() {
            return Err(RequestError::Subject(subject.to_owned()));
        }
        let mut info = CertReqInfo {
            version: Version::V1,
            subject: name,
            public_key: SubjectPublicKeyInfoOwned::from_der(public_key_info)?,
            attributes: Default::default(),
        };
        info.attributes.insert(Attribute::try_from(ExtensionReq(extensions(mail)?))?)?;
        let digest = crate::sha256([info.to_der()?]);
        Ok(Self { info, digest })
    }

    /// What the key signs: RSASSA-PKCS1-v1_5 over this SHA-256.
    #[must_use]
    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The request in PEM.
    ///
    /// # Errors
    /// [`RequestError::Encode`]
    pub fn assemble(self, signature: &[u8]) -> Result<String, RequestError> {
        let algorithm =
            AlgorithmIdentifierOwned { oid: SHA_256_WITH_RSA_ENCRYPTION, parameters: Some(Any::null()) };
        let request = CertReq { info: self.info, algorithm, signature: BitString::from_bytes(signature)? };
        Ok(pem(&request.to_der()?))
    }
}

fn extensions(mail: &str) -> Result<Vec<Extension>, der::Error> {
    let names = SubjectAltName(vec![GeneralName::Rfc822Name(Ia5String::new(mail)?)]);
    let usage = KeyUsage(KeyUsages::DigitalSignature.into());
    let extension = |extn_id, critical, value: Vec<u8>| {
        Ok::<_, der::Error>(Extension { extn_id, critical, extn_value: OctetString::new(value)? })
    };
    Ok(vec![
        extension(SubjectAltName::OID, false, names.to_der()?)?,
        extension(KeyUsage::OID, true, usage.to_der()?)?,
    ])
}

/// RFC 7468 §7
fn pem(der: &[u8]) -> String {
    let mut out = String::from("-----BEGIN CERTIFICATE REQUEST-----\n");
    let base64 = STANDARD.encode(der);
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, next) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = next;
    }
    out.push_str("-----END CERTIFICATE REQUEST-----\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_that_is_no_name_is_refused() {
        for subject in ["", "no name", "CN"] {
            let refused = CertificateRequest::prepare(subject, "posta-certificata@alfa.example", &[]);
            assert_eq!(refused.unwrap_err(), RequestError::Subject(subject.to_owned()), "{subject}");
        }
        let key = CertificateRequest::prepare("CN=Alfa", "posta-certificata@alfa.example", b"no key");
        assert!(matches!(key, Err(RequestError::Encode(_))));
    }
}
