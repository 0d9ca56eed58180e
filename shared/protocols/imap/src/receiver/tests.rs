use proptest::prelude::*;

use super::*;
use crate::command::Verb;

/// Everything that comes of these pieces; every APPEND is taken.
fn receive(limits: &Limits, pieces: &[&[u8]], signed_in: bool) -> Vec<Input> {
    let mut receiver = Receiver::new(limits.clone());
    if signed_in {
        receiver.signed_in();
    }
    let mut out: Vec<Input> = Vec::new();
    for piece in pieces {
        receiver.push(piece);
        while let Some(input) = receiver.input() {
            match (out.last_mut(), input) {
                (Some(Input::Data(before)), Input::Data(more)) => {
                    *before = [before.as_ref(), &more].concat().into()
                }
                (_, input) => {
                    if matches!(input, Input::Append(_)) {
                        receiver.take();
                    }
                    out.push(input);
                }
            }
        }
        assert!(receiver.buffer.len() <= limits.line_bytes + limits.literal_bytes + 70_000);
    }
    out
}

fn all(text: &str) -> Vec<Input> {
    receive(&Limits::default(), &[text.as_bytes()], true)
}

fn verb(input: &Input) -> &Verb {
    match input {
        Input::Command(command) => &command.verb,
        other => panic!("{other:?}"),
    }
}

#[test]
fn commands_literals_and_pipelines() {
    let inputs = all("a NOOP\r\nb LOGIN {1}\r\nx {2+}\r\nyz\r\nc CHECK\nd IDLE");
    assert_eq!(inputs.len(), 4);
    assert_eq!(verb(&inputs[0]), &Verb::Noop);
    assert_eq!(inputs[1], Input::Continue);
    assert!(
        matches!(verb(&inputs[2]), Verb::Login { user, password } if user == b"x" && password.0 == b"yz")
    );
    assert_eq!(verb(&inputs[3]), &Verb::Check);
}

#[test]
fn a_message_is_handed_over_as_it_comes() {
    let inputs =
        all("a APPEND INBOX {10}\r\n123\r\n}\r\n90\r\nb APPEND INBOX (\\Seen) {0+}\r\n\r\nc NOOP\r\n");
    assert!(matches!(&inputs[0], Input::Append(append) if append.waits && append.size == 10));
    assert_eq!(inputs[1], Input::Data(Bytes::from("123\r\n}\r\n90")));
    assert_eq!(inputs[2], Input::Appended(true));
    assert!(matches!(&inputs[3], Input::Append(append) if !append.waits && append.size == 0));
    assert_eq!(inputs[4], Input::Appended(true));
    assert_eq!(verb(&inputs[5]), &Verb::Noop);
}

#[test]
fn what_follows_a_message_must_be_its_end() {
    assert_eq!(all("a APPEND x {1}\r\nyz\r\n")[2], Input::Appended(false));
    assert_eq!(all("a APPEND x UTF8 (~{1}\r\ny)\r\n")[2], Input::Appended(true));
    assert_eq!(all("a APPEND x UTF8 (~{1}\r\ny\r\n")[2], Input::Appended(false));
    assert_eq!(all("a APPEND x {1}\r\ny {5+}\r\nb LOGIN\r\n")[2], Input::Fatal("APPEND takes one message"));
}

#[test]
fn a_refused_message_is_dropped_or_never_comes() {
    let mut receiver = Receiver::new(Limits::default());
    receiver.signed_in();
    receiver.push(b"a APPEND x {5}\r\nb APPEND x {5+}\r\n12345\r\nc APPEND x {5+}\r\n12");
    assert!(matches!(receiver.input(), Some(Input::Append(_))));
    assert!(receiver.input().is_none(), "nothing before it is decided");
    assert!(receiver.refuse());
    assert!(matches!(receiver.input(), Some(Input::Append(append)) if append.tag == "b"));
    assert!(!receiver.refuse());
    assert_eq!(receiver.input(), Some(Input::Appended(false)));
    assert!(matches!(receiver.input(), Some(Input::Append(append)) if append.tag == "c"));
    receiver.take();
    assert_eq!(receiver.input(), Some(Input::Data(Bytes::from("12"))));
    receiver.unwant();
    receiver.push(b"345\r\nd NOOP\r\n");
    assert_eq!(receiver.input(), Some(Input::Appended(false)));
    assert_eq!(verb(&receiver.input().unwrap()), &Verb::Noop);
}

