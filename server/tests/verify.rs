//! `sigillo verify` and the command line as others see them: exit codes, JSON, certificates made by openssl.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{fs, path::Path};

use common::{code, run, sigillo, stderr, stdout};
use serde_json::Value;

const CONTENT: &str = "Content-Type: multipart/mixed; boundary=\"dentro\"\r\n\r\n--dentro\r\nContent-Type: text/plain\r\n\
    \r\nTesto.\r\n--dentro\r\nContent-Type: application/xml; name=\"daticert.xml\"\r\nContent-Disposition: inline; \
    filename=\"daticert.xml\"\r\n\r\n<?xml version=\"1.0\" encoding=\"UTF-8\"?><postacert tipo=\"accettazione\" \
    errore=\"nessuno\"><intestazione><mittente>a@pec.alfa.example</mittente><destinatari>b@pec.beta.example\
    </destinatari><risposte>a@pec.alfa.example</risposte></intestazione><dati><gestore-emittente>Alfa</gestore-emittente>\
    <data zona=\"+0100\"><giorno>15/01/2026</giorno><ora>09:00:00</ora></data><identificativo>1@alfa.example\
    </identificativo></dati></postacert>\r\n--dentro--\r\n";

/// A receipt signed by openssl with a self-signed certificate; gives the paths of message and certificate.
fn receipt(dir: &Path, mail: &str, digest: &str, extra: &[&str]) -> (String, String) {
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let (key, certificate, content, signed) =
        (path("key"), path("cert.pem"), path("content"), path("signed"));
    let names = [format!("subjectAltName=email:{mail}"), "extendedKeyUsage=emailProtection".to_owned()];
    run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            &key,
            "-out",
            &certificate,
            "-days",
            "2",
            "-subj",
            "/O=Alfa/CN=Alfa",
            "-addext",
            &names[0],
            "-addext",
            &names[1],
            "-addext",
            "keyUsage=critical,digitalSignature",
        ],
    );
    fs::write(&content, CONTENT).unwrap();
    let base =
        ["cms", "-sign", "-binary", "-md", digest, "-signer", &certificate, "-inkey", &key, "-in", &content];
    run("openssl", &[&base, &["-out", signed.as_str(), "-outform", "SMIME"] as &[&str], extra].concat());
    let message = fs::read_to_string(&signed).unwrap();
    let head = "X-Ricevuta: accettazione\r\nFrom: posta-certificata@alfa.example\r\nMessage-ID: <2@alfa.example>\r\n";
    let file = path("receipt.eml");
    fs::write(&file, format!("{head}{message}")).unwrap();
    (file, certificate)
}

fn report(args: &[&str]) -> (i32, Value) {
    let output = sigillo(&[&["verify", "--json"], args].concat());
    (
        code(&output),
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output))),
    )
}

#[test]
fn a_receipt_of_openssl_is_valid_and_every_certificate_of_ca_is_an_anchor() {
    let dir = tempfile::tempdir().unwrap();
    let (file, certificate) = receipt(dir.path(), "posta-certificata@alfa.example", "sha256", &[]);
    let (exit, json) = report(&[&file]);
    assert_eq!((exit, &json["chain"]), (0, &"not-checked".into()), "{json}");
    let (exit, json) = report(&[&file, "--ca", &certificate]);
    assert_eq!((exit, &json["chain"], &json["digest"]), (0, &"trusted".into(), &"sha-256".into()), "{json}");
    // A folder, with something in it that is no certificate, and the certificate in DER.
    let folder = dir.path().join("ca");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("README"), "none").unwrap();
    let der = folder.join("a.der");
    run("openssl", &["x509", "-in", &certificate, "-outform", "DER", "-out", der.to_str().unwrap()]);
    assert_eq!(report(&[&file, "--ca", folder.to_str().unwrap()]).0, 0);
    // As of a time before it existed.
    let (exit, json) = report(&[&file, "--ca", &certificate, "--at", "2020-01-01T00:00:00Z"]);
    assert_eq!((exit, &json["chain"]), (1, &"untrusted".into()));
    assert!(json["reason"].as_str().unwrap().contains("chain"), "{json}");
}

