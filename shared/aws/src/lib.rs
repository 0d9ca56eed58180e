//! The ports of the stages on AWS: DynamoDB, S3, SQS, KMS and SES; and the shell that feeds stages from queues. The
//! only crate that names an AWS SDK; no rule of PEC is here.

pub mod blobs;
pub mod carrier;
pub mod clients;
pub mod config;
pub mod csr;
pub mod deployment;
pub mod directory;
pub mod facts;
pub mod function;
pub mod gateway;
pub mod ingest;
pub mod lists;
pub mod notarize;
pub mod queue;
pub mod refresh;
pub mod restore;
pub mod sealing;
pub mod secrets;
pub mod shell;
pub mod signer;

pub use blobs::S3Blobs;
pub use clients::Clients;
pub use config::Config;
pub use directory::S3Directory;
pub use facts::DynamoFacts;
pub use queue::SqsQueue;
pub use signer::KmsSigner;
