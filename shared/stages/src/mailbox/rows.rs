//! The rows of the `mailboxes` table (design §5).

use pec::Instant;
use serde::{Deserialize, Serialize};

use super::{Entry, Flags, Keywords, UidSet};
use crate::{
    BlobKey, Job,
    ids::{MailboxId, blob_name},
    ports::{Debt, RowKey, Table},
    rim::Body,
    rows::Summary,
};

/// The id of the folder that letters go to, before anybody renames INBOX (which makes a new one).
pub const INBOX: &str = "inbox";
/// The id of the folder that receipts go to, unless the holder wants them in INBOX.
pub const RECEIPTS: &str = "receipts";

/// After so many changes a folder is packed: what opening it reads beside its pages.
pub(super) const PACK_AFTER: u64 = 256;

/// The partition of a mailbox.
pub(super) fn partition(mailbox: &MailboxId) -> String {
    format!("mailbox#{mailbox}")
}

pub(super) fn row(mailbox: &MailboxId, sk: String) -> RowKey {
    RowKey { table: Table::Mailboxes, pk: partition(mailbox), sk }
}

/// A mailbox: what all its folders share, and the two folders that `deliver` files into; every commit that files
/// replaces it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxHead {
    /// Its id.
    pub mailbox: MailboxId,
    /// Octets of all its messages: what the quota is compared with.
    pub bytes: u64,
    /// Their number.
    pub count: u64,
    /// INBOX.
    pub inbox: FolderState,
    /// Where receipts go.
    pub receipts: FolderState,
    /// How full it was, in percent of its quota, when its holder was told last; 0: not told since it was below.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub warned_percent: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
const fn is_zero(percent: &u8) -> bool {
    *percent == 0
}

/// What changes in a folder whenever something happens in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderState {
    /// Immutable, never used again in the mailbox.
    pub id: String,
    /// RFC 9051 §2.3.1.1: each folder that a mailbox ever has, has its own.
    pub uidvalidity: u32,
    /// One above the highest UID ever used in it.
    pub uidnext: u32,
    /// RFC 7162 §3.1.2.1: every commit that changes something for clients counts it up; so does each new message.
    pub highestmodseq: u64,
    /// Messages in it.
    pub exists: u32,
    /// Those without `\Seen`.
    pub unseen: u32,
    /// Those with `\Deleted`.
    pub deleted: u32,
    /// Octets of all.
    pub bytes: u64,
    /// Its keywords.
    pub keywords: Keywords,
    /// Pages show all messages with UIDs up to this one …
    pub packed_uid: u32,
    /// … as they were after this change, or later.
    pub packed_modseq: u64,
    /// Changes after this one are remembered.
    pub floor: u64,
}

impl FolderState {
    /// An empty folder.
    pub(super) fn new(id: &str, uidvalidity: u32) -> Self {
        Self {
            id: id.to_owned(),
            uidvalidity,
            uidnext: 1,
            highestmodseq: 1,
            exists: 0,
            unseen: 0,
            deleted: 0,
            bytes: 0,
            keywords: Keywords::default(),
            packed_uid: 0,
            packed_modseq: 1,
            floor: 1,
        }
    }

    /// Whether enough has happened since it was packed.
    pub(super) const fn wants_packing(&self) -> bool {
        self.highestmodseq - self.packed_modseq >= PACK_AFTER
    }

    /// One more message: its UID and MODSEQ. `None` when the folder has given all its UIDs.
    pub(crate) fn arrives(&mut self, size_bytes: u64, flags: Flags) -> Option<(u32, u64)> {
        let uid = self.uidnext;
        self.uidnext = uid.checked_add(1)?;
        self.highestmodseq += 1;
        self.exists += 1;
        self.bytes += size_bytes;
        self.count(flags, 1);
        Some((uid, self.highestmodseq))
    }

    /// One message less. The MODSEQ is counted once for all that go together.
    pub(super) fn leaves(&mut self, size_bytes: u64, flags: Flags) {
        self.exists = self.exists.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size_bytes);
        self.count(flags, -1);
    }

    /// The flags of a message change.
    pub(super) fn changes(&mut self, from: Flags, to: Flags) {
        self.count(from, -1);
        self.count(to, 1);
    }

    fn count(&mut self, flags: Flags, by: i32) {
        if !flags.contains(Flags::SEEN) {
            self.unseen = self.unseen.saturating_add_signed(by);
        }
        if flags.contains(Flags::DELETED) {
            self.deleted = self.deleted.saturating_add_signed(by);
        }
    }
}

impl MailboxHead {
    /// The key of a mailbox.
    #[must_use]
    pub fn key_of(mailbox: &MailboxId) -> RowKey {
        row(mailbox, "head".to_owned())
    }

    /// A mailbox that nothing was filed into yet.
    #[must_use]
    pub fn new(mailbox: &MailboxId) -> Self {
        let folder = |id: &str| FolderState::new(id, uidvalidity(mailbox, 0));
        Self {
            mailbox: mailbox.clone(),
            bytes: 0,
            count: 0,
            inbox: folder(INBOX),
            receipts: folder(RECEIPTS),
            warned_percent: 0,
        }
    }

    /// One of the two folders that are kept here.
    pub(super) fn folder(&self, id: &str) -> Option<&FolderState> {
        [&self.inbox, &self.receipts].into_iter().find(|f| f.id == id)
    }

    pub(super) fn folder_mut(&mut self, id: &str) -> Option<&mut FolderState> {
        [&mut self.inbox, &mut self.receipts].into_iter().find(|f| f.id == id)
    }
}
impl Body for MailboxHead {
    const TABLE: Table = Table::Mailboxes;
    fn key(&self) -> RowKey {
        Self::key_of(&self.mailbox)
    }
}

