//! The carrier itself.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use rustls::ClientConfig;
use smtp::client::{self, Connection, Encryption, Failure, Outcome, Settings, Timeouts, Transaction};
use stages::ports::{Carrier, Destination, Errand, Place, Relayed};

use crate::{
    dns::{Dns, Names},
    places::Places,
    pool::{self, Kept, Pool},
    route::{self, NoRoute},
};

/// How mail goes out.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who we are, for EHLO: a name that leads to us.
    pub host: String,
    /// The DNS server; `None`: those of this machine.
    pub dns: Option<SocketAddr>,
    /// The port of other systems: 25 but in test beds.
    pub port: u16,
    /// Authorities that certify other providers' hosts, in PEM; `None`: those that browsers trust.
    pub roots: Option<Vec<u8>>,
    /// Transactions with one destination at the same time.
    pub at_once: usize,
    /// Others that wait for a place there.
    pub waiting_max: usize,
    /// How long they wait.
    pub patience: Duration,
    /// How long servers are waited for.
    pub timeouts: Timeouts,
}

impl Config {
    /// As it is for a provider on the Internet.
    #[must_use]
    pub fn new(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            dns: None,
            port: 25,
            roots: None,
            at_once: 10,
            waiting_max: 50,
            patience: Duration::from_secs(10),
            timeouts: Timeouts::STANDARD,
        }
    }
}

/// Why there is no carrier. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The resolver.
    #[error("set up DNS: {0}")]
    Dns(String),
    /// The authorities.
    #[error(transparent)]
    Roots(#[from] client::RootsError),
    /// TLS.
    #[error("set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// Enhanced status of hosts that take no mail (RFC 7504 §4).
const TAKES_NO_MAIL: &str = "5.3.2";

/// The carrier by SMTP.
pub struct SmtpCarrier {
    config: Config,
    names: Arc<dyn Names>,
    verified: Arc<ClientConfig>,
    opportunistic: Arc<ClientConfig>,
    places: Places,
    pool: Arc<Pool>,
    turn: AtomicUsize,
}

/// What a destination asks for.
struct Way<'a> {
    /// The domain whose hosts take it.
    domain: &'a str,
    /// Under which its places and connections are counted.
    key: String,
    is_provider: bool,
}

impl<'a> Way<'a> {
    /// `None` for ourselves: that goes no such way.
    fn of(destination: &'a Destination) -> Option<Self> {
        match destination {
            Destination::Own => None,
            Destination::Provider { record, domain } => {
                Some(Self { domain, key: format!("provider {domain} {record}"), is_provider: true })
            }
            Destination::Ordinary { domain } => {
                Some(Self { domain, key: format!("ordinary {domain}"), is_provider: false })
            }
        }
    }
}

