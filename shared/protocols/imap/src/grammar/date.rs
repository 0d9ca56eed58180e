//! Days and instants (RFC 9051 §9 `date`, `date-time`).

use jiff::{
    civil::{Date, DateTime},
    tz::{Offset, TimeZone},
};

use super::{
    Syntax,
    cursor::{Cursor, Parsed},
};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WRONG: Syntax = Syntax("a date is wrong");

/// The day as a number: days since 1970.
pub(crate) fn days(date: Date) -> i32 {
    date.since(Date::constant(1970, 1, 1)).map_or(0, |span| span.get_days())
}

/// An instant as `date-time`, in UTC, without its quotes: `17-Jul-1996 02:44:25 +0000`.
pub(crate) fn civil(unix_s: i64) -> String {
    let at = jiff::Timestamp::from_second(unix_s).unwrap_or_default().to_zoned(TimeZone::UTC);
    let month = usize::try_from(at.month() - 1).ok().and_then(|n| MONTHS.get(n)).copied().unwrap_or("Jan");
    format!(
        "{:2}-{month}-{:04} {:02}:{:02}:{:02} +0000",
        at.day(),
        at.year(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

impl Cursor<'_> {
    /// A day, quoted or not, as days since 1970.
    pub(super) fn day(&mut self) -> Parsed<i32> {
        let quoted = self.eats(b'"');
        let date = self.date()?;
        if quoted {
            self.expect(b'"', WRONG.0)?;
        }
        Ok(days(date))
    }

    /// `"17-Jul-1996 02:44:25 -0700"`, in seconds since 1970.
    pub(super) fn date_time(&mut self) -> Parsed<i64> {
        self.expect(b'"', WRONG.0)?;
        self.eats(b' ');
        let date = self.date()?;
        self.expect(b' ', WRONG.0)?;
        let hour = self.small()?;
        self.expect(b':', WRONG.0)?;
        let minute = self.small()?;
        self.expect(b':', WRONG.0)?;
        // RFC 3501 allows for a leap second; the clock of the world behind it does not.
        let second = self.small()?.min(59);
        self.expect(b' ', WRONG.0)?;
        let sign = if self.eats(b'-') { -1 } else { 1 };
        if sign == 1 {
            self.expect(b'+', WRONG.0)?;
        }
        let zone = i32::try_from(self.number()?).map_err(|_| WRONG)?;
        self.expect(b'"', WRONG.0)?;
        let at = DateTime::new(date.year(), date.month(), date.day(), hour, minute, second, 0)
            .map_err(|_| WRONG)?;
        let offset_s = (zone / 100 * 3600 + zone % 100 * 60) * sign;
        let offset = Offset::from_seconds(offset_s).map_err(|_| WRONG)?;
        offset.to_timestamp(at).map(jiff::Timestamp::as_second).map_err(|_| WRONG)
    }

    fn date(&mut self) -> Parsed<Date> {
        let day = self.small()?;
        self.expect(b'-', WRONG.0)?;
        let month = MONTHS.iter().zip(1_i8..).find(|(name, _)| self.eats_word(name)).ok_or(WRONG)?.1;
        self.expect(b'-', WRONG.0)?;
        let year = i16::try_from(self.number()?).map_err(|_| WRONG)?;
        Date::new(year, month, day).map_err(|_| WRONG)
    }

    fn small(&mut self) -> Parsed<i8> {
        self.number().ok().and_then(|n| i8::try_from(n).ok()).ok_or(WRONG)
    }
}
