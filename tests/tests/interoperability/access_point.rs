//! T-AP: what the access point makes of a submission (RFC 6109 §2.2.1, §3.1; spec 2, 4).

use bytes::Bytes;
use pec::Kind;
use sigillo_tests::{
    network::Network,
    world::{ALFA, BETA, ScannerKind, World, address, eicar, letters::submission},
};
use stages::{door::DoorError, log::Event};

use crate::{
    ACCEPTANCE, ENVELOPE, NON_ACCEPTANCE, kinds, of_kind, one,
    plain::{Opened, Plain, assert_openssl_verifies, assert_xmllint_validates},
    sent, wire,
};

const CLIENT_ID: &str = "<cliente.1@posta.alfa.example>";
const SENDER: &str = "mittente@pec.alfa.example";
const READER: &str = "destinatario@pec.beta.example";
const SERVICE: &str = "posta-certificata@gestore.alfa.example";

/// A letter of ALFA's user with these fields instead of, or beside, the usual ones; an empty value takes one away.
fn written(changes: &[(&str, &str)]) -> Bytes {
    let mut fields = vec![
        ("From", SENDER),
        ("To", READER),
        ("Subject", "Prova"),
        ("Date", "Mon, 2 Mar 2026 09:00:00 +0100"),
        ("Message-ID", CLIENT_ID),
    ];
    for (name, value) in changes {
        fields.retain(|(field, _)| field != name);
        fields.push((name, value));
    }
    fields.retain(|(_, value)| *value != "-");
    let head: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    Bytes::from(format!("{head}\r\nBuongiorno.\r\n"))
}

/// What the sender and BETA get of it.
struct Outcome {
    network: Network,
    receipt: Plain,
    opened: Opened,
}

fn accepted(raw: Bytes) -> Outcome {
    let network = sent(submission(&ALFA, vec![address(READER)], raw));
    let receipt = one(&network.evidence(&ALFA), "mittente", ACCEPTANCE);
    Outcome { opened: receipt.opened(), receipt, network }
}

impl Outcome {
    fn envelope(&self) -> Plain {
        let found = wire(&self.network, &ALFA, &BETA);
        assert_eq!(
            found.iter().map(|m| m.kind.as_str()).collect::<Vec<_>>(),
            [ENVELOPE],
            "one envelope and nothing else"
        );
        found[0].plain()
    }
}

/// The left side is letters and digits, the right side the provider mail domain (RFC 6109 §2.2.1).
fn assert_pec_id(id: &str) {
    let (left, right) = id.split_once('@').expect("an id");
    assert!(left.len() > 20 && left.chars().all(|c| c.is_ascii_alphanumeric()), "{id}");
    assert_eq!(right, ALFA.mail_domain);
}

