use std::collections::HashSet;

use mime::Entity;

use super::*;
use crate::{
    Kind,
    document::{Matter, ReceiptForm},
    fixtures, read,
};

/// The header of a composed message, as text.
fn head_of(document: &Document, source: Option<&Bytes>) -> String {
    let draft = compose(document, source).unwrap();
    String::from_utf8(draft.head).unwrap()
}

fn sealed(document: &Document, source: Option<&Bytes>) -> Bytes {
    compose(document, source).unwrap().seal(b"no signature").to_bytes()
}

/// The two lines that all messages end their header with.
const SIGNED: &str = "MIME-Version: 1.0\n\
    Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\";\n \
    micalg=sha-256; boundary=\"=_53b9528c44581715eb68c859955419c7\"\n\n";

fn expect(kind: Kind, head: &str) {
    let source = fixtures::source(kind);
    let expected = format!("{head}{SIGNED}").replace('\n', "\r\n");
    assert_eq!(head_of(&fixtures::document(kind), source.as_ref()), expected, "{}", kind.name());
}

/// Spec 2.3: the header of each receipt and notice.
#[test]
fn receipts_and_notices_have_the_header_of_the_table() {
    let table = [
        (Kind::NonAcceptance, "non-accettazione", "", "AVVISO DI NON ACCETTAZIONE: ", "alfa"),
        (
            Kind::NonAcceptanceVirus,
            "non-accettazione",
            "X-VerificaSicurezza: errore\n",
            "AVVISO DI NON ACCETTAZIONE PER VIRUS: ",
            "alfa",
        ),
        (Kind::Acceptance, "accettazione", "", "ACCETTAZIONE: ", "alfa"),
        (
            Kind::TimeoutFirst,
            "preavviso-errore-consegna",
            "",
            "AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO: ",
            "alfa",
        ),
        (
            Kind::TimeoutLast,
            "preavviso-errore-consegna",
            "",
            "AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO: ",
            "alfa",
        ),
        (Kind::TakeCharge, "presa-in-carico", "", "PRESA IN CARICO: ", "beta"),
        (
            Kind::VirusDetection,
            "rilevazione-virus",
            "X-Mittente: mittente@pec.alfa.example\n",
            "PROBLEMA DI SICUREZZA: ",
            "beta",
        ),
        (
            Kind::NonDeliveryVirus,
            "errore-consegna",
            "X-VerificaSicurezza: errore\n",
            "AVVISO DI MANCATA CONSEGNA PER VIRUS: ",
            "alfa",
        ),
        (Kind::Delivery, "avvenuta-consegna", "", "CONSEGNA: ", "beta"),
        (Kind::NonDelivery, "errore-consegna", "", "AVVISO DI MANCATA CONSEGNA: ", "beta"),
    ];
    for (kind, value, extra, prefix, domain) in table {
        let to = match kind {
            Kind::TakeCharge | Kind::VirusDetection => "servizio",
            _ => "mittente",
        };
        expect(
            kind,
            &format!(
                "X-Ricevuta: {value}\n{extra}Date: Sat, 19 Sep 2026 15:41:19 +0200\n\
                 Subject: {prefix}Invio documenti\n\
                 From: posta-certificata@pec.{domain}.example\nTo: {to}@pec.alfa.example\n\
                 X-Riferimento-Message-ID: <m_jQaMqbpy0CRWKphL@client.example>\n\
                 Message-ID: <{}@pec.{domain}.example>\n",
                kind.name()
            ),
        );
    }
}

/// Spec 2.5 M4, RFC 6109 §3.1.5: Received, To, Cc, Return-Path and Reply-To are copied with their folding.
#[test]
fn a_transport_envelope_has_its_header() {
    expect(
        Kind::TransportEnvelope,
        "Return-Path: <mittente@pec.alfa.example>\n\
         Received: from client.example (client.example [192.0.2.1])\n\tby porta.pec.alfa.example \
         with HTTPS id 1;\n\tSat, 19 Sep 2026 15:41:18 +0200\n\
         RECEIVED: from x by y; Sat, 19 Sep 2026 15:41:17 +0200\n\
         X-Trasporto: posta-certificata\nDate: Sat, 19 Sep 2026 15:41:19 +0200\n\
         Subject: POSTA CERTIFICATA: Invio documenti\n\
         From: \"Per conto di: mittente@pec.alfa.example\"\n <posta-certificata@pec.alfa.example>\n\
         to:  \"Ufficio, uno\" <ufficio@pec.beta.example>,\n  (commento)\n\tinfo@gamma.example\n\
         Reply-To: mittente@pec.alfa.example\n\
         Message-ID: <apec0001.20260919154119.05561.4000.1.1@pec.alfa.example>\n\
         X-Riferimento-Message-ID: <m_jQaMqbpy0CRWKphL@client.example>\n\
         X-TipoRicevuta: completa\n",
    );
}

