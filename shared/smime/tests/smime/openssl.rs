//! Drives the `openssl` command line and keeps what costs time (keys, the usual certificates) for all tests.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use bytes::Bytes;
use smime::Certificate;
use tempfile::TempDir;

/// An instant at which the usual certificates are valid: 2026-03-02T08:00:00Z.
pub const NOW: i64 = 1_772_438_400;
/// Start and end of the usual validity, as `openssl ca` wants them.
pub const USUAL: (&str, &str) = ("20200101000000Z", "20491231235959Z");

/// The extensions of a provider's certificate as RFC 6109 §5.5 and production have them (spec 10.2).
pub const LEAF: &str = "keyUsage=critical,digitalSignature\nextendedKeyUsage=emailProtection\n\
    subjectAltName=email:posta-certificata@pec.alfa.example\nsubjectKeyIdentifier=hash\n\
    authorityKeyIdentifier=keyid\ncertificatePolicies=1.3.76.16.3.1.1\n";
/// The extensions of an authority.
pub const AUTHORITY: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n\
    subjectKeyIdentifier=hash\n";

/// The keys that are generated once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Root,
    Intermediate,
    Leaf,
    Second,
    P256,
    P384,
    P521,
    Rsa1024,
}

const KEYS: [(Key, &[&str]); 8] = [
    (Key::Root, &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
    (Key::Intermediate, &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
    (Key::Leaf, &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
    (Key::Second, &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
    (Key::P256, &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
    (Key::P384, &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
    (Key::P521, &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"]),
    (Key::Rsa1024, &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]),
];

impl Key {
    /// PKCS#8 PEM.
    pub fn pem(self) -> &'static [u8] {
        static PEMS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
        let generate = |args: &'static [&'static str]| {
            std::thread::spawn(move || {
                let dir = tempfile::tempdir().unwrap();
                openssl(dir.path(), &[&["genpkey"], args].concat())
            })
        };
        let pems = PEMS.get_or_init(|| {
            let running: Vec<_> = KEYS.iter().map(|(_, args)| generate(args)).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        &pems[KEYS.iter().position(|(key, _)| *key == self).unwrap()]
    }
}

/// A certificate with the key that it certifies.
#[derive(Clone, Debug)]
pub struct Issued {
    pub pem: Vec<u8>,
    pub key: Key,
}

impl Issued {
    pub fn certificate(&self) -> Certificate {
        Certificate::from_pem(&self.pem).unwrap().remove(0)
    }

    pub fn der(&self) -> Vec<u8> {
        self.certificate().der().to_vec()
    }
}

/// What a certificate shall say.
pub struct Request<'a> {
    pub subject: &'a str,
    pub key: Key,
    pub extensions: &'a str,
    pub validity: (&'a str, &'a str),
    pub md: &'a str,
}

impl<'a> Request<'a> {
    pub fn new(subject: &'a str, key: Key, extensions: &'a str) -> Self {
        Self { subject, key, extensions, validity: USUAL, md: "sha256" }
    }

    pub fn valid(mut self, from: &'a str, until: &'a str) -> Self {
        self.validity = (from, until);
        self
    }

    pub fn md(mut self, md: &'a str) -> Self {
        self.md = md;
        self
    }

    pub fn self_signed(&self) -> Issued {
        self.issue(&["-selfsign"], self.key, None)
    }

    pub fn issued_by(&self, issuer: &Issued) -> Issued {
        self.issue(&["-cert", "issuer.pem"], issuer.key, Some(issuer))
    }

    fn issue(&self, how: &[&str], issuer_key: Key, issuer: Option<&Issued>) -> Issued {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
        put("key.pem", self.key.pem());
        put("issuer.key", issuer_key.pem());
        issuer.inspect(|issuer| put("issuer.pem", &issuer.pem));
        put("index.txt", b"");
        put("ca.cnf", CONFIGURATION.as_bytes());
        put("extensions.cnf", self.extensions.as_bytes());
        let request = ["req", "-new", "-utf8", "-config", "ca.cnf", "-key", "key.pem", "-subj", self.subject];
        put("request.pem", &openssl(dir.path(), &request));
        let common = [
            "ca",
            "-batch",
            "-notext",
            "-config",
            "ca.cnf",
            "-in",
            "request.pem",
            "-keyfile",
            "issuer.key",
            "-extfile",
            "extensions.cnf",
            "-md",
            self.md,
            "-startdate",
            self.validity.0,
            "-enddate",
            self.validity.1,
        ];
        Issued { pem: openssl(dir.path(), &[&common, how].concat()), key: self.key }
    }
}

const CONFIGURATION: &str = "[req]\ndistinguished_name=dn\nstring_mask=utf8only\n[dn]\n\
    [ca]\ndefault_ca=c\n[c]\ndatabase=index.txt\nnew_certs_dir=.\nrand_serial=yes\nserial=serial\nunique_subject=no\npreserve=yes\n\
    email_in_dn=yes\npolicy=p\n[p]\ncountryName=optional\norganizationName=optional\ncommonName=optional\n\
    emailAddress=optional\n";

/// The usual root, intermediate and provider's certificate.
pub struct Usual {
    pub root: Issued,
    pub intermediate: Issued,
    pub leaf: Issued,
}

pub fn usual() -> &'static Usual {
    static USUAL: OnceLock<Usual> = OnceLock::new();
    USUAL.get_or_init(|| {
        let root = Request::new("/C=IT/O=Autorita di prova/CN=Radice", Key::Root, AUTHORITY).self_signed();
        let intermediate =
            Request::new("/C=IT/O=Autorita di prova/CN=Emittente", Key::Intermediate, AUTHORITY)
                .issued_by(&root);
        let leaf = Request::new(LEAF_SUBJECT, Key::Leaf, LEAF).issued_by(&intermediate);
        Usual { root, intermediate, leaf }
    })
}

pub const LEAF_SUBJECT: &str = "/C=IT/O=Alfa S.p.A./CN=Posta Certificata Alfa";

/// Runs openssl; its standard output. A failure fails the test with openssl's own words.
pub fn openssl(dir: &Path, args: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").current_dir(dir).args(args).output().unwrap();
    assert!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A MIME entity to sign, lines ending with CRLF.
pub const CONTENT: &[u8] = b"Content-Type: text/plain; charset=\"iso-8859-1\"\r\n\
    Content-Transfer-Encoding: quoted-printable\r\n\r\n\
    Ricevuta di accettazione\r\n\r\nIl giorno 02/03/2026 alle ore 09:00:00 (+0100) il messaggio =E8 stato \
    accettato.\r\n";

/// `openssl cms -sign` with these signers and arguments over [`CONTENT`], as DER or BER.
pub fn cms_sign(signers: &[&Issued], inside: &[&Issued], args: &[&str]) -> Vec<u8> {
    sign_with("cms", signers, inside, &[&["-outform", "DER"], args].concat())
}

/// `openssl cms|smime -sign` with all arguments but the files.
pub fn sign_with(command: &str, signers: &[&Issued], inside: &[&Issued], args: &[&str]) -> Vec<u8> {
    let dir: TempDir = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    put("content", CONTENT);
    put("inside.pem", &inside.iter().flat_map(|issued| issued.pem.clone()).collect::<Vec<_>>());
    let mut all: Vec<String> = [command, "-sign", "-binary", "-in", "content"].map(str::to_owned).into();
    for (index, signer) in signers.iter().enumerate() {
        put(&format!("signer{index}.pem"), &signer.pem);
        put(&format!("key{index}.pem"), signer.key.pem());
        all.extend([
            "-signer".into(),
            format!("signer{index}.pem"),
            "-inkey".into(),
            format!("key{index}.pem"),
        ]);
    }
    if !inside.is_empty() {
        all.extend(["-certfile".to_owned(), "inside.pem".to_owned()]);
    }
    all.extend(args.iter().map(|arg| (*arg).to_owned()));
    openssl(dir.path(), &all.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A message around content and signature, as a sender of ours writes it.
pub fn message(content: &[u8], cms: &[u8], signature_type: &str) -> Bytes {
    let mut message = format!(
        "From: posta-certificata@pec.alfa.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/signed; \
         protocol=\"{signature_type}\"; micalg=sha-256;\r\n boundary=\"limite\"\r\n\r\n--limite\r\n"
    )
    .into_bytes();
    message.extend_from_slice(content);
    message.extend_from_slice(
        format!(
            "\r\n--limite\r\nContent-Type: {signature_type}; name=\"smime.p7s\"\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n"
        )
        .as_bytes(),
    );
    message.extend_from_slice(&mime::encode::base64_lines(cms));
    message.extend_from_slice(b"\r\n--limite--\r\n");
    Bytes::from(message)
}

/// [`message`] taken apart again, over [`CONTENT`].
pub fn signed(cms: &[u8]) -> smime::SignedMessage {
    smime::split_signed(&message(CONTENT, cms, "application/pkcs7-signature")).unwrap()
}