impl SmtpCarrier {
    /// With these settings.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let dns = Dns::new(config.dns).map_err(|e| ConfigError::Dns(e.to_string()))?;
        Self::asking(config, Arc::new(dns))
    }

    /// With another DNS.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub fn asking(config: Config, names: Arc<dyn Names>) -> Result<Self, ConfigError> {
        let roots = match &config.roots {
            Some(pem) => client::roots_of(pem)?,
            None => client::web_roots(),
        };
        Ok(Self {
            names,
            verified: client::verified(roots)?,
            opportunistic: client::opportunistic()?,
            places: Places::new(config.at_once, config.waiting_max, config.patience),
            pool: Arc::default(),
            turn: AtomicUsize::new(0),
            config,
        })
    }

    fn settings(&self, encryption: Encryption) -> Settings {
        Settings { host: self.config.host.clone(), encryption, timeouts: self.config.timeouts }
    }

    async fn send(&self, way: &Way<'_>, transaction: Transaction) -> Result<Vec<Outcome>, NoRoute> {
        // 1. A connection that is open still. If the server has left it meanwhile, nothing was said: a new one.
        if let Some(mut kept) = self.pool.take(&way.key) {
            let outcomes = kept.connection.transact(transaction.clone()).await;
            let was_left =
                !kept.connection.is_open() && outcomes.iter().all(|o| matches!(o, Outcome::Later { .. }));
            if !was_left {
                self.put_back(way, kept).await;
                return Ok(outcomes);
            }
        }

        // 2. Else the first host that talks to us.
        let connection = self.connect(way).await?;

        // 3. One transaction. What it says is said, also where another host could be asked.
        let mut kept = Kept { connection, transactions: 0 };
        let outcomes = kept.connection.transact(transaction).await;
        self.put_back(way, kept).await;
        Ok(outcomes)
    }

    async fn put_back(&self, way: &Way<'_>, mut kept: Kept) {
        kept.transactions += 1;
        if let Some(kept) = self.pool.keep(&way.key, kept) {
            kept.connection.quit().await;
            return;
        }
        // Closed in time, also when nothing else goes anywhere.
        let pool = Arc::clone(&self.pool);
        tokio::spawn(async move {
            tokio::time::sleep(pool::IDLE_MAX).await;
            pool.forget();
        });
    }

    async fn connect(&self, way: &Way<'_>) -> Result<Connection, NoRoute> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let hosts = route::hosts(self.names.as_ref(), way.domain, turn).await?;
        let mut last = Failure { code: None, answer: "no host".to_owned(), in_tls: false };
        let mut takes_no_mail = true;
        for host in &hosts {
            for address in &host.addresses {
                let address = SocketAddr::new(*address, self.config.port);
                match self.open(way, address, &host.name).await {
                    Ok(connection) => return Ok(connection),
                    Err(failure) => {
                        tracing::info!(host = %host.name, %address, answer = %failure, "a host was no help");
                        takes_no_mail &= failure.code.is_some();
                        last = failure;
                    }
                }
            }
        }
        // RFC 7504: only where every host says so.
        match takes_no_mail {
            true => Err(NoRoute::Never(TAKES_NO_MAIL, "no host of the domain takes mail")),
            false => Err(NoRoute::Later(last.answer)),
        }
    }

    /// RFC 6109 §5.3, spec 0.2 D16: to providers never in clear. To others, TLS that does not come about is done
    /// without (RFC 7435).
    async fn open(&self, way: &Way<'_>, address: SocketAddr, host: &str) -> Result<Connection, Failure> {
        if way.is_provider {
            let encryption = Encryption::Required(Arc::clone(&self.verified));
            return Connection::open(address, host, self.settings(encryption)).await;
        }
        let encryption = Encryption::IfOffered(Arc::clone(&self.opportunistic));
        match Connection::open(address, host, self.settings(encryption)).await {
            Err(failure) if failure.in_tls => {
                Connection::open(address, host, self.settings(Encryption::Clear)).await
            }
            other => other,
        }
    }
}

#[async_trait]
impl Carrier for SmtpCarrier {
    async fn place(&self, destination: &Destination) -> Option<Place> {
        match Way::of(destination) {
            Some(way) => self.places.take(&way.key).await,
            None => Some(Place::default()),
        }
    }

    async fn carry(&self, errand: Errand) -> Vec<Relayed> {
        let recipients = errand.recipients.len();
        let Some(way) = Way::of(&errand.destination) else {
            tracing::error!("what is for ourselves was given to the carrier");
            return vec![Relayed::Later { answer: "our own incoming point".to_owned() }; recipients];
        };
        let transaction = Transaction {
            reverse_path: errand.reverse_path.map(|path| path.to_string()).unwrap_or_default(),
            recipients: errand.recipients.iter().map(ToString::to_string).collect(),
            message: errand.message,
        };
        let relayed: Vec<Relayed> = match self.send(&way, transaction).await {
            Ok(outcomes) => outcomes.into_iter().map(relayed).collect(),
            Err(NoRoute::Later(answer)) => vec![Relayed::Later { answer }; recipients],
            Err(NoRoute::Never(code, why)) => {
                let (code, answer, no_domain) = (code.to_owned(), why.to_owned(), code != TAKES_NO_MAIL);
                vec![Relayed::Refused { code, answer, no_domain }; recipients]
            }
        };
        let count = |is: fn(&Relayed) -> bool| relayed.iter().filter(|r| is(r)).count();
        tracing::debug!(
            domain = way.domain,
            taken = count(|r| *r == Relayed::Taken),
            later = count(|r| matches!(r, Relayed::Later { .. })),
            refused = count(|r| matches!(r, Relayed::Refused { .. })),
            "a transaction was made"
        );
        relayed
    }
}

fn relayed(outcome: Outcome) -> Relayed {
    match outcome {
        Outcome::Taken => Relayed::Taken,
        Outcome::Later { answer } => Relayed::Later { answer },
        Outcome::Refused { code, answer } => Relayed::Refused { code, answer, no_domain: false },
    }
}
