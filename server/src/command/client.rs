//! The client of the HTTPS door, as the commands use it: address, CA and passwords come from the provider's folder.

use std::{
    env, io,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mime::Rope;
use pec::{Address, Transaction};
use serde::{Deserialize, de::DeserializeOwned};
use ureq::{Agent, Body, SendBody, http::Response};

use super::{CommandError, UNAVAILABLE, USAGE, reach::Account};
use crate::{
    demo::Demo,
    doors::{Kind, file::DoorsFile},
    folder::{Folder, FolderError},
    http::wire::{Folders, IDEMPOTENCY_KEY, MAIL_FROM, Page, Progress, RCPT_TO, Submitted},
    operator::{Done, Operation},
};

/// doors.json and PEM files are smaller.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Octets of a JSON answer.
const JSON_BYTES_MAX: u64 = 16 << 20;
/// Octets of a message: an envelope is larger than its original.
const MESSAGE_BYTES_MAX: u64 = 512 << 20;
/// Room for a request's header: a thousand recipients.
const HEADER_BYTES_MAX: usize = 512 * 1024;
/// Instead of a password in demo.json.
const PASSWORD_VARIABLE: &str = "SIGILLO_PASSWORD";

/// Why the door did not do it. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A file of the provider's folder; mostly because it never ran.
    #[error("find a provider (does it run? sigillo up --data DIR): {0}")]
    Folder(#[from] FolderError),
    /// A file of the folder that is not what it should be.
    #[error("understand {0}: {1}")]
    File(PathBuf, String),
    /// No password for the account.
    #[error("find a password of {0}: it is not in demo.json, and {PASSWORD_VARIABLE} is not set")]
    NoPassword(Address),
    /// No answer.
    #[error("reach the provider at {0} (does it run? sigillo up --data DIR): {1}")]
    Unreachable(String, Box<ureq::Error>),
    /// An answer that is no success.
    #[error("get it from the provider: {message} ({status} {code})")]
    Answer {
        /// HTTP status.
        status: u16,
        /// The door's word for it.
        code: String,
        /// The door's sentence.
        message: String,
    },
    /// An answer that is no answer.
    #[error("understand the provider's answer: {0}")]
    Strange(String),
}

impl ClientError {
    /// The exit code of a command that ends by it.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::NoPassword(_) => USAGE,
            Self::Folder(_) | Self::File(..) | Self::Unreachable(..) => UNAVAILABLE,
            Self::Answer { status: 503, .. } => UNAVAILABLE,
            Self::Answer { .. } | Self::Strange(_) => 1,
        }
    }
}

/// A signed-in client of one account.
pub struct Client {
    agent: Agent,
    url: String,
    authorization: String,
}

impl Client {
    /// For an account of the provider in this folder.
    ///
    /// # Errors
    /// [`ClientError`] when the folder names no door or no password.
    pub fn open(folder: &Folder, account: &Address) -> Result<Self, ClientError> {
        let (doors, url) = https(folder)?;
        let password = password(folder, account)?;
        let basic = STANDARD.encode(format!("{account}:{password}"));
        Ok(Self { agent: agent(&doors.ca)?, url, authorization: format!("Basic {basic}") })
    }

