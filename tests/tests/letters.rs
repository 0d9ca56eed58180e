//! What comes out: for one letter, every message that the law wants, each signed, each reading back.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests: a panic is how they fail")]

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use pec::{Kind, read::PecMessage};
use sigillo_tests::{
    scenarios,
    world::{ALFA, BETA, Evidence, Provider, Work, World, exec, letters::letter},
};
use stages::{
    BlobKey, Job, Rim,
    ids::{Door, MailboxId},
    log::Event,
    mailbox::{self as boxes, INBOX, UidSet, View},
    ports::{Carrier, Destination, Errand, Place, Relayed},
    rows::Outcome,
};

fn finished(world: World) -> (World, Evidence) {
    while let Some(work) = world.next_work() {
        world.perform(&work);
    }
    let evidence = world.evidence();
    evidence.assert_lawful();
    (world, evidence)
}

/// Every act of a world verifies as of its instant and reads back as what it is.
fn read_all(world: &World, evidence: &Evidence) -> Vec<(Kind, PecMessage)> {
    let mut all = Vec::new();
    for act in evidence.acts.iter().filter(|a| a.key.kind != Kind::DeliveryStatus) {
        let bytes = evidence.bytes(act);
        let signer = world.verify(bytes, act.document.at).expect("a signature that holds");
        assert_eq!(signer.signed_at_unix_s, Some(act.document.at.unix_s()), "one instant (G9)");
        assert_eq!(signer.certificate.mails(), [world.provider.certified().as_str()], "G2");
        let read = pec::read::read(bytes).expect("a PEC message");
        assert_eq!(read.from.as_deref(), Some(world.provider.certified().as_str()), "G2");
        if act.key.kind != Kind::AnomalyEnvelope {
            let certified = read.certification.as_ref().expect("certification data");
            assert_eq!(Some(certified.kind.as_str()), act.key.kind.words().certification);
            assert_eq!(certified.pec_id, act.document.letter.pec_id);
            let legal = act.document.at.legal();
            assert_eq!(
                (&certified.day, &certified.hour, &certified.zone),
                (&legal.day, &legal.hour, &legal.zone)
            );
        }
        all.push((act.key.kind, read));
    }
    all
}

/// Who failed, and with which status.
type Failed = Vec<(String, String)>;

/// What the delivery status notifications of a world say, by the address they go to, with the stored bytes of each.
fn reports(evidence: &Evidence) -> Vec<(String, Failed, String)> {
    let mut all = Vec::new();
    for act in evidence.acts_of(Kind::DeliveryStatus) {
        let bytes = evidence.bytes(act);
        let entity = mime::Entity::parse(bytes, &mime::Limits::default()).expect("MIME");
        assert_eq!(entity.content_type().media(), ("multipart", "report"));
        let status = entity.children()[1].decoded_body().expect("a status");
        let status = String::from_utf8(status.to_vec()).expect("ASCII");
        let value = |group: &str, name: &str| {
            let line = group.lines().find_map(|l| l.strip_prefix(name));
            line.map(|v| v.trim_start_matches([':', ' ']).to_owned())
        };
        let failed = status.split("\r\n\r\n").filter_map(|group| {
            let to = value(group, "Final-Recipient")?;
            Some((to.strip_prefix("rfc822; ")?.to_owned(), value(group, "Status")?))
        });
        let mut failed: Vec<_> = failed.collect();
        failed.sort();
        all.push((act.document.to.clone(), failed, String::from_utf8(bytes.to_vec()).expect("ASCII")));
    }
    all.sort();
    all
}

fn pairs(pairs: &[(String, &str)]) -> Failed {
    let mut pairs: Vec<_> = pairs.iter().map(|(a, b)| (a.clone(), (*b).to_owned())).collect();
    pairs.sort();
    pairs
}

fn count(read: &[(Kind, PecMessage)]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for (kind, _) in read {
        *counts.entry(kind.name()).or_default() += 1;
    }
    counts
}

/// Kinds in a mailbox by folder, sorted.
fn mailbox(evidence: &Evidence, name: &str) -> BTreeMap<String, Vec<String>> {
    let mut folders = BTreeMap::new();
    for ((mailbox, folder), messages) in &evidence.mailboxes {
        if mailbox == name && !messages.is_empty() {
            let mut kinds: Vec<String> =
                messages.iter().map(|(_, m)| m.kind.clone().unwrap_or_else(|| "none".to_owned())).collect();
            kinds.sort();
            folders.insert(folder.clone(), kinds);
        }
    }
    folders
}

