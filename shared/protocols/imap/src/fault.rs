//! Why a command is not done, and how its client hears of it (RFC 9051 §7.1, RFC 5530).

use stages::{
    StageError,
    mailbox::{MailboxError, Refusal},
};

use crate::outlet::Gone;

/// Why a command is not done.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Nobody hears of it.
    Gone,
    /// The command is wrong, here or at all.
    Bad(&'static str),
    /// It cannot be done: response code and words.
    No(&'static str, &'static str),
    /// The selected mailbox was deleted.
    Deleted,
    /// Ours.
    Stage(StageError),
}

/// What a command ends with: response code and words.
pub(crate) struct Done {
    pub(crate) code: String,
    pub(crate) text: &'static str,
}

pub(crate) type Ended = Result<Done, Fault>;

/// Done, with nothing more to say than this.
pub(crate) fn done(text: &'static str) -> Ended {
    done_with(String::new(), text)
}

/// Done, with a response code.
pub(crate) const fn done_with(code: String, text: &'static str) -> Ended {
    Ok(Done { code, text })
}

impl Fault {
    /// What the client is told: condition, code, words.
    pub(crate) fn words(&self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Bad(text) => ("BAD", "", text),
            Self::No(code, text) => ("NO", code, text),
            Self::Stage(StageError::Raced) => ("NO", "INUSE", "the mailbox is very busy, try again"),
            Self::Gone | Self::Deleted | Self::Stage(_) => {
                ("NO", "UNAVAILABLE", "it cannot be done now, try again later")
            }
        }
    }

    /// For a folder that messages are put into: TRYCREATE where it is not there (RFC 9051 §6.3.12, §6.4.7).
    pub(crate) fn or_try_create(self) -> Self {
        match self {
            Self::No("NONEXISTENT", _) => NO_TARGET,
            other => other,
        }
    }
}

/// There is no folder to put it into.
pub(crate) const NO_TARGET: Fault = Fault::No("TRYCREATE", "there is no such mailbox");
/// There is no such folder.
pub(crate) const NO_FOLDER: Fault = Fault::No("NONEXISTENT", "there is no such mailbox");

impl From<Gone> for Fault {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<StageError> for Fault {
    fn from(error: StageError) -> Self {
        Self::Stage(error)
    }
}

impl From<MailboxError> for Fault {
    fn from(error: MailboxError) -> Self {
        match error {
            MailboxError::Stage(error) => Self::Stage(error),
            MailboxError::Refused(refusal) => refused(refusal),
        }
    }
}

const fn refused(refusal: Refusal) -> Fault {
    match refusal {
        Refusal::NoFolder => NO_FOLDER,
        Refusal::FolderExists => Fault::No("ALREADYEXISTS", "there is a mailbox of this name"),
        Refusal::HasChildren => Fault::No("HASCHILDREN", "there are mailboxes below it"),
        Refusal::Fixed => Fault::No("CANNOT", "this mailbox stays"),
        Refusal::BadName => Fault::No("CANNOT", "this is no name for a mailbox"),
        Refusal::UseTaken => Fault::No("USEATTR", "another mailbox has this use"),
        Refusal::OverQuota => Fault::No("OVERQUOTA", "there is not enough room"),
        Refusal::TooMany => Fault::No("LIMIT", "there are too many"),
        Refusal::BadFlag => Fault::No("CANNOT", "a message cannot have this flag"),
    }
}
