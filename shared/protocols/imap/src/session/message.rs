//! What is in a message: its outline, the octets of a section (RFC 9051 §6.4.5.1).

use std::sync::Arc;

use bytes::Bytes;
use mime::{
    Headers, Limits,
    outline::{Outline, Part, Scanner},
    stream::Transfer,
};
use stages::{
    Rim, StageError,
    mailbox::{self, Message},
    ports::BlobError,
};

use super::{Host, selected::Selected};
use crate::{
    command::{Section, Style, Text},
    fault::Fault,
    views::Known,
};

/// Octets of a message that are read at a time.
pub(super) const READ_BYTES: u64 = 256 * 1024;
/// How an outline is written down; one of another form is made anew.
const FORM: char = '1';
/// Octets of one header that are looked at.
const HEADER_BYTES_MAX: u64 = 256 * 1024;

/// Rows of messages in order of UID, those that are there; with `outlines` each has one. Some hundred at a time: they
/// are in memory together.
pub(super) async fn known(
    host: &Host,
    selected: &Selected,
    uids: &[u32],
    outlines: bool,
) -> Result<Vec<Arc<Known>>, Fault> {
    let (mut found, others) = selected.lease.known(uids, outlines);
    if others.is_empty() {
        return Ok(found);
    }
    let (view, named) = (&selected.view, others.into_iter().collect());
    let rows = mailbox::messages(&host.rim, view.mailbox(), &view.state().id, &named).await?;
    let (mut new, mut made) = (Vec::with_capacity(rows.len()), Vec::new());
    for mut row in rows {
        let mut outline = read(&row);
        if outline.is_none() && outlines {
            let scanned = scan(&host.rim, &row).await?;
            row.structure = kept(&scanned);
            made.extend(row.structure.clone().map(|text| (row.clone(), text)));
            outline = Some(scanned);
        }
        new.push(Arc::new(Known::new(row, outline)));
    }
    if !made.is_empty() {
        mailbox::keep_structures(&host.rim, made).await?;
    }
    selected.lease.keep(&new);
    found.extend(new);
    found.sort_unstable_by_key(|known| known.row.uid);
    Ok(found)
}

/// The outline that a row has, if it has one of this form.
fn read(row: &Message) -> Option<Outline> {
    serde_json::from_str(row.structure.as_deref()?.strip_prefix(FORM)?).ok()
}

/// The outline of a message, from its octets.
async fn scan(rim: &Rim, row: &Message) -> Result<Outline, Fault> {
    let mut scanner = Scanner::new();
    let mut reader = Reader::new(rim, row, 0, u64::MAX);
    while let Some(octets) = reader.next().await? {
        scanner.push(&octets);
    }
    Ok(scanner.finish())
}

/// An outline as it is kept.
pub(super) fn kept(outline: &Outline) -> Option<String> {
    serde_json::to_string(outline).ok().map(|text| format!("{FORM}{text}"))
}

/// Reads octets of a message, some at a time.
pub(super) struct Reader<'a> {
    rim: &'a Rim,
    message: &'a Message,
    at: u64,
    end: u64,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(rim: &'a Rim, message: &'a Message, at: u64, end: u64) -> Self {
        Self { rim, message, at, end }
    }

    /// The next octets; `None` at the end of the range or of the message.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let len = self.end.saturating_sub(self.at).min(READ_BYTES);
        if len == 0 {
            return Ok(None);
        }
        let blob = &self.message.blob;
        let read = self.rim.blobs.get_range(blob, self.at, len).await.map_err(StageError::from)?;
        let octets = read.ok_or_else(|| StageError::from(BlobError::Missing(blob.clone())))?;
        self.at += octets.len() as u64;
        if (octets.len() as u64) < len {
            self.end = self.at;
        }
        Ok((!octets.is_empty()).then_some(octets))
    }

    /// Everything, where that is known to be little.
    pub(super) async fn all(mut self) -> Result<Vec<u8>, Fault> {
        let mut all = Vec::new();
        while let Some(octets) = self.next().await? {
            all.extend_from_slice(&octets);
        }
        Ok(all)
    }
}

/// What a section is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Octets {
    /// There is no such part.
    Nil,
    /// These octets of the message.
    Range(u64, u64),
    /// Some fields of the header at these octets.
    Fields(u64, u64),
    /// These octets, without this transfer encoding.
    Decoded(u64, u64, String),
}

