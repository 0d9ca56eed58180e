//! SELECT, EXAMINE, CLOSE, and what the client is told of changes (RFC 9051 §6.3.2, §7; RFC 7162 §3.2.5).

use stages::mailbox::{self, Entry, Flags, Keywords, MailboxError, Refusal, UidSet};

use super::{Accounts, Session, selected::Selected};
use crate::{
    command::{Resync, Select},
    fault::{Ended, Fault, NO_FOLDER, done, done_with},
    outlet::{Gone, Out, Outlet},
};

impl<A: Accounts> Session<A> {
    pub(super) async fn select<O: Outlet>(&mut self, select: Select, out: &mut Out<'_, O>) -> Ended {
        // 1. What was selected is not any more, whatever comes (RFC 9051 §6.3.2).
        if self.selected.take().is_some() {
            out.line("* OK [CLOSED] the mailbox before is closed").await?;
        }
        if select.qresync.is_some() && !self.enabled.qresync {
            return Err(Fault::Bad("QRESYNC is not enabled"));
        }
        self.enabled.condstore |= select.condstore;

        // 2. The folder, opened.
        let name = self.name(&select.mailbox)?;
        let (host, id) = (self.host.clone(), self.mailbox()?.id.clone());
        let tree = mailbox::tree(&host.rim, &id).await?;
        let folder = tree.find(&name).ok_or(NO_FOLDER)?;
        let (view, lease) = host.views.open(&host.rim, &id, &folder.id).await?;
        let selected = Selected::new(view, lease, select.read_only);

        // 3. What there is to know of it.
        self.describe(&selected, out).await?;
        if self.enabled.rev2 {
            let attributes = super::folders::attributes(&tree, folder, true);
            self.list_line("LIST", &attributes, &folder.name, out);
            out.line("").await?;
        }
        self.selected = Some(Box::new(selected));
        if let Some(resync) = &select.qresync {
            self.resync(resync, out).await?;
        }
        let code = if select.read_only { "READ-ONLY" } else { "READ-WRITE" };
        done_with(code.to_owned(), "selected")
    }

    async fn describe<O: Outlet>(&self, selected: &Selected, out: &mut Out<'_, O>) -> Result<(), Gone> {
        let state = selected.view.state();
        flag_lines(selected, out).await?;
        out.line(format!("* {} EXISTS", selected.exists())).await?;
        if !self.enabled.rev2 {
            out.line("* 0 RECENT").await?;
            let unseen = selected.numbered().find(|(_, e)| !e.flags.contains(Flags::SEEN));
            if let Some((sequence, _)) = unseen {
                out.line(format!("* OK [UNSEEN {sequence}] the first")).await?;
            }
        }
        out.line(format!("* OK [UIDVALIDITY {}] UIDs are valid", state.uidvalidity)).await?;
        out.line(format!("* OK [UIDNEXT {}] the next", state.uidnext)).await?;
        out.line(format!("* OK [HIGHESTMODSEQ {}] the highest", state.highestmodseq)).await
    }

    /// What happened since the client was here last (RFC 7162 §3.2.5.1).
    async fn resync<O: Outlet>(&mut self, resync: &Resync, out: &mut Out<'_, O>) -> Result<(), Fault> {
        let host = self.host.clone();
        let Some(selected) = self.selected.as_deref() else { return Ok(()) };
        if selected.view.state().uidvalidity != resync.uidvalidity {
            return Ok(());
        }
        let mut vanished = selected.view.vanished_since(&host.rim, resync.modseq).await?;
        let mut known = None;
        if let Some(set) = &resync.known {
            let crate::command::Set::Ranges(ranges) = set else {
                return Err(Fault::Bad("$ has no place here"));
            };
            let last = selected.view.state().uidnext;
            let bound = |bound: &Option<u32>| bound.unwrap_or(last);
            let set = UidSet::from_ranges(ranges.iter().map(|(a, b)| (bound(a), bound(b))));
            vanished = both(&vanished, &set);
            known = Some(set);
        }
        if !vanished.is_empty() {
            out.line(format!("* VANISHED (EARLIER) {vanished}")).await?;
        }
        for (sequence, entry) in selected.numbered() {
            let asked = known.as_ref().is_none_or(|known| known.contains(entry.uid));
            if entry.modseq > resync.modseq && asked {
                change_line(sequence, entry, selected.view.keywords(), true, out).await?;
            }
        }
        Ok(())
    }

