//! What `sigillo up` says when its doors are open.

use std::io;

use serde_json::{Value, json};

use super::super::{domain, print, print_json};
use crate::{
    cli::Up,
    demo::Demo,
    doors::file::DoorsFile,
    folder::Folder,
    settings::{Published, settings},
};

/// Says where everything is, and what mail programs must be told; passwords only when they were made now.
pub(super) fn announce(
    args: &Up,
    folder: &Folder,
    demo: &Demo,
    made: bool,
    doors: &DoorsFile,
) -> io::Result<()> {
    let published = Published::new(&demo.provider, doors);
    let account = demo.accounts.first().map(|account| &account.address);
    let settings = account.map(|account| settings(&published, account)).unwrap_or_default();
    let records = domain::all_records(&published, demo);
    if args.data.json {
        let accounts: Vec<Value> = demo
            .accounts
            .iter()
            .map(|account| match made {
                true => json!({ "address": account.address, "password": account.password }),
                false => json!({ "address": account.address }),
            })
            .collect();
        return print_json(&json!({
            "ready": true,
            "data": folder.root(),
            "domain": demo.domain,
            "accounts": accounts,
            "doors": doors,
            "settings": domain::object(&settings),
            "records": records,
            "scanner": if args.clamd.is_some() { "clamd" } else { "built-in" },
        }));
    }
    print(&format!("provider  {}, domain {}", demo.provider, demo.domain))?;
    print(&format!("folder    {}", folder.root().display()))?;
    for account in &demo.accounts {
        let password = if made { format!("  password {}", account.password) } else { String::new() };
        print(&format!("account   {}{password}", account.address))?;
    }
    if made {
        print(&format!("          (shown once; kept in {})", folder.demo().display()))?;
    }
    for (name, door) in &doors.doors {
        print(&format!("{name:<9} {}", door.url))?;
    }
    print(&format!("ca        {}", doors.ca.display()))?;
    print(&format!("index     {}", doors.index.display()))?;
    print(match args.clamd {
        Some(_) => "scanner   clamd",
        None => {
            "scanner   built-in: the EICAR test file and a list of digests, no protection against viruses"
        }
    })?;
    if !settings.is_empty() {
        settings.iter().try_for_each(domain::shown)?;
        print("\n# DNS records")?;
        records.iter().try_for_each(|record| print(record))?;
        print("")?;
    }
    print("ready     Ctrl-C ends it")
}
