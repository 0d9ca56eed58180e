use super::*;
use proptest::prelude::*;

fn get(body: &str, name: &str) -> Option<String> {
    Value::parse(body.as_bytes()).get(name).map(str::to_owned)
}

#[test]
fn a_content_type_is_read() {
    let value = Value::parse(b" Multipart/Signed; protocol=\"application/pkcs7-signature\";\r\n\tmicalg=sha-256; BOUNDARY=\"--=_ (a)\"");
    assert_eq!(value.value, "multipart/signed");
    assert_eq!(value.media(), ("multipart", "signed"));
    assert_eq!(value.get("Protocol"), Some("application/pkcs7-signature"));
    assert_eq!(value.get("micalg"), Some("sha-256"));
    assert_eq!(value.get("boundary"), Some("--=_ (a)"));
    assert_eq!(value.get("charset"), None);
}

/// RFC 2045 §5.1: the two forms of its example mean the same.
#[test]
fn comments_and_quotes_mean_nothing() {
    for body in [
        "text/plain; charset=us-ascii (Plain text)",
        "text/plain; charset=\"us-ascii\"",
        "text (a) / plain;(b) charset = us-ascii",
    ] {
        let value = Value::parse(body.as_bytes());
        assert_eq!((value.value.as_str(), value.get("charset")), ("text/plain", Some("us-ascii")), "{body}");
    }
}

/// RFC 2231 §3, §4 and §4.1.
#[test]
fn known_answers_of_rfc_2231() {
    let url = "message/external-body; access-type=URL;\r\n URL*0=\"ftp://\";\r\n URL*1=\"cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar\"";
    assert_eq!(get(url, "url").unwrap(), "ftp://cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar");
    assert_eq!(get(url, "access-type").unwrap(), "URL");
    let fun = "application/x-stuff; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A";
    assert_eq!(get(fun, "title").unwrap(), "This is ***fun***");
    let more = "application/x-stuff; title*0*=us-ascii'en'This%20is%20even%20more%20; title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2=\"isn't it!\"";
    assert_eq!(get(more, "title").unwrap(), "This is even more ***fun*** isn't it!");
}

#[test]
fn sections_come_in_any_order_and_stop_at_a_gap() {
    assert_eq!(get("a/b; n*1=y; n*0=x; n*3=z", "n").unwrap(), "xy");
    assert_eq!(get("a/b; n*1=y", "n"), None);
    assert_eq!(get("a/b; n*0*=iso-8859-1''%E8; n*1=x", "n").unwrap(), "èx");
    assert_eq!(get("a/b; n=plain; n*=utf-8''%C3%A8", "n").unwrap(), "è");
    assert_eq!(get("a/b; n=first; n=second", "n").unwrap(), "first");
}

#[test]
fn what_others_write_wrong_is_tolerated() {
    assert_eq!(get("a/b; name=\"=?ISO-8859-1?Q?perch=E9.pdf?=\"", "name").unwrap(), "perché.pdf");
    assert_eq!(get("a/b; name=copy (of) it.pdf", "name").unwrap(), "copy");
    assert_eq!(get("a/b; name=two words(1).pdf ; x=y", "name").unwrap(), "two words(1).pdf");
    assert_eq!(get("a/b; name=\"per\r\n ch\u{e9}\"", "name").unwrap(), "per ché");
    assert_eq!(get("a/b; name=\"open; x=y", "name").unwrap(), "open; x=y");
    assert_eq!(get("a/b; name=\"a\\\"b\" junk; x=y", "x").unwrap(), "y");
    assert_eq!(get("a/b;;; lonely; =x; x=", "x").unwrap(), "");
    assert_eq!(get("a/b; n*=%C3%A8", "n").unwrap(), "è");
    assert_eq!(get("attachment ; FileName=a.pdf", "filename").unwrap(), "a.pdf");
    assert_eq!(Value::parse(b"").media(), ("", ""));
}

#[test]
fn parameters_are_written_in_the_plainest_form() {
    assert_eq!(encode("charset", "utf-8"), "charset=utf-8");
    assert_eq!(encode("name", "data.xml"), "name=data.xml");
    assert_eq!(encode("name", "a \"b\".pdf"), "name=\"a \\\"b\\\".pdf\"");
    assert_eq!(encode("name", ""), "name=\"\"");
    assert_eq!(encode("name", "perché.pdf"), "name*=UTF-8''perch%C3%A9.pdf");
    let long = encode("name", &"è".repeat(30));
    assert!(long.starts_with("name*0*=UTF-8''%C3") && long.contains("; name*1*=%"), "{long}");
}

#[test]
fn many_parameters_are_read_in_linear_time() {
    for piece in ["; a*1=x", ";", "; a=\"", "((", "; n(", "\\"] {
        Value::parse(piece.repeat(200_000).as_bytes());
    }
    let many: String = (0..100_000).map(|number| format!("; p{number}=x")).collect();
    assert_eq!(Value::parse(many.as_bytes()).params.len(), 100_000);
}

proptest! {
    #[test]
    fn any_value_survives_being_written_and_read(value in prop_oneof![
        any::<String>(),
        "[ -~]{0,80}",
        "[a\"\\\\ ;=?è%'*\r\n\t\0]{0,60}",
        "a{850,950}",
    ]) {
        let parameter = encode("filename", &value);
        prop_assert!(parameter.is_ascii());
        let line = word::fold("Content-Disposition", format!("attachment; {parameter}; x=y"));
        let parsed = Value::parse(&line["Content-Disposition:".len()..]);
        prop_assert_eq!(parsed.get("filename"), Some(&value[..]));
        prop_assert_eq!(parsed.get("x"), Some("y"));
        prop_assert_eq!(parsed.value, "attachment");
    }

    #[test]
    fn parsing_never_panics(octets in prop::collection::vec(
        prop_oneof![any::<u8>(), prop::sample::select(b";=*\"'%\\( 0".to_vec())], 0..100)) {
        let value = Value::parse(&octets);
        prop_assert!(value.params.iter().all(|(name, _)| value.get(name).is_some()));
    }
}
