//! Certificates change while letters are under way (design §3 rule 7): an act is signed by the certificate that was
//! chosen with its fact; a new certificate comes into use 48 hours after its notBefore.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests: a panic is how they fail")]

use pec::Instant;
use sigillo_tests::{
    scenarios,
    world::{ALFA, Evidence, PKI, Work, World, exec, letters::letter, perform},
};
use stages::rows::ActRow;

fn at(text: &str) -> Instant {
    Instant::parse(text).expect("an instant")
}

/// Who signed an act, by the certificate inside.
fn signer(world: &World, evidence: &Evidence, act: &ActRow) -> String {
    world
        .verify(evidence.bytes(act), act.document.at)
        .expect("a signature that holds")
        .certificate
        .sha256_hex()
}

fn certificates() -> [String; 2] {
    let ids: Vec<String> = PKI.of(&ALFA).iter().map(|c| c.id.0.clone()).collect();
    ids.try_into().expect("two certificates")
}

/// The new one is valid from 2026-03-03; it signs from 2026-03-05 on.
#[test]
fn a_new_certificate_waits_for_forty_eight_hours() {
    let [old, new] = certificates();
    for (now, expected) in [
        ("2026-03-03T00:00:00Z", &old),
        ("2026-03-04T23:59:59Z", &old),
        ("2026-03-05T00:00:00Z", &new),
        ("2026-03-06T00:00:00Z", &new),
    ] {
        let world = World::of(&ALFA);
        world.clock.advance_to(at(now));
        world.submit(letter(&ALFA, &[ALFA.user("destinatario")], &[])).expect("taken");
        world.heal();
        let evidence = world.evidence();
        evidence.assert_lawful();
        assert_eq!(evidence.acts.len(), 4);
        for act in &evidence.acts {
            assert_eq!(&signer(&world, &evidence, act), expected, "{now}: {}", act.key.kind.name());
            assert_eq!(&act.certificate.0, expected);
        }
    }
}

/// The rollover comes after each step of a letter in turn: the acts whose fact is older are signed with the old key,
/// at the old instant, however late they are issued; all verify.
#[test]
fn acts_keep_the_certificate_of_their_fact_across_the_rollover() {
    let [old, new] = certificates();
    let before = at("2026-03-04T23:00:00Z");
    let mut mixed = 0;
    for steps in 0..40 {
        let world = scenarios::two_own_recipients();
        world.clock.advance_to(before);
        let mut done = 0;
        while done < steps
            && let Some(work) = world.next_work()
        {
            world.perform(&work);
            done += 1;
        }
        if done < steps {
            break;
        }
        world.clock.advance_to(at("2026-03-05T01:00:00Z"));
        world.heal();
        let evidence = world.evidence();
        evidence.assert_lawful();
        let mut used = [0, 0];
        for act in &evidence.acts {
            let expected = if act.document.at < at("2026-03-05T00:00:00Z") { &old } else { &new };
            assert_eq!(&signer(&world, &evidence, act), expected, "{steps} steps: {}", act.key.kind.name());
            used[usize::from(expected == &new)] += 1;
        }
        mixed += usize::from(used[0] > 0 && used[1] > 0);
    }
    assert!(mixed > 3, "the rollover fell between acts of one letter");
}

/// A hint that was lost before the rollover comes again after it: the row's certificate signs.
#[test]
fn a_retry_after_the_rollover_signs_with_the_old_key() {
    let [old, _] = certificates();
    let world = World::of(&ALFA);
    world.clock.advance_to(at("2026-03-04T23:59:00Z"));
    world.submit(letter(&ALFA, &[ALFA.user("destinatario")], &[])).expect("taken");
    let accept = world.queue.pop().expect("a hint");
    exec::run(perform(&world.rim(), &Work::One(accept))).expect("no waiting").expect("accepted");
    assert_eq!(world.queue.drain().len(), 2, "the hints for M3 and M4 are lost");
    world.clock.advance_to(at("2026-03-06T12:00:00Z"));
    world.perform(&Work::Hints);
    world.run_until_idle();
    let evidence = world.evidence();
    for kind in [pec::Kind::Acceptance, pec::Kind::TransportEnvelope] {
        let [act] = evidence.acts_of(kind)[..] else { panic!("one {}", kind.name()) };
        assert_eq!(signer(&world, &evidence, act), old);
        assert_eq!(act.document.at, at("2026-03-04T23:59:00Z"));
    }
}
