//! The envelope structure of a header (RFC 9051 §7.5.2), from any header.

use serde::{Deserialize, Serialize};

use super::scan::Budget;
use crate::{Headers, charset};

/// Addresses of one envelope, over all fields.
const ADDRESSES_MAX: usize = 4000;

/// What a mailbox shows of a message. Texts are as transported: encoded words stay, 8-bit text becomes UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// `Date`
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// `Subject`
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// `From`
    #[serde(rename = "f", default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Addr>,
    /// `Sender`; empty where there is none.
    #[serde(rename = "n", default, skip_serializing_if = "Vec::is_empty")]
    pub sender: Vec<Addr>,
    /// `Reply-To`; empty where there is none.
    #[serde(rename = "r", default, skip_serializing_if = "Vec::is_empty")]
    pub reply_to: Vec<Addr>,
    /// `To`
    #[serde(rename = "t", default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<Addr>,
    /// `Cc`
    #[serde(rename = "c", default, skip_serializing_if = "Vec::is_empty")]
    pub cc: Vec<Addr>,
    /// `Bcc`
    #[serde(rename = "b", default, skip_serializing_if = "Vec::is_empty")]
    pub bcc: Vec<Addr>,
    /// `In-Reply-To`
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<String>,
    /// `Message-ID`
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
}

/// An address, or the mark where a group starts (only a mailbox) or ends (nothing at all).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addr {
    /// The display name, without its quotes.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The local part; the name of a group.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<String>,
    /// The domain, empty where an address has none; `None` for the marks of a group.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

impl Envelope {
    pub(super) fn read(headers: &Headers, budget: &mut Budget) -> Self {
        let mut room = ADDRESSES_MAX;
        let text = |name: &str, budget: &mut Budget| {
            let text = charset::guess(&headers.first(name)?.unfolded());
            if text.is_empty() { None } else { budget.take(text) }
        };
        let date = text("Date", budget);
        let message_id = text("Message-ID", budget);
        let in_reply_to = text("In-Reply-To", budget);
        let subject = text("Subject", budget);
        let mut list = |name: &str| {
            let mut found = Vec::new();
            for field in headers.all(name) {
                let taken = read(&charset::guess(&field.unfolded()), room, budget);
                room = room.saturating_sub(taken.len());
                found.extend(taken);
            }
            found
        };
        Self {
            date,
            subject,
            from: list("From"),
            sender: list("Sender"),
            reply_to: list("Reply-To"),
            to: list("To"),
            cc: list("Cc"),
            bcc: list("Bcc"),
            in_reply_to,
            message_id,
        }
    }
}

/// The addresses of a field; anything is read as something.
fn read(body: &str, max: usize, budget: &mut Budget) -> Vec<Addr> {
    let mut reader = Reader { rest: body, found: Vec::new(), group: false };
    let mut item = Item::default();
    while reader.found.len() < max {
        let Some(octet) = reader.rest.chars().next() else { break };
        match octet {
            ',' => {
                reader.step(1);
                reader.end(&mut item);
            }
            ';' => {
                reader.step(1);
                reader.end(&mut item);
                if std::mem::take(&mut reader.group) {
                    reader.found.push(Addr::default());
                }
            }
            ':' if !item.has_at() && item.angle.is_none() => {
                reader.step(1);
                let name = std::mem::take(&mut item).phrase();
                reader.group = true;
                reader.found.push(Addr { mailbox: Some(name), ..Addr::default() });
            }
            '<' => item.angle = Some(reader.angle()),
            '(' => item.comment = Some(reader.comment()),
            '"' => {
                let text = reader.quoted();
                item.words.push(Word::Quoted(text));
            }
            c if c.is_whitespace() => {
                reader.step(c.len_utf8());
                item.words.push(Word::Space);
            }
            _ => {
                let text = reader.atom();
                item.words.push(Word::Atom(text));
            }
        }
    }
    if reader.found.len() < max {
        reader.end(&mut item);
    }
    if reader.group && reader.found.len() < max {
        reader.found.push(Addr::default());
    }
    let kept = |text: Option<String>, budget: &mut Budget| text.map(|t| budget.take(t).ok_or(())).transpose();
    let mut out = Vec::with_capacity(reader.found.len());
    for addr in reader.found {
        let (Ok(name), Ok(mailbox), Ok(host)) =
            (kept(addr.name, budget), kept(addr.mailbox, budget), kept(addr.host, budget))
        else {
            break;
        };
        out.push(Addr { name, mailbox, host });
    }
    out
}

