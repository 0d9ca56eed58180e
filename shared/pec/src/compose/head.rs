//! The header of a generated message (spec 2.3, 2.5; G2 to G5, G13, G14).

use std::borrow::Cow;

use mime::{Field, Headers, word};

use super::body::Material;
use crate::{
    Document, Kind,
    document::Matter,
    words::{self, header},
};

/// Fields that envelopes take from what they wrap, before the PEC fields (spec 2.5 M4, M8).
const TRACE: [&str; 2] = ["Return-Path", "Received"];
/// A line of a header has at most so many octets without its line end (RFC 5322 §2.1.1).
const LINE_MAX: usize = 998;
/// No address is longer (RFC 5321 §4.5.3.1.3); a longer text need not fit into a display name.
const ADDRESS_MAX: usize = 254;

/// The header with its blank line.
pub(super) fn head(document: &Document, material: &Material, boundary: &str) -> Vec<u8> {
    let mut head = Head::default();
    match &document.matter {
        Matter::TransportEnvelope { form } => {
            head.envelope(document, material);
            head.reply_to(material);
            head.text("Message-ID", &format!("<{}>", document.letter.pec_id));
            head.reference(document);
            head.text(header::RECEIPT_FORM, form.wire());
        }
        Matter::AnomalyEnvelope { fresh_id, .. } => {
            head.envelope(document, material);
            head.reply_to(material);
            // G13: the id is inherited; spec 0.2 D14: a fresh one if there is none.
            match material.headers.first("Message-ID").filter(|field| !field.unfolded().is_empty()) {
                Some(field) => head.copy(field),
                None => head.text("Message-ID", fresh_id),
            }
        }
        _ => head.receipt(document),
    }
    head.line("MIME-Version: 1.0");
    head.line("Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\";");
    head.line(&format!(" micalg=sha-256; boundary=\"{boundary}\""));
    if material.is_8bit {
        head.line("Content-Transfer-Encoding: 8bit"); // spec 0.2 D4
    }
    head.line("");
    head.octets
}

/// The header of a delivery status notification with its blank line (RFC 3464 §2, RFC 3834). From is who answers for the
/// system (RFC 5321 §4.5.1), not the service address: nothing that is not signed comes from there (G2).
pub(super) fn of_report(document: &Document, boundary: &str) -> Vec<u8> {
    let mut head = Head::default();
    let words = document.kind().words();
    head.text("Date", &document.at.header());
    head.subject(document);
    head.text("From", &format!("postmaster@{}", document.issuer.address.domain()));
    head.text("To", &document.to);
    head.text("Message-ID", &document.message_id);
    head.text(words.field, words.value);
    head.line("MIME-Version: 1.0");
    head.line("Content-Type: multipart/report; report-type=delivery-status;");
    head.line(&format!(" boundary=\"{boundary}\""));
    head.line("");
    head.octets
}

/// Fields as they stand in a delivery status (RFC 3464 §2.1), in groups with a blank line behind each.
pub(super) fn status_fields(groups: &[Vec<(&str, String)>]) -> Vec<u8> {
    let mut head = Head::default();
    for group in groups {
        for (name, value) in group {
            head.text(name, value);
        }
        head.line("");
    }
    head.octets
}

struct Head {
    octets: Vec<u8>,
}

/// Octets of most headers.
const USUAL_BYTES: usize = 1024;

impl Default for Head {
    fn default() -> Self {
        Self { octets: Vec::with_capacity(USUAL_BYTES) }
    }
}

impl Head {
    /// The header that receipts and notices share (spec 2.3).
    fn receipt(&mut self, document: &Document) {
        let words = document.kind().words();
        self.text(words.field, words.value);
        if words.security {
            self.text(header::SECURITY, words::SECURITY_ERROR);
        }
        if document.kind() == Kind::VirusDetection {
            self.text(header::SENDER, &document.letter.sender);
        }
        self.text("Date", &document.at.header());
        self.subject(document);
        self.text("From", document.issuer.address.as_str()); // G2
        self.text("To", &document.to); // G5
        self.reference(document);
        self.text("Message-ID", &document.message_id);
    }

