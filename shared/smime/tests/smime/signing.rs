//! What we sign: openssl verifies it, and so do we.

use cms::cert::CertificateChoices;
use cms::content_info::ContentInfo;
use cms::signed_data::SignedData;
use der::{Decode, Encode};
use smime::{CertificateRequest, Identity, IdentityError, KeyError, Policy, RsaKey, SignError, verify};

use crate::openssl::{CONTENT, Key, LEAF, LEAF_SUBJECT, NOW, Request, message, openssl, signed, usual};

fn identity() -> Identity {
    Identity::from_chain(&[usual().leaf.der(), usual().intermediate.der()]).unwrap()
}

fn sign(at: i64) -> Vec<u8> {
    let pending = identity().prepare(smime::sha256([CONTENT]), at).unwrap();
    let signature = RsaKey::from_pem(Key::Leaf.pem()).unwrap().sign_digest(pending.digest()).unwrap();
    pending.assemble(&signature).unwrap()
}

#[test]
fn openssl_verifies_what_we_sign() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    let cms = sign(NOW);
    put("message.eml", &message(CONTENT, &cms, "application/pkcs7-signature"));
    put("message.p7s", &cms);
    put("content", CONTENT);
    put("root.pem", &usual().root.pem);
    for args in [
        &["cms", "-verify", "-CAfile", "root.pem", "-in", "message.eml"][..],
        &["smime", "-verify", "-CAfile", "root.pem", "-in", "message.eml"],
        // signing-certificate-v2 must be there and right.
        &["cms", "-verify", "-cades", "-CAfile", "root.pem", "-in", "message.eml"],
        &[
            "cms",
            "-verify",
            "-CAfile",
            "root.pem",
            "-inform",
            "DER",
            "-in",
            "message.p7s",
            "-binary",
            "-content",
            "content",
        ],
    ] {
        assert_eq!(openssl(dir.path(), args), CONTENT, "{args:?}");
    }
}

#[test]
fn we_verify_what_we_sign() {
    let verified = verify(&signed(&sign(NOW)), &Policy::TODAY).unwrap();
    assert!(!verified.canonicalised);
    assert_eq!(verified.signers[0].signed_at_unix_s, Some(NOW));
    assert_eq!(verified.signers[0].certificate, *identity().certificate());
    assert_eq!(verified.certificates.len(), 2);
}

#[test]
fn it_is_der_with_the_four_attributes_in_order() {
    let cms = sign(NOW);
    let info = ContentInfo::from_der(&cms).unwrap();
    let data: SignedData = info.content.decode_as().unwrap();
    assert_eq!(data.to_der().unwrap(), info.content.to_der().unwrap(), "DER, as the cms crate writes it");
    let mut inside: Vec<Vec<u8>> = Vec::new();
    for choice in data.certificates.unwrap().0.iter() {
        let CertificateChoices::Certificate(certificate) = choice else { panic!("a certificate") };
        inside.push(certificate.to_der().unwrap());
    }
    let mut expected: Vec<Vec<u8>> = identity().chain_der().map(<[u8]>::to_vec).collect();
    expected.sort();
    assert_eq!(inside, expected);
    let signer = data.signer_infos.0.get(0).unwrap();
    let oids: Vec<String> =
        signer.signed_attrs.as_ref().unwrap().iter().map(|attribute| attribute.oid.to_string()).collect();
    let mut sorted = oids.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        [
            "1.2.840.113549.1.9.16.2.47", // signing-certificate-v2
            "1.2.840.113549.1.9.3",       // content-type
            "1.2.840.113549.1.9.4",       // message-digest
            "1.2.840.113549.1.9.5",       // signing-time
        ]
    );
}

#[test]
fn the_same_inputs_give_the_same_octets() {
    assert_eq!(sign(NOW), sign(NOW));
    assert_ne!(sign(NOW), sign(NOW + 1));
}

#[test]
fn signing_time_is_utc_time_through_2049_and_generalized_after() {
    let last_of_2049 = 2_524_607_999;
    for (at, tag) in [(0, 0x17), (last_of_2049, 0x17), (last_of_2049 + 1, 0x18)] {
        let pending = identity().prepare([7; 32], at).unwrap();
        // signing-time 1.2.840.113549.1.9.5, SET, then the time
        let oid = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x05, 0x31];
        let octets = pending.to_be_signed();
        let start = octets.windows(oid.len()).position(|window| window == oid).unwrap();
        assert_eq!(octets[start + oid.len() + 1], tag, "{at}");
        let cms = sign(at);
        let verified = verify(&signed(&cms), &Policy::TODAY).unwrap();
        assert_eq!(verified.signers[0].signed_at_unix_s, Some(at));
    }
    assert_eq!(identity().prepare([7; 32], -1).unwrap_err(), SignError::Time { at: -1 });
    assert_eq!(identity().prepare([7; 32], i64::MAX).unwrap_err(), SignError::Time { at: i64::MAX });
}

