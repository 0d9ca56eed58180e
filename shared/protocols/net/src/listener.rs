//! Accepting connections within bounds, and letting them end.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinError, JoinSet},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    Stop, Stream,
    peers::{Counted, Peers},
};

/// After a session's time is over: what it may still use to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);
/// After an accept that failed, most likely for want of file descriptors: it would fail again at once.
const PAUSE: Duration = Duration::from_millis(100);

/// The bounds of one door.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections in all.
    pub connections_max: usize,
    /// Connections of one peer: see [`crate::network`].
    pub connections_per_peer_max: usize,
    /// For a TLS handshake.
    pub handshake: Duration,
    /// The longest wait for the next octets, in either direction; a session may change it.
    pub idle: Duration,
    /// For a whole session.
    pub session: Duration,
    /// For sessions still open when the door stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 512,
            connections_per_peer_max: 64,
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(300),
            session: Duration::from_secs(24 * 3600),
            drain: Duration::from_secs(10),
        }
    }
}

/// When a door's connections are TLS.
#[derive(Clone)]
pub enum Security {
    /// From the first octet (RFC 8314 §3).
    Implicit(TlsAcceptor),
    /// After STARTTLS; before it, plain.
    StartTls(TlsAcceptor),
}

/// One connection that was accepted, and what its session needs.
#[derive(Debug)]
pub struct Connection {
    /// Its octets: TLS already, if the door's TLS is implicit.
    pub stream: Stream,
    /// The other end.
    pub peer: SocketAddr,
    /// Says when the session is to end: at the next place where nothing is half done.
    pub stop: Stop,
}

/// Why a door does not open. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
#[error("listen on {0}: {1}")]
pub struct BindError(pub SocketAddr, #[source] pub io::Error);

/// A door that listens and does not serve yet: connections queue.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    security: Security,
    limits: Limits,
    refusal: &'static [u8],
}

impl Listener {
    /// Takes the address; port 0 is any free one.
    ///
    /// # Errors
    /// [`BindError`] when the address is taken, or not ours.
    pub async fn bind(address: SocketAddr, security: Security, limits: Limits) -> Result<Self, BindError> {
        let failed = |error| BindError(address, error);
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let bound = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, address: bound, security, limits, refusal: b"" })
    }

    /// What a peer is told, in plain, that finds the door full; on a door with implicit TLS it is told nothing.
    #[must_use]
    pub const fn refusing_with(mut self, refusal: &'static [u8]) -> Self {
        self.refusal = refusal;
        self
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves every connection with `session`, each in a task of its own, until it is told to stop. Then no new
    /// connection is taken; sessions have heard it too, and may end within the limit for draining; what is left
    /// is cut off.
    pub async fn serve<S, F>(self, mut stop: Stop, session: S)
    where
        S: Fn(Connection) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let slots = Arc::new(Semaphore::new(self.limits.connections_max));
        let peers = Arc::new(Peers::default());
        let mut sessions = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = stop.stopped() => break,
                Some(ended) = sessions.join_next(), if !sessions.is_empty() => {
                    report(ended);
                    continue;
                }
                accepted = self.socket.accept() => accepted,
            };
            let (tcp, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::error!(error = %error, "connection was not accepted");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let slot = Arc::clone(&slots).try_acquire_owned().ok();
            let counted = peers.enter(peer.ip(), self.limits.connections_per_peer_max);
            let (Some(slot), Some(counted)) = (slot, counted) else {
                self.refuse(tcp, peer);
                continue;
            };
            let place = (slot, counted);
            let (security, limits) = (self.security.clone(), self.limits);
            sessions.spawn(one(tcp, peer, security, limits, stop.clone(), session.clone(), place));
        }
        let Self { socket, limits, .. } = self;
        drop(socket);
        let drained = async {
            while let Some(ended) = sessions.join_next().await {
                report(ended);
            }
        };
        if timeout(limits.drain, drained).await.is_err() {
            tracing::warn!(sessions = sessions.len(), "sessions were still open when the door closed");
            sessions.shutdown().await;
        }
    }

    /// In words where they can be said at once: nobody waits for a peer that does not read.
    fn refuse(&self, mut tcp: TcpStream, peer: SocketAddr) {
        tracing::warn!(peer = %peer.ip(), "connection refused: too many are open");
        if matches!(self.security, Security::StartTls(_)) && !self.refusal.is_empty() {
            let refusal = self.refusal;
            // Some octets always fit into the buffer of a new connection.
            drop(tcp.try_write(refusal));
        }
        // The end is sent; what the peer had sent already may turn it into a reset, which is as clear.
        drop(tokio::spawn(async move { drop(timeout(PAUSE, tcp.shutdown()).await) }));
    }
}

async fn one<S, F>(
    tcp: TcpStream,
    peer: SocketAddr,
    security: Security,
    limits: Limits,
    stop: Stop,
    session: S,
    _place: (OwnedSemaphorePermit, Counted),
) where
    S: Fn(Connection) -> F + Send,
    F: Future<Output = ()> + Send,
{
    let mut stream = Stream::plain(tcp, limits.idle);
    stream.set_deadline(Some(Instant::now() + limits.session));
    let stream = match security {
        Security::StartTls(acceptor) => stream.upgradable(acceptor, limits.handshake),
        Security::Implicit(acceptor) => {
            let mut stream = stream.upgradable(acceptor, limits.handshake);
            if let Err(error) = stream.starttls().await {
                tracing::debug!(peer = %peer.ip(), error = %error, "TLS handshake failed");
                return;
            }
            stream
        }
    };
    let session = session(Connection { stream, peer, stop });
    // The stream has the same end and says so to the session; this is for a session that does not listen.
    if timeout(limits.session + GOODBYE, session).await.is_err() {
        tracing::debug!(peer = %peer.ip(), "session was cut off: its time was over");
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        // Without its message, which may quote what the peer sent; the panic hook wrote it to stderr.
        tracing::error!("a session ended in a panic");
    }
}
