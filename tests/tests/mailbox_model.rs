//! Random work in a mailbox against a model of it that is as simple as can be: folders are lists of messages. Two
//! sessions tell their clients what changed, a third one is away and comes back (QRESYNC), folders are packed and
//! history is cut in between; at any time every client knows what is there.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests: a panic is how they fail")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sigillo_tests::{
    sessions::{ROOM, be_busy, id, look, look_closely, mailbox, new_message},
    world::{ALFA, World, exec},
};
use stages::{
    Rim,
    ids::sha256_hex,
    mailbox::{self, How, MailboxError, Refusal, UidSet, View},
};

const FLAGS: [&str; 4] = ["\\Seen", "\\Deleted", "$Inoltrato", "Lavoro"];
const NAMES: [&str; 6] = ["INBOX", "Sent", "Trash", "Pratiche", "Pratiche/2026", "Altre"];
/// A message of an arrival, whose octets tell it from all others.
const TEXTS: [&str; 3] = ["uno", "due", "tre"];

/// A message of the model: names of flags, digest of its octets.
type Message = (BTreeSet<String>, String);

#[derive(Clone, Debug)]
struct Folder {
    /// Which one it is, whatever its name.
    id: String,
    uidnext: u32,
    messages: BTreeMap<u32, Message>,
}

/// A mailbox of the model.
#[derive(Clone, Debug)]
struct Model(BTreeMap<String, Folder>);

/// What a client knows of its folder.
struct Client {
    view: View,
    known: BTreeMap<u32, BTreeSet<String>>,
}

/// A client that is away: what it knew, up to which MODSEQ.
struct Away {
    folder: String,
    modseq: u64,
    known: BTreeMap<u32, BTreeSet<String>>,
}

#[derive(Clone, Debug)]
enum Act {
    Select(usize, usize),
    Append(usize, usize, u8),
    Store(usize, u8, u8, usize),
    Expunge(usize, bool, u8),
    Remove(usize, u8),
    Move(usize, u8, usize),
    Copy(usize, u8, usize),
    Refresh(usize),
    Create(usize),
    Delete(usize),
    Rename(usize, usize),
    Leave(usize),
    Return,
    /// So many changes that the folder is packed; or so many that its history is cut.
    Busy(usize, bool),
    Jobs,
}

fn act() -> impl Strategy<Value = Act> {
    let (who, name) = (0..2_usize, 0..NAMES.len());
    prop_oneof![
        3 => (who.clone(), name.clone()).prop_map(|(w, n)| Act::Select(w, n)),
        4 => (name.clone(), 0..TEXTS.len(), any::<u8>()).prop_map(|(n, t, f)| Act::Append(n, t, f)),
        5 => (who.clone(), any::<u8>(), any::<u8>(), 0..3_usize).prop_map(|(w, u, f, h)| Act::Store(w, u, f, h)),
        2 => (who.clone(), any::<bool>(), any::<u8>()).prop_map(|(w, a, u)| Act::Expunge(w, a, u)),
        1 => (who.clone(), any::<u8>()).prop_map(|(w, u)| Act::Remove(w, u)),
        2 => (who.clone(), any::<u8>(), name.clone()).prop_map(|(w, u, n)| Act::Move(w, u, n)),
        2 => (who.clone(), any::<u8>(), name.clone()).prop_map(|(w, u, n)| Act::Copy(w, u, n)),
        3 => who.clone().prop_map(Act::Refresh),
        1 => name.clone().prop_map(Act::Create),
        1 => name.clone().prop_map(Act::Delete),
        1 => (name.clone(), name.clone()).prop_map(|(a, b)| Act::Rename(a, b)),
        1 => who.prop_map(Act::Leave),
        2 => Just(Act::Return),
        1 => (name, prop::bool::weighted(0.2)).prop_map(|(n, very)| Act::Busy(n, very)),
        2 => Just(Act::Jobs),
    ]
}

/// The UIDs that a mask picks, of the first eight and every eighth after them.
fn picked(view: &View, mask: u8) -> UidSet {
    let picks = |n: &usize| mask >> (n % 8) & 1 == 1;
    view.entries().iter().enumerate().filter(|(n, _)| picks(n)).map(|(_, e)| e.uid).collect()
}

fn names(mask: u8) -> Vec<&'static str> {
    FLAGS.iter().enumerate().filter(|(n, _)| mask >> n & 1 == 1).map(|(_, f)| *f).collect()
}

fn flags(view: &View, uid: u32) -> BTreeSet<String> {
    let flags = view.entry(uid).expect("in the view").flags;
    view.keywords().names(flags).into_iter().map(str::to_owned).collect()
}

