//! Letters through the whole embedded pipeline, durable, beside the floor: the signatures alone, in the same run, between
//! its rounds.
//!
//! Many letters in flight start at the spool, where a door has left them before the clock runs: the doors have
//! benchmarks of their own. A letter alone starts at the door.

use std::{
    collections::{HashMap, VecDeque},
    fs,
    ops::Range,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use clap::Parser;
use embedded::{Config, Provider, signer::KeyFiles};
use machine::BuiltinScanner;
use pec::{
    Address, Index, Transaction,
    index::{IndexCertificate, Record},
};
use serde::Serialize;
use sigillo_bench::{Failure, Pki, percentile_ms, status_bytes};
use smime::{Anchors, Certificate, RsaKey};
use stages::{
    Job, Rim, SpoolId,
    door::{self, Channel, Submission},
    ids::MailboxId,
    jobs::Hint,
    log::{Event, LogEntry},
    ports::{Commit, Committed, Facts, FactsError, Page, Queue, QueueError, RowKey, StoredRow, Table},
    registry::{Domain, Environment, Mailbox, MailboxState},
    rim::Draft,
};
use tokio::sync::{Semaphore, oneshot};

/// The allocator of the provider, so that what is measured is what runs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Letters through the whole pipeline.
///
/// Without --size-kb and --recipients: 10 KB and 1 MB, to 1 and to 10 recipients, then letters one at a time.
#[derive(Parser)]
struct Options {
    /// Letters of 10 KB to one recipient; larger cases take fewer.
    #[arg(long, default_value_t = 12_000)]
    letters: usize,
    /// Letters in flight.
    #[arg(long, default_value_t = 256)]
    in_flight: usize,
    /// Size of a letter in KB (1,024 octets); only this case is measured.
    #[arg(long)]
    size_kb: Option<usize>,
    /// Recipients of a letter; only this case is measured.
    #[arg(long)]
    recipients: Option<usize>,
    /// Where the provider's folder is made; it goes at the end.
    #[arg(long, default_value = "target/bench")]
    data: PathBuf,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// What one case gave. The main case's figures stand at the top of the JSON object.
#[derive(Clone, Serialize)]
struct Case {
    letters: usize,
    size_kb: usize,
    recipients: usize,
    in_flight: usize,
    letters_per_second: f64,
    signatures_per_second: f64,
    floor_letters_per_second: f64,
    ratio: f64,
    p50_ms: f64,
    p99_ms: f64,
    fsyncs_per_letter: f64,
    bytes_written_per_letter: f64,
    commits_per_letter: f64,
    idle_rss_bytes: u64,
    peak_rss_bytes: u64,
    cpu_ms_per_letter: f64,
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    main: Case,
    cores: usize,
    cases: Vec<Case>,
}

/// Mailboxes of the bench: senders and recipients alike. What is sent in a second goes to different ones, as it does in
/// a provider that has that much to do.
const MAILBOXES: usize = 1024;
/// Mailboxes that are made in one commit.
const MADE_AT_ONCE: usize = 64;

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let cores = std::thread::available_parallelism()?.get();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(cores).enable_all().build()?;
    let pki = Pki::new("posta-certificata@pec.bench.example", "Bench PEC")?;

    let plan: Vec<(usize, usize, usize, usize)> = match (options.size_kb, options.recipients) {
        (None, None) => vec![
            (options.letters, 10, 1, options.in_flight),
            ((options.letters / 15).max(1), 10, 10, options.in_flight),
            ((options.letters / 30).max(1), 1024, 1, options.in_flight),
            ((options.letters / 120).max(1), 1024, 10, options.in_flight),
            ((options.letters / 60).max(1), 10, 1, 1),
        ],
        (size, recipients) => {
            vec![(options.letters, size.unwrap_or(10), recipients.unwrap_or(1), options.in_flight)]
        }
    };
    fs::create_dir_all(&options.data)?;
    let mut cases = Vec::new();
    for (letters, size_kb, recipients, in_flight) in plan {
        if recipients == 0 || recipients >= MAILBOXES {
            return Err(format!("1 to {} recipients", MAILBOXES - 1).into());
        }
        let dir = tempfile::tempdir_in(&options.data)?;
        let plan = Plan { letters, size_kb, recipients, in_flight, cores };
        let case = runtime.block_on(measure(&pki, dir.path(), &plan))?;
        if !options.json {
            show(&case);
        }
        cases.push(case);
    }
    let main = cases.first().cloned().ok_or("nothing was measured")?;
    if options.json {
        let report = Report { main, cores, cases };
        println!("{}", serde_json::to_string(&report)?);
    }
    Ok(())
}

struct Plan {
    letters: usize,
    size_kb: usize,
    recipients: usize,
    in_flight: usize,
    cores: usize,
}

impl Plan {
    /// Three, unless so few letters would be in one that most of it was beginning and end.
    fn rounds(&self) -> usize {
        (self.letters / (self.in_flight * 8)).clamp(1, 3)
    }
}

fn show(c: &Case) {
    println!(
        "{:5} letters, {:4} KB, {:2} recipients, {:3} in flight: {:7.1}/s, floor {:7.1}/s, ratio {:.2}; p50 {:.1} ms, \
         p99 {:.1} ms; {:.1} fsyncs, {:.0} KB, {:.1} commits, {:.2} ms of CPU a letter; RSS {} MB idle, {} MB peak",
        c.letters,
        c.size_kb,
        c.recipients,
        c.in_flight,
        c.letters_per_second,
        c.floor_letters_per_second,
        c.ratio,
        c.p50_ms,
        c.p99_ms,
        c.fsyncs_per_letter,
        c.bytes_written_per_letter / 1024.0,
        c.commits_per_letter,
        c.cpu_ms_per_letter,
        c.idle_rss_bytes >> 20,
        c.peak_rss_bytes >> 20,
    );
}

/// RSA-2048 signatures a second of the same signer on all cores, for a second.
fn signatures_per_second(pki: &Pki, cores: usize) -> Result<f64, Failure> {
    let key = RsaKey::from_pem(pki.key_pem.as_bytes())?;
    let start = Instant::now();
    let until = Duration::from_secs(1);
    let count: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores)
            .map(|_| {
                scope.spawn(|| {
                    let mut n = 0;
                    while start.elapsed() < until {
                        if key.sign_digest([7; 32]).is_ok() {
                            n += 1;
                        }
                    }
                    n
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap_or(0)).sum()
    });
    #[allow(clippy::cast_precision_loss)]
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

async fn measure(pki: &Pki, dir: &std::path::Path, plan: &Plan) -> Result<Case, Failure> {
    // 1. A provider with its mailboxes; what it commits is watched.
    let mut provider = provider(pki, dir).await?;
    let finish = Arc::new(Finish::default());
    let inner = Arc::clone(&provider.rim().facts);
    provider.rim_mut().facts =
        Arc::new(Watched { inner, finish: Arc::clone(&finish), acts: plan.recipients + 1 });
    provider.start().await?;
    let rim = provider.rim().clone();

    // 2. Machines get slower and faster under our feet: the floor is measured before and after each round.
    let message = message(plan.size_kb * 1024);
    let mut sum = Sum::default();
    let mut floors = vec![signatures_per_second(pki, plan.cores)?];
    let (rounds, mut from) = (plan.rounds(), 0);
    for round in 1..=rounds {
        let until = plan.letters * round / rounds;
        run(&provider, &rim, &finish, plan, from..until, &message, &mut sum).await?;
        floors.push(signatures_per_second(pki, plan.cores)?);
        from = until;
    }
    provider.stop().await;
    sum.times.sort_unstable();

    // 3. Figures.
    #[allow(clippy::cast_precision_loss)]
    let signatures_per_second = floors.iter().sum::<f64>() / floors.len() as f64;
    #[allow(clippy::cast_precision_loss)]
    let per_letter = |n: u64| n as f64 / plan.letters as f64;
    #[allow(clippy::cast_precision_loss)]
    let letters_per_second = plan.letters as f64 / sum.took.as_secs_f64();
    // Acceptance, envelope, take-charge, and a delivery receipt for each recipient.
    #[allow(clippy::cast_precision_loss)]
    let floor_letters_per_second = signatures_per_second / (3 + plan.recipients) as f64;
    Ok(Case {
        letters: plan.letters,
        size_kb: plan.size_kb,
        recipients: plan.recipients,
        in_flight: plan.in_flight,
        letters_per_second,
        signatures_per_second,
        floor_letters_per_second,
        ratio: letters_per_second / floor_letters_per_second,
        p50_ms: percentile_ms(&sum.times, 0.5),
        p99_ms: percentile_ms(&sum.times, 0.99),
        fsyncs_per_letter: per_letter(sum.fsyncs),
        bytes_written_per_letter: per_letter(sum.written),
        commits_per_letter: per_letter(sum.commits),
        idle_rss_bytes: sum.idle_rss_bytes,
        peak_rss_bytes: sum.peak_rss_bytes,
        #[allow(clippy::cast_precision_loss)]
        cpu_ms_per_letter: sum.used.as_secs_f64() * 1000.0 / plan.letters as f64,
    })
}

/// What all rounds of a case came to.
#[derive(Default)]
struct Sum {
    took: Duration,
    times: Vec<Duration>,
    used: Duration,
    written: u64,
    fsyncs: u64,
    commits: u64,
    idle_rss_bytes: u64,
    peak_rss_bytes: u64,
}

/// One round: these letters, from an idle provider to an idle one.
async fn run(
    provider: &Provider,
    rim: &Rim,
    finish: &Arc<Finish>,
    plan: &Plan,
    letters: Range<usize>,
    message: &Bytes,
    sum: &mut Sum,
) -> Result<(), Failure> {
    // 1. What is there before: memory, counters, processor time.
    let alone = plan.in_flight == 1;
    let mut spooled: VecDeque<SpoolId> =
        if alone { VecDeque::new() } else { spool(rim, plan, letters.clone(), message).await?.into() };
    fs::write("/proc/self/clear_refs", "5").ok();
    if sum.idle_rss_bytes == 0 {
        sum.idle_rss_bytes = status_bytes("VmRSS");
    }
    let before = provider.counters().now();
    let written_before = io_bytes();
    let cpu_before = cpu();
    let start = Instant::now();

    // 2. The letters: so many in flight, the next one when one is complete.
    let places = Arc::new(Semaphore::new(plan.in_flight));
    let mut running = Vec::with_capacity(letters.len());
    for n in letters {
        let place = Arc::clone(&places).acquire_owned().await?;
        let (rim, finish) = (rim.clone(), Arc::clone(finish));
        let start = match spooled.pop_front() {
            Some(id) => Start::Spool(id),
            None => Start::Door(submission(n, plan.recipients, message)?),
        };
        running.push(tokio::spawn(async move {
            let took = one(&rim, &finish, start).await;
            drop(place);
            took
        }));
    }
    for task in running {
        sum.times.push(task.await??);
    }
    sum.took += start.elapsed();

    // 3. What is there after.
    let after = provider.counters().now();
    sum.written += io_bytes() - written_before;
    sum.used += cpu() - cpu_before;
    sum.peak_rss_bytes = sum.peak_rss_bytes.max(status_bytes("VmHWM"));
    sum.commits += after.commits - before.commits;
    sum.fsyncs += (after.transactions - before.transactions)
        + (after.blob_syncs - before.blob_syncs)
        + (after.checkpoints - before.checkpoints);
    Ok(())
}

/// Where a letter begins to be measured.
enum Start {
    Door(Submission),
    Spool(SpoolId),
}

/// One letter, to its last receipt in the sender's mailbox.
async fn one(rim: &Rim, finish: &Finish, start: Start) -> Result<Duration, Failure> {
    let began = Instant::now();
    let spool = match start {
        Start::Door(submission) => door::submit(rim, submission).await?,
        Start::Spool(spool) => {
            rim.queue.send(vec![Job::Accept { spool: spool.clone() }.into()]).await?;
            spool
        }
    };
    finish.wait(spool.pec_id("pec.bench.example")).await?;
    Ok(began.elapsed())
}

/// These letters in the spool, and no hint of them.
async fn spool(
    rim: &Rim,
    plan: &Plan,
    letters: Range<usize>,
    message: &Bytes,
) -> Result<Vec<SpoolId>, Failure> {
    let rim = Rim { queue: Arc::new(Silent), ..rim.clone() };
    let mut spooled = Vec::with_capacity(letters.len());
    for chunk in letters.collect::<Vec<_>>().chunks(plan.in_flight) {
        let doors: Vec<_> = chunk
            .iter()
            .map(|n| Ok(door::submit(&rim, submission(*n, plan.recipients, message)?)))
            .collect::<Result<_, Failure>>()?;
        for id in futures_util::future::join_all(doors).await {
            spooled.push(id?);
        }
    }
    Ok(spooled)
}

/// Hints that nobody gets.
struct Silent;

#[async_trait]
impl Queue for Silent {
    async fn send(&self, _: Vec<Hint>) -> Result<(), QueueError> {
        Ok(())
    }
}

/// The letter of this number.
fn submission(n: usize, recipients: usize, message: &Bytes) -> Result<Submission, Failure> {
    let from = n % MAILBOXES;
    let to: Vec<Address> =
        (1..=recipients).map(|k| address((from + k) % MAILBOXES)).collect::<Result<_, _>>()?;
    let list = to.iter().map(Address::as_str).collect::<Vec<_>>().join(",\r\n ");
    let head = format!("From: {}\r\nTo: {list}\r\nMessage-ID: <{n}@client.example>\r\n", address(from)?);
    let raw = [head.as_bytes(), message].concat().into();
    let text = str::to_owned;
    let (by, with) = (text("bench.example"), text("HTTPS"));
    Ok(Submission {
        account: MailboxId(format!("mailbox-{from}")),
        transaction: Transaction::new(Some(address(from)?), to),
        raw,
        channel: Channel { by, with, via: text("bench"), tls: text("in-process") },
        idempotency_key: None,
    })
}

fn address(n: usize) -> Result<Address, pec::address::AddressError> {
    Address::parse(&format!("m{n}@pec.bench.example"))
}

/// The rest of a message of about this size: some text and an attachment.
fn message(size: usize) -> Bytes {
    let head = "Subject: Lettera di prova\r\nDate: Mon, 2 Mar 2026 09:00:00 +0100\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=\"limite\"\r\n\r\n--limite\r\nContent-Type: text/plain\r\n\r\n\
        In allegato il documento.\r\n--limite\r\nContent-Type: application/octet-stream; name=\"documento.bin\"\r\n\
        Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"documento.bin\"\r\n\r\n";
    let mut out = head.as_bytes().to_vec();
    while out.len() < size {
        out.extend_from_slice(&[b'A'; 76]);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"--limite--\r\n");
    out.into()
}

async fn provider(pki: &Pki, dir: &std::path::Path) -> Result<Provider, Failure> {
    let key = dir.join("key.pem");
    fs::write(&key, &pki.key_pem)?;
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let chain = dir.join("chain.pem");
    fs::write(&chain, &pki.leaf_pem)?;
    let service = Address::parse("posta-certificata@pec.bench.example")?;
    let index = Index::new(vec![Record {
        id: "Bench PEC".to_owned(),
        provider_name: "Bench PEC".to_owned(),
        provider_unit: None,
        mail_receipt: service.clone(),
        managed_domains: vec!["pec.bench.example".to_owned()],
        certificates: vec![IndexCertificate::new(pki.leaf.clone())],
        ldif_location: None,
    }]);
    fs::write(dir.join("index.ldif"), index.to_ldif())?;
    let keys = vec![KeyFiles { environment: "Bench PEC".to_owned(), key, chain }];
    let anchors = Anchors::from_certificates([Certificate::from_der(&pki.ca)?]);
    let scanner = Arc::new(BuiltinScanner::new("")?);
    let config = Config { keys, anchors, limits: pec::check::Limits::default(), scanner };
    let provider = Provider::open(dir, config)?;
    let mut draft = Draft::new();
    draft.insert(
        &Environment {
            id: "Bench PEC".to_owned(),
            provider_name: "Bench PEC".to_owned(),
            address: service.clone(),
            mail_receipt: service,
            mail_domain: "pec.bench.example".to_owned(),
        },
        None,
    )?;
    draft.insert(
        &Domain {
            name: "pec.bench.example".to_owned(),
            environment: "Bench PEC".to_owned(),
            organisation: "bench".to_owned(),
        },
        None,
    )?;
    for n in 0..MAILBOXES {
        if n % MADE_AT_ONCE == 0 {
            provider.rim().commit(std::mem::take(&mut draft)).await?;
        }
        draft.insert(
            &Mailbox {
                id: MailboxId(format!("mailbox-{n}")),
                address: address(n)?,
                organisation: "bench".to_owned(),
                state: MailboxState::Active,
                quota_bytes: u64::MAX / 4,
                receipts_in_inbox: false,
                takes_ordinary: false,
            },
            None,
        )?;
    }
    provider.rim().commit(draft).await?;
    Ok(provider)
}

/// Octets that this process sent to the disk (`/proc/self/io`).
fn io_bytes() -> u64 {
    fs::read_to_string("/proc/self/io")
        .ok()
        .and_then(|t| t.lines().find_map(|l| l.strip_prefix("write_bytes: ")?.parse().ok()))
        .unwrap_or(0)
}

/// Processor time of this process: user and system, in ticks of 10 ms.
fn cpu() -> Duration {
    fs::read_to_string("/proc/self/stat")
        .ok()
        .and_then(|text| {
            let fields: Vec<u64> =
                text.rsplit_once(')')?.1.split_whitespace().skip(11).take(2).flat_map(str::parse).collect();
            Some(Duration::from_millis(fields.iter().sum::<u64>() * 10))
        })
        .unwrap_or_default()
}

/// Who waits for which letter, and how many receipts of it were filed.
#[derive(Default)]
struct Finish {
    letters: Mutex<HashMap<String, Letter>>,
}

#[derive(Default)]
struct Letter {
    filed: usize,
    complete: bool,
    waiter: Option<oneshot::Sender<()>>,
}

impl Finish {
    async fn wait(&self, pec_id: String) -> Result<(), Failure> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
            let letter = letters.entry(pec_id.clone()).or_default();
            if letter.complete {
                letters.remove(&pec_id);
                return Ok(());
            }
            letter.waiter = Some(sender);
        }
        receiver.await?;
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).remove(&pec_id);
        Ok(())
    }

    fn filed(&self, pec_ids: &[String], acts: usize) {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        for pec_id in pec_ids {
            let letter = letters.entry(pec_id.clone()).or_default();
            letter.filed += 1;
            letter.complete = letter.filed >= acts;
            if letter.complete
                && let Some(waiter) = letter.waiter.take()
            {
                waiter.send(()).ok();
            }
        }
    }
}

