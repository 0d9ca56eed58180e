//! The Italian bodies of generated messages (spec 2.4), in ISO-8859-1 (spec 0.2 D8). What strangers get to read says it
//! in English too.
//!
//! Nobody but people reads them: machines read daticert.xml (G10).

use std::borrow::Cow;

use crate::{
    daticert::extended_error,
    document::{Document, FailedRecipient, Matter, ReceiptForm},
    words::Reason,
};

mod latin1;
#[cfg(test)]
mod tests;

/// The readable part of a message: a title and lines, in Unicode and without line ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readable {
    /// First line of the text, heading of the HTML.
    pub title: &'static str,
    /// The lines below.
    pub lines: Vec<String>,
}

impl Readable {
    /// The body of a document. `sender` is `{mittente}`: that of the letter, or for an anomaly envelope whom the
    /// wrapped message names (spec 0.2 D14).
    #[must_use]
    pub fn new(document: &Document, sender: &str) -> Self {
        let time = document.at.legal();
        let words = Words {
            at: format!("Il giorno {} alle ore {} ({})", time.day, time.hour, time.zone),
            subject: quoted(document.letter.subject.as_deref().unwrap_or_default()),
            sender: quoted(sender),
            error: extended_error(document).unwrap_or_default(),
            document,
        };
        let (title, mut lines) = words.body();
        let speaks_of_a_letter = !document.letter.pec_id.is_empty();
        if !matches!(document.matter, Matter::AnomalyEnvelope { .. }) && speaks_of_a_letter {
            lines.push(format!("Identificativo messaggio: {}", document.letter.pec_id));
        }
        lines.iter_mut().for_each(one_line);
        Self { title, lines }
    }

    /// As ISO-8859-1 text with CRLF line ends.
    #[must_use]
    pub fn plain(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        for line in std::iter::once(self.title).chain(self.lines.iter().map(String::as_str)) {
            latin1::encode(&mut out, line);
            out.extend_from_slice(b"\r\n");
        }
        out
    }

    /// Octets of the plain text, about.
    fn len(&self) -> usize {
        self.lines.iter().map(|line| line.len() + 2).sum::<usize>() + self.title.len() + 2
    }

    /// The same information as ISO-8859-1 HTML: no reference to anything, nothing active (RFC 6109 §4.3.1).
    #[must_use]
    pub fn html(&self) -> Vec<u8> {
        let mut page = Vec::with_capacity(200 + 2 * self.len());
        page.extend_from_slice(b"<html>\r\n<head><title>");
        escape(&mut page, self.title);
        page.extend_from_slice(b"</title></head>\r\n<body>\r\n<h3>");
        escape(&mut page, self.title);
        page.extend_from_slice(b"</h3>\r\n<p>\r\n");
        for line in &self.lines {
            escape(&mut page, line);
            page.extend_from_slice(b"<br>\r\n");
        }
        page.extend_from_slice(b"</p>\r\n</body>\r\n</html>\r\n");
        page
    }
}

/// The placeholders of spec 2.4, filled in.
struct Words<'a> {
    at: String,
    subject: String,
    sender: String,
    error: Cow<'a, str>,
    document: &'a Document,
}

