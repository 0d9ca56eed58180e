//! The second half of a large letter's commit: its rows get their debts, in idempotent chunks (design §4).

use std::collections::HashSet;

use pec::RecipientKind;

use crate::{
    Job, Rim, StageError, acts,
    issue::{self, Onward},
    lay, origin,
    ports::{Debt, RowKey, Table},
    rim::{Body, Draft, Found},
    rows::{ActRow, DestinationHead, DispatchRow, FilingRow, OriginHead, OriginRecipient},
};

/// Spreads what a head row owes: a letter of ours, a letter to ours, or an act with many addressees. Each chunk can
/// be repeated; the head's debt goes last.
///
/// # Errors
/// [`StageError`]; the debt stays.
pub async fn spread(rim: &Rim, head: &RowKey) -> Result<(), StageError> {
    if head.sk.starts_with("act#") {
        act(rim, head).await
    } else if head.pk.starts_with("origin#") {
        letter_of_ours(rim, head).await
    } else {
        letter_to_ours(rim, head).await
    }
}

/// A draft that is committed whenever it is full.
struct Chunks<'a> {
    rim: &'a Rim,
    draft: Draft,
}

impl Chunks<'_> {
    async fn flush_when_full(&mut self) -> Result<(), StageError> {
        if lay::is_full(&self.draft) { self.flush().await } else { Ok(()) }
    }
    async fn flush(&mut self) -> Result<(), StageError> {
        if self.draft.items() == 0 {
            return Ok(());
        }
        self.rim.commit(std::mem::take(&mut self.draft)).await
    }
}

/// Recipients of a letter of ours: their clocks run from the head's instant, whichever run laid them.
async fn letter_of_ours(rim: &Rim, key: &RowKey) -> Result<(), StageError> {
    let Some(mut head) = rim.read::<OriginHead>(key).await?.filter(|h| !h.value.spread) else {
        return Ok(());
    };
    let rows: Vec<Found<OriginRecipient>> = rim.all(Table::Letters, &key.pk, "rcpt#").await?;
    let mut chunks = Chunks { rim, draft: rim.draft() };
    for mut found in rows {
        let moved = found.value.clocks.accepted_at != head.value.accepted_at;
        let owes = found.value.outcome.is_none() && found.value.recipient.kind == RecipientKind::Certified;
        if moved || (owes && found.debt.is_none()) {
            found.value.clocks.accepted_at = head.value.accepted_at;
            chunks.draft.replace(found.version, &found.value, origin::owed(&found.value))?;
            chunks.flush_when_full().await?;
        }
    }
    chunks.flush().await?;
    head.value.spread = true;
    chunks.draft.replace(head.version, &head.value, None)?;
    chunks.flush().await
}

/// Recipients of a letter to our users: filings, or virus notices.
async fn letter_to_ours(rim: &Rim, key: &RowKey) -> Result<(), StageError> {
    let Some(mut head) = rim.read::<DestinationHead>(key).await?.filter(|h| !h.value.spread) else {
        return Ok(());
    };
    let at = head.value.received_at;
    let mut chunks = Chunks { rim, draft: rim.draft() };
    let filings: Vec<Found<FilingRow>> = rim.all(Table::Letters, &key.pk, "file#").await?;
    let notices: Vec<Found<ActRow>> = rim.all(Table::Letters, &key.pk, "act#virus-detection#").await?;
    // A run that found no virus may have laid a filing before the run that found one committed: never both.
    let filed: HashSet<&str> =
        filings.iter().filter(|f| stands(f)).map(|f| f.value.discriminator.as_str()).collect();
    let infected: HashSet<&str> = notices.iter().map(|n| n.value.key.discriminator.as_str()).collect();
    for found in filings.iter().filter(|f| !stands(f) && !infected.contains(f.value.discriminator.as_str())) {
        chunks.draft.replace(found.version, &found.value, Some(issue::filing_debt(&found.value, at)))?;
        chunks.flush_when_full().await?;
    }
    let owing = |n: &&Found<ActRow>| n.debt.is_none() && n.value.issued.is_none();
    for found in notices.iter().filter(owing).filter(|n| !filed.contains(n.value.key.discriminator.as_str()))
    {
        chunks.draft.replace(found.version, &found.value, Some(acts::owed(&found.value)))?;
        chunks.flush_when_full().await?;
    }
    chunks.flush().await?;
    head.value.spread = true;
    chunks.draft.replace(head.version, &head.value, None)?;
    chunks.flush().await
}

fn stands(filing: &Found<FilingRow>) -> bool {
    filing.debt.is_some() || filing.value.filed.is_some()
}

/// Addressees of an issued act: all of them are in its row, so their rows are made here, each once.
async fn act(rim: &Rim, key: &RowKey) -> Result<(), StageError> {
    let found = acts::read(rim, key).await?;
    let owes = |f: &Found<ActRow>| matches!(f.debt, Some(Debt { job: Job::Spread { .. }, .. }));
    let Some(found) = found.filter(owes) else { return Ok(()) };
    let Some(issued) = &found.value.issued else { return Ok(()) };
    let at = found.value.document.at;
    let mut chunks = Chunks { rim, draft: rim.draft() };
    match issue::onward(&found.value, issued) {
        Some(Onward::File(rows)) => {
            let there = there::<FilingRow>(rim, &key.pk, "file#").await?;
            for row in rows.iter().filter(|r| !there.contains(&r.key().sk)) {
                chunks.draft.insert(row, Some(issue::filing_debt(row, at)))?;
                chunks.flush_when_full().await?;
            }
        }
        Some(Onward::Send(rows)) => {
            let there = there::<DispatchRow>(rim, &key.pk, "send#").await?;
            for row in rows.iter().filter(|r| !there.contains(&r.key().sk)) {
                chunks.draft.insert(row, Some(issue::dispatch_debt(row, at)))?;
                chunks.flush_when_full().await?;
            }
        }
        Some(Onward::Home(_) | Onward::Inward) | None => {}
    }
    chunks.flush().await?;
    chunks.draft.replace(found.version, &found.value, None)?;
    chunks.flush().await
}

async fn there<T: Body>(rim: &Rim, pk: &str, prefix: &str) -> Result<HashSet<String>, StageError> {
    let rows: Vec<Found<T>> = rim.all(Table::Letters, pk, prefix).await?;
    Ok(rows.into_iter().map(|f| f.value.key().sk).collect())
}
