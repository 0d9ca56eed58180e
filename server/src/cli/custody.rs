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
Every file is compared with the list of the backup, every blob with its digest, every receipt and
envelope with the legal log; DIR is there only if all of it holds. Never run the old provider and the
restored one at the same time: they would be two notaries with one name.

Exit codes: 0 restored; 1 not.

Example:
  sigillo restore --from /backups/alfa-2026-03-02 --data ./alfa-restored")]
pub struct Restore {
    /// The backup
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// The new folder: one that is empty or not there
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
