//! The certificate of the doors, replaced while they are open.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{
    fs,
    process::{Command, Stdio},
};

use common::{Provider, run, stdout, until};
use serde_json::Value;

/// The SHA-256 of the certificate that a door shows now.
fn shown(address: &str) -> String {
    let client = Command::new("openssl")
        .args(["s_client", "-connect", address])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let pem = stdout(&client);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shown.pem");
    fs::write(&file, pem).unwrap();
    fingerprint(file.to_str().unwrap())
}

fn fingerprint(pem: &str) -> String {
    stdout(&run("openssl", &["x509", "-in", pem, "-noout", "-fingerprint", "-sha256"]))
}

#[test]
fn a_new_certificate_is_taken_into_use_at_sighup_and_a_broken_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start(&dir.path().join("data"));
    let doors: Value =
        serde_json::from_slice(&fs::read(provider.data().join("doors.json")).unwrap()).unwrap();
    let address = doors["https"]["url"].as_str().unwrap().trim_start_matches("https://").to_owned();
    let (chain, key) = (provider.data().join("pki/tls.pem"), provider.data().join("pki/tls.key"));
    let (chain, key) = (chain.to_str().unwrap(), key.to_str().unwrap());
    let old = fingerprint(chain);
    assert_eq!(shown(&address), old);

    let (new_chain, new_key) = (provider.file("new.pem", ""), provider.file("new.key", ""));
    run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=localhost",
            "-keyout",
            &new_key,
            "-out",
            &new_chain,
        ],
    );
    // A chain without its key: the old certificate stays.
    fs::copy(&new_chain, chain).unwrap();
    provider.hang_up();
    assert_eq!(shown(&address), old);
    fs::copy(&new_key, key).unwrap();
    provider.hang_up();
    let new = fingerprint(&new_chain);
    until("the new certificate", || (shown(&address) == new).then_some(()));
    assert_ne!(old, new);
    provider.stop();
}
