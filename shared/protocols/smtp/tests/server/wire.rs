//! The loop over real connections: TLS, time, large messages, the end of the service.

use std::{future::Future, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use net::{Limits, Listener, Security, Stopper, Stream};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use sigillo_smtp::server::{
    Credentials, Door, Guest, Provider, Reply, Role, Room, Settings, Times, Transaction,
};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;

use crate::talk::{PASSWORD, USER};

const PATIENCE: Duration = Duration::from_secs(60);

/// What was taken: paths, octets, who signed in, TLS version.
#[derive(Debug, PartialEq, Eq)]
struct Taken(Transaction, Bytes, Option<String>, Option<&'static str>);

struct Taker(mpsc::UnboundedSender<Taken>);

impl Provider for Taker {
    type Account = String;

    async fn sign_in(&self, _: SocketAddr, who: &Credentials) -> Result<String, Reply> {
        let right = (who.user.as_str(), who.password.as_str()) == (USER, PASSWORD);
        if right { Ok(who.user.clone()) } else { Err(Reply::new(535, "5.7.8", "no")) }
    }
    async fn sender(&self, _: &Guest<'_, String>, _: Option<&str>) -> Reply {
        Reply::new(250, "2.1.0", "OK")
    }
    async fn recipient(&self, _: &Guest<'_, String>, _: &str) -> Reply {
        Reply::new(250, "2.1.5", "OK")
    }
    async fn take(&self, guest: &Guest<'_, String>, transaction: Transaction, message: Bytes) -> Reply {
        assert_eq!(guest.hello, "client.example");
        self.0.send(Taken(transaction, message, guest.account.cloned(), guest.tls)).unwrap();
        Reply::new(250, "2.0.0", "taken")
    }
}

struct Service {
    address: SocketAddr,
    ca: CertificateDer<'static>,
    stopper: Stopper,
    serving: JoinHandle<()>,
    taken: mpsc::UnboundedReceiver<Taken>,
    folder: TempDir,
}

impl Service {
    async fn start(role: Role, times: Times) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (chain, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
        let tls = net::Tls::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let security = Security::StartTls(tls.acceptor(&[]).unwrap());
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(loopback, security, Limits::default()).await.unwrap();
        let (sender, taken) = mpsc::unbounded_channel();
        let door = Arc::new(Door {
            settings: Arc::new(Settings {
                size_bytes_max: 4 << 20,
                ..Settings::new(role, "mx.alfa.example")
            }),
            times,
            room: Room::new(folder.path().to_owned(), 8, 8),
            provider: Taker(sender),
        });
        let (stopper, stop) = Stopper::new();
        Self {
            address: listener.address(),
            ca: CertificateDer::from_pem_slice(chain.as_bytes()).unwrap(),
            stopper,
            serving: tokio::spawn(listener.serve(stop, move |connection| {
                let door = Arc::clone(&door);
                async move { door.serve(connection).await }
            })),
            taken,
            folder,
        }
    }

    async fn client(&self) -> Client {
        let tcp = TcpStream::connect(self.address).await.unwrap();
        let mut client = Client(Stream::plain(tcp, PATIENCE));
        client.hears("220 mx.alfa.example ESMTP").await;
        client
    }

    async fn taken(&mut self) -> Taken {
        soon(self.taken.recv()).await.unwrap()
    }
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("it takes too long")
}

struct Client(Stream);

impl Client {
    async fn line(&mut self) -> Option<String> {
        let line = soon(self.0.line(4096)).await.ok()??;
        Some(String::from_utf8(line.to_vec()).unwrap().trim_end().to_owned())
    }

    async fn hears(&mut self, expected: &str) {
        assert_eq!(self.line().await.as_deref(), Some(expected));
    }

    /// Says it and gives the last line of the answer.
    async fn asks(&mut self, text: &str) -> String {
        self.0.send(format!("{text}\r\n").as_bytes()).await.unwrap();
        loop {
            let line = self.line().await.unwrap();
            if line.as_bytes().get(3) == Some(&b' ') {
                return line;
            }
        }
    }

    async fn begins(&mut self) {
        for (text, answer) in [
            ("EHLO client.example", "250 CHUNKING"),
            ("MAIL FROM:<mittente@pec.alfa.example>", "250 2.1.0 OK"),
            ("RCPT TO:<destinatario@pec.alfa.example>", "250 2.1.5 OK"),
            ("DATA", "354 end with CR LF . CR LF"),
        ] {
            assert_eq!(self.asks(text).await, answer, "{text}");
        }
    }

    /// Says an octet now and then until it is told something.
    async fn drips(&mut self) -> String {
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < PATIENCE);
            let _ = self.0.send(b"x").await;
            if let Ok(line) = timeout(Duration::from_millis(10), self.0.line(512)).await {
                return String::from_utf8(line.unwrap().unwrap().to_vec()).unwrap().trim_end().to_owned();
            }
        }
    }

    async fn closed(&mut self) {
        assert_eq!(self.line().await, None);
    }

    async fn starttls(&mut self, ca: &CertificateDer<'static>) {
        assert_eq!(self.asks("STARTTLS").await, "220 2.0.0 go ahead");
        let mut anchors = rustls::RootCertStore::empty();
        anchors.add(ca.clone()).unwrap();
        let connector = TlsConnector::from(net::client_config(anchors).unwrap());
        let name = ServerName::try_from("localhost").unwrap();
        self.0.connect_tls(&connector, name, PATIENCE).await.unwrap();
    }
}

