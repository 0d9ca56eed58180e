//! Folders: their names, their counters, and what makes, renames and deletes them.

use std::collections::HashMap;

use super::{
    FolderState, MailboxError, RACES_MAX, Refusal, SpecialUse,
    desk::{Desk, state_of},
    rows::{FolderRow, MailboxHead, partition, uidvalidity},
    tree::{Named, Tree, is_first},
};
use crate::{
    Rim, StageError,
    ids::MailboxId,
    ports::Table,
    rim::{Draft, Found},
};

/// A folder with its counters: what STATUS says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Immutable.
    pub id: String,
    /// What clients see.
    pub name: String,
    /// What it is for.
    pub special_use: Option<SpecialUse>,
    /// Whether its name is subscribed to.
    pub subscribed: bool,
    /// Its counters.
    pub state: FolderState,
}

/// The names of a mailbox: one read. What LIST needs.
///
/// # Errors
/// [`StageError::Facts`]
pub async fn tree(rim: &Rim, mailbox: &MailboxId) -> Result<Tree, StageError> {
    let found = rim.read::<Tree>(&Tree::key_of(mailbox)).await?;
    Ok(found.map_or_else(|| Tree::new(mailbox), |f| f.value))
}

/// The folders of a mailbox with their counters, INBOX first. A mailbox that nothing happened in has its first
/// folders too.
///
/// # Errors
/// [`StageError::Facts`]
pub async fn folders(rim: &Rim, mailbox: &MailboxId) -> Result<Vec<Folder>, StageError> {
    // A folder that is made or deleted meanwhile is in one of the two reads only: it is left out.
    let tree = tree(rim, mailbox).await?;
    let head = rim.read::<MailboxHead>(&MailboxHead::key_of(mailbox)).await?;
    let head = head.map_or_else(|| MailboxHead::new(mailbox), |f| f.value);
    let rows: Vec<Found<FolderRow>> =
        rim.all(Table::Mailboxes, &partition(mailbox), FolderRow::PREFIX).await?;
    let mut states: HashMap<String, Option<FolderState>> = rows
        .into_iter()
        .map(|f| f.value)
        .map(|row| (row.state.id.clone(), (!row.dropped).then_some(row.state)))
        .collect();
    let with_state = |named: &Named| {
        let state = match head.folder(&named.id) {
            Some(state) => Some(state.clone()),
            None => states.remove(&named.id).unwrap_or_else(|| {
                is_first(&named.id).then(|| FolderState::new(&named.id, uidvalidity(mailbox, 0)))
            }),
        };
        state.map(|state| with_names(&tree, named, state))
    };
    Ok(tree.folders.iter().filter_map(with_state).collect())
}

/// One folder by its name, with its counters (STATUS).
///
/// # Errors
/// [`Refusal::NoFolder`]; [`MailboxError::Stage`].
pub async fn folder(rim: &Rim, mailbox: &MailboxId, name: &str) -> Result<Folder, MailboxError> {
    let tree = tree(rim, mailbox).await?;
    let named = tree.find(name).ok_or(Refusal::NoFolder)?;
    let state = state_of(rim, mailbox, &named.id).await?;
    Ok(with_names(&tree, named, state))
}

fn with_names(tree: &Tree, named: &Named, state: FolderState) -> Folder {
    Folder {
        id: named.id.clone(),
        name: named.name.clone(),
        special_use: named.special_use,
        subscribed: tree.subscriptions.contains(&named.name),
        state,
    }
}

/// Makes a folder, and those above it that are not there (RFC 9051 §6.3.4, RFC 6154 §3).
///
/// # Errors
/// [`Refusal::BadName`], [`Refusal::FolderExists`], [`Refusal::UseTaken`], [`Refusal::TooMany`];
/// [`MailboxError::Stage`].
pub async fn create(
    rim: &Rim,
    mailbox: &MailboxId,
    name: &str,
    special_use: Option<SpecialUse>,
) -> Result<(), MailboxError> {
    for _ in 0..RACES_MAX {
        let mut edit = Edit::begin(rim, mailbox).await?;
        let mut desk = Desk::open(rim, mailbox).await?;
        for (named, made) in edit.tree.create(name, special_use)? {
            desk.add_folder(&named.id, made);
        }
        if edit.commit(rim, desk).await? {
            return Ok(());
        }
    }
    Err(StageError::Raced.into())
}

