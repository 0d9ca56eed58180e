//! A stored message as it goes over the wire.

/// Turns stored octets, piece by piece, into a multi-line response (RFC 1939 §3): a dot at the beginning of a line is
/// doubled, the end is a line with a dot. A line that is stored with LF alone ends in CRLF on the wire: clients that
/// end lines at LF would otherwise be shown lines that we do not see. All else goes as it is stored.
#[derive(Debug)]
pub struct Body {
    /// Lines of the body that are still wanted; `None` for all.
    lines: Option<u32>,
    in_header: bool,
    at_line_start: bool,
    after_cr: bool,
    done: bool,
}

impl Body {
    /// All of a message, or its header and the first lines of its body (TOP, RFC 1939 §7).
    #[must_use]
    pub const fn new(lines: Option<u32>) -> Self {
        Self { lines, in_header: true, at_line_start: true, after_cr: false, done: false }
    }

    /// Takes the next octets, and gives what goes over the wire for them. Answers whether more are wanted.
    pub fn push(&mut self, octets: &[u8], wire: &mut Vec<u8>) -> bool {
        for &octet in octets {
            if self.done {
                break;
            }
            self.octet(octet, wire);
        }
        !self.done
    }

    fn octet(&mut self, octet: u8, wire: &mut Vec<u8>) {
        match octet {
            b'\n' => {
                let was_empty = self.at_line_start;
                if !self.after_cr {
                    wire.push(b'\r');
                }
                wire.push(b'\n');
                self.line_ended(was_empty);
            }
            b'\r' => {
                // An empty line with CRLF is still empty after its CR.
                self.after_cr = true;
                wire.push(b'\r');
                return;
            }
            _ => {
                if self.after_cr {
                    self.at_line_start = false;
                }
                if octet == b'.' && self.at_line_start {
                    wire.push(b'.');
                }
                wire.push(octet);
                self.at_line_start = false;
            }
        }
        self.after_cr = false;
    }

    fn line_ended(&mut self, was_empty: bool) {
        self.at_line_start = true;
        if self.in_header {
            self.in_header = !was_empty;
        } else if let Some(lines) = &mut self.lines {
            *lines = lines.saturating_sub(1);
        }
        self.done = !self.in_header && self.lines == Some(0);
    }

    /// The end of the response.
    pub fn finish(self, wire: &mut Vec<u8>) {
        match (self.after_cr, self.at_line_start) {
            // A CR at the very end: its line ends now.
            (true, _) => wire.push(b'\n'),
            (false, false) => wire.extend_from_slice(b"\r\n"),
            (false, true) => {}
        }
        wire.extend_from_slice(b".\r\n");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wire(lines: Option<u32>, message: &[u8], piece: usize) -> Vec<u8> {
        let (mut body, mut wire) = (Body::new(lines), Vec::new());
        for piece in message.chunks(piece.max(1)) {
            if !body.push(piece, &mut wire) {
                break;
            }
        }
        body.finish(&mut wire);
        wire
    }

    /// A client's reading of a multi-line response.
    fn read(wire: &[u8]) -> Option<Vec<u8>> {
        let (mut message, mut rest) = (Vec::new(), wire);
        loop {
            let end = rest.windows(2).position(|w| w == b"\r\n")? + 2;
            let (line, after) = rest.split_at(end);
            rest = after;
            match line {
                b".\r\n" => return rest.is_empty().then_some(message),
                line => message.extend_from_slice(line.strip_prefix(b".").unwrap_or(line)),
            }
        }
    }

    #[test]
    fn dots_are_doubled_and_an_end_is_put() {
        assert_eq!(wire(None, b"a: b\r\n\r\n.\r\n..x\r\n", 3), b"a: b\r\n\r\n..\r\n...x\r\n.\r\n");
        assert_eq!(wire(None, b"a", 1), b"a\r\n.\r\n");
        assert_eq!(wire(None, b"", 1), b".\r\n");
        assert_eq!(wire(None, b"a\r", 1), b"a\r\n.\r\n");
        assert_eq!(wire(None, b"\r.\r\n", 1), b"\r.\r\n.\r\n", "a CR alone ends no line");
    }

    /// A client that ends lines at LF must not see the end where it is not.
    #[test]
    fn a_line_feed_alone_ends_a_line() {
        assert_eq!(wire(None, b"a\n.\nb\n", 2), b"a\r\n..\r\nb\r\n.\r\n");
        assert_eq!(wire(Some(0), b"a\n\nb", 2), b"a\r\n\r\n.\r\n");
    }

    #[test]
    fn top_is_the_header_and_some_lines() {
        let message = b"a: b\r\nc: d\r\n\r\n1\r\n.2\r\n3\r\n";
        assert_eq!(wire(Some(0), message, 4), b"a: b\r\nc: d\r\n\r\n.\r\n");
        assert_eq!(wire(Some(2), message, 4), b"a: b\r\nc: d\r\n\r\n1\r\n..2\r\n.\r\n");
        assert_eq!(wire(Some(9), message, 4), wire(None, message, 4));
        assert_eq!(wire(Some(1), b"a: b", 4), b"a: b\r\n.\r\n", "no body");
    }

    proptest! {
        #[test]
        fn a_client_reads_what_is_stored(message in "([.\r]|\r\n|\n|a){0,30}", piece in 1_usize..9) {
            let message = message.into_bytes();
            let wire = wire(None, &message, piece);
            let read = read(&wire);
            prop_assert!(read.is_some());
            // Lines end in CRLF, the last one too.
            let mut expected = Vec::new();
            let mut before = 0;
            for octet in message {
                if octet == b'\n' && before != b'\r' {
                    expected.push(b'\r');
                }
                expected.push(octet);
                before = octet;
            }
            if before == b'\r' {
                expected.push(b'\n');
            } else if before != b'\n' && before != 0 {
                expected.extend_from_slice(b"\r\n");
            }
            prop_assert_eq!(read, Some(expected));
        }

        #[test]
        fn pieces_make_no_difference(message in proptest::collection::vec(any::<u8>(), 0..60), lines in proptest::option::of(0_u32..4), piece in 1_usize..9) {
            prop_assert_eq!(wire(lines, &message, piece), wire(lines, &message, 1000));
        }
    }
}
