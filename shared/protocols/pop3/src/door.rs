//! The loop: octets between a connection and the machine, questions to accounts and the mailbox.

use std::{net::IpAddr, sync::Arc, time::Duration};

use net::{Connection, Limits, Stream, StreamError};
use stages::{
    BlobKey, Rim,
    accounts::{Accounts, Password, SignInRefused, SignedIn},
    ids::MailboxId,
    mailbox::{self, MailboxError, UidSet, View},
};
use tokio::time::Instant;

use crate::{
    Body, Machine, Maildrop, Refused, Step,
    lock::{Locked, Locks},
};

/// Octets of a message that are read at a time.
const PIECE_BYTES: u64 = 64 * 1024;
/// How often a session asks whether its password still is one.
const STILL_EVERY: Duration = Duration::from_secs(300);
/// Until somebody has signed in.
const SIGN_IN: Duration = Duration::from_secs(120);

/// The bounds of the door. A session that is silent for ten minutes is over (RFC 1939 §3).
#[must_use]
pub fn limits() -> Limits {
    Limits {
        connections_max: 512,
        connections_per_peer_max: 32,
        handshake: Duration::from_secs(10),
        idle: Duration::from_secs(600),
        session: Duration::from_secs(6 * 3600),
        drain: Duration::from_secs(10),
    }
}

/// A POP3 door. Cheap to clone.
#[derive(Clone)]
pub struct Door {
    rim: Rim,
    accounts: Arc<Accounts>,
    /// Its name in audit entries.
    name: &'static str,
    locks: Locks,
}

/// Why a session ended early.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("go on: the password is not one any more")]
    Revoked,
    #[error("send a message to its end")]
    Cut(#[source] stages::StageError),
}

/// Who signed in, with the lock on the mailbox.
struct Account {
    who: SignedIn,
    folder: String,
    asked: Instant,
    _locked: Locked,
}

impl Account {
    const fn mailbox(&self) -> &MailboxId {
        &self.who.mailbox.id
    }
}

impl Door {
    /// A door of these accounts; `name` names it in audit entries.
    #[must_use]
    pub fn new(rim: Rim, accounts: Arc<Accounts>, name: &'static str) -> Self {
        Self { rim, accounts, name, locks: Locks::default() }
    }

    /// Serves one connection to its end. Messages that the client marked as deleted go when it says QUIT, and not
    /// otherwise (RFC 1939 §6).
    pub async fn serve(self, connection: Connection) {
        let peer = connection.peer.ip();
        match self.session(connection).await {
            Ok(()) => {}
            Err(Ended::Cut(error)) => {
                tracing::error!(error = %error, "a message could not be read to its end")
            }
            Err(error) => tracing::debug!(peer = %peer, error = %error, "session ended early"),
        }
    }

    async fn session(&self, connection: Connection) -> Result<(), Ended> {
        let Connection { mut stream, peer, mut stop } = connection;
        let (mut machine, mut account) = (Machine::new(), None::<Account>);
        let end = stream.deadline();
        let sign_in_until = Instant::now() + SIGN_IN;
        loop {
            match machine.step() {
                Step::Read => {
                    let until = account.is_none().then_some(sign_in_until);
                    stream.set_deadline(end.into_iter().chain(until).min());
                    tokio::select! {
                        // Nothing is half done here: what was marked as deleted stays.
                        () = stop.stopped() => break,
                        came = stream.fill() => if came? == 0 { break },
                    }
                    self.still(account.as_mut()).await?;
                    machine.receive(stream.buffered());
                    stream.consume(usize::MAX);
                }
                Step::Send(octets) => stream.send(&octets).await?,
                Step::SignIn { name, password } => match self.sign_in(&name, &password, peer.ip()).await {
                    Ok((signed_in, maildrop)) => {
                        stream.set_deadline(end);
                        account = Some(signed_in);
                        machine.signed_in(Ok(maildrop));
                    }
                    Err(refused) => machine.signed_in(Err(refused)),
                },
                Step::Retrieve { uid, lines } => match self.find(account.as_ref(), uid).await {
                    Ok(blob) => {
                        self.retrieve(&mut stream, &blob, lines).await?;
                        machine.sent();
                    }
                    Err(refused) => machine.not_sent(refused),
                },
                Step::Remove(uids) => machine.removed(self.remove(account.as_ref(), &uids).await),
                Step::Close => break,
            }
        }
        stream.close().await;
        Ok(())
    }

