//! `sigillo backup` and `sigillo restore`.

use std::{path::Path, thread, time::Duration};

use embedded::backup::Source;
use stages::custody::{Audited, Copied};

use super::{
    CommandError, client::Operations, deployment::Operator, failed, now, operate::strange, print, print_json,
};
use crate::{
    backup::{self, State, Taken},
    cli::{Backup, Restore},
    folder::Folder,
    operator::{Done, Operation},
};

/// How often the running provider is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Has it taken by the provider that runs in the folder, or takes it.
///
/// # Errors
/// [`CommandError`]
pub fn take(args: &Backup) -> Result<u8, CommandError> {
    let folder = Folder::new(&args.data.data);
    // The provider has another working directory.
    let to = std::path::absolute(&args.to)?;
    // A folder that is none is not made here.
    crate::demo::Demo::read(&folder)?;
    let taken = match folder.claim() {
        Ok(_alone) => {
            let source = Source::of_folder(folder.root()).map_err(failed)?;
            let list = backup::take(&source, &folder, &to, now().unix_s(), args.with_keys);
            Taken::from(list.map_err(|e| CommandError::Account(super::chain(&e)))?)
        }
        Err(_) => by_the_provider(&folder, &to, args.with_keys)?,
    };
    if args.data.json {
        print_json(&taken)?;
        return Ok(0);
    }
    print(&format!("backup    {}", to.display()))?;
    print(&format!("files     {}, {} octets", taken.files, taken.bytes))?;
    print(match taken.with_keys {
        true => "keys      private keys and passwords are in it: keep it as you keep the keys",
        false => "keys      private keys and passwords are not in it: keep them elsewhere",
    })?;
    Ok(0)
}

fn by_the_provider(folder: &Folder, to: &Path, with_keys: bool) -> Result<Taken, CommandError> {
    let operations = Operations::open(folder)?;
    let mut operation = Operation::Backup { to: to.to_owned(), with_keys };
    loop {
        match operations.perform(&operation)? {
            Done::Backup(State::Taken(taken)) => return Ok(taken),
            Done::Backup(State::Failed { why }) => return Err(CommandError::Account(why)),
            Done::Backup(State::Running { .. }) => operation = Operation::BackupState,
            _ => return Err(strange()),
        }
        thread::sleep(ASK_EVERY);
    }
}

/// Makes a folder from a backup.
///
/// # Errors
/// [`CommandError`]
pub fn restore(args: &Restore) -> Result<u8, CommandError> {
    let (from, data) = match (&args.aws, &args.tables, &args.from, &args.data) {
        (Some(stack), Some(suffix), ..) => return of_tables(args, stack, suffix),
        (_, _, Some(from), Some(data)) => (from, data),
        _ => return Err(CommandError::Usage("a backup and a folder, or a stack and its tables".to_owned())),
    };
    let done = embedded::restore::restore(from, data);
    let done = done.map_err(|e| CommandError::Account(super::chain(&e)))?;
    if args.json {
        print_json(&done)?;
        return Ok(0);
    }
    let at = pec::Instant::from_unix_s(done.at_unix_s);
    print(&format!("restored  {}, as of {at}", data.display()))?;
    print(&format!("files     {}, {} octets", done.files, done.bytes))?;
    print(&format!("blobs     {}, each what its digest says", done.blobs))?;
    print(&format!(
        "audit     {} log entries; {} receipts and envelopes as the log says, {} of them removed by their holders",
        done.log_entries, done.acts, done.acts_removed_by_holders
    ))?;
    if !done.with_keys {
        print("keys      not in the backup: put them into pki/ before sigillo up")?;
    }
    Ok(0)
}

/// Brings rows back into the tables of a stack, and says whether the evidence is whole.
fn of_tables(args: &Restore, stack: &Path, suffix: &str) -> Result<u8, CommandError> {
    let (tables, audited) = Operator::open(stack)?.restore(suffix, args.with_registry)?;
    let code = u8::from(audited.faulty > 0);
    if args.json {
        print_json(&serde_json::json!({ "tables": tables, "audit": audited }))?;
        return Ok(code);
    }
    for Copied { table, copied, there, left } in &tables {
        print(&format!("table     {table}: {copied} rows copied, {there} were there, {left} left out"))?;
    }
    let Audited { acts, acts_removed_by_holders, faulty, faults } = &audited;
    print(&format!(
        "audit     {acts} receipts and envelopes as the log says, {acts_removed_by_holders} of them removed by their holders; {faulty} are not"
    ))?;
    faults.iter().try_for_each(|fault| print(&format!("fault     {fault}")))?;
    Ok(code)
}
