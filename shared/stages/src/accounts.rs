//! Accounts: who signs in at a door, with which password, and how guessing is slowed down.
//!
//! Rows of the `registry` table:
//! ```text
//! account#<mailbox id>         credentials   hash of the password, app passwords
//! guesses#<mailbox id>         guesses       failures in a row; gone after a success
//! guesses#unknown-<xxxx>       guesses       the same for names that are no account, in 65,536 places
//! guesses#key                  key           what names are hashed with into those places
//! audit#<mailbox id>#<month>   <day>#...     sign-ins and failures; `audit#unknown#<month>` for other names
//! ```
//! What a stranger sees, and how long it takes, is the same for a wrong password, a disabled mailbox and a name that
//! is no account: the same reads, one argon2id, one commit of two rows.

mod audit;
mod guesses;
mod mailboxes;
mod manage;
mod password;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::{digest, hmac};
use futures_util::lock::Mutex as AsyncMutex;
use pec::{Address, Instant};

use crate::{
    Rim, StageError,
    ids::MailboxId,
    ports::{Passwords, RowKey, Table},
    registry::{Mailbox, MailboxState},
    rim::{Body, Draft, Found},
};

use audit::Record;
pub use audit::{AuditEntry, AuditEvent};
use guesses::{FREE_FAILURES, Guesses, Peers, Places};
pub use mailboxes::{NewAccount, QUOTA_BYTES_MIN, Wish};
pub use manage::{Choices, ManageError};
pub use password::{AppPassword, Credentials, PASSWORD_BYTES_MAX, Password};

/// How long a verdict "right" holds without argon2, from its last use on: who signs in every minute is not held up by
/// others who guess. The rows are read all the same, so a new password, a revocation
/// or a disabled mailbox ends it at once.
const VERDICT_S: i64 = 300;
/// Entries of each memory at most; a full one drops what is over, then everything.
const MEMORY_MAX: usize = 10_000;
/// Longer names are no account's (RFC 5321 §4.5.3.1: 64 + 1 + 255).
const NAME_BYTES_MAX: usize = 320;
/// Sign-ins under names that share a lane are looked at one after the other, so that many at once do not pass the
/// lock-out together.
const LANES: usize = 64;
/// How often a commit that others were faster than is tried again.
const RACES_MAX: usize = 5;

/// Who signed in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The mailbox, as it is now.
    pub mailbox: Mailbox,
    /// The id of the app password, unless it was the account's own.
    pub app_password: Option<String>,
    /// SHA-256 of the hash that the password matched.
    credential: [u8; 32],
}

/// Why nobody signed in. All but the last are answers to the client.
#[derive(Debug, thiserror::Error)]
pub enum SignInRefused {
    /// Wrong name or password, or a mailbox that is disabled: nobody is told which.
    #[error("sign in: wrong name or password")]
    Wrong,
    /// Not looked at: too many failures before. Ask again after so many seconds.
    #[error("sign in: too many failures, try again in {0} s")]
    Wait(u64),
    /// Ours: the client tries again.
    #[error("sign in")]
    Stage(#[from] StageError),
}

/// The accounts of a provider. One for all doors: its memories are shared.
pub struct Accounts {
    rim: Rim,
    passwords: Arc<dyn Passwords>,
    /// Of this process: what verdicts are remembered under.
    secret: hmac::Key,
    places: Places,
    /// The hash that the password of nobody is compared with.
    decoy: String,
    lanes: Vec<AsyncMutex<()>>,
    right: Mutex<HashMap<[u8; 32], Instant>>,
    peers: Mutex<Peers>,
}

/// What was found under a name: the same shape whether it is an account or not.
struct Looked {
    mailbox: Option<Mailbox>,
    /// Of the mailbox, or of the place of an unknown name.
    id: MailboxId,
    credentials: Option<Found<Credentials>>,
}

impl Accounts {
    /// The accounts of a provider, with empty memories.
    ///
    /// # Errors
    /// [`StageError`] when the registry or the hash function does not answer.
    pub async fn open(rim: Rim, passwords: Arc<dyn Passwords>) -> Result<Self, StageError> {
        let fresh = [rim.ids.fresh().to_be_bytes(), rim.ids.fresh().to_be_bytes()].concat();
        let places = Places::open(&rim).await?;
        let decoy = passwords.hash(&Password::random(rim.ids.fresh(), rim.ids.fresh())).await?;
        Ok(Self {
            secret: hmac::Key::new(hmac::HMAC_SHA256, &fresh),
            places,
            decoy,
            lanes: std::iter::repeat_with(|| AsyncMutex::new(())).take(LANES).collect(),
            right: Mutex::default(),
            peers: Mutex::default(),
            rim,
            passwords,
        })
    }

