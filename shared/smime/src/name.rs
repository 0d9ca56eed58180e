//! Names in certificates: comparison, general names, and name constraints (RFC 5280 §4.2.1.10, §7.1).
//!
//! The authority of the PEC network limits its providers by rfc822Name and directoryName constraints (spec 10.2),
//! so both are honoured here, with dNSName, URI and iPAddress beside them.

use crate::ber::{self, Malformed, Reader, Tlv, tag};
use crate::excerpt;

/// Names of one certificate, and subtrees of one constraint, that we look at.
const NAMES_MAX: usize = 4096;

/// A distinguished name in a form that can be compared: case, spaces and string types do not count
/// (RFC 5280 §7.1, in the simple reading: no Unicode preparation beyond lower case).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct DirectoryName(Vec<Vec<Attribute>>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Attribute {
    oid: Vec<u8>,
    value: Vec<u8>,
}

impl DirectoryName {
    /// From the SEQUENCE of a Name.
    pub(crate) fn parse(name: &Tlv<'_>) -> Result<Self, Malformed> {
        const WHAT: Malformed = Malformed("distinguished name");
        if name.tag != tag::SEQUENCE {
            return Err(WHAT);
        }
        let mut rdns = Vec::new();
        let mut sequence = name.inside();
        while !sequence.is_empty() {
            let mut attributes = Vec::new();
            let mut set = sequence.expect(tag::SET, WHAT.0)?.inside();
            while !set.is_empty() {
                let mut pair = set.expect(tag::SEQUENCE, WHAT.0)?.inside();
                let oid = pair.expect(tag::OID, WHAT.0)?.content.to_vec();
                let value = comparable(&pair.next(WHAT.0)?);
                pair.finish(WHAT.0)?;
                attributes.push(Attribute { oid, value });
            }
            attributes.sort();
            rdns.push(attributes);
            if rdns.len() > NAMES_MAX {
                return Err(WHAT);
            }
        }
        Ok(Self(rdns))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if this name lies in the subtree below `base`.
    fn is_within(&self, base: &Self) -> bool {
        self.0.starts_with(&base.0)
    }

    /// The emailAddress attributes (PKCS#9), in comparable form.
    fn emails(&self) -> impl Iterator<Item = String> + '_ {
        const EMAIL_ADDRESS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01];
        self.0
            .iter()
            .flatten()
            .filter(|attribute| attribute.oid == EMAIL_ADDRESS)
            .filter_map(|attribute| String::from_utf8(attribute.value.clone()).ok())
    }
}

/// One general name (RFC 5280 §4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GeneralName {
    Mail(String),
    Dns(String),
    Directory(DirectoryName),
    Uri(String),
    Ip(Vec<u8>),
    /// otherName, x400Address, ediPartyName, registeredID: by tag only.
    Other(u8),
}

impl GeneralName {
    fn parse(tlv: &Tlv<'_>) -> Result<Self, Malformed> {
        const DIRECTORY: u8 = tag::context_constructed(4);
        let text = || {
            // IA5String in the text; UTF-8 is met and harmless.
            std::str::from_utf8(tlv.content).map(str::to_owned).map_err(|_| Malformed("general name"))
        };
        Ok(match tlv.tag {
            0x81 => Self::Mail(text()?),
            0x82 => Self::Dns(text()?),
            DIRECTORY => Self::Directory(DirectoryName::parse(&ber::single(tlv.content, "directory name")?)?),
            0x86 => Self::Uri(text()?),
            0x87 => Self::Ip(tlv.content.to_vec()),
            other => Self::Other(other & 0x1f),
        })
    }

    /// The content of a subjectAltName extension.
    pub(crate) fn parse_all(extension: &[u8]) -> Result<Vec<Self>, Malformed> {
        let sequence = ber::single(extension, "general names")?;
        if sequence.tag != tag::SEQUENCE {
            return Err(Malformed("general names"));
        }
        let mut names = Vec::new();
        let mut inside = sequence.inside();
        while !inside.is_empty() {
            names.push(Self::parse(&inside.next("general name")?)?);
            if names.len() > NAMES_MAX {
                return Err(Malformed("number of general names"));
            }
        }
        Ok(names)
    }

