//! A connection's two directions: plain or TLS, upgraded in place, read through one bounded buffer.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// What is read at a time, and what the buffer keeps of it while nobody reads.
const READ_BYTES: usize = 8 * 1024;
/// For the goodbye of TLS, which nobody waits for.
const CLOSE: Duration = Duration::from_secs(2);

/// Why a stream gives or takes nothing more. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The other side was silent for too long, or the session lasted too long.
    #[error("wait any longer")]
    TimedOut,
    /// A line that does not end within its bound.
    #[error("take a line of more than {0} octets")]
    LineTooLong(usize),
    /// The other side closed in the middle of a line.
    #[error("read on: the other side closed")]
    Closed,
    /// No TLS, or not as we want it.
    #[error("agree on TLS: {0}")]
    Tls(String),
    /// Anything else.
    #[error("use the connection: {0}")]
    Io(#[from] io::Error),
}

/// A plain or TLS connection with a read buffer. Memory: at most the buffer, which [`Stream::fill`] and
/// [`Stream::line`] bound, and what TLS keeps (two records of 16 KiB).
pub struct Stream {
    inner: Inner,
    upgrade: Option<TlsAcceptor>,
    buffer: BytesMut,
    idle: Duration,
    deadline: Option<Instant>,
    handshake: Duration,
    octets_in: u64,
    octets_out: u64,
}

enum Inner {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// A handshake failed, or was given up.
    Gone,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("tls", &self.tls_version()).finish_non_exhaustive()
    }
}

impl Stream {
    /// A stream over a TCP connection. `idle` is the longest wait for the next octets in either direction.
    #[must_use]
    pub fn plain(tcp: TcpStream, idle: Duration) -> Self {
        // A small answer goes at once; if it cannot be set, it goes later.
        let _ = tcp.set_nodelay(true);
        Self {
            inner: Inner::Plain(tcp),
            upgrade: None,
            buffer: BytesMut::new(),
            idle,
            deadline: None,
            handshake: idle,
            octets_in: 0,
            octets_out: 0,
        }
    }

    /// How a server's stream becomes TLS, and how long the handshake may take.
    #[must_use]
    pub fn upgradable(mut self, acceptor: TlsAcceptor, handshake: Duration) -> Self {
        (self.upgrade, self.handshake) = (Some(acceptor), handshake);
        self
    }

    /// Another longest wait, e.g. after the sign-in.
    pub const fn set_idle(&mut self, idle: Duration) {
        self.idle = idle;
    }

    /// When reading ends, whatever comes until then: against who sends one octet a minute. The listener sets it to
    /// the end of the session; a session may set an earlier one for a command or a message, and set it back.
    pub const fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// See [`Stream::set_deadline`].
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether the stream is plain and the server can make it TLS: what makes a door offer STARTTLS.
    #[must_use]
    pub const fn can_upgrade(&self) -> bool {
        matches!(self.inner, Inner::Plain(_)) && self.upgrade.is_some()
    }