fn folder(name: &str, kinds: &[&str]) -> BTreeMap<String, Vec<String>> {
    BTreeMap::from([(name.to_owned(), kinds.iter().map(|&k| k.to_owned()).collect())])
}

fn outcomes(evidence: &Evidence) -> Vec<Outcome> {
    evidence.recipients.iter().filter_map(|r| r.outcome.clone()).collect()
}

/// One recipient in To, one in Cc: one acceptance, one envelope for each, one delivery receipt from each; the complete
/// one holds the original byte for byte (RFC 6109 §3.1.4, §3.1.5, §3.2.1, §3.3.2).
#[test]
fn a_letter_to_two_own_recipients() {
    let (world, evidence) = finished(scenarios::two_own_recipients());
    let read = read_all(&world, &evidence);
    let expected = [("acceptance", 1), ("transport-envelope", 1), ("take-charge", 1), ("delivery", 2)];
    assert_eq!(count(&read), BTreeMap::from(expected));
    assert_eq!(outcomes(&evidence), [Outcome::Delivered, Outcome::Delivered]);

    // The mailboxes.
    assert_eq!(mailbox(&evidence, "m-mittente"), folder("Receipts", &["acceptance", "delivery", "delivery"]));
    for recipient in ["m-destinatario", "m-copia"] {
        assert_eq!(mailbox(&evidence, recipient), folder("INBOX", &["transport-envelope"]));
    }

    // The original: as the door stored it, with its identifiers rewritten, in the envelope and in the receipt.
    let spool = &evidence.letters[0].spool;
    let stored = &evidence.blobs[&BlobKey::spool_message(Door::Submission, spool)];
    let original = pec::original::rewrite(stored, &evidence.letters[0].letter.pec_id).to_bytes();
    let postacert = |kind| -> Vec<Option<Bytes>> {
        read.iter().filter(|(k, _)| *k == kind).map(|(_, m)| m.postacert.clone()).collect()
    };
    assert_eq!(postacert(Kind::TransportEnvelope), [Some(original.clone())]);
    let mut receipts = postacert(Kind::Delivery);
    receipts.sort();
    assert_eq!(receipts, [None, Some(original)], "synthetic for Cc, complete for To");

    // The recipients' copies are the envelope, and each message in a mailbox is in the store.
    let [envelope] = evidence.acts_of(Kind::TransportEnvelope)[..] else { panic!("one envelope") };
    for ((mailbox, _), messages) in evidence.mailboxes.iter().filter(|((m, _), _)| m != "m-mittente") {
        for (_, message) in messages {
            let copy = &evidence.blobs[&BlobKey::listed(message.blob.clone())];
            assert_eq!(copy, evidence.bytes(envelope), "{mailbox}");
        }
    }
}

/// RFC 6109 §2.3, spec 8.1: the journey of a letter is in the log, from acceptance to delivery, with one instant.
#[test]
fn the_log_tells_the_journey() {
    let (_, evidence) = finished(scenarios::two_own_recipients());
    let pec_id = &evidence.letters[0].letter.pec_id;
    for (event, times) in [
        (Event::Accepted, 1),
        (Event::Issued, 5),
        (Event::TakenInCharge, 1),
        (Event::Delivered, 2),
        (Event::Filed, 3),
    ] {
        let entries = evidence.logged(event);
        assert_eq!(entries.len(), times, "{}", event.name());
        for entry in entries {
            assert_eq!(&entry.pec_id, pec_id);
            assert_eq!(entry.sender, ALFA.user("mittente").as_str());
            assert_eq!(entry.subject.as_deref(), Some("Prova perché sì"));
            assert_eq!(entry.client_id.as_deref(), Some("<cliente.1@posta.alfa.example>"));
            assert_eq!(entry.sending_provider, ALFA.name, "D22");
        }
    }
}

/// RFC 6109 §3.1.2: a letter that fails a formal check gets M1 and nothing else.
#[test]
fn a_refused_letter() {
    let (world, evidence) = finished(scenarios::refused());
    let read = read_all(&world, &evidence);
    assert_eq!(count(&read), BTreeMap::from([("non-acceptance", 1)]));
    assert_eq!(mailbox(&evidence, "m-mittente"), folder("Receipts", &["non-acceptance"]));
    assert_eq!(read[0].1.postacert, None, "G12");
    assert!(evidence.letters[0].refused.is_some());
    assert!(evidence.recipients.is_empty());
}

