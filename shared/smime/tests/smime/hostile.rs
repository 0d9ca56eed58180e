//! Damage and malice: every flipped bit is refused, and no octets make the verifier panic.

use std::sync::OnceLock;

use bytes::Bytes;
use cms::cert::CertificateChoices;
use cms::content_info::ContentInfo;
use cms::signed_data::{SignedData, SignerInfo};
use der::asn1::{Any, BitString, SetOfVec};
use der::{Decode, Encode};
use proptest::prelude::*;
use smime::{Anchors, Certificate, Policy, SignerError, Verifier, VerifyError, verify};

use crate::openssl::{CONTENT, Issued, NOW, cms_sign, message, signed, usual};

/// The SignedData of a CMS, edited with the `cms` crate and written again.
fn edit(cms: &[u8], change: impl FnOnce(&mut SignedData)) -> Vec<u8> {
    let info = ContentInfo::from_der(cms).unwrap();
    let mut data: SignedData = info.content.decode_as().unwrap();
    change(&mut data);
    ContentInfo { content_type: info.content_type, content: Any::encode_from(&data).unwrap() }
        .to_der()
        .unwrap()
}

fn edit_signer(cms: &[u8], change: impl FnOnce(&mut SignerInfo)) -> Vec<u8> {
    edit(cms, |data| {
        let mut signer = data.signer_infos.0.get(0).unwrap().clone();
        change(&mut signer);
        data.signer_infos = vec![signer].try_into().unwrap();
    })
}

/// The signature that was made over attributes, without them.
pub fn without_signed_attributes(cms: &[u8], attributes: &[u8]) -> Vec<u8> {
    edit_signer(cms, |signer| {
        assert_eq!(signer.signed_attrs.take().unwrap().to_der().unwrap(), attributes);
    })
}

/// The signer's certificate with another signature on it: same key, issuer and serial number, other octets.
pub fn with_other_signature_on_certificate(cms: &[u8], signer: &Issued) -> Vec<u8> {
    let der = signer.der();
    let mut other = der.clone();
    *other.last_mut().unwrap() ^= 1;
    let at = cms.windows(der.len()).position(|window| window == der).unwrap();
    [&cms[..at], &other, &cms[at + der.len()..]].concat()
}

/// The CMS with more in its set of certificates; nothing sorted, nothing merged.
pub fn with_certificates(cms: &[u8], more: &[Vec<u8>]) -> Vec<u8> {
    // Offsets of the [0] certificates by walking: ContentInfo, [0], SignedData, three fields.
    let info = ContentInfo::from_der(cms).unwrap();
    let data: SignedData = info.content.decode_as().unwrap();
    let mut set: Vec<u8> =
        data.certificates.unwrap().0.iter().flat_map(|choice| choice.to_der().unwrap()).collect();
    set.extend(more.iter().flatten());
    let fields = [
        data.version.to_der().unwrap(),
        data.digest_algorithms.to_der().unwrap(),
        data.encap_content_info.to_der().unwrap(),
        tlv(0xa0, &set),
        data.signer_infos.to_der().unwrap(),
    ]
    .concat();
    rewrap(&fields)
}

/// The CMS with its first signer several times.
pub fn with_repeated_signer(cms: &[u8], times: usize) -> Vec<u8> {
    let info = ContentInfo::from_der(cms).unwrap();
    let data: SignedData = info.content.decode_as().unwrap();
    let signer = data.signer_infos.0.get(0).unwrap().to_der().unwrap();
    let fields = [
        data.version.to_der().unwrap(),
        data.digest_algorithms.to_der().unwrap(),
        data.encap_content_info.to_der().unwrap(),
        tlv(0x31, &signer.repeat(times)),
    ]
    .concat();
    rewrap(&fields)
}

