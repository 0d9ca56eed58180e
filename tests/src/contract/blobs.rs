//! What [`Blobs`] owes.

use std::sync::Arc;

use bytes::Bytes;
use mime::Rope;
use stages::{
    BlobKey,
    ports::{BlobError, Blobs, Put},
};

/// Runs every case of [`Blobs`] as a test of its own; takes the name of an async function without arguments that
/// answers [`Fresh<dyn Blobs>`](super::Fresh).
#[macro_export]
macro_rules! blobs_contract {
    ($fresh:ident) => {
        $crate::contract_cases!(
            blobs,
            $fresh,
            [
                the_first_bytes_stay,
                of_many_puts_one_wins,
                what_is_not_there_is_none,
                pieces_are_stored_as_one_string,
                an_empty_blob_is_a_blob,
                ranges_are_cut_at_the_end,
                a_big_blob_comes_back_whole,
                a_copy_is_the_same_bytes,
                a_copy_stays_when_its_source_goes,
                a_copy_does_not_replace,
                a_copy_of_nothing_is_missing,
                of_many_copies_one_wins,
                a_removed_key_is_free_again,
                keys_are_listed_in_order,
                lists_go_on_after_a_key,
                prefixes_of_lists_are_literal,
                keys_take_every_character,
                sizes_around_the_usual_limits,
            ]
        );
    };
}

fn key(text: &str) -> BlobKey {
    BlobKey::listed(text.to_owned())
}

async fn put(blobs: &Arc<dyn Blobs>, name: &str, body: impl Into<Rope>) -> Put {
    blobs.put_if_absent(&key(name), body.into()).await.expect("the store answers")
}

async fn get(blobs: &Arc<dyn Blobs>, name: &str) -> Option<Bytes> {
    blobs.get(&key(name)).await.expect("the store answers")
}

async fn range(blobs: &Arc<dyn Blobs>, name: &str, from: u64, len: u64) -> Option<Bytes> {
    blobs.get_range(&key(name), from, len).await.expect("the store answers")
}

async fn list(blobs: &Arc<dyn Blobs>, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    let after = after.map(key);
    let keys = blobs.list(prefix, after.as_ref(), limit).await.expect("the store answers");
    keys.iter().map(|k| k.as_str().to_owned()).collect()
}

/// Bytes without a pattern that a compressing or deduplicating store could profit from; `seed` tells them apart.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        out.extend_from_slice(&x.to_le_bytes());
    }
    out.truncate(len);
    out
}

/// "The first one stored under a key stays."
pub async fn the_first_bytes_stay(blobs: Arc<dyn Blobs>) {
    assert_eq!(put(&blobs, "letters/a/envelope.eml", "first").await, Put::New);
    assert_eq!(put(&blobs, "letters/a/envelope.eml", "second, and longer").await, Put::Existing);
    assert_eq!(put(&blobs, "letters/a/envelope.eml", "first").await, Put::Existing);
    assert_eq!(get(&blobs, "letters/a/envelope.eml").await.as_deref(), Some(&b"first"[..]));
    assert_eq!(blobs.size(&key("letters/a/envelope.eml")).await.expect("the store answers"), Some(5));
}

/// Put-if-absent under concurrency: one wins, and its bytes are whole.
pub async fn of_many_puts_one_wins(blobs: Arc<dyn Blobs>) {
    for round in 0..5u64 {
        let name = format!("letters/{round}/envelope.eml");
        let tasks: Vec<_> = (0..12u64)
            .map(|n| {
                let (blobs, name) = (Arc::clone(&blobs), name.clone());
                tokio::spawn(async move {
                    let body = noise(round * 100 + n, 20_000 + n as usize);
                    let put = put(&blobs, &name, body.clone()).await;
                    // Whoever has put, reads the winner's bytes at once.
                    let read = get(&blobs, &name).await.expect("the blob");
                    (put, body, read)
                })
            })
            .collect();
        let (mut winners, mut reads) = (Vec::new(), Vec::new());
        for task in tasks {
            let (put, body, read) = task.await.expect("no panic");
            if put == Put::New {
                winners.push(body);
            }
            reads.push(read);
        }
        assert_eq!(winners.len(), 1);
        assert!(reads.iter().all(|read| read[..] == winners[0][..]));
    }
}

