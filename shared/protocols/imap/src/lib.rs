//! IMAP (RFC 9051, and the clients of RFC 3501): a state machine without sockets, then a thin loop over it.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod command;
mod grammar;
mod limits;
mod receiver;

pub use grammar::Bad;
pub use limits::Limits;
pub use receiver::{Input, Receiver};
