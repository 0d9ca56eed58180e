//! Commands by their names.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    Bad, Syntax,
    cursor::{Cursor, Parsed},
    fetch, list, search,
};
use crate::{
    command::{Append, By, Command, Name, Secret, Verb},
    limits::{LIST_MAX, TAG_BYTES_MAX},
};

/// A complete command: its octets without the last line end, literals in place.
pub(crate) fn command(octets: &[u8]) -> Result<Command, Bad> {
    let mut cursor = Cursor::new(octets);
    let tag = tag(&mut cursor).map_err(|Syntax(why)| Bad { tag: None, why, charset: false })?;
    match verb(&mut cursor) {
        Ok(verb) => Ok(Command { tag, verb }),
        Err(syntax) => Err(Bad { tag: Some(tag), why: syntax.0, charset: syntax == search::CHARSET }),
    }
}

/// The beginning of a command up to a literal that is announced at its end: an APPEND whose message this is, or
/// `None` when the literal is something else.
pub(crate) fn append(octets: &[u8]) -> Option<Append> {
    let mut cursor = Cursor::new(octets);
    let tag = tag(&mut cursor).ok()?;
    if !cursor.eats_word("APPEND") || cursor.space().is_err() {
        return None;
    }
    head(&mut cursor, tag).ok()
}

/// After `APPEND `.
fn head(cursor: &mut Cursor<'_>, tag: String) -> Parsed<Append> {
    let mailbox = cursor.name()?;
    cursor.space()?;
    let mut flags = Vec::new();
    if cursor.peek() == Some(b'(') {
        flags = cursor.flags()?;
        cursor.space()?;
    }
    let mut date = None;
    if cursor.peek() == Some(b'"') {
        date = Some(cursor.date_time()?);
        cursor.space()?;
    }
    let utf8 = cursor.eats_word("UTF8 (");
    let (size, waits) = cursor.announcement()?;
    cursor.end()?;
    Ok(Append { tag, mailbox, flags, date, size, waits, utf8 })
}

fn tag(cursor: &mut Cursor<'_>) -> Parsed<String> {
    let tag = cursor.tag();
    if tag.is_empty() || tag.len() > TAG_BYTES_MAX || !tag.is_ascii() || cursor.space().is_err() {
        return Err(Syntax("a command starts with a tag and a space"));
    }
    Ok(String::from_utf8_lossy(tag).into_owned())
}

fn verb(cursor: &mut Cursor<'_>) -> Parsed<Verb> {
    let name = cursor.word();
    let bare = match name.as_str() {
        "CAPABILITY" => Some(Verb::Capability),
        "NOOP" => Some(Verb::Noop),
        "LOGOUT" => Some(Verb::Logout),
        "STARTTLS" => Some(Verb::StartTls),
        "NAMESPACE" => Some(Verb::Namespace),
        "IDLE" => Some(Verb::Idle),
        "CHECK" => Some(Verb::Check),
        "CLOSE" => Some(Verb::Close),
        "UNSELECT" => Some(Verb::Unselect),
        "EXPUNGE" => Some(Verb::Expunge(None)),
        _ => None,
    };
    if let Some(bare) = bare {
        cursor.end()?;
        return Ok(bare);
    }
    if !is_known(&name) {
        return Err(Syntax("this command is unknown"));
    }
    cursor.space()?;
    match name.as_str() {
        "UID" => numbered(cursor, By::Uid),
        "SELECT" | "EXAMINE" => list::select(cursor, name == "EXAMINE").map(Verb::Select),
        "LIST" => list::list(cursor).map(Verb::List),
        "SEARCH" => search::search(cursor, By::Sequence).map(Verb::Search),
        "SORT" => search::sort(cursor, By::Sequence).map(Verb::Search),
        "FETCH" => fetch::fetch(cursor, By::Sequence).map(Verb::Fetch),
        "STORE" => fetch::store(cursor, By::Sequence).map(Verb::Store),
        "COPY" | "MOVE" => copy(cursor, By::Sequence, name == "MOVE"),
        "AUTHENTICATE" => authenticate(cursor),
        _ => {
            let verb = plain(cursor, &name)?;
            cursor.end()?;
            Ok(verb)
        }
    }
}

fn is_known(name: &str) -> bool {
    let known = "UID SELECT EXAMINE LIST SEARCH SORT FETCH STORE COPY MOVE AUTHENTICATE LOGIN ENABLE CREATE DELETE RENAME \
                 SUBSCRIBE UNSUBSCRIBE LSUB STATUS GETQUOTA GETQUOTAROOT SETQUOTA ID APPEND";
    known.split(' ').any(|k| k == name)
}

