//! T-TM: the rows of spec 7, in their order. What BETA answers is BETA's own; when it comes in is the test's choice.

use sigillo_tests::{
    network::Network,
    world::{ALFA, BETA, Evidence, Work, World, eicar, letters},
};
use stages::{door::Arrival, door::Submission};

use crate::{ACCEPTANCE, DELIVERY, FAILURE, Found, TAKE_CHARGE, TIMEOUT, VIRUS, kinds};

const HOUR_S: i64 = 3600;

fn letter(local: &str, text: &str) -> Submission {
    let to = [BETA.user(local)];
    letters::submission(&ALFA, to.to_vec(), letters::message(&ALFA.user("mittente"), &to, &[], text))
}

fn alfa() -> World {
    World::of(&ALFA).scanning(sigillo_tests::world::ScannerKind::Blind)
}

/// What BETA answers to it, of one kind. A world begins the same each time, so the letter is the one that is tested.
fn answer(letter: &Submission, kind: &str) -> Arrival {
    let mut network = Network::of(vec![alfa(), World::of(&BETA)]);
    network.world(&ALFA).submit(letter.clone()).unwrap();
    network.settle();
    let answers = network.world(&BETA).sent_to(&ALFA);
    answers.into_iter().find(|a| Found::of(a.raw.clone()).kind == kind).expect(kind)
}

/// What a letter ends in when these come in at these hours.
fn ends(letter: &Submission, events: &[(i64, &str)]) -> Evidence {
    let mut world = alfa().with(0, Work::Submit(Box::new(letter.clone())));
    for (hour, kind) in events {
        world = world.with(hour * HOUR_S, Work::Arrive(Box::new(answer(letter, kind))));
    }
    while let Some(work) = world.next_work() {
        world.perform(&work);
    }
    let evidence = world.evidence();
    evidence.assert_lawful();
    evidence
}

/// Which notices the sender got, by what they say: after twelve hours, after twenty-four.
fn notices(evidence: &Evidence) -> (usize, usize) {
    let texts: Vec<_> =
        crate::of_kind(evidence, "mittente", TIMEOUT).iter().map(|m| m.opened().text).collect();
    let of = |words: &str| texts.iter().filter(|text| text.contains(words)).count();
    let (first, last) = (of("nelle prime dodici ore"), of("nelle ventiquattro ore"));
    assert_eq!(first + last, texts.len());
    (first, last)
}

/// A letter to a mailbox that is there.
fn usual() -> Submission {
    letter("destinatario", "Buongiorno.")
}

/// T-TM-01: taken in charge before twelve hours, never delivered.
#[test]
fn t_tm_01_taken_in_charge_and_never_delivered() {
    let evidence = ends(&usual(), &[(1, TAKE_CHARGE)]);
    assert_eq!(notices(&evidence), (0, 1));
    assert_eq!(kinds(&evidence, "mittente"), [ACCEPTANCE, TIMEOUT]);
}

/// T-TM-02: delivered between twelve and twenty-four hours, never taken in charge.
#[test]
fn t_tm_02_delivered_late_and_never_taken_in_charge() {
    let evidence = ends(&usual(), &[(14, DELIVERY)]);
    assert_eq!(notices(&evidence), (1, 0));
    assert_eq!(kinds(&evidence, "mittente"), [ACCEPTANCE, DELIVERY, TIMEOUT]);
}

/// T-TM-03: nothing. The first notice is not before twelve hours, the last not before twenty-two and not after
/// twenty-four.
#[test]
fn t_tm_03_nothing() {
    let evidence = ends(&usual(), &[]);
    assert_eq!(notices(&evidence), (1, 1));
    let accepted = evidence.letters[0].accepted_at;
    for (kind, from, to) in [(pec::Kind::TimeoutFirst, 12, 13), (pec::Kind::TimeoutLast, 22, 24)] {
        let [act] = evidence.acts_of(kind)[..] else { panic!("one {}", kind.name()) };
        let after_s = act.document.at.unix_s() - accepted.unix_s();
        assert!((from * HOUR_S..=to * HOUR_S).contains(&after_s), "{}: {after_s} s", kind.name());
    }
}

/// T-TM-04: delivered before twelve hours, with or without take-charge.
#[test]
fn t_tm_04_delivered_in_time() {
    for events in [&[(1, TAKE_CHARGE), (2, DELIVERY)][..], &[(11, DELIVERY)]] {
        let evidence = ends(&usual(), events);
        assert_eq!(notices(&evidence), (0, 0), "{events:?}");
        assert_eq!(kinds(&evidence, "mittente"), [ACCEPTANCE, DELIVERY]);
    }
}

/// T-TM-05: taken in charge between twelve and twenty-four hours, never delivered.
#[test]
fn t_tm_05_taken_in_charge_late_and_never_delivered() {
    assert_eq!(notices(&ends(&usual(), &[(14, TAKE_CHARGE)])), (1, 1));
}

/// T-TM-06: a failure, or a virus, at any time: no notice after it.
#[test]
fn t_tm_06_a_failure_ends_the_clocks() {
    for (hour, expected) in [(1, (0, 0)), (14, (1, 0))] {
        let failed = ends(&letter("ignoto", "Buongiorno."), &[(hour, FAILURE)]);
        assert_eq!(notices(&failed), expected, "failure at {hour} h");
        let infected = ends(&letter("destinatario", &eicar()), &[(hour, VIRUS)]);
        assert_eq!(notices(&infected), expected, "virus at {hour} h");
        let failures = crate::of_kind(&infected, "mittente", FAILURE);
        assert_eq!(failures.len(), 1, "M10");
        assert_eq!(failures[0].field("X-VerificaSicurezza").as_deref(), Some("errore"));
    }
}

/// T-TM-06, after the last notice: a late receipt is filed as any other, and nothing is said again (spec 7).
#[test]
fn t_tm_06_what_comes_after_the_last_notice_is_filed() {
    let evidence = ends(&usual(), &[(25, DELIVERY)]);
    assert_eq!(notices(&evidence), (1, 1));
    assert_eq!(kinds(&evidence, "mittente"), [ACCEPTANCE, DELIVERY, TIMEOUT, TIMEOUT]);
}
