//! The clock's offset (`stages::timekeeping`) on tables in memory.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use sigillo_stages::{Rim, accounts::AuditEvent, timekeeping};
use sigillo_tests::world::{ALFA, TestClock, World, exec, morning};

/// DM 2 November 2005 art. 9(2): one second; what is not more than it is right.
#[test]
fn each_crossing_of_a_second_is_an_audit_entry() {
    let world = World::of(&ALFA);
    let rim =
        |minutes: i64| Rim { clock: Arc::new(TestClock::at(morning().plus_s(60 * minutes))), ..world.rim() };
    assert_eq!(exec::run(timekeeping::last(&rim(0))).unwrap().unwrap(), None);
    let measured = [3, -1000, 1001, 5000, -1500, 999, 0, -70_000, 70_000];
    let mut off = Vec::new();
    for (n, offset_ms) in (0..).zip(measured) {
        let row = exec::run(timekeeping::note(&rim(10 * n), offset_ms)).unwrap().unwrap();
        off.push((row.is_off, (row.since.unix_s() - morning().unix_s()) / 60));
    }
    let expected = [
        (false, 0),
        (false, 0),
        (true, 20),
        (true, 20),
        (true, 20),
        (false, 50),
        (false, 50),
        (true, 70),
        (true, 70),
    ];
    assert_eq!(off, expected);
    let last = exec::run(timekeeping::last(&rim(90))).unwrap().unwrap().unwrap();
    assert_eq!((last.offset_ms, last.at), (70_000, morning().plus_s(80 * 60)));
    let mut history = exec::run(timekeeping::history(&rim(90), &morning().month())).unwrap().unwrap();
    history.sort_by_key(|entry| entry.first);
    let told: Vec<_> = history.iter().map(|e| (e.event, e.detail.as_deref().unwrap())).collect();
    assert_eq!(
        told,
        [
            (AuditEvent::ClockOff, "1001 ms"),
            (AuditEvent::ClockRight, "999 ms"),
            (AuditEvent::ClockOff, "-70000 ms")
        ]
    );
}
