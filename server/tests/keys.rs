//! `sigillo keys`: what it prints, others can use.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{Provider, code, sigillo, stderr, stdout};

const NAME: [&str; 4] =
    ["--subject", "CN=Posta Certificata,O=Alfa,C=IT", "--mail", "posta-certificata@gestore.alfa.example"];

#[test]
fn openssl_verifies_a_certificate_request_of_a_key_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start(&dir.path().join("data"));
    let data = provider.data().to_str().unwrap();
    let key = provider.data().join("pki/provider.key");
    let made = [
        sigillo(&[&["keys", "csr", "--data", data][..], &NAME].concat()),
        sigillo(&[&["keys", "csr", "--key", key.to_str().unwrap()][..], &NAME].concat()),
    ]
    .map(|output| stdout(&output));
    assert_eq!(made[0], made[1], "the signature is deterministic");
    let file = provider.file("request.pem", &made[0]);
    let verify = ["req", "-verify", "-in", &file, "-noout", "-text", "-nameopt", "RFC2253"];
    let text = stdout(&common::run("openssl", &verify));
    for part in [NAME[1], "email:posta-certificata@gestore.alfa.example", "Digital Signature"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_name_or_a_key_that_is_none_is_a_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("absent.key");
    let absent = sigillo(&[&["keys", "csr", "--key", absent.to_str().unwrap()][..], &NAME].concat());
    assert_eq!(code(&absent), 64, "{}", stderr(&absent));
    let file = dir.path().join("no.key");
    std::fs::write(&file, "no key").unwrap();
    let none = sigillo(&[&["keys", "csr", "--key", file.to_str().unwrap()][..], &NAME].concat());
    assert_eq!(code(&none), 64, "{}", stderr(&none));
}

/// Every command about a provider takes `--aws`, and says what it lacks: here, a description.
#[test]
fn commands_on_aws_say_what_they_lack() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name).to_str().unwrap().to_owned()
    };
    let (odd, letter) = (file("aws.json", "{}"), file("letter.eml", "Subject: a\n\nb\n"));
    let account = "mittente@pec.demo.example";
    for args in [
        &["send", "--from", account, "--to", account, &letter][..],
        &["mailbox", "list", account],
        &["mailbox", "show", account, "1"],
        &["mailbox", "export", account, "out"],
        &["audit", "letter", "1@gestore.demo.example"],
        &["verify", &letter],
        &[&["keys", "csr"], &NAME[..]].concat(),
    ] {
        let output = sigillo(&[args, &["--aws", &odd]].concat());
        assert_eq!(code(&output), 64, "{args:?}: {}", stderr(&output));
        let says = if cfg!(feature = "aws") { "describe-stacks" } else { "--features aws" };
        assert!(stderr(&output).contains(says), "{args:?}: {}", stderr(&output));
    }
}
