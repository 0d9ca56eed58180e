//! Replies of a server (RFC 5321 §4.2), read piece by piece and bounded: a server is a stranger too.

/// Octets of one line of a reply. RFC 5321 §4.5.3.1.5 allows 512; some servers write more.
const LINE_OCTETS_MAX: usize = 4096;
/// Lines of one reply: an EHLO answer has the most.
const LINES_MAX: usize = 128;
/// Characters of a reply's text that are kept.
const TEXT_CHARS_MAX: usize = 300;

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// The enhanced status code (RFC 2034), if there is one that agrees with the reply code.
    pub enhanced: Option<String>,
    /// All lines as one text, with the codes: printable ASCII, bounded. For logs and notices.
    pub text: String,
    /// The text of each line, without codes: for EHLO.
    pub lines: Vec<String>,
}

impl Reply {
    /// 2yz
    #[must_use]
    pub const fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// 5yz
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// The enhanced status, or the undefined one of its class (RFC 3463 §3.1).
    #[must_use]
    pub fn status(&self) -> String {
        self.enhanced.clone().unwrap_or_else(|| format!("{}.0.0", self.code / 100))
    }
}

/// What cannot be a reply: the session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadReply {
    /// A line without three digits and a space or hyphen.
    #[error("a line that is no reply")]
    Malformed,
    /// More than we take.
    #[error("a reply without end")]
    TooLong,
}

/// Collects octets until they are replies.
#[derive(Debug, Default)]
pub struct Reader {
    line: Vec<u8>,
    code: Option<u16>,
    lines: Vec<String>,
}

impl Reader {
    /// Takes octets up to the end of one reply; answers how many it took, and the reply if it is complete.
    pub fn take(&mut self, octets: &[u8]) -> Result<(usize, Option<Reply>), BadReply> {
        for (n, &octet) in octets.iter().enumerate() {
            if octet != b'\n' {
                if self.line.len() >= LINE_OCTETS_MAX {
                    return Err(BadReply::TooLong);
                }
                self.line.push(octet);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            if self.end_of_line(line.strip_suffix(b"\r").unwrap_or(&line))? {
                return Ok((n + 1, Some(self.complete())));
            }
        }
        Ok((octets.len(), None))
    }

    /// One line; answers whether it is the last one of its reply.
    fn end_of_line(&mut self, line: &[u8]) -> Result<bool, BadReply> {
        let (digits, rest) = line.split_at_checked(3).ok_or(BadReply::Malformed)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(BadReply::Malformed);
        }
        let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
        let (is_last, text) = match rest.split_first() {
            None => (true, &[][..]),
            Some((b' ', text)) => (true, text),
            Some((b'-', text)) => (false, text),
            Some(_) => return Err(BadReply::Malformed),
        };
        // RFC 5321 §4.2.1: the same code in every line.
        if !(200..600).contains(&code) || self.code.is_some_and(|first| first != code) {
            return Err(BadReply::Malformed);
        }
        if self.lines.len() >= LINES_MAX {
            return Err(BadReply::TooLong);
        }
        self.code = Some(code);
        self.lines.push(printable(text));
        Ok(is_last)
    }

    fn complete(&mut self) -> Reply {
        let (code, lines) = (self.code.take().unwrap_or_default(), std::mem::take(&mut self.lines));
        let enhanced = lines.first().and_then(|line| enhanced(line, code));
        let text = format!("{code} {}", lines.join(" ")).trim_end().chars().take(TEXT_CHARS_MAX).collect();
        Reply { code, enhanced, text, lines }
    }
}

fn printable(octets: &[u8]) -> String {
    octets.iter().map(|&b| if b.is_ascii_graphic() || b == b' ' { char::from(b) } else { '?' }).collect()
}

/// `class "." subject "." detail` at the beginning of a reply's text (RFC 2034 §4, RFC 3463 §2).
fn enhanced(text: &str, code: u16) -> Option<String> {
    let first = text.split(' ').next()?;
    let mut parts = first.split('.');
    let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
    let number = |t: &str| (1..=3).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
    let fits = parts.next().is_none() && number(subject) && number(detail);
    (fits && class == (code / 100).to_string()).then(|| first.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(octets: &[u8]) -> Result<Option<Reply>, BadReply> {
        // However they are cut.
        let whole = Reader::default().take(octets).map(|(_, reply)| reply);
        let mut reader = Reader::default();
        let mut reply = Ok(None);
        for octet in octets {
            match reader.take(&[*octet]) {
                Ok((1, None)) => {}
                Ok((_, found)) => reply = Ok(found),
                Err(error) => {
                    reply = Err(error);
                    break;
                }
            }
        }
        assert_eq!(whole, reply);
        whole
    }

    /// RFC 5321 §4.2.1, RFC 2034 §4.
    #[test]
    fn replies_are_read_line_by_line() {
        let reply = read(b"250-mx.beta.example\r\n250-SIZE 100\r\n250 PIPELINING\r\n").unwrap().unwrap();
        assert_eq!((reply.code, reply.enhanced.clone()), (250, None));
        assert_eq!(reply.lines, ["mx.beta.example", "SIZE 100", "PIPELINING"]);
        let reply = read(b"550 5.1.1 <a@b>: no such\x07 user\r\n").unwrap().unwrap();
        assert_eq!(reply.status(), "5.1.1");
        assert_eq!(reply.text, "550 5.1.1 <a@b>: no such? user");
        assert_eq!(read(b"354\r\n").unwrap().unwrap().code, 354);
        assert_eq!(read(b"250 ok\n").unwrap().unwrap().status(), "2.0.0");
        assert_eq!(read(b"250 o").unwrap(), None);
    }

    #[test]
    fn an_enhanced_code_of_another_class_does_not_count() {
        assert_eq!(read(b"450 5.1.1 hm\r\n").unwrap().unwrap().status(), "4.0.0");
        assert_eq!(read(b"550 5.1 hm\r\n").unwrap().unwrap().status(), "5.0.0");
        assert_eq!(read(b"550 5.1.1.1 hm\r\n").unwrap().unwrap().status(), "5.0.0");
    }

    #[test]
    fn what_is_no_reply_ends_the_session() {
        let malformed: [&[u8]; 6] =
            [b"hello\r\n", b"25\r\n", b"250_ok\r\n", b"250-a\r\n251 b\r\n", b"\r\n", b"150 wait\r\n"];
        for octets in malformed {
            assert_eq!(read(octets), Err(BadReply::Malformed), "{octets:?}");
        }
        assert_eq!(read(&[b'2'; LINE_OCTETS_MAX + 1]), Err(BadReply::TooLong));
        assert_eq!(read(&b"250-x\r\n".repeat(LINES_MAX + 1)), Err(BadReply::TooLong));
    }

    #[test]
    fn the_text_that_is_kept_is_bounded() {
        let long = format!("550 {}\r\n", "x".repeat(4000));
        assert_eq!(read(long.as_bytes()).unwrap().unwrap().text.len(), TEXT_CHARS_MAX);
    }
}
