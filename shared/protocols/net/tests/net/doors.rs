//! Limits in number and in time, and draining.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use sigillo_net::{Limits, StreamError};
use tokio::io::AsyncReadExt as _;

use crate::common::{PATIENCE, echo, implicit, open, pair, shared, starttls};

#[tokio::test]
async fn a_door_that_is_full_says_so_and_serves_on() {
    let tls = pair().tls();
    for limits in [
        Limits { connections_max: 2, ..Limits::default() },
        Limits { connections_per_peer_max: 2, ..Limits::default() },
    ] {
        let door = open(starttls(&tls), limits, echo).await;
        let mut two = [door.knock().await, door.knock().await];
        for stream in &mut two {
            stream.send(b"a\r\n").await.unwrap();
            assert_eq!(stream.line(100).await.unwrap().unwrap(), "a\r\n");
        }
        let mut third = door.knock().await;
        assert_eq!(third.line(100).await.unwrap().unwrap(), "421 too many connections\r\n");
        assert!(matches!(third.line(100).await, Ok(None) | Err(StreamError::Io(_))));
        let [first, _second] = two;
        first.close().await;
        // As soon as the first is gone there is a place again.
        let mut served = false;
        for _ in 0..10_000 {
            let mut next = door.knock().await;
            if next.send(b"b\r\n").await.is_ok()
                && next.line(100).await.is_ok_and(|line| line.is_some_and(|line| line == "b\r\n"))
            {
                served = true;
                break;
            }
        }
        assert!(served);
        door.stop().await;
    }
}

#[tokio::test]
async fn who_is_silent_is_not_kept() {
    let tls = pair().tls();
    let quick = Duration::from_millis(50);
    // In the handshake.
    let limits = Limits { handshake: quick, ..Limits::default() };
    let door = open(implicit(&tls), limits, echo).await;
    assert_eq!(door.knock().await.fill().await.unwrap(), 0);
    // Between two lines, and in the middle of one.
    let limits = Limits { idle: quick, ..Limits::default() };
    let door = open(starttls(&tls), limits, echo).await;
    assert_eq!(door.knock().await.fill().await.unwrap(), 0);
    let mut slow = door.knock().await;
    slow.send(b"a").await.unwrap();
    assert_eq!(slow.fill().await.unwrap(), 0);
    // Over the whole session, however busy.
    let limits = Limits { session: quick, ..Limits::default() };
    let door = open(starttls(&tls), limits, echo).await;
    let mut busy = door.knock().await;
    let ended = async {
        loop {
            if busy.send(b"a\r\n").await.is_err() || !matches!(busy.line(100).await, Ok(Some(_))) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
}

#[tokio::test]
async fn a_line_that_comes_octet_by_octet_ends_with_the_wait() {
    let tls = pair().tls();
    let timed_out = shared(AtomicBool::new(false));
    let seen = timed_out.clone();
    let limits = Limits { idle: Duration::from_millis(100), ..Limits::default() };
    let door = open(starttls(&tls), limits, move |mut connection| {
        let seen = seen.clone();
        async move {
            let line = connection.stream.line(10_000).await;
            seen.store(matches!(line, Err(StreamError::TimedOut)), Ordering::SeqCst);
        }
    })
    .await;
    let mut slow = door.knock().await;
    let drip = async {
        let mut pace = tokio::time::interval(Duration::from_millis(5));
        while slow.send(b"a").await.is_ok() {
            pace.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, drip).await.unwrap();
    assert!(timed_out.load(Ordering::SeqCst));
    door.stop().await;
}

#[tokio::test]
async fn a_door_that_stops_tells_its_sessions_and_takes_no_more() {
    let pair = pair();
    let door = open(implicit(&pair.tls()), Limits::default(), echo).await;
    let mut stream = door.knock_tls(&pair).await;
    stream.send(b"a\r\n").await.unwrap();
    assert_eq!(stream.line(100).await.unwrap().unwrap(), "a\r\n");
    let address = door.address;
    door.stop().await;
    assert_eq!(stream.line(100).await.unwrap().unwrap(), "bye\r\n");
    assert_eq!(stream.line(100).await.unwrap(), None);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_session_that_does_not_listen_is_cut_off_and_a_panic_harms_nobody() {
    let tls = pair().tls();
    let limits = Limits { drain: Duration::from_millis(50), ..Limits::default() };
    let door = open(starttls(&tls), limits, |mut connection| async move {
        match connection.stream.line(100).await.unwrap().as_deref() {
            Some(b"panic\r\n") => panic!("a session that panics"),
            _ => std::future::pending().await,
        }
    })
    .await;
    let (mut first, mut second) = (door.knock().await, door.knock().await);
    first.send(b"panic\r\n").await.unwrap();
    assert_eq!(first.read(&mut [0]).await.unwrap(), 0);
    second.send(b"wait\r\n").await.unwrap();
    door.stop().await;
    assert!(matches!(second.fill().await, Ok(0) | Err(StreamError::Io(_))));
}
