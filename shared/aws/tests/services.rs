//! What is particular to AWS: the form of what is stored, keys in KMS, the index in S3, the log's stream, FIFO.
#![allow(clippy::expect_used, reason = "a panic is how a test fails")]

mod emulator;
mod provider;

use std::{
    io::Write as _,
    process::{Command, Stdio},
    sync::Arc,
};

use aws::{
    KmsSigner, S3Directory,
    facts::{day, schema, sender_month},
    function::Name,
    lists::S3Lists,
    notarize::StreamEvent,
    signer::{KeyChain, KeysError},
};
use aws_sdk_dynamodb::types::AttributeValue;
use pec::{Index, Instant};
use provider::{Alfa, Authority, certified_key, kms_key};
use serde_json::{Value, json};
use sigillo_tests::world::{ALFA, GAMMA, GAMMA_SERIAL, PKI};
use smime::{Policy, Standing};
use stages::{
    BlobKey, Job,
    ids::{MailboxId, Side, sha256_hex},
    jobs::QueueName,
    log::{About, Event, LogEntry},
    ports::{
        Commit, Committed, Directory as _, Queue as _, Row, RowKey, Signer as _, SignerError, Table, Write,
    },
};

fn morning() -> Instant {
    Instant::parse("2026-03-02T08:00:00Z").expect("an instant")
}

fn entry() -> LogEntry {
    let about = About {
        pec_id: "0123@gestore.alfa.example".to_owned(),
        client_id: Some("<cliente.1@posta.alfa.example>".to_owned()),
        sender: "Mittente@pec.alfa.example".to_owned(),
        recipients: vec!["destinatario@pec.alfa.example".to_owned()],
        subject: Some("Perché".to_owned()),
        sending_provider: "Alfa PEC".to_owned(),
        issuer: "Alfa PEC".to_owned(),
    };
    LogEntry::new(about, Side::Origin, Event::Accepted, "", morning()).with("via", "https")
}

async fn append(alfa: &Alfa, entry: LogEntry) {
    let commit = Commit { writes: Vec::new(), entries: vec![entry] };
    assert_eq!(alfa.rim().facts.commit(commit).await.expect("the store answers"), Committed::Now);
}

/// Keys that an index of the log finds.
async fn by_index(alfa: &Alfa, index: &str, attribute: &str, value: &str) -> Vec<String> {
    let request = alfa
        .clients
        .dynamodb
        .query()
        .table_name(&alfa.config.tables.log)
        .index_name(index)
        .key_condition_expression("#pk = :pk")
        .expression_attribute_names("#pk", attribute)
        .expression_attribute_values(":pk", AttributeValue::S(value.to_owned()));
    let found = request.send().await.expect("the table answers").items.unwrap_or_default();
    found.iter().map(|item| item["sk"].as_s().expect("a key").clone()).collect()
}

#[tokio::test]
async fn operators_find_log_entries_by_the_names_of_their_fields() {
    let alfa = Alfa::new().await;
    append(&alfa, entry()).await;
    append(&alfa, LogEntry { event: Event::Issued, ..entry() }).await;
    let statement = format!(
        "SELECT subject, recipients, detail.via FROM \"{}\" WHERE pk = '0123@gestore.alfa.example' \
         AND begins_with(sk, 'origin#accepted')",
        alfa.config.tables.log
    );
    let found = alfa.clients.dynamodb.execute_statement().statement(statement).send().await;
    let found = found.expect("the table answers").items.unwrap_or_default();
    assert_eq!(found[0]["subject"], AttributeValue::S("Perché".to_owned()));
    assert_eq!(found[0]["recipients"].as_l().expect("a list").len(), 1);

    // One shard of each index has the entry that begins the letter; the other is found by its PEC id.
    let all = |shards: u8| 0..shards;
    let (mut sender, mut days) = (Vec::new(), Vec::new());
    for shard in all(schema::SENDER_SHARDS) {
        let value = sender_month("mittente@PEC.alfa.example", morning(), shard);
        sender.extend(by_index(&alfa, schema::BY_SENDER_INDEX, schema::SENDER_MONTH, &value).await);
    }
    for shard in all(schema::DAY_SHARDS) {
        days.extend(by_index(&alfa, schema::BY_DAY_INDEX, schema::DAY, &day(morning(), shard)).await);
    }
    let client = sha256_hex(b"<cliente.1@posta.alfa.example>");
    let client = by_index(&alfa, schema::BY_CLIENT_INDEX, schema::CLIENT_SHA256, &client).await;
    for found in [sender, days, client] {
        assert_eq!(found, ["origin#accepted#"]);
    }
}

