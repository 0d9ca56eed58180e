//! `sigillo audit`: the legal log, read where it is stored, and what its seals prove.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use embedded::{
    OpenError, Provider,
    segments::{FileTail, SegmentFolder},
};
use smime::Verifier;
use stages::{
    log::LogEntry,
    sealing::{
        File, Statement,
        proof::{Chain, Files, Held, Proof, Trust, compare, sealed},
    },
};

use super::{CommandError, deployment::Operator, failed, print, print_json, verify::anchors};
use crate::{
    cli::{AuditLetter, AuditProve, AuditVerify},
    folder::{Access, Folder},
    text::printable,
};

/// The entries of a letter in the order of their commits.
///
/// # Errors
/// [`CommandError`] when there is no provider.
pub fn letter(args: &AuditLetter) -> Result<u8, CommandError> {
    let id = args.id.trim().trim_start_matches('<').trim_end_matches('>');
    let entries = match &args.provider.aws {
        Some(description) => Operator::open(description)?.log(id)?,
        None => of_folder(&Folder::new(&args.provider.data), id)?,
    };
    if args.provider.json {
        print_json(&entries)?;
    } else {
        for entry in &entries {
            print(&line(entry))?;
        }
    }
    if entries.is_empty() {
        eprintln!("sigillo: the log has no entry of {}", printable(id));
        return Ok(1);
    }
    Ok(0)
}

fn of_folder(folder: &Folder, id: &str) -> Result<Vec<LogEntry>, CommandError> {
    Provider::read_log(folder.root(), id).map_err(|error| unreadable(folder, &error))
}

fn unreadable(folder: &Folder, error: &OpenError) -> CommandError {
    CommandError::File { path: folder.root().to_owned(), why: format!("failed to {error}") }
}

/// An entry for people: when, where, what, about whom, and what else is known.
fn line(entry: &LogEntry) -> String {
    let mut line = format!("{}  {:<11} {:<21}", entry.at, entry.side.name(), entry.event.name());
    // Writing into a string does not fail.
    let _ = write!(line, "{}", entry.recipients.join(", "));
    for (name, value) in &entry.detail {
        let _ = write!(line, "  {name}={value}");
    }
    if !entry.messages.is_empty() {
        let _ = write!(line, "  {}", entry.messages.join(" "));
    }
    printable(&line)
}

/// A proof, or a file of a segment, is smaller.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Whether sealed segments, or a proof, hold.
///
/// # Errors
/// [`CommandError`] for files that cannot be read.
pub fn verify(args: &AuditVerify) -> Result<u8, CommandError> {
    let verifier = |ca: &PathBuf| anchors(ca).map(Verifier::new);
    let provider = verifier(&args.ca)?;
    let timestamps = args.timestamps_ca.as_ref().map(verifier).transpose()?;
    let trust = Trust { provider: &provider, timestamps: timestamps.as_ref() };
    let (found, fault) = match args.seals.is_dir() {
        true => segments(&args.seals, trust, args.data.as_deref())?,
        false => proven(&args.seals, trust)?,
    };
    if args.json {
        print_json(&serde_json::json!({ "holds": fault.is_none(), "fault": fault, "found": found }))?;
    } else {
        for Found { held, .. } in &found {
            let Statement { segment, entries, sealed_at, .. } = &held.statement;
            let stamped = held.stamped_at.map(|at| format!(", timestamp {at}")).unwrap_or_default();
            let line = format!(
                "segment {segment:4}  {entries} entries, sealed {sealed_at} by {}{stamped}",
                held.signer
            );
            print(&printable(&line))?;
        }
        found.iter().flat_map(|found| &found.entries).try_for_each(|entry| print(&self::line(entry)))?;
        if let Some(fault) = &fault {
            eprintln!("sigillo: {}", printable(fault));
        }
    }
    Ok(u8::from(fault.is_some()))
}

/// A segment that holds, and the entries of it that a proof shows.
#[derive(serde::Serialize)]
struct Found {
    #[serde(flatten)]
    held: Held,
    #[serde(rename = "shown", skip_serializing_if = "Vec::is_empty")]
    entries: Vec<LogEntry>,
}

