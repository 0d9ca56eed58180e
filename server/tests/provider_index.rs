//! The provider index, fetched from a real HTTPS server that asks for client certificates (RFC 6109 §4.5, §5.6).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::{Helper, Provider, authority::certificate, code, run, sigillo, stderr, until};
use serde_json::{Value, json};

/// Serves a folder over HTTPS to whoever shows a certificate of the authority; prints its port.
const SERVER: &str = r#"
import functools, http.server, ssl, sys
folder, certificate, key, authority = sys.argv[1:]
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
context.load_verify_locations(authority)
context.verify_mode = ssl.CERT_REQUIRED
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

/// Signs a file as RFC 6109 §4.5.6 wants it: PKCS#7 signed data with the content inside, DER.
fn sign(dir: &Path, signer: &str, ldif: &Path, out: &Path) {
    let file = |suffix: &str| dir.join(format!("{signer}.{suffix}"));
    let path = |path: PathBuf| path.to_str().unwrap().to_owned();
    let (certificate, key) = (path(file("pem")), path(file("key")));
    let (ldif, out) = (ldif.to_str().unwrap(), out.to_str().unwrap());
    run(
        "openssl",
        &[
            "cms",
            "-sign",
            "-binary",
            "-nodetach",
            "-md",
            "sha256",
            "-signer",
            &certificate,
            "-inkey",
            &key,
            "-in",
            ldif,
            "-outform",
            "DER",
            "-out",
            out,
        ],
    );
}

