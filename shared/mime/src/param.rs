//! Values with parameters: `Content-Type`, `Content-Disposition` (RFC 2045 §5.1, RFC 2183) and RFC 2231.

use std::collections::BTreeMap;

use crate::{charset, cut, encode, word};

/// Above this a value is cut into RFC 2231 sections, so that no line becomes too long.
const QUOTED_MAX: usize = 900;
/// Characters of one RFC 2231 section.
const SECTION_MAX: usize = 56;

/// A value and its parameters, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// What stands before the first `;`, in lower case and without comments and white space: `text/plain`, `attachment`.
    pub value: String,
    /// Names in lower case, each once, in the order of appearance.
    pub params: Vec<(String, String)>,
}

impl Value {
    /// Reads a field body, folded or not; never fails. Names are found in a tree, so many of them take little longer.
    ///
    /// RFC 2231 sections and charsets are joined and decoded and win over the plain form of the same name; else the first
    /// of two equal names wins. Tolerated: RFC 2047 words in values, raw 8-bit text, unquoted values with spaces.
    pub fn parse(body: &[u8]) -> Value {
        let mut reader = Reader { octets: body, at: 0 };
        let value = lower(reader.value());
        let mut order: Vec<Gathered> = Vec::new();
        let mut known = Known::default();
        while let Some((name, text)) = reader.parameter() {
            let (name, kind) = classify(name);
            if name.is_empty() {
                continue;
            }
            let index = known.find(&order, &name).unwrap_or_else(|| {
                known.add(&order, &name);
                order.push(Gathered { name, ..Gathered::default() });
                order.len() - 1
            });
            if let Some(gathered) = order.get_mut(index) {
                gathered.add(kind, text);
            }
        }
        Value { value, params: order.into_iter().filter_map(Gathered::finish).collect() }
    }

    /// The same without decoding anything: names and values as they were transported, in their order, at most `max`
    /// of them. For who passes them on (RFC 9051 §7.5.2).
    pub fn parse_raw(body: &[u8], max: usize) -> (String, Vec<(String, String)>) {
        let mut reader = Reader { octets: body, at: 0 };
        let value = charset::guess(&reader.value());
        let mut params = Vec::new();
        while let Some((name, text)) = reader.parameter() {
            if params.len() >= max {
                break;
            }
            if !name.is_empty() {
                params.push((charset::guess(&name), charset::guess(&text)));
            }
        }
        (value, params)
    }

    /// Only what stands before the first `;`, as [`Self::value`].
    pub fn bare(body: &[u8]) -> String {
        let mut reader = Reader { octets: body, at: 0 };
        let mut value = charset::guess(&reader.value());
        value.make_ascii_lowercase();
        value
    }

    /// The parameter of that name, in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut params = self.params.iter();
        params.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Type and subtype; the subtype is empty where there is no `/`.
    pub fn media(&self) -> (&str, &str) {
        self.value.split_once('/').unwrap_or((&self.value, ""))
    }
}

/// A parameter as written into a field: `name=token`, `name="quoted string"` or RFC 2231 (`name*=UTF-8''…`, in sections
/// with `; ` between where it is long). [`Value::parse`] gives back `value`.
pub fn encode(name: &str, value: &str) -> String {
    if !value.is_empty() && value.len() <= QUOTED_MAX && !value.contains("=?") && value.bytes().all(is_token)
    {
        return format!("{name}={value}");
    }
    let printable = value.bytes().all(|octet| matches!(octet, b' '..=b'~'));
    if printable && value.len() <= QUOTED_MAX && !value.contains("=?") {
        return format!("{name}={}", encode::quoted_string(value));
    }
    extended(name, value)
}

fn extended(name: &str, value: &str) -> String {
    let mut sections = vec![String::from("UTF-8''")];
    for octet in value.bytes() {
        let mut piece = String::new();
        if is_token(octet) && !matches!(octet, b'*' | b'\'' | b'%') {
            piece.push(char::from(octet));
        } else {
            encode::push_escape(&mut piece, '%', octet);
        }
        match sections.last_mut() {
            Some(last) if last.len() + piece.len() <= SECTION_MAX => last.push_str(&piece),
            _ => sections.push(piece),
        }
    }
    match sections.as_slice() {
        [only] => format!("{name}*={only}"),
        many => {
            let numbered =
                many.iter().enumerate().map(|(number, section)| format!("{name}*{number}*={section}"));
            numbered.collect::<Vec<_>>().join("; ")
        }
    }
}

/// RFC 2045 §5.1.
fn is_token(octet: u8) -> bool {
    octet.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&octet)
}

#[derive(Clone, Copy)]
enum Kind {
    Plain,
    /// `name*=`
    Extended,
    /// `name*0=`, and with `true` `name*0*=`
    Section(u32, bool),
}

/// Which names there are. As a rule a handful: a tree of them begins where looking at each would take long.
#[derive(Default)]
struct Known(BTreeMap<String, usize>);

impl Known {
    /// Names that are looked at one by one.
    const FEW: usize = 8;

    fn find(&self, order: &[Gathered], name: &str) -> Option<usize> {
        let few = order.iter().take(Self::FEW).position(|known| known.name == name);
        few.or_else(|| self.0.get(name).copied())
    }

    fn add(&mut self, order: &[Gathered], name: &str) {
        if order.len() >= Self::FEW {
            self.0.insert(name.to_owned(), order.len());
        }
    }
}

/// Everything said under one name.
#[derive(Default)]
struct Gathered {
    name: String,
    plain: Option<Vec<u8>>,
    extended: Option<Vec<u8>>,
    sections: Vec<(u32, bool, Vec<u8>)>,
}

