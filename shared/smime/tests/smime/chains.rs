//! Whom to trust: paths to anchors with everything that a certificate of the profile can say (spec 10.2).

use smime::{AlgorithmError, Anchors, Certificate, ChainError, Policy, Verifier};

use crate::openssl::{AUTHORITY, Issued, Key, LEAF, LEAF_SUBJECT, NOW, Request, USUAL, usual};

fn verifier(anchors: &[&Issued]) -> Verifier {
    Verifier::new(Anchors::from_certificates(anchors.iter().map(|anchor| anchor.certificate())))
}

/// A leaf under these intermediates, against these anchors, today.
fn check(leaf: &Issued, others: &[&Issued], anchors: &[&Issued]) -> Result<(), ChainError> {
    check_at(leaf, others, anchors, NOW, Policy::TODAY)
}

fn check_at(
    leaf: &Issued,
    others: &[&Issued],
    anchors: &[&Issued],
    at: i64,
    policy: Policy,
) -> Result<(), ChainError> {
    let others: Vec<Certificate> = others.iter().map(|other| other.certificate()).collect();
    verifier(anchors).check_chain(&leaf.certificate(), &others, at, &policy)
}

/// A leaf with these extensions under the usual intermediate.
fn leaf(extensions: &str) -> Issued {
    Request::new(LEAF_SUBJECT, Key::Leaf, extensions).issued_by(&usual().intermediate)
}

fn check_usual(leaf: &Issued) -> Result<(), ChainError> {
    check(leaf, &[&usual().intermediate], &[&usual().root])
}

#[test]
fn the_usual_chain_holds_with_root_intermediate_or_leaf_as_the_anchor() {
    let usual = usual();
    check(&usual.leaf, &[&usual.intermediate], &[&usual.root]).unwrap();
    check(&usual.leaf, &[&usual.leaf, &usual.intermediate, &usual.root], &[&usual.root]).unwrap();
    check(&usual.leaf, &[], &[&usual.intermediate]).unwrap();
    check(&usual.leaf, &[], &[&usual.leaf]).unwrap();
}

#[test]
fn without_the_intermediate_the_missing_issuer_is_named() {
    assert_eq!(
        check(&usual().leaf, &[], &[&usual().root]),
        Err(ChainError::NoIssuer {
            subject: "CN=Posta Certificata Alfa,O=Alfa S.p.A.,C=IT".into(),
            issuer: "CN=Emittente,O=Autorita di prova,C=IT".into()
        })
    );
    assert!(matches!(check(&usual().leaf, &[&usual().intermediate], &[]), Err(ChainError::NoIssuer { .. })));
}

#[test]
fn a_namesake_of_the_issuer_is_not_the_issuer() {
    let namesake =
        Request::new("/C=IT/O=Autorita di prova/CN=Emittente", Key::Second, AUTHORITY).self_signed();
    assert!(matches!(check(&usual().leaf, &[], &[&namesake]), Err(ChainError::Signature { .. })));
    // Beside the true one it does no harm, in whatever order.
    check(&usual().leaf, &[], &[&namesake, &usual().intermediate]).unwrap();
}

#[test]
fn a_key_for_encipherment_only_does_not_sign() {
    let wrong = leaf("keyUsage=critical,keyEncipherment\nextendedKeyUsage=emailProtection\n");
    assert_eq!(
        check_usual(&wrong),
        Err(ChainError::KeyUsage {
            subject: "CN=Posta Certificata Alfa,O=Alfa S.p.A.,C=IT".into(),
            found: "keyEncipherment".into(),
            expected: "digitalSignature or nonRepudiation",
        })
    );
    check_usual(&leaf("keyUsage=critical,nonRepudiation\n")).unwrap();
    check_usual(&leaf("keyUsage=critical,digitalSignature,keyEncipherment\n")).unwrap();
    check_usual(&leaf("subjectAltName=email:a@pec.alfa.example\n")).unwrap(); // no keyUsage: no limit
}

