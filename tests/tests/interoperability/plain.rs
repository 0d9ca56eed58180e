//! Messages as somebody reads them who has none of our code: header fields, parts, texts; openssl and xmllint judge.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use sigillo_tests::world::PKI;

/// A message, or a part of one.
#[derive(Clone)]
pub struct Plain {
    head: String,
    /// As transported.
    pub body: Vec<u8>,
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|w| w == what)
}

impl Plain {
    pub fn of(raw: &[u8]) -> Self {
        let end = find(raw, b"\r\n\r\n").expect("a header and a body");
        let head = String::from_utf8(raw[..end].to_vec()).expect("a header in ASCII");
        Self { head, body: raw[end + 4..].to_vec() }
    }

    /// The fields of a name, unfolded, in order.
    pub fn fields(&self, name: &str) -> Vec<String> {
        let unfolded = self.head.replace("\r\n ", " ").replace("\r\n\t", " ");
        let prefix = format!("{}:", name.to_lowercase());
        let of_name = |line: &&str| line.to_lowercase().starts_with(&prefix);
        unfolded.split("\r\n").filter(of_name).map(|line| line[prefix.len()..].trim().to_owned()).collect()
    }

    /// The one field of a name; `None` without one.
    pub fn field(&self, name: &str) -> Option<String> {
        let mut all = self.fields(name);
        assert!(all.len() < 2, "{name} twice: {}", self.head);
        all.pop()
    }

    fn boundary(&self) -> String {
        let kind = self.field("Content-Type").expect("a content type");
        let value = kind.split("boundary=").nth(1).expect("a boundary");
        value.trim_start_matches('"').split(['"', ';']).next().expect("a value").to_owned()
    }

    /// The octets between the delimiters.
    pub fn raw_parts(&self) -> Vec<Vec<u8>> {
        let delimiter = format!("\r\n--{}", self.boundary()).into_bytes();
        let mut rest = &[b"\r\n", &self.body[..]].concat()[..];
        let mut parts = Vec::new();
        while let Some(at) = find(rest, &delimiter) {
            if !parts.is_empty() || at != 0 {
                parts.push(rest[..at].to_vec());
            } else {
                parts.push(Vec::new()); // the preamble
            }
            rest = &rest[at + delimiter.len()..];
            if rest.starts_with(b"--") {
                break;
            }
            rest = &rest[2..];
        }
        parts.remove(0);
        parts
    }

    pub fn parts(&self) -> Vec<Self> {
        self.raw_parts().iter().map(|raw| Self::of(raw)).collect()
    }

    /// What a part says, decoded.
    pub fn content(&self) -> Vec<u8> {
        match self.field("Content-Transfer-Encoding").map(|e| e.to_lowercase()).as_deref() {
            Some("base64") => openssl(
                &["base64", "-d", "-A"],
                &self.body.iter().copied().filter(|b| !b"\r\n".contains(b)).collect::<Vec<_>>(),
            ),
            Some("quoted-printable") => quoted_printable(&self.body),
            _ => self.body.clone(),
        }
    }

    /// Text, HTML left out, certification data, original of a message that a provider signed.
    pub fn opened(&self) -> Opened {
        let parts = self.parts();
        assert_eq!(parts.len(), 2, "content and signature");
        let mixed = &parts[0];
        let mut opened = Opened { text: String::new(), daticert: None, original: None };
        for raw in mixed.raw_parts() {
            let part = Self::of(&raw);
            let kind = part.field("Content-Type").expect("a content type");
            if kind.contains("daticert.xml") {
                opened.daticert = Some(String::from_utf8(part.content()).expect("UTF-8"));
            } else if kind.contains("postacert.eml") {
                opened.original = Some(part.body);
            } else {
                let text = if kind.starts_with("multipart/") { part.parts().remove(0) } else { part };
                opened.text = text.content().iter().map(|b| char::from(*b)).collect(); // ISO-8859-1
            }
        }
        opened
    }
}

/// The readable parts of a signed message.
pub struct Opened {
    /// Lines as they are shown.
    pub text: String,
    /// daticert.xml.
    pub daticert: Option<String>,
    /// postacert.eml, octet for octet.
    pub original: Option<Vec<u8>>,
}

impl Opened {
    pub fn daticert(&self) -> &str {
        self.daticert.as_deref().expect("certification data")
    }

    /// The contents of all elements of a name.
    pub fn elements(&self, name: &str) -> Vec<String> {
        let (begin, end) = (format!("<{name}"), format!("</{name}>"));
        let mut all = Vec::new();
        for piece in self.daticert().split(&begin).skip(1).filter(|p| p.starts_with(['>', ' '])) {
            let inner = piece.split_once('>').expect("a tag").1;
            all.push(inner.split(&end).next().expect("an end").to_owned());
        }
        all
    }
}

fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text);
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'=', [b'\r', b'\n', tail @ ..]) => tail,
            (b'=', [a, b, tail @ ..]) => {
                let hex = String::from_utf8(vec![*a, *b]).expect("ASCII");
                out.push(u8::from_str_radix(&hex, 16).expect("two digits"));
                tail
            }
            _ => {
                out.push(*first);
                tail
            }
        };
    }
    out
}

/// Runs openssl on some input.
pub fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let writes = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("an end");
    writes.join().expect("a thread").expect("input that is read");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// That openssl verifies a message under the authority of these tests, as of an instant.
pub fn assert_openssl_verifies(folder: &Path, message: &[u8], at: pec::Instant) {
    let (ca, file) = (folder.join("ca.pem"), folder.join("message.eml"));
    let pem = openssl(&["x509", "-inform", "DER", "-outform", "PEM"], PKI.authority().der());
    std::fs::write(&ca, pem).expect("a file");
    std::fs::write(&file, message).expect("a file");
    let at = at.unix_s().to_string();
    let (ca, file) = (ca.to_str().expect("UTF-8"), file.to_str().expect("UTF-8"));
    openssl(
        &[
            "cms",
            "-verify",
            "-in",
            file,
            "-CAfile",
            ca,
            "-purpose",
            "any",
            "-attime",
            &at,
            "-out",
            "/dev/null",
        ],
        b"",
    );
}

/// That xmllint finds certification data valid (RFC 6109 §4.4).
pub fn assert_xmllint_validates(folder: &Path, daticert: &str) {
    let (dtd, file) = (folder.join("daticert.dtd"), folder.join("daticert.xml"));
    std::fs::write(&dtd, include_str!("../../../shared/pec/tests/daticert.dtd")).expect("a file");
    std::fs::write(&file, daticert).expect("a file");
    let output = Command::new("xmllint").arg("--noout").arg("--dtdvalid").args([dtd, file]).output();
    let output = output.expect("xmllint");
    assert!(output.status.success(), "{}\n{daticert}", String::from_utf8_lossy(&output.stderr));
}
