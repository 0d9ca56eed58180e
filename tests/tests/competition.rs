//! Different jobs that compete for one row, through every order of their calls: delivery, failure and the last notice
//! (design §4 "Deadlines"), filings into one mailbox, dispatch and the notice that cancels it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests: a panic is how they fail")]

use bytes::Bytes;
use mime::Rope;
use pec::Kind;
use sigillo_tests::{
    interleave::every_order,
    scenarios,
    world::{Evidence, Work, World, exec},
};
use stages::{
    Job,
    ids::MailboxId,
    log::Event,
    ports::{Blobs, Put, RowKey},
    rows::Outcome,
};

const HOUR_S: i64 = 3600;

/// Runs a world until a job that `wanted` picks is next; answers it. Other hints are run.
fn until(world: &World, wanted: fn(&Job) -> bool) -> Job {
    while let Some(work) = world.next_work() {
        match work {
            Work::One(job) if wanted(&job) => return job,
            work => world.perform(&work),
        }
    }
    panic!("the job never came");
}

/// The key of the first row of a letter of ours whose `sk` begins so.
fn row(world: &World, sk: &str) -> RowKey {
    let rows = world.facts.rows();
    let found = rows.iter().find(|s| s.row.key.pk.starts_with("origin#") && s.row.key.sk.starts_with(sk));
    found.unwrap_or_else(|| panic!("no row {sk}")).row.key.clone()
}

/// Every end of two jobs, healed and lawful.
fn ends(world: &World, first: &Job, second: &Job) -> Vec<Evidence> {
    let explored = every_order(world, &Work::One(first.clone()), &Work::One(second.clone()));
    assert!(explored.situations > 10, "they met: {}", explored.situations);
    explored
        .ends
        .iter()
        .map(|end| {
            // A lost race is run anew at once: nothing waits for `watch`.
            end.run_until_idle();
            assert_eq!(end.earliest_due(), None, "something was left for later");
            end.heal();
            let evidence = end.evidence();
            evidence.assert_lawful();
            evidence
        })
        .collect()
}

/// Messages in all folders of the sender.
fn filed_for_the_sender(evidence: &Evidence) -> usize {
    evidence.mailboxes.iter().filter(|((m, _), _)| m == "m-mittente").map(|(_, f)| f.len()).sum()
}

fn outcome(evidence: &Evidence) -> Outcome {
    evidence.recipients[0].outcome.clone().expect("settled")
}

/// Whoever settles the recipient first, there is one outcome, and the notices say the same.
fn assert_one_outcome(evidence: &Evidence, settled: &Outcome, notice: Kind) {
    let last = evidence.acts_of(Kind::TimeoutLast).len();
    match outcome(evidence) {
        Outcome::Expired => {
            assert_eq!(last, 1);
            assert_eq!(evidence.logged(Event::Late).len(), 1, "the loser is logged as late");
        }
        other => {
            assert_eq!(&other, settled);
            assert_eq!(last, 0, "no M6 after the recipient was settled");
        }
    }
    assert!(evidence.acts_of(notice).len() <= 1);
}

/// Delivery into an own mailbox against M6.
#[test]
fn delivery_and_the_last_notice() {
    let world = scenarios::one_own_recipient();
    let deliver =
        until(&world, |job| matches!(job, Job::Deliver { mailbox, .. } if mailbox.0 == "m-destinatario"));
    let deadline = Job::Deadline { recipient: row(&world, "rcpt#") };
    world.clock.advance_to(world.now().plus_s(12 * HOUR_S + 60));
    world.perform(&Work::One(deadline.clone()));
    world.clock.advance_to(world.now().plus_s(11 * HOUR_S));
    let ends = ends(&world, &deliver, &deadline);
    for evidence in &ends {
        assert_one_outcome(evidence, &Outcome::Delivered, Kind::Delivery);
        assert_eq!(evidence.acts_of(Kind::Delivery).len(), 1, "it is in the mailbox, so it is certified");
    }
    let expired = ends.iter().filter(|e| outcome(e) == Outcome::Expired).count();
    assert!(expired > 0 && expired < ends.len(), "both win somewhere");
}

/// The other provider's delivery receipt against M6.
#[test]
fn a_receipt_and_the_last_notice() {
    let world = scenarios::receipt_at_the_last_hour();
    let receive = until(&world, |job| matches!(job, Job::Receive { .. }));
    let deadline = Job::Deadline { recipient: row(&world, "rcpt#") };
    let ends = ends(&world, &receive, &deadline);
    for evidence in &ends {
        assert_one_outcome(evidence, &Outcome::Delivered, Kind::Delivery);
    }
    let expired = ends.iter().filter(|e| outcome(e) == Outcome::Expired).count();
    assert!(expired > 0 && expired < ends.len(), "both win somewhere");
}

