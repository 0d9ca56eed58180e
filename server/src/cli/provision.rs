//! Arguments of what makes accounts and domains.

use clap::Args;
use pec::Address;

use super::{AccountOne, Data};

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
    /// Folder and form
    #[command(flatten)]
    pub data: Data,
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
