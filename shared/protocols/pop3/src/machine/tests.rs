//! Transcripts of every command and its refusals, attacks, any octets in any pieces.

use proptest::prelude::*;

use super::*;
use crate::Body;

const NAME: &str = "utente@pec.alfa.example";
const MESSAGES: [(u32, &str); 3] =
    [(7, "Subject: uno\r\n\r\n.\r\nfine\r\n"), (9, "Subject: due\r\n\r\n1\r\n2\r\n3\r\n"), (12, "tre")];

/// What stands in for the loop: one account, three messages, and what was asked of it.
#[derive(Default)]
struct Loop {
    wire: Vec<u8>,
    asked: Vec<String>,
    refuses: Option<Refused>,
    gone: Vec<u32>,
    fails_to_remove: bool,
    closed: bool,
}

impl Loop {
    /// Follows the steps of a machine until it wants octets, or the end.
    fn run(&mut self, machine: &mut Machine) {
        while !self.closed {
            match machine.step() {
                Step::Read => return,
                Step::Send(octets) => self.wire.extend(octets),
                Step::SignIn { name, password } => machine.signed_in(self.sign_in(&name, &password)),
                Step::Retrieve { uid, .. } if self.gone.contains(&uid) => machine.not_sent(Refused::Gone),
                Step::Retrieve { uid, lines } => {
                    let (_, text) = MESSAGES.into_iter().find(|(u, _)| *u == uid).expect("a message of ours");
                    self.wire.extend(Machine::FOLLOWS);
                    let mut body = Body::new(lines);
                    body.push(text.as_bytes(), &mut self.wire);
                    body.finish(&mut self.wire);
                    machine.sent();
                }
                Step::Remove(uids) => {
                    self.asked.push(format!("remove {uids}"));
                    machine.removed(!self.fails_to_remove);
                }
                Step::Close => self.closed = true,
            }
        }
    }

    fn sign_in(&mut self, name: &str, password: &Password) -> Result<Maildrop, Refused> {
        self.asked.push(format!("sign in {name}"));
        match self.refuses {
            Some(refused) => Err(refused),
            None if name == NAME && password.as_bytes() == b"due  parole " => {
                Ok(Maildrop::new(5, MESSAGES.map(|(uid, text)| (uid, text.len() as u32))))
            }
            None => Err(Refused::Wrong),
        }
    }
}

/// Runs lines of `C:` and `S:`. Answers what became of it.
fn transcript_with(mut door: Loop, script: &str) -> Loop {
    let (mut machine, mut heard) = (Machine::new(), 0);
    door.run(&mut machine);
    for line in script.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
        if let Some(said) = line.strip_prefix("C: ") {
            assert_eq!(
                door.wire.len(),
                heard,
                "not all was expected: {:?}",
                String::from_utf8_lossy(&door.wire[heard..])
            );
            machine.receive(format!("{said}\r\n").as_bytes());
            door.run(&mut machine);
        } else {
            let expected = format!("{}\r\n", line.strip_prefix("S: ").expect("C: or S:"));
            let now = String::from_utf8_lossy(&door.wire[heard..]).into_owned();
            assert!(now.starts_with(&expected), "expected {expected:?}, heard {now:?}");
            heard += expected.len();
        }
    }
    assert_eq!(door.wire.len(), heard, "{:?}", String::from_utf8_lossy(&door.wire[heard..]));
    door
}

fn transcript(script: &str) -> Loop {
    transcript_with(Loop::default(), script)
}

const SIGN_IN: &str = "
    S: +OK POP3 ready
    C: USER utente@pec.alfa.example
    S: +OK
    C: PASS due  parole 
    S: +OK maildrop locked and ready
";

fn signed_in(script: &str) -> Loop {
    transcript(&format!("{SIGN_IN}{script}"))
}

/// RFC 1939 §7, §9; RFC 2449 §5.
#[test]
fn signing_in_by_name_and_password() {
    let door = signed_in("C: QUIT\nS: +OK bye");
    assert!(door.closed);
    assert_eq!(door.asked, ["sign in utente@pec.alfa.example"]);
    transcript(
        "S: +OK POP3 ready
         C: PASS x
         S: -ERR USER first
         C: USER
         S: -ERR bad arguments
         C: STAT
         S: -ERR sign in first
         C: RETR 1
         S: -ERR sign in first
         C: USER altro@pec.alfa.example
         S: +OK
         C: USER utente@pec.alfa.example
         S: +OK
         C: PASS sbagliata
         S: -ERR [AUTH] wrong name or password
         C: PASS due  parole 
         S: -ERR USER first
         C: QUIT
         S: +OK bye",
    );
}

