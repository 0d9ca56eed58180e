//! From what SES stored to a spool entry (design §4 "Causes have ids").
//!
//! The instant and the id of an entry come from the object that SES made, so an event that comes twice makes the same
//! entry. Behind SES nobody can be refused any more: what the door does not take is logged and dropped.

pub mod event;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use mime::Rope;
use pec::{Address, Instant, Transaction, original};
use stages::{
    BlobKey, Job, Rim, SpoolId, StageError,
    door::{self, Arrival, Channel, DoorError, Gate, Submission},
    ids::{Door, MailboxId},
    jobs::Hint,
    ports::{BlobError, Clock, Ids, Queue, QueueError},
    registry::{Mailbox, MailboxState},
    rows::{Scanned, Sighting, Ticket},
};

use self::event::{Event, Place, Verdicts};
use crate::{S3Blobs, config::Config, shell::Told};

/// Makes spool entries from events.
#[derive(Clone)]
pub struct Ingest {
    rim: Rim,
    blobs: Arc<S3Blobs>,
    bucket: String,
    incoming_prefix: String,
    submission_prefix: String,
}

/// Why an event was not taken; it comes again.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// A place where SES of this deployment stores nothing.
    #[error("take a message from a place that is not ours")]
    Elsewhere,
    /// The message is not there.
    #[error("find the message of an event")]
    Missing,
    /// S3 does not answer.
    #[error("read the message of an event: {0}")]
    Blobs(#[from] BlobError),
    /// The entry could not be made.
    #[error("spool the message: {}", Told::of(.0))]
    Stage(StageError),
    /// The entry is there, the hint is not: the event brings it.
    #[error("send the hint")]
    Hint,
}

impl From<StageError> for IngestError {
    fn from(error: StageError) -> Self {
        Self::Stage(error)
    }
}

impl Ingest {
    /// With these ports and prefixes.
    #[must_use]
    pub fn new(rim: Rim, blobs: Arc<S3Blobs>, config: &Config) -> Self {
        Self {
            rim,
            blobs,
            bucket: config.buckets.data.clone(),
            incoming_prefix: config.incoming_prefix.clone(),
            submission_prefix: config.submission_prefix.clone(),
        }
    }

    /// Takes the messages of a queue message. Taking them twice makes the same entries.
    ///
    /// # Errors
    /// [`IngestError`]; those that were taken before it stay taken.
    pub async fn take(&self, events: Vec<Event>) -> Result<(), IngestError> {
        for event in events {
            match event {
                Event::Arrived { place, source, recipients, verdicts } => {
                    self.arrived(&place, &source, &recipients, &verdicts).await?;
                }
                Event::Stored { place } => self.stored(&place).await?,
            }
        }
        Ok(())
    }

    /// A message of a receipt rule: from other providers (where the authority accepts SES) and ordinary mail.
    async fn arrived(
        &self,
        place: &Place,
        source: &str,
        recipients: &[String],
        verdicts: &Verdicts,
    ) -> Result<(), IngestError> {
        if !place.key.starts_with(&self.incoming_prefix) {
            return Err(IngestError::Elsewhere);
        }
        let (raw, cause) = self.fetch(place).await?;
        let recipients = recipients.iter().filter_map(|r| Address::parse(r).ok());
        let transaction = Transaction::new(Address::parse(source.trim_matches(['<', '>'])).ok(), recipients);
        let channel = Channel {
            by: String::new(), // no trace is written into what comes from outside
            with: String::new(),
            via: format!("ses, dmarc verdict {}", word(&verdicts.dmarc)),
            tls: "unknown".to_owned(),
        };
        let arrival = Arrival { transaction, raw, channel };
        // D13: SES has taken it already; only a reverse path that DMARC vouches for is told what was not delivered.
        let gate = Gate { scanned: scanned(&verdicts.virus), is_unanswerable: verdicts.dmarc != "PASS" };
        settle(door::receive_behind(&cause.rim(&self.rim), arrival, gate).await)?;
        cause.hinted()
    }