fn paths() -> Transaction {
    Transaction {
        reverse_path: Some("mittente@pec.alfa.example".to_owned()),
        forward_paths: vec!["destinatario@pec.alfa.example".to_owned()],
    }
}

#[tokio::test]
async fn a_user_signs_in_inside_tls_and_submits() {
    let mut service = Service::start(Role::Submission, Times::default()).await;
    let mut client = service.client().await;
    assert_eq!(client.asks("EHLO client.example").await, "250 CHUNKING");
    client.starttls(&service.ca).await;
    client.asks("EHLO client.example").await;
    let plain = "AUTH PLAIN AG1pdHRlbnRlQHBlYy5hbGZhLmV4YW1wbGUAZ2l1c3Rh";
    assert_eq!(client.asks(plain).await, "235 2.7.0 signed in");
    client.begins().await;
    assert_eq!(client.asks("..\r\n.").await, "250 2.0.0 taken");
    let expected = Taken(paths(), Bytes::from_static(b".\r\n"), Some(USER.to_owned()), Some("1.3"));
    assert_eq!(service.taken().await, expected);
    assert_eq!(client.asks("QUIT").await, "221 2.0.0 goodbye");
    client.closed().await;
}

#[tokio::test]
async fn a_large_message_waits_in_a_file_and_comes_out_as_it_was() {
    let mut service = Service::start(Role::Exchange, Times::default()).await;
    let mut client = service.client().await;
    let message: String = (0..100_000).map(|n| format!("riga {n}\r\n")).collect();
    client.begins().await;
    assert_eq!(client.asks(&format!("{message}.")).await, "250 2.0.0 taken");
    assert_eq!(service.taken().await.1, message.as_bytes());
    // One that is too large leaves room for the next.
    client.begins().await;
    let large = "x\r\n".repeat(2 << 20);
    assert!(client.asks(&format!("{large}.")).await.starts_with("552 5.3.4"));
    client.begins().await;
    assert_eq!(client.asks("x\r\n.").await, "250 2.0.0 taken");
    assert_eq!(service.taken().await.1, b"x\r\n".as_slice());
    assert_eq!(files(service.folder.path()), 0);
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

/// Many who never end their messages: they fill their room and no more, and others are served.
#[tokio::test]
async fn those_who_never_end_do_not_harm_others() {
    let mut service = Service::start(Role::Exchange, Times::default()).await;
    let mut endless = Vec::new();
    for _ in 0..10 {
        let mut client = service.client().await;
        client.begins().await;
        client.0.send(&b"x\r\n".repeat(700_000)).await.unwrap();
        endless.push(client);
    }
    let mut honest = service.client().await;
    honest.begins().await;
    assert_eq!(honest.asks("x\r\n.").await, "250 2.0.0 taken");
    assert_eq!(service.taken().await.1, b"x\r\n".as_slice());
    // Ten times two MiB do not fit into eight.
    let mut answers = Vec::new();
    for client in &mut endless {
        answers.push(client.asks(".").await);
    }
    assert!(answers.iter().any(|a| a.starts_with("452 4.3.1")), "{answers:?}");
    assert!(answers.iter().any(|a| a.starts_with("250")), "{answers:?}");
}

#[tokio::test]
async fn silence_ends_a_session() {
    let times = Times { command: Duration::from_millis(50), ..Times::default() };
    let service = Service::start(Role::Exchange, times).await;
    let mut client = service.client().await;
    client.hears("421 4.4.2 nothing came in time; goodbye").await;
    client.closed().await;
}

#[tokio::test]
async fn nobody_waits_for_ever_for_a_sign_in() {
    let times = Times { sign_in: Duration::from_millis(100), ..Times::default() };
    let service = Service::start(Role::Submission, times).await;
    let mut client = service.client().await;
    assert_eq!(client.drips().await, "421 4.4.2 nothing came in time; goodbye");
}

/// Slow loris: an octet now and then is not enough.
#[tokio::test]
async fn a_message_has_a_time_in_all() {
    let times = Times { message: Duration::from_millis(200), ..Times::default() };
    let mut service = Service::start(Role::Exchange, times).await;
    let mut client = service.client().await;
    client.begins().await;
    assert_eq!(client.drips().await, "421 4.4.2 nothing came in time; goodbye");
    client.closed().await;
    drop(client);
    service.stopper.stop();
    soon(service.serving).await.unwrap();
    assert!(service.taken.try_recv().is_err(), "nothing was taken");
}

#[tokio::test]
async fn data_that_end_with_the_connection_are_no_letter() {
    let mut service = Service::start(Role::Exchange, Times::default()).await;
    let mut client = service.client().await;
    client.begins().await;
    client.0.send(b"tutto\r\n.\r").await.unwrap();
    client.0.close().await;
    service.stopper.stop();
    soon(service.serving).await.unwrap();
    assert!(service.taken.try_recv().is_err());
}

#[tokio::test]
async fn commands_before_tls_are_not_heard_after_it() {
    let service = Service::start(Role::Exchange, Times::default()).await;
    let mut client = service.client().await;
    client.asks("EHLO client.example").await;
    client.0.send(b"STARTTLS\r\nMAIL FROM:<a@b.example>\r\n").await.unwrap();
    client.hears("220 2.0.0 go ahead").await;
    client.hears("554 5.5.1 octets came behind STARTTLS before TLS; goodbye").await;
    client.closed().await;
}

#[tokio::test]
async fn the_end_of_the_service_waits_for_letters_under_way_only() {
    let mut service = Service::start(Role::Exchange, Times::default()).await;
    let (mut idle, mut busy) = (service.client().await, service.client().await);
    busy.begins().await;
    service.stopper.stop();
    idle.hears("421 4.3.2 the service is closing, try again later").await;
    idle.closed().await;
    assert_eq!(busy.asks("x\r\n.").await, "250 2.0.0 taken");
    busy.hears("421 4.3.2 the service is closing, try again later").await;
    busy.closed().await;
    soon(&mut service.serving).await.unwrap();
    assert_eq!(service.taken().await.1, b"x\r\n".as_slice());
}
