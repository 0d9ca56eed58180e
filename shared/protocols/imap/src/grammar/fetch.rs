//! FETCH and STORE (RFC 9051 §6.4.5, §6.4.6; RFC 7162 §3.1).

use super::{
    Syntax,
    cursor::{Cursor, Parsed},
};
use crate::{
    command::{By, Fetch, How, Item, Section, Store, Style, Text},
    limits::{FETCH_ITEMS_MAX, LIST_MAX},
};

/// Numbers in one section: deeper parts do not exist.
const PART_NUMBERS_MAX: usize = 64;

/// After `FETCH `.
pub(super) fn fetch(cursor: &mut Cursor<'_>, by: By) -> Parsed<Fetch> {
    let set = cursor.set()?;
    cursor.space()?;
    let mut items = Vec::new();
    if cursor.peek() == Some(b'(') {
        for more in cursor.list(FETCH_ITEMS_MAX, false, item)? {
            items.extend(more);
        }
    } else {
        items = item(cursor)?;
    }
    let mut fetch = Fetch { by, set, items, changed_since: None, vanished: false };
    if !cursor.is_at_end() {
        cursor.space()?;
        for (name, since) in cursor.list(LIST_MAX, false, modifier)? {
            match (name.as_str(), since) {
                ("CHANGEDSINCE", since @ Some(_)) => fetch.changed_since = since,
                ("VANISHED", None) => fetch.vanished = true,
                _ => return Err(Syntax("this modifier of FETCH is unknown")),
            }
        }
    }
    cursor.end()?;
    if fetch.vanished && (by == By::Sequence || fetch.changed_since.is_none()) {
        return Err(Syntax("VANISHED goes with UID FETCH and CHANGEDSINCE"));
    }
    Ok(fetch)
}

fn modifier(cursor: &mut Cursor<'_>) -> Parsed<(String, Option<u64>)> {
    let name = cursor.word();
    let value = if cursor.eats(b' ') { Some(cursor.modseq()?) } else { None };
    Ok((name, value))
}

/// One item, or the several that a macro stands for.
fn item(cursor: &mut Cursor<'_>) -> Parsed<Vec<Item>> {
    let name = cursor.word();
    let whole =
        |text, peek, style| Item::Section(Section { part: Vec::new(), text, partial: None, peek, style });
    let one = match name.as_str() {
        "ALL" => return Ok(vec![Item::Flags, Item::InternalDate, Item::Size, Item::Envelope]),
        "FAST" => return Ok(vec![Item::Flags, Item::InternalDate, Item::Size]),
        "FULL" => return Ok(vec![Item::Flags, Item::InternalDate, Item::Size, Item::Envelope, Item::Body]),
        "FLAGS" => Item::Flags,
        "UID" => Item::Uid,
        "INTERNALDATE" => Item::InternalDate,
        "RFC822.SIZE" => Item::Size,
        "ENVELOPE" => Item::Envelope,
        "BODYSTRUCTURE" => Item::BodyStructure,
        "MODSEQ" => Item::ModSeq,
        "RFC822" => whole(Text::Whole, false, Style::Rfc822),
        "RFC822.HEADER" => whole(Text::Header, true, Style::Rfc822),
        "RFC822.TEXT" => whole(Text::Text, false, Style::Rfc822),
        "BODY" | "BODY.PEEK" if cursor.peek() == Some(b'[') => section(cursor, name == "BODY.PEEK")?,
        "BODY" => Item::Body,
        "BINARY" | "BINARY.PEEK" => {
            let part = binary(cursor)?;
            let (partial, peek) = (partial(cursor)?, name == "BINARY.PEEK");
            Item::Section(Section { part, text: Text::Whole, partial, peek, style: Style::Binary })
        }
        "BINARY.SIZE" => Item::BinarySize(binary(cursor)?),
        _ => return Err(Syntax("this item of FETCH is unknown")),
    };
    Ok(vec![one])
}

