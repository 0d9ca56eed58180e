//! The provider index in a directory (RFC 6109 §4.5: the LDAP schema), for test beds: what it says is not signed, so
//! only TLS tells whose word it is. We show our client certificate (RFC 6109 §5.6) and bind by it (SASL EXTERNAL).

use std::{sync::Arc, time::Instant};

use ldap3::{
    LdapConn, LdapConnSettings, LdapError, Scope, SearchEntry,
    adapters::{Adapter, EntriesOnly, PagedResults},
};
use pec::{
    Index,
    index::{LDIF_BYTES_MAX, RECORDS_MAX},
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::{CONNECT_WAIT, FetchError, Part, Settings, strange};

/// The root of the tree (RFC 6109 §4.5).
const BASE: &str = "o=postacert";
/// The records in it (RFC 6109 §4.5.9).
const RECORDS: &str = "(objectClass=provider)";
/// What is read of a record (RFC 6109 §4.5.1 to 4.5.7).
const ATTRIBUTES: [&str; 8] = [
    "objectClass",
    "providerName",
    "providerUnit",
    "providerCertificateHash",
    "providerCertificate;binary",
    "mailReceipt",
    "LDIFLocationURL",
    "managedDomains",
];
/// Records in one answer.
const PAGE: i32 = 200;

/// A directory server, and as whom we ask it.
pub(crate) struct Directory {
    url: String,
    tls: Arc<ClientConfig>,
    wait: std::time::Duration,
}

impl Directory {
    pub(crate) fn new(settings: &Settings) -> Result<Self, FetchError> {
        let certificates = |part, pem: &[u8]| {
            let ders = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
            ders.map_err(strange(part))
        };
        let mut roots = RootCertStore::empty();
        for root in certificates(Part::ServerCa, &settings.server_ca)? {
            roots.add(root).map_err(strange(Part::ServerCa))?;
        }
        let chain = certificates(Part::Certificate, &settings.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&settings.key).map_err(strange(Part::Key))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(strange(Part::Url))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(strange(Part::Certificate))?;
        Ok(Self { url: settings.url.clone(), tls: Arc::new(tls), wait: settings.wait })
    }

    /// All records, as LDIF. Blocks; outside of a runtime, or on a thread of one that may block.
    pub(crate) fn read(&self) -> Result<String, FetchError> {
        let until = Instant::now() + self.wait;
        let failed = |error: LdapError| FetchError::Ldap(error.to_string());
        let left = || until.saturating_duration_since(Instant::now());
        let settings = LdapConnSettings::new()
            .set_conn_timeout(CONNECT_WAIT.min(self.wait))
            .set_config(self.tls.clone());
        let mut ldap = LdapConn::with_settings(settings, &self.url).map_err(failed)?;
        ldap.with_timeout(left()).sasl_external_bind().and_then(|bound| bound.success()).map_err(failed)?;

        let adapters: Vec<Box<dyn Adapter<_, _>>> =
            vec![Box::new(EntriesOnly::new()), Box::new(PagedResults::new(PAGE))];
        let mut found = ldap
            .with_timeout(left())
            .streaming_search_with(adapters, BASE, Scope::Subtree, RECORDS, ATTRIBUTES.to_vec())
            .map_err(failed)?;
        let mut ldif = "version: 1\n".to_owned();
        let mut records = 0;
        while let Some(entry) = found.next().map_err(failed)? {
            records += 1;
            if records > RECORDS_MAX || ldif.len() > LDIF_BYTES_MAX {
                return Err(FetchError::Ldap("it has more than an index".to_owned()));
            }
            if left().is_zero() {
                return Err(FetchError::Ldap(format!("not all came within {:?}", self.wait)));
            }
            write(&mut ldif, SearchEntry::construct(entry));
        }
        found.result().success().map_err(failed)?;
        // It has said all; whether it hears that we go does not matter.
        let _ = ldap.unbind();
        Ok(ldif)
    }
}

/// One record, in the order of [`ATTRIBUTES`]: the same directory gives the same LDIF.
fn write(ldif: &mut String, entry: SearchEntry) {
    let texts =
        entry.attrs.iter().map(|(name, values)| (name, values.iter().map(String::as_bytes).collect()));
    let octets =
        entry.bin_attrs.iter().map(|(name, values)| (name, values.iter().map(Vec::as_slice).collect()));
    let all: Vec<(&String, Vec<&[u8]>)> = texts.chain(octets).collect();
    let named = |name: &'static str| {
        let same = all.iter().filter(move |(is, _)| is.eq_ignore_ascii_case(name));
        same.flat_map(|(_, values)| values).map(move |value| (name, *value))
    };
    Index::write_entry(ldif, &entry.dn, ATTRIBUTES.into_iter().flat_map(named));
}
