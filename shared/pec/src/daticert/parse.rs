//! Reading daticert.xml, tolerantly and within bounds (spec 0.2 D9).
//!
//! What is not in the DTD is passed over, wherever it stands; what the DTD wants once and comes twice counts the
//! first time. Only the predefined entities and character references are resolved: a DOCTYPE changes nothing.

use std::borrow::Cow;

use quick_xml::{
    Reader, XmlVersion,
    escape::resolve_predefined_entity,
    events::{BytesRef, BytesStart, Event},
};

use super::{Certification, DEPTH_MAX, DaticertError, RECIPIENTS_MAX, SIZE_BYTES_MAX, legal};
use crate::{
    Address,
    document::{Kind, ReceiptForm, Recipient, RecipientKind},
    words,
};

pub(super) fn parse(xml: &[u8]) -> Result<Certification, DaticertError> {
    if xml.len() > SIZE_BYTES_MAX {
        return Err(malformed("larger than 1 MiB"));
    }
    let text = decode(xml)?;
    let mut reader = Reader::from_str(&text);
    reader.config_mut().expand_empty_elements = true;
    let mut walk = Walk::default();
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag)) => walk.enter(&tag)?,
            Ok(Event::End(_)) => walk.leave()?,
            Ok(Event::Text(text)) => walk.text(&text.xml10_content()),
            Ok(Event::CData(text)) => walk.text(&text.xml10_content()),
            Ok(Event::GeneralRef(reference)) => walk.text(&resolve(&reference)?),
            Ok(Event::Eof) => return walk.finish(),
            Ok(_) => {} // declaration, DOCTYPE, comments, processing instructions
            Err(_) => {
                return Err(DaticertError::Xml(format!("not well-formed at {}", reader.error_position())));
            }
        }
    }
}

/// UTF-8, or ISO-8859-1 if the declaration says so.
fn decode(xml: &[u8]) -> Result<Cow<'_, str>, DaticertError> {
    let label = declared_encoding(xml).unwrap_or_default().to_ascii_lowercase();
    match label.as_str() {
        "" | "utf-8" | "utf8" | "us-ascii" => {
            std::str::from_utf8(xml).map(Cow::Borrowed).map_err(|_| malformed("not UTF-8"))
        }
        "iso-8859-1" | "iso8859-1" | "iso_8859-1" | "latin1" => Ok(encoding_rs::mem::decode_latin1(xml)),
        _ => Err(DaticertError::Value("the encoding")),
    }
}

fn declared_encoding(xml: &[u8]) -> Option<String> {
    let xml = xml.strip_prefix(b"\xef\xbb\xbf").unwrap_or(xml);
    let start = xml.get(..xml.len().min(256))?;
    let xml = start.get(..=memchr::memchr(b'>', start)?)?;
    let text = encoding_rs::mem::decode_latin1(xml);
    match Reader::from_str(&text).read_event().ok()? {
        Event::Decl(declaration) => Some(declaration.encoding()?.ok()?.into_owned()),
        _ => None,
    }
}

fn malformed(why: &str) -> DaticertError {
    DaticertError::Xml(why.to_owned())
}

/// A character reference or a predefined entity; any other one cannot be known (and is never looked for).
fn resolve(reference: &BytesRef) -> Result<String, DaticertError> {
    match reference.resolve_char_ref() {
        Ok(Some(c)) => Ok(c.to_string()),
        Ok(None) => resolve_predefined_entity(reference)
            .map(str::to_owned)
            .ok_or_else(|| malformed("an entity that is not predefined")),
        Err(_) => Err(malformed("a character reference to no character")),
    }
}

/// An element that is open: its name and attribute, and the text directly inside.
struct Open {
    name: String,
    attribute: Option<String>,
    text: String,
}

/// Where the reader is, and what it has found.
#[derive(Default)]
struct Walk {
    open: Vec<Open>,
    found: Found,
}

/// Values as they come; what is mandatory is checked at the end.
#[derive(Default)]
struct Found {
    root: bool,
    kind: Option<String>,
    error: Option<String>,
    sender: Option<String>,
    recipients: Vec<Recipient>,
    odd_recipients: Vec<String>,
    replies: Option<String>,
    subject: Option<String>,
    provider: Option<String>,
    zone: Option<String>,
    day: Option<String>,
    hour: Option<String>,
    pec_id: Option<String>,
    client_id: Option<String>,
    form: Option<String>,
    delivery: Option<String>,
    received: Vec<String>,
    extended_error: Option<String>,
}

impl Walk {
    fn enter(&mut self, tag: &BytesStart) -> Result<(), DaticertError> {
        if self.open.len() >= DEPTH_MAX {
            return Err(malformed("nested too deep"));
        }
        let name = tag.local_name().as_ref().to_owned();
        if self.open.is_empty() {
            self.root(tag, &name)?;
        }
        let attribute = match name.as_str() {
            "destinatari" | "ricevuta" => attribute(tag, "tipo")?,
            "data" => attribute(tag, "zona")?,
            _ => None,
        };
        self.open.push(Open { name, attribute, text: String::new() });
        Ok(())
    }

    fn root(&mut self, tag: &BytesStart, name: &str) -> Result<(), DaticertError> {
        if std::mem::replace(&mut self.found.root, true) {
            return Err(malformed("more than one root"));
        }
        if name != "postacert" {
            return Err(DaticertError::Missing("postacert"));
        }
        self.found.kind = attribute(tag, "tipo")?;
        self.found.error = attribute(tag, "errore")?;
        Ok(())
    }

