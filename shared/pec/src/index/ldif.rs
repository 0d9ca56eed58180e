//! LDIF (RFC 2849), as much of it as an index of records needs: no change records, nothing fetched from an URL.

use std::borrow::Cow;

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::IndexError;

/// Columns of a written line, the leading space of a continuation included.
const WIDTH: usize = 76;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One entry: its name and its attributes in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The value of `dn`.
    pub(super) dn: Vec<u8>,
    /// Attribute descriptions in lower case, options such as `;binary` included, with their values.
    pub(super) attributes: Vec<(String, Vec<u8>)>,
}

/// The entries of an LDIF, in order. Ends after the first error.
pub(super) fn entries(ldif: &[u8]) -> impl Iterator<Item = Result<Entry, IndexError>> + '_ {
    let ldif = ldif.strip_prefix(b"\xef\xbb\xbf").unwrap_or(ldif);
    Entries { lines: Lines { rest: ldif, number: 0 }, begun: None, failed: false }
}

/// Appends `name: value`, folded; in base64 where RFC 2849 does not allow the value as it is.
pub(super) fn write(out: &mut String, name: &str, value: &[u8]) {
    let line = match std::str::from_utf8(value) {
        Ok(text) if is_safe(value) => format!("{name}: {text}"),
        _ => format!("{name}:: {}", BASE64.encode(value)),
    };
    let mut width = WIDTH;
    let mut rest = line.as_str();
    while let Some((head, tail)) = rest.split_at_checked(width).filter(|(_, tail)| !tail.is_empty()) {
        out.push_str(head);
        out.push_str("\n ");
        rest = tail;
        width = WIDTH - 1;
    }
    out.push_str(rest);
    out.push('\n');
}

/// SAFE-STRING of RFC 2849, and no trailing space.
fn is_safe(value: &[u8]) -> bool {
    let first_is_safe = !matches!(value.first(), Some(b' ' | b':' | b'<'));
    first_is_safe
        && value.last() != Some(&b' ')
        && value.iter().all(|b| matches!(b, 0x01..=0x7f if !b"\r\n".contains(b)))
}

struct Entries<'a> {
    lines: Lines<'a>,
    /// The `dn` line that ended the entry before.
    begun: Option<Vec<u8>>,
    failed: bool,
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let entry = self.read().transpose();
        self.failed = matches!(entry, Some(Err(_)));
        entry
    }
}

impl Entries<'_> {
    fn read(&mut self) -> Result<Option<Entry>, IndexError> {
        let mut entry = self.begun.take().map(|dn| Entry { dn, attributes: Vec::new() });
        while let Some((number, line)) = self.lines.next()? {
            if line.is_empty() {
                if entry.is_some() {
                    break;
                }
                continue;
            }
            let (name, value) = attribute(number, &line)?;
            match (&mut entry, name.as_str()) {
                (None, "version") => {}
                (None, "dn") => entry = Some(Entry { dn: value, attributes: Vec::new() }),
                (None, _) => {
                    return Err(IndexError::Ldif(number, "an entry that does not begin with its dn"));
                }
                // The empty line between two entries is missing: seen in the RFC's own example (§4.5.10).
                (Some(_), "dn") => {
                    self.begun = Some(value);
                    break;
                }
                (Some(_), "changetype") => return Err(IndexError::Ldif(number, "a change record")),
                (Some(entry), _) => entry.attributes.push((name, value)),
            }
        }
        Ok(entry)
    }
}

fn attribute(number: usize, line: &[u8]) -> Result<(String, Vec<u8>), IndexError> {
    let fail = |why| IndexError::Ldif(number, why);
    let colon = memchr::memchr(b':', line).ok_or(fail("no colon"))?;
    let (name, value) = line.split_at_checked(colon).ok_or(fail("no colon"))?;
    if name.is_empty() || !name.iter().all(|b| b.is_ascii_alphanumeric() || b"-;.".contains(b)) {
        return Err(fail("no attribute description before the colon"));
    }
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let value = match value {
        [_, b':', base64 @ ..] => BASE64.decode(base64.trim_ascii()).map_err(|_| fail("not base64"))?,
        [_, b'<', ..] => return Err(fail("a value to be fetched from an URL")),
        [_, text @ ..] => text.iter().copied().skip_while(|&b| b == b' ').collect(),
        [] => Vec::new(),
    };
    Ok((name, value))
}

/// A logical line with the number of its first physical line.
type Line<'a> = (usize, Cow<'a, [u8]>);

/// Logical lines: unfolded, without comments.
struct Lines<'a> {
    rest: &'a [u8],
    /// Physical lines read so far.
    number: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Result<Option<Line<'a>>, IndexError> {
        while let Some(first) = self.physical() {
            let number = self.number;
            if first.iter().all(|&b| b == b' ') {
                return Ok(Some((number, Cow::Borrowed(b""))));
            }
            if first.starts_with(b" ") {
                return Err(IndexError::Ldif(number, "a continuation of nothing"));
            }
            let mut line = Cow::Borrowed(first);
            while self.rest.starts_with(b" ") {
                let more = self.physical().unwrap_or_default();
                line.to_mut().extend_from_slice(more.get(1..).unwrap_or_default());
            }
            if !line.starts_with(b"#") {
                return Ok(Some((number, line)));
            }
        }
        Ok(None)
    }

    fn physical(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let (line, rest) = match memchr::memchr(b'\n', self.rest) {
            Some(at) => (self.rest.get(..at)?, self.rest.get(at + 1..)?),
            None => (self.rest, &b""[..]),
        };
        self.rest = rest;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}
