//! Two copies of every job at the same time, in every order of their calls of ports (design §8): each act is still
//! made once, nothing is lost, nothing is doubled.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests: a panic is how they fail")]

use sigillo_tests::{
    interleave::every_order,
    journey::Journey,
    scenarios::{self, Scenario},
};

/// Runs every job of a scenario beside a copy of itself. A door is no job: two submissions are two letters.
fn double_everything(scenario: Scenario) {
    let whole = Journey::of(&scenario());
    let expected = whole.evidence.outline();
    let mut ends = 0;
    for step in whole.steps.iter().filter(|s| !s.is_at_a_door()) {
        for world in every_order(&step.before, &step.work, &step.work).ends {
            world.heal();
            let evidence = world.evidence();
            evidence.assert_lawful();
            evidence.outline().assert_is(&expected, &format!("two copies of {}", step.name()));
            ends += 1;
        }
    }
    assert!(ends > 0, "nothing was run");
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