#[test]
fn an_extended_key_usage_must_hold_email_protection() {
    assert!(matches!(
        check_usual(&leaf("extendedKeyUsage=serverAuth,clientAuth\n")),
        Err(ChainError::ExtendedKeyUsage { .. })
    ));
    check_usual(&leaf("extendedKeyUsage=clientAuth,emailProtection\n")).unwrap();
    check_usual(&leaf("extendedKeyUsage=anyExtendedKeyUsage\n")).unwrap();
    // The same of an intermediate: an authority for web servers certifies no mail.
    let web = Request::new("/C=IT/CN=Web", Key::Second, &format!("{AUTHORITY}extendedKeyUsage=serverAuth\n"))
        .issued_by(&usual().root);
    let below = Request::new(LEAF_SUBJECT, Key::Leaf, LEAF).issued_by(&web);
    assert!(matches!(check(&below, &[&web], &[&usual().root]), Err(ChainError::ExtendedKeyUsage { .. })));
}

/// As the authority of the PEC network has them: mail domains and directory names permitted, IP and DNS excluded.
const CONSTRAINTS: &str = "nameConstraints=critical,@vincoli\n[vincoli]\npermitted;email.0=pec.alfa.example\n\
    permitted;dirName.0=alfa\nexcluded;IP.0=0.0.0.0/0.0.0.0\nexcluded;DNS.0=\n[alfa]\nC=IT\nO=Alfa S.p.A.\n";

fn constrained() -> Issued {
    Request::new("/C=IT/CN=Vincolata", Key::Second, &format!("{AUTHORITY}{CONSTRAINTS}"))
        .issued_by(&usual().root)
}

#[test]
fn name_constraints_of_an_intermediate_or_an_anchor_are_honoured() {
    let authority = constrained();
    let under = |subject: &str, extensions: &str| {
        let leaf = Request::new(subject, Key::Leaf, extensions).issued_by(&authority);
        let below_root = check(&leaf, &[&authority], &[&usual().root]);
        assert_eq!(below_root, check(&leaf, &[], &[&authority]), "the same as an anchor");
        below_root
    };
    let name_of = |result: Result<(), ChainError>| match result {
        Err(ChainError::NameConstraint { name, .. }) => name,
        other => panic!("expected a name constraint, got {other:?}"),
    };
    let mail = |mail: &str| format!("subjectAltName=email:{mail}\n");

    under("/C=IT/O=Alfa S.p.A./CN=x", &mail("posta-certificata@pec.alfa.example")).unwrap();
    under("/C=IT/O=alfa  s.p.a./CN=x", &mail("posta-certificata@PEC.alfa.example")).unwrap();
    assert_eq!(
        name_of(under("/C=IT/O=Alfa S.p.A./CN=x", &mail("posta-certificata@pec.beta.example"))),
        "rfc822Name posta-certificata@pec.beta.example"
    );
    assert!(
        name_of(under("/C=IT/O=Beta S.p.A./CN=x", &mail("posta-certificata@pec.alfa.example")))
            .starts_with("directoryName")
    );
    assert_eq!(
        name_of(under("/C=IT/O=Alfa S.p.A./CN=x", "subjectAltName=DNS:alfa.example\n")),
        "dNSName alfa.example"
    );
    // Without rfc822Name the address in the subject is judged (RFC 5280 §4.2.1.10).
    assert_eq!(
        name_of(under(
            "/C=IT/O=Alfa S.p.A./CN=x/emailAddress=a@pec.beta.example",
            "keyUsage=digitalSignature\n"
        )),
        "rfc822Name a@pec.beta.example"
    );
}

#[test]
fn critical_policies_are_understood_and_unknown_critical_extensions_refused() {
    check_usual(&leaf(&LEAF.replace("certificatePolicies=", "certificatePolicies=critical,"))).unwrap();
    let strange = leaf("1.2.3.4.5=critical,DER:0500\n");
    assert_eq!(
        check_usual(&strange),
        Err(ChainError::CriticalExtension {
            subject: "CN=Posta Certificata Alfa,O=Alfa S.p.A.,C=IT".into(),
            oid: "1.2.3.4.5".into()
        })
    );
    check_usual(&leaf("1.2.3.4.5=DER:0500\n")).unwrap();
    let demanding = leaf("policyConstraints=critical,requireExplicitPolicy:0\n");
    assert!(matches!(check_usual(&demanding), Err(ChainError::CriticalExtension { .. })));
}

