//! `sigillo account`: passwords of accounts, and who signed in.

use pec::Address;
use stages::accounts::{AuditEntry, NewAccount, Wish};

use super::{
    CommandError, now,
    operate::{operate, strange},
    print, print_json,
};
use crate::{
    cli::{
        AccountAdd, AccountOne, AccountQuota, AccountSettings, AccountSignIns, AppPasswordAdd,
        AppPasswordRevoke, Ordinary, Receipts,
    },
    demo::Demo,
    folder::{Access, Folder},
    operator::{Done, Operation, Shown},
    text::printable,
};

/// `sigillo account add`
///
/// # Errors
/// [`CommandError`]
pub fn add(args: &AccountAdd) -> Result<u8, CommandError> {
    let wish = |wished: bool, wish: Wish| wished.then_some(wish);
    let wishes = [
        wish(args.alias.is_some(), Wish::Alias),
        wish(args.forward.is_some(), Wish::Forward),
        wish(args.auto_reply.is_some(), Wish::AutoReply),
        wish(args.catch_all, Wish::CatchAll),
    ];
    let wanted = NewAccount {
        address: args.account.address.clone(),
        quota_bytes: args.quota_mib << 20,
        wishes: wishes.into_iter().flatten().collect(),
    };
    changed(&args.account, Operation::AddAccount(wanted))
}

/// `sigillo account disable`, and `enable`.
///
/// # Errors
/// [`CommandError`]
pub fn set_active(args: &AccountOne, active: bool) -> Result<u8, CommandError> {
    changed(args, Operation::SetActive { address: args.address.clone(), active })
}

/// `sigillo account quota`
///
/// # Errors
/// [`CommandError`]
pub fn quota(args: &AccountQuota) -> Result<u8, CommandError> {
    let (address, quota_bytes) = (args.account.address.clone(), args.quota_mib << 20);
    changed(&args.account, Operation::SetQuota { address, quota_bytes })
}

/// Has it done and shows the mailbox as it is then.
fn changed(args: &AccountOne, operation: Operation) -> Result<u8, CommandError> {
    let done = operate(&args.provider, operation)?;
    let Done::Account { address, active, quota_bytes, password } = done else { return Err(strange()) };
    let quota_mib = quota_bytes >> 20;
    if args.provider.json {
        let mut shown = serde_json::json!({ "address": address, "active": active, "quota_mib": quota_mib });
        if let Some(password) = password {
            shown["password"] = password.into();
        }
        print_json(&shown)?;
        return Ok(0);
    }
    print(&format!("account   {address}"))?;
    print(if active { "state     active" } else { "state     disabled" })?;
    print(&format!("quota     {quota_mib} MiB"))?;
    if let Some(password) = password {
        print(&format!("password  {password}  (shown once)"))?;
    }
    Ok(0)
}

/// `sigillo account password`
///
/// # Errors
/// [`CommandError`]
pub fn password(args: &AccountOne) -> Result<u8, CommandError> {
    let done = operate(&args.provider, Operation::ResetPassword { address: args.address.clone() })?;
    let Done::Password { password, .. } = done else { return Err(strange()) };
    // The commands of the demo's accounts find their passwords there.
    if args.provider.aws.is_none() {
        remember(&Folder::new(&args.provider.data), &args.address, &password)?;
    }
    if args.provider.json {
        print_json(&serde_json::json!({ "address": args.address, "password": password }))?;
    } else {
        print(&format!("password  {password}  (shown once)"))?;
    }
    Ok(0)
}

/// `sigillo account app-password add`
///
/// # Errors
/// [`CommandError`]
pub fn add_app_password(args: &AppPasswordAdd) -> Result<u8, CommandError> {
    let (AccountOne { provider, address }, name) = (&args.account, &args.name);
    let operation = Operation::AddAppPassword { address: address.clone(), name: name.clone() };
    let Done::Password { password, id: Some(id) } = operate(provider, operation)? else {
        return Err(strange());
    };
    if provider.json {
        let shown = serde_json::json!({ "address": address, "id": id, "name": name, "password": password });
        print_json(&shown)?;
    } else {
        print(&format!("id        {id}"))?;
        print(&format!("password  {password}  (shown once)"))?;
    }
    Ok(0)
}

