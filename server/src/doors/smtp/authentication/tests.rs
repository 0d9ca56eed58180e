//! A DNS server with a few records, and messages that they speak for or against.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hickory_resolver::proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{RData, Record, RecordType, rdata::TXT},
};
use mail_auth::{
    common::{crypto::Ed25519Key, headers::HeaderWriter as _},
    dkim::DkimSigner,
};
use tokio::net::UdpSocket;

use super::*;

/// Answers for TXT records; whatever else is asked does not exist.
async fn dns(records: Vec<(String, String)>) -> SocketAddr {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut octets = [0; 1500];
        while let Ok((length, peer)) = socket.recv_from(&mut octets).await {
            let mut message = Message::from_vec(&octets[..length]).unwrap();
            message.metadata.message_type = MessageType::Response;
            let query = message.queries[0].clone();
            let name = query.name().to_ascii();
            let found =
                records.iter().find(|(known, _)| query.query_type() == RecordType::TXT && *known == name);
            match found {
                Some((_, text)) => {
                    let data = RData::TXT(TXT::new(vec![text.clone()]));
                    message.add_answer(Record::from_rdata(query.name().clone(), 60, data));
                }
                None => message.metadata.response_code = ResponseCode::NXDomain,
            }
            socket.send_to(&message.to_vec().unwrap(), peer).await.unwrap();
        }
    });
    address
}

fn txt(name: &str, text: &str) -> (String, String) {
    (name.to_owned(), text.to_owned())
}

const LETTER: &str =
    "From: utente@posta.example\r\nTo: d@pec.alfa.example\r\nSubject: prova\r\n\r\nCiao.\r\n";

async fn asked(resolver: SocketAddr, peer: &str, message: &str) -> String {
    let authenticator = Authenticator::new(resolver, "mx.alfa.example").unwrap();
    let path = Address::parse("utente@posta.example").unwrap();
    let message = Bytes::copy_from_slice(message.as_bytes());
    authenticator.results(peer.parse().unwrap(), "mx.posta.example", Some(&path), &message).await
}

#[tokio::test]
async fn what_speaks_for_a_message_is_told() {
    let key = Ed25519Key::from_pkcs8_der(&Ed25519Key::generate_pkcs8().unwrap()).unwrap();
    let resolver = dns(vec![
        txt("posta.example.", "v=spf1 ip4:192.0.2.1 -all"),
        txt("_dmarc.posta.example.", "v=DMARC1; p=reject"),
        txt(
            "k1._domainkey.posta.example.",
            &format!("v=DKIM1; k=ed25519; p={}", STANDARD.encode(key.public_key())),
        ),
    ])
    .await;
    let signer =
        DkimSigner::from_key(key).domain("posta.example").selector("k1").headers(["From", "Subject"]);
    let signed = signer.sign(LETTER.as_bytes()).unwrap().to_header() + LETTER;

    let results = asked(resolver, "192.0.2.1", &signed).await;
    assert!(results.starts_with("mx.alfa.example; spf=pass "), "{results}");
    assert!(results.contains("; dkim=pass header.d=posta.example header.s=k1 "), "{results}");
    assert!(results.contains("; dmarc=pass header.from=posta.example policy.dmarc=reject"), "{results}");

    // From elsewhere, and altered.
    let results = asked(resolver, "192.0.2.9", &signed.replace("Ciao.", "Addio.")).await;
    assert!(results.contains("; spf=fail "), "{results}");
    assert!(!results.contains("dkim=pass") && results.contains("; dmarc=fail"), "{results}");

    // Too many signatures are not asked about.
    let many = "DKIM-Signature: v=1; d=posta.example\r\n".repeat(SIGNATURES_MAX + 1) + LETTER;
    let results = asked(resolver, "192.0.2.1", &many).await;
    assert!(results.contains("spf=pass") && !results.contains("dkim"), "{results}");
}

#[tokio::test]
async fn nothing_speaks_for_a_message_that_dns_does_not_know() {
    let resolver = dns(Vec::new()).await;
    let results = asked(resolver, "192.0.2.1", LETTER).await;
    assert!(results.starts_with("mx.alfa.example; spf=none "), "{results}");
    assert!(results.contains("; dmarc=none"), "{results}");
    assert!(results.is_ascii() && !results.contains(['\r', '\n', '\t']), "{results}");
}

/// A resolver that says nothing costs ten seconds, and no more.
#[tokio::test(start_paused = true)]
async fn a_silent_resolver_does_not_hold_mail_up_for_ever() {
    let silent = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    let results = asked(silent.local_addr().unwrap(), "192.0.2.1", LETTER).await;
    assert!(results.contains("spf=temperror") || results.contains("DNS was silent"), "{results}");
}
