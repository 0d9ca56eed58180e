//! The carrier of a form that has no SMTP client.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use stages::ports::{Carrier, Errand, Relayed};

/// No way out: everything that goes to other systems stays owed, and the clocks of RFC 6109 §3.1.6 tell the sender.
#[derive(Debug, Default)]
pub struct NoCarrier {
    said: AtomicBool,
}

#[async_trait]
impl Carrier for NoCarrier {
    async fn carry(&self, errand: Errand) -> Vec<Relayed> {
        if !self.said.swap(true, Ordering::Relaxed) {
            tracing::warn!("this provider has no SMTP client: what goes to other systems waits");
        }
        vec![Relayed::Later { answer: "no SMTP client".to_owned() }; errand.recipients.len()]
    }
}
