//! Bodies decoded piece by piece: transfer encodings (RFC 2045 §6) and charsets, in memory that does not grow.

use encoding_rs::{Decoder, Encoding, REPLACEMENT};

use crate::{MimeError, encode};

/// Octets of quoted-printable that are held back at most, waiting for a line end.
const HELD_MAX: usize = 4096;

/// Undoes a transfer encoding.
pub struct Transfer {
    kind: Kind,
    held: Vec<u8>,
    padded: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Identity,
    Base64,
    QuotedPrintable,
}

impl Transfer {
    /// For the value of `Content-Transfer-Encoding`, in any case; `None` for one that nobody knows.
    #[must_use]
    pub fn new(encoding: &str) -> Option<Self> {
        let kinds = [
            ("7bit", Kind::Identity),
            ("8bit", Kind::Identity),
            ("binary", Kind::Identity),
            ("base64", Kind::Base64),
            ("quoted-printable", Kind::QuotedPrintable),
        ];
        let (_, kind) = kinds.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(encoding))?;
        Some(Self { kind, held: Vec::new(), padded: false })
    }

    /// Decodes the next octets to the end of `out`.
    ///
    /// # Errors
    /// [`MimeError::Base64`] for an octet outside the alphabet.
    pub fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Result<(), MimeError> {
        match self.kind {
            Kind::Identity => out.extend_from_slice(octets),
            Kind::Base64 => self.base64(octets, out)?,
            Kind::QuotedPrintable => {
                self.held.extend_from_slice(octets);
                // Whole lines; or, where none ends, up to an octet that no escape can begin before.
                let end = memchr::memrchr(b'\n', &self.held).map(|at| at + 1).or_else(|| {
                    let cut = self.held.len().saturating_sub(HELD_MAX);
                    let safe = |at: &usize| {
                        !self.held.get(at.saturating_sub(2)..*at).unwrap_or_default().contains(&b'=')
                    };
                    (1..=cut).rev().take(HELD_MAX).find(safe)
                });
                if let Some(end) = end {
                    let rest = self.held.split_off(end);
                    out.extend(encode::quoted_printable_decode(&self.held));
                    self.held = rest;
                }
            }
        }
        Ok(())
    }

    /// No more octets come: what was held back.
    ///
    /// # Errors
    /// [`MimeError::Base64`] for a text that breaks off inside an octet.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), MimeError> {
        let held = std::mem::take(&mut self.held);
        match self.kind {
            Kind::Identity => {}
            Kind::Base64 => out.extend(encode::base64_decode(&held)?),
            Kind::QuotedPrintable => out.extend(encode::quoted_printable_decode(&held)),
        }
        Ok(())
    }

    fn base64(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Result<(), MimeError> {
        self.held.extend(octets.iter().filter(|octet| !octet.is_ascii_whitespace()));
        // Padding ends a text, another may follow: each is decoded alone, groups of four at a time.
        self.padded |= self.held.contains(&b'=');
        let whole = self.held.len() / 4 * 4;
        let keep_last = whole.saturating_sub(4);
        let end = if self.padded { 0 } else { keep_last };
        if end > 0 {
            let rest = self.held.split_off(end);
            out.extend(encode::base64_decode(&self.held)?);
            self.held = rest;
        }
        if self.padded {
            self.padded_texts(out)?;
        }
        Ok(())
    }

    /// Everything up to the last padding is decoded; what follows it starts a new text.
    fn padded_texts(&mut self, out: &mut Vec<u8>) -> Result<(), MimeError> {
        let Some(last) = memchr::memrchr(b'=', &self.held) else { return Ok(()) };
        let rest = self.held.split_off(last + 1);
        out.extend(encode::base64_decode(&self.held)?);
        self.held = rest;
        self.padded = false;
        Ok(())
    }
}

/// Reads text of a charset.
pub struct Text {
    decoder: Option<Decoder>,
}

impl Text {
    /// For a label (IANA name or WHATWG alias, any case). Without one, or with only US-ASCII, the first octets decide:
    /// UTF-8 where they are valid UTF-8, else windows-1252. An unknown label is read as UTF-8.
    #[must_use]
    pub fn new(label: Option<&str>) -> Self {
        let label = label.filter(|label| !label.eq_ignore_ascii_case("us-ascii"));
        let decoder = label.map(|label| {
            let encoding = Encoding::for_label(label.as_bytes()).filter(|e| *e != REPLACEMENT);
            encoding.unwrap_or(encoding_rs::UTF_8).new_decoder_without_bom_handling()
        });
        Self { decoder }
    }

