//! The ports in memory hold the contract: what the other tests of this crate stand on.

use std::sync::Arc;

use sigillo_tests::{
    contract::Fresh,
    world::{MemoryBlobs, MemoryFacts},
};
use stages::ports::{Blobs, Facts};

async fn fresh_facts() -> Fresh<dyn Facts> {
    Fresh::new(Arc::new(MemoryFacts::default()))
}

async fn fresh_blobs() -> Fresh<dyn Blobs> {
    Fresh::new(Arc::new(MemoryBlobs::default()))
}

sigillo_tests::facts_contract!(fresh_facts);
sigillo_tests::blobs_contract!(fresh_blobs);
