//! What doors are told, and what they may tell: ownership, idempotency, the answer after DATA, bounces, the sweep.
#![allow(clippy::unwrap_used, reason = "a test world has no failures but those that a test makes")]

use bytes::Bytes;
use mime::Rope;
use pec::{Address, Kind, Transaction};
use sigillo_stages::{
    BlobKey, Job, SpoolId,
    door::{self, DoorError, Gate},
    ids::{Door, MailboxId},
    log::Event,
    mailbox,
    ports::Facts,
    receive::{Classified, classify},
    rows::{Scanned, Sighting, Ticket},
    watch,
};
use sigillo_tests::world::{
    ALFA, BETA, World, address, exec,
    letters::{arrival, letter, message},
};

fn classified(world: &World, path: Option<Address>, to: &[Address], raw: &Bytes) -> Classified {
    let transaction = Transaction::new(path, to.to_vec());
    exec::run(classify(&world.rim(), raw, &transaction, world.now())).unwrap().unwrap()
}

/// A delivery status report (RFC 3464) that returns the message with this id.
fn bounce(id: &str) -> Bytes {
    Bytes::from(format!(
        "From: mailer@posta.example\r\nSubject: Undelivered\r\nMIME-Version: 1.0\r\nContent-Type: \
         multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nno such user\r\n--b\r\n\
         Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; posta.example\r\n\r\n--b\r\n\
         Content-Type: message/rfc822\r\n\r\nMessage-ID: <{id}>\r\nSubject: x\r\n\r\nhello\r\n--b--\r\n"
    ))
}

/// F7 (spec 4.1): the account owns MAIL FROM.
#[test]
fn nobody_sends_as_somebody_else() {
    let world = World::of(&ALFA);
    let mut foreign = letter(&ALFA, &[ALFA.user("destinatario")], &[]);
    foreign.account = MailboxId("m-copia".to_owned());
    assert!(matches!(world.submit(foreign), Err(DoorError::NotOwner)));
    let mut null = letter(&ALFA, &[ALFA.user("destinatario")], &[]);
    null.transaction.reverse_path = None;
    assert!(matches!(world.submit(null), Err(DoorError::NotOwner)));
    let mut nobody = letter(&ALFA, &[ALFA.user("destinatario")], &[]);
    nobody.transaction.forward_paths.clear();
    assert!(matches!(world.submit(nobody), Err(DoorError::NoRecipient)));
    assert!(world.blobs.all().is_empty(), "nothing was stored");
}

/// Design §4: a client that repeats a request with its key gets its one letter.
#[test]
fn one_idempotency_key_is_one_letter() {
    let world = World::of(&ALFA);
    let keyed = |key: Option<&str>| {
        let mut letter = letter(&ALFA, &[ALFA.user("destinatario")], &[]);
        letter.idempotency_key = key.map(str::to_owned);
        letter
    };
    let first = world.submit(keyed(Some("k1"))).unwrap();
    assert_eq!(world.submit(keyed(Some("k1"))).unwrap(), first);
    assert_ne!(world.submit(keyed(Some("k2"))).unwrap(), first);
    assert_ne!(world.submit(keyed(None)).unwrap(), first);
    // The key of one letter is not taken for another: neither with other octets nor to somebody else.
    let mut other = keyed(Some("k1"));
    other.raw = message(&ALFA.user("mittente"), &[ALFA.user("destinatario")], &[], "Altro testo.");
    assert!(matches!(world.submit(other), Err(DoorError::KeyOfAnother)));
    let mut elsewhere = keyed(Some("k1"));
    elsewhere.transaction.forward_paths.push(ALFA.user("copia"));
    assert!(matches!(world.submit(elsewhere), Err(DoorError::KeyOfAnother)));
    world.heal();
    assert_eq!(world.evidence().letters.len(), 3);
}

