//! ISO-8859-1, never windows-1252 (spec 0.2 D8).

/// Appends `text`; what Latin-1 does not have is replaced by its nearest ASCII, else by `?`.
pub(super) fn encode(out: &mut Vec<u8>, text: &str) {
    if text.is_ascii() {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for c in text.chars() {
        match (u8::try_from(u32::from(c)), c) {
            (Ok(0x80..=0x9f), _) => out.push(b'?'),
            (Ok(octet), _) => out.push(octet),
            (_, '\u{2018}' | '\u{2019}') => out.push(b'\''),
            (_, '\u{201c}' | '\u{201d}') => out.push(b'"'),
            (_, '\u{2013}' | '\u{2014}') => out.push(b'-'),
            (_, '\u{2026}') => out.extend_from_slice(b"..."),
            (_, '\u{20ac}') => out.extend_from_slice(b"EUR"),
            _ => out.push(b'?'),
        }
    }
}
