//! The names of folders: hierarchical with `/`, one row for all (RFC 9051 §5.1, §6.3).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    Refusal,
    rows::{INBOX, RECEIPTS, row},
};
use crate::{
    ids::MailboxId,
    ports::{RowKey, Table},
    rim::Body,
};

const DRAFTS: &str = "drafts";
const SENT: &str = "sent";
const TRASH: &str = "trash";

/// Whether a folder of this id is one of those that a mailbox begins with, and has no row before something happens in
/// it.
pub(super) fn is_first(id: &str) -> bool {
    [DRAFTS, SENT, TRASH].contains(&id)
}

/// What clients call INBOX.
const INBOX_NAME: &str = "INBOX";
/// Folders of a mailbox, at most.
const FOLDERS_MAX: usize = 1000;
/// Octets of a name, at most.
const NAME_BYTES_MAX: usize = 255;
/// Levels of a name, at most.
const DEPTH_MAX: usize = 20;
/// Octets of all names and subscriptions, at most: they are one row.
const BYTES_MAX: usize = 250_000;

/// What a folder is for (RFC 6154 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpecialUse {
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
}

impl SpecialUse {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Archive, Self::Drafts, Self::Junk, Self::Sent, Self::Trash];

    /// The attribute of LIST.
    #[must_use]
    pub const fn attribute(self) -> &'static str {
        match self {
            Self::Archive => "\\Archive",
            Self::Drafts => "\\Drafts",
            Self::Junk => "\\Junk",
            Self::Sent => "\\Sent",
            Self::Trash => "\\Trash",
        }
    }
}

/// A folder and its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Immutable.
    pub id: String,
    /// What clients see: UTF-8, levels divided by `/`.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub special_use: Option<SpecialUse>,
}

/// All names of a mailbox. Every level of a name is a folder of its own: there is no `\Noselect`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Its folders, INBOX first.
    pub folders: Vec<Named>,
    /// Names that are subscribed to; a folder of the name need not be there (RFC 9051 §6.3.7).
    pub subscriptions: BTreeSet<String>,
    /// How many folders were ever made.
    pub(super) made: u32,
}

impl Tree {
    /// The key of the names.
    #[must_use]
    pub fn key_of(mailbox: &MailboxId) -> RowKey {
        row(mailbox, "tree".to_owned())
    }

    /// What every mailbox begins with.
    #[must_use]
    pub fn new(mailbox: &MailboxId) -> Self {
        let folder = |id: &str, name: &str, special_use| Named {
            id: id.to_owned(),
            name: name.to_owned(),
            special_use,
        };
        let folders = vec![
            folder(INBOX, INBOX_NAME, None),
            folder(RECEIPTS, "Receipts", None),
            folder(DRAFTS, "Drafts", Some(SpecialUse::Drafts)),
            folder(SENT, "Sent", Some(SpecialUse::Sent)),
            folder(TRASH, "Trash", Some(SpecialUse::Trash)),
        ];
        let subscriptions = folders.iter().map(|f| f.name.clone()).collect();
        Self { mailbox: mailbox.clone(), folders, subscriptions, made: 0 }
    }

