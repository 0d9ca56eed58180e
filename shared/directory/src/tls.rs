//! TLS of the HTTPS client, for whoever asks a provider's door or the national index.

use std::sync::Arc;

use rustls_pki_types::{
    CertificateDer,
    pem::{self, PemObject as _},
};
use ureq::tls::{Certificate, ClientCert, RootCerts, TlsConfig};

/// The certificates of a PEM file, in order; none if there is none in it.
///
/// # Errors
/// [`pem::Error`] for text that is no PEM.
pub fn certificates(text: &[u8]) -> Result<Vec<Certificate<'static>>, pem::Error> {
    let ders = CertificateDer::pem_slice_iter(text);
    ders.map(|der| Ok(Certificate::from_der(&der?).to_owned())).collect()
}

/// Servers that these certify, and nobody else; with a certificate of our own where they ask for one.
pub fn config(roots: &[Certificate<'static>], client: Option<ClientCert>) -> TlsConfig {
    TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(roots))
        .client_cert(client)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build()
}