/// Design §3 rule 8: what no row could hold is not taken, and the client hears which of its bounds it was.
#[test]
fn a_door_says_whether_it_is_the_octets_or_the_recipients() {
    let world = World::of(&ALFA);
    let many = (0..2_000).map(|n| address(&format!("{n:0>60}@{}.example", "a".repeat(60)))).collect();
    let mut letter = letter(&ALFA, &[ALFA.user("destinatario")], &[]);
    letter.transaction.forward_paths = many;
    assert!(matches!(world.submit(letter.clone()), Err(DoorError::TooManyRecipients)));
    letter.raw = vec![b'a'; world.rim().limits.technical_bytes_max as usize + 1].into();
    assert!(matches!(world.submit(letter), Err(DoorError::TooLarge { .. })));
    assert!(world.blobs.all().is_empty(), "nothing was stored");
}

fn ses(verdict: &str) -> Scanned {
    Scanned { by: "Amazon SES".to_owned(), verdict: verdict.to_owned(), infected: verdict == "FAIL" }
}

/// Spec 0.2 D11: a virus that a scanner before the door found is a virus, though ours does not know it.
#[test]
fn what_a_scanner_before_the_door_found_is_under_lock() {
    let beta = World::of(&BETA);
    beta.submit(letter(&BETA, &[ALFA.user("destinatario")], &[])).unwrap();
    beta.run_until_idle();
    let sent = beta.sent_to(&ALFA).remove(0);
    for (verdict, notices) in [("GRAY", 0), ("FAIL", 1)] {
        let world = World::of(&ALFA);
        let recipients = sent.transaction.forward_paths.clone();
        let arrival = arrival(sent.transaction.reverse_path.clone(), recipients, sent.raw.clone());
        let gate = Gate { scanned: Some(ses(verdict)), is_unanswerable: false };
        exec::run(door::receive_behind(&world.rim(), arrival, gate)).unwrap().unwrap();
        world.heal();
        let evidence = world.evidence();
        assert_eq!(evidence.acts_of(Kind::VirusDetection).len(), notices, "{verdict}");
        let locked = world.blobs.all().keys().filter(|k| k.as_str().starts_with("vault/")).count();
        assert_eq!(locked, notices, "{verdict}");
        let received = evidence.logged(Event::Received);
        assert_eq!(received[0].detail["scanned-before"], format!("Amazon SES: {verdict}"));
        let found = evidence.logged(Event::VirusFound);
        assert_eq!(found.len(), notices);
        assert!(found.iter().all(|e| e.detail["virus"] == "Amazon SES: FAIL"));
    }
}

/// The same for a submission (RFC 6109 §3.1.3); a ticket of the previous release says nothing of it.
#[test]
fn a_submission_that_was_found_infected_before_the_door_is_refused() {
    for (scanned, refused) in [(None, 0), (Some(ses("PASS")), 0), (Some(ses("FAIL")), 1)] {
        let world = World::of(&ALFA);
        let submission = letter(&ALFA, &[ALFA.user("destinatario")], &[]);
        let spool = SpoolId::new(world.now(), None, 7);
        let ticket = Ticket {
            spool: spool.clone(),
            door: Door::Submission,
            transaction: submission.transaction,
            account: Some(submission.account),
            raw_bytes: submission.raw.len() as u64,
            at: world.now(),
            via: "ses-mail-manager".to_owned(),
            tls: "required".to_owned(),
            is_unanswerable: false,
            seen: Sighting::default(),
            scanned,
        };
        let mut json = serde_json::to_value(&ticket).unwrap();
        if ticket.scanned.is_none() {
            json.as_object_mut().unwrap().remove("scanned");
        }
        for (key, body) in [
            (BlobKey::spool_message(Door::Submission, &spool), submission.raw.clone()),
            (BlobKey::spool_ticket(Door::Submission, &spool), json.to_string().into()),
        ] {
            exec::run(world.rim().blobs.put_if_absent(&key, Rope::from(body))).unwrap().unwrap();
        }
        exec::run(sigillo_stages::run(&world.rim(), &Job::Accept { spool })).unwrap().unwrap();
        world.heal();
        assert_eq!(world.evidence().acts_of(Kind::NonAcceptanceVirus).len(), refused);
    }
}

