//! The loop over one connection: octets from the stream to the machine, questions to the provider, replies back.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use net::{Connection, Stop, Stream, StreamError};
use tokio::time::Instant;

use super::{
    auth::Credentials,
    hold::{Held, Room},
    machine::{Ask, Machine, Step, Tls, Transaction},
    reply::{self, Reply},
    settings::{Role, Settings},
};

/// Replies that wait while commands of one packet are carried out.
const OUTPUT_BYTES_MAX: usize = 4096;
const MINUTE: Duration = Duration::from_secs(60);

/// Who knows accounts and mailboxes, and keeps what comes in. Every answer is a [`Reply`]; 2xx is yes.
pub trait Provider: Send + Sync + 'static {
    /// Somebody who has signed in.
    type Account: Send + Sync;

    /// Whether these credentials are somebody's; if not, what to say.
    fn sign_in(
        &self,
        peer: SocketAddr,
        who: &Credentials,
    ) -> impl Future<Output = Result<Self::Account, Reply>> + Send;

    /// Whether this reverse path may be used here; `None` is the null one.
    fn sender(
        &self,
        guest: &Guest<'_, Self::Account>,
        path: Option<&str>,
    ) -> impl Future<Output = Reply> + Send;

    /// Whether mail to this mailbox is taken here.
    fn recipient(&self, guest: &Guest<'_, Self::Account>, path: &str) -> impl Future<Output = Reply> + Send;

    /// Takes a message. Yes only when it is durable.
    fn take(
        &self,
        guest: &Guest<'_, Self::Account>,
        transaction: Transaction,
        message: Bytes,
    ) -> impl Future<Output = Reply> + Send;
}

/// The other end of a session.
#[derive(Debug)]
pub struct Guest<'s, A> {
    /// Its address.
    pub peer: SocketAddr,
    /// What it calls itself.
    pub hello: &'s str,
    /// TLS version, `None` in clear.
    pub tls: Option<&'static str>,
    /// Who signed in.
    pub account: Option<&'s A>,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Between two commands (RFC 5321 §4.5.3.2.7: at least five minutes).
    pub command: Duration,
    /// Between two pieces of a message (RFC 5321 §4.5.3.2.5).
    pub piece: Duration,
    /// For a whole message: against who sends one octet a minute.
    pub message: Duration,
    /// Until somebody has signed in, where one must.
    pub sign_in: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            command: Duration::from_secs(300),
            piece: Duration::from_secs(180),
            message: Duration::from_secs(1800),
            sign_in: Duration::from_secs(120),
        }
    }
}

/// An SMTP door: what it offers, how long it waits, where messages are while they come in, who is behind it.
pub struct Door<P> {
    /// What it offers.
    pub settings: Arc<Settings>,
    /// How long it waits.
    pub times: Times,
    /// Where messages are while they come in.
    pub room: Room,
    /// Who is behind it.
    pub provider: P,
}

impl<P: Provider> Door<P> {
    /// Serves one connection to its end.
    pub async fn serve(&self, connection: Connection) {
        let Connection { stream, peer, stop } = connection;
        let tls = match (stream.tls_version(), stream.can_upgrade()) {
            (Some(_), _) => Tls::On,
            (None, true) => Tls::Offered,
            (None, false) => Tls::Absent,
        };
        let session = Session {
            door: self,
            machine: Machine::new(Arc::clone(&self.settings), tls),
            end: stream.deadline(),
            stream,
            peer,
            stop: Some(stop),
            account: None,
            held: self.room.hold(),
            minute: Instant::now(),
            message_end: None,
            begun: Instant::now(),
        };
        if let Err(error) = session.run().await {
            tracing::debug!(peer = %peer.ip(), error = %error, "session ended early");
        }
    }
}

struct Session<'d, P: Provider> {
    door: &'d Door<P>,
    machine: Machine,
    stream: Stream,
    /// When the whole session is over.
    end: Option<Instant>,
    peer: SocketAddr,
    /// Gone once it was heard.
    stop: Option<Stop>,
    account: Option<P::Account>,
    held: Held,
    minute: Instant,
    message_end: Option<Instant>,
    begun: Instant,
}

