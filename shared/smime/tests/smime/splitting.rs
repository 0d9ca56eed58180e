//! V1 (spec 5.2): is there a signature at top level, and where.

use bytes::Bytes;
use smime::{NotSigned, split_opaque, split_signed};

use crate::openssl::{CONTENT, message};

const TYPE: &str = "application/pkcs7-signature";

fn edited(from: &str, to: &str) -> Bytes {
    let text = String::from_utf8(message(CONTENT, b"0\x03\x02\x01\x05", TYPE).to_vec()).unwrap();
    assert!(text.contains(from));
    Bytes::from(text.replace(from, to))
}

#[test]
fn content_is_a_slice_of_the_message_without_the_delimiters_line_end() {
    let message = message(CONTENT, b"0\x03\x02\x01\x05", TYPE);
    let signed = split_signed(&message).unwrap();
    assert_eq!(signed.content, CONTENT);
    assert!(message.as_ptr_range().contains(&signed.content.as_ptr()), "not copied");
    assert_eq!(signed.cms, b"0\x03\x02\x01\x05");
    assert_eq!(signed.micalg.as_deref(), Some("sha-256"));
}

#[test]
fn types_compare_without_case_and_protocol_may_be_absent() {
    for (from, to) in [
        ("multipart/signed", "Multipart/SIGNED"),
        ("protocol=\"application/pkcs7-signature\"", "protocol=\"Application/X-PKCS7-Signature\""),
        ("protocol=\"application/pkcs7-signature\"; ", ""),
        ("Content-Type: application/pkcs7-signature", "content-type: application/X-pkcs7-signature"),
        ("Content-Transfer-Encoding: base64", "Content-Transfer-Encoding: BASE64"),
    ] {
        assert!(split_signed(&edited(from, to)).is_ok(), "{to}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let text = Bytes::from_static(b"Content-Type: text/plain\r\n\r\nciao\r\n");
    assert_eq!(
        split_signed(&text).unwrap_err(),
        NotSigned::TopLevel { expected: "multipart/signed", found: "text/plain".into() }
    );
    let pgp = edited("protocol=\"application/pkcs7-signature\"", "protocol=\"application/pgp-signature\"");
    assert_eq!(
        split_signed(&pgp).unwrap_err(),
        NotSigned::Protocol { found: "application/pgp-signature".into() }
    );
    let other = edited("Content-Type: application/pkcs7-signature", "Content-Type: application/pdf");
    assert_eq!(
        split_signed(&other).unwrap_err(),
        NotSigned::SignaturePart { found: "application/pdf".into() }
    );
    assert_eq!(split_signed(&edited("boundary=", "border=")).unwrap_err(), NotSigned::NoBoundary);
    let one =
        edited("\r\n--limite\r\nContent-Type: application/pkcs7", "\r\nContent-Type: application/pkcs7");
    assert_eq!(split_signed(&one).unwrap_err(), NotSigned::Parts { found: 1 });
    let three = edited("\r\n--limite--", "\r\n--limite\r\n\r\nterzo\r\n--limite--");
    assert_eq!(split_signed(&three).unwrap_err(), NotSigned::Parts { found: 3 });
    assert_eq!(split_signed(&edited("MAMCAQU=", "M*MCAQU=")).unwrap_err(), NotSigned::Encoding);
}

#[test]
fn a_signature_larger_than_the_bound_is_not_decoded() {
    let huge = message(CONTENT, &vec![0; smime::CMS_BYTES_MAX * 2], TYPE);
    assert!(matches!(split_signed(&huge).unwrap_err(), NotSigned::TooLarge { .. }));
}

#[test]
fn an_opaque_message_gives_its_cms() {
    let opaque = |kind: &str, name: &str| {
        let body = "MAMCAQU=\r\n";
        Bytes::from(format!(
            "Content-Type: application/{name}; {kind}name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n{body}"
        ))
    };
    for message in [
        opaque("smime-type=signed-data; ", "pkcs7-mime"),
        opaque("smime-type=Signed-Data; ", "x-pkcs7-mime"),
        opaque("", "pkcs7-mime"),
    ] {
        assert_eq!(split_opaque(&message).unwrap(), b"0\x03\x02\x01\x05");
    }
    let encrypted = opaque("smime-type=enveloped-data; ", "pkcs7-mime");
    assert!(matches!(split_opaque(&encrypted).unwrap_err(), NotSigned::TopLevel { .. }));
}

#[test]
fn what_came_is_shown_short_and_without_control_characters() {
    let long = Bytes::from(format!("Content-Type: text/{}\r\n\r\n", "x".repeat(50_000)));
    let NotSigned::TopLevel { found, .. } = split_signed(&long).unwrap_err() else { panic!("top level") };
    assert_eq!(found.len(), 100);
    assert!(!format!("{:?}", split_signed(&message(CONTENT, b"0", TYPE)).unwrap()).contains("Ricevuta"));
}
