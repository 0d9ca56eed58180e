use proptest::prelude::*;

use super::*;
use crate::{
    Kind,
    document::{Letter, Matter, RecipientKind},
    fixtures,
};

/// Everything that stands before and after the TAIL of spec 3.3.
fn example(tipo: &str, errore: &str, provider: &str, tail: &[&str]) -> String {
    let mut text = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<postacert tipo="{tipo}" errore="{errore}">
    <intestazione>
        <mittente>mittente@pec.alfa.example</mittente>
        <destinatari tipo="certificato">ufficio@pec.beta.example</destinatari>
        <destinatari tipo="esterno">info@gamma.example</destinatari>
        <risposte>mittente@pec.alfa.example</risposte>
        <oggetto>Invio documenti</oggetto>
    </intestazione>
    <dati>
        <gestore-emittente>{provider}</gestore-emittente>
        <data zona="+0200">
            <giorno>19/09/2026</giorno>
            <ora>15:41:19</ora>
        </data>
        <identificativo>apec0001.20260919154119.05561.4000.1.1@pec.alfa.example</identificativo>
        <msgid>&lt;m_jQaMqbpy0CRWKphL@client.example&gt;</msgid>
"#
    );
    for line in tail {
        text.push_str("        ");
        text.push_str(line);
        text.push('\n');
    }
    text.push_str("    </dati>\n</postacert>\n");
    text.replace('\n', "\r\n")
}

/// Spec 3.3: the example of every type, octet by octet.
#[test]
fn every_type_is_written_as_in_the_examples() {
    const CONSEGNA: &str = "<consegna>ufficio@pec.beta.example</consegna>";
    const VIRUS: &str = "<errore-esteso>Eicar-Test-Signature</errore-esteso>";
    let (alfa, beta) = ("ALFA PEC S.p.A.", "BETA PEC S.p.A.");
    let table: [(Kind, &str, &str, &str, &[&str]); 12] = [
        (
            Kind::NonAcceptance,
            "non-accettazione",
            "altro",
            alfa,
            &["<errore-esteso>campo Bcc valorizzato</errore-esteso>"],
        ),
        (Kind::NonAcceptanceVirus, "non-accettazione", "virus", alfa, &[VIRUS]),
        (Kind::Acceptance, "accettazione", "nessuno", alfa, &[]),
        (Kind::TransportEnvelope, "posta-certificata", "nessuno", alfa, &["<ricevuta tipo=\"completa\"/>"]),
        (
            Kind::TimeoutFirst,
            "preavviso-errore-consegna",
            "altro",
            alfa,
            &[CONSEGNA, "<errore-esteso>non consegnato nelle prime dodici ore</errore-esteso>"],
        ),
        (
            Kind::TimeoutLast,
            "preavviso-errore-consegna",
            "altro",
            alfa,
            &[
                CONSEGNA,
                "<errore-esteso>5.4.1 - ALFA PEC S.p.A. - il messaggio non è stato consegnato nelle \
                 ventiquattro ore successive al suo invio</errore-esteso>",
            ],
        ),
        (
            Kind::TakeCharge,
            "presa-in-carico",
            "nessuno",
            beta,
            &["<ricezione>ufficio@pec.beta.example</ricezione>"],
        ),
        (Kind::AnomalyEnvelope, "", "", "", &[]),
        (Kind::VirusDetection, "rilevazione-virus", "virus", beta, &[CONSEGNA, VIRUS]),
        (Kind::NonDeliveryVirus, "errore-consegna", "virus", alfa, &[CONSEGNA, VIRUS]),
        (Kind::Delivery, "avvenuta-consegna", "nessuno", beta, &["<ricevuta tipo=\"completa\"/>", CONSEGNA]),
        (
            Kind::NonDelivery,
            "errore-consegna",
            "no-dest",
            beta,
            &[CONSEGNA, "<errore-esteso>5.1.1 - BETA PEC S.p.A. - indirizzo non valido</errore-esteso>"],
        ),
    ];
    for (kind, tipo, errore, provider, tail) in table {
        let written = write(&fixtures::document(kind));
        let expected = (!tipo.is_empty()).then(|| example(tipo, errore, provider, tail));
        assert_eq!(written, expected, "{}", kind.name());
    }
}

/// Spec 3.2 `ricezione`, D7: all recipients taken in charge; no Subject, no `oggetto`; no client id, no `msgid`.
#[test]
fn what_is_absent_is_left_out_and_what_repeats_repeats() {
    let mut document = fixtures::document(Kind::TakeCharge);
    document.letter.subject = None;
    document.letter.client_id = None;
    document.matter = Matter::TakeCharge {
        received: vec![
            fixtures::address("ufficio@pec.beta.example"),
            fixtures::address("altro@pec.beta.example"),
        ],
    };
    let xml = write(&document).unwrap();
    assert!(!xml.contains("oggetto") && !xml.contains("msgid"));
    assert_eq!(
        read(xml.as_bytes()).unwrap().received,
        ["ufficio@pec.beta.example", "altro@pec.beta.example"]
    );
    document.letter.subject = Some(String::new());
    assert!(write(&document).unwrap().contains("<oggetto></oggetto>"));
}

