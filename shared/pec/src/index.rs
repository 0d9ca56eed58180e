//! The provider index (IGPEC): who may sign for which domain (RFC 6109 §4.5, spec 9).

mod ldif;
mod signed;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::{Address, document::RecipientKind};

pub use signed::{SIGNED_BYTES_MAX, SignedIndex, SignedIndexError};

/// The largest LDIF that is read, in octets.
pub const LDIF_BYTES_MAX: usize = 64 << 20;

/// The most entries that an LDIF may have.
pub const RECORDS_MAX: usize = 100_000;

/// One record: the main or a secondary environment of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Name of the record: `providerName`, or `providerUnit,providerName`; used in keys and in the log.
    pub id: String,
    /// `providerName`
    pub provider_name: String,
    /// `providerUnit`; `None` for the main environment.
    pub provider_unit: Option<String>,
    /// `mailReceipt`
    pub mail_receipt: Address,
    /// `managedDomains`, lower case.
    pub managed_domains: Vec<String>,
    /// Certificates in DER, each with its SHA-1 in lower-case hex checked against `providerCertificateHash`.
    pub certificates: Vec<IndexCertificate>,
    /// `LDIFLocationURL`
    pub ldif_location: Option<String>,
}

/// One certificate of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexCertificate {
    /// `providerCertificateHash`, lower case.
    pub sha1: String,
    /// `providerCertificate`
    pub der: Vec<u8>,
}

impl IndexCertificate {
    /// A certificate in DER with its hash.
    #[must_use]
    pub fn new(der: Vec<u8>) -> Self {
        Self { sha1: sha1_hex(&der), der }
    }
}

impl Record {
    /// The name of a record (see [`Record::id`]).
    #[must_use]
    pub fn id_of(provider_name: &str, provider_unit: Option<&str>) -> String {
        provider_unit.map_or_else(|| provider_name.to_owned(), |unit| format!("{unit},{provider_name}"))
    }

    /// Whether this record manages a domain (exact match, case-insensitive; spec 4.5).
    #[must_use]
    pub fn manages(&self, domain: &str) -> bool {
        self.managed_domains.iter().any(|d| d.eq_ignore_ascii_case(domain))
    }
}

/// The whole index in force, with its lookups prepared.
///
/// Two records cannot both manage a domain, or two providers could certify for one address: the record that comes
/// first keeps it, the other loses it, and [`Index::complaints`] says so. A record that cannot be used is left out
/// and reported likewise: one provider's mistake must not take the index from everybody.
#[derive(Clone, Debug, Default)]
pub struct Index {
    records: Vec<Record>,
    complaints: Vec<IndexError>,
    by_sha1: HashMap<String, Vec<usize>>,
    by_domain: HashMap<String, usize>,
    by_id: HashMap<String, usize>,
}

