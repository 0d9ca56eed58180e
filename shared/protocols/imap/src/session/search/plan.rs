//! What is looked for, judged with as little as is known of a message.

use bytes::Bytes;
use mime::{
    Headers, Limits,
    outline::{Addr, Envelope, Outline},
    word,
};
use stages::mailbox::{Entry, Flags, Message, UidSet};

use super::text::{self, Needle, Scope};
use crate::{
    command::{By, Key, When, Who},
    fault::Fault,
    session::{Host, message::Reader, selected::Selected},
    subject,
};

/// Octets of one header that are looked at.
const HEADER_BYTES_MAX: u64 = 256 * 1024;

/// A search that is about one mailbox: its sets are UIDs, its flags are known.
pub(super) struct Plan {
    root: Node,
    /// Texts that are looked for in the octets of messages.
    needles: Vec<Needle>,
    headers: bool,
    modseq: bool,
}

enum Node {
    Always(bool),
    Uids(UidSet),
    Flag(Flags),
    Larger(u64),
    Smaller(u64),
    Internal(When, i32),
    Sent(When, i32),
    Address(Who, String),
    Subject(String),
    Header(String, String),
    /// A needle by its place.
    Needle(usize),
    ModSeq(u64),
    Not(Box<Node>),
    Or(Vec<Node>),
    And(Vec<Node>),
}

/// What is known of a message so far.
pub(super) struct Known<'a> {
    entry: &'a Entry,
    outline: Option<&'a Outline>,
    headers: Option<&'a Headers>,
    /// For each needle, whether it was found.
    needles: Option<&'a [bool]>,
}

impl<'a> Known<'a> {
    /// What needs no row.
    pub(super) const fn of(entry: &'a Entry) -> Self {
        Self { entry, outline: None, headers: None, needles: None }
    }
}

impl Plan {
    pub(super) fn new(key: &Key, selected: &Selected) -> Result<Self, Fault> {
        let mut plan = Self { root: Node::Always(true), needles: Vec::new(), headers: false, modseq: false };
        plan.root = plan.node(key, selected)?;
        Ok(plan)
    }

    /// Whether MODSEQ is asked for: then the answer says it too (RFC 7162 §3.1.5).
    pub(super) const fn asks_modseq(&self) -> bool {
        self.modseq
    }

    /// As deep as a command may nest.
    fn node(&mut self, key: &Key, selected: &Selected) -> Result<Node, Fault> {
        Ok(match key {
            Key::All => Node::Always(true),
            Key::Recent => Node::Always(false),
            Key::Sequence(set) => Node::Uids(selected.resolve(set, By::Sequence)?.0),
            Key::Uid(set) => Node::Uids(selected.resolve(set, By::Uid)?.0),
            Key::Flag(name) => selected.view.keywords().find(name).map_or(Node::Always(false), Node::Flag),
            Key::Larger(size) => Node::Larger(*size),
            Key::Smaller(size) => Node::Smaller(*size),
            Key::Internal(when, day) => Node::Internal(*when, *day),
            Key::Sent(when, day) => Node::Sent(*when, *day),
            Key::Address(who, text) => Node::Address(*who, text.clone()),
            Key::Subject(text) => Node::Subject(text.clone()),
            Key::Header(name, text) => {
                self.headers = true;
                Node::Header(name.clone(), text.clone())
            }
            Key::Body(text) => self.needle(Scope::Body, text),
            Key::Text(text) => self.needle(Scope::Whole, text),
            Key::ModSeq(modseq) => {
                self.modseq = true;
                Node::ModSeq(*modseq)
            }
            Key::Not(key) => Node::Not(Box::new(self.node(key, selected)?)),
            Key::Or(a, b) => Node::Or(vec![self.node(a, selected)?, self.node(b, selected)?]),
            Key::And(keys) => {
                Node::And(keys.iter().map(|key| self.node(key, selected)).collect::<Result<_, _>>()?)
            }
        })
    }

    fn needle(&mut self, scope: Scope, text: &str) -> Node {
        // Nothing is in every message.
        if text.is_empty() {
            return Node::Always(true);
        }
        self.needles.push(Needle::new(scope, text));
        Node::Needle(self.needles.len() - 1)
    }

    /// Whether a message matches, as far as what is known of it tells.
    pub(super) fn judge(&self, known: &Known<'_>) -> Option<bool> {
        judge(&self.root, known)
    }

