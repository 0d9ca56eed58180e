//! Hints in any order and more than once (design §5: "At least once, in no order but by group").
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests: a panic is how they fail")]

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use sigillo_tests::{
    journey::Journey,
    scenarios,
    world::{SWEEP_AFTER_S, Work, World},
};

/// Orders that each scenario is run in.
const SEEDS: u64 = 20;

/// Runs a world with its hints shuffled by a seed, each up to three times.
fn run_in_disorder(world: &World, seed: u64) {
    let mut drawn = 0u64;
    let mut draw = |below: usize| {
        let mut hasher = DefaultHasher::new();
        (seed, drawn).hash(&mut hasher);
        drawn += 1;
        usize::try_from(hasher.finish() % below as u64).expect("small")
    };
    let mut hints = Vec::new();
    loop {
        for job in world.queue.drain() {
            hints.extend(std::iter::repeat_n(job, 1 + draw(3)));
        }
        if hints.is_empty() {
            match world.next_work() {
                Some(Work::One(job)) => hints.push(job),
                Some(work) => world.perform(&work),
                None => return,
            }
        } else {
            let next = hints.swap_remove(draw(hints.len()));
            world.perform(&Work::One(next));
        }
    }
}

#[test]
fn doubled_and_reordered_hints_change_nothing() {
    for (name, scenario) in scenarios::ALL {
        let expected = Journey::of(&scenario()).evidence.outline();
        for seed in 0..SEEDS {
            let world = scenario();
            run_in_disorder(&world, seed);
            world.heal();
            let evidence = world.evidence();
            evidence.assert_lawful();
            evidence.outline().assert_is(&expected, &format!("{name}, order {seed}"));
        }
    }
}

/// Every hint that a door or a commit sends is lost: `watch` alone brings a letter home.
#[test]
fn without_any_hint_watch_brings_every_letter_home() {
    for (name, scenario) in scenarios::ALL {
        let expected = Journey::of(&scenario()).evidence.outline();
        let world = scenario();
        loop {
            // Others answer what we have sent: nothing comes in while something else is owed.
            while let Some(due) = world.earliest_due() {
                world.clock.advance_to(due);
                watch(&world, &Work::Hints);
            }
            let Some(work) = world.next_work() else { break };
            watch(&world, &work);
            world.clock.advance_to(world.now().plus_s(SWEEP_AFTER_S));
            watch(&world, &Work::Sweep);
        }
        world.heal();
        let evidence = world.evidence();
        evidence.assert_lawful();
        evidence.outline().assert_is(&expected, name);
    }
}

/// Does a piece of work. What `watch` itself hints arrives; what those jobs hint does not.
fn watch(world: &World, work: &Work) {
    let hints_arrive = matches!(work, Work::Hints | Work::Sweep);
    world.perform(work);
    for job in world.queue.drain() {
        if hints_arrive {
            world.perform(&Work::One(job));
            world.queue.drain();
        }
    }
}
