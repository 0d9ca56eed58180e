//! Octets of answers: strings, envelopes, structures (RFC 9051 §7.5.2, §9).

use mime::outline::{Addr, Envelope, Outline, Part};

/// A quoted string may be as long; what is longer is a literal.
const QUOTED_BYTES_MAX: usize = 1000;

/// What stands for the parts of a multipart that has none: the grammar wants one.
const NO_PART: &[u8] = b"(\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 0 0)";

/// `ENVELOPE`, `BODY` and `BODYSTRUCTURE` of a message as they go over the wire, with a space between; `utf8` for clients
/// that take UTF-8 in quoted strings.
#[must_use]
pub fn describe(outline: &Outline, utf8: bool) -> Vec<u8> {
    let mut writer = Writer::new(utf8);
    writer.envelope(outline.envelope().unwrap_or(&Envelope::default()));
    writer.raw(" ").structure(&outline.root, false).raw(" ").structure(&outline.root, true);
    writer.out
}

/// Where an answer is written to; `utf8` when the client takes UTF-8 in quoted strings (RFC 9051 §4.3, RFC 6855 §3).
pub(crate) struct Writer {
    pub(crate) out: Vec<u8>,
    pub(crate) utf8: bool,
}

impl Writer {
    pub(crate) const fn new(utf8: bool) -> Self {
        Self { out: Vec::new(), utf8 }
    }

    pub(crate) fn raw(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        self.out.extend_from_slice(text.as_ref());
        self
    }

    pub(crate) fn number(&mut self, number: impl Into<u64>) -> &mut Self {
        self.raw(number.into().to_string())
    }

    /// A string: quoted where it can be, else a literal. NUL, which no string may hold, is left out.
    pub(crate) fn string(&mut self, text: &str) -> &mut Self {
        let plain =
            |octet: u8| matches!(octet, b' '..=b'~') || octet == b'\t' || (self.utf8 && octet >= 0x80);
        if text.len() <= QUOTED_BYTES_MAX && text.bytes().all(plain) {
            self.out.push(b'"');
            for octet in text.bytes() {
                if matches!(octet, b'"' | b'\\') {
                    self.out.push(b'\\');
                }
                self.out.push(octet);
            }
            self.out.push(b'"');
            return self;
        }
        let octets: Vec<u8> = text.bytes().filter(|octet| *octet != 0).collect();
        self.raw(format!("{{{}}}\r\n", octets.len())).raw(octets)
    }

    /// A string, or `NIL`.
    pub(crate) fn nstring(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.string(text),
            None => self.raw("NIL"),
        }
    }

    /// `ENVELOPE`. Sender and Reply-To are From where they are not there.
    pub(crate) fn envelope(&mut self, envelope: &Envelope) -> &mut Self {
        let or_from = |list| if <[Addr]>::is_empty(list) { envelope.from.as_slice() } else { list };
        self.raw("(").nstring(envelope.date.as_deref()).raw(" ").nstring(envelope.subject.as_deref());
        for list in [
            envelope.from.as_slice(),
            or_from(&envelope.sender),
            or_from(&envelope.reply_to),
            &envelope.to,
            &envelope.cc,
            &envelope.bcc,
        ] {
            self.raw(" ").addresses(list);
        }
        self.raw(" ").nstring(envelope.in_reply_to.as_deref());
        self.raw(" ").nstring(envelope.message_id.as_deref()).raw(")")
    }

    fn addresses(&mut self, list: &[Addr]) -> &mut Self {
        if list.is_empty() {
            return self.raw("NIL");
        }
        self.raw("(");
        for addr in list {
            // The route is not kept: RFC 5322 §4.4 says to ignore it.
            self.raw("(").nstring(addr.name.as_deref()).raw(" NIL ").nstring(addr.mailbox.as_deref());
            self.raw(" ").nstring(addr.host.as_deref()).raw(")");
        }
        self.raw(")")
    }

    /// `BODYSTRUCTURE`, or without `extended` what `BODY` says. As deep as an outline is.
    pub(crate) fn structure(&mut self, part: &Part, extended: bool) -> &mut Self {
        self.raw("(");
        if part.is_multipart() {
            if part.children.is_empty() {
                self.raw(NO_PART);
            }
            for child in &part.children {
                self.structure(child, extended);
            }
            self.raw(" ").string(&part.subtype);
            if extended {
                self.raw(" ").params(&part.params).rest(part);
            }
            return self.raw(")");
        }
        self.single(part, extended);
        if extended {
            self.raw(" ").nstring(part.md5.as_deref()).rest(part);
        }
        self.raw(")")
    }

    fn single(&mut self, part: &Part, extended: bool) {
        // A message that was not opened cannot be said to be one: the grammar wants what is in it.
        let closed = !part.is_message()
            && part.kind.eq_ignore_ascii_case("message")
            && ["rfc822", "global"].iter().any(|subtype| part.subtype.eq_ignore_ascii_case(subtype));
        let is_text = part.kind.eq_ignore_ascii_case("text");
        if closed {
            self.raw("\"APPLICATION\" \"OCTET-STREAM\" ").params(&part.params);
        } else {
            self.string(&part.kind).raw(" ").string(&part.subtype).raw(" ");
            match is_text && part.params.is_empty() {
                true => self.raw("(\"CHARSET\" \"US-ASCII\")"), // RFC 2045 §5.2
                false => self.params(&part.params),
            };
        }
        self.raw(" ").nstring(part.id.as_deref()).raw(" ").nstring(part.description.as_deref());
        self.raw(" ").string(part.encoding.as_deref().unwrap_or("7BIT"));
        self.raw(" ").number(part.end - part.body);
        if let Some(message) = part.children.first() {
            let none = Envelope::default();
            self.raw(" ").envelope(message.envelope.as_deref().unwrap_or(&none));
            self.raw(" ").structure(message, extended);
        }
        if is_text || part.is_message() {
            self.raw(" ").number(part.lines);
        }
    }

    /// Disposition, languages, location.
    fn rest(&mut self, part: &Part) {
        match &part.disposition {
            Some((value, params)) => self.raw(" (").string(value).raw(" ").params(params).raw(")"),
            None => self.raw(" NIL"),
        };
        match part.languages.as_slice() {
            [] => self.raw(" NIL"),
            [only] => self.raw(" ").string(only),
            [first, rest @ ..] => {
                self.raw(" (").string(first);
                for tag in rest {
                    self.raw(" ").string(tag);
                }
                self.raw(")")
            }
        };
        self.raw(" ").nstring(part.location.as_deref());
    }

    fn params(&mut self, params: &[(String, String)]) -> &mut Self {
        let Some(((name, value), rest)) = params.split_first() else { return self.raw("NIL") };
        self.raw("(").string(name).raw(" ").string(value);
        for (name, value) in rest {
            self.raw(" ").string(name).raw(" ").string(value);
        }
        self.raw(")")
    }
}

#[cfg(test)]
mod tests;
