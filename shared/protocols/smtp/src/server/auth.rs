//! Authentication exchanges: PLAIN (RFC 4616) and LOGIN, as SMTP carries them (RFC 4954).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{reply, reply::Reply};

/// Who somebody says to be.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// An address, as it came.
    pub user: String,
    /// The password.
    pub password: String,
}

/// A password is never shown.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// An exchange that waits for a line of the client.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Exchange {
    Plain,
    LoginUser,
    LoginPassword { user: String },
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exchange")
    }
}

/// How an exchange goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// With this challenge.
    Challenge(Reply, Exchange),
    Done(Credentials),
    Refused(Reply),
}

/// Begins the exchange of a mechanism.
pub(super) fn begin(mechanism: &str, initial: Option<&str>) -> Next {
    let exchange = match mechanism.to_ascii_uppercase().as_str() {
        "PLAIN" => Exchange::Plain,
        "LOGIN" => Exchange::LoginUser,
        _ => return Next::Refused(reply::AUTH_MECHANISM),
    };
    match initial {
        // RFC 4954 §4: an initial response of no octets.
        Some("=") => Next::Refused(reply::AUTH_MALFORMED),
        Some(response) => go_on(exchange, response.as_bytes()),
        None => challenge(exchange),
    }
}

/// Goes on with a line of the client.
pub(super) fn go_on(exchange: Exchange, line: &[u8]) -> Next {
    if line == b"*" {
        return Next::Refused(reply::AUTH_CANCELLED);
    }
    let Ok(response) = STANDARD.decode(line) else { return Next::Refused(reply::AUTH_MALFORMED) };
    match exchange {
        Exchange::Plain => plain(&response),
        Exchange::LoginUser => match text(&response) {
            Some(user) => challenge(Exchange::LoginPassword { user }),
            None => Next::Refused(reply::AUTH_MALFORMED),
        },
        Exchange::LoginPassword { user } => match text(&response) {
            Some(password) => Next::Done(Credentials { user, password }),
            None => Next::Refused(reply::AUTH_MALFORMED),
        },
    }
}

fn challenge(exchange: Exchange) -> Next {
    let text = match exchange {
        Exchange::Plain => String::new(),
        Exchange::LoginUser => STANDARD.encode("Username:"),
        Exchange::LoginPassword { .. } => STANDARD.encode("Password:"),
    };
    Next::Challenge(Reply::bare(334, text), exchange)
}

/// `authzid NUL authcid NUL passwd`; nobody acts for somebody else.
fn plain(response: &[u8]) -> Next {
    let mut parts = response.split(|&b| b == 0);
    let (Some(acts_as), Some(user), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Next::Refused(reply::AUTH_MALFORMED);
    };
    match (text(user), text(password)) {
        (Some(user), Some(password)) if acts_as.is_empty() || acts_as == user.as_bytes() => {
            Next::Done(Credentials { user, password })
        }
        _ => Next::Refused(reply::AUTH_MALFORMED),
    }
}

/// UTF-8 with something in it, and no NUL.
fn text(octets: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(octets).ok()?;
    (!text.is_empty() && !text.contains('\0')).then(|| text.to_owned())
}
