use super::*;

/// Plays a transcript: `C:` lines must be said exactly so, `S:` lines are answered; `TLS` is a handshake that succeeds,
/// `LOST` the end of the connection, `BEGIN` our wish to send. Gives the outcomes.
fn play(session: &mut Session, transaction: &Transaction, transcript: &str) -> Option<Vec<Outcome>> {
    let mut lines = transcript.lines().map(str::trim).filter(|l| !l.is_empty()).peekable();
    let mut said = String::new();
    let mut outcomes = None;
    loop {
        match session.step() {
            Step::Send(octets) => said.push_str(std::str::from_utf8(&octets).unwrap()),
            Step::Receive(_) | Step::Closed | Step::Ready | Step::Encrypt if !said.is_empty() => {
                let mut expected = String::new();
                while let Some(line) = lines.next_if(|l| l.starts_with("C:")) {
                    expected.push_str(line[2..].trim_start());
                    expected.push_str("\r\n");
                }
                assert_eq!(said, expected);
                said.clear();
            }
            Step::Receive(_) => match lines.next() {
                Some("LOST") => session.lost("the connection was closed"),
                Some(line) => {
                    let mut answer = format!("{}\r\n", line.strip_prefix("S: ").unwrap());
                    while let Some(line) = lines.next_if(|l| l.starts_with("S: ")) {
                        answer.push_str(&line[3..]);
                        answer.push_str("\r\n");
                    }
                    session.receive(answer.as_bytes());
                }
                None => return outcomes,
            },
            Step::Encrypt => match lines.next() {
                Some("TLS") => session.secured(),
                other => panic!("{other:?} where TLS begins"),
            },
            Step::Ready => match lines.next() {
                Some("BEGIN") => session.begin(transaction.clone()),
                None => return outcomes,
                other => panic!("{other:?} where the session is ready"),
            },
            Step::Done(done) => outcomes = Some(done),
            Step::Closed => {
                assert_eq!(lines.next(), None, "the session is over: {:?}", session.failure());
                return outcomes;
            }
        }
    }
}

fn letter(recipients: &[&str]) -> Transaction {
    Transaction {
        reverse_path: "posta-certificata@gestore.alfa.example".to_owned(),
        recipients: recipients.iter().map(|r| (*r).to_owned()).collect(),
        message: Bytes::from_static(b"Subject: x\r\n\r\n.dot\r\n"),
    }
}

fn refused(code: &str, answer: &str) -> Outcome {
    Outcome::Refused { code: code.to_owned(), answer: answer.to_owned() }
}

fn later(answer: &str) -> Outcome {
    Outcome::Later { answer: answer.to_owned() }
}

fn session(starttls: Starttls) -> Session {
    Session::new("mx.alfa.example", starttls)
}

const OPEN: &str = "
    S: 220 mx.beta.example ESMTP
    C: EHLO mx.alfa.example
    S: 250 mx.beta.example
    BEGIN";

fn played(transaction: &Transaction, rest: &str) -> (Option<Vec<Outcome>>, Session) {
    let mut session = session(Starttls::Never);
    let outcomes = play(&mut session, transaction, &format!("{OPEN}\n{rest}"));
    (outcomes, session)
}

/// RFC 5321 §3.3, RFC 3207, RFC 2920: after TLS everything is asked anew.
#[test]
fn a_message_under_tls_with_pipelining() {
    let mut session = session(Starttls::Required);
    let outcomes = play(
        &mut session,
        &letter(&["a@pec.beta.example", "b@pec.beta.example", "c@pec.beta.example"]),
        "S: 220 mx.beta.example ESMTP
         C: EHLO mx.alfa.example
         S: 250-mx.beta.example
         S: 250-SIZE 1
         S: 250 STARTTLS
         C: STARTTLS
         S: 220 2.0.0 go ahead
         TLS
         C: EHLO mx.alfa.example
         S: 250-mx.beta.example
         S: 250-PIPELINING
         S: 250-8BITMIME
         S: 250-STARTTLS
         S: 250 SIZE 100000000
         BEGIN
         C: MAIL FROM:<posta-certificata@gestore.alfa.example> SIZE=20
         C: RCPT TO:<a@pec.beta.example>
         C: RCPT TO:<b@pec.beta.example>
         C: RCPT TO:<c@pec.beta.example>
         S: 250 2.1.0 ok
         S: 250 2.1.5 ok
         S: 550 5.1.1 no such user
         S: 452 4.2.2 full for now
         C: DATA
         S: 354 go
         C: Subject: x
         C:
         C: ..dot
         C: .
         S: 250 2.0.0 taken",
    );
    let expected =
        [Outcome::Taken, refused("5.1.1", "550 5.1.1 no such user"), later("452 4.2.2 full for now")];
    assert_eq!(outcomes.unwrap(), expected);
    assert!(session.is_secured());
    assert_eq!(session.failure(), None);
}

