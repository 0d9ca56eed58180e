//! The ports of the stages on AWS: DynamoDB, S3, SQS, KMS and SES; and the shell that feeds stages from queues. The
//! only crate that names an AWS SDK; no rule of PEC is here.

pub mod blobs;
pub mod clients;
pub mod config;
pub mod facts;
pub mod local;

pub use blobs::S3Blobs;
pub use clients::Clients;
pub use config::Config;
pub use facts::DynamoFacts;
pub use local::{SystemClock, SystemIds};
