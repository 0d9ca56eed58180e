//! Two copies of one job through every interleaving of their port calls.
//!
//! Each copy gives way once before every call of a port, so that a schedule is a sequence of "which copy makes its
//! next call". All schedules are followed, but each situation once: a job is a function of the answers that it got,
//! so two schedules that left the same stores, and gave both copies the same answers, go on in the same ways. This
//! makes the search complete and still small (C(20, 10) schedules of two jobs with ten calls meet in some hundred
//! situations).

use std::{
    collections::{HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::Arc,
    task::Poll,
};

use stages::Rim;

use crate::world::{
    Tap, Work, World,
    exec::{self, Running},
    perform,
};

/// Situations after which a pair is called endless.
const SITUATIONS_MAX: usize = 50_000;

/// The second copy's clock is ahead by so much: instants of the two must not be mixed in one fact.
const SKEW_S: i64 = 7;

/// What a search has seen.
pub struct Explored {
    /// Worlds after both copies have ended, each different from the others.
    pub ends: Vec<World>,
    /// Situations visited.
    pub situations: usize,
}

/// Runs two pieces of work at the same time from one world, in every order of their calls.
///
/// # Panics
/// If a copy fails in another way than by a lost race, or there is no end.
#[must_use]
pub fn every_order(before: &World, first: &Work, second: &Work) -> Explored {
    let (mut seen, mut ends, mut open) = (HashSet::new(), Vec::new(), vec![Vec::new()]);
    while let Some(schedule) = open.pop() {
        let mut pair = Pair::new(before.fork(), first, second);
        let fresh = schedule.is_empty();
        for &copy in &schedule {
            pair.step(copy);
        }
        let mut schedule: Vec<usize> = schedule;
        let mut known = !seen.insert(pair.situation()) && !fresh;
        // On along the first copy that is not done; the other choice is left for later.
        while !known {
            match pair.choices().as_slice() {
                [] => {
                    ends.push(pair.end());
                    break;
                }
                [only] => {
                    pair.step(*only);
                    schedule.push(*only);
                }
                [one, other, ..] => {
                    let mut later = schedule.clone();
                    later.push(*other);
                    open.push(later);
                    pair.step(*one);
                    schedule.push(*one);
                }
            }
            known = !seen.insert(pair.situation());
        }
        assert!(seen.len() < SITUATIONS_MAX, "{first:?} and {second:?} have no end");
    }
    Explored { ends, situations: seen.len() }
}

/// Two running copies.
struct Pair {
    world: World,
    copies: [Copy; 2],
}

struct Copy {
    tap: Arc<Tap>,
    running: Option<Running<'static, Result<(), String>>>,
}

impl Copy {
    fn new(world: &World, work: &Work, seed: u64, ahead_s: i64) -> Self {
        let tap = Tap::yielding();
        let rim: Rim = world.rim_of_copy(&tap, seed, ahead_s);
        let work = work.clone();
        let running: Running<'static, _> = Box::pin(async move { perform(&rim, &work).await });
        Self { tap, running: Some(running) }
    }

    /// To the next call, which is made at the next step; a failed copy is gone, as its hint is.
    fn step(&mut self) {
        let Some(running) = self.running.as_mut() else { return };
        if let Poll::Ready(result) = exec::step(running) {
            if let Err(why) = result {
                assert!(why.contains("another copy was faster"), "a copy fails: {why}");
            }
            self.running = None;
        }
    }
}

impl Pair {
    fn new(world: World, first: &Work, second: &Work) -> Self {
        let mut copies = [Copy::new(&world, first, 1001, 0), Copy::new(&world, second, 2002, SKEW_S)];
        // To before their first calls: nothing has happened yet.
        copies.iter_mut().for_each(Copy::step);
        Self { world, copies }
    }

    fn step(&mut self, copy: usize) {
        self.copies[copy].step();
    }

    fn choices(&self) -> Vec<usize> {
        (0..2).filter(|&n| self.copies[n].running.is_some()).collect()
    }

    fn situation(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.world.state().hash(&mut hasher);
        for copy in &self.copies {
            (copy.running.is_some(), copy.tap.observed()).hash(&mut hasher);
        }
        hasher.finish()
    }

    fn end(self) -> World {
        self.world.clock.advance_to(self.world.now().plus_s(SKEW_S));
        self.world
    }
}
