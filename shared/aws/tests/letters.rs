//! Letters through all stages on AWS, from what SES stores to what lies in mailboxes and in the log: the functions in
//! this process, everything else in the emulator.
#![allow(clippy::expect_used, reason = "a panic is how a test fails")]

mod emulator;
mod provider;

use aws::DynamoFacts;
use aws::function::Name;
use pec::{Instant, Kind};
use provider::Alfa;
use sigillo_tests::world::{ALFA, letters::message};
use smime::Policy;
use stages::{
    ids::MailboxId,
    levels::{Meter, Period},
    log::Event,
    mailbox::{INBOX, Message, RECEIPTS},
    ports::StoredRow,
};

/// Where Mail Manager stores what the organisation of Alfa's users sends.
const SUBMITTED: &str = "ses/submission/organizzazione/0a1b2c";

async fn folder(alfa: &Alfa, mailbox: &str, folder: &str) -> Vec<Message> {
    let mailbox = MailboxId(mailbox.to_owned());
    stages::mailbox::list(alfa.rim(), &mailbox, folder, 0, 100).await.expect("the store answers")
}

fn kinds(messages: &[Message]) -> Vec<Option<Kind>> {
    messages.iter().map(|m| m.summary.kind).collect()
}

/// What is owed now or within the next minutes: not the deadlines of tomorrow.
async fn owed(alfa: &Alfa) -> Vec<StoredRow> {
    let soon = Instant::from_unix_s(alfa.rim().now().unix_s() + 3600);
    alfa.rim().facts.due(soon, 100).await.expect("the store answers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_stored_by_mail_manager_ends_in_its_receipts() {
    let alfa = Alfa::new().await;
    let [from, to, copy] = ["mittente", "destinatario", "copia"].map(|user| ALFA.user(user));
    let raw = message(&from, &[to], &[copy], "Buongiorno.");
    alfa.drop(SUBMITTED, raw.to_vec()).await;

    // The event comes twice, before and after the letter is done: it is one letter.
    let stored = alfa.stored(SUBMITTED);
    assert!(alfa.ingest(&[stored.clone(), stored.clone()]).await.is_empty());
    alfa.settle().await;
    assert!(alfa.ingest(&[stored]).await.is_empty());
    alfa.settle().await;

    let mut receipts = kinds(&folder(&alfa, "m-mittente", RECEIPTS).await);
    receipts.sort();
    assert_eq!(receipts, [Some(Kind::Acceptance), Some(Kind::Delivery), Some(Kind::Delivery)]);
    for mailbox in ["m-destinatario", "m-copia"] {
        assert_eq!(kinds(&folder(&alfa, mailbox, INBOX).await), [Some(Kind::TransportEnvelope)], "{mailbox}");
    }
    assert_eq!(owed(&alfa).await, []);

    // The log, in order of commit.
    let received = folder(&alfa, "m-copia", INBOX).await.remove(0);
    let pec_id = received.summary.pec_id.expect("the letter's id");
    let log = alfa.rim().facts.log(&pec_id).await.expect("the store answers");
    let place = |event| log.iter().position(|e| e.event == event).expect("logged");
    assert!(place(Event::Accepted) < place(Event::Issued));
    assert!(place(Event::Issued) < place(Event::Received));
    assert!(place(Event::TakenInCharge) < place(Event::Delivered));
    assert_eq!(log.iter().filter(|e| e.event == Event::Delivered).count(), 2);
    assert!(log.iter().all(|e| e.sender == ALFA.user("mittente").as_str()));

    // The figures of its period, found by day.
    let facts = DynamoFacts::new(alfa.clients.dynamodb.clone(), alfa.config.tables.clone());
    let now = alfa.rim().now();
    let day = now.legal().day;
    let month: u32 = day[3..5].parse().expect("a month");
    let period = Period::parse(&format!("{}-{}", &day[6..], month.div_ceil(4))).expect("a period");
    let mut meter = Meter::new(period, 86_400, now.plus_s(1));
    let letters = facts.letters_between(now.plus_s(-86_400), now.plus_s(1), |entry| meter.take(&entry));
    letters.await.expect("the store answers");
    let levels = meter.finish();
    assert_eq!((levels.accepted, levels.receipt.count, levels.delivery.count), (1, 1, 2), "{levels:?}");
    let mut earlier = 0;
    let before = facts.letters_between(now.plus_s(-3 * 86_400), now.plus_s(-86_400), |_| earlier += 1);
    before.await.expect("the store answers");
    assert_eq!(earlier, 0);

    // What lies in the mailbox verifies, by a key that never left KMS.
    let bytes = alfa.rim().blobs.get(&received.blob).await.expect("the store answers").expect("the envelope");
    let signed = smime::split_signed(&bytes).expect("a signed message");
    let verified = alfa.rim().verifier.verify(&signed, &Policy::TODAY).expect("the signature holds");
    let signer = &verified.signers[0].certificate;
    let now = alfa.rim().now().unix_s();
    alfa.rim()
        .verifier
        .check_chain(signer, &verified.certificates, now, &Policy::TODAY)
        .expect("the chain holds");
    assert_eq!(signer.mails(), [ALFA.certified().to_string()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_of_another_organisation_is_logged_and_dropped() {
    let alfa = Alfa::new().await;
    let raw = message(&ALFA.user("mittente"), &[ALFA.user("destinatario")], &[], "Buongiorno.");
    let elsewhere = "ses/submission/altra/0a1b2c";
    alfa.drop(elsewhere, raw.to_vec()).await;
    assert!(alfa.ingest(&[alfa.stored(elsewhere)]).await.is_empty());
    alfa.settle().await;
    for (mailbox, of) in [("m-mittente", RECEIPTS), ("m-destinatario", INBOX)] {
        assert_eq!(kinds(&folder(&alfa, mailbox, of).await), []);
    }
    let spooled = alfa.rim().blobs.list("spool/submission/", None, 10).await.expect("the store answers");
    let id = spooled[0].as_str().trim_start_matches("spool/submission/").trim_end_matches(".eml").to_owned();
    let log = alfa.rim().facts.log(&format!("spool:{id}")).await.expect("the store answers");
    assert_eq!(log.iter().map(|e| e.event).collect::<Vec<_>>(), [Event::Refused]);
    assert_eq!(owed(&alfa).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ordinary_mail_by_a_receipt_rule_reaches_only_who_takes_it() {
    let alfa = Alfa::new().await;
    let raw = b"From: a@ordinaria.example\r\nTo: aperta@pec.alfa.example\r\nSubject: ciao\r\n\r\nciao\r\n";
    let key = "ses/incoming/o3vrnil0e2ic";
    alfa.drop(key, raw.to_vec()).await;
    let recipients = ["aperta@pec.alfa.example", "destinatario@pec.alfa.example", "no address"];
    let event = alfa.arrived(key, "a@ordinaria.example", &recipients);
    assert!(alfa.ingest(&[event.clone(), event]).await.is_empty());
    alfa.settle().await;
    let taken = folder(&alfa, "m-aperta", INBOX).await;
    assert_eq!(kinds(&taken), [Some(Kind::AnomalyEnvelope)]);
    assert_eq!(kinds(&folder(&alfa, "m-destinatario", INBOX).await), []);
    assert_eq!(owed(&alfa).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_event_of_ours_fails_alone() {
    let alfa = Alfa::new().await;
    let raw = message(&ALFA.user("mittente"), &[ALFA.user("destinatario")], &[], "Buongiorno.");
    alfa.drop(SUBMITTED, raw.to_vec()).await;
    alfa.drop("settings/else", "x").await;
    let events = [
        "poison".to_owned(),
        alfa.stored(SUBMITTED),
        alfa.stored("ses/submission/organizzazione/absent"),
        alfa.stored("settings/else"),
        alfa.stored("ses/submission/without-organisation"),
        alfa.stored(SUBMITTED).replace(&alfa.config.buckets.data, "another-bucket"),
        alfa.arrived(SUBMITTED, "", &["destinatario@pec.alfa.example"]),
        alfa.stored("ses/incoming/AMAZON_SES_SETUP_NOTIFICATION"),
    ];
    let mut failed = alfa.ingest(&events).await;
    failed.sort_unstable();
    assert_eq!(failed, [0, 2, 3, 4, 5, 6]);
    alfa.settle().await;
    assert_eq!(folder(&alfa, "m-destinatario", INBOX).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_brings_what_hints_were_lost() {
    let alfa = Alfa::new().await;
    let raw = message(&ALFA.user("mittente"), &[ALFA.user("destinatario")], &[], "Buongiorno.");
    alfa.drop(SUBMITTED, raw.to_vec()).await;
    assert!(alfa.ingest(&[alfa.stored(SUBMITTED)]).await.is_empty());
    // All hints are lost.
    for url in alfa.config.queues.values() {
        alfa.clients.sqs.purge_queue().queue_url(url).send().await.expect("the queue answers");
    }
    // The spool entry is younger than ten minutes: nothing is late yet.
    assert_eq!(alfa.function.tick().await.expect("a tick"), 0);
    let later = alfa.rim().now().plus_s(601);
    assert_eq!(stages::watch::sweep(alfa.rim(), later).await.expect("the store answers"), 1);
    alfa.settle().await;
    assert_eq!(folder(&alfa, "m-destinatario", INBOX).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_clamd_is_named_nothing_passes_without_it() {
    let mut alfa = Alfa::new().await;
    // An address that was free a moment ago: nobody answers there.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    alfa.config.clamd = Some(nobody.to_string().parse().expect("an address"));
    let function = provider::open(Name::Accept, &alfa.config, &alfa.clients).await;
    let letter = bytes::Bytes::from_static(b"Subject: Prova\r\n\r\nBuongiorno.\r\n");
    assert!(function.rim().scanner.scan(&letter).await.is_err(), "the letter waits");
    assert!(!function.rim().scanner.version().contains("test"), "{}", function.rim().scanner.version());
}
