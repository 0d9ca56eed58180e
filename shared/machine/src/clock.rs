//! The clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pec::Instant;
use stages::ports::Clock;

/// The machine's clock, which somebody keeps within a second of UTC (DM 2005 art. 9).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::from_unix_s(i64::try_from(since_1970().as_secs()).unwrap_or(i64::MAX))
    }

    fn thousandths(&self) -> Option<u16> {
        u16::try_from(since_1970().subsec_millis()).ok()
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
