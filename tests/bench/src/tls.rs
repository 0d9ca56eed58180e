//! Clients over TLS.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};

use crate::Failure;

const PATIENCE: Duration = Duration::from_secs(600);

/// A connection.
pub type Stream = BufReader<StreamOwned<ClientConnection, TcpStream>>;

/// What clients have in common, for servers whose certificate names `localhost`.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

impl Tls {
    /// With the authorities of a PEM.
    ///
    /// # Errors
    /// When there is none in it.
    pub fn new(ca: &[u8]) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca) {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    /// Connects to a port of 127.0.0.1.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(&self, port: u16) -> Result<Stream, Failure> {
        let tcp = TcpStream::connect(("127.0.0.1", port))?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        let tls = ClientConnection::new(Arc::clone(&self.0), ServerName::try_from("localhost")?)?;
        Ok(BufReader::with_capacity(64 * 1024, StreamOwned::new(tls, tcp)))
    }
}

/// Writes what is to be sent, at once.
///
/// # Errors
/// When the server is gone.
pub fn send(stream: &mut Stream, octets: &[u8]) -> Result<(), Failure> {
    stream.get_mut().write_all(octets)?;
    Ok(stream.get_mut().flush()?)
}

/// Reads a line.
///
/// # Errors
/// When the server is gone.
pub fn line(stream: &mut Stream) -> Result<String, Failure> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err("the server closed".into());
    }
    Ok(line)
}
