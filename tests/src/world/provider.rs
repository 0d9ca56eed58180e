//! Two providers with their domains and mailboxes, and the index that names both.

use pec::{
    Address, Index,
    index::{IndexCertificate, Record},
};
use stages::{
    ids::MailboxId,
    ports::{Debt, Lookup, Row},
    registry::{Domain, Environment, Mailbox, MailboxState},
    rim::Body,
};

use super::keys::PKI;

/// A provider of this world.
#[derive(Debug)]
pub struct Provider {
    /// Id of its record, and of its one environment.
    pub record: &'static str,
    /// `providerName`
    pub name: &'static str,
    /// The provider mail domain.
    pub mail_domain: &'static str,
    /// The domain of its users.
    pub domain: &'static str,
}

/// The provider that the tests look at.
pub const ALFA: Provider = Provider {
    record: "Alfa PEC",
    name: "Alfa PEC",
    mail_domain: "gestore.alfa.example",
    domain: "pec.alfa.example",
};

/// Another provider, on the same code.
pub const BETA: Provider = Provider {
    record: "Beta PEC",
    name: "Beta PEC",
    mail_domain: "gestore.beta.example",
    domain: "pec.beta.example",
};

/// A third, in networks of three.
pub const GAMMA: Provider = Provider {
    record: "Gamma PEC",
    name: "Gamma PEC",
    mail_domain: "gestore.gamma.example",
    domain: "pec.gamma.example",
};

/// Of the mailbox `stretta`: an envelope around a letter of these tests fills more than 80 % of it, and two are too much.
const ONE_LETTER_BYTES: u64 = 7_900;

impl Provider {
    /// `posta-certificata@dom`
    #[must_use]
    pub fn certified(&self) -> Address {
        address(&format!("posta-certificata@{}", self.mail_domain))
    }

    /// `mailReceipt`
    #[must_use]
    pub fn mail_receipt(&self) -> Address {
        address(&format!("ricevute@{}", self.mail_domain))
    }

    /// An address of one of its users.
    #[must_use]
    pub fn user(&self, local: &str) -> Address {
        address(&format!("{local}@{}", self.domain))
    }

    /// Its record in the provider index.
    #[must_use]
    pub fn index_record(&self) -> Record {
        Record {
            id: self.record.to_owned(),
            provider_name: self.name.to_owned(),
            provider_unit: None,
            mail_receipt: self.mail_receipt(),
            managed_domains: vec![self.domain.to_owned(), self.mail_domain.to_owned()],
            certificates: PKI.of(self).iter().map(|c| IndexCertificate::new(c.der.clone())).collect(),
            ldif_location: None,
        }
    }

    fn environment(&self) -> Environment {
        Environment {
            id: self.record.to_owned(),
            provider_name: self.name.to_owned(),
            address: self.certified(),
            mail_receipt: self.mail_receipt(),
            mail_domain: self.mail_domain.to_owned(),
        }
    }

    fn served(&self, domain: &str) -> Domain {
        Domain {
            name: domain.to_owned(),
            environment: self.record.to_owned(),
            organisation: "organizzazione".to_owned(),
        }
    }

    /// Four mailboxes: `mittente`, `destinatario`, `copia`, and `aperta`, which takes ordinary mail. A fifth,
    /// `sospesa`, is disabled; a sixth, `piena`, has a quota of nothing; a seventh,
    /// `stretta`, has room for one letter. `alias` leads to `destinatario` too.
    #[must_use]
    pub fn mailboxes(&self) -> Vec<Mailbox> {
        let mailbox = |local: &str| Mailbox {
            id: MailboxId(format!("m-{local}")),
            address: self.user(local),
            organisation: "organizzazione".to_owned(),
            state: MailboxState::Active,
            quota_bytes: 1 << 30,
            receipts_in_inbox: false,
            takes_ordinary: false,
        };
        vec![
            mailbox("mittente"),
            mailbox("destinatario"),
            Mailbox { address: self.user("alias"), ..mailbox("destinatario") },
            mailbox("copia"),
            Mailbox { takes_ordinary: true, ..mailbox("aperta") },
            Mailbox { state: MailboxState::Disabled, ..mailbox("sospesa") },
            Mailbox { quota_bytes: 0, ..mailbox("piena") },
            Mailbox { quota_bytes: ONE_LETTER_BYTES, ..mailbox("stretta") },
        ]
    }

    /// The rows of the registry.
    #[must_use]
    pub fn registry(&self) -> Vec<Row> {
        let mut rows = vec![row(&self.environment())];
        rows.extend([self.domain, self.mail_domain].map(|d| row(&self.served(d))));
        rows.extend(self.mailboxes().iter().map(row));
        rows
    }
}

/// The provider index: both providers.
#[must_use]
pub fn index() -> Index {
    Index::new(vec![ALFA.index_record(), BETA.index_record()])
}

/// An address that is one.
#[must_use]
pub fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

fn row<T: Body>(body: &T) -> Row {
    let (debt, lookup): (Option<Debt>, Option<Lookup>) = (None, body.lookup());
    Row { key: body.key(), body: serde_json::to_string(body).expect("JSON"), debt, lookup }
}