    /// For messages: kind and value.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Mail(mail) => format!("rfc822Name {}", excerpt(mail)),
            Self::Dns(name) => format!("dNSName {}", excerpt(name)),
            Self::Directory(_) => "directoryName of the subject or its alternative names".to_owned(),
            Self::Uri(uri) => format!("uniformResourceIdentifier {}", excerpt(uri)),
            Self::Ip(octets) => format!("iPAddress {}", hex::encode(octets)),
            Self::Other(number) => format!("general name of choice [{number}]"),
        }
    }

    fn is_same_kind(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Other(a), Self::Other(b)) => a == b,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }

    fn is_within(&self, base: &Self) -> bool {
        match (self, base) {
            (Self::Mail(mail), Self::Mail(base)) => mail_within(mail, base),
            (Self::Dns(name), Self::Dns(base)) => host_within(name, base, true),
            (Self::Directory(name), Self::Directory(base)) => name.is_within(base),
            (Self::Uri(uri), Self::Uri(base)) => {
                uri_host(uri).is_some_and(|host| host_within(host, base, false))
            }
            (Self::Ip(address), Self::Ip(base)) => ip_within(address, base),
            _ => false,
        }
    }
}

/// The nameConstraints extension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameConstraints {
    permitted: Vec<GeneralName>,
    excluded: Vec<GeneralName>,
}

impl NameConstraints {
    pub(crate) fn parse(extension: &[u8]) -> Result<Self, Malformed> {
        const WHAT: &str = "name constraints";
        let sequence = ber::single(extension, WHAT)?;
        if sequence.tag != tag::SEQUENCE {
            return Err(Malformed(WHAT));
        }
        let mut fields = sequence.inside();
        let permitted = subtrees(fields.optional(tag::context_constructed(0), WHAT)?)?;
        let excluded = subtrees(fields.optional(tag::context_constructed(1), WHAT)?)?;
        fields.finish(WHAT)?;
        Ok(Self { permitted, excluded })
    }

    /// The first of the names that these constraints do not let pass (RFC 5280 §6.1.3 b and c).
    pub(crate) fn violation(&self, names: &CertifiedNames) -> Option<GeneralName> {
        names.all().find(|name| !self.allows(name))
    }

    fn allows(&self, name: &GeneralName) -> bool {
        // A constraint on a kind of name that we cannot compare refuses every name of that kind.
        let incomparable = matches!(name, GeneralName::Other(_));
        let excluded = self
            .excluded
            .iter()
            .filter(|base| name.is_same_kind(base))
            .any(|base| incomparable || name.is_within(base));
        let mut permitted = self.permitted.iter().filter(|base| name.is_same_kind(base)).peekable();
        !excluded && (permitted.peek().is_none() || permitted.any(|base| name.is_within(base)))
    }
}

/// The names of a certificate that constraints of its issuers speak of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CertifiedNames {
    pub(crate) subject: DirectoryName,
    pub(crate) alternative: Vec<GeneralName>,
}

impl CertifiedNames {
    fn all(&self) -> impl Iterator<Item = GeneralName> + '_ {
        let subject = (!self.subject.is_empty()).then(|| GeneralName::Directory(self.subject.clone()));
        // RFC 5280 §4.2.1.10: without rfc822Name the addresses in the subject stand for it.
        let has_mail = self.alternative.iter().any(|name| matches!(name, GeneralName::Mail(_)));
        let emails = self.subject.emails().filter(move |_| !has_mail).map(GeneralName::Mail);
        subject.into_iter().chain(emails).chain(self.alternative.iter().cloned())
    }
}

fn subtrees(list: Option<Tlv<'_>>) -> Result<Vec<GeneralName>, Malformed> {
    const WHAT: &str = "subtree of name constraints";
    let mut bases = Vec::new();
    let mut inside = list.as_ref().map_or(Reader::new(&[]), Tlv::inside);
    while !inside.is_empty() {
        let mut subtree = inside.expect(tag::SEQUENCE, WHAT)?.inside();
        bases.push(GeneralName::parse(&subtree.next(WHAT)?)?);
        // minimum is 0 and maximum absent in every certificate of the profile (RFC 5280 §4.2.1.10).
        if let Some(minimum) = subtree.optional(tag::context(0), WHAT)?
            && minimum.content != [0]
        {
            return Err(Malformed(WHAT));
        }
        subtree.finish(WHAT)?;
        if bases.len() > NAMES_MAX {
            return Err(Malformed("number of name constraints"));
        }
    }
    Ok(bases)
}

/// An exact mailbox, a host, or with a leading dot every host below a domain.
fn mail_within(mail: &str, base: &str) -> bool {
    let Some((local, host)) = mail.rsplit_once('@') else { return false };
    match base.rsplit_once('@') {
        Some((base_local, base_host)) => local == base_local && host.eq_ignore_ascii_case(base_host),
        None => host_within(host, base, false),
    }
}

/// `.base` covers what lies below it; `base` covers itself, and what lies below it if `below`.
fn host_within(host: &str, base: &str, below: bool) -> bool {
    if base.is_empty() {
        return true;
    }
    let (host, lower) = (host.trim_end_matches('.').to_ascii_lowercase(), base.to_ascii_lowercase());
    match lower.strip_prefix('.') {
        Some(_) => host.len() > lower.len() && host.ends_with(&lower),
        None if host == lower => true,
        None => below && host.strip_suffix(&lower).is_some_and(|front| front.ends_with('.')),
    }
}

