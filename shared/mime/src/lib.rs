//! Mail as octets: header fields, MIME entities and encodings, over shared [`bytes::Bytes`].
//!
//! Nothing here copies a body: a [`Rope`] is a list of pieces, an [`Entity`] and a [`split::Split`] are slices of
//! what was parsed. Readers are tolerant in syntax and strict in size ([`Limits`]); what a message is allowed to look
//! like is for the caller to judge ([`lines::check`], [`Headers::malformed`]). Writers are exact.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod address;
pub mod charset;
pub mod encode;
mod entity;
mod error;
mod header;
pub mod lines;
pub mod outline;
pub mod param;
mod rope;
pub mod split;
pub mod stream;
pub mod word;

pub use entity::Entity;
pub use error::MimeError;
pub use header::{Field, Headers};
pub use lines::canonical_line_ends;
pub use rope::Rope;

use bytes::Bytes;

/// Bounds of what a reader accepts from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of one header, the blank line included.
    pub header_bytes: usize,
    /// Fields of one header.
    pub header_fields: usize,
    /// Entities below the root, over the whole tree.
    pub parts: usize,
    /// Levels below the root.
    pub depth: usize,
    /// Octets of a line without its line end (RFC 5322 §2.1.1). Asked by [`lines::check`] only; readers do not care.
    pub line_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { header_bytes: 256 * 1024, header_fields: 1000, parts: 10_000, depth: 32, line_bytes: 998 }
    }
}

/// `octets[start..end]`, empty where that range does not exist.
fn cut(octets: &[u8], start: usize, end: usize) -> &[u8] {
    octets.get(start..end).unwrap_or_default()
}

/// The same, sharing the memory; the range is clamped to what exists.
fn share(bytes: &Bytes, start: usize, end: usize) -> Bytes {
    let end = end.min(bytes.len());
    bytes.slice(start.min(end)..end)
}

/// Length of the line end that `line` finishes with: 2, 1 or 0.
fn line_end_len(line: &[u8]) -> usize {
    match line {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    }
}