#[test]
fn the_index_is_fetched_and_put_in_force_only_if_all_of_it_holds() {
    // 1. Authorities, a server, a client, signers: good, and of somebody else.
    let dir = tempfile::tempdir().unwrap();
    let pki = dir.path();
    let end = "basicConstraints=critical,CA:FALSE";
    certificate(pki, "authority", None, &["keyUsage=critical,keyCertSign,cRLSign"]);
    certificate(pki, "other", None, &["keyUsage=critical,keyCertSign,cRLSign"]);
    certificate(
        pki,
        "server",
        Some("authority"),
        &[end, "subjectAltName=DNS:localhost", "extendedKeyUsage=serverAuth"],
    );
    for (name, issuer) in [("client", "authority"), ("stranger", "other")] {
        certificate(pki, name, Some(issuer), &[end, "extendedKeyUsage=clientAuth"]);
    }
    for (name, issuer) in [("signer", "authority"), ("impostor", "other")] {
        let usage = "keyUsage=critical,digitalSignature,nonRepudiation";
        certificate(pki, name, Some(issuer), &[end, usage, "extendedKeyUsage=emailProtection"]);
    }
    let served = pki.join("served");
    fs::create_dir(&served).unwrap();
    let [certified, key, authority] =
        ["server.pem", "server.key", "authority.pem"].map(|name| pki.join(name));
    let server = Helper::python(SERVER, &[&served, &certified, &key, &authority]);
    let settings = |name: &str, client: &str| {
        let text = json!({
            "url": format!("https://localhost:{}/index.ldif.p7m", server.port()),
            "server_ca": "authority.pem", "signer_ca": "authority.pem",
            "certificate": format!("{client}.pem"), "key": format!("{client}.key"),
        });
        let path = pki.join(name);
        fs::write(&path, text.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (ours, strangers) = (settings("directory.json", "client"), settings("stranger.json", "stranger"));

    // 2. A provider with its own index of one record; the national one has it, and another.
    let provider = Provider::start(&pki.join("data"));
    let data = provider.data().to_owned();
    let own = fs::read_to_string(data.join("index.ldif")).unwrap();
    let beta = own
        .split("\n\n")
        .filter(|entry| entry.contains("managedDomains"))
        .map(|entry| entry.replace("demo.example", "beta.example").replace("Sigillo Demo", "Beta"))
        .collect::<String>();
    let national = format!("{}\n\n{}\n", own.trim_end(), beta.trim_end());
    let ldif = pki.join("national.ldif");
    fs::write(&ldif, &national).unwrap();
    let p7m = served.join("index.ldif.p7m");
    let fetch = |settings: &str| provider.sigillo(&["index", "fetch", "--json", "--directory", settings]);
    let in_force = || fs::read_to_string(data.join("index.ldif")).unwrap();

    // 3. Nothing there, nobody known, another signer, an altered octet, an empty index: the last good copy stays.
    assert_eq!(code(&fetch(&ours)), 1, "404");
    sign(pki, "signer", &ldif, &p7m);
    let refused = fetch(&strangers);
    assert_eq!(code(&refused), 1, "{}", stderr(&refused));
    sign(pki, "impostor", &ldif, &p7m);
    assert!(stderr(&fetch(&ours)).contains("trust who signed the index"));
    sign(pki, "signer", &ldif, &p7m);
    let mut altered = fs::read(&p7m).unwrap();
    let at = altered.windows(12).position(|octets| octets == b"beta.example").unwrap();
    altered[at] = b'B';
    fs::write(&p7m, &altered).unwrap();
    assert!(stderr(&fetch(&ours)).contains("open the index"));
    let empty = pki.join("empty.ldif");
    fs::write(&empty, "dn: o=postacert\nobjectClass: organization\no: postacert\n").unwrap();
    sign(pki, "signer", &empty, &p7m);
    assert!(stderr(&fetch(&ours)).contains("no provider in it"));
    assert_eq!(in_force(), own);
    assert!(!data.join("index.ldif.p7m").exists());

    // 4. The good one.
    sign(pki, "signer", &ldif, &p7m);
    let fetched = fetch(&ours);
    assert_eq!(code(&fetched), 0, "{}", stderr(&fetched));
    let said: Value = serde_json::from_slice(&fetched.stdout).unwrap();
    assert_eq!(
        (said["records"].as_u64(), said["complaints"].as_array().map(Vec::len)),
        (Some(2), Some(0)),
        "{said}"
    );
    assert_eq!(in_force(), national);
    assert_eq!(fs::read(data.join("index.ldif.p7m")).unwrap(), fs::read(&p7m).unwrap());

    // 5. A provider that is told of it fetches it by itself, when there is no fresh copy.
    provider.stop();
    fs::write(data.join("index.ldif"), &own).unwrap();
    fs::remove_file(data.join("index.ldif.p7m")).unwrap();
    let _provider = Provider::start_with(&data, &["--directory", &ours]);
    until("the index", || (in_force() == national).then_some(()));
    until("its signed file", || data.join("index.ldif.p7m").exists().then_some(()));

    // 6. Settings that lead nowhere are a clear message.
    let none = sigillo(&["index", "fetch", "--data", data.to_str().unwrap(), "--directory", "nowhere.json"]);
    assert_eq!(code(&none), 1);
    assert!(stderr(&none).contains("nowhere.json"), "{}", stderr(&none));
}

/// RFC 6109 §4.5, §4.5.6: our own record, signed by the running provider or in its folder; openssl takes it apart.
#[test]
fn our_own_record_is_published_signed() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start(&dir.path().join("data"));
    let out = dir.path().join("index.ldif.p7m");
    let url = "https://gestore.demo.example/index.ldif.p7m";
    let ca = provider.data().join("pki/ca.pem");
    let opened = || {
        let (file, ca) = (out.to_str().unwrap(), ca.to_str().unwrap());
        let verify = ["cms", "-verify", "-inform", "DER", "-in", file, "-CAfile", ca, "-purpose", "any"];
        let output = Command::new("openssl").args(verify).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n")
    };
    let words = ["index", "publish", "--url", url, "--out", out.to_str().unwrap()];
    assert_eq!(code(&provider.sigillo(&words)), 0);
    let running = opened();
    for line in [&format!("LDIFLocationURL: {url}"), "managedDomains: pec.demo.example", "mailReceipt: "] {
        assert!(running.contains(line), "{line} in {running}");
    }
    let insecure =
        ["index", "publish", "--url", "http://gestore.demo.example/", "--out", out.to_str().unwrap()];
    assert_eq!(code(&provider.sigillo(&insecure)), 64);

    assert_eq!(code(&sigillo(&["up", "--index-url", "https://gestore.demo.example/"])), 64);

    // The same while it does not run, since nothing has changed.
    let data = provider.data().to_owned();
    provider.stop();
    fs::remove_file(&out).unwrap();
    assert_eq!(code(&sigillo(&[&words[..], &["--data", data.to_str().unwrap()]].concat())), 0);
    assert_eq!(opened(), running);

    // A provider that is told its LDIFLocationURL serves it at its own door; one that is not has no such page.
    for (options, status) in [(&[][..], "404"), (&["--index-url", url][..], "200")] {
        let provider = Provider::start_with(&data, options);
        let door: Value = serde_json::from_slice(&fs::read(data.join("doors.json")).unwrap()).unwrap();
        let https = format!("{}/index.ldif.p7m", door["https"]["url"].as_str().unwrap());
        fs::remove_file(&out).ok();
        let (ca, out) = (door["ca"].as_str().unwrap(), out.to_str().unwrap());
        let asked = [
            "--silent",
            "--cacert",
            ca,
            "--output",
            out,
            "--write-out",
            "%{http_code} %{content_type}",
            &https,
        ];
        let said = Command::new("curl").args(asked).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        assert!(said.starts_with(status), "{said}");
        if status == "200" {
            assert!(said.contains("application/pkcs7-mime; smime-type=signed-data"), "{said}");
            assert_eq!(opened(), running);
        }
        provider.stop();
    }
}
