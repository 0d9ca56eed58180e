//! Letters with more recipients than one commit takes (design §4): rows first, then the head, then a spread.
#![allow(clippy::unwrap_used, reason = "a test world has no failures but those that a test makes")]

use pec::{Address, Kind, document::Matter};
use sigillo_stages::{
    Job,
    log::Event,
    rows::{Filed, Outcome},
};
use sigillo_tests::world::{
    ALFA, BETA, Evidence, Fault, SWEEP_AFTER_S, ScannerKind, Tap, Work, World, address, eicar, exec,
    letters::{arrival, letter, message, submission},
    morning, perform,
};

fn many(prefix: &str, domain: &str, n: usize) -> Vec<Address> {
    (0..n).map(|i| address(&format!("{prefix}{i}@{domain}"))).collect()
}

/// How many jobs a large letter may take before it is going nowhere.
const JOBS_MAX: usize = 20_000;

/// A world with this letter submitted.
fn submitted(to: &[Address]) -> World {
    let world = World::of(&ALFA);
    world.submit(letter(&ALFA, to, &[])).unwrap();
    world
}

/// A world with an envelope of the other provider to this one's users, as it was sent.
fn from_beta(to: &[Address], text: &str) -> World {
    let beta = World::of(&BETA).scanning(ScannerKind::Blind);
    let raw = message(&BETA.user("mittente"), to, &[], text);
    beta.submit(submission(&BETA, to.to_vec(), raw)).unwrap();
    beta.run_until_idle();
    let world = World::of(&ALFA);
    for one in beta.sent_to(&ALFA) {
        world.arrive(one).unwrap();
    }
    world
}

/// Runs a world until nothing is owed: hints first, then the clock moves to what is due next.
fn finish(world: &World) -> Evidence {
    for _ in 0..JOBS_MAX {
        world.run_until_idle();
        let due = world.facts.rows().into_iter().filter_map(|s| s.row.debt).map(|d| d.due).min();
        match due {
            Some(due) => {
                world.clock.advance_to(due);
                world.perform(&Work::Hints);
            }
            None if world.now() < morning().plus_s(SWEEP_AFTER_S) => {
                world.clock.advance_to(morning().plus_s(SWEEP_AFTER_S));
                world.perform(&Work::Sweep);
            }
            None => {
                let evidence = world.evidence();
                evidence.assert_lawful();
                return evidence;
            }
        }
    }
    panic!("it is going nowhere");
}

fn outcomes(evidence: &Evidence, outcome: &Outcome) -> usize {
    evidence.recipients.iter().filter(|r| r.outcome.as_ref() == Some(outcome)).count()
}

/// Design §4, spec 0.2 D3: the default limit, with every kind of recipient at once.
#[test]
fn a_letter_to_five_hundred() {
    let mut to = vec![ALFA.user("destinatario"), ALFA.user("copia")];
    to.extend(many("ignoto", &ALFA.user("x").domain(), 298));
    to.extend(many("utente", &BETA.user("x").domain(), 100));
    to.extend((0..100).map(|i| address(&format!("utente@posta{i}.example"))));
    let evidence = finish(&submitted(&to));

    assert_eq!(evidence.recipients.len(), 500);
    assert_eq!(outcomes(&evidence, &Outcome::Delivered), 2);
    assert_eq!(outcomes(&evidence, &Outcome::Failed), 298);
    assert_eq!(outcomes(&evidence, &Outcome::Relayed), 100);
    assert_eq!(outcomes(&evidence, &Outcome::Expired), 100, "the other provider never answers");
    assert_eq!(evidence.acts_of(Kind::Acceptance).len(), 1);
    assert_eq!(evidence.acts_of(Kind::TransportEnvelope).len(), 1);
    assert_eq!(evidence.acts_of(Kind::Delivery).len(), 2);
    assert_eq!(evidence.acts_of(Kind::NonDelivery).len(), 298);
    assert_eq!(evidence.acts_of(Kind::TimeoutLast).len(), 100);
    assert_eq!(evidence.sent.len(), 101, "one transaction for each destination");
    let [take_charge] = evidence.acts_of(Kind::TakeCharge)[..] else { panic!("one take-charge") };
    let Matter::TakeCharge { received } = &take_charge.document.matter else { panic!("a take-charge") };
    assert_eq!(received.len(), 300);
    let taken = evidence.recipients.iter().filter(|r| r.clocks.taken_in_charge_at.is_some()).count();
    assert!(taken <= 300, "{taken}");
    assert!(evidence.recipients.iter().all(|r| r.clocks.accepted_at == evidence.letters[0].accepted_at));
}

/// One more than the limit is refused with a notice (spec 0.2 D3).
#[test]
fn a_letter_to_five_hundred_and_one() {
    let evidence = finish(&submitted(&many("ignoto", &ALFA.user("x").domain(), 501)));
    assert_eq!(evidence.acts_of(Kind::NonAcceptance).len(), 1);
    assert_eq!(evidence.acts.len(), 1);
    assert!(evidence.recipients.is_empty());
}