/// T-AP-01: M3 and M4, each field of spec 2.3 and 2.5, the identifiers of 4.3.
#[test]
fn t_ap_01_a_valid_letter_to_one_certified_recipient() {
    let outcome = accepted(written(&[]));
    let (receipt, envelope) = (&outcome.receipt, outcome.envelope());
    let pec_id = outcome.opened.elements("identificativo").remove(0);
    assert_pec_id(&pec_id);

    // 1. M3.
    let own = receipt.field("Message-ID").unwrap();
    assert_ne!(own, format!("<{pec_id}>"), "a receipt has an id of its own");
    assert!(own.ends_with(&format!("@{}>", ALFA.mail_domain)));
    for (name, value) in [
        ("X-Ricevuta", "accettazione"),
        ("Subject", "ACCETTAZIONE: Prova"),
        ("From", SERVICE),
        ("To", SENDER),
        ("X-Riferimento-Message-ID", CLIENT_ID),
        ("MIME-Version", "1.0"),
    ] {
        assert_eq!(receipt.field(name).as_deref(), Some(value), "{name} of M3");
    }
    assert_eq!((receipt.field("X-Trasporto"), receipt.field("Reply-To")), (None, None));
    assert!(receipt.field("Content-Type").unwrap().starts_with("multipart/signed"));

    // 2. M4.
    for (name, value) in [
        ("X-Trasporto", "posta-certificata"),
        ("Subject", "POSTA CERTIFICATA: Prova"),
        ("From", "\"Per conto di: mittente@pec.alfa.example\" <posta-certificata@gestore.alfa.example>"),
        ("To", READER),
        ("Reply-To", SENDER),
        ("Message-ID", &format!("<{pec_id}>")),
        ("X-Riferimento-Message-ID", CLIENT_ID),
        ("X-TipoRicevuta", "completa"),
    ] {
        assert_eq!(envelope.field(name).as_deref(), Some(value), "{name} of M4");
    }
    assert_eq!(envelope.field("X-Ricevuta"), None);
    assert_eq!(envelope.field("Date"), receipt.field("Date"), "one instant (G9)");

    // 3. The original, with its identifiers rewritten and nothing else changed.
    let opened = envelope.opened();
    let original = Plain::of(opened.original.as_ref().unwrap());
    assert_eq!(original.field("Message-ID"), Some(format!("<{pec_id}>")));
    assert_eq!(original.field("X-Riferimento-Message-ID").as_deref(), Some(CLIENT_ID));
    for name in ["From", "To", "Subject", "Date"] {
        assert_eq!(original.field(name), Plain::of(&written(&[])).field(name), "{name}");
    }
    assert_eq!(original.body, b"Buongiorno.\r\n");
    assert_eq!(outcome.opened.original, None, "a receipt of acceptance has no original");

    // 4. Certification data, texts, and judges that are not ours.
    let folder = tempfile::tempdir().unwrap();
    let at = outcome.network.evidence(&ALFA).letters[0].accepted_at;
    for (message, opened, kind) in
        [(receipt, &outcome.opened, "accettazione"), (&envelope, &opened, "posta-certificata")]
    {
        let daticert = opened.daticert();
        assert!(daticert.contains(&format!("tipo=\"{kind}\" errore=\"nessuno\"")), "{daticert}");
        assert_eq!(opened.elements("mittente"), [SENDER]);
        assert_eq!(opened.elements("destinatari"), [READER]);
        assert_eq!(opened.elements("risposte"), [SENDER]);
        assert_eq!(opened.elements("oggetto"), ["Prova"]);
        assert_eq!(opened.elements("gestore-emittente"), [ALFA.name]);
        assert_eq!(opened.elements("msgid"), ["&lt;cliente.1@posta.alfa.example&gt;"]);
        assert_eq!(
            (opened.elements("giorno"), opened.elements("ora")),
            (vec!["02/03/2026".to_owned()], vec!["09:00:00".to_owned()])
        );
        assert!(daticert.contains("zona=\"+0100\""));
        assert!(opened.text.contains(&format!("Identificativo messaggio: {pec_id}")), "{}", opened.text);
        assert_xmllint_validates(folder.path(), daticert);
        let whole = wire(&outcome.network, &ALFA, &BETA).remove(0).raw;
        let raw = if kind == "accettazione" {
            crate::mailbox(&outcome.network.evidence(&ALFA), "mittente")
                .into_iter()
                .find(|m| m.kind == ACCEPTANCE)
                .unwrap()
                .raw
        } else {
            whole
        };
        assert_eq!(Plain::of(&raw).field("Message-ID"), message.field("Message-ID"));
        assert_openssl_verifies(folder.path(), &raw, at);
    }
    assert!(opened.text.contains("Messaggio di posta certificata"));
    assert!(outcome.opened.text.contains("è stato accettato dal sistema ed inoltrato."));
}

