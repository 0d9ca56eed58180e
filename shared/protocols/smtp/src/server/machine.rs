//! The state of one session.

mod commands;
mod content;
mod sign_in;

use std::sync::Arc;

use super::{
    auth::{Credentials, Exchange},
    data::{Chunks, Dots, Fault, Message},
    line::{Line, Lines},
    reply::{self, Reply},
    settings::Settings,
};

/// What the machine cannot say by itself. The answer is a [`Reply`]: 2xx is yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Is this somebody? (RFC 4954) Yes is any 2xx.
    SignIn(Credentials),
    /// MAIL FROM: a mailbox as it came, `None` for the null reverse path.
    Sender(Option<String>),
    /// RCPT TO: a mailbox as it came, or `postmaster`.
    Recipient(String),
    /// The message is whole: all that was appended to the content since the transaction began. The answer is yes
    /// only when it is durable.
    Take(Transaction),
}

/// The paths of a transaction, as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// MAIL FROM; `None` is the null reverse path.
    pub reverse_path: Option<String>,
    /// RCPT TO, those that were answered with yes.
    pub forward_paths: Vec<String>,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send what is to be sent, then feed more.
    More,
    /// Find an answer, then call [`Machine::answer`].
    Ask(Ask),
    /// The content so far is of no use any more: forget it, then go on.
    Forget,
    /// Send what is to be sent, then negotiate TLS, then call [`Machine::secured`]. Octets that came behind the
    /// command are fed to the machine as ever, and end the session.
    StartTls,
    /// Send what is to be sent, then close.
    Close,
}

/// How a session stands to TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// The octets are inside of it.
    On,
    /// They are not; STARTTLS is offered.
    Offered,
    /// They are not, and nothing can be done.
    Absent,
}

/// One session: octets in, replies and questions out. What it holds is bounded by its [`Settings`]: one line, and
/// the paths of one transaction. The octets of the message are handed on as they come.
#[derive(Debug)]
pub struct Machine {
    settings: Arc<Settings>,
    tls: Tls,
    hello: Option<String>,
    signed_in: bool,
    open: Option<Open>,
    state: State,
    out: Vec<u8>,
    lines: Lines,
    draining: bool,
    errors: u32,
    sign_in_failures: u32,
    idle_commands: u32,
}

/// A transaction between MAIL FROM and its end.
#[derive(Debug, Default)]
struct Open {
    paths: Transaction,
    /// The message, once a chunk of it came.
    chunked: Option<(Chunks, Message)>,
}

#[derive(Debug)]
enum State {
    Command,
    Exchange(Exchange),
    Data(Dots, Message),
    Chunk {
        left: u64,
        last: bool,
        unwanted: bool,
    },
    Asked(Asked),
    /// STARTTLS was answered with yes.
    Handshake,
    Closed,
}

/// What is asked, so that the answer finds its place.
#[derive(Debug)]
enum Asked {
    SignIn,
    Sender(Option<String>),
    Recipient(String),
    Take,
}

impl Machine {
    /// A session that begins, with its greeting.
    #[must_use]
    pub fn new(settings: Arc<Settings>, tls: Tls) -> Self {
        let mut machine = Self {
            settings,
            tls,
            hello: None,
            signed_in: false,
            open: None,
            state: State::Command,
            out: Vec::new(),
            lines: Lines::default(),
            draining: false,
            errors: 0,
            sign_in_failures: 0,
            idle_commands: 0,
        };
        let greeting = format!("{} ESMTP", machine.settings.name);
        machine.reply(&Reply::bare(220, greeting));
        machine
    }