/// What a port of the tables answers with.
type Answer<'f, T> = Pin<Box<dyn Future<Output = Result<T, FactsError>> + Send + 'f>>;

/// The tables, watched for receipts that are in a mailbox.
struct Watched {
    inner: Arc<dyn Facts>,
    finish: Arc<Finish>,
    acts: usize,
}

#[async_trait]
impl Facts for Watched {
    async fn commit(&self, commit: Commit) -> Result<Committed, FactsError> {
        let filed: Vec<String> =
            commit.entries.iter().filter(|e| e.event == Event::Filed).map(|e| e.pec_id.clone()).collect();
        let committed = self.inner.commit(commit).await?;
        if committed == Committed::Now && !filed.is_empty() {
            self.finish.filed(&filed, self.acts);
        }
        Ok(committed)
    }
    /// What a letter does most is passed on as it is: a future around it would be measured too.
    fn get<'w, 'k, 'f>(&'w self, key: &'k RowKey) -> Answer<'f, Option<StoredRow>>
    where
        'w: 'f,
        'k: 'f,
        Self: 'f,
    {
        self.inner.get(key)
    }
    async fn query(
        &self,
        table: Table,
        pk: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, FactsError> {
        self.inner.query(table, pk, prefix, after, limit).await
    }
    async fn lookup(
        &self,
        t: Table,
        pk: &str,
        from: &str,
        limit: usize,
    ) -> Result<Vec<StoredRow>, FactsError> {
        self.inner.lookup(t, pk, from, limit).await
    }
    async fn due(&self, now: pec::Instant, limit: usize) -> Result<Vec<StoredRow>, FactsError> {
        self.inner.due(now, limit).await
    }
    async fn postpone(
        &self,
        key: &RowKey,
        version: u64,
        from: pec::Instant,
        to: pec::Instant,
    ) -> Result<bool, FactsError> {
        self.inner.postpone(key, version, from, to).await
    }
    async fn log(&self, pec_id: &str) -> Result<Vec<LogEntry>, FactsError> {
        self.inner.log(pec_id).await
    }
}
