//! Ports with a tap on every call: it counts them, lets other copies run before each, and breaks one of them.

use std::{
    collections::hash_map::DefaultHasher,
    fmt::Debug,
    future::{Future, pending, poll_fn},
    hash::{Hash, Hasher},
    sync::{Arc, Mutex},
    task::Poll,
};

use super::facts::hash_row;
use async_trait::async_trait;
use bytes::Bytes;
use mime::Rope;
use pec::Instant;
use stages::{
    BlobKey, Rim,
    ids::CertificateId,
    jobs::Hint,
    log::LogEntry,
    ports::{
        BlobError, Blobs, Carrier, Commit, Committed, Errand, Facts, FactsError, Page, Put, Queue,
        QueueError, Relayed, RowKey, Scan, Scanner, ScannerError, Signer, SignerError, StoredRow, Table,
    },
};

/// What goes wrong at a call of a port (design §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happened, and an error comes back.
    NotDone,
    /// It happened, and an error comes back.
    AnswerLost,
    /// It happened, and nobody is there any more to hear of it.
    CrashAfter,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::NotDone, Self::AnswerLost, Self::CrashAfter];
}

/// What one run of one job does to its ports.
#[derive(Debug, Default)]
pub struct Tap(Mutex<State>);

/// Which calls go wrong.
#[derive(Clone, Copy, Debug, Default)]
enum Broken {
    #[default]
    None,
    At(usize, Fault),
    Storm {
        seed: u64,
        percent: u64,
    },
}

impl Broken {
    fn at(self, n: usize) -> Option<Fault> {
        match self {
            Self::None => None,
            Self::At(at, fault) => (at == n).then_some(fault),
            Self::Storm { seed, percent } => {
                let mut hasher = DefaultHasher::new();
                (seed, n).hash(&mut hasher);
                let drawn = hasher.finish();
                let fault = Fault::ALL[usize::try_from(drawn / 100 % 3).expect("below three")];
                (drawn % 100 < percent).then_some(fault)
            }
        }
    }
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<&'static str>,
    broken: Broken,
    crashed: bool,
    yields: bool,
    observed: DefaultHasher,
}

impl Tap {
    /// Only counts.
    #[must_use]
    pub fn counting() -> Arc<Self> {
        Arc::default()
    }

