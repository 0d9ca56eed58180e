//! Text from octets and the name of their charset.

use encoding_rs::{Encoding, REPLACEMENT};

/// `octets` as text of the charset `label` (IANA name or WHATWG alias, any case); never fails, what cannot be decoded
/// becomes U+FFFD. A label that is unknown, or known as unsafe to decode, is read as UTF-8. A byte order mark stays.
pub fn decode(label: &str, octets: &[u8]) -> String {
    match Encoding::for_label(label.as_bytes()) {
        Some(encoding) if encoding != REPLACEMENT => {
            encoding.decode_without_bom_handling(octets).0.into_owned()
        }
        _ => String::from_utf8_lossy(octets).into_owned(),
    }
}

/// `octets` that name no charset, or only US-ASCII: UTF-8 where they are valid UTF-8, else windows-1252.
pub fn guess(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) => text.to_owned(),
        Err(_) => decode("windows-1252", octets),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_case_insensitive_and_unknown_ones_are_utf_8() {
        assert_eq!(decode("ISO-8859-1", b"perch\xe9"), "perché");
        assert_eq!(decode("utf-8", "perché".as_bytes()), "perché");
        assert_eq!(decode("x-nobody-knows", "perché\u{1F4E7}".as_bytes()), "perché\u{1F4E7}");
        assert_eq!(decode("hz-gb-2312", b"plain"), "plain");
        assert_eq!(decode("utf-8", b"\xff"), "\u{FFFD}");
    }

    #[test]
    fn octets_without_a_label_are_guessed() {
        assert_eq!(guess("è".as_bytes()), "è");
        assert_eq!(guess(b"\xe8"), "è");
    }
}
