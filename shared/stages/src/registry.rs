//! Organisations, domains, mailboxes, provider environments: rows of the `registry` table and how stages read them.
//! What a mailbox signs in with is in [`crate::accounts`].

use pec::{Address, address::AddressError};
use serde::{Deserialize, Serialize};

use crate::{
    StageError,
    ids::{MailboxId, sha256_hex},
    ports::{RowKey, Table},
    rim::{Body, Rim},
};

fn registry(pk: String, sk: &str) -> RowKey {
    RowKey { table: Table::Registry, pk, sk: sk.to_owned() }
}

/// A provider environment: the main one or a secondary one (spec 9): own certificates, mailReceipt, domains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Its id, also the id of its record in the provider index.
    pub id: String,
    /// `providerName` = `gestore-emittente`.
    pub provider_name: String,
    /// `posta-certificata@dom`: the rfc822Name of its certificates.
    pub address: Address,
    /// `mailReceipt`.
    pub mail_receipt: Address,
    /// The provider mail domain: the right side of PEC ids and Message-IDs.
    pub mail_domain: String,
}
impl Environment {
    /// The key of an environment.
    #[must_use]
    pub fn key_of(id: &str) -> RowKey {
        registry(format!("environment#{id}"), "environment")
    }
}
impl Body for Environment {
    const TABLE: Table = Table::Registry;
    fn key(&self) -> RowKey {
        Self::key_of(&self.id)
    }
}

/// A domain of ours. Certified or ordinary, never both: all of these are certified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// Lower case.
    pub name: String,
    /// The environment that serves it.
    pub environment: String,
    /// The organisation that it belongs to.
    pub organisation: String,
}
impl Domain {
    /// The key of a domain.
    #[must_use]
    pub fn key_of(name: &str) -> RowKey {
        registry(format!("domain#{}", name.to_ascii_lowercase()), "domain")
    }
}
impl Body for Domain {
    const TABLE: Table = Table::Registry;
    fn key(&self) -> RowKey {
        Self::key_of(&self.name)
    }
}

/// Whether a mailbox takes letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MailboxState {
    /// It does.
    Active,
    /// Temporarily not: 5.2.1.
    Disabled,
    /// Gone for good: 5.1.1.
    Revoked,
}

/// A mailbox, by the address that leads to it now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailbox {
    /// Immutable.
    pub id: MailboxId,
    /// The address.
    pub address: Address,
    /// Its organisation.
    pub organisation: String,
    /// State.
    pub state: MailboxState,
    /// Quota; letters over it get M12, receipts and notices are filed all the same.
    pub quota_bytes: u64,
    /// Receipts go to a folder of their own, or to INBOX.
    pub receipts_in_inbox: bool,
    /// The holder takes ordinary mail (in an anomaly envelope), or refuses it (the default).
    pub takes_ordinary: bool,
}
impl Mailbox {
    /// The key of the mailbox behind an address.
    #[must_use]
    pub fn key_of(address: &str) -> RowKey {
        registry(format!("address#{}", address.to_ascii_lowercase()), "mailbox")
    }

    /// What `postmaster@` a domain leads to (RFC 5321 §4.5.1): one mailbox for each environment, under that name in each
    /// of its domains. Ordinary mail is taken there, since delivery status notifications name it and strangers write to
    /// it; it is the operator's, so it is the one mailbox with several addresses.
    ///
    /// # Errors
    /// [`AddressError`] if the domain is none.
    pub fn postmaster(environment: &Environment, domain: &Domain) -> Result<Self, AddressError> {
        let id = sha256_hex(format!("postmaster\0{}", environment.id).as_bytes());
        Ok(Self {
            id: MailboxId(id.chars().take(POSTMASTER_ID_CHARS).collect()),
            address: Address::parse(&format!("postmaster@{}", domain.name))?,
            organisation: domain.organisation.clone(),
            state: MailboxState::Active,
            quota_bytes: POSTMASTER_QUOTA_BYTES,
            receipts_in_inbox: true,
            takes_ordinary: true,
        })
    }
}

/// As many as the ids of other mailboxes have.
const POSTMASTER_ID_CHARS: usize = 32;
const POSTMASTER_QUOTA_BYTES: u64 = 2 << 30;

impl Body for Mailbox {
    const TABLE: Table = Table::Registry;
    fn key(&self) -> RowKey {
        Self::key_of(self.address.as_str())
    }
}

impl Rim {
    /// The mailbox behind an address of ours.
    ///
    /// # Errors
    /// [`StageError::Facts`]
    pub async fn mailbox(&self, address: &Address) -> Result<Option<Mailbox>, StageError> {
        Ok(self.read::<Mailbox>(&Mailbox::key_of(address.as_str())).await?.map(|f| f.value))
    }

    /// The domain of ours that an address belongs to.
    ///
    /// # Errors
    /// [`StageError::Facts`]
    pub async fn domain(&self, address: &Address) -> Result<Option<Domain>, StageError> {
        Ok(self.read::<Domain>(&Domain::key_of(&address.domain())).await?.map(|f| f.value))
    }

    /// An environment of ours.
    ///
    /// # Errors
    /// [`StageError::Facts`]; [`StageError::Damaged`] if it is not there.
    pub async fn environment(&self, id: &str) -> Result<Environment, StageError> {
        self.read::<Environment>(&Environment::key_of(id))
            .await?
            .map(|f| f.value)
            .ok_or_else(|| StageError::Damaged(format!("environment {id}: not in the registry")))
    }
}