/// Why an LDIF is not an index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// A line that is not LDIF.
    #[error("read the LDIF at line {0}: {1}")]
    Ldif(usize, &'static str),
    /// A record without what it must have, or that contradicts itself.
    #[error("read the record {0}: {1}")]
    Record(String, &'static str),
    /// Over the bounds, or no record at all.
    #[error("take the index: {0}")]
    Unfit(&'static str),
}

impl Index {
    /// Reads an LDIF (UTF-8, folded lines, base64 values, names in any case; spec 9.3). Entries that are no
    /// `provider` are passed over; providers that cannot be used are left out and reported by
    /// [`Index::complaints`].
    ///
    /// # Errors
    /// [`IndexError`] when it is not LDIF, is over the bounds, or no provider is left: an empty index is never
    /// put in force (spec 9.4).
    pub fn from_ldif(ldif: &[u8]) -> Result<Self, IndexError> {
        if ldif.len() > LDIF_BYTES_MAX {
            return Err(IndexError::Unfit("more than 64 MiB"));
        }
        let mut index = Self::default();
        for (n, entry) in ldif::entries(ldif).enumerate() {
            if n >= RECORDS_MAX {
                return Err(IndexError::Unfit("more than 100,000 entries"));
            }
            let entry = entry?;
            if is_provider(&entry) {
                match record(&entry) {
                    Ok((record, complaints)) => {
                        index.complaints.extend(complaints);
                        index.add(record);
                    }
                    Err(complaint) => index.complaints.push(complaint),
                }
            }
        }
        if index.records.is_empty() {
            return Err(index
                .complaints
                .into_iter()
                .next()
                .unwrap_or(IndexError::Unfit("no provider in it")));
        }
        Ok(index)
    }

    /// An index of these records. Domains become lower case, hashes are computed anew; what is left out is
    /// reported by [`Index::complaints`].
    #[must_use]
    pub fn new(records: Vec<Record>) -> Self {
        let mut index = Self::default();
        for mut record in records {
            record.certificates =
                record.certificates.into_iter().map(|c| IndexCertificate::new(c.der)).collect();
            index.add(record);
        }
        index
    }

    /// Writes the index as LDIF.
    #[must_use]
    pub fn to_ldif(&self) -> String {
        let mut out = String::from(
            "version: 1\n\ndn: o=postacert\nobjectClass: top\nobjectClass: organization\no: postacert\n",
        );
        for record in &self.records {
            out.push('\n');
            write_record(&mut out, record);
        }
        out
    }

    /// Appends one entry to an LDIF, for an index that comes in another form than a file (RFC 6109 §4.5).
    pub fn write_entry<'a>(
        ldif: &mut String,
        dn: &str,
        attributes: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) {
        ldif.push('\n');
        ldif::write(ldif, "dn", dn.as_bytes());
        for (name, value) in attributes {
            ldif::write(ldif, name, value);
        }
    }

    /// All records.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// What was left out while the index was made, and why: for the log and an alarm.
    #[must_use]
    pub fn complaints(&self) -> &[IndexError] {
        &self.complaints
    }

    /// Records that hold this certificate: found by SHA-1, then compared octet by octet (spec 5.2 V2).
    #[must_use]
    pub fn by_certificate(&self, der: &[u8]) -> Vec<&Record> {
        let found = self.by_sha1.get(&sha1_hex(der)).into_iter().flatten();
        found
            .filter_map(|&i| self.records.get(i))
            .filter(|r| r.certificates.iter().any(|c| c.der == der))
            .collect()
    }

    /// The record that manages a domain (exact match, case-insensitive; spec 4.5).
    #[must_use]
    pub fn by_domain(&self, domain: &str) -> Option<&Record> {
        self.records.get(*self.by_domain.get(&domain.to_ascii_lowercase())?)
    }

    /// The record of this id.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<&Record> {
        self.records.get(*self.by_id.get(id)?)
    }

    /// The type of a recipient (spec 4.5).
    #[must_use]
    pub fn kind_of(&self, address: &Address) -> RecipientKind {
        match self.by_domain(&address.domain()) {
            Some(_) => RecipientKind::Certified,
            None => RecipientKind::Ordinary,
        }
    }

    fn add(&mut self, mut record: Record) {
        if self.by_id.contains_key(&record.id) {
            self.complaints.push(IndexError::Record(record.id, "the name of an earlier record"));
            return;
        }
        record.managed_domains = self.free_domains(&record);
        if record.managed_domains.is_empty() {
            self.complaints.push(IndexError::Record(record.id, "no managedDomains of its own"));
            return;
        }
        let mut seen = HashSet::new();
        record.certificates.retain(|c| seen.insert(c.sha1.clone()));
        let at = self.records.len();
        for domain in &record.managed_domains {
            self.by_domain.insert(domain.clone(), at);
        }
        for certificate in &record.certificates {
            self.by_sha1.entry(certificate.sha1.clone()).or_default().push(at);
        }
        self.by_id.insert(record.id.clone(), at);
        self.records.push(record);
    }

    /// The record's domains in lower case, without those of earlier records and without repetitions.
    fn free_domains(&mut self, record: &Record) -> Vec<String> {
        let mut free: Vec<String> = Vec::new();
        let mut seen = HashSet::new();
        for domain in &record.managed_domains {
            let domain = domain.to_ascii_lowercase();
            if self.by_domain.contains_key(&domain) {
                let name = format!("{} ({domain})", record.id);
                self.complaints.push(IndexError::Record(name, "a domain of an earlier record"));
            } else if seen.insert(domain.clone()) {
                free.push(domain);
            }
        }
        free
    }
}

fn sha1_hex(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes))
}

/// Object class `provider` (RFC 6109 §4.5.9).
fn is_provider(entry: &ldif::Entry) -> bool {
    entry
        .attributes
        .iter()
        .any(|(n, v)| n == "objectclass" && v.trim_ascii().eq_ignore_ascii_case(b"provider"))
}

