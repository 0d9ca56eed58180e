//! The log's stream into the vault (design §5 "Vault"): every new entry is copied there within minutes of its birth;
//! an entry that is changed or removed is an alarm, and what it was and what it became are kept as well.
//!
//! Entries of one batch and one day lie together: a PutObject for each entry would be the dearest part of a letter. A
//! copy is a line of `vault/log/<day>/<time>-<digest>.jsonl`: the entry's attributes as one JSON object, sorted by
//! name. Day and time are those of the first entry's `committed`, so an entry lies among the objects of its day, in
//! one whose time is not after its own; the digest is the SHA-256 of the object. A batch that comes again in another
//! cut makes another object with some of the same lines. Only what is in the vault is evidence.

use std::collections::BTreeMap;

use mime::Rope;
use serde::Deserialize;
use serde_json::{Map, Number, Value};
use stages::{
    BlobKey,
    ids::sha256_hex,
    ports::{BlobError, Blobs},
};

use crate::{
    blobs::VAULT_PREFIX,
    facts::schema::{COMMITTED, PK, SK},
};

/// Characters of an instant's day: `2026-03-02`.
const DAY_CHARS: usize = 10;

/// A batch of a table's stream.
#[derive(Debug, Deserialize)]
pub struct StreamEvent {
    /// What happened to items, in order.
    #[serde(rename = "Records")]
    pub records: Vec<StreamRecord>,
}

/// What happened to one item.
#[derive(Debug, Deserialize)]
pub struct StreamRecord {
    /// `INSERT`, `MODIFY`, `REMOVE`.
    #[serde(rename = "eventName")]
    name: String,
    #[serde(rename = "dynamodb")]
    change: Change,
}

#[derive(Debug, Deserialize)]
struct Change {
    #[serde(rename = "SequenceNumber")]
    sequence: String,
    #[serde(rename = "NewImage")]
    new: Option<Map<String, Value>>,
    #[serde(rename = "OldImage")]
    old: Option<Map<String, Value>>,
}

/// Why a record was not copied. The stream brings it again.
#[derive(Debug, thiserror::Error)]
pub enum NotarizeError {
    /// The stream does not carry what the template asks for.
    #[error("read a record of the log's stream: {0}")]
    Unreadable(&'static str),
    /// The vault does not take it.
    #[error("store a log entry in the vault")]
    Vault(#[from] BlobError),
}

/// A batch that is not in the vault as a whole.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Stopped {
    /// The place of the first record that may not be there: the stream comes again from it.
    pub sequence: String,
    /// Why.
    #[source]
    pub error: NotarizeError,
}

/// Copies a batch into the vault. Doing it twice, or in another cut, loses nothing and adds no alarm.
///
/// # Errors
/// [`Stopped`]. What cannot be read stops the batch in front of itself, so that it keeps nothing from the vault but
/// what comes after it; what cannot be stored stops it at its beginning.
pub async fn copy(vault: &dyn Blobs, records: &[StreamRecord]) -> Result<(), Stopped> {
    // 1. What can be read, up to the first record that cannot.
    let mut objects = Objects::default();
    let mut unreadable = None;
    for record in records {
        if let Err(error) = objects.add(record) {
            unreadable = Some(Stopped { sequence: record.change.sequence.clone(), error });
            break;
        }
    }

    // 2. All of it under lock. Power fails in between: the batch comes again, and finds its own objects.
    let begin = || records.first().map_or_else(String::new, |r| r.change.sequence.clone());
    objects.store(vault).await.map_err(|error| Stopped { sequence: begin(), error: error.into() })?;
    unreadable.map_or(Ok(()), Err)
}

/// What a batch comes to.
#[derive(Default)]
struct Objects {
    /// New entries by day: the instant of the first, and a line for each.
    days: BTreeMap<String, (String, String)>,
    /// Alarms by key.
    alarms: Vec<Alarm>,
}

struct Alarm {
    event: String,
    key: BlobKey,
    body: String,
}

impl Objects {
    fn add(&mut self, record: &StreamRecord) -> Result<(), NotarizeError> {
        let image = |image: &Option<Map<String, Value>>| image.as_ref().map(plain).transpose();
        let (old, new) = (image(&record.change.old)?, image(&record.change.new)?);
        if record.name == "INSERT" {
            let new = new.ok_or(NotarizeError::Unreadable("an INSERT without its image"))?;
            self.entry(new)
        } else {
            self.alarm(record, old, new)
        }
    }

