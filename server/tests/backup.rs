//! `sigillo backup` of a provider that has letters under way, `sigillo restore` elsewhere, and the provider there.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use bytes::Bytes;
use common::{Provider, code, count, sigillo, stderr, stdout, until};
use pec::Address;
use serde_json::Value;
use sigillo_server::{
    command::{client::Client, reach::Account as _},
    folder::Folder,
    letter::{self, Addressing},
};
use stages::log::Event;

const SENDERS: usize = 4;

/// Submits letters until it is told to stop; gives the PEC ids that were answered.
fn submit(
    data: &Path,
    accounts: &[Address; 2],
    from: usize,
    stop: &AtomicBool,
    seen: &dyn Fn(),
) -> Vec<String> {
    let [sender, other] = accounts;
    let client = Client::open(&Folder::new(data), sender).unwrap();
    let mut ids = Vec::new();
    for n in (from..).step_by(SENDERS) {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let text = format!("Subject: lettera {n}\n\n{}\n", "Testo. ".repeat(n % 50));
        let addressing = Addressing { from: sender.clone(), to: vec![other.clone()], cc: vec![] };
        let at = pec::Instant::from_unix_s(1_800_000_000);
        let letter = letter::prepare(&Bytes::from(text), &addressing, at, n as u128).unwrap();
        let submitted = client.submit(&letter.transaction, &letter.message, None).unwrap();
        ids.push(submitted.pec_id);
        seen();
    }
    ids
}

#[test]
fn a_backup_of_a_running_provider_is_restored_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let provider = Provider::start(&data);
    let accounts = provider.accounts().map(|address| Address::parse(&address).unwrap());
    let (stop, answered) = (AtomicBool::new(false), std::sync::Mutex::new(Vec::<String>::new()));
    let copy = dir.path().join("copy");

    // 1. Letters come in and are on their way through the stages while the backup is taken.
    let before: BTreeSet<String> = thread::scope(|scope| {
        let (stop, answered, accounts, data) = (&stop, &answered, &accounts, &data);
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                scope.spawn(move || {
                    submit(data, accounts, sender, stop, &|| answered.lock().unwrap().push(String::new()))
                })
            })
            .collect();
        until("letters", || (answered.lock().unwrap().len() >= 40).then_some(()));
        let taken = provider.json(&["backup", "--with-keys", "--to", copy.to_str().unwrap()]);
        assert_eq!(taken["with_keys"], true, "{taken}");
        stop.store(true, Ordering::SeqCst);
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    assert!(before.len() >= 40);
    provider.kill();
    drop(provider);

    // 2. Elsewhere. The demo's folder, with its keys, and every digest as the log has it.
    let restored = dir.path().join("restored");
    let output = sigillo(&[
        "restore",
        "--json",
        "--from",
        copy.to_str().unwrap(),
        "--data",
        restored.to_str().unwrap(),
    ]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(found["acts"].as_u64().unwrap() > 0 && found["log_entries"].as_u64().unwrap() > 0, "{found}");
    let again = sigillo(&["restore", "--from", copy.to_str().unwrap(), "--data", restored.to_str().unwrap()]);
    assert_eq!((code(&again), stderr(&again).contains("it is not empty")), (1, true), "{}", stderr(&again));

    // 3. It goes on. Every letter that the copy knows of is complete: it was answered before the moment of the copy.
    let provider = Provider::start(&restored);
    let known = |id: &String| !embedded::Provider::read_log(&restored, id).unwrap().is_empty();
    let complete = |id: &String| {
        let log = embedded::Provider::read_log(&restored, id).unwrap();
        let count = |event: Event| log.iter().filter(|entry| entry.event == event).count();
        [Event::Accepted, Event::TakenInCharge, Event::Delivered].map(count) == [1; 3]
            && count(Event::Issued) == 4
    };
    // What was in the spool alone is accepted by the sweep of the start.
    until("what was under way", || {
        let known: Vec<_> = before.iter().filter(|id| known(id)).collect();
        (known.len() >= 36 && known.iter().all(|id| complete(id))).then_some(())
    });
    let letters = before.iter().filter(|id| known(id)).count();
    let [sender, recipient] = accounts.map(|address| address.to_string());
    until("receipts and envelopes", || {
        let (receipts, envelopes) = (provider.list(&sender), provider.list(&recipient));
        let counts = ["accettazione", "avvenuta-consegna"].map(|kind| count(&receipts, kind));
        (counts == [letters; 2] && count(&envelopes, "posta-certificata") == letters).then_some(())
    });

    // 4. The evidence, as anybody verifies it; the log, as the operator reads it.
    for (account, message) in [(&recipient, provider.list(&recipient)), (&sender, provider.list(&sender))]
        .map(|(a, l)| (a, l[0].clone()))
    {
        let raw = provider.sigillo(&["mailbox", "show", account, &message["uid"].to_string(), "--raw"]);
        let file = provider.file("message.eml", &raw.stdout);
        let verdict = provider.json(&["verify", &file]);
        assert_eq!(
            (&verdict["signature"], &verdict["chain"]),
            (&"valid".into(), &"trusted".into()),
            "{verdict}"
        );
        let log = provider.json(&["audit", "letter", message["pec_id"].as_str().unwrap()]);
        assert!(log.as_array().unwrap().len() >= 8, "{log}");
    }
    // Acceptance times from a log as it is: submission is when it was, and the outage of the copy is not hidden.
    let levels = provider.sigillo(&["sla", "--json", "--period", &this_period()]);
    let levels: Value = serde_json::from_slice(&levels.stdout).unwrap();
    assert_eq!(
        (&levels["accepted"], &levels["receipt"]["count"]),
        (&letters.into(), &letters.into()),
        "{levels}"
    );
    assert!(levels["delivery"]["count"].as_u64().unwrap() >= letters as u64, "{levels}");
    // 5. Letters of its own, and a backup of the one that stopped, audited once more.
    let letter = provider.file("letter.eml", "Subject: dopo\n\nDopo.\n");
    let sent = provider.json(&["send", "--from", &sender, "--to", &recipient, &letter]);
    assert_eq!(sent["state"], "delivered", "{sent}");
    provider.stop();
    let second = dir.path().join("second");
    let output = sigillo(&["backup", "--data", restored.to_str().unwrap(), "--to", second.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("private keys and passwords are not in it"), "{}", stdout(&output));
    let third = dir.path().join("third");
    let output = sigillo(&["restore", "--from", second.to_str().unwrap(), "--data", third.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("put them into pki/"), "{}", stdout(&output));

    // 6. No secret is in it; with the keys in place it runs.
    let demo: Value = serde_json::from_slice(&fs::read(data.join("demo.json")).unwrap()).unwrap();
    let password = demo["accounts"][0]["password"].as_str().unwrap().as_bytes().to_vec();
    for file in files(&second) {
        let octets = fs::read(&file).unwrap();
        let has = |needle: &[u8]| octets.windows(needle.len()).any(|w| w == needle);
        assert!(!has(b"PRIVATE KEY-----") && !has(&password), "{}", file.display());
    }
    for key in ["provider.key", "tls.key"] {
        fs::copy(data.join("pki").join(key), third.join("pki").join(key)).unwrap();
    }
    Provider::start(&third).stop();
}

/// The four-month period of today.
fn this_period() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let day = pec::Instant::from_unix_s(i64::try_from(now).unwrap()).legal().day;
    let (month, year) = (day[3..5].parse::<u32>().unwrap(), &day[6..]);
    format!("{year}-{}", month.div_ceil(4))
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