/// One command at a time where PIPELINING is not offered; the next transaction on the same session.
#[test]
fn two_messages_without_pipelining() {
    let transaction = letter(&["a@x.example", "b@x.example"]);
    let (_, mut session) = played(
        &transaction,
        "C: MAIL FROM:<posta-certificata@gestore.alfa.example>
         S: 250 ok
         C: RCPT TO:<a@x.example>
         S: 550 no
         C: RCPT TO:<b@x.example>
         S: 550 no
         ",
    );
    let outcomes = play(
        &mut session,
        &transaction,
        "BEGIN
         C: RSET
         S: 250 ok
         C: MAIL FROM:<posta-certificata@gestore.alfa.example>
         S: 250 ok
         C: RCPT TO:<a@x.example>
         S: 250 ok
         C: RCPT TO:<b@x.example>
         S: 251 will forward
         C: DATA
         S: 354 go
         C: Subject: x
         C:
         C: ..dot
         C: .
         S: 250 taken",
    );
    assert_eq!(outcomes.unwrap(), [Outcome::Taken, Outcome::Taken]);
}

/// RFC 5321 §3.2
#[test]
fn a_server_that_knows_no_ehlo_is_greeted_with_helo() {
    let mut session = session(Starttls::IfOffered);
    play(
        &mut session,
        &letter(&[]),
        "S: 220 old
         C: EHLO mx.alfa.example
         S: 500 what
         C: HELO mx.alfa.example
         S: 250 hello",
    );
    assert_eq!(session.step(), Step::Ready);
}

/// Spec 0.2 D16: never in clear to a provider, whatever the server or somebody in between says.
#[test]
fn where_tls_is_required_nothing_is_said_without_it() {
    let without = "
        S: 220 mx
        C: EHLO mx.alfa.example
        S: 250 mx";
    let refused = "
        S: 220 mx
        C: EHLO mx.alfa.example
        S: 250-mx
        S: 250 STARTTLS
        C: STARTTLS
        S: 454 4.7.0 not now";
    let old = "
        S: 220 mx
        C: EHLO mx.alfa.example
        S: 502 what
        C: HELO mx.alfa.example
        S: 250 hello";
    for transcript in [without, refused, old] {
        let mut session = session(Starttls::Required);
        play(&mut session, &letter(&[]), transcript);
        assert!(session.failure().unwrap().in_tls, "{transcript}");
        session.begin(letter(&["a@x.example"]));
        assert!(matches!(session.step(), Step::Done(d) if matches!(d[..], [Outcome::Later { .. }])));
    }
}

#[test]
fn where_tls_is_welcome_a_refusal_of_it_is_no_obstacle() {
    let mut session = session(Starttls::IfOffered);
    let transcript = "
        S: 220 mx
        C: EHLO mx.alfa.example
        S: 250-mx
        S: 250 STARTTLS
        C: STARTTLS
        S: 454 4.7.0 not now";
    play(&mut session, &letter(&[]), transcript);
    assert_eq!(session.step(), Step::Ready);
    assert!(!session.is_secured());
}

/// RFC 3207 §6: a man in the middle who puts a reply in front of the encrypted ones.
#[test]
fn replies_in_clear_behind_starttls_end_the_session() {
    for behind in ["250 mx\r\n", "2"] {
        let mut session = session(Starttls::IfOffered);
        session.receive(b"220 mx\r\n");
        session.step();
        session.receive(b"250-mx\r\n250 STARTTLS\r\n");
        session.step();
        session.receive(format!("220 go\r\n{behind}").as_bytes());
        assert_eq!(session.step(), Step::Closed, "{behind}");
        assert!(session.failure().unwrap().in_tls);
    }
}

