//! What SORT compares: base subjects and sent dates (RFC 5256 §2).

use jiff::{fmt::rfc2822::DateTimeParser, tz::TimeZone};

/// The base subject (RFC 5256 §2.1) of a `Subject` as transported, in lower case.
pub(crate) fn base(raw: &str) -> String {
    let decoded = mime::word::decode(raw.as_bytes());
    let mut text = decoded.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    loop {
        // (2) `(fwd)` at the end.
        while let Some(short) = text.strip_suffix("(fwd)") {
            text = short.trim_end().to_owned();
        }
        // (3)-(5) `re:`, `fw:`, `fwd:` and `[blobs]` at the beginning.
        let mut rest = text.trim();
        loop {
            let without = leader(rest).or_else(|| blob(rest).filter(|rest| !rest.is_empty()));
            match without {
                Some(shorter) => rest = shorter.trim_start(),
                None => break,
            }
        }
        // (6) `[fwd: ...]` around it all.
        match rest.strip_prefix("[fwd:").and_then(|inner| inner.strip_suffix(']')) {
            Some(inner) => text = inner.trim().to_owned(),
            None => return rest.to_owned(),
        }
    }
}

/// After `re`, `fw` or `fwd`, a blob or none, and a colon; blobs may come before.
fn leader(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(after) = blob(rest) {
        rest = after;
    }
    let rest = ["fwd", "fw", "re"].iter().find_map(|word| rest.strip_prefix(word))?.trim_start();
    let rest = blob(rest).unwrap_or(rest);
    rest.strip_prefix(':')
}

/// After `[...]`.
fn blob(text: &str) -> Option<&str> {
    let (inner, rest) = text.strip_prefix('[')?.split_once(']')?;
    (!inner.contains('[')).then(|| rest.trim_start())
}

/// The instant of a `Date` field in seconds since 1970 (RFC 5256 §2.2), if it is one.
pub(crate) fn sent(raw: &str) -> Option<i64> {
    zoned(raw).map(|at| at.timestamp().as_second())
}

/// Its day as the sender had it, without time and zone (RFC 9051 §6.4.4 SENTON), in days since 1970.
pub(crate) fn sent_day(raw: &str) -> Option<i32> {
    zoned(raw).map(|at| crate::grammar::days(at.date()))
}

fn zoned(raw: &str) -> Option<jiff::Zoned> {
    DateTimeParser::new().relaxed_weekday(true).parse_zoned(raw.trim()).ok()
}

/// The day of an instant in UTC, in days since 1970.
pub(crate) fn day(unix_s: i64) -> i32 {
    let at = jiff::Timestamp::from_second(unix_s).unwrap_or_default();
    crate::grammar::days(at.to_zoned(TimeZone::UTC).date())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_subjects() {
        for (raw, expected) in [
            ("Fattura", "fattura"),
            ("Re: Fattura", "fattura"),
            ("RE : [elenco] Fw: Re[2]: Fattura (fwd) (FWD)", "fattura"),
            ("[fwd: Re: Fattura]", "fattura"),
            ("[elenco]", "[elenco]"),
            ("[elenco] ", "[elenco]"),
            ("[a] [b] x", "x"),
            ("=?utf-8?q?Re=3A_Citt=C3=A0?=", "città"),
            ("Report", "report"),
            ("Re:", ""),
            ("", ""),
            ("  spazi \t doppi ", "spazi doppi"),
            ("POSTA CERTIFICATA: Re: Fattura", "posta certificata: re: fattura"),
        ] {
            assert_eq!(base(raw), expected, "{raw}");
        }
    }

    #[test]
    fn sent_dates() {
        assert_eq!(sent("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)"), Some(837_595_405));
        assert_eq!(sent("17 Jul 96 02:23 GMT"), Some(837_570_180));
        assert_eq!(sent("Mon, 17 Jul 1996 02:23:25 -0700"), Some(837_595_405), "the wrong day of the week");
        assert_eq!(sent("ieri"), None);
        assert_eq!(sent_day("Thu, 1 Jan 1970 23:59:00 -1100"), Some(0));
        assert_eq!(day(-1), -1);
        assert_eq!(day(86_400), 1);
    }
}