    /// Signs in, takes the mailbox, reads it.
    async fn sign_in(
        &self,
        name: &str,
        password: &Password,
        peer: IpAddr,
    ) -> Result<(Account, Maildrop), Refused> {
        let signed_in = self.accounts.sign_in(name, password, peer, self.name, self.rim.now()).await;
        let who = signed_in.map_err(|error| match error {
            SignInRefused::Wrong => {
                tracing::warn!(peer = %peer, "sign-in failed");
                Refused::Wrong
            }
            SignInRefused::Wait(seconds) => {
                tracing::warn!(peer = %peer, "sign-in not tried: too many failures before");
                Refused::Wait(seconds)
            }
            SignInRefused::Stage(error) => {
                tracing::error!(error = %error, "sign-in could not be looked at");
                Refused::Temporary
            }
        })?;
        let locked = self.locks.lock(&who.mailbox.id).ok_or(Refused::InUse)?;
        let view = self.inbox(&who.mailbox.id).await.map_err(unavailable)?;
        let maildrop = Maildrop::of(&view);
        let folder = view.state().id.clone();
        Ok((Account { who, folder, asked: Instant::now(), _locked: locked }, maildrop))
    }

    async fn inbox(&self, mailbox: &MailboxId) -> Result<View, MailboxError> {
        let inbox = mailbox::folder(&self.rim, mailbox, "INBOX").await?;
        View::open(&self.rim, mailbox, &inbox.id).await
    }

    /// A password that was taken back ends its sessions within minutes.
    async fn still(&self, account: Option<&mut Account>) -> Result<(), Ended> {
        let Some(account) = account.filter(|a| a.asked.elapsed() >= STILL_EVERY) else { return Ok(()) };
        account.asked = Instant::now();
        match self.accounts.still(&account.who).await {
            Ok(false) => Err(Ended::Revoked),
            Ok(true) => Ok(()),
            Err(error) => {
                tracing::warn!(error = %error, "a session could not be looked at");
                Ok(())
            }
        }
    }

    /// The octets of a message, if it is still there: another session may have moved it by IMAP.
    async fn find(&self, account: Option<&Account>, uid: u32) -> Result<BlobKey, Refused> {
        let account = account.ok_or(Refused::Temporary)?;
        let message = mailbox::message(&self.rim, account.mailbox(), &account.folder, uid).await;
        let message = message.map_err(|error| unavailable(error.into()))?;
        Ok(message.ok_or(Refused::Gone)?.blob)
    }

    /// Sends a message piece by piece. Once it has begun, the only way to say that it does not go on is to close.
    async fn retrieve(&self, stream: &mut Stream, blob: &BlobKey, lines: Option<u32>) -> Result<(), Ended> {
        let cut = |error: stages::ports::BlobError| Ended::Cut(error.into());
        let (mut body, mut wire, mut from) = (Body::new(lines), Machine::FOLLOWS.to_vec(), 0);
        loop {
            let piece = self.rim.blobs.get_range(blob, from, PIECE_BYTES).await.map_err(cut)?;
            let missing = || stages::ports::BlobError::Missing(blob.clone());
            let piece = piece.ok_or_else(|| cut(missing()))?;
            from += piece.len() as u64;
            let wants_more = body.push(&piece, &mut wire);
            if !wants_more || (piece.len() as u64) < PIECE_BYTES {
                break;
            }
            stream.send(&wire).await?;
            wire.clear();
        }
        body.finish(&mut wire);
        Ok(stream.send(&wire).await?)
    }

    /// Removes what the client marked; answers whether all of it is gone.
    async fn remove(&self, account: Option<&Account>, uids: &UidSet) -> bool {
        let Some(account) = account else { return false };
        let removed = async {
            let mut view = View::open(&self.rim, account.mailbox(), &account.folder).await?;
            mailbox::remove(&self.rim, &mut view, uids).await
        };
        match removed.await {
            Ok(_) => true,
            Err(error) => {
                tracing::error!(error = %error, "messages were not removed");
                false
            }
        }
    }
}

/// Why a mailbox does not answer.
fn unavailable(error: MailboxError) -> Refused {
    tracing::error!(error = %error, "a mailbox could not be read");
    Refused::Temporary
}

#[cfg(test)]
mod tests;
