//! Real mail programs read and write a mailbox through the IMAP door; what they got is compared octet by octet.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::{Provider, code, run, stderr, stdout, until};
use serde_json::Value;
use tempfile::TempDir;

/// CRLF, an attachment, an accent: what the second account gets.
const LETTER: &str = "Subject: Richiesta di documenti\r\nContent-Type: multipart/mixed; boundary=\"parti\"\r\n\r\n--parti\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nQuesta lettera =C3=A8 la prima.\r\n\
    --parti\r\nContent-Type: text/plain; name=\"nota.txt\"\r\nContent-Disposition: attachment; filename=\"nota.txt\"\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nVW4gYWxsZWdhdG8uDQo=\r\n--parti--\r\n";

/// A provider with one letter that was delivered, and somebody who reads mail there.
struct Desk {
    provider: Provider,
    dir: TempDir,
    user: String,
    password: String,
    port: String,
    ca: String,
}

impl Desk {
    /// The desk of the account that the letter went to (1), or of the one that sent it (0).
    fn of(account: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let provider = Provider::start(&dir.path().join("data"));
        let [sender, other] = provider.accounts();
        let file = provider.file("letter.eml", LETTER);
        let sent = provider.sigillo(&["send", "--from", &sender, "--to", &other, &file]);
        assert_eq!(code(&sent), 0, "{}", stderr(&sent));
        until("the receipts", || (provider.list(&sender).len() == 2).then_some(()));
        let json = |name: &str| -> Value {
            serde_json::from_slice(&fs::read(provider.data().join(name)).unwrap()).unwrap()
        };
        let (demo, doors) = (json("demo.json"), json("doors.json"));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let port = text(&doors["imaps"]["url"]).rsplit(':').next().unwrap().to_owned();
        let (user, password) =
            (text(&demo["accounts"][account]["address"]), text(&demo["accounts"][account]["password"]));
        let ca = provider.path("ca");
        Self { provider, dir, user, password, port, ca }
    }

    /// The messages of the mailbox as they are stored, in the order of their UIDs.
    fn stored(&self) -> Vec<Vec<u8>> {
        let out = self.dir.path().join("export");
        let exported = self.provider.sigillo(&["mailbox", "export", &self.user, out.to_str().unwrap()]);
        assert_eq!(code(&exported), 0, "{}", stderr(&exported));
        let mut files: Vec<PathBuf> = stdout(&exported).lines().map(PathBuf::from).collect();
        files.sort();
        let octets = files.iter().map(|file| fs::read(file).unwrap()).collect();
        fs::remove_dir_all(out).unwrap();
        octets
    }

    fn file(&self, name: &str, octets: impl AsRef<[u8]>) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, octets).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn curl(&self, path: &str, args: &[&str]) -> Vec<u8> {
        let url = format!("imaps://localhost:{}/{path}", self.port);
        let user = format!("{}:{}", self.user, self.password);
        run(
            "curl",
            &[&["--silent", "--show-error", "--cacert", &self.ca, "--user", &user, &url], args].concat(),
        )
        .stdout
    }

    /// `UID FETCH` lines of INBOX, one a message.
    fn flags(&self) -> String {
        String::from_utf8(self.curl("INBOX", &["--request", "UID FETCH 1:* (FLAGS)"])).unwrap()
    }
}

/// A message of a Maildir, with the line ends that it had on the wire.
fn with_crlf(octets: &[u8]) -> Vec<u8> {
    octets
        .split_inclusive(|o| *o == b'\n')
        .flat_map(|line| [line.strip_suffix(b"\n").unwrap_or(line), b"\r\n"].concat())
        .collect()
}

