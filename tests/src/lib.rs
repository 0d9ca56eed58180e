//! What crosses crates: a provider in memory, the contract of every port, faults and interleavings.
//!
//! - [`contract`]: what an implementation of a port owes, run against every implementation.
//! - [`world`]: every port in memory, and a whole provider made of them. Time and randomness are passed in.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a library of tests: a panic is how a test fails"
)]

pub mod contract;
pub mod world;
