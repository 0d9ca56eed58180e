//! A certificate request (PKCS #10, RFC 2986) signed by a key in KMS: what the authority makes the provider's
//! certificate from.

use aws_sdk_kms::Client;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use const_oid::db::rfc5912::SHA_256_WITH_RSA_ENCRYPTION;
use der::{
    Decode as _, Encode as _,
    asn1::{Any, BitString, Ia5String, OctetString},
    oid::AssociatedOid,
};
use pec::Address;
use stages::ports::SignerError;
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

use crate::{clients::tell, signer};

/// Why there is no request. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum CsrError {
    /// The subject is no distinguished name.
    #[error("use the subject {0:?}: expected the form of RFC 4514, e.g. CN=Posta Certificata,O=Alfa,C=IT")]
    Subject(String),
    /// KMS does not tell the public half.
    #[error("read the public half of the key: {0}")]
    PublicKey(String),
    /// KMS does not sign.
    #[error("sign the request")]
    Sign(#[from] SignerError),
    /// A structure cannot be encoded.
    #[error("encode the request: {0}")]
    Encode(#[from] der::Error),
}

/// A request in PEM for this key, with `mail` (`posta-certificata@` the provider's domain, spec 9) as the rfc822Name
/// of its subjectAltName.
///
/// # Errors
/// [`CsrError`]
pub async fn request(client: &Client, key: &str, subject: &str, mail: &Address) -> Result<String, CsrError> {
    // 1. What is asked to be certified.
    let subject: Name = subject.parse().map_err(|_| CsrError::Subject(subject.to_owned()))?;
    let answer = client.get_public_key().key_id(key).send().await;
    let public = answer.map_err(|e| CsrError::PublicKey(tell(&e)))?.public_key;
    let public = public.ok_or_else(|| CsrError::PublicKey("none came".to_owned()))?.into_inner();
    let mut info = CertReqInfo {
        version: Version::V1,
        subject,
        public_key: SubjectPublicKeyInfoOwned::from_der(&public)?,
        attributes: Default::default(),
    };
    info.attributes.insert(Attribute::try_from(ExtensionReq(extensions(mail)?))?)?;

    // 2. The key itself signs it, to prove that it is ours.
    let signature = signer::sign(client, key, smime::sha256([info.to_der()?])).await?;
    let algorithm =
        AlgorithmIdentifierOwned { oid: SHA_256_WITH_RSA_ENCRYPTION, parameters: Some(Any::null()) };
    let request = CertReq { info, algorithm, signature: BitString::from_bytes(&signature)? };
    Ok(pem(&request.to_der()?))
}

fn extensions(mail: &Address) -> Result<Vec<Extension>, der::Error> {
    let names = SubjectAltName(vec![GeneralName::Rfc822Name(Ia5String::new(mail.as_str())?)]);
    let usage = KeyUsage(KeyUsages::DigitalSignature.into());
    let extension = |extn_id, critical, value: Vec<u8>| {
        Ok::<_, der::Error>(Extension { extn_id, critical, extn_value: OctetString::new(value)? })
    };
    Ok(vec![
        extension(SubjectAltName::OID, false, names.to_der()?)?,
        extension(KeyUsage::OID, true, usage.to_der()?)?,
    ])
}

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
