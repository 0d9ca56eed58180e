//! Revocation lists from a real HTTP server, kept in a provider's folder (spec 5.2 V3, 0.2 D15).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    process::Command,
    sync::Arc,
    thread,
};

use common::Helper;
use directory::lists::{Fetcher, ListsError};
use pec::{
    Address, Index, Instant,
    index::{IndexCertificate, Record},
};
use sigillo_server::{folder::Folder, revocation::Lists};
use smime::{Anchors, Certificate, Standing, Verifier, Wanted};

/// Serves a folder over HTTP; prints its port.
const SERVER: &str = "
import functools, http.server, sys
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
print(server.server_address[1], flush=True)
server.serve_forever()
";

fn openssl(dir: &Path, arguments: &str) {
    let output = Command::new("openssl").current_dir(dir).args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority of openssl that keeps its own records, and a certificate with this extension beside its usual ones.
fn authority(dir: &Path, extension: &str) {
    let config = format!(
        "[ca]\ndefault_ca=own\n[own]\ndatabase=records\nserial=serial\nnew_certs_dir=.\ncertificate=ca.pem\nprivate_key=ca.key\n\
         default_md=sha256\ndefault_days=30\ndefault_crl_days=1\npolicy=any\nx509_extensions=usage\ncrlnumber=crlnumber\n\
         [any]\ncommonName=supplied\n[usage]\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=emailProtection\n\
         subjectAltName=email:posta-certificata@gestore.beta.example\n{extension}\n\
         [responder]\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=OCSPSigning\nnoCheck=ignored\n"
    );
    fs::write(dir.join("ca.cnf"), config).unwrap();
    fs::write(dir.join("records"), "").unwrap();
    for name in ["serial", "crlnumber"] {
        fs::write(dir.join(name), "1000\n").unwrap();
    }
    openssl(dir, "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=Prova -keyout ca.key -out ca.pem");
    openssl(dir, "req -new -newkey rsa:2048 -nodes -subj /CN=Beta -keyout beta.key -out beta.csr");
    openssl(dir, "ca -batch -config ca.cnf -in beta.csr -out beta.pem -notext");
}

fn publish(dir: &Path) {
    openssl(dir, "ca -config ca.cnf -gencrl -out ca.crl.pem");
    openssl(dir, "crl -in ca.crl.pem -outform DER -out served/ca.crl");
}

/// An index of one provider.
fn index(beta: &Certificate) -> Index {
    Index::new(vec![Record {
        id: "Beta PEC".to_owned(),
        provider_name: "Beta PEC".to_owned(),
        provider_unit: None,
        mail_receipt: Address::parse("ricevute@gestore.beta.example").unwrap(),
        managed_domains: vec!["pec.beta.example".to_owned()],
        certificates: vec![IndexCertificate::new(beta.der().to_vec())],
        ldif_location: None,
    }])
}

/// An address that leads behind TLS (RFC 5280 §8) is a failure like any other.
#[test]
fn an_address_that_leads_behind_tls_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    openssl(
        dir.path(),
        "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=Prova -keyout ca.key -out ca.pem",
    );
    let issuer = Certificate::from_pem(&fs::read(dir.path().join("ca.pem")).unwrap()).unwrap().remove(0);
    let verifier = Verifier::new(Anchors::from_certificates([issuer.clone()]));
    // A server that says hello to whoever speaks TLS, and sends everybody there.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers = thread::spawn(move || {
        for connection in listener.incoming().take(2) {
            let mut connection = connection.unwrap();
            let mut request = [0; 4096];
            let read = connection.read(&mut request).unwrap();
            assert!(read > 0);
            let answer = format!(
                "HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:{port}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            connection.write_all(answer.as_bytes()).unwrap();
        }
    });
    let wanted = Wanted { url: format!("http://127.0.0.1:{port}/ca.crl"), issuer, about: None };
    let fetched = Fetcher::default().refresh(&verifier, &wanted, 1_800_000_000);
    assert!(matches!(fetched, Err(ListsError::Fetch(..))), "{fetched:?}");
    answers.join().unwrap();
}

