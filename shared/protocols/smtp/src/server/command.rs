//! Commands (RFC 5321 §4.1.1 and the extensions that are offered).

use super::{path, reply, reply::Reply};

/// One command, understood. Whether it may come now is for the machine.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'l> {
    /// HELO, or EHLO with `extended`.
    Hello {
        /// What the client calls itself.
        name: &'l str,
        extended: bool,
    },
    /// The path is empty for the null reverse path.
    Mail {
        path: &'l str,
        size_bytes: Option<u64>,
    },
    Rcpt {
        path: &'l str,
    },
    Data,
    /// RFC 3030
    Bdat {
        octets: u64,
        last: bool,
    },
    Rset,
    Noop,
    Quit,
    Vrfy,
    Help,
    StartTls,
    Auth {
        mechanism: &'l str,
        initial: Option<&'l str>,
    },
    /// The start of a request of HTTP: a browser was talked into speaking to us.
    Http,
}

impl<'l> Command<'l> {
    /// Reads a line without its end.
    ///
    /// # Errors
    /// The [`Reply`] that is due.
    pub(super) fn parse(line: &'l [u8]) -> Result<Self, Reply> {
        let text = std::str::from_utf8(line).ok().filter(|t| t.bytes().all(|b| matches!(b, 0x20..0x7f)));
        let text = text.ok_or(reply::NOT_PRINTABLE)?.trim_end_matches(' ');
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => hello(rest, true),
            "HELO" => hello(rest, false),
            "MAIL" => mail(rest),
            "RCPT" => rcpt(rest),
            "DATA" => alone(rest, Self::Data),
            "BDAT" => bdat(rest),
            "RSET" => alone(rest, Self::Rset),
            "NOOP" => Ok(Self::Noop),
            "QUIT" => alone(rest, Self::Quit),
            "VRFY" if !rest.is_empty() => Ok(Self::Vrfy),
            "VRFY" => Err(reply::ARGUMENTS),
            "HELP" => Ok(Self::Help),
            "STARTTLS" => alone(rest, Self::StartTls),
            "AUTH" => auth(rest),
            "EXPN" | "ETRN" | "TURN" | "SEND" | "SOML" | "SAML" => Err(reply::NOT_OFFERED),
            "GET" | "POST" | "PUT" | "HEAD" | "OPTIONS" | "CONNECT" | "HOST:" => Ok(Self::Http),
            _ => Err(reply::UNKNOWN),
        }
    }
}

fn alone<'l>(rest: &str, command: Command<'l>) -> Result<Command<'l>, Reply> {
    if rest.trim().is_empty() { Ok(command) } else { Err(reply::NO_ARGUMENTS) }
}

/// A domain or an address literal; clients write other things too, and nothing depends on it.
fn hello(rest: &str, extended: bool) -> Result<Command<'_>, Reply> {
    let name = rest.trim();
    if name.is_empty() || name.len() > 255 || name.contains(' ') {
        return Err(reply::ARGUMENTS);
    }
    Ok(Command::Hello { name, extended })
}

/// What follows `FROM:` or `TO:`.
fn after<'l>(rest: &'l str, keyword: &str) -> Option<&'l str> {
    let (word, rest) = rest.trim_start().split_at_checked(keyword.len())?;
    word.eq_ignore_ascii_case(keyword).then_some(rest)
}

fn mail(rest: &str) -> Result<Command<'_>, Reply> {
    let (path, rest) = after(rest, "FROM:").and_then(path::split).ok_or(reply::BAD_REVERSE_PATH)?;
    let mut size_bytes = None;
    for (keyword, value) in path::parameters(rest).ok_or(reply::ARGUMENTS)? {
        match (keyword.to_ascii_uppercase().as_str(), value) {
            ("SIZE", Some(value)) if size_bytes.is_none() => size_bytes = Some(size(value)?),
            ("SIZE", _) => return Err(reply::ARGUMENTS),
            // RFC 4954 §5: whom a relay believes the sender to be. We believe who signs in.
            ("AUTH", Some(_)) => {}
            // RFC 6152: what is offered without the extension is the same.
            ("BODY", Some(value)) if value.eq_ignore_ascii_case("7BIT") => {}
            _ => return Err(reply::PARAMETER),
        }
    }
    Ok(Command::Mail { path, size_bytes })
}

/// RFC 1870 §4: up to twenty digits. What does not fit is too large in any case.
fn size(value: &str) -> Result<u64, Reply> {
    if value.is_empty() || value.len() > 20 || !value.bytes().all(|b| b.is_ascii_digit()) {
        return Err(reply::ARGUMENTS);
    }
    Ok(value.parse().unwrap_or(u64::MAX))
}

fn rcpt(rest: &str) -> Result<Command<'_>, Reply> {
    let (path, rest) = after(rest, "TO:").and_then(path::split).ok_or(reply::BAD_FORWARD_PATH)?;
    let parameters = path::parameters(rest).ok_or(reply::ARGUMENTS)?;
    if path.is_empty() {
        return Err(reply::BAD_FORWARD_PATH);
    }
    if parameters.is_empty() { Ok(Command::Rcpt { path }) } else { Err(reply::PARAMETER) }
}

fn bdat(rest: &str) -> Result<Command<'_>, Reply> {
    let mut words = rest.split(' ').filter(|word| !word.is_empty());
    let octets = words.next().and_then(|word| size(word).ok()).ok_or(reply::BAD_BDAT)?;
    match (words.next(), words.next()) {
        (None, _) => Ok(Command::Bdat { octets, last: false }),
        (Some(word), None) if word.eq_ignore_ascii_case("LAST") => Ok(Command::Bdat { octets, last: true }),
        _ => Err(reply::BAD_BDAT),
    }
}

fn auth(rest: &str) -> Result<Command<'_>, Reply> {
    let mut words = rest.split(' ').filter(|word| !word.is_empty());
    let mechanism = words.next().ok_or(reply::ARGUMENTS)?;
    let initial = words.next();
    if words.next().is_some() { Err(reply::ARGUMENTS) } else { Ok(Command::Auth { mechanism, initial }) }
}