impl Client {
    async fn open(rim: &Rim, folder: &str) -> Result<Self, MailboxError> {
        let view = View::open(rim, &mailbox(), folder).await?;
        let known = view.entries().iter().map(|e| (e.uid, flags(&view, e.uid))).collect();
        Ok(Self { view, known })
    }

    /// Hears what others did, and what the session itself did to `own`.
    fn hear(&mut self, own: &UidSet) {
        let changes = self.view.take_changes();
        for uid in changes.vanished.iter() {
            assert!(self.known.remove(&uid).is_some(), "{uid} vanishes, and was never there");
        }
        for uid in changes.arrived.iter() {
            assert!(self.known.insert(uid, flags(&self.view, uid)).is_none(), "{uid} arrives twice");
        }
        for uid in changes.flags.iter().chain(own.iter()) {
            self.known.insert(uid, flags(&self.view, uid)).expect("was there");
        }
    }
}

struct Run {
    world: World,
    rim: Rim,
    model: Model,
    clients: [Option<Client>; 2],
    away: Option<Away>,
}

impl Run {
    async fn begin() -> Self {
        let world = World::of(&ALFA);
        let rim = world.rim();
        let folders = mailbox::folders(&rim, &mailbox()).await.unwrap().into_iter();
        let model = folders.map(|f| (f.name, Folder { id: f.id, uidnext: 1, messages: BTreeMap::new() }));
        Self { model: Model(model.collect()), rim, world, clients: [None, None], away: None }
    }

    fn of(&mut self, id: &str) -> Option<&mut Folder> {
        self.model.0.values_mut().find(|f| f.id == id)
    }

    async fn act(&mut self, act: &Act) {
        let rim = self.rim.clone();
        match *act {
            Act::Select(who, name) => {
                let Some(folder) = self.model.0.get(NAMES[name]) else { return };
                self.clients[who] = Some(Client::open(&rim, &folder.id).await.unwrap());
            }
            Act::Append(name, text, mask) => self.append(NAMES[name], TEXTS[text], &names(mask)).await,
            Act::Create(name) => self.create(NAMES[name]).await,
            Act::Delete(name) => self.delete(NAMES[name]).await,
            Act::Rename(from, to) => self.rename(NAMES[from], NAMES[to]).await,
            Act::Leave(who) => {
                let Some(client) = &self.clients[who] else { return };
                let (state, known) = (client.view.state(), client.known.clone());
                self.away = Some(Away { folder: state.id.clone(), modseq: state.highestmodseq, known });
            }
            Act::Return => self.come_back().await,
            Act::Busy(name, very) => {
                let Some(folder) = self.model.0.get(NAMES[name]) else { return };
                if !folder.messages.is_empty() {
                    be_busy(&rim, &mailbox(), NAMES[name], if very { 2400 } else { 260 }).await;
                    self.flag_first(NAMES[name]).await;
                }
            }
            Act::Jobs => self.world.run_until_idle(),
            Act::Store(who, ..)
            | Act::Expunge(who, ..)
            | Act::Remove(who, ..)
            | Act::Move(who, ..)
            | Act::Copy(who, ..)
            | Act::Refresh(who) => self.in_folder(who, act).await,
        }
    }

    /// What a session does in the folder that it has selected; if the folder is gone, so is the session.
    async fn in_folder(&mut self, who: usize, act: &Act) {
        let Some(mut client) = self.clients[who].take() else { return };
        let (rim, id) = (self.rim.clone(), client.view.state().id.clone());
        if self.of(&id).is_none() {
            let refused = client.view.refresh(&rim).await;
            assert!(matches!(refused, Err(MailboxError::Refused(Refusal::NoFolder))), "{refused:?}");
            return;
        }
        let result = match *act {
            Act::Store(_, mask, named, how) => self.store(&mut client, mask, named, how).await,
            Act::Expunge(_, all, mask) => {
                let within = (!all).then(|| picked(&client.view, mask));
                let gone = mailbox::expunge(&rim, &mut client.view, within.as_ref()).await;
                gone.map(|gone| {
                    self.went(&mut client, &gone, |m, uid| {
                        m.0.contains("\\Deleted") && within.as_ref().is_none_or(|w| w.contains(uid))
                    })
                })
            }
            Act::Remove(_, mask) => {
                let uids = picked(&client.view, mask);
                let gone = mailbox::remove(&rim, &mut client.view, &uids).await;
                gone.map(|gone| self.went(&mut client, &gone, |_, uid| uids.contains(uid)))
            }
            Act::Move(_, mask, to) => self.transfer(&mut client, mask, NAMES[to], true).await,
            Act::Copy(_, mask, to) => self.transfer(&mut client, mask, NAMES[to], false).await,
            _ => client.view.refresh(&rim).await,
        };
        result.unwrap_or_else(|error| panic!("{act:?}: {error}"));
        client.view.refresh(&rim).await.unwrap();
        client.hear(&UidSet::new());
        let model = self.of(&id).expect("it is there");
        let there: BTreeMap<u32, BTreeSet<String>> =
            model.messages.iter().map(|(uid, m)| (*uid, m.0.clone())).collect();
        assert_eq!(client.known, there, "after {act:?}");
        assert_eq!(client.view.state().uidnext, model.uidnext);
        self.clients[who] = Some(client);
    }