#[test]
fn lists_are_fetched_kept_and_believed_only_if_they_hold() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    fs::create_dir(path.join("served")).unwrap();
    let server = Helper::python(SERVER, &[&path.join("served")]);
    authority(path, &format!("crlDistributionPoints=URI:http://127.0.0.1:{}/ca.crl", server.port()));
    publish(path);
    let read = |name: &str| Certificate::from_pem(&fs::read(path.join(name)).unwrap()).unwrap().remove(0);
    let (ca, beta) = (read("ca.pem"), read("beta.pem"));
    let index = index(&beta);
    let folder = Folder::new(&path.join("data"));
    let verifier = || Arc::new(Verifier::new(Anchors::from_certificates([ca.clone()])));
    // The clock of the lists is openssl's.
    let begin = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let now = |after_s: i64| Instant::from_unix_s(begin + after_s);

    // 1. Nothing yet, then a list on which nobody is.
    let first = verifier();
    assert_eq!(first.standing(&beta, begin), Standing::NotAsked);
    let mut lists = Lists::open(Arc::clone(&first), folder.clone(), &index, now(0));
    assert_eq!(first.standing(&beta, begin), Standing::Stale(None));
    assert_eq!(lists.refresh(&index, now(60)), 0);
    assert!(matches!(first.standing(&beta, begin + 60), Standing::Good { .. }));

    // 2. Revoked: known with the next fetch, an hour later.
    openssl(path, "ca -config ca.cnf -revoke beta.pem");
    publish(path);
    lists.refresh(&index, now(120));
    assert!(matches!(first.standing(&beta, begin + 3600), Standing::Good { .. }), "not due");
    assert_eq!(lists.refresh(&index, now(3700)), 0);
    assert!(matches!(first.standing(&beta, begin + 3700), Standing::Revoked { .. }));

    // 3. A server that serves something else, or nothing: the last good list stays, and is there after a restart.
    fs::write(path.join("served/ca.crl"), "niente").unwrap();
    assert_eq!(lists.refresh(&index, now(8000)), 1);
    drop(server);
    assert_eq!(lists.refresh(&index, now(9000)), 1);
    assert!(matches!(first.standing(&beta, begin + 9000), Standing::Revoked { .. }));
    let second = verifier();
    let _lists = Lists::open(Arc::clone(&second), folder.clone(), &index, now(9000));
    assert!(matches!(second.standing(&beta, begin + 9000), Standing::Revoked { .. }));
    let old = second.standing(&beta, begin + 3 * 24 * 3600);
    assert!(matches!(old, Standing::Stale(Some(last)) if last.revoked_since.is_some()), "{old:?}");

    // 4. What was kept and was changed by somebody is not used.
    let kept = fs::read_dir(folder.lists()).unwrap().next().unwrap().unwrap().path();
    let mut octets = fs::read(&kept).unwrap();
    *octets.last_mut().unwrap() ^= 1;
    fs::write(&kept, octets).unwrap();
    let third = verifier();
    let _lists = Lists::open(Arc::clone(&third), folder, &index, now(9000));
    assert_eq!(third.standing(&beta, begin + 9000), Standing::Stale(None));
}

/// openssl's responder on an authority's records, signing with this certificate. It says so when it listens; who connects
/// and asks nothing keeps it from everybody else.
fn responder(dir: &Path, port: u16, signer: &str) -> Helper {
    let (certificate, key) = (format!("{signer}.pem"), format!("{signer}.key"));
    let mut command = Command::new("openssl");
    command.current_dir(dir).args([
        "ocsp",
        "-index",
        "records",
        "-CA",
        "ca.pem",
        "-nmin",
        "60",
        "-ignore_err",
    ]);
    command.args(["-port", &port.to_string(), "-rsigner", &certificate, "-rkey", &key]);
    let responder = Helper::start(&mut command);
    assert!(responder.line.starts_with("ACCEPT "), "{}", responder.line);
    responder
}

