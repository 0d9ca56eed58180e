//! Mail programs read a running provider by POP3: Python's poplib, curl, getmail. What they get is what is stored,
//! byte for byte.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{collections::BTreeSet, fs, process::Command};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{Provider, code, run, stderr, until};
use serde_json::Value;

const LETTER: &str = "From: {from}\r\nTo: {to}\r\nSubject: {subject}\r\nDate: Mon, 02 Mar 2026 09:00:00 +0100\r\n\
                      Message-ID: <1@client.example>\r\n\r\n.\r\n..due punti\r\nfine\r\n";

/// One account of a provider, with its POP3 door.
struct Reader<'p> {
    provider: &'p Provider,
    address: String,
    password: String,
    port: String,
    ca: String,
}

impl<'p> Reader<'p> {
    fn new(provider: &'p Provider, account: usize) -> Self {
        let json = |name: &str| -> Value {
            serde_json::from_slice(&fs::read(provider.data().join(name)).unwrap()).unwrap()
        };
        let (doors, demo) = (json("doors.json"), json("demo.json"));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let url = text(&doors["pop3s"]["url"]);
        assert!(url.starts_with("pop3s://127.0.0.1:"), "{url}");
        Self {
            provider,
            address: text(&demo["accounts"][account]["address"]),
            password: text(&demo["accounts"][account]["password"]),
            port: url.rsplit(':').next().unwrap().trim_end_matches('/').to_owned(),
            ca: text(&doors["ca"]),
        }
    }

