//! Journeys: what happens to a letter in a world, step by step, with the world as it was before each step.

use std::collections::HashMap;

use stages::Job;

use crate::world::{Evidence, SWEEP_AFTER_S, Tap, Work, World, exec, perform};

/// One piece of work, and the world before it. The hint that brought it is gone already.
pub struct Step {
    /// The world before.
    pub before: World,
    /// The work.
    pub work: Work,
}

/// A whole journey without any trouble.
pub struct Journey {
    /// Its steps.
    pub steps: Vec<Step>,
    /// What it left.
    pub evidence: Evidence,
}

/// Steps of one kind of work that are kept; more of the same (retries by the hour) teach nothing new.
const ALIKE_MAX: usize = 3;

impl Journey {
    /// Runs a world to its end.
    ///
    /// # Panics
    /// If a step fails: nothing is broken here.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let world = world.fork();
        let (mut steps, mut alike) = (Vec::new(), HashMap::<String, usize>::new());
        while let Some(work) = world.next_work() {
            let seen = alike.entry(format!("{work:?}")).or_default();
            *seen += 1;
            if *seen <= ALIKE_MAX {
                steps.push(Step { before: world.fork(), work: work.clone() });
            }
            world.perform(&work);
        }
        let before = world.fork();
        before.clock.advance_to(before.now().plus_s(SWEEP_AFTER_S));
        steps.push(Step { before, work: Work::Sweep });
        world.heal();
        let evidence = world.evidence();
        evidence.assert_lawful();
        Self { steps, evidence }
    }
}

impl Step {
    /// The calls of ports that this step makes, by name.
    #[must_use]
    pub fn calls(&self) -> Vec<&'static str> {
        let (world, tap) = (self.before.fork(), Tap::counting());
        let result = exec::run(perform(&tap.on(world.rim()), &self.work)).expect("no waiting");
        assert_eq!(result, Ok(()));
        tap.calls()
    }

    /// The work in a few words.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.work {
            Work::Submit(_) => "a submission".to_owned(),
            Work::Arrive(_) => "an arrival".to_owned(),
            work => format!("{work:?}"),
        }
    }

    /// Whether it files a message or issues an act: whether one follows from the other, or both are one commit, depends on
    /// what else happens in the mailbox.
    #[must_use]
    pub fn files_or_certifies(&self) -> bool {
        let files = |job: &Job| matches!(job, Job::Deliver { .. } | Job::Certify { .. });
        match &self.work {
            Work::One(job) => files(job),
            Work::Batch(..) => true,
            _ => false,
        }
    }

    /// Whether it is a door's: what a client was not promised may be lost.
    #[must_use]
    pub fn is_at_a_door(&self) -> bool {
        matches!(self.work, Work::Submit(_) | Work::Arrive(_))
    }
}
