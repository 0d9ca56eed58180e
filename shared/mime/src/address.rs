//! Address lists (RFC 5322 §3.4).

use memchr::memmem;

use crate::{MimeError, cut, encode, word};

/// Comments within comments.
const COMMENT_DEPTH_MAX: usize = 32;
/// An encoded word may hold octets that are special elsewhere; longer ones may not.
const ENCODED_WORD_MAX: usize = 256;

/// One mailbox of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// The display name, decoded; none if it is empty.
    pub name: Option<String>,
    /// `local@domain` in ASCII, without comments, white space and route; the local part quoted only where it must be.
    pub addr_spec: String,
}

impl Mailbox {
    /// As written into a field: `addr-spec`, or `phrase <addr-spec>`.
    pub fn encode(&self) -> String {
        match &self.name {
            Some(name) => format!("{} <{}>", word::encode_phrase(name), self.addr_spec),
            None => self.addr_spec.clone(),
        }
    }
}

/// The mailboxes of a field body, folded or not; groups are flattened. An empty body is an empty list.
///
/// Tolerated beyond the grammar in force: the obsolete forms (empty elements, routes, dots in phrases, white space
/// and comments around dots), 8-bit text and encoded words with specials in display names.
///
/// # Errors
/// [`MimeError::Address`] for anything that is no address list, [`MimeError::TooManyAddresses`] above `max`.
pub fn parse_list(field_body: &[u8], max: usize) -> Result<Vec<Mailbox>, MimeError> {
    let mut lexer = Lexer { octets: field_body, at: 0 };
    let mut list = List { mailboxes: Vec::new(), max };
    let mut in_group = false;
    let mut words: Vec<Token> = Vec::new(); // of the element being read
    loop {
        let token = lexer.next()?;
        let offset = token.offset;
        match token.kind {
            Kind::End if in_group => return expected(offset, "`;` at the end of the group"),
            Kind::End => {
                list.bare(&words, offset)?;
                return Ok(list.mailboxes);
            }
            Kind::Special(b',') => list.bare(&std::mem::take(&mut words), offset)?,
            Kind::Special(b';') if in_group => {
                list.bare(&std::mem::take(&mut words), offset)?;
                in_group = false;
                lexer.separator()?;
            }
            Kind::Special(b':') if !in_group && !words.is_empty() => {
                phrase(&words)?;
                words.clear();
                in_group = true;
            }
            Kind::Special(b'<') => {
                let name = phrase(&std::mem::take(&mut words))?;
                list.push(name, lexer.angle(offset)?)?;
                lexer.separator()?;
            }
            Kind::Special(b'>' | b';' | b':') => return expected(offset, "an address"),
            _ => words.push(token),
        }
    }
}

struct List {
    mailboxes: Vec<Mailbox>,
    max: usize,
}

impl List {
    /// An element without angle brackets.
    fn bare(&mut self, tokens: &[Token], end: usize) -> Result<(), MimeError> {
        if tokens.is_empty() {
            return Ok(());
        }
        self.push(None, addr_spec(tokens, end)?)
    }

    fn push(&mut self, name: Option<String>, addr_spec: String) -> Result<(), MimeError> {
        if self.mailboxes.len() >= self.max {
            return Err(MimeError::TooManyAddresses { max: self.max });
        }
        self.mailboxes.push(Mailbox { name, addr_spec });
        Ok(())
    }
}

fn expected<T>(offset: usize, expected: &'static str) -> Result<T, MimeError> {
    Err(MimeError::Address { offset, expected })
}

/// A display name from its words; none if nothing is in it.
fn phrase(tokens: &[Token]) -> Result<Option<String>, MimeError> {
    let mut raw = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        if token.spaced && index > 0 {
            raw.push(b' ');
        }
        match &token.kind {
            Kind::Atom(text) | Kind::Quoted(text) => raw.extend_from_slice(text),
            Kind::Special(b'.') => raw.push(b'.'),
            _ => return expected(token.offset, "a display name"),
        }
    }
    let name = word::decode(&raw);
    Ok(Some(name).filter(|name| !name.is_empty()))
}

/// `local@domain` from the tokens of one address.
fn addr_spec(tokens: &[Token], end: usize) -> Result<String, MimeError> {
    let at_sign = |token: &Token| matches!(token.kind, Kind::Special(b'@'));
    let mut sides = tokens.split(at_sign);
    let (Some(local), Some(domain), None) = (sides.next(), sides.next(), sides.next()) else {
        return expected(tokens.first().map_or(end, |token| token.offset), "one `@`");
    };
    let split = tokens.iter().find(|token| at_sign(token)).map_or(end, |token| token.offset);
    let local = dotted(local, split, |kind| match kind {
        Kind::Atom(text) | Kind::Quoted(text) => Some(text),
        _ => None,
    })?;
    let domain = match domain {
        [Token { kind: Kind::Literal(text), .. }] => ascii(text, split)?.to_owned(),
        labels => dotted(labels, end, |kind| match kind {
            Kind::Atom(text) => Some(text),
            _ => None,
        })?,
    };
    let is_dot_atom = local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(encode::is_atext));
    let local = if is_dot_atom { local } else { encode::quoted_string(&local) };
    Ok(format!("{local}@{domain}"))
}

/// Words with one dot between any two of them.
fn dotted(
    tokens: &[Token],
    end: usize,
    word: impl Fn(&Kind) -> Option<&Vec<u8>>,
) -> Result<String, MimeError> {
    let mut out = String::new();
    let mut rest = tokens.iter();
    loop {
        let Some(token) = rest.next() else { return expected(end, "an atom") };
        let Some(text) = word(&token.kind) else { return expected(token.offset, "an atom") };
        out.push_str(ascii(text, token.offset)?);
        match rest.next() {
            None => return Ok(out),
            Some(Token { kind: Kind::Special(b'.'), .. }) => out.push('.'),
            Some(other) => return expected(other.offset, "a dot"),
        }
    }
}

