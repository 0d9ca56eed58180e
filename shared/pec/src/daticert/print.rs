//! Writing daticert.xml: the order of the DTD, four spaces a level, CRLF (spec 3.1, 3.3).

use std::borrow::Cow;

use super::legal;
use crate::{
    document::{Document, Letter, Matter, RecipientKind},
    words,
};

pub(super) fn print(document: &Document) -> Option<String> {
    let tipo = document.kind().words().certification?;
    let mut xml = Xml::new();
    xml.open("postacert", &[("tipo", tipo), ("errore", error(document))]);
    heading(&mut xml, &document.letter);
    data(&mut xml, document);
    xml.close("postacert");
    Some(xml.text)
}

/// `errore-esteso`: why a message is not a success, for `errore` other than `nessuno` (spec 3.2, 3.3, 12).
pub(crate) fn extended_error(document: &Document) -> Option<Cow<'_, str>> {
    let provider = &document.issuer.provider_name;
    Some(match &document.matter {
        Matter::NonAcceptance { reason } => Cow::Borrowed(reason),
        Matter::NonAcceptanceVirus { virus }
        | Matter::VirusDetection { virus, .. }
        | Matter::NonDeliveryVirus { virus, .. } => Cow::Borrowed(virus),
        Matter::TimeoutFirst { .. } => Cow::Borrowed(words::TIMEOUT_FIRST_ERROR),
        Matter::TimeoutLast { .. } => {
            Cow::Owned(format!("{} - {provider} - {}", words::TIMEOUT_CODE, words::TIMEOUT_LAST_ERROR))
        }
        Matter::NonDelivery { code, description, .. } => {
            Cow::Owned(format!("{code} - {provider} - {description}"))
        }
        Matter::Acceptance
        | Matter::TransportEnvelope { .. }
        | Matter::TakeCharge { .. }
        | Matter::AnomalyEnvelope { .. }
        | Matter::Delivery { .. }
        | Matter::DeliveryStatus { .. } => return None,
    })
}

/// `postacert/@errore` (spec 2.3, 0.2 D19).
fn error(document: &Document) -> &'static str {
    match document.matter {
        Matter::NonDelivery { error, .. } => error.wire(),
        _ => document.kind().words().error,
    }
}

/// `intestazione (mittente, destinatari+, risposte, oggetto?)`.
fn heading(xml: &mut Xml, letter: &Letter) {
    xml.open("intestazione", &[]);
    xml.leaf("mittente", &[], &letter.sender);
    for recipient in &letter.recipients {
        xml.leaf("destinatari", &[("tipo", recipient.kind.wire())], recipient.address.as_str());
    }
    if letter.recipients.is_empty() {
        // The DTD wants one at least, also when somebody else's notice named nobody that we can read.
        xml.leaf("destinatari", &[("tipo", RecipientKind::Ordinary.wire())], "");
    }
    xml.leaf("risposte", &[], &letter.replies);
    if let Some(subject) = &letter.subject {
        xml.leaf("oggetto", &[], subject); // spec 0.2 D7
    }
    xml.close("intestazione");
}

/// `dati (gestore-emittente, data, identificativo, msgid?, ricevuta?, consegna?, ricezione*, errore-esteso?)`.
fn data(xml: &mut Xml, document: &Document) {
    let time = document.at.legal();
    xml.open("dati", &[]);
    xml.leaf("gestore-emittente", &[], &document.issuer.provider_name);
    xml.open("data", &[("zona", &time.zone)]);
    xml.leaf("giorno", &[], &time.day);
    xml.leaf("ora", &[], &time.hour);
    xml.close("data");
    xml.leaf("identificativo", &[], &document.letter.pec_id);
    if let Some(client_id) = &document.letter.client_id {
        xml.leaf("msgid", &[], client_id);
    }
    particulars(xml, &document.matter);
    if let Some(text) = extended_error(document) {
        xml.leaf("errore-esteso", &[], &text);
    }
    xml.close("dati");
}

/// What depends on the kind (the column TAIL of spec 3.3).
fn particulars(xml: &mut Xml, matter: &Matter) {
    match matter {
        Matter::TransportEnvelope { form } => xml.empty("ricevuta", &[("tipo", form.wire())]),
        Matter::Delivery { recipient, form_asked, .. } => {
            xml.empty("ricevuta", &[("tipo", form_asked.wire())]); // spec 0.2 D20
            xml.leaf("consegna", &[], recipient.as_str());
        }
        Matter::TimeoutFirst { recipient }
        | Matter::TimeoutLast { recipient }
        | Matter::VirusDetection { recipient, .. }
        | Matter::NonDeliveryVirus { recipient, .. }
        | Matter::NonDelivery { recipient, .. } => xml.leaf("consegna", &[], recipient.as_str()),
        Matter::TakeCharge { received } => {
            for recipient in received {
                xml.leaf("ricezione", &[], recipient.as_str());
            }
        }
        Matter::NonAcceptance { .. }
        | Matter::NonAcceptanceVirus { .. }
        | Matter::Acceptance
        | Matter::AnomalyEnvelope { .. }
        | Matter::DeliveryStatus { .. } => {}
    }
}

type Attributes<'a> = &'a [(&'static str, &'a str)];

/// A document in the making, with its level of indentation.
struct Xml {
    text: String,
    level: usize,
}

impl Xml {
    fn new() -> Self {
        let mut text = String::with_capacity(1024);
        text.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n");
        Self { text, level: 0 }
    }

    fn open(&mut self, name: &str, attributes: Attributes) {
        self.tag(name, attributes);
        self.text.push_str(">\r\n");
        self.level += 1;
    }

    fn close(&mut self, name: &str) {
        self.level = self.level.saturating_sub(1);
        self.indent();
        self.end(name);
    }

    fn end(&mut self, name: &str) {
        self.text.push_str("</");
        self.text.push_str(name);
        self.text.push_str(">\r\n");
    }

    fn leaf(&mut self, name: &str, attributes: Attributes, content: &str) {
        self.tag(name, attributes);
        self.text.push('>');
        escape(&mut self.text, content);
        self.end(name);
    }

    fn empty(&mut self, name: &str, attributes: Attributes) {
        self.tag(name, attributes);
        self.text.push_str("/>\r\n");
    }

    fn tag(&mut self, name: &str, attributes: Attributes) {
        self.indent();
        self.text.push('<');
        self.text.push_str(name);
        for (name, value) in attributes {
            self.text.push(' ');
            self.text.push_str(name);
            self.text.push_str("=\"");
            escape(&mut self.text, value);
            self.text.push('"');
        }
    }

    fn indent(&mut self) {
        for _ in 0..self.level {
            self.text.push_str("    ");
        }
    }
}

/// Escapes what has a meaning in XML, and the white space that a reader would normalise.
fn escape(out: &mut String, content: &str) {
    // As a rule there is nothing to do.
    let is_plain = |octet: u8| matches!(octet, b' '..=b'~') && !matches!(octet, b'&' | b'<' | b'>' | b'"');
    if content.bytes().all(is_plain) {
        out.push_str(content);
        return;
    }
    for c in content.chars().map(legal) {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            c => out.push(c),
        }
    }
}
