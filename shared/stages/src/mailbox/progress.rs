//! How far a letter of ours is, as its sender sees it.

use std::collections::HashMap;

use crate::{
    Rim, StageError,
    ids::Partition,
    ports::Table,
    rows::{ActRow, OriginHead, OriginRecipient},
};

/// How far a letter of ours is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Its head: accepted, or refused.
    pub head: OriginHead,
    /// Whether its envelope is signed and stored.
    pub sealed: bool,
    /// Its recipients in the order of the transaction; none for a refused letter.
    pub recipients: Vec<OriginRecipient>,
}

/// How far the letter with this PEC id is; `None` while it is not decided, or for an id that is no letter of ours.
///
/// # Errors
/// [`StageError::Facts`]
pub async fn progress(rim: &Rim, pec_id: &str) -> Result<Option<Progress>, StageError> {
    let Some(head) = rim.read::<OriginHead>(&OriginHead::key_of(pec_id)).await? else { return Ok(None) };
    let head = head.value;
    if head.refused.is_some() {
        return Ok(Some(Progress { head, sealed: false, recipients: Vec::new() }));
    }
    let pk = Partition::origin(pec_id);
    let envelope = rim.all::<ActRow>(Table::Letters, pk.as_str(), "act#transport-envelope#").await?;
    let rows = rim.all::<OriginRecipient>(Table::Letters, pk.as_str(), "rcpt#").await?;
    let mut recipients: Vec<OriginRecipient> = rows.into_iter().map(|f| f.value).collect();
    let place: HashMap<_, _> =
        head.letter.recipients.iter().enumerate().map(|(n, r)| (r.address.key(), n)).collect();
    recipients.sort_by_key(|r| place.get(&r.recipient.address.key()).copied());
    Ok(Some(Progress { head, sealed: envelope.iter().any(|f| f.value.issued.is_some()), recipients }))
}
