//! The sending side of SMTP.

use bytes::Bytes;
use smtp::client::{Session, Starttls, Step, Transaction};

/// The most that is fed at a time.
const PIECE: usize = 64;
/// Messages of one session.
const TRANSACTIONS_MAX: usize = 4;

/// A server that says these octets, at once and in pieces; the first says how we are set up. Every recipient of every
/// message has one outcome, and where TLS is required no message is begun without it.
pub(crate) fn client(octets: &[u8]) {
    let Some((&kind, octets)) = octets.split_first() else { return };
    play(kind, octets, usize::MAX);
    play(kind, octets, 1 + usize::from(kind >> 3) % PIECE);
}

fn play(kind: u8, octets: &[u8], piece: usize) {
    let starttls = match kind & 3 {
        0 => Starttls::Required,
        1 => Starttls::IfOffered,
        _ => Starttls::Never,
    };
    let mut session = Session::new("mx.alfa.example", starttls);
    let mut pieces = octets.chunks(piece);
    let (mut said, mut ended, mut begun) = (Vec::new(), 0, 0);
    loop {
        match session.step() {
            Step::Send(octets) => said.extend_from_slice(&octets),
            Step::Receive(_) => match pieces.next() {
                Some(piece) => session.receive(piece),
                None => session.lost("the end"),
            },
            Step::Encrypt if kind & 4 == 0 => session.secured(),
            Step::Encrypt => session.failed_to_encrypt("no"),
            Step::Done(done) => {
                assert_eq!(done.len(), 3);
                ended += 1;
            }
            Step::Ready | Step::Closed if begun < TRANSACTIONS_MAX => {
                begun += 1;
                session.begin(transaction());
            }
            Step::Ready | Step::Closed => break,
        }
    }
    assert_eq!(ended, TRANSACTIONS_MAX, "every transaction ends");
    let secured = session.is_secured() || starttls != Starttls::Required;
    assert!(secured || !said.windows(4).any(|w| w == b"MAIL"), "MAIL in clear");
}

fn transaction() -> Transaction {
    Transaction {
        reverse_path: String::new(),
        recipients: ["a", "b", "c"].map(|local| format!("{local}@pec.beta.example")).into(),
        message: Bytes::from_static(b"Subject: x\r\n\r\n.y"),
    }
}
