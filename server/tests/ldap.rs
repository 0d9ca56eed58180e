//! The provider index of a test bed, read from a real slapd with the schema of RFC 6109 §4.5 (spec 9.1, 9.2).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
};

use common::{Provider, authority::certificate, code, run, sigillo, stderr, until};
use pec::Index;
use serde_json::{Value, json};

/// A slapd of ours, which knows whom a certificate of the authority names; it is killed when it is dropped.
struct Slapd {
    child: Child,
    port: u16,
}

impl Slapd {
    /// With what is in this LDIF.
    fn start(dir: &Path, ldif: &Path) -> Self {
        let folder = dir.join("slapd");
        fs::create_dir(&folder).unwrap();
        let path = |name: &str| dir.join(name).display().to_string();
        let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/provider-index.schema");
        let settings = format!(
            "include /etc/ldap/schema/core.schema\ninclude {}\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n\
             pidfile {folder}/slapd.pid\nTLSCACertificateFile {}\nTLSCertificateFile {}\nTLSCertificateKeyFile {}\n\
             TLSVerifyClient demand\nsizelimit size.soft=300 size.hard=300 size.prtotal=unlimited\n\
             database mdb\nsuffix \"o=postacert\"\ndirectory {folder}\naccess to * by users read by * none\n",
            schema.display(),
            path("authority.pem"),
            path("server.pem"),
            path("server.key"),
            folder = folder.display(),
        );
        let conf = dir.join("slapd.conf");
        fs::write(&conf, settings).unwrap();
        let (conf, ldif) = (conf.to_str().unwrap(), ldif.to_str().unwrap());
        run("slapadd", &["-q", "-f", conf, "-l", ldif]);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("slapd")
            .args(["-d", "0", "-f", conf, "-h", &format!("ldaps://127.0.0.1:{port}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("slapd listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        Self { child, port }
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        // Both fail once it has ended, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Records as many as make several pages, the main environment of ours with a secondary one among them.
fn national(own: &str) -> String {
    let record = own.split("\n\n").find(|entry| entry.contains("managedDomains")).unwrap().trim_end();
    let renamed =
        |name: &str, domain: &str| record.replace("demo.example", domain).replace("Sigillo Demo", name);
    let mut entries = vec![
        "dn: o=postacert\nobjectClass: top\nobjectClass: organization\nobjectClass: LDIFLocationURLObject\n\
         o: postacert\nLDIFLocationURL: https://index.example/index.ldif.p7m"
            .to_owned(),
        record.to_owned(),
    ];
    entries.extend((0..450).map(|n| renamed(&format!("Gestore Però {n}"), &format!("n{n}.example"))));
    let unit = renamed("Sigillo Demo", "unit.example").replacen(
        "dn: providerName=",
        "dn: providerUnit=Ambiente 2,providerName=",
        1,
    );
    entries.push(format!("{unit}\nproviderUnit: Ambiente 2"));
    entries.join("\n\n") + "\n"
}

#[test]
fn a_directory_is_read_by_whoever_it_knows_and_only_if_that_was_asked_for() {
    // 1. An authority, a server, us and a stranger.
    let dir = tempfile::tempdir().unwrap();
    let pki = dir.path();
    let end = "basicConstraints=critical,CA:FALSE";
    for name in ["authority", "other"] {
        certificate(pki, name, None, &["keyUsage=critical,keyCertSign,cRLSign"]);
    }
    let names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
    certificate(pki, "server", Some("authority"), &[end, names, "extendedKeyUsage=serverAuth"]);
    for (name, issuer) in [("client", "authority"), ("stranger", "other")] {
        certificate(pki, name, Some(issuer), &[end, "extendedKeyUsage=clientAuth"]);
    }

    // 2. A directory of 452 records, which gives 300 at most in one answer.
    let provider = Provider::start(&pki.join("data"));
    let data = provider.data().to_owned();
    let own = fs::read_to_string(data.join("index.ldif")).unwrap();
    let ldif = pki.join("national.ldif");
    fs::write(&ldif, national(&own)).unwrap();
    let slapd = Slapd::start(pki, &ldif);
    let settings = |name: &str, client: &str, server_ca: &str, signer_ca: Option<&str>| {
        let mut text = json!({
            "url": format!("ldaps://localhost:{}", slapd.port), "server_ca": server_ca,
            "certificate": format!("{client}.pem"), "key": format!("{client}.key"),
        });
        if let Some(signer_ca) = signer_ca {
            text["signer_ca"] = json!(signer_ca);
        }
        let path = pki.join(name);
        fs::write(&path, text.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let ours = settings("directory.json", "client", "authority.pem", None);
    let fetch = |settings: &str| provider.sigillo(&["index", "fetch", "--json", "--directory", settings]);

    // 3. A stranger, another server, and whoever believes that it is signed: the last good copy stays.
    for (settings, why) in [
        (settings("stranger.json", "stranger", "authority.pem", None), "read the index from the directory"),
        (settings("server.json", "client", "other.pem", None), "read the index from the directory"),
        (settings("signed.json", "client", "authority.pem", Some("authority.pem")), "is not signed"),
    ] {
        let refused = fetch(&settings);
        assert_eq!(code(&refused), 1, "{settings}");
        assert!(stderr(&refused).contains(why), "{}", stderr(&refused));
    }
    assert_eq!(fs::read_to_string(data.join("index.ldif")).unwrap(), own);

    // 4. We: all records in order of the directory, as the signed file would have them.
    let fetched = fetch(&ours);
    assert_eq!(code(&fetched), 0, "{}", stderr(&fetched));
    let said: Value = serde_json::from_slice(&fetched.stdout).unwrap();
    assert_eq!(
        (&said["records"], &said["signer"], &said["complaints"]),
        (&json!(452), &Value::Null, &json!([]))
    );
    let index = Index::from_ldif(&fs::read(data.join("index.ldif")).unwrap()).unwrap();
    let expected = Index::from_ldif(&fs::read(&ldif).unwrap()).unwrap();
    for domain in ["pec.demo.example", "pec.unit.example", "pec.n0.example", "pec.n449.example"] {
        assert_eq!(index.by_domain(domain), expected.by_domain(domain), "{domain}");
        assert!(index.by_domain(domain).is_some(), "{domain}");
    }
    assert_eq!(index.by_domain("pec.n7.example").unwrap().provider_name, "Gestore Però 7");
    assert!(data.join("index.ldif.ldap").exists() && !data.join("index.ldif.p7m").exists());

    // 5. A provider that is told of it reads it by itself, when there is no fresh copy.
    provider.stop();
    fs::write(data.join("index.ldif"), &own).unwrap();
    fs::remove_file(data.join("index.ldif.ldap")).unwrap();
    let _provider = Provider::start_with(&data, &["--directory", &ours]);
    until("the index", || data.join("index.ldif.ldap").exists().then_some(()));
    let index = Index::from_ldif(&fs::read(data.join("index.ldif")).unwrap()).unwrap();
    assert_eq!(index.records().len(), 452);

    // 6. HTTPS without a signer, and a directory without TLS, are a clear message.
    for (url, why) in
        [("https://localhost/i.p7m", "HTTPS is signed"), ("ldap://localhost", "expected https, or ldaps")]
    {
        let text = json!({ "url": url, "server_ca": "authority.pem", "certificate": "client.pem", "key": "client.key" });
        let path = pki.join("wrong.json");
        fs::write(&path, text.to_string()).unwrap();
        let data = data.to_str().unwrap();
        let wrong = sigillo(&["index", "fetch", "--data", data, "--directory", path.to_str().unwrap()]);
        assert_eq!(code(&wrong), 1);
        assert!(stderr(&wrong).contains(why), "{}", stderr(&wrong));
    }
}
