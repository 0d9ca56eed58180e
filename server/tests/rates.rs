//! Sending rates at the doors of a real provider.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{fs, process::Command};

use common::{Provider, code, stderr};
use serde_json::Value;

/// RFC 3463 §3.8, RFC 6585 §4: too much for an hour is said in words at both doors, and a restart does not forget it.
#[test]
fn who_sends_too_much_is_told_when_there_is_room_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let limits = ["--rate-account", "3"];
    let provider = Provider::start_with(&data, &limits);
    let [sender, other] = provider.accounts();
    let letter = provider.file("letter.eml", "Subject: Prova\r\n\r\nTesto.\r\n");
    let send = |provider: &Provider| {
        provider.sigillo(&["send", "--json", "--from", &sender, "--to", &other, &letter])
    };
    for _ in 0..3 {
        let output = send(&provider);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
    }
    let over = send(&provider);
    let said = "the account has written to the 3 recipients that it may write to in an hour: try again in";
    assert!(
        code(&over) == 1 && stderr(&over).contains(said) && stderr(&over).contains("429"),
        "{}",
        stderr(&over)
    );
    // Another account of the organisation has an hour of its own.
    let output = provider.sigillo(&["send", "--from", &other, "--to", &sender, &letter]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    provider.stop();

    let provider = Provider::start_with(&data, &limits);
    let over = stderr(&send(&provider));
    assert!(over.contains(said), "{over}");
    let demo: Value = serde_json::from_slice(&fs::read(data.join("demo.json")).unwrap()).unwrap();
    let password = demo["accounts"][0]["password"].as_str().unwrap();
    let doors: Value = serde_json::from_slice(&fs::read(data.join("doors.json")).unwrap()).unwrap();
    let url = doors["smtps"]["url"].as_str().unwrap();
    let output = Command::new("curl")
        .args(["-sSv", "--cacert", doors["ca"].as_str().unwrap(), "--user", &format!("{sender}:{password}")])
        .args(["--mail-from", &sender, "--mail-rcpt", &other, "--upload-file", &letter, url])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(stderr(&output).contains(&format!("450 4.7.1 {said}")), "{}", stderr(&output));
}
