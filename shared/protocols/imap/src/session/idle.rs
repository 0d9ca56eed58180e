//! IDLE (RFC 9051 §6.3.13).

use stages::mailbox::Ear;

use super::{Accounts, Session, Step, Waiting};
use crate::{
    fault::{Fault, done},
    outlet::{Gone, Out, Outlet},
};

/// A client that waits for news.
pub(super) struct Idle {
    tag: String,
    ear: Ear,
}

impl<A: Accounts> Session<A> {
    pub(super) async fn idle<O: Outlet>(&mut self, tag: String, out: &mut Out<'_, O>) -> Result<Step, Gone> {
        // Listened to first, looked at then: nothing falls in between.
        let ear = match self.mailbox() {
            Ok(mailbox) => self.host.rim.bells.listen(&mailbox.id),
            Err(fault) => return self.ended(&tag, Err(fault), true, out).await,
        };
        if let Err(fault) = self.refresh().await {
            return self.ended(&tag, Err(fault), true, out).await;
        }
        out.line("+ idling").await?;
        self.tell(true, out).await?;
        self.waiting = Waiting::Idle(Idle { tag, ear });
        self.receiver.expect_line();
        Ok(Step::More)
    }

    /// Waits until something changed, as long as the client is idle; for ever if it is not.
    pub async fn changed(&mut self) {
        match &mut self.waiting {
            Waiting::Idle(idle) => idle.ear.rung().await,
            _ => std::future::pending().await,
        }
    }

    /// Looks again, and tells an idle client what is new.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn update(&mut self, outlet: &mut impl Outlet) -> Result<Step, Gone> {
        if !self.is_idle() {
            return Ok(Step::More);
        }
        let mut out = Out::new(outlet, self.enabled.utf8);
        let looked = self.refresh().await;
        self.tell(true, &mut out).await?;
        match looked {
            Ok(()) => {}
            Err(Fault::Deleted) => {
                out.line("* BYE the mailbox was deleted").await?;
                out.flush().await?;
                return Ok(Step::End);
            }
            // It is looked at again.
            Err(Fault::Stage(error)) => {
                tracing::warn!(error = %error, "an idle session was not brought up to date")
            }
            Err(_) => {}
        }
        out.flush().await?;
        Ok(Step::More)
    }

    pub(super) async fn idle_ends<O: Outlet>(
        &mut self,
        idle: &Idle,
        line: &[u8],
        out: &mut Out<'_, O>,
    ) -> Result<Step, Gone> {
        let ended = match line.eq_ignore_ascii_case(b"DONE") {
            true => done("no more idle"),
            false => Err(Fault::Bad("DONE ends IDLE")),
        };
        self.ended(&idle.tag, ended, true, out).await
    }
}
