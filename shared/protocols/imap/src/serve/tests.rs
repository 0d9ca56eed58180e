//! The loop over real connections, with short times: who is slow ends, and nobody else notices.

use net::{Stop, Stopper};
use sigillo_tests::world::{ALFA, World};
use stages::registry::Mailbox;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::*;
use crate::{Limits, NotIn};

/// One account, without a password.
struct Anybody(Mailbox);

impl Accounts for Anybody {
    type SignedIn = Mailbox;
    async fn sign_in(&self, _: &str, _: &str) -> Result<Mailbox, NotIn> {
        Ok(self.0.clone())
    }
    fn mailbox(signed_in: &Mailbox) -> &Mailbox {
        signed_in
    }
    async fn still(&self, _: &Mailbox) -> bool {
        true
    }
}

const SHORT: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(60);

struct Service {
    host: Arc<Host>,
    listener: TcpListener,
    stop: Stop,
    _stopper: Stopper,
    times: Times,
}

impl Service {
    async fn start(times: Times) -> Self {
        let host = Arc::new(Host::new(World::of(&ALFA).rim(), Limits::default(), 1 << 20));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (stopper, stop) = Stopper::new();
        Self { host, listener, stop, _stopper: stopper, times }
    }

    /// A client that was greeted, and its session.
    async fn client(&self) -> (TcpStream, JoinHandle<()>) {
        let connecting = TcpStream::connect(self.listener.local_addr().unwrap());
        let (mut client, accepted) =
            tokio::join!(async { connecting.await.unwrap() }, self.listener.accept());
        let (tcp, peer) = accepted.unwrap();
        let connection = Connection { stream: Stream::plain(tcp, PATIENCE), peer, stop: self.stop.clone() };
        let account = ALFA.mailboxes().into_iter().next().unwrap();
        let session = tokio::spawn(serve(connection, Arc::clone(&self.host), Anybody(account), self.times));
        assert!(heard(&mut client, "\r\n").await.starts_with("* OK "));
        (client, session)
    }
}

/// What is heard, up to these words, or to the end.
async fn heard(client: &mut TcpStream, words: &str) -> String {
    let mut heard = Vec::new();
    let mut piece = [0; 4096];
    while !String::from_utf8_lossy(&heard).contains(words) {
        let octets = tokio::time::timeout(PATIENCE, client.read(&mut piece)).await.expect("an answer");
        match octets {
            Ok(0) | Err(_) => break,
            Ok(octets) => heard.extend_from_slice(&piece[..octets]),
        }
    }
    String::from_utf8(heard).unwrap()
}

/// Says it octet by octet, until the other side has enough of it.
async fn dribble(client: &mut TcpStream, text: &[u8]) {
    for octet in text.iter().cycle() {
        if client.write_all(&[*octet]).await.is_err() {
            return;
        }
        let mut peeked = [0];
        if let Ok(Ok(_)) = tokio::time::timeout(SHORT / 20, client.peek(&mut peeked)).await {
            return;
        }
    }
}

#[tokio::test]
async fn an_octet_now_and_then_ends_the_session() {
    // 1. A stranger who never finishes signing in.
    let service = Service::start(Times { sign_in: SHORT, ..Times::default() }).await;
    let (mut stranger, session) = service.client().await;
    dribble(&mut stranger, b"x").await;
    assert_eq!(heard(&mut stranger, "\r\n").await, "* BYE it took too long\r\n");
    session.await.unwrap();

    // 2. A user whose command never ends, and one whose message never does; another one is served meanwhile.
    let service = Service::start(Times { command: SHORT, ..Times::default() }).await;
    for (said, words) in
        [("b NOOP ", "* BYE it took too long"), ("b APPEND INBOX {100+}\r\n", "* BYE it took too long")]
    {
        let (mut slow, session) = service.client().await;
        let (mut other, _other) = service.client().await;
        for client in [&mut slow, &mut other] {
            client.write_all(b"a LOGIN mittente x\r\n").await.unwrap();
            assert!(heard(client, "a OK").await.contains("a OK"));
        }
        slow.write_all(said.as_bytes()).await.unwrap();
        dribble(&mut slow, b" ").await;
        assert!(heard(&mut slow, words).await.contains(words), "{said}");
        session.await.unwrap();
        other.write_all(b"b NOOP\r\n").await.unwrap();
        assert!(heard(&mut other, "b OK").await.contains("b OK"));
    }
}

#[tokio::test]
async fn who_reads_nothing_is_waited_for_and_then_left() {
    let service = Service::start(Times { send: SHORT, ..Times::default() }).await;
    let (mut deaf, session) = service.client().await;
    let (mut other, _other) = service.client().await;
    deaf.write_all(b"a LOGIN mittente x\r\n").await.unwrap();
    heard(&mut deaf, "a OK").await;
    let message = "x".repeat(4 << 20);
    let append = format!("b APPEND INBOX {{{}+}}\r\n{message}\r\nc SELECT INBOX\r\n", message.len());
    deaf.write_all(append.as_bytes()).await.unwrap();
    assert!(heard(&mut deaf, "c OK").await.contains("* 1 EXISTS"));
    // More than all sockets hold; nothing of it is read. The session ends by itself.
    for n in 0..20 {
        deaf.write_all(format!("d{n} FETCH 1 BODY[]\r\n").as_bytes()).await.unwrap();
    }
    tokio::time::timeout(PATIENCE, session).await.expect("the session ends").unwrap();
    other.write_all(b"a LOGIN mittente x\r\nb STATUS INBOX (MESSAGES)\r\n").await.unwrap();
    assert!(heard(&mut other, "b OK").await.contains("(MESSAGES 1)"));
}

#[test]
fn who_sends_more_than_the_pace_waits() {
    let start = Instant::now();
    let mut pace = Pace::new(start);
    let rate = (10.0, 20.0);
    for n in 1..=20 {
        assert_eq!(pace.pause(n, rate, start), None, "{n}");
    }
    assert_eq!(pace.pause(21, rate, start), Some(Duration::from_millis(100)));
    assert_eq!(pace.pause(21, rate, start), None, "no command, no pause");
    let later = start + Duration::from_secs(1);
    assert_eq!(pace.pause(30, rate, later), None);
    assert_eq!(pace.pause(31, rate, later), Some(Duration::from_millis(100)));
}
