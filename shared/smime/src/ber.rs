//! Reading BER and DER one element at a time, by slices of what came in.
//!
//! Certificates and signed attributes are kept as the octets that were received: a certificate is looked up by
//! its hash and compared octet by octet (spec 5.2 V2), so nothing here is decoded into a tree and printed again.
//! Real providers send CMS with indefinite lengths and constructed strings (spec 2.2); both are read, both are
//! bounded in depth.

use std::borrow::Cow;

/// Nesting that we follow, in elements. A SignedData with signing-certificate attributes needs about twelve.
const DEPTH_MAX: usize = 24;

/// Tags used in CMS and X.509, identifier octet included.
pub(crate) mod tag {
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;
    pub(crate) const CONSTRUCTED: u8 = 0x20;
    /// `[n]` primitive.
    pub(crate) const fn context(n: u8) -> u8 {
        0x80 | n
    }
    /// `[n]` constructed.
    pub(crate) const fn context_constructed(n: u8) -> u8 {
        0xa0 | n
    }
}

/// The octets are not the BER that was expected; says of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// One element: its identifier octet, its content, and all of it as received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tlv<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    pub(crate) whole: &'a [u8],
}

impl<'a> Tlv<'a> {
    /// The elements inside.
    pub(crate) fn inside(&self) -> Reader<'a> {
        Reader { rest: self.content }
    }

    fn is_constructed(&self) -> bool {
        self.tag & tag::CONSTRUCTED != 0
    }

    /// The octets of a string, primitive or in segments (BER), whatever its implicit tag.
    pub(crate) fn octets(&self) -> Result<Cow<'a, [u8]>, Malformed> {
        if !self.is_constructed() {
            return Ok(Cow::Borrowed(self.content));
        }
        let mut joined = Vec::with_capacity(self.content.len());
        join_segments(self.content, &mut joined, DEPTH_MAX)?;
        Ok(Cow::Owned(joined))
    }
}

/// Walks elements that follow each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next element, whatever it is.
    pub(crate) fn next(&mut self, what: &'static str) -> Result<Tlv<'a>, Malformed> {
        let (tlv, rest) = split_first(self.rest).ok_or(Malformed(what))?;
        self.rest = rest;
        Ok(tlv)
    }

    /// The next element, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8, what: &'static str) -> Result<Tlv<'a>, Malformed> {
        self.optional(tag, what)?.ok_or(Malformed(what))
    }

    /// The next element if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8, what: &'static str) -> Result<Option<Tlv<'a>>, Malformed> {
        match self.rest.first() {
            Some(&found) if found == tag => self.next(what).map(Some),
            _ => Ok(None),
        }
    }

    /// The next element, a string whose tag may be primitive or constructed.
    pub(crate) fn string(&mut self, tag: u8, what: &'static str) -> Result<Tlv<'a>, Malformed> {
        match self.optional(tag, what)? {
            Some(tlv) => Ok(tlv),
            None => self.expect(tag | tag::CONSTRUCTED, what),
        }
    }

    /// Nothing may follow.
    pub(crate) fn finish(&self, what: &'static str) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed(what)) }
    }
}

/// The one element that `bytes` holds.
pub(crate) fn single<'a>(bytes: &'a [u8], what: &'static str) -> Result<Tlv<'a>, Malformed> {
    let mut reader = Reader::new(bytes);
    let tlv = reader.next(what)?;
    reader.finish(what)?;
    Ok(tlv)
}

/// One element in DER: definite minimal lengths, strings in one piece. With `sort`, every SET in DER order too.
pub(crate) fn normalise(tlv: &Tlv<'_>, sort: bool) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::with_capacity(tlv.whole.len());
    normalise_into(tlv, sort, &mut out, DEPTH_MAX)?;
    Ok(out)
}

/// Writes one element around the pieces of its content.
pub(crate) fn write(out: &mut Vec<u8>, tag: u8, pieces: &[&[u8]]) {
    out.push(tag);
    write_length(out, pieces.iter().map(|piece| piece.len()).sum());
    for piece in pieces {
        out.extend_from_slice(piece);
    }
}

