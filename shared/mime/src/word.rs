//! Encoded words (RFC 2047) and the folding of fields (RFC 5322 §2.2.3).

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::{memchr, memmem};

use crate::{charset, cut, encode};

/// `=?UTF-8?Q?` and `?=`.
const FRAME_LEN: usize = 12;
/// RFC 2047 §2.
const WORD_MAX: usize = 75;
/// So short that the first word fits on the line of the field name.
const FIRST_WORD_MAX: usize = 60;
/// A word of plain ASCII that is longer gets encoded, since a line must not exceed 998 octets.
const PLAIN_WORD_MAX: usize = 900;
/// No charset name is longer.
const CHARSET_MAX: usize = 64;

/// Text with its encoded words decoded; what is not encoded is read as UTF-8, U+FFFD where it is not.
///
/// White space between two encoded words goes (§6.2). Tolerated: words longer than 75, words that touch other text,
/// spaces inside a word, characters cut in two by neighbouring words of one charset, unknown charsets, broken base64.
pub fn decode(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len());
    let mut pending: Option<Word<'_>> = None;
    let mut at = 0;
    while let Some((start, end, word)) = find(octets, at) {
        let gap = cut(octets, at, start);
        let adjacent = pending.is_some() && gap.iter().all(u8::is_ascii_whitespace);
        pending = Some(match pending.take() {
            Some(mut last) if adjacent && last.charset.eq_ignore_ascii_case(word.charset) => {
                last.octets.extend_from_slice(&word.octets);
                last
            }
            last => {
                flush(&mut out, last);
                if !adjacent {
                    out.push_str(&String::from_utf8_lossy(gap));
                }
                word
            }
        });
        at = end;
    }
    flush(&mut out, pending);
    out.push_str(&String::from_utf8_lossy(cut(octets, at, octets.len())));
    out
}

/// Text as the body of an unstructured field: ASCII, with encoded words of at most 75 characters where the text is not
/// plain (non-ASCII, controls, `=?`, white space at the ends, words too long for a line). [`decode`] gives back `text`.
pub fn encode_unstructured(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (start, end) in spans_to_encode(text) {
        out.push_str(text.get(at..start).unwrap_or_default());
        push_words(&mut out, text.get(start..end).unwrap_or_default());
        at = end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// Text as a phrase, such as a display name (RFC 5322 §3.2.5): atoms, one quoted string, or encoded words.
/// Never empty: the empty text is `""`.
pub fn encode_phrase(text: &str) -> String {
    let plain = text.bytes().all(|octet| matches!(octet, b' '..=b'~'));
    if !plain || text.len() > PLAIN_WORD_MAX || text.contains("=?") {
        let mut out = String::new();
        push_words(&mut out, text);
        return out;
    }
    if !text.is_empty() && text.split(' ').all(|word| !word.is_empty() && word.bytes().all(encode::is_atext))
    {
        return text.to_owned();
    }
    encode::quoted_string(text)
}

/// `Name: body` and CRLF, folded at white space so that lines keep to 78 characters (76 with encoded words, RFC 2047
/// §2) where they can. A break is only ever put before white space that is there, so unfolding gives back the body.
/// CR, LF and other ASCII controls but tab are stripped, white space at the ends trimmed; 8-bit octets pass.
pub fn fold(name: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + body.as_ref().len() + 16);
    fold_into(&mut out, name, body);
    out
}

/// [`fold`] behind what is there already.
pub fn fold_into(out: &mut Vec<u8>, name: &str, body: impl AsRef<[u8]>) {
    let mut body = Cow::Borrowed(body.as_ref());
    let is_stripped = |o: &u8| *o != b'\t' && o.is_ascii_control();
    if body.iter().any(is_stripped) {
        body.to_mut().retain(|o| !is_stripped(o));
    }
    let body = body.trim_ascii();
    let max = if memmem::find(body, b"=?").is_some() { 76 } else { 78 };
    let start = out.len();
    out.extend(name.bytes().filter(|&octet| octet.is_ascii_graphic() && octet != b':'));
    out.push(b':');
    let head = out.len();
    let mut column = head - start;
    let is_space = |octet: &u8| matches!(octet, b' ' | b'\t');
    let mut space: &[u8] = b" ";
    let mut rest = body;
    while !rest.is_empty() {
        let (word, tail) = rest.split_at(rest.iter().position(is_space).unwrap_or(rest.len()));
        let piece = space.len() + word.len();
        // Right after the colon a break has to help, elsewhere it always does.
        if column + piece > max && (out.len() > head || piece <= max) {
            out.extend_from_slice(b"\r\n");
            column = 0;
        }
        out.extend_from_slice(space);
        out.extend_from_slice(word);
        column += piece;
        (space, rest) = tail.split_at(tail.iter().position(|octet| !is_space(octet)).unwrap_or(tail.len()));
    }
    if body.is_empty() {
        out.push(b' ');
    }
    out.extend_from_slice(b"\r\n");
}

struct Word<'a> {
    charset: &'a [u8],
    octets: Vec<u8>,
}

