//! The seal of the log on AWS (docs/log-seal.md): segments of the vault's copies, by a key in KMS.
#![allow(clippy::expect_used, reason = "a panic is how a test fails")]

mod emulator;
mod provider;

use aws::sealing::Notary;
use pec::Instant;
use provider::{Alfa, put};
use serde_json::{Value, json};
use smime::{Anchors, Verifier};
use stages::{
    BlobKey,
    ids::Side,
    log::{About, Event, LogEntry},
    ports::Blobs as _,
    sealing::{
        EVERY_S, File,
        proof::{Chain, Files, Held, Trust, prove},
    },
};

fn now() -> Instant {
    let seconds = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    Instant::from_unix_s(i64::try_from(seconds).expect("before the end"))
}

/// A copy of some entries of a letter, as the log's stream leaves it in the vault.
async fn copy(alfa: &Alfa, name: &str, letter: &str, entries: std::ops::Range<u32>) {
    let line = |n: u32| {
        let about = About { pec_id: letter.to_owned(), ..About::default() };
        let entry = LogEntry::new(about, Side::Origin, Event::Issued, n.to_string(), now());
        let sk = entry.sk();
        let Ok(Value::Object(mut fields)) = serde_json::to_value(entry) else { panic!("an object") };
        let pec_id = fields.remove("pec_id").expect("an id");
        let item = [("pk", pec_id), ("sk", json!(sk)), ("committed", json!("2026")), ("day", json!("x"))];
        fields.extend(item.map(|(name, value)| (name.to_owned(), value)));
        format!("{}\n", Value::Object(fields))
    };
    let key = format!("vault/log/{}/{name}.jsonl", now().day());
    let lines: String = entries.map(line).collect();
    put(&alfa.clients, &alfa.config.buckets.vault, &key, lines.into_bytes()).await;
}

/// The segments, verified by the provider's anchors.
async fn verified(alfa: &Alfa) -> Vec<(Held, Vec<u8>)> {
    let blobs = aws::S3Blobs::new(alfa.clients.s3.clone(), alfa.config.buckets.clone());
    let get = async |key: String| {
        blobs.get(&BlobKey::listed(key)).await.expect("the store answers").map(|octets| octets.to_vec())
    };
    let anchors = get("settings/anchors.pem".to_owned()).await.expect("anchors");
    let provider = Verifier::new(Anchors::from_files([anchors.as_slice()]).expect("anchors"));
    let (mut chain, mut held) = (Chain::default(), Vec::new());
    for segment in 1.. {
        let file = async |file: File| get(format!("vault/seals/{}", file.name(segment))).await;
        let (Some(entries), Some(seal)) = (file(File::Entries).await, file(File::Seal).await) else { break };
        let files = Files { entries: &entries, seal: &seal, timestamp: None };
        let trust = Trust { provider: &provider, timestamps: None };
        held.push((chain.next(files, trust).expect("it holds"), entries));
    }
    held
}

#[tokio::test]
async fn copies_of_the_vault_are_sealed_once_they_have_settled() {
    let alfa = Alfa::new().await;
    let notary = Notary::new(alfa.clients.s3.clone(), alfa.clients.kms.clone(), alfa.config.clone());
    let begin = now();

    // 1. What has just come is not sealed yet; with time it is, and an entry that came twice at once is there once.
    copy(&alfa, "080000-a", "uno", 0..3).await;
    assert_eq!(notary.tick(begin.plus_s(10)).await.expect("sealed"), 1);
    copy(&alfa, "080000-b", "uno", 2..5).await;
    copy(&alfa, "080000-c", "due", 0..2).await;
    assert_eq!(notary.tick(begin.plus_s(EVERY_S)).await.expect("not due"), 0);
    assert_eq!(notary.tick(begin.plus_s(EVERY_S + 60)).await.expect("sealed"), 1);

    // 2. A copy that comes later, of a day before, is in the next segment.
    let late = format!("vault/log/{}/000000-d.jsonl", now().plus_s(-86_400).day());
    let blobs = aws::S3Blobs::new(alfa.clients.s3.clone(), alfa.config.buckets.clone());
    let day = now().day();
    let from = blobs.get(&BlobKey::listed(format!("vault/log/{day}/080000-c.jsonl"))).await;
    let lines = from.expect("the store answers").expect("the copy").to_vec();
    let lines = String::from_utf8(lines).expect("text").replace("\"due\"", "\"tre\"");
    // S3 tells seconds apart: it is stored until it is of a later one than those before.
    let vault = &alfa.config.buckets.vault;
    let stored_at = async |key: &str| {
        let head = alfa.clients.s3.head_object().bucket(vault).key(key).send().await;
        head.expect("the object").last_modified.expect("its instant").secs()
    };
    let before = stored_at(&format!("vault/log/{day}/080000-c.jsonl")).await;
    loop {
        put(&alfa.clients, vault, &late, lines.clone().into_bytes()).await;
        if stored_at(&late).await > before {
            break;
        }
    }
    assert_eq!(notary.tick(begin.plus_s(2 * EVERY_S + 120)).await.expect("sealed"), 1);

    // 3. All of it verifies, in a chain.
    let held = verified(&alfa).await;
    let told: Vec<usize> = held.iter().map(|(held, _)| held.statement.entries).collect();
    assert_eq!(told, [0, 7, 2]);
    let proven =
        |letter: &str| held.iter().map(|(_, e)| prove(e, letter).expect("entries").len()).collect::<Vec<_>>();
    assert_eq!((proven("uno"), proven("due"), proven("tre")), (vec![0, 5, 0], vec![0, 2, 0], vec![0, 0, 2]));

    // 4. Before there is a certificate nothing is sealed.
    let config = aws::Config { keys: Vec::new(), ..alfa.config.clone() };
    let notary = Notary::new(alfa.clients.s3.clone(), alfa.clients.kms.clone(), config);
    assert_eq!(notary.tick(begin.plus_s(9 * EVERY_S)).await.expect("nothing to do"), 0);
}
