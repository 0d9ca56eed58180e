//! Connections that are open still: receipts follow each other to the same provider within seconds, and TLS costs more
//! than they do.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use smtp::client::Connection;
use tokio::time::Instant;

/// How long a connection is kept without a transaction. RFC 5321 §4.5.3.2.7 gives us five minutes; servers are busy.
pub const IDLE_MAX: Duration = Duration::from_secs(5);
/// Transactions on one connection.
const TRANSACTIONS_MAX: u32 = 100;
/// Connections that are kept for one destination.
const KEPT_MAX: usize = 4;

/// A connection with what it has done.
pub struct Kept {
    pub connection: Connection,
    pub transactions: u32,
}

/// The connections that are kept, by destination.
#[derive(Default)]
pub struct Pool(Mutex<HashMap<String, Vec<(Instant, Kept)>>>);

impl Pool {
    /// One that is open, as far as is known here.
    pub fn take(&self, destination: &str) -> Option<Kept> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        forget_old(&mut all);
        all.get_mut(destination)?.pop().map(|(_, kept)| kept)
    }

    /// Keeps one for the next transaction, or gives it back: it is to be closed.
    pub fn keep(&self, destination: &str, kept: Kept) -> Option<Kept> {
        if !kept.connection.is_open() || kept.transactions >= TRANSACTIONS_MAX {
            return Some(kept);
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        forget_old(&mut all);
        let line = all.entry(destination.to_owned()).or_default();
        if line.len() >= KEPT_MAX {
            return Some(kept);
        }
        line.push((Instant::now(), kept));
        None
    }

    /// Closes what nobody took in time: without a farewell, which nobody waits for.
    pub fn forget(&self) {
        forget_old(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn forget_old(all: &mut HashMap<String, Vec<(Instant, Kept)>>) {
    all.retain(|_, line| {
        line.retain(|(since, _)| since.elapsed() < IDLE_MAX);
        !line.is_empty()
    });
}
