//! Provider environments are made: on AWS by a command, from the record that the provider index has of them.
//!
//! An environment, its provider mail domain and the postmaster there are one commit. Power fails before it: nothing is
//! there, and the command is run again.

use pec::{Address, Instant, address::AddressError};

use crate::{
    Rim, StageError,
    accounts::AuditEvent,
    domains::note,
    registry::{Domain, Environment, Mailbox},
    rim::Draft,
};

/// Left side of the address that signs (RFC 6109 §5.5).
const SERVICE: &str = "posta-certificata";

/// Why no environment was made. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// The index does not know it.
    #[error("find environment {0} in the provider index: others would not believe what it signs")]
    NotIndexed(String),
    /// The mail domain is not the record's.
    #[error("make environment {0}: its record in the provider index does not manage {1}")]
    NotManaged(String, String),
    /// No certificate of the record is for its service address.
    #[error("make environment {0}: no certificate of its record in the provider index names {1}")]
    NotCertified(String, Address),
    /// It is there, with another domain.
    #[error("make environment {0}: it is there already, with the provider mail domain {1}")]
    Another(String, String),
    /// Its mail domain is another environment's.
    #[error("make environment {0}: {1} is a domain of another one")]
    Taken(String, String),
    /// Not a name.
    #[error("understand the provider mail domain")]
    Name(#[from] AddressError),
    /// The registry.
    #[error(transparent)]
    Stage(#[from] StageError),
}

/// Makes the environment of this id, with this provider mail domain. Doing it again changes nothing.
///
/// # Errors
/// [`EnvironmentError`]
pub async fn establish(
    rim: &Rim,
    id: &str,
    mail_domain: &str,
    at: Instant,
) -> Result<Environment, EnvironmentError> {
    // 1. As others will see it: its record, with a certificate for the address that signs (V4, RFC 6109 §5.5).
    let index = rim.directory.index();
    let record = index.by_id(id).ok_or_else(|| EnvironmentError::NotIndexed(id.to_owned()))?;
    let mail_domain = mail_domain.to_ascii_lowercase();
    if !record.manages(&mail_domain) {
        return Err(EnvironmentError::NotManaged(id.to_owned(), mail_domain));
    }
    let address = Address::parse(&format!("{SERVICE}@{mail_domain}"))?;
    let certified = record.certificates.iter().any(|certificate| {
        smime::Certificate::from_der(&certificate.der)
            .is_ok_and(|read| read.mails().iter().any(|mail| mail.eq_ignore_ascii_case(address.as_str())))
    });
    if !certified {
        return Err(EnvironmentError::NotCertified(id.to_owned(), address));
    }
    let environment = Environment {
        id: id.to_owned(),
        provider_name: record.provider_name.clone(),
        address,
        mail_receipt: record.mail_receipt.clone(),
        mail_domain: mail_domain.clone(),
    };

    // 2. All of it at once.
    let domain = Domain { name: mail_domain.clone(), environment: id.to_owned(), organisation: mail_domain };
    let mut draft = Draft::new();
    draft.insert(&environment, None).map_err(StageError::from)?;
    draft.insert(&domain, None).map_err(StageError::from)?;
    draft.insert(&Mailbox::postmaster(&environment, &domain)?, None).map_err(StageError::from)?;
    note(rim, &mut draft, &domain.name, AuditEvent::EnvironmentMade, at).await?;
    match rim.commit(draft).await {
        Ok(()) => return Ok(environment),
        Err(StageError::Raced) => {}
        Err(error) => return Err(error.into()),
    }

    // 3. It was there.
    let found = rim.read::<Environment>(&Environment::key_of(id)).await?;
    let Some(found) = found.map(|found| found.value) else {
        return Err(EnvironmentError::Taken(environment.id, environment.mail_domain));
    };
    if found.mail_domain != environment.mail_domain {
        return Err(EnvironmentError::Another(id.to_owned(), found.mail_domain));
    }
    Ok(found)
}
