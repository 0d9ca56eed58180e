//! Whether the clock of this provider is right: at most one second from UTC (DM 2 November 2005 art. 9(2), spec 8.4).
//! Somebody measures; here it is noted, and each time that the line is crossed there is an audit entry in the same
//! commit.

use pec::Instant;
use serde::{Deserialize, Serialize};

use crate::{
    Rim, StageError,
    accounts::{AuditEntry, AuditEvent},
    ids::MailboxId,
    ports::{RowKey, Table},
    rim::{Body, Draft},
};

/// How far the clock may be off, in milliseconds.
pub const OFFSET_MS_MAX: i64 = 1000;

/// Whether a clock with this offset is off.
#[must_use]
pub const fn is_off(offset_ms: i64) -> bool {
    offset_ms.unsigned_abs() > OFFSET_MS_MAX.unsigned_abs()
}

/// What stands for a mailbox id in audit entries: no mailbox id has a colon.
const AUDITED: &str = "clock:";

/// What was measured last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockRow {
    /// How far UTC is ahead of the clock, in milliseconds.
    pub offset_ms: i64,
    /// When, by the clock itself.
    pub at: Instant,
    /// More than [`OFFSET_MS_MAX`].
    pub is_off: bool,
    /// Since when it is so.
    pub since: Instant,
}
impl ClockRow {
    fn key_of() -> RowKey {
        RowKey { table: Table::Registry, pk: "clock".to_owned(), sk: "offset".to_owned() }
    }
}
impl Body for ClockRow {
    const TABLE: Table = Table::Registry;
    fn key(&self) -> RowKey {
        Self::key_of()
    }
}

/// Notes a measurement. Whoever measures at the same time notes it too: one of both stays.
///
/// # Errors
/// [`StageError`], also [`StageError::Raced`]: the next measurement is noted.
pub async fn note(rim: &Rim, offset_ms: i64) -> Result<ClockRow, StageError> {
    let (at, is_off) = (rim.now(), is_off(offset_ms));
    let found = rim.read::<ClockRow>(&ClockRow::key_of()).await?;
    // A clock that was right from the first measurement on crosses nothing.
    let was_off = found.as_ref().is_some_and(|found| found.value.is_off);
    let since = found.as_ref().filter(|_| was_off == is_off).map_or(at, |found| found.value.since);
    let row = ClockRow { offset_ms, at, is_off, since };
    let mut draft = Draft::new();
    match &found {
        Some(found) => draft.replace(found.version, &row, None)?,
        None => draft.insert(&row, None)?,
    }
    if was_off != is_off {
        let event = if is_off { AuditEvent::ClockOff } else { AuditEvent::ClockRight };
        let entry = AuditEntry {
            door: "clock".to_owned(),
            detail: Some(format!("{offset_ms} ms")),
            ..AuditEntry::of_operator(&MailboxId(AUDITED.to_owned()), event, None, at)
        };
        match rim.read::<AuditEntry>(&entry.key()).await? {
            Some(before) => draft.replace(before.version, &entry.after(Some(&before.value)), None)?,
            None => draft.insert(&entry, None)?,
        }
    }
    rim.commit(draft).await?;
    Ok(row)
}

/// What was measured last; `None` if nothing ever was.
///
/// # Errors
/// [`StageError`]
pub async fn last(rim: &Rim) -> Result<Option<ClockRow>, StageError> {
    Ok(rim.read::<ClockRow>(&ClockRow::key_of()).await?.map(|found| found.value))
}

/// When the clock was off and right again in a month (`yyyy-mm`, UTC).
///
/// # Errors
/// [`StageError`]
pub async fn history(rim: &Rim, month: &str) -> Result<Vec<AuditEntry>, StageError> {
    let rows = rim.all::<AuditEntry>(Table::Registry, &AuditEntry::partition(AUDITED, month), "").await?;
    Ok(rows.into_iter().map(|found| found.value).collect())
}