    /// The next octets as text, to the end of `out`; what cannot be decoded becomes U+FFFD.
    pub fn push(&mut self, octets: &[u8], last: bool, out: &mut String) {
        let decoder = self.decoder.get_or_insert_with(|| {
            let utf8 = match std::str::from_utf8(octets) {
                Ok(_) => true,
                Err(error) => error.error_len().is_none(),
            };
            let encoding = if utf8 { encoding_rs::UTF_8 } else { encoding_rs::WINDOWS_1252 };
            encoding.new_decoder_without_bom_handling()
        });
        let room = decoder.max_utf8_buffer_length(octets.len()).unwrap_or(octets.len() * 3 + 16);
        out.reserve(room);
        // There is room for all of it, so one call reads all of it.
        let _ = decoder.decode_to_string(octets, out, last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(encoding: &str, pieces: &[&[u8]]) -> Result<Vec<u8>, MimeError> {
        let (mut transfer, mut out) = (Transfer::new(encoding).unwrap(), Vec::new());
        for piece in pieces {
            transfer.push(piece, &mut out)?;
        }
        transfer.finish(&mut out)?;
        Ok(out)
    }

    #[test]
    fn known_answers() {
        assert_eq!(decode("BASE64", &[b"VW4g", b"YWxsZ", b"\r\nWdhdG8uDQo="]).unwrap(), b"Un allegato.\r\n");
        assert_eq!(decode("base64", &[b"YQ==", b"Yg=="]).unwrap(), b"ab");
        assert_eq!(decode("base64", &[b"YQ=", b"=Yg"]).unwrap(), b"ab");
        assert!(decode("base64", &[b"Y!=="]).is_err());
        assert_eq!(
            decode("quoted-printable", &[b"perch=C", b"3=A", b"8=\r", b"\nsi  \r\n"]).unwrap(),
            "perchèsi\r\n".as_bytes()
        );
        assert!(Transfer::new("x-uuencode").is_none());
    }

    #[test]
    fn a_line_without_an_end_is_not_held_for_ever() {
        let (mut transfer, mut out) = (Transfer::new("quoted-printable").unwrap(), Vec::new());
        for _ in 0..1000 {
            transfer.push(&[b'a'; 1000], &mut out).unwrap();
            assert!(transfer.held.len() <= HELD_MAX + 1000);
        }
        transfer.finish(&mut out).unwrap();
        assert_eq!(out.len(), 1_000_000);
    }

    #[test]
    fn text_without_a_label_is_guessed_from_its_beginning() {
        let read = |label, octets: &[u8]| {
            let (mut text, mut out) = (Text::new(label), String::new());
            octets.chunks(1).for_each(|octet| text.push(octet, false, &mut out));
            text.push(b"", true, &mut out);
            out
        };
        assert_eq!(read(None, "è".as_bytes()), "è");
        assert_eq!(read(None, b"\xe8\x20"), "\u{FFFD} ");
        assert_eq!(read(Some("iso-8859-15"), b"\xa4"), "€");
        let (mut text, mut out) = (Text::new(Some("us-ascii")), String::new());
        text.push(b"\xe8 bene", true, &mut out);
        assert_eq!(out, "è bene");
    }

    fn cut<'a>(octets: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
        let (mut rest, mut pieces) = (octets, Vec::new());
        for at in cuts {
            let (piece, tail) = rest.split_at((*at).min(rest.len()));
            pieces.push(piece);
            rest = tail;
        }
        pieces.push(rest);
        pieces
    }

    proptest! {
        #[test]
        fn pieces_decode_as_the_whole(octets in prop::collection::vec(any::<u8>(), 0..300), cuts in prop::collection::vec(0usize..40, 0..12)) {
            let lines = encode::base64_lines(&octets);
            prop_assert_eq!(decode("base64", &cut(&lines, &cuts)).unwrap(), octets.clone());
            let quoted = encode::quoted_printable(&octets);
            let whole = encode::quoted_printable_decode(&quoted);
            prop_assert_eq!(decode("quoted-printable", &cut(&quoted, &cuts)).unwrap(), whole);
        }

        #[test]
        fn nothing_panics(octets in prop::collection::vec(prop::sample::select(b"=aZ3 \r\n\xff".to_vec()), 0..60), cuts in prop::collection::vec(0usize..9, 0..9)) {
            let pieces = cut(&octets, &cuts);
            let whole = encode::quoted_printable_decode(&octets);
            prop_assert_eq!(decode("quoted-printable", &pieces).unwrap(), whole);
            let _ = decode("base64", &pieces);
        }
    }
}
