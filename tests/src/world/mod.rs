//! Every port in memory.

mod blobs;
mod facts;

pub use blobs::MemoryBlobs;
pub use facts::MemoryFacts;
