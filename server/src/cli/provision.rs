//! Arguments of what makes accounts and domains.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use pec::Address;

use super::{AccountOne, Provider};

/// `sigillo account add`
#[derive(Debug, Args)]
pub struct AccountAdd {
    /// Folder and account
    #[command(flatten)]
    pub account: AccountOne,
    /// How much the mailbox may hold, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub quota_mib: u64,
    /// A second address: refused, with the reason
    #[arg(long, value_name = "ADDRESS")]
    pub alias: Option<Address>,
    /// Where letters go on to: refused, with the reason
    #[arg(long, value_name = "ADDRESS")]
    pub forward: Option<Address>,
    /// An automatic answer: refused, with the reason
    #[arg(long, value_name = "TEXT")]
    pub auto_reply: Option<String>,
    /// A mailbox for all addresses of the domain: refused, with the reason
    #[arg(long)]
    pub catch_all: bool,
}

/// `sigillo account quota`
#[derive(Debug, Args)]
pub struct AccountQuota {
    /// Folder and account
    #[command(flatten)]
    pub account: AccountOne,
    /// How much the mailbox may hold, in MiB
    #[arg(value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub quota_mib: u64,
}

/// `sigillo domain add`
#[derive(Debug, Args)]
pub struct DomainAdd {
    /// Folder and domain
    #[command(flatten)]
    pub domain: DomainOne,
    /// The organisation that it belongs to: sending rates are counted by it; the name of the domain where left out
    #[arg(long, value_name = "ID")]
    pub organisation: Option<String>,
    /// For ordinary mail: refused, with the reason
    #[arg(long)]
    pub ordinary: bool,
}

/// A command about one domain
#[derive(Debug, Args)]
pub struct DomainOne {
    /// Which provider, and form
    #[command(flatten)]
    pub provider: Provider,
    /// The domain
    #[arg(value_name = "DOMAIN")]
    pub name: String,
}

/// `sigillo domain history`
#[derive(Debug, Args)]
pub struct DomainHistory {
    /// Folder and domain
    #[command(flatten)]
    pub domain: DomainOne,
    /// The month, UTC; the present one if none is named
    #[arg(long, value_name = "YYYY-MM")]
    pub month: Option<String>,
}

/// `sigillo environment`
#[derive(Debug, Subcommand)]
pub enum Environment {
    /// Make an environment, from its record in the provider index
    #[command(after_help = "\
The record is found in the stack's copy of the index (settings/index.ldif in its data bucket), by its
id; it says where receipts for the provider go. The provider mail domain is served from then on, with a
postmaster. What is there stays as it is: doing it again changes nothing. In the embedded form sigillo
init does this.

Example:
  sigillo environment add --aws aws.json --mail-domain gestore.alfa.example")]
    Add(EnvironmentAdd),
}

/// `sigillo environment add`
#[derive(Debug, Args)]
pub struct EnvironmentAdd {
    /// What `aws cloudformation describe-stacks --stack-name STACK` prints. Credentials come from the environment or a
    /// profile, as the aws command line's do
    #[arg(long, value_name = "FILE.json")]
    pub aws: PathBuf,
    /// The id of its record, `providerName` or `providerUnit,providerName`; the stack's own if none is named
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// The provider mail domain, of those that the record manages: PEC ids and Message-IDs end in it
    #[arg(long, value_name = "DOMAIN")]
    pub mail_domain: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