    /// The folder of a name; INBOX in any case.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Named> {
        let name = with_inbox(name.strip_suffix('/').unwrap_or(name));
        self.folders.iter().find(|f| f.name == name)
    }

    /// Whether a folder has others below it.
    #[must_use]
    pub fn has_children(&self, name: &str) -> bool {
        self.folders.iter().any(|f| is_below(&f.name, name))
    }

    /// Makes a folder, and those above it that are not there (RFC 9051 §6.3.4): answers all that are new, the asked
    /// one last.
    pub(super) fn create(
        &mut self,
        name: &str,
        special_use: Option<SpecialUse>,
    ) -> Result<Vec<(Named, u32)>, Refusal> {
        let name = canonical(name)?;
        if self.find(&name).is_some() {
            return Err(Refusal::FolderExists);
        }
        if special_use.is_some_and(|u| self.folders.iter().any(|f| f.special_use == Some(u))) {
            return Err(Refusal::UseTaken);
        }
        let mut new = self.create_above(&name)?;
        new.push(self.add(&name, special_use)?);
        Ok(new)
    }

    /// The folders above a name that are not there.
    fn create_above(&mut self, name: &str) -> Result<Vec<(Named, u32)>, Refusal> {
        let above: Vec<&str> = name.match_indices('/').map(|(at, _)| &name[..at]).collect();
        let mut new = Vec::new();
        for name in above {
            if self.find(name).is_none() {
                new.push(self.add(name, None)?);
            }
        }
        Ok(new)
    }

    /// One more folder, and which one ever it is.
    fn add(&mut self, name: &str, special_use: Option<SpecialUse>) -> Result<(Named, u32), Refusal> {
        let made = self.next()?;
        let named = Named { id: format!("f{made}"), name: name.to_owned(), special_use };
        self.folders.push(named.clone());
        self.check_size()?;
        Ok((named, made))
    }

    fn next(&mut self) -> Result<u32, Refusal> {
        self.made = self.made.checked_add(1).ok_or(Refusal::TooMany)?;
        Ok(self.made)
    }

    /// Takes a folder away. Its subscription stays (RFC 9051 §6.3.7).
    pub(super) fn delete(&mut self, name: &str) -> Result<Named, Refusal> {
        let found = self.find(name).ok_or(Refusal::NoFolder)?.clone();
        if found.name == INBOX_NAME || found.id == RECEIPTS {
            return Err(Refusal::Fixed);
        }
        if self.has_children(&found.name) {
            return Err(Refusal::HasChildren);
        }
        self.folders.retain(|f| f.id != found.id);
        Ok(found)
    }

    /// Gives a folder and those below it other names (RFC 9051 §6.3.6): answers what had to be made above it.
    /// Renaming INBOX gives its messages to a new name, and what is below INBOX stays; then the second one answered
    /// is the new INBOX.
    #[expect(clippy::type_complexity, reason = "two answers of one operation")]
    pub(super) fn rename(
        &mut self,
        from: &str,
        to: &str,
    ) -> Result<(Vec<(Named, u32)>, Option<(Named, u32)>), Refusal> {
        let to = canonical(to)?;
        let found = self.find(from).ok_or(Refusal::NoFolder)?.clone();
        if self.find(&to).is_some() {
            return Err(Refusal::FolderExists);
        }
        let is_inbox = found.name == INBOX_NAME;
        if !is_inbox && is_below(&to, &found.name) {
            return Err(Refusal::BadName);
        }
        let new = self.create_above(&to)?;
        if is_inbox {
            let made = self.next()?;
            let inbox = Named { id: format!("f{made}"), ..found.clone() };
            self.folders.iter_mut().filter(|f| f.id == found.id).for_each(|f| f.name.clone_from(&to));
            self.folders.insert(0, inbox.clone());
            self.check_size()?;
            return Ok((new, Some((inbox, made))));
        }
        for folder in &mut self.folders {
            if folder.name == found.name {
                folder.name.clone_from(&to);
            } else if is_below(&folder.name, &found.name) {
                folder.name = canonical(&format!("{to}{}", &folder.name[found.name.len()..]))?;
            }
        }
        self.check_size()?;
        Ok((new, None))
    }

    /// Subscribes to a name, or not any more. It need not be there.
    pub(super) fn subscribe(&mut self, name: &str, subscribed: bool) -> Result<(), Refusal> {
        let name = match self.find(name) {
            Some(found) => found.name.clone(),
            None if subscribed => canonical(name)?,
            None => with_inbox(name),
        };
        match subscribed {
            true => self.subscriptions.insert(name),
            false => self.subscriptions.remove(&name),
        };
        self.check_size()
    }

    fn check_size(&self) -> Result<(), Refusal> {
        // As they are in JSON.
        let weight = |name: &str| name.len() + name.matches(['"', '\\']).count();
        let named: usize = self.folders.iter().map(|f| weight(&f.name) + f.id.len() + 60).sum();
        let subscribed: usize = self.subscriptions.iter().map(|name| weight(name) + 3).sum();
        let fits = self.folders.len() <= FOLDERS_MAX && named + subscribed <= BYTES_MAX;
        if fits { Ok(()) } else { Err(Refusal::TooMany) }
    }
}
impl Body for Tree {
    const TABLE: Table = Table::Mailboxes;
    fn key(&self) -> RowKey {
        Self::key_of(&self.mailbox)
    }
}

fn is_below(name: &str, above: &str) -> bool {
    name.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
}

/// INBOX in any case is one name (RFC 9051 §5.1), also as the first level of another.
fn with_inbox(name: &str) -> String {
    let (first, rest) = name.find('/').map_or((name, ""), |at| name.split_at(at));
    if first.eq_ignore_ascii_case(INBOX_NAME) { format!("{INBOX_NAME}{rest}") } else { name.to_owned() }
}

