use super::*;
use crate::{Kind, fixtures};

fn plain(document: &Document) -> String {
    let octets = Readable::new(document, &document.letter.sender).plain();
    octets.into_iter().map(char::from).collect()
}

/// The text of a kind with the placeholders of spec 2.4 filled in.
fn expect(kind: Kind, text: &str) {
    let head = "Il giorno 19/09/2026 alle ore 15:41:19 (+0200)";
    let all = "ufficio@pec.beta.example\ninfo@gamma.example";
    let id = "Identificativo messaggio: apec0001.20260919154119.05561.4000.1.1@pec.alfa.example";
    let expected = text
        .replace("{head}", head)
        .replace("{all}", all)
        .replace("{id}", id)
        .replace("{mittente}", "mittente@pec.alfa.example")
        .replace("{dest}", "ufficio@pec.beta.example")
        .replace('\n', "\r\n");
    assert_eq!(plain(&fixtures::document(kind)), expected, "{}", kind.name());
}

/// Spec 2.4 M1, RFC 6109 §3.1.2
#[test]
fn non_acceptance_reads_as_in_the_specification() {
    expect(
        Kind::NonAcceptance,
        "Errore nell'accettazione del messaggio
{head} nel messaggio
\"Invio documenti\" proveniente da \"{mittente}\"
ed indirizzato a:
{all}
è stato rilevato un problema che ne impedisce l'accettazione
a causa di campo Bcc valorizzato.
Il messaggio non è stato accettato.
{id}
",
    );
}

/// Spec 2.4 M2, RFC 6109 §3.1.3
#[test]
fn non_acceptance_for_a_virus_reads_as_in_the_specification() {
    expect(
        Kind::NonAcceptanceVirus,
        "Errore nell'accettazione del messaggio per presenza di virus
{head} nel messaggio
\"Invio documenti\" proveniente da \"{mittente}\"
ed indirizzato a:
{all}
è stato rilevato un problema di sicurezza Eicar-Test-Signature.
Il messaggio non è stato accettato.
{id}
",
    );
}

