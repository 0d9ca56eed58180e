//! Signing in, and what the client may switch on (RFC 9051 §6.1.1, §6.2, §6.3.1).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use stages::{StageError, registry::Mailbox};

use super::{Session, Step, Waiting};
use crate::{
    fault::{Ended, Fault, done_with},
    outlet::{Gone, Out, Outlet},
};

/// Who may sign in.
pub trait Accounts: Send {
    /// Somebody who signed in.
    type SignedIn: Send + Sync;
    /// Looks at a name and a password.
    fn sign_in(
        &self,
        user: &str,
        password: &str,
    ) -> impl Future<Output = Result<Self::SignedIn, NotIn>> + Send;
    /// The mailbox of somebody who signed in.
    fn mailbox(signed_in: &Self::SignedIn) -> &Mailbox;
    /// Whether a session may go on: the mailbox is not disabled, the password not revoked. Asked from time to time.
    fn still(&self, signed_in: &Self::SignedIn) -> impl Future<Output = bool> + Send;
}

/// Why somebody does not sign in.
#[derive(Debug)]
pub enum NotIn {
    /// Name or password are wrong, or it is nobody who may.
    Wrong,
    /// Not looked at: too many failures before.
    TooMany,
    /// Ours.
    Stage(StageError),
}

/// What is always there.
const ALWAYS: &str = "IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ENABLE ID IDLE";
/// What is there for strangers.
const STRANGERS: &str = "AUTH=PLAIN";
/// What is there for users.
const USERS: &str = "NAMESPACE CHILDREN LIST-EXTENDED LIST-STATUS SPECIAL-USE CREATE-SPECIAL-USE UIDPLUS UNSELECT MOVE \
                     ESEARCH SEARCHRES SORT ESORT CONDSTORE QRESYNC BINARY QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE \
                     STATUS=SIZE UTF8=ACCEPT";

impl<A: Accounts> Session<A> {
    pub(super) fn capabilities(&self) -> String {
        match self.signed_in {
            None => format!("{ALWAYS} {STRANGERS}"),
            Some(_) => format!("{ALWAYS} {USERS} APPENDLIMIT={}", self.host.limits.append_bytes),
        }
    }

    pub(super) async fn login(&mut self, user: &[u8], password: &[u8]) -> Ended {
        if self.signed_in.is_some() {
            return Err(Fault::Bad("somebody has signed in already"));
        }
        let wrong = Fault::No("AUTHENTICATIONFAILED", "name or password is wrong");
        let (Ok(user), Ok(password)) = (std::str::from_utf8(user), std::str::from_utf8(password)) else {
            self.mistakes += 1;
            return Err(wrong);
        };
        match self.accounts.sign_in(user, password).await {
            Ok(signed_in) => {
                self.signed_in = Some(Box::new(signed_in));
                self.receiver.signed_in();
                self.mistakes = 0;
                done_with(format!("CAPABILITY {}", self.capabilities()), "signed in")
            }
            Err(NotIn::Wrong) => {
                self.mistakes += 1;
                Err(wrong)
            }
            Err(NotIn::TooMany) => {
                self.mistakes += 1;
                Err(Fault::No("LIMIT", "there were too many failures, try again later"))
            }
            Err(NotIn::Stage(error)) => Err(error.into()),
        }
    }

    /// SASL PLAIN (RFC 4616), the only one: TLS is there.
    pub(super) async fn authenticate<O: Outlet>(
        &mut self,
        tag: String,
        mechanism: &str,
        initial: Option<Vec<u8>>,
        out: &mut Out<'_, O>,
    ) -> Result<Step, Gone> {
        if mechanism != "PLAIN" {
            let ended = Err(Fault::No("", "only PLAIN is known"));
            return self.ended(&tag, ended, true, out).await;
        }
        match initial {
            Some(response) => {
                let ended = self.plain(&response).await;
                self.ended(&tag, ended, true, out).await
            }
            None if self.signed_in.is_some() => {
                let ended = Err(Fault::Bad("somebody has signed in already"));
                self.ended(&tag, ended, true, out).await
            }
            None => {
                out.line("+ ").await?;
                self.waiting = Waiting::Credentials(tag);
                self.receiver.expect_line();
                Ok(Step::More)
            }
        }
    }

    /// The line that was asked for.
    pub(super) async fn credentials<O: Outlet>(
        &mut self,
        tag: &str,
        line: &[u8],
        out: &mut Out<'_, O>,
    ) -> Result<Step, Gone> {
        let ended = match (line, STANDARD.decode(line)) {
            (b"*", _) => Err(Fault::Bad("as you like")),
            (_, Err(_)) => Err(Fault::Bad("this is not base64")),
            (_, Ok(response)) => self.plain(&response).await,
        };
        self.ended(tag, ended, true, out).await
    }

    async fn plain(&mut self, response: &[u8]) -> Ended {
        let mut parts = response.split(|octet| *octet == 0);
        let (Some(who), Some(user), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Fault::Bad("this is no message of PLAIN"));
        };
        if !who.is_empty() && who != user {
            return Err(Fault::No("AUTHORIZATIONFAILED", "nobody acts for somebody else here"));
        }
        self.login(user, password).await
    }

    /// ENABLE: what is not known is left out of the answer.
    pub(super) async fn enable<O: Outlet>(&mut self, names: &[String], out: &mut Out<'_, O>) -> Ended {
        let mut enabled = String::new();
        for name in names {
            match name.as_str() {
                "CONDSTORE" => self.enabled.condstore = true,
                "QRESYNC" => (self.enabled.condstore, self.enabled.qresync) = (true, true),
                "IMAP4REV2" => (self.enabled.rev2, self.enabled.utf8) = (true, true),
                "UTF8=ACCEPT" => self.enabled.utf8 = true,
                _ => continue,
            }
            enabled.push(' ');
            enabled.push_str(if name == "IMAP4REV2" { "IMAP4rev2" } else { name });
        }
        out.line(format!("* ENABLED{enabled}")).await?;
        done_with(String::new(), "enabled")
    }
}
