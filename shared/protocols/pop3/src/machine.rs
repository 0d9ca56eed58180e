//! The state machine of a session (RFC 1939 §4 to §6): octets in, steps out.

use std::collections::VecDeque;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use stages::{accounts::Password, mailbox::UidSet};
use zeroize::Zeroizing;

use crate::{
    Maildrop,
    command::{Command, Malformed},
};

/// Octets of a line with its end, at most: RFC 2449 §4 has 255, a SASL response may be longer (RFC 5034 §4).
pub const LINE_BYTES_MAX: usize = 4096;
/// Octets of a listing in one step, at most.
const LISTING_BYTES: usize = 16 * 1024;
/// Lines that are no commands, or not now, before the session is over.
const MISTAKES_MAX: u32 = 20;
/// Failed sign-ins before the session is over.
const FAILURES_MAX: u32 = 3;

const CAPABILITIES: &[u8] = b"+OK capabilities follow\r\nUSER\r\nSASL PLAIN\r\nTOP\r\nUIDL\r\nPIPELINING\r\n\
    RESP-CODES\r\nAUTH-RESP-CODE\r\nEXPIRE NEVER\r\nIMPLEMENTATION Sigillo\r\n.\r\n";

/// What the loop does next.
#[derive(Debug)]
pub enum Step {
    /// Read octets, and [`Machine::receive`] them.
    Read,
    /// Send these.
    Send(Vec<u8>),
    /// Look whether this is somebody, and lock and read the maildrop: then [`Machine::signed_in`].
    SignIn {
        /// The name.
        name: String,
        /// The password.
        password: Password,
    },
    /// Send the message with this UID, or a part of it, as a [`Body`](crate::Body) after [`Machine::FOLLOWS`]; then
    /// [`Machine::sent`]. Or [`Machine::not_sent`].
    Retrieve {
        /// Which.
        uid: u32,
        /// Lines of its body for TOP.
        lines: Option<u32>,
    },
    /// Remove these: then [`Machine::removed`].
    Remove(UidSet),
    /// Close the connection.
    Close,
}

/// Why nobody is signed in, or something does not work now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Wrong name or password (RFC 3206 §4).
    Wrong,
    /// Too many failures before: so many seconds.
    Wait(u64),
    /// Another session has the mailbox (RFC 2449 §8.1.2).
    InUse,
    /// Ours, for now (RFC 3206 §3).
    Temporary,
    /// The message is not there any more.
    Gone,
}

impl Refused {
    fn answer(self) -> Vec<u8> {
        match self {
            Self::Wrong => b"-ERR [AUTH] wrong name or password\r\n".to_vec(),
            Self::Wait(seconds) => {
                format!("-ERR [SYS/TEMP] too many failures, try again in {seconds} s\r\n").into_bytes()
            }
            Self::InUse => b"-ERR [IN-USE] another session has this mailbox\r\n".to_vec(),
            Self::Temporary => b"-ERR [SYS/TEMP] not now, try again later\r\n".to_vec(),
            Self::Gone => b"-ERR no such message\r\n".to_vec(),
        }
    }
}

#[derive(Debug)]
enum State {
    /// Nobody has signed in; perhaps a name was given.
    Authorization(Option<String>),
    /// The next line is the response of SASL PLAIN.
    Sasl,
    /// Somebody has.
    Transaction(Maildrop),
    /// The loop is asked; before it answers, nothing goes on. With what the state is afterwards.
    Asked(Box<State>),
    /// It is over.
    Over,
}

/// Which listing, and the next number of it.
#[derive(Clone, Copy, Debug)]
struct Listing {
    line: fn(&Maildrop, u32) -> Option<String>,
    next: u32,
}

/// A session.
#[derive(Debug)]
pub struct Machine {
    state: State,
    input: Vec<u8>,
    output: VecDeque<Step>,
    listing: Option<Listing>,
    mistakes: u32,
    failures: u32,
}

impl Machine {
    /// Goes before the octets of a message.
    pub const FOLLOWS: &'static [u8] = b"+OK message follows\r\n";

    /// A session that begins with a greeting (RFC 1939 §4): no timestamp, so no APOP.
    #[must_use]
    pub fn new() -> Self {
        let greeting = Step::Send(b"+OK POP3 ready\r\n".to_vec());
        Self {
            state: State::Authorization(None),
            input: Vec::new(),
            output: VecDeque::from([greeting]),
            listing: None,
            mistakes: 0,
            failures: 0,
        }
    }

    /// Takes octets as they come. Whoever calls it only after [`Step::Read`] makes the machine hold no more than a
    /// line and these. What comes after the end is not kept.
    pub fn receive(&mut self, octets: &[u8]) {
        if !matches!(self.state, State::Over) {
            self.input.extend_from_slice(octets);
        }
    }

