//! What the submission door does to a message before it is the original (spec 0.2 D4, D5).

use bytes::Bytes;
use mime::{Entity, Headers, Limits, Rope, encode, lines};

use super::{Splice, Trace};

/// How many messages inside messages are looked into.
const MESSAGE_DEPTH_MAX: usize = 8;

/// What the submission door stores: one `Received:` field prepended, and 8-bit text parts down-converted to
/// quoted-printable where that is lawful (spec 0.2 D4, D5). What cannot be converted stays and is refused by
/// [`crate::check::check`].
///
/// Converted are `text/*` parts whose body is 8-bit and whose transfer encoding is the identity, also those of
/// attached messages, never anything inside of a `multipart/signed`. Of such a part only the field of the transfer
/// encoding and the body change; lines over 998 octets disappear with it, while those of a 7-bit part stay and are
/// refused. A body with NUL or bare CR or LF stays as well: encoding must not hide what is not allowed. A message
/// without `MIME-Version` that is one such text gets the field.
#[must_use]
pub fn admit(raw: &Bytes, trace: &Trace) -> Rope {
    let mut out = Rope::from(received(trace));
    out.append(down_convert(raw));
    out
}

/// Trace information (RFC 5321 §4.4); without a FROM clause, since the door knows an account and no host.
fn received(trace: &Trace) -> String {
    let [by, with, id] = [&trace.by, &trace.with, &trace.id].map(|t| token(t));
    format!("Received: by {by} with {with} id {id};\r\n\t{}\r\n", trace.at.header())
}

fn token(text: &str) -> String {
    text.chars().filter(|&c| c.is_ascii_graphic() && !";()<>\"\\".contains(c)).collect()
}

fn down_convert(raw: &Bytes) -> Rope {
    let mut splice = Splice::default();
    if !raw.is_ascii() {
        convert_message(raw, 0, MESSAGE_DEPTH_MAX, &mut splice);
    }
    splice.apply(raw)
}

/// Converts inside the message that stands at octet `base`; `levels` of messages may be opened below it.
fn convert_message(message: &Bytes, base: usize, levels: usize, splice: &mut Splice) {
    let Ok(entity) = Entity::parse(message, &Limits::default()) else { return };
    if is_8bit_text(&entity) && entity.headers().count("MIME-Version") == 0 {
        splice.insert(base + end_of_fields(entity.headers()), "MIME-Version: 1.0\r\n");
    }
    convert(&entity, base, levels, splice);
}

fn convert(entity: &Entity, base: usize, levels: usize, splice: &mut Splice) {
    if entity.body().is_ascii() {
        return;
    }
    if is_8bit_text(entity) {
        declare_quoted_printable(entity, base, splice);
        let body = entity.body_range();
        splice.replace(base + body.start..base + body.end, encode::quoted_printable(entity.body()));
        return;
    }
    match entity.content_type().media() {
        ("multipart", "signed") => {}
        ("message", "rfc822") if is_identity(entity) => {
            if let Some(levels) = levels.checked_sub(1) {
                convert_message(entity.body(), base + entity.body_range().start, levels, splice);
            }
        }
        _ => entity.children().iter().for_each(|part| convert(part, base, levels, splice)),
    }
}

fn is_8bit_text(entity: &Entity) -> bool {
    let any_length = Limits { line_bytes: usize::MAX - 2, ..Limits::default() };
    entity.content_type().media().0 == "text"
        && is_identity(entity)
        && !entity.body().is_ascii()
        && lines::check(entity.body(), &any_length).is_ok()
}

fn is_identity(entity: &Entity) -> bool {
    matches!(entity.transfer_encoding().as_str(), "7bit" | "8bit" | "binary")
}

fn declare_quoted_printable(entity: &Entity, base: usize, splice: &mut Splice) {
    let base = base + entity.raw_range().start;
    let mut declaration = Some("Content-Transfer-Encoding: quoted-printable\r\n");
    for field in entity.headers().all("Content-Transfer-Encoding") {
        let range = field.range();
        splice.replace(base + range.start..base + range.end, declaration.take().unwrap_or_default());
    }
    if let Some(declaration) = declaration {
        splice.insert(base + end_of_fields(entity.headers()), declaration);
    }
}

/// Where the blank line starts.
fn end_of_fields(headers: &Headers) -> usize {
    headers.iter().last().map_or(0, |field| field.range().end)
}