/// The UIDVALIDITY of the `n`th folder that a mailbox makes; its first folders have 0. It begins somewhere else in
/// each mailbox: an address can lead to another mailbox one day, and clients keep what they know under the address.
pub(super) fn uidvalidity(mailbox: &MailboxId, n: u32) -> u32 {
    let name = blob_name(mailbox.0.as_bytes());
    let begin = name.get(..7).and_then(|hex| u32::from_str_radix(hex, 16).ok()).unwrap_or(0);
    begin.saturating_add(n).saturating_add(1)
}

/// Any other folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FolderRow {
    pub mailbox: MailboxId,
    pub state: FolderState,
    /// It was deleted, and owes that its messages go.
    #[serde(default)]
    pub dropped: bool,
}

impl FolderRow {
    pub(super) const PREFIX: &str = "folder#";

    pub(super) fn key_of(mailbox: &MailboxId, id: &str) -> RowKey {
        row(mailbox, format!("{}{id}", Self::PREFIX))
    }
}
impl Body for FolderRow {
    const TABLE: Table = Table::Mailboxes;
    fn key(&self) -> RowKey {
        Self::key_of(&self.mailbox, &self.state.id)
    }
}

/// A message in a folder. Its row is there for as long as it is in the folder, and each has a blob of its own.
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
    /// What the mailbox shows; its size is that of the blob.
    pub summary: Summary,
    /// The flags that it came into the folder with. What they are now is in a [`View`](super::View).
    pub filed_flags: Flags,
    /// Its MODSEQ when it came into the folder.
    pub filed_modseq: u64,
    /// INTERNALDATE: when it became available; moving and copying keep it.
    pub received_at: Instant,
    /// What a door keeps of its form so as not to read the octets again, in the door's own words: see
    /// [`keep_structures`](super::keep_structures).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structure: Option<String>,
}

impl Message {
    /// The key of a message.
    #[must_use]
    pub fn key_of(mailbox: &MailboxId, folder: &str, uid: u32) -> RowKey {
        row(mailbox, format!("{}{uid:010}", Self::prefix(folder)))
    }

    pub(super) fn prefix(folder: &str) -> String {
        format!("msg#{folder}#")
    }
}
impl Body for Message {
    const TABLE: Table = Table::Mailboxes;
    fn key(&self) -> RowKey {
        Self::key_of(&self.mailbox, &self.folder, self.uid)
    }
}

/// The fields of a message that its entry is made of.
#[derive(Deserialize)]
pub(super) struct Slim {
    uid: u32,
    summary: SlimSummary,
    filed_flags: Flags,
    filed_modseq: u64,
    received_at: Instant,
}

#[derive(Deserialize)]
struct SlimSummary {
    size_bytes: u64,
}

impl From<Slim> for Entry {
    fn from(slim: Slim) -> Self {
        Self {
            uid: slim.uid,
            size_bytes: size(slim.summary.size_bytes),
            flags: slim.filed_flags,
            modseq: slim.filed_modseq,
            received_at: slim.received_at,
        }
    }
}

impl From<&Message> for Entry {
    fn from(message: &Message) -> Self {
        Self {
            uid: message.uid,
            size_bytes: size(message.summary.size_bytes),
            flags: message.filed_flags,
            modseq: message.filed_modseq,
            received_at: message.received_at,
        }
    }
}

/// Messages are far below 4 GiB (spec 0.2 D3).
fn size(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// What one commit changed in a folder beside new messages: by its MODSEQ (RFC 7162).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ChangeRow {
    pub mailbox: MailboxId,
    pub folder: String,
    pub modseq: u64,
    /// The flags that messages have since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<(UidSet, Flags)>,
    /// Messages that are not in the folder any more.
    #[serde(default, skip_serializing_if = "UidSet::is_empty")]
    pub gone: UidSet,
    /// Blobs that nobody needs any more, for as long as the row owes that they go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<BlobKey>,
}

impl ChangeRow {
    pub(super) fn new(mailbox: &MailboxId, folder: &FolderState) -> Self {
        Self {
            mailbox: mailbox.clone(),
            folder: folder.id.clone(),
            modseq: folder.highestmodseq,
            flags: Vec::new(),
            gone: UidSet::new(),
            blobs: Vec::new(),
        }
    }

    pub(super) fn prefix(folder: &str) -> String {
        format!("change#{folder}#")
    }

    pub(super) fn sk(folder: &str, modseq: u64) -> String {
        format!("{}{modseq:020}", Self::prefix(folder))
    }

    /// What it owes, if anything: its blobs.
    pub(super) fn debt(&self, at: Instant) -> Option<Debt> {
        (!self.blobs.is_empty()).then(|| Debt::now(Job::Discard { row: self.key() }, at))
    }
}
impl Body for ChangeRow {
    const TABLE: Table = Table::Mailboxes;
    fn key(&self) -> RowKey {
        row(&self.mailbox, Self::sk(&self.folder, self.modseq))
    }
}

/// Blobs in the making: written before them, gone with the commit of the rows that name them. Where that never comes,
/// it owes that they go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Making {
    pub mailbox: MailboxId,
    pub id: String,
    pub blobs: Vec<BlobKey>,
    /// Given up: whoever still makes them must not commit.
    #[serde(default)]
    pub given_up: bool,
}

impl Making {
    pub(super) const PREFIX: &str = "making#";
}
impl Body for Making {
    const TABLE: Table = Table::Mailboxes;
    fn key(&self) -> RowKey {
        row(&self.mailbox, format!("{}{}", Self::PREFIX, self.id))
    }
}

/// Says that octets from elsewhere were filed in a mailbox: for as long as the mailbox exists, also after the message
/// is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FiledBlob {
    pub(crate) mailbox: MailboxId,
    pub(crate) name: String,
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
