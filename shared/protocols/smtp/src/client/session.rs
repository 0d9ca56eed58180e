//! A session with a server, without its socket: octets in, steps out.

use std::{collections::VecDeque, fmt::Write as _};

use bytes::Bytes;

use super::{
    Reply,
    data::{self, Stuffing},
    extensions::Extensions,
    reply::Reader,
};

/// Commands that are sent without waiting for the replies of those before (RFC 2920): few enough that the replies
/// cannot fill the connection while we still write.
const PIPELINED_MAX: usize = 50;

/// Whether the session is encrypted (RFC 3207).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starttls {
    /// Without it nothing is said.
    Required,
    /// Where it is offered (RFC 7435).
    IfOffered,
    /// Never: the connection is encrypted already, or shall not be.
    Never,
}

/// One message with its paths.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// MAIL FROM, without angle brackets; empty for the null path.
    pub reverse_path: String,
    /// RCPT TO, without angle brackets.
    pub recipients: Vec<String>,
    /// The octets.
    pub message: Bytes,
}

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server is responsible for it now.
    Taken,
    /// Not now: a transient answer, or none at all.
    Later {
        /// What came back, or what went wrong.
        answer: String,
    },
    /// Never.
    Refused {
        /// Enhanced status (RFC 3463).
        code: String,
        /// What came back.
        answer: String,
    },
}

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{answer}")]
pub struct Failure {
    /// Enhanced status, if this host takes no mail, ever (RFC 7504).
    pub code: Option<String>,
    /// What came back, or what went wrong.
    pub answer: String,
    /// It failed in making the encrypted channel.
    pub in_tls: bool,
}

/// What is waited for: each has its time (RFC 5321 §4.5.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The greeting.
    Greeting,
    /// EHLO, STARTTLS, MAIL, RCPT.
    Command,
    /// The reply to DATA.
    DataStart,
    /// The reply to the final dot.
    DataEnd,
}

/// What the loop does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send these octets.
    Send(Bytes),
    /// Read, and give it to [`Session::receive`].
    Receive(Wait),
    /// Begin TLS on the connection, then call [`Session::secured`] or [`Session::failed_to_encrypt`].
    Encrypt,
    /// The session is open: [`Session::begin`] may be called.
    Ready,
    /// The transaction has ended: one outcome for each recipient, in their order. It is said once.
    Done(Vec<Outcome>),
    /// The session is over.
    Closed,
}

#[derive(Debug)]
enum State {
    Greeting,
    Ehlo,
    Helo,
    Starttls,
    Encrypting,
    Ready,
    /// Commands sent, in order, whose replies are awaited; the next recipient to be named.
    Envelope {
        awaited: VecDeque<Command>,
        next: usize,
    },
    DataStart,
    Data(Stuffing),
    DataEnd,
    Closed(Failure),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Reset,
    Mail,
    Recipient(usize),
}

/// A transaction under way.
#[derive(Debug)]
struct Ongoing {
    transaction: Transaction,
    /// What is known of each recipient; `None`: taken, if the message is.
    outcomes: Vec<Option<Outcome>>,
    /// MAIL was answered positively.
    named: bool,
}

/// A session.
#[derive(Debug)]
pub struct Session {
    host: String,
    starttls: Starttls,
    state: State,
    replies: Reader,
    out: Option<Bytes>,
    extensions: Extensions,
    is_secured: bool,
    ongoing: Option<Ongoing>,
    done: Option<Vec<Outcome>>,
    /// A transaction ended before its message: the next one begins with RSET.
    must_reset: bool,
}

impl Session {
    /// A session that begins with the server's greeting. `host` is who we are, for EHLO.
    #[must_use]
    pub fn new(host: &str, starttls: Starttls) -> Self {
        Self {
            host: host.to_owned(),
            starttls,
            state: State::Greeting,
            replies: Reader::default(),
            out: None,
            extensions: Extensions::default(),
            is_secured: false,
            ongoing: None,
            done: None,
            must_reset: false,
        }
    }

