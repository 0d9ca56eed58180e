//! [`Queue`] on SQS: standard queues, and a FIFO queue before `deliver`, grouped by mailbox.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_sqs::{Client, types::SendMessageBatchRequestEntry};
use futures_util::future::join_all;
use machine::RandomIds;
use stages::{
    Job,
    jobs::{Hint, QueueName},
    ports::{Ids as _, Queue, QueueError},
};

use crate::clients::tell;

/// Messages of one SendMessageBatch.
const BATCH_MAX: usize = 10;

/// How often entries that the service did not take are sent again.
const ROUNDS_MAX: usize = 3;

/// Octets of a group's name.
const GROUP_BYTES_MAX: usize = 128;

/// The queues on SQS.
#[derive(Debug)]
pub struct SqsQueue {
    client: Client,
    urls: BTreeMap<QueueName, String>,
    tokens: RandomIds,
}

impl SqsQueue {
    /// At these addresses.
    #[must_use]
    pub fn new(client: Client, urls: BTreeMap<QueueName, String>) -> Self {
        Self { client, urls, tokens: RandomIds::new() }
    }

    /// All jobs of one queue, in their order.
    async fn send_to(&self, name: QueueName, hints: Vec<Hint>) -> Result<(), QueueError> {
        let url =
            self.urls.get(&name).ok_or_else(|| QueueError(format!("no address of queue {}", name.name())))?;
        let fifo = url.ends_with(".fifo");
        for chunk in hints.chunks(BATCH_MAX) {
            let entries = chunk
                .iter()
                .enumerate()
                .map(|(n, hint)| entry(n, hint, fifo, &self.tokens))
                .collect::<Result<Vec<_>, _>>()?;
            self.send_batch(url, entries)
                .await
                .map_err(|why| QueueError(format!("{}: {why}", name.name())))?;
        }
        Ok(())
    }

    async fn send_batch(
        &self,
        url: &str,
        mut entries: Vec<SendMessageBatchRequestEntry>,
    ) -> Result<(), String> {
        for _ in 0..ROUNDS_MAX {
            let request = self.client.send_message_batch().queue_url(url).set_entries(Some(entries.clone()));
            let answer = request.send().await.map_err(|e| tell(&e))?;
            if answer.failed.is_empty() {
                return Ok(());
            }
            entries.retain(|entry| answer.failed.iter().any(|failed| failed.id == entry.id));
        }
        Err(format!("{} messages were not taken", entries.len()))
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn send(&self, hints: Vec<Hint>) -> Result<(), QueueError> {
        let mut by_queue: BTreeMap<QueueName, Vec<Hint>> = BTreeMap::new();
        for hint in hints {
            by_queue.entry(hint.job.queue()).or_default().push(hint);
        }
        // One queue that does not take its hints must not keep the others from theirs.
        let sent = join_all(by_queue.into_iter().map(|(name, hints)| self.send_to(name, hints))).await;
        sent.into_iter().collect()
    }
}

fn entry(
    n: usize,
    hint: &Hint,
    fifo: bool,
    tokens: &RandomIds,
) -> Result<SendMessageBatchRequestEntry, QueueError> {
    let body = hint.to_json().map_err(|e| QueueError(e.to_string()))?;
    let mut entry = SendMessageBatchRequestEntry::builder().id(n.to_string()).message_body(body);
    if fifo {
        // A fresh id each time: a hint that is sent again is meant to arrive again (design §4).
        entry = entry
            .message_group_id(group(&hint.job))
            .message_deduplication_id(format!("{:032x}", tokens.fresh()));
    }
    entry.build().map_err(|e| QueueError(e.to_string()))
}

/// The group of a job, in what SQS takes as a name.
fn group(job: &Job) -> String {
    let name = job.group().map_or("none", |mailbox| mailbox.0.as_str());
    let fits = (1..=GROUP_BYTES_MAX).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic());
    if fits { name.to_owned() } else { stages::ids::sha256_hex(name.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use stages::{
        ids::MailboxId,
        ports::{RowKey, Table},
    };

    use super::*;

    fn deliver(mailbox: &str) -> Job {
        let filing = RowKey { table: Table::Letters, pk: "p".to_owned(), sk: "s".to_owned() };
        Job::Deliver { mailbox: MailboxId(mailbox.to_owned()), filing }
    }

    #[test]
    fn a_group_is_its_mailbox_or_a_digest_of_what_sqs_would_refuse() {
        assert_eq!(group(&deliver("m-1")), "m-1");
        for odd in ["", "m 1", "è", &"m".repeat(129)] {
            assert_eq!(group(&deliver(odd)).len(), 64, "{odd}");
        }
    }

    #[test]
    fn the_same_hint_sent_twice_has_two_deduplication_ids() {
        let tokens = RandomIds::new();
        let [a, b] = [0, 1].map(|_| entry(0, &deliver("m").into(), true, &tokens).unwrap());
        assert_ne!(a.message_deduplication_id, b.message_deduplication_id);
        assert_eq!(entry(0, &deliver("m").into(), false, &tokens).unwrap().message_group_id, None);
    }
}
