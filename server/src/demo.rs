//! The provider that the first start makes, or `sigillo init`: by default a demo with a test CA, a domain and two
//! accounts; else with the names, keys and index that were given.
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

/// What a provider is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `providerName`.
    pub provider: String,
    /// The provider mail domain.
    pub mail_domain: String,
    /// The domain of the accounts.
    pub domain: String,
    /// Local parts of the accounts.
    pub accounts: Vec<String>,
    /// Keys and certificates by an authority; `None`: by a test CA that is made.
    pub keys: Option<Keys>,
    /// The provider index; `None`: one that holds this provider alone.
    pub index: Option<Vec<u8>>,
}

/// Keys and certificates by an authority, in PEM.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The authority that signs certificates of providers.
    pub ca: Vec<u8>,
    /// The key that signs receipts and envelopes.
    pub key: Vec<u8>,
    /// Its certificate, with intermediate ones behind it.
    pub certificate: Vec<u8>,
    /// The key of the doors' TLS.
    pub tls_key: Vec<u8>,
    /// Its certificate, with intermediate ones behind it.
    pub tls_certificate: Vec<u8>,
    /// Who certifies the doors, for the commands that come in by them; `None`: the same authority.
    pub tls_ca: Option<Vec<u8>>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            provider: PROVIDER.to_owned(),
            mail_domain: MAIL_DOMAIN.to_owned(),
            domain: DOMAIN.to_owned(),
            accounts: ACCOUNTS.map(str::to_owned).into(),
            keys: None,
            index: None,
        }
    }
}

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
    /// What was given does not fit together.
    #[error("make a provider: {0}")]
    Plan(String),
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
        Ok((Self::make(folder, &Plan::default(), now)?, true))
    }

    /// Makes the files of a provider in a folder that has none.
    ///
    /// # Errors
    /// [`DemoError`]; [`DemoError::Plan`] also when there is one.
    pub fn make(folder: &Folder, plan: &Plan, now: Instant) -> Result<Self, DemoError> {
        if folder.demo().exists() {
            return Err(DemoError::Plan(format!("there is one in {}", folder.root().display())));
        }
        folder.create()?;
        let demo = Self::named(plan)?;
        let certificate = match &plan.keys {
            Some(keys) => demo.take_certificates(folder, keys)?,
            None => demo.make_certificates(folder, now)?,
        };
        demo.write_index(folder, plan.index.as_deref(), &certificate)?;
        // The commit point.
        let json =
            serde_json::to_vec_pretty(&demo).map_err(|e| DemoError::File(folder.demo(), e.to_string()))?;
        Folder::write(&folder.demo(), &json, Access::Private)?;
        Ok(demo)
    }

    /// Puts environment, domains and accounts into the registry where they are not there yet.
    ///
    /// # Errors
    /// [`DemoError`]
    pub async fn register(&self, rim: &Rim, accounts: &Accounts) -> Result<(), DemoError> {
        let environment = self.environment()?;
        insert(rim, &environment).await?;
        for name in [&self.mail_domain, &self.domain] {
            let (id, organisation) = (environment.id.clone(), ORGANISATION.to_owned());
            let domain = Domain { name: name.clone(), environment: id, organisation };
            insert(rim, &domain).await?;
            insert(rim, &Mailbox::postmaster(&environment, &domain)?).await?;
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

    fn named(plan: &Plan) -> Result<Self, DemoError> {
        let ids = RandomIds::new();
        let account = |name: &String| {
            let address = Address::parse(&format!("{name}@{}", plan.domain))?;
            let password = Password::random(ids.fresh(), ids.fresh()).reveal().to_string();
            Ok(DemoAccount { address, password })
        };
        Ok(Self {
            provider: plan.provider.clone(),
            mail_domain: plan.mail_domain.to_ascii_lowercase(),
            domain: plan.domain.to_ascii_lowercase(),
            accounts: plan.accounts.iter().map(account).collect::<Result<_, DemoError>>()?,
        })
    }

    /// By a test CA of our own. Gives the provider's certificate in DER.
    fn make_certificates(&self, folder: &Folder, now: Instant) -> Result<Vec<u8>, DemoError> {
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
        Ok(made.provider.certificate_der)
    }

    /// By an authority. Gives the provider's certificate in DER.
    fn take_certificates(&self, folder: &Folder, keys: &Keys) -> Result<Vec<u8>, DemoError> {
        // 1. The key is the certificate's, and the certificate is the service address's (G2, RFC 6109 §5.5).
        let no = |what: &str| DemoError::Plan(what.to_owned());
        let chain = smime::Certificate::from_pem(&keys.certificate)
            .map_err(|e| DemoError::Plan(format!("the certificate: {e}")))?;
        let own = chain.first().ok_or_else(|| no("the certificate file holds none"))?;
        let key = smime::RsaKey::from_pem(&keys.key).map_err(|e| DemoError::Plan(format!("the key: {e}")))?;
        if !key.belongs_to(own) {
            return Err(no("the key is not the certificate's"));
        }
        let address = service_address(&self.mail_domain)?;
        if !own.mails().iter().any(|mail| mail.eq_ignore_ascii_case(address.as_str())) {
            return Err(DemoError::Plan(format!("the certificate does not name {address}")));
        }

        // 2. All of them into the folder.
        let files = [
            ("provider.key", Access::Private, Some(&keys.key)),
            ("provider.pem", Access::Public, Some(&keys.certificate)),
            ("ca.pem", Access::Public, Some(&keys.ca)),
            ("tls.key", Access::Private, Some(&keys.tls_key)),
            ("tls.pem", Access::Public, Some(&keys.tls_certificate)),
            ("tls-ca.pem", Access::Public, keys.tls_ca.as_ref()),
        ];
        for (name, access, pem) in files {
            if let Some(pem) = pem {
                Folder::write(&folder.pki(name), pem, access)?;
            }
        }
        Ok(own.der().to_vec())
    }

    /// The index that was given, if it knows this provider; else one of this provider alone.
    fn write_index(
        &self,
        folder: &Folder,
        given: Option<&[u8]>,
        certificate: &[u8],
    ) -> Result<(), DemoError> {
        let id = Record::id_of(&self.provider, None);
        let domains = vec![self.mail_domain.clone(), self.domain.clone()];
        let ldif = match given {
            Some(ldif) => {
                let index = Index::from_ldif(ldif).map_err(|e| DemoError::Plan(format!("the index: {e}")))?;
                let knows = index
                    .by_certificate(certificate)
                    .iter()
                    .any(|record| record.id == id && domains.iter().all(|domain| record.manages(domain)));
                if !knows {
                    let why = format!("the index has no record {id} with this certificate and these domains");
                    return Err(DemoError::Plan(why));
                }
                ldif.to_vec()
            }
            None => {
                let record = Record {
                    id,
                    provider_name: self.provider.clone(),
                    provider_unit: None,
                    mail_receipt: service_address(&self.mail_domain)?,
                    managed_domains: domains,
                    certificates: vec![IndexCertificate::new(certificate.to_vec())],
                    ldif_location: None,
                };
                Index::new(vec![record]).to_ldif().into_bytes()
            }
        };
        Ok(Folder::write(&folder.index(), &ldif, Access::Public)?)
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

    /// Whoever brings keys and an index of his own gets them used, if they fit together.
    #[test]
    fn what_was_given_must_fit_together() {
        let dir = tempfile::tempdir().unwrap();
        let now = Instant::from_unix_s(1_800_000_000);
        let ca = pki::Ca::new("Prova", now.unix_s()).unwrap();
        let certify = |provider_name, address| {
            ca.provider(pki::Names { provider_name, address }, now.unix_s()).unwrap()
        };
        let own = certify("Alfa PEC", "posta-certificata@gestore.alfa.example");
        let other = certify("Beta PEC", "posta-certificata@gestore.beta.example");
        let tls = ca.host("Alfa PEC", &["gestore.alfa.example"], &[], now.unix_s()).unwrap();
        let keys = Keys {
            ca: ca.pair.certificate_pem.clone().into_bytes(),
            key: own.key_pem.clone().into_bytes(),
            certificate: own.certificate_pem.clone().into_bytes(),
            tls_key: tls.key_pem.into_bytes(),
            tls_certificate: tls.certificate_pem.into_bytes(),
            tls_ca: None,
        };
        let record = |certificate: &pki::Pair, domain: &str| Record {
            id: Record::id_of("Alfa PEC", None),
            provider_name: "Alfa PEC".to_owned(),
            provider_unit: None,
            mail_receipt: service_address("gestore.alfa.example").unwrap(),
            managed_domains: vec!["gestore.alfa.example".to_owned(), domain.to_owned()],
            certificates: vec![IndexCertificate::new(certificate.certificate_der.clone())],
            ldif_location: None,
        };
        let index = |record| Some(Index::new(vec![record]).to_ldif().into_bytes());
        let plan = Plan {
            provider: "Alfa PEC".to_owned(),
            mail_domain: "gestore.alfa.example".to_owned(),
            domain: "pec.alfa.example".to_owned(),
            accounts: vec!["uno".to_owned()],
            keys: Some(keys.clone()),
            index: index(record(&own, "pec.alfa.example")),
        };
        let folder = Folder::new(&dir.path().join("good"));
        let demo = Demo::make(&folder, &plan, now).unwrap();
        assert_eq!(demo.accounts[0].address.as_str(), "uno@pec.alfa.example");
        assert_eq!(Demo::open(&folder, now).unwrap(), (demo, false));
        assert!(Demo::make(&folder, &plan, now).is_err(), "there is one");

        let bad_key = Keys { key: other.key_pem.clone().into_bytes(), ..keys.clone() };
        let other_keys = Keys {
            key: other.key_pem.clone().into_bytes(),
            certificate: other.certificate_pem.clone().into_bytes(),
            ..keys
        };
        for (plan, why) in [
            (Plan { keys: Some(bad_key), ..plan.clone() }, "not the certificate's"),
            (Plan { keys: Some(other_keys), ..plan.clone() }, "does not name posta-certificata@gestore.alfa"),
            (Plan { index: index(record(&other, "pec.alfa.example")), ..plan.clone() }, "no record"),
            (Plan { index: index(record(&own, "pec.gamma.example")), ..plan.clone() }, "no record"),
            (Plan { index: Some(b"hello".to_vec()), ..plan.clone() }, "index"),
            (Plan { domain: "pec alfa".to_owned(), ..plan.clone() }, "address"),
        ] {
            let folder = Folder::new(&dir.path().join("bad"));
            let error = Demo::make(&folder, &plan, now).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
            assert!(!folder.demo().exists(), "nothing was made: {why}");
        }
    }

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
