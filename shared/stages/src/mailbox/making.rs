//! Blobs that are made before the rows that name them, so that a crash in between leaves nothing behind.

use futures_util::future::try_join_all;

use super::rows::Making;
use crate::{
    BlobKey, Job, Rim, StageError,
    ids::MailboxId,
    ports::Debt,
    rim::{Body, Draft},
};

/// How long somebody has for making blobs and their rows, in seconds.
const PATIENCE_S: i64 = 3600;

/// Blobs in the making, and the row that owes that they go.
pub(super) struct Made {
    row: Making,
}

impl Made {
    /// Names for so many blobs, durably: if their rows never come, they go in an hour.
    pub(super) async fn begin(rim: &Rim, mailbox: &MailboxId, blobs: usize) -> Result<Self, StageError> {
        let id = format!("{:032x}", rim.ids.fresh());
        let blobs = (0..blobs).map(|n| BlobKey::mailbox(mailbox, &format!("{id}-{n}"))).collect();
        let row = Making { mailbox: mailbox.clone(), id, blobs, given_up: false };
        let mut draft = Draft::new();
        let debt = Debt::later(Job::Discard { row: row.key() }, rim.now().plus_s(PATIENCE_S));
        draft.insert(&row, Some(debt))?;
        rim.commit(draft).await?;
        Ok(Self { row })
    }

    /// Their names.
    pub(super) fn blobs(&self) -> &[BlobKey] {
        &self.row.blobs
    }

    /// Makes each a copy of another blob.
    pub(super) async fn copy(&self, rim: &Rim, from: &[BlobKey]) -> Result<(), StageError> {
        let copies = from.iter().zip(&self.row.blobs).map(|(from, to)| rim.blobs.copy_if_absent(from, to));
        try_join_all(copies).await?;
        Ok(())
    }

    /// Into the commit that names them: nobody has given them up, and the debt is paid.
    pub(super) fn done(&self, draft: &mut Draft) {
        draft.delete(self.row.key(), 1);
    }

    /// Their rows will not come: they go at once. If that does not work, they go when they are due.
    pub(super) async fn undo(self, rim: &Rim) {
        let undone = async {
            super::discard::remove(rim, &self.row.blobs).await?;
            let mut draft = Draft::new();
            draft.delete(self.row.key(), 1);
            rim.commit(draft).await
        };
        if let Err(error) = undone.await {
            tracing::debug!(error = %error, "blobs that are not needed go later");
        }
    }
}