    fn get(&self, path: &str) -> Result<Option<Response<Body>>, ClientError> {
        let request =
            self.agent.get(format!("{}{path}", self.url)).header("Authorization", &self.authorization);
        match answered(&self.url, request.call()) {
            Ok(response) => Ok(Some(response)),
            Err(ClientError::Answer { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The operator's client of a running provider.
pub struct Operations {
    agent: Agent,
    url: String,
    authorization: String,
}

impl Operations {
    /// For the provider that runs in this folder.
    ///
    /// # Errors
    /// [`ClientError`] when the folder names no door, or is not ours to read.
    pub fn open(folder: &Folder) -> Result<Self, ClientError> {
        let (doors, url) = https(folder)?;
        let token = Folder::read(&folder.operator(), FILE_BYTES_MAX)?;
        let authorization = format!("Bearer {}", String::from_utf8_lossy(&token).trim());
        Ok(Self { agent: agent(&doors.ca)?, url, authorization })
    }

    /// Has it done.
    ///
    /// # Errors
    /// [`ClientError`]; after [`ClientError::Unreachable`] it may have been done or not.
    pub fn perform(&self, operation: &Operation) -> Result<Done, ClientError> {
        let request = self.agent.post(format!("{}/v1/operator", self.url));
        let request = request.header("Authorization", &self.authorization);
        let json_text = serde_json::to_vec(operation).map_err(|e| ClientError::Strange(e.to_string()))?;
        let request = request.header("Content-Type", "application/json");
        json(answered(&self.url, request.send(json_text.as_slice()))?)
    }
}

/// The doors of the provider that runs in this folder.
///
/// # Errors
/// [`ClientError`] when none runs.
pub fn doors(folder: &Folder) -> Result<DoorsFile, ClientError> {
    parse(folder.doors(), &Folder::read(&folder.doors(), FILE_BYTES_MAX)?)
}

/// The doors, and the URL of the HTTPS door.
fn https(folder: &Folder) -> Result<(DoorsFile, String), ClientError> {
    let doors = doors(folder)?;
    let url = doors.doors.get(Kind::HTTPS.name).map(|door| door.url.clone());
    let url = url.ok_or_else(|| ClientError::File(folder.doors(), "no https door".to_owned()))?;
    Ok((doors, url))
}

fn answered(url: &str, response: Result<Response<Body>, ureq::Error>) -> Result<Response<Body>, ClientError> {
    #[derive(Deserialize)]
    struct Answer {
        error: Said,
    }
    #[derive(Deserialize)]
    struct Said {
        code: String,
        message: String,
    }
    let response = response.map_err(|error| ClientError::Unreachable(url.to_owned(), Box::new(error)))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let said = json::<Answer>(response).map(|answer| answer.error);
    let said = said.unwrap_or_else(|_| Said { code: String::new(), message: status.to_string() });
    Err(ClientError::Answer { status: status.as_u16(), code: said.code, message: said.message })
}

impl Account for Client {
    fn submit(
        &self,
        transaction: &Transaction,
        message: &Rope,
        idempotency_key: Option<&str>,
    ) -> Result<Submitted, CommandError> {
        let from = transaction.reverse_path.as_ref().map_or("", Address::as_str);
        let recipients: Vec<&str> = transaction.forward_paths.iter().map(Address::as_str).collect();
        let mut request = self
            .agent
            .post(format!("{}/v1/letters", self.url))
            .header("Authorization", &self.authorization)
            .header("Content-Type", "message/rfc822")
            .header("Content-Length", message.len().to_string())
            .header(MAIL_FROM, from)
            .header(RCPT_TO, recipients.join(", "));
        if let Some(key) = idempotency_key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        let mut reader = Reader { chunks: message.chunks(), current: &[] };
        let response = request.send(SendBody::from_reader(&mut reader));
        Ok(json(answered(&self.url, response)?)?)
    }

    fn progress(&self, id: &str) -> Result<Option<Progress>, CommandError> {
        Ok(self.get(&format!("/v1/letters/{}", encoded(id)))?.map(json).transpose()?)
    }

    fn folders(&self) -> Result<Folders, CommandError> {
        let folders = self.get("/v1/mailbox")?;
        Ok(json(folders.ok_or_else(|| ClientError::Strange("no mailbox".to_owned()))?)?)
    }

    fn list(&self, folder: &str, after: u32) -> Result<Option<Page>, CommandError> {
        Ok(self.get(&format!("/v1/mailbox/{}?after={after}", encoded(folder)))?.map(json).transpose()?)
    }

    fn message(&self, folder: &str, uid: u32) -> Result<Option<Vec<u8>>, CommandError> {
        let response = self.get(&format!("/v1/mailbox/{}/{uid}", encoded(folder)))?;
        Ok(response.map(|response| octets(response, MESSAGE_BYTES_MAX)).transpose()?)
    }
}

fn agent(ca: &Path) -> Result<Agent, ClientError> {
    let pem = Folder::read(ca, FILE_BYTES_MAX)?;
    let anchors = directory::tls::certificates(&pem)
        .map_err(|error| ClientError::File(ca.to_owned(), error.to_string()))?;
    let config = Agent::config_builder()
        .tls_config(directory::tls::config(&anchors, None))
        .https_only(true)
        // The provider is on this machine or on this network: no proxy.
        .proxy(None)
        .max_redirects(0)
        .http_status_as_error(false)
        .output_buffer_size(HEADER_BYTES_MAX)
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_per_call(Some(Duration::from_secs(1200)))
        .build();
    Ok(config.new_agent())
}

fn password(folder: &Folder, account: &Address) -> Result<String, ClientError> {
    let demo = Demo::read(folder).ok();
    let known = demo.and_then(|demo| demo.accounts.into_iter().find(|known| known.address == *account));
    let password = known.map(|known| known.password).or_else(|| env::var(PASSWORD_VARIABLE).ok());
    password.ok_or_else(|| ClientError::NoPassword(account.clone()))
}

fn parse<T: DeserializeOwned>(path: PathBuf, octets: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(octets).map_err(|error| ClientError::File(path, error.to_string()))
}

fn octets(mut response: Response<Body>, limit: u64) -> Result<Vec<u8>, ClientError> {
    let body = response.body_mut().with_config().limit(limit);
    body.read_to_vec().map_err(|error| ClientError::Strange(error.to_string()))
}

fn json<T: DeserializeOwned>(response: Response<Body>) -> Result<T, ClientError> {
    let octets = octets(response, JSON_BYTES_MAX)?;
    serde_json::from_slice(&octets).map_err(|error| ClientError::Strange(error.to_string()))
}

/// RFC 3986 §2.1: everything but unreserved characters.
fn encoded(text: &str) -> String {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes()
        .map(|b| if unreserved(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// Reads a rope piece by piece.
struct Reader<'r, I> {
    chunks: I,
    current: &'r [u8],
}

impl<'r, I: Iterator<Item = &'r bytes::Bytes>> io::Read for Reader<'r, I> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.chunks.next() {
                Some(chunk) => self.current = chunk,
                None => return Ok(0),
            }
        }
        let (now, later) = self.current.split_at(into.len().min(self.current.len()));
        into[..now.len()].copy_from_slice(now);
        self.current = later;
        Ok(now.len())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_rope_is_read_whole_in_pieces_of_any_size() {
        let mut rope = Rope::new();
        for piece in ["ab", "", "cde", "f"] {
            rope.push(piece.as_bytes().to_vec());
        }
        let mut reader = Reader { chunks: rope.chunks(), current: &[] };
        let (mut first, mut rest) = ([0; 4], String::new());
        reader.read_exact(&mut first).unwrap();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!((&first, rest.as_str()), (b"abcd", "ef"));
    }

    #[test]
    fn names_are_encoded_for_a_path() {
        assert_eq!(encoded("Posta/in arrivo?"), "Posta%2Fin%20arrivo%3F");
    }
}
