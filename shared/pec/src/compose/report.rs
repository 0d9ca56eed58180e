//! Delivery status notifications (RFC 3464, in the frame of RFC 6522): a text for people, fields for machines, and the
//! header of what was not delivered. Never its body: it may be large, and whatever was in it goes nowhere from here.

use bytes::Bytes;
use mime::{Headers, Limits, Rope, encode};

use super::{ComposeError, body, head};
use crate::{
    Document,
    document::{FailedRecipient, Matter},
    text::Readable,
};

/// Octets of a header that are returned: a longer one is cut behind its last field that fits.
const RETURNED_OCTETS_MAX: usize = 64 * 1024;
/// Characters of a remote answer that are written.
const ANSWER_CHARS_MAX: usize = 900;

pub(super) fn report(document: &Document, source: &Bytes, boundary: &str) -> Result<Rope, ComposeError> {
    let Matter::DeliveryStatus { failures, arrived_at } = &document.matter else {
        return Err(ComposeError::Unsigned(document.kind().name()));
    };
    let readable = Readable::new(document, &document.letter.sender);
    let delimiter = |end: &str| format!("--{boundary}{end}\r\n");
    let mut report = Rope::from(head::of_report(document, boundary));
    report.push(delimiter(""));
    report.push(body::text_part("text/plain", &readable.plain()));
    report.push(format!("\r\n{}Content-Type: message/delivery-status\r\n\r\n", delimiter("")));
    report.push(status(document, failures, &arrived_at.header()));
    if let Some(returned) = returned(source) {
        report.push(format!("\r\n{}", delimiter("")));
        report.push(returned);
    }
    report.push(format!("\r\n{}", delimiter("--")));
    Ok(report)
}

/// RFC 3464 §2.2, §2.3
fn status(document: &Document, failures: &[FailedRecipient], arrived: &str) -> Vec<u8> {
    let about_the_message = vec![
        ("Reporting-MTA", format!("dns; {}", document.issuer.address.domain())),
        ("Arrival-Date", arrived.to_owned()),
    ];
    let about_a_recipient = |failed: &FailedRecipient| {
        let mut fields = vec![
            ("Final-Recipient", format!("rfc822; {}", failed.recipient)),
            ("Action", "failed".to_owned()),
            ("Status", failed.code.clone()),
        ];
        if let Some(answer) = &failed.answer {
            let answer: String = answer.chars().take(ANSWER_CHARS_MAX).collect();
            fields.push(("Diagnostic-Code", format!("smtp; {answer}")));
        }
        fields
    };
    let groups: Vec<_> =
        std::iter::once(about_the_message).chain(failures.iter().map(about_a_recipient)).collect();
    head::status_fields(&groups)
}

/// RFC 6522 §4: the header as it is, encoded where it is not ASCII. `None` for what has no readable header.
fn returned(source: &Bytes) -> Option<Vec<u8>> {
    let (headers, _) = Headers::parse(source, &Limits::default()).ok()?;
    let mut octets = Vec::new();
    for field in headers.iter() {
        if octets.len() + field.raw().len() > RETURNED_OCTETS_MAX {
            break;
        }
        octets.extend_from_slice(field.raw());
    }
    let travels = octets.is_ascii() && mime::lines::check(&octets, &Limits::default()).is_ok();
    let (encoding, octets) =
        if travels { ("7bit", octets) } else { ("quoted-printable", encode::quoted_printable(&octets)) };
    let mut part = body::part_head("text/rfc822-headers", encoding).into_bytes();
    part.extend_from_slice(b"\r\n");
    part.extend(octets);
    Some(part)
}

#[cfg(test)]
mod tests {
    use mime::Entity;

    use super::*;
    use crate::{Instant, Kind, fixtures};

    fn document() -> Document {
        let failed = |to: &str, code: &str, answer: Option<&str>| FailedRecipient {
            recipient: fixtures::address(to),
            code: code.to_owned(),
            answer: answer.map(str::to_owned),
        };
        Document {
            to: "utente@gamma.example".to_owned(),
            matter: Matter::DeliveryStatus {
                failures: vec![
                    failed("ufficio@pec.beta.example", "5.7.1", None),
                    failed("info@delta.example", "5.1.1", Some("550 5.1.1 no\r\nX-Ricevuta: accettazione")),
                ],
                arrived_at: Instant::parse("2026-09-19T15:41:19+02:00").unwrap(),
            },
            ..fixtures::document(Kind::Acceptance)
        }
    }

