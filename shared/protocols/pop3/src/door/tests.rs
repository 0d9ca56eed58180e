//! The loop over real connections, with short times: who is slow ends, and nobody else notices.

use async_trait::async_trait;
use net::{Stop, Stopper};
use sigillo_tests::world::{ALFA, World};
use stages::{
    mailbox::NewMessage,
    ports::{Passwords, PasswordsError},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::*;

/// Hashes that cost nothing.
struct Plain;

#[async_trait]
impl Passwords for Plain {
    async fn hash(&self, password: &Password) -> Result<String, PasswordsError> {
        Ok(format!("plain:{}", password.reveal().as_str()))
    }
    async fn matches(&self, password: &Password, phc: &str) -> Result<bool, PasswordsError> {
        Ok(phc.strip_prefix("plain:") == Some(password.reveal().as_str()))
    }
}

const SHORT: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(60);
/// More than all sockets hold.
const LARGE: usize = 24 << 20;

struct Service {
    door: Door,
    listener: TcpListener,
    stop: Stop,
    _stopper: Stopper,
}

impl Service {
    /// A door of two accounts with the password `giusta`; the first has a large message.
    async fn start() -> Self {
        let rim = World::of(&ALFA).rim();
        let accounts = Accounts::open(rim.clone(), Arc::new(Plain)).await.unwrap();
        for name in ["mittente", "destinatario"] {
            accounts.set_password(&ALFA.user(name), &Password::new("giusta"), rim.now()).await.unwrap();
        }
        let mailbox = rim.mailbox(&ALFA.user("mittente")).await.unwrap().unwrap().id;
        let octets = [&b"Subject: x\r\n\r\n"[..], &b"x".repeat(LARGE)].concat();
        let message =
            NewMessage { octets: octets.into(), flags: Vec::new(), received_at: None, structure: None };
        let inbox = mailbox::folder(&rim, &mailbox, "INBOX").await.unwrap().id;
        mailbox::append(&rim, &mailbox, &inbox, message, u64::MAX).await.unwrap();
        let (stopper, stop) = Stopper::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { door: Door::new(rim, Arc::new(accounts), "pop3s"), listener, stop, _stopper: stopper }
    }

    /// A client that has signed in, and its session; nobody is waited for longer than a moment.
    async fn client(&self, name: &str) -> (TcpStream, JoinHandle<()>) {
        let connecting = TcpStream::connect(self.listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(connecting, self.listener.accept());
        let (mut client, (tcp, peer)) = (client.unwrap(), accepted.unwrap());
        let connection = Connection { stream: Stream::plain(tcp, SHORT), peer, stop: self.stop.clone() };
        let session = tokio::spawn(self.door.clone().serve(connection));
        let address = ALFA.user(name);
        say(&mut client, &format!("USER {address}\r\nPASS giusta\r\nSTAT\r\n")).await;
        // The greeting, and three answers.
        let mut heard = String::new();
        while heard.matches("+OK").count() < 4 {
            let mut piece = [0; 512];
            let octets = tokio::time::timeout(PATIENCE, client.read(&mut piece)).await.unwrap().unwrap();
            assert!(octets > 0, "{heard}");
            heard.push_str(std::str::from_utf8(&piece[..octets]).unwrap());
        }
        (client, session)
    }
}

async fn say(client: &mut TcpStream, text: &str) {
    client.write_all(text.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn who_reads_nothing_is_waited_for_and_then_left() {
    let service = Service::start().await;
    let (mut deaf, session) = service.client("mittente").await;
    say(&mut deaf, "RETR 1\r\n").await;
    // 1. Nothing of it is read: the session ends by itself, and the mailbox is free again.
    tokio::time::timeout(PATIENCE, session).await.expect("the session ends").unwrap();
    let (_next, _session) = service.client("mittente").await;

    // 2. Nobody else has noticed.
    let (mut other, session) = service.client("destinatario").await;
    say(&mut other, "QUIT\r\n").await;
    let mut heard = String::new();
    tokio::time::timeout(PATIENCE, other.read_to_string(&mut heard)).await.unwrap().unwrap();
    assert!(heard.starts_with("+OK"), "{heard}");
    session.await.unwrap();
}