/// RFC 6109 §3.1.3, §2.2.4: M2, and the infected original in the vault as it was received.
#[test]
fn an_infected_letter() {
    let (world, evidence) = finished(scenarios::infected());
    let read = read_all(&world, &evidence);
    assert_eq!(count(&read), BTreeMap::from([("non-acceptance-virus", 1)]));
    let vault = evidence.blobs.keys().filter(|k| k.as_str().starts_with("vault/infected/")).count();
    assert_eq!(vault, 1);
    assert_eq!(evidence.logged(Event::VirusFound).len(), 1);
}

/// RFC 6109 §3.3.3, spec 12: M12 says why.
#[test]
fn letters_that_cannot_be_delivered() {
    let (world, evidence) = finished(scenarios::no_delivery());
    let read = read_all(&world, &evidence);
    let expected = [("acceptance", 1), ("transport-envelope", 1), ("take-charge", 1), ("non-delivery", 3)];
    assert_eq!(count(&read), BTreeMap::from(expected));
    let errors: BTreeMap<String, (String, String)> = read
        .iter()
        .filter(|(k, _)| *k == Kind::NonDelivery)
        .filter_map(|(_, m)| m.certification.clone())
        .map(|c| (c.delivery.unwrap_or_default(), (c.error, c.extended_error.unwrap_or_default())))
        .collect();
    for (local, error, code) in
        [("ignoto", "no-dest", "5.1.1"), ("sospesa", "altro", "5.2.1"), ("piena", "altro", "5.2.2")]
    {
        let (found, extended) = &errors[ALFA.user(local).as_str()];
        assert_eq!(found, error, "{local}");
        assert!(extended.starts_with(code), "{local}: {extended}");
    }
    assert_eq!(outcomes(&evidence), vec![Outcome::Failed; 3]);
    assert_eq!(evidence.mailboxes.values().flatten().count(), 4, "the sender's receipts");
}

/// Spec 5.5: the envelope is taken in charge first; then M9 to ourselves makes M10.
#[test]
fn a_virus_that_the_incoming_point_finds() {
    let (world, evidence) = finished(scenarios::infected_inside());
    let expected = [
        ("acceptance", 1),
        ("transport-envelope", 1),
        ("take-charge", 1),
        ("virus-detection", 1),
        ("non-delivery-virus", 1),
    ];
    assert_eq!(count(&read_all(&world, &evidence)), BTreeMap::from(expected));
    assert_eq!(outcomes(&evidence), [Outcome::Virus]);
    assert_eq!(mailbox(&evidence, "m-destinatario"), BTreeMap::new());
    assert_eq!(mailbox(&evidence, "m-mittente"), folder("Receipts", &["acceptance", "non-delivery-virus"]));
}

/// RFC 6109 §3.1.6, spec 7: silence makes M5 at twelve hours and M6 at twenty-three.
#[test]
fn the_clocks_of_a_letter_that_nobody_answers() {
    let (world, evidence) = finished(scenarios::silence());
    let expected = [("acceptance", 1), ("transport-envelope", 1), ("timeout-first", 1), ("timeout-last", 1)];
    assert_eq!(count(&read_all(&world, &evidence)), BTreeMap::from(expected));
    let accepted = evidence.letters[0].accepted_at;
    for (kind, hours) in [(Kind::TimeoutFirst, 12), (Kind::TimeoutLast, 23)] {
        let [act] = evidence.acts_of(kind)[..] else { panic!("one {}", kind.name()) };
        let late_s = act.document.at.unix_s() - accepted.plus_s(hours * 3600).unix_s();
        assert!((0..600).contains(&late_s), "{}: {late_s} seconds late", kind.name());
    }
    assert_eq!(outcomes(&evidence), [Outcome::Expired]);
    assert!(evidence.sent.is_empty());
}

/// Spec 7: a take-charge stops M5, not M6; what comes after M6 is late, and still filed.
#[test]
fn a_take_charge_stops_the_first_notice_only() {
    let (world, evidence) = finished(scenarios::taken_in_charge_and_then_silence());
    let expected = [("acceptance", 1), ("transport-envelope", 1), ("timeout-last", 1)];
    assert_eq!(count(&read_all(&world, &evidence)), BTreeMap::from(expected));
    assert_eq!(outcomes(&evidence), [Outcome::Expired]);
    assert_eq!(evidence.logged(Event::Late).len(), 1);
    assert_eq!(
        mailbox(&evidence, "m-mittente"),
        folder("Receipts", &["acceptance", "delivery", "timeout-last"])
    );
}

