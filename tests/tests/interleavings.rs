//! Two copies of every job at the same time, in every order of their calls of ports (design §8): each act is still
//! made once, nothing is lost, nothing is doubled.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests: a panic is how they fail")]

use sigillo_tests::{
    interleave::every_order,
    journey::{Journey, Step},
    scenarios::{self, Scenario},
};

/// Runs every job of a scenario beside a copy of itself; where mailboxes are crowded, those that are others then. A door
/// is no job: two submissions are two letters.
fn double_everything(scenario: Scenario) {
    let quiet = Journey::of(&scenario());
    let ends = double_steps(&quiet, quiet.steps.iter().filter(|s| !s.is_at_a_door()));
    assert!(ends > 0, "nothing was run");
    let crowded = Journey::of(&scenario().crowded());
    double_steps(&crowded, crowded.steps.iter().filter(|s| s.files_or_certifies()));
}

fn double_steps<'a>(whole: &Journey, steps: impl Iterator<Item = &'a Step>) -> usize {
    let expected = whole.evidence.outline();
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
    ends
}

macro_rules! every_order_of {
    ($($scenario:ident),* $(,)?) => {
        $(
            #[test]
            fn $scenario() {
                double_everything(scenarios::$scenario);
            }
        )*
    };
}

sigillo_tests::every_scenario!(every_order_of);
