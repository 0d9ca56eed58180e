//! How much an account, and an organisation, may send: recipients in an hour, so that a stolen password or a program
//! that has gone wrong is stopped before the whole domain has a bad name.
//!
//! The doors ask before they spool a letter. What they ask is memory: [`Rates`] is one per process. Counts are kept in
//! rows as well, written behind by [`Rates::save`], which runs twice a minute and adds what this process has counted to
//! what others have: a restart does not begin anew, and several processes see each other within half a minute.
//!
//! **What it costs.** A submission waits for no write. An account that sends costs one commit in half a minute, its
//! organisation another, both away from the letters; the first letter after half a minute of silence costs two reads of
//! a row. A crash forgets half a minute.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use pec::Instant;
use serde::{Deserialize, Serialize};

use crate::{
    Rim, StageError,
    ids::MailboxId,
    ports::{RowKey, Table},
    rim::{Body, Draft},
};

/// How often [`Rates::save`] wants to be called, in seconds.
pub const SAVE_EVERY_S: u64 = 30;
/// Minutes of the window.
const MINUTES: i64 = 60;
/// How often a row is tried when somebody else was faster.
const RACES_MAX: usize = 5;

/// Recipients that may be written to in an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// By one account.
    pub account: u64,
    /// By all accounts of an organisation.
    pub organisation: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { account: 3_000, organisation: 30_000 }
    }
}

/// Who has sent too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The account.
    Account,
    /// Its organisation.
    Organisation,
}

impl Whose {
    /// In rows and in the trace.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Organisation => "organisation",
        }
    }
}

/// Why a letter is not taken now. Displays are sentences for the client.
#[derive(Debug, thiserror::Error)]
pub enum RateError {
    /// Too much for an hour.
    #[error(
        "the {} has written to the {max} recipients that it may write to in an hour: try again in {retry_s} s",
        whose.name()
    )]
    Over {
        /// Whose limit.
        whose: Whose,
        /// The limit.
        max: u64,
        /// When there is room for this letter, in seconds.
        retry_s: u64,
    },
    /// Ours.
    #[error(transparent)]
    Stage(#[from] StageError),
}

type Key = (&'static str, String);

/// Recipients by minute since 1970.
type Minutes = BTreeMap<i64, u64>;

/// The counts of one process.
pub struct Rates {
    rim: Rim,
    limits: Limits,
    counters: Mutex<HashMap<Key, Counter>>,
}

#[derive(Default)]
struct Counter {
    /// As the row was read or written last.
    saved: Minutes,
    /// What this process has counted since.
    unsaved: Minutes,
    /// Until when its being over is no news, in minutes.
    told_until: i64,
}

/// The row of a counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Rate {
    whose: String,
    id: String,
    minutes: Minutes,
}
impl Rate {
    fn key_of(whose: &str, id: &str) -> RowKey {
        RowKey { table: Table::Registry, pk: format!("rate#{whose}#{id}"), sk: "rate".to_owned() }
    }
}
impl Body for Rate {
    const TABLE: Table = Table::Registry;
    fn key(&self) -> RowKey {
        Self::key_of(&self.whose, &self.id)
    }
}

impl Rates {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(rim: Rim, limits: Limits) -> Self {
        Self { rim, limits, counters: Mutex::default() }
    }

    /// Counts a letter to so many recipients, if there is room for it. One that alone is more than the limit is taken
    /// when nothing else was sent in the hour: the law says how many recipients a letter may have at least, not we.
    ///
    /// # Errors
    /// [`RateError`]; nothing was counted.
    pub async fn admit(
        &self,
        account: &MailboxId,
        organisation: &str,
        recipients: usize,
    ) -> Result<(), RateError> {
        let minute = minute(self.rim.now());
        let keys = [
            (Whose::Account, self.limits.account, (Whose::Account.name(), account.0.clone())),
            (
                Whose::Organisation,
                self.limits.organisation,
                (Whose::Organisation.name(), organisation.to_owned()),
            ),
        ];
        // 1. What was counted before, by whomever.
        for (.., key) in &keys {
            if !self.counters().contains_key(key) {
                let saved = self.read(key).await?.map(|(rate, _)| rate.minutes).unwrap_or_default();
                self.counters().entry(key.clone()).or_insert(Counter { saved, ..Counter::default() });
            }
        }
        // 2. Room in both, or counted in none.
        let recipients = recipients as u64;
        let mut counters = self.counters();
        for (whose, max, key) in &keys {
            let counter = counters.entry(key.clone()).or_default();
            if let Some(wait) = counter.wait(minute, recipients, *max) {
                let retry_s = (wait * 60 - self.rim.now().unix_s()).max(1).unsigned_abs();
                counter.tell(*whose, &key.1, minute);
                return Err(RateError::Over { whose: *whose, max: *max, retry_s });
            }
        }
        for (.., key) in keys {
            *counters.entry(key).or_default().unsaved.entry(minute).or_default() += recipients;
        }
        Ok(())
    }

