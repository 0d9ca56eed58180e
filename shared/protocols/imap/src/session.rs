//! One session: octets in, octets out. It has no socket and no clock.

mod append;
mod change;
mod fetch;
mod folders;
mod idle;
mod message;
mod search;
mod select;
mod selected;
mod sign_in;

use std::sync::Arc;

use stages::{Rim, registry::Mailbox};
use tokio::sync::Semaphore;

use crate::{
    Limits,
    command::{By, Command, Verb},
    fault::{Done, Ended, Fault, done},
    grammar::Bad,
    outlet::{Gone, Out, Outlet},
    receiver::{Input, Receiver},
    views::Views,
};
use append::Appending;
use idle::Idle;
use selected::Selected;
pub use sign_in::{Accounts, NotIn};

/// What all sessions of a process share.
pub struct Host {
    rim: Rim,
    limits: Limits,
    views: Views,
    /// Octets of messages that are being appended, over all sessions, in KiB.
    room: Arc<Semaphore>,
    room_kib: u32,
}

impl Host {
    /// `room_bytes` of memory for messages that are being appended, over all sessions: at least one of the largest fits.
    #[must_use]
    pub fn new(rim: Rim, limits: Limits, room_bytes: u64) -> Self {
        let room_kib = u32::try_from(room_bytes.max(limits.append_bytes) / 1024 + 1).unwrap_or(u32::MAX / 8);
        let room = Arc::new(Semaphore::new(usize::try_from(room_kib).unwrap_or(Semaphore::MAX_PERMITS)));
        Self { rim, limits, views: Views::default(), room, room_kib }
    }
}

/// Whether a session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There may be more to do at once.
    More,
    /// Octets must come first.
    Wait,
    /// It is over, and the client was told.
    End,
}

/// What the client has switched on.
#[derive(Clone, Copy, Debug, Default)]
struct Enabled {
    condstore: bool,
    qresync: bool,
    rev2: bool,
    utf8: bool,
}

/// What the next line is for.
enum Waiting {
    Command,
    /// The answer to AUTHENTICATE, under this tag.
    Credentials(String),
    Idle(Idle),
    Append(Box<Appending>),
}

/// A session. [`Session::push`] what comes, [`Session::step`] until it waits.
pub struct Session<A: Accounts> {
    host: Arc<Host>,
    accounts: A,
    receiver: Receiver,
    signed_in: Option<Box<A::SignedIn>>,
    selected: Option<Box<Selected>>,
    enabled: Enabled,
    waiting: Waiting,
    mistakes: u32,
    commands: u64,
}

impl<A: Accounts> Session<A> {
    /// A session of somebody who has not signed in yet.
    pub fn new(host: Arc<Host>, accounts: A) -> Self {
        let receiver = Receiver::new(host.limits.clone());
        Self {
            host,
            accounts,
            receiver,
            signed_in: None,
            selected: None,
            enabled: Enabled::default(),
            waiting: Waiting::Command,
            mistakes: 0,
            commands: 0,
        }
    }

    /// Whether somebody has signed in.
    #[must_use]
    pub const fn is_signed_in(&self) -> bool {
        self.signed_in.is_some()
    }

    /// Whether the session may go on: see [`Accounts::still`].
    pub async fn may_go_on(&self) -> bool {
        match self.signed_in.as_deref() {
            Some(signed_in) => self.accounts.still(signed_in).await,
            None => true,
        }
    }

