//! Arguments of backups.

use std::path::PathBuf;

use clap::Args;

use super::Data;

/// `sigillo backup`
#[derive(Debug, Args)]
#[command(after_help = "\
Works while the provider runs, which copies itself then: --to is a place that it can write to. The
copy is of one moment: tables, legal log and blobs belong together. Private keys (signing, TLS) and
the passwords in demo.json are left out unless --with-keys is given; keep such a backup as you keep
the keys. docs/operations.md tells how to restore.

Exit codes: 0 the backup is there; 1 it is not.

Example:
  sigillo backup --data ./alfa --to /backups/alfa-2026-03-02")]
pub struct Backup {
    /// Folder and form
    #[command(flatten)]
    pub data: Data,
    /// A folder that is empty or not there
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Private keys and passwords too
    #[arg(long)]
    pub with_keys: bool,
}

/// `sigillo restore`
#[derive(Debug, Args)]
#[command(after_help = "\
From a backup: every file is compared with its list, every blob with its digest, every receipt and
envelope with the legal log; DIR is there only if all of it holds. Never run the old provider and the
restored one at the same time: they would be two notaries with one name.

With --aws: DynamoDB has restored tables under the names of the stack's own with SUFFIX behind them.
Rows that are missing are copied, none is replaced; a mailbox comes back whole, if its head is gone.
Then every receipt, notice and envelope is compared with the legal log and with what is stored. Stop
the stages first (docs/operations.md).

Exit codes: 0 restored; 1 not, or not all is as the legal log says.

Example:
  sigillo restore --from /backups/alfa-2026-03-02 --data ./alfa-restored
  sigillo restore --aws aws.json --tables=-restored")]
pub struct Restore {
    /// The backup
    #[arg(long, value_name = "DIR", required_unless_present = "aws")]
    pub from: Option<PathBuf>,
    /// The new folder: one that is empty or not there
    #[arg(long, value_name = "DIR", required_unless_present = "aws")]
    pub data: Option<PathBuf>,
    /// The provider's stack on AWS, as `aws cloudformation describe-stacks` prints it
    #[arg(long, value_name = "FILE", requires = "tables", conflicts_with_all = ["from", "data"])]
    pub aws: Option<PathBuf>,
    /// What the names of restored tables have behind them
    #[arg(long, value_name = "SUFFIX", requires = "aws")]
    pub tables: Option<String>,
    /// The registry too: passwords that were revoked since, and domains that were removed, come back with it
    #[arg(long, requires = "aws")]
    pub with_registry: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
