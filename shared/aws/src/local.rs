//! Clock and randomness of the machine.

use std::time::{SystemTime, UNIX_EPOCH};

use pec::Instant;
use stages::ports::{Clock, Ids};

/// The machine's clock, which the service keeps within a second of UTC (DM 2005 art. 9).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        Instant::from_unix_s(i64::try_from(seconds).unwrap_or(i64::MAX))
    }
}

/// The machine's randomness, by the cryptographic provider.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemIds;

impl Ids for SystemIds {
    fn fresh(&self) -> u128 {
        random()
    }
}

/// 128 random bits.
#[allow(clippy::expect_used, reason = "a machine without randomness must not go on: ids would collide")]
pub(crate) fn random() -> u128 {
    let mut bits = [0; 16];
    aws_lc_rs::rand::fill(&mut bits).expect("the kernel gives random bits");
    u128::from_be_bytes(bits)
}
