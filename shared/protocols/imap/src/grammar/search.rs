//! SEARCH and SORT (RFC 9051 §6.4.4, RFC 5256, RFC 7162 §3.1.5).

use super::{
    Syntax,
    cursor::{Cursor, Parsed},
};
use crate::{
    command::{By, Key, Order, OrderBy, Results, Search, When, Who},
    limits::{LIST_MAX, NESTING_MAX, SEARCH_KEYS_MAX},
};

/// Why a search was not understood.
pub(super) const CHARSET: Syntax = Syntax("only US-ASCII and UTF-8 are searched in");

/// After `SEARCH `.
pub(super) fn search(cursor: &mut Cursor<'_>, by: By) -> Parsed<Search> {
    let results = results(cursor)?;
    if cursor.eats_word("CHARSET ") {
        charset(cursor)?;
        cursor.space()?;
    }
    let key = Keys { left: SEARCH_KEYS_MAX }.all(cursor, NESTING_MAX)?;
    cursor.end()?;
    Ok(Search { by, results, key, order: None })
}

/// After `SORT `.
pub(super) fn sort(cursor: &mut Cursor<'_>, by: By) -> Parsed<Search> {
    let results = results(cursor)?;
    let mut reverse = false;
    let criteria = cursor.list(LIST_MAX, false, |cursor| {
        let by = match cursor.word().as_str() {
            "REVERSE" if !reverse => {
                reverse = true;
                return Ok(None);
            }
            "ARRIVAL" => OrderBy::Arrival,
            "CC" => OrderBy::Cc,
            "DATE" => OrderBy::Date,
            "FROM" => OrderBy::From,
            "SIZE" => OrderBy::Size,
            "SUBJECT" => OrderBy::Subject,
            "TO" => OrderBy::To,
            _ => return Err(Syntax("this criterion of SORT is unknown")),
        };
        Ok(Some(Order { by, reverse: std::mem::take(&mut reverse) }))
    })?;
    if reverse {
        return Err(Syntax("REVERSE goes before a criterion"));
    }
    cursor.space()?;
    charset(cursor)?;
    cursor.space()?;
    let key = Keys { left: SEARCH_KEYS_MAX }.all(cursor, NESTING_MAX)?;
    cursor.end()?;
    Ok(Search { by, results, key, order: Some(criteria.into_iter().flatten().collect()) })
}

fn charset(cursor: &mut Cursor<'_>) -> Parsed<()> {
    let name = cursor.astring()?;
    let known = ["US-ASCII", "UTF-8"].iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
    if known { Ok(()) } else { Err(CHARSET) }
}

fn results(cursor: &mut Cursor<'_>) -> Parsed<Option<Results>> {
    if !cursor.eats_word("RETURN ") {
        return Ok(None);
    }
    let mut results = Results::default();
    let options = cursor.list(LIST_MAX, true, |cursor| {
        match cursor.word().as_str() {
            "MIN" => results.min = true,
            "MAX" => results.max = true,
            "ALL" => results.all = true,
            "COUNT" => results.count = true,
            "SAVE" => results.save = true,
            _ => return Err(Syntax("this option of RETURN is unknown")),
        }
        Ok(())
    })?;
    // RFC 9051 §6.4.4: no option is ALL.
    results.all |= options.is_empty();
    cursor.space()?;
    Ok(Some(results))
}

struct Keys {
    left: usize,
}

