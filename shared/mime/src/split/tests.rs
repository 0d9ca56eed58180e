use super::*;
use proptest::prelude::*;

fn split(body: &str, boundary: &str) -> Split {
    multipart(&Bytes::from(body.to_owned()), boundary.as_bytes(), 100).unwrap()
}

fn parts(body: &str, boundary: &str) -> Vec<String> {
    split(body, boundary).parts.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

/// RFC 2046 §5.1.1: the line end before a delimiter belongs to the delimiter.
#[test]
fn the_line_end_before_a_delimiter_belongs_to_it() {
    let split = split("pre\r\n--b\r\n\r\none\r\n\r\n--b\r\ntwo\r\n--b--\r\nepi\r\n", "b");
    assert_eq!(split.preamble, "pre");
    assert_eq!(split.parts, ["\r\none\r\n", "two"]);
    assert_eq!(split.epilogue, "epi\r\n");
    assert!(split.closed);
}

#[test]
fn lf_line_ends_and_mixed_ones_split_too() {
    assert_eq!(parts("--b\n\none\n--b\r\ntwo\r\n--b--", "b"), ["\none", "two"]);
}

#[test]
fn an_empty_part_is_a_part() {
    assert_eq!(parts("--b\r\n--b\r\n\r\n--b--\r\n", "b"), ["", ""]);
}

#[test]
fn a_boundary_that_begins_another_one_is_not_confused() {
    let body = "--b\r\n--bc\r\ninner\r\n--bc--\r\n--b \t\r\nx--b\r\n --b\r\n--b--x\r\n--b--  \r\n";
    assert_eq!(parts(body, "b"), ["--bc\r\ninner\r\n--bc--", "x--b\r\n --b\r\n--b--x"]);
    assert_eq!(parts(body, "bc"), ["inner"]);
}

#[test]
fn without_a_close_delimiter_the_last_part_runs_to_the_end() {
    let split = split("--b\r\none\r\n--b\r\ntwo\r\n", "b");
    assert!(!split.closed);
    assert_eq!(split.parts, ["one", "two\r\n"]);
    assert_eq!(parts("--b\r\none\r\n--b", "b"), ["one"]);
}

#[test]
fn without_any_delimiter_all_is_preamble() {
    let split = split("nothing\r\n", "b");
    assert_eq!((split.preamble, split.parts.len(), split.closed), (Bytes::from("nothing\r\n"), 0, false));
}

#[test]
fn a_boundary_that_cannot_delimit_is_refused() {
    for boundary in [&b""[..], b"a\nb", b"a\r"] {
        assert_eq!(multipart(&Bytes::new(), boundary, 9), Err(MimeError::Boundary));
    }
}

#[test]
fn a_million_parts_are_bounded_and_linear() {
    let body = Bytes::from("--b\r\n".repeat(1_000_000));
    assert_eq!(multipart(&body, b"b", 10_000), Err(MimeError::TooManyParts { max: 10_000 }));
    assert_eq!(multipart(&body, b"b", 1_000_000).unwrap().parts.len(), 1_000_000);
}

#[test]
fn a_huge_boundary_against_a_body_made_of_it_is_linear() {
    let body = vec![b'-'; 4_000_000];
    assert!(ranges(&body, &vec![b'-'; 100_000], 9).unwrap().parts.is_empty());
    let lines = [vec![b'-'; 100_002], b"x\n".to_vec()].concat().repeat(40);
    assert!(ranges(&lines, &vec![b'-'; 100_000], 9).unwrap().parts.is_empty());
}

fn assert_slice_of(part: &Bytes, body: &Bytes) {
    let inside = body.as_ptr_range();
    assert!(part.is_empty() || (inside.contains(&part.as_ptr()) && part.as_ptr_range().end <= inside.end));
}

proptest! {
    #[test]
    fn arbitrary_octets_never_panic_and_nothing_is_copied(
        tokens in prop::collection::vec(
            prop::sample::select(vec!["--b", "--", "b", "\r\n", "\n", "\r", " ", "x", "é", "--b--", "\r\n--b\r\n"]), 0..60),
        boundary in prop::sample::select(vec!["b", "bb", "-", "--b"]),
    ) {
        let body = Bytes::from(tokens.concat());
        let split = multipart(&body, boundary.as_bytes(), 1000).unwrap();
        let pieces = split.parts.iter().chain([&split.preamble, &split.epilogue]);
        pieces.for_each(|piece| assert_slice_of(piece, &body));
    }

    #[test]
    fn what_is_joined_is_split_again(contents in prop::collection::vec("[a-z\r\n -]{0,30}", 1..6)) {
        let mut body = String::from("preamble");
        contents.iter().for_each(|content| { body.push_str("\r\n--=_B\r\n"); body.push_str(content) });
        body.push_str("\r\n--=_B--\r\nepilogue");
        let split = split(&body, "=_B");
        prop_assert_eq!(split.parts, contents);
        prop_assert_eq!(split.preamble, "preamble");
        prop_assert_eq!(split.epilogue, "epilogue");
    }
}
