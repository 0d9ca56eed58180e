use std::net::SocketAddr;

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::client::{opportunistic, roots_of, verified};

/// A server for one connection that answers by a list: after each line that begins with a word, this.
struct Server {
    address: SocketAddr,
    heard: JoinHandle<Vec<u8>>,
}

const FRIENDLY: [(&str, &str); 6] = [
    ("EHLO", "250-mx.beta.example\r\n250-PIPELINING\r\n250 STARTTLS\r\n"),
    ("STARTTLS", "220 go\r\n"),
    ("MAIL", "250 ok\r\n"),
    ("RCPT", "250 ok\r\n"),
    ("DATA", "354 go\r\n"),
    (".\r\n", "250 taken\r\n"),
];

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(stream: S, script: &[(&str, &str)]) -> (Vec<u8>, S) {
    let mut stream = BufReader::new(stream);
    let (mut heard, mut in_data) = (Vec::new(), false);
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line).await.unwrap_or(0) == 0 {
            return (heard, stream.into_inner());
        }
        heard.extend_from_slice(&line);
        let said = script.iter().find(|(word, _)| line.starts_with(word.as_bytes()));
        let Some((word, said)) = said.filter(|(word, _)| !in_data || *word == ".\r\n") else { continue };
        in_data = *word == "DATA";
        stream.get_mut().write_all(said.as_bytes()).await.unwrap();
        if *word == "STARTTLS" {
            return (heard, stream.into_inner());
        }
    }
}

async fn server(certificate: Option<Identity>, script: &'static [(&str, &str)]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 mx.beta.example\r\n").await.unwrap();
        let (mut heard, stream) = answer(stream, script).await;
        let Some(identity) = certificate else { return heard };
        if let Ok(stream) = identity.acceptor().accept(stream).await {
            heard.extend(answer(stream, script).await.0);
        }
        heard
    });
    Server { address, heard }
}

/// An authority, and a server's certificate by it.
struct Identity {
    ca_pem: String,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Identity {
    fn of(host: &str) -> Self {
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([host.to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
        Self { ca_pem: ca.pem(), certificate: certificate.der().to_vec(), key: key.serialize_der() }
    }

    fn acceptor(&self) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let key = PrivateKeyDer::try_from(self.key.clone()).unwrap();
        let chain = vec![self.certificate.clone().into()];
        let config = builder.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

fn settings(encryption: Encryption) -> Settings {
    Settings { host: "mx.alfa.example".to_owned(), encryption, timeouts: Timeouts::STANDARD }
}

fn letter() -> Transaction {
    Transaction {
        reverse_path: "a@pec.alfa.example".to_owned(),
        recipients: vec!["b@pec.beta.example".to_owned()],
        message: Bytes::from_static(b"Subject: x\r\n\r\n.\r\n"),
    }
}

/// RFC 6109 §5.3: TLS that names the host and leads to a known authority.
#[tokio::test]
async fn a_message_under_verified_tls() {
    let identity = Identity::of("mx.beta.example");
    let roots = verified(roots_of(identity.ca_pem.as_bytes()).unwrap()).unwrap();
    let server = server(Some(identity), &FRIENDLY).await;
    let settings = settings(Encryption::Required(roots));
    let mut connection = Connection::open(server.address, "mx.beta.example.", settings).await.unwrap();
    assert_eq!(connection.tls(), Some("TLSv1.3"));
    assert_eq!(connection.transact(letter()).await, [Outcome::Taken]);
    assert!(connection.is_open());
    connection.quit().await;
    let heard = String::from_utf8(server.heard.await.unwrap()).unwrap();
    assert!(heard.ends_with("DATA\r\nSubject: x\r\n\r\n..\r\n.\r\nQUIT\r\n"), "{heard}");
}

#[tokio::test]
async fn a_certificate_of_another_host_or_authority_is_refused_where_tls_is_required() {
    let identity = Identity::of("mx.beta.example");
    let stranger = Identity::of("mx.beta.example");
    for (roots, name) in [(&identity.ca_pem, "mx.gamma.example"), (&stranger.ca_pem, "mx.beta.example")] {
        let config = verified(roots_of(roots.as_bytes()).unwrap()).unwrap();
        let (certificate, key) = (identity.certificate.clone(), identity.key.clone());
        let server = server(Some(Identity { ca_pem: String::new(), certificate, key }), &FRIENDLY).await;
        let settings = settings(Encryption::Required(config));
        let failure = Connection::open(server.address, name, settings).await.unwrap_err();
        assert!(failure.in_tls && failure.answer.contains("certificate"), "{failure}");
    }
}

/// RFC 7435
#[tokio::test]
async fn any_certificate_will_do_where_tls_is_only_welcome() {
    let server = server(Some(Identity::of("other.example")), &FRIENDLY).await;
    let settings = settings(Encryption::IfOffered(opportunistic().unwrap()));
    let mut connection = Connection::open(server.address, "mx.beta.example", settings).await.unwrap();
    assert!(connection.tls().is_some());
    assert_eq!(connection.transact(letter()).await, [Outcome::Taken]);
}

#[tokio::test]
async fn a_server_that_is_not_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let failure = Connection::open(address, "mx", settings(Encryption::Clear)).await.unwrap_err();
    assert_eq!((failure.code, failure.in_tls), (None, false));
}

/// RFC 5321 §4.5.3.2: patience has an end, for each reply and for all of them.
#[tokio::test(start_paused = true)]
async fn a_silent_server_is_left() {
    let (ours, theirs) = tokio::io::duplex(1024);
    let begun = Instant::now();
    let failure = Connection::over(ours, "mx", settings(Encryption::Clear)).await.unwrap_err();
    assert_eq!(failure.answer, "the reply took too long");
    assert_eq!(begun.elapsed(), Timeouts::STANDARD.command);
    drop(theirs);

    // One octet a minute is no answer either.
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let drops = tokio::spawn(async move {
        while theirs.write_all(b"2").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    });
    let begun = Instant::now();
    Connection::over(ours, "mx", settings(Encryption::Clear)).await.unwrap_err();
    assert!(begun.elapsed() <= Timeouts::STANDARD.command + Duration::from_secs(1));
    drops.abort();
}

/// What a server says before it closes in the middle of a message counts.
#[tokio::test]
async fn a_refusal_in_the_middle_of_the_message() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let script: [&[u8]; 5] = [b"220 mx\r\n", b"250 mx\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"];
        let mut stream = BufReader::new(&mut stream);
        for said in script {
            stream.get_mut().write_all(said).await.unwrap();
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
        }
        stream.get_mut().write_all(b"552 5.3.4 too large\r\n").await.unwrap();
        // Closes for writing, goes on reading a little: the refusal is not swept away by a reset.
        stream.get_mut().shutdown().await.unwrap();
        let mut rest = vec![0; 1 << 20];
        while stream.read(&mut rest).await.unwrap_or(0) > 0 {}
    });
    let mut connection = Connection::open(address, "mx", settings(Encryption::Clear)).await.unwrap();
    let message = Bytes::from(vec![b'x'; 8 << 20]);
    let outcomes = connection.transact(Transaction { message, ..letter() }).await;
    let answer = "552 5.3.4 too large".to_owned();
    assert_eq!(outcomes, [Outcome::Refused { code: "5.3.4".to_owned(), answer }]);
    drop(connection);
    served.await.unwrap();
}
