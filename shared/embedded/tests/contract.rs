//! The ports on one disk hold the contract.

#![allow(clippy::expect_used, reason = "the helpers of a test end it at the first surprise")]

use std::sync::Arc;

use sigillo_embedded::{Counters, Segments, SqliteFacts, blobs::Sizes, disk::RealDisk};
use sigillo_tests::contract::Fresh;
use stages::ports::{Blobs, Facts};

async fn fresh_facts() -> Fresh<dyn Facts> {
    let folder = tempfile::tempdir().expect("a folder");
    let facts = SqliteFacts::open(&folder.path().join("facts.sqlite"), Arc::new(Counters::default()));
    Fresh::with(Arc::new(facts.expect("tables")), folder)
}

fn blobs_of(sizes: Sizes) -> Fresh<dyn Blobs> {
    let folder = tempfile::tempdir().expect("a folder");
    let blobs = Segments::open(Arc::new(RealDisk), folder.path(), sizes, Arc::new(Counters::default()));
    Fresh::with(Arc::new(blobs.expect("blobs")), folder)
}

async fn fresh_blobs() -> Fresh<dyn Blobs> {
    blobs_of(Sizes::default())
}

sigillo_tests::facts_contract!(fresh_facts);
sigillo_tests::blobs_contract!(fresh_blobs);

/// Everything happens at small sizes too: segments end, the index is written between any two puts.
mod tiny {
    use super::{Blobs, Fresh, Sizes, blobs_of};

    async fn fresh_blobs() -> Fresh<dyn Blobs> {
        blobs_of(Sizes { segment_bytes: 10_000, inline_bytes: 1000, batch_keys: 1, batch_bytes: 1000 })
    }

    sigillo_tests::blobs_contract!(fresh_blobs);
}
