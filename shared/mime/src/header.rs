//! Header fields as they were transported (RFC 5322 §2.2).

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use memchr::memchr;

use crate::{Limits, MimeError, cut, line_end_len, share, word};

/// One header field: raw octets, nothing decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    raw: Bytes,
    body: Bytes,
    name_len: usize,
    start: usize,
}

impl Field {
    /// The name as written, in printable ASCII. Empty for a line that is no field: without a colon, with anything but
    /// printable ASCII before it (an mbox `From ` line, an 8-bit name), or a continuation of nothing.
    pub fn name(&self) -> &str {
        std::str::from_utf8(cut(&self.raw, 0, self.name_len)).unwrap_or_default()
    }

    /// Is this its name, in any case?
    pub fn is(&self, name: &str) -> bool {
        self.name_len != 0
            && self.name_len == name.len()
            && cut(&self.raw, 0, self.name_len).eq_ignore_ascii_case(name.as_bytes())
    }

    /// The whole field with its line ends.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Where [`Self::raw`] stands in the octets that were parsed.
    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.raw.len()
    }

    /// After the colon, up to but without the last line end. For a line that is no field, all of it.
    pub fn raw_body(&self) -> &Bytes {
        &self.body
    }

    /// The body on one line (RFC 5322 §2.2.3: line ends go, the white space after them stays), trimmed.
    pub fn unfolded(&self) -> Cow<'_, [u8]> {
        if memchr(b'\n', &self.body).is_none() {
            return Cow::Borrowed(self.body.trim_ascii());
        }
        let mut flat = Vec::with_capacity(self.body.len());
        for line in self.body.split_inclusive(|&octet| octet == b'\n') {
            flat.extend_from_slice(cut(line, 0, line.len() - line_end_len(line)));
        }
        Cow::Owned(flat.trim_ascii().to_vec())
    }

    /// [`Self::unfolded`] as text, undecoded; what is not UTF-8 becomes U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.unfolded()).into_owned()
    }

    /// [`Self::unfolded`] with its RFC 2047 encoded words decoded (white space inside of these stays).
    pub fn decoded(&self) -> String {
        word::decode(&self.unfolded())
    }

    fn new(bytes: &Bytes, start: usize, end: usize) -> Self {
        let raw = share(bytes, start, end);
        let colon = memchr(b':', &raw);
        let name = cut(&raw, 0, colon.unwrap_or(0)).trim_ascii_end(); // obsolete `Name :`, RFC 5322 §4.5
        let is_field = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
        let name_len = if is_field { name.len() } else { 0 };
        let body_start = if is_field { colon.map_or(0, |at| at + 1) } else { 0 };
        let body = share(&raw, body_start, raw.len() - line_end_len(&raw));
        Self { raw, body, name_len, start }
    }
}

/// A header: its fields in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    fields: Vec<Field>,
}

impl Headers {
    /// Reads the header that `bytes` starts with, and says at which octet the body starts.
    ///
    /// The first blank line of either kind (CRLF or LF) ends the header; without one everything is header and the body
    /// is empty. Lines that are no field are kept as fields without a name ([`Self::malformed`]).
    ///
    /// # Errors
    /// [`MimeError::HeaderTooLong`] and [`MimeError::TooManyFields`].
    pub fn parse(bytes: &Bytes, limits: &Limits) -> Result<(Headers, usize), MimeError> {
        let mut headers = Headers::default();
        let window = cut(bytes, 0, bytes.len().min(limits.header_bytes));
        let mut open: Option<usize> = None; // where the field being read starts
        let mut at = 0;
        let body = loop {
            let rest = cut(window, at, window.len());
            let end = match memchr(b'\n', rest) {
                Some(length) => at + length + 1,
                None if window.len() < bytes.len() => {
                    return Err(MimeError::HeaderTooLong { max: limits.header_bytes });
                }
                None if rest.is_empty() => break at,
                None => window.len(),
            };
            match cut(window, at, end) {
                b"\r\n" | b"\n" => break end,
                [b' ' | b'\t', ..] if open.is_some() => {}
                _ => {
                    headers.push(bytes, open.replace(at), at, limits)?;
                }
            }
            at = end;
        };
        headers.push(bytes, open, at, limits)?;
        Ok((headers, body))
    }