/// A name that a folder can have. `/` at its end says that folders will be below it (RFC 9051 §6.3.4).
fn canonical(name: &str) -> Result<String, Refusal> {
    let name = name.strip_suffix('/').unwrap_or(name);
    let levels = || name.split('/');
    // `%` and `*` are wildcards, `#` begins other namespaces.
    let fits = name.len() <= NAME_BYTES_MAX
        && levels().count() <= DEPTH_MAX
        && levels().all(|level| !level.is_empty() && level.trim() == level)
        && !name.starts_with('#')
        && !name.contains(|c: char| c.is_control() || matches!(c, '%' | '*' | '\u{2028}' | '\u{2029}'));
    if fits { Ok(with_inbox(name)) } else { Err(Refusal::BadName) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        Tree::new(&MailboxId("m".to_owned()))
    }

    fn names(tree: &Tree) -> Vec<&str> {
        let mut names: Vec<&str> = tree.folders.iter().map(|f| f.name.as_str()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn levels_above_are_made_and_ids_are_never_used_again() {
        let mut tree = tree();
        let new = tree.create("Pratiche/2026/Comune", None).unwrap();
        assert_eq!(
            new.iter().map(|(n, _)| n.name.as_str()).collect::<Vec<_>>(),
            ["Pratiche", "Pratiche/2026", "Pratiche/2026/Comune"]
        );
        assert_eq!(tree.create("Pratiche/2026/", None), Err(Refusal::FolderExists));
        let gone = tree.delete("Pratiche/2026/Comune").unwrap();
        let again = tree.create("Pratiche/2026/Comune", None).unwrap();
        assert_ne!(again[0].0.id, gone.id);
        assert_eq!(tree.delete("Pratiche"), Err(Refusal::HasChildren));
        assert_eq!(tree.delete("Nulla"), Err(Refusal::NoFolder));
    }

    #[test]
    fn inbox_and_receipts_stay_and_receipts_may_have_another_name() {
        let mut tree = tree();
        assert_eq!(tree.delete("inbox"), Err(Refusal::Fixed));
        tree.rename("Receipts", "Ricevute").unwrap();
        assert_eq!(tree.delete("Ricevute"), Err(Refusal::Fixed));
        assert_eq!(tree.find("Ricevute").unwrap().id, RECEIPTS);
        assert_eq!(tree.create("InBox", None), Err(Refusal::FolderExists));
        tree.create("inbox/Sotto", None).unwrap();
        assert!(tree.find("INBOX/Sotto").is_some() && tree.find("Inbox/Sotto").is_some());
    }

    /// RFC 9051 §6.3.6: renaming INBOX moves what is in it, and leaves what is below it.
    #[test]
    fn renaming_inbox_leaves_an_empty_one_and_its_children() {
        let mut tree = tree();
        tree.create("INBOX/a", None).unwrap();
        let (_, inbox) = tree.rename("inbox", "Vecchia/2025").unwrap();
        assert_eq!(
            names(&tree),
            ["Drafts", "INBOX", "INBOX/a", "Receipts", "Sent", "Trash", "Vecchia", "Vecchia/2025"]
        );
        assert_eq!(tree.find("Vecchia/2025").unwrap().id, INBOX);
        assert_eq!(tree.find("INBOX").unwrap().id, inbox.unwrap().0.id);
        assert_eq!(tree.folders[0].name, "INBOX");
    }

    #[test]
    fn renaming_takes_what_is_below_along() {
        let mut tree = tree();
        for name in ["a/b/c", "ab"] {
            tree.create(name, None).unwrap();
        }
        assert_eq!(tree.rename("a", "a/x"), Err(Refusal::BadName));
        assert_eq!(tree.rename("a", "ab"), Err(Refusal::FolderExists));
        tree.rename("a", "z/y").unwrap();
        assert_eq!(
            names(&tree),
            ["Drafts", "INBOX", "Receipts", "Sent", "Trash", "ab", "z", "z/y", "z/y/b", "z/y/b/c"]
        );
        tree.rename("Sent", "Inviata").unwrap();
        assert_eq!(tree.find("Inviata").unwrap().special_use, Some(SpecialUse::Sent));
        assert_eq!(tree.create("Altra", Some(SpecialUse::Sent)), Err(Refusal::UseTaken));
    }

    /// RFC 9051 §6.3.7: a subscription outlives its folder.
    #[test]
    fn subscriptions_are_names() {
        let mut tree = tree();
        tree.create("a", None).unwrap();
        assert!(!tree.subscriptions.contains("a"));
        tree.subscribe("a", true).unwrap();
        tree.delete("a").unwrap();
        assert!(tree.subscriptions.contains("a"));
        tree.subscribe("inbox", false).unwrap();
        assert!(!tree.subscriptions.contains("INBOX"));
        tree.subscribe("a", false).unwrap();
        assert!(!tree.subscriptions.contains("a"));
    }

    #[test]
    fn names_are_bounded() {
        let mut tree = tree();
        let (long, deep) = ("x".repeat(256), "x/".repeat(21));
        for bad in ["", "/", "/a", "a//b", "a%", "*", "a\r\nb", "#news", " a", "a /b", &long, &deep] {
            assert_eq!(tree.create(bad, None), Err(Refusal::BadName), "{bad}");
        }
        tree.create(&format!("è{}", "\"".repeat(253)), None).unwrap();
        let mut made = 0;
        while tree.create(&format!("{made:0250}"), None).is_ok() {
            made += 1;
        }
        assert!((500..FOLDERS_MAX).contains(&made), "{made}");
        assert!(serde_json::to_string(&tree).unwrap().len() < 350_000);
        let mut small = self::tree();
        while small.create(&format!("f{}", small.folders.len()), None).is_ok() {}
        assert_eq!(small.folders.len(), FOLDERS_MAX + 1, "the one too many is only in this copy");
    }
}