#[test]
fn dates_hold_for_signer_intermediate_and_anchor() {
    let usual = usual();
    let early = NOW - 10 * 365 * 86_400;
    let late = NOW + 40 * 365 * 86_400;
    let at = |at| check_at(&usual.leaf, &[&usual.intermediate], &[&usual.root], at, Policy::TODAY);
    assert!(matches!(at(early), Err(ChainError::NotYetValid { .. })));
    assert!(matches!(at(late), Err(ChainError::Expired { .. })));
    // Both ends are inclusive.
    at(usual.leaf.certificate().not_before_unix_s()).unwrap();
    at(usual.leaf.certificate().not_after_unix_s()).unwrap();
    assert!(at(usual.leaf.certificate().not_after_unix_s() + 1).is_err());

    let expired = Request::new(LEAF_SUBJECT, Key::Leaf, LEAF)
        .valid(USUAL.0, "20250101000000Z")
        .issued_by(&usual.intermediate);
    assert_eq!(
        check_usual(&expired).unwrap_err().to_string(),
        "accept certificate CN=Posta Certificata Alfa,O=Alfa S.p.A.,C=IT at 2026-03-02T08:00:00Z: \
         it was valid until 2025-01-01T00:00:00Z"
    );
    let future = Request::new(LEAF_SUBJECT, Key::Leaf, LEAF)
        .valid("20300101000000Z", USUAL.1)
        .issued_by(&usual.intermediate);
    assert!(matches!(check_usual(&future), Err(ChainError::NotYetValid { .. })));

    let old_authority = Request::new("/C=IT/CN=Scaduta", Key::Second, AUTHORITY)
        .valid(USUAL.0, "20250101000000Z")
        .issued_by(&usual.root);
    let below = Request::new(LEAF_SUBJECT, Key::Leaf, LEAF).issued_by(&old_authority);
    for (others, anchors) in [(vec![&old_authority], &usual.root), (vec![], &old_authority)] {
        assert!(matches!(
            check(&below, &others, &[anchors]),
            Err(ChainError::Expired { subject, .. }) if subject == "CN=Scaduta,C=IT"
        ));
        let then = 1_700_000_000; // 2023: all was valid
        check_at(&below, &others, &[anchors], then, Policy::TODAY).unwrap();
    }
}

#[test]
fn of_two_certificates_of_one_authority_the_valid_one_is_found() {
    // Renewed with the same key and name, as the authority of the PEC network was.
    let old = Request::new("/C=IT/O=Autorita di prova/CN=Emittente", Key::Intermediate, AUTHORITY)
        .valid(USUAL.0, "20250101000000Z")
        .issued_by(&usual().root);
    check(&usual().leaf, &[], &[&old, &usual().intermediate]).unwrap();
    check(&usual().leaf, &[&old, &usual().intermediate], &[&usual().root]).unwrap();
}

#[test]
fn an_issuer_must_be_an_authority() {
    // A provider's certificate issues another one.
    let forged = Request::new("/C=IT/O=Beta/CN=Beta", Key::Second, LEAF).issued_by(&usual().leaf);
    let expected =
        ChainError::NotAnAuthority { subject: "CN=Posta Certificata Alfa,O=Alfa S.p.A.,C=IT".into() };
    assert_eq!(check(&forged, &[&usual().leaf, &usual().intermediate], &[&usual().root]), Err(expected));
    // Not even as an anchor: its keyUsage says what its key is for.
    assert!(matches!(check(&forged, &[], &[&usual().leaf]), Err(ChainError::KeyUsage { .. })));
    // An authority whose key may not sign certificates.
    let crl_only = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,cRLSign\n";
    let authority = Request::new("/C=IT/CN=Liste", Key::Second, crl_only).issued_by(&usual().root);
    let below = Request::new(LEAF_SUBJECT, Key::Leaf, LEAF).issued_by(&authority);
    assert!(matches!(
        check(&below, &[&authority], &[&usual().root]),
        Err(ChainError::KeyUsage { expected: "keyCertSign", .. })
    ));
}

#[test]
fn path_length_counts_intermediates() {
    let zero = AUTHORITY.replace("CA:TRUE", "CA:TRUE,pathlen:0");
    let top = Request::new("/C=IT/CN=Zero", Key::Intermediate, &zero).issued_by(&usual().root);
    let direct = Request::new(LEAF_SUBJECT, Key::Leaf, LEAF).issued_by(&top);
    check(&direct, &[&top], &[&usual().root]).unwrap();
    let middle = Request::new("/C=IT/CN=Sotto", Key::Second, AUTHORITY).issued_by(&top);
    let below = Request::new(LEAF_SUBJECT, Key::Leaf, LEAF).issued_by(&middle);
    assert_eq!(
        check(&below, &[&middle, &top], &[&usual().root]),
        Err(ChainError::PathLength { subject: "CN=Zero,C=IT".into(), found: 1, maximum: 0 })
    );
}

