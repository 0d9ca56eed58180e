//! A year of three providers: thousands of letters, faults of ports, crashes, delays, losses and repetitions between
//! them, viruses, mailboxes that are not there, systems that are away for hours or days, clocks that are corrected. All
//! of it by a seed. After it each letter of each recipient must have ended as spec 6 and 7 want it ([`verdict`]).
//!
//! Time is the simulation's: it jumps to what happens next. What providers do is real: the stages on ports in memory.

pub mod dice;
pub mod plan;
pub mod verdict;
mod wire;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::{Arc, Mutex},
};

use pec::Instant;
use stages::{
    BlobKey, Job, Rim,
    door::{self, Arrival},
    watch,
};

use self::{
    dice::Dice,
    plan::{PROVIDERS, Planned, SEES, YEAR_S},
    verdict::{Seen, Verdict},
    wire::{MARGIN_S, SimCarrier, UnderWay, Wire},
};
use crate::world::{Fault, SWEEP_AFTER_S, ScannerKind, Tap, Work, World, exec, letters, morning, perform};

/// After so many jobs at one instant a provider is not getting anywhere.
const JOBS_MAX: usize = 100_000;
/// Rows that `watch` looks at in one go.
const HINTS_MAX: usize = 1000;
/// Calls of a job, some of which are broken.
const CALLS: usize = 16;
/// Of a thousand jobs, those with a broken call.
const BROKEN: u64 = 20;
/// Of a thousand hints, those that are lost, and those that come twice.
const LOST: u64 = 10;
const TWICE: u64 = 10;
/// How far a clock is off at most, in seconds.
const SKEW_S: i64 = 45;
/// Times that each provider is away in a year.
const AWAY_TIMES: usize = 8;
/// How often a clock is corrected in a year.
const STEPS: usize = 40;
/// Messages of ordinary mail that come in, for each letter of users: one of so many.
const ORDINARY_OF: usize = 20;

/// What happens.
#[derive(Clone, Debug)]
enum Event {
    /// A user writes.
    Write(usize),
    /// Something comes in.
    Arrive(UnderWay),
    /// Ordinary mail is sent to a provider.
    Ordinary { number: usize, to: usize, open: bool },
    /// A clock is corrected.
    Step { provider: usize, skew_s: i64 },
    /// A provider goes away.
    Away { provider: usize, for_s: i64 },
    /// It is there again.
    Back(usize),
    /// `watch` looks at the spool.
    Sweep(usize),
}

/// How a year went.
#[derive(Debug)]
pub struct Year {
    /// What the letters ended in, by words, and how often.
    pub outcomes: BTreeMap<&'static str, usize>,
    /// Seconds that were simulated.
    pub simulated_s: i64,
    /// Jobs that ran.
    pub jobs: usize,
    /// Jobs with a broken call.
    pub broken: usize,
}

/// A year that is under way.
struct Simulation {
    dice: Dice,
    worlds: [World; 3],
    wire: Arc<Mutex<Wire>>,
    events: BinaryHeap<Reverse<(Instant, u64)>>,
    of: BTreeMap<u64, Event>,
    next: u64,
    letters: Vec<Planned>,
    /// Letters that are not decided yet, by PEC id.
    undecided: Vec<(String, usize)>,
    seen: Seen,
    jobs: usize,
    broken: usize,
}

/// Simulates a year with so many letters, and judges it.
///
/// # Errors
/// What did not end as it must, in words, with what is known of the letter.
pub fn year(seed: u64, letters: usize) -> Result<Year, Verdict> {
    let mut simulation = Simulation::new(seed, letters);
    simulation.run();
    let outcomes = verdict::judge(
        &simulation.letters,
        &simulation.worlds,
        &simulation.seen,
        &simulation.wire.lock().unwrap().refused,
    )?;
    let simulated_s = simulation.wire.lock().unwrap().now.unix_s() - morning().unix_s();
    Ok(Year { outcomes, simulated_s, jobs: simulation.jobs, broken: simulation.broken })
}

