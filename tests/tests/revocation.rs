//! Revocation at the incoming point (spec 5.2 V3, 0.2 D15): a list that is fresh decides; without one a message waits,
//! four hours at most; then the last good one counts.
#![allow(clippy::unwrap_used, reason = "a test world has no failures but those that a test makes")]

use pec::{Index, Kind};
use sigillo_tests::world::{
    BETA, Evidence, GAMMA, GAMMA_SERIAL, PKI, Work, World, exec, letters::letter, morning, perform,
};
use stages::{Job, door::Arrival, log::Event};

const HOUR_S: i64 = 3600;

/// An envelope of GAMMA, whose certificate names a list, to BETA.
fn envelope() -> Arrival {
    let gamma = World::of(&GAMMA).knowing(index());
    gamma.submit(letter(&GAMMA, &[BETA.user("destinatario")], &[])).unwrap();
    gamma.run_until_idle();
    gamma.sent_to(&BETA).remove(0)
}

fn index() -> Index {
    Index::new(vec![BETA.index_record(), GAMMA.index_record()])
}

fn beta() -> World {
    World::of(&BETA).knowing(index()).asking()
}

/// A list with these serial numbers, from so many hours after the morning until so many.
fn list(revoked: &[u64], from_h: i64, until_h: i64) -> Vec<u8> {
    let at = |hours: i64| morning().plus_s(hours * HOUR_S);
    PKI.list(revoked, at(-10), at(from_h), at(until_h))
}

/// What is made of an envelope that came in already: one try.
fn tried(world: &World) -> Result<Evidence, String> {
    let jobs = world.queue.drain();
    let [Job::Receive { .. }] = jobs[..] else { panic!("one job: {jobs:?}") };
    exec::run(perform(&world.rim(), &Work::One(jobs[0].clone()))).unwrap()?;
    world.heal();
    let evidence = world.evidence();
    evidence.assert_lawful();
    Ok(evidence)
}

fn comes_in(world: &World) -> Result<Evidence, String> {
    world.arrive(envelope()).unwrap();
    tried(world)
}

fn hint_again(world: &World, after_h: i64) {
    world.clock.advance_to(morning().plus_s(after_h * HOUR_S));
    world.perform(&Work::Sweep);
}

fn is_taken(evidence: &Evidence) -> bool {
    let (taken, delivered) =
        (evidence.acts_of(Kind::TakeCharge).len(), evidence.logged(Event::Delivered).len());
    assert_eq!(taken, delivered);
    taken == 1
}

/// What the log says of revocation.
fn said(evidence: &Evidence) -> String {
    evidence.logged(Event::Received)[0].detail["revocation"].clone()
}

#[test]
fn a_fresh_list_decides() {
    let world = beta();
    world.take_list(&list(&[77], -1, 5)).unwrap();
    let evidence = comes_in(&world).unwrap();
    assert!(is_taken(&evidence));
    assert_eq!(said(&evidence), "not on the list of 2026-03-02T07:00:00Z");

    let world = beta();
    world.take_list(&list(&[77, GAMMA_SERIAL], -1, 5)).unwrap();
    let evidence = comes_in(&world).unwrap();
    assert!(!is_taken(&evidence), "case D: no take-charge");
    assert!(
        evidence.acts.iter().all(|a| a.key.kind != Kind::AnomalyEnvelope),
        "the mailbox refuses ordinary mail"
    );
}

/// The instant of reception counts: who is revoked after it was a provider when the envelope came.
#[test]
fn a_revocation_after_the_reception_does_not_count() {
    let world = beta();
    let at = |hours: i64| morning().plus_s(hours * HOUR_S);
    world.clock.advance_to(at(2));
    world.arrive(envelope()).unwrap();
    world.clock.advance_to(at(4));
    world.take_list(&PKI.list(&[GAMMA_SERIAL], at(3), at(3), at(9))).unwrap();
    assert!(is_taken(&tried(&world).unwrap()));
}

#[test]
fn without_a_list_it_waits_four_hours() {
    let world = beta();
    assert!(comes_in(&world).unwrap_err().contains("fresh revocation list"));
    assert!(world.evidence().acts.is_empty() && world.evidence().log.is_empty(), "nothing was decided");
    hint_again(&world, 3);
    assert!(tried(&world).is_err());
    hint_again(&world, 4);
    let evidence = tried(&world).unwrap();
    assert!(is_taken(&evidence));
    assert_eq!(said(&evidence), "no list");
}

#[test]
fn a_list_that_comes_ends_the_wait() {
    for (revoked, taken) in [(&[77][..], true), (&[GAMMA_SERIAL], false)] {
        let world = beta();
        world.take_list(&list(&[], -30, -6)).unwrap();
        assert!(comes_in(&world).is_err());
        hint_again(&world, 1);
        world.take_list(&list(revoked, 1, 25)).unwrap();
        assert_eq!(is_taken(&tried(&world).unwrap()), taken);
    }
}

/// After four hours the last good list counts, whatever it says.
#[test]
fn the_last_good_list_counts_in_the_end() {
    for (revoked, taken) in [(&[77][..], true), (&[GAMMA_SERIAL], false)] {
        let world = beta();
        world.take_list(&list(revoked, -30, -6)).unwrap();
        assert!(comes_in(&world).is_err());
        hint_again(&world, 5);
        let evidence = tried(&world).unwrap();
        assert_eq!(is_taken(&evidence), taken);
    }
}

/// An older list never takes the place of a newer one, and only the authority's own are taken.
#[test]
fn only_lists_that_hold_are_taken() {
    let world = beta();
    world.take_list(&list(&[GAMMA_SERIAL], -1, 5)).unwrap();
    world.take_list(&list(&[], -3, 5)).unwrap();
    assert!(!is_taken(&comes_in(&world).unwrap()));

    let mut tampered = list(&[GAMMA_SERIAL], -1, 5);
    let at = tampered.len() - 1;
    tampered[at] ^= 1;
    assert!(matches!(beta().take_list(&tampered), Err(smime::ListError::Signature(_))));
    assert!(matches!(beta().take_list(&list(&[], 1, 5)), Err(smime::ListError::Future)));
    assert!(matches!(beta().take_list(b"no list"), Err(smime::ListError::Malformed(_))));
}
