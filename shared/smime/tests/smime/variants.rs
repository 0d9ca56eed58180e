//! Every variant of signature that real senders produce (issue 2 item 3), and what is refused of it.

use smime::{
    AlgorithmError, Curve, DigestAlgorithm, KeyKind, Policy, SignatureAlgorithm, SignerError, Verified,
    VerifyError, verify,
};

use crate::openssl::{
    AUTHORITY, CONTENT, Issued, Key, LEAF, LEAF_SUBJECT, Request, cms_sign, message, openssl, sign_with,
    signed, usual,
};

fn verified(cms: &[u8], policy: Policy) -> Result<Verified, VerifyError> {
    verify(&signed(cms), &policy)
}

/// The error of the only signer, or of the one with this number.
fn refused(result: Result<Verified, VerifyError>, expected_number: usize) -> SignerError {
    match result.unwrap_err() {
        VerifyError::Signer { number, source, .. } => {
            assert_eq!(number, expected_number);
            source
        }
        other => panic!("expected a signer to be refused, got {other:?}"),
    }
}

fn leaf_signs(args: &[&str]) -> Vec<u8> {
    cms_sign(&[&usual().leaf], &[&usual().intermediate], args)
}

#[test]
fn der_with_sha256_tells_who_signed_when_and_how() {
    let verified = verified(&leaf_signs(&["-md", "sha256"]), Policy::TODAY).unwrap();
    assert!(!verified.canonicalised);
    assert_eq!(verified.certificates.len(), 2);
    let [signer] = verified.signers.as_slice() else { panic!("one signer") };
    assert_eq!(signer.certificate, usual().leaf.certificate());
    assert_eq!(signer.digest, DigestAlgorithm::Sha256);
    assert_eq!(signer.digest.to_string(), "sha-256");
    assert_eq!(signer.signature, SignatureAlgorithm::Rsa(DigestAlgorithm::Sha256));
    assert!(signer.has_signed_attributes);
    assert!(signer.signed_at_unix_s.unwrap() > 1_700_000_000);
}

#[test]
fn a_certificate_tells_its_facts() {
    let certificate = usual().leaf.certificate();
    assert_eq!(certificate.subject(), "CN=Posta Certificata Alfa,O=Alfa S.p.A.,C=IT");
    assert_eq!(certificate.issuer(), "CN=Emittente,O=Autorita di prova,C=IT");
    assert_eq!(certificate.mails(), ["posta-certificata@pec.alfa.example"]);
    assert_eq!(certificate.key(), &KeyKind::Rsa { bits: 2048 });
    assert_eq!(certificate.not_before_unix_s(), 1_577_836_800);
    assert_eq!(certificate.not_after_unix_s(), 2_524_607_999);
    assert!(!certificate.is_self_issued());
    assert!(usual().root.certificate().is_self_issued());

    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("leaf.pem"), &usual().leaf.pem).unwrap();
    let said = |args: &[&str]| {
        let output = openssl(dir.path(), &[&["x509", "-in", "leaf.pem", "-noout"], args].concat());
        let text = String::from_utf8(output).unwrap().trim().to_owned();
        text.split_once('=').unwrap().1.replace(':', "").to_ascii_lowercase()
    };
    assert_eq!(certificate.sha1_hex(), said(&["-fingerprint", "-sha1"]));
    assert_eq!(certificate.sha256_hex(), said(&["-fingerprint", "-sha256"]));
    assert_eq!(certificate.serial_hex(), said(&["-serial"]));
}

#[test]
fn ber_with_indefinite_lengths_verifies() {
    let ber = leaf_signs(&["-stream"]);
    assert_eq!(ber.get(..2), Some(&[0x30, 0x80][..]), "openssl streams with indefinite length");
    assert_eq!(verified(&ber, Policy::TODAY).unwrap().signers.len(), 1);
}