/// No blob is no error for a reader.
pub async fn what_is_not_there_is_none(blobs: Arc<dyn Blobs>) {
    put(&blobs, "letters/a/envelope.eml", "x").await;
    for name in ["letters/a/envelope.em", "letters/a/envelope.emlx", "letters/a", "letters/A/envelope.eml"] {
        assert_eq!(get(&blobs, name).await, None, "{name}");
        assert_eq!(range(&blobs, name, 0, 1).await, None, "{name}");
        assert_eq!(blobs.size(&key(name)).await.expect("the store answers"), None, "{name}");
        blobs.delete(&key(name)).await.expect("nothing to remove is no error");
    }
    assert_eq!(get(&blobs, "letters/a/envelope.eml").await.as_deref(), Some(&b"x"[..]));
}

/// A rope is its octets.
pub async fn pieces_are_stored_as_one_string(blobs: Arc<dyn Blobs>) {
    let rope = Rope::from_iter(["From: ", "", "a", "\r\n\r\n", "\0\u{7f}"].map(Bytes::from));
    put(&blobs, "outbound/a.eml", rope.clone()).await;
    assert_eq!(get(&blobs, "outbound/a.eml").await, Some(rope.to_bytes()));
}

/// Nothing at all can be stored too.
pub async fn an_empty_blob_is_a_blob(blobs: Arc<dyn Blobs>) {
    assert_eq!(put(&blobs, "service/a.eml", "").await, Put::New);
    assert_eq!(put(&blobs, "service/a.eml", "x").await, Put::Existing);
    assert_eq!(get(&blobs, "service/a.eml").await, Some(Bytes::new()));
    assert_eq!(blobs.size(&key("service/a.eml")).await.expect("the store answers"), Some(0));
    assert_eq!(range(&blobs, "service/a.eml", 0, 10).await, Some(Bytes::new()));
}

/// "Bytes `from..from+len`, cut at the end."
pub async fn ranges_are_cut_at_the_end(blobs: Arc<dyn Blobs>) {
    let whole = noise(1, 1000);
    put(&blobs, "a/b.eml", whole.clone()).await;
    let cases = [
        (0u64, 1000u64),
        (0, 1),
        (999, 1),
        (1, 998),
        (990, 100),
        (1000, 1),
        (5000, 5),
        (10, 0),
        (0, u64::MAX),
        (7, u64::MAX),
    ];
    for (from, len) in cases {
        let start = usize::try_from(from).unwrap_or(usize::MAX).min(1000);
        let end = usize::try_from(from.saturating_add(len)).unwrap_or(usize::MAX).min(1000);
        assert_eq!(
            range(&blobs, "a/b.eml", from, len).await.as_deref(),
            Some(&whole[start..end]),
            "{from} {len}"
        );
    }
}

/// 40 MB in 41 pieces; what is read is what was put, also across the pieces' ends.
pub async fn a_big_blob_comes_back_whole(blobs: Arc<dyn Blobs>) {
    const PIECE: usize = 1 << 20;
    let pieces: Vec<Bytes> =
        (0..40).map(|n| Bytes::from(noise(n, PIECE))).chain([Bytes::from("end")]).collect();
    let rope = Rope::from_iter(pieces.clone());
    assert_eq!(put(&blobs, "letters/big/envelope.eml", rope.clone()).await, Put::New);
    assert_eq!(put(&blobs, "letters/big/envelope.eml", rope.clone()).await, Put::Existing);
    assert_eq!(
        blobs.size(&key("letters/big/envelope.eml")).await.expect("the store answers"),
        Some(rope.len() as u64)
    );
    for at in [0, PIECE - 10, 7 * PIECE - 1, 40 * PIECE - 5] {
        let read = range(&blobs, "letters/big/envelope.eml", at as u64, 100).await.expect("the blob");
        assert!(Rope::from(read) == rope.slice(at..at + 100), "at {at}");
    }
    let read = get(&blobs, "letters/big/envelope.eml").await.expect("the blob");
    assert!(Rope::from(read) == rope, "the whole");
    let (from, to) = (key("letters/big/envelope.eml"), key("mailboxes/m/big.eml"));
    assert_eq!(blobs.copy_if_absent(&from, &to).await.expect("the store answers"), Put::New);
    let copy = get(&blobs, "mailboxes/m/big.eml").await.expect("the copy");
    assert!(Rope::from(copy) == rope, "the copy");
}

