//! One commit in the making in a mailbox: its head, the state rows of the folders it touches, and what they owe.

use pec::Instant;

use super::{
    MailboxError, Refusal,
    rows::{FolderRow, FolderState, MailboxHead, uidvalidity},
    tree::is_first,
};
use crate::{
    Job, Rim, StageError,
    ids::MailboxId,
    ports::{Debt, FactsError},
    rim::{Body, Draft, Found},
};

/// A row as it will be, and as it was read.
pub(super) struct Kept<T> {
    pub now: T,
    /// Its version; `None` if it is not there yet.
    was: Option<u64>,
    debt: Option<Debt>,
    changed: bool,
}

impl<T: Body> Kept<T> {
    fn new(found: Option<Found<T>>, otherwise: impl FnOnce() -> T) -> Self {
        match found {
            Some(Found { value, version, debt }) => {
                Self { now: value, was: Some(version), debt, changed: false }
            }
            None => Self { now: otherwise(), was: None, debt: None, changed: false },
        }
    }

    fn change(&mut self) -> &mut T {
        self.changed = true;
        &mut self.now
    }

    /// Into a draft, if it was changed. What it owed already is not hinted again.
    fn write(self, draft: &mut Draft, new_debt: Option<Debt>) -> Result<(), FactsError> {
        match (self.changed, self.was, self.debt) {
            (false, ..) => Ok(()),
            (true, Some(was), Some(debt)) => draft.replace_still_owing(was, &self.now, debt),
            (true, Some(was), None) => draft.replace(was, &self.now, new_debt),
            (true, None, _) => draft.insert(&self.now, new_debt),
        }
    }
}

/// One commit of one mailbox.
pub(crate) struct Desk {
    mailbox: MailboxId,
    head: Kept<MailboxHead>,
    rows: Vec<Kept<FolderRow>>,
    /// The instant of all of it.
    pub(crate) at: Instant,
    /// What else is in the commit.
    pub(crate) draft: Draft,
}

impl Desk {
    /// The mailbox as it is.
    pub(crate) async fn open(rim: &Rim, mailbox: &MailboxId) -> Result<Self, StageError> {
        let head = Kept::new(rim.read(&MailboxHead::key_of(mailbox)).await?, || MailboxHead::new(mailbox));
        Ok(Self { mailbox: mailbox.clone(), head, rows: Vec::new(), at: rim.now(), draft: rim.draft() })
    }

    /// The mailbox's id.
    pub(crate) const fn mailbox(&self) -> &MailboxId {
        &self.mailbox
    }

    /// What the whole mailbox is.
    pub(crate) const fn head(&self) -> &MailboxHead {
        &self.head.now
    }

    /// The same, to be changed.
    pub(crate) fn head_mut(&mut self) -> &mut MailboxHead {
        self.head.change()
    }

    /// A folder as it is.
    pub(super) async fn folder(&mut self, rim: &Rim, id: &str) -> Result<&FolderState, MailboxError> {
        self.load(rim, id).await?;
        let row = self.rows.iter().map(|kept| &kept.now.state).find(|state| state.id == id);
        Ok(row.or_else(|| self.head.now.folder(id)).ok_or(Refusal::NoFolder)?)
    }

    /// A folder, to be changed.
    pub(super) async fn folder_mut(&mut self, rim: &Rim, id: &str) -> Result<&mut FolderState, MailboxError> {
        self.load(rim, id).await?;
        Ok(match self.rows.iter_mut().find(|kept| kept.now.state.id == id) {
            Some(kept) => &mut kept.change().state,
            None => self.head.change().folder_mut(id).ok_or(Refusal::NoFolder)?,
        })
    }

    /// Reads the row of a folder that is not in the head.
    async fn load(&mut self, rim: &Rim, id: &str) -> Result<(), MailboxError> {
        let known = self.head.now.folder(id).is_some() || self.rows.iter().any(|k| k.now.state.id == id);
        if !known {
            let found = rim.read::<FolderRow>(&FolderRow::key_of(&self.mailbox, id)).await?;
            self.rows.push(kept_folder(&self.mailbox, id, found)?);
        }
        Ok(())
    }

