//! `sigillo index`: the national provider index.

use super::{CommandError, failed, now, print, print_json};
use crate::{
    cli::IndexFetch,
    folder::Folder,
    index::{keep, source},
};

/// `sigillo index fetch`: once, now. A running provider takes the new index up within a minute.
///
/// # Errors
/// [`CommandError`] when the index is not put in force; the last good copy stays.
pub fn fetch(args: &IndexFetch) -> Result<u8, CommandError> {
    let fetched = source(&args.directory).map_err(failed)?.fetch(now()).map_err(failed)?;
    keep(&fetched, &Folder::new(&args.data.data)).map_err(failed)?;
    let signed = &fetched.signed;
    let (records, signer) = (signed.index.records().len(), signed.signer.subject());
    let complaints: Vec<String> = signed.index.complaints().iter().map(ToString::to_string).collect();
    if args.data.json {
        print_json(&serde_json::json!({ "records": records, "signer": signer, "complaints": complaints }))?;
        return Ok(0);
    }
    print(&format!("{records} records, signed by {signer}"))?;
    complaints.iter().try_for_each(|complaint| print(&format!("left out: failed to {complaint}")))?;
    Ok(0)
}
