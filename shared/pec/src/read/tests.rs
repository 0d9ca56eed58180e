use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;

use super::*;
use crate::{compose, document::Matter, fixtures};

fn sealed(kind: Kind) -> Bytes {
    let draft = compose(&fixtures::document(kind), fixtures::source(kind).as_ref()).unwrap();
    draft.seal(b"no signature").to_bytes()
}

/// Spec 2.2, 2.3: what we compose we read back.
#[test]
fn every_kind_is_read_back() {
    for kind in Kind::ALL {
        let document = fixtures::document(kind);
        let message = read(&sealed(kind)).unwrap();
        let words = kind.words();
        assert_eq!((message.kind, message.wire_kind.as_str()), (kind, words.value));
        assert_eq!(message.from.as_deref(), Some(document.issuer.address.as_str()));
        assert_eq!(
            message.subject.as_deref(),
            Some(format!("{}Invio documenti", words.subject_prefix).as_str())
        );
        let expected_id = match kind {
            Kind::TransportEnvelope => format!("<{}>", document.letter.pec_id),
            Kind::AnomalyEnvelope => "<1@gamma.example>".into(),
            _ => document.message_id.clone(),
        };
        assert_eq!(message.message_id, Some(expected_id));
        let reference = document.letter.client_id.filter(|_| kind != Kind::AnomalyEnvelope);
        assert_eq!(message.reference_id, reference);
        let form = (kind == Kind::TransportEnvelope).then(|| "completa".to_owned());
        assert_eq!(message.receipt_form, form);
        let written = daticert::write(&fixtures::document(kind));
        assert_eq!(message.daticert_xml.as_deref(), written.as_deref().map(str::as_bytes));
        assert_eq!(message.certification.map(|c| c.kind), words.certification.map(str::to_owned));
        let has_original = matches!(kind, Kind::TransportEnvelope | Kind::AnomalyEnvelope | Kind::Delivery);
        assert_eq!(message.postacert.is_some(), has_original); // G12
    }
}

fn daticert(tipo: &str, extended_error: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<postacert tipo=\"{tipo}\">\n<intestazione>\n\
         <mittente>a@a.example</mittente>\n<destinatari>b@b.example</destinatari>\n<risposte/>\n</intestazione>\n\
         <dati>\n<gestore-emittente>G</gestore-emittente>\n<data zona=\"+0100\"><giorno>14/12/2021</giorno>\
         <ora>14:36:08</ora></data>\n<identificativo>i@a.example</identificativo>\n{extended_error}</dati>\n\
         </postacert>\n"
    )
}

/// A message as other providers write them: LF line ends, header names in any case, preamble, x-pkcs7-signature,
/// folded parameters, parts in another order, names by either parameter (spec 2.2, 2.3, G15).
fn foreign(header: &str, xml: &str) -> String {
    let xml = STANDARD.encode(xml);
    format!(
        "Return-path: <x@g.example>\nSUBJECT: =?utf-8?Q?CONSEGNA=3A?= =?utf-8?Q?_x?=\n\
         x-riferimento-message-id:\n <c@a.example>\nfrom: \"G\" <posta-certificata@g.example>\n\
         X-Tiporicevuta: Breve\n{header}message-id: <m@g.example>\n\
         Content-Type: multipart/signed; protocol=\"application/x-pkcs7-signature\"; micalg=\"sha1\";\n\
         \tboundary=\"----B1\"\n\nThis is an S/MIME signed message\n\n\
         ------B1\nContent-Type: Multipart/Mixed;\n boundary=\"--=_2\"\nContent-Transfer-Encoding: binary\n\n\
         ----=_2\nContent-Type: multipart/alternative; boundary=c\n\n--c\n\nx\n--c--\n\n\
         ----=_2\nContent-Type: message/rfc822\nContent-Disposition: attachment; filename=PostaCert.EML\n\n\
         Subject: x\n\ny\n\n\
         ----=_2\nContent-Type: text/xml; name=\"DATICERT.xml\"\nContent-Transfer-Encoding: BASE64\n\n{xml}\n\
         ----=_2--\n\n------B1\nContent-Type: application/x-pkcs7-signature; name=\"smime.p7s\"\n\nAAAA\n------B1--\n"
    )
}

/// Spec 2.2, 2.3, G15.
#[test]
fn variants_of_other_providers_are_read() {
    let text = foreign("X-ricevuta: Avvenuta-Consegna\n", &daticert("avvenuta-consegna", ""));
    for text in [text.clone(), text.replace('\n', "\r\n")] {
        let message = read(&Bytes::from(text)).unwrap();
        assert_eq!((message.kind, message.wire_kind.as_str()), (Kind::Delivery, "avvenuta-consegna"));
        assert_eq!(message.from.as_deref(), Some("posta-certificata@g.example"));
        assert_eq!(message.message_id.as_deref(), Some("<m@g.example>"));
        assert_eq!(message.reference_id.as_deref(), Some("<c@a.example>"));
        assert_eq!(message.receipt_form.as_deref(), Some("Breve"));
        assert_eq!(message.subject.as_deref(), Some("CONSEGNA: x"));
        assert_eq!(message.certification.unwrap().pec_id, "i@a.example");
        let postacert = message.postacert.unwrap();
        assert_eq!(String::from_utf8(postacert.to_vec()).unwrap().replace('\r', ""), "Subject: x\n\ny\n");
    }
}