fn uri_host(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    Some(host.split_once(':').map_or(host, |(host, _)| host))
}

fn ip_within(address: &[u8], base: &[u8]) -> bool {
    if base.len() != address.len() * 2 {
        return false; // the other family of addresses
    }
    let (network, mask) = base.split_at(address.len());
    address.iter().zip(network).zip(mask).all(|((octet, network), mask)| octet & mask == network & mask)
}

/// Strings as lower-case UTF-8 with single spaces; anything else with its tag in front.
fn comparable(value: &Tlv<'_>) -> Vec<u8> {
    let text = match value.tag {
        0x0c | 0x12 | 0x13 | 0x16 | 0x1a => std::str::from_utf8(value.content).ok().map(str::to_owned),
        0x14 => Some(value.content.iter().map(|octet| char::from(*octet)).collect()),
        0x1e => bmp(value.content),
        _ => None,
    };
    match text {
        Some(text) => text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase().into_bytes(),
        None => value.whole.to_vec(),
    }
}

fn bmp(content: &[u8]) -> Option<String> {
    let (pairs, rest) = content.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    char::decode_utf16(pairs.iter().map(|pair| u16::from_be_bytes(*pair))).collect::<Result<_, _>>().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(text: &str) -> GeneralName {
        GeneralName::Mail(text.to_owned())
    }

    #[test]
    fn rfc822_constraints_are_a_mailbox_a_host_or_a_domain() {
        for (name, base, within) in [
            ("a@pec.alfa.example", "pec.alfa.example", true),
            ("a@PEC.alfa.example", "pec.Alfa.example", true),
            ("a@x.pec.alfa.example", "pec.alfa.example", false),
            ("a@x.pec.alfa.example", ".pec.alfa.example", true),
            ("a@pec.alfa.example", ".pec.alfa.example", false),
            ("a@notpec.alfa.example", "pec.alfa.example", false),
            ("a@pec.alfa.example", "a@pec.alfa.example", true),
            ("A@pec.alfa.example", "a@pec.alfa.example", false),
            ("no-at-sign", "pec.alfa.example", false),
        ] {
            assert_eq!(mail(name).is_within(&mail(base)), within, "{name} in {base}");
        }
    }

    #[test]
    fn dns_constraints_cover_what_lies_below() {
        let dns = |text: &str| GeneralName::Dns(text.to_owned());
        assert!(dns("a.alfa.example").is_within(&dns("alfa.example")));
        assert!(!dns("xalfa.example").is_within(&dns("alfa.example")));
        assert!(dns("anything.example").is_within(&dns(""))); // "exclude all", as in the PEC authority
    }

    #[test]
    fn ip_constraints_are_a_network_and_a_mask() {
        let ip = |octets: &[u8]| GeneralName::Ip(octets.to_vec());
        assert!(ip(&[10, 1, 2, 3]).is_within(&ip(&[10, 0, 0, 0, 255, 0, 0, 0])));
        assert!(!ip(&[11, 1, 2, 3]).is_within(&ip(&[10, 0, 0, 0, 255, 0, 0, 0])));
        assert!(!ip(&[10, 1, 2, 3]).is_within(&ip(&[0; 32])));
    }

    #[test]
    fn a_kind_without_constraint_passes_and_excluded_wins() {
        let constraints = NameConstraints {
            permitted: vec![mail("alfa.example")],
            excluded: vec![mail("spam@alfa.example"), GeneralName::Dns(String::new())],
        };
        assert!(constraints.allows(&mail("a@alfa.example")));
        assert!(!constraints.allows(&mail("spam@alfa.example")));
        assert!(!constraints.allows(&mail("a@beta.example")));
        assert!(!constraints.allows(&GeneralName::Dns("alfa.example".into())));
        assert!(constraints.allows(&GeneralName::Uri("https://beta.example/".into())));
    }

    #[test]
    fn names_compare_without_case_spaces_and_string_type() {
        // C = IT, O = "Alfa  SpA" as PrintableString and as UTF8String in other case
        let name = |string_tag: u8, text: &str| {
            let pair = ber::element(
                tag::SEQUENCE,
                &[&ber::element(tag::OID, &[&[0x55, 4, 10]]), &ber::element(string_tag, &[text.as_bytes()])],
            );
            let bytes = ber::element(tag::SEQUENCE, &[&ber::element(tag::SET, &[&pair])]);
            DirectoryName::parse(&ber::single(&bytes, "name").unwrap()).unwrap()
        };
        assert_eq!(name(0x13, " Alfa  SpA"), name(0x0c, "ALFA spa"));
        assert_ne!(name(0x13, "Alfa"), name(0x13, "Beta"));
    }
}
