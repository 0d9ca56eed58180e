use base64::{Engine, prelude::BASE64_STANDARD};
use proptest::prelude::*;

use super::*;

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn record_of(name: &str, unit: Option<&str>, domains: &[&str], certificates: &[&[u8]]) -> Record {
    Record {
        id: Record::id_of(name, unit),
        provider_name: name.to_owned(),
        provider_unit: unit.map(str::to_owned),
        mail_receipt: address("ricevute@gestore.alfa.example"),
        managed_domains: domains.iter().map(|d| (*d).to_owned()).collect(),
        certificates: certificates.iter().map(|der| IndexCertificate::new(der.to_vec())).collect(),
        ldif_location: unit.is_none().then(|| "https://gestore.alfa.example/alfa.ldif.p7m".to_owned()),
    }
}

/// An LDIF as others write it: mixed case, folded lines, a comment, no empty line before the second record.
fn others_ldif(certificate: &[u8], hash: &str) -> String {
    let base64 = BASE64_STANDARD.encode(certificate);
    let (head, tail) = base64.split_at(base64.len() / 2);
    format!(
        "# the directory,\r\n  folded\r\ndn: o=postacert\r\nobjectclass: top\r\nobjectclass: organization\r\n\
         objectClass: LDIFLocationURLObject\r\no: postacert\r\nLDIFLocationURL: https://igpec.example/igpec.ldif.p7m\r\n\
         dn: providerName=ALFA PEC S.p.A.,o=postacert\r\nobjectclass: top\r\nobjectclass: provider\r\n\
         providername: ALFA PEC S.p.A.\r\nproviderCertificateHash:\r\n {hash}\r\nproviderCertificate;BINARY::\r\n {head}\r\n {tail}\r\n\
         mailReceipt: Ricevute@gestore.alfa.example\r\nmanagedDomains: PEC.Alfa.Example\r\nMANAGEDDOMAINS: cliente.example\r\n\
         description:: U2Vydml6aQ==\r\n\r\n"
    )
}

/// Spec 9.3: folding, base64, names in any case, repeated attributes; RFC 6109 §4.5.10.
#[test]
fn an_ldif_of_others_is_read() {
    let der = b"certificate";
    let ldif = others_ldif(der, &sha1_hex(der).to_ascii_uppercase());
    let index = Index::from_ldif(ldif.as_bytes()).unwrap();
    assert_eq!(index.complaints(), []);
    let [record] = index.records() else { panic!("one record expected") };
    assert_eq!(record.id, "ALFA PEC S.p.A.");
    assert_eq!(record.mail_receipt.as_str(), "Ricevute@gestore.alfa.example");
    assert_eq!(record.managed_domains, ["pec.alfa.example", "cliente.example"]);
    assert_eq!(record.certificates, [IndexCertificate::new(der.to_vec())]);
    assert_eq!(index.by_certificate(der), [record]);
    assert_eq!(index.by_domain("Cliente.EXAMPLE"), Some(record));
}

/// RFC 6109 §4.5.1: the hash is that of the certificate, or the record does not count.
#[test]
fn a_record_whose_hash_is_wrong_is_refused() {
    let ldif = others_ldif(b"certificate", &sha1_hex(b"another"));
    let expected = "providerCertificateHash is not that of providerCertificate";
    let refusal = IndexError::Record("providerName=ALFA PEC S.p.A.,o=postacert".to_owned(), expected);
    assert_eq!(Index::from_ldif(ldif.as_bytes()).unwrap_err(), refusal);

    let good = Index::new(vec![record_of("BETA PEC", None, &["pec.beta.example"], &[b"beta"])]).to_ldif();
    let index = Index::from_ldif(format!("{ldif}\n{good}").as_bytes()).unwrap();
    assert_eq!(index.records().len(), 1, "the others go on");
    assert_eq!(index.complaints(), [refusal]);
    assert_eq!(index.by_domain("pec.alfa.example"), None);
}

/// RFC 6109 §4.5.9: what a provider record must have.
#[test]
fn a_record_without_its_mandatory_attributes_is_refused() {
    let whole = Index::new(vec![record_of("ALFA", None, &["pec.alfa.example"], &[b"alfa"])]).to_ldif();
    for missing in [
        "providerName",
        "providerCertificateHash",
        "providerCertificate;binary",
        "mailReceipt",
        "managedDomains",
    ] {
        let lines = whole.lines().filter(|l| !l.starts_with(&format!("{missing}:")));
        let ldif = lines.map(|l| format!("{l}\n")).collect::<String>();
        let error = Index::from_ldif(ldif.as_bytes()).unwrap_err();
        assert!(matches!(error, IndexError::Record(..)), "{missing}: {error}");
    }
    for (from, to) in [
        ("mailReceipt: ", "mailReceipt: no address "),
        ("providerName: ALFA", "providerName: ALFA\nproviderName: BETA"),
        ("managedDomains: ", "managedDomains: not a domain "),
    ] {
        let error = Index::from_ldif(whole.replace(from, to).as_bytes()).unwrap_err();
        assert!(matches!(error, IndexError::Record(..)), "{to}: {error}");
    }
}

