//! What the storage does alone, on the disk of a folder: commits and puts per second with many at once, what each costs
//! of the processor, and where reads and signatures are made best.
//!
//! ```text
//! cargo run --release -p sigillo-embedded --example storage -- [FOLDER] [SECONDS]
//! ```

use std::{
    error::Error,
    fs,
    future::Future,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant as Clock},
};

use pec::Instant;
use sigillo_embedded::{Counters, Segments, SqliteFacts, blobs::Sizes, disk::RealDisk};
use stages::{
    BlobKey, Job,
    ids::{Side, blob_name},
    log::{Event, LogEntry},
    ports::{Blobs, Commit, Committed, Debt, Facts, Row, RowKey, Table, Write},
};

type Failure = Box<dyn Error + Send + Sync>;

/// Letters in flight.
const AT_ONCE: u64 = 100;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let base = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let seconds = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let folder = base.join(format!("sigillo-storage-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let measured = measure(&folder, Duration::from_secs(seconds)).await;
    fs::remove_dir_all(&folder)?;
    measured
}

async fn measure(folder: &Path, span: Duration) -> Result<(), Failure> {
    let counters = Arc::new(Counters::default());
    let facts = Arc::new(SqliteFacts::open(&folder.join("facts.sqlite"), Arc::clone(&counters))?);
    let blobs = Segments::open(Arc::new(RealDisk), folder, Sizes::default(), Arc::clone(&counters))?;
    let blobs = Arc::new(blobs);
    println!("{AT_ONCE} at once, {} s each; processor time is that of the whole process", span.as_secs());

    let commits = counted("commits of an act's three rows and a log entry", span, {
        let facts = Arc::clone(&facts);
        move |n| {
            let facts = Arc::clone(&facts);
            async move {
                let made = facts.commit(fact(n)).await?;
                if made == Committed::Now { Ok(()) } else { Err("lost".into()) }
            }
        }
    })
    .await?;
    let counts = counters.now();
    println!("    {:.1} commits a transaction", counts.commits as f64 / counts.transactions as f64);

    counted("reads of a row, where they are asked for", span, {
        let facts = Arc::clone(&facts);
        move |n| {
            let facts = Arc::clone(&facts);
            async move { facts.get(&key(n * 7919 % commits, "act")).await?.map(drop).ok_or("no row".into()) }
        }
    })
    .await?;
    counted("reads of a row, on blocking threads", span, {
        let (facts, runtime) = (Arc::clone(&facts), tokio::runtime::Handle::current());
        move |n| {
            let (facts, runtime) = (Arc::clone(&facts), runtime.clone());
            async move {
                let key = key(n * 7919 % commits, "act");
                let read = tokio::task::spawn_blocking(move || runtime.block_on(facts.get(&key)));
                read.await??.map(drop).ok_or("no row".into())
            }
        }
    })
    .await?;

    let body = bytes::Bytes::from(vec![b'x'; 15_000]);
    let before = counters.now();
    let puts = counted("puts of 15 KB", span, {
        let blobs = Arc::clone(&blobs);
        move |n| {
            let (blobs, body) = (Arc::clone(&blobs), body.clone());
            async move { blobs.put_if_absent(&blob(n), body.into()).await.map(drop).map_err(Failure::from) }
        }
    })
    .await?;
    let counts = counters.now();
    let groups = counts.put_groups - before.put_groups;
    println!("    {:.1} puts a group", (counts.puts - before.puts) as f64 / groups as f64);

    counted("copies", span, {
        let blobs = Arc::clone(&blobs);
        move |n| {
            let blobs = Arc::clone(&blobs);
            async move {
                let to =
                    BlobKey::listed(format!("mailboxes/m{}/{}.eml", n % 50, blob_name(&n.to_le_bytes())));
                blobs.copy_if_absent(&blob(n * 7919 % puts), &to).await.map(drop).map_err(Failure::from)
            }
        }
    })
    .await?;
    counted("reads of 15 KB", span, {
        let blobs = Arc::clone(&blobs);
        move |n| {
            let blobs = Arc::clone(&blobs);
            async move { blobs.get(&blob(n * 7919 % puts)).await?.map(drop).ok_or("no blob".into()) }
        }
    })
    .await?;
    signatures(span).await
}

/// Runs the same thing for a while, many at once; answers how often.
async fn counted<F, R>(what: &str, span: Duration, act: F) -> Result<u64, Failure>
where
    F: Fn(u64) -> R + Clone + Send + 'static,
    R: Future<Output = Result<(), Failure>> + Send,
{
    let (next, end) = (Arc::new(AtomicU64::new(0)), Clock::now() + span);
    let (began, processor) = (Clock::now(), processor_time());
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (next, act) = (Arc::clone(&next), act.clone());
            tokio::spawn(async move {
                while Clock::now() < end {
                    act(next.fetch_add(1, Ordering::Relaxed)).await?;
                }
                Ok::<(), Failure>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    let (done, took) = (next.load(Ordering::Relaxed), began.elapsed());
    let each = (processor_time() - processor).as_secs_f64() * 1e6 / done as f64;
    println!("{what}: {:.0} a second, {each:.1} µs of processor each", done as f64 / took.as_secs_f64());
    Ok(done)
}

/// RSA where it is asked for, and handed to blocking threads.
async fn signatures(span: Duration) -> Result<(), Failure> {
    let key = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048)?;
    let der = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&key)?;
    let key = Arc::new(smime::RsaKey::from_pkcs8_der(der.as_ref())?);
    let here = Arc::clone(&key);
    counted("signatures, where they are asked for", span, move |_| {
        let key = Arc::clone(&here);
        async move {
            key.sign_digest([7; 32])?;
            tokio::task::yield_now().await;
            Ok(())
        }
    })
    .await?;
    counted("signatures, on blocking threads", span, move |_| {
        let key = Arc::clone(&key);
        async move { Ok(tokio::task::spawn_blocking(move || key.sign_digest([7; 32])).await?.map(drop)?) }
    })
    .await?;
    Ok(())
}

/// User and system time of this process, in steps of 10 ms.
fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().skip(11).take(2);
    Duration::from_millis(fields.flat_map(str::parse::<u64>).sum::<u64>() * 10)
}

