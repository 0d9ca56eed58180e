//! The demo that the first start makes: a test CA, a provider, a domain with two accounts.
//!
//! Everything is in files before anything is in the registry, and `demo.json` is the last of them: power fails before
//! it, and the next start makes the demo anew; after it, every start sees to it that the registry has what it names.

pub mod pki;

use std::path::PathBuf;

use machine::RandomIds;
use pec::{
    Address, Index, Instant,
    index::{IndexCertificate, Record},
};
use serde::{Deserialize, Serialize};
use stages::{
    Rim, StageError,
    accounts::{Accounts, Password},
    ids::MailboxId,
    ports::Ids as _,
    registry::{Domain, Environment, Mailbox, MailboxState},
    rim::{Body, Draft},
};

use crate::folder::{Access, Folder, FolderError};

const PROVIDER: &str = "Sigillo Demo";
/// The provider mail domain: right side of PEC ids, domain of the service address.
const MAIL_DOMAIN: &str = "gestore.demo.example";
/// The domain of the two accounts.
const DOMAIN: &str = "pec.demo.example";
const ACCOUNTS: [&str; 2] = ["mittente", "destinatario"];
/// Id of the organisation that the demo's accounts belong to.
const ORGANISATION: &str = "demo";
const QUOTA_BYTES: u64 = 2 << 30;
const FILE_BYTES_MAX: u64 = 1 << 20;

/// `demo.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demo {
    /// `providerName`.
    pub provider: String,
    /// The provider mail domain.
    pub mail_domain: String,
    /// The domain of the accounts.
    pub domain: String,
    /// The accounts with their passwords.
    pub accounts: Vec<DemoAccount>,
}

/// An account of the demo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemoAccount {
    /// Its address.
    pub address: Address,
    /// Its password.
    pub password: String,
}

