//! Two providers, two processes, each with its own keys and domains, one authority, one index, a real DNS server, TLS
//! between them (RFC 6109 §3.5, §5.3): letters both ways, one of them away for a while, `kill -9` of either.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    thread,
};

use bytes::Bytes;
use common::{Dns, Provider, count, run, until};
use pec::{
    Address, Index,
    index::{IndexCertificate, Record},
};
use sigillo_server::{
    command::{client::Client, reach::Account as _},
    demo::pki::{Ca, Names, Pair},
    folder::Folder,
    letter::{self, Addressing},
};
use stages::log::{Event, LogEntry};

/// A provider of the bed.
struct Site {
    name: &'static str,
    /// Its provider mail domain, and the host of its doors.
    mail_domain: &'static str,
    domain: &'static str,
    /// Where its doors are.
    ip: &'static str,
}

const ALFA: Site = Site {
    name: "Alfa PEC",
    mail_domain: "gestore.alfa.example",
    domain: "pec.alfa.example",
    ip: "127.0.0.2",
};
const BETA: Site = Site {
    name: "Beta PEC",
    mail_domain: "gestore.beta.example",
    domain: "pec.beta.example",
    ip: "127.0.0.3",
};

impl Site {
    fn user(&self, local: &str) -> Address {
        Address::parse(&format!("{local}@{}", self.domain)).unwrap()
    }

    fn service(&self) -> String {
        format!("posta-certificata@{}", self.mail_domain)
    }
}

/// What both share: DNS, and the port of exchange.
struct Bed {
    dir: tempfile::TempDir,
    smtp_port: u16,
    dns: Dns,
}

impl Bed {
    /// Authority, certificates, index, both providers' folders, and a DNS server that knows them.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
        let ca = Ca::new("Prova", now).unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("ca.pem", &ca.pair.certificate_pem);
        let mut records = Vec::new();
        for site in [&ALFA, &BETA] {
            let names = Names { provider_name: site.name, address: &site.service() };
            let provider = ca.provider(names, now).unwrap();
            let tls = ca.host(site.name, &[site.mail_domain], &[site.ip.parse().unwrap()], now).unwrap();
            for (pair, name) in [(&provider, "provider"), (&tls, "tls")] {
                write(&format!("{}-{name}.key", site.domain), &pair.key_pem);
                write(&format!("{}-{name}.pem", site.domain), &pair.certificate_pem);
            }
            records.push(record(site, &provider));
        }
        write("index.ldif", &Index::new(records).to_ldif());
        let smtp_port = free_port();
        let bed = Self { dir, smtp_port, dns: dns() };
        for site in [&ALFA, &BETA] {
            bed.init(site);
        }
        bed
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn data(&self, site: &Site) -> PathBuf {
        self.dir.path().join(site.domain)
    }

    fn init(&self, site: &Site) {
        let (data, file) = (self.data(site), |kind: &str| self.path(&format!("{}-{kind}", site.domain)));
        run(
            env!("CARGO_BIN_EXE_sigillo"),
            &[
                "init",
                "--data",
                data.to_str().unwrap(),
                "--provider",
                site.name,
                "--mail-domain",
                site.mail_domain,
                "--domain",
                site.domain,
                "--key",
                &file("provider.key"),
                "--certificate",
                &file("provider.pem"),
                "--tls-key",
                &file("tls.key"),
                "--tls-certificate",
                &file("tls.pem"),
                "--ca",
                &self.path("ca.pem"),
                "--index",
                &self.path("index.ldif"),
            ],
        );
    }

    fn start(&self, site: &Site) -> Provider {
        let (door, dns) =
            (format!("smtp={}:{}", site.ip, self.smtp_port), format!("127.0.0.1:{}", self.dns.port));
        let (port, ca) = (self.smtp_port.to_string(), self.path("ca.pem"));
        let options = ["--door", &door, "--dns", &dns, "--smtp-out-port", &port, "--smtp-out-ca", &ca]
            .map(String::from);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        Provider::start_at(&self.data(site), &format!("{}:0", site.ip), &options)
    }
}

fn record(site: &Site, provider: &Pair) -> Record {
    Record {
        id: Record::id_of(site.name, None),
        provider_name: site.name.to_owned(),
        provider_unit: None,
        mail_receipt: Address::parse(&site.service()).unwrap(),
        managed_domains: vec![site.mail_domain.to_owned(), site.domain.to_owned()],
        certificates: vec![IndexCertificate::new(provider.certificate_der.clone())],
        ldif_location: None,
    }
}

/// A port that is free at both sites.
fn free_port() -> u16 {
    let find = || {
        let first = TcpListener::bind((ALFA.ip, 0)).ok()?;
        let port = first.local_addr().ok()?.port();
        TcpListener::bind((BETA.ip, port)).ok().map(|_| port)
    };
    until("a free port", find)
}