    /// A message that Mail Manager took from a user of the organisation that the key names: each organisation has
    /// its own endpoint and rule set, and nobody but Mail Manager's role may write there. The envelope is that of
    /// the header, since checks F3 and F4 demand that the two agree (RFC 6109 §3.1.1).
    async fn stored(&self, place: &Place) -> Result<(), IngestError> {
        if place.key.starts_with(&self.incoming_prefix) {
            return Ok(()); // its notification comes by SNS
        }
        let inside = place.key.strip_prefix(&self.submission_prefix).and_then(|rest| rest.split_once('/'));
        let (organisation, _) = inside.ok_or(IngestError::Elsewhere)?;
        let (raw, cause) = self.fetch(place).await?;
        let facts = original::facts(&raw);
        let transaction = Transaction::new(facts.from, facts.to.into_iter().chain(facts.cc));
        let sender = || transaction.reverse_path.iter().map(|a| Mailbox::key_of(a.as_str())).collect();
        let rim = cause.rim(&self.rim).ahead(sender).await?;
        match owner(&rim, organisation, &transaction).await? {
            Some((account, by)) => {
                let channel = channel(by);
                let submission = Submission { account, transaction, raw, channel, idempotency_key: None };
                settle(door::submit(&rim, submission).await)?;
            }
            None => spool_unowned(&rim, transaction, &raw).await?,
        }
        cause.hinted()
    }

    async fn fetch(&self, place: &Place) -> Result<(Bytes, Cause), IngestError> {
        if place.bucket != self.bucket {
            return Err(IngestError::Elsewhere);
        }
        let key = BlobKey::listed(place.key.clone());
        let (raw, at) = self.blobs.get_dated(&key).await?.ok_or(IngestError::Missing)?;
        Ok((raw, Cause::new(&place.key, at, Arc::clone(&self.rim.queue))))
    }
}

/// The mailbox behind the sender, if it is the organisation's and may send (F7), and the name of the door.
async fn owner(
    rim: &Rim,
    organisation: &str,
    transaction: &Transaction,
) -> Result<Option<(MailboxId, String)>, StageError> {
    let Some(sender) = &transaction.reverse_path else { return Ok(None) };
    let (mailbox, domain) = (rim.mailbox(sender).await?, rim.domain(sender).await?);
    let (Some(mailbox), Some(domain)) = (mailbox, domain) else { return Ok(None) };
    let owns = mailbox.organisation == organisation && mailbox.state == MailboxState::Active;
    let by = rim.environment(&domain.environment).await?.mail_domain;
    Ok(owns.then_some((mailbox.id, by)))
}

/// What the door says that is no error of ours: behind SES there is nobody to tell it to.
fn settle(answer: Result<SpoolId, DoorError>) -> Result<(), IngestError> {
    match answer {
        Ok(_) => Ok(()),
        Err(DoorError::Stage(error)) => Err(error.into()),
        Err(refused) => {
            tracing::warn!(reason = %refused, "a message that SES took is dropped");
            Ok(())
        }
    }
}

/// A message whose sender is not the organisation's: `accept` logs and drops it (F7, design §4).
async fn spool_unowned(rim: &Rim, mut transaction: Transaction, raw: &Bytes) -> Result<(), StageError> {
    let at = rim.now();
    let spool = rim.spool_id(at);
    let Channel { via, tls, .. } = channel(String::new());
    transaction.forward_paths.truncate(rim.limits.recipients_max);
    let ticket = Ticket {
        spool: spool.clone(),
        door: Door::Submission,
        transaction,
        account: None,
        raw_bytes: raw.len() as u64,
        at,
        via,
        tls,
        is_unanswerable: false,
        seen: Sighting::default(),
        scanned: None,
    };
    let json = serde_json::to_vec(&ticket).map_err(|e| StageError::Damaged(format!("a ticket: {e}")))?;
    rim.blobs
        .put_if_absent(&BlobKey::spool_message(Door::Submission, &spool), Rope::from(raw.clone()))
        .await?;
    rim.blobs.put_if_absent(&BlobKey::spool_ticket(Door::Submission, &spool), Rope::from(json)).await?;
    // Whether it went out, the cause tells.
    drop(rim.queue.send(vec![Job::Accept { spool }.into()]).await);
    Ok(())
}