    /// Whether a message matches; its octets are read only if they must be.
    pub(super) async fn matches(
        &self,
        host: &Host,
        entry: &Entry,
        row: &Message,
        outline: &Outline,
    ) -> Result<bool, Fault> {
        let mut known = Known { outline: Some(outline), ..Known::of(entry) };
        if let Some(judged) = self.judge(&known) {
            return Ok(judged);
        }
        let headers;
        if self.headers {
            let end = outline.root.body.min(HEADER_BYTES_MAX);
            let header = Reader::new(&host.rim, row, 0, end).all().await?;
            let limits = Limits { header_bytes: usize::MAX, header_fields: usize::MAX, ..Limits::default() };
            headers = Headers::parse(&Bytes::from(header), &limits).unwrap_or_default().0;
            known.headers = Some(&headers);
            if let Some(judged) = self.judge(&known) {
                return Ok(judged);
            }
        }
        let found = text::find(&host.rim, row, outline, &self.needles).await?;
        known.needles = Some(&found);
        Ok(self.judge(&known).unwrap_or(false))
    }
}

/// Three-valued: `None` when more must be known.
fn judge(node: &Node, known: &Known<'_>) -> Option<bool> {
    let entry = known.entry;
    Some(match node {
        Node::Always(judged) => *judged,
        Node::Uids(uids) => uids.contains(entry.uid),
        Node::Flag(flag) => entry.flags.contains(*flag),
        Node::Larger(size) => u64::from(entry.size_bytes) > *size,
        Node::Smaller(size) => u64::from(entry.size_bytes) < *size,
        Node::Internal(when, day) => is_when(*when, subject::day(entry.received_at.unix_s()), *day),
        Node::ModSeq(modseq) => entry.modseq >= *modseq,
        Node::Sent(when, day) => {
            let sent = envelope(known)?.and_then(|e| subject::sent_day(e.date.as_deref()?));
            sent.is_some_and(|sent| is_when(*when, sent, *day))
        }
        Node::Subject(text) => {
            envelope(known)?.and_then(|e| e.subject.as_deref()).is_some_and(|s| has(s, text))
                || text.is_empty()
        }
        Node::Address(who, text) => {
            let list = envelope(known)?.map(|e| match who {
                Who::From => &e.from,
                Who::To => &e.to,
                Who::Cc => &e.cc,
                Who::Bcc => &e.bcc,
            });
            text.is_empty() || list.is_some_and(|list| list.iter().any(|addr| has(&whole(addr), text)))
        }
        Node::Header(name, text) => header(known, name, text)?,
        Node::Needle(place) => *known.needles?.get(*place)?,
        Node::Not(node) => !judge(node, known)?,
        Node::Or(nodes) => return any(nodes, known, true),
        Node::And(nodes) => return any(nodes, known, false),
    })
}

/// `decides` if one of the nodes is that; else what all of them are, if they are known.
fn any(nodes: &[Node], known: &Known<'_>, decides: bool) -> Option<bool> {
    let mut open = false;
    for node in nodes {
        match judge(node, known) {
            Some(judged) if judged == decides => return Some(decides),
            Some(_) => {}
            None => open = true,
        }
    }
    (!open).then_some(!decides)
}

/// `None` before the outline is known.
fn envelope<'a>(known: &Known<'a>) -> Option<Option<&'a Envelope>> {
    known.outline.map(Outline::envelope)
}

/// Whether a field of that name has the text in it. What the envelope has needs no octets.
fn header(known: &Known<'_>, name: &str, text: &str) -> Option<bool> {
    if let Some(envelope) = known.outline.and_then(Outline::envelope) {
        let kept = [
            ("Message-ID", &envelope.message_id),
            ("Subject", &envelope.subject),
            ("In-Reply-To", &envelope.in_reply_to),
            ("Date", &envelope.date),
        ];
        if let Some((_, Some(value))) = kept.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return Some(has(value, text));
        }
    }
    let headers = known.headers?;
    Some(headers.all(name).any(|field| text.is_empty() || field.decoded().to_lowercase().contains(text)))
}

const fn is_when(when: When, day: i32, asked: i32) -> bool {
    match when {
        When::Before => day < asked,
        When::On => day == asked,
        When::Since => day >= asked,
    }
}

/// Whether a text as transported has another one, which is in lower case, in it.
fn has(raw: &str, text: &str) -> bool {
    word::decode(raw.as_bytes()).to_lowercase().contains(text)
}

/// An address as people read it.
fn whole(addr: &Addr) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{} <{}@{}>", part(&addr.name), part(&addr.mailbox), part(&addr.host))
}