/// Spec 2.3 M5, M6: one header for both, told apart by what they say.
#[test]
fn timeout_notices_are_told_apart() {
    for (error, kind) in [
        ("non consegnato nelle prime dodici ore", Kind::TimeoutFirst),
        ("5.4.1 - G - non consegnato nelle prime 12 ore", Kind::TimeoutFirst),
        ("5.4.1 - G - il messaggio non è stato consegnato nelle Ventiquattro ore", Kind::TimeoutLast),
        ("non consegnato entro 24 ore", Kind::TimeoutLast),
        ("5.4.1 - G - tempo massimo superato", Kind::TimeoutLast),
        ("", Kind::TimeoutFirst),
    ] {
        let xml = daticert("preavviso-errore-consegna", &format!("<errore-esteso>{error}</errore-esteso>"));
        let text = foreign("X-Ricevuta: preavviso-errore-consegna\n", &xml);
        assert_eq!(read(&Bytes::from(text)).unwrap().kind, kind, "{error}");
    }
}

/// Spec 2.3 M2, M10: X-VerificaSicurezza makes the difference.
#[test]
fn virus_notices_are_told_apart_by_their_header() {
    for (value, plain, virus) in [
        ("errore-consegna", Kind::NonDelivery, Kind::NonDeliveryVirus),
        ("non-accettazione", Kind::NonAcceptance, Kind::NonAcceptanceVirus),
    ] {
        let xml = daticert(value, "");
        let kind = |more: &str| {
            read(&Bytes::from(foreign(&format!("X-Ricevuta: {value}\n{more}"), &xml))).unwrap().kind
        };
        assert_eq!((kind(""), kind("X-VERIFICASICUREZZA: Errore\n")), (plain, virus));
    }
}

/// G10: neither field, both, one twice, or a value that is none.
#[test]
fn what_the_header_does_not_classify_is_no_pec_message() {
    let xml = daticert("accettazione", "");
    for header in [
        "",
        "X-Ricevuta: boh\n",
        "X-Ricevuta:\n",
        "X-Trasporto: accettazione\n",
        "X-Ricevuta: accettazione\nX-Trasporto: posta-certificata\n",
        "X-Ricevuta: accettazione\nX-Ricevuta: avvenuta-consegna\n",
    ] {
        assert_eq!(read(&Bytes::from(foreign(header, &xml))).unwrap_err(), ReadError::NotPec, "{header}");
    }
}

/// Spec 5.2 V4: a PEC header on another structure.
#[test]
fn a_pec_header_on_another_structure_is_told() {
    let text = foreign("X-Ricevuta: accettazione\n", &daticert("accettazione", ""));
    for (from, to) in [
        ("multipart/signed", "multipart/mixed"),
        ("Multipart/Mixed", "multipart/related"),
        ("------B1\n", "------B2\n"),
        ("rfc822\n", "rfc822\nContent-Transfer-Encoding: base64\n"),
        ("BASE64\n\n", "BASE64\n\n!"),
    ] {
        let error = read(&Bytes::from(text.replace(from, to))).unwrap_err();
        assert!(matches!(error, ReadError::Structure(_)), "{from}: {error}");
    }
    let deep = text
        .replace(
            "--c\n\nx\n",
            &(0..40)
                .map(|n| format!("--c{n}\nContent-Type: multipart/mixed; boundary=c{}\n\n", n + 1))
                .collect::<String>(),
        )
        .replace("boundary=c\n", "boundary=c0\n");
    assert!(matches!(read(&Bytes::from(deep)), Err(ReadError::Structure(_))));
}

/// Spec 2.3: certification data are missing in an anomaly envelope only.
#[test]
fn certification_data_must_be_there_but_in_an_anomaly_envelope() {
    let xml = daticert("accettazione", "");
    let text = foreign("X-Ricevuta: accettazione\n", &xml);
    let large = " ".repeat(daticert::SIZE_BYTES_MAX * 3 / 2 + 1);
    let large = text.replace("BASE64\n\n", &format!("BASE64\n\n{large}{large}"));
    for text in
        [large, text.replace("DATICERT", "altro"), foreign("X-Ricevuta: accettazione\n", "<postacert/>")]
    {
        let error = read(&Bytes::from(text)).unwrap_err();
        assert!(matches!(error, ReadError::Certification(_)), "{error}");
    }
    let anomaly = foreign("X-Trasporto: errore\n", &xml);
    assert!(read(&Bytes::from(anomaly.clone())).unwrap().certification.is_some());
    let message = read(&Bytes::from(anomaly.replace("DATICERT", "altro"))).unwrap();
    assert_eq!((message.kind, message.daticert_xml), (Kind::AnomalyEnvelope, None));
}

/// RFC 6109 §3.3.2.1: the octets of postacert.eml are those that came, without a copy.
#[test]
fn postacert_is_a_slice_of_the_message() {
    let message = sealed(Kind::TransportEnvelope);
    let postacert = read(&message).unwrap().postacert.unwrap();
    assert!(message.as_ptr_range().contains(&postacert.as_ptr()));
    let mut document = fixtures::document(Kind::TransportEnvelope);
    document.matter = Matter::TransportEnvelope { form: crate::document::ReceiptForm::Complete };
    assert_eq!(
        postacert,
        crate::original::rewrite(&fixtures::original(), &document.letter.pec_id).to_bytes()
    );
}

proptest! {
    #[test]
    fn arbitrary_octets_never_panic(octets in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut message = b"X-Ricevuta: accettazione\r\n".to_vec();
        message.extend(octets);
        let _ = read(&Bytes::from(message));
    }

    #[test]
    fn a_damaged_message_never_panics(at in any::<prop::sample::Index>(), octet in any::<u8>()) {
        let mut message = foreign("X-Ricevuta: accettazione\n", &daticert("accettazione", "")).into_bytes();
        let at = at.index(message.len());
        message[at] = octet;
        let _ = read(&Bytes::from(message));
    }
}