/// Spec 2.5 M8, 0.2 D14, RFC 6109 §3.2.2.
#[test]
fn an_anomaly_envelope_has_its_header() {
    expect(
        Kind::AnomalyEnvelope,
        "Return-Path: <rimbalzi@gamma.example>\n\
         Received: from gamma.example\n by mx.pec.beta.example; Sat, 19 Sep 2026 15:41:19 +0200\n\
         X-Trasporto: errore\nDate: Sat, 19 Sep 2026 15:41:19 +0200\n\
         Subject: ANOMALIA MESSAGGIO: Invio documenti\n\
         From: \"Per conto di: info@gamma.example\" <posta-certificata@pec.beta.example>\n\
         To: ufficio@pec.beta.example\nCc: altri@gamma.example\n\
         Reply-To: risposte@gamma.example\n\
         Message-Id: <1@gamma.example>\n",
    );
}

/// RFC 6109 §2.1: the original's Reply-To as it is; spec 4.4: else its From; 2.5: an unknown id is left out.
#[test]
fn reply_to_is_copied_or_made_from_the_sender() {
    let original = Bytes::from_static(
        b"From: \"Nome\" <mittente@pec.alfa.example>\r\nTo: ufficio@pec.beta.example\r\n\
          Reply-To: \"R\"\r\n <r@x.example>,\r\n\ts@x.example\r\n\r\nTesto\r\n",
    );
    let mut document = fixtures::document(Kind::TransportEnvelope);
    document.letter.client_id = None;
    document.matter = Matter::TransportEnvelope { form: ReceiptForm::Brief };
    let head = head_of(&document, Some(&original));
    assert!(head.contains("\r\nReply-To: \"R\"\r\n <r@x.example>,\r\n\ts@x.example\r\n"));
    assert!(head.contains("\r\nX-TipoRicevuta: breve\r\n") && !head.contains("Riferimento"));
    assert!(!head.to_lowercase().contains("\nsender:")); // G3
}

/// Spec 0.2 D14: no From, a null reverse path, no Message-ID.
#[test]
fn an_anomaly_envelope_does_without_what_the_message_lacks() {
    let Matter::AnomalyEnvelope { reason, recipients, fresh_id, reverse_path } =
        fixtures::document(Kind::AnomalyEnvelope).matter
    else {
        panic!()
    };
    let mut document = fixtures::document(Kind::AnomalyEnvelope);
    document.letter.subject_raw = None;
    document.letter.subject = None;
    let received = Bytes::from_static(b"X: y\r\n\r\nTesto\r\n");
    let head = head_of(&document, Some(&received));
    assert!(head.contains("\"Per conto di: rimbalzi@gamma.example\""), "{head}");
    assert!(head.contains("\r\nReply-To: rimbalzi@gamma.example\r\n"));
    assert!(head.contains("\r\nMessage-ID: <nuovo@pec.beta.example>\r\n"));
    assert!(head.contains("\r\nSubject: ANOMALIA MESSAGGIO:\r\n"));

    assert!(reverse_path.is_some());
    document.matter = Matter::AnomalyEnvelope { reason, recipients, fresh_id, reverse_path: None };
    let head = head_of(&document, Some(&received));
    assert!(head.contains("\"Per conto di: mittente sconosciuto\"") && !head.contains("Reply-To"));
    let text = sealed(&document, Some(&received));
    let text = Entity::parse(&text, &mime::Limits::default()).unwrap().children()[0].children()[0].text();
    assert!(text.contains("proveniente da \"mittente sconosciuto\"\r\n"), "{text}");
}

