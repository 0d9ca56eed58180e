//! What scanners say of a message: ours, which looks at everything (spec 4.5 F8, 5.2 V5), and one that stood before the
//! door.

use bytes::Bytes;

use crate::{Rim, StageError, log::LogEntry, ports::Scan, rows::Scanned};

/// The name of the virus, if either scanner found one; ours is asked first, since it knows names.
///
/// # Errors
/// [`StageError::Scanner`] while ours is out of reach: nothing passes unscanned, whatever the other one said.
pub(crate) async fn virus(
    rim: &Rim,
    message: &Bytes,
    before: Option<&Scanned>,
) -> Result<Option<String>, StageError> {
    Ok(match rim.scanner.scan(message).await? {
        Scan::Infected { virus } => Some(virus),
        Scan::Clean => before.filter(|scanned| scanned.infected).map(told),
    })
}

/// The entry with what was said before the door.
pub(crate) fn noted(entry: LogEntry, before: Option<&Scanned>) -> LogEntry {
    match before {
        Some(scanned) => entry.with("scanned-before", told(scanned)),
        None => entry,
    }
}

/// A scanner that gives no name of the virus stands for it by its own.
fn told(scanned: &Scanned) -> String {
    format!("{}: {}", scanned.by, scanned.verdict)
}
