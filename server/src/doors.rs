//! The doors of the provider: opened one by one, announced together, drained together.
//!
//! A door is a [`Kind`], a protocol that serves one [`Connection`], and a few lines in [`open_mail`] that open it;
//! see ARCHITECTURE.md, "How a door is added".

pub mod file;
pub mod imap;
pub mod pop3;
pub mod smtp;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use hickory_resolver::net::NetError;
use net::{BindError, Connection, Limits, Listener, Security, Stop, Stopper, Tls, TlsError};
use stages::{Rim, accounts::Accounts, rates::Rates};
use tokio::{signal::unix::Signal, task::JoinSet};

/// How often the files of the TLS certificate are looked at.
const TLS_LOOK: Duration = Duration::from_secs(60);

/// A kind of door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name in doors.json, on the command line, in audit entries, in the trace of letters.
    pub name: &'static str,
    /// The scheme of its URL.
    pub scheme: &'static str,
    /// The port that the world knows it by.
    pub port: u16,
    /// Whether it is TLS from the first octet, or after STARTTLS.
    pub implicit_tls: bool,
    /// What ALPN names it (RFC 7301), if anything.
    pub alpn: &'static [&'static [u8]],
    /// What a peer is told that finds it full, while it is plain.
    pub refusal: &'static [u8],
}

const SMTP_FULL: &[u8] = b"421 4.3.2 too many connections, try again later\r\n";

impl Kind {
    /// Submission and reading (docs/http-door.md).
    pub const HTTPS: Self = Self::implicit("https", "https", 443).alpn(&[b"http/1.1"]);
    /// Submission, TLS from the first octet (RFC 8314 §3.3).
    pub const SMTPS: Self = Self::implicit("smtps", "smtps", 465);
    /// Submission with STARTTLS (RFC 6409).
    pub const SUBMISSION: Self = Self::starttls("submission", "smtp", 587, SMTP_FULL);
    /// From other providers and ordinary mail, with STARTTLS (RFC 5321, RFC 3207).
    pub const SMTP: Self = Self::starttls("smtp", "smtp", 25, SMTP_FULL);
    /// Reading by IMAP, TLS from the first octet (RFC 8314 §3.2).
    pub const IMAPS: Self = Self::implicit("imaps", "imaps", 993);
    /// Reading by POP3, TLS from the first octet (RFC 8314 §3.1).
    pub const POP3S: Self = Self::implicit("pop3s", "pop3s", 995);
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::HTTPS, Self::SMTPS, Self::SUBMISSION, Self::SMTP, Self::IMAPS, Self::POP3S];

    const fn implicit(name: &'static str, scheme: &'static str, port: u16) -> Self {
        Self { name, scheme, port, implicit_tls: true, alpn: &[], refusal: b"" }
    }

    const fn starttls(name: &'static str, scheme: &'static str, port: u16, refusal: &'static [u8]) -> Self {
        Self { name, scheme, port, implicit_tls: false, alpn: &[], refusal }
    }

    const fn alpn(self, alpn: &'static [&'static [u8]]) -> Self {
        Self { alpn, ..self }
    }

    /// The kind with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name == name)
    }
}

/// What every door stands on. Cheap to clone.
#[derive(Clone)]
pub struct Ground {
    /// The stages' ports.
    pub rim: Rim,
    /// Who signs in.
    pub accounts: Arc<Accounts>,
    /// How much they may send.
    pub rates: Arc<Rates>,
    /// The certificate of all doors.
    pub tls: Tls,
    /// The name of this provider in greetings, and after `by` in `Received:`.
    pub name: String,
}

/// Where a door is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this address.
    At(SocketAddr),
    /// Nowhere.
    Off,
}

/// Where doors are to be: those that are named, and all others at one address.
#[derive(Clone, Debug)]
pub struct Places {
    named: BTreeMap<&'static str, Place>,
    others: IpAddr,
    /// Whether the others are at the ports that the world knows them by, or at any free one.
    known: bool,
}

impl Places {
    /// `https` at this address, and the others, unless they are named, at free ports of its IP address.
    #[must_use]
    pub fn new(https: SocketAddr, named: &[(Kind, Place)]) -> Self {
        let mut places = BTreeMap::from([(Kind::HTTPS.name, Place::At(https))]);
        places.extend(named.iter().map(|(kind, place)| (kind.name, *place)));
        Self { named: places, others: https.ip(), known: false }
    }

