//! Instants and how they are written: one value per transaction, whole seconds (spec G9, 11; DM 2005 art. 9).

use std::{cell::RefCell, fmt};

use jiff::{Timestamp, Zoned, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// A moment with the precision that PEC knows: whole seconds of UTC since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Instant(i64);

/// The Italian legal time of an instant, in the parts that messages print (RFC 6109 §4.2, spec 11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegalTime {
    /// `dd/mm/yyyy`
    pub day: String,
    /// `hh:mm:ss`
    pub hour: String,
    /// `+hhmm`, without a colon (spec 11: as production writes it)
    pub zone: String,
}

/// A text that is no instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an instant of the years 0001 to 9999 in RFC 3339 form")]
pub struct InstantError;

impl Instant {
    /// From seconds since 1970 (UTC); outside of the years 0001 to 9999 it is clamped to them.
    #[must_use]
    pub fn from_unix_s(seconds: i64) -> Self {
        Self(seconds.clamp(-62_135_596_800, 253_402_207_200))
    }

    /// Seconds since 1970 (UTC).
    #[must_use]
    pub const fn unix_s(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339; fractions of a second are cut off.
    ///
    /// # Errors
    /// [`InstantError`] when it is not RFC 3339 or out of range.
    pub fn parse(text: &str) -> Result<Self, InstantError> {
        text.parse::<Timestamp>().map(|t| Self::from_unix_s(t.as_second())).map_err(|_| InstantError)
    }

    /// This instant moved by a signed number of seconds.
    #[must_use]
    pub fn plus_s(self, seconds: i64) -> Self {
        Self::from_unix_s(self.0.saturating_add(seconds))
    }

    /// The Italian legal time at this instant.
    #[must_use]
    pub fn legal(self) -> LegalTime {
        thread_local!(static LEGAL: Lately<LegalTime> = Lately::default());
        let print = || {
            let z = self.rome();
            LegalTime {
                day: z.strftime("%d/%m/%Y").to_string(),
                hour: z.strftime("%H:%M:%S").to_string(),
                zone: z.strftime("%z").to_string(),
            }
        };
        LEGAL.with(|lately| lately.get(self, print))
    }

    /// The value of a `Date:` field (RFC 5322 §3.3), in Italian legal time with a numeric offset.
    #[must_use]
    pub fn header(self) -> String {
        thread_local!(static HEADER: Lately<String> = Lately::default());
        let print = || self.rome().strftime("%a, %d %b %Y %H:%M:%S %z").to_string();
        HEADER.with(|lately| lately.get(self, print))
    }

    /// The month in UTC, `yyyy-mm`: how the log is indexed.
    #[must_use]
    pub fn month(self) -> String {
        self.timestamp().strftime("%Y-%m").to_string()
    }

    /// The day in UTC, `yyyy-mm-dd`.
    #[must_use]
    pub fn day(self) -> String {
        self.timestamp().strftime("%Y-%m-%d").to_string()
    }

    fn timestamp(self) -> Timestamp {
        Timestamp::from_second(self.0).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn rome(self) -> Zoned {
        thread_local!(static ROME: TimeZone = TimeZone::get("Europe/Rome").unwrap_or(TimeZone::UTC));
        self.timestamp().to_zoned(ROME.with(Clone::clone))
    }
}

/// What some instants look like: what belongs to one second is many rows, entries and messages.
struct Lately<T>(RefCell<[Option<(Instant, T)>; 8]>);

impl<T> Default for Lately<T> {
    fn default() -> Self {
        Self(RefCell::new([const { None }; 8]))
    }
}

impl<T: Clone> Lately<T> {
    fn get(&self, at: Instant, print: impl FnOnce() -> T) -> T {
        let mut all = self.0.borrow_mut();
        let place = usize::try_from(at.0.rem_euclid(8)).ok().and_then(|n| all.get_mut(n));
        match place {
            Some(Some((known, printed))) if *known == at => printed.clone(),
            Some(place) => place.insert((at, print())).1.clone(),
            None => print(),
        }
    }
}

impl fmt::Display for Instant {
    /// RFC 3339 in UTC, e.g. `2026-03-02T08:00:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.timestamp())
    }
}
impl From<Instant> for String {
    fn from(i: Instant) -> Self {
        thread_local!(static UTC: Lately<String> = Lately::default());
        UTC.with(|lately| lately.get(i, || i.to_string()))
    }
}
impl TryFrom<String> for Instant {
    type Error = InstantError;
    fn try_from(s: String) -> Result<Self, InstantError> {
        Self::parse(&s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_time_follows_the_italian_clock() {
        let winter = Instant::parse("2026-01-15T11:00:00Z").unwrap();
        assert_eq!((winter.legal().hour.as_str(), winter.legal().zone.as_str()), ("12:00:00", "+0100"));
        let summer = Instant::parse("2026-09-19T13:41:19Z").unwrap();
        assert_eq!(summer.header(), "Sat, 19 Sep 2026 15:41:19 +0200");
        assert_eq!(summer.legal().day, "19/09/2026");
    }

    #[test]
    fn the_repeated_hour_is_told_apart_by_its_zone() {
        let first = Instant::parse("2026-10-25T00:30:00Z").unwrap().legal();
        let second = Instant::parse("2026-10-25T01:30:00Z").unwrap().legal();
        assert_eq!(first.hour, second.hour);
        assert_ne!(first.zone, second.zone);
    }

    #[test]
    fn instants_print_and_parse_back() {
        let i = Instant::from_unix_s(1_772_438_400);
        assert_eq!(Instant::parse(&i.to_string()), Ok(i));
        assert_eq!(serde_json::from_str::<Instant>(&serde_json::to_string(&i).unwrap()).unwrap(), i);
    }
}
