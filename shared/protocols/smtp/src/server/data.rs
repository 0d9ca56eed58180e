//! The octets of a message on their way in.

/// What makes a message one that is not taken. The rest of it is read and forgotten. Of several the last one in this
/// order is answered, so that the answer does not depend on the pieces in which the message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// Whoever drives the machine cannot keep it.
    NoRoom,
    /// Over the announced size.
    TooLarge,
    /// A CR or LF that is not part of a CR LF (RFC 5321 §2.3.8).
    Bare,
}

/// A message in the making: what was taken of it is somewhere else already.
#[derive(Debug, Default)]
pub(super) struct Message {
    /// Octets so far, kept or not.
    pub(super) octets: u64,
    pub(super) fault: Option<Fault>,
}

impl Message {
    pub(super) fn fail(&mut self, fault: Fault) {
        self.fault = self.fault.max(Some(fault));
    }

    fn push(&mut self, octets: &[u8], size_bytes_max: u64, content: &mut Vec<u8>) {
        self.octets = self.octets.saturating_add(octets.len() as u64);
        if self.octets > size_bytes_max {
            self.fail(Fault::TooLarge);
        }
        if self.fault.is_none() {
            content.extend_from_slice(octets);
        }
    }
}

/// Where in a line the next octet stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Start,
    /// Behind the dot that a line begins with.
    Dot,
    /// Behind that dot and a CR.
    DotCr,
    Middle,
    /// Behind a CR.
    Cr,
}

/// The data after DATA: dots are taken from lines that begin with one, and CR LF . CR LF ends it, nothing else
/// (RFC 5321 §4.5.2).
#[derive(Debug, Default)]
pub(super) struct Dots {
    at: At,
}

impl Dots {
    /// Takes octets, at most up to the end: how many, and whether the end came.
    pub(super) fn feed(
        &mut self,
        input: &[u8],
        message: &mut Message,
        size_bytes_max: u64,
        content: &mut Vec<u8>,
    ) -> (usize, bool) {
        let mut used = 0;
        while let Some((&octet, rest)) = input.get(used..).and_then(<[u8]>::split_first) {
            let mut push = |octets: &[u8]| message.push(octets, size_bytes_max, content);
            match (self.at, octet) {
                (At::Start, b'.') => self.at = At::Dot,
                (At::Dot, b'\r') => self.at = At::DotCr,
                (At::DotCr, b'\n') => return (used + 1, true),
                (At::Cr, b'\n') => {
                    push(b"\r\n");
                    self.at = At::Start;
                }
                // Whatever came before, this octet is looked at again in the middle of a line.
                (At::DotCr | At::Cr, _) => {
                    push(b"\r");
                    message.fail(Fault::Bare);
                    self.at = At::Middle;
                    continue;
                }
                (_, b'\r') => self.at = At::Cr,
                (_, b'\n') => {
                    push(b"\n");
                    message.fail(Fault::Bare);
                    self.at = At::Middle;
                }
                (_, _) => {
                    // This octet, and all that are like it.
                    let run = 1 + memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
                    push(input.get(used..used + run).unwrap_or_default());
                    self.at = At::Middle;
                    used += run;
                    continue;
                }
            }
            used += 1;
        }
        (used, false)
    }
}

/// The octets of BDAT chunks (RFC 3030): counted, so nothing in them ends anything; but a line end is CR LF here too,
/// since no binary message is offered.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    cr: bool,
}

impl Chunks {
    pub(super) fn feed(
        &mut self,
        input: &[u8],
        message: &mut Message,
        size_bytes_max: u64,
        content: &mut Vec<u8>,
    ) {
        let mut cr = self.cr;
        let mut next = 0;
        for at in memchr::memchr2_iter(b'\r', b'\n', input) {
            let lf = input.get(at) == Some(&b'\n');
            // A CR is followed by its LF, an LF follows its CR.
            let adjacent = cr && at == next;
            if cr != lf || (lf && !adjacent) {
                message.fail(Fault::Bare);
            }
            (cr, next) = (!lf, at + 1);
        }
        if cr && next < input.len() {
            message.fail(Fault::Bare);
        }
        self.cr = cr;
        message.push(input, size_bytes_max, content);
    }