    async fn store(
        &mut self,
        client: &mut Client,
        mask: u8,
        named: u8,
        how: usize,
    ) -> Result<(), MailboxError> {
        let (uids, named) = (picked(&client.view, mask), names(named));
        let how = [How::Add, How::Remove, How::Replace][how];
        let stored = mailbox::store(&self.rim, &mut client.view, &uids, how, &named, None).await?;
        let folder = self.of(&client.view.state().id).expect("it is there");
        for (uid, (flags, _)) in folder.messages.iter_mut().filter(|(uid, _)| uids.contains(**uid)) {
            assert!(stored.done.contains(*uid));
            let named = named.iter().map(|&n| n.to_owned());
            match how {
                How::Replace => *flags = named.collect(),
                How::Add => flags.extend(named),
                How::Remove => named.for_each(|n| _ = flags.remove(&n)),
            }
        }
        assert!(stored.missing.iter().all(|uid| !folder.messages.contains_key(&uid)));
        assert!(stored.modified.is_empty());
        client.hear(&stored.done);
        Ok(())
    }

    /// Messages are gone, for the model and for the client: those that should be, and no others.
    fn went(&mut self, client: &mut Client, gone: &UidSet, should: impl Fn(&Message, u32) -> bool) {
        let folder = self.of(&client.view.state().id).expect("it is there");
        let expected: UidSet =
            folder.messages.iter().filter(|(uid, m)| should(m, **uid)).map(|(uid, _)| *uid).collect();
        assert_eq!(*gone, expected);
        folder.messages.retain(|uid, _| !gone.contains(*uid));
        // What others changed comes first.
        client.hear(&UidSet::new());
        client.known.retain(|uid, _| !gone.contains(*uid));
    }

    async fn transfer(
        &mut self,
        client: &mut Client,
        mask: u8,
        to: &str,
        moves: bool,
    ) -> Result<(), MailboxError> {
        let rim = self.rim.clone();
        let uids = picked(&client.view, mask);
        let Some(target) = self.model.0.get(to).map(|f| f.id.clone()) else { return Ok(()) };
        let copied = match moves {
            true => mailbox::move_to(&rim, &mut client.view, &uids, &target).await?,
            false => mailbox::copy(&rim, &mut client.view, &uids, &target, ROOM).await?,
        };
        let id = client.view.state().id.clone();
        let source = self.of(&id).expect("it is there");
        let there: Vec<(u32, Message)> = source
            .messages
            .iter()
            .filter(|(uid, _)| uids.contains(**uid))
            .map(|(u, m)| (*u, m.clone()))
            .collect();
        assert!(copied.uids.iter().map(|(old, _)| old).eq(there.iter().map(|(uid, _)| uid)));
        if moves {
            source.messages.retain(|uid, _| !uids.contains(*uid));
        }
        let target = self.of(&target).expect("it is there");
        for ((_, new), (_, message)) in copied.uids.iter().zip(there) {
            assert_eq!(*new, target.uidnext);
            target.messages.insert(*new, message);
            target.uidnext += 1;
        }
        if moves {
            client.hear(&UidSet::new());
            client.known.retain(|uid, _| !uids.contains(*uid));
        }
        Ok(())
    }

    async fn append(&mut self, name: &str, text: &str, flags: &[&str]) {
        let Some(folder) = self.model.0.get_mut(name) else { return };
        let message = new_message(text, flags);
        let digest = sha256_hex(&message.octets.to_bytes());
        let appended = mailbox::append(&self.rim, &mailbox(), &folder.id, message, ROOM).await.unwrap();
        assert_eq!(appended.uid, folder.uidnext);
        let flags = flags.iter().map(|&f| f.to_owned()).collect();
        folder.messages.insert(folder.uidnext, (flags, digest));
        folder.uidnext += 1;
    }

