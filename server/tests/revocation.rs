//! Revocation lists from a real HTTP server, kept in a provider's folder (spec 5.2 V3, 0.2 D15).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
};

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

struct Server(Child, u16);

impl Server {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", SERVER])
            .arg(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self(child, line.trim().parse().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn openssl(dir: &Path, arguments: &str) {
    let output = Command::new("openssl").current_dir(dir).args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority of openssl that keeps its own records, and a certificate that names its list.
fn authority(dir: &Path, port: u16) {
    let config = format!(
        "[ca]\ndefault_ca=own\n[own]\ndatabase=records\nserial=serial\nnew_certs_dir=.\ncertificate=ca.pem\nprivate_key=ca.key\n\
         default_md=sha256\ndefault_days=30\ndefault_crl_days=1\npolicy=any\nx509_extensions=usage\ncrlnumber=crlnumber\n\
         [any]\ncommonName=supplied\n[usage]\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=emailProtection\n\
         subjectAltName=email:posta-certificata@gestore.beta.example\ncrlDistributionPoints=URI:http://127.0.0.1:{port}/ca.crl\n"
    );
    fs::write(dir.join("ca.cnf"), config).unwrap();
    fs::write(dir.join("records"), "").unwrap();
    for name in ["serial", "crlnumber"] {
        fs::write(dir.join(name), "1000\n").unwrap();
    }
    openssl(dir, "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=Prova -keyout ca.key -out ca.pem");
    openssl(dir, "req -new -newkey rsa:2048 -nodes -subj /CN=Beta -keyout beta.key -out beta.csr");
    openssl(dir, "ca -batch -config ca.cnf -in beta.csr -out beta.pem -notext");
    publish(dir);
}

fn publish(dir: &Path) {
    openssl(dir, "ca -config ca.cnf -gencrl -out ca.crl.pem");
    openssl(dir, "crl -in ca.crl.pem -outform DER -out served/ca.crl");
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
    let wanted = Wanted { url: format!("http://127.0.0.1:{port}/ca.crl"), issuer };
    let fetched = Fetcher::default().refresh(&verifier, &wanted, 1_800_000_000);
    assert!(matches!(fetched, Err(ListsError::Fetch(..))), "{fetched:?}");
    answers.join().unwrap();
}

#[test]
fn lists_are_fetched_kept_and_believed_only_if_they_hold() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    fs::create_dir(path.join("served")).unwrap();
    let server = Server::start(&path.join("served"));
    authority(path, server.1);
    let read = |name: &str| Certificate::from_pem(&fs::read(path.join(name)).unwrap()).unwrap().remove(0);
    let (ca, beta) = (read("ca.pem"), read("beta.pem"));
    let index = Index::new(vec![Record {
        id: "Beta PEC".to_owned(),
        provider_name: "Beta PEC".to_owned(),
        provider_unit: None,
        mail_receipt: Address::parse("ricevute@gestore.beta.example").unwrap(),
        managed_domains: vec!["pec.beta.example".to_owned()],
        certificates: vec![IndexCertificate::new(beta.der().to_vec())],
        ldif_location: None,
    }]);
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