fn flush(out: &mut String, word: Option<Word<'_>>) {
    if let Some(word) = word {
        out.push_str(&charset::decode(&String::from_utf8_lossy(word.charset), &word.octets));
    }
}

/// The first encoded word at or after `from`: where it starts, where it ends, what it says.
fn find(octets: &[u8], mut from: usize) -> Option<(usize, usize, Word<'_>)> {
    loop {
        let start = from + memmem::find(octets.get(from..)?, b"=?")?;
        from = start + 2;
        let Some((charset, is_base64, text_start)) = frame(octets, from) else { continue };
        // No end for this word means no end for any later one: give up, so that time stays linear.
        let text_len = memmem::find(octets.get(text_start..)?, b"?=")?;
        let text = cut(octets, text_start, text_start + text_len);
        let octets = if is_base64 { encode::base64_decode_lossy(text) } else { q_decode(text) };
        return Some((start, text_start + text_len + 2, Word { charset, octets }));
    }
}

/// `charset?B?` or `charset?Q?` at `from`: the charset without its language (RFC 2231 §5), base64?, where the text is.
fn frame(octets: &[u8], from: usize) -> Option<(&[u8], bool, usize)> {
    let head = cut(octets, from, octets.len().min(from + CHARSET_MAX + 1));
    let length = memchr(b'?', head)?;
    let charset = cut(head, 0, length);
    if charset.is_empty() || !charset.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let is_base64 = match octets.get(from + length + 1..from + length + 3)? {
        b"B?" | b"b?" => true,
        b"Q?" | b"q?" => false,
        _ => return None,
    };
    let language = memchr(b'*', charset).unwrap_or(length);
    Some((cut(charset, 0, language), is_base64, from + length + 3))
}

fn q_decode(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text.iter().map(|&octet| if octet == b'_' { b' ' } else { octet }).collect();
    encode::unescape(&spaced, b'=')
}

/// Byte ranges of `text` that need encoding: whole words, with the white space at the ends of the text where a word
/// touches it. Between two ranges stands at least one plain word, since white space between encoded words would be lost.
fn spans_to_encode(text: &str) -> Vec<(usize, usize)> {
    let whole = text.len();
    let (lead, tail) = (whole - text.trim_start_matches(' ').len(), text.trim_end_matches(' ').len());
    if tail == 0 {
        return if whole == 0 { Vec::new() } else { vec![(0, whole)] };
    }
    let mut spans: Vec<(usize, usize)> = Vec::new();
    let mut at = 0;
    for word in text.split(' ') {
        let (start, end) = (at, at + word.len());
        at = end + 1;
        let touches_an_end = (start == lead && lead > 0) || (end == tail && tail < whole);
        if word.is_empty() || !(touches_an_end || needs_encoding(word)) {
            continue;
        }
        let (start, end) = (if start == lead { 0 } else { start }, if end == tail { whole } else { end });
        match spans.last_mut() {
            Some(last) if text.get(last.1..start).unwrap_or_default().bytes().all(|octet| octet == b' ') => {
                last.1 = end;
            }
            _ => spans.push((start, end)),
        }
    }
    spans
}

fn needs_encoding(word: &str) -> bool {
    word.len() > PLAIN_WORD_MAX || word.contains("=?") || !word.bytes().all(|octet| octet.is_ascii_graphic())
}

/// `text` as encoded words with spaces between, in `Q` where most of it stays readable, else in `B`.
fn push_words(out: &mut String, text: &str) {
    let as_q: usize = text.bytes().map(q_len).sum();
    let (letter, len_of): (char, fn(u8) -> usize) =
        if as_q <= text.len() * 2 { ('Q', q_len) } else { ('B', |_| 1) };
    let budget = |word_max: usize| match letter {
        'Q' => word_max - FRAME_LEN,
        _ => (word_max - FRAME_LEN) / 4 * 3,
    };
    let (mut start, mut used, mut max) = (0, 0, budget(FIRST_WORD_MAX));
    for (at, character) in text.char_indices() {
        let length = character.encode_utf8(&mut [0; 4]).bytes().map(len_of).sum::<usize>();
        if used + length > max {
            push_word(out, letter, text.get(start..at).unwrap_or_default());
            out.push(' ');
            (start, used, max) = (at, 0, budget(WORD_MAX));
        }
        used += length;
    }
    push_word(out, letter, text.get(start..).unwrap_or_default());
}

fn push_word(out: &mut String, letter: char, text: &str) {
    out.push_str("=?UTF-8?");
    out.push(letter);
    out.push('?');
    if letter == 'B' {
        STANDARD.encode_string(text, out);
    } else {
        text.bytes().for_each(|octet| match octet {
            b' ' => out.push('_'),
            _ if q_len(octet) == 1 => out.push(char::from(octet)),
            _ => encode::push_escape(out, '=', octet),
        });
    }
    out.push_str("?=");
}

/// Characters of one octet in `Q`, which keeps to what is legal in a phrase too (RFC 2047 §5 (3)).
fn q_len(octet: u8) -> usize {
    match octet {
        b' ' | b'!' | b'*' | b'+' | b'-' | b'/' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => 1,
        _ => 3,
    }
}

#[cfg(test)]
mod tests;
