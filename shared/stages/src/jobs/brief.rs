//! How the job of a debt is written: in a word where it is about the row that owes it, which it nearly always is; else
//! as it travels in queues.

use super::{Job, JobError};
use crate::{ids::MailboxId, ports::RowKey};

const DELIVER: &str = "deliver ";

impl Job {
    /// As the row with this key has it.
    ///
    /// # Errors
    /// [`JobError`] if it cannot be written, which would be a mistake of ours.
    pub fn brief(&self, key: &RowKey) -> Result<String, JobError> {
        write(key, self)
    }

    /// What [`Job::brief`] wrote for this row, or a release that wrote each in full.
    ///
    /// # Errors
    /// [`JobError`] for what is no job.
    pub fn from_brief(key: &RowKey, text: &str) -> Result<Self, JobError> {
        read(key, text)
    }
}

fn write(key: &RowKey, job: &Job) -> Result<String, JobError> {
    let word = match job {
        Job::Seal { act } if act == key => "seal",
        Job::Certify { act } if act == key => "certify",
        Job::ReceiveOwn { dispatch } if dispatch == key => "receive-own",
        Job::Dispatch { dispatch } if dispatch == key => "dispatch",
        Job::Spread { head } if head == key => "spread",
        Job::Deadline { recipient } if recipient == key => "deadline",
        Job::Pack { row } if row == key => "pack",
        Job::Discard { row } if row == key => "discard",
        Job::Deliver { mailbox, filing } if filing == key => return Ok(format!("{DELIVER}{mailbox}")),
        other => return other.to_json(),
    };
    Ok(word.to_owned())
}

fn read(key: &RowKey, text: &str) -> Result<Job, JobError> {
    let row = || key.clone();
    Ok(match text {
        "seal" => Job::Seal { act: row() },
        "certify" => Job::Certify { act: row() },
        "receive-own" => Job::ReceiveOwn { dispatch: row() },
        "dispatch" => Job::Dispatch { dispatch: row() },
        "spread" => Job::Spread { head: row() },
        "deadline" => Job::Deadline { recipient: row() },
        "pack" => Job::Pack { row: row() },
        "discard" => Job::Discard { row: row() },
        other => match other.strip_prefix(DELIVER) {
            Some(mailbox) => Job::Deliver { mailbox: MailboxId(mailbox.to_owned()), filing: row() },
            None => Job::from_json(other)?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Table;

    #[test]
    fn a_job_is_read_as_it_was_written_in_a_word_where_it_is_about_its_row() {
        let key = |sk: &str| RowKey { table: Table::Letters, pk: "p".to_owned(), sk: sk.to_owned() };
        let jobs = |k: &RowKey| {
            let k = || k.clone();
            let mailbox = MailboxId("a b".to_owned());
            [
                Job::Seal { act: k() },
                Job::Certify { act: k() },
                Job::ReceiveOwn { dispatch: k() },
                Job::Dispatch { dispatch: k() },
                Job::Spread { head: k() },
                Job::Deadline { recipient: k() },
                Job::Pack { row: k() },
                Job::Discard { row: k() },
                Job::Deliver { mailbox, filing: k() },
            ]
        };
        for job in jobs(&key("own")) {
            let text = write(&key("own"), &job).unwrap();
            assert!(text.len() < 20, "{text}");
            assert_eq!(read(&key("own"), &text).unwrap(), job);
        }
        for job in jobs(&key("another")) {
            let text = write(&key("own"), &job).unwrap();
            assert_eq!(read(&key("own"), &text).unwrap(), job, "{text}");
        }
        assert!(read(&key("own"), "nonsense").is_err());
    }
}
