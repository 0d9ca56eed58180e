//! Content transfer encodings (RFC 2045 §6.7, §6.8) and the small escapes of header fields.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::{MimeError, cut, line_end_len};

/// Octets that make one line of 76 characters.
const LINE_OCTETS: usize = 57;
const LINE_MAX: usize = 76;

/// Padding may be missing, bits left over in the last character are ignored.
const TOLERANT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Base64 in lines of 76 characters, each ended by CRLF, the last one too. Nothing for nothing.
pub fn base64_lines(octets: &[u8]) -> Vec<u8> {
    let lines = octets.len().div_ceil(LINE_OCTETS);
    let mut out = Vec::with_capacity(lines * (LINE_MAX + 2));
    let text: Vec<u8> = base64_simd::STANDARD.encode_type(octets);
    for line in text.chunks(LINE_MAX) {
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Undoes base64. White space anywhere, missing padding and padding in the middle (joined texts) are tolerated.
///
/// # Errors
/// [`MimeError::Base64`] for any other octet outside the alphabet, and for a text that breaks off inside an octet.
pub fn base64_decode(text: &[u8]) -> Result<Vec<u8>, MimeError> {
    let mut compact = Vec::with_capacity(text.len());
    let mut from = 0;
    for end in memchr::memchr_iter(b'\n', text).chain([text.len()]) {
        compact.extend_from_slice(cut(text, from, end).trim_ascii());
        from = end;
    }
    // Padding may be missing here too, but neither stand in the middle nor be half there.
    if let Ok(octets) = base64_simd::forgiving_decode_to_vec(&compact) {
        return Ok(octets);
    }
    compact.retain(|octet| !octet.is_ascii_whitespace());
    if !compact.iter().all(|&octet| is_base64(octet) || octet == b'=') {
        return Err(MimeError::Base64("an octet outside the alphabet"));
    }
    let mut out = Vec::with_capacity(compact.len() / 4 * 3);
    for run in compact.split(|&octet| octet == b'=').filter(|run| !run.is_empty()) {
        TOLERANT.decode_vec(run, &mut out).map_err(|_| MimeError::Base64("it breaks off inside an octet"))?;
    }
    Ok(out)
}

/// Text (with CRLF line ends) as quoted-printable: lines of at most 76 characters, CRLF kept as line breaks, `=` and
/// all but printable ASCII escaped, as are bare CR, bare LF and white space at the end of a line.
pub fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let mut rest = text;
    loop {
        let (line, tail) = match memchr::memmem::find(rest, b"\r\n") {
            Some(end) => (cut(rest, 0, end), Some(cut(rest, end + 2, rest.len()))),
            None => (rest, None),
        };
        push_qp_line(&mut out, line);
        let Some(tail) = tail else { return out.into_bytes() };
        out.push_str("\r\n");
        rest = tail;
    }
}

/// Undoes quoted-printable. Never fails: escapes that are none stay as they are, white space at the end of a line goes
/// (RFC 2045 §6.7 (3)), line ends stay of the kind they are.
pub fn quoted_printable_decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|&octet| octet == b'\n') {
        let (content, end) = line.split_at(line.len() - line_end_len(line));
        let blank = content.iter().rev().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
        let content = cut(content, 0, content.len() - blank);
        match content.strip_suffix(b"=") {
            Some(soft) => out.extend(unescape(soft, b'=')),
            None => {
                out.extend(unescape(content, b'='));
                out.extend_from_slice(end);
            }
        }
    }
    out
}

/// As [`base64_decode`], but whatever is not base64 is skipped.
pub(crate) fn base64_decode_lossy(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for run in text.split(|&octet| octet == b'=') {
        let mut run: Vec<u8> = run.iter().copied().filter(|&octet| is_base64(octet)).collect();
        if run.len() % 4 == 1 {
            run.pop();
        }
        // Only the alphabet is left, in a possible length: there is nothing to refuse.
        out.extend(TOLERANT.decode(&run).unwrap_or_default());
    }
    out
}

/// Replaces the mark and two hexadecimal digits by the octet they mean; other marks stay.
pub(crate) fn unescape(text: &[u8], mark: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(mark, rest) {
        out.extend_from_slice(cut(rest, 0, at));
        let digits = (rest.get(at + 1).copied().and_then(hex), rest.get(at + 2).copied().and_then(hex));
        let used = match digits {
            (Some(high), Some(low)) => {
                out.push(high << 4 | low);
                3
            }
            _ => {
                out.push(mark);
                1
            }
        };
        rest = cut(rest, at + used, rest.len());
    }
    out.extend_from_slice(rest);
    out
}

/// The mark and the octet in two upper-case hexadecimal digits.
pub(crate) fn push_escape(out: &mut String, mark: char, octet: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push(mark);
    for digit in [octet >> 4, octet & 15] {
        out.extend(DIGITS.get(usize::from(digit)).copied().map(char::from));
    }
}

/// Printable text between quotes (RFC 5322 §3.2.4).
pub(crate) fn quoted_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
    out
}

/// RFC 5322 §3.2.3.
pub(crate) fn is_atext(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&octet)
}

