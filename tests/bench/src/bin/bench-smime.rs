//! Signing (without the RSA, and with it) and verifying, beside `openssl cms` on the same machine in the same run.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use clap::Parser;
use mime::Rope;
use serde::Serialize;
use sigillo_bench::{Failure, Pki, median};
use smime::{Anchors, Certificate, Identity, Policy, RsaKey, Verifier, split_signed};

/// Signing and verifying alone.
///
/// Example: cargo xtask bench smime --json
#[derive(Parser)]
struct Options {
    /// Sizes of the signed content in KB.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 10_240])]
    size_kb: Vec<usize>,
    /// Time for each figure, in milliseconds.
    #[arg(long, default_value_t = 500)]
    budget_ms: u64,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Figures {
    size_kb: usize,
    sha256_us: f64,
    rsa_sign_us: f64,
    sign_without_rsa_us: f64,
    sign_us: f64,
    verify_us: f64,
    /// Wall time of the process, its start subtracted; reads and parses the file as well.
    openssl_sign_us: f64,
    openssl_verify_us: f64,
}

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let budget = Duration::from_millis(options.budget_ms);
    let pki = Pki::new("posta-certificata@pec.bench.example", "Bench PEC")?;
    let dir = tempfile::tempdir()?;
    fs::write(dir.path().join("ca.pem"), &pki.ca_pem)?;
    fs::write(dir.path().join("leaf.pem"), &pki.leaf_pem)?;
    fs::write(dir.path().join("key.pem"), &pki.key_pem)?;
    let identity = Identity::from_chain(std::slice::from_ref(&pki.leaf))?;
    let key = RsaKey::from_pem(pki.key_pem.as_bytes())?;
    let verifier = Verifier::new(Anchors::from_certificates([Certificate::from_der(&pki.ca)?]));

    if !options.json {
        println!(
            "{:>9} {:>10} {:>10} {:>12} {:>10} {:>10} {:>14} {:>14}",
            "size KB",
            "sha256 us",
            "rsa us",
            "sign-rsa us",
            "sign us",
            "verify us",
            "openssl sign",
            "openssl verify"
        );
    }
    for &size_kb in &options.size_kb {
        let content = content(size_kb * 1024);
        let at = identity.certificate().not_before_unix_s() + 1;
        let digest = smime::sha256([&content]);
        let some_signature = key.sign_digest(digest)?;
        let sign = |signature: &dyn Fn([u8; 32]) -> Vec<u8>| {
            let pending = identity.prepare(smime::sha256([&content]), at).ok()?;
            let digest = pending.digest();
            pending.assemble(&signature(digest)).ok()
        };
        let cms = sign(&|d| key.sign_digest(d).unwrap_or_default()).ok_or("nothing was signed")?;
        let message = message(&content, &cms);

        let verify = || -> Result<(), Failure> {
            let signed = split_signed(&message)?;
            let verified = verifier.verify(&signed, &Policy::default())?;
            for signer in &verified.signers {
                verifier.check_chain(&signer.certificate, &verified.certificates, at, &Policy::default())?;
            }
            Ok(())
        };
        verify()?;
        fs::write(dir.path().join("content"), &content)?;
        fs::write(dir.path().join("message.eml"), &message)?;
        openssl(dir.path(), &SIGN)?;
        openssl(dir.path(), &VERIFY)?;
        let started = median(budget, || drop(openssl(dir.path(), &["version"])));

        let us = |d: Duration| d.as_secs_f64() * 1e6;
        let figures = Figures {
            size_kb,
            sha256_us: us(median(budget, || {
                std::hint::black_box(smime::sha256([&content]));
            })),
            rsa_sign_us: us(median(budget, || drop(std::hint::black_box(key.sign_digest(digest))))),
            sign_without_rsa_us: us(median(budget, || {
                drop(std::hint::black_box(sign(&|_| some_signature.clone())))
            })),
            sign_us: us(median(budget, || {
                drop(std::hint::black_box(sign(&|d| key.sign_digest(d).unwrap_or_default())));
            })),
            verify_us: us(median(budget, || drop(std::hint::black_box(verify())))),
            openssl_sign_us: us(median(budget, || drop(openssl(dir.path(), &SIGN))).saturating_sub(started)),
            openssl_verify_us: us(
                median(budget, || drop(openssl(dir.path(), &VERIFY))).saturating_sub(started)
            ),
        };
        if options.json {
            println!("{}", serde_json::to_string(&figures)?);
        } else {
            println!(
                "{:>9} {:>10.0} {:>10.0} {:>12.0} {:>10.0} {:>10.0} {:>14.0} {:>14.0}",
                figures.size_kb,
                figures.sha256_us,
                figures.rsa_sign_us,
                figures.sign_without_rsa_us,
                figures.sign_us,
                figures.verify_us,
                figures.openssl_sign_us,
                figures.openssl_verify_us
            );
        }
    }
    Ok(())
}

const SIGN: [&str; 13] = [
    "cms", "-sign", "-binary", "-md", "sha256", "-signer", "leaf.pem", "-inkey", "key.pem", "-in", "content",
    "-outform", "SMIME",
];
const VERIFY: [&str; 8] = ["cms", "-verify", "-inform", "SMIME", "-in", "message.eml", "-CAfile", "ca.pem"];

fn openssl(dir: &Path, arguments: &[&str]) -> Result<(), Failure> {
    let status = Command::new("openssl")
        .args(arguments)
        .current_dir(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if status.success() { Ok(()) } else { Err(format!("openssl {arguments:?} ended with {status}").into()) }
}

/// A text part of about this size, lines as base64 has them.
fn content(size: usize) -> Bytes {
    let mut out = b"Content-Type: text/plain\r\n\r\n".to_vec();
    while out.len() < size {
        out.extend_from_slice(&[b'a'; 76]);
        out.extend_from_slice(b"\r\n");
    }
    out.into()
}

fn message(content: &Bytes, cms: &[u8]) -> Bytes {
    let mut rope = Rope::new();
    rope.push(
        "MIME-Version: 1.0\r\nContent-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; \
         micalg=sha-256; boundary=\"limite\"\r\n\r\n--limite\r\n",
    );
    rope.push(content.clone());
    rope.push(
        "\r\n--limite\r\nContent-Type: application/pkcs7-signature; name=\"smime.p7s\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n",
    );
    rope.push(mime::encode::base64_lines(cms));
    rope.push("\r\n--limite--\r\n");
    rope.to_bytes()
}
