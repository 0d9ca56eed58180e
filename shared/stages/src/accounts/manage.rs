//! What an operator, or the owner, does with an account's passwords.

use pec::{Address, Instant};

use super::{
    Accounts, AppPassword, AuditEntry, AuditEvent, Credentials, Password, QUOTA_BYTES_MIN, RACES_MAX, Wish,
    password,
    password::{APP_NAME_BYTES_MAX, APP_PASSWORDS_MAX},
    put,
};
use crate::{
    StageError,
    domains::{DomainError, Member},
    registry::Mailbox,
    rim::{Body as _, Draft, Found},
};

/// Why nothing was changed. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    /// No mailbox has this address.
    #[error("find the account: no mailbox has this address")]
    NoAccount,
    /// No app password in use has this id.
    #[error("find the app password: none in use has this id")]
    NoAppPassword,
    /// Too many.
    #[error("make an app password: {APP_PASSWORDS_MAX} are in use, revoke one first")]
    TooMany,
    /// A name that is none.
    #[error("make an app password: its name must have 1 to {APP_NAME_BYTES_MAX} octets and no controls")]
    Name,
    /// Another mailbox has it.
    #[error("make the account: the address is taken")]
    Taken,
    /// It would get no letters.
    #[error(
        "make the account: its domain is not active here; sigillo domain add takes it, domain check tells why not"
    )]
    NoDomain,
    /// The provider's own.
    #[error(
        "make the account: the address is the provider's own, or a name that is no user's (posta-certificata, postmaster)"
    )]
    Reserved,
    /// What certified mailboxes do not have.
    #[error("{}", .0.why_not())]
    Never(Wish),
    /// Too small.
    #[error("set the quota: a mailbox must hold at least {} MiB", QUOTA_BYTES_MIN >> 20)]
    Quota,
    /// Gone for good.
    #[error("change the account: it is revoked, for good")]
    Revoked,
    /// A domain.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// The registry.
    #[error(transparent)]
    Stage(#[from] StageError),
}

/// What the owner of an account chooses; `None` leaves it as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// Ordinary mail is taken, in anomaly envelopes, or refused (RFC 6109 §2.2.2, spec 5.3 D).
    pub takes_ordinary: Option<bool>,
    /// Receipts go to INBOX, or to a folder of their own.
    pub receipts_in_inbox: Option<bool>,
}

impl Accounts {
    /// Changes what the owner chooses, and gives the mailbox as it is then. It holds for what is filed from then on.
    ///
    /// # Errors
    /// [`ManageError`]
    pub async fn choose(
        &self,
        address: &Address,
        choices: Choices,
        now: Instant,
    ) -> Result<Mailbox, ManageError> {
        let chosen = [("ordinary", choices.takes_ordinary), ("inbox", choices.receipts_in_inbox)];
        let chosen = chosen.into_iter().filter_map(|(name, choice)| Some(format!("{name}={}", choice?)));
        let detail = chosen.collect::<Vec<_>>().join(" ");
        self.change_mailbox(address, (AuditEvent::SettingsChosen, Some(detail)), now, |before| {
            Ok(Mailbox {
                takes_ordinary: choices.takes_ordinary.unwrap_or(before.takes_ordinary),
                receipts_in_inbox: choices.receipts_in_inbox.unwrap_or(before.receipts_in_inbox),
                ..before
            })
        })
        .await
    }

    /// Makes an account: the mailbox, unless it is there, and its first password, in one commit.
    ///
    /// # Errors
    /// [`StageError::Raced`] if its address is taken, or it has a password.
    pub async fn create(
        &self,
        mailbox: &Mailbox,
        password: &Password,
        now: Instant,
    ) -> Result<(), StageError> {
        let found = self.rim.mailbox(&mailbox.address).await?;
        if found.as_ref().is_some_and(|found| found.id != mailbox.id) {
            return Err(StageError::Raced);
        }
        // Asked before the hash is made, which takes long.
        if self.credentials(mailbox).await?.is_some() {
            return Err(StageError::Raced);
        }
        let hash = self.passwords.hash(password).await?;
        let mut draft = Draft::new();
        if found.is_none() {
            draft.insert(mailbox, None)?;
            draft.insert(&Member::of(mailbox), None)?;
        }
        draft.insert(&Credentials::new(mailbox.id.clone(), hash, now), None)?;
        self.rim.commit(draft).await
    }

    /// Gives an account a new random password, which is shown once. App passwords stay.
    ///
    /// # Errors
    /// [`ManageError`]
    pub async fn reset_password(&self, address: &Address, now: Instant) -> Result<Password, ManageError> {
        let password = Password::random(self.rim.ids.fresh(), self.rim.ids.fresh());
        self.set_password(address, &password, now).await?;
        Ok(password)
    }

