//! What sessions do in mailboxes, and what must hold of a mailbox whatever happened in it.

use std::collections::{BTreeMap, BTreeSet};

use mime::Rope;
use stages::{
    BlobKey, Job, Rim,
    ids::{MailboxId, sha256_hex},
    mailbox::{self, Flags, How, MailboxError, Message, NewMessage, Refusal, SpecialUse, UidSet, View},
    ports::Table,
};

use crate::world::{
    ALFA, World, exec,
    exec::Running,
    letters::{letter, message},
};

/// A quota that nothing here reaches.
pub const ROOM: u64 = 1 << 40;

/// Something that a session does: a name, and how.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// In a few words.
    pub name: &'static str,
    /// Opens what it needs, acts, and ends. A refusal is an answer like any other.
    pub acts: fn(Rim) -> Running<'static, Result<(), String>>,
}

/// A message as a session sees it: UID, names of flags, the digest of its octets.
pub type Seen = (u32, BTreeSet<String>, String);

/// All folders of a mailbox by name, as a fresh session sees them.
pub type Shown = BTreeMap<String, Vec<Seen>>;

/// The mailbox that sessions act on.
#[must_use]
pub fn mailbox() -> MailboxId {
    MailboxId("m-destinatario".to_owned())
}

/// The id of a folder.
///
/// # Panics
/// If there is none.
pub async fn id(rim: &Rim, of: &MailboxId, name: &str) -> String {
    mailbox::tree(rim, of).await.expect("whole").find(name).unwrap_or_else(|| panic!("no {name}")).id.clone()
}

/// A message with this text.
#[must_use]
pub fn new_message(text: &str, flags: &[&str]) -> NewMessage {
    let raw = message(&ALFA.user("mittente"), &[ALFA.user("destinatario")], &[], text);
    let flags = flags.iter().map(|&f| f.to_owned()).collect();
    NewMessage { octets: Rope::from(raw), flags, received_at: None, structure: None }
}

/// Reads a mailbox as sessions read it.
///
/// # Panics
/// If it says something else of itself than is in it: counters, quota, pages, rows, octets, leftovers of folders.
pub async fn look(rim: &Rim, of: &MailboxId) -> Shown {
    let (mut shown, mut blobs, mut bytes) = (Shown::new(), BTreeSet::new(), 0);
    let folders = mailbox::folders(rim, of).await.expect("whole");
    for folder in &folders {
        let what = format!("{} of {of}", folder.name);
        let view = View::open(rim, of, &folder.id).await.expect("whole");
        let state = view.state();
        assert_eq!(state, &folder.state, "{what}");
        let entries = view.entries();
        let count = |wanted: fn(Flags) -> bool| entries.iter().filter(|e| wanted(e.flags)).count() as u32;
        assert_eq!(state.exists, count(|_| true), "EXISTS of {what}");
        assert_eq!(state.unseen, count(|f| !f.contains(Flags::SEEN)), "UNSEEN of {what}");
        assert_eq!(state.deleted, count(|f| f.contains(Flags::DELETED)), "DELETED of {what}");
        assert_eq!(
            state.bytes,
            entries.iter().map(|e| u64::from(e.size_bytes)).sum::<u64>(),
            "SIZE of {what}"
        );
        assert!(entries.is_sorted_by(|a, b| a.uid < b.uid), "{what}");
        assert!(entries.iter().all(|e| e.uid < state.uidnext && e.modseq <= state.highestmodseq), "{what}");
        bytes += state.bytes;
        let messages = all(rim, of, &folder.id).await;
        assert!(messages.iter().map(|m| m.uid).eq(entries.iter().map(|e| e.uid)), "rows of {what}");
        let mut seen = Vec::new();
        for (message, entry) in messages.iter().zip(entries) {
            let octets = rim
                .blobs
                .get(&message.blob)
                .await
                .expect("whole")
                .unwrap_or_else(|| panic!("{} of {what}", entry.uid));
            assert_eq!(octets.len() as u64, message.summary.size_bytes, "{what}");
            assert_eq!(
                (entry.size_bytes as usize, entry.received_at),
                (octets.len(), message.received_at),
                "{what}"
            );
            assert!(blobs.insert(message.blob.clone()), "{} of {what} shares its octets", entry.uid);
            let flags = view.keywords().names(entry.flags).into_iter().map(str::to_owned).collect();
            seen.push((entry.uid, flags, sha256_hex(&octets)));
        }
        shown.insert(folder.name.clone(), seen);
    }
    let quota = mailbox::quota(rim, of).await.expect("whole");
    assert_eq!((quota.bytes, quota.messages), (bytes, blobs.len() as u64), "quota of {of}");
    shown
}

