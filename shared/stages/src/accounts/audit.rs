//! Who signed in, or tried: rows that operators query, beside the legal log, which speaks of letters only.

use std::net::IpAddr;

use pec::{Address, Instant};
use serde::{Deserialize, Serialize};

use super::{Accounts, ManageError, guesses::network, registry};
use crate::{
    ids::MailboxId,
    ports::{RowKey, Table},
    rim::Body,
};

/// Sign-ins of one kind within this time are one note in their entry: a client that signs in every minute writes
/// once an hour.
const COALESCE_S: i64 = 3600;
/// The account of names that are none.
const UNKNOWN: &str = "unknown";

/// What happened to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditEvent {
    /// Somebody signed in.
    SignedIn,
    /// Somebody tried with a wrong password.
    Failed,
    /// Somebody tried, and the mailbox is disabled.
    Disabled,
    /// The password was set.
    PasswordSet,
    /// An app password was made.
    AppPasswordAdded,
    /// An app password was revoked.
    AppPasswordRevoked,
    /// The account was made.
    AccountAdded,
    /// The mailbox was disabled.
    AccountDisabled,
    /// The mailbox was enabled again.
    AccountEnabled,
    /// The quota was set.
    QuotaSet,
    /// Ordinary mail, or the place of receipts, was chosen.
    SettingsChosen,
    /// A provider environment was made, with its mail domain.
    EnvironmentMade,
    /// A domain was taken.
    DomainAdded,
    /// A domain became active.
    DomainActivated,
    /// The MX records of an active domain mean something else than before.
    DomainChanged,
    /// A domain was removed.
    DomainRemoved,
    /// The clock is more than a second off.
    ClockOff,
    /// It is right again.
    ClockRight,
}

impl AuditEvent {
    /// As it stands in keys.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SignedIn => "signed-in",
            Self::Failed => "failed",
            Self::Disabled => "disabled",
            Self::PasswordSet => "password-set",
            Self::AppPasswordAdded => "app-password-added",
            Self::AppPasswordRevoked => "app-password-revoked",
            Self::AccountAdded => "account-added",
            Self::AccountDisabled => "account-disabled",
            Self::AccountEnabled => "account-enabled",
            Self::QuotaSet => "quota-set",
            Self::SettingsChosen => "settings-chosen",
            Self::EnvironmentMade => "environment-made",
            Self::DomainAdded => "domain-added",
            Self::DomainActivated => "domain-activated",
            Self::DomainChanged => "domain-changed",
            Self::DomainRemoved => "domain-removed",
            Self::ClockOff => "clock-off",
            Self::ClockRight => "clock-right",
        }
    }
}

/// What happened on one day to one account in one way: by door, peer network and password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// The mailbox id, `domain:<name>` for a domain, `clock:` for the clock, or `unknown` for names that are no account: those are counted by
    /// hour and door.
    pub account: String,
    /// What.
    pub event: AuditEvent,
    /// `smtps`, `imaps`, `https`, ..., or `operator`.
    pub door: String,
    /// The id of the app password, unless it was the account's own, or a wrong one.
    pub app_password: Option<String>,
    /// The address of the peer, the last one of its network; none for an operator's work.
    pub peer: Option<IpAddr>,
    /// When it happened first on this day.
    pub first: Instant,
    /// When it was noted last.
    pub last: Instant,
    /// How often it was noted: each failure is, sign-ins are once an hour.
    pub times: u32,
    /// What it was changed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Where and when: what a door knows of a try.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) peer: IpAddr,
    pub(super) door: &'a str,
    pub(super) at: Instant,
}

/// The entry of one try.
pub(super) fn entry(
    account: Option<&MailboxId>,
    event: AuditEvent,
    app_password: Option<&str>,
    record: Record<'_>,
) -> AuditEntry {
    AuditEntry {
        account: account.map_or_else(|| UNKNOWN.to_owned(), |id| id.0.clone()),
        event,
        door: record.door.to_owned(),
        app_password: app_password.map(str::to_owned),
        peer: Some(record.peer.to_canonical()),
        first: record.at,
        last: record.at,
        times: 1,
        detail: None,
    }
}

impl AuditEntry {
    /// An operator's work on an account.
    pub(crate) fn of_operator(
        account: &MailboxId,
        event: AuditEvent,
        app_password: Option<&str>,
        at: Instant,
    ) -> Self {
        Self {
            account: account.0.clone(),
            event,
            door: "operator".to_owned(),
            app_password: app_password.map(str::to_owned),
            peer: None,
            first: at,
            last: at,
            times: 1,
            detail: None,
        }
    }

    /// With what it was changed to.
    pub(super) fn with(self, detail: Option<String>) -> Self {
        Self { detail, ..self }
    }

    /// This one with what was noted before.
    pub(crate) fn after(mut self, before: Option<&Self>) -> Self {
        if let Some(before) = before {
            self.first = before.first;
            self.times = before.times.saturating_add(1);
        }
        self
    }

    /// Whether another sign-in of this kind is to be noted.
    pub(super) fn is_old(&self, now: Instant) -> bool {
        now.unix_s().saturating_sub(self.last.unix_s()) >= COALESCE_S || now < self.first
    }

    pub(crate) fn partition(account: &str, month: &str) -> String {
        format!("audit#{account}#{month}")
    }
}
impl Body for AuditEntry {
    const TABLE: Table = Table::Registry;
    fn key(&self) -> RowKey {
        let (at, event, door) = (self.first, self.event.name(), &self.door);
        let sk = if self.account == UNKNOWN {
            // Bounded by time and doors, not by what strangers send.
            let hour = at.unix_s().rem_euclid(86_400) / 3600;
            format!("{}T{hour:02}#{event}#{door}", at.day())
        } else {
            let password = self.app_password.as_deref().unwrap_or_default();
            let network = self.peer.map(|peer| network(peer).to_string()).unwrap_or_default();
            // Changes to different values are different entries.
            let detail = self.detail.as_deref().map(|detail| format!("#{detail}")).unwrap_or_default();
            format!("{}#{event}#{door}#{password}#{network}{detail}", at.day())
        };
        registry(Self::partition(&self.account, &at.month()), sk)
    }
}

impl Accounts {
    /// What happened to an account in a month (`yyyy-mm`, UTC), day by day; without an account, what happened under
    /// names that are none.
    ///
    /// # Errors
    /// [`ManageError::NoAccount`]; [`ManageError::Stage`]
    pub async fn audit(
        &self,
        address: Option<&Address>,
        month: &str,
    ) -> Result<Vec<AuditEntry>, ManageError> {
        let account = match address {
            Some(address) => self.mailbox(address).await?.id.0,
            None => UNKNOWN.to_owned(),
        };
        let pk = AuditEntry::partition(&account, month);
        let rows = self.rim.all::<AuditEntry>(Table::Registry, &pk, "").await?;
        Ok(rows.into_iter().map(|found| found.value).collect())
    }
}
