//! The HTTPS door as a program sees it (docs/http-door.md).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{fs, io, path::Path, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{Provider, until};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::Value;
use ureq::{
    Agent, SendBody,
    tls::{Certificate, RootCerts, TlsConfig},
};

const LETTER: &str = "From: {from}\r\nTo: {to}\r\nSubject: a\r\nDate: Mon, 02 Mar 2026 09:00:00 +0100\r\n\
                      Message-ID: <1@client.example>\r\n\r\nb\r\n";

/// An HTTP client that trusts the demo's CA, and one account.
struct Client {
    agent: Agent,
    url: String,
    user: String,
    password: String,
}

impl Client {
    fn new(data: &Path, account: usize) -> Self {
        let json =
            |name: &str| -> Value { serde_json::from_slice(&fs::read(data.join(name)).unwrap()).unwrap() };
        let (doors, demo) = (json("doors.json"), json("demo.json"));
        let pem = fs::read(doors["ca"].as_str().unwrap()).unwrap();
        let ca = CertificateDer::from_pem_slice(&pem).unwrap();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&[Certificate::from_der(&ca).to_owned()]))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .build();
        let agent = Agent::config_builder().tls_config(tls).proxy(None).http_status_as_error(false).build();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            agent: agent.new_agent(),
            url: text(&doors["https"]["url"]),
            user: text(&demo["accounts"][account]["address"]),
            password: text(&demo["accounts"][account]["password"]),
        }
    }

    fn authorization(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.user, self.password)))
    }

    fn post(&self, fields: &[(&str, &str)], body: &str) -> (u16, Value) {
        let mut request = self.agent.post(format!("{}/v1/letters", self.url));
        request = request.header("Authorization", self.authorization());
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut response = request.send(body).unwrap();
        let json = serde_json::from_slice(&response.body_mut().read_to_vec().unwrap()).unwrap();
        (response.status().as_u16(), json)
    }

    fn get(&self, path: &str) -> (u16, Vec<u8>) {
        let request =
            self.agent.get(format!("{}{path}", self.url)).header("Authorization", self.authorization());
        let mut response = request.call().unwrap();
        (response.status().as_u16(), response.body_mut().read_to_vec().unwrap())
    }

    fn get_json(&self, path: &str) -> (u16, Value) {
        let (status, octets) = self.get(path);
        (status, serde_json::from_slice(&octets).unwrap())
    }
}

fn refusal(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["error"]["code"].as_str().unwrap())
}

#[test]
fn a_letter_is_submitted_followed_and_read() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start(&dir.path().join("data"));
    let (sender, other) = (Client::new(provider.data(), 0), Client::new(provider.data(), 1));
    let letter = LETTER.replace("{from}", &sender.user).replace("{to}", &other.user);
    let fields =
        [("Mail-From", sender.user.as_str()), ("Rcpt-To", other.user.as_str()), ("Idempotency-Key", "k1")];

    // Twice with one key: one letter.
    let (status, first) = sender.post(&fields, &letter);
    assert_eq!(status, 202, "{first}");
    assert_eq!(sender.post(&fields, &letter), (202, first.clone()));
    let another = sender.post(&fields, &letter.replace("Subject: a", "Subject: b"));
    assert_eq!(refusal(&another), (422, "key-of-another"));
    let pec_id = first["pec_id"].as_str().unwrap();

    // Followed by either id; by nobody else.
    let path = format!("/v1/letters/{pec_id}");
    let progress = until("delivery", || {
        let (status, progress) = sender.get_json(&path);
        (status == 200 && progress["recipients"][0]["outcome"] == "delivered").then_some(progress)
    });
    assert_eq!(progress["sealed"], true);
    assert_eq!(progress["refused"], Value::Null);
    assert!(progress["recipients"][0]["taken_in_charge_at"].is_string(), "{progress}");
    let by_spool = format!("/v1/letters/{}", first["spool_id"].as_str().unwrap());
    assert_eq!(sender.get_json(&by_spool), (200, progress));
    assert_eq!(refusal(&other.get_json(&path)), (404, "not-found"));

    // Read, page by page.
    let receipts = until("both receipts", || {
        let (_, page) = sender.get_json("/v1/mailbox/INBOX?limit=1");
        let (_, rest) = sender.get_json(&format!("/v1/mailbox/INBOX?after={}", page["next"].as_u64()?));
        let all = [page["messages"].as_array()?.clone(), rest["messages"].as_array()?.clone()].concat();
        (all.len() == 2).then_some(all)
    });
    assert_eq!(receipts[0]["uid"], 1);
    let (_, folders) = sender.get_json("/v1/mailbox");
    assert_eq!(
        (&folders["folders"][0]["name"], &folders["folders"][0]["exists"]),
        (&"INBOX".into(), &2.into())
    );
    let (status, envelope) = other.get("/v1/mailbox/inbox/1");
    assert_eq!(status, 200);
    assert!(String::from_utf8_lossy(&envelope).contains("X-Trasporto: posta-certificata"));
    assert_eq!(refusal(&other.get_json("/v1/mailbox/INBOX/2")), (404, "not-found"));
    assert_eq!(refusal(&other.get_json("/v1/mailbox/Altro")), (404, "not-found"));
}