/// T-AP-02: a certified and an ordinary recipient, typed by the index; both get the envelope.
#[test]
fn t_ap_02_certified_and_ordinary_recipients() {
    let ordinary = "info@posta.example";
    let raw = written(&[("Cc", ordinary)]);
    let network = sent(submission(&ALFA, vec![address(READER), address(ordinary)], raw));
    let opened = one(&network.evidence(&ALFA), "mittente", ACCEPTANCE).opened();
    assert!(opened.daticert().contains(&format!("<destinatari tipo=\"certificato\">{READER}<")));
    assert!(opened.daticert().contains(&format!("<destinatari tipo=\"esterno\">{ordinary}<")));
    assert!(opened.text.contains(&format!("{READER} (\"posta certificata\")")), "{}", opened.text);
    assert!(opened.text.contains(&format!("{ordinary} (\"posta ordinaria\")")), "{}", opened.text);

    // The same octets to both; a take-charge and a delivery come back from one of them only.
    let [outside] = network.ordinary() else { panic!("one message to ordinary mail") };
    assert_eq!(outside.raw, wire(&network, &ALFA, &BETA)[0].raw);
    assert_eq!(outside.transaction.forward_paths, [address(ordinary)]);
    assert_eq!(kinds(&network.evidence(&ALFA), "mittente"), ["accettazione", "avvenuta-consegna"]);
}

/// Refused with M1: nothing is forwarded, nothing of the original is attached, the reason is said.
fn assert_refused(raw: Bytes, recipients: &[&str], reason: &str) {
    let recipients: Vec<_> = recipients.iter().map(|a| address(a)).collect();
    let network = sent(submission(&ALFA, recipients.clone(), raw));
    let evidence = network.evidence(&ALFA);
    assert_eq!(kinds(&evidence, "mittente"), [NON_ACCEPTANCE]);
    let notice = one(&evidence, "mittente", NON_ACCEPTANCE);
    assert!(
        notice.field("Subject").unwrap().starts_with("AVVISO DI NON ACCETTAZIONE:"),
        "{:?}",
        notice.field("Subject")
    );
    assert_eq!((notice.field("X-VerificaSicurezza"), notice.field("To").as_deref()), (None, Some(SENDER)));
    let opened = notice.opened();
    assert!(opened.daticert().contains("tipo=\"non-accettazione\" errore=\"altro\""));
    assert_eq!(opened.elements("destinatari").len(), recipients.len());
    let said = opened.elements("errore-esteso").remove(0);
    assert!(said.to_lowercase().contains(reason), "{said}");
    assert!(opened.text.contains("Il messaggio non è stato accettato."), "{}", opened.text);
    assert_eq!(opened.original, None);
    assert!(wire(&network, &ALFA, &BETA).is_empty() && network.ordinary().is_empty());
    assert!(evidence.acts_of(Kind::TransportEnvelope).is_empty());
    assert_eq!(evidence.logged(Event::Refused).len(), 1);
}

/// T-AP-03, F1.
#[test]
fn t_ap_03_without_a_compliant_from() {
    for from in ["-", "nessun indirizzo", "a@pec.alfa.example, b@pec.alfa.example"] {
        assert_refused(written(&[("From", from)]), &[READER], "from");
    }
}

/// T-AP-04, F2: Cc alone is not enough.
#[test]
fn t_ap_04_without_a_compliant_to() {
    assert_refused(written(&[("To", "-"), ("Cc", READER)]), &[READER], "to");
    assert_refused(written(&[("To", "nessun indirizzo"), ("Cc", READER)]), &[READER], "to");
}

/// T-AP-05, F3.
#[test]
fn t_ap_05_a_from_that_is_not_the_reverse_path() {
    assert_refused(written(&[("From", "copia@pec.alfa.example")]), &[READER], "mittente");
}

/// T-AP-06, F4: both directions (0.2 D2).
#[test]
fn t_ap_06_recipients_that_are_not_those_of_the_header() {
    assert_refused(written(&[]), &[READER, "copia@pec.beta.example"], "destinatar");
    assert_refused(written(&[("Cc", "copia@pec.beta.example")]), &[READER], "destinatar");
}

/// T-AP-07, F5: an empty field is none.
#[test]
fn t_ap_07_a_blind_copy() {
    assert_refused(written(&[("Bcc", "copia@pec.beta.example")]), &[READER], "bcc");
    let outcome = accepted(written(&[("Bcc", "")]));
    assert_eq!(outcome.envelope().field("X-Trasporto").as_deref(), Some(ENVELOPE));
}

