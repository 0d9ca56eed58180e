//! The rows of the `letters` table (design §5). A row of the previous release is still understood: new fields have
//! defaults, nothing is renamed.

use pec::{
    Address, Instant, Kind, Letter, Transaction, deadline::Clocks, document::ReceiptForm, reception::Origin,
};
use serde::{Deserialize, Serialize};

use crate::{
    BlobKey, SpoolId,
    ids::{CertificateId, Door, MailboxId, Partition, blob_name},
    log::About,
    mailbox::MailboxHead,
    ports::{Destination, Lookup, Relayed, RowKey, Table},
    registry::Mailbox,
    rim::Body,
};

mod act;
#[cfg(test)]
mod tests;

pub use act::{ActKey, ActRow, IssuedBytes, Next, Parcel};

fn letters(partition: &Partition, sk: String) -> RowKey {
    RowKey { table: Table::Letters, pk: partition.as_str().to_owned(), sk }
}

/// The transaction around a spooled message: the `.json` blob that is the commit point of a door. Not a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The spool id.
    pub spool: SpoolId,
    /// Which door.
    pub door: Door,
    /// What SMTP (or its stand-in) said.
    pub transaction: Transaction,
    /// The mailbox that signed in, for submissions.
    pub account: Option<MailboxId>,
    /// Octets as they came, before the door's trace (spec 0.2 D3).
    pub raw_bytes: u64,
    /// When.
    pub at: Instant,
    /// How it came: `https`, `smtps`, ...; for the log.
    pub via: String,
    /// TLS version, or `none`; for the log.
    pub tls: String,
    /// Nobody knows whether the reverse path is the sender's, and nothing was answered to whoever it was: no delivery
    /// status notification goes there (spec 0.2 D13, behind SES).
    #[serde(default)]
    pub is_unanswerable: bool,
    /// What an incoming door saw of the other end; for the log.
    #[serde(default)]
    pub seen: Sighting,
    /// What a scanner before the door said; our own looks as well.
    #[serde(default)]
    pub scanned: Option<Scanned>,
}

/// What an incoming door saw of the other end. What it does not know is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sighting {
    /// Its IP address.
    pub peer: String,
    /// What it calls itself.
    pub hello: String,
    /// What SPF, DKIM and DMARC say of ordinary mail, as in `Authentication-Results` (RFC 8601).
    pub authentication: String,
}

/// What a scanner before the door said, e.g. Amazon SES.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scanned {
    /// Whose scanner.
    pub by: String,
    /// Its verdict in its own word, bounded and printable; for the log.
    pub verdict: String,
    /// Whether the verdict is that of an infected message. Anything else leaves the decision to our scanner.
    pub infected: bool,
}

/// What became of a spool entry: written by accept's or receive's commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolRow {
    /// The spool id.
    pub spool: SpoolId,
    /// Which door.
    pub door: Door,
    /// The outcome, in one word group (`accepted`, `refused`, `envelope`, `receipt`, `anomaly`, `ordinary`,
    /// `dropped`, `duplicate`).
    pub outcome: String,
    /// SHA-256 of the bytes, hex.
    pub sha256: String,
    /// The Message-ID that came with it.
    pub message_id: Option<String>,
    /// The partition of what it became, if any.
    pub became: Option<Partition>,
    /// When it was handled.
    pub at: Instant,
}
impl SpoolRow {
    /// The key of the row of a spool id.
    #[must_use]
    pub fn key_of(spool: &SpoolId) -> RowKey {
        letters(&Partition::spool(spool.as_str()), "spool".to_owned())
    }
}
impl Body for SpoolRow {
    const TABLE: Table = Table::Letters;
    fn key(&self) -> RowKey {
        Self::key_of(&self.spool)
    }
}

/// A letter of our users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginHead {
    /// Certification data.
    pub letter: Letter,
    /// Where the original lies.
    pub spool: SpoolId,
    /// The mailbox that sent it: receipts go there.
    pub sender: MailboxId,
    /// Its organisation.
    pub organisation: String,
    /// The provider environment that certifies.
    pub environment: String,
    /// The certificate chosen at acceptance.
    pub certificate: CertificateId,
    /// The acceptance instant (t0 of spec 7).
    pub accepted_at: Instant,
    /// Refused letters have a head too, and no recipients.
    pub refused: Option<String>,
    /// The form asked.
    pub form: ReceiptForm,
    /// Whether the recipients' rows have got their debts: false only while a `spread` job is owed.
    pub spread: bool,
}
impl OriginHead {
    /// The key of the head of a letter.
    #[must_use]
    pub fn key_of(pec_id: &str) -> RowKey {
        letters(&Partition::origin(pec_id), "head".to_owned())
    }
}
impl Body for OriginHead {
    const TABLE: Table = Table::Letters;
    fn key(&self) -> RowKey {
        Self::key_of(&self.letter.pec_id)
    }
}