/// Deletes a folder with all that is in it (RFC 9051 §6.3.5): at once for everybody, and its octets little by little.
///
/// # Errors
/// [`Refusal::NoFolder`], [`Refusal::Fixed`], [`Refusal::HasChildren`]; [`MailboxError::Stage`].
pub async fn delete(rim: &Rim, mailbox: &MailboxId, name: &str) -> Result<(), MailboxError> {
    for _ in 0..RACES_MAX {
        let mut edit = Edit::begin(rim, mailbox).await?;
        let mut desk = Desk::open(rim, mailbox).await?;
        let named = edit.tree.delete(name)?;
        match desk.drop_folder(rim, &named.id).await {
            Ok(()) => {}
            // Somebody else deleted it since its name was read.
            Err(MailboxError::Refused(Refusal::NoFolder)) => continue,
            Err(error) => return Err(error),
        }
        if edit.commit(rim, desk).await? {
            return Ok(());
        }
    }
    Err(StageError::Raced.into())
}

/// Gives a folder and what is below it another name (RFC 9051 §6.3.6). What is in INBOX goes to a new folder of that
/// name, and INBOX is empty. Subscriptions are names, and stay.
///
/// # Errors
/// [`Refusal::NoFolder`], [`Refusal::FolderExists`], [`Refusal::BadName`], [`Refusal::TooMany`];
/// [`MailboxError::Stage`].
pub async fn rename(rim: &Rim, mailbox: &MailboxId, from: &str, to: &str) -> Result<(), MailboxError> {
    for _ in 0..RACES_MAX {
        let mut edit = Edit::begin(rim, mailbox).await?;
        let mut desk = Desk::open(rim, mailbox).await?;
        let (above, inbox) = edit.tree.rename(from, to)?;
        for (named, made) in above {
            desk.add_folder(&named.id, made);
        }
        if let Some((inbox, made)) = inbox {
            desk.replace_inbox(&inbox.id, made);
        }
        if edit.commit(rim, desk).await? {
            return Ok(());
        }
    }
    Err(StageError::Raced.into())
}

/// Subscribes to a name, or not any more (RFC 9051 §6.3.7). A folder of the name need not be there.
///
/// # Errors
/// [`Refusal::BadName`], [`Refusal::TooMany`]; [`MailboxError::Stage`].
pub async fn subscribe(
    rim: &Rim,
    mailbox: &MailboxId,
    name: &str,
    subscribed: bool,
) -> Result<(), MailboxError> {
    for _ in 0..RACES_MAX {
        let mut edit = Edit::begin(rim, mailbox).await?;
        let desk = Desk::open(rim, mailbox).await?;
        edit.tree.subscribe(name, subscribed)?;
        if edit.commit(rim, desk).await? {
            return Ok(());
        }
    }
    Err(StageError::Raced.into())
}

/// The names being changed: whoever changes them replaces their one row, so nobody does at the same time.
struct Edit {
    tree: Tree,
    was: Option<u64>,
}

impl Edit {
    async fn begin(rim: &Rim, mailbox: &MailboxId) -> Result<Self, StageError> {
        Ok(match rim.read::<Tree>(&Tree::key_of(mailbox)).await? {
            Some(Found { value, version, .. }) => Self { tree: value, was: Some(version) },
            None => Self { tree: Tree::new(mailbox), was: None },
        })
    }

    /// One commit of names and folders; answers whether nobody was faster.
    async fn commit(self, rim: &Rim, mut desk: Desk) -> Result<bool, MailboxError> {
        let draft: &mut Draft = &mut desk.draft;
        match self.was {
            Some(was) => draft.replace(was, &self.tree, None)?,
            None => draft.insert(&self.tree, None)?,
        }
        match desk.commit(rim).await {
            Ok(()) => Ok(true),
            Err(StageError::Raced) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