    /// After the last octet.
    pub(super) fn end(&self, message: &mut Message) {
        if self.cr {
            message.fail(Fault::Bare);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The content, the octets behind the end, the fault; in pieces of this size.
    fn dots(input: &[u8], piece: usize, max: u64) -> (Vec<u8>, Option<usize>, Option<Fault>) {
        let (mut machine, mut message, mut content) = (Dots::default(), Message::default(), Vec::new());
        let mut at = 0;
        for chunk in input.chunks(piece) {
            let (used, end) = machine.feed(chunk, &mut message, max, &mut content);
            at += used;
            if end {
                return (content, Some(input.len() - at), message.fault);
            }
        }
        (content, None, message.fault)
    }

    #[test]
    fn dots_are_unstuffed_and_one_alone_ends() {
        for (input, content, behind) in [
            (&b"a\r\n.\r\nQUIT\r\n"[..], &b"a\r\n"[..], 6),
            (b".\r\n", b"", 0),
            (b"..\r\n.\r\n", b".\r\n", 0),
            (b"..a\r\n...\r\na.\r\n.\r\n", b".a\r\n..\r\na.\r\n", 0),
            (b"\r\n\0\xff\r\n.\r\n", b"\r\n\0\xff\r\n", 0),
        ] {
            for piece in 1..=input.len() {
                assert_eq!(dots(input, piece, 99), (content.to_vec(), Some(behind), None), "{input:?}");
            }
        }
    }

    /// The ways of smuggling: no CR or LF alone ends data, and each of them is seen.
    #[test]
    fn nothing_else_ends_data() {
        for end in [
            &b"\n.\n"[..],
            b"\n.\r\n",
            b"\r\n.\n",
            b"\r.\r",
            b"\r.\r\n",
            b"\r\n.\r",
            b"\r\n.\r\r\n",
            b"\r\n\x00.\r\n\n",
            b"\n.\n.\r\n\r.\r",
        ] {
            let input = [b"a", end, b"b\r\n"].concat();
            for piece in 1..=input.len() {
                let (_, behind, fault) = dots(&input, piece, 99);
                assert_eq!((behind, fault), (None, Some(Fault::Bare)), "{input:?} in {piece}");
            }
            // And the true end is still found.
            let input = [&input, &b".\r\n"[..]].concat();
            assert_eq!(dots(&input, 3, 99).1, Some(0), "{input:?}");
        }
    }

    #[test]
    fn what_is_too_large_is_not_kept_and_its_end_is_found() {
        let input = [&vec![b'x'; 1000][..], b"\r\n.\r\n"].concat();
        assert_eq!(dots(&input, 100, 1002).2, None);
        let (content, behind, fault) = dots(&input, 100, 1001);
        assert!(content.len() <= 1001);
        assert_eq!((behind, fault), (Some(0), Some(Fault::TooLarge)));
    }

    #[test]
    fn a_message_with_two_faults_has_one_answer() {
        for input in [&b"too large\nby far"[..], b"too large by far\n", b"\ntoo large by far"] {
            for piece in 1..=input.len() {
                assert_eq!(dots(input, piece, 5).2, Some(Fault::Bare), "{input:?} in {piece}");
                let (mut chunks, mut message) = (Chunks::default(), Message::default());
                input.chunks(piece).for_each(|c| chunks.feed(c, &mut message, 5, &mut Vec::new()));
                assert_eq!(message.fault, Some(Fault::Bare), "{input:?} in {piece}");
            }
        }
    }

    #[test]
    fn chunks_have_whole_line_ends() {
        let fault = |input: &[u8], piece: usize| {
            let (mut chunks, mut message, mut content) = (Chunks::default(), Message::default(), Vec::new());
            input.chunks(piece).for_each(|c| chunks.feed(c, &mut message, 99, &mut content));
            chunks.end(&mut message);
            if message.fault.is_none() {
                assert_eq!(content, input);
            }
            message.fault
        };
        for (input, expected) in [
            (&b"a\r\n\r\nb\r\n"[..], None),
            (b"a", None),
            (b".\r\n", None),
            (b"a\r\n.\r\nb", None),
            (b"a\n", Some(Fault::Bare)),
            (b"\n", Some(Fault::Bare)),
            (b"a\r", Some(Fault::Bare)),
            (b"a\rb\n", Some(Fault::Bare)),
            (b"a\r\r\n", Some(Fault::Bare)),
            (b"\r\n\n", Some(Fault::Bare)),
        ] {
            for piece in 1..=input.len() {
                assert_eq!(fault(input, piece), expected, "{input:?} in {piece}");
            }
        }
    }
}