/// Spec 0.2 D13: what the door may refuse after DATA.
#[test]
fn ordinary_mail_is_refused_only_when_everybody_refuses_it() {
    let world = World::of(&ALFA);
    let path = Some(address("utente@posta.example"));
    let raw = message(&address("utente@posta.example"), &[ALFA.user("destinatario")], &[], "Buongiorno.");
    let to = |locals: &[&str]| locals.iter().map(|l| ALFA.user(l)).collect::<Vec<_>>();
    let ask = |locals: &[&str]| classified(&world, path.clone(), &to(locals), &raw);
    assert_eq!(ask(&["destinatario"]), Classified::OrdinaryRefused);
    assert_eq!(ask(&["ignoto"]), Classified::NoSuchMailbox);
    assert_eq!(ask(&["ignoto", "destinatario"]), Classified::OrdinaryRefused);
    assert_eq!(ask(&["destinatario", "aperta"]), Classified::Ordinary);
}

/// What the door saw of the other end is in the legal log.
#[test]
fn the_log_tells_who_brought_ordinary_mail_and_what_speaks_for_it() {
    let world = World::of(&ALFA);
    let rim = world.rim();
    let raw = message(&address("utente@posta.example"), &[ALFA.user("aperta")], &[], "Buongiorno.");
    let seen = Sighting {
        peer: "192.0.2.1".to_owned(),
        hello: "mx.posta.example".to_owned(),
        authentication: "spf=pass; dkim=none; dmarc=none".to_owned(),
    };
    let arrival = arrival(Some(address("utente@posta.example")), vec![ALFA.user("aperta")], raw);
    exec::run(door::receive_from(&rim, arrival, seen)).unwrap().unwrap();
    world.heal();
    let evidence = world.evidence();
    let entry = evidence.logged(Event::Received).remove(0);
    let detail = |name: &str| entry.detail.get(name).map(String::as_str);
    assert_eq!(detail("peer"), Some("192.0.2.1"));
    assert_eq!(detail("hello"), Some("mx.posta.example"));
    assert_eq!(detail("authentication"), Some("spf=pass; dkim=none; dmarc=none"));
}

/// The same: what may be PEC is taken, whatever the mailbox refuses.
#[test]
fn an_envelope_is_taken_by_every_mailbox() {
    let beta = World::of(&BETA);
    beta.submit(letter(&BETA, &[ALFA.user("ignoto")], &[])).unwrap();
    beta.run_until_idle();
    let sent = beta.sent_to(&ALFA).remove(0);
    let world = World::of(&ALFA);
    let path = sent.transaction.reverse_path.clone();
    assert_eq!(classified(&world, path, &sent.transaction.forward_paths, &sent.raw), Classified::Take);
}

/// Spec 5.6, 0.2 D13, D17: a bounce that quotes a letter of ours reaches its sender, though the mailbox refuses
/// ordinary mail; any other null-sender mail does not.
#[test]
fn a_bounce_about_a_letter_of_ours_reaches_its_sender() {
    let world = World::of(&ALFA);
    world.submit(letter(&ALFA, &[address("utente@posta.example")], &[])).unwrap();
    world.heal();
    let pec_id = world.evidence().letters.remove(0).letter.pec_id;
    let mittente = [ALFA.user("mittente")];

    assert_eq!(classified(&world, None, &mittente, &bounce("x@posta.example")), Classified::OrdinaryRefused);
    assert_eq!(classified(&world, None, &mittente, &bounce(&pec_id)), Classified::Take);

    world.arrive(arrival(None, mittente.to_vec(), bounce("x@posta.example"))).unwrap();
    world.arrive(arrival(None, mittente.to_vec(), bounce(&pec_id))).unwrap();
    world.heal();
    let evidence = world.evidence();
    evidence.assert_lawful();
    assert_eq!(evidence.acts_of(Kind::AnomalyEnvelope).len(), 1);
    assert_eq!(evidence.logged(Event::OrdinaryRefused).len(), 1);
    let log = exec::run(world.facts.log(&pec_id)).unwrap().unwrap();
    assert!(
        log.iter().any(|e| e.detail.get("kind").is_some_and(|k| k == "bounce")),
        "logged against the letter"
    );
}

