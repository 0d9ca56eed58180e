//! What strangers may try: the answer to each, and what is held meanwhile.

use sigillo_smtp::server::{Role, Settings, Tls};

use crate::talk::{Outcome, Talk};

const BEGIN: &str =
    "EHLO a.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<destinatario@pec.alfa.example>\r\nDATA\r\n";
const SECOND: &str =
    "MAIL FROM:<falso@banca.example>\r\nRCPT TO:<vittima@pec.alfa.example>\r\nDATA\r\nfalso\r\n.\r\n";

/// All at once, and octet by octet: it must not matter.
fn said(octets: &[u8]) -> Outcome {
    let mut talk = Talk::exchange();
    talk.say(octets);
    let mut slow = Talk::exchange();
    slow.say_in_pieces(octets, 1);
    assert_eq!(slow.outcome.said, talk.outcome.said);
    assert_eq!(slow.outcome.taken, talk.outcome.taken);
    talk.outcome
}

fn last(outcome: &Outcome) -> &str {
    outcome.said.lines().last().unwrap()
}

/// A second letter hidden in the first, behind everything that some server takes for the end of data.
#[test]
fn no_letter_is_smuggled_inside_another() {
    for end in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n", "\r\n.\r\r\n", "\r\n\0.\r\n\n"]
    {
        let outcome = said(format!("{BEGIN}innocuo{end}{SECOND}").as_bytes());
        assert_eq!(outcome.taken, [], "{end:?}");
        assert!(
            last(&outcome).starts_with("550 5.6.0 the message holds a CR or LF alone"),
            "{end:?}: {outcome:?}"
        );
        assert!(!outcome.closed, "its end is known");
    }
    // The same in a chunk, which ends by its count.
    let text = format!("innocuo\n.\n{SECOND}");
    let begin = BEGIN.replace("DATA\r\n", "");
    let outcome = said(format!("{begin}BDAT {} LAST\r\n{text}", text.len()).as_bytes());
    assert_eq!(outcome.taken, []);
    assert!(last(&outcome).starts_with("550 5.6.0"), "{outcome:?}");
}

#[test]
fn a_bare_cr_or_lf_ends_no_command() {
    for line in ["NOOP\n", "NOOP\nNOOP\r\n", "NOOP\rNOOP\r\n", "NOOP\r\r\n", "\n"] {
        let outcome = said(line.as_bytes());
        assert!(outcome.closed, "{line:?}");
        assert!(last(&outcome).starts_with("500 5.5.2 a line ends with CR LF"), "{line:?}");
    }
}

#[test]
fn lines_over_their_limit_are_refused_and_not_held() {
    let line = |verb: &str, octets: usize| format!("{verb}{}\r\n", "x".repeat(octets - verb.len() - 2));
    assert!(last(&said(line("NOOP ", 512).as_bytes())).starts_with("250"));
    let outcome = said(line("NOOP ", 513).as_bytes());
    assert!(last(&outcome).starts_with("500 5.5.2 the line is too long"), "{outcome:?}");
    assert!(!outcome.closed);
    let outcome = said(&vec![b'x'; 1 << 20]);
    assert!(outcome.closed, "it will not end");

    // RFC 4954 §4: authentication has longer ones.
    for (octets, answer) in [(12_288, "501 5.5.2 this is not"), (12_289, "500 5.5.2 the line is too long")] {
        let mut talk = Talk::new(Settings::new(Role::Submission, "invio.alfa.example"), Tls::On);
        talk.say(b"EHLO a.example\r\n");
        talk.say(line("AUTH PLAIN ", octets).as_bytes());
        assert!(last(&talk.outcome).starts_with(answer), "{octets}: {}", last(&talk.outcome));
        talk.say(b"AUTH PLAIN\r\n");
        talk.say(line("", octets).as_bytes());
        assert!(last(&talk.outcome).starts_with(answer), "{octets}: {}", last(&talk.outcome));
    }
}

/// CVE-2011-0411: commands in clear behind STARTTLS are never executed inside TLS.
#[test]
fn nothing_is_injected_before_tls() {
    let injected = "EHLO a.example\r\nSTARTTLS\r\nRSET\r\nMAIL FROM:<a@b.example>\r\n";
    let outcome = said(injected.as_bytes());
    assert_eq!(outcome.handshakes, 1);
    assert!(outcome.closed);
    assert_eq!(last(&outcome), "554 5.5.1 octets came behind STARTTLS before TLS; goodbye");

    // Half of a command before it is forgotten, too.
    let mut talk = Talk::exchange();
    talk.say(b"EHLO a.example\r\nMAIL FROM:<a@b.example>\r\nSTARTTLS\r\n");
    talk.machine.secured();
    talk.say(b"RCPT TO:<destinatario@pec.alfa.example>\r\n");
    assert_eq!(last(&talk.outcome), "503 5.5.1 MAIL FROM comes first");
}

