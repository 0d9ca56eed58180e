//! What sealed segments prove, to whoever has their files and certificates: nothing else is asked.

use pec::Instant;
use serde::{Deserialize, Serialize};
use smime::{Policy, Verifier};

use super::{Statement, lines, merkle};
use crate::{ids::sha256_hex, log::LogEntry};

/// The files of a segment.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// `.jsonl`
    pub entries: &'a [u8],
    /// `.p7m`
    pub seal: &'a [u8],
    /// `.tst`, where there is one.
    pub timestamp: Option<&'a [u8]>,
}

/// Whom to believe.
#[derive(Clone, Copy)]
pub struct Trust<'a> {
    /// The authorities of the provider's certificate.
    pub provider: &'a Verifier,
    /// The authorities of timestamps; without them timestamps are not looked at.
    pub timestamps: Option<&'a Verifier>,
}

/// A segment that holds.
#[derive(Clone, Debug, Serialize)]
pub struct Held {
    /// What was sealed.
    pub statement: Statement,
    /// Who signed it.
    pub signer: String,
    /// When it was there at the latest, by an authority's word.
    pub stamped_at: Option<Instant>,
}

/// Walks along segments, from the first that is at hand.
#[derive(Debug, Default)]
pub struct Chain {
    /// The last one, and the digest of its seal.
    last: Option<(Statement, String)>,
}

impl Chain {
    /// Looks at the next segment.
    ///
    /// # Errors
    /// What does not hold, as the end of a sentence that begins with the segment.
    pub fn next(&mut self, files: Files<'_>, trust: Trust<'_>) -> Result<Held, String> {
        let held = sealed(files.seal, files.timestamp, trust)?;
        let statement = &held.statement;

        // 1. Its place: behind the one before, without a gap.
        let link = |(before, digest): &(Statement, String)| {
            (before.segment + 1, before.upto, Some(digest.clone()), before.provider.clone())
        };
        let here =
            (statement.segment, statement.after, statement.previous.clone(), statement.provider.clone());
        match self.last.as_ref().map(link) {
            Some(expected) if expected != here => {
                return Err("does not follow the one before".to_owned());
            }
            None if statement.segment == 1 && (statement.after != 0 || statement.previous.is_some()) => {
                return Err("is not the beginning".to_owned());
            }
            _ => {}
        }

        // 2. Its entries: all of them, in their order, as they were.
        if sha256_hex(files.entries) != statement.sha256 {
            return Err("has entries that are not those that were sealed".to_owned());
        }
        let (heading, lines) = lines(files.entries)?;
        let said = (statement.segment, statement.after, statement.upto, statement.entries);
        if (heading.segment, heading.after, heading.upto, lines.len()) != said
            || hex::encode(merkle::root(&lines)) != statement.root
        {
            return Err("has entries that its statement does not describe".to_owned());
        }
        self.last = Some((statement.clone(), sha256_hex(files.seal)));
        Ok(held)
    }
}

/// Whether the log still says what a segment says; `read` gives its entries after a place, so many at most.
///
/// # Errors
/// What is another, or why it cannot be read.
pub fn compare(
    entries: &[u8],
    statement: &Statement,
    read: impl FnOnce(u64, usize) -> Result<Vec<(u64, LogEntry)>, String>,
) -> Result<(), String> {
    let (_, lines) = lines(entries)?;
    let log = read(statement.after, lines.len())?;
    let same = |(line, (_, entry)): (&&[u8], &(u64, LogEntry))| {
        serde_json::from_slice::<LogEntry>(line).is_ok_and(|sealed| sealed == *entry)
    };
    let upto = log.last().map_or(statement.after, |(place, _)| *place);
    if log.len() != lines.len() || upto != statement.upto || !lines.iter().zip(&log).all(same) {
        return Err("has entries that the log has not, or has otherwise".to_owned());
    }
    Ok(())
}

