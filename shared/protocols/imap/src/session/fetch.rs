//! FETCH (RFC 9051 §6.4.5, RFC 7162 §3.1.4, RFC 3516).

use mime::outline::{Envelope, Outline};
use stages::mailbox::{self, Entry, Flags, How, Message, UidSet};

use super::{
    Accounts, Host, Session,
    message::{self, Decoder, Octets, Reader},
    select::both,
    selected::Selected,
};
use crate::{
    command::{By, Fetch, Item, Section, Style, Text},
    fault::{Ended, Fault, done},
    grammar::civil,
    outlet::{Out, Outlet},
    views::Known,
    write::Writer,
};

/// Rows that are in memory at a time.
const ROWS: usize = 200;

/// What every message of a FETCH is asked for.
struct Asked {
    items: Vec<Item>,
    /// Rows must be read.
    rows: bool,
    /// Outlines must be known.
    outlines: bool,
    /// The last flags that were written, and how: most messages have the same.
    flags: Option<(Flags, String)>,
}

impl<A: Accounts> Session<A> {
    pub(super) async fn fetch<O: Outlet>(&mut self, fetch: Fetch, out: &mut Out<'_, O>) -> Ended {
        // 1. Which messages, and what of them.
        let mut asked = Asked::new(fetch.items, fetch.by);
        let condstore = fetch.changed_since.is_some() || asked.items.contains(&Item::ModSeq);
        self.enabled.condstore |= condstore;
        if fetch.changed_since.is_some() && !asked.items.contains(&Item::ModSeq) {
            asked.items.push(Item::ModSeq);
        }
        if fetch.vanished && !self.enabled.qresync {
            return Err(Fault::Bad("QRESYNC is not enabled"));
        }
        let host = self.host.clone();
        let selected = self.selected()?;
        let (mut uids, gone) = selected.resolve(&fetch.set, fetch.by)?;
        if let Some(since) = fetch.changed_since {
            if fetch.vanished {
                vanished(&host, selected, &fetch.set, since, out).await?;
            }
            let changed = |uid: &u32| selected.entry(*uid).is_some_and(|e| e.modseq > since);
            uids = uids.iter().filter(changed).collect();
        }

        // 2. The answers, some hundred rows at a time; what was found out of their form is kept.
        let mut missing = gone;
        if asked.rows {
            let all: Vec<u32> = uids.iter().collect();
            for some in all.chunks(ROWS) {
                missing |= rows(&host, selected, some, &mut asked, out).await?;
            }
        } else {
            for uid in uids.iter() {
                let Some(entry) = selected.entry(uid) else { continue };
                begin(selected, entry, &mut asked, &mut out.writer);
                out.line(")").await?;
            }
        }

        // 3. What was read is seen.
        if asked.marks() && !selected.read_only {
            let unseen = |uid: &u32| selected.entry(*uid).is_some_and(|e| !e.flags.contains(Flags::SEEN));
            let unseen: UidSet = uids.iter().filter(unseen).collect();
            if !unseen.is_empty() {
                mailbox::store(&host.rim, &mut selected.view, &unseen, How::Add, &["\\Seen"], None).await?;
            }
        }
        if missing {
            return Err(Fault::No("EXPUNGEISSUED", "some of the messages are not there any more"));
        }
        done("done")
    }
}

impl Asked {
    fn new(mut items: Vec<Item>, by: By) -> Self {
        // RFC 9051 §6.4.9: the UID is in every answer to UID FETCH.
        if by == By::Uid && !items.contains(&Item::Uid) {
            items.insert(0, Item::Uid);
        }
        let whole = |s: &Section| s.part.is_empty() && s.text == Text::Whole;
        let outline = |item: &Item| match item {
            Item::Envelope | Item::Body | Item::BodyStructure | Item::BinarySize(_) => true,
            Item::Section(section) => !whole(section),
            _ => false,
        };
        let section = |item: &Item| matches!(item, Item::Section(_));
        let outlines = items.iter().any(outline);
        let rows = outlines || items.iter().any(section);
        Self { items, rows, outlines, flags: None }
    }

    /// Whether messages are seen by it.
    fn marks(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Section(section) if !section.peek))
    }
}

/// RFC 7162 §3.2.6.
async fn vanished<O: Outlet>(
    host: &Host,
    selected: &Selected,
    set: &crate::command::Set,
    since: u64,
    out: &mut Out<'_, O>,
) -> Result<(), Fault> {
    let all = selected.view.vanished_since(&host.rim, since).await?;
    let crate::command::Set::Ranges(ranges) = set else { return Ok(()) };
    let last = selected.view.state().uidnext;
    let asked = UidSet::from_ranges(ranges.iter().map(|(a, b)| (a.unwrap_or(last), b.unwrap_or(last))));
    let gone = both(&all, &asked);
    if !gone.is_empty() {
        out.line(format!("* VANISHED (EARLIER) {gone}")).await?;
    }
    Ok(())
}

