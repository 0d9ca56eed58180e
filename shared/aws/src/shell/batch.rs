//! A batch of queue messages: which of them failed. Pure but for what it is told to run; knows nothing of Lambda.

use std::{fmt::Display, future::Future, panic::AssertUnwindSafe};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::time::{Instant, timeout_at};

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The queue's id of it.
    pub id: String,
    /// Its group, in a FIFO queue.
    pub group: Option<String>,
    /// What it says.
    pub body: String,
}

/// How a batch is worked.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Groups that are worked at the same time; a message without a group is one of its own.
    pub concurrency: usize,
    /// When to stop: what is not done by then has failed.
    pub until: Instant,
}

/// Works a batch and answers the ids of the messages that failed: they come again, and end in the dead-letter queue.
///
/// Messages of one group are run by one call, in their order, with one result each; groups are run at the same time.
/// A message that cannot be understood is poison: it alone fails, what stands behind it in its group does not wait
/// for it. The same holds for one whose run fails, for the stage has answered for each of its group: order inside a
/// group makes a mailbox grow in order, it is nothing that a letter depends on. A panic or the end of the time fails
/// all that the call was given.
pub async fn work<T, E, R, F>(
    records: Vec<Record>,
    rule: Rule,
    parse: impl Fn(&str) -> Result<T, E>,
    run: impl Fn(Vec<T>) -> F,
) -> Vec<String>
where
    R: Display,
    F: Future<Output = Vec<Result<(), R>>>,
{
    // 1. What can be understood, by group.
    let mut failed = Vec::new();
    let mut groups: Vec<Group<T>> = Vec::new();
    for record in records {
        match parse(&record.body) {
            Ok(work) => add(&mut groups, record, work),
            Err(_) => {
                // No word of its content: it is in the dead-letter queue for a human.
                tracing::error!(
                    message_id = record.id,
                    bytes = record.body.len(),
                    "a message that is no job"
                );
                failed.push(record.id);
            }
        }
    }

    // 2. Groups at the same time, each contained.
    let results = stream::iter(groups).map(|group| contained(group, rule.until, &run));
    let results: Vec<Vec<String>> = results.buffer_unordered(rule.concurrency.max(1)).collect().await;
    failed.extend(results.into_iter().flatten());
    failed
}

struct Group<T> {
    name: Option<String>,
    ids: Vec<String>,
    work: Vec<T>,
}

fn add<T>(groups: &mut Vec<Group<T>>, record: Record, work: T) {
    let known = groups.iter_mut().find(|g| record.group.is_some() && g.name == record.group);
    match known {
        Some(group) => {
            group.ids.push(record.id);
            group.work.push(work);
        }
        None => groups.push(Group { name: record.group, ids: vec![record.id], work: vec![work] }),
    }
}