/// Entries of a letter with what shows that they were sealed; none of other letters are in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The segment's signed statement, base64.
    pub seal: String,
    /// Its timestamp, base64.
    pub timestamp: Option<String>,
    /// The entries, each with its place.
    pub entries: Vec<Proven>,
}

/// One entry in a [`Proof`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proven {
    /// The line, octet for octet.
    pub line: String,
    /// Its place among the segment's entries.
    pub index: usize,
    /// The way to the root, hex ([`merkle::path`]).
    pub path: Vec<String>,
}

/// The entries of a letter in a segment, with their ways; none if it has none of them.
///
/// # Errors
/// Entries that are none.
pub fn prove(entries: &[u8], pec_id: &str) -> Result<Vec<Proven>, String> {
    let (_, lines) = lines(entries)?;
    let mut proven = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let entry: LogEntry = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        if entry.pec_id == pec_id {
            let path = merkle::path(&lines, index).unwrap_or_default().iter().map(hex::encode).collect();
            proven.push(Proven { line: String::from_utf8_lossy(line).into_owned(), index, path });
        }
    }
    Ok(proven)
}

impl Proven {
    /// The entry, if it was sealed by this statement.
    ///
    /// # Errors
    /// What does not hold.
    pub fn entry(&self, statement: &Statement) -> Result<LogEntry, String> {
        let way: Option<Vec<merkle::Hash>> =
            self.path.iter().map(|hash| hex::decode(hash).ok()?.try_into().ok()).collect();
        let root =
            way.and_then(|way| merkle::climb(self.line.as_bytes(), self.index, statement.entries, &way));
        if root.map(hex::encode).as_ref() != Some(&statement.root) {
            return Err("the entry was not sealed so".to_owned());
        }
        serde_json::from_str(&self.line).map_err(|error| error.to_string())
    }
}

/// A seal that holds, with its timestamp.
///
/// # Errors
/// What does not hold.
pub fn sealed(seal: &[u8], timestamp: Option<&[u8]>, trust: Trust<'_>) -> Result<Held, String> {
    let opened = trust.provider.open_signed_data(seal, &Policy::TODAY);
    let (text, verified) =
        opened.map_err(|error| format!("has a seal that does not hold: failed to {error}"))?;
    let statement = statement(&text)?;
    let signer = verified.signers.first().ok_or("has a seal that nobody signed")?;
    let stamp = match (trust.timestamps, timestamp) {
        (Some(authorities), Some(token)) => {
            let stamp = authorities.timestamp(token, &smime::sha256([seal]), None);
            Some(stamp.map_err(|error| format!("has no timestamp that holds: failed to {error}"))?)
        }
        (Some(_), None) => return Err("has no timestamp".to_owned()),
        (None, _) => None,
    };
    // A certificate that has ended since was good when the authority saw the seal.
    let at = stamp.as_ref().map_or(statement.sealed_at.unix_s(), |stamp| stamp.at_unix_s);
    trust
        .provider
        .check_chain(&signer.certificate, &verified.certificates, at, &Policy::TODAY)
        .map_err(|error| format!("is sealed by somebody whom nobody trusts: failed to {error}"))?;
    let stamped_at = stamp.map(|stamp| Instant::from_unix_s(stamp.at_unix_s));
    Ok(Held { statement, signer: signer.certificate.subject().to_owned(), stamped_at })
}

/// The statement of a seal of our own, not verified.
pub(super) fn unsigned(seal: &[u8]) -> Result<Statement, String> {
    let (text, _) = smime::open_signed_data(seal, &Policy::TODAY).map_err(|error| error.to_string())?;
    statement(&text)
}

fn statement(text: &[u8]) -> Result<Statement, String> {
    let statement: Statement =
        serde_json::from_slice(text).map_err(|error| format!("has a statement that is none: {error}"))?;
    match statement.v {
        1 => Ok(statement),
        v => Err(format!("has a statement of form {v}, this release knows 1")),
    }
}