/// After `UID `.
fn numbered(cursor: &mut Cursor<'_>, by: By) -> Parsed<Verb> {
    let name = cursor.word();
    cursor.space()?;
    match name.as_str() {
        "SEARCH" => search::search(cursor, by).map(Verb::Search),
        "SORT" => search::sort(cursor, by).map(Verb::Search),
        "FETCH" => fetch::fetch(cursor, by).map(Verb::Fetch),
        "STORE" => fetch::store(cursor, by).map(Verb::Store),
        "COPY" | "MOVE" => copy(cursor, by, name == "MOVE"),
        "EXPUNGE" => {
            let set = cursor.set()?;
            cursor.end()?;
            Ok(Verb::Expunge(Some(set)))
        }
        _ => Err(Syntax("this command is unknown")),
    }
}

fn copy(cursor: &mut Cursor<'_>, by: By, moves: bool) -> Parsed<Verb> {
    let set = cursor.set()?;
    cursor.space()?;
    let to = cursor.name()?;
    cursor.end()?;
    Ok(Verb::Copy { by, set, to, moves })
}

fn authenticate(cursor: &mut Cursor<'_>) -> Parsed<Verb> {
    let mechanism = cursor.word();
    if mechanism.is_empty() {
        return Err(Syntax("a mechanism is missing"));
    }
    let mut initial = None;
    if !cursor.is_at_end() {
        cursor.space()?;
        // RFC 4959 §3: `=` is the empty response.
        let text = if cursor.eats(b'=') { Vec::new() } else { cursor.astring()? };
        initial = Some(STANDARD.decode(text).map_err(|_| Syntax("the initial response is not base64"))?);
    }
    cursor.end()?;
    Ok(Verb::Authenticate { mechanism, initial })
}

fn plain(cursor: &mut Cursor<'_>, name: &str) -> Parsed<Verb> {
    Ok(match name {
        "LOGIN" => {
            let user = cursor.astring()?;
            cursor.space()?;
            Verb::Login { user, password: Secret(cursor.astring()?) }
        }
        "ENABLE" => {
            let mut names = vec![cursor.atom()?.to_ascii_uppercase()];
            while cursor.eats(b' ') && names.len() < LIST_MAX {
                names.push(cursor.atom()?.to_ascii_uppercase());
            }
            Verb::Enable(names)
        }
        "CREATE" => create(cursor)?,
        "DELETE" => Verb::Delete(cursor.name()?),
        "RENAME" => {
            let from = cursor.name()?;
            cursor.space()?;
            Verb::Rename { from, to: cursor.name()? }
        }
        "SUBSCRIBE" => Verb::Subscribe(cursor.name()?),
        "UNSUBSCRIBE" => Verb::Unsubscribe(cursor.name()?),
        "LSUB" => {
            let reference = cursor.name()?;
            cursor.space()?;
            Verb::Lsub { reference, pattern: cursor.pattern()? }
        }
        "STATUS" => {
            let mailbox = cursor.name()?;
            cursor.space()?;
            Verb::Status { mailbox, items: list::status_items(cursor)? }
        }
        "GETQUOTA" => Verb::GetQuota(cursor.astring()?),
        "GETQUOTAROOT" => Verb::GetQuotaRoot(cursor.name()?),
        "SETQUOTA" => {
            cursor.astring()?;
            cursor.space()?;
            cursor.list(LIST_MAX, true, |cursor| cursor.astring())?;
            Verb::SetQuota
        }
        "ID" => {
            if !cursor.eats_word("NIL") {
                cursor.list(LIST_MAX, true, Cursor::nstring)?;
            }
            Verb::Id
        }
        // The receiver takes an APPEND that is one before it comes here.
        "APPEND" => {
            head(cursor, String::new())?;
            return Err(Syntax("APPEND takes one message as a literal"));
        }
        _ => return Err(Syntax("this command is unknown")),
    })
}

/// CREATE, with `(USE (\Sent))` (RFC 6154 §3).
fn create(cursor: &mut Cursor<'_>) -> Parsed<Verb> {
    let mailbox: Name = cursor.name()?;
    let mut special_use = Vec::new();
    if cursor.eats(b' ') && !cursor.is_at_end() {
        if !cursor.eats_word("(USE ") {
            return Err(Syntax("this parameter of CREATE is unknown"));
        }
        special_use = cursor.flags()?;
        cursor.expect(b')', "a parenthesis is missing")?;
    }
    Ok(Verb::Create { mailbox, special_use })
}
