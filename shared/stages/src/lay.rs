//! Large letters: rows that do not fit into one commit are laid first, in idempotent chunks and without debts; the
//! head's commit then owes a `spread` job that gives them their debts (design §4).

use std::collections::HashMap;

use crate::{
    Rim, StageError,
    ports::Commit,
    rim::{Body, Draft, Found},
};

/// How many rows of recipients one commit takes beside what it has anyway: letter, acts, entries.
pub(crate) const ROOM: usize = Commit::ITEMS_MAX - 20;

/// How many bytes of rows one commit takes beside what it has anyway.
pub(crate) const ROOM_BYTES: usize = Commit::BYTES_MAX / 2;

/// Lays rows of one partition without debts. A row that is there already stays if it has a debt or `finished` says
/// so; otherwise an earlier run laid it and did not come to its commit, and it becomes what this run says.
///
/// # Errors
/// [`StageError::Raced`] when another copy laid one in between: run again.
pub(crate) async fn lay<T: Body + PartialEq>(
    rim: &Rim,
    prefix: &str,
    bodies: &[T],
    finished: impl Fn(&T) -> bool,
) -> Result<(), StageError> {
    let Some(first) = bodies.first() else { return Ok(()) };
    let laid: Vec<Found<T>> = rim.all(T::TABLE, &first.key().pk, prefix).await?;
    let laid: HashMap<String, Found<T>> = laid.into_iter().map(|f| (f.value.key().sk, f)).collect();
    let mut draft = Draft::new();
    for body in bodies {
        match laid.get(&body.key().sk) {
            None => draft.insert(body, None)?,
            Some(found) if found.debt.is_some() || finished(&found.value) || found.value == *body => {}
            Some(found) => draft.replace(found.version, body, None)?,
        }
        if is_full(&draft) {
            rim.commit(std::mem::take(&mut draft)).await?;
        }
    }
    if draft.items() > 0 {
        rim.commit(draft).await?;
    }
    Ok(())
}

/// Whether a draft that consists of rows alone should be committed before the next one.
pub(crate) fn is_full(draft: &Draft) -> bool {
    draft.items() >= ROOM || draft.bytes() >= ROOM_BYTES
}
