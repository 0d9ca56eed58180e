//! Receipts and notices (M1-M3, M5-M12) and anomaly envelopes: one act a job.

use crate::{Rim, StageError, issue::issue, ports::RowKey};

/// Issues the receipt or notice of an act row.
///
/// # Errors
/// [`StageError`]; the debt stays.
pub async fn certify(rim: &Rim, act: &RowKey) -> Result<(), StageError> {
    issue(rim, act).await
}