    /// The fields in order.
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter()
    }

    /// The first field of that name, in any case.
    pub fn first(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.is(name))
    }

    /// All fields of that name, in any case.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Field> {
        self.fields.iter().filter(move |field| field.is(name))
    }

    /// How many fields have that name, in any case?
    pub fn count(&self, name: &str) -> usize {
        self.all(name).count()
    }

    /// The lines that are no field; none in a message that follows RFC 5322.
    pub fn malformed(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.name_len == 0)
    }

    fn push(
        &mut self,
        bytes: &Bytes,
        start: Option<usize>,
        end: usize,
        limits: &Limits,
    ) -> Result<(), MimeError> {
        let Some(start) = start else { return Ok(()) };
        if self.fields.len() >= limits.header_fields {
            return Err(MimeError::TooManyFields { max: limits.header_fields });
        }
        self.fields.push(Field::new(bytes, start, end));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> (Headers, usize) {
        Headers::parse(&Bytes::from(text.to_owned()), &Limits::default()).unwrap()
    }

    #[test]
    fn fields_keep_their_octets() {
        let text = "Subject: one\r\n two\r\nX-Empty:\r\nTO :a@alfa.example\r\n\r\nbody";
        let (headers, body) = parse(text);
        assert_eq!(&text[body..], "body");
        let subject = headers.first("sUBJECT").unwrap();
        assert_eq!(subject.raw(), "Subject: one\r\n two\r\n");
        assert_eq!(subject.raw_body(), " one\r\n two");
        assert_eq!(&*subject.unfolded(), b"one two");
        assert_eq!(headers.first("X-Empty").unwrap().raw_body(), "");
        let to = headers.first("to").unwrap();
        assert_eq!((to.name(), to.text().as_str()), ("TO", "a@alfa.example"));
        assert_eq!(&text[to.range()], "TO :a@alfa.example\r\n");
    }

    #[test]
    fn the_first_blank_line_of_either_kind_ends_the_header() {
        for (text, body) in
            [("A: 1\n\nx\r\n\r\ny", 6), ("A: 1\r\n\nx", 7), ("A: 1\n\r\nx", 7), ("\r\nx", 2), ("", 0)]
        {
            assert_eq!(parse(text).1, body, "{text:?}");
        }
        // A line of white space only continues the field above it.
        assert_eq!(parse("A: 1\r\n \r\nB: 2\r\n\r\nx").0.count("b"), 1);
    }

    #[test]
    fn without_a_blank_line_everything_is_header() {
        let (headers, body) = parse("A: 1\r\nB: 2");
        assert_eq!(body, 10);
        assert_eq!(headers.first("B").unwrap().raw_body(), " 2");
    }

    #[test]
    fn lines_that_are_no_field_are_kept_without_a_name() {
        let (headers, _) =
            parse("From a@b Mon Mar  2 09:00:00 2026\r\nA: 1\r\nno colon\r\n: x\r\nÈ: 8\r\n\r\n");
        assert_eq!(headers.malformed().count(), 4);
        assert_eq!(headers.count("A"), 1);
        assert_eq!(headers.count(""), 0);
        assert_eq!(parse(" lost\r\nA: 1\r\n\r\n").0.malformed().count(), 1);
    }

    #[test]
    fn repeated_fields_are_all_found_in_order() {
        let (headers, _) = parse("Received: 1\r\nA: x\r\nreceived: 2\r\n\r\n");
        let bodies: Vec<_> = headers.all("Received").map(Field::text).collect();
        assert_eq!(
            (bodies, headers.count("RECEIVED"), headers.iter().count()),
            (vec!["1".into(), "2".into()], 2, 3)
        );
    }

    #[test]
    fn size_and_number_are_bounded() {
        let limits = Limits::default();
        let line = Bytes::from(vec![b'a'; 1 << 20]);
        assert_eq!(Headers::parse(&line, &limits), Err(MimeError::HeaderTooLong { max: 256 * 1024 }));
        let fields = Bytes::from("A: 1\r\n".repeat(1001));
        assert_eq!(Headers::parse(&fields, &limits), Err(MimeError::TooManyFields { max: 1000 }));
        let exact = Limits { header_bytes: 8, ..limits };
        assert!(Headers::parse(&Bytes::from("A: 1\r\n\r\nbody"), &exact).is_ok());
        assert!(Headers::parse(&Bytes::from("A: 11\r\n\r\nbody"), &exact).is_err());
        assert!(Headers::parse(&Bytes::from("A: 1\r\n\r\n"), &exact).is_ok());
    }

    proptest! {
        #[test]
        fn any_text_survives_being_written_and_read(text in any::<String>()) {
            let line = word::fold("Subject", word::encode_unstructured(&text));
            prop_assert!(line.is_ascii());
            let bytes = Bytes::from([&line[..], b"X: y\r\n\r\n"].concat());
            let (headers, _) = Headers::parse(&bytes, &Limits::default()).unwrap();
            prop_assert_eq!(headers.iter().count(), 2);
            prop_assert_eq!(headers.first("subject").unwrap().decoded(), text);
        }

        #[test]
        fn the_fields_and_the_blank_line_are_the_whole_header(octets in prop::collection::vec(
            prop::sample::select(b"A: \r\n\tb\xe8\0".to_vec()), 0..60)) {
            let bytes = Bytes::from(octets);
            let (headers, body) = Headers::parse(&bytes, &Limits::default()).unwrap();
            let fields: Vec<u8> = headers.iter().flat_map(|field| field.raw().to_vec()).collect();
            let blank = &bytes[fields.len()..body];
            prop_assert!(matches!(blank, b"" | b"\n" | b"\r\n"));
            prop_assert_eq!(&fields[..], &bytes[..fields.len()]);
            for field in headers.iter() {
                prop_assert_eq!(&bytes[field.range()], &field.raw()[..]);
                prop_assert!(!field.unfolded().contains(&b'\n'));
                field.decoded();
            }
        }
    }
}
