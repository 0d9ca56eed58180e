//! The ports of the stages on AWS: DynamoDB, S3, SQS, KMS and SES; and the shell that feeds stages from queues. The
//! only crate that names an AWS SDK; no rule of PEC is here.

pub mod config;

pub use config::Config;