/// The record of an entry, with what in it was passed over.
fn record(entry: &ldif::Entry) -> Result<(Record, Vec<IndexError>), IndexError> {
    let dn = String::from_utf8_lossy(&entry.dn).into_owned();
    let fail = |why| IndexError::Record(dn.clone(), why);

    let provider_name =
        single(entry, "providername").map_err(fail)?.ok_or(fail("no providerName"))?.to_owned();
    let provider_unit = single(entry, "providerunit").map_err(fail)?.map(str::to_owned);
    let mail_receipt = single(entry, "mailreceipt").map_err(fail)?.ok_or(fail("no mailReceipt"))?;
    let mail_receipt = Address::parse(mail_receipt).map_err(|_| fail("mailReceipt is no address"))?;
    let ldif_location = single(entry, "ldiflocationurl").map_err(fail)?.map(str::to_owned);
    let certificates = certificates(entry).map_err(fail)?;

    let mut complaints = Vec::new();
    let mut managed_domains = Vec::new();
    for value in values(entry, "manageddomains") {
        match std::str::from_utf8(value).ok().filter(|d| Address::parse(&format!("x@{d}")).is_ok()) {
            Some(domain) => managed_domains.push(domain.to_owned()),
            None => complaints.push(fail("a managedDomains that is no domain")),
        }
    }
    let id = Record::id_of(&provider_name, provider_unit.as_deref());
    let record = Record {
        id,
        provider_name,
        provider_unit,
        mail_receipt,
        managed_domains,
        certificates,
        ldif_location,
    };
    Ok((record, complaints))
}

/// The certificates of an entry: as many as hashes, each with its own (RFC 6109 §4.5.1, 4.5.2).
fn certificates(entry: &ldif::Entry) -> Result<Vec<IndexCertificate>, &'static str> {
    let mut certificates: Vec<IndexCertificate> = Vec::new();
    for der in values(entry, "providercertificate;binary").chain(values(entry, "providercertificate")) {
        if !certificates.iter().any(|c| c.der == der) {
            certificates.push(IndexCertificate::new(der.to_vec()));
        }
    }
    if certificates.is_empty() {
        return Err("no providerCertificate");
    }
    let declared: HashSet<String> = values(entry, "providercertificatehash")
        .map(|hash| String::from_utf8_lossy(hash.trim_ascii()).to_ascii_lowercase())
        .collect();
    let same =
        declared.len() == certificates.len() && certificates.iter().all(|c| declared.contains(&c.sha1));
    same.then_some(certificates).ok_or("providerCertificateHash is not that of providerCertificate")
}

fn values<'a>(entry: &'a ldif::Entry, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    entry.attributes.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_slice())
}

/// The value of a single-valued text attribute.
fn single<'a>(entry: &'a ldif::Entry, name: &'a str) -> Result<Option<&'a str>, &'static str> {
    let mut values = values(entry, name);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("a single-valued attribute with two values");
    }
    let text = std::str::from_utf8(value).map_err(|_| "a value that is not UTF-8")?.trim_ascii();
    Ok((!text.is_empty()).then_some(text))
}

fn write_record(out: &mut String, record: &Record) {
    let name = format!("providerName={},o=postacert", escape_dn(&record.provider_name));
    let dn = match &record.provider_unit {
        Some(unit) => format!("providerUnit={},{name}", escape_dn(unit)),
        None => name,
    };
    let mut line = |name: &str, value: &[u8]| ldif::write(out, name, value);
    line("dn", dn.as_bytes());
    line("objectClass", b"top");
    line("objectClass", b"provider");
    line("providerName", record.provider_name.as_bytes());
    if let Some(unit) = &record.provider_unit {
        line("providerUnit", unit.as_bytes());
    }
    for certificate in &record.certificates {
        line("providerCertificateHash", certificate.sha1.as_bytes());
        line("providerCertificate;binary", &certificate.der);
    }
    line("mailReceipt", record.mail_receipt.as_str().as_bytes());
    if let Some(url) = &record.ldif_location {
        line("LDIFLocationURL", url.as_bytes());
    }
    for domain in &record.managed_domains {
        line("managedDomains", domain.as_bytes());
    }
}

/// An attribute value inside a distinguished name (RFC 4514 §2.4).
fn escape_dn(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for (i, c) in value.char_indices() {
        let at_edge = i == 0 || i + c.len_utf8() == value.len();
        if "\"+,;<>\\=".contains(c) || (c == ' ' && at_edge) || (c == '#' && i == 0) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
