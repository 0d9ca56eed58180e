//! The clock of this machine, compared with time servers for as long as the provider runs (DM 2 November 2005 art. 9).

use std::time::Duration;

use machine::sntp;
use stages::{Rim, StageError, timekeeping};

use crate::command::chain;

/// How often.
const EVERY: Duration = Duration::from_secs(600);

/// Measures, notes and raises alarms, for as long as it is polled.
pub async fn watch(rim: Rim, servers: Vec<String>) {
    if servers.is_empty() {
        tracing::warn!("nobody is asked for the time: a clock that is off is not noticed (--time-server)");
        return;
    }
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        look(&rim, &servers).await;
    }
}

async fn look(rim: &Rim, servers: &[String]) {
    let Some(reading) = sntp::measure(servers, rim.ids.as_ref()).await else {
        tracing::error!(alarm = "clock", "no time server answers: the clock's offset is not known");
        return;
    };
    let (offset_ms, delay_ms) = (reading.offset_ms, reading.delay_ms);
    match timekeeping::note(rim, offset_ms).await {
        Ok(_) | Err(StageError::Raced) if timekeeping::is_off(offset_ms) => {
            tracing::error!(alarm = "clock", offset_ms, delay_ms, "the clock is more than a second off");
        }
        // Another process of the provider has noted its own at this moment.
        Ok(_) | Err(StageError::Raced) => tracing::info!(offset_ms, delay_ms, "the clock was compared"),
        Err(error) => {
            tracing::error!(alarm = "clock", offset_ms, delay_ms, error = %chain(&error), "the clock's offset was not noted");
        }
    }
}