/// As [`write`], into a vector of its own.
pub(crate) fn element(tag: u8, pieces: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(pieces.iter().map(|piece| piece.len()).sum::<usize>() + 6);
    write(&mut out, tag, pieces);
    out
}

fn write_length(out: &mut Vec<u8>, length: usize) {
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let skip = bytes.iter().take_while(|byte| **byte == 0).count();
            let significant = bytes.get(skip..).unwrap_or_default();
            // A usize has at most eight octets, so this is 0x81 to 0x88.
            out.push(0x80 | u8::try_from(significant.len()).unwrap_or(8));
            out.extend_from_slice(significant);
        }
    }
}

struct Header {
    tag: u8,
    /// Octets of identifier and length.
    size: usize,
    /// None: indefinite.
    content: Option<usize>,
}

fn header(bytes: &[u8]) -> Option<Header> {
    let (&tag, rest) = bytes.split_first()?;
    if tag & 0x1f == 0x1f {
        return None; // tag numbers above 30 do not occur in CMS or X.509
    }
    let (&first, rest) = rest.split_first()?;
    match first {
        0..=0x7f => Some(Header { tag, size: 2, content: Some(usize::from(first)) }),
        0x80 => (tag & tag::CONSTRUCTED != 0).then_some(Header { tag, size: 2, content: None }),
        0x81..=0x84 => {
            let count = usize::from(first & 0x7f);
            let length = rest.get(..count)?.iter().fold(0usize, |sum, byte| (sum << 8) | usize::from(*byte));
            Some(Header { tag, size: 2 + count, content: Some(length) })
        }
        _ => None,
    }
}

fn split_first(bytes: &[u8]) -> Option<(Tlv<'_>, &[u8])> {
    let header = header(bytes)?;
    let body = bytes.get(header.size..)?;
    let (content, after) = match header.content {
        Some(length) => (body.get(..length)?, header.size.checked_add(length)?),
        None => {
            let length = indefinite_length(body)?;
            (body.get(..length)?, header.size.checked_add(length)?.checked_add(2)?)
        }
    };
    let tlv = Tlv { tag: header.tag, content, whole: bytes.get(..after)? };
    Some((tlv, bytes.get(after..)?))
}

/// How many octets stand before the end-of-contents that closes this level. No recursion: a counter of levels.
fn indefinite_length(body: &[u8]) -> Option<usize> {
    let mut at = 0usize;
    let mut open = 1usize;
    loop {
        let header = header(body.get(at..)?)?;
        match header.content {
            Some(0) if header.tag == 0 => {
                open -= 1;
                if open == 0 {
                    return Some(at);
                }
                at = at.checked_add(header.size)?;
            }
            Some(length) => at = at.checked_add(header.size)?.checked_add(length)?,
            None => {
                open += 1;
                if open > DEPTH_MAX {
                    return None;
                }
                at = at.checked_add(header.size)?;
            }
        }
    }
}

fn join_segments(content: &[u8], out: &mut Vec<u8>, depth: usize) -> Result<(), Malformed> {
    let depth = depth.checked_sub(1).ok_or(Malformed("string nested too deeply"))?;
    let mut segments = Reader::new(content);
    while !segments.is_empty() {
        let segment = segments.next("segment of a string")?;
        match segment.tag {
            tag::OCTET_STRING => out.extend_from_slice(segment.content),
            t if t == tag::OCTET_STRING | tag::CONSTRUCTED => join_segments(segment.content, out, depth)?,
            _ => return Err(Malformed("segment of a string")),
        }
    }
    Ok(())
}