/// How a recipient ended, at the origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// A delivery receipt says so.
    Delivered,
    /// A non-delivery notice (ours or the recipient's provider's).
    Failed,
    /// A virus notice.
    Virus,
    /// Nothing came in time: M6.
    Expired,
    /// An ordinary recipient: the message was handed over, no receipt will come.
    Relayed,
}

/// One recipient of a letter of our users: delivery, failure and the last notice compete for this row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginRecipient {
    /// The letter.
    pub pec_id: String,
    /// The recipient with its type.
    pub recipient: pec::Recipient,
    /// The record that manages its domain, for a certified recipient (fixed at acceptance).
    pub record: Option<String>,
    /// The clocks (spec 7).
    pub clocks: Clocks,
    /// How it ended; `None` while open.
    pub outcome: Option<Outcome>,
}
impl OriginRecipient {
    /// The key of the row of a recipient.
    #[must_use]
    pub fn key_of(pec_id: &str, recipient: &Address) -> RowKey {
        letters(&Partition::origin(pec_id), format!("rcpt#{}", recipient.key()))
    }
}
impl Body for OriginRecipient {
    const TABLE: Table = Table::Letters;
    fn key(&self) -> RowKey {
        Self::key_of(&self.pec_id, &self.recipient.address)
    }
    fn lookup(&self) -> Option<Lookup> {
        Some(Lookup {
            pk: format!("origin#{}", self.recipient.address.key()),
            sk: [&String::from(self.clocks.accepted_at), "#", &self.pec_id].concat(),
        })
    }
}

/// A letter to our users, as its envelope arrived first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationHead {
    /// Its partition.
    #[serde(default, skip_serializing)]
    pub partition: Partition,
    /// Who signed the envelope.
    pub origin: Origin,
    /// Certification data.
    pub letter: Letter,
    /// The form asked.
    pub form: ReceiptForm,
    /// Where the envelope lies.
    pub envelope: BlobKey,
    /// Its SHA-256, hex.
    pub envelope_sha256: String,
    /// When it came first.
    pub received_at: Instant,
    /// Whether the rows of its recipients have got their debts: false only while a `spread` job is owed.
    pub spread: bool,
    /// The mailbox that sent it, when the letter is one of ours: delivery settles the origin's row and files the
    /// receipt there.
    #[serde(default)]
    pub own_sender: Option<MailboxId>,
}
impl DestinationHead {
    /// The key of the head of a partition.
    #[must_use]
    pub fn key_of(partition: &Partition) -> RowKey {
        letters(partition, "head".to_owned())
    }
}
impl Body for DestinationHead {
    const TABLE: Table = Table::Letters;
    fn key(&self) -> RowKey {
        Self::key_of(&self.partition)
    }
    fn keyed(&mut self, key: &RowKey) {
        self.partition = Partition::of_row(key);
    }
}

/// What the mailbox shows of a message without opening it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Which of the twelve, or `None` for something else.
    pub kind: Option<Kind>,
    /// `From:`, as shown.
    pub from: String,
    /// Subject, decoded.
    pub subject: String,
    /// Message-ID with angle brackets.
    pub message_id: String,
    /// `identificativo`, if it speaks of a letter.
    pub pec_id: Option<String>,
    /// Size of the stored bytes.
    pub size_bytes: u64,
    /// The instant of the message.
    pub at: Instant,
}

/// What deliver certifies when it files a letter: M11, or M12 if it cannot. The head is in the same partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certifies {
    /// The recipient.
    pub recipient: Address,
    /// The form due (spec 6.2), fixed at reception.
    pub form_due: ReceiptForm,
    /// The provider environment that certifies.
    pub environment: String,
}

/// How a filing ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "filed")]
pub enum Filed {
    /// In the mailbox.
    In {
        /// The folder's id.
        folder: String,
        /// The UID it got.
        uid: u32,
    },
    /// Not: the enhanced status.
    Failed {
        /// E.g. `5.2.2`.
        code: String,
    },
    /// It was there already, from another job.
    Before,
}