/// A relay that fails for good against M6: D18, "M6 atomically cancels what dispatch still owes: … no M12".
#[test]
fn a_failing_dispatch_and_the_last_notice() {
    let world = scenarios::refused_at_the_last_hour();
    while world.now() < sigillo_tests::world::morning().plus_s(23 * HOUR_S) {
        let work = world.next_work().expect("the dispatch is owed");
        world.perform(&work);
    }
    world.queue.drain();
    let dispatch = Job::Dispatch { dispatch: row(&world, "send#") };
    let deadline = Job::Deadline { recipient: row(&world, "rcpt#") };
    for evidence in ends(&world, &dispatch, &deadline) {
        let (failed, last) =
            (evidence.acts_of(Kind::NonDelivery).len(), evidence.acts_of(Kind::TimeoutLast).len());
        assert_eq!(failed + last, 1, "one of the two, never both");
        let expected = if last == 1 { Outcome::Expired } else { Outcome::Failed };
        assert_eq!(outcome(&evidence), expected);
    }
}

/// Two filings into one mailbox at once (a queue that breaks its promise of one at a time): two UIDs, both kept.
#[test]
fn two_filings_into_one_mailbox() {
    let world = scenarios::two_own_recipients().crowded();
    let is_receipt = |job: &Job| matches!(job, Job::Deliver { mailbox, .. } if mailbox.0 == "m-mittente");
    let first = until(&world, is_receipt);
    let second = until(&world, is_receipt);
    for evidence in ends(&world, &first, &second) {
        assert_eq!(filed_for_the_sender(&evidence), 3);
    }
}

/// Two receipts that are filed where they are issued, into one mailbox: whichever is later waits in line, both are kept.
#[test]
fn two_receipts_filed_at_once() {
    let world = scenarios::two_own_recipients();
    let is_delivery = |job: &Job| matches!(job, Job::Certify { act } if act.sk.contains("#delivery#"));
    let first = until(&world, is_delivery);
    let second = until(&world, is_delivery);
    for evidence in ends(&world, &first, &second) {
        assert_eq!(filed_for_the_sender(&evidence), 3);
        assert_eq!(evidence.acts_of(Kind::Delivery).len(), 2);
    }
}

/// Where a receipt was filed too late, the next ones wait in line for a while.
#[test]
fn a_crowded_mailbox_is_filed_into_by_its_line() {
    let world = scenarios::one_own_recipient();
    let certify = until(&world, |job| matches!(job, Job::Certify { act } if act.sk.contains("#acceptance#")));
    let crowded = world.rim();
    crowded.crowds.note(&MailboxId("m-mittente".to_owned()), world.now());
    let alone = world.fork();
    for (rim, filed) in [(crowded, 0), (alone.rim(), 1)] {
        exec::run(stages::run(&rim, &certify)).expect("no waiting").expect("done");
        let evidence = if filed == 0 { world.evidence() } else { alone.evidence() };
        let count =
            evidence.mailboxes.get(&("m-mittente".to_owned(), "Receipts".to_owned())).map_or(0, Vec::len);
        assert_eq!(count, filed);
    }
    world.heal();
    world.evidence().assert_lawful();
}

/// Twice the same receipt at the same time: it is filed once.
#[test]
fn the_same_receipt_twice_at_once() {
    let world = scenarios::receipt_twice_at_once();
    let is_receive = |job: &Job| matches!(job, Job::Receive { .. });
    let first = until(&world, is_receive);
    let second = world.queue.drain().into_iter().find(is_receive).expect("the second receipt");
    for evidence in ends(&world, &first, &second) {
        assert_eq!(outcome(&evidence), Outcome::Delivered);
        assert_eq!(filed_for_the_sender(&evidence), 2, "acceptance and delivery");
    }
}

/// Twice the same envelope at the same time: one letter, one take-charge receipt.
#[test]
fn the_same_envelope_twice_at_once() {
    let world = scenarios::envelope_twice_at_once();
    let is_receive = |job: &Job| matches!(job, Job::Receive { .. });
    let first = until(&world, is_receive);
    let second = world.queue.drain().into_iter().find(is_receive).expect("the second envelope");
    for evidence in ends(&world, &first, &second) {
        assert_eq!(evidence.acts_of(Kind::TakeCharge).len(), 1);
        assert_eq!(evidence.acts_of(Kind::Delivery).len(), 2);
    }
}

