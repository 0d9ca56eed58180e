//! The embedded form (design §6): every port on one disk, and the workers that run the stages.

pub mod blobs;
mod counters;
pub mod disk;
pub mod facts;
mod group;
pub mod provider;
pub mod queue;
pub mod scanner;
pub mod signer;
pub mod small;
pub mod workers;

pub use blobs::Segments;
pub use counters::{Counters, Counts};
pub use facts::SqliteFacts;
pub use provider::{Config, OpenError, Provider};