/// RFC 6109 §2.2.3, design §4: another provider's receipts settle the recipient; M7 is consumed, M11 is filed, once.
#[test]
fn a_letter_that_another_provider_delivers() {
    let (world, evidence) = finished(scenarios::to_another_provider());
    let expected = [("acceptance", 1), ("transport-envelope", 1)];
    assert_eq!(count(&read_all(&world, &evidence)), BTreeMap::from(expected));
    assert_eq!(outcomes(&evidence), [Outcome::Delivered]);
    assert!(evidence.recipients[0].clocks.taken_in_charge_at.is_some());
    assert_eq!(evidence.logged(Event::Duplicate).len(), 1, "it came twice");
    assert_eq!(mailbox(&evidence, "m-mittente"), folder("Receipts", &["acceptance", "delivery"]));
}

/// RFC 6109 §3.3.3: the other provider's M12.
#[test]
fn a_letter_that_another_provider_cannot_deliver() {
    let (world, evidence) = finished(scenarios::failure_at_another_provider());
    let expected = [("acceptance", 1), ("transport-envelope", 1)];
    assert_eq!(count(&read_all(&world, &evidence)), BTreeMap::from(expected));
    assert_eq!(outcomes(&evidence), [Outcome::Failed]);
    assert_eq!(mailbox(&evidence, "m-mittente"), folder("Receipts", &["acceptance", "non-delivery"]));
}

/// RFC 6109 §3.2.4: the other provider's M9 is consumed, our M10 goes to the sender.
#[test]
fn a_virus_that_another_provider_finds() {
    let (world, evidence) = finished(scenarios::virus_at_another_provider());
    let expected = [("acceptance", 1), ("transport-envelope", 1), ("non-delivery-virus", 1)];
    assert_eq!(count(&read_all(&world, &evidence)), BTreeMap::from(expected));
    assert_eq!(outcomes(&evidence), [Outcome::Virus]);
    assert_eq!(mailbox(&evidence, "m-mittente"), folder("Receipts", &["acceptance", "non-delivery-virus"]));
}

/// Spec 5.6, 0.2 D19: a relay that fails for good is M12 by us.
#[test]
fn a_letter_that_another_provider_refuses() {
    let (world, evidence) = finished(scenarios::refused_by_another_provider());
    let expected = [("acceptance", 1), ("transport-envelope", 1), ("non-delivery", 1)];
    assert_eq!(count(&read_all(&world, &evidence)), BTreeMap::from(expected));
    assert_eq!(outcomes(&evidence), [Outcome::Failed]);
}

/// Design §4 "Filing": a dedupe row per filed blob. Each recipient has its receipt, the mailbox one message.
#[test]
fn a_letter_to_two_addresses_of_one_mailbox() {
    let (world, evidence) = finished(scenarios::two_addresses_of_one_mailbox());
    let read = read_all(&world, &evidence);
    let expected = [("acceptance", 1), ("transport-envelope", 1), ("take-charge", 1), ("delivery", 2)];
    assert_eq!(count(&read), BTreeMap::from(expected));
    assert_eq!(mailbox(&evidence, "m-destinatario"), folder("INBOX", &["transport-envelope"]));
    assert_eq!(outcomes(&evidence), [Outcome::Delivered, Outcome::Delivered]);
}

/// Who has certified the delivery of a letter has it: it is not sent again, whatever was answered to us.
#[test]
fn a_letter_that_was_certified_before_it_was_taken() {
    let (_, evidence) = finished(scenarios::certified_before_it_was_taken());
    assert_eq!(outcomes(&evidence), [Outcome::Delivered]);
    assert!(evidence.sent.is_empty());
}

/// Spec 7: no clocks for ordinary recipients; the envelope goes to each of their domains.
#[test]
fn a_letter_to_ordinary_mail() {
    let (world, evidence) = finished(scenarios::to_ordinary_mail());
    let expected = [("acceptance", 1), ("transport-envelope", 1), ("take-charge", 1), ("delivery", 1)];
    assert_eq!(count(&read_all(&world, &evidence)), BTreeMap::from(expected));
    let mut ended = outcomes(&evidence);
    ended.sort_by_key(|o| format!("{o:?}"));
    assert_eq!(ended, [Outcome::Delivered, Outcome::Relayed, Outcome::Relayed]);
    assert_eq!(evidence.sent.len(), 2);
}