    /// All at the ports that the world knows them by, unless they are named.
    #[must_use]
    pub fn known(address: IpAddr, named: &[(Kind, Place)]) -> Self {
        let named = named.iter().map(|(kind, place)| (kind.name, *place)).collect();
        Self { named, others: address, known: true }
    }

    fn of(&self, kind: Kind) -> Place {
        let port = if self.known { kind.port } else { 0 };
        self.named.get(kind.name).copied().unwrap_or(Place::At(SocketAddr::new(self.others, port)))
    }
}

/// Why a door does not open. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum DoorsError {
    /// Its address.
    #[error("open the door {0}: {1}")]
    Bind(&'static str, BindError),
    /// Its certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Who is asked about ordinary mail.
    #[error("ask DNS: {0}")]
    Dns(#[from] NetError),
}

/// Opens every mail door. Another one: its session and its limits beside these. What is on its way in is kept in
/// `folder`; `dns` is asked about ordinary mail.
///
/// # Errors
/// [`DoorsError`]
pub async fn open_mail(
    doors: &mut Doors,
    ground: &Ground,
    folder: &Path,
    dns: Option<SocketAddr>,
) -> Result<(), DoorsError> {
    let authenticator = dns.map(|dns| smtp::Authenticator::new(dns, &ground.name)).transpose()?;
    smtp::open(doors, ground, folder, authenticator).await?;
    imap::open(doors, ground).await?;
    pop3::open(doors, ground).await
}

/// Open doors.
pub struct Doors {
    tls: Tls,
    places: Places,
    open: Vec<(Kind, SocketAddr)>,
    serving: JoinSet<()>,
    stopper: Stopper,
    stop: Stop,
}

impl Doors {
    /// None yet.
    #[must_use]
    pub fn new(tls: Tls, places: Places) -> Self {
        let (stopper, stop) = Stopper::new();
        Self { tls, places, open: Vec::new(), serving: JoinSet::new(), stopper, stop }
    }

    /// Opens a door, unless it is to be nowhere: every connection is served by `session`, in a task of its own,
    /// within `limits`.
    ///
    /// # Errors
    /// [`DoorsError`]
    pub async fn open<S, F>(&mut self, kind: Kind, limits: Limits, session: S) -> Result<(), DoorsError>
    where
        S: Fn(Connection) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let Place::At(address) = self.places.of(kind) else { return Ok(()) };
        let acceptor = self.tls.acceptor(kind.alpn)?;
        let security =
            if kind.implicit_tls { Security::Implicit(acceptor) } else { Security::StartTls(acceptor) };
        let listener = Listener::bind(address, security, limits).await;
        let listener = listener.map_err(|e| DoorsError::Bind(kind.name, e))?.refusing_with(kind.refusal);
        self.open.push((kind, listener.address()));
        self.serving.spawn(listener.serve(self.stop.clone(), session));
        Ok(())
    }

    /// Looks at the files of the certificate every minute, and when `hangup` (SIGHUP) comes, until the doors close.
    pub fn keep_certificate_fresh(&mut self, mut hangup: Signal) {
        let (tls, mut stop) = (self.tls.clone(), self.stop.clone());
        self.serving.spawn(async move {
            loop {
                tokio::select! {
                    () = stop.stopped() => return,
                    _ = hangup.recv() => {}
                    () = tokio::time::sleep(TLS_LOOK) => {}
                }
                let tls = tls.clone();
                // It says itself how it went.
                let _ = tokio::task::spawn_blocking(move || tls.reload()).await;
            }
        });
    }

    /// The doors that are open, in the order in which they were opened.
    #[must_use]
    pub fn opened(&self) -> &[(Kind, SocketAddr)] {
        &self.open
    }

    /// Closes all at the same time: no new connection, and sessions end within their door's limit for draining.
    pub async fn drain(mut self) {
        self.stopper.stop();
        while let Some(ended) = self.serving.join_next().await {
            if ended.is_err() {
                tracing::error!("a door ended in a panic");
            }
        }
    }
}
