//! Mailboxes: their rows, and what doors read of them.
//!
//! UIDs come from one counter of the mailbox, so a UID names one message in it, and within a folder they ascend in
//! the order in which messages become visible.

use pec::Instant;
use serde::{Deserialize, Serialize};

use crate::{
    BlobKey, Rim, StageError,
    ids::{MailboxId, Partition},
    ports::{RowKey, Table},
    rim::{Body, Found, typed},
    rows::{ActRow, OriginHead, OriginRecipient, Summary},
};

/// The id of the folder that letters go to.
pub const INBOX: &str = "inbox";
/// The id of the folder that receipts go to, unless the holder wants them in INBOX.
pub const RECEIPTS: &str = "receipts";

/// A mailbox: its counters and folders, replaced by every commit that files into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxHead {
    /// Its id.
    pub mailbox: MailboxId,
    /// Octets of all its messages: what the quota is compared with.
    pub bytes: u64,
    /// Their number.
    pub count: u64,
    /// The next UID, in whichever folder.
    pub uidnext: u32,
    /// Its folders, INBOX first.
    pub folders: Vec<Folder>,
}

/// A folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    /// Immutable.
    pub id: String,
    /// What clients see.
    pub name: String,
    /// RFC 9051 §2.3.1.1
    pub uidvalidity: u32,
    /// One above the highest UID ever used in it.
    pub uidnext: u32,
    /// RFC 7162 §3.1.2.1
    pub highestmodseq: u64,
    /// Messages in it.
    pub exists: u32,
}

/// A message in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// The folder's id.
    pub folder: String,
    /// Its UID.
    pub uid: u32,
    /// Its octets.
    pub blob: BlobKey,
    /// What the mailbox shows.
    pub summary: Summary,
    /// IMAP flags, e.g. `\Seen`.
    pub flags: Vec<String>,
    /// RFC 7162
    pub modseq: u64,
    /// When it became available.
    pub received_at: Instant,
}

/// Says that a blob was filed in a mailbox: for as long as the mailbox exists, also after the message is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FiledBlob {
    pub(crate) mailbox: MailboxId,
    pub(crate) name: String,
}

impl MailboxHead {
    /// The key of a mailbox.
    #[must_use]
    pub fn key_of(mailbox: &MailboxId) -> RowKey {
        row(mailbox, "head".to_owned())
    }

    /// A mailbox that nothing was filed into yet. Its id is never used again, so its first folders need no other
    /// UIDVALIDITY than 1.
    #[must_use]
    pub fn new(mailbox: &MailboxId) -> Self {
        let folder = |id: &str, name: &str| Folder {
            id: id.to_owned(),
            name: name.to_owned(),
            uidvalidity: 1,
            uidnext: 1,
            highestmodseq: 1,
            exists: 0,
        };
        Self {
            mailbox: mailbox.clone(),
            bytes: 0,
            count: 0,
            uidnext: 1,
            folders: vec![folder(INBOX, "INBOX"), folder(RECEIPTS, "Receipts")],
        }
    }
}
impl Body for MailboxHead {
    const TABLE: Table = Table::Mailboxes;
    fn key(&self) -> RowKey {
        Self::key_of(&self.mailbox)
    }
}

impl Message {
    /// The key of a message.
    #[must_use]
    pub fn key_of(mailbox: &MailboxId, folder: &str, uid: u32) -> RowKey {
        row(mailbox, format!("{}{uid:010}", prefix(folder)))
    }
}
impl Body for Message {
    const TABLE: Table = Table::Mailboxes;
    fn key(&self) -> RowKey {
        Self::key_of(&self.mailbox, &self.folder, self.uid)
    }
}

impl FiledBlob {
    pub(crate) fn key_of(mailbox: &MailboxId, name: &str) -> RowKey {
        row(mailbox, format!("filed#{name}"))
    }
}
impl Body for FiledBlob {
    const TABLE: Table = Table::Mailboxes;
    fn key(&self) -> RowKey {
        Self::key_of(&self.mailbox, &self.name)
    }
}

/// The folders of a mailbox, INBOX first. A mailbox that nothing was filed into has them too.
///
/// # Errors
/// [`StageError::Facts`]
pub async fn folders(rim: &Rim, mailbox: &MailboxId) -> Result<Vec<Folder>, StageError> {
    let found = rim.read::<MailboxHead>(&MailboxHead::key_of(mailbox)).await?;
    Ok(found.map_or_else(|| MailboxHead::new(mailbox), |f| f.value).folders)
}

/// Messages of a folder with a UID above `after`, in order; at most `limit`.
///
/// # Errors
/// [`StageError::Facts`]
pub async fn list(
    rim: &Rim,
    mailbox: &MailboxId,
    folder: &str,
    after: u32,
    limit: usize,
) -> Result<Vec<Message>, StageError> {
    let pk = partition(mailbox);
    let after = Message::key_of(mailbox, folder, after).sk;
    let page = rim.facts.query(Table::Mailboxes, &pk, &prefix(folder), Some(&after), limit).await?;
    let mut messages = Vec::with_capacity(page.rows.len());
    for stored in page.rows {
        messages.push(typed::<Message>(stored)?.value);
    }
    Ok(messages)
}

/// One message of a folder.
///
/// # Errors
/// [`StageError::Facts`]
pub async fn message(
    rim: &Rim,
    mailbox: &MailboxId,
    folder: &str,
    uid: u32,
) -> Result<Option<Message>, StageError> {
    Ok(rim.read(&Message::key_of(mailbox, folder, uid)).await?.map(|f: Found<Message>| f.value))
}

/// How far a letter of ours is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Its head: accepted, or refused.
    pub head: OriginHead,
    /// Whether its envelope is signed and stored.
    pub sealed: bool,
    /// Its recipients in the order of the transaction; none for a refused letter.
    pub recipients: Vec<OriginRecipient>,
}

/// How far the letter with this PEC id is; `None` while it is not decided, or for an id that is no letter of ours.
///
/// # Errors
/// [`StageError::Facts`]
pub async fn progress(rim: &Rim, pec_id: &str) -> Result<Option<Progress>, StageError> {
    let Some(head) = rim.read::<OriginHead>(&OriginHead::key_of(pec_id)).await? else { return Ok(None) };
    let head = head.value;
    if head.refused.is_some() {
        return Ok(Some(Progress { head, sealed: false, recipients: Vec::new() }));
    }
    let pk = Partition::origin(pec_id);
    let envelope = rim.all::<ActRow>(Table::Letters, pk.as_str(), "act#transport-envelope#").await?;
    let rows = rim.all::<OriginRecipient>(Table::Letters, pk.as_str(), "rcpt#").await?;
    let mut recipients: Vec<OriginRecipient> = rows.into_iter().map(|f| f.value).collect();
    let place: std::collections::HashMap<_, _> =
        head.letter.recipients.iter().enumerate().map(|(n, r)| (r.address.key(), n)).collect();
    recipients.sort_by_key(|r| place.get(&r.recipient.address.key()).copied());
    Ok(Some(Progress { head, sealed: envelope.iter().any(|f| f.value.issued.is_some()), recipients }))
}

fn partition(mailbox: &MailboxId) -> String {
    format!("mailbox#{mailbox}")
}

fn row(mailbox: &MailboxId, sk: String) -> RowKey {
    RowKey { table: Table::Mailboxes, pk: partition(mailbox), sk }
}

fn prefix(folder: &str) -> String {
    format!("msg#{folder}#")
}
