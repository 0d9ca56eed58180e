//! Revocation lists of the embedded form, and answers of responders: fetched each hour, kept in the folder, so that a restart has them (docs/trust.md).

use std::{collections::HashMap, sync::Arc, time::Duration};

use directory::lists::{Fetcher, REFRESH_S, RETRY_S, wanted};
use pec::{Index, Instant};
use smime::{LIST_BYTES_MAX, Verifier};
use stages::Rim;

use crate::folder::{Access, Folder};

/// How often it is looked whether one is due.
const LOOK: Duration = Duration::from_secs(60);

/// The lists of everybody in the index, and when each is to be fetched.
pub struct Lists {
    verifier: Arc<Verifier>,
    folder: Folder,
    fetcher: Fetcher,
    next: HashMap<String, Instant>,
}

impl Lists {
    /// With those that the folder has of an earlier run. From now on they are asked.
    #[must_use]
    pub fn open(verifier: Arc<Verifier>, folder: Folder, index: &Index, now: Instant) -> Self {
        verifier.ask_for_revocation();
        if let Err(error) = std::fs::create_dir_all(folder.lists()) {
            tracing::error!(alarm = "revocation", error = %error, "revocation lists cannot be kept");
        }
        for wanted in wanted(&verifier, index) {
            // One that is not there or does not hold is fetched soon.
            if let Ok(list) = Folder::read(&folder.list(&wanted.name()), LIST_BYTES_MAX as u64)
                && let Err(error) = verifier.take(&wanted, &list, now.unix_s())
            {
                tracing::warn!(error = %error, "a revocation list of an earlier run is not used");
            }
        }
        Self { verifier, folder, fetcher: Fetcher::default(), next: HashMap::new() }
    }

    /// Fetches those that are due. Blocks. Answers how many failed.
    pub fn refresh(&mut self, index: &Index, now: Instant) -> usize {
        let mut failed = 0;
        for wanted in wanted(&self.verifier, index) {
            if self.next.get(&wanted.name()).is_some_and(|next| now < *next) {
                continue;
            }
            let kept = self.fetcher.refresh(&self.verifier, &wanted, now.unix_s());
            let again_s = match kept
                .map(|list| Folder::write(&self.folder.list(&wanted.name()), &list, Access::Public))
            {
                Ok(Ok(())) => REFRESH_S,
                Ok(Err(error)) => {
                    tracing::error!(alarm = "revocation", error = %error, "a revocation list is not kept");
                    REFRESH_S
                }
                Err(error) => {
                    tracing::error!(alarm = "revocation", error = %error, "the last good list stays");
                    failed += 1;
                    RETRY_S
                }
            };
            self.next.insert(wanted.name(), now.plus_s(again_s));
        }
        failed
    }

    /// Keeps them fresh for as long as it is polled.
    pub async fn keep_fresh(mut self, rim: Rim) {
        loop {
            let (index, now) = (rim.directory.index(), rim.now());
            let work = move || {
                self.refresh(&index, now);
                self
            };
            match tokio::task::spawn_blocking(work).await {
                Ok(lists) => self = lists,
                Err(error) => {
                    tracing::error!(alarm = "revocation", error = %error, "revocation lists are not fetched any more");
                    return;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