fn rewrap(fields: &[u8]) -> Vec<u8> {
    let oid = const_oid::db::rfc5911::ID_SIGNED_DATA.to_der().unwrap();
    tlv(0x30, &[oid, tlv(0xa0, &tlv(0x30, fields))].concat())
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    Any::new(der::Tag::from_der(&[tag]).unwrap(), content).unwrap().to_der().unwrap()
}

/// Two signatures over one content as one CMS with both signers.
pub fn merged(first: &[u8], second: &[u8]) -> Vec<u8> {
    let info = ContentInfo::from_der(second).unwrap();
    let other: SignedData = info.content.decode_as().unwrap();
    edit(first, |data| {
        let certificates = data.certificates.as_mut().unwrap();
        other
            .certificates
            .unwrap()
            .0
            .iter()
            .for_each(|choice| certificates.0.insert(choice.clone()).unwrap());
        other.digest_algorithms.iter().for_each(|oid| data.digest_algorithms.insert(oid.clone()).unwrap());
        other.signer_infos.0.iter().for_each(|signer| data.signer_infos.0.insert(signer.clone()).unwrap());
    })
}

/// The same in BER at its loosest: indefinite lengths everywhere, octet strings in two segments. Certificates stay.
fn loosened(element: &[u8], certificates: &[Vec<u8>]) -> Vec<u8> {
    if certificates.iter().any(|certificate| certificate == element) {
        return element.to_vec();
    }
    let any = der::asn1::AnyRef::from_der(element).unwrap();
    if element[0] == 0x04 {
        let (front, back) = any.value().split_at(any.value().len() / 2);
        return [&[0x24, 0x80][..], &tlv(0x04, front), &tlv(0x04, back), &[0, 0]].concat();
    }
    if element[0] & 0x20 == 0 {
        return element.to_vec();
    }
    let inside: Vec<u8> =
        children(any.value()).iter().flat_map(|child| loosened(child, certificates)).collect();
    [&[element[0], 0x80][..], &inside, &[0, 0]].concat()
}

fn children(mut content: &[u8]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    while !content.is_empty() {
        let (piece, after) = der::asn1::AnyRef::from_der_partial(content).unwrap();
        pieces.push(piece.to_der().unwrap());
        content = after;
    }
    pieces
}

/// One usual signature, made once.
fn usual_cms() -> &'static [u8] {
    static CMS: OnceLock<Vec<u8>> = OnceLock::new();
    CMS.get_or_init(|| cms_sign(&[&usual().leaf], &[&usual().intermediate], &[]))
}

fn accepted(content: impl Into<Bytes>, cms: &[u8]) -> bool {
    let mut message = signed(usual_cms());
    message.content = content.into();
    message.cms = cms.to_vec();
    verify(&message, &Policy::HISTORIC).is_ok()
}

#[test]
fn every_flipped_bit_of_the_content_is_refused() {
    assert!(accepted(CONTENT, usual_cms()));
    for bit in 0..CONTENT.len() * 8 {
        let mut content = CONTENT.to_vec();
        content[bit / 8] ^= 1 << (bit % 8);
        assert!(!accepted(content, usual_cms()), "bit {bit}");
    }
}

#[test]
fn a_flipped_bit_names_the_digest_expected_and_found() {
    let mut message = signed(usual_cms());
    message.content = [CONTENT, b" "].concat().into();
    let VerifyError::Signer { source: SignerError::MessageDigest { expected, found, .. }, .. } =
        verify(&message, &Policy::TODAY).unwrap_err()
    else {
        panic!("expected the digests to differ")
    };
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    assert_eq!(expected, hex(&smime::sha256([CONTENT])));
    assert_eq!(found, hex(&smime::sha256([CONTENT, b" "])));
}

#[test]
fn every_flipped_bit_of_the_signature_value_is_refused() {
    let cms = usual_cms();
    let start = cms.len() - 256; // the value ends the CMS: there are no unsigned attributes
    for bit in 0..256 * 8 {
        let mut damaged = cms.to_vec();
        damaged[start + bit / 8] ^= 1 << (bit % 8);
        assert!(!accepted(CONTENT, &damaged), "bit {bit}");
    }
}

