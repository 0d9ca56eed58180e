//! Real connections on the loopback.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;
mod doors;
mod streams;
mod tls;
