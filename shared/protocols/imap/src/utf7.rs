//! Mailbox names of RFC 3501 §5.1.3: modified UTF-7.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

const MODIFIED: GeneralPurpose = GeneralPurpose::new(
    &alphabet::IMAP_MUTF7,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// A name as clients of RFC 3501 see it.
pub(crate) fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut shifted: Vec<u8> = Vec::new();
    let end = |shifted: &mut Vec<u8>, out: &mut String| {
        if !shifted.is_empty() {
            out.push('&');
            MODIFIED.encode_string(&*shifted, out);
            out.push('-');
            shifted.clear();
        }
    };
    for c in name.chars() {
        if matches!(c, ' '..='~') {
            end(&mut shifted, &mut out);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            shifted.extend(c.encode_utf16(&mut [0; 2]).iter().flat_map(|unit| unit.to_be_bytes()));
        }
    }
    end(&mut shifted, &mut out);
    out
}

/// A name as such a client sent it; `None` if it is none. Only what [`encode`] makes is one, so that no mailbox has two
/// names.
pub(crate) fn decode(name: &str) -> Option<String> {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((plain, shifted)) = rest.split_once('&') {
        out.push_str(plain);
        let (code, after) = shifted.split_once('-')?;
        rest = after;
        if code.is_empty() {
            out.push('&');
            continue;
        }
        let octets = MODIFIED.decode(code).ok()?;
        let (pairs, odd) = octets.as_chunks::<2>();
        if !odd.is_empty() {
            return None;
        }
        let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
        for c in char::decode_utf16(units) {
            out.push(c.ok()?);
        }
    }
    out.push_str(rest);
    (encode(&out) == name).then_some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_names() {
        for (name, encoded) in [
            ("INBOX", "INBOX"),
            ("A&B", "A&-B"),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("Perché", "Perch&AOk-"),
            ("☺!", "&Jjo-!"),
            ("\u{1F4E7}", "&2D3c5w-"),
        ] {
            assert_eq!(encode(name), encoded);
            assert_eq!(decode(encoded).as_deref(), Some(name));
        }
    }

    #[test]
    fn what_is_no_name() {
        // The last three: an ampersand without an end, ASCII that is shifted, two shifts in a row (RFC 3501 §5.1.3).
        for wrong in ["é", "&", "&Jjo", "&J-", "&!!-", "&2D0-", "&AGE-", "&U,BTFw-&ZeVnLIqe-"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn names_are_read_back(name in any::<String>()) {
            let encoded = encode(&name);
            prop_assert!(encoded.bytes().all(|octet| matches!(octet, b' '..=b'~')));
            prop_assert_eq!(decode(&encoded), Some(name));
        }

        #[test]
        fn any_text_is_a_name_or_none(text in "[&A-Za-z0-9+,-]{0,20}") {
            if let Some(name) = decode(&text) {
                prop_assert_eq!(encode(&name), text);
            }
        }
    }
}
