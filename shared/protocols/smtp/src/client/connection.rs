//! The loop around a [`Session`]: a socket, TLS, and time.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::session::{Failure, Outcome, Session, Starttls, Step, Transaction, Wait};

/// Octets that are read at a time.
const READ_OCTETS: usize = 16 * 1024;

/// How a session is encrypted.
#[derive(Clone, Debug)]
pub enum Encryption {
    /// By STARTTLS, or nothing is said; the certificate must satisfy this configuration and name the host.
    Required(Arc<ClientConfig>),
    /// By STARTTLS where it is offered.
    IfOffered(Arc<ClientConfig>),
    /// Not at all.
    Clear,
}

/// How long things are waited for (RFC 5321 §4.5.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// The connection itself.
    pub connect: Duration,
    /// The greeting, the reply to a command, TLS.
    pub command: Duration,
    /// The reply to DATA.
    pub data_start: Duration,
    /// Each piece of the message to be sent.
    pub data_piece: Duration,
    /// The reply to the final dot.
    pub data_end: Duration,
    /// A whole transaction, whatever its parts take: a server that keeps us waiting by drops ends there.
    pub transaction: Duration,
    /// The farewell.
    pub quit: Duration,
}

impl Timeouts {
    /// Those of RFC 5321, and half a minute for the connection.
    pub const STANDARD: Self = Self {
        connect: Duration::from_secs(30),
        command: Duration::from_secs(300),
        data_start: Duration::from_secs(120),
        data_piece: Duration::from_secs(180),
        data_end: Duration::from_secs(600),
        transaction: Duration::from_secs(3600),
        quit: Duration::from_secs(5),
    };

    const fn of(&self, wait: Wait) -> Duration {
        match wait {
            Wait::Greeting | Wait::Command => self.command,
            Wait::DataStart => self.data_start,
            Wait::DataEnd => self.data_end,
        }
    }
}

/// What a connection needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who we are, for EHLO.
    pub host: String,
    /// Encryption.
    pub encryption: Encryption,
    /// Patience.
    pub timeouts: Timeouts,
}

/// A connection with an open session.
#[derive(Debug)]
pub struct Connection<S = TcpStream> {
    stream: Stream<S>,
    session: Session,
    name: String,
    settings: Settings,
    buffer: Box<[u8]>,
}

#[derive(Debug)]
enum Stream<S> {
    Plain(S),
    Tls(Box<TlsStream<S>>),
    Gone,
}

impl Connection<TcpStream> {
    /// Connects to a host by one of its addresses and opens a session.
    ///
    /// # Errors
    /// [`Failure`]: there is none.
    pub async fn open(address: SocketAddr, name: &str, settings: Settings) -> Result<Self, Failure> {
        let connected = timeout(settings.timeouts.connect, TcpStream::connect(address)).await;
        let stream = match connected {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(unreachable(&error.to_string())),
            Err(_) => return Err(unreachable("connecting took too long")),
        };
        // Our pieces are whole commands and large blocks: nothing is gained by collecting them.
        if let Err(error) = stream.set_nodelay(true) {
            return Err(unreachable(&error.to_string()));
        }
        Self::over(stream, name, settings).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Opens a session over a stream that stands. `name` is the host, as its certificate names it.
    ///
    /// # Errors
    /// [`Failure`]: there is none.
    pub async fn over(stream: S, name: &str, settings: Settings) -> Result<Self, Failure> {
        let starttls = match settings.encryption {
            Encryption::Required(_) => Starttls::Required,
            Encryption::IfOffered(_) => Starttls::IfOffered,
            Encryption::Clear => Starttls::Never,
        };
        let mut connection = Self {
            stream: Stream::Plain(stream),
            session: Session::new(&settings.host, starttls),
            name: name.trim_end_matches('.').to_owned(),
            settings,
            buffer: vec![0; READ_OCTETS].into(),
        };
        connection.run().await;
        match connection.session.failure() {
            Some(failure) => Err(failure.clone()),
            None => Ok(connection),
        }
    }

    /// Makes a transaction; one outcome for each recipient, in their order.
    pub async fn transact(&mut self, transaction: Transaction) -> Vec<Outcome> {
        let recipients = transaction.recipients.len();
        self.session.begin(transaction);
        let outcomes = self.run().await;
        outcomes.unwrap_or_else(|| vec![Outcome::Later { answer: "no outcome".to_owned() }; recipients])
    }

    /// Whether another transaction can be made.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.session.failure().is_none()
    }

