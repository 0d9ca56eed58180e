//! The receiving side of SMTP.

use std::sync::Arc;

use smtp::server::{Ask, Machine, Reply, Role, Settings, Step, Tls, Transaction};

/// The most that is fed at a time.
const PIECE: usize = 64;

/// A session of these octets; the first says which. Cut into pieces it must become the same as at once, and what is
/// taken is whole.
pub(crate) fn server(octets: &[u8]) {
    let Some((&kind, octets)) = octets.split_first() else { return };
    let whole = Session::run(kind, octets, usize::MAX);
    let cut = Session::run(kind, octets, 1 + usize::from(kind >> 3) % PIECE);
    assert_eq!(whole.said, cut.said);
    assert_eq!(whole.taken, cut.taken);
    for (transaction, content) in whole.taken {
        assert!((1..=3).contains(&transaction.forward_paths.len()), "{transaction:?}");
        assert!(content.len() <= 1000, "{} octets", content.len());
        let count = |octets: &[u8]| content.windows(octets.len()).filter(|w| *w == octets).count();
        assert!(count(b"\r\n") == count(b"\n") && count(b"\n") == count(b"\r"), "a bare CR or LF");
    }
}

struct Session {
    machine: Machine,
    content: Vec<u8>,
    said: Vec<u8>,
    taken: Vec<(Transaction, Vec<u8>)>,
    asked: u32,
    closed: bool,
}

impl Session {
    fn run(kind: u8, octets: &[u8], piece: usize) -> Self {
        let role = if kind & 1 == 0 { Role::Exchange } else { Role::Submission };
        let mut settings = Settings::new(role, "mx.alfa.example");
        (settings.errors_max, settings.recipients_max, settings.size_bytes_max) = (8, 3, 1000);
        let mut session = Self {
            machine: Machine::new(Arc::new(settings), if kind & 2 == 0 { Tls::Offered } else { Tls::On }),
            content: Vec::new(),
            said: Vec::new(),
            taken: Vec::new(),
            asked: 0,
            closed: false,
        };
        for piece in octets.chunks(piece) {
            session.feed(piece);
        }
        if kind & 4 != 0 && !session.closed {
            let step = session.machine.drain();
            session.does(step);
        }
        session.said.extend(session.machine.output());
        session
    }

    fn feed(&mut self, piece: &[u8]) {
        let mut at = 0;
        while !self.closed {
            let (used, step) = self.machine.feed(piece.get(at..).unwrap_or_default(), &mut self.content);
            at += used;
            let more = step == Step::More;
            self.does(step);
            if more && at == piece.len() {
                break;
            }
        }
    }

    fn does(&mut self, step: Step) {
        match step {
            Step::More => {}
            Step::Forget => self.content.clear(),
            // What comes behind in clear ends the session, so there is no handshake here.
            Step::StartTls => {}
            Step::Close => self.closed = true,
            Step::Ask(ask) => {
                let reply = self.provider(ask);
                let step = self.machine.answer(&reply);
                self.does(step);
            }
        }
    }

    /// Says no to every seventh question.
    fn provider(&mut self, ask: Ask) -> Reply {
        self.asked += 1;
        if let Ask::Take(transaction) = ask {
            self.taken.push((transaction, std::mem::take(&mut self.content)));
        }
        if self.asked.is_multiple_of(7) {
            Reply::new(550, "5.7.1", "no")
        } else {
            Reply::new(250, "2.0.0", "yes")
        }
    }
}
