//! Command lines (RFC 1939 §3).

/// A command with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    /// RFC 2449 §5
    Capa,
    /// The name that signs in.
    User(&'a str),
    /// Everything after the one blank: a password may have others.
    Pass(&'a [u8]),
    /// RFC 5034: a mechanism, and what it says first.
    Auth(Option<&'a str>, Option<&'a str>),
    Quit,
    Stat,
    List(Option<u32>),
    Uidl(Option<u32>),
    Retr(u32),
    Top(u32, u32),
    Dele(u32),
    Noop,
    Rset,
}

/// Why a line is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// There is no such command.
    Unknown,
    /// There is, with other arguments.
    Arguments,
}

impl<'a> Command<'a> {
    /// Reads a line without its end.
    pub(crate) fn parse(line: &'a [u8]) -> Result<Self, Malformed> {
        let (verb, rest) = match line.iter().position(|b| *b == b' ') {
            Some(at) => {
                let (verb, rest) = line.split_at(at);
                (verb, rest.get(1..))
            }
            None => (line, None),
        };
        let verb = verb.to_ascii_uppercase();
        if verb == b"PASS" {
            return rest.map(Self::Pass).ok_or(Malformed::Arguments);
        }
        let text = rest.map(std::str::from_utf8).transpose().map_err(|_| Malformed::Arguments)?;
        let text = text.unwrap_or_default();
        if text.contains(|c: char| c.is_control()) {
            return Err(Malformed::Arguments);
        }
        let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
        let command = match (verb.as_slice(), words.as_slice()) {
            (b"CAPA", []) => Self::Capa,
            // A name with a blank in it is nobody's.
            (b"USER", [name]) => Self::User(name),
            (b"AUTH", []) => Self::Auth(None, None),
            (b"AUTH", [mechanism]) => Self::Auth(Some(mechanism), None),
            (b"AUTH", [mechanism, first]) => Self::Auth(Some(mechanism), Some(first)),
            (b"QUIT", []) => Self::Quit,
            (b"STAT", []) => Self::Stat,
            (b"LIST", []) => Self::List(None),
            (b"LIST", [n]) => Self::List(Some(number(n)?)),
            (b"UIDL", []) => Self::Uidl(None),
            (b"UIDL", [n]) => Self::Uidl(Some(number(n)?)),
            (b"RETR", [n]) => Self::Retr(number(n)?),
            (b"TOP", [n, lines]) => Self::Top(number(n)?, number(lines)?),
            (b"DELE", [n]) => Self::Dele(number(n)?),
            (b"NOOP", []) => Self::Noop,
            (b"RSET", []) => Self::Rset,
            (
                b"CAPA" | b"USER" | b"AUTH" | b"QUIT" | b"STAT" | b"LIST" | b"UIDL" | b"RETR" | b"TOP"
                | b"DELE" | b"NOOP" | b"RSET",
                _,
            ) => return Err(Malformed::Arguments),
            _ => return Err(Malformed::Unknown),
        };
        Ok(command)
    }
}

/// Digits only: no sign, no blank.
fn number(text: &str) -> Result<u32, Malformed> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(Malformed::Arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        assert_eq!(Command::parse(b"user a@b.example"), Ok(Command::User("a@b.example")));
        assert_eq!(Command::parse(b"PASS  two  blanks "), Ok(Command::Pass(b" two  blanks ")));
        assert_eq!(Command::parse(b"PASS "), Ok(Command::Pass(b"")));
        assert_eq!(Command::parse(b"Top 1 0"), Ok(Command::Top(1, 0)));
        assert_eq!(Command::parse(b"LIST "), Ok(Command::List(None)));
        assert_eq!(Command::parse(b"AUTH PLAIN ="), Ok(Command::Auth(Some("PLAIN"), Some("="))));
    }

    #[test]
    fn what_is_no_command() {
        for line in [
            &b"PASS"[..],
            b"USER",
            b"USER a b",
            b"RETR",
            b"RETR +1",
            b"RETR -1",
            b"RETR 1x",
            b"TOP 1",
            b"TOP 1 2 3",
        ] {
            assert_eq!(Command::parse(line), Err(Malformed::Arguments), "{line:?}");
        }
        for line in [&b"RETR 4294967296"[..], b"DELE 1\t", b"USER a\0b", b"QUIT now", b"LIST \xff", b"STAT 1"]
        {
            assert_eq!(Command::parse(line), Err(Malformed::Arguments), "{line:?}");
        }
        for line in [&b""[..], b" ", b"APOP a b", b"STLS", b"\xff\xff", b"GET / HTTP/1.1", b"USERS a"] {
            assert_eq!(Command::parse(line), Err(Malformed::Unknown), "{line:?}");
        }
    }
}
