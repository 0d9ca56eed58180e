//! Commands and when they may come.

use super::{
    super::{
        command::Command,
        data::{Dots, Message},
        reply::{self, Reply, write_lines},
        settings::Role,
    },
    Ask, Asked, Machine, State, Step, Tls,
};

impl Machine {
    pub(super) fn command(&mut self, line: &[u8]) -> Option<Step> {
        let command = match Command::parse(line) {
            Ok(command) => command,
            // The octets of the chunk would be taken for commands.
            Err(reply) if reply == reply::BAD_BDAT => return Some(self.close(&reply)),
            Err(reply) => return self.refuse(&reply),
        };
        if self.draining && self.open.is_none() && command != Command::Quit {
            return Some(self.close(&reply::CLOSING));
        }
        match command {
            Command::Hello { name, extended } => self.greet(name, extended),
            Command::Mail { path, size_bytes } => self.mail(path, size_bytes),
            Command::Rcpt { path } => self.rcpt(path),
            Command::Data => self.begin_data(),
            Command::Bdat { octets, last } => self.begin_chunk(octets, last),
            Command::Rset => self.reset(),
            Command::Noop => self.idle(&reply::OK),
            Command::Vrfy => self.idle(&reply::CANNOT_VERIFY),
            Command::Help => self.idle(&Reply::new(214, "2.0.0", "see RFC 5321")),
            Command::Quit => Some(self.close(&reply::BYE)),
            Command::StartTls => self.start_tls(),
            Command::Auth { mechanism, initial } => self.auth(mechanism, initial),
            Command::Http => Some(self.close(&reply::NO_HTTP)),
        }
    }

    fn greet(&mut self, name: &str, extended: bool) -> Option<Step> {
        if let Some(step) = self.count_idle() {
            return Some(step);
        }
        // RFC 5321 §4.1.4: as RSET.
        let forget = self.open.take().is_some();
        self.hello = Some(name.to_owned());
        if extended {
            let size = format!("SIZE {}", self.settings.size_bytes_max);
            let mut lines: Vec<&str> = vec![&self.settings.name, "PIPELINING", &size];
            if self.tls == Tls::Offered {
                lines.push("STARTTLS");
            }
            if self.may_sign_in() {
                lines.push("AUTH PLAIN LOGIN");
            }
            // No 8BITMIME, no SMTPUTF8: spec 0.2 D4.
            lines.extend(["ENHANCEDSTATUSCODES", "CHUNKING"]);
            write_lines(250, &lines, &mut self.out);
        } else {
            self.reply(&Reply::bare(250, self.settings.name.clone()));
        }
        forget.then_some(Step::Forget)
    }

    fn mail(&mut self, path: &str, size_bytes: Option<u64>) -> Option<Step> {
        if let Some(reply) = self.not_ready() {
            return self.refuse(&reply);
        }
        if self.open.is_some() {
            return self.refuse(&reply::NESTED_MAIL);
        }
        // RFC 1870 §6.1: before the first octet is sent.
        if size_bytes.is_some_and(|size| size > self.settings.size_bytes_max) {
            return self.refuse(&reply::TOO_LARGE);
        }
        let sender = (!path.is_empty()).then(|| path.to_owned());
        Some(self.ask(Asked::Sender(sender.clone()), Ask::Sender(sender)))
    }

    /// What has to come before a letter.
    fn not_ready(&self) -> Option<Reply> {
        if self.settings.role == Role::Submission && self.tls != Tls::On {
            return Some(reply::TLS_FIRST);
        }
        if self.hello.is_none() {
            return Some(reply::HELLO_FIRST);
        }
        (self.settings.role == Role::Submission && !self.signed_in).then_some(reply::SIGN_IN_FIRST)
    }

    fn rcpt(&mut self, path: &str) -> Option<Step> {
        match &self.open {
            None => self.refuse(&reply::NO_MAIL),
            Some(open) if open.chunked.is_some() => self.refuse(&reply::IN_CHUNKS),
            // No error: the client sends to those before, and to these in the next letter.
            Some(open) if open.paths.forward_paths.len() >= self.settings.recipients_max => {
                self.reply(&reply::TOO_MANY_RECIPIENTS);
                None
            }
            Some(_) => Some(self.ask(Asked::Recipient(path.to_owned()), Ask::Recipient(path.to_owned()))),
        }
    }

    fn begin_data(&mut self) -> Option<Step> {
        let refusal = match &self.open {
            None => Some(reply::NO_MAIL),
            Some(open) if open.chunked.is_some() => Some(reply::IN_CHUNKS),
            Some(open) if open.paths.forward_paths.is_empty() => Some(reply::NO_RECIPIENT),
            Some(_) => None,
        };
        if let Some(reply) = refusal {
            return self.refuse(&reply);
        }
        self.reply(&Reply::bare(354, "end with CR LF . CR LF"));
        self.state = State::Data(Dots::default(), Message::default());
        None
    }

    fn reset(&mut self) -> Option<Step> {
        let forget = self.open.take().is_some();
        let step = self.idle(&reply::RESET);
        if forget && step.is_none() { Some(Step::Forget) } else { step }
    }

    fn start_tls(&mut self) -> Option<Step> {
        match self.tls {
            Tls::On => return self.refuse(&reply::TLS_TWICE),
            Tls::Absent => return self.refuse(&reply::NOT_OFFERED),
            Tls::Offered => {}
        }
        self.open = None;
        self.reply(&Reply::new(220, "2.0.0", "go ahead"));
        self.state = State::Handshake;
        Some(Step::StartTls)
    }

    /// Answers what carries no letter on, until there is too much of it.
    pub(super) fn idle(&mut self, reply: &Reply) -> Option<Step> {
        if let Some(step) = self.count_idle() {
            return Some(step);
        }
        self.reply(reply);
        None
    }

    pub(super) fn count_idle(&mut self) -> Option<Step> {
        self.idle_commands += 1;
        (self.idle_commands > self.settings.idle_commands_per_minute)
            .then(|| self.close(&reply::TOO_MANY_COMMANDS))
    }

    pub(super) fn ask(&mut self, asked: Asked, ask: Ask) -> Step {
        self.state = State::Asked(asked);
        Step::Ask(ask)
    }
}
