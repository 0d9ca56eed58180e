//! The tokens of a command: atoms, strings, numbers, sets.

use super::Syntax;
use crate::command::{Name, Set};

/// A place in a command, which holds its literals in place: `{5}`, CRLF, five octets.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

pub(super) type Parsed<T> = Result<T, Syntax>;

impl<'a> Cursor<'a> {
    pub(super) const fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn step(&mut self, octets: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at_checked(octets).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    /// Takes this octet if it is next.
    pub(super) fn eats(&mut self, octet: u8) -> bool {
        let is_next = self.peek() == Some(octet);
        if is_next {
            self.step(1);
        }
        is_next
    }

    /// Takes this word, in any case, if it is next.
    pub(super) fn eats_word(&mut self, word: &str) -> bool {
        let is_next =
            self.rest.get(..word.len()).is_some_and(|next| next.eq_ignore_ascii_case(word.as_bytes()));
        if is_next {
            self.step(word.len());
        }
        is_next
    }

    pub(super) fn expect(&mut self, octet: u8, why: &'static str) -> Parsed<()> {
        if self.eats(octet) { Ok(()) } else { Err(Syntax(why)) }
    }

    /// One space; a few clients send more.
    pub(super) fn space(&mut self) -> Parsed<()> {
        self.expect(b' ', "a space is missing")?;
        while self.eats(b' ') {}
        Ok(())
    }

    /// The end of the command; white space before it is forgiven.
    pub(super) fn end(&mut self) -> Parsed<()> {
        while self.eats(b' ') {}
        if self.is_at_end() { Ok(()) } else { Err(Syntax("there is more than the command takes")) }
    }

    fn while_(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self.rest.iter().position(|octet| !wanted(*octet)).unwrap_or(self.rest.len());
        self.step(length)
    }

    /// Octets that a tag has (RFC 9051 §9 `tag`).
    pub(super) fn tag(&mut self) -> &'a [u8] {
        self.while_(|octet| is_astring(octet) && octet != b'+')
    }

