//! What an operator does with accounts: one operation, one answer; through the HTTPS door of a running provider, or in
//! the folder of one that does not run.

use pec::{Address, Instant};
use serde::{Deserialize, Serialize};
use stages::{
    accounts::{Accounts, AppPassword, AuditEntry, Choices, ManageError},
    ports::Ids,
};

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
pub async fn perform(accounts: &Accounts, operation: Operation, now: Instant) -> Result<Done, ManageError> {
    Ok(match operation {
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
            let mailbox = accounts.choose(&address, choices).await?;
            Done::Chosen {
                takes_ordinary: mailbox.takes_ordinary,
                receipts_in_inbox: mailbox.receipts_in_inbox,
            }
        }
        Operation::SignIns { address, month } => {
            Done::SignIns { entries: accounts.audit(address.as_ref(), &month).await? }
        }
    })
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
