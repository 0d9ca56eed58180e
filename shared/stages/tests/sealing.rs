//! The seal of the log (DM 2005 art. 10; spec 8.3): segments follow each other without a gap, whatever fails between two of
//! their files, and each is sealed once.
#![allow(clippy::unwrap_used, reason = "a test world has no failures but those that a test makes")]

use std::sync::Mutex;

use sigillo_stages::{
    log::{Event, LogEntry},
    sealing::{EVERY_S, File, proof::prove},
};
use sigillo_tests::{
    sealing::{Log, Stamps, Store, verify},
    world::{ALFA, World},
};

fn seal(world: &World, log: &Log, store: &Store, stamps: &Stamps, after_s: i64) -> Result<u64, String> {
    sigillo_tests::sealing::seal(world, &ALFA, log, store, stamps, after_s)
}

#[test]
fn a_day_is_sealed_once_and_the_next_follows_it() {
    let (world, log, store) = (World::of(&ALFA), Log::default(), Store::default());
    log.grow("a", 5);
    assert_eq!(seal(&world, &log, &store, &Stamps(true), 0), Ok(1));
    log.grow("b", 4);
    assert_eq!(seal(&world, &log, &store, &Stamps(true), EVERY_S - 1), Ok(0), "not due");
    assert_eq!(seal(&world, &log, &store, &Stamps(true), EVERY_S), Ok(1));
    assert_eq!(seal(&world, &log, &store, &Stamps(true), 2 * EVERY_S), Ok(1), "also a day without an entry");
    let held = verify(&store, &log).unwrap();
    let told: Vec<_> = held.iter().map(|held| held.statement.entries).collect();
    assert_eq!(told, [5, 4, 0]);
    assert!(held.windows(2).all(|two| two[0].statement.upto == two[1].statement.after));

    // What shows one letter's entries shows them all, and no others.
    let files = store.files.lock().unwrap();
    let proven = prove(&files[&File::Entries.name(2)], "b").unwrap();
    assert_eq!(proven.len(), 4);
    for (n, one) in proven.iter().enumerate() {
        assert_eq!(one.entry(&held[1].statement).unwrap().pec_id, "b");
        assert!(one.entry(&held[0].statement).is_err(), "another segment");
        let elsewhere = sigillo_stages::sealing::proof::Proven { index: (n + 1) % 4, ..one.clone() };
        assert!(elsewhere.entry(&held[1].statement).is_err(), "another place");
    }
    assert_eq!(prove(&files[&File::Entries.name(1)], "b").unwrap(), []);
}

/// Power fails at each call of the store, before it or after it; entries come in before the next look.
#[test]
fn whatever_fails_each_entry_is_sealed_once() {
    for done in [false, true] {
        for at in 0.. {
            let (world, log) = (World::of(&ALFA), Log::default());
            log.grow("a", 3);
            let mut store = Store::default();
            store.fails_at = Some((at, done));
            let first = seal(&world, &log, &store, &Stamps(true), 0);
            log.grow("b", 3);
            store.fails_at = None;
            seal(&world, &log, &store, &Stamps(true), 60).unwrap();
            seal(&world, &log, &store, &Stamps(true), EVERY_S + 60).unwrap();
            let held = verify(&store, &log).unwrap();
            let sealed: usize = held.iter().map(|held| held.statement.entries).sum();
            assert_eq!((sealed, held.len()), (6, 2), "call {at}, done {done}: {:?}", store.names());
            if first.is_ok() {
                assert!(at > 4, "there are more calls than that");
                break;
            }
        }
    }
}

#[test]
fn a_seal_waits_for_its_timestamp_and_nothing_is_sealed_twice() {
    let (world, log, store) = (World::of(&ALFA), Log::default(), Store::default());
    log.grow("a", 3);
    assert!(seal(&world, &log, &store, &Stamps(false), 0).unwrap_err().contains("out of reach"));
    log.grow("b", 3);
    assert!(seal(&world, &log, &store, &Stamps(false), 300).is_err());
    assert_eq!(store.names(), [File::Entries.name(1), File::Seal.name(1)]);
    assert_eq!(seal(&world, &log, &store, &Stamps(true), 600), Ok(0), "only the timestamp was missing");
    assert_eq!(verify(&store, &log).unwrap()[0].statement.entries, 3);
}

#[test]
fn a_gap_and_a_changed_log_are_seen() {
    let (world, log, store) = (World::of(&ALFA), Log::default(), Store::default());
    for day in 0..3 {
        log.grow("a", 3);
        seal(&world, &log, &store, &Stamps(true), day * EVERY_S).unwrap();
    }
    assert_eq!(verify(&store, &log).unwrap().len(), 3);

    // The second segment is gone, and the third has its name.
    let gap = Store::default();
    for (from, to) in [(1, 1), (3, 2)] {
        for file in [File::Entries, File::Seal, File::Timestamp] {
            let octets = store.files.lock().unwrap()[&file.name(from)].clone();
            gap.files.lock().unwrap().insert(file.name(to), octets);
        }
    }
    assert!(verify(&gap, &log).unwrap_err().contains("does not follow"));

    // An entry is another; one is gone; one was put in.
    for change in [
        (|log| log[4].1.event = Event::Filed) as fn(&mut Vec<(u64, LogEntry)>),
        |log| drop(log.remove(4)),
        |log| log.insert(4, log[4].clone()),
        |log| drop(log.pop()),
    ] {
        let other = Log(Mutex::new(log.0.lock().unwrap().clone()));
        change(&mut other.0.lock().unwrap());
        assert!(verify(&store, &other).is_err());
    }
}

/// A log that came from an old backup, or was cut: nothing is sealed over it.
#[test]
fn a_log_that_ends_before_its_seal_is_not_sealed() {
    let (world, log, store) = (World::of(&ALFA), Log::default(), Store::default());
    log.grow("a", 5);
    seal(&world, &log, &store, &Stamps(true), 0).unwrap();
    log.0.lock().unwrap().pop();
    let refused = seal(&world, &log, &store, &Stamps(true), EVERY_S).unwrap_err();
    assert!(refused.contains("ends before what was sealed"), "{refused}");
    assert_eq!(store.names().len(), 3, "no new segment");
}
