use super::*;
use proptest::prelude::*;

fn addresses(body: &str) -> Vec<String> {
    parse_list(body.as_bytes(), 100).unwrap().into_iter().map(|mailbox| mailbox.addr_spec).collect()
}

fn one(body: &str) -> (Option<String>, String) {
    let mut list = parse_list(body.as_bytes(), 1).unwrap();
    let mailbox = list.pop().unwrap();
    (mailbox.name, mailbox.addr_spec)
}

#[test]
fn names_and_addresses_are_read() {
    for (body, name, addr_spec) in [
        ("a@alfa.example", None, "a@alfa.example"),
        ("<a@alfa.example>", None, "a@alfa.example"),
        ("Mario Rossi <a@alfa.example>", Some("Mario Rossi"), "a@alfa.example"),
        ("\"Rossi, Mario\" <A@Alfa.Example>", Some("Rossi, Mario"), "A@Alfa.Example"),
        ("John Q. Public <a@alfa.example>", Some("John Q. Public"), "a@alfa.example"),
        ("=?utf-8?Q?Niccol=C3=B2?=\r\n =?utf-8?Q?_B=2E?= <a@b.example>", Some("Niccolò B."), "a@b.example"),
        ("=?utf-8?Q?Rossi,_M.?= <a@b.example>", Some("Rossi, M."), "a@b.example"),
        ("\"=?iso-8859-1?Q?perch=E9?=\" <a@b.example>", Some("perché"), "a@b.example"),
        ("Niccolò <a@b.example>", Some("Niccolò"), "a@b.example"),
        ("\"\" <a@b.example>", None, "a@b.example"),
        ("a@b.example (a comment (inside) \\) it)", None, "a@b.example"),
        ("(x)a(y)@(z)b.example", None, "a@b.example"),
        ("a . b @ c . example", None, "a.b@c.example"),
        ("\"a b\"@c.example", None, "\"a b\"@c.example"),
        ("\"plain\"@c.example", None, "plain@c.example"),
        ("\"a..b\"@c.example", None, "\"a..b\"@c.example"),
        ("\"a\\\"@\"@c.example", None, "\"a\\\"@\"@c.example"),
        ("a@[192.0.2.1]", None, "a@[192.0.2.1]"),
        ("<@x.example,@y.example:a@b.example>", None, "a@b.example"),
    ] {
        assert_eq!(one(body), (name.map(str::to_owned), addr_spec.to_owned()), "{body}");
    }
}

/// RFC 5322 §3.4 and §4.4.
#[test]
fn lists_and_groups_are_flattened() {
    assert_eq!(addresses("a@x.example,\r\n B <b@x.example>"), ["a@x.example", "b@x.example"]);
    assert_eq!(
        addresses("G: a@x.example, <b@x.example>;, c@x.example"),
        ["a@x.example", "b@x.example", "c@x.example"]
    );
    assert_eq!(addresses(", a@x.example,, b@x.example,"), ["a@x.example", "b@x.example"]);
    for empty in ["", " \r\n ", "undisclosed-recipients:;", "(nobody)", ",,"] {
        assert!(addresses(empty).is_empty(), "{empty}");
    }
}

#[test]
fn what_is_no_address_list_is_refused() {
    for body in [
        "a",
        "a@",
        "@b",
        "a@b@c",
        "a@b c@d",
        "a..b@c",
        ".a@b",
        "a.@b",
        "a@b.",
        "a b@c",
        "<>",
        "<a@b",
        "a@b>",
        "x <a@b> y",
        "<a@b><c@d>",
        "G: a@b",
        "a@b;",
        "G: H: a@b;;",
        "\"open",
        "(open",
        "a@[open",
        "a@\"b\"",
        "perché@b",
        "a@bé",
        "a\0@b",
        "\"a\0\"@b",
        "a@b:c@d",
        "<a@b:c@d>",
        "<,a@b>",
        "\\",
        ":",
        "x@y <a@b>",
    ] {
        let answer = parse_list(body.as_bytes(), 9);
        assert!(matches!(answer, Err(MimeError::Address { .. })), "{body}: {answer:?}");
    }
}

#[test]
fn the_error_says_where() {
    let error = parse_list(b"a@b.example, c d", 9).unwrap_err();
    assert_eq!(error.to_string(), "read the address list at octet 13: expected one `@`");
}

#[test]
fn number_and_depth_are_bounded() {
    assert_eq!(parse_list(b"a@b,c@d", 1), Err(MimeError::TooManyAddresses { max: 1 }));
    let nested = |depth: usize| format!("{}{} a@b", "(".repeat(depth), ")".repeat(depth));
    assert!(parse_list(nested(COMMENT_DEPTH_MAX).as_bytes(), 1).is_ok());
    assert!(parse_list(nested(COMMENT_DEPTH_MAX + 1).as_bytes(), 1).is_err());
}

#[test]
fn hostile_lists_are_read_in_linear_time() {
    for piece in ["=?a?q?x,", "=?a?q?x ", "(", "()", "\"", "<", "<@", "a.", "a@b,", "[", "g:;", ",", "@a,"] {
        let _ = parse_list(piece.repeat(100_000).as_bytes(), usize::MAX);
        let _ = parse_list(format!("<{}", piece.repeat(100_000)).as_bytes(), usize::MAX);
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(local in "[!-~ ]{0,20}", name in any::<Option<String>>()) {
        let quoted = encode::quoted_string(&local);
        let first = parse_list(format!("{quoted}@alfa.example").as_bytes(), 1).unwrap().remove(0);
        let name = name.filter(|name| !name.is_empty());
        let mailbox = Mailbox { name, ..first };
        let line = word::fold("From", mailbox.encode());
        prop_assert_eq!(parse_list(&line["From:".len()..], 1).unwrap(), vec![mailbox]);
    }

    #[test]
    fn parsing_never_panics(octets in prop::collection::vec(
        prop_oneof![any::<u8>(), prop::sample::select(b"<>@,;:.()[]\"\\ a=?".to_vec())], 0..80)) {
        if let Ok(list) = parse_list(&octets, 9) {
            for mailbox in list {
                prop_assert!(mailbox.addr_spec.is_ascii());
                prop_assert!(parse_list(mailbox.addr_spec.as_bytes(), 1).is_ok(), "{:?}", mailbox);
            }
        }
    }
}
