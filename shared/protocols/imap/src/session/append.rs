//! APPEND (RFC 9051 §6.3.12, RFC 7889).

use bytes::Bytes;
use mime::{Rope, outline::Scanner};
use pec::Instant;
use stages::mailbox::{self, NewMessage};
use tokio::sync::OwnedSemaphorePermit;

use super::{Accounts, Session, Step, Waiting, message};
use crate::{
    command::Append,
    fault::{Ended, Fault, NO_TARGET, done_with},
    outlet::{Gone, Out, Outlet},
};

/// A message on its way in.
pub(super) struct Appending {
    tag: String,
    /// Where it goes, by id; or why nowhere.
    to: Result<Target, Fault>,
}

struct Target {
    folder: String,
    flags: Vec<String>,
    date: Option<i64>,
    octets: Rope,
    scanner: Scanner,
    /// Memory for it, shared with all sessions.
    _room: OwnedSemaphorePermit,
}

impl<A: Accounts> Session<A> {
    /// The beginning: it is refused before its octets come, where that can be known.
    pub(super) async fn append<O: Outlet>(
        &mut self,
        append: Append,
        out: &mut Out<'_, O>,
    ) -> Result<Step, Gone> {
        let (tag, waits) = (append.tag.clone(), append.waits);
        let to = self.target(append).await;
        match to {
            Err(fault) if self.receiver.refuse() => return self.ended(&tag, Err(fault), true, out).await,
            // Who does not wait sends it all the same; the answer comes after it.
            Err(fault) => self.waiting = Waiting::Append(Box::new(Appending { tag, to: Err(fault) })),
            Ok(target) => {
                self.receiver.take();
                if waits {
                    out.line("+ go on").await?;
                }
                self.waiting = Waiting::Append(Box::new(Appending { tag, to: Ok(target) }));
            }
        }
        Ok(Step::More)
    }

    async fn target(&self, append: Append) -> Result<Target, Fault> {
        let mailbox = self.mailbox()?;
        if append.size > self.host.limits.append_bytes {
            return Err(Fault::No("TOOBIG", "the message is too large"));
        }
        let name = self.name(&append.mailbox)?;
        let tree = mailbox::tree(&self.host.rim, &mailbox.id).await?;
        let folder = tree.find(&name).ok_or(NO_TARGET)?.id.clone();
        let used = mailbox::quota(&self.host.rim, &mailbox.id).await?;
        if used.bytes.saturating_add(append.size) > mailbox.quota_bytes {
            return Err(Fault::No("OVERQUOTA", "there is not enough room"));
        }
        // Waited for: the client is slowed down, and nothing piles up.
        let kib = u32::try_from(append.size / 1024 + 1).unwrap_or(u32::MAX).min(self.host.room_kib);
        let room = self.host.room.clone().acquire_many_owned(kib).await;
        let room = room.map_err(|_| Fault::No("UNAVAILABLE", "the door is closing"))?;
        let flags = append.flags.into_iter().filter(|flag| !flag.eq_ignore_ascii_case("\\Recent")).collect();
        Ok(Target {
            folder,
            flags,
            date: append.date,
            octets: Rope::new(),
            scanner: Scanner::new(),
            _room: room,
        })
    }

    /// More of it.
    pub(super) fn append_more(&mut self, octets: Bytes) {
        let Waiting::Append(appending) = &mut self.waiting else { return };
        let Ok(target) = &mut appending.to else { return };
        // RFC 9051 §4.3: only a literal8 may hold NUL, and none that is kept here (RFC 3516 §4.4 lets a server refuse).
        if octets.contains(&0) {
            appending.to = Err(Fault::No("UNKNOWN-CTE", "NUL is not kept"));
            self.receiver.unwant();
            return;
        }
        target.scanner.push(&octets);
        target.octets.push(octets);
    }

    /// The end of it.
    pub(super) async fn appended<O: Outlet>(
        &mut self,
        whole: bool,
        out: &mut Out<'_, O>,
    ) -> Result<Step, Gone> {
        let waiting = std::mem::replace(&mut self.waiting, Waiting::Command);
        let Waiting::Append(appending) = waiting else { return Ok(Step::More) };
        let Appending { tag, to } = *appending;
        let ended = match to {
            Err(fault) => Err(fault),
            Ok(_) if !whole => Err(Fault::Bad("APPEND takes one message")),
            Ok(target) => self.keep(target).await,
        };
        self.ended(&tag, ended, true, out).await
    }

    async fn keep(&mut self, target: Target) -> Ended {
        let mailbox = self.mailbox()?;
        let message = NewMessage {
            octets: target.octets,
            flags: target.flags,
            received_at: target.date.map(Instant::from_unix_s),
            structure: message::kept(&target.scanner.finish()),
        };
        let kept =
            mailbox::append(&self.host.rim, &mailbox.id, &target.folder, message, mailbox.quota_bytes).await;
        let appended = kept.map_err(|error| Fault::from(error).or_try_create())?;
        if self.selected.as_ref().is_some_and(|s| s.view.state().id == target.folder) {
            self.refresh().await?;
        }
        done_with(format!("APPENDUID {} {}", appended.uidvalidity, appended.uid), "appended")
    }
}