fn spool(n: u64) -> String {
    format!("0199d3a1{n:024x}")
}

fn blob(n: u64) -> BlobKey {
    BlobKey::listed(format!("letters/{}/envelope.eml", spool(n)))
}

fn key(n: u64, sk: &str) -> RowKey {
    RowKey { table: Table::Letters, pk: format!("origin#{}@pec.alfa.example", spool(n)), sk: sk.to_owned() }
}

/// Three rows, one of them a large one that owes something, and a log entry: as a stage commits them.
fn fact(n: u64) -> Commit {
    let at = Instant::from_unix_s(1_772_438_400);
    let row = |sk: &str, bytes: usize, debt| {
        let body = format!(r#"{{"x":"{}"}}"#, "y".repeat(bytes));
        Write::Insert(Row { key: key(n, sk), body, debt, lookup: None })
    };
    let act = Debt::now(Job::Certify { act: key(n, "act") }, at);
    let entry = LogEntry {
        pec_id: format!("{}@pec.alfa.example", spool(n)),
        side: Side::Origin,
        event: Event::Accepted,
        discriminator: String::new(),
        at,
        client_id: Some("<lettera@pec.alfa.example>".to_owned()),
        sender: "mittente@pec.alfa.example".to_owned(),
        recipients: vec!["destinatario@pec.alfa.example".to_owned()],
        subject: Some("Lettera".to_owned()),
        messages: vec!["<messaggio@pec.alfa.example>".to_owned()],
        sending_provider: "Alfa".to_owned(),
        issuer: "Alfa".to_owned(),
        sha256: Some(blob_name(b"x")),
        detail: std::collections::BTreeMap::new(),
    };
    let writes = vec![row("head", 800, None), row("rcpt", 400, None), row("act", 1500, Some(act))];
    Commit { writes, entries: vec![entry] }
}