/// Runs a group and answers the ids that failed.
async fn contained<T, R, F>(group: Group<T>, until: Instant, run: impl Fn(Vec<T>) -> F) -> Vec<String>
where
    R: Display,
    F: Future<Output = Vec<Result<(), R>>>,
{
    let Group { ids, work, .. } = group;
    if Instant::now() >= until {
        tracing::warn!(messages = ids.len(), "no time is left for these messages");
        return ids;
    }
    // The call itself may panic before there is a future.
    let future = AssertUnwindSafe(async { run(work).await }).catch_unwind();
    let results = match timeout_at(until, future).await {
        Ok(Ok(results)) => results,
        Ok(Err(_)) => {
            tracing::error!(messages = ids.len(), "a stage panicked");
            return ids;
        }
        Err(_) => {
            tracing::warn!(messages = ids.len(), "the time ended before these messages were done");
            return ids;
        }
    };
    let mut results = results.into_iter();
    let failed = |id: &String| match results.next() {
        Some(Ok(())) => false,
        Some(Err(error)) => {
            tracing::warn!(message_id = id.as_str(), error = %error, "a job failed, it comes again");
            true
        }
        None => true,
    };
    ids.into_iter().filter(failed).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        time::Duration,
    };

    use super::*;

    fn record(id: &str, group: &str, body: &str) -> Record {
        Record {
            id: id.to_owned(),
            group: (!group.is_empty()).then(|| group.to_owned()),
            body: body.to_owned(),
        }
    }

    fn rule(concurrency: usize) -> Rule {
        Rule { concurrency, until: Instant::now() + Duration::from_secs(10) }
    }

    /// A body is what its run does; an empty one is poison.
    fn parse(body: &str) -> Result<String, ()> {
        if body.is_empty() { Err(()) } else { Ok(body.to_owned()) }
    }

    async fn act(work: Vec<String>) -> Vec<Result<(), String>> {
        let mut results = Vec::new();
        for one in work {
            match one.as_str() {
                "panic" => panic!("as it was told"),
                "hang" => std::future::pending().await,
                "fail" => results.push(Err("as it was told".to_owned())),
                "silent" => {}
                _ => results.push(Ok(())),
            }
        }
        results
    }

    async fn failed(records: Vec<Record>) -> Vec<String> {
        let mut failed = work(records, rule(4), parse, act).await;
        failed.sort();
        failed
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_failed_comes_again() {
        assert!(failed(vec![]).await.is_empty());
        assert!(failed(vec![record("a", "", "ok"), record("b", "", "ok")]).await.is_empty());
        let mixed = ["ok", "fail", "", "panic", "hang", "silent", "ok"];
        let records = mixed.iter().enumerate().map(|(n, body)| record(&n.to_string(), "", body)).collect();
        assert_eq!(failed(records).await, ["1", "2", "3", "4", "5"]);
    }

    #[tokio::test(start_paused = true)]
    async fn poison_and_failures_in_a_group_fail_alone() {
        let group = ["ok", "", "fail", "ok"];
        let mut records: Vec<_> =
            group.iter().enumerate().map(|(n, body)| record(&n.to_string(), "g", body)).collect();
        records.push(record("other", "h", "ok"));
        assert_eq!(failed(records).await, ["1", "2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_or_the_end_of_the_time_fails_its_whole_group_and_no_other() {
        for end in ["panic", "hang"] {
            let records = vec![
                record("1", "g", "ok"),
                record("2", "g", end),
                record("3", "g", "ok"),
                record("4", "h", "ok"),
                record("5", "", "ok"),
            ];
            assert_eq!(failed(records).await, ["1", "2", "3"], "{end}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn messages_of_a_group_are_one_call_in_their_order() {
        let calls = RefCell::new(Vec::new());
        let records = vec![
            record("1", "g", "a"),
            record("2", "h", "b"),
            record("3", "g", "c"),
            record("4", "", "d"),
            record("5", "", "e"),
        ];
        let run = |work: Vec<String>| {
            calls.borrow_mut().push(work.clone());
            act(work)
        };
        assert!(work(records, rule(1), parse, run).await.is_empty());
        assert_eq!(calls.into_inner(), [vec!["a", "c"], vec!["b"], vec!["d"], vec!["e"]]);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_so_many_run_at_the_same_time() {
        let (now, most) = (Cell::new(0), Cell::new(0));
        let run = |work: Vec<String>| async {
            now.set(now.get() + 1);
            most.set(most.get().max(now.get()));
            tokio::time::sleep(Duration::from_millis(10)).await; // paused time: no waiting
            now.set(now.get() - 1);
            act(work).await
        };
        let records = (0..20).map(|n| record(&n.to_string(), "", "ok")).collect();
        assert!(work(records, rule(3), parse, run).await.is_empty());
        assert_eq!(most.get(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_no_turn_before_the_end_of_the_time_is_not_begun() {
        let begun = Cell::new(0);
        let run = |work: Vec<String>| {
            begun.set(begun.get() + 1);
            act(work)
        };
        let records = vec![record("1", "", "ok"), record("2", "", "hang"), record("3", "", "ok")];
        assert_eq!(work(records, rule(1), parse, run).await, ["2", "3"]);
        assert_eq!(begun.get(), 2);
    }
}