#[test]
fn what_is_not_ldif_is_refused_with_its_line() {
    let cases: [(&str, usize); 6] = [
        ("dn: o=postacert\nno colon\n", 2),
        ("o: postacert\n", 1),
        ("dn: o=x\n\n folded\n", 3),
        ("dn: o=x\na:: ===\n", 2),
        ("dn: o=x\na:< file:///etc/passwd\n", 2),
        ("dn: o=x\nchangetype: delete\n", 2),
    ];
    for (ldif, line) in cases {
        assert!(
            matches!(Index::from_ldif(ldif.as_bytes()), Err(IndexError::Ldif(l, _)) if l == line),
            "{ldif:?}"
        );
    }
    assert_eq!(Index::from_ldif(b"").unwrap_err(), IndexError::Unfit("no provider in it"));
}

#[test]
fn the_bounds_hold() {
    let entries = "dn: o=x\n\n".repeat(RECORDS_MAX + 1);
    assert!(matches!(Index::from_ldif(entries.as_bytes()), Err(IndexError::Unfit(_))));
    assert!(matches!(Index::from_ldif(&vec![b'#'; LDIF_BYTES_MAX + 1]), Err(IndexError::Unfit(_))));
}

/// RFC 6109 §4.5.10: a secondary environment can share the main one's certificate; spec 0.2 D10.
#[test]
fn one_certificate_can_have_several_records() {
    let index = Index::new(vec![
        record_of("ALFA", None, &["pec.alfa.example"], &[b"shared", b"main only"]),
        record_of("ALFA", Some("Interno"), &["interno.alfa.example"], &[b"shared"]),
        record_of("BETA", None, &["pec.beta.example"], &[b"beta"]),
    ]);
    let ids = |der: &[u8]| index.by_certificate(der).iter().map(|r| r.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(b"shared"), ["ALFA", "Interno,ALFA"]);
    assert_eq!(ids(b"main only"), ["ALFA"]);
    assert_eq!(ids(b"unknown"), [] as [String; 0]);
    assert_eq!(index.by_id("Interno,ALFA").unwrap().provider_unit.as_deref(), Some("Interno"));
    assert_eq!(index.by_domain("interno.alfa.example").unwrap().id, "Interno,ALFA");
}

/// Our decision: a domain has one record, the first; the later one loses it everywhere.
#[test]
fn a_domain_belongs_to_the_first_record() {
    let index = Index::new(vec![
        record_of("ALFA", None, &["pec.alfa.example"], &[b"alfa"]),
        record_of("BETA", None, &["PEC.alfa.example", "pec.beta.example"], &[b"beta"]),
        record_of("GAMMA", None, &["pec.alfa.example"], &[b"gamma"]),
        record_of("ALFA", None, &["altro.example"], &[b"alfa"]),
    ]);
    assert_eq!(index.by_domain("pec.alfa.example").unwrap().id, "ALFA");
    assert!(!index.by_id("BETA").unwrap().manages("pec.alfa.example"));
    assert_eq!(index.by_id("GAMMA"), None, "nothing is left of it");
    assert_eq!(index.by_domain("altro.example"), None, "a name is used once");
    assert_eq!(index.complaints().len(), 4);
}

/// Spec 4.5: whole domains, in any case.
#[test]
fn recipients_are_typed_by_their_whole_domain() {
    let index = Index::new(vec![record_of("ALFA", None, &["pec.alfa.example"], &[b"alfa"])]);
    assert_eq!(index.kind_of(&address("a@PEC.Alfa.example")), RecipientKind::Certified);
    for ordinary in ["a@alfa.example", "a@x.pec.alfa.example", "a@pec.alfa.example.it"] {
        assert_eq!(index.kind_of(&address(ordinary)), RecipientKind::Ordinary, "{ordinary}");
    }
}

#[test]
fn a_lying_hash_is_computed_anew() {
    let mut record = record_of("ALFA", None, &["pec.alfa.example"], &[b"alfa"]);
    record.certificates[0].sha1 = sha1_hex(b"beta");
    let index = Index::new(vec![record]);
    assert!(index.by_certificate(b"beta").is_empty());
    assert_eq!(index.by_certificate(b"alfa").len(), 1);
}

#[test]
fn written_lines_are_folded_at_76() {
    let der = vec![0xa5; 700];
    let ldif = Index::new(vec![record_of("ALFA", None, &["pec.alfa.example"], &[&der])]).to_ldif();
    assert!(ldif.lines().all(|l| l.len() <= 76));
    assert!(ldif.lines().any(|l| l.len() == 76));
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        rows in proptest::collection::vec(
            ("[ -~à-ü€]{0,40}[!-~è]", proptest::option::of("[!-~ù]{1,20}"),
             proptest::collection::vec("[a-z0-9]{1,20}\\.[a-z]{2,5}", 1..4),
             proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 1..3)),
            1..5),
    ) {
        let records = rows.iter().map(|(name, unit, domains, ders)| {
            let domains = domains.iter().map(String::as_str).collect::<Vec<_>>();
            let ders = ders.iter().map(Vec::as_slice).collect::<Vec<_>>();
            record_of(name.trim(), unit.as_deref(), &domains, &ders)
        });
        let index = Index::new(records.collect());
        let again = Index::from_ldif(index.to_ldif().as_bytes()).unwrap();
        prop_assert_eq!(again.records(), index.records());
        prop_assert_eq!(again.complaints(), []);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Index::from_ldif(&bytes);
    }

    #[test]
    fn any_damage_is_read_without_panic(at in 0usize..600, byte in any::<u8>()) {
        let mut ldif = Index::new(vec![record_of("ALFA", Some("X"), &["pec.alfa.example"], &[&[7; 90]])]).to_ldif().into_bytes();
        let at = at % ldif.len();
        ldif[at] = byte;
        let _ = Index::from_ldif(&ldif);
    }
}
