//! `sigillo init`: the files of a provider.

use std::path::PathBuf;

use serde_json::json;

use super::{CommandError, now, print, print_json};
use crate::{
    cli::Init,
    demo::{Demo, Keys, Plan},
    folder::Folder,
};

/// Keys and certificates are smaller.
const PEM_BYTES_MAX: u64 = 1 << 20;
/// As much as an index may have.
const INDEX_BYTES_MAX: u64 = 64 << 20;

/// Makes a provider in a folder that has none.
///
/// # Errors
/// [`CommandError`]
pub fn run(args: &Init) -> Result<u8, CommandError> {
    let index = match &args.index {
        Some(path) => Some(Folder::read(path, INDEX_BYTES_MAX)?),
        None => None,
    };
    let plan = Plan {
        provider: args.provider.clone(),
        mail_domain: args.mail_domain.clone(),
        domain: args.domain.clone(),
        accounts: args.account.clone(),
        keys: keys(args)?,
        index,
    };
    let folder = Folder::new(&args.data.data);
    let _alone = folder.claim()?;
    let demo = Demo::make(&folder, &plan, now())?;
    if args.data.json {
        print_json(&json!({ "data": folder.root(), "domain": demo.domain, "accounts": demo.accounts }))?;
        return Ok(0);
    }
    print(&format!("provider  {}, domain {}", demo.provider, demo.domain))?;
    print(&format!("folder    {}", folder.root().display()))?;
    for account in &demo.accounts {
        print(&format!("account   {}  password {}", account.address, account.password))?;
    }
    print(&format!("          (shown once; kept in {})", folder.demo().display()))?;
    Ok(0)
}

/// All of them or none: the command line sees to it.
fn keys(args: &Init) -> Result<Option<Keys>, CommandError> {
    let given = [&args.key, &args.certificate, &args.ca, &args.tls_key, &args.tls_certificate];
    let [Some(key), Some(certificate), Some(ca), Some(tls_key), Some(tls_certificate)] = given else {
        return Ok(None);
    };
    let read = |path: &PathBuf| Folder::read(path, PEM_BYTES_MAX);
    Ok(Some(Keys {
        ca: read(ca)?,
        key: read(key)?,
        certificate: read(certificate)?,
        tls_key: read(tls_key)?,
        tls_certificate: read(tls_certificate)?,
        tls_ca: args.tls_ca.as_ref().map(read).transpose()?,
    }))
}