/// Spec 5.3 A, 5.4: another provider's envelope is taken in charge towards its provider and delivered.
#[test]
fn an_envelope_from_another_provider() {
    let (world, evidence) = finished(scenarios::from_another_provider());
    let read = read_all(&world, &evidence);
    assert_eq!(count(&read), BTreeMap::from([("take-charge", 1), ("delivery", 2)]));
    let sent: Vec<_> = evidence.sent.iter().flat_map(|(_, r, _)| r.clone()).collect();
    assert_eq!(sent.iter().filter(|r| **r == BETA.mail_receipt().key()).count(), 1);
    assert_eq!(sent.iter().filter(|r| **r == BETA.user("mittente").key()).count(), 2);
    for recipient in ["m-destinatario", "m-copia"] {
        assert_eq!(mailbox(&evidence, recipient), folder("INBOX", &["transport-envelope"]));
    }
}

/// Spec 5.5: M7 first, then M9 for each recipient; nothing reaches a mailbox.
#[test]
fn an_infected_envelope_from_another_provider() {
    let (world, evidence) = finished(scenarios::infected_from_another_provider());
    let read = read_all(&world, &evidence);
    assert_eq!(count(&read), BTreeMap::from([("take-charge", 1), ("virus-detection", 2)]));
    assert!(evidence.mailboxes.values().all(Vec::is_empty));
    assert!(evidence.sent.iter().all(|(_, r, _)| *r == [BETA.mail_receipt().key()]));
}

/// Design §4: the same envelope again is the same letter; another transaction is another M7 (spec 5.4).
#[test]
fn an_envelope_that_comes_three_times() {
    let (world, evidence) = finished(scenarios::the_same_envelope_three_times());
    let read = read_all(&world, &evidence);
    assert_eq!(count(&read), BTreeMap::from([("take-charge", 2), ("delivery", 2)]));
    for recipient in ["m-destinatario", "m-copia"] {
        assert_eq!(mailbox(&evidence, recipient), folder("INBOX", &["transport-envelope"]));
    }
}

/// Spec 5.3 C, D14: wrapped in M8 with everything that came, and no receipt.
#[test]
fn an_anomaly() {
    let (world, evidence) = finished(scenarios::anomaly());
    let read = read_all(&world, &evidence);
    assert_eq!(count(&read), BTreeMap::from([("anomaly-envelope", 1)]));
    let came = evidence
        .blobs
        .iter()
        .find(|(k, _)| k.as_str().starts_with("spool/incoming/") && k.as_str().ends_with(".eml"));
    assert_eq!(read[0].1.postacert.as_ref(), came.map(|(_, bytes)| bytes));
    for recipient in ["m-destinatario", "m-copia"] {
        assert_eq!(mailbox(&evidence, recipient), folder("INBOX", &["anomaly-envelope"]));
    }
    assert!(evidence.sent.is_empty());
}

/// Spec 5.3 D, D13: M8 for the mailbox that takes ordinary mail; the other refuses it.
#[test]
fn ordinary_mail() {
    let (world, evidence) = finished(scenarios::ordinary_mail());
    assert_eq!(count(&read_all(&world, &evidence)), BTreeMap::from([("anomaly-envelope", 1)]));
    assert_eq!(mailbox(&evidence, "m-aperta"), folder("INBOX", &["anomaly-envelope"]));
    assert_eq!(mailbox(&evidence, "m-destinatario"), BTreeMap::new());
    assert_eq!(evidence.logged(Event::OrdinaryRefused).len(), 1);
    let [(to, failed, report)] = &reports(&evidence)[..] else { panic!("one report") };
    assert_eq!(to, "utente@posta.example");
    assert_eq!(*failed, pairs(&[(ALFA.user("destinatario").to_string(), "5.7.1")]));
    assert!(report.contains("Message-ID: <cliente.1@posta.alfa.example>"), "it says about what");
    assert!(!report.contains("Buongiorno"), "it returns no content");
    assert!(sent_with_null_path(&world, "posta.example"));
}

/// Whether everything that was sent to an ordinary domain had a null reverse path (RFC 5321 §4.5.5).
fn sent_with_null_path(world: &World, domain: &str) -> bool {
    let carried = world.carrier.carried();
    let mut there = carried
        .iter()
        .filter(|e| matches!(&e.destination, Destination::Ordinary { domain: d } if d == domain))
        .peekable();
    there.peek().is_some() && there.all(|e| e.reverse_path.is_none())
}