impl Simulation {
    fn new(seed: u64, letters: usize) -> Self {
        let mut dice = Dice::of(seed);
        let index = pec::Index::new(PROVIDERS.map(|p| p.index_record()).to_vec());
        let worlds = [0, 1, 2].map(|n| {
            let scanner = if SEES[n] { ScannerKind::Eicar } else { ScannerKind::Blind };
            World::of(PROVIDERS[n]).scanning(scanner).knowing(index.clone())
        });
        let wire = Wire::new(Dice::of(dice.roll()), morning());
        let letters = Planned::year(letters, &mut dice);
        let mut simulation = Self {
            worlds,
            wire: Arc::new(Mutex::new(wire)),
            events: BinaryHeap::new(),
            of: BTreeMap::new(),
            next: 0,
            letters,
            undecided: Vec::new(),
            seen: Seen::default(),
            jobs: 0,
            broken: 0,
            dice,
        };
        simulation.lay_out();
        simulation
    }

    /// The year as it is planned.
    fn lay_out(&mut self) {
        for n in 0..self.letters.len() {
            self.plan(self.letters[n].at, Event::Write(n));
        }
        let some_time = |dice: &mut Dice| morning().plus_s(dice.seconds(0, YEAR_S));
        for number in 0..self.letters.len() / ORDINARY_OF {
            let (to, open) = (self.dice.below(3), self.dice.happens(500));
            let at = some_time(&mut self.dice);
            self.plan(at, Event::Ordinary { number, to, open });
        }
        for provider in 0..3 {
            for _ in 0..STEPS {
                let (at, skew_s) = (some_time(&mut self.dice), self.dice.seconds(-SKEW_S, SKEW_S));
                self.plan(at, Event::Step { provider, skew_s });
            }
            for _ in 0..AWAY_TIMES {
                let (at, for_s) = (some_time(&mut self.dice), self.dice.seconds(3600, 40 * 3600));
                self.plan(at, Event::Away { provider, for_s });
            }
        }
    }

    fn plan(&mut self, at: Instant, event: Event) {
        self.events.push(Reverse((at, self.next)));
        self.of.insert(self.next, event);
        self.next += 1;
    }

    /// True time.
    fn now(&self) -> Instant {
        self.wire.lock().unwrap().now
    }

    fn is_away(&self, provider: usize) -> Option<Instant> {
        let wire = self.wire.lock().unwrap();
        wire.away_until(provider, wire.now)
    }

    /// True time goes on, and all clocks with it.
    fn go_to(&mut self, at: Instant) {
        let mut wire = self.wire.lock().unwrap();
        wire.now = wire.now.max(at);
        for (n, world) in self.worlds.iter().enumerate() {
            world.clock.set(wire.clock(n));
        }
    }

    /// Until nothing happens any more and nobody owes anything.
    fn run(&mut self) {
        loop {
            let event = self.events.peek().map(|Reverse((at, _))| *at);
            let due = (0..3).filter_map(|n| Some((self.due(n)?, n))).min();
            match (event, due) {
                (None, None) => break,
                (event, Some((at, provider))) if event.is_none_or(|e| at < e) => {
                    self.go_to(at);
                    self.watch(provider);
                }
                _ => {
                    let Some(Reverse((at, key))) = self.events.pop() else { break };
                    self.go_to(at);
                    let event = self.of.remove(&key).expect("an event");
                    self.happen(event);
                }
            }
            self.work();
        }
    }

    /// When a provider has something to look at, in true time; never while it is away: `Back` comes.
    fn due(&self, provider: usize) -> Option<Instant> {
        if self.is_away(provider).is_some() {
            return None;
        }
        let wire = self.wire.lock().unwrap();
        let due = self.worlds[provider].facts.next_due()?;
        Some(due.plus_s(-wire.skew[provider]).max(wire.now))
    }

    fn rim(&self, provider: usize) -> Rim {
        let carrier = SimCarrier { from: provider, wire: Arc::clone(&self.wire) };
        Rim { carrier: Arc::new(carrier), ..self.worlds[provider].rim() }
    }