/// `[section]<partial>`
fn section(cursor: &mut Cursor<'_>, peek: bool) -> Parsed<Item> {
    cursor.expect(b'[', "a section is missing")?;
    let (part, dot) = numbers(cursor)?;
    let text = match cursor.word().as_str() {
        "" if !dot => Text::Whole,
        "HEADER" => Text::Header,
        "TEXT" => Text::Text,
        "MIME" if dot => Text::Mime,
        "HEADER.FIELDS" => Text::Fields(fields(cursor)?, false),
        "HEADER.FIELDS.NOT" => Text::Fields(fields(cursor)?, true),
        _ => return Err(Syntax("this section is unknown")),
    };
    if !dot && !part.is_empty() && text != Text::Whole {
        return Err(Syntax("this section is unknown"));
    }
    cursor.expect(b']', "a section does not end")?;
    let partial = partial(cursor)?;
    Ok(Item::Section(Section { part, text, partial, peek, style: Style::Body }))
}

/// The numbers of a part, and whether a dot follows them.
fn numbers(cursor: &mut Cursor<'_>) -> Parsed<(Vec<u32>, bool)> {
    let mut part = Vec::new();
    let mut dot = false;
    while cursor.peek().is_some_and(|octet| octet.is_ascii_digit()) {
        if part.len() >= PART_NUMBERS_MAX {
            return Err(Syntax("a section is too deep"));
        }
        part.push(cursor.nonzero()?);
        dot = cursor.eats(b'.');
        if !dot {
            break;
        }
    }
    Ok((part, dot))
}

fn binary(cursor: &mut Cursor<'_>) -> Parsed<Vec<u32>> {
    cursor.expect(b'[', "a section is missing")?;
    let (part, dot) = numbers(cursor)?;
    cursor.expect(b']', "a section does not end")?;
    if dot { Err(Syntax("this section is unknown")) } else { Ok(part) }
}

fn fields(cursor: &mut Cursor<'_>) -> Parsed<Vec<String>> {
    cursor.space()?;
    let names = cursor.list(LIST_MAX, false, Cursor::astring)?;
    Ok(names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

fn partial(cursor: &mut Cursor<'_>) -> Parsed<Option<(u64, u64)>> {
    if !cursor.eats(b'<') {
        return Ok(None);
    }
    let from = cursor.number64()?;
    cursor.expect(b'.', "a partial range is broken")?;
    let length = cursor.number64()?;
    cursor.expect(b'>', "a partial range is broken")?;
    if length == 0 { Err(Syntax("a partial range is empty")) } else { Ok(Some((from, length))) }
}

/// After `STORE `.
pub(super) fn store(cursor: &mut Cursor<'_>, by: By) -> Parsed<Store> {
    let set = cursor.set()?;
    cursor.space()?;
    let mut unchanged_since = None;
    if cursor.peek() == Some(b'(') {
        for (name, since) in cursor.list(LIST_MAX, false, modifier)? {
            match (name.as_str(), since) {
                ("UNCHANGEDSINCE", since @ Some(_)) => unchanged_since = since,
                _ => return Err(Syntax("this modifier of STORE is unknown")),
            }
        }
        cursor.space()?;
    }
    let how = match cursor.peek() {
        Some(b'+') => How::Add,
        Some(b'-') => How::Remove,
        _ => How::Replace,
    };
    if how != How::Replace {
        cursor.eats(b'+');
        cursor.eats(b'-');
    }
    let silent = match cursor.word().as_str() {
        "FLAGS" => false,
        "FLAGS.SILENT" => true,
        _ => return Err(Syntax("STORE changes FLAGS only")),
    };
    cursor.space()?;
    let mut flags = Vec::new();
    if cursor.peek() == Some(b'(') {
        flags = cursor.flags()?;
    } else {
        loop {
            if flags.len() >= LIST_MAX {
                return Err(Syntax("a list is too long"));
            }
            flags.push(cursor.flag()?);
            if cursor.is_at_end() {
                break;
            }
            cursor.space()?;
        }
    }
    cursor.end()?;
    Ok(Store { by, set, unchanged_since, how, silent, flags })
}
