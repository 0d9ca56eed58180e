//! A real clamd, with a signature of our own, scans the letters of a real provider (RFC 6109 §3.1.3, §5.4).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{
    fs,
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use common::{Provider, code, count, stderr, until};
use serde_json::Value;

/// The EICAR test string in halves, so that no scanner of a developer's machine takes this file away.
const EICAR: [&str; 2] = ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR", "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"];

/// A clamd of ours; it is killed when it is dropped.
struct Daemon(Child);

impl Daemon {
    /// Starts it on this socket with one signature, and waits until it listens.
    fn start(dir: &Path, socket: &Path) -> Self {
        let signatures = dir.join("signatures");
        fs::create_dir_all(&signatures).unwrap();
        let digits: String = EICAR.concat().bytes().map(|octet| format!("{octet:02x}")).collect();
        fs::write(signatures.join("test.ndb"), format!("Eicar-Test-Signature:0:*:{digits}\n")).unwrap();
        let settings = dir.join("clamd.conf");
        let text = format!(
            "Foreground yes\nLocalSocket {}\nDatabaseDirectory {}\nTemporaryDirectory {}\n\
             StreamMaxLength 128M\nMaxFileSize 128M\nMaxScanSize 512M\nAlertExceedsMax yes\n",
            socket.display(),
            signatures.display(),
            dir.display(),
        );
        fs::write(&settings, text).unwrap();
        let child = Command::new("clamd")
            .arg(format!("--config-file={}", settings.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("clamd listens", || UnixStream::connect(socket).ok());
        Self(child)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail once it has ended, which is what we want.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A letter with an attachment in base64, which only somebody who decodes it can judge.
fn letter(attachment: &str) -> String {
    let encoded = String::from_utf8(mime::encode::base64_lines(attachment.as_bytes())).unwrap();
    format!(
        "Subject: Allegato\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=limite\r\n\r\n\
         --limite\r\nContent-Type: text/plain\r\n\r\nIn allegato.\r\n\
         --limite\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n\
         {encoded}--limite--\r\n"
    )
}

#[test]
fn clamd_judges_and_letters_wait_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("clamd.ctl");
    let daemon = Daemon::start(dir.path(), &socket);
    let provider =
        Provider::start_with(&dir.path().join("data"), &["--clamd", &format!("unix:{}", socket.display())]);
    let [from, to] = provider.accounts();
    let clean = provider.file("clean.eml", letter("Niente di male."));
    let infected = provider.file("infected.eml", letter(&EICAR.concat()));
    let send = |file: &str, wait: &str| {
        provider.sigillo(&["send", "--from", &from, "--to", &to, "--wait-s", wait, file])
    };

    // 1. A clean letter arrives; the log says who judged it.
    let sent = send(&clean, "60");
    assert_eq!(code(&sent), 0, "{}", stderr(&sent));
    let own = provider.list(&from);
    assert_eq!((count(&own, "accettazione"), count(&own, "avvenuta-consegna")), (1, 1));
    let pec_id = own.iter().find_map(|entry| entry["pec_id"].as_str()).unwrap();
    let log = provider.json(&["audit", "letter", pec_id]);
    let scanner = |entry: &Value| entry["detail"]["scanner"].as_str().map(str::to_owned);
    let scanner = log.as_array().unwrap().iter().find_map(scanner).unwrap();
    assert!(scanner.starts_with("ClamAV "), "{scanner}");

    // 2. An infected one is not accepted (M2), and nothing of it reaches anybody.
    assert_eq!(code(&send(&infected, "60")), 1);
    let own = provider.list(&from);
    assert_eq!(count(&own, "non-accettazione"), 1, "{own:?}");
    assert_eq!(provider.list(&to).len(), 1);

    // 3. Without the scanner letters wait: neither accepted nor refused, nothing passes unscanned.
    drop(daemon);
    assert_eq!(code(&send(&clean, "2")), 75);
    assert_eq!(provider.list(&from).len(), own.len());
    assert_eq!(provider.list(&to).len(), 1);

    // 4. It comes back, and what waited goes on by itself.
    let _daemon = Daemon::start(dir.path(), &socket);
    until("the letter that waited", || (provider.list(&to).len() == 2).then_some(()));
    until("its receipts", || (provider.list(&from).len() == own.len() + 2).then_some(()));
}
