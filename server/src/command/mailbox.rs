//! `sigillo mailbox`: reads a mailbox.

use std::{collections::HashSet, fs, path::Path};

use super::{
    CommandError, print, print_json,
    reach::{self, Account},
    write,
};
use crate::{
    cli::{MailboxExport, MailboxList, MailboxShow},
    http::wire::Message,
    text::printable,
};

/// `sigillo mailbox list`
///
/// # Errors
/// [`CommandError`]
pub fn list(args: &MailboxList) -> Result<u8, CommandError> {
    let account = reach::open(&args.provider, &args.account)?;
    let messages = messages(account.as_ref(), args.folder.as_deref())?;
    if args.provider.json {
        print_json(&messages)?;
        return Ok(0);
    }
    for message in &messages {
        let kind = message.kind.as_deref().unwrap_or("-");
        let (uid, folder, at) = (message.uid, &message.folder, message.received_at);
        print(&printable(&format!(
            "{uid:>6}  {folder:<8}  {at}  {kind:<25}  {:>9}  {}",
            message.size_bytes, message.subject
        )))?;
    }
    Ok(0)
}

/// `sigillo mailbox show`
///
/// # Errors
/// [`CommandError`]
pub fn show(args: &MailboxShow) -> Result<u8, CommandError> {
    let account = reach::open(&args.provider, &args.account)?;
    let all = messages(account.as_ref(), args.folder.as_deref())?;
    let mut found = all.into_iter().filter(|message| message.uid == args.uid);
    let message = match (found.next(), found.next()) {
        (Some(message), None) => message,
        (None, _) => return Err(CommandError::Usage(format!("there is no message {}", args.uid))),
        (Some(_), Some(_)) => {
            return Err(CommandError::Usage(format!(
                "two folders have a message {}: name one with --folder",
                args.uid
            )));
        }
    };
    if args.provider.json {
        print_json(&message)?;
        return Ok(0);
    }
    let octets = octets(account.as_ref(), &message)?;
    if args.raw {
        write(&octets)?;
    } else {
        print(&readable(&octets))?;
    }
    Ok(0)
}

/// `sigillo mailbox export`
///
/// # Errors
/// [`CommandError`]
pub fn export(args: &MailboxExport) -> Result<u8, CommandError> {
    let account = reach::open(&args.provider, &args.account)?;
    let messages = messages(account.as_ref(), args.folder.as_deref())?;
    let failed = |path: &Path, error: std::io::Error| CommandError::File {
        path: path.to_owned(),
        why: error.to_string(),
    };
    fs::create_dir_all(&args.out).map_err(|error| failed(&args.out, error))?;
    let mut taken = HashSet::new();
    let mut written = Vec::new();
    for message in &messages {
        let name = if taken.insert(message.uid) {
            format!("{}.eml", message.uid)
        } else {
            format!("{}-{}.eml", file_name(&message.folder), message.uid)
        };
        let path = args.out.join(&name);
        fs::write(&path, octets(account.as_ref(), message)?).map_err(|error| failed(&path, error))?;
        if args.provider.json {
            written.push(serde_json::json!({ "uid": message.uid, "folder": message.folder, "file": path }));
        } else {
            print(&path.display().to_string())?;
        }
    }
    if args.provider.json {
        print_json(&written)?;
    }
    Ok(0)
}

/// All messages of the mailbox, or of one folder: INBOX first, in the order of their UIDs.
fn messages(account: &dyn Account, folder: Option<&str>) -> Result<Vec<Message>, CommandError> {
    let folders = account.folders()?.folders;
    let names: Vec<String> = match folder {
        Some(folder) => vec![folder.to_owned()],
        None => folders.into_iter().map(|folder| folder.name).collect(),
    };
    let mut messages = Vec::new();
    for name in names {
        let mut after = 0;
        loop {
            let page = account.list(&name, after)?;
            let page = page.ok_or_else(|| CommandError::Usage(format!("there is no folder {name}")))?;
            messages.extend(page.messages);
            match page.next {
                Some(next) => after = next,
                None => break,
            }
        }
    }
    Ok(messages)
}

fn octets(account: &dyn Account, message: &Message) -> Result<Vec<u8>, CommandError> {
    let octets = account.message(&message.folder, message.uid)?;
    octets.ok_or_else(|| CommandError::Usage(format!("message {} has gone", message.uid)))
}

/// A folder's name as part of a file's.
fn file_name(folder: &str) -> String {
    folder.chars().map(|c| if c.is_alphanumeric() || "-_".contains(c) { c } else { '_' }).collect()
}

/// Header fields that people look for, then the text that comes first.
fn readable(octets: &[u8]) -> String {
    let message = bytes::Bytes::copy_from_slice(octets);
    let Ok(entity) = mime::Entity::parse(&message, &mime::Limits::default()) else {
        return "this message can only be shown with --raw".to_owned();
    };
    let mut lines = Vec::new();
    for name in ["X-Ricevuta", "X-Trasporto", "Date", "From", "To", "Cc", "Subject", "Message-ID"] {
        let fields = entity.headers().all(name);
        lines.extend(fields.map(|field| printable(&format!("{name}: {}", field.decoded()))));
    }
    let text =
        entity.walk().find(|part| part.children().is_empty() && part.content_type().value == "text/plain");
    lines.push(String::new());
    lines.extend(text.iter().flat_map(|part| part.text().lines().map(printable).collect::<Vec<_>>()));
    let names = entity.walk().filter_map(mime::Entity::name);
    lines.extend(names.map(|name| printable(&format!("[{name}]"))));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_shown_with_its_text_and_the_names_of_its_parts() {
        let message = "Subject: =?utf-8?q?Citt=C3=A0?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
                       Content-Type: text/plain; charset=iso-8859-1\r\n\r\nperch\u{e9}\u{1b}\r\n--b\r\n\
                       Content-Type: application/pdf; name=\"a.pdf\"\r\n\r\n...\r\n--b--\r\n";
        let octets: Vec<u8> = message.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        assert_eq!(readable(&octets), "Subject: Citt\u{e0}\n\nperch\u{e9}\u{fffd}\n[a.pdf]");
    }

    #[test]
    fn folder_names_make_plain_file_names() {
        assert_eq!(file_name("../Posta inviata"), "___Posta_inviata");
    }
}
