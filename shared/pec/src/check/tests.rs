use proptest::prelude::*;

use super::*;

const SENDER: &str = "mittente@pec.alfa.example";
const RECIPIENT: &str = "destinatario@pec.beta.example";

fn transaction(from: Option<&str>, recipients: &[&str]) -> Transaction {
    let address = |text: &&str| Address::parse(text).unwrap();
    Transaction::new(from.as_ref().map(address), recipients.iter().map(address))
}

fn run(message: &str, recipients: &[&str]) -> Result<OriginalFacts, Refusal> {
    run_bytes(message.as_bytes(), recipients)
}

fn run_bytes(message: &[u8], recipients: &[&str]) -> Result<OriginalFacts, Refusal> {
    let message = Bytes::copy_from_slice(message);
    let size = u64::try_from(message.len()).unwrap();
    check(&message, &transaction(Some(SENDER), recipients), size, &Limits::default())
}

/// A message that passes, with more lines in its header and another body.
fn message(more: &str, body: &str) -> String {
    format!("From: {SENDER}\r\nTo: {RECIPIENT}\r\n{more}\r\n{body}")
}

#[test]
fn a_good_message_passes_with_its_facts() {
    let facts = run(&message("Subject: prova\r\nBcc: \r\n", "corpo\r\n"), &[RECIPIENT]).unwrap();
    assert_eq!(facts.subject.as_deref(), Some("prova"));
    assert_eq!(facts.from.unwrap().as_str(), SENDER);
}

/// F0 (spec 0.2 D1): each of these fields at most once, whatever its case; nameless lines; bounds.
#[test]
fn f0_the_header() {
    for name in ["From", "To", "Cc", "Subject", "Date", "Message-ID", "Reply-To"] {
        let twice = message(&format!("{name}: {RECIPIENT}\r\n{}: {RECIPIENT}\r\n", name.to_uppercase()), "");
        assert_eq!(run(&twice, &[RECIPIENT]).unwrap_err(), Refusal::MalformedHeader, "{name}");
    }
    for more in ["no field\r\n", "name with space: x\r\n", ": x\r\n"] {
        assert_eq!(run(&message(more, ""), &[RECIPIENT]).unwrap_err(), Refusal::MalformedHeader, "{more:?}");
    }
    assert_eq!(run(&format!(" {}", message("", "")), &[RECIPIENT]).unwrap_err(), Refusal::MalformedHeader);
    let many = message(&"X: y\r\n".repeat(2000), "");
    assert_eq!(run(&many, &[RECIPIENT]).unwrap_err(), Refusal::MalformedHeader);
    assert!(run(&message("X: y\r\nX: y\r\nReceived: z\r\n", ""), &[RECIPIENT]).is_ok());
}

/// F0 (spec 0.2 D1): lines and octets, at their boundaries.
#[test]
fn f0_the_lines() {
    let line = |n: usize| "x".repeat(n);
    for (body, expected) in [
        (line(998), Ok(())),
        (line(999), Err(Refusal::LineTooLong)),
        (format!("{}\r\n", line(998)), Ok(())),
        (format!("{}\r\n", line(999)), Err(Refusal::LineTooLong)),
        ("a\r\n\r\nb\r\n".to_owned(), Ok(())),
        ("a\nb".to_owned(), Err(Refusal::IllegalOctet)),
        ("\na".to_owned(), Err(Refusal::IllegalOctet)),
        ("a\rb".to_owned(), Err(Refusal::IllegalOctet)),
        ("a\r".to_owned(), Err(Refusal::IllegalOctet)),
        ("a\r\r\n".to_owned(), Err(Refusal::IllegalOctet)),
        ("a\0b".to_owned(), Err(Refusal::IllegalOctet)),
        ("a\r\0".to_owned(), Err(Refusal::IllegalOctet)),
    ] {
        assert_eq!(run(&message("", &body), &[RECIPIENT]).map(|_| ()), expected, "{:?}", body.get(..20));
    }
    let long_field = message(&format!("X: {}\r\n", line(996)), "");
    assert_eq!(run(&long_field, &[RECIPIENT]).unwrap_err(), Refusal::LineTooLong);
}

