//! Replies (RFC 5321 §4.2, RFC 3463): every code that the protocol itself gives stands here.

use std::borrow::Cow;

/// A reply line is at most 512 octets with its code and end (RFC 5321 §4.5.3.1.5).
const TEXT_BYTES_MAX: usize = 480;

/// One reply to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// Enhanced status, e.g. `5.7.1`; none for 220, 334 and 354.
    pub status: Option<&'static str>,
    /// In words. What is not printable ASCII is written as `?`.
    pub text: Cow<'static, str>,
}

impl Reply {
    /// A reply with an enhanced status.
    pub fn new(code: u16, status: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, status: Some(status), text: text.into() }
    }

    /// One without.
    pub(super) fn bare(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, status: None, text: text.into() }
    }

    /// Whether what was asked is done.
    #[must_use]
    pub const fn is_yes(&self) -> bool {
        self.code / 100 == 2
    }

    /// Writes it as one line.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.code.to_string().as_bytes());
        out.push(b' ');
        if let Some(status) = self.status {
            out.extend_from_slice(status.as_bytes());
            out.push(b' ');
        }
        let printable = |b: u8| if matches!(b, 0x20..0x7f) { b } else { b'?' };
        out.extend(self.text.bytes().take(TEXT_BYTES_MAX).map(printable));
        out.extend_from_slice(b"\r\n");
    }
}

/// Several lines of one reply with the same code.
pub(super) fn write_lines(code: u16, lines: &[&str], out: &mut Vec<u8>) {
    for (n, line) in lines.iter().enumerate() {
        let mark = if n + 1 == lines.len() { ' ' } else { '-' };
        out.extend_from_slice(format!("{code}{mark}{line}\r\n").as_bytes());
    }
}

macro_rules! replies {
    ($($(#[$doc:meta])* $name:ident = $code:literal $status:literal $text:literal;)*) => {
        $($(#[$doc])* pub(super) const $name: Reply =
            Reply { code: $code, status: Some($status), text: Cow::Borrowed($text) };)*
    };
}

replies! {
    OK = 250 "2.0.0" "OK";
    RESET = 250 "2.0.0" "nothing is under way";
    BYE = 221 "2.0.0" "goodbye";
    /// RFC 5321 §7.3: whether an address exists is not told.
    CANNOT_VERIFY = 252 "2.5.2" "nobody is looked up here; send, and see";
    SIGNED_IN = 235 "2.7.0" "signed in";

    UNKNOWN = 500 "5.5.1" "no such command";
    NOT_PRINTABLE = 500 "5.5.2" "a command is printable ASCII";
    LINE_TOO_LONG = 500 "5.5.2" "the line is too long";
    BARE_IN_COMMAND = 500 "5.5.2" "a line ends with CR LF; a CR or LF alone ends nothing; goodbye";
    ARGUMENTS = 501 "5.5.4" "these arguments cannot be understood";
    NO_ARGUMENTS = 501 "5.5.4" "this command takes no arguments";
    BAD_REVERSE_PATH = 501 "5.1.7" "expected MAIL FROM:<address>";
    BAD_FORWARD_PATH = 501 "5.1.3" "expected RCPT TO:<address>";
    BAD_BDAT = 501 "5.5.4" "expected BDAT with a number of octets and, at the end, LAST; goodbye";
    PARAMETER = 555 "5.5.4" "this parameter is not offered";
    NOT_OFFERED = 502 "5.5.1" "this command is not offered";

    HELLO_FIRST = 503 "5.5.1" "say EHLO first";
    NESTED_MAIL = 503 "5.5.1" "a letter is under way: RSET first";
    NO_MAIL = 503 "5.5.1" "MAIL FROM comes first";
    NO_RECIPIENT = 503 "5.5.1" "there is no recipient";
    IN_CHUNKS = 503 "5.5.1" "the letter comes in BDAT chunks";
    /// RFC 5321 §4.5.3.1.10
    TOO_MANY_RECIPIENTS = 452 "4.5.3" "too many recipients for one letter";

    TLS_FIRST = 530 "5.7.0" "say STARTTLS first";
    SIGN_IN_FIRST = 530 "5.7.0" "sign in first";
    TLS_TWICE = 503 "5.5.1" "TLS is on";
    /// RFC 3207 §4.2 asks to forget what came in clear; what comes behind STARTTLS is somebody else's.
    AFTER_STARTTLS = 554 "5.5.1" "octets came behind STARTTLS before TLS; goodbye";

    /// RFC 4954 §6
    AUTH_NEEDS_TLS = 538 "5.7.11" "passwords are taken inside TLS only: say STARTTLS first";
    AUTH_MECHANISM = 504 "5.5.4" "offered are AUTH PLAIN and AUTH LOGIN";
    AUTH_TWICE = 503 "5.5.1" "you have signed in";
    AUTH_IN_LETTER = 503 "5.5.1" "a letter is under way";
    AUTH_CANCELLED = 501 "5.7.0" "as you wish: nobody signs in";
    AUTH_MALFORMED = 501 "5.5.2" "this is not what the mechanism wants";

    TOO_LARGE = 552 "5.3.4" "the message is larger than what SIZE says";
    BARE_IN_DATA = 550 "5.6.0" "the message holds a CR or LF alone (RFC 5321 2.3.8): lines end with CR LF";
    NO_ROOM = 452 "4.3.1" "no room at the moment, try again later";

    TOO_MANY_ERRORS = 421 "4.7.0" "too many errors; goodbye";
    TOO_MANY_COMMANDS = 421 "4.7.0" "too many commands that carry no letter; goodbye";
    TOO_SLOW = 421 "4.4.2" "nothing came in time; goodbye";
    NO_HTTP = 421 "4.7.0" "this is a mail server; goodbye";
    CLOSING = 421 "4.3.2" "the service is closing, try again later";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_one_printable_line_whatever_its_text() {
        let mut out = Vec::new();
        Reply::new(550, "5.7.1", format!("a\r\n250 b\0{}", "è".repeat(1000))).write(&mut out);
        assert!(out.starts_with(b"550 5.7.1 a??250 b???"));
        assert!(out.ends_with(b"\r\n") && out.len() <= 512);
        assert_eq!(out.iter().filter(|&&b| b == b'\n').count(), 1);
    }

    #[test]
    fn the_last_line_of_several_has_a_space() {
        let mut out = Vec::new();
        write_lines(250, &["a", "B", "C"], &mut out);
        assert_eq!(out, b"250-a\r\n250-B\r\n250 C\r\n");
    }
}
