//! The delivery point (RFC 6109 §2.2.3, spec 6): messages are put into mailboxes as they are. One batch of one
//! mailbox is one commit: the message, its row, and for a letter the receipt that becomes owed (design §3 rule 3).

use std::collections::{HashMap, HashSet};

use pec::Instant;

use crate::{
    BlobKey, Rim, StageError, acts,
    ids::{MailboxId, Side},
    issue,
    lay::ROOM_BYTES,
    log::{Event, LogEntry},
    mailbox::{self, FiledBlob, Flags, MailboxHead, Message},
    ports::{Commit, RowKey},
    registry::Mailbox,
    rim::{Body, Draft, Found},
    rows::{ActRow, DestinationHead, Filed, FilingRow, IssuedBytes, OriginRecipient, Summary},
};

mod letter;
mod quota;

/// How often a batch is tried anew when another commit was faster.
const RACES_MAX: usize = 5;

/// How many items of a commit one filing takes at most: its row, message, dedupe row, act, recipient, two entries, a
/// warning.
const FILING_ITEMS_MAX: usize = 8;

/// Filings that are read at a time; receipts of so many fit into one commit.
const FILINGS_MAX: usize = 24;

/// Puts messages into one mailbox, in this order. One result for each filing: what is done already is success.
pub async fn batch(rim: &Rim, mailbox: &MailboxId, filings: &[RowKey]) -> Vec<Result<(), StageError>> {
    let mut results = Vec::with_capacity(filings.len());
    for chunk in filings.chunks(FILINGS_MAX) {
        let mut result = file_chunk(rim, mailbox, chunk).await;
        // One bad filing must not hold the others: they go one by one, and it alone fails.
        if result.is_err() && chunk.len() > 1 {
            for filing in chunk {
                results.push(file_chunk(rim, mailbox, std::slice::from_ref(filing)).await);
            }
            continue;
        }
        results.push(std::mem::replace(&mut result, Ok(())));
        results.extend(chunk.iter().skip(1).map(|_| Ok(())));
    }
    results
}

async fn file_chunk(rim: &Rim, mailbox: &MailboxId, filings: &[RowKey]) -> Result<(), StageError> {
    for attempt in 0..RACES_MAX {
        match attempt_chunk(rim, mailbox, filings, attempt > 0).await {
            Err(StageError::Raced) => {}
            other => return other,
        }
    }
    Err(StageError::Raced)
}

/// One try: everything is read, blobs are copied, one commit. The first try takes it that no blob was filed before;
/// if one was, the commit is lost and the second try looks.
async fn attempt_chunk(
    rim: &Rim,
    mailbox: &MailboxId,
    filings: &[RowKey],
    look: bool,
) -> Result<(), StageError> {
    // 1. What is still owed.
    let rows = || filings.iter().cloned().chain([MailboxHead::key_of(mailbox)]).collect();
    let rim = &rim.ahead(rows).await?;
    let mut open: Vec<Owed> = Vec::with_capacity(filings.len());
    let mut seen = HashSet::new();
    for key in filings.iter().filter(|k| seen.insert((*k).clone())) {
        open.extend(Owed::read(rim, key).await?);
    }
    if open.is_empty() {
        return Ok(());
    }

    // 2. The mailbox as it is, and what each filing looks at.
    let rim = &rim.ahead(|| open.iter().flat_map(|owed| looked_at(&owed.filing)).collect()).await?;
    let mut desk = Desk::read(rim, mailbox, look).await?;

    // 3. Each filing into the draft. Its blob is in place before the commit: power fails in between, and there is a
    //    blob that no row names, which the next run finds.
    for owed in open {
        let is_full = desk.draft().items() + FILING_ITEMS_MAX >= Commit::ITEMS_MAX;
        if is_full || desk.draft().bytes() > ROOM_BYTES {
            desk.commit(rim).await?;
            desk = Desk::read(rim, mailbox, look).await?;
        }
        desk.file(rim, owed).await?;
    }
    desk.commit(rim).await
}

