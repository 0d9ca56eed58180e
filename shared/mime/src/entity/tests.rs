use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Entity {
    Entity::parse(&Bytes::from(text.to_owned()), &Limits::default()).unwrap()
}

const SIGNED: &str = concat!(
    "From: a@alfa.example\r\n",
    "Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; boundary=\"B1\"\r\n\r\n",
    "This is a signed message\r\n",
    "--B1\r\n",
    "Content-Type: multipart/mixed; boundary=B12\r\n\r\n",
    "--B12\r\n",
    "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
    "perch=E9=\r\n no\r\n",
    "--B12\r\n",
    "Content-Type: message/rfc822; name=\"inner.eml\"\r\n\r\n",
    "Content-Type: multipart/mixed; boundary=X\r\n\r\n--X\r\n\r\ninside\r\n--X--\r\n\r\n",
    "--B12--\r\n",
    "\r\n--B1\r\n",
    "Content-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: BASE64\r\n",
    "Content-Disposition: attachment; filename*=UTF-8''firma%20%C3%A8.p7s\r\n\r\n",
    "Zm9v\r\nYmFy\r\n",
    "--B1--\r\n",
);

#[test]
fn a_signed_message_is_read_to_the_octet() {
    let message = parse(SIGNED);
    let [mixed, signature] = message.children() else { panic!("two parts") };
    let signed = mixed.raw();
    assert!(signed.starts_with(b"Content-Type: multipart/mixed") && signed.ends_with(b"--B12--\r\n"));
    let [text, inner] = mixed.children() else { panic!("two parts") };
    assert_eq!(text.body(), "perch=E9=\r\n no");
    assert_eq!(text.text(), "perché no");
    assert_eq!(inner.content_type().value, "message/rfc822");
    assert!(inner.children().is_empty(), "message/rfc822 is not opened");
    assert!(inner.body().ends_with(b"--X--\r\n"));
    assert_eq!(inner.name().as_deref(), Some("inner.eml"));
    assert_eq!(signature.name().as_deref(), Some("firma è.p7s"));
    assert_eq!(signature.disposition().unwrap().value, "attachment");
    assert_eq!(signature.decoded_body().unwrap(), "foobar");
    assert_eq!(message.walk().count(), 5);
}

#[test]
fn ranges_say_where_everything_stands() {
    let message = parse(SIGNED);
    for entity in message.walk() {
        assert_eq!(&SIGNED.as_bytes()[entity.raw_range()], &entity.raw()[..]);
        assert_eq!(&SIGNED.as_bytes()[entity.body_range()], &entity.body()[..]);
        assert_eq!([&entity.head()[..], &entity.body()[..]].concat(), &entity.raw()[..]);
    }
}

/// A caller may replace one body: not another octet changes.
#[test]
fn a_replaced_body_leaves_every_other_octet() {
    let message = parse(SIGNED);
    let range = message.children()[1].body_range();
    let mut spliced = crate::Rope::from(message.raw().slice(..range.start));
    spliced.push("AAAA");
    spliced.push(message.raw().slice(range.end..));
    assert_eq!(spliced.to_bytes(), SIGNED.replace("Zm9v\r\nYmFy", "AAAA"));
}

#[test]
fn defaults_of_the_content_type() {
    assert_eq!(parse("\r\nx").content_type().value, "text/plain");
    assert_eq!(parse("Content-Type: text\r\n\r\nx").content_type().value, "text/plain");
    assert_eq!(parse("Content-Type:\r\n\r\nx").content_type().value, "text/plain");
    let digest = parse("Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nFrom: x\r\n--b--");
    assert_eq!(digest.children()[0].content_type().value, "message/rfc822");
}

#[test]
fn mixed_line_ends_are_read() {
    let message = parse("Content-Type: multipart/mixed; boundary=b\n\n--b\r\n\r\none\r\n--b\n\ntwo\n--b--\n");
    let bodies: Vec<_> = message.children().iter().map(|part| part.body().clone()).collect();
    assert_eq!(bodies, ["one", "two"]);
}