/// D13: each of them with its reason. What cannot be handed over is given up and told to nobody: never a report about
/// a report.
#[test]
fn ordinary_mail_that_nobody_takes() {
    let (_, evidence) = finished(scenarios::ordinary_mail_that_all_refuse());
    let [(_, failed, _)] = &reports(&evidence)[..] else { panic!("one report") };
    let expected = [("destinatario", "5.7.1"), ("sospesa", "5.2.1"), ("ignoto", "5.1.1")];
    assert_eq!(*failed, pairs(&expected.map(|(local, code)| (ALFA.user(local).to_string(), code))));
    assert_eq!(evidence.acts.len(), 1, "nothing else is made");
    assert_eq!(evidence.logged(Event::RelayFailed).len(), 1);
}

/// The report goes to where the reverse path is: another provider, or our own incoming point, where it is ordinary mail
/// about nothing of ours. A null reverse path is told nothing.
#[test]
fn ordinary_mail_with_three_reverse_paths() {
    let (world, evidence) = finished(scenarios::ordinary_mail_from_a_provider());
    let told: Vec<String> = reports(&evidence).into_iter().map(|(to, ..)| to).collect();
    assert_eq!(told, [ALFA.user("copia").to_string(), BETA.user("mittente").to_string()]);
    let carried = world.sent_to(&BETA);
    assert_eq!(carried.len(), 1);
    assert_eq!(carried[0].transaction.reverse_path, None);
    assert_eq!(mailbox(&evidence, "m-copia"), BTreeMap::new(), "it refuses ordinary mail");
}

/// D14: case C for an address that is not there.
#[test]
fn an_anomaly_that_cannot_be_stored() {
    let (_, evidence) = finished(scenarios::anomaly_that_cannot_be_stored());
    assert_eq!(mailbox(&evidence, "m-destinatario"), folder("INBOX", &["anomaly-envelope"]));
    let [(to, failed, _)] = &reports(&evidence)[..] else { panic!("one report") };
    assert_eq!(*to, BETA.user("mittente").to_string());
    assert_eq!(*failed, pairs(&[(ALFA.user("ignoto").to_string(), "5.1.1")]));
}

/// D19: for an ordinary recipient a report of ours, filed inside M8, never M12.
#[test]
fn a_letter_that_ordinary_mail_refuses() {
    let (world, evidence) = finished(scenarios::refused_by_ordinary_mail());
    let read = read_all(&world, &evidence);
    let expected = [
        ("acceptance", 1),
        ("transport-envelope", 1),
        ("take-charge", 1),
        ("delivery", 1),
        ("anomaly-envelope", 1),
    ];
    assert_eq!(count(&read), BTreeMap::from(expected));
    let [(to, failed, report)] = &reports(&evidence)[..] else { panic!("one report") };
    assert_eq!(*to, ALFA.user("mittente").to_string());
    let refused = ["utente@posta.example", "altro@posta.example"].map(|a| (a.to_owned(), "5.1.1"));
    assert_eq!(*failed, pairs(&refused));
    assert!(report.contains("Diagnostic-Code: smtp; 550 5.1.1 no such user"));
    let pec_id = &evidence.letters[0].letter.pec_id;
    assert!(report.contains(&format!("\r\nMessage-ID: <{pec_id}>\r\n")), "the envelope's header");
    // It came in at our own incoming point, against the letter, and is in the sender's mailbox although that refuses
    // ordinary mail.
    let wrapped =
        read.iter().find(|(kind, _)| *kind == Kind::AnomalyEnvelope).and_then(|(_, m)| m.postacert.clone());
    assert_eq!(wrapped.as_deref(), Some(report.as_bytes()));
    assert_eq!(mailbox(&evidence, "m-mittente")["INBOX"], ["anomaly-envelope"]);
    let bounces = evidence.log.iter().filter(|e| e.detail.get("kind").is_some_and(|k| k == "bounce")).count();
    assert_eq!(bounces, 1);
}

/// RFC 6109 §2.2.2: after 24 hours it is given up, and the sender is told.
#[test]
fn a_letter_that_ordinary_mail_never_takes() {
    let (_, evidence) = finished(scenarios::given_up_by_ordinary_mail());
    let [(_, failed, report)] = &reports(&evidence)[..] else { panic!("one report") };
    assert_eq!(*failed, pairs(&[("utente@posta.example".to_owned(), "5.4.7")]));
    assert!(report.contains("tempo massimo di consegna superato"));
    let [act] = evidence.acts_of(Kind::DeliveryStatus)[..] else { panic!("one report") };
    let tried_s = act.document.at.unix_s() - evidence.letters[0].accepted_at.unix_s();
    assert_eq!(tried_s, 24 * 3600);
}

