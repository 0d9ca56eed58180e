//! Blobs that nobody needs any more go: those that a commit let go, those that were made for a commit that never
//! came, those of a deleted folder. The row that names them owes it, so power may fail anywhere.

use futures_util::future::try_join_all;

use super::{
    pack,
    rows::{ChangeRow, FolderRow, Making, Message, partition},
    tree::is_first,
};
use crate::{
    BlobKey, Job, Rim, StageError,
    ids::MailboxId,
    ports::{RowKey, StoredRow, Table},
    rim::{Body, Draft, Found, typed},
};

/// Messages of a deleted folder that are removed in one commit.
const ROWS: usize = 90;

/// Commits of one run, at most: a large folder takes several runs.
const COMMITS_MAX: usize = 20;

/// Removes what a row says.
///
/// # Errors
/// [`StageError`]; the debt stays.
pub(crate) async fn discard(rim: &Rim, key: &RowKey) -> Result<(), StageError> {
    let owes = |stored: &StoredRow| {
        let job = stored.row.debt.as_ref().map(|debt| &debt.job);
        matches!(job, Some(Job::Discard { .. }))
    };
    let Some(stored) = rim.facts.get(key).await?.filter(owes) else { return Ok(()) };
    if key.sk.starts_with(Making::PREFIX) {
        given_up(rim, typed(stored)?).await
    } else if key.sk.starts_with(FolderRow::PREFIX) {
        folder(rim, stored).await
    } else {
        let mut found: Found<ChangeRow> = typed(stored)?;
        remove(rim, &std::mem::take(&mut found.value.blobs)).await?;
        let mut draft = Draft::new();
        draft.replace(found.version, &found.value, None)?;
        rim.commit(draft).await
    }
}

/// Blobs whose commit has not come in all the time that it had. Whoever still makes them cannot commit any more; only
/// then they go.
async fn given_up(rim: &Rim, mut found: Found<Making>) -> Result<(), StageError> {
    let Some(debt) = found.debt.take().filter(|d| d.owed_since <= rim.now()) else { return Ok(()) };
    if !found.value.given_up {
        found.value.given_up = true;
        let mut draft = Draft::new();
        draft.replace_still_owing(found.version, &found.value, debt)?;
        rim.commit(draft).await?;
        found.version += 1;
    }
    remove(rim, &found.value.blobs).await?;
    let mut draft = Draft::new();
    draft.delete(found.value.key(), found.version);
    rim.commit(draft).await
}

/// All messages of a deleted folder, then what else there is of it.
async fn folder(rim: &Rim, stored: StoredRow) -> Result<(), StageError> {
    let found: Found<FolderRow> = typed(stored)?;
    if !found.value.dropped {
        return Ok(());
    }
    let (mailbox, id) = (&found.value.mailbox, &found.value.state.id);
    for _ in 0..COMMITS_MAX {
        if !messages(rim, mailbox, id).await? {
            return rest(rim, &found).await;
        }
    }
    // More is left than one run should do: the next one goes on. If this hint is lost, `watch` sends it again.
    if let Err(error) = rim.queue.send(vec![Job::Discard { row: found.value.key() }.into()]).await {
        tracing::warn!(error = %error, "hints were not sent, watch will send them");
    }
    Ok(())
}

/// Some messages: their octets, then their rows. Answers whether there were any.
async fn messages(rim: &Rim, mailbox: &MailboxId, id: &str) -> Result<bool, StageError> {
    let page =
        rim.facts.query(Table::Mailboxes, &partition(mailbox), &Message::prefix(id), None, ROWS).await?;
    let rows: Vec<Found<Message>> = page.rows.into_iter().map(typed).collect::<Result<_, _>>()?;
    let blobs: Vec<BlobKey> = rows.iter().map(|found| found.value.blob.clone()).collect();
    remove(rim, &blobs).await?;
    let mut draft = Draft::new();
    for found in &rows {
        draft.delete(found.value.key(), found.version);
    }
    if draft.items() > 0 {
        rim.commit(draft).await?;
    }
    Ok(!rows.is_empty())
}

async fn rest(rim: &Rim, found: &Found<FolderRow>) -> Result<(), StageError> {
    let (mailbox, id) = (&found.value.mailbox, &found.value.state.id);
    // Blobs that its history still owes.
    for change in rim.all::<ChangeRow>(Table::Mailboxes, &partition(mailbox), &ChangeRow::prefix(id)).await? {
        if change.debt.is_some() {
            Box::pin(discard(rim, &change.value.key())).await?;
        }
    }
    pack::remove_all(rim, mailbox, id).await?;
    let mut draft = Draft::new();
    match is_first(id) {
        // Without a row it would be there again, and empty.
        true => draft.replace(found.version, &found.value, None)?,
        false => draft.delete(found.value.key(), found.version),
    }
    rim.commit(draft).await
}

/// Removes blobs of a mailbox; those that are not there are no error. What lies with its letter stays.
pub(super) async fn remove(rim: &Rim, blobs: &[BlobKey]) -> Result<(), StageError> {
    let own = blobs.iter().filter(|blob| blob.is_of_a_mailbox());
    try_join_all(own.map(|blob| rim.blobs.delete(blob))).await?;
    Ok(())
}