type Body = (&'static str, Vec<String>);

impl Words<'_> {
    fn body(&self) -> Body {
        match &self.document.matter {
            Matter::NonAcceptance { .. } => self.non_acceptance(),
            Matter::NonAcceptanceVirus { .. } => self.non_acceptance_virus(),
            Matter::Acceptance => self.acceptance(),
            Matter::TransportEnvelope { .. } => self.transport_envelope(),
            Matter::TimeoutFirst { recipient } => self.timeout_first(recipient.as_str()),
            Matter::TimeoutLast { recipient } => self.timeout_last(recipient.as_str()),
            Matter::TakeCharge { .. } => self.take_charge(),
            Matter::AnomalyEnvelope { reason, .. } => self.anomaly_envelope(reason),
            Matter::VirusDetection { recipient, .. } => self.virus_detection(recipient.as_str()),
            Matter::NonDeliveryVirus { recipient, .. } => self.non_delivery_virus(recipient.as_str()),
            Matter::Delivery { recipient, form_due, .. } => self.delivery(recipient.as_str(), *form_due),
            Matter::NonDelivery { recipient, .. } => self.non_delivery(recipient.as_str()),
            Matter::DeliveryStatus { failures, .. } => self.delivery_status(failures),
        }
    }

    /// M1, RFC 6109 §3.1.2
    fn non_acceptance(&self) -> Body {
        let mut lines = self.from("nel messaggio");
        lines.extend(self.to_all());
        lines.push("è stato rilevato un problema che ne impedisce l'accettazione".into());
        lines.push(format!("a causa di {}.", self.error));
        lines.push("Il messaggio non è stato accettato.".into());
        ("Errore nell'accettazione del messaggio", lines)
    }

    /// M2, RFC 6109 §3.1.3
    fn non_acceptance_virus(&self) -> Body {
        let mut lines = self.from("nel messaggio");
        lines.extend(self.to_all());
        lines.push(self.security_problem());
        lines.push("Il messaggio non è stato accettato.".into());
        ("Errore nell'accettazione del messaggio per presenza di virus", lines)
    }

    /// M3, RFC 6109 §3.1.4
    fn acceptance(&self) -> Body {
        let mut lines = self.from("il messaggio");
        lines.push("ed indirizzato a:".into());
        let recipients = self.document.letter.recipients.iter();
        lines.extend(recipients.map(|r| format!("{} ({})", r.address, quoted(r.kind.spoken()))));
        lines.push("è stato accettato dal sistema ed inoltrato.".into());
        ("Ricevuta di accettazione", lines)
    }

    /// M4, RFC 6109 §3.1.5
    fn transport_envelope(&self) -> Body {
        let mut lines = vec![
            format!("{} il messaggio", self.at),
            format!("{} è stato inviato da {}", self.subject, self.sender),
            "indirizzato a:".into(),
        ];
        lines.extend(self.recipients());
        lines.push("Il messaggio originale è incluso in allegato.".into());
        ("Messaggio di posta certificata", lines)
    }

    /// M5, RFC 6109 §3.1.6
    fn timeout_first(&self, recipient: &str) -> Body {
        let mut lines = self.from("il messaggio");
        lines.push(destined(recipient));
        lines.extend(
            [
                "non è stato consegnato nelle prime dodici ore dal suo invio.",
                "Non escludendo che questo possa avvenire in seguito, si ritiene utile",
                "considerare che l'invio potrebbe non andare a buon fine. Il sistema",
                "provvederà comunque ad inviare un ulteriore avviso di mancata consegna",
                "se nelle prossime dodici ore non vi sarà la conferma della ricezione",
                "da parte del destinatario.",
            ]
            .map(String::from),
        );
        ("Avviso di mancata consegna", lines)
    }

    /// M6, RFC 6109 §3.1.6. Note 12 of AgID wants the code of a non-delivery in the text too (spec 12).
    fn timeout_last(&self, recipient: &str) -> Body {
        let mut lines = self.from("il messaggio");
        lines.push(destined(recipient));
        lines.push("non è stato consegnato nelle ventiquattro ore successive al suo invio.".into());
        lines.push("Si ritiene che la spedizione debba considerarsi non andata a buon fine.".into());
        lines.push(self.error.to_string());
        ("Avviso di mancata consegna", lines)
    }

    /// M7, RFC 6109 §3.2.1
    fn take_charge(&self) -> Body {
        let mut lines = self.from("il messaggio");
        lines.extend(self.to_all());
        lines.push("è stato accettato dal sistema.".into());
        ("Ricevuta di presa in carico", lines)
    }

    /// M8, RFC 6109 §3.2.2
    fn anomaly_envelope(&self, reason: &str) -> Body {
        let mut lines = vec![
            format!("{} è stato ricevuto", self.at),
            format!("il messaggio {} proveniente da {}", self.subject, self.sender),
        ];
        lines.extend(self.to_all());
        lines.push("Tali dati non sono stati certificati per il seguente errore:".into());
        lines.push(reason.to_owned());
        lines.push("Il messaggio originale è incluso in allegato.".into());
        ("Anomalia nel messaggio", lines)
    }

    /// M9, RFC 6109 §3.2.3
    fn virus_detection(&self, recipient: &str) -> Body {
        let mut lines = self.from("nel messaggio");
        lines.push(destined(recipient));
        lines.push(self.security_problem());
        ("Avviso di rilevazione virus", lines)
    }

    /// M10, RFC 6109 §3.2.4
    fn non_delivery_virus(&self, recipient: &str) -> Body {
        let lines = vec![
            format!("{} nel messaggio", self.at),
            format!("{} destinato all'utente {}", self.subject, quoted(recipient)),
            self.security_problem(),
            "Il messaggio non è stato consegnato.".into(),
        ];
        ("Avviso di mancata consegna per virus", lines)
    }

    /// M11, RFC 6109 §3.3.2: the title says the form that is sent (spec 6.2).
    fn delivery(&self, recipient: &str, form: ReceiptForm) -> Body {
        let mut lines = self.from("il messaggio");
        lines.push(format!("ed indirizzato a {}", quoted(recipient)));
        lines.push("è stato consegnato nella casella di destinazione.".into());
        let title = match form {
            ReceiptForm::Complete => "Ricevuta di avvenuta consegna",
            ReceiptForm::Brief => "Ricevuta breve di avvenuta consegna",
            ReceiptForm::Synthetic => "Ricevuta sintetica di avvenuta consegna",
        };
        (title, lines)
    }

    /// M12, RFC 6109 §3.3.3; the code as in spec 12.
    fn non_delivery(&self, recipient: &str) -> Body {
        let mut lines = self.from("nel messaggio");
        lines.push(destined(recipient));
        lines.push(format!("è stato rilevato un errore {}.", self.error));
        lines.push("Il messaggio è stato rifiutato dal sistema.".into());
        ("Avviso di mancata consegna", lines)
    }

    /// RFC 3464 §1: for who sent ordinary mail, and may know no Italian.
    fn delivery_status(&self, failures: &[FailedRecipient]) -> Body {
        let of = |f: &FailedRecipient| Reason::of(&f.code, f.answer.is_none());
        let mut lines = self.from("il messaggio");
        lines.push("non è stato consegnato ai seguenti destinatari:".into());
        lines.extend(failures.iter().map(|f| format!("{} ({} - {})", f.recipient, f.code, of(f).italian)));
        lines.push("Questa notifica non è un messaggio di posta certificata.".into());
        lines.push(String::new());
        lines.push("Your message was not delivered to the following recipients:".into());
        lines.extend(failures.iter().map(|f| format!("{} ({} - {})", f.recipient, f.code, of(f).english)));
        lines.push("This notification is not a certified mail message.".into());
        ("Notifica di mancato recapito / Delivery status notification", lines)
    }

    /// When, what and from whom.
    fn from(&self, what: &str) -> Vec<String> {
        vec![format!("{} {what}", self.at), format!("{} proveniente da {}", self.subject, self.sender)]
    }

    fn to_all(&self) -> Vec<String> {
        let mut lines = vec!["ed indirizzato a:".to_owned()];
        lines.extend(self.recipients());
        lines
    }

    fn recipients(&self) -> Vec<String> {
        match &self.document.matter {
            Matter::AnomalyEnvelope { recipients, .. } => {
                recipients.iter().map(ToString::to_string).collect()
            }
            _ => self.document.letter.recipients.iter().map(|r| r.address.to_string()).collect(),
        }
    }

    /// The reason is in the text as well as in the certification data (spec 0.2 D11).
    fn security_problem(&self) -> String {
        format!("è stato rilevato un problema di sicurezza {}.", self.error)
    }
}

fn destined(recipient: &str) -> String {
    format!("e destinato all'utente {}", quoted(recipient))
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// Nothing from outside can begin a line of its own.
fn one_line(text: &mut String) {
    if text.chars().any(char::is_control) {
        *text = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    }
}

/// Text of a page: what HTML would take for itself is escaped (spec 0.2 D8).
fn escape(page: &mut Vec<u8>, text: &str) {
    // Latin-1 has one kind of quotation marks only.
    let is_markup = |c| matches!(c, '&' | '<' | '>' | '"' | '\u{201c}' | '\u{201d}');
    for piece in text.split_inclusive(is_markup) {
        let plain = piece.trim_end_matches(is_markup);
        latin1::encode(page, plain);
        page.extend_from_slice(match piece.get(plain.len()..) {
            Some("&") => b"&amp;",
            Some("<") => b"&lt;",
            Some(">") => b"&gt;",
            Some("\"" | "\u{201c}" | "\u{201d}") => b"&quot;",
            _ => b"",
        });
    }
}