/// Every message of a Maildir: its file and its octets.
fn maildir(path: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for folder in ["new", "cur"] {
        for entry in fs::read_dir(Path::new(path).join(folder)).unwrap().flatten() {
            found.push((entry.path(), fs::read(entry.path()).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn python_does_everything_that_its_library_can() {
    let desk = Desk::of(1);
    let letter = desk.file("expected.eml", &desk.stored()[0]);
    let client = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/imap/client.py");
    let said = run("python3", &[client, &desk.port, &desk.ca, &desk.user, &desk.password, &letter]);
    assert_eq!(stdout(&said), "imaplib: all is as it should be\n");
}

#[test]
fn curl_reads_and_uploads() {
    let desk = Desk::of(1);
    let letter = desk.stored().remove(0);
    assert_eq!(desk.curl("INBOX;UID=1", &[]), letter);
    let header = desk.curl("INBOX;UID=1;SECTION=HEADER.FIELDS%20(X-TRASPORTO)", &[]);
    assert_eq!(header, b"X-Trasporto: posta-certificata\r\n\r\n");
    let message = "Subject: caricata\r\n\r\nPerch\u{e9} no.\r\n";
    desk.curl("INBOX", &["--upload-file", &desk.file("upload.eml", message)]);
    assert_eq!(desk.curl("INBOX;UID=2", &[]), message.as_bytes());
    let wrong = Command::new("curl")
        .args(["--silent", "--cacert", &desk.ca, "--user", &format!("{}:sbagliata", desk.user)])
        .arg(format!("imaps://localhost:{}/INBOX;UID=1", desk.port))
        .output()
        .unwrap();
    assert_eq!((code(&wrong), wrong.stdout.len()), (67, 0), "curl: login denied");
}

#[test]
fn mbsync_synchronises_both_ways() {
    let desk = Desk::of(1);
    let (near, letter) = (desk.path("near"), desk.stored().remove(0));
    fs::create_dir(&near).unwrap();
    let rc = desk.file("mbsyncrc", format!(
        "IMAPAccount a\nHost localhost\nPort {}\nUser {}\nPass {}\nSSLType IMAPS\nCertificateFile {}\n\nIMAPStore far\nAccount a\n\n\
         MaildirStore near\nPath {near}/\nInbox {near}/INBOX\nSubFolders Verbatim\n\nChannel all\nFar :far:\nNear :near:\nPatterns *\n\
         Create Both\nExpunge Both\nSyncState *\n",
        desk.port, desk.user, desk.password, desk.ca
    ));
    let sync = || run("mbsync", &["--config", &rc, "--all"]);

    // 1. From the provider: every folder, and the letter; mbsync adds a line of its own to the header.
    sync();
    for folder in ["INBOX", "Receipts", "Drafts", "Sent", "Trash"] {
        assert!(Path::new(&near).join(folder).is_dir(), "{folder}");
    }
    let inbox = format!("{near}/INBOX");
    let (file, octets) = maildir(&inbox).remove(0);
    let lines = octets.split_inclusive(|o| *o == b'\n').filter(|line| !line.starts_with(b"X-TUID: "));
    assert_eq!(with_crlf(&lines.collect::<Vec<_>>().concat()), letter);

    // 2. To the provider: a flag, a message, a folder.
    let name = file.file_name().unwrap().to_str().unwrap().replace(":2,", ":2,FS");
    fs::rename(&file, Path::new(&inbox).join("cur").join(&name)).unwrap();
    fs::write(Path::new(&inbox).join("cur/1.nuovo.qui:2,S"), "Subject: nuovo\n\nciao\n").unwrap();
    for part in ["Archivio/cur", "Archivio/new", "Archivio/tmp"] {
        fs::create_dir_all(Path::new(&near).join(part)).unwrap();
    }
    fs::write(Path::new(&near).join("Archivio/cur/2.vecchio.qui:2,"), "Subject: vecchio\n\nciao\n").unwrap();
    sync();
    let flags = desk.flags();
    assert!(
        flags.contains("* 1 FETCH (UID 1 FLAGS (\\Flagged \\Seen))")
            && flags.contains("FETCH (UID 2 FLAGS (\\Seen))"),
        "{flags}"
    );
    let uploaded = String::from_utf8(desk.curl("INBOX;UID=2", &[])).unwrap();
    assert!(
        uploaded.starts_with("Subject: nuovo\r\n") && uploaded.ends_with("\r\n\r\nciao\r\n"),
        "{uploaded}"
    );
    assert!(String::from_utf8(desk.curl("Archivio;UID=1", &[])).unwrap().ends_with("\r\n\r\nciao\r\n"));

    // 3. What goes on one side goes on the other.
    desk.curl("INBOX", &["--request", "UID STORE 2 +FLAGS (\\Deleted)"]);
    sync();
    assert_eq!(maildir(&inbox).len(), 1);
    fs::remove_file(&maildir(&inbox)[0].0).unwrap();
    sync();
    assert!(!desk.flags().contains("FETCH"), "{}", desk.flags());
}

#[test]
fn offlineimap_synchronises_both_ways() {
    let desk = Desk::of(1);
    let (near, letter) = (desk.path("near"), desk.stored().remove(0));
    let rc = desk.file("offlineimaprc", format!(
        "[general]\naccounts = a\nmetadata = {}\nui = basic\n[Account a]\nlocalrepository = near\nremoterepository = far\n\
         [Repository near]\ntype = Maildir\nlocalfolders = {near}\n[Repository far]\ntype = IMAP\nremotehost = localhost\nremoteport = {}\n\
         remoteuser = {}\nremotepass = {}\nsslcacertfile = {}\n",
        desk.path("meta"), desk.port, desk.user, desk.password, desk.ca
    ));
    let sync = || run("offlineimap", &["-o", "-c", &rc]);
    sync();
    let inbox = format!("{near}/INBOX");
    let (file, octets) = maildir(&inbox).remove(0);
    assert_eq!(with_crlf(&octets), letter);
    fs::write(Path::new(&inbox).join("cur/1.nuovo.qui:2,FS"), "Subject: nuovo\n\nciao\n").unwrap();
    fs::remove_file(file).unwrap();
    sync();
    let flags = desk.flags();
    assert!(flags.starts_with("* 1 FETCH (UID 2 FLAGS (\\Flagged \\Seen))"), "{flags}");
    assert!(desk.curl("INBOX;UID=2", &[]).ends_with(b"\r\n\r\nciao\r\n"));
}

/// A terminal that a program runs in; it ends with it.
struct Terminal {
    socket: String,
}

impl Terminal {
    fn start(socket: String, command: &str) -> Self {
        run("tmux", &["-S", &socket, "new-session", "-d", "-x", "140", "-y", "60", command]);
        Self { socket }
    }

    fn screen(&self) -> String {
        stdout(&run("tmux", &["-S", &self.socket, "capture-pane", "-p"]))
    }

    fn press(&self, key: &str) {
        run("tmux", &["-S", &self.socket, "send-keys", key]);
    }

    /// Waits until all of these are on the screen.
    fn shows(&self, words: &[&str]) {
        until(&format!("{words:?}"), || {
            let screen = self.screen();
            words.iter().all(|word| screen.contains(word)).then_some(())
        });
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended already when the program has.
        let _ = Command::new("tmux").args(["-S", &self.socket, "kill-server"]).output();
    }
}

fn neomutt(desk: &Desk) -> Terminal {
    let rc = desk.file("neomuttrc", format!(
        "set folder = \"imaps://localhost:{}\"\nset spoolfile = \"+INBOX\"\nset imap_user = \"{}\"\nset imap_pass = \"{}\"\n\
         set ssl_ca_certificates_file = \"{}\"\nset certificate_file = \"{}\"\nset sort = date\nset mail_check = 1\nset timeout = 1\n\
         set imap_condstore = yes\nset imap_qresync = yes\nset imap_idle = yes\nset pager_stop = yes\n",
        desk.port, desk.user, desk.password, desk.ca, desk.ca
    ));
    Terminal::start(desk.path("tmux"), &format!("TERM=screen neomutt -n -F {rc}"))
}

#[test]
fn neomutt_reads_an_envelope_and_is_told_of_what_comes() {
    let desk = Desk::of(1);
    let terminal = neomutt(&desk);
    terminal.shows(&["POSTA CERTIFICATA: Richiesta di documenti"]);
    terminal.press("Enter");
    terminal.shows(&["Subject: POSTA CERTIFICATA: Richiesta di documenti", "Messaggio di posta certificata"]);
    terminal.press("v");
    terminal.shows(&["daticert.xml", "message/rfc822", "smime.p7s"]);
    terminal.press("q");
    terminal.press("q");
    desk.curl("INBOX", &["--upload-file", &desk.file("upload.eml", "Subject: arrivata ora\r\n\r\nciao\r\n")]);
    terminal.shows(&["arrivata ora"]);
}

#[test]
fn neomutt_reads_a_receipt() {
    let desk = Desk::of(0);
    let terminal = neomutt(&desk);
    terminal.shows(&["ACCETTAZIONE: Richiesta di documenti", "CONSEGNA: Richiesta di documenti"]);
    terminal.press("1");
    terminal.press("Enter");
    terminal.press("Enter");
    terminal.shows(&["ACCETTAZIONE: Richiesta di documenti", "Ricevuta di accettazione"]);
}

/// Whoever stays connected when the provider stops is told so.
#[test]
fn a_provider_that_stops_says_goodbye() {
    let Desk { provider, dir, port, ca, .. } = Desk::of(1);
    let mut client = Command::new("openssl")
        .args([
            "s_client",
            "-quiet",
            "-ign_eof",
            "-crlf",
            "-CAfile",
            &ca,
            "-connect",
            &format!("127.0.0.1:{port}"),
        ])
        .stdin(std::process::Stdio::piped())
        .stdout(fs::File::create(dir.path().join("heard")).unwrap())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let heard = || fs::read_to_string(dir.path().join("heard")).unwrap();
    until("the greeting", || heard().starts_with("* OK [CAPABILITY").then_some(()));
    provider.stop();
    client.wait().unwrap();
    assert!(heard().ends_with("* BYE the server is closing, come back later\r\n"), "{}", heard());
}