#[test]
fn every_flipped_bit_of_the_signed_attributes_is_refused() {
    let cms = usual_cms();
    let info = ContentInfo::from_der(cms).unwrap();
    let data: SignedData = info.content.decode_as().unwrap();
    let attributes = data.signer_infos.0.get(0).unwrap().signed_attrs.as_ref().unwrap().to_der().unwrap();
    let content = &attributes[attributes.len() - 100..]; // the end holds message-digest and more
    let digest = smime::sha256([CONTENT]);
    assert!(attributes.windows(32).any(|window| window == digest));
    let find = |part: &[u8]| cms.windows(part.len()).position(|window| window == part).unwrap();
    for (start, length) in [(find(content), content.len()), (find(&digest), digest.len())] {
        for bit in 0..length * 8 {
            let mut damaged = cms.to_vec();
            damaged[start + bit / 8] ^= 1 << (bit % 8);
            assert!(!accepted(CONTENT, &damaged), "bit {bit} from {start}");
        }
    }
}

fn refusal(cms: &[u8]) -> SignerError {
    match verify(&signed(cms), &Policy::TODAY).unwrap_err() {
        VerifyError::Signer { source, .. } => source,
        other => panic!("expected a signer to be refused, got {other:?}"),
    }
}

#[test]
fn ber_at_its_loosest_verifies_and_a_flipped_bit_does_not() {
    let certificates = [usual().leaf.der(), usual().intermediate.der()];
    for args in [&["-md", "sha256"][..], &["-noattr"], &["-keyid"], &["-cades"]] {
        let ber = loosened(&cms_sign(&[&usual().leaf], &[&usual().intermediate], args), &certificates);
        assert!(accepted(CONTENT, &ber), "{args:?}");
        assert!(!accepted([CONTENT, b"."].concat(), &ber), "{args:?}");
    }
}

#[test]
fn mandatory_attributes_must_be_there_once() {
    for (oid, name) in [
        (const_oid::db::rfc5911::ID_CONTENT_TYPE, "content-type"),
        (const_oid::db::rfc5911::ID_MESSAGE_DIGEST, "message-digest"),
    ] {
        let missing = edit_signer(usual_cms(), |signer| {
            let kept: Vec<_> =
                signer.signed_attrs.as_ref().unwrap().iter().filter(|a| a.oid != oid).cloned().collect();
            signer.signed_attrs = Some(SetOfVec::try_from(kept).unwrap());
        });
        assert_eq!(refusal(&missing), SignerError::AttributeMissing { name });

        let twice = edit_signer(usual_cms(), |signer| {
            let mut all: Vec<_> = signer.signed_attrs.as_ref().unwrap().iter().cloned().collect();
            for attribute in all.iter_mut().filter(|attribute| attribute.oid == oid) {
                attribute.values.insert(Any::null()).unwrap();
            }
            signer.signed_attrs = Some(SetOfVec::try_from(all).unwrap());
        });
        assert_eq!(refusal(&twice), SignerError::AttributeRepeated { name });
    }
}

#[test]
fn attributes_signed_in_the_order_sent_and_in_sorted_order_both_verify() {
    let identity = smime::Identity::from_chain(&[usual().leaf.der()]).unwrap();
    let key = smime::RsaKey::from_pem(usual().leaf.key.pem()).unwrap();
    let pending = identity.prepare(smime::sha256([CONTENT]), NOW).unwrap();
    let sorted = pending.to_be_signed().to_vec();
    let reversed = {
        let mut pieces = children(der::asn1::AnyRef::from_der(&sorted).unwrap().value());
        pieces.reverse();
        let content = pieces.concat();
        let mut set = sorted[..sorted.len() - content.len()].to_vec();
        set.extend_from_slice(&content);
        set
    };
    assert_ne!(sorted, reversed);
    let sorted_cms = pending.clone().assemble(&key.sign_digest(pending.digest()).unwrap()).unwrap();
    assert!(accepted(CONTENT, &sorted_cms));
    // Sent in another order than signed: BER, the signature is over the DER.
    let sent_reversed = replace(&sorted_cms, &sorted[1..], &reversed[1..]);
    assert!(accepted(CONTENT, &sent_reversed));
    // Signed in the order sent.
    let value = key.sign_digest(smime::sha256([&reversed])).unwrap();
    let signed_reversed = replace(&pending.assemble(&value).unwrap(), &sorted[1..], &reversed[1..]);
    assert!(accepted(CONTENT, &signed_reversed));
}