    /// What poplib says of a task.
    fn poplib(&self, task: &str) -> Value {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pop3/client.py");
        let output = run("python3", &[script, &self.port, &self.ca, &self.address, &self.password, task]);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn curl(&self, path: &str, more: &[&str]) -> Vec<u8> {
        let url = format!("pop3s://127.0.0.1:{}/{path}", self.port);
        let user = format!("{}:{}", self.address, self.password);
        let args =
            ["--silent", "--show-error", "--noproxy", "*", "--cacert", &self.ca, "--user", &user, &url];
        run("curl", &[&args, more].concat()).stdout
    }

    /// The messages of INBOX as they are stored, by the HTTPS door.
    fn stored(&self) -> Vec<Vec<u8>> {
        let messages = self.provider.json(&["mailbox", "list", &self.address, "--folder", "INBOX"]);
        let uids = messages.as_array().unwrap().iter().map(|m| m["uid"].to_string());
        uids.map(|uid| {
            let show = ["mailbox", "show", &self.address, &uid, "--folder", "INBOX", "--raw"];
            let output = self.provider.sigillo(&show);
            assert_eq!(code(&output), 0, "{}", stderr(&output));
            output.stdout
        })
        .collect()
    }
}

/// A letter from the first account to the second, delivered.
fn send(provider: &Provider, subject: &str) {
    let [from, to] = provider.accounts();
    let letter = LETTER.replace("{from}", &from).replace("{to}", &to).replace("{subject}", subject);
    let file = provider.file("letter.eml", letter);
    let before = provider.list(&to).len();
    let output = provider.sigillo(&["send", "--from", &from, "--to", &to, &file]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    until("the letter is in the mailbox", || (provider.list(&to).len() > before).then_some(()));
}

fn decoded(value: &Value) -> Vec<Vec<u8>> {
    value.as_array().unwrap().iter().map(|text| STANDARD.decode(text.as_str().unwrap()).unwrap()).collect()
}

#[test]
fn poplib_reads_and_deletes() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(&folder.path().join("data"));
    send(&provider, "uno");
    send(&provider, "due");
    let reader = Reader::new(&provider, 1);
    let stored = reader.stored();
    assert_eq!(stored.len(), 2);

    // 1. What is read is what is stored; the same ids each time.
    let seen = reader.poplib("read");
    assert_eq!(decoded(&seen["messages"]), stored);
    let sizes: Vec<usize> = stored.iter().map(Vec::len).collect();
    assert_eq!(seen["sizes"], serde_json::json!(sizes));
    assert_eq!(seen["octets"], sizes.iter().sum::<usize>());
    for (top, whole) in decoded(&seen["tops"]).iter().zip(&stored) {
        let header = whole.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        assert!(whole.starts_with(top) && top.len() > header && top.len() < whole.len());
    }
    let capabilities = seen["capabilities"].as_array().unwrap();
    assert!(["TOP", "UIDL", "SASL", "PIPELINING"].iter().all(|c| capabilities.contains(&Value::from(*c))));
    assert!(seen["second"].as_str().unwrap().starts_with("-ERR [IN-USE]"), "{seen}");
    let ids = seen["ids"].as_array().unwrap().clone();
    assert_eq!(reader.poplib("read")["ids"], Value::from(ids));

    // 2. Refusals, in words that programs read.
    let refused = reader.poplib("refuse");
    assert!(refused["wrong"].as_str().unwrap().starts_with("-ERR [AUTH]"), "{refused}");
    assert_eq!(refused["number"], "-ERR no such message");
    assert_eq!(refused["command"], "-ERR unknown command");

    // 3. Marks count when the client says QUIT, and not when its connection breaks (RFC 1939 §6).
    assert_eq!(reader.poplib("leave"), serde_json::json!({ "marked": 2, "left": 0 }));
    assert_eq!(reader.stored(), stored);
    assert_eq!(reader.poplib("delete"), serde_json::json!({ "marked": 2, "left": 0 }));
    assert!(reader.stored().is_empty());
    assert!(decoded(&reader.poplib("read")["messages"]).is_empty());

    // 4. It is gone after a restart too, and UIDs go on.
    let old: BTreeSet<String> = ids_of(&seen);
    let data = provider.data().to_owned();
    provider.stop();
    let provider = Provider::start(&data);
    send(&provider, "tre");
    let reader = Reader::new(&provider, 1);
    let seen = reader.poplib("read");
    assert_eq!(decoded(&seen["messages"]), reader.stored());
    assert!(ids_of(&seen).is_disjoint(&old), "an id that was another message's");
    provider.stop();
}

fn ids_of(seen: &Value) -> BTreeSet<String> {
    seen["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

#[test]
fn curl_reads_and_deletes() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(&folder.path().join("data"));
    send(&provider, "uno");
    let reader = Reader::new(&provider, 1);
    let stored = reader.stored();
    let listing = format!("1 {}\r\n", stored[0].len());
    assert_eq!(reader.curl("", &[]), listing.as_bytes());
    assert_eq!(reader.curl("1", &[]), stored[0]);
    assert_eq!(reader.curl("1", &["--login-options", "AUTH=PLAIN"]), stored[0]);
    reader.curl("1", &["--request", "DELE", "--head"]);
    assert!(reader.stored().is_empty());
    provider.stop();
}

#[test]
fn getmail_fetches_and_deletes() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(&folder.path().join("data"));
    send(&provider, "uno");
    send(&provider, "due");
    let reader = Reader::new(&provider, 1);
    let stored = reader.stored();
    let (fetched, settings) = (folder.path().join("fetched"), folder.path().join("getmail"));
    fs::create_dir(&fetched).unwrap();
    fs::create_dir(&settings).unwrap();
    let Reader { address, password, port, ca, .. } = &reader;
    // It delivers into no Maildir as root, which a test may be.
    let rc = format!(
        "[retriever]\ntype = SimplePOP3SSLRetriever\nserver = 127.0.0.1\nport = {port}\nusername = {address}\n\
         password = {password}\nca_certs = {ca}\n[destination]\ntype = MDA_external\npath = /bin/sh\n\
         arguments = (\"-c\", \"cat > $(mktemp {}/XXXXXX)\")\nallow_root_commands = true\n\
         [options]\nread_all = false\ndelete = true\ndelivered_to = false\nreceived = false\n",
        fetched.display(),
    );
    fs::write(settings.join("getmailrc"), rc).unwrap();
    let fetch = || {
        let output = Command::new("getmail").arg("--getmaildir").arg(&settings).output().unwrap();
        assert!(output.status.success(), "{}{}", common::stdout(&output), stderr(&output));
    };
    fetch();
    // It ends lines as Unix does, puts one line before the message, and folds header fields anew.
    let plain = |text: String| {
        let text = text.replace('\r', "");
        let (header, body) = text.split_once("\n\n").unwrap();
        (header.replace("\n ", " ").replace("\n\t", " "), body.to_owned())
    };
    let files =
        || fs::read_dir(&fetched).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let without_path = |text: String| text.strip_prefix("Return-Path: <unknown>\n").unwrap().to_owned();
    let fetched: BTreeSet<_> = files().map(without_path).map(plain).collect();
    let expected = stored.iter().map(|octets| plain(String::from_utf8(octets.clone()).unwrap())).collect();
    assert!(fetched == expected, "{fetched:#?} {expected:#?}");
    assert!(reader.stored().is_empty(), "it deletes what it has fetched");
    fetch();
    assert_eq!(files().count(), 2);
    provider.stop();
}
