//! The content of a message on its way (RFC 5321 §4.1.1.4, §4.5.2).

use bytes::Bytes;

/// Octets of a message that are sent at a time.
const CHUNK_OCTETS: usize = 64 * 1024;

/// A message in pieces: a dot more before every line that begins with one, and the end. Nothing else is added or
/// changed, but for the CRLF that a message without a final one lacks.
#[derive(Debug)]
pub struct Stuffing {
    message: Bytes,
    at: usize,
    ended: bool,
}

impl Stuffing {
    pub const fn new(message: Bytes) -> Self {
        Self { message, at: 0, ended: false }
    }

    /// The next piece; `None` after the end.
    pub fn next_piece(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let rest = self.message.get(self.at..).unwrap_or_default();
        let take = rest.len().min(CHUNK_OCTETS);
        let mut piece = Vec::with_capacity(take + take / 64 + 8);
        for (n, &octet) in rest.iter().take(take).enumerate() {
            if octet == b'.' && self.begins_line(self.at + n) {
                piece.push(b'.');
            }
            piece.push(octet);
        }
        self.at += take;
        if self.at >= self.message.len() {
            self.ended = true;
            let ends: &[u8] = if self.begins_line(self.at) { b".\r\n" } else { b"\r\n.\r\n" };
            piece.extend_from_slice(ends);
        }
        Some(Bytes::from(piece))
    }

    /// Whether a line begins at this place. Only CRLF ends a line (RFC 5321 §2.3.8).
    fn begins_line(&self, at: usize) -> bool {
        at == 0 || self.message.get(..at).is_some_and(|before| before.ends_with(b"\r\n"))
    }
}

/// Whether a message holds a line with a single dot for those servers that take a bare CR or LF for the end of a line:
/// they would end the message there, and take what follows for commands. It is not sent to anybody.
#[must_use]
pub fn ends_early(message: &[u8]) -> bool {
    let line_end = |octet: Option<&u8>| matches!(octet, Some(b'\r' | b'\n'));
    let mut dots = memchr::memchr_iter(b'.', message);
    dots.any(|at| {
        let (before, after) = (message.get(..at).unwrap_or_default(), message.get(at + 1));
        let is_alone = line_end(before.last()) && (after.is_none() || line_end(after));
        // Behind a CRLF the dot is doubled, and harms nobody.
        is_alone && !before.ends_with(b"\r\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(message: &[u8]) -> Vec<u8> {
        let mut stuffing = Stuffing::new(Bytes::copy_from_slice(message));
        std::iter::from_fn(|| stuffing.next_piece()).flatten().collect()
    }

    /// What a server makes of it, strictly (RFC 5321 §4.5.2).
    fn received(mut octets: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        loop {
            let end = octets.windows(2).position(|w| w == b"\r\n").unwrap() + 2;
            let (line, rest) = octets.split_at(end);
            octets = rest;
            if line == b".\r\n" {
                assert!(octets.is_empty(), "nothing follows the end");
                return message;
            }
            message.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
    }

    /// RFC 5321 §4.5.2
    #[test]
    fn dots_are_doubled_at_the_beginning_of_lines_only() {
        assert_eq!(sent(b".a\r\n..b\r\nc.\r\n.\r\n"), b"..a\r\n...b\r\nc.\r\n..\r\n.\r\n");
        assert_eq!(sent(b"a\n.b\r.c\r\n"), b"a\n.b\r.c\r\n.\r\n");
    }

    #[test]
    fn a_message_without_final_line_end_gets_one() {
        assert_eq!(sent(b"a"), b"a\r\n.\r\n");
        assert_eq!(sent(b"a\n"), b"a\n\r\n.\r\n");
        assert_eq!(sent(b"a\r"), b"a\r\r\n.\r\n");
        assert_eq!(sent(b""), b".\r\n");
        assert_eq!(sent(b"."), b"..\r\n.\r\n");
    }

    #[test]
    fn pieces_are_bounded_and_lines_may_cross_them() {
        let mut message = vec![b'x'; CHUNK_OCTETS - 2];
        message.extend_from_slice(b"\r\n.y\r\n");
        let mut stuffing = Stuffing::new(Bytes::from(message.clone()));
        assert_eq!(stuffing.next_piece().unwrap().len(), CHUNK_OCTETS);
        assert_eq!(stuffing.next_piece().unwrap(), &b"..y\r\n.\r\n"[..]);
        assert_eq!(stuffing.next_piece(), None);
        assert_eq!(received(&sent(&message)), message);
    }

    #[test]
    fn lone_dots_between_bare_line_ends_are_found() {
        let bad: [&[u8]; 6] =
            [b"a\n.\nQUIT", b"a\n.\r\nQUIT", b"a\r.\rQUIT", b"a\r.\r\nQUIT", b"a\r.\nQUIT", b"a\n."];
        for message in bad {
            assert!(ends_early(message), "{message:?}");
        }
        let good: [&[u8]; 5] = [b"a\r\n.\r\nb", b"a\r\n.\nb", b".\r\nb", b"a\n.b\n", b"a.\n"];
        for message in good {
            assert!(!ends_early(message), "{message:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_sent_is_what_is_received(lines in proptest::collection::vec("[.a\r\n]{0,5}", 0..20)) {
            let message = lines.concat().into_bytes();
            let mut expected = message.clone();
            if !message.is_empty() && !message.ends_with(b"\r\n") {
                expected.extend_from_slice(b"\r\n");
            }
            proptest::prop_assert_eq!(received(&sent(&message)), expected);
        }
    }
}
