//! The ports on AWS hold the contract, on an emulator.

#![allow(clippy::expect_used, reason = "the helpers of a test end it at the first surprise")]
#![allow(
    clippy::zombie_processes,
    reason = "the emulator ends with this program, which has nobody to wait for it"
)]

mod emulator;

use std::sync::Arc;

use aws::{DynamoFacts, S3Blobs};
use sigillo_tests::contract::Fresh;
use stages::ports::{Blobs, Facts};

async fn fresh_facts() -> Fresh<dyn Facts> {
    let clients = emulator::clients();
    let tables = emulator::tables(&clients).await;
    Fresh::new(Arc::new(DynamoFacts::new(clients.dynamodb, tables)))
}

async fn fresh_blobs() -> Fresh<dyn Blobs> {
    let clients = emulator::clients();
    let buckets = emulator::buckets(&clients).await;
    Fresh::new(Arc::new(S3Blobs::new(clients.s3, buckets)))
}

sigillo_tests::facts_contract!(fresh_facts);
sigillo_tests::blobs_contract!(fresh_blobs);
