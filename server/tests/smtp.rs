//! The SMTP doors as mail programs see them (docs/smtp-door.md): swaks and curl, and what arrived, octet for octet.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{fs, process::Command};

use bytes::Bytes;
use common::{Provider, count, until};
use serde_json::Value;
use tempfile::TempDir;

/// A letter with lines that begin with dots, CR LF as on the wire.
const LETTER: &str = "From: {from}\r\nTo: {to}\r\nSubject: prova\r\nDate: Mon, 02 Mar 2026 09:00:00 +0100\r\n\
                      Message-ID: <1@client.example>\r\n\r\n.\r\n..due\r\n.tre\r\n\r\nfine\r\n";

/// A provider, its two accounts, and mail programs.
struct World {
    provider: Provider,
    dir: TempDir,
    sender: String,
    other: String,
    password: String,
}

/// What a mail program said and how it ended.
#[derive(Debug)]
struct Said {
    code: i32,
    text: String,
}

impl Said {
    fn has(&self, text: &str) -> bool {
        self.text.contains(text)
    }
}

impl World {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let provider = Provider::start(&dir.path().join("data"));
        let [sender, other] = provider.accounts();
        let demo: Value =
            serde_json::from_slice(&fs::read(dir.path().join("data/demo.json")).unwrap()).unwrap();
        let password = demo["accounts"][0]["password"].as_str().unwrap().to_owned();
        Self { provider, dir, sender, other, password }
    }

    fn port(&self, door: &str) -> String {
        let url = self.provider.ready["doors"][door]["url"].as_str().unwrap();
        url.rsplit_once(':').unwrap().1.to_owned()
    }

    fn letter(&self) -> String {
        LETTER.replace("{from}", &self.sender).replace("{to}", &self.other)
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A letter in a file for swaks, which puts a CR LF behind what it is given.
    fn for_swaks(&self, letter: &str) -> String {
        self.file("swaks.eml", letter.strip_suffix("\r\n").unwrap())
    }

    /// Sends a file with swaks, which says everything that was said.
    fn swaks(&self, door: &str, from: &str, to: &str, file: &str, more: &[&str]) -> Said {
        let (port, file) = (self.port(door), format!("@{file}"));
        let fixed = ["--server", "127.0.0.1", "--port", &port, "--from", from, "--to", to, "--data", &file];
        ran(Command::new("swaks").args(fixed).args(["--timeout", "60"]).args(more))
    }

    /// As the user, over a door.
    fn swaks_user(&self, door: &str, file: &str, more: &[&str]) -> Said {
        let user = ["--auth-user", &self.sender, "--auth-password", &self.password];
        self.swaks(door, &self.sender, &self.other, file, &[&user, more].concat())
    }

    /// Sends a file with curl, which checks the certificate.
    fn curl(&self, scheme: &str, door: &str, to: &[&str], file: &str, more: &[&str]) -> Said {
        let url = format!("{scheme}://localhost:{}/client.example", self.port(door));
        let ca = self.provider.path("ca");
        let mut command = Command::new("curl");
        command.args(["--verbose", "--silent", "--show-error", "--url", &url, "--cacert", &ca]);
        command.args(["--mail-from", &self.sender, "--upload-file", file, "--max-time", "120"]);
        for to in to {
            command.args(["--mail-rcpt", to]);
        }
        ran(command.args(more))
    }

    fn curl_user(&self, scheme: &str, door: &str, to: &[&str], file: &str, more: &[&str]) -> Said {
        let user = format!("{}:{}", self.sender, self.password);
        self.curl(scheme, door, to, file, &[&["--user", &user], more].concat())
    }

    /// Waits for the newest message of a kind, of one letter or of any, and gives it as it is stored.
    fn raw(&self, account: &str, kind: &str, pec_id: Option<&str>) -> Bytes {
        let uid = until(kind, || {
            let list = self.provider.list(account);
            let is = |e: &&Value| e["kind"] == kind && pec_id.is_none_or(|id| e["pec_id"] == id);
            list.iter().rfind(is).map(|entry| entry["uid"].to_string())
        });
        Bytes::from(self.provider.sigillo(&["mailbox", "show", account, &uid, "--raw"]).stdout)
    }

    /// What is wrapped in the newest envelope of a kind.
    fn wrapped(&self, account: &str, kind: &str, pec_id: Option<&str>) -> String {
        let raw = self.raw(account, kind, pec_id);
        let entity = mime::Entity::parse(&raw, &mime::Limits::default()).unwrap();
        let inside = |e: &mime::Entity| e.content_type().media() == ("message", "rfc822");
        let mixed = &entity.children()[0];
        let part = mixed.children().iter().find(|part| inside(part)).unwrap();
        String::from_utf8(part.body().to_vec()).unwrap()
    }

    /// The letter is taken, and is what was sent: below our trace, with its identifiers, octet for octet.
    fn assert_delivered(&self, said: &Said) {
        let pec_id = id(said);
        let wrapped = self.wrapped(&self.other, "posta-certificata", Some(&pec_id));
        let (trace, letter) = wrapped.split_at(wrapped.find("From: ").unwrap());
        assert!(trace.starts_with("Received: by gestore.demo.example with ESMTPSA id "), "{trace}");
        assert_eq!(trace.lines().count(), 2, "{trace}");
        let client = "Message-ID: <1@client.example>\r\n";
        let rewritten = format!("Message-ID: <{pec_id}>\r\nX-Riferimento-{client}");
        assert_eq!(letter, self.letter().replace(client, &rewritten));
        self.raw(&self.sender, "avvenuta-consegna", Some(&pec_id));
    }
}

