//! What travels in queues: a version and ids, never content (design §5 "Queue jobs").

use serde::{Deserialize, Serialize};

mod brief;

use crate::{SpoolId, ids::MailboxId, ports::RowKey};

/// A hint that something is owed. The debt itself is a row; a lost or doubled hint changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "kebab-case")]
pub enum Job {
    /// Check a submitted message.
    Accept {
        /// The spool entry.
        spool: SpoolId,
    },
    /// Issue the transport envelope: the act row.
    Seal {
        /// Its row.
        act: RowKey,
    },
    /// Issue a receipt or notice: the act row.
    Certify {
        /// Its row.
        act: RowKey,
    },
    /// Examine what came in from outside.
    Receive {
        /// The spool entry.
        spool: SpoolId,
    },
    /// Examine an envelope or an act that our own provider addresses to its own users: the dispatch row, or the act itself
    /// where it goes nowhere else.
    ReceiveOwn {
        /// Its row.
        dispatch: RowKey,
    },
    /// Put a message into a mailbox: the filing row. FIFO by mailbox.
    Deliver {
        /// The group: one mailbox at a time.
        mailbox: MailboxId,
        /// Its row.
        filing: RowKey,
    },
    /// Send to another system: the dispatch row.
    Dispatch {
        /// Its row.
        dispatch: RowKey,
    },
    /// Make the rows of a letter with many recipients owe their work: the head row.
    Spread {
        /// The head.
        head: RowKey,
    },
    /// Look at the clocks of a recipient: the recipient row of the origin.
    Deadline {
        /// Its row.
        recipient: RowKey,
    },
    /// Pack what happened in a folder into its pages: the row with its state.
    Pack {
        /// Its row.
        row: RowKey,
    },
    /// Remove blobs of a mailbox that nobody needs any more: the row that names them.
    Discard {
        /// Its row.
        row: RowKey,
    },
}

/// The queues: one before each stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueueName {
    /// Before `accept`.
    Accept,
    /// Before `seal`.
    Seal,
    /// Before `certify`.
    Certify,
    /// Before `receive`.
    Receive,
    /// Before `deliver`: FIFO, grouped by mailbox.
    Deliver,
    /// Before `dispatch`.
    Dispatch,
    /// Before `watch`.
    Watch,
}

impl QueueName {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Accept, Self::Seal, Self::Certify, Self::Receive, Self::Deliver, Self::Dispatch, Self::Watch];

    /// As it stands in the names of queues.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Seal => "seal",
            Self::Certify => "certify",
            Self::Receive => "receive",
            Self::Deliver => "deliver",
            Self::Dispatch => "dispatch",
            Self::Watch => "watch",
        }
    }
}

impl Job {
    /// The queue that carries it.
    #[must_use]
    pub const fn queue(&self) -> QueueName {
        match self {
            Self::Accept { .. } => QueueName::Accept,
            Self::Seal { .. } => QueueName::Seal,
            Self::Certify { .. } => QueueName::Certify,
            Self::Receive { .. } | Self::ReceiveOwn { .. } => QueueName::Receive,
            Self::Deliver { .. } => QueueName::Deliver,
            Self::Dispatch { .. } => QueueName::Dispatch,
            Self::Spread { .. } | Self::Deadline { .. } | Self::Pack { .. } | Self::Discard { .. } => {
                QueueName::Watch
            }
        }
    }

    /// The FIFO group, for the jobs that have one.
    #[must_use]
    pub fn group(&self) -> Option<&MailboxId> {
        match self {
            Self::Deliver { mailbox, .. } => Some(mailbox),
            _ => None,
        }
    }
}

/// Rows that a hint names at most.
const AHEAD_MAX: usize = 24;

/// A job on its way to its stage, with the rows that the stage will look at: where reads go far they are read together,
/// and nobody has to read one row to learn of the next. Without them the stage finds them by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The job.
    pub job: Job,
    /// Keys of rows, none twice.
    pub ahead: Vec<RowKey>,
}

impl From<Job> for Hint {
    fn from(job: Job) -> Self {
        Self { job, ahead: Vec::new() }
    }
}

/// How a job is written into a queue: with the version of its form. Old readers ignore new fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letterhead {
    /// Version of the form; 1 so far.
    pub v: u32,
    /// The job.
    #[serde(flatten)]
    pub job: Job,
    /// [`Hint::ahead`]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ahead: Vec<RowKey>,
}

/// A queue message that is no job: poison, to be kept for a human.
#[derive(Debug, thiserror::Error)]
#[error("read a job: {0}")]
pub struct JobError(#[from] serde_json::Error);

impl Job {
    /// As a row has it.
    ///
    /// # Errors
    /// [`JobError`] if it cannot be written, which would be a mistake of ours.
    pub fn to_json(&self) -> Result<String, JobError> {
        Hint::from(self.clone()).to_json()
    }

    /// As it was read.
    ///
    /// # Errors
    /// [`JobError`] for what is no job.
    pub fn from_json(text: &str) -> Result<Self, JobError> {
        Ok(serde_json::from_str::<Letterhead>(text)?.job)
    }
}

impl Hint {
    /// A hint that names these rows, or as many of them as one names.
    #[must_use]
    pub fn new(job: Job, ahead: impl IntoIterator<Item = RowKey>) -> Self {
        let mut rows: Vec<RowKey> = Vec::new();
        for key in ahead {
            if rows.len() < AHEAD_MAX && !rows.contains(&key) {
                rows.push(key);
            }
        }
        Self { job, ahead: rows }
    }

    /// As it is sent.
    ///
    /// # Errors
    /// [`JobError`] if it cannot be written, which would be a mistake of ours.
    pub fn to_json(&self) -> Result<String, JobError> {
        let Self { job, ahead } = self.clone();
        Ok(serde_json::to_string(&Letterhead { v: 1, job, ahead })?)
    }

    /// As it was received.
    ///
    /// # Errors
    /// [`JobError`] for what is no job.
    pub fn from_json(text: &str) -> Result<Self, JobError> {
        let Letterhead { job, ahead, .. } = serde_json::from_str(text)?;
        Ok(Self::new(job, ahead))
    }
}
