//! The scanner: line by line, the open parts on a stack.

use bytes::Bytes;
use memchr::memchr;

use super::{
    DEPTH_MAX, Envelope, HEADER_BYTES_MAX, HEADER_LINES_MAX, Outline, PARAMS_MAX, PARTS_MAX, Part,
    TEXT_BYTES_MAX,
};
use crate::{Headers, Limits, charset, param::Value};

/// Octets of a body line that are kept: a delimiter is shorter (RFC 2046 §5.1.1 allows 70).
const LINE_BYTES_KEPT: usize = 1024;
/// A longer boundary delimits nothing.
const BOUNDARY_BYTES_MAX: usize = 512;

/// Reads a message in pieces.
pub struct Scanner {
    /// Octets before the line that is being read.
    at: u64,
    /// What is kept of that line, and how long it is so far.
    line: Vec<u8>,
    line_len: u64,
    /// The octet before the next one, across pieces.
    last: u8,
    /// Line ends before that line, and the length of the last of them.
    line_ends: u64,
    last_end: u64,
    /// The parts that are open, the root first.
    open: Vec<Open>,
    /// The header that is being read: of the top of the stack.
    header: Vec<u8>,
    header_lines: usize,
    parts: usize,
    budget: Budget,
}

/// A part whose end was not seen yet.
struct Open {
    part: Part,
    state: State,
    /// What a part without a type is (RFC 2046 §5.1.5).
    default: (&'static str, &'static str),
    /// It is a message, so it has an envelope.
    message: bool,
    /// Line ends before its body.
    line_ends: u64,
}

enum State {
    Header,
    /// Nothing in it is looked for.
    Leaf,
    /// Its parts are looked for.
    Multipart {
        boundary: Vec<u8>,
        digest: bool,
    },
    /// The message in it is the next on the stack.
    Message,
    /// After the close delimiter, or over the bound of parts.
    Epilogue,
}

/// Octets of text that may still be kept.
pub(super) struct Budget(usize);

