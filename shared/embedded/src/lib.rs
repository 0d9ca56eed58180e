//! The embedded form (design §6): every port on one disk, and the workers that run the stages.
//!
//! [`Provider::open`] makes all of it from a folder, [`Provider::start`] sets it to work. The parts can be had alone:
//! tables in SQLite ([`SqliteFacts`]), blobs in segments ([`Segments`]) over a disk that tests can take away
//! ([`disk::ForgetfulDisk`]).
//!
//! # What survives a power cut, and what shows it
//! An answered put or copy of a blob was synced, with its name: `tests/forgetful.rs` cuts the power, kills the process
//! and lets the disk fail, at every single change of the disk. An answered commit was synced by SQLite:
//! `facts/tests.rs` cuts and garbles the write-ahead log behind it; that SQLite writes its own files in the right order
//! below that is taken from SQLite. A stage commits after its puts were answered, so that no row names a blob that is
//! lost: `tests/forgetful.rs` does both together. `kill -9` loses nothing of the page cache and shows less than these.

pub mod backup;
pub mod blobs;
mod counters;
pub mod directory;
pub mod disk;
pub mod facts;
mod group;
pub mod provider;
pub mod queue;
pub mod restore;
pub mod segments;
pub mod signer;
pub mod workers;

pub use blobs::Segments;
pub use counters::{Counters, Counts};
pub use facts::SqliteFacts;
pub use provider::{Config, OpenError, Provider};

/// A map in the memory of one process. Its hash is seeded at random, and is not the slow one that withstands whoever knows
/// many keys of one bucket: most keys are ids of ours, and no map that uses it grows without a bound.
type HashMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;
/// The same without values.
type HashSet<K> = std::collections::HashSet<K, foldhash::fast::RandomState>;
