use super::*;
use crate::{Headers, Limits};
use bytes::Bytes;
use proptest::prelude::*;

/// RFC 2047 §8, as text: encoded form and what it is displayed as.
#[test]
fn known_answers_of_rfc_2047() {
    for (encoded, shown) in [
        ("=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>"),
        ("=?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?=", "Keld Jørn Simonsen"),
        ("=?ISO-8859-1?Q?Andr=E9?= Pirard", "André Pirard"),
        ("=?ISO-8859-1?Q?Olle_J=E4rnefors?=", "Olle Järnefors"),
        ("=?ISO-8859-1?Q?Patrik_F=E4ltstr=F6m?=", "Patrik Fältström"),
        ("=?iso-8859-8?b?7eXs+SDv4SDp7Oj08A==?=", "םולש ןב ילטפנ"),
        (
            "=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=\r\n =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
            "If you can read this you understand the example.",
        ),
        ("(=?ISO-8859-1?Q?a?=)", "(a)"),
        ("(=?ISO-8859-1?Q?a?= b)", "(a b)"),
        ("(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)"),
        ("(=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=)", "(ab)"),
        ("(=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?=)", "(ab)"),
        ("(=?ISO-8859-1?Q?a_b?=)", "(a b)"),
        ("(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)", "(a b)"),
    ] {
        assert_eq!(decode(encoded.as_bytes()), shown, "{encoded}");
    }
}

/// RFC 2231 §5: a language after the charset.
#[test]
fn a_language_is_skipped() {
    assert_eq!(decode(b"=?US-ASCII*EN?Q?Keith_Moore?="), "Keith Moore");
}

#[test]
fn what_others_write_wrong_is_tolerated() {
    for (encoded, shown) in [
        ("x=?utf-8?q?=C3=A8?=y", "xèy"),
        ("=?utf-8?q?one word?=", "one word"),
        ("=?utf-8?b?w6?= =?utf-8?b?g=?=", "\u{FFFD}"), // broken base64
        ("=?utf-8?q?=C3?= =?UTF-8?q?=A8?=", "è"),      // one character in two words
        ("=?x-unknown?q?=C3=A8?=", "è"),
        ("=?utf-8?q??=", ""),
        ("\"=?utf-8?q?a?=\" <a@b>", "\"a\" <a@b>"),
    ] {
        assert_eq!(decode(encoded.as_bytes()), shown, "{encoded}");
    }
}

#[test]
fn what_is_no_encoded_word_stays() {
    for text in ["=?utf-8?q?open", "=?utf-8?x?a?=", "=??q?a?=", "=?a b?q?c?=", "=?", "1=?2?=3", "perché"] {
        assert_eq!(decode(text.as_bytes()), text);
    }
    assert_eq!(decode(b"=?=?utf-8?q?a?="), "=?a");
    assert_eq!(decode(b"\xff"), "\u{FFFD}");
}

#[test]
fn plain_text_is_left_alone() {
    for text in ["", "Subject: of plain words", "two  spaces", "1 = 1? yes"] {
        assert_eq!(encode_unstructured(text), text);
    }
}

#[test]
fn only_what_needs_it_is_encoded() {
    assert_eq!(encode_unstructured("Re: perché no"), "Re: =?UTF-8?Q?perch=C3=A9?= no");
    assert_eq!(encode_unstructured("è  è a è"), "=?UTF-8?B?w6ggIMOo?= a =?UTF-8?B?w6g=?=");
    assert_eq!(encode_unstructured("日本"), "=?UTF-8?B?5pel5pys?=");
    assert_eq!(encode_unstructured("a\r\nBcc: x"), "=?UTF-8?Q?a=0D=0ABcc=3A?= x");
    assert_eq!(encode_unstructured(" a "), "=?UTF-8?Q?_a_?=");
    assert_eq!(encode_unstructured("=?utf-8?q?a?="), "=?UTF-8?Q?=3D=3Futf-8=3Fq=3Fa=3F=3D?=");
}

#[test]
fn a_word_too_long_for_a_line_is_encoded() {
    let line = fold("Subject", encode_unstructured(&"x".repeat(5000)));
    assert!(line.split(|&octet| octet == b'\n').all(|line| line.len() <= 77));
}