fn replace(octets: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = octets.windows(from.len()).position(|window| window == from).unwrap();
    [&octets[..at], to, &octets[at + from.len()..]].concat()
}

/// A signature of ours with one more attribute: cmsAlgorithmProtection (RFC 6211) naming this hash.
fn with_algorithm_protection(digest: const_oid::ObjectIdentifier) -> Vec<u8> {
    let cms = usual_cms();
    let key = smime::RsaKey::from_pem(usual().leaf.key.pem()).unwrap();
    edit_signer(cms, |signer| {
        let algorithm = |oid: const_oid::ObjectIdentifier| tlv(0x30, &oid.to_der().unwrap());
        let signature = tlv(0xa1, &signer.signature_algorithm.oid.to_der().unwrap());
        let value = tlv(0x30, &[algorithm(digest), signature].concat());
        let attribute = [
            const_oid::ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.52").to_der().unwrap(),
            tlv(0x31, &value),
        ]
        .concat();
        let attribute = x509_cert::attr::Attribute::from_der(&tlv(0x30, &attribute)).unwrap();
        let mut all: Vec<_> = signer
            .signed_attrs
            .as_ref()
            .unwrap()
            .iter()
            .filter(|attribute| attribute.oid.to_string() != "1.2.840.113549.1.9.52")
            .cloned()
            .collect();
        all.push(attribute);
        let set = SetOfVec::try_from(all).unwrap();
        let value = key.sign_digest(smime::sha256([set.to_der().unwrap()])).unwrap();
        signer.signed_attrs = Some(set);
        signer.signature = der::asn1::OctetString::new(value).unwrap();
    })
}

#[test]
fn algorithm_protection_must_agree_with_the_algorithms_used() {
    let agrees = with_algorithm_protection(const_oid::db::rfc5912::ID_SHA_256);
    verify(&signed(&agrees), &Policy::TODAY).unwrap();
    let differs = with_algorithm_protection(const_oid::db::rfc5912::ID_SHA_512);
    assert!(matches!(refusal(&differs), SignerError::AlgorithmProtection { field: "digestAlgorithm", .. }));
}

#[test]
fn a_verifier_agrees_with_the_plain_function_and_forgets_no_damage() {
    let verifier = Verifier::new(Anchors::from_certificates([usual().root.certificate()]));
    let good = signed(usual_cms());
    for _ in 0..2 {
        let verified = verifier.verify(&good, &Policy::TODAY).unwrap();
        let signer = &verified.signers[0].certificate;
        verifier.check_chain(signer, &verified.certificates, NOW, &Policy::TODAY).unwrap();
        let mut bad = good.clone();
        bad.content = Bytes::from_static(b"altro");
        assert_eq!(
            verifier.verify(&bad, &Policy::TODAY).unwrap_err(),
            verify(&bad, &Policy::TODAY).unwrap_err()
        );
    }
}

