//! Every port in memory, and a provider made of them.

mod blobs;
mod evidence;
pub mod exec;
mod facts;
mod keys;
pub mod letters;
mod mailboxes;
mod provider;
mod small;
mod tap;

use std::{
    collections::{VecDeque, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::{Arc, LazyLock, Mutex},
};

use bytes::Bytes;
use pec::{Index, Instant, check::Limits};
use smime::Verifier;
use stages::{
    Job, Rim, SpoolId,
    door::{self, Arrival, DoorError, Submission},
    ids::MailboxId,
    mailbox::{Bells, Crowds},
    ports::{Clock, Commit, Committed, Destination, Facts, Relayed, RowKey, Write},
    rows::SpoolRow,
    watch,
};

use crate::sessions::Session;

pub use blobs::MemoryBlobs;
pub use evidence::{Evidence, Filed};
pub use facts::MemoryFacts;
pub use keys::{Credential, GAMMA_SERIAL, PKI, Pki, SETTLED_AFTER_S, TestSigner};
pub use provider::{ALFA, BETA, GAMMA, Provider, address, index};
pub use small::{
    Answers, FixedDirectory, MemoryQueue, ScannerKind, SeededIds, TestCarrier, TestClock, TestScanner, eicar,
};
pub use tap::{Fault, Tap};

/// When every world begins: a Monday morning in Italy.
#[must_use]
pub fn morning() -> Instant {
    Instant::parse("2026-03-02T08:00:00Z").expect("an instant")
}

/// Rows that `watch` looks at in one go.
const HINTS_MAX: usize = 1000;

/// The sweep looks at spool entries older than ten minutes.
pub const SWEEP_AFTER_S: i64 = 660;

/// After this many jobs a world is not getting anywhere.
const JOBS_MAX: usize = 100_000;

/// Something that the shell of a provider runs.
#[derive(Clone, Debug)]
pub enum Work {
    /// A user submits.
    Submit(Box<Submission>),
    /// Something comes in from outside.
    Arrive(Box<Arrival>),
    /// A job of a queue.
    One(Job),
    /// Deliver jobs of one mailbox together.
    Batch(MailboxId, Vec<RowKey>),
    /// `watch` hints what is due.
    Hints,
    /// `watch` sweeps the spool.
    Sweep,
    /// A session in a mailbox.
    Session(Session),
}

/// A provider with all its ports in memory.
pub struct World {
    /// Which provider it is.
    pub provider: &'static Provider,
    /// Its tables.
    pub facts: Arc<MemoryFacts>,
    /// Its blobs.
    pub blobs: Arc<MemoryBlobs>,
    /// Its hints.
    pub queue: Arc<MemoryQueue>,
    /// What it sends.
    pub carrier: Arc<TestCarrier>,
    /// Its clock.
    pub clock: Arc<TestClock>,
    script: Mutex<VecDeque<(Instant, Work)>>,
    scanner: ScannerKind,
    ids: Arc<SeededIds>,
    signer: Arc<TestSigner>,
    index: Arc<Index>,
    verifier: Arc<Verifier>,
    is_crowded: bool,
}

/// Made once: keys, index, chain verdicts.
struct Shared {
    index: Arc<Index>,
    verifier: Arc<Verifier>,
}

static SHARED: LazyLock<Shared> =
    LazyLock::new(|| Shared { index: Arc::new(index()), verifier: Arc::new(PKI.verifier()) });

impl World {
    /// A provider on its first morning, whose letters to others are taken at once.
    #[must_use]
    pub fn of(provider: &'static Provider) -> Self {
        Self::answered(provider, |_, _| Relayed::Taken)
    }

    /// The same with other answers from outside.
    #[must_use]
    pub fn answered(provider: &'static Provider, answers: Answers) -> Self {
        let clock = Arc::new(TestClock::at(morning()));
        let world = Self {
            provider,
            facts: Arc::default(),
            blobs: Arc::default(),
            queue: Arc::default(),
            carrier: Arc::new(TestCarrier::new(answers, Arc::clone(&clock))),
            clock,
            script: Mutex::default(),
            scanner: ScannerKind::Eicar,
            ids: Arc::new(SeededIds::new(provider.record.bytes().map(u64::from).sum())),
            signer: Arc::new(TestSigner::new(PKI.of(provider))),
            index: Arc::clone(&SHARED.index),
            verifier: Arc::clone(&SHARED.verifier),
            is_crowded: false,
        };
        let writes = provider.registry().into_iter().map(Write::Insert).collect();
        let committed = exec::run(world.facts.commit(Commit { writes, entries: Vec::new() }));
        assert_eq!(committed.expect("no waiting").expect("within limits"), Committed::Now);
        world
    }

    /// The same world with mailboxes where much happens at once: what can wait in line there does.
    #[must_use]
    pub fn crowded(self) -> Self {
        Self { is_crowded: true, ..self }
    }

    /// A second world that is the same so far. Keys and index are shared.
    #[must_use]
    pub fn fork(&self) -> Self {
        let clock = Arc::new(TestClock::at(self.clock.now()));
        Self {
            provider: self.provider,
            facts: Arc::new(self.facts.fork()),
            blobs: Arc::new(self.blobs.fork()),
            queue: Arc::new(self.queue.fork()),
            carrier: Arc::new(self.carrier.fork(Arc::clone(&clock))),
            clock,
            script: Mutex::new(self.script.lock().unwrap().clone()),
            scanner: self.scanner,
            ids: Arc::new(self.ids.fork()),
            signer: Arc::clone(&self.signer),
            index: Arc::clone(&self.index),
            verifier: Arc::clone(&self.verifier),
            is_crowded: self.is_crowded,
        }
    }

    /// What its clock shows.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// The ports as stages see them.
    #[must_use]
    pub fn rim(&self) -> Rim {
        let crowds = Crowds::default();
        if self.is_crowded {
            self.provider.mailboxes().iter().for_each(|mailbox| crowds.note(&mailbox.id, self.now()));
        }
        Rim {
            facts: Arc::clone(&self.facts) as _,
            blobs: Arc::clone(&self.blobs) as _,
            queue: Arc::clone(&self.queue) as _,
            signer: Arc::clone(&self.signer) as _,
            carrier: Arc::clone(&self.carrier) as _,
            scanner: Arc::new(TestScanner(self.scanner)),
            directory: Arc::new(FixedDirectory(Arc::clone(&self.index))),
            clock: Arc::clone(&self.clock) as _,
            ids: Arc::clone(&self.ids) as _,
            verifier: Arc::clone(&self.verifier),
            limits: Limits::default(),
            bells: Bells::default(),
            crowds,
        }
    }

    /// The ports behind a tap, with randomness and a clock of its own, some seconds ahead: a copy of a job on another
    /// machine.
    #[must_use]
    pub fn rim_of_copy(&self, tap: &Arc<Tap>, seed: u64, ahead_s: i64) -> Rim {
        let clock = Arc::new(TestClock::at(self.now().plus_s(ahead_s)));
        tap.on(Rim { ids: Arc::new(SeededIds::new(seed)), clock, ..self.rim() })
    }

    /// A user submits a letter.
    ///
    /// # Errors
    /// As the door.
    pub fn submit(&self, submission: Submission) -> Result<SpoolId, DoorError> {
        exec::run(door::submit(&self.rim(), submission)).expect("no waiting")
    }

    /// Something comes in from outside.
    ///
    /// # Errors
    /// As the door.
    pub fn arrive(&self, arrival: Arrival) -> Result<SpoolId, DoorError> {
        exec::run(door::receive(&self.rim(), arrival)).expect("no waiting")
    }

    /// The same world with another scanner.
    #[must_use]
    pub fn scanning(self, scanner: ScannerKind) -> Self {
        Self { scanner, ..self }
    }

    /// Does a piece of work with all ports whole.
    ///
    /// # Panics
    /// If it fails.
    pub fn perform(&self, work: &Work) {
        let result = exec::run(perform(&self.rim(), work)).expect("no waiting");
        assert_eq!(result, Ok(()), "{work:?} fails with all ports whole");
    }

    /// The same world with another provider index.
    #[must_use]
    pub fn knowing(self, index: Index) -> Self {
        Self { index: Arc::new(index), ..self }
    }

    /// The same world, which asks for revocation lists, and has none yet.
    #[must_use]
    pub fn asking(self) -> Self {
        let verifier = PKI.verifier();
        verifier.ask_for_revocation();
        Self { verifier: Arc::new(verifier), ..self }
    }

    /// A revocation list of the authority comes in.
    ///
    /// # Errors
    /// What the verifier says.
    pub fn take_list(&self, der: &[u8]) -> Result<i64, smime::ListError> {
        self.verifier.take_list(der, PKI.authority(), self.now().unix_s())
    }

    /// What happens from outside, `after_s` seconds after the beginning; in this order.
    #[must_use]
    pub fn with(self, after_s: i64, work: Work) -> Self {
        self.script.lock().unwrap().push_back((morning().plus_s(after_s), work));
        self
    }

    /// The next thing to do: what comes from outside now; else a hint; else what comes from outside or is due next,
    /// by moving the clock there; else nothing.
    #[must_use]
    pub fn next_work(&self) -> Option<Work> {
        let outside = self.script.lock().unwrap().front().map(|(at, _)| *at);
        if outside.is_none_or(|at| at > self.now())
            && let Some(work) = self.hinted()
        {
            return Some(work);
        }
        let due = self.facts.debts().into_iter().map(|d| d.due).min();
        match (outside, due) {
            (Some(at), due) if due.is_none_or(|due| at <= due) || at <= self.now() => {
                // What is late comes one by one, so that ids tell the order.
                self.clock.advance_to(if at < self.now() { self.now().plus_s(1) } else { at });
                self.script.lock().unwrap().pop_front().map(|(_, work)| work)
            }
            (_, due) => {
                self.clock.advance_to(due?);
                Some(Work::Hints)
            }
        }
    }

    /// The oldest hint, as a worker takes it: deliveries into one mailbox together.
    fn hinted(&self) -> Option<Work> {
        let first = self.queue.pop()?;
        let Job::Deliver { mailbox, filing } = first else { return Some(Work::One(first)) };
        let more =
            self.queue.take(|job| job.group() == Some(&mailbox)).into_iter().filter_map(|job| match job {
                Job::Deliver { filing, .. } => Some(filing),
                _ => None,
            });
        let filings: Vec<RowKey> = std::iter::once(filing.clone()).chain(more).collect();
        Some(match filings.len() {
            1 => Work::One(Job::Deliver { mailbox, filing }),
            _ => Work::Batch(mailbox, filings),
        })
    }

    /// Runs hints until there are none.
    ///
    /// # Panics
    /// If one fails.
    pub fn run_until_idle(&self) {
        while let Some(work) = self.hinted() {
            self.perform(&work);
        }
    }

    /// Runs until nothing is owed any more, with the clock moved to where something is due. Others answer what they
    /// got: nothing comes in while anything else is owed, and the spool is swept before.
    ///
    /// # Panics
    /// If a job fails, or something is owed for ever.
    pub fn heal(&self) {
        self.heal_by(|work| self.perform(work));
    }

    /// The same with somebody else's way of doing the work.
    ///
    /// # Panics
    /// If something is owed for ever.
    pub fn heal_by(&self, mut perform: impl FnMut(&Work)) {
        for _ in 0..JOBS_MAX {
            if let Some(work) = self.hinted() {
                perform(&work);
            } else if let Some(due) = self.earliest_due() {
                self.clock.advance_to(due);
                perform(&Work::Hints);
            } else if self.must_sweep() {
                self.clock.advance_to(self.now().plus_s(SWEEP_AFTER_S));
                perform(&Work::Sweep);
            } else {
                match self.next_work() {
                    Some(work) => perform(&work),
                    None => return,
                }
            }
        }
        let owed: Vec<_> = self.facts.rows().into_iter().filter(|s| s.row.debt.is_some()).collect();
        panic!("still owed after {JOBS_MAX} jobs: {owed:#?}");
    }

    /// When something is due that does not wait for others.
    #[must_use]
    pub fn earliest_due(&self) -> Option<Instant> {
        self.facts.debts().into_iter().filter(|d| !matches!(d.job, Job::Deadline { .. })).map(|d| d.due).min()
    }

    /// Whether something is spooled that has no outcome yet.
    fn must_sweep(&self) -> bool {
        let mut tickets = self.blobs.all().into_keys().filter_map(|k| spool_id(k.as_str()));
        tickets.any(|id| !self.facts.has(&SpoolRow::key_of(&id)))
    }

    /// What can be seen from outside and what an auditor sees.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        Evidence::of(self)
    }

    /// A hash of everything that is stored.
    #[must_use]
    pub fn state(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.facts.content(), self.blobs.content()).hash(&mut hasher);
        self.queue.hash_into(&mut hasher);
        self.carrier.hash_into(&mut hasher);
        hasher.finish()
    }

    /// What was sent to a destination, as arrivals there.
    #[must_use]
    pub fn sent_to(&self, other: &Provider) -> Vec<Arrival> {
        let to_other =
            |d: &Destination| matches!(d, Destination::Provider { record, .. } if record == other.record);
        let carried = self.carrier.carried().into_iter().filter(|e| to_other(&e.destination));
        carried.map(|e| letters::arrival(e.reverse_path, e.recipients, e.message)).collect()
    }

    /// Verifies the signature of a message of any provider of this world, as of an instant.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn verify(&self, message: &Bytes, at: Instant) -> Result<smime::Signer, String> {
        let signed = smime::split_signed(message).map_err(|e| e.to_string())?;
        let policy = smime::Policy::TODAY;
        let verified = self.verifier.verify(&signed, &policy).map_err(|e| e.to_string())?;
        let signer = verified.signers.first().ok_or("no signer")?.clone();
        self.verifier
            .check_chain(&signer.certificate, &verified.certificates, at.unix_s(), &policy)
            .map_err(|e| e.to_string())?;
        Ok(signer)
    }
}