#[test]
fn what_the_door_does_not_take_it_says_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start(&dir.path().join("data"));
    let (mut sender, other) = (Client::new(provider.data(), 0), Client::new(provider.data(), 1));
    let letter = LETTER.replace("{from}", &sender.user).replace("{to}", &other.user);
    let (from, to) = (("Mail-From", sender.user.as_str()), ("Rcpt-To", other.user.as_str()));

    // F7 (spec 4.1): the account owns MAIL FROM.
    let foreign = sender.post(&[("Mail-From", &other.user), to], &letter);
    assert_eq!(refusal(&foreign), (403, "foreign-sender"));
    assert_eq!(refusal(&sender.post(&[from], &letter)), (400, "bad-request"));
    assert_eq!(refusal(&sender.post(&[from, ("Rcpt-To", "niente")], &letter)), (400, "bad-request"));
    assert_eq!(refusal(&sender.get_json("/v1/altro")), (404, "not-found"));
    assert_eq!(refusal(&sender.get_json("/v1/mailbox/INBOX/0x")), (404, "not-found"));
    assert_eq!(refusal(&sender.get_json("/v1/mailbox/INBOX?after=x")), (400, "bad-request"));

    // D3: over the technical bound, before the body is read.
    let mut nothing = io::empty();
    let response = sender
        .agent
        .post(format!("{}/v1/letters", sender.url))
        .header("Authorization", sender.authorization())
        .header("Expect", "100-continue")
        .header("Content-Length", (200_u64 << 20).to_string())
        .header(from.0, from.1)
        .header(to.0, to.1)
        .send(SendBody::from_reader(&mut nothing))
        .unwrap();
    assert_eq!(response.status().as_u16(), 413);

    // Wrong passwords, then a wait; none of it reaches the right account of another. Who still writes a body when the
    // password is known to be wrong gets the answer too (RFC 9112 §9.6).
    sender.password = "sbagliata".to_owned();
    let long = "x".repeat(900_000);
    assert_eq!(refusal(&sender.post(&[from, to], &long)), (401, "unauthorized"));
    for _ in 0..4 {
        assert_eq!(refusal(&sender.get_json("/v1/mailbox")), (401, "unauthorized"));
    }
    // On a slow machine the first, short waits may be over before we ask again; they double.
    let refused = || Some(sender.get_json("/v1/mailbox")).filter(|answer| answer.0 == 429);
    assert_eq!(refusal(&until("a wait", refused)), (429, "too-many-failures"));
    assert_eq!(other.get("/v1/mailbox").0, 200);
    sender.user = "nobody".to_owned();
    assert_eq!(refusal(&sender.get_json("/v1/mailbox")), (401, "unauthorized"));
    assert_eq!(provider.list(&other.user), Vec::<Value>::new());
}