    /// The version of TLS, `None` in clear.
    #[must_use]
    pub fn tls(&self) -> Option<&'static str> {
        match &self.stream {
            Stream::Tls(stream) => match stream.get_ref().1.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_2) => Some("TLSv1.2"),
                Some(rustls::ProtocolVersion::TLSv1_3) => Some("TLSv1.3"),
                _ => Some("TLS"),
            },
            Stream::Plain(_) | Stream::Gone => None,
        }
    }

    /// Says goodbye. Whether the server hears it changes nothing.
    pub async fn quit(mut self) {
        if self.is_open() {
            let farewell = async {
                write(&mut self.stream, b"QUIT\r\n").await?;
                read(&mut self.stream, &mut self.buffer).await
            };
            let _ = timeout(self.settings.timeouts.quit, farewell).await;
        }
        if let Stream::Tls(stream) = &mut self.stream {
            let _ = timeout(self.settings.timeouts.quit, stream.shutdown()).await;
        }
    }

    /// Does what the session wants, until it is open, its transaction has ended, or it is over.
    async fn run(&mut self) -> Option<Vec<Outcome>> {
        let until = Instant::now() + self.settings.timeouts.transaction;
        let mut patience: Option<(Wait, Instant)> = None;
        loop {
            match self.session.step() {
                Step::Send(octets) => {
                    patience = None;
                    self.send(octets, until).await;
                }
                Step::Receive(wait) => {
                    let deadline = match patience {
                        Some((before, deadline)) if before == wait => deadline,
                        _ => Instant::now() + self.settings.timeouts.of(wait),
                    };
                    patience = Some((wait, deadline));
                    self.receive(deadline.min(until)).await;
                }
                Step::Encrypt => {
                    patience = None;
                    let patience_s = self.settings.timeouts.command;
                    match timeout(patience_s, self.encrypt()).await {
                        Ok(Ok(())) => self.session.secured(),
                        Ok(Err(error)) => self.session.failed_to_encrypt(&error.to_string()),
                        Err(_) => self.session.failed_to_encrypt("it took too long"),
                    }
                }
                Step::Done(outcomes) => return Some(outcomes),
                Step::Ready | Step::Closed => return None,
            }
        }
    }

    async fn send(&mut self, octets: Bytes, until: Instant) {
        let deadline = until.min(Instant::now() + self.settings.timeouts.data_piece);
        match timeout_at(deadline, write(&mut self.stream, &octets)).await {
            Ok(Ok(())) => {}
            // A server that refuses in the middle of a message says why and closes: what it said is still there.
            Ok(Err(error)) => {
                let quick = Instant::now() + self.settings.timeouts.quit;
                self.receive(quick).await;
                self.session.lost(&error.to_string());
            }
            Err(_) => self.session.lost("sending took too long"),
        }
    }

    async fn receive(&mut self, deadline: Instant) {
        match timeout_at(deadline, read(&mut self.stream, &mut self.buffer)).await {
            Ok(Ok(0)) => self.session.lost("the connection was closed"),
            Ok(Ok(n)) => self.session.receive(self.buffer.get(..n).unwrap_or_default()),
            Ok(Err(error)) => self.session.lost(&error.to_string()),
            Err(_) => self.session.lost("the reply took too long"),
        }
    }

    async fn encrypt(&mut self) -> io::Result<()> {
        let config = match &self.settings.encryption {
            Encryption::Required(config) | Encryption::IfOffered(config) => Arc::clone(config),
            Encryption::Clear => return Err(io::Error::other("it is not wanted")),
        };
        let name = ServerName::try_from(self.name.clone()).map_err(io::Error::other)?;
        let Stream::Plain(stream) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            return Err(io::Error::other("the connection is encrypted already"));
        };
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        self.stream = Stream::Tls(Box::new(stream));
        Ok(())
    }
}

async fn write<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut Stream<S>, octets: &[u8]) -> io::Result<()> {
    match stream {
        Stream::Plain(stream) => stream.write_all(octets).await,
        Stream::Tls(stream) => {
            stream.write_all(octets).await?;
            stream.flush().await
        }
        Stream::Gone => Err(io::ErrorKind::NotConnected.into()),
    }
}

async fn read<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut Stream<S>,
    buffer: &mut [u8],
) -> io::Result<usize> {
    match stream {
        Stream::Plain(stream) => stream.read(buffer).await,
        Stream::Tls(stream) => stream.read(buffer).await,
        Stream::Gone => Err(io::ErrorKind::NotConnected.into()),
    }
}

fn unreachable(why: &str) -> Failure {
    Failure { code: None, answer: why.to_owned(), in_tls: false }
}

#[cfg(test)]
#[path = "connection/tests.rs"]
mod tests;