    async fn create(&mut self, name: &str) {
        let created = mailbox::create(&self.rim, &mailbox(), name, None).await;
        assert_eq!(created.is_ok(), !self.model.0.contains_key(name), "CREATE {name}");
        self.learn_new().await;
    }

    /// Folders that were made, also above the one that was asked for.
    async fn learn_new(&mut self) {
        for folder in mailbox::folders(&self.rim, &mailbox()).await.unwrap() {
            let empty = Folder { id: folder.id.clone(), uidnext: 1, messages: BTreeMap::new() };
            assert_eq!(self.model.0.entry(folder.name).or_insert(empty).id, folder.id);
        }
    }

    async fn delete(&mut self, name: &str) {
        let below = format!("{name}/");
        let may = self.model.0.contains_key(name) && name != "INBOX";
        let may = may && !self.model.0.keys().any(|n| n.starts_with(&below));
        assert_eq!(mailbox::delete(&self.rim, &mailbox(), name).await.is_ok(), may, "DELETE {name}");
        if may {
            self.model.0.remove(name);
        }
    }

    async fn rename(&mut self, from: &str, to: &str) {
        let (below, is_inbox) = (format!("{from}/"), from == "INBOX");
        let may =
            self.model.0.contains_key(from) && !self.model.0.contains_key(to) && !to.starts_with(&below);
        assert_eq!(mailbox::rename(&self.rim, &mailbox(), from, to).await.is_ok(), may, "RENAME {from} {to}");
        if !may {
            return;
        }
        let renamed: Vec<String> = self
            .model
            .0
            .keys()
            .filter(|n| *n == from || (!is_inbox && n.starts_with(&below)))
            .cloned()
            .collect();
        for name in renamed {
            let folder = self.model.0.remove(&name).unwrap();
            self.model.0.insert(format!("{to}{}", &name[from.len()..]), folder);
        }
        self.learn_new().await;
    }

    /// After being busy: the flag of the first message is looked up, which the model does not know.
    async fn flag_first(&mut self, name: &str) {
        let folder = id(&self.rim, &mailbox(), name).await;
        let view = View::open(&self.rim, &mailbox(), &folder).await.unwrap();
        let model = self.of(&folder).unwrap();
        let (uid, message) = model.messages.first_key_value().unwrap();
        let now = flags(&view, *uid);
        let unflagged = |flags: &BTreeSet<String>| {
            flags.iter().filter(|f| *f != "\\Flagged").cloned().collect::<Vec<_>>()
        };
        assert_eq!(unflagged(&now), unflagged(&message.0));
        let uid = *uid;
        model.messages.get_mut(&uid).unwrap().0 = now;
    }

    /// RFC 7162 §3.2.5: the client says what it knows, and is told the difference.
    async fn come_back(&mut self) {
        let Some(away) = self.away.take() else { return };
        let view = match View::open(&self.rim, &mailbox(), &away.folder).await {
            Ok(view) => view,
            Err(error) => {
                assert!(matches!(error, MailboxError::Refused(Refusal::NoFolder)), "{error}");
                return assert!(self.of(&away.folder).is_none());
            }
        };
        let mut known = away.known;
        for uid in view.vanished_since(&self.rim, away.modseq).await.unwrap().iter() {
            known.remove(&uid);
        }
        for entry in view.changed_since(away.modseq) {
            known.insert(entry.uid, flags(&view, entry.uid));
        }
        let model = self.of(&away.folder).expect("it is there");
        let there: BTreeMap<_, _> = model.messages.iter().map(|(uid, m)| (*uid, m.0.clone())).collect();
        assert_eq!(known, there, "since {}", away.modseq);
    }

    /// A fresh look shows what the model has; and once nothing is owed, nothing else is stored.
    async fn check(&self) {
        let shown = look(&self.rim, &mailbox()).await;
        let expected: BTreeMap<String, Vec<_>> = self
            .model
            .0
            .iter()
            .map(|(name, f)| {
                (name.clone(), f.messages.iter().map(|(u, m)| (*u, m.0.clone(), m.1.clone())).collect())
            })
            .collect();
        assert_eq!(shown, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_mailbox_is_what_its_model_is(acts in prop::collection::vec(act(), 1..80)) {
        let run = exec::run(async {
            let mut run = Run::begin().await;
            for act in &acts {
                run.act(act).await;
            }
            run.come_back().await;
            run.check().await;
            run
        }).expect("no waiting");
        run.world.heal();
        let _ = look_closely(&run.world, &mailbox());
    }
}
