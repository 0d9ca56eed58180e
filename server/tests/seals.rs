//! The legal log, sealed with the timestamps of a real authority (openssl's), verified with nothing but files and
//! certificates (DM 2005 art. 10; spec 8.3, T-LG-01; RFC 3161, RFC 6962).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{fs, path::Path, process::Command};

use common::{Helper, Provider, authority::certificate, code, sigillo, stderr, stdout, until};
use serde_json::Value;

/// Answers timestamp queries by openssl, in a folder with the authority's certificate; prints its port.
const SERVER: &str = r#"
import http.server, pathlib, subprocess, sys
folder = pathlib.Path(sys.argv[1])
class Authority(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        (folder / "query").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        words = ["ts", "-reply", "-config", "tsa.cnf", "-section", "tsa", "-queryfile", "query"]
        words += ["-signer", "tsa.pem", "-inkey", "tsa.key", "-out", "reply"]
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
        reply = (folder / "reply").read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "application/timestamp-reply")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Authority)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

/// An authority of timestamps.
struct Authority {
    _server: Helper,
    url: String,
}

impl Authority {
    fn start(folder: &Path) -> Self {
        certificate(folder, "ca", None, &["keyUsage=critical,keyCertSign,cRLSign"]);
        let usage = ["basicConstraints=critical,CA:FALSE", "extendedKeyUsage=critical,timeStamping"];
        certificate(folder, "tsa", Some("ca"), &usage);
        let config = "[tsa]\nserial=serial\ncrypto_device=builtin\nsigner_digest=sha256\ndefault_policy=1.2.3.4.1\n\
            digests=sha256\naccuracy=secs:1\ness_cert_id_chain=no\ness_cert_id_alg=sha256\n";
        fs::write(folder.join("tsa.cnf"), config).unwrap();
        fs::write(folder.join("serial"), "01\n").unwrap();
        let server = Helper::python(SERVER, &[folder]);
        let url = format!("http://127.0.0.1:{}/", server.port());
        Self { _server: server, url }
    }
}

/// Takes a folder's last segment away, so that the next one is due: what was in it is sealed again.
fn forget_last(seals: &Path, number: u64) {
    for suffix in ["jsonl", "p7m", "tst"] {
        fs::remove_file(seals.join(format!("{number:010}.{suffix}"))).unwrap();
    }
}

