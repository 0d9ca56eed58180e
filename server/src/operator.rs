//! What an operator does with accounts and domains: one operation, one answer; through the HTTPS door of a running
//! provider, or in the folder of one that does not run.

use std::{path::PathBuf, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use carrier::{Names, Unresolved};
use pec::{Address, Instant};
use serde::{Deserialize, Serialize};
use stages::{
    Rim, StageError,
    accounts::{Accounts, AppPassword, AuditEntry, Choices, ManageError, NewAccount},
    domains::{self, Answer, DomainError, Look, NewDomain, Watched},
    environments,
    ports::Ids,
    registry::{Mailbox, MailboxState},
    timekeeping::{self, ClockRow},
};

use crate::backup::{Backups, State};

/// How long a domain's MX records are waited for.
const DNS_WAIT: Duration = Duration::from_secs(20);
/// How often it is looked which domains are due.
const DOMAINS_EVERY: Duration = Duration::from_secs(600);

/// What operations are done with.
#[derive(Clone)]
pub struct Office {
    /// The accounts, and the ports that they stand on.
    pub accounts: Arc<Accounts>,
    /// DNS.
    pub names: Arc<dyn Names>,
    /// The names of this provider's incoming points: an MX record of a domain of ours names one of them.
    pub hosts: Vec<String>,
    /// The environment that serves new domains.
    pub environment: String,
    /// Where backups come from; nowhere in the folder of a provider that does not run: they are taken beside this.
    pub backups: Option<Backups>,
}

impl Office {
    fn rim(&self) -> &Rim {
        self.accounts.rim()
    }

    /// What DNS says of a domain.
    async fn ask(&self, name: &str) -> Answer {
        match tokio::time::timeout(DNS_WAIT, self.names.exchangers(name)).await {
            Ok(Ok(records)) => Answer::Hosts(records.into_iter().map(|(_, host)| host).collect()),
            Ok(Err(Unresolved::NoName | Unresolved::NoRecord)) => Answer::Nothing,
            Ok(Err(Unresolved::Unknown(why))) => Answer::Unknown(why),
            Err(_) => Answer::Unknown("DNS: no answer in time".to_owned()),
        }
    }

    async fn add_domain(&self, wanted: &NewDomain, at: Instant) -> Result<Watched, DomainError> {
        let answer = self.ask(&wanted.name).await;
        domains::add(self.rim(), wanted, Look { answer: &answer, own_hosts: &self.hosts, at }).await
    }

    async fn check_domain(&self, name: &str, at: Instant) -> Result<Watched, DomainError> {
        let answer = self.ask(name).await;
        domains::check(self.rim(), name, Look { answer: &answer, own_hosts: &self.hosts, at }).await
    }

    /// Looks at every domain once a day, for as long as it is polled.
    pub async fn keep_domains(self) {
        let mut ticks = tokio::time::interval(DOMAINS_EVERY);
        loop {
            ticks.tick().await;
            if let Err(error) = self.look_at_domains().await {
                tracing::error!(error = %crate::command::chain(&error), "domains could not be looked at");
            }
        }
    }

    async fn look_at_domains(&self) -> Result<(), StageError> {
        let now = self.rim().now();
        for name in domains::due(self.rim(), now).await? {
            match self.check_domain(&name, now).await {
                Ok(_) | Err(DomainError::NotHere) => {}
                Err(DomainError::Stage(error)) => return Err(error),
                Err(error) => {
                    tracing::error!(alarm = "domain", domain = name, error = %error, "a domain is not right")
                }
            }
        }
        Ok(())
    }
}

/// An operation on an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "operation")]
pub enum Operation {
    /// A new random password.
    ResetPassword {
        /// Whose.
        address: Address,
    },
    /// A new app password.
    AddAppPassword {
        /// Whose.
        address: Address,
        /// What the device is called.
        name: String,
    },
    /// The app passwords.
    ListAppPasswords {
        /// Whose.
        address: Address,
    },
    /// An app password ends.
    RevokeAppPassword {
        /// Whose.
        address: Address,
        /// Which.
        id: String,
    },
    /// What the owner chooses; what is not given stays.
    Choose {
        /// Whose.
        address: Address,
        /// Whether ordinary mail is taken.
        takes_ordinary: Option<bool>,
        /// Whether receipts go to INBOX.
        receipts_in_inbox: Option<bool>,
    },
    /// A new account.
    AddAccount(NewAccount),
    /// A mailbox is disabled, or enabled again.
    SetActive {
        /// Whose.
        address: Address,
        /// Enabled.
        active: bool,
    },
    /// How much a mailbox may hold.
    SetQuota {
        /// Whose.
        address: Address,
        /// So much.
        quota_bytes: u64,
    },
    /// A domain to be served.
    AddDomain {
        /// Its name.
        name: String,
        /// The organisation that it belongs to.
        organisation: String,
        /// It would be ordinary: refused, with the reason.
        #[serde(default)]
        ordinary: bool,
    },
    /// A look at a domain's MX records.
    CheckDomain {
        /// Its name.
        name: String,
    },
    /// Our own record of the provider index, signed.
    PublishIndex {
        /// Where it will lie.
        url: String,
    },
    /// A domain without mailboxes goes.
    RemoveDomain {
        /// Its name.
        name: String,
    },
    /// The domains that are looked at.
    ListDomains,
    /// What happened to a domain.
    DomainHistory {
        /// Its name.
        name: String,
        /// `yyyy-mm`, UTC.
        month: String,
    },
    /// A copy of everything is begun.
    Backup {
        /// A folder that is empty or not there.
        to: PathBuf,
        /// Private keys and passwords too.
        with_keys: bool,
    },
    /// How far it is.
    BackupState,
    /// What is known of the clock.
    Clock {
        /// `yyyy-mm`, UTC.
        month: String,
    },
    /// Who signed in, and who failed.
    SignIns {
        /// Whose; without one, what happened under names that are no account.
        address: Option<Address>,
        /// `yyyy-mm`, UTC.
        month: String,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "done")]
pub enum Done {
    /// A password that is shown once.
    Password {
        /// It.
        password: String,
        /// Of an app password.
        id: Option<String>,
    },
    /// App passwords.
    AppPasswords {
        /// Oldest first.
        app_passwords: Vec<Shown>,
    },
    /// Nothing more to say.
    Revoked,
    /// A mailbox as it is now.
    Account {
        /// Whose.
        address: Address,
        /// Whether it takes part.
        active: bool,
        /// How much it may hold.
        quota_bytes: u64,
        /// Of a new one, shown once.
        password: Option<String>,
    },
    /// Domains as they were seen.
    Domains {
        /// By name.
        domains: Vec<Watched>,
    },
    /// The clock.
    Clock {
        /// What was measured last.
        last: Option<ClockRow>,
        /// When it was off and right again.
        history: Vec<AuditEntry>,
    },
    /// A signed file, in base64.
    Index {
        /// PKCS#7.
        p7m: String,
    },
    /// A backup.
    Backup(State),
    /// What the owner chose.
    Chosen {
        /// Whether ordinary mail is taken.
        takes_ordinary: bool,
        /// Whether receipts go to INBOX.
        receipts_in_inbox: bool,
    },
    /// Sign-ins and failures.
    SignIns {
        /// Day by day.
        entries: Vec<AuditEntry>,
    },
}

/// An app password without its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Its id: the first group of its letters.
    pub id: String,
    /// What the device is called.
    pub name: String,
    /// When it was made.
    pub created: Instant,
    /// The day of its last use, UTC.
    pub last_used: Option<String>,
    /// When it was revoked.
    pub revoked: Option<Instant>,
}

