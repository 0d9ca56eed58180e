use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{Entity, Limits};

fn outline(text: &str) -> Outline {
    Outline::of(text.as_bytes())
}

const NESTED: &str = "From: a@alfa.example\r\nSubject: fuori\r\nContent-Type: multipart/mixed; boundary=\"x\"\r\n\r\n\
preamble\r\n--x\r\n\r\nciao\r\nmondo\r\n--x\r\nContent-Type: message/rfc822; name=\"postacert.eml\"\r\n\
Content-Disposition: attachment; filename=\"postacert.eml\"\r\n\r\nFrom: Beta <b@beta.example>\r\nSubject: dentro\r\n\
Content-Type: multipart/alternative; boundary=y\r\n\r\n--y\r\n\r\nuno\r\n--y\r\nContent-Type: TEXT/html\r\n\r\n<p>\r\n\
\r\n--y--\r\n\r\n--x--\r\nepilogue";

#[test]
fn parts_and_messages_within_are_found_with_their_places() {
    let outline = outline(NESTED);
    let text = |part: &Part| &NESTED[part.body as usize..part.end as usize];
    assert_eq!(outline.size, NESTED.len() as u64);
    let first = outline.part(&[1]).unwrap();
    assert_eq!((text(first), first.lines), ("ciao\r\nmondo", 1));
    let message = outline.part(&[2]).unwrap();
    assert!(message.is_message());
    assert_eq!(message.param("NAME"), Some("postacert.eml"));
    assert_eq!(message.disposition.as_ref().unwrap().0, "attachment");
    let inner = &message.children[0];
    assert_eq!((inner.start, inner.end), (message.body, message.end));
    assert_eq!(inner.envelope.as_ref().unwrap().subject.as_deref(), Some("dentro"));
    assert_eq!(text(outline.part(&[2, 1]).unwrap()), "uno");
    let html = outline.part(&[2, 2]).unwrap();
    assert_eq!((text(html), html.kind.as_str(), html.lines), ("<p>\r\n", "TEXT", 1));
    for none in [&[][..], &[0], &[3], &[1, 1], &[2, 3], &[2, 1, 1]] {
        assert_eq!(outline.part(none), None, "{none:?}");
    }
}

#[test]
fn the_only_part_of_a_message_is_the_message() {
    let plain = outline("Subject: x\r\n\r\nbody\r\n");
    let part = plain.part(&[1]).unwrap();
    assert_eq!((part.body, part.end, part.lines), (14, 20, 1));
    assert_eq!((part.kind.as_str(), part.subtype.as_str()), ("text", "plain"));
    assert_eq!(plain.part(&[2]), None);
    let within = outline("Content-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nbody");
    assert!(within.part(&[1]).unwrap().is_message());
    assert_eq!(within.part(&[1, 1]).unwrap().end, within.size);
}

#[test]
fn an_encoded_message_is_not_opened_and_a_digest_opens_without_a_type() {
    let encoded =
        outline("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: BASE64\r\n\r\nU3ViamVjdDogeQ==");
    assert!(!encoded.root.is_message());
    let digest = outline(
        "Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nSubject: y\r\n\r\nbody\r\n--d--\r\n",
    );
    assert_eq!(
        digest.part(&[1]).unwrap().children[0].envelope.as_ref().unwrap().subject.as_deref(),
        Some("y")
    );
}

#[test]
fn what_never_ends_ends_with_the_message() {
    for text in [
        "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\nz",
        "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: message/rfc822\r\n",
        "Content-Type: message/rfc822\r\n",
        "Subject: only",
        "--x",
        "",
        "\0\0\r\r\n",
    ] {
        let outline = outline(text);
        assert!(
            outline.root.walk().all(|part| part.end == outline.size && part.body <= part.end),
            "{text:?}"
        );
    }
}