/// The id in `250 2.0.0 taken as ID`.
fn id(said: &Said) -> String {
    let after = said.text.split("250 2.0.0 taken as ").nth(1).unwrap_or_else(|| panic!("{}", said.text));
    after.split_whitespace().next().unwrap().to_owned()
}

fn ran(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    Said { code: output.status.code().unwrap(), text: String::from_utf8_lossy(&text).into_owned() }
}

#[test]
fn swaks_submits_with_plain_over_implicit_tls() {
    let world = World::start();
    let file = world.for_swaks(&world.letter());
    let said = world.swaks_user("smtps", &file, &["--tls-on-connect", "--auth", "PLAIN"]);
    assert_eq!(said.code, 0, "{}", said.text);
    assert!(said.has("250-SIZE 104857600") && said.has("250-AUTH PLAIN LOGIN"), "{}", said.text);
    assert!(!said.has("8BITMIME") && !said.has("SMTPUTF8"), "spec 0.2 D4: {}", said.text);
    world.assert_delivered(&said);
}

#[test]
fn swaks_submits_with_login_after_starttls_and_not_before() {
    let world = World::start();
    let file = world.for_swaks(&world.letter());
    let said = world.swaks_user("submission", &file, &["--auth", "LOGIN"]);
    assert_eq!(said.code, 28, "no AUTH in clear: {}", said.text);
    let said = world.swaks_user("submission", &file, &["--tls", "--auth", "LOGIN", "--pipeline"]);
    assert_eq!(said.code, 0, "{}", said.text);
    world.assert_delivered(&said);
}

#[test]
fn curl_submits_both_ways() {
    let world = World::start();
    let file = world.file("letter.eml", world.letter());
    let to = [world.other.as_str()];
    let said = world.curl_user("smtps", "smtps", &to, &file, &["--login-options", "AUTH=PLAIN"]);
    assert_eq!(said.code, 0, "{}", said.text);
    world.assert_delivered(&said);
    let more = ["--login-options", "AUTH=LOGIN", "--ssl-reqd"];
    let said = world.curl_user("smtp", "submission", &to, &file, &more);
    assert_eq!(said.code, 0, "{}", said.text);
    world.assert_delivered(&said);
}

#[test]
fn what_a_user_may_not_do_is_said_in_words() {
    let world = World::start();
    let file = world.file("letter.eml", world.letter());
    let tls = ["--tls-on-connect", "--auth", "PLAIN"];

    // A wrong password.
    let wrong = [&tls[..], &["--auth-user", &world.sender, "--auth-password", "sbagliata"]].concat();
    let said = world.swaks("smtps", &world.sender, &world.other, &file, &wrong);
    assert_eq!(said.code, 28, "{}", said.text);
    assert!(said.has("535 5.7.8 wrong address or password"), "{}", said.text);
    let user = format!("{}:sbagliata", world.sender);
    let said = world.curl("smtps", "smtps", &[&world.other], &file, &["--user", &user]);
    assert_eq!(said.code, 67, "{}", said.text);

    // F7 (spec 4.1): somebody else's address, and nobody's.
    let user = ["--auth-user", &world.sender, "--auth-password", &world.password];
    for from in [world.other.as_str(), "<>"] {
        let said = world.swaks("smtps", from, &world.other, &file, &[&tls[..], &user[..]].concat());
        assert_eq!(said.code, 23, "{}", said.text);
        assert!(said.has("550 5.7.1 the sender is not an address of the account"), "{}", said.text);
    }

    // D3: over the technical bound, before the first octet.
    let large = world.dir.path().join("large.eml");
    fs::File::create(&large).unwrap().set_len((100 << 20) + 1).unwrap();
    let said = world.curl_user("smtps", "smtps", &[&world.other], large.to_str().unwrap(), &[]);
    assert_ne!(said.code, 0);
    assert!(said.has("552 5.3.4 the message is larger than what SIZE says"), "{}", said.text);
    assert_eq!(world.provider.list(&world.sender), Vec::<Value>::new());
}

