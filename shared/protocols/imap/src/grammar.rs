//! The grammar (RFC 9051 §9): a complete command in, what it asks for out.

mod command;
mod cursor;
mod date;
mod fetch;
mod list;
mod search;

pub(crate) use command::{append, command};
pub(crate) use date::{civil, days};

/// What is not understood, in words for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Syntax(pub(crate) &'static str);

/// A command that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Its tag, if it has one.
    pub tag: Option<String>,
    /// Why, in words for the client.
    pub why: &'static str,
    /// The charset is not known (RFC 9051 §7.1 `BADCHARSET`): refused with NO.
    pub charset: bool,
}

#[cfg(test)]
mod tests;