#[test]
fn passwords_are_not_taken_in_clear() {
    let mut talk = Talk::new(Settings::new(Role::Submission, "invio.alfa.example"), Tls::Offered);
    talk.say(b"EHLO a.example\r\n");
    assert!(!talk.outcome.said.contains("AUTH"), "{}", talk.outcome.said);
    talk.say(b"AUTH PLAIN AG1pdHRlbnRlQHBlYy5hbGZhLmV4YW1wbGUAZ2l1c3Rh\r\n");
    assert!(last(&talk.outcome).starts_with("538 5.7.11"), "{}", last(&talk.outcome));
    assert!(!talk.machine.signed_in());
}

/// Hundreds of guesses in one packet: three are looked at.
#[test]
fn pipelined_guesses_end_the_session() {
    let mut talk = Talk::new(Settings::new(Role::Submission, "invio.alfa.example"), Tls::On);
    let guess = "AUTH PLAIN AG1pdHRlbnRlQHBlYy5hbGZhLmV4YW1wbGUAdW5v\r\n";
    talk.say(format!("EHLO a.example\r\n{}", guess.repeat(300)).as_bytes());
    assert_eq!(talk.outcome.said.matches("535 5.7.8").count(), 3);
    assert!(talk.outcome.closed);
}

#[test]
fn ten_thousand_recipients_are_a_thousand() {
    let mut talk = Talk::user();
    talk.say(b"MAIL FROM:<mittente@pec.alfa.example>\r\n");
    let recipients: String = (0..10_000).map(|n| format!("RCPT TO:<d{n}@pec.beta.example>\r\n")).collect();
    talk.say_in_pieces(recipients.as_bytes(), 16_384);
    assert_eq!(talk.outcome.said.matches("250 2.1.5").count(), 1000);
    assert_eq!(talk.outcome.said.matches("452 4.5.3").count(), 9000);
    talk.say(b"DATA\r\nx\r\n.\r\n");
    assert_eq!(talk.outcome.taken[0].0.forward_paths.len(), 1000, "those before are served");
}

/// NUL is no line end and no command; in a message it is for the checks behind (spec 0.2 D1).
#[test]
fn nul_octets() {
    let outcome = said(b"NOOP\0\r\n\0\r\nNOOP\r\n");
    assert_eq!(outcome.said.matches("500 5.5.2 a command is printable ASCII").count(), 2);
    let outcome = said(format!("{BEGIN}a\0b\r\n.\r\n").as_bytes());
    assert_eq!(outcome.taken[0].1, b"a\0b\r\n");
}

/// Lines of a message are as long as they are: what is too long is refused with a notice (spec 0.2 D1) or, in mail
/// from elsewhere, kept as it came, since signed octets are not wrapped anew.
#[test]
fn long_lines_of_a_message_are_not_the_doors_affair() {
    let line = "x".repeat(100_000);
    let outcome = said(format!("{BEGIN}{line}\r\n.\r\n").as_bytes());
    assert_eq!(outcome.taken[0].1.len(), 100_002);
}

#[test]
fn data_without_end_at_close_is_no_letter() {
    for rest in ["tutto\r\n", "tutto\r\n.", "tutto\r\n.\r"] {
        let outcome = said(format!("{BEGIN}{rest}").as_bytes());
        assert_eq!(outcome.taken, [], "{rest:?}");
        assert!(last(&outcome).starts_with("354"));
    }
}

#[test]
fn a_browser_is_shown_the_door() {
    for request in ["POST / HTTP/1.1\r\nHost: x\r\n", "GET / HTTP/1.1\r\n", "Host: x\r\n"] {
        let outcome = said(request.as_bytes());
        assert!(outcome.closed && last(&outcome).starts_with("421 4.7.0"), "{outcome:?}");
    }
}

/// A gigabyte of nothing useful: what is held stays small.
#[test]
fn what_is_not_taken_is_not_held() {
    let mut settings = Settings::new(Role::Exchange, "mx.alfa.example");
    settings.size_bytes_max = 1 << 16;
    let mut talk = Talk::new(settings, Tls::Offered);
    talk.say(BEGIN.as_bytes());
    let piece = [b'x'; 16_384];
    for _ in 0..100 {
        talk.say(&piece);
    }
    assert!(talk.outcome.closed);
    assert!(talk.outcome.content_bytes_max <= 1 << 16);
    assert_eq!(last(&talk.outcome), "552 5.3.4 the message is larger than what SIZE says");

    let mut talk = Talk::exchange();
    talk.say(b"NOOP\r\n".repeat(2731).as_slice());
    assert!(talk.outcome.closed && talk.outcome.output_bytes_max < 4096, "{}", talk.outcome.output_bytes_max);
}
