//! Reading within bounds, and the upgrade in place.

use sigillo_net::{Limits, Stream, StreamError};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
};

use crate::common::{PATIENCE, echo, localhost, open, pair, starttls};

/// A stream, and the raw other end of it.
async fn both() -> (Stream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (Stream::plain(listener.accept().await.unwrap().0, PATIENCE), other)
}

#[tokio::test]
async fn lines_come_one_by_one_however_they_were_sent() {
    let (mut stream, mut other) = both().await;
    other.write_all(b"a\r\nbc\n\nd").await.unwrap();
    for line in ["a\r\n", "bc\n", "\n"] {
        assert_eq!(stream.line(3).await.unwrap().unwrap(), line);
    }
    other.write_all(b"\n").await.unwrap();
    assert_eq!(stream.line(3).await.unwrap().unwrap(), "d\n");
    other.write_all(b"half").await.unwrap();
    drop(other);
    assert!(matches!(stream.line(9).await, Err(StreamError::Closed)));
    assert_eq!(stream.octets_in(), 13);
}

#[tokio::test]
async fn a_long_line_is_refused_at_its_bound() {
    for long in ["12345\n".to_owned(), "1".repeat(100_000)] {
        let (mut stream, mut other) = both().await;
        let sending = tokio::spawn(async move {
            // The reader may be gone before all is sent.
            let _ = other.write_all(long.as_bytes()).await;
            other
        });
        assert!(matches!(stream.line(5).await, Err(StreamError::LineTooLong(5))));
        assert!(stream.buffered().len() <= 5 + 16 * 1024, "{}", stream.buffered().len());
        assert!(stream.buffered().starts_with(b"1"));
        sending.abort();
    }
    let (mut stream, mut other) = both().await;
    other.write_all(b"1234\n").await.unwrap();
    assert_eq!(stream.line(5).await.unwrap().unwrap(), "1234\n");
}

#[tokio::test]
async fn what_is_buffered_is_consumed_in_pieces() {
    let (mut stream, mut other) = both().await;
    other.write_all(b"abc").await.unwrap();
    while stream.buffered().len() < 3 {
        assert_ne!(stream.fill().await.unwrap(), 0);
    }
    stream.consume(2);
    assert_eq!(stream.buffered(), b"c");
    stream.consume(7);
    assert_eq!(stream.buffered(), b"");
    drop(other);
    assert_eq!(stream.fill().await.unwrap(), 0);
}

#[tokio::test]
async fn nothing_that_was_said_before_tls_is_heard_after_it() {
    let pair = pair();
    let door = open(starttls(&pair.tls()), Limits::default(), echo).await;
    // In one packet with STARTTLS: buffered by the door when it upgrades (CVE-2011-0411).
    let mut client = door.knock().await;
    client.send(b"a\r\nSTARTTLS\r\ninjected\r\n").await.unwrap();
    assert_eq!(client.line(100).await.unwrap().unwrap(), "a\r\n");
    assert_eq!(client.line(100).await.unwrap().unwrap(), "go\r\n");
    assert!(client.tls_version().is_none() && !client.can_upgrade());
    client.connect_tls(&pair.connector(), localhost(), PATIENCE).await.unwrap();
    client.send(b"b\r\n").await.unwrap();
    assert_eq!(client.line(100).await.unwrap().unwrap(), "b\r\n");
    assert_eq!(client.tls_version(), Some("1.3"));
    assert!(client.tls_cipher().unwrap().contains("AES"), "{:?}", client.tls_cipher());
    // Once only: the door says go, and nothing but silence follows.
    client.send(b"STARTTLS\r\n").await.unwrap();
    assert_eq!(client.line(100).await.unwrap().unwrap(), "go\r\n");
    assert!(!matches!(client.line(100).await, Ok(Some(_))));
    door.stop().await;
}

#[tokio::test]
async fn the_client_too_forgets_what_it_heard_before_tls() {
    let pair = pair();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = pair.tls().acceptor(&[]).unwrap();
    let server = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.write_all(b"220 go\r\n250 injected\r\n").await.unwrap();
        let mut tls = acceptor.accept(tcp).await.unwrap();
        tls.write_all(b"250 true\r\n").await.unwrap();
        tls.shutdown().await.unwrap();
    });
    let mut client = Stream::plain(TcpStream::connect(address).await.unwrap(), PATIENCE);
    assert_eq!(client.line(100).await.unwrap().unwrap(), "220 go\r\n");
    while client.buffered() != b"250 injected\r\n" {
        assert_ne!(client.fill().await.unwrap(), 0);
    }
    client.connect_tls(&pair.connector(), localhost(), PATIENCE).await.unwrap();
    assert_eq!(client.line(100).await.unwrap().unwrap(), "250 true\r\n");
    server.await.unwrap();
}

#[tokio::test]
async fn a_stream_whose_handshake_failed_is_of_no_use() {
    let pair = pair();
    let door = open(starttls(&pair.tls()), Limits::default(), |mut connection| async move {
        assert!(matches!(connection.stream.starttls().await, Err(StreamError::Tls(_))));
        assert!(matches!(connection.stream.fill().await, Err(StreamError::Io(_))));
        assert!(matches!(connection.stream.send(b"a").await, Err(StreamError::Io(_))));
        assert!(matches!(connection.stream.starttls().await, Err(StreamError::Tls(_))));
    })
    .await;
    let mut client = door.knock().await;
    client.send(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    while client.fill().await.is_ok_and(|octets| octets > 0) {}
    door.stop().await;
}
