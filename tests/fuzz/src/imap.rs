//! IMAP: sessions over a provider in memory, and the structures of messages.

use std::sync::Arc;

use imap::{Accounts, Host, Limits, NotIn, Session, Step};
use mime::outline::{Outline, Scanner};
use sigillo_tests::world::{ALFA, World, exec};
use stages::registry::Mailbox;

/// Whoever signs in is the first mailbox.
struct Anybody(Mailbox);

impl Accounts for Anybody {
    type SignedIn = Mailbox;
    async fn sign_in(&self, _: &str, _: &str) -> Result<Mailbox, NotIn> {
        Ok(self.0.clone())
    }
    fn mailbox(signed_in: &Mailbox) -> &Mailbox {
        signed_in
    }
    async fn still(&self, _: &Mailbox) -> bool {
        true
    }
}

/// What is in INBOX before the client begins.
const SETUP: &[u8] = b"a LOGIN a b\r\nb APPEND INBOX {54+}\r\nFrom: a@b.example\r\nSubject: uno\r\nX: \xe8\r\n\r\n=?utf-8?q?x?=\r\n\
    c APPEND INBOX (\\Seen k) {74+}\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nuno\r\n--x\r\n\r\ndue\r\n--x--\r\nd SELECT INBOX\r\n";

/// Any octets, in pieces, are answered; every line of the answer ends as it must, and a tag is answered once.
pub(crate) fn session(octets: &[u8]) {
    let world = World::of(&ALFA);
    let limits = Limits { append_bytes: 4096, mistakes: 1000, ..Limits::default() };
    let host = Arc::new(Host::new(world.rim(), limits, 1 << 20));
    let Some(mailbox) = ALFA.mailboxes().into_iter().next() else { return };
    // Two sessions on one mailbox, in turns: what one does, the other is told.
    let mut sessions = [0, 1].map(|_| Session::new(host.clone(), Anybody(mailbox.clone())));
    let mut heard = Vec::new();
    for session in &mut sessions {
        let goes_on = push(session, SETUP, &mut heard);
        assert!(goes_on, "the beginning is understood: {}", String::from_utf8_lossy(&heard));
        assert!(String::from_utf8_lossy(&heard).ends_with("d OK [READ-WRITE] selected\r\n"));
        heard.clear();
    }
    let size = octets.first().map_or(1, |octet| usize::from(*octet) + 1);
    let mut open = [true; 2];
    for (n, piece) in octets.chunks(size).enumerate() {
        let (turn, other) = (n / 3 % 2, 1 - n / 3 % 2);
        let (Some(session), Some(is_open)) = (sessions.get_mut(turn), open.get_mut(turn)) else { continue };
        *is_open = *is_open && push(session, piece, &mut heard);
        if let Some(session) = sessions.get_mut(other) {
            let told = exec::run(session.update(&mut heard));
            assert!(matches!(told, Some(Ok(_))), "nothing waits in memory, and its client is never gone");
        }
        assert!(heard.is_empty() || heard.ends_with(b"\r\n"), "an answer ends with its line");
        heard.clear();
    }
}

/// Whether the session goes on.
fn push(session: &mut Session<Anybody>, octets: &[u8], heard: &mut Vec<u8>) -> bool {
    session.push(octets);
    loop {
        match exec::run(session.step(heard)) {
            Some(Ok(Step::More)) => {}
            Some(Ok(Step::Wait)) => return true,
            Some(Ok(Step::End) | Err(_)) => return false,
            None => panic!("nothing waits in memory"),
        }
    }
}

/// Any octets are a message whose envelope and structure the grammar can read; pieces do not matter.
pub(crate) fn structure(octets: &[u8]) {
    let outline = Outline::of(octets);
    let mut scanner = Scanner::new();
    octets.chunks(7).for_each(|piece| scanner.push(piece));
    assert_eq!(scanner.finish(), outline);
    for part in outline.root.walk() {
        assert!(part.start <= part.body && part.body <= part.end && part.end <= outline.size);
    }
    for utf8 in [false, true] {
        let text = imap::describe(&outline, utf8);
        assert!(is_balanced(&text), "{}", String::from_utf8_lossy(&text));
    }
}

/// Parentheses match, quoted strings end, literals are as long as they say.
fn is_balanced(text: &[u8]) -> bool {
    let (mut rest, mut depth) = (text, 0_usize);
    while let Some((octet, after)) = rest.split_first() {
        rest = after;
        match octet {
            b'(' => depth += 1,
            b')' => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            },
            b'"' => match quoted(rest) {
                Some(after) => rest = after,
                None => return false,
            },
            b'{' => match literal(rest) {
                Some(after) => rest = after,
                None => return false,
            },
            b'0'..=b'9' | b'A'..=b'Z' | b' ' => {}
            _ => return false,
        }
    }
    depth == 0
}

/// After the quoted string that begins here.
fn quoted(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (octet, after) = rest.split_first()?;
        rest = match octet {
            b'"' => return Some(after),
            b'\\' => after.split_first()?.1,
            b'\r' | b'\n' | 0 => return None,
            _ => after,
        };
    }
}

/// After the literal that is announced here.
fn literal(rest: &[u8]) -> Option<&[u8]> {
    let end = rest.iter().position(|octet| *octet == b'}')?;
    let size: usize = std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()?;
    let octets = rest.get(end + 1..)?.strip_prefix(b"\r\n")?;
    let literal = octets.get(..size)?;
    (!literal.contains(&0)).then(|| octets.get(size..)).flatten()
}
