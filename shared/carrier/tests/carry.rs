//! The carrier against small servers on loopback addresses, with a DNS of its own.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests: a panic is how they fail")]

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use pec::Address;
use sigillo_carrier::{Config, Names, SmtpCarrier, Unresolved};
use stages::ports::{Carrier, Destination, Errand, Relayed};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
};

/// Hosts by domain, and addresses by host.
#[derive(Default)]
struct Zone {
    mx: HashMap<&'static str, Vec<(u16, &'static str)>>,
    a: HashMap<&'static str, Vec<IpAddr>>,
}

#[async_trait]
impl Names for Zone {
    async fn exchangers(&self, domain: &str) -> Result<Vec<(u16, String)>, Unresolved> {
        let found = self.mx.get(domain).ok_or(Unresolved::NoName)?;
        Ok(found.iter().map(|(n, host)| (*n, (*host).to_owned())).collect())
    }
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Unresolved> {
        self.a.get(host).cloned().ok_or(Unresolved::NoName)
    }
}

/// A server that answers every connection by a list: after a line that begins with a word, this.
struct Server {
    /// What was heard, by connection.
    heard: Arc<Mutex<Vec<String>>>,
}

type Script = &'static [(&'static str, &'static str)];

const PLAIN: Script = &[
    ("220", "220 mx ESMTP\r\n"),
    ("EHLO", "250-mx\r\n250 PIPELINING\r\n"),
    ("MAIL", "250 ok\r\n"),
    ("RCPT TO:<nobody", "550 5.1.1 nobody\r\n"),
    ("RCPT", "250 ok\r\n"),
    ("DATA", "354 go\r\n"),
    (".\r\n", "250 taken\r\n"),
    ("QUIT", "221 bye\r\n"),
];

/// Offers TLS and goes away when it begins.
const BROKEN_TLS: Script = &[
    ("220", "220 mx ESMTP\r\n"),
    ("EHLO", "250-mx\r\n250 STARTTLS\r\n"),
    ("STARTTLS", "220 go\r\n"),
    ("MAIL", "250 ok\r\n"),
    ("RCPT", "250 ok\r\n"),
    ("DATA", "354 go\r\n"),
    (".\r\n", "250 taken\r\n"),
];

const NO_MAIL: Script = &[("220", "521 5.3.2 no mail here\r\n")];
const BUSY: Script = &[("220", "421 4.3.2 busy\r\n")];

impl Server {
    fn at(listener: TcpListener, script: Script) -> Self {
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let all = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let n = {
                    let mut all = all.lock().unwrap();
                    all.push(String::new());
                    all.len() - 1
                };
                let all = Arc::clone(&all);
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let said = |word: &[u8]| script.iter().find(|(w, _)| word.starts_with(w.as_bytes()));
                    if let Some((_, said)) = said(b"220") {
                        stream.get_mut().write_all(said.as_bytes()).await.unwrap();
                    }
                    let (mut line, mut in_data) = (Vec::new(), false);
                    while stream.read_until(b'\n', &mut line).await.unwrap_or(0) > 0 {
                        all.lock().unwrap()[n].push_str(&String::from_utf8_lossy(&line));
                        if let Some((word, said)) = said(&line).filter(|(w, _)| !in_data || *w == ".\r\n") {
                            in_data = *word == "DATA";
                            let _ = stream.get_mut().write_all(said.as_bytes()).await;
                            if *word == "STARTTLS" {
                                return;
                            }
                        }
                        line.clear();
                    }
                });
            }
        });
        Self { heard }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

/// Listeners at some loopback addresses, all on one port.
async fn listeners<const N: usize>() -> ([TcpListener; N], u16) {
    'ports: loop {
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = first.local_addr().unwrap().port();
        let mut all = vec![first];
        for n in 2..=N {
            let address = SocketAddr::new(ip(u8::try_from(n).unwrap()), port);
            match TcpListener::bind(address).await {
                Ok(listener) => all.push(listener),
                Err(_) => continue 'ports,
            }
        }
        return (all.try_into().unwrap(), port);
    }
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

fn zone(mx: &[(u16, &'static str)], a: &[(&'static str, u8)]) -> Arc<Zone> {
    let a = a.iter().map(|(host, last)| (*host, vec![ip(*last)])).collect();
    Arc::new(Zone { mx: HashMap::from([("posta.example", mx.to_vec())]), a })
}

fn carrier(port: u16, zone: Arc<Zone>) -> SmtpCarrier {
    SmtpCarrier::asking(Config { port, ..Config::new("mx.alfa.example") }, zone).unwrap()
}

fn errand(destination: Destination, to: &[&str]) -> Errand {
    Errand {
        destination,
        reverse_path: None,
        recipients: to.iter().map(|a| Address::parse(a).unwrap()).collect(),
        message: Bytes::from_static(b"Subject: x\r\n\r\n.y\r\n"),
    }
}

fn ordinary() -> Destination {
    Destination::Ordinary { domain: "posta.example".to_owned() }
}

fn provider() -> Destination {
    Destination::Provider { record: "Posta".to_owned(), domain: "posta.example".to_owned() }
}

