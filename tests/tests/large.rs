//! Letters with more recipients than one commit takes (design §4): their rows are laid in chunks, and spread.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests: a panic is how they fail")]

use pec::Kind;
use sigillo_tests::{
    interleave::every_order,
    journey::{Journey, Step},
    scenarios::{self, MANY, Scenario},
    world::{Fault, Tap, Work, exec, perform},
};
use stages::Job;

/// The jobs that lay and spread rows: the others are as for any letter.
fn is_large(step: &&Step) -> bool {
    matches!(
        &step.work,
        Work::One(Job::Spread { .. } | Job::Accept { .. } | Job::Receive { .. } | Job::Seal { .. })
    )
}

/// Breaks each commit of the large jobs in every way; heals; the same evidence.
fn break_commits(scenario: Scenario) {
    let whole = Journey::of(&scenario());
    let expected = whole.evidence.outline();
    let spreads = whole.steps.iter().filter(|s| matches!(s.work, Work::One(Job::Spread { .. }))).count();
    assert!(spreads > 0, "it is large");
    for step in whole.steps.iter().filter(is_large) {
        let calls = step.calls();
        for n in (0..calls.len()).filter(|&n| calls[n] == "facts.commit") {
            for fault in Fault::ALL {
                let (world, tap) = (step.before.fork(), Tap::breaking(n, fault));
                let _ = exec::run(perform(&tap.on(world.rim()), &step.work));
                world.heal();
                let healed = world.evidence();
                healed.assert_lawful();
                healed.outline().assert_is(&expected, &format!("{fault:?} at call {n} of {}", step.name()));
            }
        }
    }
}

#[test]
fn a_letter_to_many_destinations() {
    let evidence = Journey::of(&scenarios::many_destinations()).evidence;
    assert_eq!(evidence.recipients.len(), MANY + 1);
    assert_eq!(evidence.sent.len(), MANY);
    assert_eq!(evidence.acts_of(Kind::Acceptance).len(), 1);
    assert_eq!(evidence.acts_of(Kind::Delivery).len(), 1);
}

#[test]
fn a_letter_to_many_of_our_addresses() {
    let evidence = Journey::of(&scenarios::many_filings()).evidence;
    assert_eq!(evidence.acts_of(Kind::TakeCharge).len(), 1);
    assert_eq!(evidence.acts_of(Kind::Delivery).len(), 1);
    assert_eq!(evidence.acts_of(Kind::NonDelivery).len(), MANY);
    assert_eq!(evidence.sent.len(), MANY + 2);
}

#[test]
fn every_broken_commit_of_a_letter_to_many_destinations() {
    break_commits(scenarios::many_destinations);
}

#[test]
fn every_broken_commit_of_a_letter_to_many_of_our_addresses() {
    break_commits(scenarios::many_filings);
}

/// Two copies with clocks of their own: no row keeps the instant of the copy that lost.
#[test]
fn two_copies_of_the_large_jobs_in_every_order() {
    double(scenarios::many_recipients, |job| matches!(job, Job::Accept { .. } | Job::Spread { .. }));
    double(scenarios::many_destinations, |job| matches!(job, Job::Seal { .. } | Job::Spread { .. }));
}

fn double(scenario: Scenario, wanted: fn(&Job) -> bool) {
    let whole = Journey::of(&scenario());
    let expected = whole.evidence.outline();
    let steps = whole.steps.iter().filter(|s| matches!(&s.work, Work::One(job) if wanted(job)));
    let mut ends = 0;
    for step in steps {
        for world in every_order(&step.before, &step.work, &step.work).ends {
            world.heal();
            let evidence = world.evidence();
            evidence.assert_lawful();
            evidence.outline().assert_is(&expected, &format!("two copies of {}", step.name()));
            ends += 1;
        }
    }
    assert!(ends > 3, "{ends} ends");
}