/// An hour of tries is an alarm: the debt of a row that is tried again stays as old as it is (design §4).
#[test]
fn a_letter_that_is_tried_again_is_owed_since_it_was_owed_first() {
    let world = scenarios::silence();
    let accepted_at = world.now();
    let mut tries = 0;
    while let Some(work) = world.next_work() {
        world.perform(&work);
        let debts = world.facts.debts();
        let owed = debts.iter().find(|d| matches!(d.job, stages::Job::Dispatch { .. }));
        if let Some(debt) = owed {
            assert_eq!(debt.owed_since, accepted_at);
            tries += 1;
        }
        if world.now() > accepted_at.plus_s(3 * 3600) {
            break;
        }
    }
    assert!(tries > 6, "{tries}");
}

/// Two providers on the same code, each with its own stores: what one sends the other gets, until both are idle.
#[test]
fn a_letter_from_one_provider_to_another_and_back() {
    let (alfa, beta) = (World::of(&ALFA), World::of(&BETA));
    let to = [BETA.user("destinatario"), BETA.user("ignoto")];
    alfa.submit(letter(&ALFA, &to, &[ALFA.user("copia")])).expect("taken");
    let (mut from_alfa, mut from_beta) = (0, 0);
    loop {
        alfa.run_until_idle();
        beta.run_until_idle();
        let (to_beta, to_alfa) = (alfa.sent_to(&BETA), beta.sent_to(&ALFA));
        if (to_beta.len(), to_alfa.len()) == (from_alfa, from_beta) {
            break;
        }
        for arrival in to_beta.into_iter().skip(from_alfa) {
            beta.arrive(arrival).expect("taken");
            from_alfa += 1;
        }
        for arrival in to_alfa.into_iter().skip(from_beta) {
            alfa.arrive(arrival).expect("taken");
            from_beta += 1;
        }
    }
    let (a, b) = (alfa.evidence(), beta.evidence());
    a.assert_lawful();
    b.assert_lawful();
    assert_eq!((from_alfa, from_beta), (1, 3), "one envelope; M7, M11 and M12 back");
    let mut ended = outcomes(&a);
    ended.sort_by_key(|o| format!("{o:?}"));
    assert_eq!(ended, [Outcome::Delivered, Outcome::Delivered, Outcome::Failed]);
    assert!(
        a.recipients
            .iter()
            .filter(|r| r.recipient.address != ALFA.user("copia"))
            .all(|r| r.clocks.taken_in_charge_at.is_some())
    );
    assert_eq!(
        mailbox(&a, "m-mittente"),
        folder("Receipts", &["acceptance", "delivery", "delivery", "non-delivery"])
    );
    assert_eq!(mailbox(&b, "m-destinatario"), folder("INBOX", &["transport-envelope"]));
    let certificates: fn(&Provider) -> usize = |p| sigillo_tests::world::PKI.of(p).len();
    assert_eq!((certificates(&ALFA), certificates(&BETA)), (2, 1), "the two do not share keys");
    read_all(&beta, &b);
    read_all(&alfa, &a);
}

/// Nothing more comes of a world in which nothing happens.
#[test]
fn an_idle_provider_stays_idle() {
    let world = World::of(&ALFA);
    assert!(!matches!(world.next_work(), Some(Work::One(_))));
    let before = world.state();
    world.heal();
    assert_eq!(world.state(), before);
}

/// A destination with no place: it is no try, nothing is read, and it is soon again.
struct Full;

#[async_trait::async_trait]
impl Carrier for Full {
    async fn place(&self, _destination: &Destination) -> Option<Place> {
        None
    }
    async fn carry(&self, _errand: Errand) -> Vec<Relayed> {
        panic!("carried without a place");
    }
}

#[test]
fn a_destination_without_a_place_is_tried_again_soon() {
    let world = scenarios::silence();
    let dispatch = loop {
        match world.next_work().expect("a dispatch") {
            Work::One(job @ Job::Dispatch { .. }) => break job,
            work => world.perform(&work),
        }
    };
    let Job::Dispatch { dispatch: key } = &dispatch else { unreachable!() };
    let row = || world.facts.rows().into_iter().find(|s| s.row.key == *key).expect("a row");
    let due = || row().row.debt.expect("a debt").due;

    let full = Rim { carrier: Arc::new(Full), ..world.rim() };
    let (before, now) = (row(), world.now());
    exec::run(stages::run(&full, &dispatch)).expect("no waiting").expect("put off");
    assert_eq!((row().version, row().row.body), (before.version, before.row.body), "no try");
    assert_eq!(due(), now.plus_s(10));

    // Tried, and hinted too early by a start: it stays due when it was.
    exec::run(stages::run(&world.rim(), &dispatch)).expect("no waiting").expect("tried");
    assert_eq!(due(), now.plus_s(60));
    exec::run(stages::watch::hints(&world.rim(), now.plus_s(301), 10)).expect("no waiting").expect("hinted");
    assert!(due() > now.plus_s(600));
    exec::run(stages::run(&full, &dispatch)).expect("no waiting").expect("too early");
    assert_eq!(due(), now.plus_s(60));
}

