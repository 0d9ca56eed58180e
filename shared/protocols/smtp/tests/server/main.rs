//! The receiving side as the other end of the wire sees it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod attacks;
mod props;
mod talk;
mod transcripts;
mod wire;
