//! Byte-exact splitting of multipart bodies (RFC 2046 §5.1.1).

use std::{ops::Range, sync::LazyLock};

use bytes::Bytes;
use memchr::{memchr, memmem};

use crate::{MimeError, cut, share};

/// A multipart body in its parts: slices of the body, nothing is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// What stands before the first delimiter, without the line end that belongs to it.
    pub preamble: Bytes,
    /// Each part: its header, blank line and content, without the line end before the next delimiter.
    pub parts: Vec<Bytes>,
    /// What follows the line of the close delimiter.
    pub epilogue: Bytes,
    /// Was there a close delimiter? Without it the last part runs to the end of the body.
    pub closed: bool,
}

/// The same as ranges of octets within the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges {
    /// See [`Split::preamble`].
    pub preamble: Range<usize>,
    /// See [`Split::parts`].
    pub parts: Vec<Range<usize>>,
    /// See [`Split::epilogue`].
    pub epilogue: Range<usize>,
    /// See [`Split::closed`].
    pub closed: bool,
}

/// Splits `body` at the delimiters of `boundary`, in time linear in the body.
///
/// A delimiter is a line of `--boundary`, or `--boundary--` for the last, with nothing but spaces and tabs after it;
/// the CRLF (or LF) before it belongs to it. Without any delimiter all is preamble.
///
/// # Errors
/// [`MimeError::Boundary`], or [`MimeError::TooManyParts`] above `max_parts`.
pub fn multipart(body: &Bytes, boundary: &[u8], max_parts: usize) -> Result<Split, MimeError> {
    let ranges = ranges(body, boundary, max_parts)?;
    let piece = |range: &Range<usize>| share(body, range.start, range.end);
    Ok(Split {
        preamble: piece(&ranges.preamble),
        parts: ranges.parts.iter().map(piece).collect(),
        epilogue: piece(&ranges.epilogue),
        closed: ranges.closed,
    })
}

/// As [`multipart`], but where the parts are instead of what they are.
///
/// # Errors
/// As [`multipart`].
pub fn ranges(body: &[u8], boundary: &[u8], max_parts: usize) -> Result<Ranges, MimeError> {
    if boundary.is_empty() || boundary.iter().any(|octet| matches!(octet, b'\r' | b'\n')) {
        return Err(MimeError::Boundary);
    }
    let dashed = [b"--", boundary].concat();
    let mut out = Ranges {
        preamble: 0..body.len(),
        parts: Vec::new(),
        epilogue: body.len()..body.len(),
        closed: false,
    };
    let mut open: Option<usize> = None; // where the part being read starts
    let mut from = 0;
    while let Some(delimiter) = next_delimiter(body, &dashed, from) {
        match open {
            None => out.preamble = 0..delimiter.content_end,
            // Two delimiters in a row share one line end: the part between is empty.
            Some(start) => push(&mut out.parts, start..delimiter.content_end.max(start), max_parts)?,
        }
        from = delimiter.line_end;
        if delimiter.close {
            out.closed = true;
            out.epilogue = from..body.len();
            return Ok(out);
        }
        open = Some(from);
        if !delimiter.has_line_end {
            return Ok(out); // cut off inside the delimiter line: it opens nothing
        }
    }
    if let Some(start) = open {
        push(&mut out.parts, start..body.len(), max_parts)?;
    }
    Ok(out)
}

struct Delimiter {
    /// Where the content before it ends, its own leading line end excluded.
    content_end: usize,
    /// Where the line after it starts.
    line_end: usize,
    has_line_end: bool,
    close: bool,
}

/// The next delimiter line at or after `at`, which is the start of a line.
fn next_delimiter(body: &[u8], dashed: &[u8], mut at: usize) -> Option<Delimiter> {
    // Few lines begin with dashes. To prepare a search for one boundary takes longer than to look at these.
    static DASHES: LazyLock<memmem::Finder<'_>> = LazyLock::new(|| memmem::Finder::new(b"\n--"));
    loop {
        let rest = body.get(at..)?;
        if let Some(after) = rest.strip_prefix(dashed) {
            let (length, has_line_end) = match memchr(b'\n', after) {
                Some(length) => (length + 1, true),
                None => (after.len(), false),
            };
            if let Some(close) = delimiter_tail(cut(after, 0, length)) {
                let content_end = at - crate::line_end_len(cut(body, 0, at));
                let line_end = at + dashed.len() + length;
                return Some(Delimiter { content_end, line_end, has_line_end, close });
            }
        }
        at += DASHES.find(rest)? + 1;
    }
}

/// What follows the boundary on its line: nothing (`false`), `--` (`true`), or it is no delimiter.
fn delimiter_tail(tail: &[u8]) -> Option<bool> {
    let tail = cut(tail, 0, tail.len() - crate::line_end_len(tail));
    let blank = |rest: &[u8]| rest.iter().all(|octet| matches!(octet, b' ' | b'\t'));
    match tail.strip_prefix(b"--") {
        Some(rest) if blank(rest) => Some(true),
        _ => blank(tail).then_some(false),
    }
}

fn push(parts: &mut Vec<Range<usize>>, part: Range<usize>, max: usize) -> Result<(), MimeError> {
    if parts.len() >= max {
        return Err(MimeError::TooManyParts { max });
    }
    parts.push(part);
    Ok(())
}

#[cfg(test)]
mod tests;