/// RFC 2449 §5, §6; RFC 5034 §3; RFC 3206.
#[test]
fn capabilities_are_the_same_before_and_after() {
    let capabilities = "
        C: CAPA
        S: +OK capabilities follow
        S: USER
        S: SASL PLAIN
        S: TOP
        S: UIDL
        S: PIPELINING
        S: RESP-CODES
        S: AUTH-RESP-CODE
        S: EXPIRE NEVER
        S: IMPLEMENTATION Sigillo
        S: .
    ";
    transcript(&format!("S: +OK POP3 ready\n{capabilities}"));
    signed_in(capabilities);
    signed_in("C: CAPA x\nS: -ERR bad arguments");
}

/// RFC 5034, RFC 4616. `AHV0...` is `\0utente@pec.alfa.example\0due  parole `.
#[test]
fn signing_in_by_sasl_plain() {
    let plain = STANDARD.encode(format!("\0{NAME}\0due  parole "));
    let acting = STANDARD.encode(format!("{NAME}\0{NAME}\0due  parole "));
    let other = STANDARD.encode(format!("altro@pec.alfa.example\0{NAME}\0due  parole "));
    transcript(&format!("S: +OK POP3 ready\nC: AUTH PLAIN {plain}\nS: +OK maildrop locked and ready"));
    transcript(&format!(
        "S: +OK POP3 ready\nC: auth plain\nS: + \nC: {acting}\nS: +OK maildrop locked and ready"
    ));
    transcript(&format!(
        "S: +OK POP3 ready
         C: AUTH
         S: +OK mechanisms follow
         S: PLAIN
         S: .
         C: AUTH CRAM-MD5
         S: -ERR unknown mechanism
         C: AUTH PLAIN {other}
         S: -ERR [AUTH] not what PLAIN says
         C: AUTH PLAIN
         S: + 
         C: *
         S: -ERR cancelled
         C: AUTH PLAIN =
         S: -ERR [AUTH] not what PLAIN says
         C: AUTH PLAIN
         S: + 
         C: %%%
         S: -ERR [AUTH] not what PLAIN says
         C: AUTH PLAIN {}
         S: -ERR [AUTH] not what PLAIN says
         C: AUTH PLAIN {}
         S: -ERR [AUTH] wrong name or password",
        STANDARD.encode("a\0b\0c\0d"),
        STANDARD.encode("\0a\0b"),
    ));
    signed_in(
        "C: AUTH PLAIN\nS: -ERR signed in already\nC: USER x\nS: -ERR signed in already\nC: PASS x\nS: -ERR signed in already",
    );
}

/// RFC 2449 §8, RFC 3206 §3: why, in a form that programs read.
#[test]
fn refusals_say_why() {
    for (refused, answer) in [
        (Refused::InUse, "-ERR [IN-USE] another session has this mailbox"),
        (Refused::Temporary, "-ERR [SYS/TEMP] not now, try again later"),
        (Refused::Wait(60), "-ERR [SYS/TEMP] too many failures, try again in 60 s"),
        (Refused::Wrong, "-ERR [AUTH] wrong name or password"),
    ] {
        let sign_in = format!("C: USER a\nS: +OK\nC: PASS b\nS: {answer}\n");
        let script = format!("S: +OK POP3 ready\n{}", sign_in.repeat(3));
        let door = transcript_with(Loop { refuses: Some(refused), ..Loop::default() }, &script);
        assert!(door.closed, "three times and no more");
    }
}

/// RFC 1939 §5.
#[test]
fn what_a_maildrop_has() {
    signed_in(
        "C: STAT
         S: +OK 3 53
         C: LIST
         S: +OK 3 messages, 53 octets
         S: 1 25
         S: 2 25
         S: 3 3
         S: .
         C: LIST 2
         S: +OK 2 25
         C: LIST 4
         S: -ERR no such message
         C: LIST 0
         S: -ERR no such message
         C: UIDL
         S: +OK 3 messages, 53 octets
         S: 1 5.7
         S: 2 5.9
         S: 3 5.12
         S: .
         C: UIDL 3
         S: +OK 3 5.12
         C: UIDL 9
         S: -ERR no such message
         C: NOOP
         S: +OK
         C: NOOP 1
         S: -ERR bad arguments",
    );
}

