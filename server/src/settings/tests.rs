use std::{net::SocketAddr, path::Path};

use super::*;
use crate::folder::Folder;

fn published(kinds: &[Kind]) -> Published {
    let at = |kind: &Kind| (*kind, SocketAddr::from(([127, 0, 0, 1], kind.port)));
    let opened: Vec<_> = kinds.iter().map(at).collect();
    let file = DoorsFile::new(&Folder::new(Path::new("/data")), "mail.alfa.example", &opened);
    Published::new("Alfa & figli", &file)
}

fn account() -> Address {
    Address::parse("mittente@pec.alfa.example").unwrap()
}

fn text(published: &Published, program: &str) -> Option<String> {
    settings(published, &account()).into_iter().find(|s| s.program == program).map(|s| s.text)
}

#[test]
fn settings_speak_of_open_doors_only() {
    assert_eq!(settings(&published(&[Kind::HTTPS, Kind::SMTP]), &account()), []);
    let submit = published(&[Kind::SUBMISSION]);
    assert!(text(&submit, "thunderbird").unwrap().contains("SMTP, mail.alfa.example, port 587, STARTTLS"));
    assert!(!text(&submit, "thunderbird").unwrap().contains("incoming"));
    assert!(
        text(&submit, "mutt")
            .unwrap()
            .contains("\"smtp://mittente%40pec.alfa.example@mail.alfa.example:587/\"")
    );
    assert_eq!(text(&submit, "mbsync"), None);
    // Both: TLS from the first octet.
    let both = published(&[Kind::SMTPS, Kind::SUBMISSION, Kind::POP3S]);
    let thunderbird = text(&both, "thunderbird").unwrap();
    assert!(thunderbird.contains("port 465, SSL/TLS") && !thunderbird.contains("587"), "{thunderbird}");
    assert!(text(&both, "mutt").unwrap().contains("set pop_host"));
}

#[test]
fn a_certificate_that_everybody_can_verify_needs_no_file() {
    let known = Published::known("Alfa", "mail.alfa.example", [Kind::SMTPS, Kind::IMAPS].into_iter());
    assert_eq!(
        text(&known, "thunderbird").unwrap(),
        "incoming  IMAP, mail.alfa.example, port 993, SSL/TLS, normal password, user name mittente@pec.alfa.example\n\
         outgoing  SMTP, mail.alfa.example, port 465, SSL/TLS, normal password, user name mittente@pec.alfa.example\n"
    );
    for program in ["mutt", "mbsync"] {
        let text = text(&known, program).unwrap();
        assert!(!text.to_lowercase().contains("certificate"), "{program}: {text}");
    }
}

#[test]
fn mbsync_is_told_where_and_as_whom() {
    let text = text(&published(&Kind::ALL), "mbsync").unwrap();
    for line in [
        "Host mail.alfa.example",
        "Port 993",
        "User mittente@pec.alfa.example",
        "SSLType IMAPS",
        "CertificateFile \"/data/pki/ca.pem\"",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}");
    }
}

#[test]
fn programs_find_the_servers_in_the_file() {
    let xml = autoconfig(&published(&[Kind::IMAPS, Kind::SUBMISSION]), "pec.alfa.example");
    let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1">
  <emailProvider id="pec.alfa.example">
    <domain>pec.alfa.example</domain>
    <displayName>Alfa &amp; figli</displayName>
    <displayShortName>Alfa &amp; figli</displayShortName>
    <incomingServer type="imap">
      <hostname>mail.alfa.example</hostname>
      <port>993</port>
      <socketType>SSL</socketType>
      <authentication>password-cleartext</authentication>
      <username>%EMAILADDRESS%</username>
    </incomingServer>
    <outgoingServer type="smtp">
      <hostname>mail.alfa.example</hostname>
      <port>587</port>
      <socketType>STARTTLS</socketType>
      <authentication>password-cleartext</authentication>
      <username>%EMAILADDRESS%</username>
    </outgoingServer>
  </emailProvider>
</clientConfig>
"#;
    assert_eq!(xml, expected);
}

/// RFC 6186 §3.4: what is not there is said to be not there.
#[test]
fn records_lead_to_the_doors() {
    let records = records(&published(&[Kind::SMTP, Kind::SMTPS, Kind::IMAPS]), "pec.alfa.example");
    let expected = [
        "pec.alfa.example. 3600 IN MX 10 mail.alfa.example.",
        "_submissions._tcp.pec.alfa.example. 3600 IN SRV 0 1 465 mail.alfa.example.",
        "_submission._tcp.pec.alfa.example. 3600 IN SRV 0 0 0 .",
        "_imaps._tcp.pec.alfa.example. 3600 IN SRV 0 1 993 mail.alfa.example.",
        "_imap._tcp.pec.alfa.example. 3600 IN SRV 0 0 0 .",
        "_pop3s._tcp.pec.alfa.example. 3600 IN SRV 0 0 0 .",
        "_pop3._tcp.pec.alfa.example. 3600 IN SRV 0 0 0 .",
        "autoconfig.pec.alfa.example. 3600 IN CNAME mail.alfa.example.",
    ];
    assert_eq!(records, expected);
    let mut unnamed = published(&[Kind::IMAPS]);
    unnamed.host = "192.0.2.1".to_owned();
    assert_eq!(super::records(&unnamed, "pec.alfa.example"), Vec::<String>::new());
}