/// "A second key for the same bytes."
pub async fn a_copy_is_the_same_bytes(blobs: Arc<dyn Blobs>) {
    let body = noise(3, 5000);
    put(&blobs, "letters/a/envelope.eml", body.clone()).await;
    for n in 0..3 {
        let to = format!("mailboxes/{n}/x.eml");
        assert_eq!(
            blobs.copy_if_absent(&key("letters/a/envelope.eml"), &key(&to)).await.expect("copied"),
            Put::New
        );
        assert_eq!(get(&blobs, &to).await.as_deref(), Some(&body[..]));
        assert_eq!(range(&blobs, &to, 10, 20).await.as_deref(), Some(&body[10..30]));
        assert_eq!(blobs.size(&key(&to)).await.expect("the store answers"), Some(5000));
    }
    let chained = blobs.copy_if_absent(&key("mailboxes/2/x.eml"), &key("mailboxes/3/x.eml")).await;
    assert_eq!(chained.expect("copied"), Put::New);
    assert_eq!(get(&blobs, "mailboxes/3/x.eml").await.as_deref(), Some(&body[..]));
}

/// A copy is no reference to its source.
pub async fn a_copy_stays_when_its_source_goes(blobs: Arc<dyn Blobs>) {
    let big = noise(9, 700_000);
    for (name, body) in [("small", b"body".to_vec()), ("big", big)] {
        let (from, to) = (format!("letters/{name}/envelope.eml"), format!("mailboxes/{name}/x.eml"));
        put(&blobs, &from, body.clone()).await;
        blobs.copy_if_absent(&key(&from), &key(&to)).await.expect("copied");
        blobs.delete(&key(&from)).await.expect("removed");
        assert_eq!(get(&blobs, &from).await, None);
        assert_eq!(get(&blobs, &to).await.as_deref(), Some(&body[..]));
    }
}

/// Put-if-absent holds for copies too.
pub async fn a_copy_does_not_replace(blobs: Arc<dyn Blobs>) {
    put(&blobs, "a", "a's").await;
    put(&blobs, "b", "b's").await;
    assert_eq!(blobs.copy_if_absent(&key("a"), &key("b")).await.expect("the store answers"), Put::Existing);
    assert_eq!(blobs.copy_if_absent(&key("a"), &key("a")).await.expect("the store answers"), Put::Existing);
    assert_eq!(get(&blobs, "b").await.as_deref(), Some(&b"b's"[..]));
    assert_eq!(get(&blobs, "a").await.as_deref(), Some(&b"a's"[..]));
}

/// "A blob that must be there is not."
pub async fn a_copy_of_nothing_is_missing(blobs: Arc<dyn Blobs>) {
    let error = blobs.copy_if_absent(&key("absent"), &key("b")).await.expect_err("nothing to copy");
    assert!(matches!(error, BlobError::Missing(missing) if missing == key("absent")));
    assert_eq!(get(&blobs, "b").await, None);
}

/// Copies race as puts do.
pub async fn of_many_copies_one_wins(blobs: Arc<dyn Blobs>) {
    for n in 0..8 {
        put(&blobs, &format!("s{n}"), format!("body {n}")).await;
    }
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let blobs = Arc::clone(&blobs);
            tokio::spawn(async move {
                let put = blobs
                    .copy_if_absent(&key(&format!("s{n}")), &key("to"))
                    .await
                    .expect("the store answers");
                (put == Put::New).then(|| format!("body {n}"))
            })
        })
        .collect();
    let mut winners = Vec::new();
    for task in tasks {
        winners.extend(task.await.expect("no panic"));
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(get(&blobs, "to").await.as_deref(), Some(winners[0].as_bytes()));
}

/// After a removal the key can be stored under anew.
pub async fn a_removed_key_is_free_again(blobs: Arc<dyn Blobs>) {
    put(&blobs, "a", "first").await;
    blobs.delete(&key("a")).await.expect("removed");
    blobs.delete(&key("a")).await.expect("removing twice is no error");
    assert_eq!(get(&blobs, "a").await, None);
    assert!(list(&blobs, "", None, 10).await.is_empty());
    assert_eq!(put(&blobs, "a", "second").await, Put::New);
    assert_eq!(get(&blobs, "a").await.as_deref(), Some(&b"second"[..]));
}

