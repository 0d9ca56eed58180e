//! STORE, COPY, MOVE, EXPUNGE (RFC 9051 §6.4.3, §6.4.6-6.4.9; RFC 7162 §3.1.3; RFC 4315).

use std::sync::Arc;

use stages::mailbox::{self, Flags, UidSet};

use super::{Accounts, Session, select::change_line, selected::Selected};
use crate::{
    command::{By, How, Name, Set, Store},
    fault::{Ended, Fault, NO_TARGET, done, done_with},
    outlet::{Out, Outlet},
};

const READ_ONLY: Fault = Fault::No("READ-ONLY", "the mailbox was opened to be read only");

impl<A: Accounts> Session<A> {
    pub(super) async fn store<O: Outlet>(&mut self, store: Store, out: &mut Out<'_, O>) -> Ended {
        self.enabled.condstore |= store.unchanged_since.is_some();
        let (host, enabled) = (self.host.clone(), self.enabled);
        let selected = self.selected()?;
        if selected.read_only {
            return Err(READ_ONLY);
        }
        // 1. The change.
        let (uids, gone) = selected.resolve(&store.set, store.by)?;
        // RFC 3501 §2.3.2: clients may name it, nobody can set it; here no message has it.
        let is_kept = |flag: &&String| !flag.eq_ignore_ascii_case("\\Recent");
        let flags: Vec<&str> = store.flags.iter().filter(is_kept).map(String::as_str).collect();
        let how = match store.how {
            How::Add => mailbox::How::Add,
            How::Remove => mailbox::How::Remove,
            How::Replace => mailbox::How::Replace,
        };
        let view = &mut selected.view;
        let stored = mailbox::store(&host.rim, view, &uids, how, &flags, store.unchanged_since).await?;

        // 2. What the client hears of it: flags unless it knows them, MODSEQ in any case if it cares.
        let condstore = enabled.condstore;
        for uid in stored.done.iter() {
            let Some((was, now)) = selected.entry(uid).zip(selected.view.entry(uid)) else { continue };
            let expected = expected(selected, was.flags, store.how, &flags) == now.flags;
            let sequence = selected.sequence(uid);
            if !store.silent || !expected {
                change_line(sequence, now, selected.view.keywords(), condstore, out).await?;
            } else if condstore && was.modseq != now.modseq {
                out.line(format!("* {sequence} FETCH (UID {uid} MODSEQ ({}))", now.modseq)).await?;
            }
        }
        selected.knows(&stored.done);

        // 3. What was not done.
        if !stored.modified.is_empty() {
            let modified = match store.by {
                By::Uid => stored.modified,
                By::Sequence => stored.modified.iter().map(|uid| selected.sequence(uid)).collect(),
            };
            return done_with(format!("MODIFIED {modified}"), "some had changed");
        }
        if gone || !stored.missing.is_empty() {
            return Err(Fault::No("EXPUNGEISSUED", "some of the messages are not there any more"));
        }
        done("done")
    }

    pub(super) async fn copy<O: Outlet>(
        &mut self,
        by: By,
        set: &Set,
        to: &Name,
        moves: bool,
        out: &mut Out<'_, O>,
    ) -> Ended {
        let name = self.name(to)?;
        let (host, mailbox) = (self.host.clone(), self.mailbox()?);
        let (id, quota_bytes) = (mailbox.id.clone(), mailbox.quota_bytes);
        let selected = self.selected()?;
        if moves && selected.read_only {
            return Err(READ_ONLY);
        }
        let tree = mailbox::tree(&host.rim, &id).await?;
        let target = tree.find(&name).ok_or(NO_TARGET)?;
        let (uids, _) = selected.resolve(set, by)?;
        let view = &mut selected.view;
        let copied = match moves {
            true => mailbox::move_to(&host.rim, view, &uids, &target.id).await,
            false => mailbox::copy(&host.rim, view, &uids, &target.id, quota_bytes).await,
        };
        let copied = copied.map_err(|error| Fault::from(error).or_try_create())?;
        if copied.uids.is_empty() {
            return done("there was nothing to do");
        }
        let (before, after): (UidSet, UidSet) = (
            copied.uids.iter().map(|(before, _)| *before).collect(),
            copied.uids.iter().map(|(_, after)| *after).collect(),
        );
        let code = format!("COPYUID {} {before} {after}", copied.uidvalidity);
        if moves {
            // RFC 9051 §6.4.8: before the client hears that they are gone.
            out.line(format!("* OK [{code}] moved")).await?;
            return done("moved");
        }
        done_with(code, "copied")
    }

    pub(super) async fn expunge(&mut self, set: Option<Set>) -> Ended {
        let host = self.host.clone();
        let condstore = self.enabled.condstore;
        let selected = self.selected()?;
        if selected.read_only {
            return Err(READ_ONLY);
        }
        let within = match &set {
            Some(set) => Some(selected.resolve(set, By::Uid)?.0),
            None => None,
        };
        let gone = mailbox::expunge(&host.rim, &mut selected.view, within.as_ref()).await?;
        // RFC 7162 §3.2.7: what a client that resynchronises must know.
        if condstore && !gone.is_empty() {
            let code = format!("HIGHESTMODSEQ {}", selected.view.state().highestmodseq);
            return done_with(code, "done");
        }
        done("done")
    }
}

/// The flags that a message has after STORE, if nobody else changed them.
fn expected(selected: &Selected, was: Flags, how: How, names: &[&str]) -> Flags {
    let keywords = selected.view.keywords();
    let named = names.iter().filter_map(|name| keywords.find(name)).fold(Flags::NONE, Flags::with);
    match how {
        How::Add => was.with(named),
        How::Remove => was.without(named),
        How::Replace => named,
    }
}

impl Selected {
    /// The client knows how these messages are now.
    fn knows(&mut self, uids: &UidSet) {
        if uids.is_empty() || Arc::ptr_eq(&self.told, &self.view.shared_entries()) {
            return;
        }
        let told = Arc::make_mut(&mut self.told);
        for uid in uids.iter() {
            let Ok(at) = told.binary_search_by_key(&uid, |e| e.uid) else { continue };
            if let Some((told, now)) = told.get_mut(at).zip(self.view.entry(uid)) {
                *told = *now;
            }
        }
    }
}