fn channel(by: String) -> Channel {
    Channel { by, with: "ESMTPSA".to_owned(), via: "ses-mail-manager".to_owned(), tls: "required".to_owned() }
}

/// What SES's scanner said: `FAIL` alone is a virus; `GRAY` and `PROCESSING_FAILED` are no verdict, `DISABLED` is no
/// scan.
fn scanned(verdict: &str) -> Option<Scanned> {
    let verdict = word(verdict);
    let infected = verdict == "FAIL";
    (verdict != "DISABLED").then(|| Scanned { by: "Amazon SES".to_owned(), verdict, infected })
}

/// A word for the log, bounded and plain.
fn word(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).take(VERDICT_CHARS_MAX).collect()
}

/// Characters of a verdict.
const VERDICT_CHARS_MAX: usize = 32;

/// What an entry is made from: the object's instant, random bits that are the digest of its key, and a queue that
/// remembers whether the hint went out. The entry may be older than those that `watch` looks for, so the event
/// stands for the hint until it is sent.
struct Cause {
    at: Instant,
    bits: u128,
    queue: Arc<Telling>,
}

impl Cause {
    fn new(key: &str, at: Instant, queue: Arc<dyn Queue>) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
        let mut bits = [0; 16];
        bits.iter_mut().zip(digest.as_ref()).for_each(|(bit, octet)| *bit = *octet);
        let queue = Arc::new(Telling { queue, failed: AtomicBool::new(false) });
        Self { at, bits: u128::from_be_bytes(bits), queue }
    }

    fn rim(&self, rim: &Rim) -> Rim {
        let fixed = Fixed { at: self.at, bits: self.bits };
        Rim {
            clock: Arc::new(fixed),
            ids: Arc::new(fixed),
            queue: Arc::clone(&self.queue) as _,
            ..rim.clone()
        }
    }

    fn hinted(&self) -> Result<(), IngestError> {
        if self.queue.failed.load(Ordering::Relaxed) { Err(IngestError::Hint) } else { Ok(()) }
    }
}

#[derive(Clone, Copy)]
struct Fixed {
    at: Instant,
    bits: u128,
}

impl Clock for Fixed {
    fn now(&self) -> Instant {
        self.at
    }
}

impl Ids for Fixed {
    fn fresh(&self) -> u128 {
        self.bits
    }
}

struct Telling {
    queue: Arc<dyn Queue>,
    failed: AtomicBool,
}

#[async_trait]
impl Queue for Telling {
    async fn send(&self, hints: Vec<Hint>) -> Result<(), QueueError> {
        let sent = self.queue.send(hints).await;
        if sent.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use stages::ports::FactsError;

    use super::*;

    #[test]
    fn fail_alone_is_a_virus_and_a_verdict_is_kept_as_it_was() {
        let infected = |verdict: &str| scanned(verdict).map(|s| (s.by, s.verdict, s.infected));
        let said = |verdict: &str, infected| Some(("Amazon SES".to_owned(), verdict.to_owned(), infected));
        assert_eq!(infected("FAIL"), said("FAIL", true));
        for other in ["PASS", "GRAY", "PROCESSING_FAILED", ""] {
            assert_eq!(infected(other), said(other, false));
        }
        assert_eq!(infected("DISABLED"), None);
        assert_eq!(infected("a\r\nb: c"), said("abc", false));
    }

    #[test]
    fn an_error_tells_its_cause_but_nothing_of_what_is_stored() {
        let error = IngestError::from(StageError::Facts(FactsError::Unavailable("throttled".to_owned())));
        assert!(error.to_string().starts_with("spool the message: reach the facts: "), "{error}");
        assert!(error.to_string().contains("throttled"), "{error}");
        let error = IngestError::from(StageError::Damaged("the row of a@b.example".to_owned()));
        assert!(!error.to_string().contains("a@b.example"), "{error}");
    }
}