/// Answers for messages whose rows are needed; whether one of them is not there.
async fn rows<O: Outlet>(
    host: &Host,
    selected: &Selected,
    uids: &[u32],
    asked: &mut Asked,
    out: &mut Out<'_, O>,
) -> Result<bool, Fault> {
    let found = message::known(host, selected, uids, asked.outlines).await?;
    for known in &found {
        if let Some(entry) = selected.entry(known.row.uid) {
            answer(host, selected, entry, known, asked, out).await?;
        }
    }
    Ok(found.len() < uids.len())
}

/// The answer for one message. What may fail before any of it was sent fails the command; what fails later ends the
/// connection, since an answer that has begun cannot end otherwise than it announced.
struct Answer<'a, 'o, O> {
    host: &'a Host,
    message: &'a Message,
    line: Writer,
    first: bool,
    sent: bool,
    out: &'a mut Out<'o, O>,
}

/// `* 3 FETCH (` and what needs no row; whether there was any of that.
fn begin(selected: &Selected, entry: &Entry, asked: &mut Asked, writer: &mut Writer) -> bool {
    writer.raw("* ").number(selected.sequence(entry.uid)).raw(" FETCH (");
    let mut any = false;
    for item in &asked.items {
        if !matches!(item, Item::Flags | Item::Uid | Item::InternalDate | Item::Size | Item::ModSeq) {
            continue;
        }
        if std::mem::replace(&mut any, true) {
            writer.raw(" ");
        }
        match item {
            Item::Uid => writer.raw("UID ").number(entry.uid),
            Item::InternalDate => {
                writer.raw("INTERNALDATE \"").raw(civil(entry.received_at.unix_s())).raw("\"")
            }
            Item::Size => writer.raw("RFC822.SIZE ").number(entry.size_bytes),
            Item::ModSeq => writer.raw("MODSEQ (").number(entry.modseq).raw(")"),
            _ => {
                if asked.flags.as_ref().is_none_or(|(flags, _)| *flags != entry.flags) {
                    let names = selected.view.keywords().names(entry.flags).join(" ");
                    asked.flags = Some((entry.flags, format!("FLAGS ({names})")));
                }
                writer.raw(asked.flags.as_ref().map_or("", |(_, text)| text))
            }
        };
    }
    any
}

async fn answer<O: Outlet>(
    host: &Host,
    selected: &Selected,
    entry: &Entry,
    known: &Known,
    asked: &mut Asked,
    out: &mut Out<'_, O>,
) -> Result<(), Fault> {
    let (message, outline) = (&known.row, known.outline.as_ref());
    let mut line = Writer::new(out.writer.utf8);
    let any = begin(selected, entry, asked, &mut line);
    let mut answer = Answer { host, message, line, first: !any, sent: false, out };
    for item in &asked.items {
        match answer.item(item, outline).await {
            Err(Fault::Stage(error)) if answer.sent => {
                tracing::warn!(error = %error, "an answer of IMAP broke off");
                return Err(Fault::Gone);
            }
            Err(_) if answer.sent => return Err(Fault::Gone),
            other => other?,
        }
    }
    answer.line.raw(")\r\n");
    answer.send().await
}

impl<O: Outlet> Answer<'_, '_, O> {
    async fn item(&mut self, item: &Item, outline: Option<&Outline>) -> Result<(), Fault> {
        match (item, outline) {
            (Item::Envelope, Some(outline)) => {
                let none = Envelope::default();
                self.name("ENVELOPE ").envelope(outline.envelope().unwrap_or(&none));
            }
            (Item::Body, Some(outline)) => _ = self.name("BODY ").structure(&outline.root, false),
            (Item::BodyStructure, Some(outline)) => {
                self.name("BODYSTRUCTURE ").structure(&outline.root, true);
            }
            (Item::Section(section), _) => self.section(section, outline).await?,
            (Item::BinarySize(part), Some(outline)) => {
                let place = message::locate(&Section::binary(part), outline.size, Some(outline));
                let size = match place {
                    Octets::Decoded(start, end, encoding) => {
                        let place = (start, end);
                        message::decoded_size(&self.host.rim, self.message, place, &encoding).await?
                    }
                    Octets::Range(start, end) => end - start,
                    Octets::Nil | Octets::Fields(..) => 0,
                };
                self.name("BINARY.SIZE[").raw(numbers(part)).raw("] ").number(size);
            }
            _ => {}
        }
        Ok(())
    }