/// Spec 5.4, 6: an envelope of another provider, taken in charge as a whole.
#[test]
fn an_envelope_to_two_hundred_of_ours() {
    let to = many("ignoto", &ALFA.user("x").domain(), 200);
    let evidence = finish(&from_beta(&to, "Buongiorno."));
    assert_eq!(evidence.acts_of(Kind::TakeCharge).len(), 1);
    assert_eq!(evidence.acts_of(Kind::NonDelivery).len(), 200);
    assert!(evidence.filings.iter().all(|f| matches!(f.filed, Some(Filed::Failed { .. }))));
}

/// Spec 5.5: infected, one notice for each recipient, no filing.
#[test]
fn an_infected_envelope_to_two_hundred_of_ours() {
    let to = many("ignoto", &ALFA.user("x").domain(), 200);
    let evidence = finish(&from_beta(&to, &eicar()));
    assert_eq!(evidence.acts_of(Kind::TakeCharge).len(), 1);
    assert_eq!(evidence.acts_of(Kind::VirusDetection).len(), 200);
    assert_eq!(evidence.logged(Event::VirusFound).len(), 1);
    assert!(evidence.filings.is_empty());
}

/// The same again in a second transaction to others, while the first is half spread: together they cover all.
#[test]
fn two_large_transactions_of_one_envelope() {
    let to = many("ignoto", &ALFA.user("x").domain(), 200);
    let beta = World::of(&BETA);
    beta.submit(letter(&BETA, &to, &[])).unwrap();
    beta.run_until_idle();
    let whole = beta.sent_to(&ALFA).remove(0);
    let part = |recipients: &[Address]| {
        let path = whole.transaction.reverse_path.clone();
        Work::Arrive(Box::new(arrival(path, recipients.to_vec(), whole.raw.clone())))
    };
    let world = World::of(&ALFA);
    world.perform(&part(&to[..120]));
    world.perform(&part(&to[80..]));
    let evidence = finish(&world);
    assert_eq!(evidence.acts_of(Kind::TakeCharge).len(), 2);
    assert_eq!(evidence.acts_of(Kind::NonDelivery).len(), 200, "each recipient once");
}

/// The fault table for the stages that need more than one commit: every write is broken in every way.
fn break_chunked(world: &World, chunked: impl Fn(&Job) -> bool) {
    let whole = finish(&world.fork());
    let mut broken = 0;
    while let Some(job) = world.queue.pop() {
        let work = Work::One(job);
        if let Work::One(job) = &work
            && chunked(job)
        {
            broken += break_writes(world, &work, &whole);
        }
        world.perform(&work);
    }
    assert!(broken > 0, "nothing was broken");
}

fn break_writes(before: &World, work: &Work, whole: &Evidence) -> usize {
    let (counted, whole) = (Tap::counting(), whole.outline());
    exec::run(perform(&counted.on(before.fork().rim()), work)).unwrap().unwrap();
    let is_write = |call: &str| ["facts.commit", "queue.send", "blobs."].iter().any(|w| call.starts_with(w));
    let mut broken = 0;
    for (n, call) in counted.calls().into_iter().enumerate().filter(|(_, call)| is_write(call)) {
        for fault in Fault::ALL {
            let world = before.fork();
            let _ = exec::run(perform(&Tap::breaking(n, fault).on(world.rim()), work));
            let healed = finish(&world).outline();
            assert_eq!(healed.outcomes, whole.outcomes, "{fault:?} at call {n}, {call}");
            assert_eq!(healed.acts.len(), whole.acts.len(), "{fault:?} at call {n}, {call}");
            assert_eq!(healed.log.len(), whole.log.len(), "{fault:?} at call {n}, {call}");
            broken += 1;
        }
    }
    broken
}

#[test]
fn every_fault_of_a_large_acceptance() {
    break_chunked(&submitted(&many("utente", "posta.example", 90)), |job| {
        matches!(job, Job::Accept { .. } | Job::Spread { .. })
    });
}

#[test]
fn every_fault_of_a_large_relay() {
    break_chunked(&submitted(&many("utente", "posta.example", 90)), |job| {
        matches!(job, Job::Dispatch { .. })
    });
}

#[test]
fn every_fault_of_many_destinations() {
    let to: Vec<Address> = (0..90).map(|i| address(&format!("utente@posta{i}.example"))).collect();
    break_chunked(&submitted(&to), |job| matches!(job, Job::Seal { .. } | Job::Spread { .. }));
}

#[test]
fn every_fault_of_a_large_reception() {
    let to = many("ignoto", &ALFA.user("x").domain(), 90);
    break_chunked(&from_beta(&to, "Buongiorno."), |job| {
        matches!(job, Job::Receive { .. } | Job::Spread { .. })
    });
}

#[test]
fn every_fault_of_a_large_infected_reception() {
    let to = many("ignoto", &ALFA.user("x").domain(), 90);
    break_chunked(&from_beta(&to, &eicar()), |job| matches!(job, Job::Receive { .. } | Job::Spread { .. }));
}