fn spool_id(blob: &str) -> Option<SpoolId> {
    blob.strip_suffix(".json")?.rsplit('/').next().and_then(SpoolId::parse)
}

/// Runs one piece of work; errors as text.
///
/// # Errors
/// What the stage said.
pub async fn perform(rim: &Rim, work: &Work) -> Result<(), String> {
    let text = |e: &dyn std::error::Error| match e.source() {
        Some(source) => format!("{e}: {source}"),
        None => e.to_string(),
    };
    match work {
        Work::Submit(submission) => {
            door::submit(rim, (**submission).clone()).await.map(|_| ()).map_err(|e| text(&e))
        }
        Work::Arrive(arrival) => {
            door::receive(rim, (**arrival).clone()).await.map(|_| ()).map_err(|e| text(&e))
        }
        Work::One(job) => stages::run(rim, job).await.map_err(|e| text(&e)),
        Work::Batch(mailbox, filings) => {
            let results = stages::deliver::batch(rim, mailbox, filings).await;
            results.into_iter().collect::<Result<(), _>>().map_err(|e| text(&e))
        }
        Work::Hints => watch::hints(rim, rim.now(), HINTS_MAX).await.map(|_| ()).map_err(|e| text(&e)),
        Work::Session(session) => (session.acts)(rim.clone()).await,
        Work::Sweep => watch::sweep(rim, rim.now()).await.map(|_| ()).map_err(|e| text(&e)),
    }
}