/// Spec 3.1: `destinatari+`, also where nobody can be named.
#[test]
fn a_letter_without_recipients_still_has_the_element() {
    let mut document = fixtures::document(Kind::VirusDetection);
    document.letter.recipients.clear();
    let xml = write(&document).unwrap();
    assert!(xml.contains("<destinatari tipo=\"esterno\"></destinatari>"));
    assert_eq!(read(xml.as_bytes()).unwrap().odd_recipients, [""]);
}

/// Spec 0.2 D8: exact Unicode; what XML forbids becomes U+FFFD.
#[test]
fn characters_illegal_in_xml_are_replaced() {
    let mut document = fixtures::document(Kind::Acceptance);
    document.letter.subject = Some("a\u{0}b\u{1f}c\u{fffe}d 😀 <&>\"' ]]>\t\r\n \u{85}".to_owned());
    let xml = write(&document).unwrap();
    let certification = read(xml.as_bytes()).unwrap();
    assert_eq!(certification.subject.unwrap(), "a\u{fffd}b\u{fffd}c\u{fffd}d 😀 <&>\"' ]]>\t\r\n \u{85}");
}

const MINIMAL: &str = "<postacert tipo='accettazione'><intestazione><mittente>a@b</mittente>\
    <destinatari>c@d</destinatari><risposte/></intestazione><dati><gestore-emittente>G</gestore-emittente>\
    <data zona='+0100'><giorno>01/02/2026</giorno><ora>10:00:00</ora></data>\
    <identificativo>i@b</identificativo></dati></postacert>";

/// Spec 3.1: the defaults of the DTD.
#[test]
fn defaults_of_the_dtd_are_filled_in() {
    let c = read(MINIMAL.as_bytes()).unwrap();
    assert_eq!((c.kind.as_str(), c.error.as_str(), c.replies.as_str()), ("accettazione", "nessuno", ""));
    assert_eq!(c.recipients[0].kind, RecipientKind::Certified);
    assert_eq!((c.zone.as_str(), c.day.as_str(), c.hour.as_str()), ("+0100", "01/02/2026", "10:00:00"));
    assert_eq!(
        (c.subject, c.client_id, c.form, c.delivery, c.extended_error),
        (None, None, None, None, None)
    );
}

/// Spec 0.2 D9: unknown children, attributes and stray text do not fail it, nor does their place count.
#[test]
fn what_the_dtd_does_not_know_is_passed_over() {
    let xml = MINIMAL
        .replace(
            "<intestazione>",
            "stray<nuovo a='1'><mittente>x@y</mittente></nuovo><intestazione b=\"2\"> &amp; ",
        )
        .replace("<mittente>a@b", "<!-- c --><mittente>\r\n  a<![CDATA[@]]>b<x>y</x> ")
        .replace("<dati>", "<dati><mittente>z@z</mittente><ricevuta tipo=\"boh\"/>");
    let c = read(xml.as_bytes()).unwrap();
    assert_eq!(c.sender, "a@b");
    assert_eq!(c.form, None);
}

/// Spec 0.2 D9: each mandatory element or attribute is missed by its name.
#[test]
fn each_mandatory_element_is_missed() {
    for (from, to, missing) in [
        ("postacert", "altro", "postacert"),
        (" tipo='accettazione'", "", "postacert/@tipo"),
        ("mittente>", "mitt>", "mittente"),
        ("destinatari>", "dest>", "destinatari"),
        ("<risposte/>", "", "risposte"),
        ("gestore-emittente>", "gestore>", "gestore-emittente"),
        (" zona='+0100'", "", "data/@zona"),
        ("giorno>", "g>", "giorno"),
        ("ora>", "o>", "ora"),
        ("identificativo>", "id>", "identificativo"),
        ("i@b", "", "identificativo"),
    ] {
        let xml = MINIMAL.replace(from, to);
        assert_eq!(read(xml.as_bytes()), Err(DaticertError::Missing(missing)), "{from}");
    }
}

/// Spec 3.1: tokens that the DTD does not have.
#[test]
fn unknown_tokens_are_refused() {
    for (from, to, value) in [
        ("accettazione'", "mancata-consegna'", "postacert/@tipo"),
        ("accettazione'", "accettazione' errore='boh'", "postacert/@errore"),
        ("<destinatari>", "<destinatari tipo='boh'>", "destinatari/@tipo"),
    ] {
        let xml = MINIMAL.replacen(from, to, 1);
        assert_eq!(read(xml.as_bytes()), Err(DaticertError::Value(value)));
    }
}