#[test]
fn a_multipart_that_cannot_be_split_has_no_children() {
    for kind in
        ["multipart/mixed", "multipart/mixed; boundary=\"\"", "multipart/mixed; boundary*=utf-8''a%0Ab"]
    {
        assert!(parse(&format!("Content-Type: {kind}\r\n\r\n--\r\n\r\nx\r\n")).children().is_empty());
    }
}

#[test]
fn text_without_a_charset_is_guessed_and_broken_base64_shown_raw() {
    assert_eq!(parse("\r\nperché").text(), "perché");
    let latin = Bytes::from_static(b"Content-Type: text/plain; charset=us-ascii\r\n\r\nperch\xe9");
    assert_eq!(Entity::parse(&latin, &Limits::default()).unwrap().text(), "perché");
    let broken = parse("Content-Transfer-Encoding: base64\r\n\r\n!!");
    assert!(broken.decoded_body().is_err());
    assert_eq!(broken.text(), "!!");
}

#[test]
fn an_identity_body_is_not_copied() {
    let message = parse("Content-Transfer-Encoding: 8bit\r\n\r\nbody");
    assert_eq!(message.decoded_body().unwrap().as_ptr(), message.body().as_ptr());
}

fn nested(levels: usize) -> Bytes {
    let level = |number| format!("Content-Type: multipart/mixed; boundary=b{number}\r\n\r\n--b{number}\r\n");
    Bytes::from((0..levels).map(level).collect::<String>() + "\r\nx")
}

#[test]
fn depth_is_bounded() {
    assert!(Entity::parse(&nested(32), &Limits::default()).is_ok());
    assert_eq!(Entity::parse(&nested(33), &Limits::default()), Err(MimeError::TooDeep { max: 32 }));
    assert!(Entity::parse(&nested(10_000), &Limits::default()).is_err());
    let careless = Limits { depth: usize::MAX, header_bytes: usize::MAX, ..Limits::default() };
    assert!(matches!(Entity::parse(&nested(10_000), &careless), Err(MimeError::TooDeep { .. })));
}

#[test]
fn parts_are_bounded_over_the_whole_tree() {
    let inner = |name: &str| {
        format!(
            "Content-Type: multipart/mixed; boundary={name}\r\n\r\n--{name}\r\n\r\n--{name}\r\n\r\n--{name}--"
        )
    };
    let text = format!(
        "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n{}\r\n--o\r\n{}\r\n--o--",
        inner("p"),
        inner("q")
    );
    let bytes = Bytes::from(text);
    let limits = |parts| Limits { parts, ..Limits::default() };
    assert_eq!(Entity::parse(&bytes, &limits(6)).unwrap().walk().count(), 7);
    assert_eq!(Entity::parse(&bytes, &limits(5)), Err(MimeError::TooManyParts { max: 5 }));
    let million = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", "--b\r\n".repeat(1_000_000));
    assert!(Entity::parse(&Bytes::from(million), &Limits::default()).is_err());
}

proptest! {
    #[test]
    fn arbitrary_octets_never_panic_and_nothing_is_copied(tokens in prop::collection::vec(prop::sample::select(vec![
        "Content-Type: multipart/mixed; boundary=b\r\n", "Content-Type: multipart/digest; boundary=bb\n",
        "Content-Transfer-Encoding: base64\r\n", "\r\n", "\n", "--b\r\n", "--bb\r\n", "--b--\r\n", "x", "A:", "è",
    ]), 0..60)) {
        let bytes = Bytes::from(tokens.concat());
        if let Ok(message) = Entity::parse(&bytes, &Limits::default()) {
            for entity in message.walk() {
                let inside = bytes.as_ptr_range();
                prop_assert!(entity.raw().is_empty() || inside.contains(&entity.raw().as_ptr()));
                prop_assert_eq!(&bytes[entity.raw_range()], &entity.raw()[..]);
                entity.text();
                entity.name();
            }
        }
    }
}
