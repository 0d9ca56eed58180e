//! What of the evidence is whole after a loss: an act that was issued has its entry in the legal log, and what is
//! stored has the digest of that entry (design §3 rule 2; docs/operations.md).

use serde::Serialize;

use crate::{
    log::{Event, LogEntry},
    rows::ActRow,
};

/// What an act is found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is not issued yet: its debt stands.
    Owed,
    /// Row, log and octets say the same.
    Whole,
    /// It is in the log, and the holder of the mailbox has removed it since.
    RemovedByHolder,
    /// Something is missing or another, and what.
    Fault(&'static str),
}

/// Whether these entries, those of [`ActRow::logged_under`], tell of the act as it was issued.
#[must_use]
pub fn is_logged(act: &ActRow, entries: &[LogEntry]) -> bool {
    let Some(issued) = &act.issued else { return false };
    entries.iter().any(|e| e.event == Event::Issued && e.sha256.as_deref() == Some(&issued.sha256))
}

/// Judges an act: whether the log [has its entry](is_logged), and the digest of what is stored under its key, in hex.
#[must_use]
pub fn judge(act: &ActRow, is_logged: bool, stored: Option<&str>) -> Verdict {
    let Some(issued) = &act.issued else { return Verdict::Owed };
    if !is_logged {
        return Verdict::Fault("the legal log has no entry with its digest");
    }
    match stored {
        Some(sha256) if sha256 == issued.sha256 => Verdict::Whole,
        Some(_) => Verdict::Fault("its octets are not those that the legal log names"),
        None if act.target.as_str().starts_with("mailboxes/") => Verdict::RemovedByHolder,
        None => Verdict::Fault("it is not there"),
    }
}

/// What became of the rows of one restored table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// The table that they were copied to.
    pub table: String,
    /// Rows that were missing, and are there now.
    pub copied: u64,
    /// Rows that were there, as they were or newer, and stay.
    pub there: u64,
    /// Rows that may have been removed on purpose, and were not copied.
    pub left: u64,
}

/// What the acts of the table of letters are found to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audited {
    /// Receipts, notices and envelopes whose entry in the log has the digest of what is stored.
    pub acts: u64,
    /// Of these, copies in mailboxes that their holder has removed since.
    pub acts_removed_by_holders: u64,
    /// Acts of which that is not true.
    pub faulty: u64,
    /// What is wrong with them, as far as it is told.
    pub faults: Vec<String>,
}