    /// What the two envelopes share: copied fields and those that replace them (RFC 6109 §2.1, §2.1.1.2).
    fn envelope(&mut self, document: &Document, material: &Material) {
        let words = document.kind().words();
        self.copy_all(&material.headers, &TRACE);
        self.text(words.field, words.value);
        self.text("Date", &document.at.header());
        self.subject(document);
        let sender: String = ascii(&material.sender).chars().take(ADDRESS_MAX).collect();
        let name = quoted_string(&format!("{}{sender}", words::ON_BEHALF_OF));
        self.text("From", &format!("{name} <{}>", document.issuer.address));
        self.copy_all(&material.headers, &["To", "Cc"]);
    }

    /// The wrapped message's own, else one made from its sender (spec 4.4, 0.2 D14).
    fn reply_to(&mut self, material: &Material) {
        if material.headers.first("Reply-To").is_some() {
            self.copy_all(&material.headers, &["Reply-To"]);
        } else if let Some(address) = &material.reply_to {
            self.text("Reply-To", address);
        }
    }

    /// The client's id, if the client wrote one (spec 2.3).
    fn reference(&mut self, document: &Document) {
        if let Some(id) = &document.letter.client_id {
            self.text(header::REFERENCE, id);
        }
    }

    /// Spec 0.2 D7: the prefix and the raw body of the original's field, never decoded, only refolded; encoded
    /// where only the decoded text is known (G14).
    fn subject(&mut self, document: &Document) {
        let prefix = document.kind().words().subject_prefix;
        let letter = &document.letter;
        let subject = match (&letter.subject_raw, &letter.subject) {
            (Some(raw), _) if raw.is_ascii() => raw.clone(),
            (Some(text), _) | (None, Some(text)) => word::encode_unstructured(&without_controls(text)),
            (None, None) => String::new(),
        };
        self.text("Subject", &format!("{prefix}{subject}"));
    }

    /// A field whose value may come from a letter: one field, of ASCII, whatever the value holds.
    fn text(&mut self, name: &str, value: &str) {
        let is_plain = value.bytes().all(|octet| octet == b'\t' || (b' '..=b'~').contains(&octet));
        let value = if is_plain { Cow::Borrowed(value) } else { Cow::Owned(ascii(&without_controls(value))) };
        word::fold_into(&mut self.octets, name, breakable(&value, name.len() + 2));
    }

    fn line(&mut self, line: &str) {
        self.octets.extend_from_slice(line.as_bytes());
        self.octets.extend_from_slice(b"\r\n");
    }

    /// Fields of these names, as they are and in their order.
    fn copy_all(&mut self, headers: &Headers, names: &[&str]) {
        for field in headers.iter().filter(|field| names.iter().any(|name| field.is(name))) {
            self.copy(field);
        }
    }

    /// A field octet by octet. One that would not be one field on its own, as only a received message can hold it
    /// (bare CR or LF, NUL, a line too long, the end missing), is written anew.
    fn copy(&mut self, field: &Field) {
        let raw = field.raw();
        if raw.ends_with(b"\r\n") && mime::lines::check(raw, &mime::Limits::default()).is_ok() {
            self.octets.extend_from_slice(raw);
        } else {
            let value = String::from_utf8_lossy(&field.unfolded()).into_owned();
            self.text(field.name(), &value);
        }
    }
}

/// CR, LF and other controls are gone, a tab stays.
fn without_controls(text: &str) -> String {
    text.chars().filter(|&c| c == '\t' || !c.is_control()).collect()
}

/// What a field of a generated message cannot hold becomes `?`.
fn ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

fn quoted_string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// The value with a space wherever a line could not be kept to [`LINE_MAX`] otherwise: as a rule the value itself.
/// Its first word stands behind `column` octets of name and colon, any other one can begin a line.
fn breakable(value: &str, column: usize) -> Cow<'_, [u8]> {
    if column + value.len() <= LINE_MAX {
        return Cow::Borrowed(value.as_bytes());
    }
    let is_space = |c: char| matches!(c, ' ' | '\t');
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while !rest.is_empty() {
        let (space, tail) = rest.split_at(rest.find(|c| !is_space(c)).unwrap_or(rest.len()));
        let (word, tail) = tail.split_at(tail.find(is_space).unwrap_or(tail.len()));
        let max = if out.is_empty() { LINE_MAX - column } else { LINE_MAX };
        let fits = space.len() + word.len() <= max;
        out.push_str(if fits || space.is_empty() { space } else { " " });
        for (number, c) in word.chars().enumerate() {
            if !fits && number > 0 && number % (max - 1) == 0 {
                out.push(' ');
            }
            out.push(c);
        }
        rest = tail;
    }
    Cow::Owned(out.into_bytes())
}
