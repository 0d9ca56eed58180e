//! What removing and moving begin with: the messages that are about to leave a folder, as they are now.

use super::{Entry, MailboxError, UidSet, View, desk::Desk, read, rows::Message};
use crate::{Rim, rim::Found};

/// Messages that are about to leave a folder, and the desk that their commit is made on.
pub(super) struct Leaving {
    /// The mailbox, as it was read before the rows.
    pub(super) desk: Desk,
    /// What the view knows of them; empty if none is there.
    pub(super) entries: Vec<Entry>,
    /// Their rows, in the order of `entries`.
    pub(super) rows: Vec<Found<Message>>,
    /// Their UIDs.
    pub(super) gone: UidSet,
}

impl Leaving {
    /// Which of these are in the view's folder now, and `wanted`; the view is brought up to it. `None` if somebody
    /// else was faster: look again.
    ///
    /// # Errors
    /// [`Refusal::NoFolder`](super::Refusal); [`MailboxError::Stage`].
    pub(super) async fn look(
        rim: &Rim,
        view: &mut View,
        uids: &[u32],
        wanted: fn(&Entry) -> bool,
    ) -> Result<Option<Self>, MailboxError> {
        let mut desk = Desk::open(rim, &view.mailbox).await?;
        let state = desk.folder(rim, &view.state.id).await?.clone();
        let known = state.highestmodseq;
        view.catch_up(rim, state).await?;
        let entries: Vec<Entry> =
            uids.iter().filter_map(|uid| view.entry(*uid)).filter(|e| wanted(e)).copied().collect();
        let gone: UidSet = entries.iter().map(|e| e.uid).collect();
        if entries.is_empty() {
            return Ok(Some(Self { desk, entries, rows: Vec::new(), gone }));
        }
        let rows = read::rows(rim, &view.mailbox, &view.state.id, &gone).await?;
        let raced = rows.len() != entries.len() || view.state.highestmodseq != known;
        Ok((!raced).then_some(Self { desk, entries, rows, gone }))
    }
}