#[test]
fn the_log_is_sealed_and_whatever_is_done_to_it_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("tsa");
    fs::create_dir(&folder).unwrap();
    let authority = Authority::start(&folder);
    let tsa_ca = folder.join("ca.pem").to_str().unwrap().to_owned();
    let data = dir.path().join("data");
    let with = ["--timestamps", &authority.url, "--timestamps-ca", &tsa_ca];
    let seals = data.join("seals");
    let file = |number: u64, suffix: &str| seals.join(format!("{number:010}.{suffix}"));

    // 1. The beginning is sealed at once, empty. A letter; when the next seal is due it has the letter's entries.
    let provider = Provider::start_with(&data, &with);
    until("the first seal", || file(1, "tst").exists().then_some(()));
    let [sender, recipient] = provider.accounts();
    let text = provider.file("letter.eml", "Subject: Prova\r\n\r\nBuongiorno.\r\n");
    let sent = provider.json(&["send", "--from", &sender, "--to", &recipient, &text]);
    let pec_id = sent["pec_id"].as_str().unwrap().to_owned();
    provider.stop();
    let first = fs::read(file(1, "jsonl")).unwrap();
    assert_eq!(first.iter().filter(|octet| **octet == b'\n').count(), 1, "a heading");
    forget_last(&seals, 1);
    let provider = Provider::start_with(&data, &with);
    until("the seal", || file(1, "tst").exists().then_some(()));
    provider.stop();

    // 2. It holds, by files and certificates alone; and openssl says so of its parts.
    let (ca, seals_dir) = (data.join("pki/ca.pem"), seals.to_str().unwrap().to_owned());
    let ca = ca.to_str().unwrap();
    let verify =
        |what: &str| sigillo(&["audit", "verify", what, "--ca", ca, "--timestamps-ca", &tsa_ca, "--json"]);
    let held = verify(&seals_dir);
    assert_eq!(code(&held), 0, "{}", stderr(&held));
    let held: Value = serde_json::from_slice(&held.stdout).unwrap();
    let entries = held["found"][0]["statement"]["entries"].as_u64().unwrap();
    assert!(entries > 8 && held["found"][0]["stamped_at"].is_string(), "{held}");
    let openssl = |words: &[&str]| Command::new("openssl").args(words).output().unwrap().status.success();
    let path = |suffix: &str| file(1, suffix).to_str().unwrap().to_owned();
    let statement = dir.path().join("statement").to_str().unwrap().to_owned();
    let cms = ["cms", "-verify", "-inform", "DER", "-in", &path("p7m"), "-CAfile", ca, "-purpose", "any"];
    assert!(openssl(&[&cms[..], &["-out", &statement]].concat()));
    let ts = ["ts", "-verify", "-token_in", "-in", &path("tst"), "-data", &path("p7m"), "-CAfile", &tsa_ca];
    assert!(openssl(&ts));

    // 3. What proves the letter's entries shows no other, and holds without the segments.
    let proof = dir.path().join("proof.json").to_str().unwrap().to_owned();
    assert_eq!(code(&sigillo(&["audit", "prove", &seals_dir, &pec_id, "--out", &proof])), 0);
    assert_eq!(code(&sigillo(&["audit", "prove", &seals_dir, "nobody@example", "--out", &proof])), 1);
    let shown = verify(&proof);
    assert_eq!(code(&shown), 0, "{}", stderr(&shown));
    assert!(stdout(&shown).contains(&pec_id));
    let text = fs::read_to_string(&proof).unwrap();
    fs::write(&proof, text.replacen("mittente", "mittentf", 1)).unwrap();
    assert_eq!(code(&verify(&proof)), 1);

    // 4. Whatever is changed, removed or put in is seen.
    let tamper = |suffix: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>, why: &str| {
        let before = fs::read(file(1, suffix)).unwrap();
        fs::write(file(1, suffix), change(before.clone())).unwrap();
        let said = verify(&seals_dir);
        assert_eq!(code(&said), 1, "{suffix}: {why}");
        assert!(stdout(&said).contains(why), "{suffix}: {why} in {}", stdout(&said));
        fs::write(file(1, suffix), before).unwrap();
    };
    let changed = |octets: Vec<u8>| {
        String::from_utf8(octets).unwrap().replacen("\"accepted\"", "\"refused\"", 1).into_bytes()
    };
    tamper("jsonl", &changed, "not those that were sealed");
    tamper(
        "jsonl",
        &|octets| octets.split_inclusive(|o| *o == b'\n').skip(1).flatten().copied().collect(),
        "not those",
    );
    let flipped = |mut octets: Vec<u8>| {
        let at = octets.windows(8).position(|w| w == b"\"root\":\"").unwrap() + 9;
        octets[at] ^= 1;
        octets
    };
    tamper("p7m", &flipped, "a seal that does not hold");
    tamper("tst", &|_| b"niente".to_vec(), "no timestamp that holds");
    fs::rename(file(1, "tst"), file(2, "tst")).unwrap();
    assert!(stdout(&verify(&seals_dir)).contains("has no timestamp"));
    fs::rename(file(2, "tst"), file(1, "tst")).unwrap();
    let strangers = ["audit", "verify", &seals_dir, "--ca", &tsa_ca];
    assert_eq!(code(&sigillo(&strangers)), 1, "another authority than the provider's");

    // 5. The log in the tables is still what was sealed; it was changed behind the provider's back, and is not.
    let compare = |why: Option<&str>| {
        let said = sigillo(&["audit", "verify", &seals_dir, "--ca", ca, "--data", data.to_str().unwrap()]);
        assert_eq!(code(&said), i32::from(why.is_some()), "{}", stderr(&said));
        assert!(stderr(&said).contains(why.unwrap_or_default()), "{}", stderr(&said));
    };
    compare(None);
    let tables = data.join("facts.sqlite").to_str().unwrap().to_owned();
    let change = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('DROP TRIGGER log_keeps_entries'); \
        db.execute(\"UPDATE log SET body = replace(body, 'Prova', 'Provo')\"); db.commit()";
    common::run("python3", &["-c", change, &tables]);
    compare(Some("segment 1 has entries that the log has not, or has otherwise"));
    assert_eq!(code(&sigillo(&["audit", "verify", "nowhere", "--ca", ca])), 1);
    assert_eq!(code(&sigillo(&["up", "--timestamps", &authority.url])), 64, "whom to believe is not said");
}
