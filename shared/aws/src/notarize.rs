//! The log's stream into the vault (design §5 "Vault"): every new entry is copied there within minutes of its birth;
//! an entry that is changed or removed is an alarm, and what it was and what it became are kept as well.
//!
//! A copy lies at `vault/log/<day>/<SHA-256 of pk, NUL, sk>.json`: the entry's attributes as one JSON object, sorted
//! by name. Only what is in the vault is evidence.

use mime::Rope;
use serde::Deserialize;
use serde_json::{Map, Number, Value};
use stages::{
    BlobKey,
    ids::sha256_hex,
    ports::{BlobError, Blobs, Put},
};

use crate::{
    blobs::VAULT_PREFIX,
    facts::schema::{AT, PK, SK},
};

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

/// What came of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// Its copy is in the vault.
    Kept,
    /// It was changed, removed, or written anew after a removal: the vault has all versions, and an alarm was raised.
    Altered,
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

impl StreamRecord {
    /// What the answer to a failed batch names.
    #[must_use]
    pub fn sequence(&self) -> &str {
        &self.change.sequence
    }
}

/// Copies one record into the vault. Doing it twice changes nothing.
///
/// # Errors
/// [`NotarizeError`]
pub async fn copy(vault: &dyn Blobs, record: &StreamRecord) -> Result<Copied, NotarizeError> {
    if record.name == "INSERT" {
        let new = plain(
            record.change.new.as_ref().ok_or(NotarizeError::Unreadable("an INSERT without its image"))?,
        )?;
        let key = home(&new)?;
        let text = Value::Object(new).to_string();
        if vault.put_if_absent(&key, Rope::from(text.clone())).await? == Put::New {
            return Ok(Copied::Kept);
        }
        // There is one already: the same record came twice, or the entry was removed and written anew.
        if vault.get(&key).await?.is_some_and(|kept| kept == text.as_bytes()) {
            return Ok(Copied::Kept);
        }
        return altered(vault, record, &key).await;
    }
    let image = record.change.old.as_ref().or(record.change.new.as_ref());
    let image = plain(image.ok_or(NotarizeError::Unreadable("a change without its images"))?)?;
    altered(vault, record, &home(&image)?).await
}

/// The alarm: an entry of the log is not what it was.
async fn altered(vault: &dyn Blobs, record: &StreamRecord, home: &BlobKey) -> Result<Copied, NotarizeError> {
    let image = |image: &Option<Map<String, Value>>| {
        image.as_ref().map(plain).transpose().map(|m| m.map_or(Value::Null, Value::Object))
    };
    let both = serde_json::json!({
        "event": record.name,
        "sequence": record.change.sequence,
        "copy": home.as_str(),
        "old": image(&record.change.old)?,
        "new": image(&record.change.new)?,
    });
    let name = sha256_hex(record.change.sequence.as_bytes());
    let key = BlobKey::listed(format!("{VAULT_PREFIX}alarms/{name}.json"));
    vault.put_if_absent(&key, Rope::from(both.to_string())).await?;
    // template.yaml counts lines with this field.
    tracing::error!(
        alarm = "legal-log-altered",
        event = record.name,
        vault.copy = %home,
        vault.alarm = %key,
        "an entry of the legal log was altered"
    );
    Ok(Copied::Altered)
}

/// Where the copy of an entry lies.
fn home(entry: &Map<String, Value>) -> Result<BlobKey, NotarizeError> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    let (Some(pk), Some(sk)) = (text(PK), text(SK)) else {
        return Err(NotarizeError::Unreadable("an image without its key"));
    };
    let day = text(AT)
        .and_then(|at| pec::Instant::parse(at).ok())
        .map_or_else(|| "undated".to_owned(), |at| at.day());
    let name = sha256_hex(format!("{pk}\0{sk}").as_bytes());
    Ok(BlobKey::listed(format!("{VAULT_PREFIX}log/{day}/{name}.json")))
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
