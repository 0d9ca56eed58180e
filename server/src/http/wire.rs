//! The JSON of the door (docs/http-door.md): what it answers and what its clients read. New fields may come; names
//! and meanings stay.

use pec::{Address, Instant};
use serde::{Deserialize, Serialize};

/// Names the MAIL FROM of a submission.
pub const MAIL_FROM: &str = "mail-from";
/// Names RCPTs of a submission: an address list; may be repeated.
pub const RCPT_TO: &str = "rcpt-to";
/// Makes one letter of two submissions.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The answer to a submission: the letter will not be lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// Id of the submission.
    pub spool_id: String,
    /// Id of the letter; a notice of non-acceptance speaks of it as well.
    pub pec_id: String,
}

/// How a letter fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The letter.
    pub pec_id: String,
    /// Accepted or refused, and why; in one word group, see [`Progress::refused`].
    pub accepted_at: Option<Instant>,
    /// Why it was refused; the notice in the mailbox says it in Italian.
    pub refused: Option<String>,
    /// The transport envelope is signed and stored.
    pub sealed: bool,
    /// One by one.
    pub recipients: Vec<Recipient>,
}

/// One recipient of a letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Its address.
    pub address: Address,
    /// Whether receipts will come for it.
    pub certified: bool,
    /// The provider of the recipient has it.
    pub taken_in_charge_at: Option<Instant>,
    /// How it ended; none while it is open.
    pub outcome: Option<Outcome>,
}

/// How a letter ended for a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// In the mailbox.
    Delivered,
    /// Not delivered.
    Failed,
    /// Not delivered: a virus.
    Virus,
    /// Nothing was heard in time.
    Expired,
    /// Handed over to ordinary mail: no receipt will come.
    Relayed,
}

/// The folders of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folders {
    /// INBOX first.
    pub folders: Vec<Folder>,
}

/// A folder of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    /// Its name.
    pub name: String,
    /// As in IMAP: UIDs mean something for this value only.
    pub uidvalidity: u32,
    /// The UID that the next message gets, or a lower one.
    pub uidnext: u32,
    /// Messages in it.
    pub exists: u64,
}

/// Some messages of a folder in the order of their UIDs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The messages.
    pub messages: Vec<Message>,
    /// Where to go on, as `after`; none at the end.
    pub next: Option<u32>,
}

/// What the list says of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its UID in its folder.
    pub uid: u32,
    /// The folder.
    pub folder: String,
    /// The value of `X-Ricevuta` or `X-Trasporto`; none for another message.
    pub kind: Option<String>,
    /// Decoded.
    pub subject: String,
    /// With angle brackets.
    pub message_id: String,
    /// The letter that it speaks of, or carries.
    pub pec_id: Option<String>,
    /// Size of the stored octets.
    pub size_bytes: u64,
    /// When it came into the mailbox.
    pub received_at: Instant,
}
