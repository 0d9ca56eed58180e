//! The identifiers of the original as certified (RFC 6109 §2.2.1, spec 4.3, 0.2 D5).

use bytes::Bytes;
use mime::{Headers, Limits, Rope};

use super::{Splice, client_id};
use crate::words::header;

/// Fields that mail systems put before a message; nothing of ours goes between them.
const TRACE: [&str; 3] = ["Received", "Return-Path", "Delivered-To"];

/// The original as certified: Message-ID replaced by the PEC id, `X-Riferimento-Message-ID` with the client's id
/// added (or a given one removed, if there is no client id), not one other octet touched (RFC 6109 §2.2.1, D5).
///
/// Both fields stand where the client's Message-ID stood, else below the trace fields. An original whose header
/// exceeds the bounds, which no check lets pass, comes back as it is.
#[must_use]
pub fn rewrite(original: &Bytes, pec_id: &str) -> Rope {
    let Ok((headers, _)) = Headers::parse(original, &Limits::default()) else {
        return Rope::from(original.clone());
    };
    let mut fields = format!("Message-ID: <{pec_id}>\r\n");
    if let Some(id) = client_id(&headers) {
        fields.push_str(&format!("{}: {id}\r\n", header::REFERENCE));
    }
    let mut splice = Splice::default();
    splice.insert(place(&headers), fields);
    for field in headers.iter().filter(|f| f.is("Message-ID") || f.is(header::REFERENCE)) {
        splice.replace(field.range(), "");
    }
    splice.apply(original)
}

fn place(headers: &Headers) -> usize {
    let is_trace = |field: &&mime::Field| TRACE.iter().any(|name| field.is(name));
    if let Some(field) = headers.first("Message-ID").or_else(|| headers.iter().find(|f| !is_trace(f))) {
        return field.range().start;
    }
    // Nothing but trace: below it, unless its last line has no end.
    headers.iter().last().filter(|f| f.raw().ends_with(b"\n")).map_or(0, |f| f.range().end)
}