#[test]
fn signed_data_with_the_content_inside_is_opened_in_der_and_in_ber() {
    for args in [&["-nodetach"][..], &["-nodetach", "-stream"]] {
        let cms = leaf_signs(args);
        let (content, verified) = smime::open_signed_data(&cms, &Policy::TODAY).unwrap();
        assert_eq!(content, CONTENT, "{args:?}");
        assert_eq!(verified.signers.len(), 1);
    }
    let detached = leaf_signs(&[]);
    assert_eq!(smime::open_signed_data(&detached, &Policy::TODAY).unwrap_err(), VerifyError::NoContent);
}

#[test]
fn sha384_and_sha512_verify() {
    for (md, digest) in [("sha384", DigestAlgorithm::Sha384), ("sha512", DigestAlgorithm::Sha512)] {
        let verified = verified(&leaf_signs(&["-md", md]), Policy::TODAY).unwrap();
        assert_eq!(verified.signers[0].digest, digest);
    }
}

#[test]
fn sha1_verifies_in_the_historic_view_only() {
    let cms = leaf_signs(&["-md", "sha1"]);
    assert_eq!(verified(&cms, Policy::HISTORIC).unwrap().signers[0].digest.to_string(), "sha-1");
    assert_eq!(refused(verified(&cms, Policy::TODAY), 1), SignerError::Algorithm(AlgorithmError::Sha1));
}

#[test]
fn an_rsa_key_of_1024_bits_verifies_in_the_historic_view_only() {
    let old = Request::new(LEAF_SUBJECT, Key::Rsa1024, LEAF).issued_by(&usual().intermediate);
    let cms = cms_sign(&[&old], &[], &["-md", "sha1"]);
    assert_eq!(verified(&cms, Policy::HISTORIC).unwrap().signers.len(), 1);
    let cms = cms_sign(&[&old], &[], &["-md", "sha256"]);
    assert_eq!(
        refused(verified(&cms, Policy::TODAY), 1),
        SignerError::Algorithm(AlgorithmError::WeakKey { bits: 1024, minimum: 2048 })
    );
}

#[test]
fn ecdsa_verifies_on_the_three_curves_with_and_without_attributes() {
    for (key, curve, md, digest) in [
        (Key::P256, Curve::P256, "sha256", DigestAlgorithm::Sha256),
        (Key::P384, Curve::P384, "sha384", DigestAlgorithm::Sha384),
        (Key::P521, Curve::P521, "sha512", DigestAlgorithm::Sha512),
    ] {
        let leaf = Request::new(LEAF_SUBJECT, key, LEAF).issued_by(&usual().intermediate);
        for args in [&["-md", md][..], &["-md", md, "-noattr"]] {
            let verified = verified(&cms_sign(&[&leaf], &[], args), Policy::TODAY).unwrap();
            assert_eq!(verified.signers[0].signature, SignatureAlgorithm::Ecdsa(curve, digest));
        }
    }
}

#[test]
fn without_signed_attributes_the_content_itself_is_signed() {
    for args in [&["-noattr"][..], &["-noattr", "-md", "sha512"]] {
        let cms = leaf_signs(args);
        let verified = verified(&cms, Policy::TODAY).unwrap();
        assert!(!verified.signers[0].has_signed_attributes);
        assert_eq!(verified.signers[0].signed_at_unix_s, None);

        let mut damaged = signed(&cms);
        damaged.content = [CONTENT, b"."].concat().into();
        assert!(matches!(refused(verify(&damaged, &Policy::TODAY), 1), SignerError::Signature { .. }));
    }
}

#[test]
fn attributes_of_a_signature_are_no_content_of_another() {
    // The signature over the attributes, presented as one without attributes over "content" that is them.
    let signer = smime::Identity::from_chain(&[usual().leaf.der()]).unwrap();
    let key = smime::RsaKey::from_pem(Key::Leaf.pem()).unwrap();
    let pending = signer.prepare(smime::sha256([CONTENT]), crate::openssl::NOW).unwrap();
    let attributes = pending.to_be_signed().to_vec();
    let signature = key.sign_digest(pending.digest()).unwrap();
    let cms = pending.assemble(&signature).unwrap();
    let stripped = crate::hostile::without_signed_attributes(&cms, &attributes);

    let mut forged = signed(&stripped);
    forged.content = attributes.into();
    assert_eq!(refused(verify(&forged, &Policy::TODAY), 1), SignerError::AttributesAsContent);
}