impl Gathered {
    fn add(&mut self, kind: Kind, text: Vec<u8>) {
        match kind {
            Kind::Plain => _ = self.plain.get_or_insert(text),
            Kind::Extended => _ = self.extended.get_or_insert(text),
            Kind::Section(number, extended) => self.sections.push((number, extended, text)),
        }
    }

    fn finish(mut self) -> Option<(String, String)> {
        if let Some(text) = self.extended {
            self.sections = vec![(0, true, text)];
        }
        self.sections.sort_by_key(|section| section.0);
        self.sections.dedup_by_key(|section| section.0);
        if self.sections.first().is_some_and(|section| section.0 == 0) {
            return Some((self.name, join(&self.sections)));
        }
        let plain = self.plain?;
        Some((self.name, word::decode(&plain)))
    }
}

/// The sections from 0 on, without a gap, as text of the charset that section 0 names (RFC 2231 §4.1).
fn join(sections: &[(u32, bool, Vec<u8>)]) -> String {
    let mut octets = Vec::new();
    let mut label = None;
    for (expected, (number, extended, text)) in (0..).zip(sections) {
        if *number != expected {
            break;
        }
        let mut text = text.as_slice();
        if *number == 0 && *extended {
            let mut pieces = text.splitn(3, |&octet| octet == b'\'');
            if let (Some(name), Some(_language), Some(rest)) = (pieces.next(), pieces.next(), pieces.next()) {
                label = Some(String::from_utf8_lossy(name).into_owned());
                text = rest;
            }
        }
        if *extended { octets.extend(encode::unescape(text, b'%')) } else { octets.extend_from_slice(text) }
    }
    match (label, sections.first()) {
        (Some(label), _) if !label.is_empty() => charset::decode(&label, &octets),
        (None, Some((_, false, _))) => word::decode(&octets),
        _ => charset::guess(&octets),
    }
}

/// The name in lower case without its RFC 2231 marks, and what these say.
fn classify(name: Vec<u8>) -> (String, Kind) {
    let name = lower(name);
    if !name.contains('*') {
        return (name, Kind::Plain);
    }
    let (bare, extended) = match name.strip_suffix('*') {
        Some(bare) => (bare, true),
        None => (name.as_str(), false),
    };
    if let Some((base, number)) = bare.rsplit_once('*')
        && let Ok(number) = number.parse()
    {
        return (base.to_owned(), Kind::Section(number, extended));
    }
    (bare.to_owned(), if extended { Kind::Extended } else { Kind::Plain })
}

/// Text in lower case; what is not UTF-8 becomes U+FFFD.
fn lower(octets: Vec<u8>) -> String {
    let text = String::from_utf8(octets);
    let mut text = text.unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
    text.make_ascii_lowercase();
    text
}

struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.octets.get(self.at).copied()
    }

    /// Up to the first `;`, without comments and white space.
    fn value(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        loop {
            self.skip_space();
            let word = self.until(|octet| matches!(octet, b';' | b'(') || octet.is_ascii_whitespace());
            out.extend_from_slice(word);
            match self.peek() {
                None | Some(b';') => return out,
                _ => {}
            }
        }
    }

    /// The next `; name=value`. A parameter without `=` has an empty name.
    fn parameter(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        self.until(|octet| octet == b';');
        self.peek()?;
        self.at += 1;
        self.skip_space();
        let name = self.until(|octet| matches!(octet, b';' | b'=')).trim_ascii().to_vec();
        if self.peek() != Some(b'=') {
            return Some((Vec::new(), Vec::new()));
        }
        self.at += 1;
        self.skip_space();
        let text = if self.peek() == Some(b'"') { self.quoted() } else { self.unquoted() };
        Some((name, text))
    }

    /// From here to the first octet that stops, or to the end.
    fn until(&mut self, stops: impl Fn(u8) -> bool) -> &[u8] {
        let start = self.at;
        let rest = cut(self.octets, start, self.octets.len());
        self.at = start + rest.iter().position(|&octet| stops(octet)).unwrap_or(rest.len());
        cut(self.octets, start, self.at)
    }

    /// A quoted string from its first quote on; line ends inside are folding.
    fn quoted(&mut self) -> Vec<u8> {
        self.at += 1;
        let mut out = self.until(|octet| matches!(octet, b'"' | b'\r' | b'\n' | b'\\')).to_vec();
        while let Some(octet) = self.peek() {
            self.at += 1;
            match octet {
                b'"' => break,
                b'\r' | b'\n' => {}
                b'\\' => {
                    out.extend(self.peek());
                    self.at += 1;
                }
                _ => out.push(octet),
            }
        }
        out
    }

    /// Up to `;`, without a comment after white space (`us-ascii (plain text)`; but `copy(1).pdf` stays whole).
    fn unquoted(&mut self) -> Vec<u8> {
        let text = self.until(|octet| octet == b';');
        let comment =
            text.windows(2).position(|pair| matches!(pair, [before, b'('] if before.is_ascii_whitespace()));
        let text = cut(text, 0, comment.unwrap_or(text.len())).trim_ascii();
        text.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect()
    }

    /// White space and comments, however deeply nested.
    fn skip_space(&mut self) {
        let mut depth = 0usize;
        while let Some(octet) = self.peek() {
            match octet {
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                b'\\' if depth > 0 => self.at += 1,
                _ if depth > 0 || octet.is_ascii_whitespace() => {}
                _ => return,
            }
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests;
