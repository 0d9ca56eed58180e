//! `sigillo environment`: the environments of a stack on AWS.

use super::{CommandError, deployment::Operator, print, print_json};
use crate::{cli::EnvironmentAdd, text::printable};

/// `sigillo environment add`
///
/// # Errors
/// [`CommandError`]
pub fn add(args: &EnvironmentAdd) -> Result<u8, CommandError> {
    let made = Operator::open(&args.aws)?.establish(args.id.as_deref(), &args.mail_domain)?;
    if args.json {
        print_json(&made)?;
        return Ok(0);
    }
    print(&printable(&format!("environment  {}", made.id)))?;
    print(&printable(&format!("provider     {}", made.provider_name)))?;
    print(&format!("address      {}", made.address))?;
    print(&format!("receipts to  {}", made.mail_receipt))?;
    print(&format!("mail domain  {}", made.mail_domain))?;
    Ok(0)
}