    /// Octets that it holds.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.input.len()
    }

    /// Whether somebody has signed in.
    #[must_use]
    pub const fn is_signed_in(&self) -> bool {
        matches!(self.state, State::Transaction(_))
    }

    /// What to do next. After a question it is an answer that goes on, not another call of this.
    pub fn step(&mut self) -> Step {
        loop {
            if let Some(step) = self.output.pop_front() {
                return step;
            }
            if let Some(listing) = self.listing.take() {
                return self.list(listing);
            }
            match self.state {
                State::Over | State::Asked(_) => {
                    // To go on without an answer is a mistake of the loop: nothing good can come of it.
                    self.state = State::Over;
                    return Step::Close;
                }
                _ => {}
            }
            let Some(line) = self.line() else {
                if self.input.len() < LINE_BYTES_MAX {
                    return Step::Read;
                }
                self.end(b"-ERR line too long\r\n");
                continue;
            };
            if line.len() + 2 > LINE_BYTES_MAX {
                self.end(b"-ERR line too long\r\n");
                continue;
            }
            self.command(&line);
        }
    }

    /// The next line without its end: LF, with a CR before it or not. Nothing that follows depends on which.
    fn line(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        let at = self.input.iter().position(|b| *b == b'\n')?;
        let mut line = Zeroizing::new(self.input.drain(..=at).collect::<Vec<u8>>());
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Some(line)
    }

    fn command(&mut self, line: &[u8]) {
        if matches!(self.state, State::Sasl) {
            self.state = State::Authorization(None);
            return self.plain(line);
        }
        let command = match Command::parse(line) {
            Ok(command) => command,
            Err(Malformed::Unknown) => return self.mistake(b"-ERR unknown command\r\n"),
            Err(Malformed::Arguments) => return self.mistake(b"-ERR bad arguments\r\n"),
        };
        match (command, &mut self.state) {
            (Command::Capa, _) => self.send(CAPABILITIES),
            (Command::Quit, State::Authorization(_)) => self.end(b"+OK bye\r\n"),
            (command, State::Authorization(_)) => self.authorize(command),
            (Command::Quit, State::Transaction(maildrop)) => {
                let gone = maildrop.deleted();
                if gone.is_empty() {
                    return self.end(b"+OK bye\r\n");
                }
                self.state = State::Asked(Box::new(State::Over));
                self.output.push_back(Step::Remove(gone));
            }
            (command, State::Transaction(_)) => self.transact(&command),
            (_, State::Sasl | State::Asked(_) | State::Over) => self.state = State::Over,
        }
    }

    fn authorize(&mut self, command: Command<'_>) {
        match command {
            Command::User(name) => {
                self.state = State::Authorization(Some(name.to_owned()));
                // Whether there is such a mailbox is nobody's business before the password (RFC 1939 §13).
                self.send(b"+OK\r\n");
            }
            Command::Pass(password) => match &mut self.state {
                State::Authorization(name) if name.is_some() => {
                    let name = name.take().unwrap_or_default();
                    self.ask_sign_in(name, Password::new(password));
                }
                _ => self.mistake(b"-ERR USER first\r\n"),
            },
            Command::Auth(None, _) => self.send(b"+OK mechanisms follow\r\nPLAIN\r\n.\r\n"),
            Command::Auth(Some(mechanism), first) => match (mechanism.eq_ignore_ascii_case("PLAIN"), first) {
                (false, _) => self.mistake(b"-ERR unknown mechanism\r\n"),
                (true, None) => {
                    self.state = State::Sasl;
                    self.send(b"+ \r\n");
                }
                (true, Some(first)) => self.plain(first.as_bytes()),
            },
            _ => self.mistake(b"-ERR sign in first\r\n"),
        }
    }

    /// SASL PLAIN (RFC 4616): who acts, who signs in, password.
    fn plain(&mut self, response: &[u8]) {
        if response == b"*" {
            return self.mistake(b"-ERR cancelled\r\n");
        }
        let encoded = if response == b"=" { b"" } else { response };
        let decoded = STANDARD.decode(encoded).ok().map(Zeroizing::new);
        let mut parts = decoded.iter().flat_map(|d| d.split(|b| *b == 0));
        let (acts, name, password, more) = (parts.next(), parts.next(), parts.next(), parts.next());
        let (Some(acts), Some(name), Some(password), None) = (acts, name, password, more) else {
            return self.mistake(b"-ERR [AUTH] not what PLAIN says\r\n");
        };
        match std::str::from_utf8(name) {
            Ok(name) if acts.is_empty() || acts == name.as_bytes() => {
                let (name, password) = (name.to_owned(), Password::new(password));
                self.ask_sign_in(name, password);
            }
            // Nobody acts for somebody else.
            _ => self.mistake(b"-ERR [AUTH] not what PLAIN says\r\n"),
        }
    }

    fn ask_sign_in(&mut self, name: String, password: Password) {
        self.state = State::Asked(Box::new(State::Authorization(None)));
        self.output.push_back(Step::SignIn { name, password });
    }

    /// The answer to [`Step::SignIn`].
    pub fn signed_in(&mut self, maildrop: Result<Maildrop, Refused>) {
        match maildrop {
            Ok(maildrop) => {
                self.state = State::Transaction(maildrop);
                self.send(b"+OK maildrop locked and ready\r\n");
            }
            Err(refused) => {
                self.answered();
                self.failures += 1;
                match self.failures >= FAILURES_MAX {
                    true => self.end(&refused.answer()),
                    false => self.send(&refused.answer()),
                }
            }
        }
    }

    fn transact(&mut self, command: &Command<'_>) {
        let State::Transaction(maildrop) = &mut self.state else { return };
        match *command {
            Command::Noop => self.send(b"+OK\r\n"),
            Command::Stat => {
                let (count, octets) = maildrop.stat();
                self.send(format!("+OK {count} {octets}\r\n").as_bytes());
            }
            Command::List(number) => self.show(number, Maildrop::scan),
            Command::Uidl(number) => self.show(number, Maildrop::unique_id),
            Command::Dele(number) => {
                let deleted = maildrop.delete(number);
                self.send(if deleted { b"+OK deleted\r\n" } else { b"-ERR no such message\r\n" });
            }
            Command::Rset => {
                maildrop.reset();
                self.send(b"+OK\r\n");
            }
            Command::Retr(number) => self.retrieve(number, None),
            Command::Top(number, lines) => self.retrieve(number, Some(lines)),
            Command::User(_) | Command::Pass(_) | Command::Auth(..) => {
                self.mistake(b"-ERR signed in already\r\n");
            }
            Command::Capa | Command::Quit => {}
        }
    }

    fn retrieve(&mut self, number: u32, lines: Option<u32>) {
        let State::Transaction(maildrop) = &mut self.state else { return };
        match maildrop.uid(number) {
            Some(uid) => {
                let maildrop = std::mem::take(maildrop);
                self.state = State::Asked(Box::new(State::Transaction(maildrop)));
                self.output.push_back(Step::Retrieve { uid, lines });
            }
            None => self.send(b"-ERR no such message\r\n"),
        }
    }

    /// The answer to [`Step::Retrieve`]: the message was sent, all of it.
    pub fn sent(&mut self) {
        self.answered();
    }

    /// The answer to [`Step::Retrieve`]: nothing was sent.
    pub fn not_sent(&mut self, why: Refused) {
        self.answered();
        self.send(&why.answer());
    }

    /// The answer to [`Step::Remove`]: whether all are removed (RFC 1939 §6).
    pub fn removed(&mut self, all: bool) {
        self.end(match all {
            true => b"+OK bye\r\n",
            false => b"-ERR [SYS/TEMP] some messages were not removed\r\n",
        });
    }

    /// Goes back to where the question was asked.
    fn answered(&mut self) {
        if let State::Asked(before) = std::mem::replace(&mut self.state, State::Over) {
            self.state = *before;
        }
    }

    /// One line, or all of them piece by piece.
    fn show(&mut self, number: Option<u32>, line: fn(&Maildrop, u32) -> Option<String>) {
        let State::Transaction(maildrop) = &self.state else { return };
        let Some(number) = number else {
            let (count, octets) = maildrop.stat();
            self.send(format!("+OK {count} messages, {octets} octets\r\n").as_bytes());
            self.listing = Some(Listing { line, next: 1 });
            return;
        };
        match line(maildrop, number) {
            Some(line) => self.send(format!("+OK {line}\r\n").as_bytes()),
            None => self.send(b"-ERR no such message\r\n"),
        }
    }

    fn list(&mut self, Listing { line, mut next }: Listing) -> Step {
        let State::Transaction(maildrop) = &self.state else { return Step::Close };
        let mut text = Vec::new();
        while next <= maildrop.last() && text.len() < LISTING_BYTES {
            if let Some(line) = line(maildrop, next) {
                text.extend_from_slice(line.as_bytes());
                text.extend_from_slice(b"\r\n");
            }
            next += 1;
        }
        match next > maildrop.last() {
            true => text.extend_from_slice(b".\r\n"),
            false => self.listing = Some(Listing { line, next }),
        }
        Step::Send(text)
    }

    fn send(&mut self, octets: &[u8]) {
        self.output.push_back(Step::Send(octets.to_vec()));
    }

    fn mistake(&mut self, answer: &[u8]) {
        self.mistakes += 1;
        match self.mistakes >= MISTAKES_MAX {
            true => self.end(b"-ERR too many mistakes\r\n"),
            false => self.send(answer),
        }
    }

    fn end(&mut self, answer: &[u8]) {
        self.send(answer);
        self.input.clear();
        self.state = State::Over;
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
