//! The law of certified e-mail (RFC 6109 and the notes around it), as pure functions.
//!
//! Nothing here is async, reads a clock, draws randomness or knows where it runs: instants, identifiers and
//! seeds are passed in. What comes in is bytes, what goes out is bytes and verdicts.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod address;
pub mod brief;
pub mod check;
pub mod compose;
pub mod daticert;
pub mod deadline;
pub mod document;
pub mod index;
pub mod original;
pub mod quota;
pub mod read;
pub mod reception;
pub mod text;
pub mod time;
pub mod words;

pub use address::{Address, Transaction};
pub use compose::{ComposeError, Draft, compose, report};
pub use document::{Document, Issuer, Kind, Letter, Recipient, RecipientKind};
pub use index::Index;
pub use time::Instant;

#[cfg(test)]
extern crate self as sigillo_pec;
#[cfg(test)]
#[path = "../tests/fixtures/mod.rs"]
mod fixtures;