/// `sigillo account app-password list`
///
/// # Errors
/// [`CommandError`]
pub fn list(args: &AccountOne) -> Result<u8, CommandError> {
    let done = operate(&args.provider, Operation::ListAppPasswords { address: args.address.clone() })?;
    let Done::AppPasswords { app_passwords } = done else { return Err(strange()) };
    if args.provider.json {
        print_json(&app_passwords)?;
        return Ok(0);
    }
    for Shown { id, name, created, last_used, revoked } in app_passwords {
        let used = last_used.unwrap_or_else(|| "never".to_owned());
        let state = revoked.map_or(String::new(), |at| format!("  revoked {at}"));
        print(&printable(&format!("{id}  made {created}  used {used:<10}{state}  {name}")))?;
    }
    Ok(0)
}

/// `sigillo account app-password revoke`
///
/// # Errors
/// [`CommandError`]
pub fn revoke(args: &AppPasswordRevoke) -> Result<u8, CommandError> {
    let (AccountOne { provider, address }, id) = (&args.account, &args.id);
    operate(provider, Operation::RevokeAppPassword { address: address.clone(), id: id.clone() })?;
    if provider.json {
        print_json(&serde_json::json!({ "address": address, "id": id, "revoked": true }))?;
    } else {
        print(&printable(&format!("revoked   {id}")))?;
    }
    Ok(0)
}

/// `sigillo account settings`
///
/// # Errors
/// [`CommandError`]
pub fn settings(args: &AccountSettings) -> Result<u8, CommandError> {
    let AccountOne { provider, address } = &args.account;
    let operation = Operation::Choose {
        address: address.clone(),
        takes_ordinary: args.ordinary.map(|choice| choice == Ordinary::Take),
        receipts_in_inbox: args.receipts.map(|choice| choice == Receipts::Inbox),
    };
    let done = operate(provider, operation)?;
    let Done::Chosen { takes_ordinary, receipts_in_inbox } = done else { return Err(strange()) };
    let ordinary = if takes_ordinary { "take" } else { "refuse" };
    let receipts = if receipts_in_inbox { "inbox" } else { "folder" };
    if provider.json {
        let shown = serde_json::json!({ "address": address, "ordinary": ordinary, "receipts": receipts });
        print_json(&shown)?;
    } else {
        print(&format!("ordinary  {ordinary}"))?;
        print(&format!("receipts  {receipts}"))?;
    }
    Ok(0)
}

/// `sigillo account sign-ins`
///
/// # Errors
/// [`CommandError`]
pub fn sign_ins(args: &AccountSignIns) -> Result<u8, CommandError> {
    let month = args.month.clone().unwrap_or_else(|| now().month());
    let done = operate(&args.provider, Operation::SignIns { address: args.address.clone(), month })?;
    let Done::SignIns { entries } = done else { return Err(strange()) };
    if args.provider.json {
        print_json(&entries)?;
        return Ok(0);
    }
    for entry in &entries {
        print(&printable(&line(entry)))?;
    }
    Ok(0)
}

pub(super) fn line(entry: &AuditEntry) -> String {
    let peer = entry.peer.map_or_else(|| "-".to_owned(), |peer| peer.to_string());
    let app = entry.app_password.as_deref().map_or(String::new(), |id| format!("  app password {id}"));
    let (event, door, times) = (entry.event.name(), &entry.door, entry.times);
    let detail = entry.detail.as_deref().map_or(String::new(), |detail| format!("  {detail}"));
    format!("{}  {}  {event:<20}  {door:<10}  {peer:<15}  {times:>4}{app}{detail}", entry.first, entry.last)
}

/// Power fails before it: the new password is known to nobody, and the command is run again.
fn remember(folder: &Folder, address: &Address, password: &str) -> Result<(), CommandError> {
    let mut demo = Demo::read(folder)?;
    let Some(account) = demo.accounts.iter_mut().find(|account| account.address == *address) else {
        return Ok(());
    };
    account.password = password.to_owned();
    let json = serde_json::to_vec_pretty(&demo).map_err(std::io::Error::other)?;
    Ok(Folder::write(&folder.demo(), &json, Access::Private)?)
}
