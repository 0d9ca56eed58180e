//! Whatever octets, in whatever pieces.

use proptest::prelude::*;
use sigillo_smtp::server::{Role, Settings, Tls};

use crate::talk::{Outcome, Talk};

/// What sessions are made of, and what breaks them.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&'static [u8]> = vec![
        b"EHLO client.example\r\n",
        b"HELO x\r\n",
        b"MAIL FROM:<mittente@pec.alfa.example>\r\n",
        b"MAIL FROM:<> SIZE=5\r\n",
        b"RCPT TO:<destinatario@pec.alfa.example>\r\n",
        b"DATA\r\n",
        b"Subject: x\r\n\r\n.x\r\n",
        b"\r\n.\r\n",
        b"BDAT 7\r\n",
        b"BDAT 0\r\n",
        b"BDAT 3 LAST\r\n",
        b"AUTH PLAIN AG1pdHRlbnRlQHBlYy5hbGZhLmV4YW1wbGUAZ2l1c3Rh\r\n",
        b"AUTH LOGIN\r\n",
        b"bWl0dGVudGVAcGVjLmFsZmEuZXhhbXBsZQ==\r\n",
        b"Z2l1c3Rh\r\n",
        b"*\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"STARTTLS\r\n",
        b"QUIT\r\n",
        b"\r",
        b"\n",
        b".",
        b"\0",
    ];
    prop_oneof![
        8 => prop::sample::select(words).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (0..2000_usize).prop_map(|n| vec![b'x'; n]),
    ]
}

fn small(role: Role) -> Settings {
    let mut settings = Settings::new(role, "mx.alfa.example");
    (settings.errors_max, settings.recipients_max, settings.size_bytes_max) = (4, 3, 400);
    settings
}

fn run(role: Role, octets: &[u8], sizes: &[usize]) -> Outcome {
    let mut talk = Talk::new(small(role), if role == Role::Submission { Tls::On } else { Tls::Offered });
    let mut at = 0;
    for size in sizes.iter().cycle() {
        let end = octets.len().min(at + size);
        talk.say(&octets[at..end]);
        at = end;
        if at == octets.len() {
            break;
        }
    }
    let outcome = talk.outcome;
    Outcome { content_bytes_max: 0, output_bytes_max: 0, ..outcome }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// However the octets are cut: the same replies, the same letters, the same end.
    #[test]
    fn pieces_do_not_matter(
        pieces in prop::collection::vec(piece(), 0..40),
        sizes in prop::collection::vec(1..50_usize, 1..10),
        submission in any::<bool>(),
    ) {
        let role = if submission { Role::Submission } else { Role::Exchange };
        let octets = pieces.concat();
        prop_assert_eq!(run(role, &octets, &sizes), run(role, &octets, &[usize::MAX / 2]));
    }

    /// What is taken has whole line ends, recipients, and no more octets than announced.
    #[test]
    fn what_is_taken_is_whole(pieces in prop::collection::vec(piece(), 0..60)) {
        let outcome = run(Role::Exchange, &pieces.concat(), &[1000]);
        for (transaction, content) in outcome.taken {
            prop_assert!((1..=3).contains(&transaction.forward_paths.len()));
            prop_assert!(content.len() <= 400);
            let crlf = content.windows(2).filter(|w| w == b"\r\n").count();
            prop_assert_eq!(crlf, content.iter().filter(|b| **b == b'\n').count());
            prop_assert_eq!(crlf, content.iter().filter(|b| **b == b'\r').count());
        }
    }

    /// A message that is written with its dots stuffed comes out as it was.
    #[test]
    fn a_message_comes_through_as_it_is(
        lines in prop::collection::vec("[.a-z]{0,5}", 0..12),
        size in 1..30_usize,
    ) {
        let message: String = lines.iter().map(|l| format!("{l}\r\n")).collect();
        let stuffed: String = lines
            .iter()
            .map(|l| format!("{}{l}\r\n", if l.starts_with('.') { "." } else { "" }))
            .collect();
        let mut talk = Talk::exchange();
        talk.say(b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<x@pec.alfa.example>\r\nDATA\r\n");
        talk.say_in_pieces(format!("{stuffed}.\r\n").as_bytes(), size);
        prop_assert_eq!(&talk.outcome.taken[0].1, message.as_bytes());
    }
}