    /// Whether the client waits for news: [`Session::changed`] says when to call [`Session::update`].
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        matches!(self.waiting, Waiting::Idle(_))
    }

    /// Whether something has begun to come whose end must follow, and how many octets of a message are still to come.
    #[must_use]
    pub fn owes(&self) -> Option<u64> {
        self.receiver.owes()
    }

    /// Commands so far, understood or not: what a pace is kept by.
    #[must_use]
    pub const fn commands(&self) -> u64 {
        self.commands
    }

    /// The greeting.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn greet(&mut self, outlet: &mut impl Outlet) -> Result<(), Gone> {
        let mut out = Out::new(outlet, false);
        let capabilities = self.capabilities();
        out.line(format!("* OK [CAPABILITY {capabilities}] Sigillo")).await?;
        out.flush().await
    }

    /// The last words of a session that we end.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn goodbye(&mut self, outlet: &mut impl Outlet, words: &str) -> Result<(), Gone> {
        let mut out = Out::new(outlet, false);
        out.line(format!("* BYE {words}")).await?;
        out.flush().await
    }

    /// What has come. Only after [`Session::step`] said that it waits.
    pub fn push(&mut self, octets: &[u8]) {
        self.receiver.push(octets);
    }

    /// Does the next thing that can be done with what has come.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn step(&mut self, outlet: &mut impl Outlet) -> Result<Step, Gone> {
        let Some(input) = self.receiver.input() else { return Ok(Step::Wait) };
        let mut out = Out::new(outlet, self.enabled.utf8);
        let step = self.take(input, &mut out).await?;
        out.flush().await?;
        if step == Step::More && self.mistakes >= self.host.limits.mistakes {
            out.line("* BYE too many mistakes").await?;
            out.flush().await?;
            return Ok(Step::End);
        }
        Ok(step)
    }

    async fn take<O: Outlet>(&mut self, input: Input, out: &mut Out<'_, O>) -> Result<Step, Gone> {
        match input {
            Input::Continue => out.line("+ go on").await?,
            Input::Fatal(why) => {
                out.line(format!("* BYE {why}")).await?;
                return Ok(Step::End);
            }
            Input::Bad(Bad { tag, why, charset }) => {
                self.commands += 1;
                self.mistakes += 1;
                let tag = tag.as_deref().unwrap_or("*");
                let condition = if charset { "NO [BADCHARSET (US-ASCII UTF-8)]" } else { "BAD" };
                out.line(format!("{tag} {condition} {why}")).await?;
            }
            Input::Line(line) => return self.answer(&line, out).await,
            Input::Append(append) => {
                self.commands += 1;
                return self.append(append, out).await;
            }
            Input::Data(octets) => self.append_more(octets),
            Input::Appended(whole) => return self.appended(whole, out).await,
            Input::Command(command) => {
                self.commands += 1;
                return self.command(command, out).await;
            }
        }
        Ok(Step::More)
    }

    async fn command<O: Outlet>(&mut self, command: Command, out: &mut Out<'_, O>) -> Result<Step, Gone> {
        let Command { tag, verb } = command;
        match verb {
            Verb::Logout => {
                out.line("* BYE").await?;
                out.line(format!("{tag} OK signed out")).await?;
                return Ok(Step::End);
            }
            Verb::Authenticate { mechanism, initial } => {
                return self.authenticate(tag, &mechanism, initial, out).await;
            }
            Verb::Idle => return self.idle(tag, out).await,
            _ => {}
        }
        // RFC 9051 §7.5.1: no sequence number changes while these are answered.
        let stable = match &verb {
            Verb::Fetch(fetch) => fetch.by == By::Sequence,
            Verb::Store(store) => store.by == By::Sequence,
            Verb::Search(search) => search.by == By::Sequence,
            _ => false,
        };
        let ended = self.verb(&tag, verb, out).await;
        self.ended(&tag, ended, !stable, out).await
    }

    /// The last lines of an answer: news, then the tagged one.
    async fn ended<O: Outlet>(
        &mut self,
        tag: &str,
        ended: Ended,
        expunges: bool,
        out: &mut Out<'_, O>,
    ) -> Result<Step, Gone> {
        if matches!(ended, Err(Fault::Gone)) {
            return Err(Gone);
        }
        self.tell(expunges, out).await?;
        let fault = match ended {
            Ok(Done { code, text }) => {
                let code = if code.is_empty() { code } else { format!("[{code}] ") };
                out.line(format!("{tag} OK {code}{text}")).await?;
                return Ok(Step::More);
            }
            Err(fault) => fault,
        };
        match &fault {
            Fault::Bad(_) => self.mistakes += 1,
            Fault::Stage(error) => tracing::warn!(error = %error, "a command of IMAP was not done"),
            Fault::Deleted => {
                self.selected = None;
                out.line("* BYE the mailbox was deleted").await?;
                return Ok(Step::End);
            }
            Fault::Gone | Fault::No(..) => {}
        }
        let (condition, code, text) = fault.words();
        let code = if code.is_empty() { String::new() } else { format!("[{code}] ") };
        out.line(format!("{tag} {condition} {code}{text}")).await?;
        Ok(Step::More)
    }

    async fn verb<O: Outlet>(&mut self, tag: &str, verb: Verb, out: &mut Out<'_, O>) -> Ended {
        match verb {
            Verb::Capability => {
                let capabilities = self.capabilities();
                out.line(format!("* CAPABILITY {capabilities}")).await?;
                done("that is all")
            }
            Verb::Noop | Verb::Check => {
                if matches!(verb, Verb::Check) {
                    self.selected()?;
                }
                self.refresh().await?;
                done("done")
            }
            Verb::Id => {
                out.line("* ID (\"name\" \"Sigillo\")").await?;
                done("done")
            }
            Verb::StartTls => Err(Fault::Bad("TLS is there already")),
            Verb::Login { user, password } => self.login(&user, &password.0).await,
            _ => {
                self.mailbox()?;
                self.verb_of_user(tag, verb, out).await
            }
        }
    }

    async fn verb_of_user<O: Outlet>(&mut self, tag: &str, verb: Verb, out: &mut Out<'_, O>) -> Ended {
        match verb {
            Verb::Enable(names) => self.enable(&names, out).await,
            Verb::Select(select) => self.select(select, out).await,
            Verb::Create { mailbox, special_use } => self.create(&mailbox, &special_use).await,
            Verb::Delete(mailbox) => self.delete(&mailbox).await,
            Verb::Rename { from, to } => self.rename(&from, &to).await,
            Verb::Subscribe(mailbox) => self.subscribe(&mailbox, true).await,
            Verb::Unsubscribe(mailbox) => self.subscribe(&mailbox, false).await,
            Verb::List(list) => self.list(&list, out).await,
            Verb::Lsub { reference, pattern } => self.lsub(&reference, &pattern, out).await,
            Verb::Namespace => {
                out.line("* NAMESPACE ((\"\" \"/\")) NIL NIL").await?;
                done("done")
            }
            Verb::Status { mailbox, items } => self.status(&mailbox, &items, out).await,
            Verb::GetQuota(root) => self.quota(&root, out).await,
            Verb::GetQuotaRoot(mailbox) => self.quota_root(&mailbox, out).await,
            Verb::SetQuota => Err(Fault::No("NOPERM", "the provider sets the quota")),
            _ => {
                self.selected()?;
                self.verb_of_selected(tag, verb, out).await
            }
        }
    }

    async fn verb_of_selected<O: Outlet>(&mut self, tag: &str, verb: Verb, out: &mut Out<'_, O>) -> Ended {
        match verb {
            Verb::Close => self.close().await,
            Verb::Unselect => {
                self.selected = None;
                done("closed")
            }
            Verb::Expunge(set) => self.expunge(set).await,
            Verb::Search(search) => self.search(tag, search, out).await,
            Verb::Fetch(fetch) => self.fetch(fetch, out).await,
            Verb::Store(store) => self.store(store, out).await,
            Verb::Copy { by, set, to, moves } => self.copy(by, &set, &to, moves, out).await,
            _ => Err(Fault::Bad("this command has no place here")),
        }
    }

    /// A line that answers us.
    async fn answer<O: Outlet>(&mut self, line: &[u8], out: &mut Out<'_, O>) -> Result<Step, Gone> {
        match std::mem::replace(&mut self.waiting, Waiting::Command) {
            Waiting::Credentials(tag) => self.credentials(&tag, line, out).await,
            Waiting::Idle(idle) => self.idle_ends(&idle, line, out).await,
            Waiting::Command | Waiting::Append(_) => Ok(Step::More),
        }
    }

    /// Who signed in.
    fn mailbox(&self) -> Result<&Mailbox, Fault> {
        self.signed_in.as_deref().map(A::mailbox).ok_or(Fault::Bad("sign in first"))
    }

    fn selected(&mut self) -> Result<&mut Selected, Fault> {
        self.selected.as_deref_mut().ok_or(Fault::Bad("select a mailbox first"))
    }
}

#[cfg(test)]
mod tests;