    /// What to do next.
    pub fn step(&mut self) -> Step {
        if let Some(octets) = self.out.take() {
            return Step::Send(octets);
        }
        if let Some(outcomes) = self.done.take() {
            return Step::Done(outcomes);
        }
        if let State::Data(stuffing) = &mut self.state {
            match stuffing.next_piece() {
                Some(piece) => return Step::Send(piece),
                None => self.state = State::DataEnd,
            }
        }
        match &self.state {
            State::Greeting => Step::Receive(Wait::Greeting),
            State::Ehlo | State::Helo | State::Starttls | State::Envelope { .. } => {
                Step::Receive(Wait::Command)
            }
            State::Encrypting => Step::Encrypt,
            State::Ready => Step::Ready,
            State::DataStart => Step::Receive(Wait::DataStart),
            State::Data(_) | State::DataEnd => Step::Receive(Wait::DataEnd),
            State::Closed(_) => Step::Closed,
        }
    }

    /// Takes octets of the server.
    pub fn receive(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() && !matches!(self.state, State::Closed(_)) {
            match self.replies.take(octets) {
                Ok((taken, reply)) => {
                    octets = octets.get(taken..).unwrap_or_default();
                    let Some(reply) = reply else { continue };
                    self.reply(&reply);
                    // RFC 3207 §4.2, §6: nothing that came in clear is taken for something said under TLS.
                    if matches!(self.state, State::Encrypting) && !octets.is_empty() {
                        self.fail("octets in clear behind the reply to STARTTLS", true);
                    }
                }
                Err(error) => self.lost(&error.to_string()),
            }
        }
    }

    /// TLS stands: what was said in clear is forgotten (RFC 3207 §4.2).
    pub fn secured(&mut self) {
        if matches!(self.state, State::Encrypting) {
            self.is_secured = true;
            self.extensions = Extensions::default();
            self.hello();
        }
    }

    /// TLS did not come about.
    pub fn failed_to_encrypt(&mut self, why: &str) {
        self.fail(&format!("TLS: {why}"), true);
    }

    /// The connection broke, or took too long. What was not answered stays open: the server may have it or not.
    pub fn lost(&mut self, why: &str) {
        self.fail(why, false);
    }

    /// Whether the session is encrypted.
    #[must_use]
    pub const fn is_secured(&self) -> bool {
        self.is_secured
    }