/// Spec 12: the holder of a mailbox is told that it fills up.
#[test]
fn a_mailbox_that_fills_up_tells_its_holder_once() {
    let (_, evidence) = finished(scenarios::a_mailbox_that_fills_up());
    let inbox = &evidence.mailboxes[&("m-stretta".to_owned(), "INBOX".to_owned())];
    let shown: Vec<_> = inbox.iter().map(|(_, m)| (m.kind.as_deref(), m.subject.as_str())).collect();
    let (envelope, told) =
        ("POSTA CERTIFICATA: Prova perché sì", "Avviso: spazio della casella in esaurimento");
    assert_eq!(
        shown,
        [(Some("transport-envelope"), envelope), (None, format!("{told} (80%)").as_str())],
        "over quota or not"
    );
    let warning = &evidence.blobs[&stages::BlobKey::listed(inbox[1].1.blob.clone())];
    let text = String::from_utf8(warning.to_vec()).unwrap();
    assert!(
        text.contains("\r\nTo: stretta@pec.alfa.example\r\n") && !text.contains("multipart/signed"),
        "{text}"
    );
    // It is no letter: the legal log does not speak of it.
    assert_eq!(outcomes(&evidence), [Outcome::Delivered]);
    assert!(evidence.log.iter().all(|e| !e.recipients.iter().any(|r| r.starts_with("postmaster"))));
}

/// The same mailbox, emptied in between: what it reached before does not count any more.
#[test]
fn a_mailbox_that_was_emptied_tells_its_holder_again() {
    let world = World::of(&ALFA);
    let fills = || {
        world.submit(letter(&ALFA, &[ALFA.user("stretta")], &[])).unwrap();
        world.run_until_idle();
        let evidence = world.evidence();
        let inbox = &evidence.mailboxes[&("m-stretta".to_owned(), "INBOX".to_owned())];
        inbox.iter().filter(|(_, m)| m.kind.is_none()).map(|(uid, _)| *uid).collect::<Vec<_>>()
    };
    assert_eq!(fills(), [2]);
    assert_eq!(fills(), [2], "the second letter did not fit");
    let rim = world.rim();
    exec::run(async {
        let mailbox = MailboxId("m-stretta".to_owned());
        let mut view = View::open(&rim, &mailbox, INBOX).await.unwrap();
        boxes::remove(&rim, &mut view, &UidSet::range(1, 10)).await.unwrap();
    })
    .unwrap();
    world.run_until_idle();
    assert_eq!(fills(), [4]);
}

/// An envelope is stored once, with its letter, and mailboxes show it from there: whoever removes it from a mailbox
/// removes it from that mailbox. A copy that a holder makes is a message of its own.
#[test]
fn a_recipient_removes_a_letter_and_the_others_have_it() {
    let (world, before) = finished(scenarios::two_own_recipients());
    let [envelope] = before.acts_of(Kind::TransportEnvelope)[..] else { panic!("one envelope") };
    let rim = world.rim();
    exec::run(async {
        let mailbox = MailboxId("m-destinatario".to_owned());
        let mut view = View::open(&rim, &mailbox, INBOX).await.unwrap();
        let trash = boxes::tree(&rim, &mailbox).await.unwrap();
        let trash = trash.folders.iter().find(|f| f.name == "Trash").unwrap().id.clone();
        boxes::copy(&rim, &mut view, &UidSet::range(1, 1), &trash, u64::MAX).await.unwrap();
        boxes::remove(&rim, &mut view, &UidSet::range(1, 1)).await.unwrap();
    })
    .unwrap();
    world.run_until_idle();
    let after = world.evidence();
    after.assert_lawful();
    assert_eq!(mailbox(&after, "m-destinatario"), folder("Trash", &["transport-envelope"]));
    assert_eq!(mailbox(&after, "m-copia"), folder("INBOX", &["transport-envelope"]));
    assert_eq!(after.bytes(envelope), before.bytes(envelope));
}
