//! The message: DATA and BDAT.

use super::{
    super::{
        data::{Fault, Message},
        reply::{self, Reply},
    },
    Ask, Asked, Machine, State, Step,
};

/// How often the largest message is read once it is known that it is not taken.
const UNWANTED_TIMES_MAX: u64 = 2;

impl Machine {
    pub(super) fn data(&mut self, rest: &[u8], content: &mut Vec<u8>) -> (usize, Option<Step>) {
        let State::Data(dots, message) = &mut self.state else { return (0, None) };
        let (taken, ended) = dots.feed(rest, message, self.settings.size_bytes_max, content);
        let endless = message.octets > self.settings.size_bytes_max.saturating_mul(UNWANTED_TIMES_MAX);
        if endless {
            return (taken, Some(self.close(&reply::TOO_LARGE)));
        }
        let whole = ended.then(|| std::mem::take(message));
        (taken, whole.and_then(|message| self.whole(&message)))
    }

    /// A chunk begins. Its octets follow whatever is answered (RFC 3030 §2).
    pub(super) fn begin_chunk(&mut self, octets: u64, last: bool) -> Option<Step> {
        let due = self.open.as_mut().filter(|open| !open.paths.forward_paths.is_empty());
        let unwanted = match due {
            Some(open) => {
                open.chunked.get_or_insert_default();
                false
            }
            None => true,
        };
        if octets > self.unwanted_bytes_max() {
            return Some(self.close(&reply::TOO_LARGE));
        }
        if octets == 0
            && let Some(step) = self.count_idle()
        {
            return Some(step);
        }
        self.state = State::Chunk { left: octets, last, unwanted };
        None
    }

    pub(super) fn chunk(&mut self, rest: &[u8], content: &mut Vec<u8>) -> (usize, Option<Step>) {
        let State::Chunk { left, last, unwanted } = &mut self.state else { return (0, None) };
        let taken = usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
        *left -= taken as u64;
        let (ended, last, unwanted) = (*left == 0, *last, *unwanted);
        if !unwanted && let Some((chunks, message)) = self.open.as_mut().and_then(|o| o.chunked.as_mut()) {
            let octets = rest.get(..taken).unwrap_or_default();
            chunks.feed(octets, message, self.settings.size_bytes_max, content);
        }
        (taken, if ended { self.end_chunk(last, unwanted) } else { None })
    }

    fn end_chunk(&mut self, last: bool, unwanted: bool) -> Option<Step> {
        self.state = State::Command;
        if unwanted {
            let reply = if self.open.is_some() { reply::NO_RECIPIENT } else { reply::NO_MAIL };
            return self.refuse(&reply);
        }
        let (chunks, mut message) = self.open.as_mut()?.chunked.take()?;
        if last {
            chunks.end(&mut message);
        }
        if last || message.fault.is_some() {
            return self.whole(&message);
        }
        self.reply(&Reply::new(250, "2.0.0", format!("{} octets so far", message.octets)));
        self.open.as_mut()?.chunked = Some((chunks, message));
        None
    }

    /// The message has ended, one way or the other; the transaction with it.
    fn whole(&mut self, message: &Message) -> Option<Step> {
        self.state = State::Command;
        let paths = self.open.take().unwrap_or_default().paths;
        let reply = match message.fault {
            None => return Some(self.ask(Asked::Take, Ask::Take(paths))),
            Some(Fault::Bare) => reply::BARE_IN_DATA,
            Some(Fault::TooLarge) => reply::TOO_LARGE,
            Some(Fault::NoRoom) => reply::NO_ROOM,
        };
        Some(self.refuse(&reply).unwrap_or(Step::Forget))
    }

    fn unwanted_bytes_max(&self) -> u64 {
        self.settings.size_bytes_max.saturating_mul(UNWANTED_TIMES_MAX)
    }
}
