//! The queues in memory: hints, retries with backoff, dead letters. A crash loses them all; the debts are rows.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use stages::{
    Job,
    ids::MailboxId,
    jobs::{Hint, QueueName},
    ports::{Queue, QueueError},
};
use tokio::sync::Notify;

use crate::{HashMap, HashSet};

/// How long a failed job waits before it is tried again, by how often it failed; after the last it is a dead letter.
pub const BACKOFF: [Duration; 7] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(120),
    Duration::from_secs(300),
];

/// Filings of one mailbox that are taken together.
pub const BATCH_MAX: usize = 20;

/// Dead letters that are kept for a look; the debts of older ones are in the table as well.
const DEAD_MAX: usize = 1_000;

/// A job with the number of its failures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The job.
    pub job: Job,
    /// How often it failed.
    pub failures: usize,
}

/// A job that failed too often: a human looks; `watch` will hint its debt again all the same.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The job.
    pub job: Job,
    /// What it said at last.
    pub error: String,
}

/// All queues of one provider.
#[derive(Default)]
pub struct MemoryQueue {
    state: Mutex<State>,
    /// One bell per queue.
    bells: [Notify; QueueName::ALL.len()],
}

#[derive(Default)]
struct State {
    plain: HashMap<QueueName, VecDeque<Tried>>,
    groups: HashMap<MailboxId, VecDeque<Tried>>,
    /// Groups that have jobs and are not being worked on, in order of arrival.
    ready: VecDeque<MailboxId>,
    busy: HashSet<MailboxId>,
    /// Jobs that wait here already: a second hint for one of them changes nothing.
    waiting: HashSet<Job>,
    dead: VecDeque<DeadLetter>,
    /// Jobs taken and not yet done, and jobs that wait for another try.
    open: usize,
}