/// Spec 10.1: SHA-1 in the historic view only, and then it is named.
#[test]
fn sha_1_is_for_the_historic_view_and_named_there() {
    let dir = tempfile::tempdir().unwrap();
    let (file, certificate) = receipt(dir.path(), "posta-certificata@alfa.example", "sha1", &[]);
    let (exit, json) = report(&[&file, "--ca", &certificate]);
    assert_eq!((exit, &json["signature"]), (1, &"invalid".into()));
    assert!(json["reason"].as_str().unwrap().contains("SHA-1"), "{json}");
    let (exit, json) = report(&[&file, "--ca", &certificate, "--at", "signing-time"]);
    assert_eq!((exit, &json["signature"], &json["digest"]), (0, &"valid".into(), &"sha-1".into()), "{json}");
    let named =
        json["checks"].as_array().unwrap().iter().any(|c| c["detail"].as_str().unwrap().contains("sha-1"));
    assert!(named, "{json}");
}

#[test]
fn without_a_signing_time_the_certified_one_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (file, certificate) = receipt(dir.path(), "posta-certificata@alfa.example", "sha256", &["-noattr"]);
    let (exit, json) = report(&[&file]);
    assert_eq!((exit, &json["signed_at"]), (0, &Value::Null), "{json}");
    // The certification data say January 2026; the certificate is younger.
    let (exit, json) = report(&[&file, "--ca", &certificate, "--at", "signing-time"]);
    assert_eq!(exit, 1);
    assert!(json["reason"].as_str().unwrap().contains("2026-01-15T08:00:00Z"), "{json}");
}

#[test]
fn a_certificate_for_another_address_does_not_sign_for_this_one() {
    let dir = tempfile::tempdir().unwrap();
    let (file, certificate) = receipt(dir.path(), "posta-certificata@altro.example", "sha256", &[]);
    let (exit, json) = report(&[&file, "--ca", &certificate]);
    assert_eq!((exit, &json["signature"], &json["chain"]), (1, &"valid".into(), &"trusted".into()), "{json}");
    assert!(json["reason"].as_str().unwrap().contains("posta-certificata@altro.example"), "{json}");
}

#[test]
fn what_is_no_pec_message_is_2_with_a_clear_message() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file.eml");
    for octets in [&b""[..], b"\0\xff\xfe garbage", b"From: a@b.example\r\n\r\nCiao.\r\n"] {
        fs::write(&file, octets).unwrap();
        let output = sigillo(&["verify", file.to_str().unwrap()]);
        assert_eq!(code(&output), 2);
        assert!(stdout(&output).contains("not a PEC message"), "{}", stdout(&output));
        let (exit, json) = report(&[file.to_str().unwrap()]);
        assert_eq!((exit, &json["signature"], &json["kind"]), (2, &"absent".into(), &Value::Null));
    }
}

#[test]
fn a_wrong_usage_is_64() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    fs::write(&empty, "").unwrap();
    let empty = empty.to_str().unwrap();
    for args in [
        &[][..],
        &["fly"],
        &["verify"],
        &["verify", "/nonexistent/file.eml"],
        &["verify", empty, "--at", "yesterday"],
        &["verify", empty, "--ca", empty],
        &["verify", empty, "--ca", "/nonexistent"],
        &["verify", empty, "--index", empty],
        &["send", "--from", "nobody", empty],
        &["mailbox", "show", "a@b.example", "x"],
        &["mailbox", "show", "a@b.example", "1", "--raw", "--json"],
    ] {
        let output = sigillo(args);
        assert_eq!(code(&output), 64, "{args:?}: {}", stderr(&output));
        assert!(!output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn without_a_provider_the_commands_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let output = sigillo(&["mailbox", "list", "a@b.example", "--data", data]);
    assert_eq!(code(&output), 69, "{}", stderr(&output));
    assert!(stderr(&output).contains("sigillo up"), "{}", stderr(&output));
    let output = sigillo(&["audit", "letter", "1@b.example", "--data", data]);
    assert_eq!(code(&output), 64, "{}", stderr(&output));
}

#[test]
fn every_command_has_help_with_an_example() {
    for command in [
        &["up"][..],
        &["send"],
        &["mailbox", "list"],
        &["mailbox", "show"],
        &["mailbox", "export"],
        &["audit", "letter"],
        &["verify"],
        &["keys", "csr"],
    ] {
        let output = sigillo(&[command, &["--help"]].concat());
        let (exit, text) = (code(&output), stdout(&output));
        let example = format!("Example:\n  sigillo {}", command.join(" "));
        assert_eq!(exit, 0);
        assert!(text.contains(&example) && text.contains("--json"), "{text}");
    }
    assert_eq!(code(&sigillo(&["--help"])), 0);
    assert_eq!(code(&sigillo(&["--version"])), 0);
}
