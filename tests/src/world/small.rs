//! The small ports: hints, carrier, scanner, index, clock, randomness.

use std::{
    collections::{VecDeque, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use pec::{Index, Instant};
use stages::{
    Job,
    jobs::Hint,
    ports::{
        Carrier, Clock, Destination, Directory, Errand, Ids, Queue, QueueError, Relayed, Scan, Scanner,
        ScannerError,
    },
};

/// Hints in the order in which they were sent.
#[derive(Debug, Default)]
pub struct MemoryQueue(Mutex<VecDeque<Job>>);

impl MemoryQueue {
    /// Another queue with the same hints.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self(Mutex::new(self.0.lock().unwrap().clone()))
    }

    /// Takes the oldest hint.
    pub fn pop(&self) -> Option<Job> {
        self.0.lock().unwrap().pop_front()
    }

    /// Takes every hint that `wanted` picks.
    pub fn take(&self, wanted: impl Fn(&Job) -> bool) -> Vec<Job> {
        let mut hints = self.0.lock().unwrap();
        let (taken, left): (VecDeque<Job>, _) = hints.drain(..).partition(wanted);
        *hints = left;
        Vec::from(taken)
    }

    /// Takes every hint.
    pub fn drain(&self) -> Vec<Job> {
        self.0.lock().unwrap().drain(..).collect()
    }

    /// Feeds the hints to a hash, whatever their order: they come in any.
    pub fn hash_into(&self, hasher: &mut DefaultHasher) {
        let mut hints: Vec<String> = self.0.lock().unwrap().iter().map(|job| format!("{job:?}")).collect();
        hints.sort();
        hints.dedup();
        hints.hash(hasher);
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn send(&self, hints: Vec<Hint>) -> Result<(), QueueError> {
        self.0.lock().unwrap().extend(hints.into_iter().map(|hint| hint.job));
        Ok(())
    }
}

/// What a destination answers, by default that it has taken everything.
pub type Answers = fn(&Destination, Instant) -> Relayed;

/// A carrier that remembers what it carried.
pub struct TestCarrier {
    answers: Answers,
    clock: Arc<TestClock>,
    carried: Mutex<Vec<Errand>>,
}

impl TestCarrier {
    /// With these answers.
    #[must_use]
    pub fn new(answers: Answers, clock: Arc<TestClock>) -> Self {
        Self { answers, clock, carried: Mutex::default() }
    }

    /// Another carrier that remembers the same.
    #[must_use]
    pub fn fork(&self, clock: Arc<TestClock>) -> Self {
        let carried = Mutex::new(self.carried.lock().unwrap().clone());
        Self { answers: self.answers, clock, carried }
    }

    /// What the other side has taken, in order; the same message twice if it was sent twice.
    #[must_use]
    pub fn carried(&self) -> Vec<Errand> {
        self.carried.lock().unwrap().clone()
    }

    /// Feeds what was carried to a hash.
    pub fn hash_into(&self, hasher: &mut DefaultHasher) {
        for errand in self.carried.lock().unwrap().iter() {
            format!("{:?}{:?}", errand.destination, errand.recipients).hash(hasher);
            errand.message.hash(hasher);
        }
    }
}

#[async_trait]
impl Carrier for TestCarrier {
    async fn carry(&self, errand: Errand) -> Vec<Relayed> {
        let answer = (self.answers)(&errand.destination, self.clock.now());
        let answers = vec![answer.clone(); errand.recipients.len()];
        if answer == Relayed::Taken {
            self.carried.lock().unwrap().push(errand);
        }
        answers
    }
}

/// What the scanner of a world finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScannerKind {
    /// The EICAR test string, wherever it stands in clear.
    Eicar,
    /// The same, but only inside transport envelopes: a pattern that became known in between.
    EnvelopesOnly,
    /// Nothing.
    Blind,
}

/// A scanner that looks at the octets as they stand.
#[derive(Debug)]
pub struct TestScanner(pub ScannerKind);

/// The industry's harmless test pattern, in two halves so that no scanner takes this source for it.
#[must_use]
pub fn eicar() -> String {
    ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD", "-ANTIVIRUS-TEST-FILE!$H+H*"].concat()
}

#[async_trait]
impl Scanner for TestScanner {
    async fn scan(&self, message: &Bytes) -> Result<Scan, ScannerError> {
        let holds = |pattern: &str| message.windows(pattern.len()).any(|w| w == pattern.as_bytes());
        let looks = match self.0 {
            ScannerKind::Eicar => true,
            ScannerKind::EnvelopesOnly => holds("X-Trasporto: posta-certificata"),
            ScannerKind::Blind => false,
        };
        let infected = looks && holds(&eicar());
        Ok(if infected { Scan::Infected { virus: "Eicar-Test-Signature".to_owned() } } else { Scan::Clean })
    }

    fn version(&self) -> String {
        "test scanner 1".to_owned()
    }
}

/// An index that stays.
pub struct FixedDirectory(pub Arc<Index>);

impl Directory for FixedDirectory {
    fn index(&self) -> Arc<Index> {
        Arc::clone(&self.0)
    }
}

/// A clock that goes when it is told to.
#[derive(Debug)]
pub struct TestClock(AtomicI64);

impl TestClock {
    /// That shows this instant.
    #[must_use]
    pub fn at(instant: Instant) -> Self {
        Self(AtomicI64::new(instant.unix_s()))
    }

    /// Sets it, also backwards: a clock that is corrected.
    pub fn set(&self, instant: Instant) {
        self.0.store(instant.unix_s(), Ordering::SeqCst);
    }

    /// Sets it; never backwards.
    pub fn advance_to(&self, instant: Instant) {
        self.0.fetch_max(instant.unix_s(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Instant {
        Instant::from_unix_s(self.0.load(Ordering::SeqCst))
    }
}

/// A sequence of numbers that looks random and is the same in every run.
#[derive(Debug)]
pub struct SeededIds {
    seed: u64,
    drawn: AtomicU64,
}

impl SeededIds {
    /// The sequence of a seed. Two copies of a job draw from two.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: AtomicU64::new(0) }
    }

    /// A sequence that goes on as this one does.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { seed: self.seed, drawn: AtomicU64::new(self.drawn.load(Ordering::SeqCst)) }
    }
}

impl Ids for SeededIds {
    fn fresh(&self) -> u128 {
        let n = self.drawn.fetch_add(1, Ordering::SeqCst);
        let half = |which: u8| {
            let mut hasher = DefaultHasher::new();
            (self.seed, n, which).hash(&mut hasher);
            u128::from(hasher.finish())
        };
        half(0) << 64 | half(1)
    }
}