enum Word {
    Space,
    Atom(String),
    Quoted(String),
}

/// What stands between two commas.
#[derive(Default)]
struct Item {
    words: Vec<Word>,
    angle: Option<String>,
    comment: Option<String>,
}

impl Item {
    fn has_at(&self) -> bool {
        self.words.iter().any(|word| matches!(word, Word::Atom(text) if text.contains('@')))
    }

    /// The words as a display name: one space where there was any.
    fn phrase(&self) -> String {
        let mut out = String::new();
        for word in &self.words {
            match word {
                Word::Space if out.is_empty() || out.ends_with(' ') => {}
                Word::Space => out.push(' '),
                Word::Atom(text) | Word::Quoted(text) => out.push_str(text),
            }
        }
        out.truncate(out.trim_end().len());
        out
    }

    /// The words as an address: white space around dots and `@` means nothing.
    fn spec(&self) -> String {
        let texts = self.words.iter().filter_map(|word| match word {
            Word::Space => None,
            Word::Atom(text) | Word::Quoted(text) => Some(text.as_str()),
        });
        texts.collect()
    }
}

struct Reader<'a> {
    rest: &'a str,
    found: Vec<Addr>,
    group: bool,
}

impl Reader<'_> {
    fn step(&mut self, octets: usize) {
        self.rest = self.rest.get(octets..).unwrap_or_default();
    }

    /// An item is over.
    fn end(&mut self, item: &mut Item) {
        let item = std::mem::take(item);
        let (spec, name) = match &item.angle {
            Some(angle) => (angle.clone(), item.phrase()),
            None => (item.spec(), item.comment.clone().unwrap_or_default()),
        };
        if spec.is_empty() && name.is_empty() {
            return;
        }
        let (mailbox, host) = match spec.rsplit_once('@') {
            Some((mailbox, host)) => (mailbox.to_owned(), host.to_owned()),
            None => (spec, String::new()),
        };
        let name = if name.is_empty() { item.comment } else { Some(name) };
        let name = name.filter(|name| !name.is_empty());
        self.found.push(Addr { name, mailbox: Some(mailbox), host: Some(host) });
    }

    /// From `<` to `>`, without a source route (RFC 5322 §4.4) and without white space outside of quotes.
    fn angle(&mut self) -> String {
        self.step(1);
        let mut out = String::new();
        loop {
            match self.rest.chars().next() {
                None => break,
                Some('>') => {
                    self.step(1);
                    break;
                }
                Some('"') => out.push_str(&self.quoted()),
                Some(c) => {
                    self.step(c.len_utf8());
                    if !c.is_whitespace() {
                        out.push(c);
                    }
                }
            }
        }
        match out.split_once(':') {
            Some((route, spec)) if route.starts_with('@') => spec.to_owned(),
            _ => out,
        }
    }

    /// A quoted string without its quotes.
    fn quoted(&mut self) -> String {
        self.step(1);
        let (mut out, mut chars) = (String::new(), self.rest.char_indices());
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.step(at + 1);
                    return out;
                }
                '\\' => out.extend(chars.next().map(|(_, c)| c)),
                _ => out.push(c),
            }
        }
        self.rest = "";
        out
    }

    /// A comment without its outer parentheses.
    fn comment(&mut self) -> String {
        let (mut out, mut depth) = (String::new(), 0_usize);
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '(' => {
                    depth += 1;
                    if depth == 1 {
                        continue;
                    }
                }
                ')' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        self.step(at + 1);
                        return out.trim().to_owned();
                    }
                }
                '\\' => {
                    out.extend(chars.next().map(|(_, c)| c));
                    continue;
                }
                _ => {}
            }
            out.push(c);
        }
        self.rest = "";
        out.trim().to_owned()
    }

    /// Up to the next octet that means something.
    fn atom(&mut self) -> String {
        let special = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | ':' | '<' | '(' | '"');
        let mut end = self.rest.find(special).unwrap_or(self.rest.len());
        if end == 0 {
            end = self.rest.chars().next().map_or(0, char::len_utf8);
        }
        let (atom, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        let atom = atom.to_owned();
        self.rest = rest;
        atom
    }
}