    fn parts(source: &'static [u8]) -> (Entity, String) {
        let report = report(&document(), &Bytes::from_static(source), "=_b").unwrap().to_bytes();
        assert!(report.is_ascii() && report.split(|b| *b == b'\n').all(|line| line.len() <= 998));
        let text = String::from_utf8(report.to_vec()).unwrap();
        (Entity::parse(&report, &Limits::default()).unwrap(), text)
    }

    /// RFC 3464 §2, RFC 6522 §3
    #[test]
    fn a_report_has_its_three_parts() {
        let (entity, text) = parts(b"Subject: Ciao\r\nFrom: utente@gamma.example\r\n\r\nsecret\r\n");
        let kind = entity.content_type();
        assert_eq!(
            (kind.media(), kind.get("report-type")),
            (("multipart", "report"), Some("delivery-status"))
        );
        let media: Vec<String> = entity.children().iter().map(|p| p.content_type().value.clone()).collect();
        assert_eq!(media, ["text/plain", "message/delivery-status", "text/rfc822-headers"]);
        let status = String::from_utf8(entity.children()[1].body().to_vec()).unwrap();
        let expected = "Reporting-MTA: dns; pec.alfa.example\r\n\
            Arrival-Date: Sat, 19 Sep 2026 15:41:19 +0200\r\n\r\n\
            Final-Recipient: rfc822; ufficio@pec.beta.example\r\nAction: failed\r\nStatus: 5.7.1\r\n\r\n\
            Final-Recipient: rfc822; info@delta.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\
            Diagnostic-Code: smtp; 550 5.1.1 noX-Ricevuta: accettazione\r\n\r\n";
        assert_eq!(status, expected);
        let returned = entity.children()[2].decoded_body().unwrap();
        assert_eq!(returned, &b"Subject: Ciao\r\nFrom: utente@gamma.example\r\n"[..]);
        assert!(!text.contains("secret"), "the body is not returned");
        assert!(text.contains("\r\nAuto-Submitted: auto-replied\r\n"));
        assert!(text.contains("\r\nFrom: postmaster@pec.alfa.example\r\n"), "{text}");
        assert!(!text.contains("\r\nX-Ricevuta"), "no PEC message");
    }

    #[test]
    fn the_text_says_why_in_two_languages() {
        let (entity, _) = parts(b"Subject: Ciao\r\n\r\n");
        let text = entity.children()[0].decoded_body().unwrap();
        let text: String = text.iter().map(|b| char::from(*b)).collect();
        for line in [
            "ufficio@pec.beta.example (5.7.1 - la casella non accetta posta ordinaria)",
            "info@delta.example (5.1.1 - indirizzo non valido)",
            "ufficio@pec.beta.example (5.7.1 - the mailbox takes certified mail only)",
            "info@delta.example (5.1.1 - no such mailbox)",
        ] {
            assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} in {text}");
        }
    }

    #[test]
    fn a_header_that_does_not_travel_is_encoded_and_a_long_one_is_cut() {
        let (entity, _) = parts("Subject: è\r\n\r\n".as_bytes());
        assert_eq!(entity.children()[2].decoded_body().unwrap(), "Subject: è\r\n".as_bytes());
        let long = format!("Subject: a\r\n{}\r\n", format!("X-Long: {}\r\n", "x".repeat(900)).repeat(100));
        let returned = returned(&Bytes::from(long)).unwrap();
        assert!((RETURNED_OCTETS_MAX - 1000..RETURNED_OCTETS_MAX + 200).contains(&returned.len()));
    }

    #[test]
    fn only_reports_are_composed_without_a_signature() {
        let source = Bytes::from_static(b"a: b\r\n\r\n");
        assert!(crate::compose(&document(), Some(&source)).is_err());
        assert!(crate::report(&fixtures::document(Kind::Acceptance), Some(&source)).is_err());
        assert!(crate::report(&document(), None).is_err());
    }
}
