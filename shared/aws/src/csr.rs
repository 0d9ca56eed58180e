//! A certificate request signed by a key in KMS: what the authority makes the provider's certificate from.

use aws_sdk_kms::Client;
use pec::Address;
use smime::{CertificateRequest, RequestError};
use stages::ports::SignerError;

use crate::{clients::tell, signer};

/// Why there is no request. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum CsrError {
    /// The subject, or a structure that cannot be encoded.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// KMS does not tell the public half.
    #[error("read the public half of the key: {0}")]
    PublicKey(String),
    /// KMS does not sign.
    #[error("sign the request: {0}")]
    Sign(#[from] SignerError),
}

/// A request in PEM for this key, with `mail` (`posta-certificata@` the provider's domain, spec 9) as the rfc822Name
/// of its subjectAltName.
///
/// # Errors
/// [`CsrError`]
pub async fn request(client: &Client, key: &str, subject: &str, mail: &Address) -> Result<String, CsrError> {
    let answer = client.get_public_key().key_id(key).send().await;
    let public = answer.map_err(|e| CsrError::PublicKey(tell(&e)))?.public_key;
    let public = public.ok_or_else(|| CsrError::PublicKey("none came".to_owned()))?.into_inner();
    let request = CertificateRequest::prepare(subject, mail.as_str(), &public)?;
    // The key itself signs it, to prove that it is ours.
    let signature = signer::sign(client, key, request.digest()).await?;
    Ok(request.assemble(&signature)?)
}