    fn text(&mut self, text: &str) {
        if let Some(open) = self.open.last_mut() {
            open.text.extend(text.chars().map(legal));
        }
    }

    fn leave(&mut self) -> Result<(), DaticertError> {
        let Some(Open { name, attribute, text }) = self.open.pop() else {
            return Err(malformed("an end without a start"));
        };
        let mut path: Vec<&str> = self.open.iter().map(|open| open.name.as_str()).collect();
        path.push(&name);
        self.found.take(&path, attribute, text)
    }

    fn finish(self) -> Result<Certification, DaticertError> {
        if !self.open.is_empty() {
            return Err(malformed("not complete"));
        }
        self.found.finish()
    }
}

/// An attribute by its local name.
fn attribute(tag: &BytesStart, name: &str) -> Result<Option<String>, DaticertError> {
    for attribute in tag.attributes().with_checks(false) {
        let attribute = attribute.map_err(|_| malformed("an attribute that cannot be read"))?;
        if attribute.key.local_name().as_ref() == name {
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|_| malformed("an attribute value that cannot be read"))?;
            return Ok(Some(value.chars().map(legal).collect::<String>().trim().to_owned()));
        }
    }
    Ok(None)
}

impl Found {
    /// Files the content of an element that has just ended.
    fn take(&mut self, path: &[&str], attribute: Option<String>, text: String) -> Result<(), DaticertError> {
        let trimmed = || text.trim().to_owned();
        let ["postacert", path @ ..] = path else { return Ok(()) };
        match path {
            ["intestazione", "mittente"] => first(&mut self.sender, trimmed()),
            ["intestazione", "destinatari"] => self.recipient(attribute, trimmed())?,
            ["intestazione", "risposte"] => first(&mut self.replies, trimmed()),
            ["intestazione", "oggetto"] => first(&mut self.subject, text),
            ["dati", "gestore-emittente"] => first(&mut self.provider, trimmed()),
            ["dati", "data"] => {
                if let Some(zone) = attribute {
                    first(&mut self.zone, zone);
                }
            }
            ["dati", "data", "giorno"] => first(&mut self.day, trimmed()),
            ["dati", "data", "ora"] => first(&mut self.hour, trimmed()),
            ["dati", "identificativo"] => first(&mut self.pec_id, trimmed()),
            ["dati", "msgid"] => first(&mut self.client_id, trimmed()),
            ["dati", "ricevuta"] => {
                if let Some(form) = attribute {
                    first(&mut self.form, form);
                }
            }
            ["dati", "consegna"] => first(&mut self.delivery, trimmed()),
            ["dati", "ricezione"] => {
                bounded(self.received.len())?;
                self.received.push(trimmed());
            }
            ["dati", "errore-esteso"] => first(&mut self.extended_error, trimmed()),
            _ => {}
        }
        Ok(())
    }

    /// One of `destinatari`; the DTD's default type is `certificato`.
    fn recipient(&mut self, tipo: Option<String>, text: String) -> Result<(), DaticertError> {
        bounded(self.recipients.len() + self.odd_recipients.len())?;
        let kind = match tipo {
            None => RecipientKind::Certified,
            Some(token) => {
                RecipientKind::from_wire(&token).ok_or(DaticertError::Value("destinatari/@tipo"))?
            }
        };
        match Address::parse(&text) {
            Ok(address) => self.recipients.push(Recipient { address, kind }),
            Err(_) => self.odd_recipients.push(text),
        }
        Ok(())
    }

    fn finish(self) -> Result<Certification, DaticertError> {
        use DaticertError::Missing;
        if !self.root {
            return Err(Missing("postacert"));
        }
        let kind = self.kind.ok_or(Missing("postacert/@tipo"))?.to_ascii_lowercase();
        if !Kind::ALL.iter().any(|k| k.words().certification == Some(kind.as_str())) {
            return Err(DaticertError::Value("postacert/@tipo"));
        }
        let error = self.error.unwrap_or_else(|| words::NO_ERROR.to_owned()).to_ascii_lowercase();
        if !words::ERRORS.contains(&error.as_str()) {
            return Err(DaticertError::Value("postacert/@errore"));
        }
        if self.recipients.is_empty() && self.odd_recipients.is_empty() {
            return Err(Missing("destinatari"));
        }
        Ok(Certification {
            kind,
            error,
            sender: self.sender.ok_or(Missing("mittente"))?,
            recipients: self.recipients,
            odd_recipients: self.odd_recipients,
            replies: self.replies.ok_or(Missing("risposte"))?,
            subject: self.subject,
            provider: self.provider.ok_or(Missing("gestore-emittente"))?,
            zone: self.zone.ok_or(Missing("data/@zona"))?,
            day: self.day.ok_or(Missing("giorno"))?,
            hour: self.hour.ok_or(Missing("ora"))?,
            pec_id: self.pec_id.filter(|id| !id.is_empty()).ok_or(Missing("identificativo"))?,
            client_id: self.client_id.filter(|id| !id.is_empty()),
            form: self.form.as_deref().and_then(ReceiptForm::from_wire),
            delivery: self.delivery,
            received: self.received,
            extended_error: self.extended_error,
        })
    }
}

fn first(slot: &mut Option<String>, value: String) {
    slot.get_or_insert(value);
}

fn bounded(count: usize) -> Result<(), DaticertError> {
    if count >= RECIPIENTS_MAX { Err(malformed("too many recipients")) } else { Ok(()) }
}
