//! A session with a provider that is a few fixed rules.

use std::sync::Arc;

use sigillo_smtp::server::{Ask, Machine, Reply, Role, Settings, Step, Tls, Transaction};

pub const USER: &str = "mittente@pec.alfa.example";
pub const PASSWORD: &str = "giusta";

/// What one session became.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Everything that was sent.
    pub said: String,
    /// Every message that was taken.
    pub taken: Vec<(Transaction, Vec<u8>)>,
    /// TLS was asked for.
    pub handshakes: usize,
    pub closed: bool,
    /// The most octets of a message that were held, and of replies.
    pub content_bytes_max: usize,
    pub output_bytes_max: usize,
}

/// One session.
pub struct Talk {
    pub machine: Machine,
    pub outcome: Outcome,
    role: Role,
    content: Vec<u8>,
}

impl Talk {
    pub fn new(settings: Settings, tls: Tls) -> Self {
        let role = settings.role;
        let machine = Machine::new(Arc::new(settings), tls);
        Self { machine, outcome: Outcome::default(), role, content: Vec::new() }
    }

    pub fn exchange() -> Self {
        Self::new(Settings::new(Role::Exchange, "mx.alfa.example"), Tls::Offered)
    }

    /// A user who has signed in.
    pub fn user() -> Self {
        let mut talk = Self::new(Settings::new(Role::Submission, "invio.alfa.example"), Tls::On);
        talk.say(b"EHLO client.example\r\nAUTH PLAIN AG1pdHRlbnRlQHBlYy5hbGZhLmV4YW1wbGUAZ2l1c3Rh\r\n");
        assert!(talk.outcome.said.contains("235 2.7.0"), "{}", talk.outcome.said);
        talk.outcome.said.clear();
        talk
    }

    /// Says these octets at once.
    pub fn say(&mut self, octets: &[u8]) {
        let mut at = 0;
        while !self.outcome.closed {
            let (used, step) = self.machine.feed(&octets[at..], &mut self.content);
            at += used;
            let more = step == Step::More;
            self.does(step);
            if more && at == octets.len() {
                break;
            }
        }
        self.hear();
    }

    /// Says them one after the other, in pieces of at most this size.
    pub fn say_in_pieces(&mut self, octets: &[u8], piece: usize) {
        octets.chunks(piece).for_each(|piece| self.say(piece));
    }

    pub fn does(&mut self, step: Step) {
        let held = &mut self.outcome.content_bytes_max;
        *held = self.content.len().max(*held);
        let out = &mut self.outcome.output_bytes_max;
        *out = self.machine.output_bytes().max(*out);
        match step {
            Step::More => {}
            Step::Forget => self.content.clear(),
            Step::StartTls => self.outcome.handshakes += 1,
            Step::Close => self.outcome.closed = true,
            Step::Ask(ask) => {
                let reply = self.provider(ask);
                let step = self.machine.answer(&reply);
                self.does(step);
            }
        }
    }

    /// What was sent since it was last asked.
    pub fn hear(&mut self) -> String {
        let said = String::from_utf8(self.machine.output()).unwrap();
        self.outcome.said.push_str(&said);
        said
    }

    fn provider(&mut self, ask: Ask) -> Reply {
        let yes = |text: &'static str| Reply::new(250, "2.0.0", text);
        match ask {
            Ask::SignIn(who) if (who.user.as_str(), who.password.as_str()) == (USER, PASSWORD) => {
                yes("welcome")
            }
            Ask::SignIn(_) => Reply::new(535, "5.7.8", "wrong address or password"),
            Ask::Sender(path) if self.role == Role::Submission && path.as_deref() != Some(USER) => {
                Reply::new(550, "5.7.1", "this is not your address")
            }
            Ask::Sender(_) => Reply::new(250, "2.1.0", "OK"),
            Ask::Recipient(path) if self.role == Role::Exchange && !path.ends_with("@pec.alfa.example") => {
                Reply::new(550, "5.7.1", "relay denied")
            }
            Ask::Recipient(_) => Reply::new(250, "2.1.5", "OK"),
            Ask::Take(transaction) => {
                let content = std::mem::take(&mut self.content);
                if content.starts_with(b"Subject: occupato") {
                    return Reply::new(451, "4.3.0", "try again later");
                }
                self.outcome.taken.push((transaction, content));
                Reply::new(250, "2.0.0", format!("taken as {}", self.outcome.taken.len()))
            }
        }
    }
}