impl MemoryQueue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bell(&self, queue: QueueName) -> &Notify {
        let at = QueueName::ALL.iter().position(|q| *q == queue).unwrap_or_default();
        &self.bells[at]
    }

    /// Puts a job in, unless it waits there already.
    pub fn push(&self, tried: Tried) {
        let queue = tried.job.queue();
        {
            let mut state = self.state();
            if !state.waiting.insert(tried.job.clone()) {
                return;
            }
            match tried.job.group().cloned() {
                None => state.plain.entry(queue).or_default().push_back(tried),
                Some(group) => {
                    let line = state.groups.entry(group.clone()).or_default();
                    line.push_back(tried);
                    if line.len() == 1 && !state.busy.contains(&group) {
                        state.ready.push_back(group);
                    }
                }
            }
        }
        self.bell(queue).notify_one();
    }

    /// Takes what is next in a queue: one job, or a batch of one group, in order. Waits for it.
    pub async fn take(&self, queue: QueueName) -> Vec<Tried> {
        loop {
            let rung = self.bell(queue).notified();
            if let Some((batch, more)) = self.try_take(queue) {
                // The bell remembers one ring only: pass it on while there is more.
                if more {
                    self.bell(queue).notify_one();
                }
                return batch;
            }
            rung.await;
        }
    }

    /// What is next, if there is something, and whether there is more.
    fn try_take(&self, queue: QueueName) -> Option<(Vec<Tried>, bool)> {
        let mut state = self.state();
        let batch = if queue == QueueName::Deliver {
            let group = state.ready.pop_front()?;
            let line = state.groups.get_mut(&group)?;
            let batch: Vec<Tried> = line.drain(..line.len().min(BATCH_MAX)).collect();
            state.busy.insert(group);
            batch
        } else {
            vec![state.plain.get_mut(&queue)?.pop_front()?]
        };
        for tried in &batch {
            state.waiting.remove(&tried.job);
        }
        state.open += batch.len();
        let more = match queue {
            QueueName::Deliver => !state.ready.is_empty(),
            _ => state.plain.get(&queue).is_some_and(|line| !line.is_empty()),
        };
        Some((batch, more))
    }

    /// Says that a group's batch is worked through: the rest of the group may go on.
    pub fn release(&self, group: &MailboxId) {
        {
            let mut state = self.state();
            state.busy.remove(group);
            match state.groups.get(group).map(VecDeque::is_empty) {
                Some(true) => {
                    state.groups.remove(group);
                    return;
                }
                Some(false) => state.ready.push_back(group.clone()),
                None => return,
            }
        }
        self.bell(QueueName::Deliver).notify_one();
    }

    /// Says that a taken job is done.
    pub fn done(&self) {
        let mut state = self.state();
        state.open = state.open.saturating_sub(1);
    }

    /// Says that a taken job failed: it comes back after its backoff, or is a dead letter.
    pub fn failed(self: &Arc<Self>, mut tried: Tried, error: String) {
        let Some(wait) = BACKOFF.get(tried.failures).copied() else {
            tracing::error!(queue = tried.job.queue().name(), error = %error, "a job is a dead letter");
            let mut state = self.state();
            state.open = state.open.saturating_sub(1);
            state.dead.push_back(DeadLetter { job: tried.job, error });
            if state.dead.len() > DEAD_MAX {
                state.dead.pop_front();
            }
            return;
        };
        tracing::warn!(queue = tried.job.queue().name(), failures = tried.failures + 1, error = %error, "a job failed");
        tried.failures += 1;
        let queue = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            queue.done();
            queue.push(tried);
        });
    }

    /// The dead letters, oldest first.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.state().dead.iter().cloned().collect()
    }

    /// Jobs that wait, run, or wait for another try.
    #[must_use]
    pub fn depth(&self) -> usize {
        let state = self.state();
        state.waiting.len() + state.open
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn send(&self, hints: Vec<Hint>) -> Result<(), QueueError> {
        for hint in hints {
            self.push(Tried { job: hint.job, failures: 0 });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use stages::ports::{RowKey, Table};

    use super::*;

    fn filing(mailbox: &str, n: usize) -> Hint {
        let filing = RowKey { table: Table::Letters, pk: "p".to_owned(), sk: format!("file#{n}") };
        Job::Deliver { mailbox: MailboxId(mailbox.to_owned()), filing }.into()
    }

    fn numbers(batch: &[Tried]) -> Vec<String> {
        batch
            .iter()
            .map(|t| match &t.job {
                Job::Deliver { filing, .. } => filing.sk.clone(),
                other => format!("{other:?}"),
            })
            .collect()
    }

    #[tokio::test]
    async fn a_group_is_worked_on_in_order_and_by_one_at_a_time() {
        let queue = MemoryQueue::default();
        queue.send((0..25).map(|n| filing("a", n)).collect()).await.unwrap();
        queue.send(vec![filing("b", 0)]).await.unwrap();
        let first = queue.take(QueueName::Deliver).await;
        assert_eq!(numbers(&first), (0..20).map(|n| format!("file#{n}")).collect::<Vec<_>>());
        assert_eq!(numbers(&queue.take(QueueName::Deliver).await), ["file#0"], "the other group");
        assert_eq!(queue.try_take(QueueName::Deliver), None, "the first group is busy");
        queue.release(&MailboxId("a".to_owned()));
        assert_eq!(queue.take(QueueName::Deliver).await.len(), 5);
    }

    #[tokio::test]
    async fn a_hint_that_waits_already_is_not_doubled_and_one_that_runs_is() {
        let queue = MemoryQueue::default();
        queue.send(vec![filing("a", 0), filing("a", 0)]).await.unwrap();
        assert_eq!(queue.take(QueueName::Deliver).await.len(), 1);
        queue.send(vec![filing("a", 0)]).await.unwrap();
        queue.release(&MailboxId("a".to_owned()));
        assert_eq!(queue.take(QueueName::Deliver).await.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_goes_on_failing_becomes_a_dead_letter() {
        let queue = Arc::new(MemoryQueue::default());
        queue.send(vec![filing("a", 0)]).await.unwrap();
        for failures in 0..=BACKOFF.len() {
            let mut batch = queue.take(QueueName::Deliver).await;
            let tried = batch.pop().unwrap();
            assert_eq!(tried.failures, failures);
            queue.failed(tried, "no".to_owned());
            queue.release(&MailboxId("a".to_owned()));
        }
        assert_eq!(queue.dead_letters().len(), 1);
        assert_eq!(queue.depth(), 0);
    }
}