/// A message to be put into a mailbox: the debt of deliver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilingRow {
    /// The partition of what it belongs to.
    #[serde(default, skip_serializing)]
    pub partition: Partition,
    /// Unique in its partition: mailbox and blob name, or the recipient.
    #[serde(default, skip_serializing)]
    pub discriminator: String,
    /// The mailbox; `None` when the address has none (M12 with 5.1.1).
    pub mailbox: Option<MailboxId>,
    /// The blob it is.
    pub source: BlobKey,
    /// The name of its own blob in the mailbox, and its dedupe key there.
    pub name: String,
    /// What the mailbox shows.
    pub summary: Summary,
    /// What is certified by it: a letter. `None` for receipts, notices, anomaly envelopes, which bypass the quota.
    pub certifies: Option<Certifies>,
    /// The address by which the mailbox was found: its settings are read at filing.
    #[serde(default)]
    pub address: Option<Address>,
    /// What the log says of it; for a letter the head has it.
    #[serde(default, skip_serializing_if = "About::is_nothing")]
    pub about: About,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filed: Option<Filed>,
}
impl FilingRow {
    /// The key of a filing.
    #[must_use]
    pub fn key_of(partition: &Partition, discriminator: &str) -> RowKey {
        letters(partition, format!("file#{discriminator}"))
    }
    /// The group that its job belongs to: its mailbox, or one group for addresses without one.
    #[must_use]
    pub fn group(&self) -> MailboxId {
        self.mailbox.clone().unwrap_or_else(|| MailboxId("none".to_owned()))
    }
}
impl Body for FilingRow {
    const TABLE: Table = Table::Letters;
    fn key(&self) -> RowKey {
        Self::key_of(&self.partition, &self.discriminator)
    }
    fn keyed(&mut self, key: &RowKey) {
        self.partition = Partition::of_row(key);
        self.discriminator = key.sk.strip_prefix("file#").unwrap_or(&key.sk).to_owned();
    }
    fn lookup(&self) -> Option<Lookup> {
        let c = self.certifies.as_ref()?;
        Some(Lookup {
            pk: format!("destination#{}", c.recipient.key()),
            sk: [&String::from(self.summary.at), "#", self.partition.as_str()].concat(),
        })
    }
    fn ahead(&self) -> Vec<RowKey> {
        let head = self.mailbox.as_ref().map(MailboxHead::key_of);
        [self.key()].into_iter().chain(head).chain(crate::deliver::looked_at(self)).collect()
    }
}

/// One message on its way to one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DispatchRow {
    /// The act that it carries.
    pub act: ActKey,
    /// Where to.
    pub destination: Destination,
    /// The blob.
    pub blob: BlobKey,
    /// MAIL FROM.
    pub reverse_path: Option<Address>,
    /// Recipients with what became of them; `None` is still owed.
    pub recipients: Vec<(Address, Option<Relayed>)>,
    /// Tries so far.
    pub attempts: u32,
    /// Not before then: a hint can come twice.
    #[serde(default)]
    pub next_attempt: Option<Instant>,
    /// When to stop trying.
    pub give_up_at: Instant,
    /// Nothing is owed any more.
    pub done: bool,
    /// What the log says of it.
    #[serde(default)]
    pub about: About,
}
impl DispatchRow {
    /// The key of the row of an act and a destination.
    #[must_use]
    pub fn key_of(act: &ActKey, destination: &Destination) -> RowKey {
        let to = match destination {
            Destination::Own => "own".to_owned(),
            Destination::Provider { record, domain } => {
                format!("provider#{}", blob_name(format!("{record}\0{domain}").as_bytes()))
            }
            Destination::Ordinary { domain } => format!("ordinary#{domain}"),
        };
        let row = act.row();
        letters(&act.partition, format!("send#{}#{to}", row.sk))
    }
}
impl Body for DispatchRow {
    const TABLE: Table = Table::Letters;
    fn key(&self) -> RowKey {
        Self::key_of(&self.act, &self.destination)
    }
    fn ahead(&self) -> Vec<RowKey> {
        match self.destination {
            // The incoming point looks at the head of the letter, and where its recipients' mailboxes are.
            Destination::Own => {
                let key = self.key();
                let head = RowKey { sk: "head".to_owned(), ..key.clone() };
                let mailboxes = self.recipients.iter().map(|(r, _)| Mailbox::key_of(r.as_str()));
                [key, head].into_iter().chain(mailboxes).collect()
            }
            Destination::Provider { .. } | Destination::Ordinary { .. } => Vec::new(),
        }
    }
}

/// A receipt of another provider that was handled: by Message-ID and digest (design §4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenReceipt {
    /// Its Message-ID.
    pub message_id: String,
    /// SHA-256 of its bytes, hex.
    pub sha256: String,
    /// The spool entry that brought it.
    pub spool: SpoolId,
}
impl SeenReceipt {
    /// The key of a receipt.
    #[must_use]
    pub fn key_of(message_id: &str, sha256: &str) -> RowKey {
        let pk = format!("seen#{}", blob_name(format!("{message_id}\0{sha256}").as_bytes()));
        RowKey { table: Table::Letters, pk, sk: "seen".to_owned() }
    }
}
impl Body for SeenReceipt {
    const TABLE: Table = Table::Letters;
    fn key(&self) -> RowKey {
        Self::key_of(&self.message_id, &self.sha256)
    }
}
