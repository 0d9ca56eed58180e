//! A POP3 session, and messages on the wire.

use pop3::{Body, LINE_BYTES_MAX, Machine, Maildrop, Refused, Step};

/// The most that is fed at a time.
const PIECE: usize = 64;

/// A session of these octets. Cut into pieces it must become the same as at once; it holds no more than a line; what
/// is removed was there; and what it says is lines.
pub(crate) fn server(octets: &[u8]) {
    let piece = 1 + octets.first().map_or(0, |b| usize::from(*b)) % PIECE;
    let (whole, cut) = (Session::run(octets, usize::MAX), Session::run(octets, piece));
    assert_eq!(whole.said, cut.said);
    assert_eq!(whole.removed, cut.removed);
    assert!(whole.removed.iter().all(|uid| (2..=6).contains(uid) && uid % 2 == 0));
    assert!(whole.said.starts_with(b"+OK") && whole.said.ends_with(b"\r\n"));
    assert!(!whole.said.windows(2).any(|w| w[1] == b'\n' && w[0] != b'\r'), "a bare LF");
}

#[derive(Default)]
struct Session {
    said: Vec<u8>,
    removed: Vec<u32>,
    asked: u32,
    closed: bool,
}

impl Session {
    fn run(octets: &[u8], piece: usize) -> Self {
        let (mut session, mut machine) = (Self::default(), Machine::new());
        session.follow(&mut machine, octets);
        for piece in octets.chunks(piece) {
            machine.receive(piece);
            session.follow(&mut machine, octets);
            assert!(machine.held() <= LINE_BYTES_MAX + piece.len());
        }
        session
    }

    /// Lets every other sign-in in; a message is what is fuzzed itself.
    fn follow(&mut self, machine: &mut Machine, message: &[u8]) {
        while !self.closed {
            match machine.step() {
                Step::Read => return,
                Step::Send(octets) => self.said.extend(octets),
                Step::SignIn { name, .. } if name.len().is_multiple_of(2) => {
                    machine.signed_in(Ok(Maildrop::new(1, [(2, 10), (4, 20), (6, 30)])));
                }
                Step::SignIn { .. } => machine.signed_in(Err(Refused::Wrong)),
                Step::Retrieve { uid: 4, .. } => machine.not_sent(Refused::Gone),
                Step::Retrieve { lines, .. } => {
                    self.said.extend(Machine::FOLLOWS);
                    let mut body = Body::new(lines);
                    body.push(message, &mut self.said);
                    body.finish(&mut self.said);
                    machine.sent();
                }
                Step::Remove(uids) => {
                    self.removed.extend(uids.iter());
                    self.asked += 1;
                    machine.removed(self.asked == 1);
                }
                Step::Close => self.closed = true,
            }
        }
    }
}
