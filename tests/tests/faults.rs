//! The fault table (design §8): every step of every scenario, broken at every call of a port in every way. After
//! healing: the same evidence, each act once with one byte string, nothing owed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests: a panic is how they fail")]

use sigillo_tests::{
    journey::{Journey, Step},
    scenarios::{self, Scenario},
    world::{Evidence, Fault, Tap, Work, exec, morning, perform},
};

/// Breaks every call of every step of a scenario; where mailboxes are crowded, of those that are others then.
fn break_everything(scenario: Scenario) {
    let quiet = Journey::of(&scenario());
    let broken = break_steps(&quiet, quiet.steps.iter());
    assert!(broken > 0, "nothing was broken");
    let crowded = Journey::of(&scenario().crowded());
    break_steps(&crowded, crowded.steps.iter().filter(|step| step.files_or_certifies()));
}

fn break_steps<'a>(whole: &Journey, steps: impl Iterator<Item = &'a Step>) -> usize {
    let mut broken = 0;
    for step in steps {
        for (n, call) in step.calls().into_iter().enumerate() {
            for fault in Fault::ALL {
                break_one(
                    step,
                    n,
                    fault,
                    &whole.evidence,
                    &format!("{fault:?} at call {n}, {call}, of {}", step.name()),
                );
                broken += 1;
            }
        }
    }
    broken
}

fn break_one(step: &Step, n: usize, fault: Fault, whole: &Evidence, what: &str) {
    let world = step.before.fork();
    let tap = Tap::breaking(n, fault);
    let result = exec::run(perform(&tap.on(world.rim()), &step.work));
    assert!(tap.calls().len() > n, "{what}: the call was made");
    assert_eq!(result.is_none(), tap.crashed(), "{what}");

    world.heal();
    let healed = world.evidence();
    healed.assert_lawful();
    // A client that got no answer does not know: its message went all its way, or nothing of it is there.
    let untaken = step.is_at_a_door() && result != Some(Ok(()));
    if !untaken || healed.outline() == whole.outline() {
        healed.outline().assert_is(&whole.outline(), what);
    } else {
        let never = step.before.fork();
        never.heal();
        healed.outline().assert_is(&never.evidence().outline(), what);
    }
}

macro_rules! every_fault_of {
    ($($scenario:ident),* $(,)?) => {
        $(
            #[test]
            fn $scenario() {
                break_everything(scenarios::$scenario);
            }
        )*

        #[test]
        fn every_scenario_is_here() {
            assert_eq!([$(stringify!($scenario)),*].len(), scenarios::ALL.len());
        }
    };
}

sigillo_tests::every_scenario!(every_fault_of);

/// Storms that each scenario goes through.
const STORMS: u64 = 20;

/// Every call may break, again and again, for as long as the storm lasts; then the evidence is the same.
#[test]
fn storms_of_faults_leave_the_same_evidence() {
    let mut broken = 0;
    for (name, scenario) in scenarios::ALL {
        let expected = Journey::of(&scenario()).evidence.outline();
        for storm in 0..STORMS {
            let (world, mut jobs) = (scenario(), 0);
            world.heal_by(|work| {
                jobs += 1;
                // What comes in is taken: a client tries until it is told so. The storm is over in time for M6.
                if world.now() > morning().plus_s(20 * 3600)
                    || matches!(work, Work::Submit(_) | Work::Arrive(_))
                {
                    return world.perform(work);
                }
                let tap = Tap::storm(storm * 1000 + jobs, 4);
                broken += u64::from(exec::run(perform(&tap.on(world.rim()), work)) != Some(Ok(())));
            });
            let evidence = world.evidence();
            evidence.assert_lawful();
            evidence.outline().assert_is(&expected, &format!("{name}, storm {storm}"));
        }
    }
    assert!(broken > 500, "{broken} jobs were broken");
}
