//! Who asks: HTTP basic authentication (RFC 7617).

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use stages::{
    accounts::{Password, SignInRefused},
    registry::Mailbox,
};
use zeroize::Zeroizing;

use super::{Door, answer::Refused};

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
        let peer = parts.extensions.get::<Peer>().map_or(IpAddr::from([0; 4]), |peer| peer.ip);
        let signed_in = door.accounts.sign_in(&user, &password, peer, "https", door.rim.now()).await;
        let refused = |error| match error {
            SignInRefused::Wrong => {
                tracing::warn!(peer = %peer, "sign-in failed");
                Refused::Unauthorized
            }
            SignInRefused::Wait(seconds) => {
                tracing::warn!(peer = %peer, "sign-in not tried: too many failures before");
                Refused::TooManyFailures(seconds)
            }
            SignInRefused::Stage(error) => Refused::Failed(error),
        };
        Ok(Self(signed_in.map_err(refused)?.mailbox))
    }
}

fn credentials(parts: &Parts) -> Option<(String, Password)> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
    let colon = decoded.iter().position(|octet| *octet == b':')?;
    let (user, password) = decoded.split_at(colon);
    let user = String::from_utf8(user.to_owned()).ok()?;
    Some((user, Password::new(password.get(1..)?)))
}