impl From<AppPassword> for Shown {
    fn from(app: AppPassword) -> Self {
        let AppPassword { id, name, created, last_used, revoked, .. } = app;
        Self { id, name, created, last_used, revoked }
    }
}

/// Does it.
///
/// # Errors
/// [`ManageError`]
pub async fn perform(office: &Office, operation: Operation, now: Instant) -> Result<Done, ManageError> {
    let accounts = &office.accounts;
    Ok(match operation {
        Operation::AddAccount(wanted) => {
            let (mailbox, password) = accounts.add(&wanted, now).await?;
            account(&mailbox, Some(password.reveal().to_string()))
        }
        Operation::SetActive { address, active } => {
            account(&accounts.set_active(&address, active, now).await?, None)
        }
        Operation::SetQuota { address, quota_bytes } => {
            account(&accounts.set_quota(&address, quota_bytes, now).await?, None)
        }
        Operation::AddDomain { ordinary: true, .. } => return Err(DomainError::Ordinary.into()),
        Operation::AddDomain { name, organisation, .. } => {
            let wanted = NewDomain { name, environment: office.environment.clone(), organisation };
            Done::Domains { domains: vec![office.add_domain(&wanted, now).await?] }
        }
        Operation::CheckDomain { name } => {
            Done::Domains { domains: vec![office.check_domain(&name, now).await?] }
        }
        Operation::PublishIndex { url } => {
            let file = environments::publish(office.rim(), &office.environment, &url, now).await?;
            Done::Index { p7m: STANDARD.encode(file) }
        }
        Operation::RemoveDomain { name } => {
            domains::remove(office.rim(), &name, now).await?;
            Done::Revoked
        }
        Operation::ListDomains => Done::Domains { domains: domains::list(office.rim()).await? },
        Operation::DomainHistory { name, month } => {
            Done::SignIns { entries: domains::history(office.rim(), &name, &month).await? }
        }
        Operation::ResetPassword { address } => {
            let password = accounts.reset_password(&address, now).await?;
            Done::Password { password: password.reveal().to_string(), id: None }
        }
        Operation::AddAppPassword { address, name } => {
            let (app, password) = accounts.add_app_password(&address, &name, now).await?;
            Done::Password { password: password.reveal().to_string(), id: Some(app.id) }
        }
        Operation::ListAppPasswords { address } => {
            let app_passwords = accounts.app_passwords(&address).await?;
            Done::AppPasswords { app_passwords: app_passwords.into_iter().map(Shown::from).collect() }
        }
        Operation::RevokeAppPassword { address, id } => {
            accounts.revoke_app_password(&address, &id, now).await?;
            Done::Revoked
        }
        Operation::Choose { address, takes_ordinary, receipts_in_inbox } => {
            let choices = Choices { takes_ordinary, receipts_in_inbox };
            let mailbox = accounts.choose(&address, choices, now).await?;
            Done::Chosen {
                takes_ordinary: mailbox.takes_ordinary,
                receipts_in_inbox: mailbox.receipts_in_inbox,
            }
        }
        Operation::Backup { to, with_keys } => Done::Backup(match &office.backups {
            Some(backups) => backups.begin(to, now.unix_s(), with_keys),
            None => no_backups(),
        }),
        Operation::BackupState => {
            Done::Backup(office.backups.as_ref().map_or_else(no_backups, Backups::state))
        }
        Operation::Clock { month } => Done::Clock {
            last: timekeeping::last(office.rim()).await?,
            history: timekeeping::history(office.rim(), &month).await?,
        },
        Operation::SignIns { address, month } => {
            Done::SignIns { entries: accounts.audit(address.as_ref(), &month).await? }
        }
    })
}

fn no_backups() -> State {
    State::Failed { why: "no provider runs here".to_owned() }
}

fn account(mailbox: &Mailbox, password: Option<String>) -> Done {
    let Mailbox { address, state, quota_bytes, .. } = mailbox.clone();
    Done::Account { address, active: state == MailboxState::Active, quota_bytes, password }
}

/// What the operator's commands show to the door of a running provider: drawn at its start, kept in a file for its
/// owner alone, gone with it.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A fresh one, 256 bits.
    #[must_use]
    pub fn draw(ids: &dyn Ids) -> Self {
        Self(format!("{:032x}{:032x}", ids.fresh(), ids.fresh()))
    }

    /// As it stands in the file.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether somebody else knows it; the time that this takes does not tell how much of it.
    #[must_use]
    pub fn is(&self, other: &str) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.0.as_bytes(), other.as_bytes()).is_ok()
    }
}