#[test]
fn folding_breaks_only_at_white_space() {
    assert_eq!(fold("Subject", "short"), b"Subject: short\r\n");
    assert_eq!(fold("Subject", ""), b"Subject: \r\n");
    let (long, mid) = ("x".repeat(100), "y".repeat(60));
    let text = |body: String| String::from_utf8(fold("X-A", body)).unwrap();
    assert_eq!(text(long.clone()), format!("X-A: {long}\r\n"));
    assert_eq!(text(format!("{mid} {mid}  z")), format!("X-A: {mid}\r\n {mid}  z\r\n"));
    assert_eq!(text(format!("a {long} b")), format!("X-A: a\r\n {long}\r\n b\r\n"));
    assert_eq!(text("w".repeat(77)), format!("X-A:\r\n {}\r\n", "w".repeat(77)));
}

/// No value can make a field of its own.
#[test]
fn folding_strips_line_ends_and_controls() {
    assert_eq!(fold("Subject", "a\r\nBcc: b\0\x7f\tc "), b"Subject: aBcc: b\tc\r\n");
    assert_eq!(fold("Sub\r\nject", "a\r\n b"), b"Subject: a b\r\n");
    assert_eq!(fold("A", b"perch\xe9"), b"A: perch\xe9\r\n");
}

#[test]
fn a_long_header_full_of_beginnings_is_read_in_linear_time() {
    for piece in ["=?a?q?x", "=?a?b?", "=?", "=?utf-8?q?=41?="] {
        decode(piece.repeat(200_000).as_bytes());
    }
    let spaces = " ".repeat(1_000_000);
    encode_unstructured(&format!("è{spaces}è{spaces}a"));
    fold("A", format!("a{spaces}b"));
}

#[test]
fn phrases_are_atoms_quoted_or_encoded() {
    for (text, encoded) in [
        ("Mario Rossi", "Mario Rossi"),
        ("On behalf of: a@alfa.example", "\"On behalf of: a@alfa.example\""),
        ("a \"b\" \\", "\"a \\\"b\\\" \\\\\""),
        ("Niccolò, x", "=?UTF-8?Q?Niccol=C3=B2=2C_x?="),
        ("", "\"\""),
    ] {
        assert_eq!(encode_phrase(text), encoded);
    }
}

fn tricky_text() -> impl Strategy<Value = String> {
    let pieces = [
        "a",
        "xyz",
        "è",
        "\u{1F4E7}",
        " ",
        "  ",
        "=?",
        "?=",
        "=",
        "?",
        "_",
        "\t",
        "\r\n",
        "\0",
        "=?utf-8?q?",
        "(",
        "\"",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn encoding_is_undone(text in prop_oneof![tricky_text(), any::<String>()]) {
        let encoded = encode_unstructured(&text);
        prop_assert!(encoded.bytes().all(|octet| matches!(octet, b' '..=b'~')));
        prop_assert_eq!(decode(encoded.as_bytes()), text.clone());
        for word in encoded.split(' ').filter(|word| word.starts_with("=?")) {
            prop_assert!(word.len() <= 75);
        }
        let line = fold("Subject", &encoded);
        for line in line.split(|&octet| octet == b'\n').filter(|line| memmem::find(line, b"=?").is_some()) {
            prop_assert!(line.trim_ascii_end().len() <= 76, "{:?}", line);
        }
        let (headers, _) = Headers::parse(&Bytes::from(line), &Limits::default()).unwrap();
        prop_assert_eq!(headers.first("Subject").unwrap().decoded(), text);
    }

    #[test]
    fn a_folded_body_unfolds_to_itself(body in "[a-z]{1,90}([ \t]{1,3}[a-z]{1,90}){0,8}") {
        let line = fold("X-Test", &body);
        let has_long_word = body.split([' ', '\t']).any(|word| word.len() > 70);
        let lines_fit = line.split(|&octet| octet == b'\n').all(|line| line.len() <= 79);
        prop_assert!(lines_fit || has_long_word);
        let (headers, _) = Headers::parse(&Bytes::from(line), &Limits::default()).unwrap();
        prop_assert_eq!(headers.first("x-test").unwrap().text(), body);
    }

    #[test]
    fn a_phrase_survives_being_written_and_read(text in prop_oneof![tricky_text(), any::<String>()]) {
        let list = format!("{} <a@alfa.example>", encode_phrase(&text));
        let mailboxes = crate::address::parse_list(list.as_bytes(), 1).unwrap();
        prop_assert_eq!(mailboxes[0].name.clone().unwrap_or_default(), text);
    }

    #[test]
    fn decoding_never_panics(octets in prop::collection::vec(
        prop_oneof![any::<u8>(), prop::sample::select(b"=?qbQB*_".to_vec())], 0..100)) {
        decode(&octets);
    }
}