/// Files an act in the commit that says that it is issued, with this entry: a try, which is lost when another commit of
/// the mailbox was faster.
pub(crate) async fn at_once(
    rim: &Rim,
    found: Found<ActRow>,
    issued: &IssuedBytes,
    entry: LogEntry,
) -> Result<(), StageError> {
    let Some(mailbox) = found.value.home().cloned() else {
        return Err(StageError::Damaged(format!("{}: no home", found.value.key.row().sk)));
    };
    let mut desk = Desk::read(rim, &mailbox, false).await?;
    desk.draft().append(entry);
    let filing = issue::filing(&found.value, issued, &mailbox);
    let mut act = found;
    act.value.issued = Some(issued.clone());
    desk.file(rim, Owed { filing, by: By::Act(Box::new(act)) }).await?;
    desk.commit(rim).await
}

/// A filing that is owed, and the row that owes it.
struct Owed {
    filing: FilingRow,
    by: By,
}

enum By {
    /// A row of its own, in this version.
    Filing(u64),
    /// The act that is filed.
    Act(Box<Found<ActRow>>),
}

impl Owed {
    /// What a row owes; `None` where it is paid.
    async fn read(rim: &Rim, key: &RowKey) -> Result<Option<Self>, StageError> {
        let missing = || StageError::Damaged(format!("{}: no such row", key.sk));
        if key.sk.starts_with("act#") {
            let act = acts::read(rim, key).await?.ok_or_else(missing)?;
            let (Some(issued), Some(mailbox)) = (&act.value.issued, act.value.home()) else {
                return Ok(None);
            };
            let filing = issue::filing(&act.value, issued, mailbox);
            let is_owed = act.value.filed.is_none() && act.debt.is_some();
            return Ok(is_owed.then_some(Self { filing, by: By::Act(Box::new(act)) }));
        }
        let found = rim.read::<FilingRow>(key).await?.ok_or_else(missing)?;
        let is_owed = found.value.filed.is_none() && found.debt.is_some();
        Ok(is_owed.then_some(Self { filing: found.value, by: By::Filing(found.version) }))
    }
}

/// The rows that a filing looks at.
pub(crate) fn looked_at(row: &FilingRow) -> Vec<RowKey> {
    match (&row.certifies, &row.address) {
        (Some(certifies), _) => {
            // Where the letter is ours.
            let pec_id = row.summary.pec_id.as_ref();
            let rows =
                [DestinationHead::key_of(&row.partition), Mailbox::key_of(certifies.recipient.as_str())];
            rows.into_iter()
                .chain(pec_id.map(|id| OriginRecipient::key_of(id, &certifies.recipient)))
                .collect()
        }
        (None, Some(address)) => vec![Mailbox::key_of(address.as_str())],
        (None, None) => Vec::new(),
    }
}

/// One commit in the making, around the head of a mailbox.
struct Desk {
    mailbox: mailbox::Desk,
    look: bool,
    at: Instant,
    names: HashSet<String>,
    settings: HashMap<String, Option<Mailbox>>,
    environments: HashMap<String, crate::acts::Desk>,
}

/// By how many filings the same octets can come into this mailbox. One says itself whether it is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ways {
    One,
    Several,
}

/// Which of the two folders that are filed into.
#[derive(Clone, Copy)]
enum Place {
    Inbox,
    Receipts,
}

impl Desk {
    async fn read(rim: &Rim, mailbox: &MailboxId, look: bool) -> Result<Self, StageError> {
        let mailbox = mailbox::Desk::open(rim, mailbox).await?;
        let at = mailbox.at;
        let (names, settings, environments) = Default::default();
        Ok(Self { mailbox, look, at, names, settings, environments })
    }

    const fn draft(&mut self) -> &mut Draft {
        &mut self.mailbox.draft
    }

    async fn file(&mut self, rim: &Rim, owed: Owed) -> Result<(), StageError> {
        let Owed { mut filing, by } = owed;
        let filed = if filing.certifies.is_some() {
            self.letter(rim, &filing).await?
        } else {
            self.other(rim, &filing).await?
        };
        match by {
            By::Filing(version) => {
                filing.filed = Some(filed);
                self.draft().replace(version, &filing, None)?;
            }
            By::Act(mut act) => {
                act.value.filed = Some(filed);
                self.draft().replace(act.version, &act.value, None)?;
            }
        }
        Ok(())
    }