/// RFC 6960: a certificate whose authority publishes no list, but answers about each.
#[test]
fn responders_are_asked_and_believed_only_if_they_may_answer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    authority(path, &format!("authorityInfoAccess=OCSP;URI:http://127.0.0.1:{port}/"));
    for (name, extensions) in [("responder", "responder"), ("impostor", "usage")] {
        openssl(
            path,
            &format!("req -new -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"),
        );
        let certify = format!(
            "ca -batch -config ca.cnf -extensions {extensions} -in {name}.csr -out {name}.pem -notext"
        );
        openssl(path, &certify);
    }
    let read = |name: &str| Certificate::from_pem(&fs::read(path.join(name)).unwrap()).unwrap().remove(0);
    let (ca, beta) = (read("ca.pem"), read("beta.pem"));
    let index = index(&beta);
    let folder = Folder::new(&path.join("data"));
    let verifier = || Arc::new(Verifier::new(Anchors::from_certificates([ca.clone()])));
    let begin = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let now = |after_s: i64| Instant::from_unix_s(begin + after_s);

    // 1. The authority itself, and somebody whom it has certified to answer; nobody else, though certified by it.
    for (signer, failed) in [("ca", 0), ("responder", 0), ("impostor", 1)] {
        let _serving = responder(path, port, signer);
        let verifier = verifier();
        let folder = Folder::new(&path.join(format!("data-{signer}")));
        let mut lists = Lists::open(Arc::clone(&verifier), folder, &index, now(0));
        assert_eq!(verifier.standing(&beta, begin), Standing::Stale(None));
        assert_eq!(lists.refresh(&index, now(60)), failed, "{signer}");
        let standing = verifier.standing(&beta, begin + 60);
        assert_eq!(matches!(standing, Standing::Good { .. }), failed == 0, "{signer}: {standing:?}");
    }

    // 2. Revoked: known with the next question, and after a restart without the responder.
    let first = verifier();
    let mut lists = Lists::open(Arc::clone(&first), folder.clone(), &index, now(0));
    let serving = responder(path, port, "responder");
    assert_eq!(lists.refresh(&index, now(60)), 0);
    openssl(path, "ca -config ca.cnf -revoke beta.pem");
    drop(serving);
    let serving = responder(path, port, "responder");
    assert_eq!(lists.refresh(&index, now(3700)), 0);
    let revoked = first.standing(&beta, begin + 3000);
    assert!(matches!(revoked, Standing::Revoked { .. }), "{revoked:?}");
    drop(serving);
    assert_eq!(lists.refresh(&index, now(8000)), 1);
    let second = verifier();
    let _lists = Lists::open(Arc::clone(&second), folder.clone(), &index, now(3000));
    assert!(matches!(second.standing(&beta, begin + 3000), Standing::Revoked { .. }));
    let old = second.standing(&beta, begin + 24 * 3600);
    assert!(matches!(old, Standing::Stale(Some(last)) if last.revoked_since.is_some()), "{old:?}");

    // 3. An answer that was changed, or is about another certificate, is not used.
    let kept = fs::read_dir(folder.lists()).unwrap().next().unwrap().unwrap().path();
    let octets = fs::read(&kept).unwrap();
    let wanted = |about: &Certificate| Wanted {
        url: format!("http://127.0.0.1:{port}/"),
        issuer: ca.clone(),
        about: Some(about.clone()),
    };
    let third = verifier();
    third.ask_for_revocation();
    assert!(third.take(&wanted(&read("responder.pem")), &octets, begin + 3000).is_err());
    for at in (0..octets.len()).step_by(7) {
        let mut changed = octets.clone();
        changed[at] ^= 1;
        if let Ok(this_update) = third.take(&wanted(&beta), &changed, begin + 3000) {
            // What is not signed: the responder's certificate, which is not needed where the authority signs, and the like.
            assert!(this_update <= begin + 3000);
            assert!(matches!(third.standing(&beta, begin + 3000), Standing::Revoked { .. }), "octet {at}");
        }
    }
    assert!(third.take(&wanted(&beta), b"niente", begin).is_err());
}
