use std::collections::BTreeMap;

use super::*;
use crate::log::About;

/// The first period of 2026 begins at midnight in Rome.
const BEGIN: i64 = 1_767_222_000;

/// A letter that came in so many seconds after the begin of the period.
fn letter(after_s: i64, unique: u128) -> String {
    // The first octet of the random part moves it within its second.
    SpoolId::new(Instant::from_unix_s(BEGIN + after_s), None, unique).pec_id("gestore.alfa.example")
}

fn entry(pec_id: &str, side: Side, event: Event, after_s: i64) -> LogEntry {
    let (alfa, other) = ("Alfa".to_owned(), About::default());
    let about = About { pec_id: pec_id.to_owned(), sending_provider: alfa.clone(), issuer: alfa, ..other };
    LogEntry::new(about, side, event, "", Instant::from_unix_s(BEGIN + after_s))
}

fn told(pec_id: &str, kind: &str, after_s: i64) -> LogEntry {
    entry(pec_id, Side::Origin, Event::Filed, after_s).with("kind", kind)
}

fn measure(entries: &[LogEntry], now_s: i64) -> Levels {
    let mut meter = Meter::new(Period::parse("2026-1").unwrap(), 60, Instant::from_unix_s(BEGIN + now_s));
    entries.iter().for_each(|entry| meter.take(entry));
    meter.finish()
}

#[test]
fn periods_are_four_months_of_italian_time() {
    let bounds = |text: &str| Period::parse(text).map(|p| (p.from.to_string(), p.to.to_string()));
    let own = |from: &str, to: &str| Ok((from.to_owned(), to.to_owned()));
    assert_eq!(bounds("2026-1"), own("2025-12-31T23:00:00Z", "2026-04-30T22:00:00Z"));
    assert_eq!(bounds("2026-2"), own("2026-04-30T22:00:00Z", "2026-08-31T22:00:00Z"));
    assert_eq!(bounds("2026-3"), own("2026-08-31T22:00:00Z", "2026-12-31T23:00:00Z"));
    assert_eq!(Period::parse("2026-1").unwrap().to_string(), "2026-1");
    for wrong in ["2026", "2026-0", "2026-4", "26-x", "-1", "99999-1", "2026-1-1"] {
        assert!(Period::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn acceptance_and_delivery_times_are_those_of_the_log() {
    let mut entries = Vec::new();
    for n in 0..100 {
        let id = letter(1000 * n, n as u128);
        entries.push(entry(&id, Side::Origin, Event::Accepted, 1000 * n + 1));
        entries.push(told(&id, "acceptance", 1000 * n + 2 + n / 10));
        entries.push(entry(&id, Side::Destination, Event::Delivered, 1000 * n + 20));
    }
    let refused = letter(500, 7);
    entries.push(entry(&refused, Side::Origin, Event::Refused, 503));
    entries.push(told(&refused, "non-acceptance", 504));
    let levels = measure(&entries, 1_000_000);
    assert_eq!((levels.accepted, levels.refused, levels.over_agreed), (100, 1, 0));
    assert_eq!(levels.decision, Times { count: 101, median_s: 1, p95_s: 1, p99_s: 1, max_s: 3 });
    assert_eq!(levels.receipt, Times { count: 101, median_s: 6, p95_s: 11, p99_s: 11, max_s: 11 });
    assert_eq!(levels.delivery, Times { count: 100, median_s: 20, p95_s: 20, p99_s: 20, max_s: 20 });
    assert_eq!((levels.down_s, levels.available_percent.as_str(), levels.kept), (0, "100.0000", true));
    assert_eq!(levels.longest_silence_s, 1000);
}

#[test]
fn what_waits_longer_than_agreed_is_an_outage_and_spans_are_united() {
    let (a, b, c) = (letter(1000, 1), letter(1030, 2), letter(9000, 3));
    let mut entries: Vec<_> =
        [&a, &b, &c].map(|id| entry(id, Side::Origin, Event::Accepted, 9001)).into_iter().collect();
    // 1060 to 2000 and 1090 to 2500; 9060 to 9100.
    entries.push(told(&a, "acceptance", 2000));
    entries.push(told(&b, "non-acceptance-virus", 2500));
    entries.push(told(&c, "acceptance", 9100));
    let levels = measure(&entries, 1_000_000);
    let spans: Vec<_> =
        levels.outages.iter().map(|o| (o.from.unix_s() - BEGIN, o.to.unix_s() - BEGIN)).collect();
    assert_eq!(spans, [(1060, 2500), (9060, 9100)]);
    assert_eq!((levels.down_s, levels.longest_outage_s, levels.over_agreed), (1480, 1440, 3));
    // 0.2 % of a million seconds, and half of it for one outage.
    assert_eq!((levels.down_s_max, levels.outage_s_max), (2000, 1000));
    assert!(!levels.kept, "one outage is too long");
    assert_eq!(levels.available_percent, "99.8520");
}

#[test]
fn a_whole_period_allows_what_the_decree_allows() {
    let levels = measure(&[], i64::MAX - BEGIN);
    // 120 days, an hour less: 5 h 45 m of downtime.
    assert_eq!(levels.to.unix_s() - levels.from.unix_s(), 120 * 86_400 - 3600);
    assert_eq!((levels.down_s_max, levels.outage_s_max, levels.kept), (20_728, 10_364, true));
}

#[test]
fn letters_of_other_periods_and_of_others_do_not_count_but_their_waits_do() {
    let before = letter(-100, 1);
    let waits = letter(100, 2);
    let entries = [
        entry(&before, Side::Origin, Event::Accepted, 5),
        told(&before, "acceptance", 10),
        entry(&waits, Side::Origin, Event::Accepted, 130),
        // Another receipt of the same letter is no answer.
        told(&waits, "delivery", 140),
        // Others: no id of ours, another provider's, of a later period.
        entry("jpec1.2026@pec.beta.example", Side::Origin, Event::Accepted, 1),
        entry("spool:1", Side::Origin, Event::Refused, 1),
        LogEntry {
            sending_provider: "Beta".to_owned(),
            ..entry(&before, Side::Destination, Event::Delivered, 9)
        },
        entry(&letter(200 * 86_400, 3), Side::Origin, Event::Accepted, 200 * 86_400),
    ];
    let levels = measure(&entries, 1000);
    assert_eq!((levels.accepted, levels.refused, levels.receipt.count, levels.delivery.count), (1, 0, 0, 0));
    // The letter of before waits to second 10 of the period; the other one from 160 until now.
    let spans: Vec<_> =
        levels.outages.iter().map(|o| (o.from.unix_s() - BEGIN, o.to.unix_s() - BEGIN)).collect();
    assert_eq!(spans, [(0, 10), (160, 1000)]);
    assert_eq!(levels.over_agreed, 1);
    // Details are not what decides: an entry without them is passed over.
    let bare = LogEntry { detail: BTreeMap::new(), ..told(&waits, "acceptance", 150) };
    assert_eq!(measure(&[bare], 1000).receipt.count, 0);
}