/// Spec 2.2: the tree of every kind, with the headers of each part.
#[test]
fn every_kind_has_the_structure_of_the_specification() {
    for kind in Kind::ALL {
        let message = sealed(&fixtures::document(kind), fixtures::source(kind).as_ref());
        let entity = Entity::parse(&message, &mime::Limits::default()).unwrap();
        let line = |entity: &Entity| {
            let disposition = entity.disposition().map(|d| d.value).unwrap_or_default();
            let name = entity.content_type().get("name").unwrap_or_default().to_owned();
            let encoding = entity.transfer_encoding();
            format!("{} {encoding} {disposition} {name}", entity.content_type().value)
        };
        let tree: Vec<String> = entity.walk().map(line).collect();
        let mut expected = vec!["multipart/signed 7bit  ", "multipart/mixed 7bit  "];
        if kind == Kind::AnomalyEnvelope {
            expected.push("text/plain quoted-printable inline "); // D14
        } else {
            expected.extend([
                "multipart/alternative 7bit  ",
                "text/plain quoted-printable inline ",
                "text/html quoted-printable inline ",
                "application/xml base64 inline daticert.xml",
            ]);
        }
        if matches!(kind, Kind::TransportEnvelope | Kind::AnomalyEnvelope | Kind::Delivery) {
            expected.push("message/rfc822 7bit inline postacert.eml"); // G12
        }
        expected.push("application/pkcs7-signature base64 attachment smime.p7s");
        assert_eq!(tree, expected, "{}", kind.name());
        let content_type = entity.content_type();
        assert_eq!(content_type.get("protocol"), Some("application/pkcs7-signature"));
        assert_eq!(content_type.get("micalg"), Some("sha-256"));
        let boundaries: Vec<String> =
            entity.walk().filter_map(|e| e.content_type().get("boundary").map(str::to_owned)).collect();
        assert_eq!(boundaries.iter().collect::<HashSet<_>>().len(), boundaries.len());
        for part in entity.walk().filter(|e| e.content_type().media().0 == "text") {
            assert_eq!(part.content_type().get("charset"), Some("iso-8859-1"));
        }
    }
}

/// The whole text of one message, octet by octet (spec 2.2, 2.3, 2.4, 3.3).
#[test]
fn a_complete_take_charge_receipt() {
    let mut document = fixtures::document(Kind::TakeCharge);
    document.letter.subject = Some("è".into());
    document.letter.subject_raw = None;
    let message = String::from_utf8(sealed(&document, None).to_vec()).unwrap();
    let expected = include_str!("take_charge.eml").replace("\r\n", "\n").replace('\n', "\r\n");
    assert_eq!(message, expected);
}

/// RFC 1847 §2.1: the octets signed are those between the delimiters, from the first header line on.
#[test]
fn the_digest_is_that_of_the_first_part() {
    for kind in Kind::ALL {
        let (document, source) = (fixtures::document(kind), fixtures::source(kind));
        let draft = compose(&document, source.as_ref()).unwrap();
        let digest = draft.content_sha256();
        let message = draft.seal(b"no signature").to_bytes();
        let entity = Entity::parse(&message, &mime::Limits::default()).unwrap();
        assert_eq!(digest, sha256([entity.children()[0].raw()]), "{}", kind.name());
    }
}

/// Two compositions from one document are the same message; another seed gives other boundaries only.
#[test]
fn composition_is_a_function_of_the_document() {
    let document = fixtures::document(Kind::Acceptance);
    assert_eq!(sealed(&document, None), sealed(&document, None));
    let other = Document { seed: "ff".repeat(16), ..document.clone() };
    assert_ne!(sealed(&document, None), sealed(&other, None));
}

/// RFC 6109 §3.1.5, spec 0.2 D5: postacert.eml is the rewritten original, octet by octet, with or without a last
/// line end, and it is shared with the source.
#[test]
fn the_original_is_embedded_and_never_copied() {
    let head = "From: mittente@pec.alfa.example\r\nTo: ufficio@pec.beta.example\r\n\r\n";
    for end in ["", "\r\n", "\r\n\r\n"] {
        let source = Bytes::from(format!("{head}{}{end}", "0123456789\r\n".repeat(10_000)));
        for kind in [Kind::TransportEnvelope, Kind::AnomalyEnvelope] {
            let document = fixtures::document(kind);
            let rope = compose(&document, Some(&source)).unwrap().seal(b"s");
            let largest = rope.chunks().max_by_key(|chunk| chunk.len()).unwrap();
            assert!(source.as_ptr_range().contains(&largest.as_ptr()), "{}", kind.name());
            assert!(largest.len() >= source.len() - head.len());
            let postacert = read::read(&rope.to_bytes()).unwrap().postacert.unwrap();
            let expected = match kind {
                Kind::AnomalyEnvelope => Rope::from(source.clone()),
                _ => crate::original::rewrite(&source, &document.letter.pec_id),
            };
            assert_eq!(postacert, expected.to_bytes());
        }
    }
}