/// T-AP-08: size times recipients. 30 MB to one and 0.6 MB to fifty are taken, one octet more is M1, and far above the
/// door itself says no; by SMTP that is 552 (server/tests/smtp.rs).
#[test]
fn t_ap_08_size_times_recipients() {
    const PRODUCT_MAX: usize = 30 << 20;
    let letter = |size: usize, recipients: usize| {
        let to: Vec<_> = (0..recipients).map(|n| format!("utente{n}@pec.beta.example")).collect();
        let mut raw = written(&[("To", &to.join(",\r\n "))]).to_vec();
        let line = [&[b'a'; 74][..], b"\r\n"].concat();
        raw.extend(line.iter().cycle().take(size - raw.len() - 2));
        raw.extend(b"\r\n");
        raw.resize(size, b' ');
        submission(&ALFA, to.iter().map(|a| address(a)).collect(), Bytes::from(raw))
    };
    let decided = |size: usize, recipients: usize| {
        let world = World::of(&ALFA).scanning(ScannerKind::Blind);
        world.submit(letter(size, recipients)).unwrap();
        world.run_until_idle();
        let evidence = world.evidence();
        (evidence.acts_of(Kind::Acceptance).len(), evidence.acts_of(Kind::NonAcceptance).len())
    };
    // What the door puts before the message counts for nobody.
    assert_eq!(decided(PRODUCT_MAX, 1), (1, 0));
    assert_eq!(decided(PRODUCT_MAX / 50, 50), (1, 0));
    assert_eq!(decided(PRODUCT_MAX + 1, 1), (0, 1));
    assert_eq!(decided(PRODUCT_MAX / 50 + 1, 50), (0, 1));
    let far = World::of(&ALFA).submit(letter((100 << 20) + 1, 1));
    assert!(matches!(far, Err(DoorError::TooLarge { .. })), "{far:?}");
}

/// T-AP-09: M2, and the message in the store of infected ones as it came.
#[test]
fn t_ap_09_a_virus() {
    let raw = Bytes::from([&written(&[])[..], eicar().as_bytes(), b"\r\n"].concat());
    let network = sent(submission(&ALFA, vec![address(READER)], raw.clone()));
    let evidence = network.evidence(&ALFA);
    assert_eq!(kinds(&evidence, "mittente"), [NON_ACCEPTANCE]);
    let notice = one(&evidence, "mittente", NON_ACCEPTANCE);
    assert_eq!(notice.field("X-VerificaSicurezza").as_deref(), Some("errore"));
    assert_eq!(notice.field("Subject").as_deref(), Some("AVVISO DI NON ACCETTAZIONE PER VIRUS: Prova"));
    let opened = notice.opened();
    assert!(opened.daticert().contains("tipo=\"non-accettazione\" errore=\"virus\""));
    assert_eq!(opened.elements("errore-esteso"), ["Eicar-Test-Signature"]);
    assert_eq!(opened.original, None);
    let stored: Vec<_> =
        evidence.blobs.iter().filter(|(k, _)| k.as_str().starts_with("vault/infected/")).collect();
    let [(_, kept)] = stored[..] else { panic!("one message in the vault") };
    assert!(kept.ends_with(&raw), "as it was received, below the door's Received");
    assert!(wire(&network, &ALFA, &BETA).is_empty());
}

/// T-AP-10: copied as it stands, or made of the sender (spec 4.4); receipts have none (G5).
#[test]
fn t_ap_10_reply_to() {
    let with = accepted(written(&[("Reply-To", "Ufficio <ufficio@posta.example>")]));
    assert_eq!(with.envelope().field("Reply-To").as_deref(), Some("Ufficio <ufficio@posta.example>"));
    assert_eq!(with.opened.elements("risposte"), ["ufficio@posta.example"]);
    let without = accepted(written(&[]));
    assert_eq!(without.envelope().field("Reply-To").as_deref(), Some(SENDER));
    assert_eq!(without.opened.elements("risposte"), [SENDER]);
    assert_eq!((with.receipt.field("Reply-To"), without.receipt.field("Reply-To")), (None, None));
}