/// Where the octets of a section are. Without an outline only for the message as a whole.
pub(super) fn locate(section: &Section, size: u64, outline: Option<&Outline>) -> Octets {
    if section.part.is_empty() && section.text == Text::Whole {
        return Octets::Range(0, size);
    }
    let Some(outline) = outline else { return Octets::Nil };
    let part = match section.part.as_slice() {
        [] => Some(&outline.root),
        number => outline.part(number),
    };
    let Some(part) = part else { return Octets::Nil };
    // Header and text of a part are those of the message in it.
    let within = match section.part.as_slice() {
        [] => Some(part),
        _ if part.is_message() => part.children.first(),
        _ => None,
    };
    match (&section.text, within) {
        (Text::Whole, _) if section.style == Style::Binary => {
            let encoding = part.encoding.clone().unwrap_or_else(|| "7bit".to_owned());
            Octets::Decoded(part.body, part.end, encoding)
        }
        (Text::Whole, _) => Octets::Range(part.body, part.end),
        (Text::Mime, _) => Octets::Range(part.start, part.body),
        (Text::Header, Some(part)) => Octets::Range(part.start, part.body),
        (Text::Text, Some(part)) => Octets::Range(part.body, part.end),
        (Text::Fields(..), Some(part)) => {
            Octets::Fields(part.start, part.body.min(part.start + HEADER_BYTES_MAX))
        }
        (_, None) => Octets::Nil,
    }
}

/// The fields of a header that are asked for, or all others, and the blank line.
pub(super) fn fields(header: Vec<u8>, names: &[String], others: bool) -> Vec<u8> {
    let limits = Limits { header_bytes: usize::MAX, header_fields: usize::MAX, ..Limits::default() };
    let (headers, _) = Headers::parse(&Bytes::from(header), &limits).unwrap_or_default();
    let mut out = Vec::new();
    for field in headers.iter() {
        if names.iter().any(|name| field.is(name)) != others {
            out.extend_from_slice(field.raw());
        }
    }
    if !out.is_empty() && !out.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// What of these octets, the first of which is at place `at`, is between two places.
pub(super) fn within(octets: &[u8], at: u64, from: u64, to: u64) -> &[u8] {
    let here = |place: u64| usize::try_from(place.saturating_sub(at)).unwrap_or(usize::MAX).min(octets.len());
    octets.get(here(from)..here(to)).unwrap_or_default()
}

/// Octets of a part without its transfer encoding: how many, for the announcement, or what `BINARY.SIZE` says.
pub(super) async fn decoded_size(
    rim: &Rim,
    message: &Message,
    (start, end): (u64, u64),
    encoding: &str,
) -> Result<u64, Fault> {
    let mut size = 0;
    let mut decoder = Decoder::new(rim, message, (start, end), encoding)?;
    while let Some(octets) = decoder.next().await? {
        size += octets.len() as u64;
    }
    Ok(size)
}

/// Decodes a part, some octets at a time.
pub(super) struct Decoder<'a> {
    reader: Reader<'a>,
    transfer: Option<Transfer>,
}

/// RFC 3516 §4.3.
const UNKNOWN: Fault = Fault::No("UNKNOWN-CTE", "the transfer encoding is unknown or broken");

impl<'a> Decoder<'a> {
    pub(super) fn new(
        rim: &'a Rim,
        message: &'a Message,
        (start, end): (u64, u64),
        encoding: &str,
    ) -> Result<Self, Fault> {
        let transfer = Transfer::new(encoding).ok_or(UNKNOWN)?;
        Ok(Self { reader: Reader::new(rim, message, start, end), transfer: Some(transfer) })
    }

    /// The next octets, perhaps none of them yet; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let Some(transfer) = &mut self.transfer else { return Ok(None) };
        let mut out = Vec::new();
        match self.reader.next().await? {
            Some(octets) => transfer.push(&octets, &mut out).map_err(|_| UNKNOWN)?,
            None => {
                transfer.finish(&mut out).map_err(|_| UNKNOWN)?;
                self.transfer = None;
            }
        }
        Ok(Some(out))
    }
}

/// Whether something is in a part that is read as text: text itself, XML, and the headers of messages in it.
pub(super) fn is_text(part: &Part) -> bool {
    let kind = part.kind.to_ascii_lowercase();
    let xml = kind == "application" && part.subtype.to_ascii_lowercase().ends_with("xml");
    kind == "text" || xml || (kind == "message" && !part.is_message())
}
