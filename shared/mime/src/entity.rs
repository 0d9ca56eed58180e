//! A message or body part and what is inside of it (RFC 2045, RFC 2046).

use std::ops::Range;

use bytes::Bytes;

use crate::param::Value;
use crate::{Field, Headers, Limits, MimeError, charset, encode, share, split};

/// Whatever the limits say: each level takes stack.
const DEPTH_MAX: usize = 200;

/// An entity: byte-exact slices of the octets that were parsed, nothing is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    raw: Bytes,
    head: Bytes,
    body: Bytes,
    start: usize,
    headers: Headers,
    kind: Value,
    children: Vec<Entity>,
}

impl Entity {
    /// Reads a message, or one body part, with all multiparts below it. A `message/rfc822` is not opened; a multipart
    /// without a usable boundary has no children. An unclosed multipart is read to the end of its body.
    ///
    /// # Errors
    /// Only for what exceeds `limits`.
    pub fn parse(bytes: &Bytes, limits: &Limits) -> Result<Entity, MimeError> {
        let mut budget = limits.parts;
        Self::read(bytes, 0..bytes.len(), "text/plain", limits, limits.depth.min(DEPTH_MAX), &mut budget)
    }

    /// The header.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Header and body exactly as transported; of a part without the line end of the following delimiter.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The octets of the header, the blank line included.
    pub fn head(&self) -> &Bytes {
        &self.head
    }

    /// The octets after the header, still in their transfer encoding.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Where [`Self::raw`] stands in the octets that were parsed.
    pub fn raw_range(&self) -> Range<usize> {
        self.start..self.start + self.raw.len()
    }

    /// Where [`Self::body`] stands in the octets that were parsed.
    pub fn body_range(&self) -> Range<usize> {
        self.start + self.head.len()..self.start + self.raw.len()
    }

    /// The parts of a multipart; else none.
    pub fn children(&self) -> &[Entity] {
        &self.children
    }

    /// This entity and all below it, each parent before its children.
    pub fn walk(&self) -> impl Iterator<Item = &Entity> {
        let mut stack = vec![self];
        std::iter::from_fn(move || {
            let next = stack.pop()?;
            stack.extend(next.children.iter().rev());
            Some(next)
        })
    }

    /// The content type; `text/plain`, or `message/rfc822` inside a digest (RFC 2046 §5.1.5), if there is none or it is no
    /// type at all (RFC 2045 §5.2).
    pub const fn content_type(&self) -> &Value {
        &self.kind
    }

    /// The content disposition (RFC 2183).
    pub fn disposition(&self) -> Option<Value> {
        self.headers.first("Content-Disposition").map(|field| Value::parse(field.raw_body()))
    }

    /// Its file name: `filename` of the disposition, else `name` of the type, decoded; an empty one is none.
    pub fn name(&self) -> Option<String> {
        let named = |value: &Value, key| value.get(key).filter(|name| !name.is_empty()).map(str::to_owned);
        let filename = self.disposition().and_then(|value| named(&value, "filename"));
        filename.or_else(|| named(&self.kind, "name"))
    }

    /// The transfer encoding in lower case, `7bit` if there is none (RFC 2045 §6.1).
    pub fn transfer_encoding(&self) -> String {
        let field = self.headers.first("Content-Transfer-Encoding");
        let value = field.map(|field| Value::bare(field.raw_body()));
        value.filter(|value| !value.is_empty()).unwrap_or_else(|| "7bit".to_owned())
    }

    /// The body with its transfer encoding undone; an identity or unknown encoding shares the memory.
    ///
    /// # Errors
    /// [`MimeError::Base64`].
    pub fn decoded_body(&self) -> Result<Bytes, MimeError> {
        match self.transfer_encoding().as_str() {
            "base64" => encode::base64_decode(&self.body).map(Bytes::from),
            "quoted-printable" => Ok(Bytes::from(encode::quoted_printable_decode(&self.body))),
            _ => Ok(self.body.clone()),
        }
    }

    /// The body as text of its charset; the raw body where the transfer encoding is broken.
    pub fn text(&self) -> String {
        let octets = self.decoded_body().unwrap_or_else(|_| self.body.clone());
        match self.content_type().get("charset") {
            Some(label) if !label.eq_ignore_ascii_case("us-ascii") => charset::decode(label, &octets),
            _ => charset::guess(&octets),
        }
    }

    /// `depth` levels may still follow below this entity, `budget` parts may still come.
    fn read(
        source: &Bytes,
        range: Range<usize>,
        default_type: &'static str,
        limits: &Limits,
        depth: usize,
        budget: &mut usize,
    ) -> Result<Entity, MimeError> {
        let raw = share(source, range.start, range.end);
        let (headers, head_len) = Headers::parse(&raw, limits)?;
        let (head, body) = (share(&raw, 0, head_len), share(&raw, head_len, raw.len()));
        let kind = content_type(&headers, default_type);
        let mut entity = Entity { raw, head, body, start: range.start, headers, kind, children: Vec::new() };
        let ("multipart", subtype) = entity.kind.media() else { return Ok(entity) };
        let child_type = if subtype == "digest" { "message/rfc822" } else { "text/plain" };
        let boundary = entity.kind.get("boundary").unwrap_or_default().trim_end();
        let parts = match split::ranges(&entity.body, boundary.as_bytes(), *budget) {
            Ok(ranges) => ranges.parts,
            Err(MimeError::Boundary) => return Ok(entity),
            Err(_) => return Err(MimeError::TooManyParts { max: limits.parts }),
        };
        *budget -= parts.len();
        let below = match depth.checked_sub(1) {
            Some(below) => below,
            None if parts.is_empty() => return Ok(entity),
            None => return Err(MimeError::TooDeep { max: limits.depth }),
        };
        let offset = entity.body_range().start;
        for part in parts {
            let range = part.start + offset..part.end + offset;
            entity.children.push(Self::read(source, range, child_type, limits, below, budget)?);
        }
        Ok(entity)
    }
}

fn content_type(headers: &Headers, default_type: &str) -> Value {
    let given = headers.first("Content-Type").map(Field::raw_body).map(|body| Value::parse(body));
    let is_type =
        |value: &Value| matches!(value.media(), (kind, subtype) if !kind.is_empty() && !subtype.is_empty());
    given.filter(is_type).unwrap_or_else(|| Value { value: default_type.to_owned(), params: Vec::new() })
}

#[cfg(test)]
mod tests;
