//! `sigillo audit`: the legal log, read where it is stored.

use std::fmt::Write as _;

use embedded::{OpenError, Provider};
use stages::log::LogEntry;

use super::{CommandError, deployment::Operator, print, print_json};
use crate::{cli::AuditLetter, folder::Folder, text::printable};

/// The entries of a letter in the order of their commits.
///
/// # Errors
/// [`CommandError`] when there is no provider.
pub fn letter(args: &AuditLetter) -> Result<u8, CommandError> {
    let id = args.id.trim().trim_start_matches('<').trim_end_matches('>');
    let entries = match &args.provider.aws {
        Some(description) => Operator::open(description)?.log(id)?,
        None => of_folder(&Folder::new(&args.provider.data), id)?,
    };
    if args.provider.json {
        print_json(&entries)?;
    } else {
        for entry in &entries {
            print(&line(entry))?;
        }
    }
    if entries.is_empty() {
        eprintln!("sigillo: the log has no entry of {}", printable(id));
        return Ok(1);
    }
    Ok(0)
}

fn of_folder(folder: &Folder, id: &str) -> Result<Vec<LogEntry>, CommandError> {
    Provider::read_log(folder.root(), id).map_err(|error| unreadable(folder, &error))
}

fn unreadable(folder: &Folder, error: &OpenError) -> CommandError {
    CommandError::File { path: folder.root().to_owned(), why: format!("failed to {error}") }
}

/// An entry for people: when, where, what, about whom, and what else is known.
fn line(entry: &LogEntry) -> String {
    let mut line = format!("{}  {:<11} {:<21}", entry.at, entry.side.name(), entry.event.name());
    // Writing into a string does not fail.
    let _ = write!(line, "{}", entry.recipients.join(", "));
    for (name, value) in &entry.detail {
        let _ = write!(line, "  {name}={value}");
    }
    if !entry.messages.is_empty() {
        let _ = write!(line, "  {}", entry.messages.join(" "));
    }
    printable(&line)
}
