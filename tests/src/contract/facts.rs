//! What [`Facts`] owes.

use std::{collections::BTreeMap, sync::Arc};

use pec::Instant;
use stages::{
    Job, SpoolId,
    ids::{MailboxId, Side},
    log::{Event, LogEntry},
    ports::{Commit, Committed, Debt, Facts, Lookup, Page, Row, RowKey, StoredRow, Table, Write},
};

/// Runs every case of [`Facts`] as a test of its own; takes the name of an async function without arguments that
/// answers [`Fresh<dyn Facts>`](super::Fresh).
#[macro_export]
macro_rules! facts_contract {
    ($fresh:ident) => {
        $crate::contract_cases!(
            facts,
            $fresh,
            [
                a_row_is_read_back_whole,
                rows_are_read_in_the_place_of_their_keys,
                an_insert_wants_no_row,
                a_replacement_wants_the_version_that_was_read,
                a_removal_wants_the_version_that_was_read,
                a_check_wants_the_version_and_changes_nothing,
                a_replacement_takes_debt_and_lookup_away,
                one_condition_that_fails_undoes_all,
                a_commit_that_is_repeated_is_lost,
                log_entries_are_in_the_order_of_commit,
                a_log_entry_is_written_once,
                log_entries_differ_by_id_side_event_and_discriminator,
                a_partition_is_read_in_order_by_prefix,
                prefixes_are_literal,
                pages_continue_after_the_last_row,
                pages_go_on_over_a_megabyte,
                tables_and_partitions_are_apart,
                keys_take_every_character,
                bodies_take_every_character,
                the_oldest_debt_is_due_first,
                a_debt_is_due_at_its_instant_and_not_before,
                postponing_moves_only_the_due,
                postponing_wants_the_version_and_the_old_due,
                every_job_can_be_owed,
                rows_are_found_by_their_lookup,
                a_lookup_follows_its_row,
                a_hundred_items_fit_and_no_more,
                bytes_over_the_limit_are_refused,
                rows_and_keys_over_the_limit_are_refused,
                a_key_occurs_once_in_a_commit,
                of_many_inserts_one_wins,
                of_many_appends_one_wins,
                no_increment_is_lost,
                a_version_is_given_once,
                transfers_keep_the_sum,
            ]
        );
    };
}

fn at(s: i64) -> Instant {
    Instant::from_unix_s(1_772_438_400 + s)
}

fn key(pk: &str, sk: &str) -> RowKey {
    RowKey { table: Table::Letters, pk: pk.to_owned(), sk: sk.to_owned() }
}

fn row(pk: &str, sk: &str, body: &str) -> Row {
    Row { key: key(pk, sk), body: body.to_owned(), debt: None, lookup: None }
}

fn owing(sk: &str, due_s: i64) -> Row {
    let job = Job::Spread { head: key("p", sk) };
    Row { debt: Some(Debt::later(job, at(due_s))), ..row("p", sk, "{}") }
}

fn found_by(sk: &str, pk: &str, order: &str) -> Row {
    Row { lookup: Some(Lookup { pk: pk.to_owned(), sk: order.to_owned() }), ..row("p", sk, "{}") }
}

fn entry(pec_id: &str, side: Side, event: Event, discriminator: &str) -> LogEntry {
    LogEntry {
        pec_id: pec_id.to_owned(),
        side,
        event,
        discriminator: discriminator.to_owned(),
        at: at(0),
        client_id: Some("<client@pec.alfa.example>".to_owned()),
        sender: "mittente@pec.alfa.example".to_owned(),
        recipients: vec!["destinatario@pec.alfa.example".to_owned()],
        subject: Some("Prova: più parole, \"citazioni\" e \\".to_owned()),
        messages: vec!["<x@pec.alfa.example>".to_owned()],
        sending_provider: "Alfa".to_owned(),
        issuer: "Alfa".to_owned(),
        sha256: None,
        detail: BTreeMap::from([("code".to_owned(), "5.1.1".to_owned())]),
    }
}

fn writes(writes: impl IntoIterator<Item = Write>) -> Commit {
    Commit { writes: writes.into_iter().collect(), entries: Vec::new() }
}

async fn commit(facts: &Arc<dyn Facts>, items: impl IntoIterator<Item = Write>) -> Committed {
    facts.commit(writes(items)).await.expect("the store answers")
}

async fn insert(facts: &Arc<dyn Facts>, rows: impl IntoIterator<Item = Row>) {
    for row in rows {
        assert_eq!(commit(facts, [Write::Insert(row)]).await, Committed::Now);
    }
}

async fn get(facts: &Arc<dyn Facts>, pk: &str, sk: &str) -> Option<StoredRow> {
    facts.get(&key(pk, sk)).await.expect("the store answers")
}

async fn version(facts: &Arc<dyn Facts>, pk: &str, sk: &str) -> Option<u64> {
    get(facts, pk, sk).await.map(|s| s.version)
}