/// RFC 1939 §5, §7; dots are doubled.
#[test]
fn messages_are_retrieved() {
    signed_in(
        "C: RETR 1
         S: +OK message follows
         S: Subject: uno
         S: 
         S: ..
         S: fine
         S: .
         C: RETR 3
         S: +OK message follows
         S: tre
         S: .
         C: TOP 2 2
         S: +OK message follows
         S: Subject: due
         S: 
         S: 1
         S: 2
         S: .
         C: TOP 2 0
         S: +OK message follows
         S: Subject: due
         S: 
         S: .
         C: RETR 4
         S: -ERR no such message
         C: TOP 1
         S: -ERR bad arguments
         C: RETR -1
         S: -ERR bad arguments",
    );
    // Another session has moved it by IMAP.
    let door = Loop { gone: vec![9], ..Loop::default() };
    transcript_with(door, &format!("{SIGN_IN}C: RETR 2\nS: -ERR no such message\nC: STAT\nS: +OK 3 53"));
}

/// RFC 1939 §5, §6: marks are marks until QUIT.
#[test]
fn messages_are_removed_at_quit_and_not_before() {
    let door = signed_in(
        "C: DELE 1
         S: +OK deleted
         C: DELE 1
         S: -ERR no such message
         C: RETR 1
         S: -ERR no such message
         C: LIST 1
         S: -ERR no such message
         C: STAT
         S: +OK 2 28
         C: LIST
         S: +OK 2 messages, 28 octets
         S: 2 25
         S: 3 3
         S: .
         C: RSET
         S: +OK
         C: DELE 3
         S: +OK deleted
         C: DELE 2
         S: +OK deleted
         C: DELE 7
         S: -ERR no such message",
    );
    assert_eq!(
        door.asked,
        ["sign in utente@pec.alfa.example"],
        "nothing is removed by a connection that breaks"
    );
    let door = signed_in("C: DELE 3\nS: +OK deleted\nC: DELE 2\nS: +OK deleted\nC: QUIT\nS: +OK bye");
    assert_eq!(door.asked[1], "remove 9,12");
    assert!(door.closed);
    let fails = Loop { fails_to_remove: true, ..Loop::default() };
    let script = "C: DELE 3\nS: +OK deleted\nC: QUIT\nS: -ERR [SYS/TEMP] some messages were not removed";
    assert!(transcript_with(fails, &format!("{SIGN_IN}{script}")).closed);
}

/// RFC 2449 §6.6: commands in one packet, also the sign-in, are answered in order.
#[test]
fn commands_may_be_pipelined() {
    let (mut machine, mut door) = (Machine::new(), Loop::default());
    machine.receive(
        format!("USER {NAME}\r\nPASS due  parole \r\nSTAT\r\nRETR 3\r\nDELE 3\r\nQUIT\r\nSTAT\r\n")
            .as_bytes(),
    );
    door.run(&mut machine);
    let said = String::from_utf8(door.wire).unwrap();
    let expected = "+OK POP3 ready\r\n+OK\r\n+OK maildrop locked and ready\r\n+OK 3 53\r\n+OK message follows\r\ntre\r\n.\r\n\
        +OK deleted\r\n+OK bye\r\n";
    assert_eq!(said, expected, "nothing is heard after QUIT");
    assert_eq!(door.asked, ["sign in utente@pec.alfa.example", "remove 12"]);
}