/// Printable ASCII (and space, in quoted strings), as an address must be.
fn ascii(text: &[u8], offset: usize) -> Result<&str, MimeError> {
    match std::str::from_utf8(text) {
        Ok(text) if text.bytes().all(|octet| matches!(octet, b' '..=b'~')) => Ok(text),
        _ => expected(offset, "printable ASCII"),
    }
}

struct Token {
    kind: Kind,
    offset: usize,
    /// White space or a comment stands before it.
    spaced: bool,
}

enum Kind {
    /// A run of atext and 8-bit octets, or an encoded word.
    Atom(Vec<u8>),
    /// The content of a quoted string.
    Quoted(Vec<u8>),
    /// A domain literal with its brackets.
    Literal(Vec<u8>),
    /// One of `<>@,;:.`
    Special(u8),
    End,
}

struct Lexer<'a> {
    octets: &'a [u8],
    at: usize,
}

impl Lexer<'_> {
    fn next(&mut self) -> Result<Token, MimeError> {
        let start = self.at;
        self.skip_space()?;
        let (offset, spaced) = (self.at, self.at > start);
        let kind = match self.peek() {
            None => Kind::End,
            Some(b'"') => Kind::Quoted(self.quoted()?),
            Some(b'[') => Kind::Literal(self.literal()?),
            Some(octet) if b"<>@,;:.".contains(&octet) => {
                self.at += 1;
                Kind::Special(octet)
            }
            Some(octet) if is_word(octet) => Kind::Atom(self.atom()),
            Some(_) => return expected(offset, "an address"),
        };
        Ok(Token { kind, offset, spaced })
    }

    /// After `<`: an optional route (RFC 5322 §4.4), the address, `>`.
    fn angle(&mut self, open: usize) -> Result<String, MimeError> {
        let mut tokens = Vec::new();
        loop {
            let token = self.next()?;
            match token.kind {
                Kind::Special(b'>') => return addr_spec(&tokens, token.offset),
                Kind::End => return expected(open, "`>` for this `<`"),
                Kind::Special(b':') if starts_with_at(&tokens) => tokens.clear(),
                Kind::Special(b',') if starts_with_at(&tokens) => {}
                Kind::Special(b'<' | b':' | b',' | b';') => return expected(token.offset, "an address"),
                _ => tokens.push(token),
            }
        }
    }

    /// A `,`, which is consumed, or a `;` or the end, which are not.
    fn separator(&mut self) -> Result<(), MimeError> {
        self.skip_space()?;
        match self.peek() {
            Some(b',') => self.at += 1,
            None | Some(b';') => {}
            Some(_) => return expected(self.at, "`,`"),
        }
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.octets.get(self.at).copied()
    }

    /// White space and comments.
    fn skip_space(&mut self) -> Result<(), MimeError> {
        let mut depth = 0;
        while let Some(octet) = self.peek() {
            match octet {
                b'(' if depth == COMMENT_DEPTH_MAX => {
                    return expected(self.at, "fewer comments within comments");
                }
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                b'\\' if depth > 0 => self.at += 1,
                _ if depth > 0 || octet.is_ascii_whitespace() => {}
                _ => return Ok(()),
            }
            self.at += 1;
        }
        if depth > 0 { expected(self.octets.len(), "`)`") } else { Ok(()) }
    }

    fn atom(&mut self) -> Vec<u8> {
        let rest = cut(self.octets, self.at, self.octets.len());
        let length = encoded_word_len(rest)
            .unwrap_or_else(|| rest.iter().position(|&octet| !is_word(octet)).unwrap_or(rest.len()));
        self.at += length;
        cut(rest, 0, length).to_vec()
    }

    fn quoted(&mut self) -> Result<Vec<u8>, MimeError> {
        let open = self.at;
        let mut out = Vec::new();
        self.at += 1;
        while let Some(octet) = self.peek() {
            self.at += 1;
            match octet {
                b'"' => return Ok(out),
                b'\r' | b'\n' => {} // folding
                b'\\' => {
                    out.extend(self.peek());
                    self.at += 1;
                }
                _ => out.push(octet),
            }
        }
        expected(open, "a second quote")
    }

    fn literal(&mut self) -> Result<Vec<u8>, MimeError> {
        let rest = cut(self.octets, self.at, self.octets.len());
        let Some(end) = memchr::memchr(b']', rest) else { return expected(self.at, "`]`") };
        self.at += end + 1;
        Ok(cut(rest, 0, end + 1).iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect())
    }
}

fn starts_with_at(tokens: &[Token]) -> bool {
    matches!(tokens.first(), Some(Token { kind: Kind::Special(b'@'), .. }))
}

fn is_word(octet: u8) -> bool {
    encode::is_atext(octet) || !octet.is_ascii()
}

/// The length of the encoded word that `rest` starts with, which must not hold white space or angle brackets.
fn encoded_word_len(rest: &[u8]) -> Option<usize> {
    let head = cut(rest, 0, rest.len().min(ENCODED_WORD_MAX)).strip_prefix(b"=?")?;
    let charset = memchr::memchr(b'?', head)?;
    let text = head.get(charset + 3..)?; // after `?B?` or `?Q?`
    let length = 2 + charset + 3 + memmem::find(text, b"?=")? + 2;
    let is_plain = |&octet: &u8| !octet.is_ascii_whitespace() && !matches!(octet, b'<' | b'>' | b'"');
    cut(rest, 0, length).iter().all(is_plain).then_some(length)
}

#[cfg(test)]
mod tests;
