//! A mailbox that fills up tells its holder at 80 and 95 % of its quota (spec 12): one ordinary message in the commit of
//! what crosses the line, so once, however often that is tried; and again only after the mailbox was below the line.

use mime::Rope;
use pec::{Address, quota};

use super::{Desk, Place};
use crate::{BlobKey, Rim, StageError, ports::Put, registry::Mailbox, rows::Summary};

impl Desk {
    /// After something was put into the mailbox that held `before_bytes`. The warning is over quota too; it is filed
    /// under the name of what crossed the line, so that another try of the same makes the same.
    pub(super) async fn warn(
        &mut self,
        rim: &Rim,
        settings: Option<&Mailbox>,
        before_bytes: u64,
        cause: &str,
    ) -> Result<(), StageError> {
        let Some(settings) = settings.filter(|m| m.id == *self.mailbox.mailbox()) else { return Ok(()) };
        let head = self.mailbox.head();
        let (bytes, quota_bytes) = (head.bytes, settings.quota_bytes);
        let [before, now] = [before_bytes, bytes].map(|bytes| quota::level(bytes, quota_bytes));
        // 1. What left the mailbox meanwhile is seen here: only what comes in can cross a line.
        let told = head.warned_percent.min(before);
        if told != head.warned_percent || now > told {
            self.mailbox.head_mut().warned_percent = now.max(told);
        }
        if now <= told {
            return Ok(());
        }
        // 2. Whose provider speaks.
        let Some(domain) = rim.domain(&settings.address).await? else { return Ok(()) };
        let environment = rim.environment(&domain.environment).await?;
        // 3. The message. Power fails before the commit: the next try finds its octets, and goes on with them.
        let mailbox = self.mailbox.mailbox().clone();
        let blob = BlobKey::mailbox(&mailbox, &format!("{cause}-quota-{now}"));
        let id = crate::ids::blob_name(blob.as_str().as_bytes());
        let message_id = format!("{}@{}", id.get(..32).unwrap_or(&id), environment.mail_domain);
        let warning = quota::Warning {
            provider: &environment.provider_name,
            to: &settings.address,
            message_id: &message_id,
            at: self.at,
            percent: now,
            bytes,
            quota_bytes,
        };
        let octets = warning.compose();
        let mut size_bytes = octets.len() as u64;
        if rim.blobs.put_if_absent(&blob, Rope::from(octets)).await? == Put::Existing {
            size_bytes = rim.blobs.size(&blob).await?.unwrap_or(size_bytes);
        }
        let summary = Summary {
            kind: None,
            from: warning.from(),
            subject: warning.subject(),
            message_id: format!("<{message_id}>"),
            pec_id: None,
            size_bytes,
            at: self.at,
        };
        self.arrive(blob, summary, Place::Inbox)?;
        tracing::info!(percent = now, "the holder of a mailbox was told how full it is");
        Ok(())
    }

    /// The settings of the mailbox behind an address, with the octets that are in it now.
    pub(super) async fn as_it_is(
        &mut self,
        rim: &Rim,
        address: Option<&Address>,
    ) -> Result<(Option<Mailbox>, u64), StageError> {
        let settings = match address {
            Some(address) => self.settings(rim, address).await?,
            None => None,
        };
        Ok((settings, self.mailbox.head().bytes))
    }
}
