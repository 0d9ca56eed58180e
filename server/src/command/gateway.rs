//! `sigillo gateway`: the doors of a provider on AWS, and its way out.

use crate::{
    cli::Gateway,
    command::{CommandError, deployment},
};

/// Runs the gateway until SIGINT or SIGTERM.
///
/// # Errors
/// [`CommandError`] when it does not start.
pub fn run(args: &Gateway) -> Result<u8, CommandError> {
    deployment::gateway(args)?;
    Ok(0)
}