#[test]
fn a_line_that_is_no_command() {
    let mut receiver = Receiver::new(Limits::default());
    receiver.push(b"a IDLE\r\nDONE\r\nb NOOP\r\n");
    assert_eq!(verb(&receiver.input().unwrap()), &Verb::Idle);
    receiver.expect_line();
    assert_eq!(receiver.input(), Some(Input::Line(b"DONE".to_vec())));
    assert_eq!(verb(&receiver.input().unwrap()), &Verb::Noop);
}

#[test]
fn bounds() {
    let limits = Limits {
        line_bytes_stranger: 100,
        line_bytes: 200,
        literal_bytes: 50,
        literals: 3,
        append_bytes: 1000,
        mistakes: 5,
    };
    let stranger = |text: &str| receive(&limits, &[text.as_bytes()], false);
    let user = |text: &str| receive(&limits, &[text.as_bytes()], true);
    let fatal = |inputs: Vec<Input>| matches!(inputs.as_slice(), [Input::Fatal(_)]);
    // Lines, with an end and without.
    assert!(fatal(stranger(&"x".repeat(101))) && !fatal(user(&"x".repeat(101))));
    assert!(fatal(user(&format!("a NOOP {}\r\nb NOOP\r\n", "x".repeat(200)))));
    // Literals: one, all together, too many; asked for and not.
    assert!(
        matches!(user("a LOGIN {51}\r\n").as_slice(), [Input::Bad(bad)] if bad.tag.as_deref() == Some("a"))
    );
    assert!(fatal(user("a LOGIN {51+}\r\n")));
    assert!(fatal(user("a LOGIN {99999999999999999999+}\r\n")));
    assert!(matches!(
        user(&format!("a LOGIN {{30}}\r\n{} {{30}}\r\n", "x".repeat(30))).last(),
        Some(Input::Bad(_))
    ));
    assert!(matches!(user("a LOGIN {1}\r\na{1}\r\na{1}\r\na{1}\r\n").last(), Some(Input::Bad(_))));
    // After the refusal the next command is one.
    assert_eq!(verb(user("a LOGIN {51}\r\nb NOOP\r\n").last().unwrap()), &Verb::Noop);
    // Messages: who does not ask is cut off, earlier if nobody knows who it is.
    assert!(fatal(user("a APPEND x {1001+}\r\n")) && fatal(stranger("a APPEND x {101+}\r\n")));
    assert!(matches!(user("a APPEND x {1001}\r\n").as_slice(), [Input::Append(_), ..]));
}

#[test]
fn nul_is_refused() {
    assert!(matches!(&all("a LOGIN a\0 b\r\n")[0], Input::Bad(bad) if bad.tag.as_deref() == Some("a")));
    assert!(
        matches!(&all("a LOGIN {1+}\r\n\0 b\r\n")[0], Input::Bad(bad) if bad.why == "NUL is not allowed")
    );
}

#[test]
fn a_large_buffer_is_given_back() {
    let mut receiver = Receiver::new(Limits::default());
    receiver.signed_in();
    receiver.push(format!("a SEARCH UID {}1\r\n", "1,".repeat(20_000)).as_bytes());
    assert!(matches!(receiver.input(), Some(Input::Command(_))));
    assert_eq!(receiver.buffer.capacity(), 0);
}

fn word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a ",
        "NOOP",
        "LOGIN ",
        "APPEND x ",
        "{3}",
        "{3+}",
        "~{2}",
        "{99999999}",
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        "abc",
        " ",
        "\"",
        "{",
        "}",
        "\0",
        "UTF8 (",
        ")",
        "IDLE",
    ])
}

proptest! {
    #[test]
    fn pieces_are_understood_as_the_whole(words in prop::collection::vec(word(), 0..40), size in 1usize..7, signed_in: bool) {
        let text = words.concat().into_bytes();
        let limits = Limits { line_bytes_stranger: 40, line_bytes: 80, literal_bytes: 20, literals: 3, append_bytes: 50, mistakes: 5 };
        let whole = receive(&limits, &[&text], signed_in);
        let pieces: Vec<&[u8]> = text.chunks(size).collect();
        prop_assert_eq!(receive(&limits, &pieces, signed_in), whole);
    }

    #[test]
    fn any_octets_are_understood_as_something(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        receive(&Limits::default(), &[&octets], true);
    }
}