/// T-AP-11: without an id of the client there is no reference to one.
#[test]
fn t_ap_11_the_clients_message_id() {
    let with = accepted(written(&[]));
    assert_eq!(with.envelope().field("X-Riferimento-Message-ID").as_deref(), Some(CLIENT_ID));
    let without = accepted(written(&[("Message-ID", "-")]));
    let envelope = without.envelope();
    assert_eq!(envelope.field("X-Riferimento-Message-ID"), None);
    assert_eq!(without.receipt.field("X-Riferimento-Message-ID"), None);
    assert!(without.opened.elements("msgid").is_empty());
    let original = Plain::of(&envelope.opened().original.unwrap());
    assert_eq!(original.field("Message-ID"), envelope.field("Message-ID"), "both carry the PEC id");
    assert_eq!(original.field("X-Riferimento-Message-ID"), None);
}

/// T-AP-12: the wish of the sender is in envelope and certification data; what is no wish is `completa`.
#[test]
fn t_ap_12_the_form_of_delivery_receipts() {
    for (wish, form) in [
        ("-", "completa"),
        ("completa", "completa"),
        ("breve", "breve"),
        ("sintetica", "sintetica"),
        ("qualunque", "completa"),
        ("", "completa"),
    ] {
        let outcome = accepted(written(&[("X-TipoRicevuta", wish)]));
        let envelope = outcome.envelope();
        assert_eq!(envelope.field("X-TipoRicevuta").as_deref(), Some(form), "{wish:?}");
        assert!(envelope.opened().daticert().contains(&format!("<ricevuta tipo=\"{form}\"")), "{wish:?}");
    }
}

/// T-AP-13: the field as it was written behind the prefix, the data decoded; an empty subject is not the same as none.
#[test]
fn t_ap_13_subjects() {
    let encoded = "=?UTF-8?Q?Prova_perch=C3=A9_s=C3=AC?=";
    let outcome = accepted(written(&[("Subject", encoded)]));
    assert_eq!(outcome.receipt.field("Subject"), Some(format!("ACCETTAZIONE: {encoded}")));
    assert_eq!(outcome.envelope().field("Subject"), Some(format!("POSTA CERTIFICATA: {encoded}")));
    assert_eq!(outcome.opened.elements("oggetto"), ["Prova perché sì"]);
    assert!(outcome.opened.text.contains("\"Prova perché sì\""), "{}", outcome.opened.text);

    let words = (0..60).map(|n| format!("parola{n}")).collect::<Vec<_>>();
    let outcome = accepted(written(&[("Subject", &words.join("\r\n "))]));
    assert_eq!(outcome.envelope().field("Subject"), Some(format!("POSTA CERTIFICATA: {}", words.join(" "))));
    assert_eq!(outcome.opened.elements("oggetto"), [words.join(" ")]);
    let raw = &wire(&outcome.network, &ALFA, &BETA)[0].raw;
    assert!(raw.split(|b| *b == b'\n').all(|line| line.len() <= 999), "lines of at most 998 octets");

    let empty = accepted(written(&[("Subject", "")]));
    assert_eq!(empty.receipt.field("Subject").as_deref(), Some("ACCETTAZIONE:"));
    assert_eq!(empty.opened.elements("oggetto"), [""]);
    let none = accepted(written(&[("Subject", "-")]));
    assert_eq!(none.receipt.field("Subject").as_deref(), Some("ACCETTAZIONE:"));
    assert!(none.opened.elements("oggetto").is_empty() && !none.opened.daticert().contains("<oggetto"));
    assert_eq!(of_kind(&both_after(&none), "destinatario", ENVELOPE).len(), 1);
}

fn both_after(outcome: &Outcome) -> sigillo_tests::world::Evidence {
    outcome.network.evidence(&BETA)
}
