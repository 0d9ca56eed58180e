//! Mailboxes and their names (RFC 9051 §6.3.4-6.3.11; RFC 5258, RFC 5819, RFC 6154, RFC 9208).

use std::collections::BTreeSet;

use stages::mailbox::{self, Folder, Named, SpecialUse, Tree};

use super::{Accounts, Session};
use crate::{
    command::{List, Name, StatusItem},
    fault::{Ended, Fault, NO_FOLDER, done},
    limits::{NAME_BYTES_MAX, PATTERN_BYTES_MAX},
    outlet::{Gone, Out, Outlet},
    pattern::{DELIMITER, matches},
    utf7,
};

/// A line of LIST.
struct Listed {
    name: String,
    attributes: Vec<&'static str>,
    /// Something below it is subscribed (RFC 5258 §3.5).
    child_info: bool,
}

impl<A: Accounts> Session<A> {
    /// The name of a mailbox, as it is stored.
    pub(super) fn name(&self, name: &Name) -> Result<String, Fault> {
        let wrong = Fault::No("CANNOT", "this is no name for a mailbox");
        if name.0.len() > NAME_BYTES_MAX {
            return Err(wrong);
        }
        let Ok(text) = std::str::from_utf8(&name.0) else { return Err(wrong) };
        // Clients that send UTF-8 without having enabled it mean it.
        if self.enabled.utf8 || !text.is_ascii() {
            return Ok(text.to_owned());
        }
        utf7::decode(text).ok_or(wrong)
    }

    /// The name as the client reads it.
    fn shown(&self, name: &str) -> String {
        if self.enabled.utf8 { name.to_owned() } else { utf7::encode(name) }
    }

    pub(super) async fn create(&mut self, name: &Name, uses: &[String]) -> Ended {
        let (name, id) = (self.name(name)?, self.mailbox()?.id.clone());
        let special_use = match uses {
            [] => None,
            [only] => {
                let known = SpecialUse::ALL.into_iter().find(|u| u.attribute().eq_ignore_ascii_case(only));
                Some(known.ok_or(Fault::No("USEATTR", "this use is unknown"))?)
            }
            _ => return Err(Fault::No("USEATTR", "a mailbox has one use")),
        };
        mailbox::create(&self.host.rim, &id, &name, special_use).await?;
        done("created")
    }

    pub(super) async fn delete(&mut self, name: &Name) -> Ended {
        let (name, id) = (self.name(name)?, self.mailbox()?.id.clone());
        let deleted = mailbox::tree(&self.host.rim, &id).await?.find(&name).map(|folder| folder.id.clone());
        mailbox::delete(&self.host.rim, &id, &name).await?;
        // RFC 9051 §6.3.5 lets it go at once when it is our own.
        if self.selected.as_ref().is_some_and(|s| Some(&s.view.state().id) == deleted.as_ref()) {
            self.selected = None;
        }
        done("deleted")
    }

    pub(super) async fn rename(&mut self, from: &Name, to: &Name) -> Ended {
        let (from, to, id) = (self.name(from)?, self.name(to)?, self.mailbox()?.id.clone());
        mailbox::rename(&self.host.rim, &id, &from, &to).await?;
        done("renamed")
    }

    pub(super) async fn subscribe(&mut self, name: &Name, subscribed: bool) -> Ended {
        let (name, id) = (self.name(name)?, self.mailbox()?.id.clone());
        mailbox::subscribe(&self.host.rim, &id, &name, subscribed).await?;
        done(if subscribed { "subscribed" } else { "unsubscribed" })
    }