/// Segments up to the first that does not hold, and why it does not.
fn segments(
    folder: &Path,
    trust: Trust<'_>,
    data: Option<&Path>,
) -> Result<(Vec<Found>, Option<String>), CommandError> {
    let unreadable =
        |error: std::io::Error| CommandError::File { path: folder.to_owned(), why: error.to_string() };
    let (mut chain, mut found) = (Chain::default(), Vec::new());
    let log = data.map(FileTail::new);
    let compared = |entries: &[u8], held: &Held| match &log {
        Some(log) => compare(entries, &held.statement, |place, limit| {
            log.read(place, limit).map_err(|error| format!("cannot be compared: {error}"))
        }),
        None => Ok(()),
    };
    let numbers = SegmentFolder::numbers(folder).map_err(unreadable)?;
    if numbers.is_empty() {
        return Ok((found, Some("no sealed segment".to_owned())));
    }
    for number in numbers {
        let [entries, seal, timestamp] = [File::Entries, File::Seal, File::Timestamp]
            .map(|file| Folder::read(&folder.join(file.name(number)), FILE_BYTES_MAX).ok());
        let (Some(entries), Some(seal)) = (entries, seal) else {
            return Ok((found, Some(format!("segment {number} is not whole"))));
        };
        let files = Files { entries: &entries, seal: &seal, timestamp: timestamp.as_deref() };
        let held = chain.next(files, trust);
        match held.and_then(|held| compared(&entries, &held).map(|()| held)) {
            Ok(held) if held.statement.segment == number => found.push(Found { held, entries: Vec::new() }),
            Ok(_) => return Ok((found, Some(format!("segment {number} has another number inside")))),
            Err(why) => return Ok((found, Some(format!("segment {number} {why}")))),
        }
    }
    Ok((found, None))
}

/// The entries that a proof shows, where each is in its sealed segment.
fn proven(file: &Path, trust: Trust<'_>) -> Result<(Vec<Found>, Option<String>), CommandError> {
    let text = Folder::read(file, FILE_BYTES_MAX).map_err(failed)?;
    let proofs: Vec<Proof> = serde_json::from_slice(&text)
        .map_err(|error| CommandError::File { path: file.to_owned(), why: format!("no proof: {error}") })?;
    let mut found = Vec::new();
    for proof in proofs {
        match shown(&proof, trust) {
            Ok(shown) => found.push(shown),
            Err(why) => return Ok((found, Some(format!("a segment of the proof {why}")))),
        }
    }
    let fault = found.is_empty().then(|| "a proof of nothing".to_owned());
    Ok((found, fault))
}

fn shown(proof: &Proof, trust: Trust<'_>) -> Result<Found, String> {
    let decode = |text: &String| STANDARD.decode(text).map_err(|_| "is not base64".to_owned());
    let timestamp = proof.timestamp.as_ref().map(decode).transpose()?;
    let held = sealed(&decode(&proof.seal)?, timestamp.as_deref(), trust)?;
    let entries = proof.entries.iter().map(|entry| entry.entry(&held.statement));
    let entries = entries.collect::<Result<_, _>>()?;
    Ok(Found { held, entries })
}

/// Writes what proves that the entries of a letter were sealed.
///
/// # Errors
/// [`CommandError`] for files that cannot be read or written.
pub fn prove(args: &AuditProve) -> Result<u8, CommandError> {
    let id = args.id.trim().trim_start_matches('<').trim_end_matches('>');
    let unreadable = |why: String| CommandError::File { path: args.seals.clone(), why };
    let read = |file: File, number| Folder::read(&args.seals.join(file.name(number)), FILE_BYTES_MAX);
    let mut proofs = Vec::new();
    for number in SegmentFolder::numbers(&args.seals).map_err(|error| unreadable(error.to_string()))? {
        let entries = read(File::Entries, number).map_err(failed)?;
        let entries = stages::sealing::proof::prove(&entries, id).map_err(unreadable)?;
        if !entries.is_empty() {
            let seal = STANDARD.encode(read(File::Seal, number).map_err(failed)?);
            let timestamp = read(File::Timestamp, number).ok().map(|token| STANDARD.encode(token));
            proofs.push(Proof { seal, timestamp, entries });
        }
    }
    let entries: usize = proofs.iter().map(|proof| proof.entries.len()).sum();
    if entries == 0 {
        eprintln!("sigillo: no sealed segment has an entry of {}", printable(id));
        return Ok(1);
    }
    let text = serde_json::to_vec_pretty(&proofs).map_err(failed)?;
    Folder::write(&args.out, &text, Access::Public)?;
    if args.json {
        print_json(&serde_json::json!({ "file": args.out, "entries": entries, "segments": proofs.len() }))?;
    } else {
        print(&format!("written   {} ({entries} entries, {} segments)", args.out.display(), proofs.len()))?;
    }
    Ok(0)
}