    /// `1.2` or `1.3`, for the trace and the log; `None` for a plain stream.
    #[must_use]
    pub fn tls_version(&self) -> Option<&'static str> {
        let Inner::Tls(tls) = &self.inner else { return None };
        Some(match tls.get_ref().1.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "1.3",
            _ => "1.2",
        })
    }

    /// The name of the cipher suite, as RFC 8446 and RFC 5246 have it; `None` for a plain stream.
    #[must_use]
    pub fn tls_cipher(&self) -> Option<String> {
        let Inner::Tls(tls) = &self.inner else { return None };
        let suite = tls.get_ref().1.negotiated_cipher_suite()?.suite();
        Some(suite.as_str().unwrap_or("unknown").to_owned())
    }

    /// Octets that came so far, below TLS not counted.
    #[must_use]
    pub const fn octets_in(&self) -> u64 {
        self.octets_in
    }

    /// Octets that went so far, below TLS not counted.
    #[must_use]
    pub const fn octets_out(&self) -> u64 {
        self.octets_out
    }

    // ------------------------------------------------------------------------------------------ reading

    /// What came and was not consumed.
    #[must_use]
    pub fn buffered(&self) -> &[u8] {
        &self.buffer
    }

    /// Takes the first octets off the buffer, or all if there are fewer.
    pub fn consume(&mut self, octets: usize) {
        self.buffer.advance(octets.min(self.buffer.len()));
    }

    /// Waits for more octets and gives their number; 0 is the end. They are appended to what is
    /// [buffered](Stream::buffered). May be dropped and called again: nothing is lost. The caller consumes what it
    /// can before it asks for more: a buffer that grows beyond what the caller bounds is the caller's mistake.
    ///
    /// # Errors
    /// [`StreamError::TimedOut`], [`StreamError::Io`]
    pub async fn fill(&mut self) -> Result<usize, StreamError> {
        self.buffer.reserve(READ_BYTES);
        let until = Instant::now() + self.idle;
        let until = self.deadline.map_or(until, |deadline| deadline.min(until));
        let read = timeout_at(until, self.inner.read_buf(&mut self.buffer)).await;
        let octets = read.map_err(|_| StreamError::TimedOut)??;
        self.octets_in += octets as u64;
        Ok(octets)
    }

    /// The next line with its LF, at most `octets_max` octets long, within the longest wait from its beginning to
    /// its end; `None` at the end. Whether a bare LF ends a line is the protocol's matter.
    ///
    /// # Errors
    /// [`StreamError::LineTooLong`]: nothing of it was consumed, and the buffer holds `octets_max` octets and what
    /// came with them; [`StreamError::Closed`] in the middle of a line, [`StreamError::TimedOut`],
    /// [`StreamError::Io`].
    pub async fn line(&mut self, octets_max: usize) -> Result<Option<Bytes>, StreamError> {
        timeout(self.idle, self.line_ever(octets_max)).await.map_err(|_| StreamError::TimedOut)?
    }

    async fn line_ever(&mut self, octets_max: usize) -> Result<Option<Bytes>, StreamError> {
        let mut searched = 0;
        loop {
            let unsearched = self.buffer.get(searched..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', unsearched) {
                let length = searched + at + 1;
                if length > octets_max {
                    return Err(StreamError::LineTooLong(octets_max));
                }
                return Ok(Some(self.buffer.split_to(length).freeze()));
            }
            searched = self.buffer.len();
            if searched >= octets_max {
                return Err(StreamError::LineTooLong(octets_max));
            }
            if self.fill().await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(StreamError::Closed) };
            }
        }
    }

    // ------------------------------------------------------------------------------------------ writing

    /// Writes everything and flushes, each piece within the longest wait.
    ///
    /// # Errors
    /// [`StreamError::TimedOut`] when the other side does not read; [`StreamError::Io`].
    pub async fn send(&mut self, mut octets: &[u8]) -> Result<(), StreamError> {
        let slow = |_| StreamError::TimedOut;
        while !octets.is_empty() {
            let written = timeout(self.idle, self.inner.write(octets)).await.map_err(slow)??;
            if written == 0 {
                return Err(io::Error::from(io::ErrorKind::WriteZero).into());
            }
            self.octets_out += written as u64;
            octets = octets.get(written..).unwrap_or_default();
        }
        Ok(timeout(self.idle, self.inner.flush()).await.map_err(slow)??)
    }

    /// Says goodbye and closes. What is not read yet is not waited for.
    pub async fn close(mut self) {
        // It is closed when it is dropped, whether this worked or not.
        let _ = timeout(CLOSE, self.inner.shutdown()).await;
    }

    // ------------------------------------------------------------------------------------------ TLS

    /// The server's side of STARTTLS (RFC 3207, RFC 9051 §6.2.1, RFC 2595): after the answer to the command was
    /// sent, makes the stream TLS. Whatever came in plain and was not consumed is dropped, so nothing that was
    /// said before TLS is heard after it.
    ///
    /// # Errors
    /// [`StreamError::Tls`], also when it is TLS already or cannot be; [`StreamError::TimedOut`]. The stream is of
    /// no use afterwards.
    pub async fn starttls(&mut self) -> Result<(), StreamError> {
        let no = |why: &str| StreamError::Tls(why.to_owned());
        let Some(acceptor) = self.upgrade.clone() else { return Err(no("this stream stays plain")) };
        let tcp = self.take_plain()?;
        let accepted = timeout(self.handshake, acceptor.accept(tcp)).await;
        let tls =
            accepted.map_err(|_| StreamError::TimedOut)?.map_err(|e| StreamError::Tls(e.to_string()))?;
        self.inner = Inner::Tls(Box::new(tls.into()));
        Ok(())
    }

    /// The client's side: makes the stream TLS towards a server with this name, under the rules of `connector`.
    /// Whatever came in plain and was not consumed is dropped.
    ///
    /// # Errors
    /// As [`Stream::starttls`].
    pub async fn connect_tls(
        &mut self,
        connector: &TlsConnector,
        name: ServerName<'static>,
        handshake: Duration,
    ) -> Result<(), StreamError> {
        let tcp = self.take_plain()?;
        let connected = timeout(handshake, connector.connect(name, tcp)).await;
        let tls =
            connected.map_err(|_| StreamError::TimedOut)?.map_err(|e| StreamError::Tls(e.to_string()))?;
        self.inner = Inner::Tls(Box::new(tls.into()));
        Ok(())
    }

    fn take_plain(&mut self) -> Result<TcpStream, StreamError> {
        self.buffer.clear();
        match std::mem::replace(&mut self.inner, Inner::Gone) {
            Inner::Plain(tcp) => Ok(tcp),
            other => {
                self.inner = other;
                Err(StreamError::Tls("the stream is not plain".to_owned()))
            }
        }
    }
}

/// For what wants to own the connection, as an HTTP library does: first what is buffered, then the rest. Time is
/// not watched here.
impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.buffer.is_empty() {
            let octets = self.buffer.len().min(into.remaining());
            into.put_slice(&self.buffer.split_to(octets));
            return Poll::Ready(Ok(()));
        }
        let before = into.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, into))?;
        self.octets_in += (into.filled().len() - before) as u64;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, octets))?;
        self.octets_out += written as u64;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

fn gone<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::Error::from(io::ErrorKind::NotConnected)))
}

impl AsyncRead for Inner {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(context, into),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_read(context, into),
            Self::Gone => gone(),
        }
    }
}

impl AsyncWrite for Inner {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(context, octets),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write(context, octets),
            Self::Gone => gone(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(context),
            Self::Gone => gone(),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(context),
            Self::Gone => gone(),
        }
    }
}
