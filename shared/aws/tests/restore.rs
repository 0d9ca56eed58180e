//! Rows that come back from restored tables (docs/operations.md): what is missing and cannot have been removed.
#![allow(clippy::expect_used, reason = "a panic is how a test fails")]

mod emulator;
mod provider;

use std::collections::BTreeSet;

use aws::restore::{RestoreError, copy};
use aws_sdk_dynamodb::types::AttributeValue;
use provider::Alfa;
use stages::custody::Copied;

/// Puts a row, whose body says which of two it is.
async fn put(alfa: &Alfa, table: &str, pk: &str, sk: &str, body: &str) {
    let s = |text: &str| AttributeValue::S(text.to_owned());
    let put = alfa.clients.dynamodb.put_item().table_name(table);
    put.item("pk", s(pk))
        .item("sk", s(sk))
        .item("body_text", s(body))
        .send()
        .await
        .expect("the table takes it");
}

async fn delete(alfa: &Alfa, table: &str, pk: &str, sk: &str) {
    let s = |text: &str| AttributeValue::S(text.to_owned());
    let delete = alfa.clients.dynamodb.delete_item().table_name(table).key("pk", s(pk)).key("sk", s(sk));
    delete.send().await.expect("the table takes it");
}

/// The rows of these partitions, as `pk sk body`.
async fn rows(alfa: &Alfa, table: &str, pks: &[&str]) -> BTreeSet<String> {
    let found = alfa.clients.dynamodb.scan().table_name(table).send().await.expect("the table answers");
    let text = |item: &std::collections::HashMap<String, AttributeValue>, name: &str| {
        item[name].as_s().expect("a text").clone()
    };
    let items = found.items.unwrap_or_default();
    let mine = items.iter().filter(|item| pks.contains(&item["pk"].as_s().expect("a key").as_str()));
    mine.map(|i| format!("{} {} {}", text(i, "pk"), text(i, "sk"), text(i, "body_text"))).collect()
}

fn set(rows: &[&str]) -> BTreeSet<String> {
    rows.iter().map(|row| (*row).to_owned()).collect()
}

#[tokio::test]
async fn what_was_lost_comes_back_and_what_was_removed_stays_away() {
    let alfa = Alfa::new().await;
    let (client, tables) = (&alfa.clients.dynamodb, &alfa.config.tables);
    let suffix = "-restored";
    assert!(matches!(copy(client, tables, suffix, true).await, Err(RestoreError::None(_))));

    // 1. As it was.
    for (table, pk, sk) in [
        (&tables.letters, "l1", "head"),
        (&tables.letters, "l1", "act#1"),
        (&tables.letters, "l2", "head"),
        (&tables.log, "l1", "origin#accepted#"),
        (&tables.mailboxes, "whole", "head"),
        (&tables.mailboxes, "whole", "msg#1"),
        (&tables.mailboxes, "whole", "msg#2"),
        (&tables.mailboxes, "there", "head"),
        (&tables.mailboxes, "there", "msg#1"),
        (&tables.registry, "address#a", "mailbox"),
        (&tables.registry, "address#a", "password#1"),
    ] {
        put(&alfa, table, pk, sk, "old").await;
    }
    for table in [&tables.letters, &tables.log, &tables.mailboxes, &tables.registry] {
        let restored = client.restore_table_to_point_in_time().source_table_name(table);
        let restored =
            restored.target_table_name(format!("{table}{suffix}")).use_latest_restorable_time(true);
        restored.send().await.expect("the table is restored");
    }

    // 2. What happened since: a row went on, a message and a password were removed; and what was lost.
    put(&alfa, &tables.letters, "l2", "head", "new").await;
    delete(&alfa, &tables.mailboxes, "there", "msg#1").await;
    delete(&alfa, &tables.registry, "address#a", "password#1").await;
    for (table, pk, sk) in [
        (&tables.letters, "l1", "head"),
        (&tables.letters, "l1", "act#1"),
        (&tables.log, "l1", "origin#accepted#"),
        (&tables.mailboxes, "whole", "head"),
        (&tables.mailboxes, "whole", "msg#1"),
        (&tables.mailboxes, "whole", "msg#2"),
    ] {
        delete(&alfa, table, pk, sk).await;
    }

    // 3. Power fails in the middle of a mailbox: its head is not there yet, so it goes on.
    put(&alfa, &tables.mailboxes, "whole", "msg#1", "old").await;
    let copied = copy(client, tables, suffix, false).await.expect("the tables answer");
    let count = |copied: &[Copied], table: &str| {
        let of = copied.iter().find(|c| c.table == table).expect("every table");
        (of.copied, of.left)
    };
    assert_eq!(count(&copied, &tables.letters).0, 2);
    assert_eq!(count(&copied, &tables.log).0, 1);
    assert_eq!(count(&copied, &tables.mailboxes).0, 2);
    assert!(count(&copied, &tables.mailboxes).1 >= 1, "the removed message was left out: {copied:?}");
    assert_eq!(count(&copied, &tables.registry).0, 0);

    // 4. No row was replaced, none that was removed is back.
    let letters = rows(&alfa, &tables.letters, &["l1", "l2"]).await;
    assert_eq!(letters, set(&["l1 act#1 old", "l1 head old", "l2 head new"]));
    assert_eq!(rows(&alfa, &tables.log, &["l1"]).await, set(&["l1 origin#accepted# old"]));
    let mailboxes = rows(&alfa, &tables.mailboxes, &["whole", "there"]).await;
    assert_eq!(mailboxes, set(&["there head old", "whole head old", "whole msg#1 old", "whole msg#2 old"]));
    assert_eq!(rows(&alfa, &tables.registry, &["address#a"]).await, set(&["address#a mailbox old"]));

    // 5. Once more changes nothing; and the registry only by request.
    let again = copy(client, tables, suffix, false).await.expect("the tables answer");
    assert_eq!(again.iter().map(|c| c.copied).sum::<u64>(), 0);
    copy(client, tables, suffix, true).await.expect("the tables answer");
    let registry = rows(&alfa, &tables.registry, &["address#a"]).await;
    assert_eq!(registry, set(&["address#a mailbox old", "address#a password#1 old"]));
}