#[test]
fn a_signer_named_by_key_identifier_is_found() {
    assert_eq!(verified(&leaf_signs(&["-keyid"]), Policy::TODAY).unwrap().signers.len(), 1);
    assert_eq!(verified(&leaf_signs(&["-keyid", "-stream"]), Policy::TODAY).unwrap().signers.len(), 1);
}

#[test]
fn the_signers_certificate_must_be_inside() {
    let cms = leaf_signs(&["-nocerts"]);
    assert_eq!(
        refused(verified(&cms, Policy::TODAY), 1),
        SignerError::CertificateMissing { readable: 1, unreadable: 0 }
    );
}

#[test]
fn all_signers_are_verified_and_the_failing_one_is_named() {
    let second = Request::new("/C=IT/O=Beta/CN=Beta", Key::Second, LEAF).issued_by(&usual().intermediate);
    let both = cms_sign(&[&usual().leaf, &second], &[], &[]);
    let verified = verified(&both, Policy::TODAY).unwrap();
    assert_eq!(verified.signers.len(), 2);
    assert_ne!(verified.signers[0].certificate, verified.signers[1].certificate);

    // The last signature value belongs to the last signer of the set.
    let mut damaged = both.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(refused(verify(&signed(&damaged), &Policy::TODAY), 2), SignerError::Signature { .. }));
}

#[test]
fn signers_may_use_different_hashes() {
    let second = Request::new("/C=IT/O=Beta/CN=Beta", Key::P384, LEAF).issued_by(&usual().intermediate);
    let both = crate::hostile::merged(
        &cms_sign(&[&usual().leaf], &[], &["-md", "sha256"]),
        &cms_sign(&[&second], &[], &["-md", "sha384"]),
    );
    let mut digests: Vec<_> =
        verified(&both, Policy::TODAY).unwrap().signers.iter().map(|signer| signer.digest.name()).collect();
    digests.sort_unstable();
    assert_eq!(digests, ["sha-256", "sha-384"]);
}

#[test]
fn a_copy_with_lf_line_ends_verifies_over_the_canonical_form() {
    for args in [&["-md", "sha256"][..], &["-noattr"]] {
        let crlf = message(CONTENT, &leaf_signs(args), "application/pkcs7-signature");
        let lf: Vec<u8> = crlf.iter().copied().filter(|octet| *octet != b'\r').collect();
        let verified = verify(&smime::split_signed(&lf.into()).unwrap(), &Policy::TODAY).unwrap();
        assert!(verified.canonicalised, "{args:?}");
    }
}

#[test]
fn messages_of_openssl_verify_whatever_their_line_ends_and_names() {
    for (command, args) in [
        ("cms", &["-outform", "SMIME"][..]),
        ("cms", &["-outform", "SMIME", "-crlfeol"]),
        ("smime", &["-outform", "SMIME"]), // application/x-pkcs7-signature
        ("smime", &["-outform", "SMIME", "-stream", "-crlfeol"]),
    ] {
        let message = sign_with(command, &[&usual().leaf], &[&usual().intermediate], args);
        let signed = smime::split_signed(&message.into()).unwrap();
        assert_eq!(signed.content, CONTENT, "{command} {args:?}");
        let old_name = command == "smime";
        assert_eq!(signed.signature_type.contains("x-pkcs7"), old_name);
        assert_eq!(verify(&signed, &Policy::TODAY).unwrap().signers.len(), 1);
    }
}

