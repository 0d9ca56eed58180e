//! Hints name the rows that their stage looks at, and rows that were read ahead are read once.
#![allow(clippy::unwrap_used, reason = "a test world has no failures but those that a test makes")]

use sigillo_stages::{
    Job,
    ids::MailboxId,
    jobs::Hint,
    mailbox::MailboxHead,
    ports::{RowKey, Table},
    registry::Mailbox,
    rim::Draft,
};
use sigillo_tests::world::{ALFA, Tap, World, exec};

fn key(sk: &str) -> RowKey {
    RowKey { table: Table::Letters, pk: "p".to_owned(), sk: sk.to_owned() }
}

#[test]
fn a_job_is_written_as_ever_and_a_hint_adds_its_rows() {
    let job = Job::Seal { act: key("act") };
    let plain = r#"{"v":1,"job":"seal","act":{"table":"letters","pk":"p","sk":"act"}}"#;
    assert_eq!(job.to_json().unwrap(), plain);
    assert_eq!(Hint::from_json(plain).unwrap(), Hint::from(job.clone()));
    let hint = Hint::new(job.clone(), [key("a"), key("b"), key("a")]);
    assert_eq!(hint.ahead, [key("a"), key("b")], "none twice");
    let text = hint.to_json().unwrap();
    assert_eq!(Hint::from_json(&text).unwrap(), hint);
    assert_eq!(Job::from_json(&text).unwrap(), job, "as an earlier release reads it");
    let many = Hint::new(job, (0..1000).map(|n| key(&n.to_string())));
    assert_eq!(many.ahead.len(), 24);
    assert!(Hint::from_json(r#"{"v":1,"job":"seal","ahead":[]}"#).is_err());
}

/// What a hint has read is not read again by the stage; after a commit everything is.
#[test]
fn rows_that_were_read_ahead_are_read_once() {
    let world = World::of(&ALFA);
    let tap = Tap::counting();
    let rim = tap.on(world.rim());
    let reads = || tap.calls().iter().filter(|call| call.starts_with("facts.get")).count();
    let mailbox = Mailbox::key_of(ALFA.user("mittente").as_str());
    let head = MailboxHead::key_of(&MailboxId("nobody".to_owned()));
    let named = || vec![mailbox.clone(), head.clone()];
    exec::run(async {
        let hinted = rim.ahead(named).await.unwrap();
        let before = reads();
        // The stage asks for the same, together and one by one; and for one that nobody has named.
        let stage = hinted.ahead(named).await.unwrap();
        assert!(stage.read::<Mailbox>(&mailbox).await.unwrap().is_some());
        assert!(stage.read::<MailboxHead>(&head).await.unwrap().is_none());
        assert_eq!(reads(), before, "nothing was read again");
        let other = Mailbox::key_of(ALFA.user("destinatario").as_str());
        let more = stage.ahead(|| vec![mailbox.clone(), other.clone()]).await.unwrap();
        assert!(more.read::<Mailbox>(&other).await.unwrap().is_some());
        assert_eq!(reads(), before + 1, "one was missing");

        // After a commit, of whoever stands on top, everything is read anew.
        let found = more.read::<Mailbox>(&mailbox).await.unwrap().unwrap();
        let mut draft = Draft::new();
        draft.replace(found.version, &found.value, None).unwrap();
        more.commit(draft).await.unwrap();
        let before = reads();
        let again = stage.read::<Mailbox>(&mailbox).await.unwrap().unwrap();
        assert_eq!((again.version, reads()), (found.version + 1, before + 1));
    })
    .unwrap();
}