/// RFC 6109 §3.1.6: a letter of ours that we took in charge and cannot deliver for hours. The take-charge stops the first
/// notice, though nothing wrote it into the recipient's row; the last one comes in time, and the delivery is late.
#[test]
fn our_own_take_charge_stops_the_first_notice() {
    let world = scenarios::one_own_recipient();
    let deliver =
        until(&world, |job| matches!(job, Job::Deliver { mailbox, .. } if mailbox.0 == "m-destinatario"));
    let accepted_at = world.now();
    let recipient = row(&world, "rcpt#");
    let look = |after_s: i64| {
        world.clock.advance_to(accepted_at.plus_s(after_s));
        exec::run(stages::run(&world.rim(), &Job::Deadline { recipient: recipient.clone() }))
            .expect("no waiting")
            .expect("done");
        let evidence = world.evidence();
        let taken = evidence.recipients[0].clocks.taken_in_charge_at;
        (evidence.acts_of(Kind::TimeoutFirst).len(), evidence.acts_of(Kind::TimeoutLast).len(), taken)
    };
    assert_eq!(look(HOUR_S), (0, 0, None), "nothing has to be known yet");
    assert_eq!(look(13 * HOUR_S), (0, 0, Some(accepted_at)));
    assert_eq!(look(23 * HOUR_S), (0, 1, Some(accepted_at)));
    world.perform(&Work::One(deliver));
    world.heal();
    let evidence = world.evidence();
    evidence.assert_lawful();
    assert_one_outcome(&evidence, &Outcome::Delivered, Kind::Delivery);
    assert_eq!(outcome(&evidence), Outcome::Expired);
}

/// Our incoming point gets to an envelope when the last notice is due: what that takes off it is not taken in charge.
#[test]
fn our_reception_and_the_last_notice() {
    let world = scenarios::one_own_recipient();
    let receive = until(&world, |job| matches!(job, Job::ReceiveOwn { .. }));
    let deadline = Job::Deadline { recipient: row(&world, "rcpt#") };
    world.clock.advance_to(world.now().plus_s(12 * HOUR_S + 60));
    world.perform(&Work::One(deadline.clone()));
    world.clock.advance_to(world.now().plus_s(11 * HOUR_S));
    let ends = ends(&world, &receive, &deadline);
    for evidence in &ends {
        assert_eq!(evidence.acts_of(Kind::TimeoutLast).len(), 1);
        assert_eq!(outcome(evidence), Outcome::Expired);
        assert_eq!(evidence.acts_of(Kind::Delivery).len(), evidence.acts_of(Kind::TakeCharge).len());
    }
    let taken = ends.iter().filter(|e| !e.acts_of(Kind::TakeCharge).is_empty()).count();
    assert!(taken > 0 && taken < ends.len(), "both are first somewhere");
}

/// Before we took it in charge the clock knows nothing of it: both notices come.
#[test]
fn without_our_take_charge_the_first_notice_comes() {
    let world = scenarios::one_own_recipient();
    until(&world, |job| matches!(job, Job::ReceiveOwn { .. }));
    world.clock.advance_to(world.now().plus_s(12 * HOUR_S));
    let recipient = row(&world, "rcpt#");
    exec::run(stages::run(&world.rim(), &Job::Deadline { recipient })).expect("no waiting").expect("done");
    assert_eq!(world.evidence().acts_of(Kind::TimeoutFirst).len(), 1);
}

/// The take-charge receipt to ourselves is issued while the letter is delivered: neither waits for the other.
#[test]
fn take_charge_and_delivery() {
    let world = scenarios::one_own_recipient();
    let certify = until(&world, |job| matches!(job, Job::Certify { act } if act.sk.contains("take-charge")));
    let deliver =
        until(&world, |job| matches!(job, Job::Deliver { mailbox, .. } if mailbox.0 == "m-destinatario"));
    for evidence in ends(&world, &certify, &deliver) {
        assert_eq!(outcome(&evidence), Outcome::Delivered);
        assert_eq!(evidence.logged(Event::TakeChargeRecorded).len(), 1);
    }
}

/// The envelope is still being handed over while its delivery receipt comes in: nothing is undone.
#[test]
fn a_dispatch_and_the_receipt_for_it() {
    let world = scenarios::receipt_twice_at_once();
    let dispatch = until(&world, |job| matches!(job, Job::Dispatch { .. }));
    let receive = until(&world, |job| matches!(job, Job::Receive { .. }));
    for evidence in ends(&world, &dispatch, &receive) {
        assert_eq!(outcome(&evidence), Outcome::Delivered);
    }
}

/// Design §3 rule 2: "Whoever stores it first wins; everybody else goes on with the stored bytes", also when those are
/// not what this release would compose.
#[test]
fn the_bytes_that_were_stored_first_are_the_act() {
    let world = scenarios::one_own_recipient();
    let certify = until(&world, |job| matches!(job, Job::Certify { act } if act.sk.contains("acceptance")));
    let target = world.evidence().acts_of(Kind::Acceptance)[0].target.clone();
    let others = Bytes::from("From: somebody who composed it in another way\r\n\r\n");
    let put = exec::run(world.blobs.put_if_absent(&target, Rope::from(others.clone())));
    assert_eq!(put.expect("no waiting").expect("whole"), Put::New);
    world.perform(&Work::One(certify));
    world.heal();
    let evidence = world.evidence();
    evidence.assert_lawful();
    let [act] = evidence.acts_of(Kind::Acceptance)[..] else { panic!("one acceptance") };
    assert_eq!(evidence.bytes(act), &others);
    assert_eq!(act.issued.as_ref().map(|i| i.size_bytes), Some(others.len() as u64));
}