    /// Gives an account this password. App passwords stay.
    ///
    /// # Errors
    /// [`ManageError`]
    pub async fn set_password(
        &self,
        address: &Address,
        password: &Password,
        now: Instant,
    ) -> Result<(), ManageError> {
        let mailbox = self.mailbox(address).await?;
        let hash = self.passwords.hash(password).await.map_err(StageError::from)?;
        self.change(&mailbox, AuditEvent::PasswordSet, now, |credentials| {
            let apps = credentials.map(|found| found.app_passwords.clone()).unwrap_or_default();
            let fresh = Credentials::new(mailbox.id.clone(), hash.clone(), now);
            Ok((Credentials { app_passwords: apps, ..fresh }, None))
        })
        .await
    }

    /// Makes an app password with a name, which is shown once.
    ///
    /// # Errors
    /// [`ManageError`]
    pub async fn add_app_password(
        &self,
        address: &Address,
        name: &str,
        now: Instant,
    ) -> Result<(AppPassword, Password), ManageError> {
        if name.is_empty() || name.len() > APP_NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(ManageError::Name);
        }
        let mailbox = self.mailbox(address).await?;
        let taken = self.credentials(&mailbox).await?.map(|f| f.value.app_passwords).unwrap_or_default();
        let (id, password) = loop {
            let (id, password) = password::random_app_password(self.rim.ids.fresh(), self.rim.ids.fresh());
            if taken.iter().all(|app| app.id != id) {
                break (id, password);
            }
        };
        let hash = self.passwords.hash(&password).await.map_err(StageError::from)?;
        let made =
            AppPassword { id, name: name.to_owned(), hash, created: now, last_used: None, revoked: None };
        self.change(&mailbox, AuditEvent::AppPasswordAdded, now, |credentials| {
            let mut credentials = credentials.cloned().ok_or(ManageError::NoAccount)?;
            if credentials.in_use().count() >= APP_PASSWORDS_MAX {
                return Err(ManageError::TooMany);
            }
            credentials.app_passwords.push(made.clone());
            Ok((credentials, Some(made.id.clone())))
        })
        .await?;
        Ok((made, password))
    }

    /// The app passwords of an account, oldest first, with those revoked lately.
    ///
    /// # Errors
    /// [`ManageError`]
    pub async fn app_passwords(&self, address: &Address) -> Result<Vec<AppPassword>, ManageError> {
        let mailbox = self.mailbox(address).await?;
        Ok(self.credentials(&mailbox).await?.map(|found| found.value.app_passwords).unwrap_or_default())
    }

    /// Revokes an app password. Remembered verdicts end at once, sessions when they ask [`Accounts::still`].
    ///
    /// # Errors
    /// [`ManageError`]
    pub async fn revoke_app_password(
        &self,
        address: &Address,
        id: &str,
        now: Instant,
    ) -> Result<(), ManageError> {
        let mailbox = self.mailbox(address).await?;
        self.change(&mailbox, AuditEvent::AppPasswordRevoked, now, |credentials| {
            let mut credentials = credentials.cloned().ok_or(ManageError::NoAccount)?;
            let mut apps = credentials.app_passwords.iter_mut();
            let app = apps.find(|app| app.id == id && app.revoked.is_none());
            let app = app.ok_or(ManageError::NoAppPassword)?;
            app.revoked = Some(now);
            let id = app.id.clone();
            forget_the_oldest_revoked(&mut credentials.app_passwords);
            Ok((credentials, Some(id)))
        })
        .await
    }

    pub(super) async fn mailbox(&self, address: &Address) -> Result<Mailbox, ManageError> {
        self.rim.mailbox(address).await?.ok_or(ManageError::NoAccount)
    }

    async fn credentials(&self, mailbox: &Mailbox) -> Result<Option<Found<Credentials>>, StageError> {
        self.rim.read(&Credentials::key_of(&mailbox.id)).await
    }

    /// Replaces the credentials by what `make` makes of them, with an audit entry, in one commit.
    async fn change(
        &self,
        mailbox: &Mailbox,
        event: AuditEvent,
        now: Instant,
        make: impl Fn(Option<&Credentials>) -> Result<(Credentials, Option<String>), ManageError> + Send + Sync,
    ) -> Result<(), ManageError> {
        for _ in 0..RACES_MAX {
            let found = self.credentials(mailbox).await?;
            let (credentials, app_password) = make(found.as_ref().map(|found| &found.value))?;
            let mut draft = Draft::new();
            put(&mut draft, found.as_ref(), &credentials)?;
            let entry = AuditEntry::of_operator(&mailbox.id, event, app_password.as_deref(), now);
            let before = self.rim.read::<AuditEntry>(&entry.key()).await?;
            put(&mut draft, before.as_ref(), &entry.after(before.as_ref().map(|found| &found.value)))?;
            if self.committed(draft).await? {
                return Ok(());
            }
        }
        Err(StageError::Raced.into())
    }
}

/// As many revoked ones stay as there may be others.
fn forget_the_oldest_revoked(apps: &mut Vec<AppPassword>) {
    let revoked = apps.iter().filter(|app| app.revoked.is_some()).count();
    let mut over = revoked.saturating_sub(APP_PASSWORDS_MAX);
    apps.retain(|app| {
        let goes = over > 0 && app.revoked.is_some();
        over -= usize::from(goes);
        !goes
    });
}
