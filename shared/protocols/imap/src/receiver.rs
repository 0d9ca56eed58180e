//! Octets in, commands out: lines, literals, messages that are appended.

use bytes::{Bytes, BytesMut};

use crate::{
    Limits,
    command::{Append, Command},
    grammar::{self, Bad},
};

/// Octets of a literal's announcement at the end of a line: `~{18446744073709551615+}`.
const ANNOUNCEMENT_MAX: usize = 24;
/// Octets of a message handed over at a time.
const DATA_BYTES: usize = 64 * 1024;
/// A buffer that grew above this is given back once it is empty.
const BUFFER_BYTES_KEPT: usize = 4 * 1024;

/// What has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Input {
    /// A command.
    Command(Command),
    /// Something that is none.
    Bad(Bad),
    /// The client waits for leave to go on: a command continuation request is due (RFC 9051 §7.6).
    Continue,
    /// The beginning of an APPEND: [`Receiver::take`] or [`Receiver::refuse`] it before anything else.
    Append(Append),
    /// The next octets of its message.
    Data(Bytes),
    /// The APPEND is over; `false` when something else than its end came after the message, or not all of it is wanted.
    Appended(bool),
    /// The line that was expected, without its end.
    Line(Vec<u8>),
    /// Over a bound that nothing can follow: the connection ends with these words.
    Fatal(&'static str),
}

/// The receiving half of a session: it knows where commands begin and end, and nothing of what they do.
pub struct Receiver {
    limits: Limits,
    signed_in: bool,
    buffer: BytesMut,
    state: State,
    /// Where in the buffer to look on for the end of the line.
    at: usize,
    /// Where that line starts: above 0 after a literal.
    line: usize,
    /// Octets and number of the literals before it.
    literal_bytes: usize,
    literals: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// A command.
    Command,
    /// A literal of it, until the buffer has so many octets.
    Literal { until: usize },
    /// An APPEND was handed over, and nothing was said of it.
    Asked { size: u64, waits: bool, utf8: bool },
    /// Its message: so many octets still, wanted or not.
    Message { left: u64, utf8: bool, wanted: bool },
    /// What follows the message.
    Tail { utf8: bool, wanted: bool },
    /// A line that is no command.
    Line,
    /// Nothing more.
    Dead,
}