/// DNS that knows the domains of both and nothing else.
fn dns() -> Dns {
    let mut records = Vec::new();
    for site in [&ALFA, &BETA] {
        records.push(format!("--host-record={},{}", site.mail_domain, site.ip));
        for domain in [site.domain, site.mail_domain] {
            records.push(format!("--mx-host={domain},{},10", site.mail_domain));
        }
    }
    Dns::start(&records)
}

/// Submits a letter and gives its PEC id.
fn submit(provider: &Provider, from: &Address, to: &[Address], n: usize) -> String {
    let client = Client::open(&Folder::new(provider.data()), from).unwrap();
    let text = format!("Subject: lettera {n}\n\nBuongiorno.\n.\nUna riga con un punto solo.\n");
    let addressing = Addressing { from: from.clone(), to: to.to_vec(), cc: vec![] };
    let at = pec::Instant::from_unix_s(1_800_000_000);
    let letter = letter::prepare(&Bytes::from(text), &addressing, at, n as u128).unwrap();
    let key = format!("{from} {n}");
    client.submit(&letter.transaction, &letter.message, Some(&key)).unwrap().pec_id
}

fn log(data: &Path, pec_id: &str) -> Vec<LogEntry> {
    embedded::Provider::read_log(data, pec_id).unwrap()
}

fn events(log: &[LogEntry], event: Event) -> Vec<&LogEntry> {
    log.iter().filter(|entry| entry.event == event).collect()
}

/// Waits for messages of a kind about a letter in a mailbox.
fn receipts(provider: &Provider, account: &Address, pec_id: &str, kind: &str, enough: usize) {
    until(&format!("{enough} {kind} of {pec_id} for {account}"), || {
        let list = provider.list(account.as_str());
        let about: Vec<_> = list.into_iter().filter(|m| m["pec_id"] == pec_id).collect();
        (count(&about, kind) >= enough).then_some(())
    });
}

/// RFC 6109 §3.5: the whole way, and back.
#[test]
fn letters_go_both_ways_over_tls() {
    let bed = Bed::new();
    let (alfa, beta) = (bed.start(&ALFA), bed.start(&BETA));
    for (here, there, from, to) in [(&alfa, &beta, &ALFA, &BETA), (&beta, &alfa, &BETA, &ALFA)] {
        let (sender, reader, nobody) = (from.user("mittente"), to.user("destinatario"), to.user("ignoto"));
        let pec_id = submit(here, &sender, &[reader.clone(), to.user("mittente"), nobody.clone()], 0);

        // 1. What the users see.
        receipts(here, &sender, &pec_id, "accettazione", 1);
        receipts(here, &sender, &pec_id, "avvenuta-consegna", 2);
        receipts(here, &sender, &pec_id, "errore-consegna", 1);
        receipts(there, &reader, &pec_id, "posta-certificata", 1);
        let seen = here.list(sender.as_str());
        assert_eq!(count(&seen, "presa-in-carico"), 0, "users do not see take-charge receipts");

        // 2. At the origin: one transaction with all recipients; take-charge for all; each settled once.
        let origin = log(&bed.data(from), &pec_id);
        let relayed = events(&origin, Event::Relayed);
        assert_eq!(relayed.len(), 1, "{relayed:?}");
        assert_eq!(relayed[0].recipients.len(), 3);
        let taken = events(&origin, Event::TakeChargeRecorded);
        assert_eq!((taken.len(), taken[0].recipients.len()), (1, 3));
        assert_eq!(events(&origin, Event::Settled).len(), 3);
        assert!(events(&origin, Event::Late).is_empty());

        // 3. At the destination: under TLS, and each receipt was handed over.
        let destination = log(&bed.data(to), &pec_id);
        let received = events(&destination, Event::Received);
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].detail["tls"], "1.3");
        assert_eq!(events(&destination, Event::TakenInCharge).len(), 1);
        until("every receipt is handed over", || {
            (events(&log(&bed.data(to), &pec_id), Event::Relayed).len() == 4).then_some(())
        });

        // 4. The take-charge receipt went to the service mailbox, and is no user's.
        let service = events(&destination, Event::Issued);
        assert_eq!(service.iter().filter(|e| e.detail["kind"] == "take-charge").count(), 1);

        // 5. The receipts verify without us, and hold the letter as it was.
        let list = here.list(sender.as_str());
        let receipt = list.iter().find(|m| m["kind"] == "avvenuta-consegna").unwrap();
        let uid = receipt["uid"].to_string();
        let message = here.sigillo(&["mailbox", "show", sender.as_str(), &uid, "--raw"]);
        let file = here.file("receipt.eml", &message.stdout);
        let (ca, index) = (bed.path("ca.pem"), bed.path("index.ldif"));
        run(
            "openssl",
            &["cms", "-verify", "-in", &file, "-CAfile", &ca, "-purpose", "any", "-out", "/dev/null"],
        );
        run(env!("CARGO_BIN_EXE_sigillo"), &["verify", &file, "--ca", &ca, "--index", &index]);
        let text = String::from_utf8(message.stdout).unwrap();
        assert!(text.contains("\r\n.\r\nUna riga con un punto solo.\r\n"), "dots come through");
    }
    alfa.stop();
    beta.stop();
}