    /// Takes octets until there is something to do: how many were taken, and what to do. Octets of the message are
    /// appended to `content`.
    pub fn feed(&mut self, input: &[u8], content: &mut Vec<u8>) -> (usize, Step) {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            if matches!(self.state, State::Closed) {
                return (input.len(), Step::Close);
            }
            // A chunk may have no octets, and ends all the same.
            let ended_chunk = matches!(self.state, State::Chunk { left: 0, .. });
            if rest.is_empty() && !ended_chunk {
                return (used, Step::More);
            }
            let (taken, step) = self.advance(rest, content);
            used += taken;
            if let Some(step) = step {
                return (used, step);
            }
        }
    }

    fn advance(&mut self, rest: &[u8], content: &mut Vec<u8>) -> (usize, Option<Step>) {
        match &self.state {
            State::Command | State::Exchange(_) => {
                let exchange = matches!(self.state, State::Exchange(_));
                let (taken, line) = self.lines.feed(rest, exchange);
                (taken, self.line(line))
            }
            State::Data(..) => self.data(rest, content),
            State::Chunk { .. } => self.chunk(rest, content),
            State::Asked(_) => (0, Some(Step::More)),
            State::Handshake => (0, Some(self.close(&reply::AFTER_STARTTLS))),
            State::Closed => (rest.len(), Some(Step::Close)),
        }
    }

    fn line(&mut self, line: Line) -> Option<Step> {
        match line {
            Line::Open => None,
            Line::Broken => Some(self.close(&reply::BARE_IN_COMMAND)),
            Line::TooLong => {
                self.state = State::Command;
                self.refuse(&reply::LINE_TOO_LONG)
            }
            Line::Whole(line) => match std::mem::replace(&mut self.state, State::Command) {
                State::Exchange(exchange) => self.go_on(exchange, &line),
                _ => self.command(&line),
            },
        }
    }

    /// The answer to the last [`Ask`]: it is sent, and the machine goes on.
    pub fn answer(&mut self, reply: &Reply) -> Step {
        let State::Asked(asked) = std::mem::replace(&mut self.state, State::Command) else {
            return Step::More;
        };
        if !reply.is_yes() {
            return self.refused(&asked, reply);
        }
        match asked {
            Asked::SignIn => {
                self.signed_in = true;
                self.reply(&reply::SIGNED_IN);
                return Step::More;
            }
            Asked::Sender(reverse_path) => {
                let paths = Transaction { reverse_path, forward_paths: Vec::new() };
                self.open = Some(Open { paths, chunked: None });
            }
            Asked::Recipient(path) => {
                if let Some(open) = &mut self.open {
                    open.paths.forward_paths.push(path);
                }
            }
            Asked::Take => (self.errors, self.idle_commands) = (0, 0),
        }
        self.reply(reply);
        self.between()
    }

    fn refused(&mut self, asked: &Asked, reply: &Reply) -> Step {
        if matches!(asked, Asked::SignIn) {
            self.sign_in_failures += 1;
            if self.sign_in_failures >= self.settings.sign_in_failures_max {
                self.reply(reply);
                return self.close(&reply::TOO_MANY_ERRORS);
            }
        }
        self.refuse(reply).unwrap_or(Step::More)
    }

    /// TLS is on. All that was said before is forgotten (RFC 3207 §4.2).
    pub fn secured(&mut self) {
        self.tls = Tls::On;
        self.hello = None;
        self.open = None;
        self.lines = Lines::default();
        self.state = State::Command;
    }

    /// What is to be sent. It is gone from the machine.
    pub fn output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Octets that wait to be sent.
    #[must_use]
    pub fn output_bytes(&self) -> usize {
        self.out.len()
    }

    /// The octets of the message cannot be kept: the rest of it is read and forgotten, and it is refused for the
    /// time being.
    pub fn no_room(&mut self) {
        match (&mut self.state, &mut self.open) {
            (State::Data(_, message), _) | (_, Some(Open { chunked: Some((_, message)), .. })) => {
                message.fail(Fault::NoRoom);
            }
            _ => {}
        }
    }

    /// Another minute has begun, as far as the rate of commands goes.
    pub const fn new_minute(&mut self) {
        self.idle_commands = 0;
    }

    /// The service ends: nothing new begins. A transaction under way goes to its end.
    pub fn drain(&mut self) -> Step {
        self.draining = true;
        if self.is_idle() { self.between() } else { Step::More }
    }

    /// Nothing came in time.
    pub fn too_slow(&mut self) -> Step {
        self.close(&reply::TOO_SLOW)
    }

    /// Whether the next octets are of a message.
    #[must_use]
    pub const fn in_content(&self) -> bool {
        matches!(self.state, State::Data(..) | State::Chunk { .. })
    }

    /// Whether somebody has signed in.
    #[must_use]
    pub const fn signed_in(&self) -> bool {
        self.signed_in
    }

    /// What the client calls itself.
    #[must_use]
    pub fn hello(&self) -> Option<&str> {
        self.hello.as_deref()
    }

    const fn is_idle(&self) -> bool {
        matches!(self.state, State::Command | State::Exchange(_)) && self.open.is_none()
    }

    /// Between two commands: the place to end when the service does.
    fn between(&mut self) -> Step {
        if self.draining && self.is_idle() { self.close(&reply::CLOSING) } else { Step::More }
    }

    fn reply(&mut self, reply: &Reply) {
        reply.write(&mut self.out);
    }

    /// A reply to what is not done. Too many of them, and the session ends.
    fn refuse(&mut self, reply: &Reply) -> Option<Step> {
        self.reply(reply);
        self.errors += 1;
        if self.errors >= self.settings.errors_max {
            return Some(self.close(&reply::TOO_MANY_ERRORS));
        }
        match self.between() {
            Step::More => None,
            step => Some(step),
        }
    }

    fn close(&mut self, reply: &Reply) -> Step {
        if !matches!(self.state, State::Closed) {
            self.reply(reply);
        }
        self.state = State::Closed;
        self.open = None;
        Step::Close
    }
}