#[test]
fn depth_parts_and_text_are_bounded() {
    let mut deep = String::new();
    for level in 0..1000 {
        deep.push_str(&format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n"));
    }
    assert_eq!(outline(&deep).root.walk().count(), DEPTH_MAX + 1);
    let within = "Content-Type: message/rfc822\r\n\r\n".repeat(1000);
    assert_eq!(outline(&within).root.walk().count(), DEPTH_MAX + 1);
    let wide =
        format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", "--b\r\n\r\nx\r\n".repeat(5000));
    assert_eq!(outline(&wide).root.walk().count(), PARTS_MAX);
    let to = format!("Subject: s\r\nTo: {}\r\n\r\n", "nome@dominio.example, ".repeat(20_000));
    let long = outline(&to);
    let envelope = long.envelope().unwrap();
    assert_eq!(envelope.subject.as_deref(), Some("s"));
    assert!(!envelope.to.is_empty() && envelope.to.len() <= 4001, "{}", envelope.to.len());
    let params: String = (0..5000).map(|n| format!("; p{n}={}", "v".repeat(100))).collect();
    let many = outline(&format!("Content-Type: text/plain{params}\r\n\r\n"));
    assert_eq!(many.root.params.len(), PARAMS_MAX);
    for text in [deep, within, wide, to] {
        let kept = serde_json::to_string(&outline(&text)).unwrap();
        assert!(kept.len() < 350_000, "{}", kept.len());
    }
}

#[test]
fn what_is_kept_is_read_back() {
    let whole = outline(NESTED);
    let text = serde_json::to_string(&whole).unwrap();
    assert_eq!(serde_json::from_str::<Outline>(&text).unwrap(), whole);
}

fn addresses(field: &str) -> Vec<(String, String, String)> {
    let outline = outline(&format!("To: {field}\r\n\r\n"));
    let shown = |text: Option<String>| text.unwrap_or_else(|| "NIL".to_owned());
    let to = outline.root.envelope.unwrap().to;
    to.into_iter().map(|a| (shown(a.name), shown(a.mailbox), shown(a.host))).collect()
}

fn triple(name: &str, mailbox: &str, host: &str) -> (String, String, String) {
    (name.to_owned(), mailbox.to_owned(), host.to_owned())
}

#[test]
fn addresses_of_every_kind() {
    let nil = "NIL";
    for (field, expected) in [
        ("a@alfa.example", vec![triple(nil, "a", "alfa.example")]),
        ("Rossi Mario <a@alfa.example>", vec![triple("Rossi Mario", "a", "alfa.example")]),
        (
            "\"Rossi, Mario\" <a@alfa.example>, <b@beta.example>",
            vec![triple("Rossi, Mario", "a", "alfa.example"), triple(nil, "b", "beta.example")],
        ),
        (
            "=?utf-8?q?citt=C3=A0?= <a@alfa.example>",
            vec![triple("=?utf-8?q?citt=C3=A0?=", "a", "alfa.example")],
        ),
        ("a@alfa.example (Mario (il) Rossi)", vec![triple("Mario (il) Rossi", "a", "alfa.example")]),
        ("<@x.example,@y.example:a@alfa.example>", vec![triple(nil, "a", "alfa.example")]),
        ("\"a b\"@alfa.example", vec![triple(nil, "a b", "alfa.example")]),
        ("a . b @ alfa . example", vec![triple(nil, "a.b", "alfa.example")]),
        (
            "amici: a@alfa.example, b@beta.example;, c@gamma.example",
            vec![
                triple(nil, "amici", nil),
                triple(nil, "a", "alfa.example"),
                triple(nil, "b", "beta.example"),
                triple(nil, nil, nil),
                triple(nil, "c", "gamma.example"),
            ],
        ),
        ("undisclosed-recipients:;", vec![triple(nil, "undisclosed-recipients", nil), triple(nil, nil, nil)]),
        ("nobody", vec![triple(nil, "nobody", "")]),
        ("Perché <a@alfa.example", vec![triple("Perché", "a", "alfa.example")]),
        (",, ;", vec![]),
        ("Per conto di: a@alfa.example <posta-certificata@gestore.example>", {
            vec![
                triple(nil, "Per conto di", nil),
                triple("a@alfa.example", "posta-certificata", "gestore.example"),
                triple(nil, nil, nil),
            ]
        }),
        (
            "\"Per conto di: a@alfa.example\" <posta-certificata@gestore.example>",
            vec![triple("Per conto di: a@alfa.example", "posta-certificata", "gestore.example")],
        ),
    ] {
        assert_eq!(addresses(field), expected, "{field}");
    }
}

/// Lines that structures are made of.
fn line() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "--x",
        "--x--",
        "--y",
        "--y--",
        "--x ",
        "--xx",
        "",
        "",
        "testo",
        "Subject: s",
        " folded",
        "--",
        "\r",
        "Content-Type: multipart/mixed; boundary=x",
        "Content-Type: multipart/digest; boundary=y",
        "Content-Type: message/rfc822",
        "Content-Type: text/html; charset=utf-8",
        "To: a@b.example, c: d@e;",
        "From x",
    ])
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let ends = prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\n", ""]);
    prop::collection::vec((line(), ends), 0..40)
        .prop_map(|lines| lines.into_iter().flat_map(|(l, e)| [l, e].concat().into_bytes()).collect())
}

fn same(part: &Part, entity: &Entity) -> Result<(), TestCaseError> {
    let (raw, body) = (entity.raw_range(), entity.body_range());
    prop_assert_eq!((part.start, part.body, part.end), (raw.start as u64, body.start as u64, raw.end as u64));
    let media = format!("{}/{}", part.kind, part.subtype).to_ascii_lowercase();
    prop_assert_eq!(&media, &entity.content_type().value);
    if part.is_multipart() {
        prop_assert_eq!(part.children.len(), entity.children().len());
        for (part, entity) in part.children.iter().zip(entity.children()) {
            same(part, entity)?;
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn parts_lie_where_the_entity_has_them(octets in message()) {
        let outline = Outline::of(&octets);
        if let Ok(entity) = Entity::parse(&Bytes::from(octets), &Limits::default()) {
            same(&outline.root, &entity)?;
        }
    }

    #[test]
    fn pieces_make_the_same_outline(octets in message(), size in 1usize..9) {
        let mut scanner = Scanner::new();
        octets.chunks(size).for_each(|piece| scanner.push(piece));
        prop_assert_eq!(scanner.finish(), Outline::of(&octets));
    }

    #[test]
    fn any_octets_have_an_outline(octets in prop::collection::vec(any::<u8>(), 0..400)) {
        let outline = Outline::of(&octets);
        prop_assert_eq!(outline.size, octets.len() as u64);
    }
}
