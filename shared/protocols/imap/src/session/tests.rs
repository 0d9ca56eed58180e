//! Transcripts: what a client says, and what it hears.

mod attacks;
mod authentication;
mod fetching;
mod folders;
mod searching;
mod several;
mod storing;

use std::sync::Arc;

use sigillo_tests::world::{ALFA, World, exec};
use stages::registry::Mailbox;

use super::*;

/// One account: `mittente`, with the password `segreta`.
pub(super) struct OneAccount(Mailbox);

impl Accounts for OneAccount {
    type SignedIn = Mailbox;
    async fn sign_in(&self, user: &str, password: &str) -> Result<Mailbox, NotIn> {
        match (user, password) {
            ("mittente", "segreta") => Ok(self.0.clone()),
            ("mittente", "troppe") => Err(NotIn::TooMany),
            ("mittente", "guasta") => Err(NotIn::Stage(stages::StageError::Raced)),
            _ => Err(NotIn::Wrong),
        }
    }
    fn mailbox(signed_in: &Mailbox) -> &Mailbox {
        signed_in
    }
    async fn still(&self, _: &Mailbox) -> bool {
        true
    }
}

/// A provider with all ports in memory, and its door.
pub(super) struct Provider {
    pub(super) world: World,
    host: Arc<Host>,
    account: Mailbox,
}

impl Provider {
    pub(super) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(super) fn with(limits: Limits) -> Self {
        let world = World::of(&ALFA);
        let account = ALFA.mailboxes().into_iter().next().unwrap();
        let host = Arc::new(Host::new(world.rim(), limits, 1 << 20));
        Self { world, host, account }
    }

    /// The same provider in another process: what was only in memory is gone.
    pub(super) fn restarted(self) -> Self {
        let host = Arc::new(Host::new(self.world.rim(), Limits::default(), 1 << 20));
        Self { host, ..self }
    }

    /// A client that was greeted.
    pub(super) fn stranger(&self) -> Client {
        let mut session = Session::new(self.host.clone(), OneAccount(self.account.clone()));
        let mut heard = Vec::new();
        exec::run(session.greet(&mut heard)).unwrap().unwrap();
        assert!(heard.starts_with(b"* OK [CAPABILITY IMAP4rev1"), "{}", String::from_utf8_lossy(&heard));
        Client { session, tag: 0, ended: false }
    }

    /// A client that has signed in.
    pub(super) fn client(&self) -> Client {
        let mut client = self.stranger();
        let heard = client.say("LOGIN mittente segreta");
        assert!(heard.contains("OK [CAPABILITY IMAP4rev1"), "{heard}");
        client
    }

    /// A client that has selected INBOX, where messages with these bodies are.
    pub(super) fn inbox(&self, messages: &[&str]) -> Client {
        let mut client = self.client();
        for message in messages {
            client.append("INBOX", message);
        }
        client.say("SELECT INBOX");
        client
    }
}

pub(super) struct Client {
    pub(super) session: Session<OneAccount>,
    tag: u32,
    pub(super) ended: bool,
}

impl Client {
    /// Everything that is heard after these octets.
    pub(super) fn send(&mut self, octets: &[u8]) -> String {
        let mut heard = Vec::new();
        self.session.push(octets);
        loop {
            match exec::run(self.session.step(&mut heard)).expect("no waiting").unwrap() {
                Step::More => {}
                Step::Wait => break,
                Step::End => {
                    self.ended = true;
                    break;
                }
            }
        }
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// One command under the next tag, which is `t` in what is heard; line ends are `\n` there.
    pub(super) fn say(&mut self, command: &str) -> String {
        self.tag += 1;
        let tag = format!("t{} ", self.tag);
        let heard = self.send(format!("{tag}{command}\r\n").as_bytes());
        assert!(!heard.replace("\r\n", "").contains(['\r', '\n']) || heard.contains('{'), "{heard}");
        heard.replace(&tag, "t ").replace(&format!("\"t{}\"", self.tag), "\"t\"").replace("\r\n", "\n")
    }

    /// The last line of what is heard.
    pub(super) fn last(&mut self, command: &str) -> String {
        self.say(command).lines().last().unwrap_or_default().to_owned()
    }

    /// Appends a message; answers its UID.
    pub(super) fn append(&mut self, to: &str, message: &str) -> u32 {
        let heard = self.say(&format!("APPEND {to} {{{}+}}\r\n{message}", message.len()));
        let code = heard.split("[APPENDUID ").nth(1).unwrap_or_else(|| panic!("{heard}"));
        code.split([' ', ']']).nth(1).unwrap().parse().unwrap()
    }

    /// What an idle client hears when something has changed.
    pub(super) fn update(&mut self) -> String {
        let mut heard = Vec::new();
        exec::run(self.session.update(&mut heard)).expect("no waiting").unwrap();
        String::from_utf8(heard).unwrap().replace("\r\n", "\n")
    }
}

/// A small message.
pub(super) fn message(subject: &str) -> String {
    format!(
        "From: Mittente <mittente@pec.alfa.example>\r\nTo: destinatario@pec.beta.example\r\nSubject: {subject}\r\n\r\nTesto di {subject}.\r\n"
    )
}