fn normalise_into(tlv: &Tlv<'_>, sort: bool, out: &mut Vec<u8>, depth: usize) -> Result<(), Malformed> {
    let depth = depth.checked_sub(1).ok_or(Malformed("elements nested too deeply"))?;
    if !tlv.is_constructed() {
        write(out, tlv.tag, &[tlv.content]);
        return Ok(());
    }
    if tlv.tag == tag::OCTET_STRING | tag::CONSTRUCTED {
        write(out, tag::OCTET_STRING, &[&tlv.octets()?]);
        return Ok(());
    }
    let mut children = Vec::new();
    let mut inside = tlv.inside();
    while !inside.is_empty() {
        let mut child = Vec::new();
        normalise_into(&inside.next("element")?, sort, &mut child, depth)?;
        children.push(child);
    }
    if sort && tlv.tag == tag::SET {
        children.sort(); // X.690 §11.6: SET OF in ascending order of the encodings
    }
    let pieces: Vec<&[u8]> = children.iter().map(Vec::as_slice).collect();
    write(out, tlv.tag, &pieces);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_indefinite_sequence_is_read_and_normalised_to_der() {
        // SEQUENCE (indefinite) { OCTET STRING (indefinite) { "ab", "c" }, INTEGER 5 }
        let ber = [0x30, 0x80, 0x24, 0x80, 4, 2, b'a', b'b', 4, 1, b'c', 0, 0, 2, 1, 5, 0, 0];
        let tlv = single(&ber, "test").unwrap();
        assert_eq!(tlv.whole, ber);
        let mut inside = tlv.inside();
        let string = inside.string(tag::OCTET_STRING, "string").unwrap();
        assert_eq!(&*string.octets().unwrap(), b"abc");
        assert_eq!(inside.expect(tag::INTEGER, "integer").unwrap().content, [5]);
        inside.finish("end").unwrap();
        assert_eq!(normalise(&tlv, false).unwrap(), [0x30, 8, 4, 3, b'a', b'b', b'c', 2, 1, 5]);
    }

    #[test]
    fn sets_are_sorted_only_when_asked() {
        let unsorted = [0x31, 6, 2, 1, 9, 2, 1, 1];
        let tlv = single(&unsorted, "test").unwrap();
        assert_eq!(normalise(&tlv, false).unwrap(), unsorted);
        assert_eq!(normalise(&tlv, true).unwrap(), [0x31, 6, 2, 1, 1, 2, 1, 9]);
    }

    #[test]
    fn long_lengths_are_written_minimally() {
        for (size, header) in [
            (127usize, &[4u8, 127][..]),
            (128, &[4, 0x81, 128]),
            (256, &[4, 0x82, 1, 0]),
            (65_536, &[4, 0x83, 1, 0, 0]),
        ] {
            let content = vec![7; size];
            let bytes = element(tag::OCTET_STRING, &[&content]);
            assert!(bytes.starts_with(header));
            assert_eq!(single(&bytes, "test").unwrap().content, content);
        }
    }

    #[test]
    fn endless_nesting_is_refused() {
        let deep = [0x30, 0x80].repeat(1000);
        assert!(single(&deep, "test").is_err());
        let mut definite = vec![];
        for _ in 0..60 {
            definite = element(tag::SEQUENCE, &[&definite]);
        }
        let tlv = single(&definite, "test").unwrap();
        assert_eq!(normalise(&tlv, false), Err(Malformed("elements nested too deeply")));
    }

    #[test]
    fn trailing_octets_and_truncation_are_refused() {
        assert!(single(&[2, 1, 5, 0], "test").is_err());
        assert!(single(&[2, 2, 5], "test").is_err());
        assert!(single(&[2, 0x80, 0, 0], "primitive with indefinite length").is_err());
        assert!(single(&[2, 0x85, 0, 0, 0, 0, 1, 5], "length of five octets").is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn arbitrary_octets_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = Reader::new(&bytes);
            while let Ok(tlv) = reader.next("any") {
                let _ = tlv.octets();
                let _ = normalise(&tlv, true);
            }
        }

        #[test]
        fn what_is_written_is_read(content in proptest::collection::vec(any::<u8>(), 0..400)) {
            let bytes = element(tag::OCTET_STRING, &[&content]);
            prop_assert_eq!(single(&bytes, "test").unwrap().content, &content[..]);
        }
    }
}