/// "Keys with this prefix …, in order": by octets.
pub async fn keys_are_listed_in_order(blobs: Arc<dyn Blobs>) {
    let names =
        ["spool/b.json", "spool/a.eml", "spool/a.json", "spool-x", "spool/B.eml", "spool/a/b.eml", "z"];
    for name in names {
        put(&blobs, name, name.to_owned()).await;
    }
    let sorted = ["spool/B.eml", "spool/a.eml", "spool/a.json", "spool/a/b.eml", "spool/b.json"];
    assert_eq!(list(&blobs, "spool/", None, 100).await, sorted);
    assert_eq!(list(&blobs, "spool", None, 100).await, [&["spool-x"][..], &sorted].concat());
    assert_eq!(list(&blobs, "", None, 100).await.len(), 7);
    assert!(list(&blobs, "none", None, 100).await.is_empty());
}

/// "… after `after` …; at most `limit`."
pub async fn lists_go_on_after_a_key(blobs: Arc<dyn Blobs>) {
    let names: Vec<String> = (0..30).map(|n| format!("spool/{n:02}")).collect();
    for name in &names {
        put(&blobs, name, "x").await;
    }
    put(&blobs, "z", "x").await;
    assert_eq!(list(&blobs, "spool/", Some("spool/09"), 5).await, names[10..15]);
    assert_eq!(
        list(&blobs, "spool/", Some("spool/09x"), 5).await,
        names[10..15],
        "after a key that is not there"
    );
    assert_eq!(list(&blobs, "spool/", Some("a"), 5).await, names[..5], "after a key before the prefix");
    assert!(list(&blobs, "spool/", Some("spool/29"), 5).await.is_empty());
    let (mut all, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = list(&blobs, "spool/", after.as_deref(), 7).await;
        assert!(page.len() <= 7);
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        all.extend(page);
    }
    assert_eq!(all, names);
}

/// No character of a prefix is a pattern.
pub async fn prefixes_of_lists_are_literal(blobs: Arc<dyn Blobs>) {
    for name in ["a_b", "axb", "a-b", "a.b"] {
        put(&blobs, name, "x").await;
    }
    assert_eq!(list(&blobs, "a_", None, 10).await, ["a_b"]);
    assert_eq!(list(&blobs, "a.", None, 10).await, ["a.b"]);
}

/// Letters, digits and `-_./` are in the keys that [`BlobKey`] makes; a name is as long as it gets.
pub async fn keys_take_every_character(blobs: Arc<dyn Blobs>) {
    let alphabet: String = ('a'..='z').chain('A'..='Z').chain('0'..='9').chain("-_.".chars()).collect();
    let names = [
        format!("mailboxes/{alphabet}/{}.eml", "f".repeat(64)),
        format!("{alphabet}/{alphabet}"),
        "a/b/c/d/e/f.eml".to_owned(),
        "a/b/c.eml".to_owned(),
        "A/B/C.eml".to_owned(),
        "a/..b/c..eml".to_owned(),
    ];
    for name in &names {
        assert_eq!(put(&blobs, name, name.clone()).await, Put::New, "{name}");
    }
    for name in &names {
        assert_eq!(get(&blobs, name).await.as_deref(), Some(name.as_bytes()));
    }
    assert_eq!(list(&blobs, "", None, 100).await.len(), names.len());
}

/// Stores change their ways at powers of two and at their own limits: one octet around each.
pub async fn sizes_around_the_usual_limits(blobs: Arc<dyn Blobs>) {
    let limits = [1usize, 4096, 64 << 10, 256 << 10, 1 << 20];
    for (n, size) in limits.into_iter().flat_map(|l| [l - 1, l, l + 1]).enumerate() {
        let name = format!("sizes/{n:02}");
        let body = noise(n as u64, size);
        put(&blobs, &name, body.clone()).await;
        assert_eq!(get(&blobs, &name).await.map(|b| b == body), Some(true), "{size}");
        assert_eq!(blobs.size(&key(&name)).await.expect("the store answers"), Some(size as u64));
    }
}
