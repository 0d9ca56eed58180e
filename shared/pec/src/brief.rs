//! The brief delivery receipt: attachments replaced by their hashes (RFC 6109 §3.3.2.2, spec 6.4, D21).

#[cfg(test)]
mod tests;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use bytes::Bytes;
use mime::{Entity, Limits, Rope, param, word};

use crate::original::Splice;

/// Fields of an attachment that speak of the octets which the hash takes the place of.
const REPLACED: [&str; 5] =
    ["Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "Content-MD5", "Content-Length"];

/// The original with every attachment replaced by a `.hash` part. What needs no replacement is shared, not copied.
/// An original that cannot be walked (bounds) comes back whole.
///
/// The part of a hash keeps the fields that do not describe its content (`Content-ID`, and of a message that is
/// one attachment all of its own), so that the structure and the references in it stay.
#[must_use]
pub fn brief(original: &Bytes) -> Rope {
    let mut walk = Walk::default();
    if let Ok(entity) = Entity::parse(original, &Limits::default())
        && !is_opaque(&entity)
    {
        walk.visit(&entity);
    }
    walk.splice.apply(original)
}

/// S/MIME in one CMS object, judged at top level only (spec 6.4, 6).
fn is_opaque(entity: &Entity) -> bool {
    matches!(entity.content_type().media(), ("application", "pkcs7-mime" | "x-pkcs7-mime"))
}

#[derive(Default)]
struct Walk {
    splice: Splice,
    /// Attached messages without a name so far.
    nameless: usize,
}

impl Walk {
    fn visit(&mut self, entity: &Entity) {
        match entity.content_type().media() {
            // The signature stays, be it S/MIME or PGP (D21); it is always the second part (RFC 1847 §2.1).
            ("multipart", "signed") => {
                let signed = entity.children().iter().enumerate().filter(|(n, _)| *n != 1);
                signed.for_each(|(_, part)| self.visit(part));
            }
            // A multipart is walked, not hashed, even if it has a name (D21).
            ("multipart", _) => entity.children().iter().for_each(|part| self.visit(part)),
            ("message", "rfc822") => {
                let name = named(entity).unwrap_or_else(|| {
                    self.nameless += 1;
                    format!("messaggio-{}.eml", self.nameless)
                });
                self.replace(entity, &name);
            }
            _ => {
                if let Some(name) = named(entity) {
                    self.replace(entity, &name);
                }
            }
        }
    }

    fn replace(&mut self, entity: &Entity, name: &str) {
        let base = entity.raw_range().start;
        let described = || entity.headers().iter().filter(|f| REPLACED.iter().any(|name| f.is(name)));
        let place = described().next().map_or(0, |field| field.range().start);
        self.splice.insert(base + place, header(entity, &format!("{name}.hash")));
        for field in described() {
            let range = field.range();
            self.splice.replace(base + range.start..base + range.end, "");
        }
        let body = format!("{}{}", missing_blank_line(entity), hash(entity.body()));
        self.splice.replace(entity.body_range(), body);
    }
}

/// What must stand between a header that runs to the end of its part and the hash.
fn missing_blank_line(entity: &Entity) -> &'static str {
    let Some(last) = entity.headers().iter().last() else {
        return if entity.head().is_empty() { "\r\n" } else { "" };
    };
    let cut_off = last.range().end == entity.head().len();
    let kept = !REPLACED.iter().any(|name| last.is(name));
    match (cut_off, kept && !last.raw().ends_with(b"\n")) {
        (false, _) => "",
        (true, false) => "\r\n",
        (true, true) => "\r\n\r\n",
    }
}

/// The name of an attachment: `filename` of the disposition, else `name` of the type. An empty one is a name too:
/// the rule asks for the parameter, not for its value.
fn named(entity: &Entity) -> Option<String> {
    entity.name().or_else(|| {
        let filename = entity.disposition().is_some_and(|d| d.get("filename").is_some());
        (filename || entity.content_type().get("name").is_some()).then(String::new)
    })
}

/// The fields that describe a hash; the disposition is the attachment's own (D21).
fn header(entity: &Entity, name: &str) -> Vec<u8> {
    let given = entity.disposition().map(|d| d.value).filter(|v| is_token(v));
    let disposition = given.unwrap_or_else(|| "attachment".to_owned());
    let mut out = word::fold("Content-Type", format!("text/plain; {}", param::encode("name", name)));
    out.extend(word::fold("Content-Transfer-Encoding", "7bit"));
    let filename = param::encode("filename", name);
    out.extend(word::fold("Content-Disposition", format!("{disposition}; {filename}")));
    out
}

fn is_token(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// SHA-1 over the body as transported, in lower-case hexadecimal without a line end (D21).
fn hash(body: &[u8]) -> String {
    hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, body))
}