#[test]
fn signing_certificate_attributes_are_checked() {
    // -cades writes signing-certificate (SHA-1) or, for other hashes, -v2.
    for md in ["sha1", "sha256", "sha512"] {
        let cms = leaf_signs(&["-cades", "-md", md]);
        assert_eq!(verified(&cms, Policy::HISTORIC).unwrap().signers.len(), 1, "{md}");
    }
    // Another certificate for the same key, issuer and serial number takes the signer's place.
    let attribute_of_first = smime::Identity::from_chain(&[usual().leaf.der()]).unwrap();
    let pending = attribute_of_first.prepare(smime::sha256([CONTENT]), crate::openssl::NOW).unwrap();
    let signature = smime::RsaKey::from_pem(Key::Leaf.pem()).unwrap().sign_digest(pending.digest()).unwrap();
    let cms = pending.assemble(&signature).unwrap();
    let replaced = crate::hostile::with_other_signature_on_certificate(&cms, &usual().leaf);
    assert_eq!(
        refused(verified(&replaced, Policy::TODAY), 1),
        SignerError::SigningCertificate { name: "signing-certificate-v2" }
    );
}

#[test]
fn a_content_type_other_than_data_is_refused() {
    let cms = leaf_signs(&["-econtent_type", "1.2.840.113549.1.9.16.1.4"]);
    assert_eq!(
        refused(verified(&cms, Policy::TODAY), 1),
        SignerError::ContentType {
            expected: "1.2.840.113549.1.7.1".into(),
            found: "1.2.840.113549.1.9.16.1.4".into()
        }
    );
}

#[test]
fn what_is_no_signed_data_says_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("content"), CONTENT).unwrap();
    let data = openssl(dir.path(), &["cms", "-data_create", "-in", "content", "-outform", "DER"]);
    assert_eq!(
        verified(&data, Policy::TODAY).unwrap_err(),
        VerifyError::NotSignedData { found: "1.2.840.113549.1.7.1".into() }
    );
    std::fs::write(dir.path().join("leaf.pem"), &usual().leaf.pem).unwrap();
    let only_certificates =
        openssl(dir.path(), &["crl2pkcs7", "-nocrl", "-certfile", "leaf.pem", "-outform", "DER"]);
    assert_eq!(verified(&only_certificates, Policy::TODAY).unwrap_err(), VerifyError::NoSigner);
}

#[test]
fn sizes_and_numbers_are_bounded() {
    let large = vec![0x30; smime::CMS_BYTES_MAX + 1];
    let mut message = signed(&leaf_signs(&[]));
    message.cms = large;
    assert!(matches!(verify(&message, &Policy::TODAY).unwrap_err(), VerifyError::TooLarge { .. }));

    let others: Vec<Issued> = vec![usual().intermediate.clone(); smime::CERTIFICATES_MAX];
    let references: Vec<&Issued> = others.iter().collect();
    let within = cms_sign(&[&usual().leaf], &references[..1], &[]);
    assert!(verified(&within, Policy::TODAY).is_ok());
    let crowded =
        crate::hostile::with_certificates(&within, &vec![usual().root.der(); smime::CERTIFICATES_MAX]);
    assert_eq!(
        verified(&crowded, Policy::TODAY).unwrap_err(),
        VerifyError::TooManyCertificates { maximum: smime::CERTIFICATES_MAX }
    );
    let crowd = crate::hostile::with_repeated_signer(&within, smime::SIGNERS_MAX + 1);
    assert_eq!(
        verified(&crowd, Policy::TODAY).unwrap_err(),
        VerifyError::TooManySigners { maximum: smime::SIGNERS_MAX }
    );
}

#[test]
fn an_unreadable_certificate_beside_the_signers_does_not_matter() {
    let cms = leaf_signs(&[]);
    let with_garbage = crate::hostile::with_certificates(&cms, &[vec![0x30, 3, 2, 1, 5]]);
    let verified = verified(&with_garbage, Policy::TODAY).unwrap();
    assert_eq!(verified.certificates.len(), 2, "leaf and intermediate; the third is passed over");
}

#[test]
fn an_authority_may_sign_too() {
    // Nothing in the mathematics cares for basicConstraints; the chain does.
    let authority = Request::new("/C=IT/O=Beta/CN=CA", Key::Second, AUTHORITY).self_signed();
    assert!(verified(&cms_sign(&[&authority], &[], &[]), Policy::TODAY).is_ok());
}
