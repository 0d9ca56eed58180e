//! `sigillo domain`: what others must be told about a domain of a running provider.

use serde_json::{Map, Value, json};

use super::{CommandError, client, print, print_json};
use crate::{
    cli::{DomainRecords, DomainSettings},
    demo::Demo,
    folder::Folder,
    settings::{Published, Settings, exchange, records as records_of, settings as settings_of},
};

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
