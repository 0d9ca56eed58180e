//! SMTP, both sides (RFC 5321): state machines without sockets, then a thin loop over them.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod client;
pub mod server;