    /// The name of the next item.
    fn name(&mut self, name: impl AsRef<[u8]>) -> &mut Writer {
        if !std::mem::take(&mut self.first) {
            self.line.raw(" ");
        }
        self.line.raw(name)
    }

    /// Sends what was written: from here on the answer must end as it announced.
    async fn send(&mut self) -> Result<(), Fault> {
        self.sent = true;
        self.out.octets(&self.line.out).await?;
        self.line.out.clear();
        Ok(())
    }

    /// One section: name, announcement, octets.
    async fn section(&mut self, section: &Section, outline: Option<&Outline>) -> Result<(), Fault> {
        let (rim, message) = (&self.host.rim, self.message);
        let name = section_name(section);
        match message::locate(section, message.summary.size_bytes, outline) {
            Octets::Nil => _ = self.name(name).raw(" NIL"),
            Octets::Fields(start, end) => {
                let header = Reader::new(rim, message, start, end).all().await?;
                let Text::Fields(names, others) = &section.text else { return Ok(()) };
                let fields = message::fields(header, names, *others);
                let (from, to) = window(section.partial, fields.len() as u64);
                let fields = message::within(&fields, 0, from, to);
                self.name(name).raw(format!(" {{{}}}\r\n", fields.len())).raw(fields);
            }
            Octets::Range(start, end) => {
                let (from, to) = window(section.partial, end.saturating_sub(start));
                let mut reader = Reader::new(rim, message, start + from, start + to);
                let mut left = to - from;
                let mut next = reader.next().await?;
                self.name(name).raw(format!(" {{{left}}}\r\n"));
                self.send().await?;
                while let Some(octets) = next {
                    left = left.saturating_sub(octets.len() as u64);
                    self.out.octets(&octets).await?;
                    next = reader.next().await?;
                }
                if left > 0 {
                    return Err(Fault::Gone); // fewer octets than its row says
                }
            }
            Octets::Decoded(start, end, encoding) => {
                let size = message::decoded_size(rim, message, (start, end), &encoding).await?;
                let (from, to) = window(section.partial, size);
                let mut decoder = Decoder::new(rim, message, (start, end), &encoding)?;
                self.name(name).raw(format!(" ~{{{}}}\r\n", to - from));
                self.send().await?;
                let mut at = 0;
                while let Some(octets) = decoder.next().await? {
                    self.out.octets(message::within(&octets, at, from, to)).await?;
                    at += octets.len() as u64;
                }
            }
        }
        Ok(())
    }
}

/// Which of so many octets are asked for.
fn window(partial: Option<(u64, u64)>, size: u64) -> (u64, u64) {
    let Some((from, length)) = partial else { return (0, size) };
    let from = from.min(size);
    (from, from.saturating_add(length).min(size))
}

fn numbers(part: &[u32]) -> String {
    part.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

/// How a section is named in the answer: as it was asked for, without `.PEEK` and without the length.
fn section_name(section: &Section) -> Vec<u8> {
    let mut writer = Writer::new(true);
    if section.style == Style::Rfc822 {
        writer.raw(match section.text {
            Text::Header => "RFC822.HEADER",
            Text::Text => "RFC822.TEXT",
            _ => "RFC822",
        });
        return writer.out;
    }
    writer.raw(if section.style == Style::Binary { "BINARY[" } else { "BODY[" });
    writer.raw(numbers(&section.part));
    let dot = if section.part.is_empty() || section.text == Text::Whole { "" } else { "." };
    writer.raw(dot);
    match &section.text {
        Text::Whole => {}
        Text::Header => _ = writer.raw("HEADER"),
        Text::Text => _ = writer.raw("TEXT"),
        Text::Mime => _ = writer.raw("MIME"),
        Text::Fields(names, others) => {
            writer.raw(if *others { "HEADER.FIELDS.NOT (" } else { "HEADER.FIELDS (" });
            for (n, name) in names.iter().enumerate() {
                if n > 0 {
                    writer.raw(" ");
                }
                let atom = !name.is_empty() && name.bytes().all(|o| o.is_ascii_alphanumeric() || o == b'-');
                if atom {
                    writer.raw(name)
                } else {
                    writer.string(name)
                };
            }
            writer.raw(")");
        }
    }
    writer.raw("]");
    if let Some((from, _)) = section.partial {
        writer.raw(format!("<{from}>"));
    }
    writer.out
}
