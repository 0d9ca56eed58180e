//! Mailboxes: what IMAP, POP3 and webmail stand on, and what `deliver` files into.
//!
//! **Rows.** A [`MailboxHead`] has what all folders share and the state of INBOX and Receipts, so that `deliver`
//! writes one row for all of it; every other folder has a state row of its own, and the names of all are in one
//! [`Tree`]. A message has a row and a blob for as long as it is in a folder. What a folder shows of its messages
//! (UID, flags, MODSEQ, size, date) is in packed pages of thousands; what happened since they were packed is in change
//! rows, and in the rows of messages that came since: opening a folder of 100,000 reads some 25 pages and at most a
//! few hundred rows, one of 200 reads its rows.
//!
//! **Commits.** Whatever changes a folder replaces its state row, which gives UIDs and MODSEQs: so they are given in
//! the order in which things become visible, and two sessions and `deliver` at the same time lose races, never
//! changes. A session has a [`View`] of its folder; each operation brings the view up to date first, and what it
//! learns of others' changes is kept in it until the session tells its client ([`View::take_changes`]).
//!
//! **Leftovers.** Blobs are made under a row that owes that they go again ([`Job::Discard`](crate::Job)), until the
//! commit that names them takes it away; blobs that a commit lets go are named in a row that owes the same. Packing
//! ([`Job::Pack`](crate::Job)) changes nothing that can be seen.

mod append;
mod bells;
mod copy;
mod crowds;
mod desk;
mod discard;
mod flags;
mod folders;
mod leaving;
mod making;
mod open;
mod pack;
mod page;
mod progress;
mod read;
mod remove;
mod rows;
mod store;
mod tree;
mod uids;
mod view;

pub use append::{Appended, NewMessage, append};
pub use bells::{Bells, Ear};
pub use copy::{Copied, copy, move_to};
pub use crowds::Crowds;
pub(crate) use desk::Desk;
pub(crate) use discard::discard;
pub use flags::{Flags, Keywords};
pub use folders::{Folder, create, delete, folder, folders, rename, subscribe, tree};
pub(crate) use pack::pack;
pub use page::Entry;
pub use progress::{Progress, progress};
pub use read::{Quota, STRUCTURE_BYTES_MAX, keep_structures, list, message, messages, quota};
pub use remove::{expunge, remove};
pub(crate) use rows::FiledBlob;
pub use rows::{FolderState, INBOX, MailboxHead, Message, RECEIPTS};
pub use store::{How, Stored, store};
pub use tree::{Named, SpecialUse, Tree};
pub use uids::UidSet;
pub use view::{Changes, View};

use crate::{
    StageError,
    ports::{BlobError, FactsError},
};

/// How often an operation is tried anew when another commit was faster, before its client hears of it.
const RACES_MAX: usize = 16;

/// Why something is not done, and the client's to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such folder (any more): NONEXISTENT, or TRYCREATE.
    #[error("find that folder")]
    NoFolder,
    /// There is one of this name: ALREADYEXISTS.
    #[error("make a folder that is there already")]
    FolderExists,
    /// It has folders below it: HASCHILDREN.
    #[error("delete a folder that has others below it")]
    HasChildren,
    /// INBOX and Receipts stay: CANNOT.
    #[error("delete a folder that must stay")]
    Fixed,
    /// No name for a folder: CANNOT.
    #[error("use this name for a folder")]
    BadName,
    /// Another folder has this special use: USEATTR (RFC 6154 §3).
    #[error("give a special use to a second folder")]
    UseTaken,
    /// Over the quota: OVERQUOTA.
    #[error("keep more than the quota allows")]
    OverQuota,
    /// Too many folders, subscriptions or keywords: LIMIT.
    #[error("keep so many")]
    TooMany,
    /// No flag that a message can have.
    #[error("use this flag")]
    BadFlag,
}

/// Why an operation on a mailbox did not happen.
#[derive(Debug, thiserror::Error)]
pub enum MailboxError {
    /// For the client.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Ours: what is done of it is not known, and doing it again is right. [`StageError::Raced`] after many tries
    /// means that the mailbox is very busy.
    #[error(transparent)]
    Stage(#[from] StageError),
}
impl From<FactsError> for MailboxError {
    fn from(error: FactsError) -> Self {
        Self::Stage(error.into())
    }
}
impl From<BlobError> for MailboxError {
    fn from(error: BlobError) -> Self {
        Self::Stage(error.into())
    }
}
