//! `sigillo account`, beside a running provider and without one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use common::{Provider, code, sigillo, stdout};
use serde_json::Value;

fn account(data: &Path, args: &[&str]) -> Value {
    let output = sigillo(&[&["account"], args, &["--json", "--data", data.to_str().unwrap()]].concat());
    assert_eq!(code(&output), 0, "{args:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The status of reading the mailbox with this password.
fn reads(data: &Path, user: &str, password: &str) -> String {
    let doors: Value = serde_json::from_slice(&fs::read(data.join("doors.json")).unwrap()).unwrap();
    let url = format!("{}/v1/mailbox", doors["https"]["url"].as_str().unwrap());
    let output = Command::new("curl")
        .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", doors["ca"].as_str().unwrap()])
        .args(["-u", &format!("{user}:{password}"), &url])
        .output()
        .unwrap();
    stdout(&output)
}

#[test]
fn passwords_are_made_listed_and_revoked_while_the_provider_runs() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start(&dir.path().join("data"));
    let data = provider.data();
    let [user, other] = provider.accounts();
    let mode = fs::metadata(data.join("operator.token")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // For a device: it works, its use is on record, it ends.
    let made = account(data, &["app-password", "add", &user, "telefono"]);
    let (id, password) = (made["id"].as_str().unwrap(), made["password"].as_str().unwrap());
    assert_eq!(reads(data, &user, password), "200");
    assert_eq!(reads(data, &other, password), "401");
    let listed = account(data, &["app-password", "list", &user]);
    assert_eq!((&listed[0]["id"], &listed[0]["name"]), (&id.into(), &"telefono".into()));
    assert!(listed[0]["last_used"].is_string() && listed[0]["revoked"].is_null(), "{listed}");
    assert!(listed[0].get("hash").is_none());
    account(data, &["app-password", "revoke", &user, id]);
    assert_eq!(reads(data, &user, password), "401");
    let again = provider.sigillo(&["account", "app-password", "revoke", &user, id]);
    assert_eq!(code(&again), 1);
    assert!(String::from_utf8_lossy(&again.stderr).contains("none in use has this id"), "{again:?}");

    // A new password: the old one ends, and the commands know the new one.
    let old: Value = serde_json::from_slice(&fs::read(data.join("demo.json")).unwrap()).unwrap();
    let new = account(data, &["password", &user])["password"].as_str().unwrap().to_owned();
    assert_eq!(reads(data, &user, old["accounts"][0]["password"].as_str().unwrap()), "401");
    assert_eq!(reads(data, &user, &new), "200");
    provider.list(&user);

    // Who signed in, and who failed.
    let entries = account(data, &["sign-ins", &user]);
    let events: Vec<&str> =
        entries.as_array().unwrap().iter().map(|entry| entry["event"].as_str().unwrap()).collect();
    for event in ["signed-in", "failed", "password-set", "app-password-added", "app-password-revoked"] {
        assert!(events.contains(&event), "{event}: {entries}");
    }
    assert_eq!(reads(data, "nessuno@pec.demo.example", "x"), "401");
    assert_eq!(account(data, &["sign-ins"])[0]["account"], "unknown");

    // Nobody but the operator.
    assert_eq!(reads_operator(data, "0000"), "404");
    provider.stop();
    assert!(!dir.path().join("data/operator.token").exists());
}

fn reads_operator(data: &Path, token: &str) -> String {
    let doors: Value = serde_json::from_slice(&fs::read(data.join("doors.json")).unwrap()).unwrap();
    let url = format!("{}/v1/operator", doors["https"]["url"].as_str().unwrap());
    let output = Command::new("curl")
        .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", doors["ca"].as_str().unwrap()])
        .args(["-H", &format!("Authorization: Bearer {token}"), "-H", "Content-Type: application/json"])
        .args(["-d", r#"{"operation":"list-app-passwords","address":"mittente@pec.demo.example"}"#, &url])
        .output()
        .unwrap();
    stdout(&output)
}

#[test]
fn passwords_are_made_while_the_provider_does_not_run() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let nothing = sigillo(&["account", "password", "--data", data.to_str().unwrap(), "a@b.example"]);
    assert_ne!(code(&nothing), 0);
    assert!(!data.exists(), "a demo is made by `up` only");
    let provider = Provider::start(&data);
    let [user, _] = provider.accounts();
    // Killed: its doors.json and its token stay behind.
    provider.kill();
    drop(provider);

    let new = account(&data, &["password", &user])["password"].as_str().unwrap().to_owned();
    let made = account(&data, &["app-password", "add", &user, "scrivania"]);
    let unknown =
        sigillo(&["account", "password", "--data", data.to_str().unwrap(), "nessuno@pec.demo.example"]);
    assert_eq!(code(&unknown), 1);
    let _provider = Provider::start(&data);
    assert_eq!(reads(&data, &user, &new), "200");
    assert_eq!(reads(&data, &user, made["password"].as_str().unwrap()), "200");
}

fn fetched(url: &str, ca: &str, extra: &[&str]) -> (String, String) {
    let output = Command::new("curl")
        .args(["-sS", "-w", "\n%{http_code}", "--cacert", ca])
        .args(extra)
        .arg(url)
        .output()
        .unwrap();
    let text = stdout(&output);
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

/// Mail programs ask without a password, for domains of ours only.
#[test]
fn mail_programs_are_told_how_to_reach_the_doors() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start(&dir.path().join("data"));
    let doors: Value =
        serde_json::from_slice(&fs::read(provider.data().join("doors.json")).unwrap()).unwrap();
    let (url, ca) = (doors["https"]["url"].as_str().unwrap(), doors["ca"].as_str().unwrap());
    let well_known = format!("{url}/.well-known/autoconfig/mail/config-v1.1.xml");
    let ask = |address: &str| fetched(&format!("{well_known}?emailaddress={address}"), ca, &[]);
    let (status, xml) = ask("mittente%40PEC.demo.example");
    assert_eq!(status, "200");
    assert!(xml.contains("<domain>pec.demo.example</domain>"), "{xml}");
    let file = dir.path().join("config.xml");
    fs::write(&file, &xml).unwrap();
    common::run("xmllint", &["--noout", file.to_str().unwrap()]);
    let host = ["-H", "Host: autoconfig.pec.demo.example"];
    assert_eq!(fetched(&format!("{url}/mail/config-v1.1.xml"), ca, &host), (status, xml));
    assert_eq!(ask("mittente%40altri.example").0, "404");
    assert_eq!(ask("nessuno").0, "404");
    assert_eq!(fetched(&well_known, ca, &[]).0, "404");

    // The same doors in what `up` said, and in the commands.
    let records = provider.json(&["domain", "records"]);
    assert_eq!(provider.ready["records"], records);
    let settings = provider.json(&["domain", "settings", "mittente@pec.demo.example"]);
    assert_eq!(provider.ready["settings"], settings);
    for (door, program) in [("imaps", "mbsync"), ("smtps", "thunderbird"), ("pop3s", "thunderbird")] {
        if let Some(url) = doors[door]["url"].as_str() {
            let port = url.rsplit(':').next().unwrap();
            assert!(settings[program].as_str().unwrap().contains(port), "{door}: {settings}");
            assert!(records.to_string().contains(&format!(" {port} localhost.")), "{door}: {records}");
        }
    }
}
