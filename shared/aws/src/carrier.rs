//! Ordinary mail by SES.
//!
//! SES overwrites Message-ID and Date of all that it sends and uses a reverse path of its own, so it may carry mail to
//! ordinary recipients only, where a deployment chooses so (docs/divergences.md). PEC between providers leaves by our
//! own SMTP client.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_sesv2::{
    Client,
    primitives::Blob,
    types::{Destination as To, EmailContent, RawMessage},
};
use bytes::Bytes;
use pec::Address;
use stages::ports::{Carrier, Destination, Errand, Relayed};

use crate::clients::tell;

/// Recipients of one message by SES.
const RECIPIENTS_MAX: usize = 50;

/// Ordinary mail by SES, everything else by another carrier.
pub struct SesCarrier {
    client: Client,
    others: Arc<dyn Carrier>,
}

impl SesCarrier {
    /// With a carrier for what SES must not carry.
    #[must_use]
    pub fn new(client: Client, others: Arc<dyn Carrier>) -> Self {
        Self { client, others }
    }

    async fn send(&self, from: &Address, to: &[Address], message: &Bytes) -> Vec<Relayed> {
        let outcome = match self.request(from, to, message).await {
            Ok(()) => Relayed::Taken,
            // Also what SES refuses for good: an identity that is not verified, or a sandbox, is for the operator to
            // mend, and dispatch gives up in time by itself.
            Err(answer) => Relayed::Later { answer },
        };
        vec![outcome; to.len()]
    }

    async fn request(&self, from: &Address, to: &[Address], message: &Bytes) -> Result<(), String> {
        let to = To::builder().set_to_addresses(Some(to.iter().map(ToString::to_string).collect())).build();
        let raw =
            RawMessage::builder().data(Blob::new(message.to_vec())).build().map_err(|e| e.to_string())?;
        let request = self
            .client
            .send_email()
            .from_email_address(from.as_str())
            .destination(to)
            .content(EmailContent::builder().raw(raw).build());
        request.send().await.map(|_| ()).map_err(|e| tell(&e))
    }
}

#[async_trait]
impl Carrier for SesCarrier {
    async fn carry(&self, errand: Errand) -> Vec<Relayed> {
        let ordinary = matches!(errand.destination, Destination::Ordinary { .. });
        // SES sends nothing with a null reverse path.
        let Some(from) = errand.reverse_path.clone().filter(|_| ordinary) else {
            return self.others.carry(errand).await;
        };
        let mut outcomes = Vec::with_capacity(errand.recipients.len());
        for recipients in errand.recipients.chunks(RECIPIENTS_MAX) {
            outcomes.extend(self.send(&from, recipients, &errand.message).await);
        }
        outcomes
    }
}