/// Spec 4.1: what is against the rules is taken, and refused with a notice; nothing is stripped.
#[test]
fn what_is_against_the_rules_ends_in_a_notice() {
    let world = World::start();
    // F5.
    let bcc = world.letter().replace("Subject:", "Bcc: nascosto@pec.demo.example\r\nSubject:");
    let file = world.file("bcc.eml", bcc);
    let said = world.swaks_user("smtps", &file, &["--tls-on-connect", "--auth", "PLAIN"]);
    assert_eq!(said.code, 0, "{}", said.text);
    assert!(reason(&world, 1).contains("campo Bcc valorizzato"));

    // F6: size times recipients is over the lawful limit, and far under the technical one.
    let to: Vec<String> = (0..40).map(|n| format!("d{n}@altrove.example")).collect();
    let text = "riga di testo\r\n".repeat(60_000);
    let letter =
        world.letter().replace(&format!("To: {}", world.other), &format!("To: {}", to.join(",\r\n ")));
    let file = world.file("many.eml", letter + &text);
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let said = world.curl_user("smtps", "smtps", &to, &file, &[]);
    assert_eq!(said.code, 0, "{}", said.text);
    assert!(reason(&world, 2).contains("dimensione del messaggio eccedente"));
    assert_eq!(world.provider.list(&world.other), Vec::<Value>::new());
}

/// Spec 0.2 D4: 8-bit text is converted before it is certified, though nobody offered to take it.
#[test]
fn eight_bit_text_is_certified_in_seven_bits() {
    let world = World::start();
    let letter = world.letter().replace("fine\r\n", "perch\u{e9} s\u{ec}\r\n");
    let file = world.file("eight.eml", letter);
    let said = world.curl_user("smtps", "smtps", &[&world.other], &file, &[]);
    assert_eq!(said.code, 0, "{}", said.text);
    let wrapped = world.wrapped(&world.other, "posta-certificata", None);
    assert!(wrapped.ends_with(".\r\n..due\r\n.tre\r\n\r\nperch=C3=A9 s=C3=AC\r\n"), "{wrapped}");
    assert!(wrapped.contains("\r\nContent-Transfer-Encoding: quoted-printable\r\n"), "{wrapped}");
}

/// The text of the newest notice of non-acceptance, once there are so many.
fn reason(world: &World, notices: usize) -> String {
    until("a notice", || {
        let list = world.provider.list(&world.sender);
        assert_eq!(count(&list, "accettazione"), 0, "{list:?}");
        (count(&list, "non-accettazione") == notices).then_some(())
    });
    String::from_utf8_lossy(&world.raw(&world.sender, "non-accettazione", None)).replace("=\r\n", "")
}

/// Spec 0.2 D13 and D17: each mailbox says whether it takes ordinary mail; whom it comes from is not looked at.
#[test]
fn ordinary_mail_comes_in_where_it_is_wanted() {
    let world = World::start();
    let letter = world.letter().replace(&world.sender, "utente@posta.example");
    let file = world.for_swaks(&letter);
    let send = |from: &str, to: &str, more: &[&str]| world.swaks("smtp", from, to, &file, more);

    let said = send("utente@posta.example", &world.other, &["--tls"]);
    assert_eq!(said.code, 26, "{}", said.text);
    assert!(said.has("554 5.7.1 the recipient takes certified mail only"), "{}", said.text);
    let said = send("utente@posta.example", "ignoto@pec.demo.example", &[]);
    assert_eq!(said.code, 26, "{}", said.text);
    assert!(said.has("550 5.1.1 no such mailbox"), "{}", said.text);
    let said = send("utente@posta.example", "chiunque@altrove.example", &[]);
    assert_eq!(said.code, 24, "{}", said.text);
    assert!(said.has("550 5.7.1 relay denied"), "{}", said.text);
    let user = ["--auth", "PLAIN", "--auth-user", &world.sender, "--auth-password", &world.password, "--tls"];
    assert_eq!(send(&world.sender, &world.other, &user).code, 28, "nobody signs in here");

    world.provider.json(&["account", "settings", &world.other, "--ordinary", "take"]);
    let said = send("utente@posta.example", &world.other, &["--tls"]);
    assert_eq!(said.code, 0, "{}", said.text);
    assert_eq!(world.wrapped(&world.other, "errore", None), letter, "as it came");

    // D17: one of our users' addresses, without a sign-in, is ordinary mail as well.
    let said = send(&world.sender, &world.other, &["--tls"]);
    assert_eq!(said.code, 0, "{}", said.text);
    until("the second", || (count(&world.provider.list(&world.other), "errore") == 2).then_some(()));
    assert_eq!(world.provider.list(&world.sender), Vec::<Value>::new(), "no receipt for it");
}