/// D4: 8-bit octets that are still there after the door, in the header or in the body.
#[test]
fn f0_eight_bit_octets() {
    assert_eq!(run(&message("Subject: perché\r\n", ""), &[RECIPIENT]).unwrap_err(), Refusal::EightBit);
    let raw = [message("", "").as_bytes(), b"\xe8"].concat();
    assert_eq!(run_bytes(&raw, &[RECIPIENT]).unwrap_err(), Refusal::EightBit);
}

/// F1 to F5, a row each (spec 4.1).
#[test]
fn f1_to_f5() {
    let other = "altro@pec.beta.example";
    let both = &[RECIPIENT, other][..];
    let one = &[RECIPIENT][..];
    type Row<'a> = (&'a str, &'a str, &'a [&'a str], Result<(), Refusal>);
    let rows: &[Row<'_>] = &[
        // F1: a From with one compliant address.
        ("F1 missing", "To: destinatario@pec.beta.example", one, Err(Refusal::From)),
        ("F1 empty", "From:\r\nTo: destinatario@pec.beta.example", one, Err(Refusal::From)),
        (
            "F1 none",
            "From: undisclosed-recipients:;\r\nTo: destinatario@pec.beta.example",
            one,
            Err(Refusal::From),
        ),
        ("F1 no address", "From: mittente\r\nTo: destinatario@pec.beta.example", one, Err(Refusal::From)),
        (
            "F1 two",
            "From: mittente@pec.alfa.example, x@y.example\r\nTo: destinatario@pec.beta.example",
            one,
            Err(Refusal::From),
        ),
        (
            "F1 name and comment",
            "From: =?UTF-8?Q?S=C3=AC?= (io) <mittente@pec.alfa.example>\r\nTo: destinatario@pec.beta.example",
            one,
            Ok(()),
        ),
        (
            "F1 name with commas",
            "From: \"Rossi, Mario\" <mittente@pec.alfa.example>\r\nTo: destinatario@pec.beta.example",
            one,
            Ok(()),
        ),
        // F2: a To with at least one; Cc alone is not enough.
        ("F2 missing", "From: mittente@pec.alfa.example", one, Err(Refusal::To)),
        (
            "F2 Cc only",
            "From: mittente@pec.alfa.example\r\nCc: destinatario@pec.beta.example",
            one,
            Err(Refusal::To),
        ),
        (
            "F2 group without members",
            "From: mittente@pec.alfa.example\r\nTo: undisclosed-recipients:;\r\nCc: destinatario@pec.beta.example",
            one,
            Err(Refusal::To),
        ),
        (
            "F2 unreadable",
            "From: mittente@pec.alfa.example\r\nTo: destinatario@pec.beta.example <",
            one,
            Err(Refusal::To),
        ),
        (
            "F2 group with members",
            "From: mittente@pec.alfa.example\r\nTo: G: destinatario@pec.beta.example, altro@pec.beta.example;",
            both,
            Ok(()),
        ),
        // F3: MAIL FROM is the From address, in any case.
        (
            "F3 other",
            "From: x@pec.alfa.example\r\nTo: destinatario@pec.beta.example",
            one,
            Err(Refusal::SenderDiffers),
        ),
        ("F3 case", "From: MITTENTE@PEC.ALFA.EXAMPLE\r\nTo: destinatario@pec.beta.example", one, Ok(())),
        (
            "F1 before F3",
            "From: x@pec.alfa.example\r\nCc: destinatario@pec.beta.example",
            one,
            Err(Refusal::To),
        ),
        // F4 (D2): the same set in both directions, duplicates collapsed, in any case.
        (
            "F4 split",
            "From: mittente@pec.alfa.example\r\nTo: destinatario@pec.beta.example\r\nCc: altro@pec.beta.example",
            both,
            Ok(()),
        ),
        ("F4 case", "From: mittente@pec.alfa.example\r\nTo: Destinatario@PEC.Beta.Example", one, Ok(())),
        (
            "F4 twice",
            "From: mittente@pec.alfa.example\r\nTo: destinatario@pec.beta.example\r\nCc: destinatario@pec.beta.example",
            one,
            Ok(()),
        ),
        (
            "F4 RCPT not named",
            "From: mittente@pec.alfa.example\r\nTo: destinatario@pec.beta.example",
            both,
            Err(Refusal::RecipientsDiffer),
        ),
        (
            "F4 named, no RCPT",
            "From: mittente@pec.alfa.example\r\nTo: destinatario@pec.beta.example, altro@pec.beta.example",
            one,
            Err(Refusal::RecipientsDiffer),
        ),
        (
            "F4 Cc named, no RCPT",
            "From: mittente@pec.alfa.example\r\nTo: destinatario@pec.beta.example\r\nCc: altro@pec.beta.example",
            one,
            Err(Refusal::RecipientsDiffer),
        ),
        (
            "F4 Cc unreadable",
            "From: mittente@pec.alfa.example\r\nTo: destinatario@pec.beta.example\r\nCc: <",
            one,
            Err(Refusal::RecipientsDiffer),
        ),
        (
            "F4 literal",
            "From: mittente@pec.alfa.example\r\nTo: destinatario@pec.beta.example, x@[192.0.2.1]",
            one,
            Err(Refusal::RecipientsDiffer),
        ),
        // F5: Bcc absent or empty.
        (
            "F5 value",
            "From: mittente@pec.alfa.example\r\nTo: destinatario@pec.beta.example\r\nBcc: x@y.example",
            one,
            Err(Refusal::Bcc),
        ),
        (
            "F5 group",
            "From: mittente@pec.alfa.example\r\nTo: destinatario@pec.beta.example\r\nbcc: x:;",
            one,
            Err(Refusal::Bcc),
        ),
        (
            "F5 second",
            "From: mittente@pec.alfa.example\r\nTo: destinatario@pec.beta.example\r\nBcc:\r\nBcc: x@y.example",
            one,
            Err(Refusal::Bcc),
        ),
        (
            "F5 empty",
            "From: mittente@pec.alfa.example\r\nTo: destinatario@pec.beta.example\r\nBcc:\r\n \r\nX: y",
            one,
            Ok(()),
        ),
        (
            "F4 before F5",
            "From: mittente@pec.alfa.example\r\nTo: x@y.example\r\nBcc: x@y.example",
            one,
            Err(Refusal::RecipientsDiffer),
        ),
    ];
    for (name, head, recipients, expected) in rows {
        assert_eq!(run(&format!("{head}\r\n\r\ncorpo\r\n"), recipients).map(|_| ()), *expected, "{name}");
    }
}

#[test]
fn the_null_reverse_path_sends_nothing() {
    let original = Bytes::from(message("", ""));
    let result = check(&original, &transaction(None, &[RECIPIENT]), 100, &Limits::default());
    assert_eq!(result.unwrap_err(), Refusal::SenderDiffers);
}

#[test]
fn a_quoted_local_part_is_the_same_with_and_without_its_quotes() {
    let text = format!("From: {SENDER}\r\nTo: \"destinatario\"@pec.beta.example\r\n\r\n");
    assert!(run(&text, &["\"destinatario\"@pec.beta.example"]).is_ok());
    assert!(run(&text, &[RECIPIENT]).is_ok());
}

fn to_many(n: usize) -> (Bytes, Transaction) {
    let recipients: Vec<String> = (0..n).map(|i| format!("r{i}@pec.beta.example")).collect();
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    let text = format!("From: {SENDER}\r\nTo: {}\r\n\r\n", recipients.join(",\r\n "));
    (Bytes::from(text), transaction(Some(SENDER), &recipients))
}

/// F6 (spec 0.2 D3, 4.2): octets as submitted times distinct recipients, inclusive.
#[test]
fn f6_size_times_recipients() {
    let limit = 30 << 20;
    for (recipients, bytes, expected) in [
        (1, limit, Ok(())),
        (1, limit + 1, Err(Refusal::TooLarge)),
        (3, limit / 3, Ok(())),
        (3, limit / 3 + 1, Err(Refusal::TooLarge)),
        (50, 600_000, Ok(())),
        (50, limit / 50 + 1, Err(Refusal::TooLarge)),
        (1, u64::MAX, Err(Refusal::TooLarge)),
    ] {
        let (original, transaction) = to_many(recipients);
        let result = check(&original, &transaction, bytes, &Limits::default()).map(|_| ());
        assert_eq!(result, expected, "{recipients} x {bytes}");
    }
}

/// D3: 500 recipients by default.
#[test]
fn d3_number_of_recipients() {
    for (recipients, expected) in [(500, Ok(())), (501, Err(Refusal::TooManyRecipients))] {
        let (original, transaction) = to_many(recipients);
        assert_eq!(check(&original, &transaction, 1000, &Limits::default()).map(|_| ()), expected);
    }
}

/// D2, D3: a recipient given twice counts once, also where the transaction was not made by `Transaction::new`.
#[test]
fn a_recipient_given_twice_counts_once() {
    let original = Bytes::from(message("", ""));
    let mut transaction = transaction(Some(SENDER), &[RECIPIENT]);
    transaction.forward_paths.push(Address::parse(&RECIPIENT.to_uppercase()).unwrap());
    assert!(check(&original, &transaction, 30 << 20, &Limits::default()).is_ok());
}

/// D4: what the door converted passes, what it could not is refused.
#[test]
fn eight_bit_text_passes_after_the_door() {
    let trace = crate::original::Trace {
        by: "invio.pec.alfa.example".to_owned(),
        with: "HTTPS".to_owned(),
        id: "1".to_owned(),
        at: crate::Instant::from_unix_s(1_772_438_400),
    };
    let door = |raw: &str| crate::original::admit(&Bytes::copy_from_slice(raw.as_bytes()), &trace).to_bytes();
    let text =
        door(&message("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n", "perché\r\n"));
    assert!(run_bytes(&text, &[RECIPIENT]).is_ok());
    let signed = "Content-Type: multipart/signed; boundary=B\r\n";
    let signed = door(&message(signed, "--B\r\n\r\nperché\r\n--B\r\n\r\nx\r\n--B--\r\n"));
    assert_eq!(run_bytes(&signed, &[RECIPIENT]).unwrap_err(), Refusal::EightBit);
}

#[test]
fn every_refusal_has_its_words() {
    let all = [
        Refusal::MalformedHeader,
        Refusal::LineTooLong,
        Refusal::IllegalOctet,
        Refusal::EightBit,
        Refusal::From,
        Refusal::To,
        Refusal::SenderDiffers,
        Refusal::RecipientsDiffer,
        Refusal::Bcc,
        Refusal::TooLarge,
        Refusal::TooManyRecipients,
    ];
    let words: HashSet<&str> = all.iter().map(|r| r.wire()).collect();
    assert_eq!(words.len(), all.len(), "each its own");
    assert_eq!(Refusal::Bcc.wire(), "campo Bcc valorizzato", "spec 4.1");
}

proptest! {
    /// The one pass agrees with looking at each octet.
    #[test]
    fn lines_agree_with_a_plain_reader(octets in proptest::collection::vec(
        prop_oneof![Just(b"\r\n".to_vec()), Just(b"\r".to_vec()), Just(b"\n".to_vec()), Just(vec![0]), Just(vec![b'a'; 400])], 0..12)) {
        let octets = octets.concat();
        let text = String::from_utf8(octets.clone()).unwrap();
        let rest = text.replace("\r\n", "");
        let long = text.split("\r\n").any(|l| l.len() > 998);
        let illegal = rest.contains(['\r', '\n', '\0']);
        match lines(&octets) {
            Ok(()) => prop_assert!(!long && !illegal),
            Err(Refusal::LineTooLong) => prop_assert!(long || illegal),
            Err(Refusal::IllegalOctet) => prop_assert!(illegal),
            Err(other) => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn any_bytes_are_checked_without_panic(raw in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = run_bytes(&raw, &[RECIPIENT]);
    }
}
