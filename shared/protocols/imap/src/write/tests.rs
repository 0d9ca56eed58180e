use mime::outline::Outline;
use proptest::prelude::*;

use super::*;

fn written(utf8: bool, write: impl FnOnce(&mut Writer)) -> String {
    let mut writer = Writer::new(utf8);
    write(&mut writer);
    String::from_utf8(writer.out).unwrap()
}

#[test]
fn strings() {
    let string = |utf8, text: &str| written(utf8, |w| _ = w.string(text));
    assert_eq!(string(false, "a \"b\" \\c"), "\"a \\\"b\\\" \\\\c\"");
    assert_eq!(string(false, ""), "\"\"");
    assert_eq!(string(false, "è"), "{2}\r\nè");
    assert_eq!(string(true, "è"), "\"è\"");
    assert_eq!(string(true, "a\r\nb\0"), "{4}\r\na\r\nb");
    assert_eq!(string(true, &"x".repeat(1001)), format!("{{1001}}\r\n{}", "x".repeat(1001)));
    assert_eq!(written(false, |w| _ = w.nstring(None)), "NIL");
}

fn envelope(message: &str) -> String {
    let outline = Outline::of(message.as_bytes());
    written(false, |w| _ = w.envelope(outline.envelope().unwrap()))
}

fn structure(message: &str, extended: bool) -> String {
    let outline = Outline::of(message.as_bytes());
    written(false, |w| _ = w.structure(&outline.root, extended))
}

#[test]
fn the_envelope_of_rfc_9051() {
    let message = "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\nFrom: Terry Gray <gray@cac.example>\r\n\
        Subject: IMAP4rev2 WG mtg summary and minutes\r\nTo: imap@cac.example\r\n\
        cc: minutes@cnri.example, \"John Klensin\" <KLENSIN@mit.example>\r\n\
        Message-Id: <B27397-0100000@cac.example>\r\n\r\n";
    assert_eq!(
        envelope(message),
        "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev2 WG mtg summary and minutes\" \
         ((\"Terry Gray\" NIL \"gray\" \"cac.example\")) ((\"Terry Gray\" NIL \"gray\" \"cac.example\")) \
         ((\"Terry Gray\" NIL \"gray\" \"cac.example\")) ((NIL NIL \"imap\" \"cac.example\")) \
         ((NIL NIL \"minutes\" \"cnri.example\")(\"John Klensin\" NIL \"KLENSIN\" \"mit.example\")) NIL NIL \
         \"<B27397-0100000@cac.example>\")"
    );
    assert_eq!(envelope(""), "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
}

#[test]
fn structures_of_every_kind() {
    assert_eq!(
        structure("Subject: x\r\n\r\nuno\r\ndue\r\n", true),
        "(\"text\" \"plain\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 10 2 NIL NIL NIL NIL)"
    );
    let mixed = "Content-Type: multipart/mixed; boundary=x\r\nContent-Language: it, en\r\n\r\n--x\r\n\
        Content-Type: TEXT/HTML; charset=\"utf-8\"; name*=utf-8''%C3%A8\r\nContent-Transfer-Encoding: Base64\r\n\
        Content-ID: <1>\r\nContent-Description: primo\r\nContent-MD5: q\r\nContent-Location: l\r\n\r\nPHA+\r\n--x\r\n\
        Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=\"a \\\"b\\\".pdf\"\r\n\
        Content-Language: it\r\n\r\n%PDF\r\n--x--\r\n";
    assert_eq!(
        structure(mixed, true),
        "((\"TEXT\" \"HTML\" (\"charset\" \"utf-8\" \"name*\" \"utf-8''%C3%A8\") \"<1>\" \"primo\" \"Base64\" 4 0 \
         \"q\" NIL NIL \"l\")(\"application\" \"pdf\" NIL NIL NIL \"7BIT\" 4 NIL \
         (\"attachment\" (\"filename\" \"a \\\"b\\\".pdf\")) \"it\" NIL) \"mixed\" (\"boundary\" \"x\") NIL \
         (\"it\" \"en\") NIL)"
    );
    assert_eq!(
        structure(mixed, false),
        "((\"TEXT\" \"HTML\" (\"charset\" \"utf-8\" \"name*\" \"utf-8''%C3%A8\") \"<1>\" \"primo\" \"Base64\" 4 0)\
         (\"application\" \"pdf\" NIL NIL NIL \"7BIT\" 4) \"mixed\")"
    );
    assert_eq!(
        structure("Content-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nuno\r\n", false),
        "(\"message\" \"rfc822\" NIL NIL NIL \"7BIT\" 19 (NIL \"y\" NIL NIL NIL NIL NIL NIL NIL NIL) \
         (\"text\" \"plain\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 5 1) 3)"
    );
}

#[test]
fn what_cannot_be_said_is_said_otherwise() {
    assert_eq!(
        structure("Content-Type: multipart/mixed\r\n\r\nnothing", false),
        "((\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 0 0) \"mixed\")"
    );
    assert_eq!(
        structure("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ==", false),
        "(\"APPLICATION\" \"OCTET-STREAM\" NIL NIL NIL \"base64\" 4)"
    );
}

/// Reads an answer as the grammar has it: balanced, strings closed, literals as long as they say.
fn is_balanced(text: &str) -> bool {
    let octets = text.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(octet) = octets.get(at) {
        match octet {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b'"' => loop {
                at += 1;
                match octets[at] {
                    b'\\' => at += 1,
                    b'"' => break,
                    b'\r' | b'\n' | 0 => return false,
                    _ => {}
                }
            },
            b'{' => {
                let end = at + text[at..].find("}\r\n").unwrap();
                at = end + 2 + text[at + 1..end].parse::<usize>().unwrap();
            }
            b'0'..=b'9' | b'A'..=b'Z' | b' ' => {}
            _ => return false,
        }
        at += 1;
    }
    depth == 0
}

proptest! {
    #[test]
    fn any_message_has_a_structure_that_can_be_read(lines in prop::collection::vec(prop::sample::select(vec![
        "--x", "--x--", "--y", "", "testo", "Subject: \"è\\", "To: a\"b <c@d>, (e", "To: g: \0;", "From: =?x", "Content-ID: {3}",
        "Content-Type: multipart/mixed; boundary=x", "Content-Type: message/rfc822", "Content-Type: text/\"; a=\"b",
        "Content-Type: multipart/y; boundary=y; n=\"\u{1}\"", "Content-Disposition: ; a=b", "Content-Language: ,,a,(", "Content-Transfer-Encoding: \"\"",
    ]), 0..40), utf8: bool, extended: bool) {
        let outline = Outline::of(lines.join("\r\n").as_bytes());
        let text = written(utf8, |w| _ = w.structure(&outline.root, extended).raw(" ").envelope(outline.envelope().unwrap()));
        prop_assert!(is_balanced(&text), "{}", text);
    }

    #[test]
    fn so_have_any_octets(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        let outline = Outline::of(&octets);
        let text = written(true, |w| _ = w.structure(&outline.root, true).raw(" ").envelope(outline.envelope().unwrap()));
        prop_assert!(is_balanced(&text), "{}", text);
    }
}
