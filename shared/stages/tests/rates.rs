//! Sending rates (`stages::rates`) on tables in memory, with a clock of the test's own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use sigillo_stages::{
    Rim,
    ids::MailboxId,
    rates::{Limits, RateError, Rates, Whose},
};
use sigillo_tests::world::{ALFA, Fault, Tap, TestClock, World, exec, morning};

const LIMITS: Limits = Limits { account: 10, organisation: 25 };

fn at(world: &World, s: i64) -> Rim {
    Rim { clock: Arc::new(TestClock::at(morning().plus_s(s))), ..world.rim() }
}

fn admit(rates: &Rates, account: &str, recipients: usize) -> Result<(), (Whose, u64)> {
    let account = MailboxId(account.to_owned());
    match exec::run(rates.admit(&account, "organizzazione", recipients)).unwrap() {
        Ok(()) => Ok(()),
        Err(RateError::Over { whose, retry_s, .. }) => Err((whose, retry_s)),
        Err(error) => panic!("{error}"),
    }
}

fn save(rates: &Rates) {
    exec::run(rates.save()).unwrap().unwrap();
}

#[test]
fn an_account_and_its_organisation_may_write_to_so_many_in_an_hour() {
    let world = World::of(&ALFA);
    let rates = Rates::new(at(&world, 30), LIMITS);
    for _ in 0..10 {
        admit(&rates, "a", 1).unwrap();
    }
    // The hour ends with the minute in which it began; who is refused is not counted.
    assert_eq!(admit(&rates, "a", 1), Err((Whose::Account, 3570)));
    assert_eq!(admit(&rates, "a", 1), Err((Whose::Account, 3570)));
    admit(&rates, "b", 10).unwrap();
    assert_eq!(admit(&rates, "c", 6), Err((Whose::Organisation, 3570)));
    admit(&rates, "c", 5).unwrap();
}

#[test]
fn room_comes_back_minute_by_minute() {
    let world = World::of(&ALFA);
    for (s, recipients) in [(0, 6), (600, 4)] {
        let rates = Rates::new(at(&world, s), LIMITS);
        admit(&rates, "a", recipients).unwrap();
        save(&rates);
    }
    let later = |s: i64, recipients| admit(&Rates::new(at(&world, s), LIMITS), "a", recipients);
    assert_eq!(later(3599, 1), Err((Whose::Account, 1)));
    assert_eq!(later(3600, 6), Ok(()));
    assert_eq!(later(3600, 7), Err((Whose::Account, 600)));
    assert_eq!(later(4200, 10), Ok(()));
    // More than an hour may have, by one letter: when nothing else was sent.
    assert_eq!(later(3600, 11), Err((Whose::Account, 600)));
    assert_eq!(later(4200, 11), Ok(()));
}

#[test]
fn processes_add_up_and_a_restart_does_not_begin_anew() {
    let world = World::of(&ALFA);
    let [one, other] = [0, 0].map(|s| Rates::new(at(&world, s), LIMITS));
    admit(&one, "a", 4).unwrap();
    admit(&other, "a", 4).unwrap();
    save(&one);
    save(&other);
    // Saved once: nothing is added twice.
    save(&one);
    save(&other);
    assert_eq!(admit(&other, "a", 3).unwrap_err().0, Whose::Account);
    assert_eq!(admit(&one, "a", 2), Ok(()));
    save(&one);
    let restarted = Rates::new(at(&world, 60), LIMITS);
    assert_eq!(admit(&restarted, "a", 1).unwrap_err().0, Whose::Account);
}

#[test]
fn what_cannot_be_saved_is_saved_the_next_time() {
    let world = World::of(&ALFA);
    for n in 0.. {
        let account = format!("a{n}");
        let tap = Tap::breaking(n, Fault::NotDone);
        let rates = Rates::new(tap.on(at(&world, 0)), Limits { organisation: u64::MAX, ..LIMITS });
        let id = MailboxId(account.clone());
        let admitted = exec::run(rates.admit(&id, "organizzazione", 10)).unwrap().is_ok();
        let saved = exec::run(rates.save()).unwrap().is_ok();
        save(&rates);
        if admitted {
            let other = Rates::new(at(&world, 0), LIMITS);
            assert!(admit(&other, &account, 1).is_err(), "broken at call {n}");
        }
        if saved && admitted {
            assert!(n >= 4, "two reads, and two rows that are written");
            return;
        }
    }
}