    pub(super) async fn list<O: Outlet>(&mut self, list: &List, out: &mut Out<'_, O>) -> Ended {
        let id = self.mailbox()?.id.clone();
        // RFC 9051 §6.3.9: the empty pattern asks for the delimiter.
        if !list.extended && list.patterns.iter().all(|pattern| pattern.0.is_empty()) {
            out.line(format!("* LIST (\\Noselect) \"{DELIMITER}\" \"\"")).await?;
            return done("done");
        }
        let patterns = self.patterns(&list.reference, &list.patterns)?;
        let tree = mailbox::tree(&self.host.rim, &id).await?;
        // RFC 5819 §2: the counters of all of them are one look, not one each.
        let counted = match list.return_status.is_empty() {
            true => Vec::new(),
            false => mailbox::folders(&self.host.rim, &id).await?,
        };
        for listed in found(&tree, list, &patterns) {
            self.list_line("LIST", &listed.attributes, &listed.name, out);
            if listed.child_info {
                out.writer.raw(" (\"CHILDINFO\" (\"SUBSCRIBED\"))");
            }
            out.line("").await?;
            if let Some(folder) = counted.iter().find(|folder| folder.name == listed.name) {
                self.status_line(folder, &list.return_status, out).await?;
            }
        }
        done("done")
    }

    pub(super) async fn lsub<O: Outlet>(
        &mut self,
        reference: &Name,
        pattern: &Name,
        out: &mut Out<'_, O>,
    ) -> Ended {
        let id = self.mailbox()?.id.clone();
        let patterns = self.patterns(reference, std::slice::from_ref(pattern))?;
        let tree = mailbox::tree(&self.host.rim, &id).await?;
        let is_match = |name: &str| patterns.iter().any(|pattern| matches(pattern, name));
        let mut names: BTreeSet<(String, bool)> = BTreeSet::new();
        for name in &tree.subscriptions {
            if is_match(name) {
                names.insert((name.clone(), false));
                continue;
            }
            // RFC 3501 §6.3.9: `%` shows what is above of something subscribed, as not selectable.
            let above = above(name).find(|above| is_match(above) && !tree.subscriptions.contains(*above));
            names.extend(above.map(|above| (above.to_owned(), true)));
        }
        for (name, above) in names {
            let attributes: &[&str] = if above { &["\\Noselect"] } else { &[] };
            self.list_line("LSUB", attributes, &name, out);
            out.line("").await?;
        }
        done("done")
    }

    /// `* LIST (attributes) "/" name`, without the line end.
    pub(super) fn list_line<O: Outlet>(
        &self,
        what: &str,
        attributes: &[&str],
        name: &str,
        out: &mut Out<'_, O>,
    ) {
        out.writer.raw(format!("* {what} ({}) \"{DELIMITER}\" ", attributes.join(" ")));
        out.writer.string(&self.shown(name));
    }

    fn patterns(&self, reference: &Name, patterns: &[Name]) -> Result<Vec<String>, Fault> {
        let octets: usize = patterns.iter().map(|pattern| pattern.0.len() + reference.0.len()).sum();
        if octets > PATTERN_BYTES_MAX {
            return Err(Fault::No("LIMIT", "these patterns are too long"));
        }
        let reference = self.name(reference)?;
        let whole = |pattern: &Name| {
            let pattern = format!("{reference}{}", self.name(pattern)?);
            // INBOX in any case (RFC 9051 §5.1).
            let inbox = pattern.get(..5).is_some_and(|head| head.eq_ignore_ascii_case("INBOX"));
            let rest = pattern.get(5..).unwrap_or_default();
            Ok(if inbox && (rest.is_empty() || rest.starts_with(['/', '*', '%'])) {
                format!("INBOX{rest}")
            } else {
                pattern
            })
        };
        patterns.iter().map(whole).collect()
    }

    pub(super) async fn status<O: Outlet>(
        &mut self,
        name: &Name,
        items: &[StatusItem],
        out: &mut Out<'_, O>,
    ) -> Ended {
        let (name, id) = (self.name(name)?, self.mailbox()?.id.clone());
        self.enabled.condstore |= items.contains(&StatusItem::HighestModSeq);
        let folder = mailbox::folder(&self.host.rim, &id, &name).await?;
        self.status_line(&folder, items, out).await?;
        done("done")
    }

