//! What strangers and broken clients send, and the answer to each (docs/imap-door.md).

use proptest::prelude::*;

use super::*;

#[test]
fn the_table_of_attacks() {
    let long = "x".repeat(70_000);
    for (attack, octets, answer, ends) in [
        ("a line without an end", long.clone(), "* BYE the line is too long\r\n", true),
        ("a long line", format!("a NOOP {long}\r\n"), "* BYE the line is too long\r\n", true),
        (
            "an oversized literal",
            "a LOGIN {9999999}\r\n".to_owned(),
            "a BAD the literal is too long\r\n",
            false,
        ),
        (
            "an oversized literal, sent unasked",
            "a LOGIN {9999999+}\r\n".to_owned(),
            "* BYE the literal is too long\r\n",
            true,
        ),
        (
            "a literal of 2^64",
            "a LOGIN {18446744073709551616+}\r\n".to_owned(),
            "* BYE the literal is too long\r\n",
            true,
        ),
        (
            "a message of a stranger, sent unasked",
            "a APPEND x {99999999+}\r\n".to_owned(),
            "* BYE the message is too large, and it was not asked for\r\n",
            true,
        ),
        (
            "nested lists",
            format!("a SEARCH {}\r\n", "(".repeat(3000)),
            "a BAD a search is nested too deeply\r\n",
            false,
        ),
        (
            "thousands of keys",
            format!("a SEARCH {}\r\n", "SEEN ".repeat(500).trim_end()),
            "a BAD a search has too many keys\r\n",
            false,
        ),
        (
            "thousands of items",
            format!("a FETCH 1 ({})\r\n", "UID ".repeat(500).trim_end()),
            "a BAD a list is too long\r\n",
            false,
        ),
        ("NUL", "a NOOP\0\r\n".to_owned(), "a BAD NUL is not allowed\r\n", false),
        ("NUL in a literal", "a LOGIN {1+}\r\n\0 x\r\n".to_owned(), "a BAD NUL is not allowed\r\n", false),
        (
            "commands behind a sign-in that fails",
            "a LOGIN x y\r\nb SELECT INBOX\r\n".to_owned(),
            "a NO [AUTHENTICATIONFAILED] name or password is wrong\r\nb BAD sign in first\r\n",
            false,
        ),
        ("another protocol", "GET / HTTP/1.1\r\n".to_owned(), "GET BAD this command is unknown\r\n", false),
        (
            "a bare CR",
            "a NOOP\rb NOOP\r\n".to_owned(),
            "a BAD there is more than the command takes\r\n",
            false,
        ),
    ] {
        let mut client = Provider::new().stranger();
        let heard = client.send(octets.as_bytes());
        assert_eq!((heard.as_str(), client.ended), (answer, ends), "{attack}");
    }
}

/// Commands that come with a right LOGIN in one piece are done after it, not before.
#[test]
fn commands_behind_a_sign_in_wait_for_it() {
    let mut client = Provider::new().stranger();
    let heard = client.send(b"a SELECT INBOX\r\nb LOGIN mittente segreta\r\nc SELECT INBOX\r\n");
    assert!(
        heard.starts_with("a BAD sign in first\r\nb OK ")
            && heard.ends_with("c OK [READ-WRITE] selected\r\n"),
        "{heard}"
    );
}

#[test]
fn too_many_mistakes_end_the_session() {
    let limits = Limits { mistakes: 3, ..Limits::default() };
    let mut client = Provider::with(limits.clone()).stranger();
    let heard = client.send(b"a X\r\nb LOGIN x y\r\n\r\nd NOOP\r\n");
    assert!(heard.ends_with("* BYE too many mistakes\r\n") && !heard.contains("d OK"), "{heard}");
    assert!(client.ended);
    // A sign-in forgives them.
    let mut client = Provider::with(limits).stranger();
    client.send(b"a X\r\nb X\r\nc LOGIN mittente segreta\r\nd X\r\ne X\r\n");
    assert!(!client.ended);
}

#[test]
fn a_message_that_never_ends_can_be_read() {
    let unended = format!(
        "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n{}",
        "Content-Type: message/rfc822\r\n\r\n".repeat(500)
    );
    let mut client = Provider::new().inbox(&[&unended]);
    let heard = client.say("FETCH 1 (ENVELOPE BODYSTRUCTURE BODY.PEEK[1.1.1.1.HEADER])");
    assert!(heard.ends_with("t OK done\n") && heard.len() < 20_000, "{}", heard.len());
    assert_eq!(client.say("SEARCH TEXT niente"), "* SEARCH\nt OK done\n");
}