/// Spec 0.2 D19: an ordinary domain that does not exist. The sender learns it at once, inside an anomaly envelope.
#[test]
fn a_letter_to_a_domain_that_is_not_there_comes_back() {
    let bed = Bed::new();
    let alfa = bed.start(&ALFA);
    let sender = ALFA.user("mittente");
    let to = [ALFA.user("destinatario"), Address::parse("utente@assente.example").unwrap()];
    let pec_id = submit(&alfa, &sender, &to, 0);
    let report = until("the report", || {
        let list = alfa.list(sender.as_str());
        list.into_iter().find(|m| m["kind"] == "errore")
    });
    assert_eq!(report["subject"], "ANOMALIA MESSAGGIO: NOTIFICA DI MANCATO RECAPITO: lettera 0");
    let message = alfa.sigillo(&["mailbox", "show", sender.as_str(), &report["uid"].to_string(), "--raw"]);
    let text = String::from_utf8(message.stdout).unwrap();
    for line in ["Final-Recipient: rfc822; utente@assente.example", "Status: 5.1.2"] {
        assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} in {text}");
    }
    receipts(&alfa, &sender, &pec_id, "avvenuta-consegna", 1);
    alfa.stop();
}

/// One provider is away when letters are sent to it, and both are killed in the middle of letters both ways: after the
/// next start every letter ends in its receipts, each exactly once (design §3).
#[test]
fn letters_survive_the_absence_and_the_death_of_either() {
    const LETTERS: usize = 20;
    let bed = Bed::new();
    let sites = [(&ALFA, &BETA), (&BETA, &ALFA)];
    let way = |from: &Site, to: &Site| (from.user("mittente"), [to.user("destinatario")]);

    // 1. Beta is not there: its letters are certified and wait.
    let alfa = bed.start(&ALFA);
    let (sender, to) = way(&ALFA, &BETA);
    let mut ids: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for n in 0..2 {
        ids.entry(ALFA.domain).or_default().insert(submit(&alfa, &sender, &to, n));
    }
    for pec_id in &ids[ALFA.domain] {
        receipts(&alfa, &sender, pec_id, "accettazione", 1);
    }

    // 2. It comes; letters both ways; both die in the middle of them.
    let beta = bed.start(&BETA);
    thread::scope(|scope| {
        let senders: Vec<_> = [(&alfa, sites[0]), (&beta, sites[1])]
            .into_iter()
            .map(|(provider, (from, to))| {
                scope.spawn(move || {
                    let (sender, to) = way(from, to);
                    let ids =
                        (2..LETTERS).map(|n| submit(provider, &sender, &to, n)).collect::<BTreeSet<_>>();
                    provider.kill();
                    (from.domain, ids)
                })
            })
            .collect();
        for sender in senders {
            let (domain, more) = sender.join().unwrap();
            ids.entry(domain).or_default().extend(more);
        }
    });
    drop((alfa, beta));

    // 3. Both start again. Everything is complete, and nothing is there twice.
    let (alfa, beta) = (bed.start(&ALFA), bed.start(&BETA));
    for ((from, to), (here, there)) in sites.into_iter().zip([(&alfa, &beta), (&beta, &alfa)]) {
        let (sender, reader) = (from.user("mittente"), to.user("destinatario"));
        let letters = &ids[from.domain];
        let complete = |provider: &Provider, account: &Address, kinds: &[&str]| {
            let counts = until(&format!("{kinds:?} of {} letters for {account}", letters.len()), || {
                let list = provider.list(account.as_str());
                kinds.iter().all(|kind| count(&list, kind) >= letters.len()).then_some(list)
            });
            for kind in kinds {
                let of_kind = counts.iter().filter(|m| m["kind"] == *kind);
                let found: Vec<_> = of_kind.map(|m| m["pec_id"].as_str().unwrap().to_owned()).collect();
                let distinct: BTreeSet<_> = found.iter().cloned().collect();
                assert_eq!((found.len(), &distinct), (letters.len(), letters), "{kind} for {account}");
            }
        };
        complete(here, &sender, &["accettazione", "avvenuta-consegna"]);
        complete(there, &reader, &["posta-certificata"]);
        for pec_id in letters {
            let (origin, destination) = (log(&bed.data(from), pec_id), log(&bed.data(to), pec_id));
            let count = |log: &[LogEntry], event| events(log, event).len();
            assert_eq!(count(&origin, Event::Accepted), 1);
            assert_eq!(count(&origin, Event::Settled), 1, "{origin:?}");
            assert_eq!(count(&destination, Event::Received), 1, "{destination:?}");
            assert_eq!(count(&destination, Event::Delivered), 1);
            // Take-charge and delivery there; acceptance and envelope here.
            assert_eq!((count(&origin, Event::Issued), count(&destination, Event::Issued)), (2, 2));
        }
    }
    alfa.stop();
    beta.stop();
}
