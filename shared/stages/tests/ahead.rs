//! Rows that are read ahead of who looks at them.
#![allow(clippy::unwrap_used, reason = "a test world has no failures but those that a test makes")]

use sigillo_stages::{
    registry::{Domain, Mailbox},
    rim::{Body as _, Draft},
};
use sigillo_tests::world::{ALFA, World, exec};

/// What was read ahead is what is seen until something is committed; then it is read anew.
#[test]
fn rows_read_ahead_count_until_the_next_commit() {
    let world = World::of(&ALFA);
    let rim = world.rim();
    let user = ALFA.user("destinatario");
    let [mailbox, absent] = [user.as_str(), "nessuno@pec.alfa.example"].map(Mailbox::key_of);
    let ahead = exec::run(rim.ahead(|| vec![mailbox.clone(), absent.clone()])).unwrap().unwrap();

    let change = |quota_bytes| {
        let found = exec::run(rim.read::<Mailbox>(&mailbox)).unwrap().unwrap().unwrap();
        let mut draft = Draft::new();
        draft.replace(found.version, &Mailbox { quota_bytes, ..found.value }, None).unwrap();
        draft
    };
    let quota = || exec::run(ahead.mailbox(&user)).unwrap().unwrap().unwrap().quota_bytes;
    let before = quota();
    exec::run(rim.commit(change(before + 1))).unwrap().unwrap();
    assert_eq!(quota(), before);
    assert!(exec::run(ahead.read::<Mailbox>(&absent)).unwrap().unwrap().is_none());
    let domain = exec::run(ahead.read::<Domain>(&Domain::key_of(&user.domain()))).unwrap().unwrap().unwrap();
    assert_eq!(domain.value.key(), Domain::key_of(ALFA.domain), "what was not read ahead is read");

    exec::run(ahead.commit(change(before + 2))).unwrap().unwrap();
    assert_eq!(quota(), before + 2);
}