/// Attacks, and the answer to each.
#[test]
fn attacks() {
    let long = format!("USER {}", "x".repeat(LINE_BYTES_MAX));
    for (what, octets, ends_with) in [
        ("a line that does not end", "x".repeat(LINE_BYTES_MAX).into_bytes(), "-ERR line too long\r\n"),
        ("a line that ends too late", format!("{long}\r\nQUIT\r\n").into_bytes(), "-ERR line too long\r\n"),
        ("no commands", b"GET / HTTP/1.1\r\n".repeat(MISTAKES_MAX as usize), "-ERR too many mistakes\r\n"),
        (
            "octets of TLS",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\n".repeat(MISTAKES_MAX as usize),
            "-ERR too many mistakes\r\n",
        ),
        ("NUL in a name", b"USER a\0b\r\n".to_vec(), "-ERR bad arguments\r\n"),
        ("guessing", b"USER a\r\nPASS b\r\n".repeat(9), "-ERR [AUTH] wrong name or password\r\n"),
        (
            "AUTH without a word after it",
            b"AUTH PLAIN\r\n\r\n".to_vec(),
            "-ERR [AUTH] not what PLAIN says\r\n",
        ),
        (
            "a response that is too long",
            format!("AUTH PLAIN\r\n{}\r\n", "A".repeat(LINE_BYTES_MAX)).into_bytes(),
            "-ERR line too long\r\n",
        ),
    ] {
        let (mut machine, mut door) = (Machine::new(), Loop::default());
        for piece in octets.chunks(100) {
            machine.receive(piece);
            door.run(&mut machine);
            assert!(machine.held() <= LINE_BYTES_MAX + 100, "{what}");
        }
        let said = String::from_utf8(door.wire).unwrap();
        assert!(said.ends_with(ends_with), "{what}: {said}");
        assert!(door.asked.len() <= FAILURES_MAX as usize, "{what}: {:?}", door.asked);
    }
}

/// A maildrop of 100,000 is listed in pieces.
#[test]
fn a_large_listing_comes_in_pieces() {
    let mut machine = Machine::new();
    machine.receive(b"USER a\r\nPASS b\r\nLIST\r\n");
    let (mut said, mut largest) = (Vec::new(), 0);
    loop {
        match machine.step() {
            Step::Read => break,
            Step::SignIn { .. } => machine.signed_in(Ok(Maildrop::new(1, (1..=100_000).map(|uid| (uid, 1))))),
            Step::Send(octets) => {
                largest = largest.max(octets.len());
                said.extend(octets);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(largest < LISTING_BYTES + 100);
    assert!(said.ends_with(b"\r\n99999 1\r\n100000 1\r\n.\r\n"));
}

/// A loop that forgets to answer a question ends the session, whatever comes.
#[test]
fn a_question_that_is_not_answered_ends_it() {
    let mut machine = Machine::new();
    machine.receive(b"USER a\r\nPASS b\r\n");
    while !matches!(machine.step(), Step::SignIn { .. }) {}
    assert!(matches!(machine.step(), Step::Close));
    assert!(matches!(machine.step(), Step::Close));
}

fn lines() -> impl Strategy<Value = Vec<u8>> {
    let sign_in = format!("USER {NAME}\r\nPASS due  parole \r\n");
    let line = prop_oneof![
        Just("STAT".to_owned()),
        Just("LIST".to_owned()),
        Just("UIDL".to_owned()),
        Just("RSET".to_owned()),
        Just("QUIT".to_owned()),
        Just("AUTH PLAIN".to_owned()),
        "(LIST|UIDL|RETR|DELE|TOP|USER|PASS|AUTH) [0-9]{0,2}( [0-9])?",
        "[ -~\r]{0,20}",
    ];
    (any::<bool>(), proptest::collection::vec(line, 0..20)).prop_map(move |(signs_in, lines)| {
        let mut octets = if signs_in { sign_in.clone().into_bytes() } else { Vec::new() };
        for line in lines {
            octets.extend_from_slice(line.as_bytes());
            octets.extend_from_slice(b"\r\n");
        }
        octets
    })
}

fn said(octets: &[u8], piece: usize) -> Vec<u8> {
    let (mut machine, mut door) = (Machine::new(), Loop::default());
    for piece in octets.chunks(piece.max(1)) {
        machine.receive(piece);
        door.run(&mut machine);
        assert!(machine.held() <= LINE_BYTES_MAX + piece.len());
    }
    door.wire
}

proptest! {
    #[test]
    fn pieces_make_no_difference(octets in lines(), piece in 1_usize..40) {
        prop_assert_eq!(said(&octets, piece), said(&octets, usize::MAX));
    }

    #[test]
    fn any_octets_are_answered_by_lines(octets in proptest::collection::vec(any::<u8>(), 1..2000), piece in 1_usize..400) {
        let said = said(&octets, piece);
        prop_assert!(said.starts_with(b"+OK POP3 ready\r\n") && said.ends_with(b"\r\n"));
    }
}
