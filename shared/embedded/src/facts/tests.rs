use std::{collections::BTreeMap, fs};

use stages::{
    Job,
    ids::Side,
    log::Event,
    ports::{Debt, Row, Write},
};
use tempfile::TempDir;

use super::*;

fn key(n: usize) -> RowKey {
    RowKey { table: Table::Letters, pk: format!("origin#{n}"), sk: "head".to_owned() }
}

fn entry(n: usize) -> LogEntry {
    LogEntry {
        pec_id: format!("id-{n}"),
        side: Side::Origin,
        event: Event::Accepted,
        discriminator: String::new(),
        at: Instant::from_unix_s(1_772_438_400),
        client_id: None,
        sender: "mittente@pec.alfa.example".to_owned(),
        recipients: Vec::new(),
        subject: None,
        messages: Vec::new(),
        sending_provider: "Alfa".to_owned(),
        issuer: "Alfa".to_owned(),
        sha256: None,
        detail: BTreeMap::new(),
    }
}

/// A commit of some pages, with a row and an entry that belong together.
fn commit(n: usize) -> Commit {
    let body = format!(r#"{{"n":{n},"x":"{}"}}"#, "y".repeat(n * 997 % 9000));
    let debt = Some(Debt::now(Job::Spread { head: key(n) }, Instant::from_unix_s(0)));
    let row = Row { key: key(n), body, debt, lookup: None };
    Commit { writes: vec![Write::Insert(row)], entries: vec![entry(n)] }
}

fn open(folder: &Path) -> SqliteFacts {
    SqliteFacts::open(&folder.join("facts.sqlite"), Arc::default()).unwrap()
}

/// The folder as a power cut leaves it: the database, and of its log what the closure makes of it.
fn after_power_cut(folder: &Path, log: impl FnOnce(&mut Vec<u8>)) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    fs::copy(folder.join("facts.sqlite"), copy.path().join("facts.sqlite")).unwrap();
    let mut bytes = fs::read(folder.join("facts.sqlite-wal")).unwrap();
    log(&mut bytes);
    fs::write(copy.path().join("facts.sqlite-wal"), bytes).unwrap();
    copy
}

/// How many of the first commits are there; each is there whole or not at all, and none without those before it.
async fn commits_in(folder: &Path, of: usize) -> usize {
    let facts = open(folder);
    let mut there = 0;
    for n in 0..of {
        let (row, log) = (facts.get(&key(n)).await.unwrap(), facts.log(&format!("id-{n}")).await.unwrap());
        assert_eq!(row.is_some(), log.len() == 1, "commit {n} is torn");
        if row.is_some() {
            assert_eq!(there, n, "commit {n} is there without those before it");
            there += 1;
        }
    }
    there
}

#[tokio::test]
async fn an_answered_commit_outlives_whatever_happens_to_the_log_behind_it() {
    const COMMITS: usize = 40;
    let folder = tempfile::tempdir().unwrap();
    let facts = open(folder.path());
    let log_len =
        || usize::try_from(fs::metadata(folder.path().join("facts.sqlite-wal")).unwrap().len()).unwrap();
    // What the log had when each commit was answered: this much is durable.
    let mut answered = Vec::new();
    for n in 0..COMMITS {
        assert_eq!(facts.commit(commit(n)).await.unwrap(), Committed::Now);
        answered.push(log_len());
    }
    for (n, len) in answered.iter().enumerate() {
        let cut = after_power_cut(folder.path(), |log| log.truncate(*len));
        assert_eq!(commits_in(cut.path(), COMMITS).await, n + 1);
        // The next commit was being written, and tore.
        let torn = after_power_cut(folder.path(), |log| {
            log.truncate(answered.get(n + 1).map_or(*len, |next| next - 1 - n * 97 % (next - len)));
        });
        assert_eq!(commits_in(torn.path(), COMMITS).await, n + 1);
        // Or its sectors got lost in another order: the end is there, the beginning is not.
        let holes = after_power_cut(folder.path(), |log| {
            let end = answered.get(n + 1).copied().unwrap_or(*len);
            log.truncate(end);
            let hole = *len..(*len + 512).min(end);
            log[hole].fill(0);
        });
        assert_eq!(commits_in(holes.path(), COMMITS).await, n + 1);
    }
}

#[tokio::test]
async fn the_legal_log_refuses_to_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    let facts = open(folder.path());
    facts.commit(commit(1)).await.unwrap();
    let db = schema::writer(&folder.path().join("facts.sqlite")).unwrap();
    for sql in [
        "UPDATE log SET body = '{}'",
        "DELETE FROM log",
        "INSERT OR REPLACE INTO log(seq, partition, sk, at, body) VALUES (1, 1, 'x', 0, '{}')",
        "REPLACE INTO log(partition, sk, at, body) SELECT partition, sk, 0, '{}' FROM log",
        "UPDATE partitions SET pk = 'id-2' WHERE pk = 'id-1'",
        "DELETE FROM partitions",
    ] {
        let error = db.execute_batch(sql).unwrap_err().to_string();
        assert!(error.contains("append-only") || error.contains("never changed"), "{sql}: {error}");
    }
    assert_eq!(facts.log("id-1").await.unwrap(), [entry(1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_commits_share_one_transaction_and_a_lost_one_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let counters = Arc::new(Counters::default());
    let facts = SqliteFacts::open(&folder.path().join("facts.sqlite"), Arc::clone(&counters)).unwrap();
    let facts = Arc::new(facts);
    let tasks: Vec<_> = (0..300)
        .map(|n| {
            let facts = Arc::clone(&facts);
            // Each of the first hundred three times.
            tokio::spawn(async move { (n % 100, facts.commit(commit(n % 100)).await.unwrap()) })
        })
        .collect();
    let mut now = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            (n, Committed::Now) => now.push(n),
            (_, Committed::Lost) => {}
        }
    }
    now.sort_unstable();
    assert_eq!(now, (0..100).collect::<Vec<_>>());
    let counts = counters.now();
    assert_eq!((counts.commits, counts.lost), (300, 200));
    assert!(counts.transactions < 150, "{counts:?}");
}

/// A read sees every commit that was answered before it began, also while checkpoints run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_see_what_was_answered_while_checkpoints_run() {
    const COMMITS: usize = 3200;
    let folder = tempfile::tempdir().unwrap();
    let counters = Arc::new(Counters::default());
    let facts = SqliteFacts::open(&folder.path().join("facts.sqlite"), Arc::clone(&counters)).unwrap();
    let facts = Arc::new(facts);
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let facts = Arc::clone(&facts);
            tokio::spawn(async move {
                for n in (task..COMMITS).step_by(16) {
                    assert_eq!(facts.commit(commit(n)).await.unwrap(), Committed::Now);
                    assert_eq!(facts.get(&key(n)).await.unwrap().map(|r| r.version), Some(1), "{n}");
                    assert_eq!(facts.log(&format!("id-{n}")).await.unwrap().len(), 1);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(counters.now().checkpoints > 0);
    drop(facts);
    assert_eq!(commits_in(folder.path(), COMMITS).await, COMMITS);
}

#[tokio::test]
async fn tables_of_a_later_release_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let db = schema::writer(&folder.path().join("facts.sqlite")).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    assert!(SqliteFacts::open(&folder.path().join("facts.sqlite"), Arc::default()).is_err());
}
