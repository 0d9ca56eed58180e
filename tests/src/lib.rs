//! What crosses crates: a provider in memory, the contract of every port, faults and interleavings.
//!
//! - [`contract`]: what an implementation of a port owes, run against every implementation.
//! - [`world`]: every port in memory, and a whole provider made of them. Time and randomness are passed in.
//! - [`journey`] and [`interleave`]: every step of a letter's way, broken at every call, and run twice at once.
//! - [`network`]: providers that send to each other.
//! - [`simulation`]: a year of three providers, by a seed, and what the law wants of each letter.
//! - [`scenarios`]: the ways that are looked at.
//! - [`sessions`]: what is done in mailboxes, and what must hold of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a library of tests: a panic is how a test fails"
)]

pub mod contract;
pub mod interleave;
pub mod journey;
pub mod network;
pub mod scenarios;
pub mod sealing;
pub mod sessions;
pub mod simulation;
pub mod world;