    fn entry(&mut self, entry: Map<String, Value>) -> Result<(), NotarizeError> {
        if !entry.contains_key(PK) || !entry.contains_key(SK) {
            return Err(NotarizeError::Unreadable("an image without its key"));
        }
        let committed = entry.get(COMMITTED).and_then(Value::as_str).unwrap_or("undated");
        let (day, time) = committed.split_at_checked(DAY_CHARS).unwrap_or((committed, ""));
        let time = time.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
        let (_, lines) = self.days.entry(day.to_owned()).or_insert((time, String::new()));
        lines.push_str(&Value::Object(entry).to_string());
        lines.push('\n');
        Ok(())
    }

    /// An entry of the log is not what it was.
    fn alarm(
        &mut self,
        record: &StreamRecord,
        old: Option<Map<String, Value>>,
        new: Option<Map<String, Value>>,
    ) -> Result<(), NotarizeError> {
        if old.is_none() && new.is_none() {
            return Err(NotarizeError::Unreadable("a change without its images"));
        }
        let sequence = &record.change.sequence;
        let body = serde_json::json!({ "event": record.name, "sequence": sequence, "old": old, "new": new });
        let key = format!("{VAULT_PREFIX}alarms/{}.json", sha256_hex(sequence.as_bytes()));
        let key = BlobKey::listed(key);
        self.alarms.push(Alarm { event: record.name.clone(), key, body: body.to_string() });
        Ok(())
    }

    async fn store(self, vault: &dyn Blobs) -> Result<(), BlobError> {
        for (day, (time, lines)) in self.days {
            let key = format!("{VAULT_PREFIX}log/{day}/{time}-{}.jsonl", sha256_hex(lines.as_bytes()));
            vault.put_if_absent(&BlobKey::listed(key), Rope::from(lines)).await?;
        }
        for Alarm { event, key, body } in self.alarms {
            vault.put_if_absent(&key, Rope::from(body)).await?;
            // template.yaml counts lines with this field.
            tracing::error!(
                alarm = "legal-log-altered",
                event,
                vault.alarm = %key,
                "an entry of the legal log was altered"
            );
        }
        Ok(())
    }
}

/// An image in DynamoDB's JSON as plain JSON.
fn plain(image: &Map<String, Value>) -> Result<Map<String, Value>, NotarizeError> {
    image.iter().map(|(name, value)| Ok((name.clone(), attribute(value)?))).collect()
}

fn attribute(typed: &Value) -> Result<Value, NotarizeError> {
    const ODD: NotarizeError = NotarizeError::Unreadable("an attribute of an odd type");
    let mut members = typed.as_object().into_iter().flatten();
    let (Some((kind, value)), None) = (members.next(), members.next()) else { return Err(ODD) };
    Ok(match (kind.as_str(), value) {
        ("S", Value::String(_)) | ("BOOL", Value::Bool(_)) => value.clone(),
        ("NULL", _) => Value::Null,
        ("N", Value::String(n)) => {
            let whole = n.parse::<i64>().map(Number::from).or_else(|_| n.parse::<u64>().map(Number::from));
            // Anything else that somebody wrote there is kept as it is written.
            whole.map_or_else(|_| value.clone(), Value::Number)
        }
        ("L", Value::Array(items)) => Value::Array(items.iter().map(attribute).collect::<Result<_, _>>()?),
        ("M", Value::Object(map)) => Value::Object(plain(map)?),
        // Sets and octets: we write none, but whoever altered an entry might have.
        (_, _) => typed.clone(),
    })
}