impl Budget {
    /// The text if it still fits.
    pub(super) fn take(&mut self, text: String) -> Option<String> {
        self.0 = self.0.checked_sub(text.len())?;
        Some(text)
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// A scanner before the first octet.
    #[must_use]
    pub fn new() -> Self {
        let root = Open::new(0, ("text", "plain"), true);
        Self {
            at: 0,
            line: Vec::new(),
            line_len: 0,
            last: 0,
            line_ends: 0,
            last_end: 0,
            open: vec![root],
            header: Vec::new(),
            header_lines: 0,
            parts: 1,
            budget: Budget(TEXT_BYTES_MAX),
        }
    }

    /// The next octets.
    pub fn push(&mut self, mut octets: &[u8]) {
        while let Some(length) = memchr(b'\n', octets) {
            let (line, rest) = octets.split_at(length + 1);
            octets = rest;
            let before = if length > 0 { line.get(length - 1).copied().unwrap_or(0) } else { self.last };
            let line_end = if before == b'\r' { 2 } else { 1 };
            if self.line_len == 0 {
                self.end_line(line, line.len() as u64, line_end);
            } else {
                self.keep(line);
                let kept = std::mem::take(&mut self.line);
                self.end_line(&kept, self.line_len, line_end);
                self.line = kept;
                self.line.clear();
                self.line_len = 0;
            }
            self.last = b'\n';
        }
        self.keep(octets);
        self.last = octets.last().copied().unwrap_or(self.last);
    }

    /// No more octets come.
    #[must_use]
    pub fn finish(mut self) -> Outline {
        if self.line_len > 0 {
            let kept = std::mem::take(&mut self.line);
            self.end_line(&kept, self.line_len, 0);
        }
        let size = self.at;
        self.end_header(size, false);
        while self.open.len() > 1 {
            self.close(size, 0);
        }
        let line_ends = self.line_ends;
        let mut root = self.open.pop().map(|open| (open.line_ends, open.part)).unwrap_or_default();
        root.1.end = size;
        root.1.lines = line_ends.saturating_sub(root.0);
        Outline { size, root: root.1 }
    }

    fn keep(&mut self, octets: &[u8]) {
        let max = if self.in_header() { HEADER_BYTES_MAX } else { LINE_BYTES_KEPT };
        let room = max.saturating_sub(self.line.len()).min(octets.len());
        self.line.extend_from_slice(octets.get(..room).unwrap_or_default());
        self.line_len += octets.len() as u64;
    }

    fn in_header(&self) -> bool {
        self.open.last().is_some_and(|top| matches!(top.state, State::Header))
    }

    /// A line of `len` octets, of which `kept` is the beginning; its line end has `line_end` octets.
    fn end_line(&mut self, kept: &[u8], len: u64, line_end: u64) {
        let start = self.at;
        self.at += len;
        if kept.starts_with(b"--")
            && kept.len() as u64 == len
            && let Some((level, close)) = self.delimited(kept)
        {
            // Cut off inside of the delimiter line: it opens nothing.
            self.delimiter(level, close || line_end == 0, start);
        } else if self.in_header() {
            let blank = matches!(kept, b"\r\n" | b"\n");
            if !blank && self.header_lines < HEADER_LINES_MAX {
                let room = HEADER_BYTES_MAX.saturating_sub(self.header.len()).min(kept.len());
                self.header.extend_from_slice(kept.get(..room).unwrap_or_default());
                self.header_lines += 1;
            }
            self.line_ends += u64::from(line_end > 0);
            self.last_end = line_end;
            if blank {
                self.end_header(self.at, true);
            }
            return;
        }
        self.line_ends += u64::from(line_end > 0);
        self.last_end = line_end;
    }

    /// The outermost open multipart that this line delimits, and whether it closes it.
    fn delimited(&self, line: &[u8]) -> Option<(usize, bool)> {
        let line = line.get(2..)?.trim_ascii_end_of_line();
        self.open.iter().enumerate().find_map(|(level, open)| {
            let State::Multipart { boundary, .. } = &open.state else { return None };
            let tail = line.strip_prefix(boundary.as_slice())?;
            let blank = |rest: &[u8]| rest.iter().all(|octet| matches!(octet, b' ' | b'\t'));
            match tail.strip_prefix(b"--") {
                Some(rest) if blank(rest) => Some((level, true)),
                _ => blank(tail).then_some((level, false)),
            }
        })
    }

    /// A delimiter line of the multipart at `level`, at octet `start`; the line end before it belongs to it.
    fn delimiter(&mut self, level: usize, close: bool, start: u64) {
        let end = start.saturating_sub(self.last_end);
        while self.open.len() > level + 1 {
            // Of a multipart further in, the delimiter line itself was cut off: it opened nothing.
            let cut_off = self.open.len() > level + 2 && self.open.last().is_some_and(|o| end < o.part.start);
            self.close(end, u64::from(self.last_end > 0));
            if cut_off
                && let Some(parent) =
                    self.open.last_mut().filter(|o| matches!(o.state, State::Multipart { .. }))
            {
                parent.part.children.pop();
            }
        }
        let full = self.parts >= PARTS_MAX;
        let Some(top) = self.open.last_mut() else { return };
        let State::Multipart { digest, .. } = top.state else { return };
        if close || full {
            top.state = State::Epilogue;
            return;
        }
        let default = if digest { ("message", "rfc822") } else { ("text", "plain") };
        self.begin(Open::new(self.at, default, false));
    }

    fn begin(&mut self, open: Open) {
        self.parts += 1;
        self.header.clear();
        self.header_lines = 0;
        self.open.push(open);
    }

    /// Closes the top of the stack at `end`; `line_ends` of those seen belong to the delimiter.
    fn close(&mut self, end: u64, line_ends: u64) {
        self.end_header(end, false);
        let Some(mut top) = self.open.pop() else { return };
        let part = &mut top.part;
        part.end = end.max(part.start);
        part.body = part.body.clamp(part.start, part.end);
        let seen = self.line_ends.saturating_sub(line_ends);
        part.lines = if part.body == part.end { 0 } else { seen.saturating_sub(top.line_ends) };
        if let Some(parent) = self.open.last_mut() {
            parent.part.children.push(top.part);
        }
    }

    /// The header of the top of the stack is over, if it still was open; its body starts at `body`, if there is one.
    fn end_header(&mut self, body: u64, has_body: bool) {
        let depth = self.open.len();
        let room = self.parts < PARTS_MAX && depth <= DEPTH_MAX;
        let Some(top) = self.open.last_mut() else { return };
        if !matches!(top.state, State::Header) {
            return;
        }
        let header = Bytes::from(std::mem::take(&mut self.header));
        let limits = Limits { header_bytes: usize::MAX, header_fields: usize::MAX, ..Limits::default() };
        let headers = Headers::parse(&header, &limits).map(|(headers, _)| headers).unwrap_or_default();
        top.line_ends = self.line_ends;
        let part = &mut top.part;
        part.body = body;
        describe(part, &headers, top.default, &mut self.budget);
        if top.message {
            part.envelope = Some(Box::new(Envelope::read(&headers, &mut self.budget)));
        }
        top.state = State::Leaf;
        if !has_body || !room {
            return;
        }
        if part.is_multipart() {
            let kind = headers.first("Content-Type").map(|f| Value::parse(f.raw_body())).unwrap_or_default();
            let boundary = kind.get("boundary").unwrap_or_default().trim_end().as_bytes();
            let usable = !boundary.is_empty()
                && boundary.len() <= BOUNDARY_BYTES_MAX
                && !boundary.iter().any(|octet| matches!(octet, b'\r' | b'\n'));
            if usable {
                let digest = part.subtype.eq_ignore_ascii_case("digest");
                top.state = State::Multipart { boundary: boundary.to_vec(), digest };
            }
        } else if opens(part) {
            top.state = State::Message;
            self.begin(Open::new(body, ("text", "plain"), true));
        }
    }
}

impl Open {
    fn new(start: u64, default: (&'static str, &'static str), message: bool) -> Self {
        let part = Part { start, body: start, ..Part::default() };
        Self { part, state: State::Header, default, message, line_ends: 0 }
    }
}

/// Whether there is a message in it that can be read in place: `message/rfc822` must not be encoded (RFC 2046 §5.2.1).
fn opens(part: &Part) -> bool {
    let subtype = ["rfc822", "global"].iter().any(|s| part.subtype.eq_ignore_ascii_case(s));
    let encoding = part.encoding.as_deref().unwrap_or("7bit");
    let identity = ["7bit", "8bit", "binary"].iter().any(|e| encoding.eq_ignore_ascii_case(e));
    part.kind.eq_ignore_ascii_case("message") && subtype && identity
}

fn describe(part: &mut Part, headers: &Headers, default: (&str, &str), budget: &mut Budget) {
    let pairs = |pairs: Vec<(String, String)>, budget: &mut Budget| -> Vec<(String, String)> {
        pairs.into_iter().map_while(|(n, v)| Some((budget.take(n)?, budget.take(v)?))).collect()
    };
    let (kind, params) = headers
        .first("Content-Type")
        .map(|field| Value::parse_raw(&field.unfolded(), PARAMS_MAX))
        .unwrap_or_default();
    // No type, or none at all: the default, without its parameters (RFC 2045 §5.2).
    let named = kind.split_once('/').filter(|(kind, subtype)| !kind.is_empty() && !subtype.is_empty());
    let named = named
        .and_then(|(kind, subtype)| Some((budget.take(kind.to_owned())?, budget.take(subtype.to_owned())?)));
    (part.kind, part.subtype, part.params) = match named {
        Some((kind, subtype)) => (kind, subtype, pairs(params, budget)),
        None => (default.0.to_owned(), default.1.to_owned(), Vec::new()),
    };
    let text = |name: &str, budget: &mut Budget| {
        let field = headers.first(name)?;
        let text = charset::guess(&field.unfolded());
        if text.is_empty() { None } else { budget.take(text) }
    };
    part.id = text("Content-ID", budget);
    part.description = text("Content-Description", budget);
    part.md5 = text("Content-MD5", budget);
    part.location = text("Content-Location", budget);
    part.languages = headers.first("Content-Language").map_or_else(Vec::new, |field| {
        let text = charset::guess(&field.unfolded());
        let tags = text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).take(PARAMS_MAX);
        tags.map_while(|tag| budget.take(tag.to_owned())).collect()
    });
    part.encoding = headers.first("Content-Transfer-Encoding").and_then(|field| {
        let (value, _) = Value::parse_raw(&field.unfolded(), 0);
        if value.is_empty() { None } else { budget.take(value) }
    });
    part.disposition = headers.first("Content-Disposition").and_then(|field| {
        let (value, params) = Value::parse_raw(&field.unfolded(), PARAMS_MAX);
        if value.is_empty() { None } else { Some((budget.take(value)?, pairs(params, budget))) }
    });
}

trait Line {
    fn trim_ascii_end_of_line(&self) -> &[u8];
}

impl Line for [u8] {
    /// Without its line end.
    fn trim_ascii_end_of_line(&self) -> &[u8] {
        self.get(..self.len() - crate::line_end_len(self)).unwrap_or_default()
    }
}
