//! What the doors offer, and the certificate that changes while they are open.

use std::{
    fs,
    net::SocketAddr,
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use sigillo_net::{Limits, Reloaded, Tls, TlsError};

use crate::common::{PATIENCE, echo, implicit, localhost, open, pair};

/// Whether `openssl s_client` gets through with this protocol.
async fn gets_through(address: SocketAddr, version: &str) -> bool {
    let (connect, version) = (address.to_string(), version.to_owned());
    let client = move || {
        Command::new("openssl")
            .args(["s_client", "-connect", &connect, "-brief", &version, "-cipher", "ALL:@SECLEVEL=0"])
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let output = tokio::task::spawn_blocking(client).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.contains("CONNECTION ESTABLISHED")
}

#[tokio::test]
async fn tls_1_2_and_1_3_and_nothing_older() {
    let door = open(implicit(&pair().tls()), Limits::default(), echo).await;
    assert!(gets_through(door.address, "-tls1_3").await);
    assert!(gets_through(door.address, "-tls1_2").await);
    assert!(!gets_through(door.address, "-tls1_1").await);
    assert!(!gets_through(door.address, "-tls1").await);
    door.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_taken_into_use_and_a_broken_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, key) = (dir.path().join("chain.pem"), dir.path().join("key.pem"));
    let mut age = 1_700_000_000;
    let mut write = |path: &std::path::Path, text: &str| {
        fs::write(path, text).unwrap();
        // As if an hour had passed, whatever the file system's clock resolves.
        age += 3600;
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(age);
        fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
    };
    let (old, new) = (pair(), pair());
    write(&chain, &old.chain);
    write(&key, &old.key);
    let tls = Tls::from_files(&chain, &key).unwrap();
    let door = open(implicit(&tls), Limits::default(), echo).await;
    let mut before = door.knock_tls(&old).await;
    assert_eq!(tls.reload(), Reloaded::Unchanged);

    // Half replaced: chain and key do not belong together.
    write(&chain, &new.chain);
    assert_eq!(tls.reload(), Reloaded::Kept);
    assert_eq!(tls.reload(), Reloaded::Kept, "the alarm is raised again");
    door.knock_tls(&old).await;

    // Whole: new handshakes see it, an open session goes on.
    write(&key, &new.key);
    assert_eq!(tls.reload(), Reloaded::New);
    assert_eq!(tls.reload(), Reloaded::Unchanged);
    door.knock_tls(&new).await;
    let mut refused = door.knock().await;
    assert!(refused.connect_tls(&old.connector(), localhost(), PATIENCE).await.is_err());
    before.send(b"a\r\n").await.unwrap();
    assert_eq!(before.line(100).await.unwrap().unwrap(), "a\r\n");

    // Broken, empty, gone: the last good one stays.
    for broken in ["no certificate", ""] {
        write(&chain, broken);
        assert_eq!(tls.reload(), Reloaded::Kept);
    }
    fs::remove_file(&chain).unwrap();
    assert_eq!(tls.reload(), Reloaded::Kept);
    door.knock_tls(&new).await;
    door.stop().await;
}

#[test]
fn what_is_no_certificate_opens_no_door() {
    let (one, other) = (pair(), pair());
    let made = |chain: &str, key: &str| Tls::from_pem(chain.as_bytes(), key.as_bytes());
    assert!(matches!(made(&one.chain, &other.key), Err(TlsError::Unusable(_))));
    assert!(matches!(made("", &one.key), Err(TlsError::Unusable(_))));
    assert!(matches!(made(&one.chain, ""), Err(TlsError::Unusable(_))));
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Tls::from_files(&dir.path().join("a"), &dir.path().join("b")), Err(TlsError::File(..))));
}
