//! Users who submit letters (RFC 6409, RFC 6109 §3.1).

use std::net::SocketAddr;

use ::smtp::server::{Credentials, Guest, Provider, Reply, Transaction};
use bytes::Bytes;
use pec::Address;
use stages::{
    StageError,
    accounts::{Password, SignedIn},
    door::{self, Channel},
};

use super::{
    super::{Ground, Kind},
    answer,
};

/// What stands behind a door for users.
pub(super) struct Submission {
    ground: Ground,
    kind: Kind,
}

impl Submission {
    pub(super) const fn new(ground: Ground, kind: Kind) -> Self {
        Self { ground, kind }
    }

    /// The right side of the PEC ids of this account's letters.
    async fn pec_domain(&self, account: &SignedIn) -> Result<Option<String>, StageError> {
        let rim = &self.ground.rim;
        let Some(domain) = rim.domain(&account.mailbox.address).await? else { return Ok(None) };
        Ok(Some(rim.environment(&domain.environment).await?.mail_domain))
    }
}

impl Provider for Submission {
    type Account = SignedIn;

    async fn sign_in(&self, peer: SocketAddr, who: &Credentials) -> Result<SignedIn, Reply> {
        let password = Password::new(who.password.as_str());
        let Ground { rim, accounts, .. } = &self.ground;
        let signed_in = accounts.sign_in(&who.user, &password, peer.ip(), self.kind.name, rim.now()).await;
        signed_in.map_err(|refused| answer::sign_in(&refused))
    }

    async fn sender(&self, guest: &Guest<'_, SignedIn>, path: Option<&str>) -> Reply {
        let (Some(account), Some(path)) = (guest.account, path) else { return answer::not_owner() };
        let Ok(path) = Address::parse(path) else { return answer::no_sender() };
        match self.ground.accounts.still(account).await {
            Ok(true) => {}
            Ok(false) => return answer::no_longer(),
            Err(error) => return answer::failed(&error),
        }
        // F7: known before the first octet of the letter.
        match door::owns(&self.ground.rim, &account.mailbox.id, Some(&path)).await {
            Ok(true) => answer::sender_ok(),
            Ok(false) => answer::not_owner(),
            Err(error) => answer::failed(&error),
        }
    }

    async fn recipient(&self, _: &Guest<'_, SignedIn>, path: &str) -> Reply {
        if Address::parse(path).is_ok() { answer::recipient_ok() } else { answer::no_address() }
    }

    async fn take(&self, guest: &Guest<'_, SignedIn>, transaction: Transaction, message: Bytes) -> Reply {
        // 1. Whose letter it is, and what its id will be called.
        let Some(account) = guest.account else { return answer::not_owner() };
        let pec_domain = match self.pec_domain(account).await {
            Ok(Some(domain)) => domain,
            Ok(None) => return answer::not_owner(),
            Err(error) => return answer::failed(&error),
        };
        // 2. Whether there is room for it in the hour.
        let (account, recipients) = (&account.mailbox, transaction.forward_paths.len());
        if let Err(error) = self.ground.rates.admit(&account.id, &account.organisation, recipients).await {
            return answer::over(&error);
        }
        // 3. Into the spool. Power fails before it returns: nobody was promised anything.
        let address = |path: &String| Address::parse(path).ok();
        let submission = door::Submission {
            account: account.id.clone(),
            transaction: pec::Transaction::new(
                transaction.reverse_path.as_ref().and_then(address),
                transaction.forward_paths.iter().filter_map(address),
            ),
            raw: message,
            channel: Channel {
                by: self.ground.name.clone(),
                with: "ESMTPSA".to_owned(),
                via: self.kind.name.to_owned(),
                tls: guest.tls.unwrap_or("none").to_owned(),
            },
            idempotency_key: None,
        };
        match door::submit(&self.ground.rim, submission).await {
            Ok(spool) => answer::taken(&spool.pec_id(&pec_domain)),
            Err(error) => answer::door(&error),
        }
    }
}