    /// A receipt, notice or anomaly envelope: filed over quota too (design §4 "Filing").
    async fn other(&mut self, rim: &Rim, row: &FilingRow) -> Result<Filed, StageError> {
        let folder = self.folder_of(rim, row).await?;
        let (settings, before_bytes) = self.as_it_is(rim, row.address.as_ref()).await?;
        // An act of ours that has its only home here has one filing.
        let is_home = row.source.is_of(self.mailbox.mailbox());
        let ways = if is_home { Ways::One } else { Ways::Several };
        let filed = self.put(rim, row, folder, ways).await?;
        if filed == Filed::Before {
            return Ok(filed);
        }
        self.warn(rim, settings.as_ref(), before_bytes, &row.name).await?;
        let disc = format!("{}#{}", row.name, self.mailbox.mailbox());
        let entry = LogEntry::new(row.about.clone(), side(row), Event::Filed, disc, self.at)
            .message(&row.summary.message_id)
            .with("kind", row.summary.kind.map_or("other", pec::Kind::name));
        self.draft().append(entry);
        Ok(filed)
    }

    /// Which folder the holder wants receipts in.
    async fn folder_of(&mut self, rim: &Rim, row: &FilingRow) -> Result<Place, StageError> {
        let Some(address) = &row.address else { return Ok(Place::Inbox) };
        let settings = self.settings(rim, address).await?.filter(|m| m.id == *self.mailbox.mailbox());
        Ok(if settings.is_some_and(|m| m.receipts_in_inbox) { Place::Inbox } else { Place::Receipts })
    }

    async fn settings(&mut self, rim: &Rim, address: &pec::Address) -> Result<Option<Mailbox>, StageError> {
        let key = address.key();
        if let Some(known) = self.settings.get(&key) {
            return Ok(known.clone());
        }
        let read = rim.mailbox(address).await?;
        self.settings.insert(key, read.clone());
        Ok(read)
    }

    /// The bytes and their row into a folder, under the next UID; once per mailbox and name.
    async fn put(
        &mut self,
        rim: &Rim,
        row: &FilingRow,
        place: Place,
        ways: Ways,
    ) -> Result<Filed, StageError> {
        let mailbox = self.mailbox.mailbox().clone();
        let several = ways == Ways::Several;
        let filed = several.then(|| FiledBlob { mailbox: mailbox.clone(), name: row.name.clone() });
        let before = match &filed {
            Some(filed) if self.look => rim.read::<FiledBlob>(&filed.key()).await?.is_some(),
            _ => false,
        };
        if !self.names.insert(row.name.clone()) || before {
            return Ok(Filed::Before);
        }
        // What lies with its letter stays there: the mailbox has its row, and no octets of its own.
        let blob = if row.source.is_with_its_letter() || row.source.is_of(&mailbox) {
            row.source.clone()
        } else {
            let own = BlobKey::mailbox(&mailbox, &row.name);
            rim.blobs.copy_if_absent(&row.source, &own).await?;
            own
        };
        let arrived = self.arrive(blob, row.summary.clone(), place)?;
        if let Some(filed) = &filed {
            self.draft().insert(filed, None)?;
        }
        Ok(arrived)
    }

    /// The row of a message whose octets are there.
    fn arrive(&mut self, blob: BlobKey, summary: Summary, place: Place) -> Result<Filed, StageError> {
        let mailbox = self.mailbox.mailbox().clone();
        let size_bytes = summary.size_bytes;
        let head = self.mailbox.head_mut();
        head.count += 1;
        head.bytes = head.bytes.saturating_add(size_bytes);
        let state = match place {
            Place::Inbox => &mut head.inbox,
            Place::Receipts => &mut head.receipts,
        };
        let folder = state.id.clone();
        let (uid, modseq) = state
            .arrives(size_bytes, Flags::NONE)
            .ok_or_else(|| StageError::Damaged(format!("mailbox {mailbox}: no UID left")))?;
        let message = Message {
            mailbox,
            folder: folder.clone(),
            uid,
            blob,
            summary,
            filed_flags: Flags::NONE,
            filed_modseq: modseq,
            received_at: self.at,
            structure: None,
        };
        self.draft().insert(&message, None)?;
        Ok(Filed::In { folder, uid })
    }

    /// One commit: the head of the mailbox is in it, so UIDs become visible in order.
    async fn commit(self, rim: &Rim) -> Result<(), StageError> {
        self.mailbox.commit(rim).await
    }
}

/// The side on which a filing is logged: receipts of our letters belong to the origin.
fn side(row: &FilingRow) -> Side {
    let receipt = row.certifies.is_none() && row.summary.pec_id.is_some();
    if receipt { Side::Origin } else { Side::Destination }
}
