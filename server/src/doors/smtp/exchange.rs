//! Other providers and ordinary mail (RFC 6109 §2.2.2, spec 5, 0.2 D13).

use std::{convert::Infallible, net::SocketAddr};

use ::smtp::server::{Credentials, Guest, Provider, Reply, Transaction};
use bytes::Bytes;
use pec::Address;
use stages::{
    door::{self, Arrival, Channel},
    receive::{Classified, classify},
    rows::Sighting,
};

use super::{
    super::{Ground, Kind},
    answer,
    authentication::Authenticator,
};

/// The mailbox that every domain has (RFC 5321 §4.5.1), also without a domain.
const POSTMASTER: &str = "postmaster";

/// What stands behind the door for everybody else.
pub(super) struct Exchange {
    ground: Ground,
    authenticator: Option<Authenticator>,
}

impl Exchange {
    pub(super) const fn new(ground: Ground, authenticator: Option<Authenticator>) -> Self {
        Self { ground, authenticator }
    }

    fn address(&self, path: &str) -> Option<Address> {
        match path.eq_ignore_ascii_case(POSTMASTER) {
            true => Address::parse(&format!("{POSTMASTER}@{}", self.ground.name)).ok(),
            false => Address::parse(path).ok(),
        }
    }

    /// What speaks for ordinary mail. Certified mail speaks for itself, and never waits for DNS.
    async fn authentication(
        &self,
        guest: &Guest<'_, Infallible>,
        path: Option<&Address>,
        message: &Bytes,
    ) -> String {
        match &self.authenticator {
            Some(authenticator) => authenticator.results(guest.peer.ip(), guest.hello, path, message).await,
            None => String::new(),
        }
    }
}

impl Provider for Exchange {
    type Account = Infallible;

    async fn sign_in(&self, _: SocketAddr, _: &Credentials) -> Result<Infallible, Reply> {
        // The protocol offers no AUTH here.
        Err(answer::sign_in(&stages::accounts::SignInRefused::Wrong))
    }

    /// Anybody: D17 says what becomes of our own users' addresses, and what is not in form is propagated (spec 5.3).
    async fn sender(&self, _: &Guest<'_, Infallible>, path: Option<&str>) -> Reply {
        match path.map(Address::parse) {
            None | Some(Ok(_)) => answer::sender_ok(),
            Some(Err(_)) => answer::no_sender(),
        }
    }

    /// Any address in our domains: whether certified mail comes for it is known after DATA (D13).
    async fn recipient(&self, _: &Guest<'_, Infallible>, path: &str) -> Reply {
        let Some(address) = self.address(path) else { return answer::no_address() };
        match self.ground.rim.domain(&address).await {
            Ok(Some(_)) => answer::recipient_ok(),
            Ok(None) => answer::relay_denied(),
            Err(error) => answer::failed(&error),
        }
    }

    async fn take(&self, guest: &Guest<'_, Infallible>, transaction: Transaction, message: Bytes) -> Reply {
        let rim = &self.ground.rim;
        let transaction = pec::Transaction::new(
            transaction.reverse_path.as_ref().and_then(|path| Address::parse(path).ok()),
            transaction.forward_paths.iter().filter_map(|path| self.address(path)),
        );
        // 1. What it is. Only what is certainly ordinary mail for nobody is refused; the stage decides again.
        let classified = match classify(rim, &message, &transaction, rim.now()).await {
            Ok(classified) => classified,
            Err(error) => return answer::failed(&error),
        };
        if let Some(refusal) = answer::refused(classified) {
            return refusal;
        }
        // 2. Whence it came, for the log.
        let authentication = match classified {
            Classified::Ordinary => {
                self.authentication(guest, transaction.reverse_path.as_ref(), &message).await
            }
            _ => String::new(),
        };
        let seen =
            Sighting { peer: guest.peer.ip().to_string(), hello: guest.hello.to_owned(), authentication };
        // 3. Into the spool, as it came. Power fails before it returns: the other side still has it.
        let channel = Channel {
            by: self.ground.name.clone(),
            with: if guest.tls.is_some() { "ESMTPS" } else { "ESMTP" }.to_owned(),
            via: Kind::SMTP.name.to_owned(),
            tls: guest.tls.unwrap_or("none").to_owned(),
        };
        match door::receive_from(rim, Arrival { transaction, raw: message, channel }, seen).await {
            Ok(spool) => answer::taken(spool.as_str()),
            Err(error) => answer::door(&error),
        }
    }
}