    /// CLOSE removes what is `\Deleted`, and says nothing of it.
    pub(super) async fn close(&mut self) -> Ended {
        let host = self.host.clone();
        if let Some(mut selected) = self.selected.take()
            && !selected.read_only
        {
            mailbox::expunge(&host.rim, &mut selected.view, None).await?;
        }
        done("closed")
    }

    /// Looks at the selected mailbox again.
    pub(super) async fn refresh(&mut self) -> Result<(), Fault> {
        let host = self.host.clone();
        let Some(selected) = self.selected.as_deref_mut() else { return Ok(()) };
        match selected.lease.refresh(&host.rim, &mut selected.view).await {
            Err(MailboxError::Refused(Refusal::NoFolder)) => Err(Fault::Deleted),
            other => Ok(other?),
        }
    }

    /// Tells what is new in the selected mailbox; with `expunges` also what is gone.
    pub(super) async fn tell<O: Outlet>(&mut self, expunges: bool, out: &mut Out<'_, O>) -> Result<(), Gone> {
        let enabled = self.enabled;
        let Some(selected) = self.selected.as_deref_mut() else { return Ok(()) };
        let news = selected.news(expunges);
        selected.lease.offer(&selected.view);
        if selected.view.keywords().all().len() > selected.keywords {
            selected.keywords = selected.view.keywords().all().len();
            flag_lines(selected, out).await?;
        }
        if enabled.qresync && !news.expunged.is_empty() {
            let gone: UidSet = news.expunged.iter().map(|(_, uid)| *uid).collect();
            out.line(format!("* VANISHED {gone}")).await?;
        } else {
            for (sequence, _) in &news.expunged {
                out.line(format!("* {sequence} EXPUNGE")).await?;
            }
        }
        if let Some(exists) = news.exists {
            out.line(format!("* {exists} EXISTS")).await?;
            if !enabled.rev2 {
                out.line("* 0 RECENT").await?;
            }
        }
        for uid in news.changed {
            let Some(entry) = selected.entry(uid) else { continue };
            change_line(selected.sequence(uid), entry, selected.view.keywords(), enabled.condstore, out)
                .await?;
        }
        Ok(())
    }
}

/// `* 3 FETCH (UID 7 FLAGS (\Seen) MODSEQ (12))`
pub(super) async fn change_line<O: Outlet>(
    sequence: u32,
    entry: &Entry,
    keywords: &Keywords,
    modseq: bool,
    out: &mut Out<'_, O>,
) -> Result<(), Gone> {
    let flags = keywords.names(entry.flags).join(" ");
    let modseq = if modseq { format!(" MODSEQ ({})", entry.modseq) } else { String::new() };
    out.line(format!("* {sequence} FETCH (UID {} FLAGS ({flags}){modseq})", entry.uid)).await
}

async fn flag_lines<O: Outlet>(selected: &Selected, out: &mut Out<'_, O>) -> Result<(), Gone> {
    let keywords = selected.view.keywords();
    let system = Flags::SYSTEM.iter().map(|(name, _)| *name);
    let flags = system.chain(keywords.all().iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    out.line(format!("* FLAGS ({flags})")).await?;
    let permanent = match (selected.read_only, keywords.has_room()) {
        (true, _) => String::new(),
        (false, true) => format!("{flags} \\*"),
        (false, false) => flags,
    };
    out.line(format!("* OK [PERMANENTFLAGS ({permanent})] flags that are kept")).await
}

/// UIDs that are in both.
pub(super) fn both(a: &UidSet, b: &UidSet) -> UidSet {
    let (mut left, mut right) = (a.ranges(), b.ranges());
    let mut ranges = Vec::new();
    while let (Some(((a, b), after_left)), Some(((c, d), after_right))) =
        (left.split_first(), right.split_first())
    {
        let (first, last) = (*a.max(c), *b.min(d));
        if first <= last {
            ranges.push((first, last));
        }
        if b <= d {
            left = after_left;
        } else {
            right = after_right;
        }
    }
    UidSet::from_ranges(ranges)
}