#[test]
fn a_certificate_with_a_false_signature_is_readable_and_untrusted() {
    let mut certificate = x509_cert::Certificate::from_der(&usual().leaf.der()).unwrap().to_der().unwrap();
    *certificate.last_mut().unwrap() ^= 1;
    assert!(BitString::from_bytes(&certificate).is_ok());
    let certificate = Certificate::from_der(&certificate).unwrap();
    let verifier = Verifier::new(Anchors::from_certificates([usual().intermediate.certificate()]));
    assert!(matches!(
        verifier.check_chain(&certificate, &[], NOW, &Policy::TODAY),
        Err(smime::ChainError::Signature { .. })
    ));
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn arbitrary_octets_never_panic(octets in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut message = signed(usual_cms());
        message.cms = octets.clone();
        prop_assert!(verify(&message, &Policy::HISTORIC).is_err());
        prop_assert!(smime::open_signed_data(&octets, &Policy::HISTORIC).is_err());
        prop_assert!(Certificate::from_der(&octets).is_err());
        let _ = Certificate::from_pem(&octets);
        let _ = smime::split_signed(&Bytes::from(octets));
    }

    #[test]
    fn mutated_signatures_never_panic_and_never_change_the_signer(
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
        stream in any::<bool>(),
    ) {
        static STREAMED: OnceLock<Vec<u8>> = OnceLock::new();
        let streamed = || STREAMED.get_or_init(|| cms_sign(&[&usual().leaf], &[&usual().intermediate], &["-stream"]));
        let mut cms = if stream { streamed().clone() } else { usual_cms().to_vec() };
        for (index, value) in edits {
            let at = index.index(cms.len());
            cms[at] = value;
        }
        if let Some(cut) = cut {
            cms.truncate(cut.index(cms.len()));
        }
        let mut message = signed(usual_cms());
        message.cms = cms;
        if let Ok(verified) = verify(&message, &Policy::HISTORIC) {
            // What is outside the signature may change: other certificates, or the signature on the signer's.
            let signer = &verified.signers[0].certificate;
            prop_assert_eq!(signer.key().clone(), usual().leaf.certificate().key().clone());
            let verifier = Verifier::new(Anchors::from_certificates([usual().root.certificate()]));
            if verifier.check_chain(signer, &verified.certificates, NOW, &Policy::HISTORIC).is_ok() {
                prop_assert_eq!(signer.clone(), usual().leaf.certificate());
            }
        }
    }

    #[test]
    fn mutated_certificates_never_panic(
        index in any::<proptest::sample::Index>(),
        value in any::<u8>(),
    ) {
        let mut der = usual().intermediate.der();
        let at = index.index(der.len());
        der[at] = value;
        if let Ok(certificate) = Certificate::from_der(&der) {
            let verifier = Verifier::new(Anchors::from_certificates([certificate.clone()]));
            let _ = verifier.check_chain(&usual().leaf.certificate(), &[certificate], NOW, &Policy::HISTORIC);
        }
    }

    #[test]
    fn mutated_messages_never_panic(
        index in any::<proptest::sample::Index>(),
        value in any::<u8>(),
    ) {
        let mut octets = message(CONTENT, usual_cms(), "application/pkcs7-signature").to_vec();
        let at = index.index(octets.len());
        octets[at] = value;
        if let Ok(signed) = smime::split_signed(&Bytes::from(octets))
            && let Ok(verified) = verify(&signed, &Policy::TODAY)
        {
            prop_assert!(verified.canonicalised || signed.content == CONTENT);
        }
    }
}

#[test]
fn a_set_with_other_choices_than_certificates_is_passed_over() {
    // [1] attribute certificate, obsolete: skipped, not refused.
    let with_other = with_certificates(usual_cms(), &[vec![0xa1, 2, 5, 0]]);
    let verified = verify(&signed(&with_other), &Policy::TODAY).unwrap();
    assert_eq!(verified.certificates.len(), 2);
    let readable = edit(usual_cms(), |data| {
        let all: Vec<CertificateChoices> = data.certificates.as_ref().unwrap().0.iter().cloned().collect();
        assert_eq!(all.len(), 2);
    });
    assert_eq!(readable, usual_cms(), "editing changes nothing by itself");
}