/// RFC 5321 §5.1: the next host where one does not answer or sends us away; outcomes by recipient; the connection serves
/// the next errand too.
#[tokio::test]
async fn the_first_host_that_talks_to_us_gets_it() {
    let ([gone, busy, well], port) = listeners::<3>().await;
    drop(gone);
    let (busy, well) = (Server::at(busy, BUSY), Server::at(well, PLAIN));
    let hosts = [(10, "gone."), (20, "busy."), (30, "well.")];
    let carrier = carrier(port, zone(&hosts, &[("gone.", 1), ("busy.", 2), ("well.", 3)]));

    let to = ["a@posta.example", "nobody@posta.example"];
    let outcomes = carrier.carry(errand(ordinary(), &to)).await;
    let nobody = Relayed::Refused {
        code: "5.1.1".to_owned(),
        answer: "550 5.1.1 nobody".to_owned(),
        no_domain: false,
    };
    assert_eq!(outcomes, [Relayed::Taken, nobody]);
    assert_eq!(carrier.carry(errand(ordinary(), &["b@posta.example"])).await, [Relayed::Taken]);
    assert_eq!(busy.heard(), [""]);
    let [heard] = &well.heard()[..] else { panic!("one connection") };
    assert_eq!(heard.matches("EHLO mx.alfa.example\r\n").count(), 1);
    assert_eq!(heard.matches("MAIL FROM:<>\r\n").count(), 2, "the null path");
    assert!(heard.contains("RCPT TO:<a@posta.example>\r\nRCPT TO:<nobody@posta.example>\r\nDATA\r\n"));
    assert!(heard.contains("Subject: x\r\n\r\n..y\r\n.\r\n"));
}

/// Spec 0.2 D16: to a provider nothing but TLS; nobody in between gets to see whom the letter is for.
#[tokio::test]
async fn a_provider_without_tls_gets_nothing() {
    for script in [PLAIN, BROKEN_TLS] {
        let ([listener], port) = listeners::<1>().await;
        let server = Server::at(listener, script);
        let carrier = carrier(port, zone(&[(10, "mx.")], &[("mx.", 1)]));
        let outcomes = carrier.carry(errand(provider(), &["a@posta.example"])).await;
        assert!(matches!(&outcomes[..], [Relayed::Later { .. }]), "{outcomes:?}");
        assert!(server.heard().iter().all(|heard| !heard.contains("posta.example")));
    }
}

/// RFC 7435: to ordinary mail a broken TLS is no reason to fail.
#[tokio::test]
async fn ordinary_mail_goes_in_clear_where_tls_does_not_work() {
    let ([listener], port) = listeners::<1>().await;
    let server = Server::at(listener, BROKEN_TLS);
    let carrier = carrier(port, zone(&[(10, "mx.")], &[("mx.", 1)]));
    assert_eq!(carrier.carry(errand(ordinary(), &["a@posta.example"])).await, [Relayed::Taken]);
    assert_eq!(server.heard().len(), 2);
}

/// Spec 0.2 D19
#[tokio::test]
async fn domains_that_take_no_mail_are_refused() {
    let ([listener], port) = listeners::<1>().await;
    let _server = Server::at(listener, NO_MAIL);
    let refusal = |outcomes: Vec<Relayed>| match &outcomes[..] {
        [Relayed::Refused { code, no_domain, .. }] => (code.clone(), *no_domain),
        other => panic!("{other:?}"),
    };
    let to = ["a@posta.example"];
    let no_mail = carrier(port, zone(&[(10, "mx.")], &[("mx.", 1)]));
    assert_eq!(refusal(no_mail.carry(errand(ordinary(), &to)).await), ("5.3.2".to_owned(), false));
    let null = carrier(port, zone(&[(0, ".")], &[]));
    assert_eq!(refusal(null.carry(errand(provider(), &to)).await), ("5.1.10".to_owned(), true));
    let nothing = carrier(port, Arc::new(Zone::default()));
    assert_eq!(refusal(nothing.carry(errand(provider(), &to)).await), ("5.1.2".to_owned(), true));
}

/// A connection that the server has left meanwhile is no reason to wait for the next try.
#[tokio::test]
async fn a_connection_that_was_left_is_replaced() {
    const ONCE: Script = &[
        ("220", "220 mx ESMTP\r\n"),
        ("EHLO", "250 mx\r\n"),
        ("MAIL", "250 ok\r\n"),
        ("RCPT", "250 ok\r\n"),
        ("DATA", "354 go\r\n"),
        (".\r\n", "250 taken\r\n421 4.4.2 idle\r\n"),
    ];
    let ([listener], port) = listeners::<1>().await;
    let server = Server::at(listener, ONCE);
    let carrier = carrier(port, zone(&[(10, "mx.")], &[("mx.", 1)]));
    for _ in 0..3 {
        assert_eq!(carrier.carry(errand(ordinary(), &["a@posta.example"])).await, [Relayed::Taken]);
    }
    assert_eq!(server.heard().iter().filter(|h| h.contains("DATA")).count(), 3);
}

/// Nobody is flooded.
#[tokio::test]
async fn places_at_a_destination_are_few() {
    let config = Config { at_once: 1, waiting_max: 0, ..Config::new("mx.alfa.example") };
    let carrier = SmtpCarrier::asking(config, Arc::new(Zone::default())).unwrap();
    let place = carrier.place(&ordinary()).await.unwrap();
    assert!(carrier.place(&ordinary()).await.is_none());
    assert!(carrier.place(&provider()).await.is_some(), "another line");
    assert!(carrier.place(&Destination::Own).await.is_some());
    drop(place);
    assert!(carrier.place(&ordinary()).await.is_some());
}