    /// What the server offers.
    #[must_use]
    pub const fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Why the session is over.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match &self.state {
            State::Closed(failure) => Some(failure),
            _ => None,
        }
    }

    /// Begins a transaction; [`Step::Done`] ends it, whatever happens.
    pub fn begin(&mut self, transaction: Transaction) {
        let ongoing =
            Ongoing { outcomes: vec![None; transaction.recipients.len()], transaction, named: false };
        if let State::Closed(failure) = &self.state {
            let later = Outcome::Later { answer: failure.answer.clone() };
            self.done = Some(vec![later; ongoing.outcomes.len()]);
            return;
        }
        // No smuggling, whoever wrote the message or its paths, and whoever reads them leniently.
        if let Some((code, why)) = unspeakable(&ongoing.transaction) {
            let refused = Outcome::Refused { code: code.to_owned(), answer: why.to_owned() };
            self.done = Some(vec![refused; ongoing.outcomes.len()]);
            return;
        }
        self.ongoing = Some(ongoing);
        let mut awaited = VecDeque::new();
        let mut out = String::new();
        if std::mem::take(&mut self.must_reset) {
            out.push_str("RSET\r\n");
            awaited.push_back(Command::Reset);
        }
        if awaited.is_empty() || self.extensions.pipelining {
            self.mail(&mut out);
            awaited.push_back(Command::Mail);
        }
        self.out = Some(Bytes::from(out));
        self.state = State::Envelope { awaited, next: 0 };
        self.name_recipients();
    }

    // ------------------------------------------------------------------------------------- replies

    fn reply(&mut self, reply: &Reply) {
        // RFC 5321 §3.8: the server is going.
        if reply.code == 421 {
            return self.fail(&reply.text, false);
        }
        match &self.state {
            State::Greeting if reply.code == 220 => self.hello(),
            State::Greeting => self.turned_away(reply),
            State::Ehlo => self.greeted(reply),
            State::Helo if reply.is_positive() => self.open(),
            State::Helo => self.turned_away(reply),
            State::Starttls if reply.code == 220 => self.state = State::Encrypting,
            State::Starttls => self.not_encrypted(&reply.text),
            State::Envelope { .. } => self.envelope(reply),
            State::DataStart => self.data_start(reply),
            // Before the final dot only a refusal can be meant.
            State::Data(_) if !reply.is_positive() && reply.code != 354 => {
                self.ended(reply);
                self.fail("the server ended the message", false);
            }
            State::Data(_) => self.fail("a reply before the end of the message", false),
            State::DataEnd => self.ended(reply),
            State::Encrypting | State::Ready => self.fail("a reply to nothing", false),
            State::Closed(_) => {}
        }
    }

    fn hello(&mut self) {
        self.out = Some(Bytes::from(format!("EHLO {}\r\n", self.host)));
        self.state = State::Ehlo;
    }

    fn greeted(&mut self, reply: &Reply) {
        if reply.is_positive() {
            self.extensions = Extensions::read(&reply.lines);
            let wanted = self.starttls != Starttls::Never && !self.is_secured;
            if wanted && self.extensions.starttls {
                self.out = Some(Bytes::from_static(b"STARTTLS\r\n"));
                self.state = State::Starttls;
            } else {
                self.open();
            }
        } else if reply.is_permanent() {
            // RFC 5321 §3.2: a server that knows no EHLO.
            self.out = Some(Bytes::from(format!("HELO {}\r\n", self.host)));
            self.state = State::Helo;
        } else {
            self.turned_away(reply);
        }
    }

    fn not_encrypted(&mut self, answer: &str) {
        match self.starttls {
            Starttls::IfOffered => self.open(),
            _ => self.fail(answer, true),
        }
    }

    fn open(&mut self) {
        if self.starttls == Starttls::Required && !self.is_secured {
            self.fail("the server offers no TLS", true);
        } else {
            self.state = State::Ready;
        }
    }

    /// The server has no service for us: another host may have. Only a host that says so takes no mail for ever.
    fn turned_away(&mut self, reply: &Reply) {
        let takes_no_mail = matches!(reply.code, 521 | 556); // RFC 7504
        let code = takes_no_mail.then(|| reply.status());
        self.close(Failure { code, answer: reply.text.clone(), in_tls: false });
    }

    fn fail(&mut self, why: &str, in_tls: bool) {
        self.close(Failure { code: None, answer: why.to_owned(), in_tls });
    }

    fn close(&mut self, failure: Failure) {
        if matches!(self.state, State::Closed(_)) {
            return;
        }
        if self.ongoing.is_some() {
            self.finish(Outcome::Later { answer: failure.answer.clone() });
        }
        self.out = None;
        self.state = State::Closed(failure);
    }

    // ------------------------------------------------------------------------------------- transaction

    fn mail(&self, out: &mut String) {
        let Some(ongoing) = &self.ongoing else { return };
        let Transaction { reverse_path, message, .. } = &ongoing.transaction;
        // Writing into a String cannot fail.
        let _ = write!(out, "MAIL FROM:<{reverse_path}>");
        if self.extensions.size.is_some() {
            let _ = write!(out, " SIZE={}", message.len());
        }
        if self.extensions.eight_bit_mime && !message.is_ascii() {
            out.push_str(" BODY=8BITMIME");
        }
        out.push_str("\r\n");
    }

    /// Puts RCPT commands behind what is to be sent: as many as may be awaited.
    fn name_recipients(&mut self) {
        let State::Envelope { awaited, next } = &mut self.state else { return };
        let Some(ongoing) = &self.ongoing else { return };
        let at_once = if self.extensions.pipelining { PIPELINED_MAX } else { 1 };
        let mut out = String::new();
        while awaited.len() < at_once && (ongoing.named || self.extensions.pipelining) {
            let Some(recipient) = ongoing.transaction.recipients.get(*next) else { break };
            let _ = write!(out, "RCPT TO:<{recipient}>\r\n");
            awaited.push_back(Command::Recipient(*next));
            *next += 1;
        }
        if !out.is_empty() {
            let before = self.out.take().unwrap_or_default();
            self.out = Some([before, Bytes::from(out)].concat().into());
        }
    }

    fn envelope(&mut self, reply: &Reply) {
        let State::Envelope { awaited, next } = &mut self.state else { return };
        let (answered, mut is_idle, next) = (awaited.pop_front(), awaited.is_empty(), *next);
        match answered {
            Some(Command::Reset) if !reply.is_positive() => return self.fail(&reply.text, false),
            Some(Command::Reset) if is_idle => {
                let mut out = String::new();
                self.mail(&mut out);
                self.out = Some(Bytes::from(out));
                if let State::Envelope { awaited, .. } = &mut self.state {
                    awaited.push_back(Command::Mail);
                }
                is_idle = false;
            }
            Some(Command::Reset) | None => {}
            Some(Command::Mail) => self.sender_answered(reply),
            Some(Command::Recipient(n)) => self.recipient_answered(n, reply),
        }
        let Some(ongoing) = &self.ongoing else { return };
        let refused = ongoing.outcomes.iter().all(Option::is_some);
        // The next batch, when this one is answered: what was refused as a whole has none.
        if is_idle && next < ongoing.outcomes.len() && !refused {
            self.name_recipients();
        } else if is_idle && refused {
            self.must_reset = true;
            self.finish(Outcome::Taken);
            self.state = State::Ready;
        } else if is_idle {
            self.out = Some(Bytes::from_static(b"DATA\r\n"));
            self.state = State::DataStart;
        }
    }

    fn sender_answered(&mut self, reply: &Reply) {
        let Some(ongoing) = &mut self.ongoing else { return };
        if reply.is_positive() {
            ongoing.named = true;
        } else {
            ongoing.outcomes.fill(Some(negative(reply)));
        }
    }

    fn recipient_answered(&mut self, n: usize, reply: &Reply) {
        let Some(ongoing) = &mut self.ongoing else { return };
        if reply.is_positive() {
            return;
        }
        // RFC 5321 §4.5.3.1.10: a 552 without more is too many recipients, as old servers say it.
        let too_many = reply.code == 552 && reply.enhanced.is_none();
        let outcome = match too_many {
            true => Outcome::Later { answer: reply.text.clone() },
            false => negative(reply),
        };
        if let Some(known) = ongoing.outcomes.get_mut(n) {
            known.get_or_insert(outcome);
        }
    }

    fn data_start(&mut self, reply: &Reply) {
        if reply.code != 354 {
            self.must_reset = true;
            return self.ended(reply);
        }
        let message = self.ongoing.as_ref().map(|o| o.transaction.message.clone()).unwrap_or_default();
        self.state = State::Data(Stuffing::new(message));
    }

    /// The message as a whole was answered.
    fn ended(&mut self, reply: &Reply) {
        self.finish(if reply.is_positive() { Outcome::Taken } else { negative(reply) });
        self.state = State::Ready;
    }

    /// Ends the transaction: who has no outcome of his own has this one.
    fn finish(&mut self, outcome: Outcome) {
        if let Some(ongoing) = self.ongoing.take() {
            let outcomes = ongoing.outcomes.into_iter();
            self.done = Some(outcomes.map(|known| known.unwrap_or_else(|| outcome.clone())).collect());
        }
    }
}

/// What cannot be said in SMTP without being taken for something else.
fn unspeakable(transaction: &Transaction) -> Option<(&'static str, &'static str)> {
    let printable = |path: &String| path.bytes().all(|b| (0x20..0x7f).contains(&b));
    if !printable(&transaction.reverse_path) || !transaction.recipients.iter().all(printable) {
        return Some(("5.1.3", "a path that is not printable ASCII"));
    }
    let ends_early = data::ends_early(&transaction.message);
    ends_early.then_some(("5.6.0", "a line with a single dot between bare CR or LF"))
}

/// A reply that is no yes. What is neither 4yz nor 5yz has no meaning here: it is tried again.
fn negative(reply: &Reply) -> Outcome {
    if reply.is_permanent() {
        Outcome::Refused { code: reply.status(), answer: reply.text.clone() }
    } else {
        Outcome::Later { answer: reply.text.clone() }
    }
}

#[cfg(test)]
#[path = "session/tests.rs"]
mod tests;