#[test]
fn the_digest_is_of_what_is_to_be_signed() {
    let pending = identity().prepare([7; 32], NOW).unwrap();
    assert_eq!(pending.digest(), smime::sha256([pending.to_be_signed()]));
    assert!(pending.to_be_signed().len() < 4096, "fits KMS MessageType RAW too");
    assert_eq!(
        pending.assemble(&[0; 128]).unwrap_err(),
        SignError::SignatureSize { found: 128, expected: 256 }
    );
}

#[test]
fn sha256_goes_over_the_pieces_of_a_rope() {
    let mut rope = mime::Rope::new();
    rope.push(&CONTENT[..10]);
    rope.push(&CONTENT[10..]);
    assert_eq!(smime::sha256(rope.chunks()), smime::sha256([CONTENT]));
}

#[test]
fn a_pending_signature_waits_in_a_future() {
    fn is_send<T: Send + 'static>(_: &T) {}
    is_send(&identity().prepare([7; 32], NOW).unwrap());
}

#[test]
fn a_chain_must_be_a_chain_with_an_rsa_key() {
    let usual = usual();
    assert_eq!(Identity::from_chain(&[]).unwrap_err(), IdentityError::Length { found: 0 });
    assert!(matches!(
        Identity::from_chain(&[usual.leaf.der(), usual.root.der()]).unwrap_err(),
        IdentityError::Order { number: 2, .. }
    ));
    assert!(matches!(
        Identity::from_chain(&[b"0".to_vec()]).unwrap_err(),
        IdentityError::Certificate { number: 1, .. }
    ));
    for key in [Key::P256, Key::Rsa1024] {
        let other = Request::new(LEAF_SUBJECT, key, LEAF).issued_by(&usual.intermediate);
        assert!(matches!(Identity::from_chain(&[other.der()]).unwrap_err(), IdentityError::Key { .. }));
    }
}

#[test]
fn a_key_knows_its_certificate_and_hides_itself() {
    let key = RsaKey::from_pem(Key::Leaf.pem()).unwrap();
    assert!(key.belongs_to(&usual().leaf.certificate()));
    assert!(!key.belongs_to(&usual().root.certificate()));
    assert_eq!(format!("{key:?}"), "RsaKey(2048 bits)");
    assert_eq!(RsaKey::from_pem(b"niente").unwrap_err(), KeyError::Pem);
    assert_eq!(RsaKey::from_pem(Key::P256.pem()).unwrap_err(), KeyError::Rejected);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key.pem"), Key::Leaf.pem()).unwrap();
    let pkcs1 = openssl(dir.path(), &["rsa", "-in", "key.pem", "-traditional"]);
    assert!(pkcs1.starts_with(b"-----BEGIN RSA PRIVATE KEY"));
    assert!(RsaKey::from_pem(&pkcs1).unwrap().belongs_to(&usual().leaf.certificate()));
    let pkcs8 = openssl(dir.path(), &["pkcs8", "-topk8", "-nocrypt", "-in", "key.pem", "-outform", "DER"]);
    assert!(RsaKey::from_pkcs8_der(&pkcs8).unwrap().belongs_to(&usual().leaf.certificate()));
}

/// RFC 2986: what an authority makes a certificate from.
#[test]
fn openssl_verifies_a_certificate_request() {
    let dir = tempfile::tempdir().unwrap();
    let key = RsaKey::from_pem(Key::Leaf.pem()).unwrap();
    let (subject, mail) = ("CN=Posta Certificata,O=Alfa S.p.A.,C=IT", "posta-certificata@pec.alfa.example");
    let request = CertificateRequest::prepare(subject, mail, &key.public_key_info().unwrap()).unwrap();
    let signature = key.sign_digest(request.digest()).unwrap();
    let pem = request.clone().assemble(&signature).unwrap();
    std::fs::write(dir.path().join("request.pem"), pem).unwrap();
    let verify = ["req", "-verify", "-in", "request.pem", "-noout", "-text", "-nameopt", "RFC2253"];
    let text = String::from_utf8(openssl(dir.path(), &verify)).unwrap();
    for part in [subject, &format!("email:{mail}"), "Digital Signature", "sha256WithRSAEncryption"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Signed by another key, it proves nothing.
    let other = RsaKey::from_pem(Key::Second.pem()).unwrap().sign_digest(request.digest()).unwrap();
    std::fs::write(dir.path().join("request.pem"), request.assemble(&other).unwrap()).unwrap();
    let verify = ["req", "-verify", "-in", "request.pem", "-noout"];
    let output = std::process::Command::new("openssl").current_dir(dir.path()).args(verify).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("failure"), "{output:?}");
}