/// RFC 5321 §4.5.1: it is there in every domain, also without one, and takes ordinary mail; one mailbox of the operator,
/// who has to ask for a password first.
#[test]
fn postmaster_is_reached_in_every_domain() {
    let world = World::start();
    let letter = world.letter().replace(&world.sender, "utente@posta.example");
    let file = world.for_swaks(&letter);
    for to in ["postmaster@gestore.demo.example", "PostMaster@pec.demo.example", "postmaster"] {
        let said = world.swaks("smtp", "utente@posta.example", to, &file, &["--tls"]);
        assert_eq!(said.code, 0, "{}", said.text);
    }
    let postmaster = "postmaster@pec.demo.example";
    let done = world.provider.json(&["account", "password", postmaster]);
    let user = format!("{postmaster}:{}", done["password"].as_str().unwrap());
    let (ca, port) = (world.provider.path("ca"), world.port("pop3s"));
    let read = |path: &str| {
        let url = format!("pop3s://localhost:{port}/{path}");
        ran(Command::new("curl").args([
            "--silent",
            "--show-error",
            "--url",
            &url,
            "--cacert",
            &ca,
            "--user",
            &user,
        ]))
    };
    until("three messages", || (read("").text.lines().count() == 3).then_some(()));
    let last = read("3").text;
    assert!(last.contains("X-Trasporto: errore") && last.contains("..due"), "in an anomaly envelope: {last}");
}

/// Spec 0.2 D13: what a provider signed is taken for any address of ours, also for one without a mailbox.
#[test]
fn certified_mail_is_taken_whatever_the_mailbox_is() {
    let world = World::start();
    let file = world.for_swaks(&world.letter());
    let said = world.swaks_user("smtps", &file, &["--tls-on-connect", "--auth", "PLAIN"]);
    world.assert_delivered(&said);
    let envelope = world.file("envelope.eml", world.raw(&world.other, "posta-certificata", None));
    let to = ["ignoto@pec.demo.example"];
    let said = world.curl("smtp", "smtp", &to, &envelope, &["--ssl-reqd"]);
    assert_eq!(said.code, 0, "{}", said.text);
    let pec_id = world.provider.list(&world.other)[0]["pec_id"].as_str().unwrap().to_owned();
    until("the take-charge", || {
        let log = world.provider.json(&["audit", "letter", &pec_id]);
        let taken = |entry: &&Value| {
            entry["event"] == "received"
                && entry["detail"]["via"] == "smtp"
                && entry["detail"]["peer"] == "127.0.0.1"
        };
        log.as_array().unwrap().iter().find(taken).map(|_| ())
    });
}

/// Invariant 1: what was answered with 250 is there after a crash.
#[test]
fn what_was_taken_survives_a_crash() {
    let world = World::start();
    let file = world.file("letter.eml", world.letter());
    let said = world.swaks_user("smtps", &file, &["--tls-on-connect", "--auth", "PLAIN"]);
    world.provider.kill();
    let pec_id = id(&said);
    let World { provider, dir, sender, other, .. } = world;
    drop(provider);
    let again = Provider::start(&dir.path().join("data"));
    let list = until("the envelope", || {
        let list = again.list(&other);
        (count(&list, "posta-certificata") == 1).then_some(list)
    });
    assert_eq!(list[0]["pec_id"], pec_id.as_str());
    until("the receipt", || (count(&again.list(&sender), "avvenuta-consegna") == 1).then_some(()));
}
