//! Who of the forward paths is ours, with mailbox and environment.

use std::collections::HashMap;
use std::sync::Arc;

use pec::Address;

use crate::{
    Rim, StageError,
    ports::{RowKey, StoredRow},
    registry::{Domain, Environment, Mailbox, MailboxState},
    rim::typed,
};

/// A forward path in a domain of ours.
#[derive(Clone, Debug)]
pub(super) struct Addressed {
    pub(super) address: Address,
    pub(super) mailbox: Option<Mailbox>,
    pub(super) environment: Arc<Environment>,
}

impl Addressed {
    /// The mailbox, if it takes what the network must propagate (outcome C).
    pub(super) fn open(&self) -> Option<&Mailbox> {
        self.mailbox.as_ref().filter(|m| m.state == MailboxState::Active)
    }

    /// The mailbox, if it takes ordinary mail (outcome D).
    pub(super) fn takes_ordinary(&self) -> Option<&Mailbox> {
        self.open().filter(|m| m.takes_ordinary)
    }

    /// The enhanced status of who does not get it (spec 12, 0.2 D13).
    pub(super) fn refusal(&self) -> &'static str {
        match self.mailbox.as_ref().map(|m| m.state) {
            None | Some(MailboxState::Revoked) => "5.1.1",
            Some(MailboxState::Disabled) => "5.2.1",
            Some(MailboxState::Active) => "5.7.1",
        }
    }
}

/// Looks up the forward paths. Those that are not in our domains are left out: the door does not take them.
pub(super) async fn resolve(rim: &Rim, forward_paths: &[Address]) -> Result<Vec<Addressed>, StageError> {
    let mut domains: HashMap<String, Option<Domain>> = HashMap::new();
    let mut environments: HashMap<String, Arc<Environment>> = HashMap::new();
    let mut ours = Vec::with_capacity(forward_paths.len());
    for address in forward_paths {
        let name = address.domain();
        if !domains.contains_key(&name) {
            domains.insert(name.clone(), rim.domain(address).await?);
        }
        let Some(Some(domain)) = domains.get(&name) else { continue };
        let environment = match environments.get(&domain.environment) {
            Some(known) => Arc::clone(known),
            None => {
                let read = Arc::new(rim.environment(&domain.environment).await?);
                environments.insert(domain.environment.clone(), Arc::clone(&read));
                read
            }
        };
        ours.push((address.clone(), environment));
    }
    let keys: Vec<RowKey> = ours.iter().map(|(address, _)| Mailbox::key_of(address.as_str())).collect();
    let mailboxes = rim.facts.get_many(&keys).await?;
    let with_mailbox = |((address, environment), stored): (_, Option<StoredRow>)| {
        let mailbox = stored.map(typed::<Mailbox>).transpose()?.map(|found| found.value);
        Ok(Addressed { address, mailbox, environment })
    };
    ours.into_iter().zip(mailboxes).map(with_mailbox).collect()
}

/// The addressed by environment, in the order of the transaction: each certifies for its own domains (spec 9).
pub(super) fn by_environment(addressed: &[Addressed]) -> Vec<(Arc<Environment>, Vec<Address>)> {
    let mut groups: Vec<(Arc<Environment>, Vec<Address>)> = Vec::new();
    for one in addressed {
        match groups.iter_mut().find(|(e, _)| e.id == one.environment.id) {
            Some((_, addresses)) => addresses.push(one.address.clone()),
            None => groups.push((Arc::clone(&one.environment), vec![one.address.clone()])),
        }
    }
    groups
}
