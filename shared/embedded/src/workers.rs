//! The shell around the stages: takes jobs, runs them, lets `watch` find what is overdue.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use stages::{Job, Rim, StageError, error::chain, jobs::QueueName, ports::Debt};
use tokio::{
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
};

use crate::{
    directory::IndexFile,
    queue::{MemoryQueue, Tried},
};

/// Jobs of one queue that run at the same time. They mostly wait for an fsync that they share.
const JOBS_AT_ONCE: usize = 64;
/// The same for certify: a letter has three acts for each recipient there, and one job elsewhere.
const CERTIFICATIONS_AT_ONCE: usize = 192;
/// The same for dispatch, whose jobs wait for other systems: a destination that is slow holds a few places of many.
const DISPATCHES_AT_ONCE: usize = 256;
/// How often overdue debts are looked for.
const HINTS_EVERY: Duration = Duration::from_secs(5);
/// How often the spool is swept and the index file looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// How often emptied segments are looked for.
const BESIDE_EVERY: Duration = Duration::from_secs(300);
/// How long running jobs have to end when it is time to stop: those of dispatch may wait for others for hours.
const END_WITHIN: Duration = Duration::from_secs(30);
/// Debts that one look hints.
const HINTS_MAX: usize = 1_000;

/// The running workers.
pub struct Workers {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts them: one taker per queue, `watch`, and what is done beside (the closure, on a blocking thread, every few
    /// minutes). Must be called inside a tokio runtime. What an earlier life of this provider owed is hinted first:
    /// recovery is the normal path.
    ///
    /// # Errors
    /// [`StageError`] if what is owed cannot be read.
    pub async fn start(
        rim: Rim,
        queue: Arc<MemoryQueue>,
        index: Arc<IndexFile>,
        beside: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, StageError> {
        let (stop, stopped) = watch::channel(false);
        recover(&rim).await?;
        let rim = Arc::new(rim);
        let taker = |&name| tokio::spawn(take(name, Arc::clone(&rim), Arc::clone(&queue), stopped.clone()));
        let mut tasks: Vec<JoinHandle<()>> = QueueName::ALL.iter().map(taker).collect();
        tasks.push(tokio::spawn(look_after(rim, index, stopped.clone())));
        tasks.push(tokio::spawn(do_beside(Arc::new(beside), stopped)));
        Ok(Self { stop, tasks })
    }

    /// Lets running jobs finish, within half a minute, and takes no new ones. What is not done stays owed.
    pub async fn stop(self) {
        // Nobody listens only if all have ended already.
        let _ = self.stop.send(true);
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(error = %error, "a worker did not end well");
            }
        }
    }
}

/// Hints all that an earlier life owed: debts that would be overdue within the next minutes, and every spool entry
/// that nobody took up. No door is open yet, so no entry is in the making.
async fn recover(rim: &Rim) -> Result<(), StageError> {
    let horizon = rim.now().plus_s(Debt::OVERDUE_S + 1);
    let mut debts = 0;
    loop {
        match stages::watch::hints(rim, horizon, HINTS_MAX).await? {
            0 => break,
            hinted => debts += hinted,
        }
    }
    let entries = stages::watch::sweep_older(rim, rim.now(), 0).await?;
    if debts + entries > 0 {
        tracing::info!(debts, entries, "taking up what was owed before the start");
    }
    Ok(())
}

/// Takes the jobs of one queue, many at a time.
async fn take(name: QueueName, rim: Arc<Rim>, queue: Arc<MemoryQueue>, mut stopped: watch::Receiver<bool>) {
    let at_once = match name {
        QueueName::Certify => CERTIFICATIONS_AT_ONCE,
        QueueName::Dispatch => DISPATCHES_AT_ONCE,
        _ => JOBS_AT_ONCE,
    };
    let places = Arc::new(Semaphore::new(at_once));
    let mut running = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let batch = tokio::select! {
            biased;
            () = told(&mut stopped) => break,
            batch = queue.take(name) => batch,
        };
        let (rim, queue) = (Arc::clone(&rim), Arc::clone(&queue));
        running.spawn(async move {
            work(&rim, &queue, batch).await;
            drop(place);
        });
        while running.try_join_next().is_some() {}
    }
    let ended = async { while running.join_next().await.is_some() {} };
    if tokio::time::timeout(END_WITHIN, ended).await.is_err() {
        tracing::warn!(queue = name.name(), "jobs are left where they are: what they do is owed still");
        running.shutdown().await;
    }
}

/// Does something every few minutes on a blocking thread.
async fn do_beside(act: Arc<dyn Fn() + Send + Sync>, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            biased;
            () = told(&mut stopped) => return,
            () = tokio::time::sleep(BESIDE_EVERY) => {}
        }
        let act = Arc::clone(&act);
        if let Err(error) = tokio::task::spawn_blocking(move || act()).await {
            tracing::error!(error = %error, "what is done beside the workers did not end well");
        }
    }
}

/// Waits until the workers are told to stop, or nobody can tell them any more.
async fn told(stopped: &mut watch::Receiver<bool>) {
    // The guard of the value ends here: it must not live across anything that waits.
    drop(stopped.wait_for(|stop| *stop).await);
}

/// Runs a batch: one job, or filings of one mailbox.
async fn work(rim: &Rim, queue: &Arc<MemoryQueue>, batch: Vec<Tried>) {
    let group = batch.first().and_then(|t| t.job.group().cloned());
    let results = match &group {
        Some(mailbox) => {
            let filings: Vec<_> = batch
                .iter()
                .filter_map(|t| {
                    if let Job::Deliver { filing, .. } = &t.job { Some(filing.clone()) } else { None }
                })
                .collect();
            contained(Box::pin(stages::deliver::batch(rim, mailbox, &filings))).await.unwrap_or_else(
                |panic| filings.iter().map(|_| Err(StageError::Damaged(panic.clone()))).collect(),
            )
        }
        None => {
            let mut results = Vec::with_capacity(batch.len());
            for tried in &batch {
                let result = contained(Box::pin(stages::run(rim, &tried.job))).await;
                results.push(result.unwrap_or_else(|panic| Err(StageError::Damaged(panic))));
            }
            results
        }
    };
    for (tried, result) in batch.into_iter().zip(results) {
        match result {
            Ok(()) => queue.done(),
            Err(error) => queue.failed(tried, chain(&error)),
        }
    }
    if let Some(group) = group {
        queue.release(&group);
    }
}

/// A panic in a job is an error of that job, not the end of the provider.
async fn contained<T>(job: impl Future<Output = T>) -> Result<T, String> {
    std::panic::AssertUnwindSafe(job).catch_unwind().await.map_err(|_| "a job that panicked".to_owned())
}

/// `watch`, for as long as the provider runs.
async fn look_after(rim: Arc<Rim>, index: Arc<IndexFile>, mut stopped: watch::Receiver<bool>) {
    let mut hints = tokio::time::interval(HINTS_EVERY);
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            biased;
            () = told(&mut stopped) => return,
            _ = hints.tick() => {
                if let Err(error) = stages::watch::hints(&rim, rim.now(), HINTS_MAX).await {
                    tracing::error!(error = %chain(&error), "overdue debts could not be hinted");
                }
            }
            _ = sweep.tick() => {
                if let Err(error) = stages::watch::sweep(&rim, rim.now()).await {
                    tracing::error!(error = %chain(&error), "the spool could not be swept");
                }
                if let Err(error) = index.reload() {
                    tracing::error!(error = %error, "the provider index stays as it was");
                }
            }
        }
    }
}
