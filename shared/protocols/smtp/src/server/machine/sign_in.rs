//! AUTH (RFC 4954): inside TLS only, and only where users submit.

use super::{
    super::{
        auth::{self, Exchange, Next},
        reply,
        settings::Role,
    },
    Ask, Asked, Machine, State, Step, Tls,
};

impl Machine {
    pub(super) fn may_sign_in(&self) -> bool {
        self.settings.role == Role::Submission && self.tls == Tls::On
    }

    pub(super) fn auth(&mut self, mechanism: &str, initial: Option<&str>) -> Option<Step> {
        let refusal = if self.settings.role == Role::Exchange {
            Some(reply::NOT_OFFERED)
        } else if self.tls != Tls::On {
            Some(reply::AUTH_NEEDS_TLS)
        } else if self.hello.is_none() {
            Some(reply::HELLO_FIRST)
        } else if self.signed_in {
            Some(reply::AUTH_TWICE)
        } else if self.open.is_some() {
            Some(reply::AUTH_IN_LETTER)
        } else {
            None
        };
        if let Some(reply) = refusal {
            return self.refuse(&reply);
        }
        if let Some(step) = self.count_idle() {
            return Some(step);
        }
        self.next(auth::begin(mechanism, initial))
    }

    pub(super) fn go_on(&mut self, exchange: Exchange, line: &[u8]) -> Option<Step> {
        self.next(auth::go_on(exchange, line))
    }

    fn next(&mut self, next: Next) -> Option<Step> {
        match next {
            Next::Challenge(reply, exchange) => {
                self.reply(&reply);
                self.state = State::Exchange(exchange);
                None
            }
            Next::Done(credentials) => Some(self.ask(Asked::SignIn, Ask::SignIn(credentials))),
            Next::Refused(reply) => self.refuse(&reply),
        }
    }
}