/// Design §4: the sweep goes on from where everything is handled.
#[test]
fn the_sweep_hints_what_nobody_handled_and_remembers_the_rest() {
    let world = World::of(&ALFA);
    world.submit(letter(&ALFA, &[ALFA.user("destinatario")], &[])).unwrap();
    world.heal();
    world.clock.advance_to(world.now().plus_s(2 * 3600));
    let lost = world.submit(letter(&ALFA, &[ALFA.user("copia")], &[])).unwrap();
    world.queue.drain();
    let sweep =
        |age_s: i64| exec::run(watch::sweep_older(&world.rim(), world.now(), age_s)).unwrap().unwrap();
    assert_eq!(sweep(600), 0, "it is young");
    assert_eq!(sweep(0), 1, "after a start there is no door");
    world.queue.drain();
    world.clock.advance_to(world.now().plus_s(700));
    assert_eq!(sweep(600), 1);
    assert_eq!(sweep(600), 1, "until it is handled");
    world.heal();
    assert_eq!(sweep(0), 0);
    let handled = world.evidence().letters.iter().any(|l| l.spool == lost);
    assert!(handled);
    let keys = world.blobs.all();
    assert!(
        keys.keys().any(|k| k.as_str().starts_with(&sigillo_stages::BlobKey::spool_prefix(Door::Submission)))
    );
}

/// What doors read of a mailbox and of a letter.
#[test]
fn a_mailbox_and_a_letter_are_read_back() {
    let world = World::of(&ALFA);
    let rim = world.rim();
    let spool = world.submit(letter(&ALFA, &[ALFA.user("destinatario")], &[])).unwrap();
    let before = exec::run(mailbox::folders(&rim, &MailboxId("m-mittente".to_owned()))).unwrap().unwrap();
    assert_eq!(
        before.iter().map(|f| (f.name.as_str(), f.state.exists)).collect::<Vec<_>>(),
        [("INBOX", 0), ("Receipts", 0), ("Drafts", 0), ("Sent", 0), ("Trash", 0)]
    );
    world.heal();
    let mittente = MailboxId("m-mittente".to_owned());
    let folders = exec::run(mailbox::folders(&rim, &mittente)).unwrap().unwrap();
    assert_eq!(folders.iter().map(|f| f.state.exists).collect::<Vec<_>>(), [0, 2, 0, 0, 0]);
    let all = exec::run(mailbox::list(&rim, &mittente, mailbox::RECEIPTS, 0, 10)).unwrap().unwrap();
    assert_eq!(
        all.iter().map(|m| m.summary.kind).collect::<Vec<_>>(),
        [Some(Kind::Acceptance), Some(Kind::Delivery)]
    );
    let after =
        exec::run(mailbox::list(&rim, &mittente, mailbox::RECEIPTS, all[0].uid, 10)).unwrap().unwrap();
    assert_eq!(after, all[1..]);
    let one = exec::run(mailbox::message(&rim, &mittente, mailbox::RECEIPTS, all[1].uid)).unwrap().unwrap();
    assert_eq!(one.as_ref(), Some(&all[1]));
    let letter = world.evidence().letters.remove(0);
    assert_eq!(letter.spool, spool);
    let progress = exec::run(mailbox::progress(&rim, &letter.letter.pec_id)).unwrap().unwrap().unwrap();
    assert!(progress.sealed);
    assert!(progress.recipients.iter().all(|r| r.outcome.is_some() && r.clocks.taken_in_charge_at.is_some()));
    assert!(exec::run(mailbox::progress(&rim, "x@y.example")).unwrap().unwrap().is_none());
}
