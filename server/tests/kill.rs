//! `kill -9` of the real process in the middle of many letters: after the next start every letter that was answered
//! for ends in its receipts, each exactly once (design §3, 1 and 2).
//!
//! `SIGILLO_KILL_ROUNDS` and `SIGILLO_KILL_LETTERS` make it longer.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use bytes::Bytes;
use common::{Provider, until};
use pec::Address;
use sigillo_server::{
    command::{client::Client, reach::Account as _},
    folder::Folder,
    http::wire::Message,
    letter::{self, Addressing},
};
use stages::log::Event;

/// Programs that submit at the same time.
const SENDERS: usize = 8;
/// One account sends more here than anybody may in an hour.
const UNBOUNDED: [&str; 4] = ["--rate-account", "1000000000", "--rate-organisation", "1000000000"];

fn from_environment(name: &str, default: usize) -> usize {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

#[test]
fn every_letter_survives_kill_9_and_each_receipt_is_there_once() {
    let rounds = from_environment("SIGILLO_KILL_ROUNDS", 2);
    let letters = from_environment("SIGILLO_KILL_LETTERS", 60);
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut expected = BTreeSet::new();
    for round in 0..rounds {
        // 1. Submit; in the middle of it the process dies. Another share of the letters is answered each round.
        let provider = Provider::start_with(&data, &UNBOUNDED);
        let enough = letters * (round + 1) / (rounds + 1);
        let answered = submit(&provider, round, letters, Some(enough));
        assert!(answered.len() >= enough, "{} of {letters} were answered", answered.len());
        drop(provider);

        // 2. Start again. What was not answered is submitted again under its key: never a second letter.
        let provider = Provider::start_with(&data, &UNBOUNDED);
        let again = submit(&provider, round, letters, None);
        for (n, pec_id) in &answered {
            assert_eq!(again.get(n), Some(pec_id), "letter {n} of round {round} got another id");
        }
        assert_eq!(again.len(), letters);
        expected.extend(again.into_values());

        // 3. Everything is complete, and nothing is there twice.
        complete(&provider, &expected);
        println!("round {}: {} letters, killed after {} answers", round + 1, expected.len(), answered.len());
        provider.stop();
    }
}

/// Submits the letters of a round; gives the PEC ids of those that were answered. With a number the process is killed
/// as soon as so many were, with others on their way in and most of them on their way through the stages.
fn submit(
    provider: &Provider,
    round: usize,
    letters: usize,
    kill_after: Option<usize>,
) -> BTreeMap<usize, String> {
    let [sender, other] = provider.accounts().map(|address| Address::parse(&address).unwrap());
    let folder = Folder::new(provider.data());
    let (next, answered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let one_sender = || {
        let client = Client::open(&folder, &sender).unwrap();
        let mut ids = BTreeMap::new();
        loop {
            let n = next.fetch_add(1, Ordering::SeqCst);
            if n >= letters {
                return ids;
            }
            let text = format!("Subject: lettera {round}/{n}\n\n{}\n", "Testo. ".repeat(n % 50));
            let addressing = Addressing { from: sender.clone(), to: vec![other.clone()], cc: vec![] };
            // The same octets whenever it is submitted.
            let (at, unique) = (pec::Instant::from_unix_s(1_800_000_000), (round * letters + n) as u128);
            let letter = letter::prepare(&Bytes::from(text), &addressing, at, unique).unwrap();
            match client.submit(&letter.transaction, &letter.message, Some(&format!("{round}/{n}"))) {
                Ok(submitted) => ids.insert(n, submitted.pec_id),
                Err(error) if kill_after.is_some() => {
                    assert!(error.is_passing(), "{error}");
                    return ids;
                }
                Err(error) => panic!("{error}"),
            };
            if Some(answered.fetch_add(1, Ordering::SeqCst) + 1) == kill_after {
                provider.kill();
            }
        }
    };
    thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(one_sender)).collect();
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    })
}

/// Waits until both mailboxes hold what the letters must end in, and looks for anything twice, in them and in the log.
fn complete(provider: &Provider, letters: &BTreeSet<String>) {
    let accounts = provider.accounts().map(|address| Address::parse(&address).unwrap());
    let expectations = [
        (&accounts[0], vec!["accettazione", "avvenuta-consegna"]),
        (&accounts[1], vec!["posta-certificata"]),
    ];
    for (account, kinds) in expectations {
        let client = Client::open(&Folder::new(provider.data()), account).unwrap();
        let mut messages: Vec<Message> = Vec::new();
        until("every receipt", || {
            let after = messages.last().map_or(0, |message| message.uid);
            messages.extend(client.list("INBOX", after).unwrap().map_or(vec![], |page| page.messages));
            (messages.len() >= letters.len() * kinds.len()).then_some(())
        });
        let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
        for message in &messages {
            let key = (message.pec_id.clone().unwrap(), message.kind.clone().unwrap());
            *counts.entry(key).or_default() += 1;
        }
        for pec_id in letters {
            for kind in &kinds {
                let count = counts.remove(&(pec_id.clone(), (*kind).to_owned()));
                assert_eq!(count, Some(1), "{kind} of {pec_id} in {account}");
            }
        }
        assert_eq!(counts, BTreeMap::new(), "nothing else in {account}");
    }
    // The log of each letter is complete, and tells nothing twice.
    for pec_id in letters {
        let log = embedded::Provider::read_log(provider.data(), pec_id).unwrap();
        let count = |event: Event| log.iter().filter(|entry| entry.event == event).count();
        let events = [Event::Accepted, Event::Received, Event::TakenInCharge, Event::Delivered];
        assert_eq!(events.map(count), [1; 4], "{pec_id}: {log:?}");
        // Acceptance, envelope, take-charge, delivery.
        assert_eq!(count(Event::Issued), 4, "{pec_id}: {log:?}");
    }
}