#[test]
fn depth_is_bounded_and_loops_end() {
    let mut issuer = usual().root.clone();
    let mut others = Vec::new();
    for level in 0..smime::PATH_CERTIFICATES_MAX {
        let key = if level % 2 == 0 { Key::Intermediate } else { Key::Second };
        issuer = Request::new(&format!("/C=IT/CN=Livello {level}"), key, AUTHORITY).issued_by(&issuer);
        others.push(issuer.clone());
    }
    let deep = Request::new(LEAF_SUBJECT, Key::Leaf, LEAF).issued_by(&issuer);
    let references: Vec<&Issued> = others.iter().collect();
    assert_eq!(check(&deep, &references, &[&usual().root]), Err(ChainError::TooComplex));

    // Two authorities that certify each other, and no anchor.
    let a = Request::new("/C=IT/CN=A", Key::Intermediate, AUTHORITY).self_signed();
    let b = Request::new("/C=IT/CN=B", Key::Second, AUTHORITY).self_signed();
    let a_by_b = Request::new("/C=IT/CN=A", Key::Intermediate, AUTHORITY).issued_by(&b);
    let b_by_a = Request::new("/C=IT/CN=B", Key::Second, AUTHORITY).issued_by(&a);
    let leaf = Request::new(LEAF_SUBJECT, Key::Leaf, LEAF).issued_by(&a);
    let result = check(&leaf, &[&a, &b, &a_by_b, &b_by_a], &[&usual().root]);
    assert!(matches!(result, Err(ChainError::NoIssuer { .. } | ChainError::TooComplex)), "{result:?}");
}

#[test]
fn sha1_in_a_certificate_and_short_keys_need_the_historic_view() {
    let sha1 = Request::new(LEAF_SUBJECT, Key::Leaf, LEAF).md("sha1").issued_by(&usual().intermediate);
    assert!(matches!(check_usual(&sha1), Err(ChainError::Algorithm { source: AlgorithmError::Sha1, .. })));
    check_at(&sha1, &[&usual().intermediate], &[&usual().root], NOW, Policy::HISTORIC).unwrap();

    let short = Request::new(LEAF_SUBJECT, Key::Rsa1024, LEAF).issued_by(&usual().intermediate);
    assert!(matches!(check_usual(&short), Err(ChainError::WeakKey { bits: 1024, .. })));
    check_at(&short, &[&usual().intermediate], &[&usual().root], NOW, Policy::HISTORIC).unwrap();
}

#[test]
fn an_elliptic_authority_certifies_too() {
    let authority = Request::new("/C=IT/CN=Curva", Key::P384, AUTHORITY).md("sha384").self_signed();
    let leaf = Request::new(LEAF_SUBJECT, Key::P256, LEAF).issued_by(&authority);
    check(&leaf, &[], &[&authority]).unwrap();
}

#[test]
fn a_remembered_chain_changes_no_answer() {
    let verifier = verifier(&[&usual().root]);
    let leaf = usual().leaf.certificate();
    let others = [usual().intermediate.certificate()];
    for _ in 0..2 {
        verifier.check_chain(&leaf, &others, NOW, &Policy::TODAY).unwrap();
        // The intermediate is missing from this message: as before any memory.
        assert!(matches!(
            verifier.check_chain(&leaf, &[], NOW, &Policy::TODAY),
            Err(ChainError::NoIssuer { .. })
        ));
        let late = NOW + 40 * 365 * 86_400;
        assert!(matches!(
            verifier.check_chain(&leaf, &others, late, &Policy::TODAY),
            Err(ChainError::Expired { .. })
        ));
    }
}

#[test]
fn anchors_are_read_from_pem_with_several_and_from_der() {
    let bundle = [usual().root.pem.clone(), usual().intermediate.pem.clone()].concat();
    let der = constrained().der();
    let anchors = Anchors::from_files([&bundle[..], &der[..], &bundle[..]]).unwrap();
    assert_eq!(anchors.len(), 3);
    assert!(Anchors::from_files([&b"niente"[..]]).is_err());
}