    /// Signs an account in by address and password: its own or an app password. `door` names the door in the audit
    /// entry (`smtps`, `imaps`, ...); `peer` is the other end of the connection, and unspecified (`::`) if unknown.
    ///
    /// # Errors
    /// [`SignInRefused`]
    pub async fn sign_in(
        &self,
        name: &str,
        password: &Password,
        peer: IpAddr,
        door: &str,
        now: Instant,
    ) -> Result<SignedIn, SignInRefused> {
        if name.len() > NAME_BYTES_MAX || password.as_bytes().len() > PASSWORD_BYTES_MAX {
            return Err(SignInRefused::Wrong);
        }
        let record = Record { peer, door, at: now };

        // 1. The rows, and whether this password was right a moment ago. Then it passes, whatever others guess.
        let looked = self.look(name).await?;
        let (credential, phc) = looked.candidate(password, &self.decoy);
        let tag = self.tag(&looked.id, password, &phc);
        if looked.may_sign_in() && self.is_remembered(&tag, now) {
            return self.welcome(looked, credential, &phc, record, false).await;
        }

        // 2. Too many failures, of the peer or of the account? Asked when it is our turn.
        let _turn = self.lane(&looked.id).lock().await;
        let guesses = self.rim.read::<Guesses>(&Guesses::key_of(&looked.id.0)).await?;
        let waits = [
            guesses.as_ref().and_then(|found| found.value.failures.wait_s(FREE_FAILURES, now)),
            lock(&self.peers).wait_s(peer, now),
        ];
        if let Some(wait_s) = waits.into_iter().flatten().max() {
            return Err(SignInRefused::Wait(wait_s));
        }

        // 3. argon2id: once, whoever it is. A disabled mailbox has no right password.
        let matches = self.passwords.matches(password, &phc).await.map_err(StageError::from)?;
        if !matches || !looked.may_sign_in() {
            lock(&self.peers).failed(peer, now);
            self.failed(&looked, record).await?;
            return Err(SignInRefused::Wrong);
        }
        // A peer that guesses at many accounts at once does not learn that it was right in the end.
        if let Some(wait_s) = lock(&self.peers).wait_s(peer, now) {
            return Err(SignInRefused::Wait(wait_s));
        }

        // 4. Right: remembered for minutes, under a keyed hash.
        remember(&mut lock(&self.right), tag, now.plus_s(VERDICT_S), |until| now < *until);
        self.welcome(looked, credential, &phc, record, guesses.is_some()).await
    }

    /// Whether a session may go on: the mailbox takes part, and the password that opened the session is still one of
    /// its passwords. For sessions that last; ask every few minutes.
    ///
    /// # Errors
    /// [`StageError`]
    pub async fn still(&self, who: &SignedIn) -> Result<bool, StageError> {
        let mailbox = self.rim.mailbox(&who.mailbox.address).await?;
        let mailbox = mailbox.filter(|m| m.id == who.mailbox.id && m.state == MailboxState::Active);
        if mailbox.is_none() {
            return Ok(false);
        }
        let credentials = self.rim.read::<Credentials>(&Credentials::key_of(&who.mailbox.id)).await?;
        let phc = credentials.as_ref().and_then(|found| found.value.phc(who.app_password.as_deref()));
        Ok(phc.is_some_and(|phc| sha256(phc.as_bytes()) == who.credential))
    }

    /// Reads the same rows for every name.
    async fn look(&self, name: &str) -> Result<Looked, StageError> {
        let mailbox = match Address::parse(name) {
            Ok(address) => self.rim.mailbox(&address).await?,
            Err(_) => None,
        };
        let id = mailbox.as_ref().map_or_else(|| self.places.of(name), |mailbox| mailbox.id.clone());
        let credentials = self.rim.read::<Credentials>(&Credentials::key_of(&id)).await?;
        Ok(Looked { mailbox, id, credentials })
    }

    fn tag(&self, id: &MailboxId, password: &Password, phc: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.secret);
        for part in [id.0.as_bytes(), phc.as_bytes(), password.as_bytes()] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }

    fn is_remembered(&self, tag: &[u8; 32], now: Instant) -> bool {
        let mut right = lock(&self.right);
        let Some(until) = right.get_mut(tag).filter(|until| now < **until) else { return false };
        *until = now.plus_s(VERDICT_S);
        true
    }

    #[allow(clippy::indexing_slicing, reason = "the remainder is below the length, which is not 0")]
    fn lane(&self, id: &MailboxId) -> &AsyncMutex<()> {
        let digest = sha256(id.0.as_bytes());
        &self.lanes[usize::from(digest[0]) % self.lanes.len()]
    }

    /// One more failure, and its audit entry, in one commit. Power fails before it: it is forgotten, and nobody was
    /// told that the password was wrong.
    async fn failed(&self, looked: &Looked, record: Record<'_>) -> Result<(), StageError> {
        for _ in 0..RACES_MAX {
            let draft = self.failure(looked, record).await?;
            if self.committed(draft).await? {
                return Ok(());
            }
        }
        Err(StageError::Raced)
    }