impl Receiver {
    /// Before the first octet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            signed_in: false,
            buffer: BytesMut::new(),
            state: State::Command,
            at: 0,
            line: 0,
            literal_bytes: 0,
            literals: 0,
        }
    }

    /// From here on the bounds of users hold.
    pub const fn signed_in(&mut self) {
        self.signed_in = true;
    }

    /// What was received. [`Self::input`] is asked until it has nothing before more is pushed: so the buffer stays within
    /// one command and one piece.
    pub fn push(&mut self, octets: &[u8]) {
        if self.state != State::Dead {
            self.buffer.extend_from_slice(octets);
        }
    }

    /// Whether something has begun to come whose end must follow, and how many octets of a message are still to come.
    #[must_use]
    pub fn owes(&self) -> Option<u64> {
        match self.state {
            State::Message { left, .. } => Some(left),
            State::Tail { .. } | State::Literal { .. } => Some(0),
            _ => (!self.buffer.is_empty()).then_some(0),
        }
    }

    /// The next line is an answer to us (AUTHENTICATE, IDLE), no command.
    pub fn expect_line(&mut self) {
        if self.state == State::Command {
            self.state = State::Line;
        }
    }

    /// The message of the APPEND is wanted. When it [`Append::waits`], a continuation request is due.
    pub fn take(&mut self) {
        if let State::Asked { size, utf8, .. } = self.state {
            self.state = State::Message { left: size, utf8, wanted: true };
        }
    }

    /// The APPEND is refused. A client that does not wait sends its message all the same: it is dropped as it comes,
    /// then [`Input::Appended`] with `false` says that the answer is due; else it is due at once, and this is `true`.
    pub fn refuse(&mut self) -> bool {
        match self.state {
            State::Asked { waits: true, .. } => {
                self.state = State::Command;
                true
            }
            State::Asked { size, utf8, .. } => {
                self.state = State::Message { left: size, utf8, wanted: false };
                false
            }
            _ => true,
        }
    }

    /// The message that comes is not wanted after all: the rest of it is dropped.
    pub fn unwant(&mut self) {
        if let State::Message { wanted, .. } = &mut self.state {
            *wanted = false;
        }
    }

    /// What has come; `None` when more must come first.
    pub fn input(&mut self) -> Option<Input> {
        let input = loop {
            match self.state {
                State::Dead | State::Asked { .. } => return None,
                State::Command => {
                    if let Some(input) = self.command()? {
                        break input;
                    }
                }
                State::Literal { until } => {
                    if self.buffer.len() < until {
                        return None;
                    }
                    (self.line, self.at) = (until, until);
                    self.state = State::Command;
                }
                State::Message { left: 0, utf8, wanted } => self.state = State::Tail { utf8, wanted },
                State::Message { left, utf8, wanted } => {
                    let most = usize::try_from(left).unwrap_or(usize::MAX).min(DATA_BYTES);
                    let octets = self.buffer.split_to(most.min(self.buffer.len())).freeze();
                    if octets.is_empty() {
                        return None;
                    }
                    self.state = State::Message { left: left - octets.len() as u64, utf8, wanted };
                    if wanted {
                        break Input::Data(octets);
                    }
                }
                State::Tail { utf8, wanted } => break self.tail(utf8, wanted)?,
                State::Line => break self.answer()?,
            }
        };
        if matches!(input, Input::Fatal(_)) {
            self.state = State::Dead;
            self.buffer = BytesMut::new();
        }
        if self.buffer.is_empty() && self.buffer.capacity() > BUFFER_BYTES_KEPT {
            self.buffer = BytesMut::new();
        }
        Some(input)
    }

    const fn line_bytes_max(&self) -> usize {
        if self.signed_in { self.limits.line_bytes } else { self.limits.line_bytes_stranger }
    }

    /// The end of the line that is being read: after its LF.
    fn line_end(&mut self) -> Option<Result<usize, Input>> {
        let rest = self.buffer.get(self.at..).unwrap_or_default();
        let end = memchr::memchr(b'\n', rest).map(|length| self.at + length + 1);
        let seen = end.unwrap_or(self.buffer.len());
        if seen.saturating_sub(self.literal_bytes) > self.line_bytes_max() {
            return Some(Err(Input::Fatal("the line is too long")));
        }
        self.at = seen;
        end.map(Ok)
    }

    /// One line further: what has come with it, or nothing yet when a literal follows that the client does not wait
    /// to send.
    fn command(&mut self) -> Option<Option<Input>> {
        let end = match self.line_end()? {
            Ok(end) => end,
            Err(fatal) => return Some(Some(fatal)),
        };
        let line = self.buffer.get(self.line..end).unwrap_or_default();
        let Some((size, waits)) = announced(line) else {
            let octets = self.consume(end);
            return Some(Some(match grammar::command(trim(&octets)) {
                _ if octets.contains(&0) => Input::Bad(bad(&octets, "NUL is not allowed")),
                Ok(command) => Input::Command(command),
                Err(bad) => Input::Bad(bad),
            }));
        };
        if let Some(append) = grammar::append(trim(self.buffer.get(..end).unwrap_or_default())) {
            return Some(Some(self.append(end, append)));
        }
        Some(self.literal(end, size, waits))
    }

    fn append(&mut self, end: usize, append: Append) -> Input {
        self.consume(end);
        let max =
            if self.signed_in { self.limits.append_bytes } else { self.limits.line_bytes_stranger as u64 };
        if append.size > max && !append.waits {
            return Input::Fatal("the message is too large, and it was not asked for");
        }
        self.state = State::Asked { size: append.size, waits: append.waits, utf8: append.utf8 };
        Input::Append(append)
    }

    /// A literal was announced at the end of the line.
    fn literal(&mut self, end: usize, size: u64, waits: bool) -> Option<Input> {
        let max = if self.signed_in { self.limits.literal_bytes } else { self.limits.line_bytes_stranger };
        let room = max.saturating_sub(self.literal_bytes);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > room || self.literals >= self.limits.literals {
            if !waits {
                return Some(Input::Fatal("the literal is too long"));
            }
            // It was not sent yet, and will not be (RFC 9051 §4.3).
            let octets = self.consume(end);
            return Some(Input::Bad(bad(&octets, "the literal is too long")));
        }
        self.literal_bytes += size;
        self.literals += 1;
        self.state = State::Literal { until: end + size };
        waits.then_some(Input::Continue)
    }

    fn tail(&mut self, utf8: bool, wanted: bool) -> Option<Input> {
        let end = match self.line_end()? {
            Ok(end) => end,
            Err(fatal) => return Some(fatal),
        };
        let octets = self.consume(end);
        let more = announced(&octets).is_some_and(|(_, waits)| !waits);
        if more {
            return Some(Input::Fatal("APPEND takes one message"));
        }
        let expected: &[u8] = if utf8 { b")" } else { b"" };
        Some(Input::Appended(wanted && trim(&octets) == expected))
    }

    fn answer(&mut self) -> Option<Input> {
        let end = match self.line_end()? {
            Ok(end) => end,
            Err(fatal) => return Some(fatal),
        };
        let octets = self.consume(end);
        Some(Input::Line(trim(&octets).to_vec()))
    }

    /// Takes all up to `end` out of the buffer; the next command begins there.
    fn consume(&mut self, end: usize) -> BytesMut {
        (self.at, self.line, self.literal_bytes, self.literals) = (0, 0, 0, 0);
        self.state = State::Command;
        self.buffer.split_to(end.min(self.buffer.len()))
    }
}

/// The literal that is announced at the end of a line, if any: its size, and whether the client waits.
fn announced(line: &[u8]) -> Option<(u64, bool)> {
    let line = trim(line).strip_suffix(b"}")?;
    let tail = line.get(line.len().saturating_sub(ANNOUNCEMENT_MAX)..)?;
    let digits = tail.get(memchr::memrchr(b'{', tail)? + 1..)?;
    let (digits, waits) = match digits.strip_suffix(b"+") {
        Some(digits) => (digits, false),
        None => (digits, true),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some((std::str::from_utf8(digits).ok()?.parse().unwrap_or(u64::MAX), waits))
}

/// Without the line end.
fn trim(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// An answer to a command that was not read to its end.
fn bad(octets: &[u8], why: &'static str) -> Bad {
    let tag = match grammar::command(trim(octets)) {
        Ok(command) => Some(command.tag),
        Err(bad) => bad.tag,
    };
    Bad { tag, why, charset: false }
}

#[cfg(test)]
mod tests;