/// A refusal of the sender is one of every recipient; the answers to the pipelined rest change nothing.
#[test]
fn a_refused_sender() {
    let mut session = session(Starttls::Never);
    let outcomes = play(
        &mut session,
        &letter(&["a@x.example", "b@x.example"]),
        "S: 220 mx
         C: EHLO mx.alfa.example
         S: 250-mx
         S: 250 PIPELINING
         BEGIN
         C: MAIL FROM:<posta-certificata@gestore.alfa.example>
         C: RCPT TO:<a@x.example>
         C: RCPT TO:<b@x.example>
         S: 552 5.3.4 too big
         S: 503 5.5.1 MAIL first
         S: 503 5.5.1 MAIL first",
    );
    let expected = refused("5.3.4", "552 5.3.4 too big");
    assert_eq!(outcomes.unwrap(), [expected.clone(), expected]);
    assert_eq!(session.step(), Step::Ready);
}

/// RFC 5321 §4.5.3.1.10
#[test]
fn too_many_recipients_are_for_the_next_time() {
    let (outcomes, _) = played(
        &letter(&["a@x.example", "b@x.example", "c@x.example"]),
        "C: MAIL FROM:<posta-certificata@gestore.alfa.example>
         S: 250 ok
         C: RCPT TO:<a@x.example>
         S: 250 ok
         C: RCPT TO:<b@x.example>
         S: 552 too many
         C: RCPT TO:<c@x.example>
         S: 552 5.2.2 mailbox full
         C: DATA
         S: 354 go
         C: Subject: x
         C:
         C: ..dot
         C: .
         S: 250 taken",
    );
    let expected = [Outcome::Taken, later("552 too many"), refused("5.2.2", "552 5.2.2 mailbox full")];
    assert_eq!(outcomes.unwrap(), expected);
}

/// Whoever was refused before keeps his own answer.
#[test]
fn a_message_that_is_refused_at_its_end() {
    let transcript = |answer: &str| {
        format!(
            "C: MAIL FROM:<posta-certificata@gestore.alfa.example>
             S: 250 ok
             C: RCPT TO:<a@x.example>
             S: 250 ok
             C: RCPT TO:<b@x.example>
             S: 550 5.1.1 nobody
             C: DATA
             S: 354 go
             C: Subject: x
             C:
             C: ..dot
             C: .
             {answer}"
        )
    };
    let both = letter(&["a@x.example", "b@x.example"]);
    let nobody = refused("5.1.1", "550 5.1.1 nobody");
    for (answer, expected) in [
        ("S: 554 5.7.1 ordinary mail is refused", refused("5.7.1", "554 5.7.1 ordinary mail is refused")),
        ("S: 451 4.3.0 try again", later("451 4.3.0 try again")),
        ("S: 421 4.3.2 going down", later("421 4.3.2 going down")),
        // The server may have it or not: it is sent again, and the receiver knows the duplicate.
        ("LOST", later("the connection was closed")),
    ] {
        let (outcomes, _) = played(&both, &transcript(answer));
        assert_eq!(outcomes.unwrap(), [expected, nobody.clone()], "{answer}");
    }
}

#[test]
fn data_that_is_not_wanted() {
    let (outcomes, mut session) = played(
        &letter(&["a@x.example"]),
        "C: MAIL FROM:<posta-certificata@gestore.alfa.example>
         S: 250 ok
         C: RCPT TO:<a@x.example>
         S: 250 ok
         C: DATA
         S: 554 5.5.1 no valid recipients",
    );
    assert_eq!(outcomes.unwrap(), [refused("5.5.1", "554 5.5.1 no valid recipients")]);
    session.begin(letter(&["a@x.example"]));
    assert_eq!(session.step(), Step::Send(Bytes::from_static(b"RSET\r\n")));
}