    /// A folder that is new.
    pub(super) fn add_folder(&mut self, id: &str, made: u32) {
        let state = FolderState::new(id, uidvalidity(&self.mailbox, made));
        let now = FolderRow { mailbox: self.mailbox.clone(), state, dropped: false };
        self.rows.push(Kept { now, was: None, debt: None, changed: true });
    }

    /// INBOX under another name has a row of its own, and a new one takes its place.
    pub(super) fn replace_inbox(&mut self, id: &str, made: u32) {
        let inbox = FolderState::new(id, uidvalidity(&self.mailbox, made));
        let state = std::mem::replace(&mut self.head_mut().inbox, inbox);
        let now = FolderRow { mailbox: self.mailbox.clone(), state, dropped: false };
        self.rows.push(Kept { now, was: None, debt: None, changed: true });
    }

    /// A folder that is deleted: its row owes from now on that its messages go.
    pub(super) async fn drop_folder(&mut self, rim: &Rim, id: &str) -> Result<(), MailboxError> {
        self.load(rim, id).await?;
        let Some(kept) = self.rows.iter_mut().find(|kept| kept.now.state.id == id) else {
            return Err(Refusal::Fixed.into());
        };
        kept.change().dropped = true;
        kept.debt = None;
        let (bytes, exists) = (kept.now.state.bytes, u64::from(kept.now.state.exists));
        let head = self.head_mut();
        head.bytes = head.bytes.saturating_sub(bytes);
        head.count = head.count.saturating_sub(exists);
        Ok(())
    }

    /// A folder was packed: whether its row owes more is looked at anew.
    pub(super) fn packed(&mut self, id: &str) {
        match self.rows.iter_mut().find(|kept| kept.now.state.id == id) {
            Some(kept) => kept.debt = None,
            None => self.head.debt = None,
        }
    }

    /// One commit, and who waits is told.
    pub(crate) async fn commit(self, rim: &Rim) -> Result<(), StageError> {
        let changed = self.head.changed || self.rows.iter().any(|kept| kept.changed);
        let mailbox = self.mailbox.clone();
        self.commit_unseen(rim).await?;
        if changed {
            rim.bells.ring(&mailbox);
        }
        Ok(())
    }

    /// One commit of what nobody sees.
    pub(super) async fn commit_unseen(self, rim: &Rim) -> Result<(), StageError> {
        let Self { head, rows, at, mut draft, .. } = self;
        let packing = |key| Debt::now(Job::Pack { row: key }, at);
        let due = head.now.inbox.wants_packing() || head.now.receipts.wants_packing();
        let debt = due.then(|| packing(head.now.key()));
        head.write(&mut draft, debt)?;
        for kept in rows {
            let key = kept.now.key();
            let debt = match (kept.now.dropped, kept.now.state.wants_packing()) {
                (true, _) => Some(Debt::now(Job::Discard { row: key }, at)),
                (false, true) => Some(packing(key)),
                (false, false) => None,
            };
            kept.write(&mut draft, debt)?;
        }
        rim.commit(draft).await
    }
}

/// The row of a folder. The folders that every mailbox begins with have none before something happens in them.
fn kept_folder(
    mailbox: &MailboxId,
    id: &str,
    found: Option<Found<FolderRow>>,
) -> Result<Kept<FolderRow>, Refusal> {
    match found {
        Some(found) if found.value.dropped => Err(Refusal::NoFolder),
        None if !is_first(id) => Err(Refusal::NoFolder),
        found => Ok(Kept::new(found, || FolderRow {
            mailbox: mailbox.clone(),
            state: FolderState::new(id, uidvalidity(mailbox, 0)),
            dropped: false,
        })),
    }
}

/// A folder as it is, and nothing else.
pub(super) async fn state_of(rim: &Rim, mailbox: &MailboxId, id: &str) -> Result<FolderState, MailboxError> {
    let mut desk = Desk::open(rim, mailbox).await?;
    Ok(desk.folder(rim, id).await?.clone())
}