#[tokio::test]
async fn rows_have_their_fields_by_name_and_odd_bodies_their_text() {
    let alfa = Alfa::new().await;
    let key = |sk: &str| RowKey { table: Table::Registry, pk: "p".to_owned(), sk: sk.to_owned() };
    let row = |sk: &str, body: &str| {
        Write::Insert(Row { key: key(sk), body: body.to_owned(), debt: None, lookup: None })
    };
    let writes = vec![row("map", r#"{"b":{"n":1},"a":["x"]}"#), row("text", r#"{"half":0.5}"#)];
    alfa.rim().facts.commit(Commit { writes, entries: Vec::new() }).await.expect("the store answers");
    let get = async |sk: &str| {
        alfa.rim().facts.get(&key(sk)).await.expect("the store answers").expect("the row").row
    };
    assert_eq!(get("map").await.body, r#"{"a":["x"],"b":{"n":1}}"#);
    assert_eq!(get("text").await.body, r#"{"half":0.5}"#);
    let statement =
        format!("SELECT body.b.n FROM \"{}\" WHERE pk = 'p' AND sk = 'map'", alfa.config.tables.registry);
    let found = alfa.clients.dynamodb.execute_statement().statement(statement).send().await;
    let found = found.expect("the table answers").items.unwrap_or_default();
    assert_eq!(found[0].values().collect::<Vec<_>>(), [&AttributeValue::N("1".to_owned())]);
}

#[tokio::test]
async fn a_transaction_whose_answer_was_lost_is_answered_alike_again() {
    let alfa = Alfa::new().await;
    let put = |table: &str| {
        let put = aws_sdk_dynamodb::types::Put::builder()
            .table_name(table)
            .item("pk", AttributeValue::S("p".to_owned()))
            .item("sk", AttributeValue::S("s".to_owned()))
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .expect("a put");
        aws_sdk_dynamodb::types::TransactWriteItem::builder().put(put).build()
    };
    // What the SDK does when an answer does not come: the same request with the same token.
    let token = emulator::unique("token");
    for _ in 0..2 {
        let request = alfa.clients.dynamodb.transact_write_items().client_request_token(&token);
        let request = request.transact_items(put(&alfa.config.tables.registry));
        request.send().await.expect("the same answer");
    }
}

#[tokio::test]
async fn a_digest_signed_in_kms_makes_a_signature_that_verifies() {
    let clients = emulator::clients();
    let key = certified_key(&clients, &Authority::new(), 1, (2026, 1)).await;
    let signer = KmsSigner::new(clients.kms, vec![key]).expect("a signer");
    signer.check().await.expect("the key is the certificate's");
    let id = signer.current(ALFA.record, morning()).expect("a certificate");
    let content = "Content-Type: text/plain\r\n\r\nciao\r\n";
    let identity = signer.identity(&id).expect("its chain");
    let pending = identity.prepare(smime::sha256([content]), morning().unix_s()).expect("attributes");
    let signature = signer.sign(&id, pending.digest()).await.expect("a signature");
    let signed = smime::SignedMessage {
        content: content.into(),
        cms: pending.assemble(&signature).expect("CMS"),
        micalg: None,
        signature_type: String::new(),
    };
    smime::verify(&signed, &Policy::TODAY).expect("it verifies");
    let unknown = stages::ids::CertificateId("00".to_owned());
    assert!(matches!(signer.sign(&unknown, [0; 32]).await, Err(SignerError::NoKey(_))));
}

#[tokio::test]
async fn a_successor_signs_when_it_has_rested() {
    let clients = emulator::clients();
    let authority = Authority::new();
    let old = certified_key(&clients, &authority, 1, (2026, 1)).await;
    let new = certified_key(&clients, &authority, 2, (2026, 3)).await; // from the first of March
    let signer = KmsSigner::new(clients.kms, vec![new, old]).expect("a signer");
    signer.check().await.expect("both keys are their certificates'");
    let serial = |at: &str| {
        let id = signer.current(ALFA.record, Instant::parse(at).expect("an instant")).expect("a certificate");
        signer.identity(&id).expect("its chain").certificate().serial_hex()
    };
    assert_eq!(serial("2025-01-01T00:00:00Z"), "01");
    assert_eq!(serial("2026-03-02T23:59:59Z"), "01");
    assert_eq!(serial("2026-03-03T00:00:00Z"), "02");
    assert!(matches!(signer.current("another", morning()), Err(SignerError::NoKey(_))));
}

#[tokio::test]
async fn a_key_that_is_not_the_certificates_is_found_at_the_start() {
    let clients = emulator::clients();
    let KeyChain { mut key, chain } = certified_key(&clients, &Authority::new(), 1, (2026, 1)).await;
    let check =
        async |key, chain| KmsSigner::new(clients.kms.clone(), vec![KeyChain { key, chain }])?.check().await;
    check(key.clone(), chain.clone()).await.expect("the key is the certificate's");
    assert!(matches!(check(key.clone(), b"x".to_vec()).await, Err(KeysError::Chain(..))));
    key.key = kms_key(&clients).await;
    assert!(matches!(check(key.clone(), chain.clone()).await, Err(KeysError::Mismatch(..))));
    key.key = "00000000-0000-0000-0000-000000000000".to_owned();
    assert!(matches!(check(key, chain).await, Err(KeysError::Unavailable(..))));
}

#[tokio::test]
async fn openssl_verifies_a_certificate_request() {
    let clients = emulator::clients();
    let key = kms_key(&clients).await;
    let subject = "CN=Posta Certificata,O=Alfa,C=IT";
    let request = aws::csr::request(&clients.kms, &key, subject, &ALFA.certified()).await.expect("a request");
    let mut openssl = Command::new("openssl")
        .args(["req", "-verify", "-noout", "-text"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl starts");
    openssl.stdin.take().expect("its input").write_all(request.as_bytes()).expect("it reads");
    let out = openssl.wait_with_output().expect("openssl ends");
    let text = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && text.contains("verify OK"), "{text}");
    for part in ["CN=Posta Certificata", "email:posta-certificata@gestore.alfa.example", "Digital Signature"]
    {
        assert!(text.replace(" = ", "=").contains(part), "{part}: {text}");
    }
    let odd = aws::csr::request(&clients.kms, &key, "no name", &ALFA.certified()).await;
    assert!(odd.is_err());
}

#[tokio::test]
async fn the_last_good_index_stays_in_force() {
    let alfa = Alfa::new().await;
    let (bucket, key) = (&alfa.config.buckets.data, "settings/index.ldif");
    let open = || S3Directory::open(alfa.clients.s3.clone(), bucket.clone(), key.to_owned(), morning());
    let directory = open().await.expect("an index");
    let kind = |domain: &str| directory.index().by_domain(domain).is_some();
    assert!(kind(ALFA.domain) && !kind("pec.nuova.example"));

    // A newer one, looked for after five minutes.
    let ldif = alfa.rim().directory.index().to_ldif();
    let newer = ldif.replace("managedDomains: pec.alfa.example", "managedDomains: pec.nuova.example");
    alfa.drop(key, newer).await;
    directory.refresh(morning().plus_s(299)).await;
    assert!(!kind("pec.nuova.example"));
    directory.refresh(morning().plus_s(300)).await;
    assert!(kind("pec.nuova.example"));

    // Then one that is none, then none at all.
    alfa.drop(key, "dn: nothing\r\n").await;
    directory.refresh(morning().plus_s(600)).await;
    assert!(kind("pec.nuova.example"));
    assert!(open().await.is_err(), "nothing starts with it");
    alfa.clients.s3.delete_object().bucket(bucket).key(key).send().await.expect("removed");
    directory.refresh(morning().plus_s(900)).await;
    assert!(kind("pec.nuova.example"));
    assert!(open().await.is_err());
}

/// What the function `directory` puts there is asked by those who judge; the last good list stays.
#[tokio::test]
async fn revocation_lists_are_read_from_the_bucket() {
    let alfa = Alfa::new().await;
    let bucket = alfa.config.buckets.data.clone();
    let index = Index::new(vec![GAMMA.index_record()]);
    let certificate = smime::Certificate::from_der(&PKI.of(&GAMMA)[0].der).expect("a certificate");
    let verifier = Arc::new(PKI.verifier());
    let lists = S3Lists::new(alfa.clients.s3.clone(), bucket, Arc::clone(&verifier));
    let standing = |after_s: i64| verifier.standing(&certificate, morning().plus_s(after_s).unix_s());
    let key = format!("settings/crl/{}.crl", sha256_hex(b"http://ca.example/lista.crl"));
    let list = |revoked: &[u64], from_s: i64| {
        let at = |s: i64| morning().plus_s(s);
        PKI.list(revoked, at(from_s), at(from_s), at(from_s + 7200))
    };

    lists.refresh(&index, morning()).await;
    assert_eq!(standing(0), Standing::Stale(None), "not there yet");
    alfa.drop(&key, list(&[], -60)).await;
    lists.refresh(&index, morning().plus_s(299)).await;
    assert_eq!(standing(299), Standing::Stale(None), "looked for after five minutes");
    lists.refresh(&index, morning().plus_s(300)).await;
    assert!(matches!(standing(300), Standing::Good { .. }));
    alfa.drop(&key, list(&[GAMMA_SERIAL], 400)).await;
    lists.refresh(&index, morning().plus_s(600)).await;
    assert!(matches!(standing(600), Standing::Revoked { .. }));
    alfa.drop(&key, "niente").await;
    lists.refresh(&index, morning().plus_s(900)).await;
    assert!(matches!(standing(900), Standing::Revoked { .. }));
}

/// An image of the stream, as DynamoDB writes it.
fn image(subject: &str) -> Value {
    json!({
        "pk": { "S": "id" }, "sk": { "S": "origin#accepted#" }, "at": { "S": "2026-03-02T08:00:00Z" },
        "committed": { "S": "2026-03-02T08:00:01.000123Z#000" },
        "subject": { "S": subject }, "recipients": { "L": [{ "S": "a@b.example" }] },
        "detail": { "M": { "n": { "N": "3" }, "set": { "SS": ["a"] }, "yes": { "BOOL": true } } }
    })
}

fn stream(records: &[Value]) -> StreamEvent {
    serde_json::from_value(json!({ "Records": records })).expect("an event")
}

fn record(name: &str, sequence: u32, old: Option<Value>, new: Option<Value>) -> Value {
    let mut change =
        json!({ "SequenceNumber": sequence.to_string(), "StreamViewType": "NEW_AND_OLD_IMAGES" });
    for (name, image) in [("OldImage", old), ("NewImage", new)] {
        if let Some(image) = image {
            change[name] = image;
        }
    }
    json!({ "eventID": "x", "eventName": name, "dynamodb": change })
}

#[tokio::test]
async fn the_vault_has_every_entry_and_every_alteration() {
    let alfa = Alfa::new().await;
    let notarize = provider::open(Name::Notarize, &alfa.config, &alfa.clients).await;
    let born = record("INSERT", 1, None, Some(image("vero")));

    // A new entry is copied once, however often the stream brings it.
    for _ in 0..2 {
        assert_eq!(notarize.stream(stream(std::slice::from_ref(&born))).await, None);
    }
    let vault = alfa.vault().await;
    let (copy, lines) = vault.first_key_value().expect("a copy");
    assert!(copy.starts_with("vault/log/2026-03-02/080001.000123000-"), "{copy}");
    assert_eq!((vault.len(), lines.len()), (1, 1));
    assert_eq!(lines[0]["subject"], "vero");
    assert_eq!(lines[0]["detail"], json!({ "n": 3, "set": { "SS": ["a"] }, "yes": true }));

    // Changed, removed, and written anew: two alarms, and all that it ever was is kept. The batch comes twice.
    let altered = [
        record("MODIFY", 2, Some(image("vero")), Some(image("falso"))),
        record("REMOVE", 3, Some(image("falso")), None),
        record("INSERT", 4, None, Some(image("nuovo"))),
    ];
    for _ in 0..2 {
        assert_eq!(notarize.stream(stream(&altered)).await, None);
    }
    let vault = alfa.vault().await;
    let of = |prefix: &str, fields: &[&str]| {
        let lines = vault.iter().filter(|(key, _)| key.starts_with(prefix)).flat_map(|(_, lines)| lines);
        let mut told: Vec<String> = lines
            .map(|line| {
                fields
                    .iter()
                    .map(|f| line.pointer(f).map_or("-".into(), Value::to_string))
                    .collect::<Vec<_>>()
            })
            .map(|fields| fields.join(" "))
            .collect();
        told.sort();
        told
    };
    assert_eq!(of("vault/log/", &["/subject"]), [r#""nuovo""#, r#""vero""#]);
    assert_eq!(
        of("vault/alarms/", &["/event", "/old/subject", "/new/subject"]),
        [r#""MODIFY" "vero" "falso""#, r#""REMOVE" "falso" -"#]
    );

    // A record that cannot be read stops the batch there.
    let odd = record("INSERT", 6, None, None);
    let batch = [born, odd, record("INSERT", 7, None, Some(image("dopo")))];
    assert_eq!(notarize.stream(stream(&batch)).await.as_deref(), Some("6"));
    let lines: usize = alfa.vault().await.values().map(Vec::len).sum();
    assert_eq!(lines, 4, "what stood before it is there already, what stands behind it waits");
}

#[tokio::test]
async fn keys_of_the_vault_lie_in_its_bucket() {
    let alfa = Alfa::new().await;
    let key = BlobKey::vault("0123");
    alfa.rim().blobs.put_if_absent(&key, "infected".into()).await.expect("the store answers");
    let head = |bucket: &str| alfa.clients.s3.head_object().bucket(bucket).key(key.as_str()).send();
    assert!(head(&alfa.config.buckets.vault).await.is_ok());
    assert!(head(&alfa.config.buckets.data).await.is_err());
    for prefix in ["", "v", "vault/", "vault/infected/"] {
        let keys = alfa.rim().blobs.list(prefix, None, 100).await.expect("the store answers");
        assert!(keys.contains(&key), "{prefix}");
    }
    let first = alfa.rim().blobs.list("", None, 1).await.expect("the store answers");
    assert!(first[0] < key, "the first of both buckets: {first:?}");
}

#[tokio::test]
async fn hints_reach_their_queues_and_filings_their_group_again_and_again() {
    let alfa = Alfa::new().await;
    let row = |sk: String| RowKey { table: Table::Letters, pk: "p".to_owned(), sk };
    let mut jobs: Vec<Job> = (0..23).map(|n| Job::Seal { act: row(format!("{n}")) }).collect();
    let filing = Job::Deliver { mailbox: MailboxId("m-1".to_owned()), filing: row("f".to_owned()) };
    jobs.push(filing.clone());
    let queue = aws::SqsQueue::new(alfa.clients.sqs.clone(), alfa.config.queues.clone());
    let hints = jobs.iter().cloned().map(Into::into).collect();
    queue.send(hints).await.expect("the queues answer");
    // The same hint within the five minutes of deduplication: it arrives all the same.
    queue.send(vec![filing.into()]).await.expect("the queues answer");

    let waiting = async |name: QueueName| {
        let url = &alfa.config.queues[&name];
        let mut groups = Vec::new();
        loop {
            let request = alfa.clients.sqs.receive_message().queue_url(url).max_number_of_messages(10);
            let request = request.message_system_attribute_names(
                aws_sdk_sqs::types::MessageSystemAttributeName::MessageGroupId,
            );
            let messages = request.send().await.expect("the queue answers").messages.unwrap_or_default();
            if messages.is_empty() {
                return groups;
            }
            for message in messages {
                Job::from_json(message.body().expect("a body")).expect("a job");
                let group = message.attributes().and_then(|a| a.values().next().cloned());
                groups.push(group.unwrap_or_default());
            }
        }
    };
    assert_eq!(waiting(QueueName::Seal).await.len(), 23);
    assert_eq!(waiting(QueueName::Deliver).await, ["m-1", "m-1"]);
    assert!(waiting(QueueName::Certify).await.is_empty());
}
