//! Where each recipient's envelope goes: fixed at acceptance (design §4 "Dispatch").

use std::collections::HashMap;

use pec::{Recipient, RecipientKind};

use crate::{Rim, StageError, ports::Destination, registry::Domain, rows::Parcel};

/// The parcels of a letter, and the index record of each recipient.
pub(super) struct Routes {
    /// One for each destination; our own comes first.
    pub(super) parcels: Vec<Parcel>,
    /// By recipient, in their order.
    pub(super) records: Vec<Option<String>>,
}

/// Sorts recipients: ours to ourselves, certified ones by the record that manages their domain (one transaction per
/// provider), ordinary ones by domain.
pub(super) async fn route(rim: &Rim, own: &Domain, recipients: &[Recipient]) -> Result<Routes, StageError> {
    let index = rim.directory.index();
    let mut ours: HashMap<String, bool> = HashMap::from([(own.name.to_ascii_lowercase(), true)]);
    let mut parcels: Vec<Parcel> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut records = Vec::with_capacity(recipients.len());
    for recipient in recipients {
        let domain = recipient.address.domain();
        let record = match recipient.kind {
            RecipientKind::Certified => index.by_domain(&domain).map(|r| r.id.clone()),
            RecipientKind::Ordinary => None,
        };
        let is_ours = match ours.get(&domain) {
            Some(known) => *known,
            None => {
                let found = rim.domain(&recipient.address).await?.is_some();
                ours.insert(domain.clone(), found);
                found
            }
        };
        let (place, destination) = match &record {
            _ if is_ours => ("own".to_owned(), Destination::Own),
            Some(record) => (
                format!("provider {record}"),
                Destination::Provider { record: record.clone(), domain: domain.clone() },
            ),
            None => (format!("ordinary {domain}"), Destination::Ordinary { domain: domain.clone() }),
        };
        let at = *places.entry(place).or_insert_with(|| {
            parcels.push(Parcel { destination, recipients: Vec::new() });
            parcels.len() - 1
        });
        if let Some(parcel) = parcels.get_mut(at) {
            parcel.recipients.push(recipient.address.clone());
        }
        records.push(record);
    }
    Ok(Routes { parcels, records })
}