async fn all(rim: &Rim, of: &MailboxId, folder: &str) -> Vec<Message> {
    let mut all: Vec<Message> = Vec::new();
    loop {
        let after = all.last().map_or(0, |m| m.uid);
        let page = mailbox::list(rim, of, folder, after, 100).await.expect("whole");
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// What a mailbox has for itself once nothing is owed: nothing but what it shows.
///
/// # Panics
/// If something is left over.
pub async fn assert_nothing_is_left_over(rim: &Rim, of: &MailboxId) {
    let tree = mailbox::tree(rim, of).await.expect("whole");
    let mut named = BTreeSet::new();
    for folder in &tree.folders {
        let blobs = all(rim, of, &folder.id).await.into_iter().map(|m| m.blob);
        named.extend(blobs.filter(BlobKey::is_of_a_mailbox));
    }
    let mut stored = BTreeSet::new();
    let mut after: Option<BlobKey> = None;
    loop {
        let page = rim.blobs.list(&format!("mailboxes/{of}/"), after.as_ref(), 500).await.expect("whole");
        after = page.last().cloned();
        if page.is_empty() {
            break;
        }
        stored.extend(page);
    }
    assert_eq!(stored, named, "octets of {of}");
    let (pk, mut after) = (format!("mailbox#{of}"), None::<String>);
    loop {
        let page = rim.facts.query(Table::Mailboxes, &pk, "", after.as_deref(), 500).await.expect("whole");
        for stored in &page.rows {
            let sk = &stored.row.key.sk;
            let mut parts = sk.split('#');
            let kind = parts.next().unwrap_or_default();
            let is_known = |id: &str| tree.folders.iter().any(|f| f.id == id);
            // The row of a first folder stays when it is deleted.
            let first = ["drafts", "sent", "trash"];
            let wanted = match (kind, parts.next()) {
                ("head" | "tree" | "filed", _) => true,
                ("folder", Some(id)) => is_known(id) || first.contains(&id),
                ("msg" | "page" | "change" | "packing", Some(id)) => is_known(id),
                _ => false,
            };
            assert!(wanted, "{sk} of {of} is left over");
            assert_eq!(stored.row.debt, None, "{sk} of {of} owes something");
        }
        after = page.next;
        if after.is_none() {
            return;
        }
    }
}

/// [`look`] and [`assert_nothing_is_left_over`] in a world where nothing is owed.
///
/// # Panics
/// As those.
#[must_use]
pub fn look_closely(world: &World, of: &MailboxId) -> Shown {
    let rim = world.rim();
    exec::run(async {
        assert_nothing_is_left_over(&rim, of).await;
        look(&rim, of).await
    })
    .expect("no waiting")
}

// ------------------------------------------------------------------------- a mailbox, and what is done in it

/// A mailbox with a letter in INBOX; three more messages there, two of them with `\Deleted`; folders `Vecchia` and
/// `Vecchia/Sotto`, with two messages below; and another letter that is about to be delivered.
///
/// # Panics
/// If something fails.
#[must_use]
pub fn world() -> (World, Job) {
    let world = World::of(&ALFA);
    let send = || drop(world.submit(letter(&ALFA, &[ALFA.user("destinatario")], &[])).expect("taken"));
    send();
    world.heal();
    exec::run(fill(world.rim())).expect("no waiting");
    send();
    let is_ours = |job: &Job| matches!(job, Job::Deliver { mailbox, .. } if *mailbox == self::mailbox());
    loop {
        match world.next_work().expect("a delivery comes") {
            crate::world::Work::One(job) if is_ours(&job) => return (world, job),
            work => world.perform(&work),
        }
    }
}

async fn fill(rim: Rim) {
    let of = mailbox();
    mailbox::create(&rim, &of, "Vecchia/Sotto", None).await.expect("made");
    let messages = [
        ("INBOX", "due", &["\\Deleted"][..]),
        ("INBOX", "tre", &["\\Seen", "Lavoro"]),
        ("INBOX", "quattro", &["\\Deleted", "\\Flagged"]),
        ("Vecchia/Sotto", "uno", &["\\Seen"]),
        ("Vecchia/Sotto", "due", &[]),
    ];
    for (folder, text, flags) in messages {
        let folder = id(&rim, &of, folder).await;
        mailbox::append(&rim, &of, &folder, new_message(text, flags), ROOM).await.expect("appended");
    }
}

/// So many changes of one message that its folder owes packing.
///
/// # Panics
/// If something fails.
pub async fn be_busy(rim: &Rim, of: &MailboxId, folder: &str, changes: usize) {
    let mut view = View::open(rim, of, &id(rim, of, folder).await).await.expect("opened");
    let Some(uid) = view.entries().first().map(|e| e.uid) else { return };
    let was = view.entry(uid).expect("there").flags.contains(Flags::FLAGGED);
    for n in 0..changes {
        let how = if was == n.is_multiple_of(2) { How::Remove } else { How::Add };
        mailbox::store(rim, &mut view, &[uid].into_iter().collect(), how, &["\\Flagged"], None)
            .await
            .expect("stored");
    }
}

fn answered<T>(result: Result<T, MailboxError>) -> Result<(), String> {
    match result {
        Ok(_) | Err(MailboxError::Refused(_)) => Ok(()),
        Err(MailboxError::Stage(error)) => Err(match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        }),
    }
}

async fn view(rim: &Rim, name: &str) -> Result<View, MailboxError> {
    let tree = mailbox::tree(rim, &mailbox()).await?;
    let named = tree.find(name).ok_or(Refusal::NoFolder)?;
    View::open(rim, &mailbox(), &named.id).await
}

/// The messages that are there at the beginning. A session names messages by the UIDs that it knows, so that what
/// comes later is not meant.
fn everything() -> UidSet {
    UidSet::range(1, 4)
}

/// The same in the folder below another one.
fn everything_below() -> UidSet {
    UidSet::range(1, 2)
}

macro_rules! sessions {
    ($($(#[$doc:meta])* $name:ident = |$rim:ident| $acts:expr;)*) => {
        $(
            $(#[$doc])*
            pub const $name: Session = Session {
                name: stringify!($name),
                acts: |$rim| Box::pin(async move { answered(async { $acts }.await) }),
            };
        )*

        /// All of them.
        pub const ALL: &[Session] = &[$($name),*];
    };
}

sessions! {
    /// `STORE 1:4 +FLAGS (\Seen)` in INBOX.
    READ_ALL = |rim| mailbox::store(&rim, &mut view(&rim, "INBOX").await?, &everything(), How::Add, &["\\Seen"], None).await;
    /// `STORE 1:4 FLAGS (Lavoro Nuova)` in INBOX.
    LABEL_ALL = |rim| {
        mailbox::store(&rim, &mut view(&rim, "INBOX").await?, &everything(), How::Replace, &["Lavoro", "Nuova"], None).await
    };
    /// `STORE 1:4 -FLAGS (\Deleted)` in INBOX.
    UNDELETE_ALL = |rim| {
        mailbox::store(&rim, &mut view(&rim, "INBOX").await?, &everything(), How::Remove, &["\\Deleted"], None).await
    };
    /// `EXPUNGE` in INBOX.
    EXPUNGE = |rim| mailbox::expunge(&rim, &mut view(&rim, "INBOX").await?, None).await;
    /// POP3's `DELE 1`, then `QUIT`.
    REMOVE_FIRST = |rim| {
        mailbox::remove(&rim, &mut view(&rim, "INBOX").await?, &UidSet::range(1, 1)).await
    };
    /// `MOVE 1:4 Trash` from INBOX.
    MOVE_ALL = |rim| mailbox::move_to(&rim, &mut view(&rim, "INBOX").await?, &everything(), "trash").await;
    /// `MOVE 1:4 INBOX` from INBOX.
    MOVE_TO_ITSELF = |rim| {
        let mut view = view(&rim, "INBOX").await?;
        let to = view.state().id.clone();
        mailbox::move_to(&rim, &mut view, &everything(), &to).await
    };
    /// `MOVE 1:2 Receipts` from a folder below another one.
    MOVE_BACK = |rim| {
        mailbox::move_to(&rim, &mut view(&rim, "Vecchia/Sotto").await?, &everything_below(), mailbox::RECEIPTS).await
    };
    /// `COPY 1:4 Sent` from INBOX.
    COPY_ALL = |rim| mailbox::copy(&rim, &mut view(&rim, "INBOX").await?, &everything(), "sent", ROOM).await;
    /// `COPY 1:2 Vecchia/Sotto` from that folder.
    COPY_TO_ITSELF = |rim| {
        let mut view = view(&rim, "Vecchia/Sotto").await?;
        let to = view.state().id.clone();
        mailbox::copy(&rim, &mut view, &everything_below(), &to, ROOM).await
    };
    /// `APPEND INBOX (\Seen $Nuova)`.
    APPEND = |rim| {
        let to = view(&rim, "INBOX").await?.state().id.clone();
        mailbox::append(&rim, &mailbox(), &to, new_message("aggiunto", &["\\Seen", "$Nuova"]), ROOM).await
    };
    /// `CREATE Vecchia/Sotto/Archivio` with a special use.
    CREATE = |rim| mailbox::create(&rim, &mailbox(), "Vecchia/Sotto/Archivio", Some(SpecialUse::Archive)).await;
    /// `DELETE Vecchia/Sotto`.
    DELETE = |rim| mailbox::delete(&rim, &mailbox(), "Vecchia/Sotto").await;
    /// `DELETE Trash`.
    DELETE_TRASH = |rim| mailbox::delete(&rim, &mailbox(), "Trash").await;
    /// `RENAME INBOX Archivio/2026`.
    RENAME_INBOX = |rim| mailbox::rename(&rim, &mailbox(), "INBOX", "Archivio/2026").await;
    /// `RENAME Vecchia Nuova`.
    RENAME = |rim| mailbox::rename(&rim, &mailbox(), "Vecchia", "Nuova").await;
    /// `SUBSCRIBE Vecchia`.
    SUBSCRIBE = |rim| mailbox::subscribe(&rim, &mailbox(), "Vecchia", true).await;
}