/// Why there is no demo. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A file.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A file that is not what it should be.
    #[error("understand {0}: {1}")]
    File(PathBuf, String),
    /// A certificate or a name.
    #[error("make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A name of the demo that is none: a mistake of ours.
    #[error("name the demo: {0}")]
    Name(#[from] pec::address::AddressError),
    /// The registry.
    #[error("register the demo: {0}")]
    Registry(#[from] StageError),
}

impl Demo {
    /// Reads the demo of a folder.
    ///
    /// # Errors
    /// [`DemoError`] when it is not there or not readable.
    pub fn read(folder: &Folder) -> Result<Self, DemoError> {
        let octets = Folder::read(&folder.demo(), FILE_BYTES_MAX)?;
        serde_json::from_slice(&octets).map_err(|error| DemoError::File(folder.demo(), error.to_string()))
    }

    /// The demo of a folder; makes its files if there is none, and says so.
    ///
    /// # Errors
    /// [`DemoError`]
    pub fn open(folder: &Folder, now: Instant) -> Result<(Self, bool), DemoError> {
        if folder.demo().exists() {
            return Ok((Self::read(folder)?, false));
        }
        folder.create()?;
        let demo = Self::named()?;
        demo.write_certificates(folder, now)?;
        // The commit point.
        let json =
            serde_json::to_vec_pretty(&demo).map_err(|e| DemoError::File(folder.demo(), e.to_string()))?;
        Folder::write(&folder.demo(), &json, Access::Private)?;
        Ok((demo, true))
    }

    /// Puts environment, domains and accounts into the registry where they are not there yet.
    ///
    /// # Errors
    /// [`DemoError`]
    pub async fn register(&self, rim: &Rim, accounts: &Accounts) -> Result<(), DemoError> {
        let environment = self.environment()?;
        insert(rim, &environment).await?;
        for name in [&self.mail_domain, &self.domain] {
            let (environment, organisation) = (environment.id.clone(), ORGANISATION.to_owned());
            insert(rim, &Domain { name: name.clone(), environment, organisation }).await?;
        }
        for account in &self.accounts {
            let password = Password::new(account.password.as_str());
            let mailbox = rim.mailbox(&account.address).await?.unwrap_or_else(|| mailbox(rim, account));
            match accounts.create(&mailbox, &password, rim.now()).await {
                Ok(()) | Err(StageError::Raced) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The provider environment that the demo is.
    ///
    /// # Errors
    /// [`DemoError::Name`]
    pub fn environment(&self) -> Result<Environment, DemoError> {
        let address = service_address(&self.mail_domain)?;
        Ok(Environment {
            id: Record::id_of(&self.provider, None),
            provider_name: self.provider.clone(),
            mail_receipt: address.clone(),
            address,
            mail_domain: self.mail_domain.clone(),
        })
    }

    fn named() -> Result<Self, DemoError> {
        let ids = RandomIds::new();
        let account = |name: &&str| {
            let address = Address::parse(&format!("{name}@{DOMAIN}"))?;
            let password = Password::random(ids.fresh(), ids.fresh()).reveal().to_string();
            Ok(DemoAccount { address, password })
        };
        Ok(Self {
            provider: PROVIDER.to_owned(),
            mail_domain: MAIL_DOMAIN.to_owned(),
            domain: DOMAIN.to_owned(),
            accounts: ACCOUNTS.iter().map(account).collect::<Result<_, DemoError>>()?,
        })
    }

    fn write_certificates(&self, folder: &Folder, now: Instant) -> Result<(), DemoError> {
        let address = service_address(&self.mail_domain)?;
        let names = pki::Names { provider_name: &self.provider, address: address.as_str() };
        let made = pki::make(names, now.unix_s())?;
        for (name, pair) in [("ca", &made.ca), ("provider", &made.provider), ("tls", &made.tls)] {
            Folder::write(&folder.pki(&format!("{name}.key")), pair.key_pem.as_bytes(), Access::Private)?;
            Folder::write(
                &folder.pki(&format!("{name}.pem")),
                pair.certificate_pem.as_bytes(),
                Access::Public,
            )?;
        }
        let record = Record {
            id: Record::id_of(&self.provider, None),
            provider_name: self.provider.clone(),
            provider_unit: None,
            mail_receipt: address,
            managed_domains: vec![self.mail_domain.clone(), self.domain.clone()],
            certificates: vec![IndexCertificate::new(made.provider.certificate_der)],
            ldif_location: None,
        };
        let ldif = Index::new(vec![record]).to_ldif();
        Ok(Folder::write(&folder.index(), ldif.as_bytes(), Access::Public)?)
    }
}

/// `posta-certificata@[provider mail domain]`; it may be the mailReceipt as well (spec 0.2 D17).
fn service_address(mail_domain: &str) -> Result<Address, DemoError> {
    Ok(Address::parse(&format!("posta-certificata@{mail_domain}"))?)
}

fn mailbox(rim: &Rim, account: &DemoAccount) -> Mailbox {
    Mailbox {
        id: MailboxId(format!("{:032x}", rim.ids.fresh())),
        address: account.address.clone(),
        organisation: ORGANISATION.to_owned(),
        state: MailboxState::Active,
        quota_bytes: QUOTA_BYTES,
        // As mail programs are used to: one list, in which a letter stands beside its receipts.
        receipts_in_inbox: true,
        takes_ordinary: false,
    }
}

/// Inserts a row; one that is there already stays as it is.
async fn insert<T: Body>(rim: &Rim, body: &T) -> Result<(), DemoError> {
    let mut draft = Draft::new();
    draft.insert(body, None).map_err(StageError::from)?;
    match rim.commit(draft).await {
        Ok(()) | Err(StageError::Raced) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_is_made_once_and_its_index_knows_its_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(&dir.path().join("data"));
        let now = Instant::from_unix_s(1_800_000_000);
        let (demo, made) = Demo::open(&folder, now).unwrap();
        assert!(made);
        assert_eq!(Demo::open(&folder, now).unwrap(), (demo.clone(), false));

        let index = Index::from_ldif(&Folder::read(&folder.index(), 1 << 20).unwrap()).unwrap();
        assert_eq!(index.complaints(), []);
        let pem = Folder::read(&folder.pki("provider.pem"), 1 << 20).unwrap();
        let certificate = smime::Certificate::from_pem(&pem).unwrap().remove(0);
        let records = index.by_certificate(certificate.der());
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].id, demo.environment().unwrap().id);
        assert!(demo.accounts.iter().all(|account| records[0].manages(&account.address.domain())));
    }
}
