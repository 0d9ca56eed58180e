//! The mailboxes of a world, read as doors read them.

use std::collections::BTreeMap;

use stages::{
    Rim,
    ids::MailboxId,
    mailbox::{self, Folder, Message},
};

use super::{Filed, World, exec};

/// Messages that are read in one go: fewer than some mailboxes hold.
const PAGE: usize = 3;

/// Every message of every mailbox with its UID, by mailbox and folder in order of UID.
///
/// # Panics
/// If a folder says something else of itself than its messages do.
pub(super) fn read(world: &World) -> BTreeMap<(String, String), Vec<(u32, Filed)>> {
    let rim = world.rim();
    let mut all = BTreeMap::new();
    for mailbox in world.provider.mailboxes() {
        for folder in exec::run(mailbox::folders(&rim, &mailbox.id)).expect("no waiting").expect("whole") {
            let messages = list(&rim, &mailbox.id, &folder);
            assert_eq!(messages.len(), folder.state.exists as usize, "{} of {}", folder.name, mailbox.id);
            let filed = messages.iter().map(|m| (m.uid, filed(&folder, m))).collect::<Vec<_>>();
            assert!(filed.iter().all(|(uid, _)| *uid < folder.state.uidnext), "UIDNEXT of {}", mailbox.id);
            all.insert((mailbox.id.0.clone(), folder.name), filed);
        }
    }
    all
}

fn list(rim: &Rim, mailbox: &MailboxId, folder: &Folder) -> Vec<Message> {
    let mut all: Vec<Message> = Vec::new();
    loop {
        let after = all.last().map_or(0, |m| m.uid);
        let page = exec::run(mailbox::list(rim, mailbox, &folder.id, after, PAGE));
        let page = page.expect("no waiting").expect("whole");
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

fn filed(folder: &Folder, message: &Message) -> Filed {
    Filed {
        folder: folder.name.clone(),
        blob: message.blob.as_str().to_owned(),
        kind: message.summary.kind.map(|k| k.name().to_owned()),
        subject: message.summary.subject.clone(),
    }
}
