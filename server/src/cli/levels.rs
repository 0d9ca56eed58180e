//! Arguments of the service levels.

use clap::Args;
use stages::levels::Period;

use super::Provider;

/// `sigillo sla`
#[derive(Debug, Args)]
#[command(after_help = "\
The figures of DM 2 November 2005, art. 12, from the legal log, also while the provider runs. Periods are
four months of Italian time: 2026-1 is January to April. The service counts as down while a letter
waits for its acceptance receipt longer than --agreed-s; nobody's letter waits while no door is open, so
that a provider that is off is seen as silence only (docs/operations.md). With --aws every letter of the
period is a query.

Exit codes: 0 both limits were kept; 1 they were not.

Example:
  sigillo sla --data ./alfa --period 2026-1")]
pub struct Sla {
    /// Provider and form
    #[command(flatten)]
    pub provider: Provider,
    /// The four-month period
    #[arg(long, value_name = "YYYY-1|2|3", value_parser = Period::parse)]
    pub period: Period,
    /// The time in which an acceptance receipt is promised to users, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(i64).range(1..=86_400))]
    pub agreed_s: i64,
}
