//! `sigillo domain`: domains are taken, looked at, removed; what others must be told about the doors.

use serde_json::{Map, Value, json};

use stages::domains::{Verdict, Watched};

use super::{
    CommandError, account, client, now,
    operate::{operate, strange},
    print, print_json,
};
use crate::{
    cli::{DomainAdd, DomainHistory, DomainOne, DomainRecords, DomainSettings, Provider},
    demo::Demo,
    folder::Folder,
    operator::{Done, Operation},
    settings::{Published, Settings, exchange, records as records_of, settings as settings_of},
    text::printable,
};

/// `sigillo domain add`
///
/// # Errors
/// [`CommandError`]
pub fn add(args: &DomainAdd) -> Result<u8, CommandError> {
    let DomainOne { provider, name } = &args.domain;
    let organisation = args.organisation.clone().unwrap_or_else(|| name.to_ascii_lowercase());
    looked_at(provider, Operation::AddDomain { name: name.clone(), organisation, ordinary: args.ordinary })
}

/// `sigillo domain check`
///
/// # Errors
/// [`CommandError`]
pub fn check(args: &DomainOne) -> Result<u8, CommandError> {
    looked_at(&args.provider, Operation::CheckDomain { name: args.name.clone() })
}

/// One domain, and 1 if its records are not as they must be.
fn looked_at(provider: &Provider, operation: Operation) -> Result<u8, CommandError> {
    let Done::Domains { domains } = operate(provider, operation)? else { return Err(strange()) };
    shown_domains(provider, &domains)?;
    Ok(u8::from(domains.iter().any(|domain| domain.verdict != Verdict::Ours)))
}

/// `sigillo domain remove`
///
/// # Errors
/// [`CommandError`]
pub fn remove(args: &DomainOne) -> Result<u8, CommandError> {
    operate(&args.provider, Operation::RemoveDomain { name: args.name.clone() })?;
    if args.provider.json {
        print_json(&json!({ "name": args.name, "removed": true }))?;
    } else {
        print(&printable(&format!("removed   {}", args.name)))?;
    }
    Ok(0)
}

/// `sigillo domain list`
///
/// # Errors
/// [`CommandError`]
pub fn list(provider: &Provider) -> Result<u8, CommandError> {
    let Done::Domains { domains } = operate(provider, Operation::ListDomains)? else { return Err(strange()) };
    shown_domains(provider, &domains)?;
    Ok(0)
}

/// `sigillo domain history`
///
/// # Errors
/// [`CommandError`]
pub fn history(args: &DomainHistory) -> Result<u8, CommandError> {
    let DomainOne { provider, name } = &args.domain;
    let month = args.month.clone().unwrap_or_else(|| now().month());
    let done = operate(provider, Operation::DomainHistory { name: name.clone(), month })?;
    let Done::SignIns { entries } = done else { return Err(strange()) };
    if provider.json {
        print_json(&entries)?;
    } else {
        entries.iter().try_for_each(|entry| print(&printable(&account::line(entry))))?;
    }
    Ok(0)
}

fn shown_domains(provider: &Provider, domains: &[Watched]) -> std::io::Result<()> {
    if provider.json {
        let json = |d: &Watched| {
            json!({ "name": d.name, "active": d.active_since.is_some(), "verdict": d.verdict,
                "exchangers": d.exchangers, "indexed": d.indexed, "organisation": d.organisation,
                "checked_at": d.checked_at })
        };
        return print_json(&domains.iter().map(json).collect::<Vec<_>>());
    }
    for d in domains {
        let state = if d.active_since.is_some() { "active" } else { "waits" };
        let index = if d.indexed { "" } else { "  not in the provider index: ordinary mail for others" };
        let (name, verdict, at) = (&d.name, d.verdict.name(), d.checked_at);
        let exchangers = d.exchangers.join(" ");
        print(&printable(&format!("{name}  {state}  MX {verdict}: {exchangers}  looked at {at}{index}")))?;
    }
    Ok(())
}

/// `sigillo domain records`
///
/// # Errors
/// [`CommandError`] when no provider runs in the folder.
pub fn records(args: &DomainRecords) -> Result<u8, CommandError> {
    let (demo, published) = published(&Folder::new(&args.data.data))?;
    let records = all_records(&published, &demo);
    if args.data.json {
        print_json(&records)?;
    } else {
        records.iter().try_for_each(|record| print(record))?;
    }
    Ok(0)
}

/// `sigillo domain settings`
///
/// # Errors
/// [`CommandError`] when no provider runs in the folder.
pub fn settings(args: &DomainSettings) -> Result<u8, CommandError> {
    let (_, published) = published(&Folder::new(&args.data.data))?;
    let settings = settings_of(&published, &args.address);
    if args.data.json {
        print_json(&object(&settings))?;
    } else {
        settings.iter().try_for_each(shown)?;
    }
    Ok(0)
}

/// Of the domain of the accounts, and where mail for the provider itself goes.
pub(super) fn all_records(published: &Published, demo: &Demo) -> Vec<String> {
    let mut records = records_of(published, &demo.domain);
    records.extend(exchange(published, &demo.mail_domain));
    records
}

/// By program.
pub(super) fn object(settings: &[Settings]) -> Value {
    Value::Object(settings.iter().map(|s| (s.program.to_owned(), json!(s.text))).collect::<Map<_, _>>())
}

/// A heading, then the lines.
pub(super) fn shown(settings: &Settings) -> std::io::Result<()> {
    print(&format!("\n# {}", settings.program))?;
    print(settings.text.trim_end())
}

fn published(folder: &Folder) -> Result<(Demo, Published), CommandError> {
    let demo = Demo::read(folder)?;
    let published = Published::new(&demo.provider, &client::doors(folder)?);
    Ok((demo, published))
}