/// Every `sk` of a query, over all its pages; each page holds to its limit.
async fn walk(
    facts: &Arc<dyn Facts>,
    pk: &str,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Vec<String> {
    let (mut all, mut after) = (Vec::new(), after.map(str::to_owned));
    for _ in 0..10_000 {
        let Page { rows, next } = facts
            .query(Table::Letters, pk, prefix, after.as_deref(), limit)
            .await
            .expect("the store answers");
        assert!(rows.len() <= limit, "{} rows where {limit} were asked", rows.len());
        all.extend(rows.into_iter().map(|s| s.row.key.sk));
        match next {
            Some(sk) => after = Some(sk),
            None => return all,
        }
    }
    panic!("a query without an end");
}

async fn due(facts: &Arc<dyn Facts>, now_s: i64, limit: usize) -> Vec<String> {
    let rows = facts.due(at(now_s), limit).await.expect("the store answers");
    rows.into_iter().map(|s| s.row.key.sk).collect()
}

async fn looked_up(facts: &Arc<dyn Facts>, pk: &str, from: &str, limit: usize) -> Vec<String> {
    let rows = facts.lookup(Table::Letters, pk, from, limit).await.expect("the store answers");
    rows.into_iter().map(|s| s.row.key.sk).collect()
}

// --------------------------------------------------------------------------------------- rows and versions

/// Body, debt and lookup come back as they were written, in version 1.
pub async fn a_row_is_read_back_whole(facts: Arc<dyn Facts>) {
    let whole = Row {
        debt: Some(Debt::now(Job::Certify { act: key("p", "act") }, at(7))),
        lookup: Some(Lookup { pk: "origin#a@b.example".to_owned(), sk: "2026".to_owned() }),
        ..row("p", "s", r#"{"a":[1,2,{"b":null}],"c":"d"}"#)
    };
    insert(&facts, [whole.clone()]).await;
    assert_eq!(get(&facts, "p", "s").await, Some(StoredRow { row: whole, version: 1 }));
    assert_eq!(get(&facts, "p", "t").await, None);
}

/// Many keys at a time, of all tables, some of them twice, some of nothing.
pub async fn rows_are_read_in_the_place_of_their_keys(facts: Arc<dyn Facts>) {
    let of = |table, n: usize| RowKey { table, ..key("p", &format!("{n:04}")) };
    let mut keys = Vec::new();
    for table in [Table::Letters, Table::Mailboxes, Table::Registry] {
        let rows = (0..90).map(|n| Row { key: of(table, n), ..row("p", "", &format!(r#"{{"n":{n}}}"#)) });
        assert_eq!(commit(&facts, rows.map(Write::Insert)).await, Committed::Now);
        keys.extend((0..100).rev().map(|n| of(table, n)));
    }
    keys.extend([of(Table::Letters, 5), of(Table::Letters, 95)]);
    let rows = facts.get_many(&keys).await.expect("the store answers");
    assert_eq!(rows.len(), keys.len());
    for (key, row) in keys.iter().zip(rows) {
        let there = key.sk.as_str() < "0090";
        assert_eq!(row.map(|r| r.row.key), there.then(|| key.clone()));
    }
    assert!(facts.get_many(&[]).await.expect("the store answers").is_empty());
}

/// `Insert`: "The row must not be there."
pub async fn an_insert_wants_no_row(facts: Arc<dyn Facts>) {
    insert(&facts, [row("p", "s", r#"{"n":1}"#)]).await;
    assert_eq!(commit(&facts, [Write::Insert(row("p", "s", r#"{"n":2}"#))]).await, Committed::Lost);
    let stored = get(&facts, "p", "s").await.expect("the row");
    assert_eq!((stored.row.body.as_str(), stored.version), (r#"{"n":1}"#, 1));
}

/// `Replace`: "The row must be there in this version."
pub async fn a_replacement_wants_the_version_that_was_read(facts: Arc<dyn Facts>) {
    let next = |was| Write::Replace { row: row("p", "s", r#"{"n":2}"#), was };
    assert_eq!(commit(&facts, [next(1)]).await, Committed::Lost, "no row");
    assert_eq!(commit(&facts, [next(0)]).await, Committed::Lost, "no row");
    insert(&facts, [row("p", "s", r#"{"n":1}"#)]).await;
    assert_eq!(commit(&facts, [next(0)]).await, Committed::Lost);
    assert_eq!(commit(&facts, [next(2)]).await, Committed::Lost);
    assert_eq!(commit(&facts, [next(1)]).await, Committed::Now);
    assert_eq!(version(&facts, "p", "s").await, Some(2));
    assert_eq!(commit(&facts, [next(1)]).await, Committed::Lost, "an old version");
    assert_eq!(commit(&facts, [next(2)]).await, Committed::Now);
    assert_eq!(version(&facts, "p", "s").await, Some(3));
}

/// `Delete`: "The row must be there in this version, and goes."
pub async fn a_removal_wants_the_version_that_was_read(facts: Arc<dyn Facts>) {
    let delete = |was| Write::Delete { key: key("p", "s"), was };
    assert_eq!(commit(&facts, [delete(1)]).await, Committed::Lost, "no row");
    insert(&facts, [row("p", "s", "{}")]).await;
    assert_eq!(commit(&facts, [delete(2)]).await, Committed::Lost);
    assert_eq!(version(&facts, "p", "s").await, Some(1));
    assert_eq!(commit(&facts, [delete(1)]).await, Committed::Now);
    assert_eq!(get(&facts, "p", "s").await, None);
    insert(&facts, [row("p", "s", "{}")]).await;
}

/// `Check`: "The row must be there in this version, and stays as it is."
pub async fn a_check_wants_the_version_and_changes_nothing(facts: Arc<dyn Facts>) {
    let check = |was| Write::Check { key: key("p", "s"), was };
    let other = |sk: &str| Write::Insert(row("p", sk, "{}"));
    assert_eq!(commit(&facts, [check(1), other("a")]).await, Committed::Lost, "no row");
    insert(&facts, [row("p", "s", "{}")]).await;
    assert_eq!(commit(&facts, [check(1), other("b")]).await, Committed::Now);
    assert_eq!(version(&facts, "p", "s").await, Some(1));
    assert_eq!(commit(&facts, [check(2), other("c")]).await, Committed::Lost);
    assert_eq!(walk(&facts, "p", "", None, 10).await, ["b", "s"]);
}

/// A row is replaced with all that belongs to it.
pub async fn a_replacement_takes_debt_and_lookup_away(facts: Arc<dyn Facts>) {
    let full = Row { lookup: Some(Lookup { pk: "l".to_owned(), sk: "1".to_owned() }), ..owing("s", 0) };
    insert(&facts, [full]).await;
    assert_eq!(commit(&facts, [Write::Replace { row: row("p", "s", "{}"), was: 1 }]).await, Committed::Now);
    let stored = get(&facts, "p", "s").await.expect("the row");
    assert_eq!((stored.row.debt, stored.row.lookup), (None, None));
    assert_eq!(due(&facts, 10, 10).await, Vec::<String>::new());
    assert_eq!(looked_up(&facts, "l", "", 10).await, Vec::<String>::new());
}

// --------------------------------------------------------------------------------------- transactions

/// "All or nothing: rows and log entries of one fact."
pub async fn one_condition_that_fails_undoes_all(facts: Arc<dyn Facts>) {
    insert(&facts, [row("p", "there", "{}"), row("p", "goes", "{}")]).await;
    let lost: [Write; 4] = [
        Write::Insert(row("p", "there", "{}")),
        Write::Replace { row: row("p", "there", "{}"), was: 9 },
        Write::Delete { key: key("p", "absent"), was: 1 },
        Write::Check { key: key("p", "there"), was: 9 },
    ];
    for failing in lost {
        for first in [true, false] {
            let mut commit =
                writes([Write::Insert(owing("new", 0)), Write::Delete { key: key("p", "goes"), was: 1 }]);
            commit.writes.insert(if first { 0 } else { 2 }, failing.clone());
            commit.entries.push(entry("id", Side::Origin, Event::Accepted, ""));
            assert_eq!(
                facts.commit(commit).await.expect("the store answers"),
                Committed::Lost,
                "{failing:?}"
            );
        }
    }
    assert_eq!(walk(&facts, "p", "", None, 10).await, ["goes", "there"]);
    assert!(facts.log("id").await.expect("the store answers").is_empty());
    assert!(due(&facts, 10, 10).await.is_empty());
}

/// "A commit that is repeated after a lost answer answers `Lost`."
pub async fn a_commit_that_is_repeated_is_lost(facts: Arc<dyn Facts>) {
    insert(&facts, [row("p", "old", "{}")]).await;
    let replace = writes([Write::Replace { row: row("p", "old", "{}"), was: 1 }]);
    let append =
        Commit { entries: vec![entry("id", Side::Origin, Event::Accepted, "")], ..Commit::default() };
    for once in [replace, append] {
        assert_eq!(facts.commit(once.clone()).await.expect("the store answers"), Committed::Now);
        assert_eq!(facts.commit(once).await.expect("the store answers"), Committed::Lost);
    }
    assert_eq!(version(&facts, "p", "old").await, Some(2));
}

/// "The legal log of one PEC id, in the order of commit."
pub async fn log_entries_are_in_the_order_of_commit(facts: Arc<dyn Facts>) {
    let events = [Event::Received, Event::Accepted, Event::Issued, Event::Delivered];
    for (n, event) in events.into_iter().enumerate() {
        // The second entry of a commit comes after its first; instants do not matter.
        let entries = vec![
            LogEntry { at: at(-100 * n as i64), ..entry("id", Side::Origin, event, "z") },
            entry("id", Side::Origin, event, "a"),
        ];
        let appended = facts.commit(Commit { writes: Vec::new(), entries }).await.expect("the store answers");
        assert_eq!(appended, Committed::Now);
    }
    let log = facts.log("id").await.expect("the store answers");
    let order: Vec<_> = log.iter().map(|e| (e.event, e.discriminator.as_str())).collect();
    assert_eq!(order, events.iter().flat_map(|e| [(*e, "z"), (*e, "a")]).collect::<Vec<_>>());
    assert_eq!(log[1], entry("id", Side::Origin, Event::Received, "a"), "an entry comes back whole");
    assert!(facts.log("i").await.expect("the store answers").is_empty());
}

/// "Entries of the legal log; each must not be there yet, or the commit is lost."
pub async fn a_log_entry_is_written_once(facts: Arc<dyn Facts>) {
    let first = entry("id", Side::Origin, Event::Issued, "x");
    let second = LogEntry { at: at(99), sender: "altro@pec.alfa.example".to_owned(), ..first.clone() };
    let of = |e: &LogEntry, sk: &str| Commit {
        writes: vec![Write::Insert(row("p", sk, "{}"))],
        entries: vec![e.clone()],
    };
    assert_eq!(facts.commit(of(&first, "a")).await.expect("the store answers"), Committed::Now);
    assert_eq!(facts.commit(of(&second, "b")).await.expect("the store answers"), Committed::Lost);
    assert_eq!(facts.log("id").await.expect("the store answers"), [first]);
    assert_eq!(get(&facts, "p", "b").await, None);
}

/// The key of an entry: (PEC id, side, event, discriminator).
pub async fn log_entries_differ_by_id_side_event_and_discriminator(facts: Arc<dyn Facts>) {
    let all = [
        entry("id", Side::Origin, Event::Issued, "x"),
        entry("id", Side::Destination, Event::Issued, "x"),
        entry("id", Side::Origin, Event::Relayed, "x"),
        entry("id", Side::Origin, Event::Issued, "y"),
        entry("id", Side::Origin, Event::Issued, ""),
        entry("ID", Side::Origin, Event::Issued, "x"),
    ];
    let appended = facts.commit(Commit { writes: Vec::new(), entries: all.to_vec() }).await;
    assert_eq!(appended.expect("the store answers"), Committed::Now);
    assert_eq!(facts.log("id").await.expect("the store answers"), all[..5]);
    assert_eq!(facts.log("ID").await.expect("the store answers"), all[5..]);
}

// --------------------------------------------------------------------------------------- queries

/// "Rows of one partition whose `sk` begins with `prefix`, after `after`, in order of `sk`": by octets.
pub async fn a_partition_is_read_in_order_by_prefix(facts: Arc<dyn Facts>) {
    let keys = ["act#b", "rcpt#", "act#a", "act", "head", "act#B", "rcpt#z", "act#", "act#a#", "act$"];
    insert(&facts, keys.map(|sk| row("p", sk, "{}"))).await;
    let sorted = ["act", "act#", "act#B", "act#a", "act#a#", "act#b", "act$", "head", "rcpt#", "rcpt#z"];
    assert_eq!(walk(&facts, "p", "", None, 100).await, sorted);
    assert_eq!(walk(&facts, "p", "act#", None, 100).await, ["act#", "act#B", "act#a", "act#a#", "act#b"]);
    assert_eq!(walk(&facts, "p", "act#", Some("act#a"), 100).await, ["act#a#", "act#b"]);
    assert_eq!(
        walk(&facts, "p", "act#", Some("act#aa"), 100).await,
        ["act#b"],
        "after a row that is not there"
    );
    assert_eq!(walk(&facts, "p", "act#", Some("a"), 100).await.len(), 5, "after something before the prefix");
    assert!(walk(&facts, "p", "act#", Some("zz"), 100).await.is_empty());
    assert!(walk(&facts, "p", "x", None, 100).await.is_empty());
    assert!(walk(&facts, "q", "", None, 100).await.is_empty());
}

/// No character of a prefix is a pattern.
pub async fn prefixes_are_literal(facts: Arc<dyn Facts>) {
    insert(&facts, ["a_b", "axb", "a%b", "a*b", "A_b", "a[b", "a\\b"].map(|sk| row("p", sk, "{}"))).await;
    for prefix in ["a_", "a%", "a*", "a[", "a\\", "A"] {
        let found = walk(&facts, "p", prefix, None, 10).await;
        assert_eq!(found.len(), 1, "{prefix}: {found:?}");
        assert!(found[0].starts_with(prefix));
    }
}

/// "Rows of one partition in order, and where to go on."
pub async fn pages_continue_after_the_last_row(facts: Arc<dyn Facts>) {
    let all: Vec<String> = (0..23).map(|n| format!("m#{n:03}")).collect();
    insert(&facts, all.iter().map(|sk| row("p", sk, "{}"))).await;
    for limit in [1, 2, 7, 22, 23, 24, 1000] {
        assert_eq!(walk(&facts, "p", "m#", None, limit).await, all, "limit {limit}");
    }
    assert_eq!(walk(&facts, "p", "m#", Some("m#010"), 5).await, all[11..]);
}

/// A page may be shorter than its limit (a store that pages by bytes), but the walk sees every row once.
pub async fn pages_go_on_over_a_megabyte(facts: Arc<dyn Facts>) {
    let body = |n: usize| format!(r#"{{"n":{n},"x":"{}"}}"#, "y".repeat(250_000));
    let all: Vec<String> = (0..10).map(|n| format!("m#{n}")).collect();
    for (n, sk) in all.iter().enumerate() {
        insert(&facts, [row("p", sk, &body(n))]).await;
    }
    assert_eq!(walk(&facts, "p", "", None, 100).await, all);
    assert_eq!(get(&facts, "p", "m#9").await.expect("the row").row.body, body(9));
}

/// A key is a table, a partition and a place in it.
pub async fn tables_and_partitions_are_apart(facts: Arc<dyn Facts>) {
    for table in [Table::Letters, Table::Mailboxes, Table::Registry] {
        for pk in ["p", "q", "p#", "P"] {
            let body = format!(r#"{{"t":"{}{pk}"}}"#, table.name());
            let key = RowKey { table, pk: pk.to_owned(), sk: "s".to_owned() };
            insert(&facts, [Row { key, body, debt: None, lookup: None }]).await;
        }
    }
    for table in [Table::Letters, Table::Mailboxes, Table::Registry] {
        for pk in ["p", "q", "p#", "P"] {
            let page = facts.query(table, pk, "", None, 10).await.expect("the store answers");
            let bodies: Vec<_> = page.rows.iter().map(|s| s.row.body.clone()).collect();
            assert_eq!(bodies, [format!(r#"{{"t":"{}{pk}"}}"#, table.name())]);
        }
    }
}

/// Keys hold addresses (RFC 5321: quoted local parts too) and separators.
pub async fn keys_take_every_character(facts: Arc<dyn Facts>) {
    let printable: String = (0x20..0x7fu8).map(char::from).collect();
    let long_pk = "k".repeat(1024);
    let long_sk = "k".repeat(512);
    let keys = [
        (printable.as_str(), printable.as_str()),
        ("origin#0123@pec.alfa.example", "rcpt#\"a b'c\\\"\"@pec.alfa.example"),
        ("perché#1", "è"),
        (long_pk.as_str(), long_sk.as_str()),
    ];
    for (pk, sk) in keys {
        insert(&facts, [row(pk, sk, "{}")]).await;
        assert_eq!(version(&facts, pk, sk).await, Some(1));
        assert_eq!(walk(&facts, pk, "", None, 10).await, [sk]);
        assert_eq!(walk(&facts, pk, sk, None, 10).await, [sk]);
        assert_eq!(commit(&facts, [Write::Delete { key: key(pk, sk), was: 1 }]).await, Committed::Now);
        assert_eq!(version(&facts, pk, sk).await, None);
    }
}

/// A body comes back to the octet.
pub async fn bodies_take_every_character(facts: Arc<dyn Facts>) {
    let text: String = (1..0x250u32).chain([0x20ac, 0xfffd, 0x1f4e7]).filter_map(char::from_u32).collect();
    let body =
        serde_json::json!({ "text": text, "nul": "\u{0}", "big": u64::MAX, "spaces": "  a  " }).to_string();
    insert(&facts, [row("p", "s", &body), row("p", "t", "{ \"spaced\" : [ ] }")]).await;
    assert_eq!(get(&facts, "p", "s").await.expect("the row").row.body, body);
    assert_eq!(get(&facts, "p", "t").await.expect("the row").row.body, "{ \"spaced\" : [ ] }");
}

// --------------------------------------------------------------------------------------- debts

/// "Rows whose debt is due at `now`, oldest due first; at most `limit`", whatever their table.
pub async fn the_oldest_debt_is_due_first(facts: Arc<dyn Facts>) {
    let mut in_mailboxes = owing("b", 10);
    in_mailboxes.key.table = Table::Mailboxes;
    insert(&facts, [owing("c", 30), in_mailboxes, owing("d", 20), owing("a", 40), row("p", "none", "{}")])
        .await;
    assert_eq!(due(&facts, 100, 10).await, ["b", "d", "c", "a"]);
    assert_eq!(due(&facts, 100, 2).await, ["b", "d"]);
    assert_eq!(due(&facts, 25, 10).await, ["b", "d"]);
}

/// The instant itself counts; the second before does not.
pub async fn a_debt_is_due_at_its_instant_and_not_before(facts: Arc<dyn Facts>) {
    let now = Debt::now(Job::Accept { spool: SpoolId::new(at(0), None, 7) }, at(0));
    insert(&facts, [owing("later", 50), Row { debt: Some(now), ..row("p", "now", "{}") }]).await;
    assert!(due(&facts, 49, 10).await.is_empty());
    assert_eq!(due(&facts, 50, 10).await, ["later"]);
    assert_eq!(due(&facts, Debt::OVERDUE_S - 1, 10).await, ["later"]);
    assert_eq!(due(&facts, Debt::OVERDUE_S, 10).await, ["later", "now"]);
}

/// "Moves the `due` of a debt … The version stays."
pub async fn postponing_moves_only_the_due(facts: Arc<dyn Facts>) {
    insert(&facts, [owing("s", 10), owing("t", 15)]).await;
    assert!(facts.postpone(&key("p", "s"), 1, at(10), at(20)).await.expect("the store answers"));
    let stored = get(&facts, "p", "s").await.expect("the row");
    assert_eq!(stored.version, 1);
    let debt = stored.row.debt.expect("the debt");
    assert_eq!((debt.owed_since, debt.due), (at(10), at(20)));
    assert_eq!(due(&facts, 19, 10).await, ["t"]);
    assert_eq!(due(&facts, 20, 10).await, ["t", "s"]);
    let write = Write::Replace { row: row("p", "s", "{}"), was: 1 };
    assert_eq!(commit(&facts, [write]).await, Committed::Now, "postponing takes no version from anybody");
}

/// "… if the row is still in this version and its `due` is still `from`."
pub async fn postponing_wants_the_version_and_the_old_due(facts: Arc<dyn Facts>) {
    insert(&facts, [owing("s", 10), row("p", "none", "{}")]).await;
    for (sk, version, from) in [("s", 2, 10), ("s", 0, 10), ("s", 1, 11), ("none", 1, 10), ("absent", 1, 10)]
    {
        let moved =
            facts.postpone(&key("p", sk), version, at(from), at(99)).await.expect("the store answers");
        assert!(!moved, "{sk} {version} {from}");
    }
    assert_eq!(due(&facts, 10, 10).await, ["s"]);
    assert!(facts.postpone(&key("p", "s"), 1, at(10), at(20)).await.expect("the store answers"));
    let again = facts.postpone(&key("p", "s"), 1, at(10), at(30)).await.expect("the store answers");
    assert!(!again, "two watchers: one moves it");
}

/// Each job comes back as it was owed.
pub async fn every_job_can_be_owed(facts: Arc<dyn Facts>) {
    let (spool, row_key) =
        (SpoolId::new(at(0), None, 1), key("origin#x@pec.alfa.example", "act#acceptance#"));
    let mailbox = MailboxId("m-1".to_owned());
    let jobs = [
        Job::Accept { spool: spool.clone() },
        Job::Seal { act: row_key.clone() },
        Job::Certify { act: row_key.clone() },
        Job::Receive { spool },
        Job::ReceiveOwn { dispatch: row_key.clone() },
        Job::Deliver { mailbox, filing: row_key.clone() },
        Job::Dispatch { dispatch: row_key.clone() },
        Job::Spread { head: row_key.clone() },
        Job::Deadline { recipient: row_key.clone() },
        Job::Pack { row: row_key.clone() },
        Job::Discard { row: row_key },
    ];
    for (n, job) in jobs.iter().enumerate() {
        let debt = Some(Debt::later(job.clone(), at(n as i64)));
        insert(&facts, [Row { debt, ..row("p", &format!("{n}"), "{}") }]).await;
    }
    let due = facts.due(at(100), 100).await.expect("the store answers");
    assert_eq!(due.into_iter().filter_map(|s| s.row.debt).map(|d| d.job).collect::<Vec<_>>(), jobs);
}

// --------------------------------------------------------------------------------------- lookups

/// "by the table's index, in order of the lookup's `sk`, beginning with `from`; at most `limit`".
pub async fn rows_are_found_by_their_lookup(facts: Arc<dyn Facts>) {
    let mut registry = found_by("elsewhere", "l", "1");
    registry.key.table = Table::Registry;
    insert(
        &facts,
        [
            found_by("x", "l", "3"),
            found_by("y", "l", "1"),
            found_by("z", "l", "2"),
            found_by("other", "l2", "1"),
            registry,
            row("p", "none", "{}"),
        ],
    )
    .await;
    assert_eq!(looked_up(&facts, "l", "", 10).await, ["y", "z", "x"]);
    assert_eq!(looked_up(&facts, "l", "2", 10).await, ["z", "x"], "from itself is in it");
    assert_eq!(looked_up(&facts, "l", "2.5", 10).await, ["x"]);
    assert_eq!(looked_up(&facts, "l", "", 2).await, ["y", "z"]);
    assert!(looked_up(&facts, "absent", "", 10).await.is_empty());
}

/// Many rows can share a lookup; one that is moved or removed is found where it went.
pub async fn a_lookup_follows_its_row(facts: Arc<dyn Facts>) {
    insert(&facts, [found_by("a", "l", "1"), found_by("b", "l", "1")]).await;
    let mut both = looked_up(&facts, "l", "1", 10).await;
    both.sort();
    assert_eq!(both, ["a", "b"]);
    let moved = Write::Replace { row: found_by("a", "m", "1"), was: 1 };
    let gone = Write::Delete { key: key("p", "b"), was: 1 };
    assert_eq!(commit(&facts, [moved, gone]).await, Committed::Now);
    assert!(looked_up(&facts, "l", "", 10).await.is_empty());
    assert_eq!(looked_up(&facts, "m", "", 10).await, ["a"]);
}

// --------------------------------------------------------------------------------------- limits

fn items(rows: usize, entries: usize) -> Commit {
    Commit {
        writes: (0..rows).map(|n| Write::Insert(row("p", &format!("{n:03}"), "{}"))).collect(),
        entries: (0..entries).map(|n| entry("id", Side::Origin, Event::Filed, &format!("{n:03}"))).collect(),
    }
}

/// [`Commit::ITEMS_MAX`] counts rows and entries together.
pub async fn a_hundred_items_fit_and_no_more(facts: Arc<dyn Facts>) {
    for (rows, entries) in [(101, 0), (0, 101), (60, 41)] {
        assert!(facts.commit(items(rows, entries)).await.is_err(), "{rows} rows and {entries} entries");
    }
    assert!(walk(&facts, "p", "", None, 200).await.is_empty());
    assert!(facts.log("id").await.expect("the store answers").is_empty());
    assert_eq!(facts.commit(items(60, 40)).await.expect("it fits"), Committed::Now);
    assert_eq!(walk(&facts, "p", "", None, 200).await.len(), 60);
    assert_eq!(facts.log("id").await.expect("the store answers").len(), 40);
}

/// [`Commit::BYTES_MAX`] counts the bodies.
pub async fn bytes_over_the_limit_are_refused(facts: Arc<dyn Facts>) {
    let body = format!(r#"{{"x":"{}"}}"#, "y".repeat(300_000));
    let of = |n: usize| writes((0..n).map(|i| Write::Insert(row("p", &format!("{i:02}"), &body))));
    assert!(facts.commit(of(13)).await.is_err());
    assert!(walk(&facts, "p", "", None, 100).await.is_empty());
    assert_eq!(facts.commit(of(11)).await.expect("it fits"), Committed::Now);
    assert_eq!(walk(&facts, "p", "", None, 100).await.len(), 11);
}

/// A body of 350 KB, a `pk` of 1,024 and an `sk` of 512 octets at most.
pub async fn rows_and_keys_over_the_limit_are_refused(facts: Arc<dyn Facts>) {
    let body = format!(r#"{{"x":"{}"}}"#, "y".repeat(400_000));
    for bad in [row("p", "s", &body), row(&"k".repeat(1025), "s", "{}"), row("p", &"k".repeat(513), "{}")] {
        let with = writes([Write::Insert(row("p", "beside", "{}")), Write::Insert(bad)]);
        assert!(facts.commit(with).await.is_err());
    }
    assert!(walk(&facts, "p", "", None, 10).await.is_empty());
}

/// "A key occurs once."
pub async fn a_key_occurs_once_in_a_commit(facts: Arc<dyn Facts>) {
    insert(&facts, [row("p", "s", "{}")]).await;
    let check = Write::Check { key: key("p", "s"), was: 1 };
    let replace = Write::Replace { row: row("p", "s", "{}"), was: 1 };
    assert!(facts.commit(writes([check, replace])).await.is_err());
    let twice = entry("id", Side::Origin, Event::Issued, "x");
    let entries = vec![twice.clone(), twice];
    assert!(facts.commit(Commit { writes: Vec::new(), entries }).await.is_err());
    assert_eq!(version(&facts, "p", "s").await, Some(1));
    assert!(facts.log("id").await.expect("the store answers").is_empty());
}

// --------------------------------------------------------------------------------------- races

async fn race(facts: &Arc<dyn Facts>, commits: Vec<Commit>) -> usize {
    let tasks: Vec<_> = commits
        .into_iter()
        .map(|c| {
            let facts = Arc::clone(facts);
            tokio::spawn(async move { facts.commit(c).await.expect("the store answers") })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        won += usize::from(task.await.expect("no panic") == Committed::Now);
    }
    won
}

/// A row is inserted by one of those who try at the same time.
pub async fn of_many_inserts_one_wins(facts: Arc<dyn Facts>) {
    for round in 0..10 {
        let sk = format!("s{round}");
        let commits = (0..16)
            .map(|n| {
                writes([
                    Write::Insert(row("p", &sk, &format!(r#"{{"n":{n}}}"#))),
                    Write::Insert(row("w", &format!("{round}-{n}"), &format!(r#"{{"n":{n}}}"#))),
                ])
            })
            .collect();
        assert_eq!(race(&facts, commits).await, 1);
        let winners = walk(&facts, "w", &format!("{round}-"), None, 100).await;
        assert_eq!(winners.len(), 1, "the losers wrote nothing: {winners:?}");
        let (won, beside) = (get(&facts, "p", &sk).await, get(&facts, "w", &winners[0]).await);
        assert_eq!(won.expect("the row").row.body, beside.expect("the row").row.body);
    }
}

/// A log entry is appended by one of those who try at the same time.
pub async fn of_many_appends_one_wins(facts: Arc<dyn Facts>) {
    for round in 0..10 {
        let of = |n: i64| {
            let e = LogEntry { at: at(n), ..entry("id", Side::Origin, Event::Issued, &format!("{round}")) };
            Commit { writes: vec![Write::Insert(row("w", &format!("{round}-{n}"), "{}"))], entries: vec![e] }
        };
        assert_eq!(race(&facts, (0..16).map(of).collect()).await, 1);
        assert_eq!(walk(&facts, "w", &format!("{round}-"), None, 100).await.len(), 1);
        assert_eq!(facts.log("id").await.expect("the store answers").len(), round + 1);
    }
}

/// Read, change, write if nobody was faster: nothing is lost, and every write is a new version.
pub async fn no_increment_is_lost(facts: Arc<dyn Facts>) {
    const TASKS: u64 = 8;
    const EACH: u64 = 10;
    insert(&facts, [row("p", "n", r#"{"n":0}"#)]).await;
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let facts = Arc::clone(&facts);
            tokio::spawn(async move {
                for _ in 0..EACH {
                    while !increment(&facts, "n", 1).await {
                        tokio::task::yield_now().await;
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    let stored = get(&facts, "p", "n").await.expect("the row");
    assert_eq!((number(&stored), stored.version), (TASKS * EACH, TASKS * EACH + 1));
}

fn number(stored: &StoredRow) -> u64 {
    let body: serde_json::Value = serde_json::from_str(&stored.row.body).expect("JSON");
    body["n"].as_u64().expect("a number")
}

async fn increment(facts: &Arc<dyn Facts>, sk: &str, by: u64) -> bool {
    let read = get(facts, "p", sk).await.expect("the row");
    let next = row("p", sk, &format!(r#"{{"n":{}}}"#, number(&read) + by));
    commit(facts, [Write::Replace { row: next, was: read.version }]).await == Committed::Now
}

/// "Counts the writes of this row, from 1. Never reused while the row exists."
pub async fn a_version_is_given_once(facts: Arc<dyn Facts>) {
    insert(&facts, [row("p", "s", r#"{"n":0}"#)]).await;
    let of = |n: u64| writes([Write::Replace { row: row("p", "s", &format!(r#"{{"n":{n}}}"#)), was: 1 }]);
    assert_eq!(race(&facts, (0..16).map(of).collect()).await, 1);
    assert_eq!(version(&facts, "p", "s").await, Some(2));
    for was in 2..20 {
        let same = get(&facts, "p", "s").await.expect("the row");
        assert_eq!(same.version, was);
        // Even a write that changes nothing is a write: who read before it has lost.
        assert_eq!(commit(&facts, [Write::Replace { row: same.row, was }]).await, Committed::Now);
    }
}

/// Two rows that change together, by many at once: never one without the other.
pub async fn transfers_keep_the_sum(facts: Arc<dyn Facts>) {
    insert(&facts, [row("p", "a", r#"{"n":1000}"#), row("p", "b", r#"{"n":1000}"#)]).await;
    let tasks: Vec<_> = (0..8u64)
        .map(|n| {
            let facts = Arc::clone(&facts);
            tokio::spawn(async move {
                for turn in 0..10u64 {
                    let (from, to) = if (n + turn) % 2 == 0 { ("a", "b") } else { ("b", "a") };
                    transfer(&facts, from, to, n + 1, &format!("{n}-{turn}")).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    let (a, b) = (get(&facts, "p", "a").await.expect("a"), get(&facts, "p", "b").await.expect("b"));
    assert_eq!(number(&a) + number(&b), 2000);
    assert_eq!(facts.log("transfers").await.expect("the store answers").len(), 80);
    assert_eq!((a.version, b.version), (81, 81));
}

async fn transfer(facts: &Arc<dyn Facts>, from: &str, to: &str, amount: u64, name: &str) {
    loop {
        let (f, t) = (get(facts, "p", from).await.expect("a row"), get(facts, "p", to).await.expect("a row"));
        let write = |s: &StoredRow, n: u64| Write::Replace {
            row: row("p", &s.row.key.sk, &format!(r#"{{"n":{n}}}"#)),
            was: s.version,
        };
        let both = Commit {
            writes: vec![write(&f, number(&f) - amount), write(&t, number(&t) + amount)],
            entries: vec![entry("transfers", Side::Origin, Event::Filed, name)],
        };
        if facts.commit(both).await.expect("the store answers") == Committed::Now {
            return;
        }
        tokio::task::yield_now().await;
    }
}
