//! The Lambda shell: events in, stages in the middle, the ids of what failed out.

pub mod batch;

use std::{
    collections::HashSet,
    future::Future,
    time::{Duration, SystemTime},
};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use lambda_runtime::Context;
use stages::{
    Job, Rim, StageError,
    error::chain,
    jobs::Hint,
    ports::{FactsError, RowKey},
};
use tokio::time::Instant;

use self::batch::{Record, Rule};

/// How long before the function is stopped it stops by itself, to have time to say what failed.
const BEFORE_THE_END: Duration = Duration::from_secs(1);

/// The attribute that names a message's group in a FIFO queue.
const GROUP: &str = "MessageGroupId";

/// The end of the time that this invocation has for its work.
#[must_use]
pub fn until(context: &Context) -> Instant {
    let left = context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
    Instant::now() + left.saturating_sub(BEFORE_THE_END)
}

/// Runs the jobs of a batch; filings of one mailbox together.
pub async fn jobs(rim: &Rim, event: SqsEvent, rule: Rule) -> SqsBatchResponse {
    records(event, rule, Hint::from_json, |hints| run(rim, hints)).await
}

/// Works the messages of a batch.
pub async fn records<T, E, R, F>(
    event: SqsEvent,
    rule: Rule,
    parse: impl Fn(&str) -> Result<T, E>,
    run: impl Fn(Vec<T>) -> F,
) -> SqsBatchResponse
where
    R: std::fmt::Display,
    F: Future<Output = Vec<Result<(), R>>>,
{
    let failed = batch::work(event.records.into_iter().map(record).collect(), rule, parse, run).await;
    let mut response = SqsBatchResponse::default();
    response.set_failures(failed);
    response
}

fn record(message: SqsMessage) -> Record {
    Record {
        id: message.message_id.unwrap_or_default(),
        group: message.attributes.get(GROUP).cloned(),
        body: message.body.unwrap_or_default(),
    }
}

/// Runs the jobs of one group. The rows that their hints name are read first, together: if that fails, the stages
/// read what they need and say what is wrong.
pub(crate) async fn run(rim: &Rim, hints: Vec<Hint>) -> Vec<Result<(), Told>> {
    let (jobs, named): (Vec<Job>, Vec<_>) = hints.into_iter().map(|hint| (hint.job, hint.ahead)).unzip();
    let named: HashSet<RowKey> = named.into_iter().flatten().collect();
    let read = rim.ahead(|| named.into_iter().collect()).await;
    let rim = read.as_ref().unwrap_or(rim);
    let mailbox = jobs.first().and_then(Job::group).cloned();
    let filings: Option<Vec<_>> = jobs
        .iter()
        .map(|job| match job {
            Job::Deliver { mailbox: m, filing } if Some(m) == mailbox.as_ref() => Some(filing.clone()),
            _ => None,
        })
        .collect();
    let results = match (mailbox, filings) {
        (Some(mailbox), Some(filings)) => stages::deliver::batch(rim, &mailbox, &filings).await,
        _ => {
            let mut results = Vec::with_capacity(jobs.len());
            for job in &jobs {
                results.push(stages::run(rim, job).await);
            }
            results
        }
    };
    results.into_iter().map(|result| result.map_err(|error| Told::of(&error))).collect()
}

/// A stage's error for the log: what failed and why, but for the texts about stored things, which name rows, and so
/// people (design §3 rule 9). The job itself is in the queue.
#[derive(Debug)]
pub(crate) struct Told(String);

impl Told {
    pub(crate) fn of(error: &StageError) -> Self {
        Self(match error {
            StageError::Damaged(_) => "make sense of a stored thing".to_owned(),
            StageError::Facts(FactsError::Damaged(_)) => "read a stored row".to_owned(),
            error => chain(error),
        })
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