/// RFC 6109 §3.3.2.1 to §3.3.2.3, spec 6.3: what each form encloses; the complete one shares the envelope's octets.
#[test]
fn a_delivery_receipt_encloses_what_its_form_says() {
    let envelope = fixtures::source(Kind::Delivery).unwrap();
    let original = read::read(&envelope).unwrap().postacert.unwrap();
    let recipient = fixtures::address("ufficio@pec.beta.example");
    let enclosed = |form_due, source| {
        let mut document = fixtures::document(Kind::Delivery);
        let form_asked = ReceiptForm::Complete;
        document.matter = Matter::Delivery { recipient: recipient.clone(), form_asked, form_due };
        let rope = compose(&document, source).unwrap().seal(b"s");
        (read::read(&rope.to_bytes()).unwrap().postacert, rope)
    };
    let (complete, rope) = enclosed(ReceiptForm::Complete, Some(&envelope));
    assert_eq!(complete.unwrap(), original);
    assert!(rope.chunks().any(|c| c.as_ptr() == original.as_ptr() && c.len() == original.len()));
    let (brief, _) = enclosed(ReceiptForm::Brief, Some(&envelope));
    assert_eq!(brief.unwrap(), crate::brief::brief(&original).to_bytes());
    assert_eq!(enclosed(ReceiptForm::Synthetic, None).0, None);
}

/// What a document speaks of must be what it comes with.
#[test]
fn a_source_that_is_missing_or_another_is_an_error() {
    for kind in [Kind::TransportEnvelope, Kind::AnomalyEnvelope, Kind::Delivery] {
        let error = compose(&fixtures::document(kind), None).unwrap_err();
        assert!(matches!(error, ComposeError::NoSource(name) if name == kind.name()));
    }
    let document = fixtures::document(Kind::Delivery);
    let receipt = sealed(&fixtures::document(Kind::Acceptance), None);
    let mut other = fixtures::document(Kind::Delivery);
    other.letter.pec_id = "altro@pec.alfa.example".into();
    let envelope = fixtures::source(Kind::Delivery).unwrap();
    for (document, source) in [(&document, &receipt), (&document, &Bytes::new()), (&other, &envelope)] {
        assert!(matches!(compose(document, Some(source)), Err(ComposeError::Source(_))));
    }
}

/// Spec 0.2 D7, G14: the raw body behind the prefix, refolded and nothing else; else encoded.
#[test]
fn the_subject_is_the_raw_body_behind_the_prefix() {
    let subject = |subject_raw: Option<&str>, subject: Option<&str>| {
        let mut document = fixtures::document(Kind::Acceptance);
        document.letter.subject_raw = subject_raw.map(str::to_owned);
        document.letter.subject = subject.map(str::to_owned);
        let head = Bytes::from(compose(&document, None).unwrap().head);
        let (headers, _) = mime::Headers::parse(&head, &mime::Limits::default()).unwrap();
        headers.first("Subject").unwrap().text()
    };
    let word = "=?iso-8859-1?q?perch=E9?=  =?utf-8?b?w6g=?=";
    assert_eq!(subject(Some(word), Some("x")), format!("ACCETTAZIONE: {word}"));
    let long = "parola ".repeat(300).trim_end().to_owned();
    assert_eq!(subject(Some(&long), None), format!("ACCETTAZIONE: {long}"));
    let unbroken = "x".repeat(989); // the longest that one line of an original can hold
    assert_eq!(subject(Some(&unbroken), None), format!("ACCETTAZIONE: {unbroken}"));
    assert_eq!(subject(None, Some("perché")), "ACCETTAZIONE: =?UTF-8?Q?perch=C3=A9?=");
    assert_eq!(subject(Some("perché"), None), "ACCETTAZIONE: =?UTF-8?Q?perch=C3=A9?=");
    assert_eq!(
        (subject(None, None), subject(Some(""), Some(""))),
        ("ACCETTAZIONE:".into(), "ACCETTAZIONE:".into())
    );
}

