//! Who is told that something was not delivered: the reverse path, by a delivery status notification (RFC 3464; spec
//! 0.2 D13, D14). Never a notification about one: those have a null reverse path.

use pec::{
    Address,
    document::{FailedRecipient, Matter},
    original::OriginalFacts,
};

use super::{Incoming, addressed::Addressed};
use crate::{
    Rim, StageError,
    acts::{self, Addressee, Desk, Order},
    ids::blob_name,
    ports::Destination,
    rim::Draft,
};

/// Recipients of whom one notification speaks: its row has room for them.
const RECIPIENTS_MAX: usize = 250;

impl Incoming {
    /// Makes notifications owed, in the commit of the reception: what is received again speaks of nothing new.
    pub(super) async fn tell_the_sender(
        &self,
        rim: &Rim,
        draft: &mut Draft,
        facts: &OriginalFacts,
        refusing: &[&Addressed],
    ) -> Result<(), StageError> {
        let (Some(path), Some(first)) = (&self.transaction.reverse_path, refusing.first()) else {
            return Ok(());
        };
        if !self.is_answerable {
            tracing::info!(incoming = %self.id, "nobody is told: the reverse path is not known to be the sender's");
            return Ok(());
        }
        let desk = Desk::of(rim, (*first.environment).clone(), self.at)?;
        let destination = way_to(rim, path).await?;
        for refusing in refusing.chunks(RECIPIENTS_MAX) {
            let failed = |one: &&Addressed| FailedRecipient {
                recipient: one.address.clone(),
                code: one.refusal().to_owned(),
                answer: None,
            };
            let keys: Vec<String> = refusing.iter().map(|one| one.address.key()).collect();
            let order = Order {
                partition: self.partition(),
                discriminator: blob_name(keys.join("\n").as_bytes()),
                to: path.to_string(),
                letter: self.wrapped_letter(facts),
                letter_in_head: false,
                matter: Matter::DeliveryStatus {
                    failures: refusing.iter().map(failed).collect(),
                    arrived_at: self.received_at,
                },
                source: Some(self.blob.clone()),
                addressee: Addressee::ReversePath { destination: destination.clone(), address: path.clone() },
                sending_provider: String::new(),
            };
            let act = desk.act(rim, order);
            draft.insert(&act, Some(acts::owed(&act)))?;
        }
        Ok(())
    }
}

/// Where an address is: with us, at a provider of the index, or elsewhere.
async fn way_to(rim: &Rim, address: &Address) -> Result<Destination, StageError> {
    if rim.domain(address).await?.is_some() {
        return Ok(Destination::Own);
    }
    let domain = address.domain();
    Ok(match rim.directory.index().by_domain(&domain) {
        Some(record) => Destination::Provider { record: record.id.clone(), domain },
        None => Destination::Ordinary { domain },
    })
}
