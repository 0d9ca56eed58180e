//! What a door offers, and its bounds.

/// What a door is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Users who sign in (RFC 6409): nothing without TLS and AUTH.
    Submission,
    /// Other providers and ordinary mail (RFC 5321): TLS is offered, nobody signs in.
    Exchange,
}

/// What one door offers and what it bears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Our name in the greeting.
    pub name: String,
    /// What the door is for.
    pub role: Role,
    /// Octets of a message at most, dot-unstuffed; announced as SIZE.
    pub size_bytes_max: u64,
    /// Recipients of a transaction; RFC 5321 §4.5.3.1.8 asks for 100.
    pub recipients_max: usize,
    /// Refusals without a letter between them, before the session is closed.
    pub errors_max: u32,
    /// Refused sign-ins of a session before it is closed.
    pub sign_in_failures_max: u32,
    /// Commands in a minute that carry no letter on (NOOP, RSET, EHLO, ...), without a letter between them.
    pub idle_commands_per_minute: u32,
}

impl Settings {
    /// What a door of this role usually bears. The lawful limits of recipients and size are lower, and make a
    /// notice (spec 0.2 D3); these are the technical ones.
    #[must_use]
    pub fn new(role: Role, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            role,
            size_bytes_max: 100 << 20,
            recipients_max: 1000,
            errors_max: 20,
            sign_in_failures_max: 3,
            idle_commands_per_minute: 120,
        }
    }
}