impl<P: Provider> Session<'_, P> {
    async fn run(mut self) -> Result<(), StreamError> {
        let mut step = Step::More;
        loop {
            step = match step {
                Step::More => self.more().await?,
                Step::Ask(ask) => self.ask(ask).await,
                Step::Forget => {
                    self.held.clear();
                    Step::More
                }
                Step::StartTls => self.start_tls().await?,
                Step::Close => {
                    self.send().await?;
                    self.stream.close().await;
                    return Ok(());
                }
            };
        }
    }

    /// Feeds what came, after waiting for it if nothing is there.
    async fn more(&mut self) -> Result<Step, StreamError> {
        if self.stream.buffered().is_empty() {
            self.send().await?;
            if let Some(step) = self.wait().await? {
                return Ok(step);
            }
        } else if self.machine.output_bytes() > OUTPUT_BYTES_MAX {
            self.send().await?;
        }
        if self.minute.elapsed() >= MINUTE {
            self.minute = Instant::now();
            self.machine.new_minute();
        }
        let (used, step) = self.machine.feed(self.stream.buffered(), self.held.incoming());
        self.stream.consume(used);
        if let Err(error) = self.held.settle().await {
            tracing::warn!(error = %error, "a message on its way in cannot be kept");
            self.machine.no_room();
        }
        Ok(step)
    }

    /// Waits for octets, the end of patience, or the end of the service.
    async fn wait(&mut self) -> Result<Option<Step>, StreamError> {
        self.set_patience();
        let came = match &mut self.stop {
            Some(stop) => tokio::select! {
                came = self.stream.fill() => came,
                () = stop.stopped() => {
                    self.stop = None;
                    return Ok(Some(self.machine.drain()));
                }
            },
            None => self.stream.fill().await,
        };
        match came {
            Ok(0) => Err(StreamError::Closed),
            Ok(_) => Ok(None),
            Err(StreamError::TimedOut) => Ok(Some(self.machine.too_slow())),
            Err(error) => Err(error),
        }
    }

    fn set_patience(&mut self) {
        let times = &self.door.times;
        let (idle, until) = if self.machine.in_content() {
            (times.piece, Some(*self.message_end.get_or_insert_with(|| Instant::now() + times.message)))
        } else {
            self.message_end = None;
            let anonymous = self.door.settings.role == Role::Submission && !self.machine.signed_in();
            (times.command, anonymous.then(|| self.begun + times.sign_in))
        };
        self.stream.set_idle(idle);
        self.stream.set_deadline(self.end.into_iter().chain(until).min());
    }

    async fn ask(&mut self, ask: Ask) -> Step {
        let provider = &self.door.provider;
        let reply = match ask {
            Ask::SignIn(who) => self.sign_in(&who).await,
            Ask::Sender(path) => provider.sender(&self.guest(), path.as_deref()).await,
            Ask::Recipient(path) => provider.recipient(&self.guest(), &path).await,
            Ask::Take(transaction) => self.take(transaction).await,
        };
        self.machine.answer(&reply)
    }

    async fn sign_in(&mut self, who: &Credentials) -> Reply {
        match self.door.provider.sign_in(self.peer, who).await {
            Ok(account) => {
                self.account = Some(account);
                reply::OK
            }
            Err(reply) => reply,
        }
    }

    /// The message leaves the session: what is held of it is gone, whatever the answer.
    async fn take(&mut self, transaction: Transaction) -> Reply {
        match self.held.whole().await {
            Ok(whole) => self.door.provider.take(&self.guest(), transaction, whole.octets.clone()).await,
            Err(error) => {
                tracing::error!(error = %error, "a message on its way in was lost, and is refused");
                reply::NO_ROOM
            }
        }
    }

    fn guest(&self) -> Guest<'_, P::Account> {
        Guest {
            peer: self.peer,
            hello: self.machine.hello().unwrap_or_default(),
            tls: self.stream.tls_version(),
            account: self.account.as_ref(),
        }
    }

    async fn start_tls(&mut self) -> Result<Step, StreamError> {
        self.held.clear();
        self.send().await?;
        if !self.stream.buffered().is_empty() {
            // The machine says what it thinks of it.
            return Ok(Step::More);
        }
        self.stream.starttls().await?;
        self.machine.secured();
        self.account = None;
        Ok(Step::More)
    }

    async fn send(&mut self) -> Result<(), StreamError> {
        let output = self.machine.output();
        if output.is_empty() { Ok(()) } else { self.stream.send(&output).await }
    }
}