    async fn status_line<O: Outlet>(
        &self,
        folder: &Folder,
        items: &[StatusItem],
        out: &mut Out<'_, O>,
    ) -> Result<(), Gone> {
        let state = &folder.state;
        let values = items.iter().map(|item| match item {
            StatusItem::Messages => format!("MESSAGES {}", state.exists),
            StatusItem::Recent => "RECENT 0".to_owned(),
            StatusItem::UidNext => format!("UIDNEXT {}", state.uidnext),
            StatusItem::UidValidity => format!("UIDVALIDITY {}", state.uidvalidity),
            StatusItem::Unseen => format!("UNSEEN {}", state.unseen),
            StatusItem::Deleted => format!("DELETED {}", state.deleted),
            StatusItem::Size => format!("SIZE {}", state.bytes),
            StatusItem::HighestModSeq => format!("HIGHESTMODSEQ {}", state.highestmodseq),
        });
        let values: Vec<String> = values.collect();
        out.writer.raw("* STATUS ").string(&self.shown(&folder.name));
        out.line(format!(" ({})", values.join(" "))).await
    }

    /// The one quota root is the mailbox as a whole, by the empty name.
    pub(super) async fn quota<O: Outlet>(&mut self, root: &[u8], out: &mut Out<'_, O>) -> Ended {
        if !root.is_empty() {
            return Err(Fault::No("NONEXISTENT", "there is no such quota root"));
        }
        self.quota_line(out).await?;
        done("done")
    }

    pub(super) async fn quota_root<O: Outlet>(&mut self, name: &Name, out: &mut Out<'_, O>) -> Ended {
        let (name, id) = (self.name(name)?, self.mailbox()?.id.clone());
        let tree = mailbox::tree(&self.host.rim, &id).await?;
        let folder = tree.find(&name).ok_or(NO_FOLDER)?;
        out.writer.raw("* QUOTAROOT ").string(&self.shown(&folder.name));
        out.line(" \"\"").await?;
        self.quota_line(out).await?;
        done("done")
    }

    async fn quota_line<O: Outlet>(&self, out: &mut Out<'_, O>) -> Result<(), Fault> {
        let mailbox = self.mailbox()?;
        let used = mailbox::quota(&self.host.rim, &mailbox.id).await?;
        // RFC 9208 §5.1: in units of 1,024 octets.
        let (kib, limit) = (used.bytes.div_ceil(1024), mailbox.quota_bytes / 1024);
        Ok(out.line(format!("* QUOTA \"\" (STORAGE {kib} {limit})")).await?)
    }
}

/// What LIST finds.
fn found(tree: &Tree, list: &List, patterns: &[String]) -> Vec<Listed> {
    let is_match = |name: &str| patterns.iter().any(|pattern| matches(pattern, name));
    let show_subscribed = list.subscribed_only || list.return_subscribed;
    let mut lines = Vec::new();
    for folder in tree.folders.iter().filter(|folder| is_match(&folder.name)) {
        let subscribed = tree.subscriptions.contains(&folder.name);
        let wanted =
            (subscribed || !list.subscribed_only) && (folder.special_use.is_some() || !list.special_only);
        let child_info = list.recursive
            && list.subscribed_only
            && tree.subscriptions.iter().any(|name| above(name).any(|above| above == folder.name));
        if wanted || child_info {
            let attributes = attributes(tree, folder, show_subscribed);
            lines.push(Listed { name: folder.name.clone(), attributes, child_info });
        }
    }
    if list.subscribed_only && !list.special_only {
        for name in tree.subscriptions.iter().filter(|name| is_match(name) && tree.find(name).is_none()) {
            let attributes = vec!["\\Subscribed", "\\NonExistent"];
            lines.push(Listed { name: name.clone(), attributes, child_info: false });
        }
    }
    lines
}

/// The attributes of a folder.
pub(super) fn attributes(tree: &Tree, folder: &Named, show_subscribed: bool) -> Vec<&'static str> {
    let children = if tree.has_children(&folder.name) { "\\HasChildren" } else { "\\HasNoChildren" };
    let mut attributes = vec![children];
    attributes.extend(folder.special_use.map(SpecialUse::attribute));
    if show_subscribed && tree.subscriptions.contains(&folder.name) {
        attributes.push("\\Subscribed");
    }
    attributes
}

/// The names above a name, the nearest first.
fn above(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(name.rsplit_once(DELIMITER), |(above, _)| above.rsplit_once(DELIMITER))
        .map(|(above, _)| above)
}
