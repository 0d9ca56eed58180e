//! Provider environments are made, and published: on AWS by a command, from the record that the provider index has of them.
//!
//! An environment, its provider mail domain and the postmaster there are one commit. Power fails before it: nothing is
//! there, and the command is run again.

use pec::{
    Address, Index, Instant,
    address::AddressError,
    index::{IndexCertificate, Record},
};

use crate::{
    Rim, StageError,
    accounts::AuditEvent,
    domains::{self, note},
    ids::CertificateId,
    registry::{Domain, Environment, Mailbox},
    rim::Draft,
};

/// Left side of the address that signs (RFC 6109 §5.5).
const SERVICE: &str = "posta-certificata";

/// The signed file that this provider publishes of an environment at its LDIFLocationURL (RFC 6109 §4.5.6, spec 9.4): what
/// the national index is gathered from. Its record has the domains and certificates that the index in force knows, those
/// that are served by now, and the certificate that signs.
///
/// # Errors
/// [`StageError`]; [`StageError::Signer`] where nothing can be signed.
pub async fn publish(rim: &Rim, id: &str, url: &str, at: Instant) -> Result<Vec<u8>, StageError> {
    // 1. The record.
    let environment = rim.environment(id).await?;
    let identity = rim.signer.identity(&rim.signer.current(id, at)?)?;
    let index = rim.directory.index();
    let known = index.by_id(id);
    let mut certificates: Vec<IndexCertificate> = known.map(|r| r.certificates.clone()).unwrap_or_default();
    let own = IndexCertificate::new(identity.certificate().der().to_vec());
    if !certificates.contains(&own) {
        certificates.push(own);
    }
    let served =
        domains::list(rim).await?.into_iter().filter(|d| d.environment == id && d.active_since.is_some());
    let mut managed_domains: Vec<String> =
        served.map(|d| d.name).chain([environment.mail_domain.clone()]).collect();
    managed_domains.extend(known.iter().flat_map(|record| record.managed_domains.clone()));
    managed_domains.sort();
    managed_domains.dedup();
    let record = Record {
        id: environment.id,
        provider_name: environment.provider_name,
        provider_unit: known.and_then(|record| record.provider_unit.clone()),
        mail_receipt: environment.mail_receipt,
        managed_domains,
        certificates,
        ldif_location: Some(url.to_owned()),
    };

    // 2. Its secondary environments, as they are known.
    let is_secondary = |other: &&Record| other.provider_name == record.provider_name && other.id != record.id;
    let mut records: Vec<Record> = index.records().iter().filter(is_secondary).cloned().collect();
    records.insert(0, record);

    // 3. Signed as everything else is: by the key's keeper.
    let ldif = Index::new(records).to_ldif();
    let pending = identity.prepare(smime::sha256([ldif.as_bytes()]), at.unix_s())?;
    let certificate = CertificateId(identity.certificate().sha256_hex());
    let signature = rim.signer.sign(&certificate, pending.digest()).await?;
    Ok(pending.assemble_enclosing(ldif.as_bytes(), &signature)?)
}

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