    fn watch(&mut self, provider: usize) {
        let rim = self.rim(provider);
        let hinted = exec::run(watch::hints(&rim, rim.now(), HINTS_MAX)).expect("no waiting");
        assert!(hinted.is_ok(), "{hinted:?}");
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Write(letter) => self.write(letter),
            Event::Arrive(under_way) => self.arrive(under_way),
            Event::Ordinary { number, to, open } => self.ordinary(number, to, open),
            Event::Step { provider, skew_s } => {
                self.wire.lock().unwrap().skew[provider] = skew_s;
                self.go_to(self.now());
            }
            Event::Away { provider, for_s } => self.go_away(provider, for_s),
            Event::Back(provider) => {
                // What is due is looked at before a door opens.
                self.watch(provider);
                self.sweep(provider, 0);
            }
            Event::Sweep(provider) => {
                if self.is_away(provider).is_none() {
                    self.sweep(provider, SWEEP_AFTER_S - 60);
                }
            }
        }
    }

    fn sweep(&mut self, provider: usize, age_s: i64) {
        let rim = self.rim(provider);
        let swept = exec::run(watch::sweep_older(&rim, rim.now(), age_s)).expect("no waiting");
        assert!(swept.is_ok(), "{swept:?}");
    }

    /// A client writes until it was answered.
    fn write(&mut self, letter: usize) {
        let planned = &self.letters[letter];
        let provider = planned.from;
        if let Some(until) = self.is_away(provider) {
            let at = until.plus_s(self.dice.seconds(60, 3600));
            return self.plan(at, Event::Write(letter));
        }
        let submission = planned.submission();
        let tap = self.tap();
        let rim = self.rim(provider);
        let rim = tap.as_ref().map_or_else(|| rim.clone(), |tap| tap.on(rim.clone()));
        match exec::run(door::submit(&rim, submission)) {
            Some(Ok(spool)) => {
                self.undecided.push((spool.pec_id(PROVIDERS[provider].mail_domain), letter));
            }
            failed => {
                assert!(tap.is_some(), "a door fails with all ports whole: {failed:?}");
                let at = self.now().plus_s(self.dice.seconds(30, 300));
                self.plan(at, Event::Write(letter));
            }
        }
        self.look_later(provider);
    }

    /// Another system hands something over until it was answered.
    fn arrive(&mut self, under_way: UnderWay) {
        let UnderWay { to, arrival, fixed, .. } = under_way;
        let again =
            |at: Instant, arrival: Arrival, fixed: bool| Event::Arrive(UnderWay { at, to, arrival, fixed });
        if let Some(until) = self.is_away(to) {
            // Its clocks strike first.
            let at = until.plus_s(MARGIN_S + self.dice.seconds(60, 600));
            return self.plan(at, again(at, arrival, fixed));
        }
        let (letter, now) = (wire::letter_of(&arrival.raw), self.now());
        let clear = letter.filter(|_| !fixed).map(|l| self.wire.lock().unwrap().clear_of_strikes(l, now));
        if let Some(at) = clear.filter(|at| *at > now) {
            return self.plan(at, again(at, arrival, false));
        }
        let tap = self.tap();
        let rim = self.rim(to);
        let rim = tap.as_ref().map_or_else(|| rim.clone(), |tap| tap.on(rim.clone()));
        let answer = exec::run(door::receive(&rim, arrival.clone()));
        self.seen.arrived(to, letter, &arrival, rim.now());
        if let Some(number) = wire::ordinary_of(&arrival.raw) {
            self.seen.ordinary_came(number);
        }
        if !matches!(answer, Some(Ok(_))) {
            assert!(tap.is_some(), "a door fails with all ports whole: {answer:?}");
            // It may have been taken: the same again soon, whatever strikes meanwhile.
            let at = self.now().plus_s(self.dice.seconds(60, 600));
            self.plan(at, again(at, arrival, true));
        }
        self.look_later(to);
    }

    fn ordinary(&mut self, number: usize, to: usize, open: bool) {
        let from = crate::world::address("scrivente@posta.example");
        let reader = PROVIDERS[to].user(if open { "aperta" } else { "destinatario" });
        let raw = letters::message(&from, std::slice::from_ref(&reader), &[], "Buongiorno.");
        let text = String::from_utf8(raw.to_vec()).expect("ASCII");
        let text = text.replace("=?UTF-8?Q?Prova_perch=C3=A9_s=C3=AC?=", &wire::ordinary_subject(number));
        let arrival = letters::arrival(Some(from), vec![reader], text.into());
        let at = self.now();
        self.seen.ordinary(number, to, open);
        self.arrive(UnderWay { at, to, arrival, fixed: true });
    }

    /// A provider that has nothing in hand goes away; what it owes is in its tables.
    fn go_away(&mut self, provider: usize, for_s: i64) {
        if self.is_away(provider).is_some() {
            return;
        }
        self.sweep(provider, 0);
        self.watch(provider);
        self.work_whole(provider);
        let waits = |job: &Job| matches!(job, Job::Deadline { .. } | Job::Dispatch { .. });
        let now = self.now();
        if self.worlds[provider].facts.debts().iter().any(|debt| !waits(&debt.job)) {
            return self.plan(now.plus_s(600), Event::Away { provider, for_s });
        }
        let until = now.plus_s(for_s);
        self.wire.lock().unwrap().away[provider].push((now, until));
        self.plan(until, Event::Back(provider));
    }

    /// Sometimes a call is broken.
    fn tap(&mut self) -> Option<Arc<Tap>> {
        if !self.dice.happens(BROKEN) {
            return None;
        }
        self.broken += 1;
        Some(Tap::breaking(self.dice.below(CALLS), self.dice.one(&Fault::ALL)))
    }

    /// Hints of what came in may be lost with what failed.
    fn look_later(&mut self, provider: usize) {
        let at = self.now().plus_s(SWEEP_AFTER_S);
        self.plan(at, Event::Sweep(provider));
    }

    /// Every provider that is there works until it has no hint.
    fn work(&mut self) {
        for provider in 0..3 {
            if self.is_away(provider).is_none() {
                self.work_at(provider, true);
            }
        }
        let sent = std::mem::take(&mut self.wire.lock().unwrap().sent);
        for under_way in sent {
            self.plan(under_way.at, Event::Arrive(under_way));
        }
    }

    fn work_whole(&mut self, provider: usize) {
        self.work_at(provider, false);
    }

    fn work_at(&mut self, provider: usize, faults: bool) {
        for _ in 0..JOBS_MAX {
            let mut jobs = self.worlds[provider].queue.drain();
            if jobs.is_empty() {
                return;
            }
            self.dice.shuffle(&mut jobs);
            for job in jobs {
                if faults && self.dice.happens(LOST) {
                    self.look_later(provider);
                    continue;
                }
                let times = if self.dice.happens(TWICE) { 2 } else { 1 };
                for _ in 0..times {
                    self.job(provider, &job, faults);
                }
            }
            self.note_acceptances(provider);
        }
        panic!("{} is not getting anywhere", PROVIDERS[provider].name);
    }

    fn job(&mut self, provider: usize, job: &Job, faults: bool) {
        self.jobs += 1;
        let tap = if faults { self.tap() } else { None };
        let rim = self.rim(provider);
        let rim = tap.as_ref().map_or_else(|| rim.clone(), |tap| tap.on(rim.clone()));
        let ended = exec::run(perform(&rim, &Work::One(job.clone())));
        if !matches!(ended, Some(Ok(()))) {
            assert!(tap.is_some(), "{job:?} fails with all ports whole: {ended:?}");
            self.look_later(provider);
        }
    }

    /// Clocks of new letters run: the wire keeps clear of where they strike.
    fn note_acceptances(&mut self, provider: usize) {
        let mut wire = self.wire.lock().unwrap();
        let (world, letters) = (&self.worlds[provider], &self.letters);
        self.undecided.retain(|(pec_id, letter)| {
            let of_here = letters[*letter].from == provider;
            let Some(at) = verdict::accepted_at(world, pec_id).filter(|_| of_here) else { return true };
            wire.accepted.insert(*letter, (provider, at));
            false
        });
    }
}

/// Where an infected message is kept.
fn is_vault(key: &BlobKey) -> bool {
    key.as_str().starts_with("vault/infected/")
}
