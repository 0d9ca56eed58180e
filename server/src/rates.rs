//! What accounts have sent, written down for as long as the doors are open.

use std::{sync::Arc, time::Duration};

use stages::rates::{Rates, SAVE_EVERY_S};

use crate::command::chain;

/// Writes it down again and again, for as long as it is polled.
pub async fn keep(rates: Arc<Rates>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(SAVE_EVERY_S));
    loop {
        ticks.tick().await;
        save(&rates).await;
    }
}

/// Writes it down now.
pub async fn save(rates: &Rates) {
    if let Err(error) = rates.save().await {
        tracing::warn!(error = %chain(&error), "what accounts have sent is written down the next time");
    }
}
