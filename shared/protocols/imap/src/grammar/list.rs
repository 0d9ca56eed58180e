//! LIST, STATUS, SELECT (RFC 9051 §6.3; RFC 5258, RFC 5819, RFC 6154; RFC 7162 §3.2.5).

use super::{
    Syntax,
    cursor::{Cursor, Parsed},
};
use crate::{
    command::{List, Name, Resync, Select, StatusItem},
    limits::LIST_MAX,
};

/// After `LIST `.
pub(super) fn list(cursor: &mut Cursor<'_>) -> Parsed<List> {
    let mut list = List {
        reference: Name(Vec::new()),
        patterns: Vec::new(),
        subscribed_only: false,
        special_only: false,
        recursive: false,
        extended: false,
        return_subscribed: false,
        return_status: Vec::new(),
    };
    if cursor.peek() == Some(b'(') {
        list.extended = true;
        for option in cursor.list(LIST_MAX, true, |cursor| Ok(cursor.word()))? {
            match option.as_str() {
                "SUBSCRIBED" => list.subscribed_only = true,
                "SPECIAL-USE" => list.special_only = true,
                "RECURSIVEMATCH" => list.recursive = true,
                "REMOTE" => {}
                _ => return Err(Syntax("this option of LIST is unknown")),
            }
        }
        if list.recursive && !list.subscribed_only && !list.special_only {
            return Err(Syntax("RECURSIVEMATCH goes with another option"));
        }
        cursor.space()?;
    }
    list.reference = cursor.name()?;
    cursor.space()?;
    list.patterns = if cursor.peek() == Some(b'(') {
        list.extended = true;
        cursor.list(LIST_MAX, false, Cursor::pattern)?
    } else {
        vec![cursor.pattern()?]
    };
    if !cursor.is_at_end() {
        cursor.space()?;
        if !cursor.eats_word("RETURN ") {
            return Err(Syntax("RETURN is missing"));
        }
        list.extended = true;
        cursor.list(LIST_MAX, true, |cursor| returned(cursor, &mut list))?;
    }
    cursor.end()?;
    Ok(list)
}

fn returned(cursor: &mut Cursor<'_>, list: &mut List) -> Parsed<()> {
    match cursor.word().as_str() {
        "SUBSCRIBED" => list.return_subscribed = true,
        "CHILDREN" | "SPECIAL-USE" => {} // always said
        "STATUS" => {
            cursor.space()?;
            list.return_status = status_items(cursor)?;
        }
        _ => return Err(Syntax("this option of LIST is unknown")),
    }
    Ok(())
}

/// `(MESSAGES UNSEEN)`
pub(super) fn status_items(cursor: &mut Cursor<'_>) -> Parsed<Vec<StatusItem>> {
    cursor.list(LIST_MAX, false, |cursor| {
        Ok(match cursor.word().as_str() {
            "MESSAGES" => StatusItem::Messages,
            "RECENT" => StatusItem::Recent,
            "UIDNEXT" => StatusItem::UidNext,
            "UIDVALIDITY" => StatusItem::UidValidity,
            "UNSEEN" => StatusItem::Unseen,
            "DELETED" => StatusItem::Deleted,
            "SIZE" => StatusItem::Size,
            "HIGHESTMODSEQ" => StatusItem::HighestModSeq,
            _ => return Err(Syntax("this item of STATUS is unknown")),
        })
    })
}

/// After `SELECT ` or `EXAMINE `.
pub(super) fn select(cursor: &mut Cursor<'_>, read_only: bool) -> Parsed<Select> {
    let mut select = Select { mailbox: cursor.name()?, read_only, condstore: false, qresync: None };
    if !cursor.is_at_end() {
        cursor.space()?;
        cursor.list(LIST_MAX, false, |cursor| {
            match cursor.word().as_str() {
                "CONDSTORE" => select.condstore = true,
                "QRESYNC" => {
                    cursor.space()?;
                    select.qresync = Some(resync(cursor)?);
                }
                _ => return Err(Syntax("this parameter of SELECT is unknown")),
            }
            Ok(())
        })?;
    }
    cursor.end()?;
    Ok(select)
}

/// `(uidvalidity modseq [known-uids] [(known sequence numbers, their UIDs)])`. The last of these only saves octets:
/// what it names is answered for anyway.
fn resync(cursor: &mut Cursor<'_>) -> Parsed<Resync> {
    cursor.expect(b'(', "a parenthesis is missing")?;
    let uidvalidity = cursor.nonzero()?;
    cursor.space()?;
    let modseq = cursor.modseq()?;
    let mut known = None;
    if cursor.eats(b' ') {
        if cursor.peek() != Some(b'(') {
            known = Some(cursor.set()?);
            cursor.eats(b' ');
        }
        if cursor.eats(b'(') {
            cursor.set()?;
            cursor.space()?;
            cursor.set()?;
            cursor.expect(b')', "a parenthesis is missing")?;
        }
    }
    cursor.expect(b')', "a parenthesis is missing")?;
    Ok(Resync { uidvalidity, modseq, known })
}
