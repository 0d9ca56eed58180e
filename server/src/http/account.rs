//! Who asks: HTTP basic authentication (RFC 7617) against the mailbox's argon2id.

use std::{net::IpAddr, sync::Arc, time::Instant};

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use pec::Address;
use stages::registry::{Mailbox, MailboxState};

use super::{Door, answer::Refused};
use crate::password::Verdict;

/// The other end of the connection, as the listener saw it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// Its address.
    pub(super) ip: IpAddr,
    /// TLS version, for the legal log.
    pub(super) tls: &'static str,
}

/// A mailbox that signed in.
pub(super) struct Account(pub(super) Mailbox);

impl FromRequestParts<Arc<Door>> for Account {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, door: &Arc<Door>) -> Result<Self, Refused> {
        let (user, password) = credentials(parts).ok_or(Refused::Unauthorized)?;
        let peer = parts.extensions.get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip);
        let mailbox = match Address::parse(&user) {
            Ok(address) => door.rim.mailbox(&address).await?,
            Err(_) => None,
        };
        let hash = mailbox.as_ref().map(|mailbox| mailbox.password_hash.as_str());
        let verdict = door.keeper.verify(&user, peer, &password, hash, Instant::now()).await;
        match (verdict, mailbox) {
            (Verdict::Wait(seconds), _) => {
                tracing::warn!(peer = %peer, "sign-in not tried: too many failures before");
                Err(Refused::TooManyFailures(seconds))
            }
            (Verdict::Right, Some(mailbox)) if mailbox.state == MailboxState::Active => Ok(Self(mailbox)),
            (Verdict::Right, Some(_)) => Err(Refused::Disabled),
            _ => {
                tracing::warn!(peer = %peer, "sign-in failed");
                Err(Refused::Unauthorized)
            }
        }
    }
}

fn credentials(parts: &Parts) -> Option<(String, String)> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}