    async fn failure(&self, looked: &Looked, record: Record<'_>) -> Result<Draft, StageError> {
        let mut draft = Draft::new();
        let guesses = self.rim.read::<Guesses>(&Guesses::key_of(&looked.id.0)).await?;
        let failures = guesses.as_ref().map(|found| found.value.failures).unwrap_or_default();
        put(&mut draft, guesses.as_ref(), &Guesses::of(&looked.id.0, failures.and_one(record.at)))?;
        let event = if looked.is_disabled() { AuditEvent::Disabled } else { AuditEvent::Failed };
        let account = looked.mailbox.as_ref().map(|mailbox| &mailbox.id);
        let entry = audit::entry(account, event, None, record);
        let before = self.rim.read::<AuditEntry>(&entry.key()).await?;
        put(&mut draft, before.as_ref(), &entry.after(before.as_ref().map(|found| &found.value)))?;
        Ok(draft)
    }

    async fn welcome(
        &self,
        looked: Looked,
        app_password: Option<String>,
        phc: &str,
        record: Record<'_>,
        had_guesses: bool,
    ) -> Result<SignedIn, SignInRefused> {
        let Some(mailbox) = looked.mailbox else { return Err(SignInRefused::Wrong) };
        for _ in 0..RACES_MAX {
            let draft = self.success(&mailbox, app_password.as_deref(), record, had_guesses).await?;
            if self.committed(draft).await? {
                return Ok(SignedIn { mailbox, app_password, credential: sha256(phc.as_bytes()) });
            }
        }
        Err(StageError::Raced.into())
    }

    /// What a success leaves: no failures, the day on which an app password was used, an audit entry an hour.
    async fn success(
        &self,
        mailbox: &Mailbox,
        app_password: Option<&str>,
        record: Record<'_>,
        had_guesses: bool,
    ) -> Result<Draft, StageError> {
        let mut draft = Draft::new();
        let entry = audit::entry(Some(&mailbox.id), AuditEvent::SignedIn, app_password, record);
        let before = self.rim.read::<AuditEntry>(&entry.key()).await?;
        if before.as_ref().is_none_or(|found| found.value.is_old(record.at)) {
            put(&mut draft, before.as_ref(), &entry.after(before.as_ref().map(|found| &found.value)))?;
        }
        if had_guesses && let Some(found) = self.rim.read::<Guesses>(&Guesses::key_of(&mailbox.id.0)).await? {
            draft.delete(found.value.key(), found.version);
        }
        if let Some(id) = app_password
            && let Some(found) = self.rim.read::<Credentials>(&Credentials::key_of(&mailbox.id)).await?
            && let Some(used) = found.value.used(id, record.at)
        {
            draft.replace(found.version, &used, None)?;
        }
        Ok(draft)
    }

    /// Commits what is to be written, if anything; false when somebody else was faster.
    async fn committed(&self, draft: Draft) -> Result<bool, StageError> {
        if draft.items() == 0 {
            return Ok(true);
        }
        match self.rim.commit(draft).await {
            Ok(()) => Ok(true),
            Err(StageError::Raced) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Looked {
    fn may_sign_in(&self) -> bool {
        self.credentials.is_some()
            && self.mailbox.as_ref().is_some_and(|mailbox| mailbox.state == MailboxState::Active)
    }

    fn is_disabled(&self) -> bool {
        self.mailbox.as_ref().is_some_and(|mailbox| mailbox.state != MailboxState::Active)
    }

    /// The one hash that a password is compared with, and the app password that it is of.
    fn candidate(&self, password: &Password, decoy: &str) -> (Option<String>, String) {
        let Some(found) = &self.credentials else { return (None, decoy.to_owned()) };
        match found.value.app_password_of(password) {
            Some(app) => (Some(app.id.clone()), app.hash.clone()),
            None => (None, found.value.password_hash.clone()),
        }
    }
}

/// Inserts or replaces, as it was found.
fn put<T: Body>(draft: &mut Draft, found: Option<&Found<T>>, body: &T) -> Result<(), StageError> {
    match found {
        Some(found) => draft.replace(found.version, body, None)?,
        None => draft.insert(body, None)?,
    }
    Ok(())
}

fn registry(pk: String, sk: String) -> RowKey {
    RowKey { table: Table::Registry, pk, sk }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

fn remember<K: Eq + std::hash::Hash, V>(
    memory: &mut HashMap<K, V>,
    key: K,
    value: V,
    keep: impl Fn(&V) -> bool,
) {
    if memory.len() >= MEMORY_MAX {
        memory.retain(|_, v| keep(v));
    }
    if memory.len() >= MEMORY_MAX {
        memory.clear();
    }
    memory.insert(key, value);
}

/// A memory is whole between any two statements, so a thread that panicked leaves nothing broken in it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