/// Spec 2.4 M3, RFC 6109 §3.1.4
#[test]
fn acceptance_reads_as_in_the_specification() {
    expect(
        Kind::Acceptance,
        "Ricevuta di accettazione
{head} il messaggio
\"Invio documenti\" proveniente da \"{mittente}\"
ed indirizzato a:
ufficio@pec.beta.example (\"posta certificata\")
info@gamma.example (\"posta ordinaria\")
è stato accettato dal sistema ed inoltrato.
{id}
",
    );
}

/// Spec 2.4 M4, RFC 6109 §3.1.5
#[test]
fn transport_envelope_reads_as_in_the_specification() {
    expect(
        Kind::TransportEnvelope,
        "Messaggio di posta certificata
{head} il messaggio
\"Invio documenti\" è stato inviato da \"{mittente}\"
indirizzato a:
{all}
Il messaggio originale è incluso in allegato.
{id}
",
    );
}

/// Spec 2.4 M5, RFC 6109 §3.1.6
#[test]
fn first_timeout_reads_as_in_the_specification() {
    expect(
        Kind::TimeoutFirst,
        "Avviso di mancata consegna
{head} il messaggio
\"Invio documenti\" proveniente da \"{mittente}\"
e destinato all'utente \"{dest}\"
non è stato consegnato nelle prime dodici ore dal suo invio.
Non escludendo che questo possa avvenire in seguito, si ritiene utile
considerare che l'invio potrebbe non andare a buon fine. Il sistema
provvederà comunque ad inviare un ulteriore avviso di mancata consegna
se nelle prossime dodici ore non vi sarà la conferma della ricezione
da parte del destinatario.
{id}
",
    );
}

/// Spec 2.4 M6, 3.3, 12; RFC 6109 §3.1.6
#[test]
fn last_timeout_reads_as_in_the_specification_with_its_code() {
    expect(
        Kind::TimeoutLast,
        "Avviso di mancata consegna
{head} il messaggio
\"Invio documenti\" proveniente da \"{mittente}\"
e destinato all'utente \"{dest}\"
non è stato consegnato nelle ventiquattro ore successive al suo invio.
Si ritiene che la spedizione debba considerarsi non andata a buon fine.
5.4.1 - ALFA PEC S.p.A. - il messaggio non è stato consegnato nelle ventiquattro ore successive al suo invio
{id}
",
    );
}

/// Spec 2.4 M7, RFC 6109 §3.2.1
#[test]
fn take_charge_reads_as_in_the_specification() {
    expect(
        Kind::TakeCharge,
        "Ricevuta di presa in carico
{head} il messaggio
\"Invio documenti\" proveniente da \"{mittente}\"
ed indirizzato a:
{all}
è stato accettato dal sistema.
{id}
",
    );
}

/// Spec 2.4 M8, 0.2 D14, RFC 6109 §3.2.2
#[test]
fn anomaly_envelope_reads_as_in_the_specification() {
    expect(
        Kind::AnomalyEnvelope,
        "Anomalia nel messaggio
{head} è stato ricevuto
il messaggio \"Invio documenti\" proveniente da \"{mittente}\"
ed indirizzato a:
{dest}
Tali dati non sono stati certificati per il seguente errore:
la firma digitale del messaggio non risulta attendibile
Il messaggio originale è incluso in allegato.
",
    );
}

/// Spec 2.4 M9, 0.2 D11, RFC 6109 §3.2.3
#[test]
fn virus_detection_reads_as_in_the_specification() {
    expect(
        Kind::VirusDetection,
        "Avviso di rilevazione virus
{head} nel messaggio
\"Invio documenti\" proveniente da \"{mittente}\"
e destinato all'utente \"{dest}\"
è stato rilevato un problema di sicurezza Eicar-Test-Signature.
{id}
",
    );
}

/// Spec 2.4 M10, 0.2 D11, RFC 6109 §3.2.4
#[test]
fn non_delivery_for_a_virus_reads_as_in_the_specification() {
    expect(
        Kind::NonDeliveryVirus,
        "Avviso di mancata consegna per virus
{head} nel messaggio
\"Invio documenti\" destinato all'utente \"{dest}\"
è stato rilevato un problema di sicurezza Eicar-Test-Signature.
Il messaggio non è stato consegnato.
{id}
",
    );
}

/// Spec 2.4 M11, RFC 6109 §3.3.2.1
#[test]
fn delivery_reads_as_in_the_specification() {
    expect(
        Kind::Delivery,
        "Ricevuta di avvenuta consegna
{head} il messaggio
\"Invio documenti\" proveniente da \"{mittente}\"
ed indirizzato a \"{dest}\"
è stato consegnato nella casella di destinazione.
{id}
",
    );
}

/// Spec 2.4 M12, 12; RFC 6109 §3.3.3
#[test]
fn non_delivery_reads_as_in_the_specification() {
    expect(
        Kind::NonDelivery,
        "Avviso di mancata consegna
{head} nel messaggio
\"Invio documenti\" proveniente da \"{mittente}\"
e destinato all'utente \"{dest}\"
è stato rilevato un errore 5.1.1 - BETA PEC S.p.A. - indirizzo non valido.
Il messaggio è stato rifiutato dal sistema.
{id}
",
    );
}

/// Spec 6.2: the title follows the form that is sent, not the one that was asked for.
#[test]
fn the_title_of_a_delivery_receipt_is_that_of_the_form_sent() {
    for (form_due, title) in [
        (ReceiptForm::Complete, "Ricevuta di avvenuta consegna"),
        (ReceiptForm::Brief, "Ricevuta breve di avvenuta consegna"),
        (ReceiptForm::Synthetic, "Ricevuta sintetica di avvenuta consegna"),
    ] {
        let recipient = fixtures::address("ufficio@pec.beta.example");
        let mut document = fixtures::document(Kind::Delivery);
        document.matter = Matter::Delivery { recipient, form_asked: ReceiptForm::Complete, form_due };
        assert_eq!(plain(&document).lines().next(), Some(title));
    }
}

/// Spec 0.2 D8: the replacements, and ISO-8859-1 for the rest.
#[test]
fn text_outside_latin_1_is_replaced() {
    let mut document = fixtures::document(Kind::Acceptance);
    document.letter.subject = Some("l’‘è “à” – — … 10 € ÿ 😀 \u{80}\u{9f} č".into());
    let line = plain(&document).lines().nth(2).unwrap().to_owned();
    assert_eq!(line, "\"l''è \"à\" - - ... 10 EUR ÿ ?    ?\" proveniente da \"mittente@pec.alfa.example\"");
    document.letter.subject = None; // D7
    assert_eq!(plain(&document).lines().nth(2), Some("\"\" proveniente da \"mittente@pec.alfa.example\""));
}

/// RFC 6109 §4.3.1, spec 2.2: the HTML says the same and refers to nothing.
#[test]
fn html_holds_the_same_lines_escaped() {
    for kind in Kind::ALL {
        let mut document = fixtures::document(kind);
        document.letter.subject = Some("<script src=\"http://x.example\">è & “y”</script>".into());
        let readable = Readable::new(&document, &document.letter.sender);
        let html: String = readable.html().into_iter().map(char::from).collect();
        let text: String = html
            .split_once("<h3>")
            .unwrap()
            .1
            .replace("</h3>", "")
            .replace("<p>\r\n", "")
            .replace("<br>", "")
            .replace("</p>\r\n</body>\r\n</html>\r\n", "")
            .replace("&quot;", "\"")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&");
        assert_eq!(text, plain(&document), "{}", kind.name());
        for tag in html.split('<').skip(1).map(|rest| rest.split_once('>').unwrap().0) {
            let tag = tag.trim_start_matches('/');
            assert!(["html", "head", "title", "body", "h3", "p", "br"].contains(&tag), "{tag}");
        }
        assert!(html.contains("&lt;script src=&quot;") && html.contains("\u{e8} &amp; &quot;y&quot;"));
    }
}

/// A value from a letter cannot begin a line of its own in what people read.
#[test]
fn a_value_stays_on_its_line() {
    let mut document = fixtures::document(Kind::Acceptance);
    let lines = plain(&document).lines().count();
    document.letter.subject = Some("a\r\nIl messaggio\u{85}b\nc".into());
    assert_eq!(plain(&document).lines().count(), lines);
}
