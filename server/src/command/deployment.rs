//! A provider on AWS in the hands of its operator (`--aws`). The AWS crates take minutes to build, so they are there
//! with the feature `aws` only; without it every use says so.

#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "aws")]
mod gateway;
#[cfg(not(feature = "aws"))]
mod without;

#[cfg(not(feature = "aws"))]
pub use self::without::{Operator, gateway};
#[cfg(feature = "aws")]
pub use self::{aws::Operator, gateway::gateway};