    /// A word of letters, digits, dots and the like, in upper case.
    pub(super) fn word(&mut self) -> String {
        let word =
            self.while_(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'=' | b'_'));
        String::from_utf8_lossy(word).to_ascii_uppercase()
    }

    /// An atom.
    pub(super) fn atom(&mut self) -> Parsed<String> {
        let atom = self.while_(is_atom);
        if atom.is_empty() {
            Err(Syntax("an atom is missing"))
        } else {
            Ok(String::from_utf8_lossy(atom).into_owned())
        }
    }

    /// A flag: `\Seen`, or a keyword. What the store takes, the store decides.
    pub(super) fn flag(&mut self) -> Parsed<String> {
        let system = if self.eats(b'\\') { "\\" } else { "" };
        Ok(format!("{system}{}", self.atom()?))
    }

    /// `(flag flag)`, perhaps empty.
    pub(super) fn flags(&mut self) -> Parsed<Vec<String>> {
        self.list(crate::limits::LIST_MAX, true, Self::flag)
    }

    /// A parenthesised list.
    pub(super) fn list<T>(
        &mut self,
        max: usize,
        may_be_empty: bool,
        mut item: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        self.expect(b'(', "a parenthesis is missing")?;
        let mut items = Vec::new();
        while self.eats(b' ') {}
        while !self.eats(b')') {
            if items.len() >= max {
                return Err(Syntax("a list is too long"));
            }
            items.push(item(self)?);
            if self.peek() != Some(b')') {
                self.space()?;
            }
        }
        if items.is_empty() && !may_be_empty { Err(Syntax("a list is empty")) } else { Ok(items) }
    }

    /// An astring (RFC 9051 §9): atom with `]`, quoted string or literal.
    pub(super) fn astring(&mut self) -> Parsed<Vec<u8>> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => {
                let text = self.while_(is_astring);
                if text.is_empty() { Err(Syntax("a string is missing")) } else { Ok(text.to_vec()) }
            }
        }
    }

    /// The same for a mailbox name with wildcards.
    pub(super) fn pattern(&mut self) -> Parsed<Name> {
        match self.peek() {
            Some(b'"' | b'{') => self.string().map(Name),
            _ => {
                let text = self.while_(|octet| is_astring(octet) || matches!(octet, b'%' | b'*'));
                if text.is_empty() { Err(Syntax("a pattern is missing")) } else { Ok(Name(text.to_vec())) }
            }
        }
    }

    /// The name of a mailbox.
    pub(super) fn name(&mut self) -> Parsed<Name> {
        self.astring().map(Name)
    }

    /// A quoted string or a literal.
    pub(super) fn string(&mut self) -> Parsed<Vec<u8>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal(),
            _ => Err(Syntax("a string is missing")),
        }
    }

    /// A string, or `NIL`.
    pub(super) fn nstring(&mut self) -> Parsed<Option<Vec<u8>>> {
        if self.eats_word("NIL") { Ok(None) } else { self.string().map(Some) }
    }

    fn quoted(&mut self) -> Parsed<Vec<u8>> {
        self.step(1);
        let mut text = Vec::new();
        loop {
            text.extend_from_slice(self.while_(|octet| !matches!(octet, b'"' | b'\\' | b'\r' | b'\n')));
            match self.step(1) {
                b"\"" => return Ok(text),
                b"\\" => match self.step(1) {
                    [octet @ (b'"' | b'\\')] => text.push(*octet),
                    _ => return Err(Syntax("a quoted string has a wrong escape")),
                },
                _ => return Err(Syntax("a quoted string does not end")),
            }
        }
    }

    fn literal(&mut self) -> Parsed<Vec<u8>> {
        let broken = Syntax("a literal is broken");
        self.step(1);
        let size = self.number64().map_err(|_| broken)?;
        self.eats(b'+');
        self.expect(b'}', broken.0)?;
        self.eats(b'\r');
        self.expect(b'\n', broken.0)?;
        let size = usize::try_from(size).map_err(|_| broken)?;
        let text = self.step(size);
        if text.len() == size { Ok(text.to_vec()) } else { Err(broken) }
    }

    /// `{size}`, `{size+}` or `~{size}` at the end, its octets still to come: the size, and whether the client waits.
    pub(super) fn announcement(&mut self) -> Parsed<(u64, bool)> {
        self.eats(b'~');
        self.expect(b'{', "a literal is missing")?;
        let size = self.number64()?;
        let waits = !self.eats(b'+');
        self.expect(b'}', "a literal is broken")?;
        Ok((size, waits))
    }

    /// A number of 64 bits.
    pub(super) fn number64(&mut self) -> Parsed<u64> {
        let digits = self.while_(|octet| octet.is_ascii_digit());
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        number.ok_or(Syntax("a number is missing or too large"))
    }

    /// A number of 63 bits (RFC 7162 §7 `mod-sequence-valzer`).
    pub(super) fn modseq(&mut self) -> Parsed<u64> {
        self.number64().and_then(|n| if n >> 63 == 0 { Ok(n) } else { Err(Syntax("a number is too large")) })
    }

    /// A number of 32 bits.
    pub(super) fn number(&mut self) -> Parsed<u32> {
        self.number64().and_then(|n| u32::try_from(n).map_err(|_| Syntax("a number is too large")))
    }

    /// A number above 0.
    pub(super) fn nonzero(&mut self) -> Parsed<u32> {
        self.number().and_then(|n| if n > 0 { Ok(n) } else { Err(Syntax("a number is 0")) })
    }

    /// A sequence set.
    pub(super) fn set(&mut self) -> Parsed<Set> {
        if self.eats(b'$') {
            return Ok(Set::Saved);
        }
        let mut ranges = Vec::new();
        loop {
            let first = self.bound()?;
            let last = if self.eats(b':') { self.bound()? } else { first };
            ranges.push((first, last));
            if !self.eats(b',') {
                return Ok(Set::Ranges(ranges));
            }
        }
    }

    fn bound(&mut self) -> Parsed<Option<u32>> {
        if self.eats(b'*') { Ok(None) } else { self.nonzero().map(Some) }
    }
}

/// RFC 9051 §9 `ATOM-CHAR`.
fn is_atom(octet: u8) -> bool {
    octet.is_ascii_graphic() && !b"(){%*\"\\]".contains(&octet)
}

/// RFC 9051 §9 `ASTRING-CHAR`; octets above 127 too, which clients send raw in mailbox names.
fn is_astring(octet: u8) -> bool {
    is_atom(octet) || octet == b']' || octet >= 0x80
}
