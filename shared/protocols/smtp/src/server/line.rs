//! Command lines out of a stream of octets. CR LF ends a line and nothing else does (RFC 5321 §2.3.8).

/// A command with its line end (RFC 5321 §4.5.3.1.4).
const COMMAND_BYTES_MAX: usize = 512;
/// SIZE adds 26 octets (RFC 1870 §3), AUTH adds 500 (RFC 4954 §3).
const MAIL_BYTES_MAX: usize = COMMAND_BYTES_MAX + 26 + 500;
/// A line of an authentication exchange (RFC 4954 §4).
pub(super) const AUTH_BYTES_MAX: usize = 12_288;
/// What is skipped of a line that is too long.
const SKIPPED_BYTES_MAX: usize = 65_536;

/// What became of the octets that were fed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Its end has not come yet.
    Open,
    /// Without its CR LF.
    Whole(Vec<u8>),
    /// Its end has come, after more octets than it may have.
    TooLong,
    /// A CR or LF that is no line end, or no end at all: the stream cannot be trusted any more.
    Broken,
}

/// A line in the making: it holds at most what a line may have.
#[derive(Debug, Default)]
pub(super) struct Lines {
    held: Vec<u8>,
    /// Octets of a line that is too long, and whether the last was CR.
    skipped: Option<(usize, bool)>,
}

impl Lines {
    /// Takes octets up to the end of the line: how many, and what the line is. In an `exchange` of authentication
    /// every line may be long.
    pub(super) fn feed(&mut self, input: &[u8], exchange: bool) -> (usize, Line) {
        let Some(end) = memchr::memchr(b'\n', input) else {
            return (input.len(), self.hold(input, exchange));
        };
        let (taken, line) = (end + 1, input.get(..end).unwrap_or_default());
        let held = self.hold(line, exchange);
        if held != Line::Open {
            return (taken, held);
        }
        if let Some((_, cr)) = self.skipped.take() {
            return (taken, if cr { Line::TooLong } else { Line::Broken });
        }
        let mut line = std::mem::take(&mut self.held);
        match line.pop() {
            Some(b'\r') if !line.contains(&b'\r') => (taken, Line::Whole(line)),
            _ => (taken, Line::Broken),
        }
    }

    /// Keeps octets that end no line, or counts them.
    fn hold(&mut self, octets: &[u8], exchange: bool) -> Line {
        if self.skipped.is_none() {
            self.held.extend_from_slice(octets);
            // The LF is still to come.
            if self.held.len() < self.bytes_max(exchange) {
                return Line::Open;
            }
            let cr = self.held.last() == Some(&b'\r');
            self.skipped = Some((self.held.len(), cr));
            self.held = Vec::new();
        } else if let Some((count, cr)) = &mut self.skipped {
            *count += octets.len();
            *cr = octets.last().map_or(*cr, |&b| b == b'\r');
        }
        let over = self.skipped.is_some_and(|(count, _)| count > SKIPPED_BYTES_MAX);
        if over { Line::Broken } else { Line::Open }
    }

    fn bytes_max(&self, exchange: bool) -> usize {
        let verb = |verb: &[u8]| self.held.get(..verb.len()).is_some_and(|v| v.eq_ignore_ascii_case(verb));
        if exchange || verb(b"AUTH ") {
            AUTH_BYTES_MAX
        } else if verb(b"MAIL ") {
            MAIL_BYTES_MAX
        } else {
            COMMAND_BYTES_MAX
        }
    }
}