/// No value of a letter makes a field or a part of its own, in any kind.
#[test]
fn headers_cannot_be_injected() {
    let evil = "a\r\nBcc: x@x.example\r\n\r\n--=_b\n\rX-Ricevuta: falso\u{0}\u{7f}\u{85}\u{2028}\" <y@y.example>, è\\";
    for kind in Kind::ALL {
        let plain = fixtures::document(kind);
        let mut document = plain.clone();
        document.letter.sender = evil.into();
        document.letter.subject = Some(evil.into());
        document.letter.subject_raw = Some(evil.into());
        document.letter.client_id = Some(evil.into());
        document.letter.replies = evil.into();
        document.message_id = evil.into();
        document.to = evil.into();
        if let Matter::AnomalyEnvelope { fresh_id, reason, .. } = &mut document.matter {
            (*fresh_id, *reason) = (evil.into(), evil.into());
        }
        let source = fixtures::source(kind);
        let names = |document: &Document| {
            let head = Bytes::from(compose(document, source.as_ref()).unwrap().head);
            assert!(head.is_ascii());
            let (headers, end) = mime::Headers::parse(&head, &mime::Limits::default()).unwrap();
            assert_eq!(end, head.len());
            assert_eq!(headers.malformed().count(), 0);
            headers.iter().map(|field| field.name().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(&document), names(&plain), "{}", kind.name());
        let count = |document: &Document| {
            let message = sealed(document, source.as_ref());
            Entity::parse(&message, &mime::Limits::default()).unwrap().walk().count()
        };
        assert_eq!(count(&document), count(&plain), "{}", kind.name());
    }
}

/// The display name of an envelope is one quoted string, so that its From names the provider alone (G2).
#[test]
fn the_from_of_an_envelope_is_the_providers_whatever_the_sender_is_called() {
    let long = |n: usize| format!("{}{}", "x".repeat(n), "\" <y@y.example>,".repeat(200).replace(' ', ""));
    for sender in [String::from("x\" <y@y.example>, \"\\"), long(0), long(1), "\\".repeat(2000), long(980)] {
        let mut document = fixtures::document(Kind::TransportEnvelope);
        document.letter.sender.clone_from(&sender);
        let head = Bytes::from(head_of(&document, fixtures::source(Kind::TransportEnvelope).as_ref()));
        let (headers, _) = mime::Headers::parse(&head, &mime::Limits::default()).unwrap();
        let from = mime::address::parse_list(headers.first("From").unwrap().raw_body(), 9).unwrap();
        assert_eq!(from.len(), 1);
        assert_eq!(from[0].addr_spec, "posta-certificata@pec.alfa.example");
        let shown: String = sender.chars().take(254).collect();
        assert_eq!(from[0].name.as_deref(), Some(format!("Per conto di: {shown}").as_str()));
    }
}

/// Spec 0.2 D14: fields of a received message that are no fields on their own are written anew, not passed on.
#[test]
fn a_damaged_received_field_does_not_damage_the_envelope() {
    let received = Bytes::from(format!(
        "To: a@a.example\rBcc: b@b.example\r\nCc: c@c.example,\n d@d.example\nReceived: {}\r\nMessage-ID:\r\n\r\nx",
        "x".repeat(3000)
    ));
    let head = head_of(&fixtures::document(Kind::AnomalyEnvelope), Some(&received));
    assert!(mime::lines::check(head.as_bytes(), &mime::Limits::default()).is_ok());
    assert!(head.contains("\r\nTo: a@a.exampleBcc: b@b.example\r\n"));
    assert!(head.contains("\r\nCc: c@c.example, d@d.example\r\n"));
    assert!(head.contains("\r\nMessage-ID: <nuovo@pec.beta.example>\r\n"));
}

/// Spec 2.2: everything is of 7 bits, in CRLF lines of at most 998 octets.
#[test]
fn every_message_is_seven_bit_in_lines_that_travel() {
    let long = "è".repeat(2000) + &"x".repeat(3000) + &" ".repeat(3000) + "y";
    for kind in Kind::ALL {
        let mut document = fixtures::document(kind);
        document.letter.sender.clone_from(&long);
        document.letter.client_id = Some(long.clone());
        document.letter.subject = Some(long.clone());
        for subject_raw in [None, Some("x".repeat(3000) + &" ".repeat(3000) + "y")] {
            document.letter.subject_raw = subject_raw;
            let message = sealed(&document, fixtures::source(kind).as_ref());
            assert!(message.is_ascii(), "{}", kind.name());
            assert_eq!(mime::lines::check(&message, &mime::Limits::default()), Ok(()), "{}", kind.name());
            assert!(message.ends_with(b"\r\n"));
        }
    }
}

/// Spec 0.2 D4: a received message with 8-bit octets is wrapped as it came, and the encoding says so.
#[test]
fn an_eight_bit_message_is_wrapped_as_it_came() {
    let received = Bytes::from("From: info@gamma.example\r\nTo: u@pec.beta.example\r\n\r\nperché\r\n");
    let message = sealed(&fixtures::document(Kind::AnomalyEnvelope), Some(&received));
    let entity = Entity::parse(&message, &mime::Limits::default()).unwrap();
    let encodings: Vec<String> = entity.walk().map(Entity::transfer_encoding).collect();
    assert_eq!(encodings, ["8bit", "8bit", "quoted-printable", "8bit", "base64"]);
    assert_eq!(read::read(&message).unwrap().postacert.unwrap(), received);
}
