//! RFC 3161, with openssl as the authority.

use std::fs;
use std::path::Path;

use smime::{Anchors, Certificate, TimestampError, Verifier, timestamp_request, timestamp_token};
use tempfile::TempDir;

use crate::openssl::openssl;

const DIGEST: [u8; 32] = [7; 32];

/// An authority with two certificates: `tsa`, for timestamps alone, and `mail`.
fn authority() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let run = |arguments: &str| openssl(dir, &arguments.split(' ').collect::<Vec<_>>());
    run("req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=Prova -keyout ca.key -out ca.pem");
    for (name, usage) in [("tsa", "critical,timeStamping"), ("mail", "emailProtection")] {
        let usage = format!("extendedKeyUsage={usage}");
        run(&format!(
            "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN={name} -keyout {name}.key -out {name}.pem \
             -CA ca.pem -CAkey ca.key -addext {usage} -addext basicConstraints=critical,CA:FALSE"
        ));
    }
    let config = "[tsa]\nserial=serial\ncrypto_device=builtin\nsigner_digest=sha256\ndefault_policy=1.2.3.4.1\n\
        digests=sha256\naccuracy=secs:1,millisecs:500\nordering=yes\ntsa_name=yes\ness_cert_id_chain=no\n\
        ess_cert_id_alg=sha256\n";
    fs::write(dir.join("tsa.cnf"), config).unwrap();
    fs::write(dir.join("serial"), "01\n").unwrap();
    folder
}

/// The token that the authority makes for a request.
fn token(dir: &Path, request: &[u8], signer: &str) -> Vec<u8> {
    fs::write(dir.join("request.tsq"), request).unwrap();
    let (certificate, key) = (format!("{signer}.pem"), format!("{signer}.key"));
    let args = ["ts", "-reply", "-config", "tsa.cnf", "-section", "tsa", "-queryfile", "request.tsq"];
    openssl(dir, &[&args[..], &["-signer", &certificate, "-inkey", &key, "-out", "reply.tsr"]].concat());
    timestamp_token(&fs::read(dir.join("reply.tsr")).unwrap()).unwrap()
}

fn trusting(dir: &Path, name: &str) -> Verifier {
    let pem = fs::read(dir.join(name)).unwrap();
    Verifier::new(Anchors::from_certificates(Certificate::from_pem(&pem).unwrap()))
}

#[test]
fn a_token_proves_that_a_digest_was_there() {
    let folder = authority();
    let dir = folder.path();
    for nonce in [0, 0x7f, 0x80, u64::MAX] {
        let token = token(dir, &timestamp_request(&DIGEST, nonce).unwrap(), "tsa");
        let ours = trusting(dir, "ca.pem");
        let stamp = ours.timestamp(&token, &DIGEST, Some(nonce)).unwrap();
        let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
        assert!((now - 120..=now + 1).contains(&stamp.at_unix_s), "{} at {now}", stamp.at_unix_s);
        assert!(stamp.signer.subject().contains("tsa"));
        assert!(ours.timestamp(&token, &DIGEST, None).is_ok(), "kept, without its request");
    }
}

#[test]
fn what_does_not_hold_proves_nothing() {
    let folder = authority();
    let dir = folder.path();
    let ours = trusting(dir, "ca.pem");
    let good = token(dir, &timestamp_request(&DIGEST, 5).unwrap(), "tsa");
    let other = |sha256: [u8; 32], nonce| ours.timestamp(&good, &sha256, nonce);
    assert!(matches!(other([8; 32], Some(5)), Err(TimestampError::Other("digest"))));
    assert!(matches!(other(DIGEST, Some(6)), Err(TimestampError::Other("request"))));
    let stranger = trusting(dir, "mail.pem").timestamp(&good, &DIGEST, Some(5));
    assert!(matches!(stranger, Err(TimestampError::Untrusted(_))), "{stranger:?}");
    // openssl does not let a certificate for mail make timestamps; a message that it signed is none.
    fs::write(dir.join("text"), "niente").unwrap();
    let args = "cms -sign -binary -nodetach -md sha256 -signer mail.pem -inkey mail.key -in text -outform DER -out p7m";
    openssl(dir, &args.split(' ').collect::<Vec<_>>());
    let message = fs::read(dir.join("p7m")).unwrap();
    assert!(matches!(ours.timestamp(&message, &DIGEST, None), Err(TimestampError::Signature(_))));
    // Any octet of the token: what is signed, and who signed it, cannot change.
    for at in (0..good.len()).step_by(5) {
        let mut changed = good.clone();
        changed[at] ^= 1;
        if let Ok(stamp) = ours.timestamp(&changed, &DIGEST, Some(5)) {
            let before = ours.timestamp(&good, &DIGEST, Some(5)).unwrap();
            assert_eq!((stamp.at_unix_s, stamp.signer), (before.at_unix_s, before.signer), "octet {at}");
        }
    }
    // Replies without a token, and octets that are none.
    for reply in [&b"\x30\x05\x30\x03\x02\x01\x02"[..], b"", b"\x30\x00", &[0x30; 100_000]] {
        assert!(timestamp_token(reply).is_err());
    }
}