fn push_qp_line(out: &mut String, line: &[u8]) {
    // As a rule there is nothing to do.
    let is_plain = |&octet: &u8| (b' '..=b'~').contains(&octet) && octet != b'=';
    if line.len() <= LINE_MAX
        && line.iter().all(is_plain)
        && line.last() != Some(&b' ')
        && let Ok(text) = std::str::from_utf8(line)
    {
        out.push_str(text);
        return;
    }
    let mut column = 0;
    let mut rest = line;
    while let Some((&octet, tail)) = rest.split_first() {
        // All but the last piece of a line leave room for the `=` of a soft break.
        let room = LINE_MAX - 1 - column;
        let run = rest.iter().take(room).take_while(|octet| is_plain(octet)).count();
        // What may end the line is looked at alone.
        let run = if run == rest.len() { run - 1 } else { run };
        if let Some(text) = rest.get(..run).filter(|run| !run.is_empty()) {
            out.extend(std::str::from_utf8(text));
            column += run;
            rest = cut(rest, run, rest.len());
            continue;
        }
        let plain = match octet {
            b' ' | b'\t' => !tail.is_empty(),
            _ => is_plain(&octet),
        };
        let length = if plain { 1 } else { 3 };
        if column + length > LINE_MAX - usize::from(!tail.is_empty()) {
            out.push_str("=\r\n");
            column = 0;
        }
        column += length;
        if plain {
            out.push(char::from(octet))
        } else {
            push_escape(out, '=', octet)
        }
        rest = tail;
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn is_base64(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn qp(text: &str) -> String {
        String::from_utf8(quoted_printable(text.as_bytes())).unwrap()
    }

    #[test]
    fn quoted_printable_escapes_what_transport_could_damage() {
        assert_eq!(qp("è = à\r\nend \r\n\tx\t"), "=C3=A8 =3D =C3=A0\r\nend=20\r\n\tx=09");
        assert_eq!(quoted_printable(b"perch\xe9 l'ora"), b"perch=E9 l'ora");
        assert_eq!(qp("a\nb\rc"), "a=0Ab=0Dc");
        assert_eq!(qp(""), "");
    }

    #[test]
    fn quoted_printable_lines_have_at_most_76_characters() {
        assert_eq!(qp(&"a".repeat(76)), "a".repeat(76));
        assert_eq!(qp(&"a".repeat(77)), format!("{}=\r\n{}", "a".repeat(75), "aa"));
        assert_eq!(qp(&format!("{}=\r\n", "a".repeat(73))), format!("{}=3D\r\n", "a".repeat(73)));
        assert_eq!(qp(&format!("{}=\r\n", "a".repeat(74))), format!("{}=\r\n=3D\r\n", "a".repeat(74)));
    }

    /// RFC 2045 §6.7: the example of a soft break, and what rule (3) says of trailing white space.
    #[test]
    fn quoted_printable_is_decoded_as_rfc_2045_says() {
        let text = b"Now's the time =\r\nfor all folk to come=\r\n to the aid of their country.";
        let joined = b"Now's the time for all folk to come to the aid of their country.";
        assert_eq!(quoted_printable_decode(text), joined);
        assert_eq!(quoted_printable_decode(b"a  \t\r\nb= \t\nc=e9=zz=4\n="), b"a\r\nbc\xe9=zz=4\n");
    }

    /// RFC 4648 §10.
    #[test]
    fn base64_known_answers() {
        for (plain, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64_decode(text.as_bytes()).unwrap(), plain.as_bytes());
        }
        assert_eq!(base64_lines(b"foobar"), b"Zm9vYmFy\r\n");
        assert_eq!(base64_lines(b""), b"");
    }

    #[test]
    fn base64_tolerates_white_space_and_padding_that_is_missing_or_in_the_middle() {
        for text in ["Zm9v YmE=", "Zm9v\nYm\r\n E", "Zm9vYmE==", "Zg==b28=YmE=", "\r\nZm9vYmE=\r\n\r\n"] {
            assert_eq!(base64_decode(text.as_bytes()).unwrap(), b"fooba", "{text:?}");
        }
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        assert_eq!(base64_decode(b"Zm9v!"), Err(MimeError::Base64("an octet outside the alphabet")));
        assert_eq!(base64_decode(b"Zm9vY"), Err(MimeError::Base64("it breaks off inside an octet")));
    }

    proptest! {
        #[test]
        fn quoted_printable_round_trip(text in prop::collection::vec(prop_oneof![
            any::<u8>(), prop::sample::select(b" \t\r\n=.".to_vec()), Just(b'a')], 0..400)) {
            let encoded = quoted_printable(&text);
            prop_assert!(encoded.is_ascii());
            prop_assert!(encoded.split(|&o| o == b'\n').all(|line| line.trim_ascii_end().len() <= 76));
            prop_assert_eq!(quoted_printable_decode(&encoded), text);
        }

        #[test]
        fn base64_round_trip(octets in prop::collection::vec(any::<u8>(), 0..400)) {
            let encoded = base64_lines(&octets);
            prop_assert!(encoded.split(|&o| o == b'\n').all(|line| line.trim_ascii_end().len() <= 76));
            prop_assert_eq!(base64_decode(&encoded).unwrap(), octets.clone());
            prop_assert_eq!(base64_decode_lossy(&encoded), octets);
        }

        #[test]
        fn decoders_never_panic(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = base64_decode(&octets);
            base64_decode_lossy(&octets);
            quoted_printable_decode(&octets);
        }
    }
}
