//! TCP and TLS below the door: bounded in connections and in time, drained when it stops.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{HEADER_BYTES_MAX, HEADER_FIELDS_MAX, account::Peer};

/// Connections at a time: times the bound of a header, that is what strangers can make us keep.
const CONNECTIONS_MAX: u32 = 512;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For a request's header, and between two requests.
const HEADER: Duration = Duration::from_secs(30);
/// For a whole connection: whoever reads no answers does not keep it for ever.
const LIFE: Duration = Duration::from_secs(3600);
/// For connections still open when the door stops.
const DRAIN: Duration = Duration::from_secs(10);

/// Why the door does not open. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    /// The address is taken, or not ours.
    #[error("listen on {0}: {1}")]
    Bind(SocketAddr, io::Error),
    /// Certificate or key.
    #[error("use the TLS certificate: {0}")]
    Tls(String),
}

/// TLS 1.2 and 1.3 with a certificate chain and its key, both in PEM.
///
/// # Errors
/// [`ListenerError::Tls`]
pub fn tls(chain_pem: &[u8], key_pem: &[u8]) -> Result<Arc<ServerConfig>, ListenerError> {
    let unusable = |error: &dyn std::fmt::Display| ListenerError::Tls(error.to_string());
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(chain_pem).collect::<Result<_, _>>().map_err(|e| unusable(&e))?;
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|e| unusable(&e))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| unusable(&e))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| unusable(&e))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A door that listens and does not serve yet: connections queue.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    tls: TlsAcceptor,
}

impl Listener {
    /// Takes the address; port 0 is any free one.
    ///
    /// # Errors
    /// [`ListenerError::Bind`]
    pub async fn bind(address: SocketAddr, tls: Arc<ServerConfig>) -> Result<Self, ListenerError> {
        let bound = async {
            let socket = TcpListener::bind(address).await?;
            let address = socket.local_addr()?;
            Ok((socket, address))
        };
        let (socket, address) = bound.await.map_err(|error| ListenerError::Bind(address, error))?;
        Ok(Self { socket, address, tls: TlsAcceptor::from(tls) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` turns true; then lets requests under way end, for ten seconds at most.
    pub async fn serve(self, router: Router, mut stop: watch::Receiver<bool>) {
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
        loop {
            let accepted = tokio::select! {
                () = stopped(&mut stop) => break,
                accepted = self.accept(&connections) => accepted,
            };
            let Some((tcp, peer, permit)) = accepted else { continue };
            tokio::spawn(connection(tcp, peer, self.tls.clone(), router.clone(), stop.clone(), permit));
        }
        // No new connection is taken; each under way ends after its request.
        drop(self.socket);
        if timeout(DRAIN, connections.acquire_many(CONNECTIONS_MAX)).await.is_err() {
            tracing::warn!("connections were still open when the door closed");
        }
    }

    async fn accept(
        &self,
        connections: &Arc<Semaphore>,
    ) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let permit = Arc::clone(connections).acquire_owned().await.ok()?;
        match self.socket.accept().await {
            Ok((tcp, peer)) => Some((tcp, peer, permit)),
            Err(error) => {
                // Out of file descriptors, most likely: it would fail again at once.
                tracing::error!(error = %error, "connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                None
            }
        }
    }
}

async fn connection(
    tcp: TcpStream,
    peer: SocketAddr,
    tls: TlsAcceptor,
    router: Router,
    mut stop: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
) {
    let Ok(Ok(stream)) = timeout(HANDSHAKE, tls.accept(tcp)).await else {
        tracing::debug!(peer = %peer.ip(), "TLS handshake failed");
        return;
    };
    let tls = tls_version(stream.get_ref().1.protocol_version());
    let service = TowerToHyperService::new(router.layer(Extension(Peer { ip: peer.ip(), tls })));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .max_headers(HEADER_FIELDS_MAX)
        .max_buf_size(HEADER_BYTES_MAX);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = timeout(LIFE, connection.as_mut()) => ended.unwrap_or(Ok(())),
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %peer.ip(), error = %error, "connection ended early");
    }
}

fn tls_version(version: Option<rustls::ProtocolVersion>) -> &'static str {
    match version {
        Some(rustls::ProtocolVersion::TLSv1_3) => "1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "1.2",
        _ => "none",
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody is left who could say stop: the process is ending.
    let _ = stop.wait_for(|stopped| *stopped).await;
}
