//! The transport envelope (M4, RFC 6109 §3.1.5): an act like the others, in a queue of its own because it carries
//! the original.

use crate::{Rim, StageError, issue::issue, ports::RowKey};

/// Issues the transport envelope of an act row.
///
/// # Errors
/// [`StageError`]; the debt stays.
pub async fn seal(rim: &Rim, act: &RowKey) -> Result<(), StageError> {
    issue(rim, act).await
}