impl Keys {
    /// Keys with spaces between, up to the end or a parenthesis; all of them must hold.
    fn all(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Parsed<Key> {
        let mut keys = vec![self.key(cursor, depth)?];
        while !cursor.is_at_end() && cursor.peek() != Some(b')') {
            cursor.space()?;
            if cursor.is_at_end() {
                break;
            }
            keys.push(self.key(cursor, depth)?);
        }
        let last = keys.pop();
        Ok(match last {
            Some(only) if keys.is_empty() => only,
            last => {
                keys.extend(last);
                Key::And(keys)
            }
        })
    }

    fn key(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Parsed<Key> {
        let below = depth.checked_sub(1).ok_or(Syntax("a search is nested too deeply"))?;
        self.left = self.left.checked_sub(1).ok_or(Syntax("a search has too many keys"))?;
        match cursor.peek() {
            Some(b'(') => {
                cursor.expect(b'(', "a parenthesis is missing")?;
                let keys = self.all(cursor, below)?;
                cursor.expect(b')', "a parenthesis is missing")?;
                return Ok(keys);
            }
            Some(b'0'..=b'9' | b'*' | b'$') => return cursor.set().map(Key::Sequence),
            _ => {}
        }
        let name = cursor.word();
        match name.as_str() {
            "NOT" => {
                cursor.space()?;
                Ok(not(self.key(cursor, below)?))
            }
            "OR" => {
                cursor.space()?;
                let first = self.key(cursor, below)?;
                cursor.space()?;
                Ok(Key::Or(Box::new(first), Box::new(self.key(cursor, below)?)))
            }
            _ => simple(cursor, &name),
        }
    }
}

fn not(key: Key) -> Key {
    Key::Not(Box::new(key))
}

/// A key without keys in it.
fn simple(cursor: &mut Cursor<'_>, name: &str) -> Parsed<Key> {
    let flag = |name: &str| Key::Flag(format!("\\{name}"));
    Ok(match name {
        "ALL" => Key::All,
        "ANSWERED" | "DELETED" | "DRAFT" | "FLAGGED" | "SEEN" => flag(name),
        "UNANSWERED" | "UNDELETED" | "UNDRAFT" | "UNFLAGGED" | "UNSEEN" => {
            not(flag(name.strip_prefix("UN").unwrap_or_default()))
        }
        "RECENT" => Key::Recent,
        "OLD" => not(Key::Recent),
        "NEW" => Key::And(vec![Key::Recent, not(flag("SEEN"))]),
        "" => return Err(Syntax("a search key is missing")),
        _ => {
            cursor.space()?;
            with_argument(cursor, name)?
        }
    })
}

fn with_argument(cursor: &mut Cursor<'_>, name: &str) -> Parsed<Key> {
    Ok(match name {
        "KEYWORD" => Key::Flag(cursor.atom()?),
        "UNKEYWORD" => not(Key::Flag(cursor.atom()?)),
        "UID" => Key::Uid(cursor.set()?),
        "LARGER" => Key::Larger(cursor.number64()?),
        "SMALLER" => Key::Smaller(cursor.number64()?),
        "BEFORE" => Key::Internal(When::Before, cursor.day()?),
        "ON" => Key::Internal(When::On, cursor.day()?),
        "SINCE" => Key::Internal(When::Since, cursor.day()?),
        "SENTBEFORE" => Key::Sent(When::Before, cursor.day()?),
        "SENTON" => Key::Sent(When::On, cursor.day()?),
        "SENTSINCE" => Key::Sent(When::Since, cursor.day()?),
        "FROM" => Key::Address(Who::From, text(cursor)?),
        "TO" => Key::Address(Who::To, text(cursor)?),
        "CC" => Key::Address(Who::Cc, text(cursor)?),
        "BCC" => Key::Address(Who::Bcc, text(cursor)?),
        "SUBJECT" => Key::Subject(text(cursor)?),
        "BODY" => Key::Body(text(cursor)?),
        "TEXT" => Key::Text(text(cursor)?),
        "HEADER" => {
            let name = String::from_utf8_lossy(&cursor.astring()?).into_owned();
            cursor.space()?;
            Key::Header(name, text(cursor)?)
        }
        "MODSEQ" => {
            // An entry's name and type may come before the number; flags have one MODSEQ for all (RFC 7162 §3.1.5).
            if cursor.peek() == Some(b'"') {
                cursor.string()?;
                cursor.space()?;
                cursor.word();
                cursor.space()?;
            }
            Key::ModSeq(cursor.modseq()?)
        }
        _ => return Err(Syntax("this search key is unknown")),
    })
}

/// What is looked for: in lower case, as everything it is looked for in.
fn text(cursor: &mut Cursor<'_>) -> Parsed<String> {
    let text = String::from_utf8(cursor.astring()?).map_err(|_| Syntax("a text is not UTF-8"))?;
    Ok(text.to_lowercase())
}