    /// Adds to the rows what was counted since the last time, and forgets who has been silent. What cannot be written is
    /// kept for the next time.
    ///
    /// # Errors
    /// [`StageError`], the first one.
    pub async fn save(&self) -> Result<(), StageError> {
        let minute = minute(self.rim.now());
        self.counters().retain(|_, counter| {
            counter.trim(minute);
            !counter.unsaved.is_empty() || counter.told_until > minute
        });
        let dirty: Vec<(Key, Minutes)> = {
            let counters = self.counters();
            let dirty = counters.iter().filter(|(_, counter)| !counter.unsaved.is_empty());
            dirty.map(|(key, counter)| (key.clone(), counter.unsaved.clone())).collect()
        };
        let mut result = Ok(());
        for (key, counted) in dirty {
            match self.add(&key, &counted, minute).await {
                Ok(saved) => {
                    if let Some(counter) = self.counters().get_mut(&key) {
                        counter.saved = saved;
                        counter.forget(&counted);
                    }
                }
                Err(error) => result = result.and(Err(error)),
            }
        }
        result
    }

    /// The row with what was counted. Where the answer to a commit is lost it is counted twice, and an hour ends that.
    async fn add(&self, key: &Key, counted: &Minutes, minute: i64) -> Result<Minutes, StageError> {
        for _ in 0..RACES_MAX {
            let found = self.read(key).await?;
            let mut draft = Draft::new();
            let mut minutes = found.as_ref().map(|(rate, _)| rate.minutes.clone()).unwrap_or_default();
            for (at, recipients) in counted {
                *minutes.entry(*at).or_default() += recipients;
            }
            minutes.retain(|at, _| counts(*at, minute));
            let rate = Rate { whose: key.0.to_owned(), id: key.1.clone(), minutes };
            match found {
                Some((_, version)) => draft.replace(version, &rate, None)?,
                None => draft.insert(&rate, None)?,
            }
            match self.rim.commit(draft).await {
                Ok(()) => return Ok(rate.minutes),
                Err(StageError::Raced) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StageError::Raced)
    }

    async fn read(&self, (whose, id): &Key) -> Result<Option<(Rate, u64)>, StageError> {
        let found = self.rim.read::<Rate>(&Rate::key_of(whose, id)).await?;
        Ok(found.map(|found| (found.value, found.version)))
    }

    fn counters(&self) -> MutexGuard<'_, HashMap<Key, Counter>> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counter {
    /// `None` if there is room; else the minute from which on there is.
    fn wait(&mut self, minute: i64, recipients: u64, max: u64) -> Option<i64> {
        self.trim(minute);
        let mut total: u64 = self.saved.values().chain(self.unsaved.values()).sum();
        if total == 0 || total.saturating_add(recipients) <= max {
            return None;
        }
        let mut all = self.saved.clone();
        for (at, recipients) in &self.unsaved {
            *all.entry(*at).or_default() += recipients;
        }
        let mut free_from = None;
        for (at, sent) in all {
            if total == 0 || total.saturating_add(recipients) <= max {
                break;
            }
            total = total.saturating_sub(sent);
            free_from = Some(at + MINUTES);
        }
        free_from
    }

    fn trim(&mut self, minute: i64) {
        for minutes in [&mut self.saved, &mut self.unsaved] {
            minutes.retain(|at, _| counts(*at, minute));
        }
    }

    /// These are in the row now.
    fn forget(&mut self, counted: &Minutes) {
        for (at, recipients) in counted {
            if let Some(left) = self.unsaved.get_mut(at) {
                *left = left.saturating_sub(*recipients);
            }
        }
        self.unsaved.retain(|_, left| *left > 0);
    }

    /// An alarm, once an hour.
    fn tell(&mut self, whose: Whose, id: &str, minute: i64) {
        if self.told_until <= minute {
            self.told_until = minute + MINUTES;
            tracing::error!(
                alarm = "sending-rate",
                whose = whose.name(),
                id,
                "sends more than it may: letters are refused"
            );
        }
    }
}

fn minute(at: Instant) -> i64 {
    at.unix_s().div_euclid(60)
}

/// Whether a minute is in the hour that ends now. A clock that was set back leaves minutes that are to come: they end
/// an hour after themselves.
const fn counts(at: i64, minute: i64) -> bool {
    at > minute - MINUTES && at <= minute + MINUTES
}
