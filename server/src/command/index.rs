//! `sigillo index`: the national provider index.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    CommandError, failed, now,
    operate::{operate, strange},
    print, print_json,
};
use crate::{
    cli::{IndexFetch, IndexPublish},
    folder::{Access, Folder},
    index::{renew, source},
    operator::{Done, Operation},
};

/// `sigillo index fetch`: once, now. A running provider takes the new index up within a minute.
///
/// # Errors
/// [`CommandError`] when the index is not put in force; the last good copy stays.
pub fn fetch(args: &IndexFetch) -> Result<u8, CommandError> {
    let source = source(&args.directory).map_err(failed)?;
    let fetched = renew(&source, &Folder::new(&args.data.data), now()).map_err(failed)?;
    let (records, signer) = (fetched.index.records().len(), &fetched.signer);
    let complaints: Vec<String> = fetched.index.complaints().iter().map(ToString::to_string).collect();
    if args.data.json {
        print_json(&serde_json::json!({ "records": records, "signer": signer, "complaints": complaints }))?;
        return Ok(0);
    }
    match signer {
        Some(signer) => print(&format!("{records} records, signed by {signer}"))?,
        None => print(&format!("{records} records of a directory, signed by nobody"))?,
    }
    complaints.iter().try_for_each(|complaint| print(&format!("left out: failed to {complaint}")))?;
    Ok(0)
}

/// `sigillo index publish`: our own record, signed by the provider's key.
///
/// # Errors
/// [`CommandError`]
pub fn publish(args: &IndexPublish) -> Result<u8, CommandError> {
    if !args.url.starts_with("https://") {
        return Err(CommandError::Usage("the LDIFLocationURL is an https URL (RFC 6109 §4.5.6)".to_owned()));
    }
    let operation = Operation::PublishIndex { url: args.url.clone() };
    let done = operate(&args.provider, operation)?;
    let Done::Index { p7m } = done else { return Err(strange()) };
    let file = STANDARD.decode(p7m).map_err(failed)?;
    Folder::write(&args.out, &file, Access::Public)?;
    if args.provider.json {
        print_json(&serde_json::json!({ "file": args.out, "bytes": file.len() }))?;
    } else {
        print(&format!("written   {} ({} octets)", args.out.display(), file.len()))?;
    }
    Ok(0)
}