/// RFC 7504: a host that takes no mail says so for ever; any other answer to our coming is about this host and now.
#[test]
fn hosts_that_turn_us_away() {
    for (greeting, code) in
        [("521 5.3.2 no mail here", Some("5.3.2")), ("554 go away", None), ("421 busy", None)]
    {
        let mut session = session(Starttls::Never);
        session.receive(format!("{greeting}\r\n").as_bytes());
        assert_eq!(session.step(), Step::Closed);
        assert_eq!(session.failure().unwrap().code.as_deref(), code, "{greeting}");
    }
}

#[test]
fn batches_of_commands_are_bounded() {
    let recipients: Vec<String> = (0..120).map(|n| format!("u{n}@x.example")).collect();
    let transaction = Transaction { recipients, ..letter(&[]) };
    let mut session = session(Starttls::Never);
    session.receive(b"220 mx\r\n");
    session.step();
    session.receive(b"250-mx\r\n250 PIPELINING\r\n");
    session.begin(transaction);
    let mut batches = Vec::new();
    loop {
        match session.step() {
            Step::Send(octets) => batches.push(octets.iter().filter(|b| **b == b'\n').count()),
            Step::Receive(Wait::Command) => {
                let answers = "250 ok\r\n".repeat(*batches.last().unwrap());
                session.receive(answers.as_bytes());
            }
            other => break assert_eq!(other, Step::Receive(Wait::DataStart)),
        }
    }
    assert_eq!(batches, [50, 50, 21, 1], "MAIL and RCPT in three batches, then DATA");
}

#[test]
fn what_cannot_be_said_is_refused_before_anything_is_sent() {
    for (transaction, code) in [
        (letter(&["a@x.example>\r\nRSET"]), "5.1.3"),
        (Transaction { reverse_path: "a\n@x".to_owned(), ..letter(&["a@x.example"]) }, "5.1.3"),
        (Transaction { message: Bytes::from_static(b"a\n.\nb"), ..letter(&["a@x.example"]) }, "5.6.0"),
    ] {
        let mut session = session(Starttls::Never);
        session.receive(b"220 mx\r\n");
        session.step();
        session.receive(b"250 mx\r\n");
        session.begin(transaction);
        let Step::Done(outcomes) = session.step() else { panic!("something is sent") };
        assert!(matches!(&outcomes[..], [Outcome::Refused { code: c, .. }] if c == code));
        assert_eq!(session.step(), Step::Ready);
    }
}

/// Octets that are not ASCII are announced where they may be, and sent all the same where not (spec 0.2 D5).
#[test]
fn eight_bit_messages_are_announced() {
    let transaction = Transaction { message: Bytes::from("è\r\n"), ..letter(&["a@x.example"]) };
    let mut session = session(Starttls::Never);
    session.receive(b"220 mx\r\n");
    session.step();
    session.receive(b"250-mx\r\n250 8BITMIME\r\n");
    session.begin(transaction);
    let from = b"MAIL FROM:<posta-certificata@gestore.alfa.example> BODY=8BITMIME\r\n";
    assert_eq!(session.step(), Step::Send(Bytes::from_static(from)));
}

proptest::proptest! {
    /// Whatever a server says, in whatever pieces: no panic, and every recipient has an outcome when it is over.
    #[test]
    fn no_server_confuses_the_session(
        pieces in proptest::collection::vec("(220|250|354|550|421|2[0-9]{2})?[ -]?[A-Z.0-9 ]{0,12}(\r\n)?", 0..40),
        starttls in 0..3_usize,
    ) {
        let starttls = [Starttls::Required, Starttls::IfOffered, Starttls::Never][starttls];
        let mut session = session(starttls);
        let mut pieces = pieces.iter();
        let mut begun = false;
        let outcomes = loop {
            match session.step() {
                Step::Send(_) => {}
                Step::Receive(_) => match pieces.next() {
                    Some(piece) => session.receive(piece.as_bytes()),
                    None => session.lost("the end"),
                },
                Step::Encrypt => session.secured(),
                Step::Ready | Step::Closed if !begun => {
                    begun = true;
                    session.begin(letter(&["a@x.example", "b@x.example"]));
                }
                Step::Done(outcomes) => break outcomes,
                Step::Ready | Step::Closed => panic!("over without an outcome"),
            }
        };
        proptest::prop_assert_eq!(outcomes.len(), 2);
    }
}