    /// Breaks the `n`th call, from 0.
    #[must_use]
    pub fn breaking(n: usize, fault: Fault) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { broken: Broken::At(n, fault), ..State::default() })))
    }

    /// Breaks so many calls of a hundred, in some way each, as a seed says.
    #[must_use]
    pub fn storm(seed: u64, percent: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { broken: Broken::Storm { seed, percent }, ..State::default() })))
    }

    /// Gives way once before every call.
    #[must_use]
    pub fn yielding() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { yields: true, ..State::default() })))
    }

    /// The calls so far, by name.
    #[must_use]
    pub fn calls(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().calls.clone()
    }

    /// Whether the process has died.
    #[must_use]
    pub fn crashed(&self) -> bool {
        self.0.lock().unwrap().crashed
    }

    /// A hash of all answers so far: a job that is a function of its answers goes on from here in one way.
    #[must_use]
    pub fn observed(&self) -> u64 {
        self.0.lock().unwrap().observed.finish()
    }

    /// The same ports behind this tap.
    #[must_use]
    pub fn on(self: &Arc<Self>, rim: Rim) -> Rim {
        fn tapped<T: ?Sized>(tap: &Arc<Tap>, port: Arc<T>) -> Arc<Tapped<T>> {
            Arc::new(Tapped { tap: Arc::clone(tap), port })
        }
        Rim {
            facts: tapped(self, rim.facts),
            blobs: tapped(self, rim.blobs),
            queue: tapped(self, rim.queue),
            signer: tapped(self, rim.signer),
            carrier: tapped(self, rim.carrier),
            scanner: tapped(self, rim.scanner),
            ..rim
        }
    }

    fn begin(&self, name: &'static str) -> Option<Fault> {
        let mut state = self.0.lock().unwrap();
        let n = state.calls.len();
        state.calls.push(name);
        state.broken.at(n)
    }

    fn observe<T: Answer, E: Debug>(&self, answer: &Result<T, E>) {
        let mut state = self.0.lock().unwrap();
        match answer {
            Ok(answer) => answer.feed(&mut state.observed),
            Err(error) => format!("{error:?}").hash(&mut state.observed),
        }
    }

    async fn call<T: Answer, E: Debug>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, E>>,
        unavailable: impl Fn(String) -> E,
    ) -> Result<T, E> {
        self.give_way().await;
        let fault = self.begin(name);
        let answer = match fault {
            None => work.await,
            Some(Fault::NotDone) => Err(unavailable("not done".to_owned())),
            Some(fault) => {
                let _ = work.await;
                self.after(fault).await;
                Err(unavailable("done, but the answer is lost".to_owned()))
            }
        };
        self.observe(&answer);
        answer
    }

    /// A call that answers at once and changes nothing: whatever is to go wrong, it answers with an error. (A crash
    /// after it is the crash after the call before it.)
    fn call_now<T: Answer, E: Debug>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> Result<T, E>,
        unavailable: impl Fn(String) -> E,
    ) -> Result<T, E> {
        let answer = match self.begin(name) {
            None => work(),
            Some(_) => Err(unavailable("not done".to_owned())),
        };
        self.observe(&answer);
        answer
    }

    async fn after(&self, fault: Fault) {
        if fault == Fault::CrashAfter {
            self.0.lock().unwrap().crashed = true;
            pending::<()>().await;
        }
    }

    async fn give_way(&self) {
        let mut given = !self.0.lock().unwrap().yields;
        poll_fn(|_| if std::mem::replace(&mut given, true) { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

/// What a port answers, as far as a job can tell one answer from another.
trait Answer {
    fn feed(&self, hasher: &mut DefaultHasher);
}

impl Answer for StoredRow {
    fn feed(&self, hasher: &mut DefaultHasher) {
        hash_row(self).hash(hasher);
    }
}

impl Answer for Page {
    fn feed(&self, hasher: &mut DefaultHasher) {
        self.rows.feed(hasher);
        self.next.hash(hasher);
    }
}

impl<T: Answer> Answer for Option<T> {
    fn feed(&self, hasher: &mut DefaultHasher) {
        self.is_some().hash(hasher);
        self.iter().for_each(|one| one.feed(hasher));
    }
}

impl<T: Answer> Answer for Vec<T> {
    fn feed(&self, hasher: &mut DefaultHasher) {
        self.len().hash(hasher);
        self.iter().for_each(|one| one.feed(hasher));
    }
}

impl Answer for Bytes {
    fn feed(&self, hasher: &mut DefaultHasher) {
        self.hash(hasher);
    }
}

impl Answer for Arc<smime::Identity> {
    fn feed(&self, hasher: &mut DefaultHasher) {
        self.certificate().sha256().hash(hasher);
    }
}

macro_rules! answers {
    ($($kind:ty),*) => {$(
        impl Answer for $kind {
            fn feed(&self, hasher: &mut DefaultHasher) {
                format!("{self:?}").hash(hasher);
            }
        }
    )*};
}
answers!(Committed, LogEntry, Put, BlobKey, CertificateId, Relayed, Scan, bool, u8, u64, ());

struct Tapped<T: ?Sized> {
    tap: Arc<Tap>,
    port: Arc<T>,
}

#[async_trait]
impl Facts for Tapped<dyn Facts> {
    async fn commit(&self, commit: Commit) -> Result<Committed, FactsError> {
        self.tap.call("facts.commit", self.port.commit(commit), FactsError::Unavailable).await
    }
    async fn get(&self, key: &RowKey) -> Result<Option<StoredRow>, FactsError> {
        self.tap.call("facts.get", self.port.get(key), FactsError::Unavailable).await
    }
    fn is_far(&self) -> bool {
        self.port.is_far()
    }
    async fn query(
        &self,
        table: Table,
        pk: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, FactsError> {
        let work = self.port.query(table, pk, prefix, after, limit);
        self.tap.call("facts.query", work, FactsError::Unavailable).await
    }
    async fn lookup(
        &self,
        table: Table,
        pk: &str,
        from: &str,
        limit: usize,
    ) -> Result<Vec<StoredRow>, FactsError> {
        self.tap.call("facts.lookup", self.port.lookup(table, pk, from, limit), FactsError::Unavailable).await
    }
    async fn due(&self, now: Instant, limit: usize) -> Result<Vec<StoredRow>, FactsError> {
        self.tap.call("facts.due", self.port.due(now, limit), FactsError::Unavailable).await
    }
    async fn postpone(
        &self,
        key: &RowKey,
        version: u64,
        from: Instant,
        to: Instant,
    ) -> Result<bool, FactsError> {
        let work = self.port.postpone(key, version, from, to);
        self.tap.call("facts.postpone", work, FactsError::Unavailable).await
    }
    async fn log(&self, pec_id: &str) -> Result<Vec<LogEntry>, FactsError> {
        self.tap.call("facts.log", self.port.log(pec_id), FactsError::Unavailable).await
    }
}

#[async_trait]
impl Blobs for Tapped<dyn Blobs> {
    async fn put_if_absent(&self, key: &BlobKey, body: Rope) -> Result<Put, BlobError> {
        self.tap.call("blobs.put_if_absent", self.port.put_if_absent(key, body), BlobError::Unavailable).await
    }
    async fn get(&self, key: &BlobKey) -> Result<Option<Bytes>, BlobError> {
        self.tap.call("blobs.get", self.port.get(key), BlobError::Unavailable).await
    }
    async fn get_range(&self, key: &BlobKey, from: u64, len: u64) -> Result<Option<Bytes>, BlobError> {
        self.tap.call("blobs.get_range", self.port.get_range(key, from, len), BlobError::Unavailable).await
    }
    async fn size(&self, key: &BlobKey) -> Result<Option<u64>, BlobError> {
        self.tap.call("blobs.size", self.port.size(key), BlobError::Unavailable).await
    }
    async fn copy_if_absent(&self, from: &BlobKey, to: &BlobKey) -> Result<Put, BlobError> {
        self.tap
            .call("blobs.copy_if_absent", self.port.copy_if_absent(from, to), BlobError::Unavailable)
            .await
    }
    async fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        self.tap.call("blobs.delete", self.port.delete(key), BlobError::Unavailable).await
    }
    async fn list(
        &self,
        prefix: &str,
        after: Option<&BlobKey>,
        limit: usize,
    ) -> Result<Vec<BlobKey>, BlobError> {
        self.tap.call("blobs.list", self.port.list(prefix, after, limit), BlobError::Unavailable).await
    }
}

#[async_trait]
impl Queue for Tapped<dyn Queue> {
    async fn send(&self, hints: Vec<Hint>) -> Result<(), QueueError> {
        self.tap.call("queue.send", self.port.send(hints), QueueError).await
    }
}

#[async_trait]
impl Signer for Tapped<dyn Signer> {
    fn current(&self, environment: &str, at: Instant) -> Result<CertificateId, SignerError> {
        let work = || self.port.current(environment, at);
        self.tap.call_now("signer.current", work, SignerError::Unavailable)
    }
    fn identity(&self, certificate: &CertificateId) -> Result<Arc<smime::Identity>, SignerError> {
        let work = || self.port.identity(certificate);
        self.tap.call_now("signer.identity", work, SignerError::Unavailable)
    }
    async fn sign(&self, certificate: &CertificateId, digest: [u8; 32]) -> Result<Vec<u8>, SignerError> {
        self.tap.call("signer.sign", self.port.sign(certificate, digest), SignerError::Unavailable).await
    }
}

#[async_trait]
impl Carrier for Tapped<dyn Carrier> {
    /// An errand does not fail as a whole: a broken call is `Later` for every recipient.
    async fn carry(&self, errand: Errand) -> Vec<Relayed> {
        let later = vec![Relayed::Later { answer: "421 4.4.2 broken".to_owned() }; errand.recipients.len()];
        let work = async { Ok::<_, String>(self.port.carry(errand).await) };
        self.tap.call("carrier.carry", work, |why| why).await.unwrap_or(later)
    }
}

#[async_trait]
impl Scanner for Tapped<dyn Scanner> {
    async fn scan(&self, message: &Bytes) -> Result<Scan, ScannerError> {
        self.tap.call("scanner.scan", self.port.scan(message), ScannerError).await
    }
    fn version(&self) -> String {
        self.port.version()
    }
}