/// Spec 3.1: a DOCTYPE is passed over, its entities are never resolved.
#[test]
fn entities_of_a_doctype_are_never_resolved() {
    let doctype = "<!DOCTYPE postacert SYSTEM \"http://x.example/d.dtd\" [<!ENTITY e SYSTEM \"file:///etc/hostname\">\
                   <!ENTITY f \"g\">]>";
    assert!(read(format!("{doctype}{MINIMAL}").as_bytes()).is_ok());
    for entity in ["&e;", "&f;"] {
        let xml = format!("{doctype}{}", MINIMAL.replace("a@b", entity));
        assert!(matches!(read(xml.as_bytes()), Err(DaticertError::Xml(_))), "{entity}");
        let attribute = format!("{doctype}{}", MINIMAL.replace("+0100", entity));
        assert!(matches!(read(attribute.as_bytes()), Err(DaticertError::Xml(_))), "{entity}");
    }
}

#[test]
fn references_and_encodings_are_decoded() {
    let xml = MINIMAL.replace("a@b", "&#97;&#x40;&lt;&gt;&amp;&quot;&apos;&#1;");
    assert_eq!(read(xml.as_bytes()).unwrap().sender, "a@<>&\"'\u{fffd}");
    let mut latin1 = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>".to_vec();
    latin1.extend(MINIMAL.replace("G<", "Societ\u{e0}<").chars().map(|c| c as u8));
    assert_eq!(read(&latin1).unwrap().provider, "Società");
    let utf8 = format!("\u{feff}<?xml version='1.0' encoding='utf-8'?>{}", MINIMAL.replace("G<", "Società<"));
    assert_eq!(read(utf8.as_bytes()).unwrap().provider, "Società");
    let other = format!("<?xml version='1.0' encoding='utf-16'?>{MINIMAL}");
    assert_eq!(read(other.as_bytes()), Err(DaticertError::Value("the encoding")));
    assert!(matches!(read(&latin1[44..]), Err(DaticertError::Xml(_))));
}

/// Bounded before and while parsing (spec 0.2 D9).
#[test]
fn bounds_hold() {
    let xml_error = |xml: &str| assert!(matches!(read(xml.as_bytes()), Err(DaticertError::Xml(_))));
    xml_error(&format!("{MINIMAL}{}", " ".repeat(SIZE_BYTES_MAX)));
    let deep =
        |n: usize| MINIMAL.replace("<dati>", &format!("<dati>{}{}", "<a>".repeat(n), "</a>".repeat(n)));
    assert!(read(deep(DEPTH_MAX - 2).as_bytes()).is_ok());
    xml_error(&deep(DEPTH_MAX - 1));
    let many =
        |n: usize| MINIMAL.replace("<destinatari>", &format!("{}<destinatari>", "<destinatari/>".repeat(n)));
    assert!(read(many(RECIPIENTS_MAX - 1).as_bytes()).is_ok());
    xml_error(&many(RECIPIENTS_MAX));
    for broken in ["", "<", "<postacert", "<postacert tipo='accettazione'>", "</a>", "<a></b>", "x & y"] {
        assert!(read(broken.as_bytes()).is_err(), "{broken}");
    }
    xml_error(&format!("{MINIMAL}{MINIMAL}"));
}

fn line() -> impl Strategy<Value = String> {
    any::<String>().prop_map(|s| s.trim().chars().map(legal).collect())
}

proptest! {
    /// What is written is read back, whatever Unicode the letter holds.
    #[test]
    fn certification_data_survive_the_round_trip(
        kind in prop::sample::select(&Kind::ALL[..]),
        sender in line(), replies in line(), subject in prop::option::of(any::<String>()),
        client_id in prop::option::of(line()), virus in line(), provider in line(),
    ) {
        let mut document = fixtures::document(kind);
        let letter = document.letter.clone();
        document.letter = Letter { sender, replies, subject, client_id, ..letter };
        document.issuer.provider_name = provider;
        if let Matter::NonAcceptanceVirus { virus: v } | Matter::VirusDetection { virus: v, .. } = &mut document.matter {
            *v = virus;
        }
        let Some(xml) = write(&document) else { return Ok(()) };
        let read = read(xml.as_bytes()).unwrap();
        let Letter { sender, replies, subject, client_id, recipients, .. } = &document.letter;
        prop_assert_eq!((&read.sender, &read.replies, &read.recipients), (sender, replies, recipients));
        prop_assert_eq!(read.subject, subject.as_ref().map(|s| s.chars().map(legal).collect::<String>()));
        prop_assert_eq!(&read.client_id, &client_id.clone().filter(|id| !id.is_empty()));
        prop_assert_eq!(&read.provider, &document.issuer.provider_name);
        prop_assert_eq!(read.extended_error, extended_error(&document).map(|e| e.trim().to_owned()));
    }

    #[test]
    fn arbitrary_octets_never_panic(xml in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = read(&xml);
    }

    #[test]
    fn a_damaged_file_never_panics(at in 0..MINIMAL.len(), octet in any::<u8>()) {
        let mut xml = MINIMAL.as_bytes().to_vec();
        xml[at] = octet;
        let _ = read(&xml);
    }
}