#[test]
fn a_message_of_ten_thousand_parts_is_shown_in_part() {
    let parts = "--a\r\nContent-Type: text/plain\r\n\r\nx\r\n".repeat(10_000);
    let message = format!("Content-Type: multipart/mixed; boundary=a\r\n\r\n{parts}--a--\r\n");
    let mut client = Provider::new().inbox(&[&message]);
    let heard = client.say("FETCH 1 (BODYSTRUCTURE BODY.PEEK[499])");
    let parts = heard.matches("\"plain\"").count() + heard.matches("\"PLAIN\"").count();
    assert!(heard.ends_with("t OK done\n") && (1..=500).contains(&parts), "{parts} parts: {heard}");
}

#[test]
fn a_set_of_everything_costs_what_is_there() {
    let mut client = Provider::new().inbox(&["1", "2"]);
    let set = vec!["1:*"; 10_000].join(",");
    assert_eq!(client.say(&format!("FETCH {set} UID")), "* 1 FETCH (UID 1)\n* 2 FETCH (UID 2)\nt OK done\n");
    let set = vec!["1:4294967295"; 4_000].join(",");
    assert_eq!(
        client.say(&format!("UID FETCH {set} UID")),
        "* 1 FETCH (UID 1)\n* 2 FETCH (UID 2)\nt OK done\n"
    );
}

/// A client that takes so many pieces of an answer and then reads no more.
struct Deaf {
    takes: usize,
    largest: usize,
}

impl Outlet for Deaf {
    async fn send(&mut self, octets: &[u8]) -> Result<(), Gone> {
        self.largest = self.largest.max(octets.len());
        self.takes = self.takes.checked_sub(1).ok_or(Gone)?;
        Ok(())
    }
}

/// What is fetched goes in pieces as it is read; who takes none of them any more makes no more work.
#[test]
fn who_asks_for_everything_and_reads_nothing_is_left() {
    let provider = Provider::new();
    let mut client = provider.inbox(&[]);
    let large = "x".repeat(3 << 20);
    client.append("INBOX", &large);
    client.session.push(b"a FETCH 1 BODY[]\r\n".repeat(1000).as_slice());
    let mut deaf = Deaf { takes: 20, largest: 0 };
    let ended = loop {
        match exec::run(client.session.step(&mut deaf)).expect("no waiting") {
            Ok(step) => assert_eq!(step, Step::More),
            Err(gone) => break gone,
        }
    };
    assert_eq!(ended, Gone);
    // 12 pieces of 256 KiB are a message: the second one was not read to its end.
    assert!((65_536..=262_144).contains(&deaf.largest), "{}", deaf.largest);
    // Whoever else reads the mailbox does not notice.
    let mut other = provider.client();
    assert!(other.say("SELECT INBOX").contains("* 1 EXISTS"));
}

/// What sessions are made of.
fn words() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "a ",
        "b UID ",
        "c SELECT INBOX\r\n",
        "FETCH 1:* ",
        "(BODY[]",
        "BODY[1.MIME]",
        "BODYSTRUCTURE",
        ")",
        "ENVELOPE",
        "STORE 1 +FLAGS (\\Deleted)",
        "d EXPUNGE\r\n",
        "e APPEND INBOX {5+}\r\nab\r\nc\r\n",
        "SEARCH ",
        "TEXT ab",
        "RETURN (SAVE) ",
        "$",
        "COPY 1 Sent",
        "MOVE 1:2 Sent",
        "f IDLE\r\n",
        "DONE\r\n",
        "g CLOSE\r\n",
        "h LIST \"\" *\r\n",
        "\r\n",
        "\r\n",
        " ",
        "{3}\r\n",
        "{3+}\r\n",
        "\"",
        "i NOOP\r\n",
        "j STATUS INBOX (MESSAGES)\r\n",
        "k SORT (SUBJECT) UTF-8 ALL\r\n",
        "l ENABLE QRESYNC IMAP4rev2\r\n",
        "m LOGIN mittente segreta\r\n",
        "AUTHENTICATE PLAIN\r\n",
        "\0",
        "è",
        "n SELECT INBOX (QRESYNC (1 1))\r\n",
        "o CREATE x\r\n",
        "p DELETE x\r\n",
        "q RENAME INBOX y\r\n",
        "UNCHANGEDSINCE 1",
        "r LOGOUT\r\n",
    ]);
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any octets in any pieces: nothing panics, and the pieces do not matter.
    #[test]
    fn pieces_do_not_matter(octets in words(), size in 1usize..50) {
        let (mut whole, mut pieces) = (Provider::new().client(), Provider::new().client());
        let expected = whole.send(&octets);
        let mut heard = String::new();
        for piece in octets.chunks(size) {
            if !pieces.ended {
                heard.push_str(&pieces.send(piece));
            }
        }
        prop_assert_eq!(heard, expected);
    }

    #[test]
    fn any_octets_are_answered(octets in prop::collection::vec(any::<u8>(), 0..500)) {
        Provider::new().client().send(&octets);
    }
}
