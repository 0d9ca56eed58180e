//! Arguments of what is known of the clock.

use clap::Args;

use super::Provider;

/// `sigillo clock`
#[derive(Debug, Args)]
#[command(after_help = "\
sigillo up compares the clock every ten minutes with the servers of --time-server. Works while the
provider runs, and while it does not.

Exit codes: 0 the clock was right when it was compared last; 1 it was not, or never was compared.

Example:
  sigillo clock --data ./alfa")]
pub struct Clock {
    /// Which provider, and form
    #[command(flatten)]
    pub provider: Provider,
    /// The month of the history, UTC; the present one if none is named
    #[arg(long, value_name = "YYYY-MM")]
    pub month: Option<String>,
}
