use super::*;

#[test]
fn list_lsub_and_special_use() {
    let mut client = Provider::new().client();
    assert_eq!(
        client.say("LIST \"\" *"),
        "* LIST (\\HasNoChildren) \"/\" \"INBOX\"\n* LIST (\\HasNoChildren) \"/\" \"Receipts\"\n\
         * LIST (\\HasNoChildren \\Drafts) \"/\" \"Drafts\"\n* LIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"\n\
         * LIST (\\HasNoChildren \\Trash) \"/\" \"Trash\"\nt OK done\n"
    );
    assert_eq!(client.say("LIST \"\" \"\""), "* LIST (\\Noselect) \"/\" \"\"\nt OK done\n");
    client.say("CREATE Lavoro/2026/Marzo");
    client.say("SUBSCRIBE Lavoro/2026/Marzo");
    client.say("UNSUBSCRIBE Receipts");
    client.say("SUBSCRIBE Altrove");
    assert_eq!(
        client.say("LIST \"\" (Lavoro/% inbox) RETURN (SUBSCRIBED CHILDREN)"),
        "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"INBOX\"\n* LIST (\\HasChildren) \"/\" \"Lavoro/2026\"\nt OK done\n"
    );
    assert_eq!(
        client.say("LIST (SUBSCRIBED RECURSIVEMATCH) \"\" \"%\""),
        "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"INBOX\"\n* LIST (\\HasNoChildren \\Drafts \\Subscribed) \"/\" \"Drafts\"\n\
         * LIST (\\HasNoChildren \\Sent \\Subscribed) \"/\" \"Sent\"\n* LIST (\\HasNoChildren \\Trash \\Subscribed) \"/\" \"Trash\"\n\
         * LIST (\\HasChildren) \"/\" \"Lavoro\" (\"CHILDINFO\" (\"SUBSCRIBED\"))\n\
         * LIST (\\Subscribed \\NonExistent) \"/\" \"Altrove\"\nt OK done\n"
    );
    assert_eq!(
        client.say("LIST (SPECIAL-USE) \"\" S*"),
        "* LIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"\nt OK done\n"
    );
    assert_eq!(
        client.say("LSUB \"\" %"),
        "* LSUB () \"/\" \"Altrove\"\n* LSUB () \"/\" \"Drafts\"\n* LSUB () \"/\" \"INBOX\"\n* LSUB (\\Noselect) \"/\" \"Lavoro\"\n\
         * LSUB () \"/\" \"Sent\"\n* LSUB () \"/\" \"Trash\"\nt OK done\n"
    );
    assert_eq!(client.say("LSUB Lavoro/ *"), "* LSUB () \"/\" \"Lavoro/2026/Marzo\"\nt OK done\n");
    assert_eq!(
        client.last(&format!("LIST \"\" {}", "*".repeat(2000))),
        "t NO [LIMIT] these patterns are too long"
    );
}

#[test]
fn list_status_is_one_answer() {
    let mut client = Provider::new().client();
    client.append("INBOX", &message("uno"));
    let size = message("uno").len();
    let heard = client.say("LIST \"\" INBOX RETURN (STATUS (MESSAGES UNSEEN SIZE DELETED UIDNEXT))");
    assert_eq!(
        heard,
        format!(
            "* LIST (\\HasNoChildren) \"/\" \"INBOX\"\n* STATUS \"INBOX\" (MESSAGES 1 UNSEEN 1 SIZE {size} DELETED 0 UIDNEXT 2)\nt OK done\n"
        )
    );
}

#[test]
fn names_in_utf_7_and_in_utf_8() {
    let provider = Provider::new();
    let mut old = provider.client();
    assert_eq!(old.say("CREATE Perch&AOk-"), "t OK created\n");
    assert_eq!(old.say("CREATE \"A&-B\""), "t OK created\n");
    assert_eq!(old.say("CREATE A&B"), "t NO [CANNOT] this is no name for a mailbox\n");
    assert_eq!(old.say("LIST \"\" P*"), "* LIST (\\HasNoChildren) \"/\" \"Perch&AOk-\"\nt OK done\n");
    let mut new = provider.client();
    new.say("ENABLE IMAP4rev2");
    assert_eq!(new.say("LIST \"\" P*"), "* LIST (\\HasNoChildren) \"/\" \"Perché\"\nt OK done\n");
    assert_eq!(new.say("LIST \"\" A*"), "* LIST (\\HasNoChildren) \"/\" \"A&B\"\nt OK done\n");
    assert_eq!(new.say("STATUS \"Perché\" (MESSAGES)"), "* STATUS \"Perché\" (MESSAGES 0)\nt OK done\n");
    // A client that sends UTF-8 without having enabled it means it.
    assert_eq!(old.last("STATUS \"Perché\" (MESSAGES)"), "t OK done");
}

#[test]
fn create_rename_delete() {
    let mut client = Provider::new().client();
    for (said, heard) in [
        ("CREATE Lavoro/", "t OK created\n"),
        ("CREATE Lavoro", "t NO [ALREADYEXISTS] there is a mailbox of this name\n"),
        ("CREATE inbox", "t NO [ALREADYEXISTS] there is a mailbox of this name\n"),
        ("CREATE \"a//b\"", "t NO [CANNOT] this is no name for a mailbox\n"),
        ("CREATE Archivio (USE (\\Archive))", "t OK created\n"),
        ("CREATE Altro (USE (\\Archive))", "t NO [USEATTR] another mailbox has this use\n"),
        ("CREATE Altro (USE (\\All))", "t NO [USEATTR] this use is unknown\n"),
        ("CREATE Altro (USE (\\Junk \\Archive))", "t NO [USEATTR] a mailbox has one use\n"),
        ("CREATE Lavoro/Sotto", "t OK created\n"),
        ("DELETE Lavoro", "t NO [HASCHILDREN] there are mailboxes below it\n"),
        ("DELETE INBOX", "t NO [CANNOT] this mailbox stays\n"),
        ("DELETE Niente", "t NO [NONEXISTENT] there is no such mailbox\n"),
        ("RENAME Lavoro Impiego", "t OK renamed\n"),
        ("RENAME Niente Altro", "t NO [NONEXISTENT] there is no such mailbox\n"),
        ("RENAME Impiego Sent", "t NO [ALREADYEXISTS] there is a mailbox of this name\n"),
        ("DELETE Impiego/Sotto", "t OK deleted\n"),
        ("DELETE Impiego", "t OK deleted\n"),
        ("SELECT Impiego", "t NO [NONEXISTENT] there is no such mailbox\n"),
        ("STATUS Impiego (MESSAGES)", "t NO [NONEXISTENT] there is no such mailbox\n"),
    ] {
        assert_eq!(client.say(said), heard, "{said}");
    }
    assert_eq!(
        client.last(&format!("CREATE {}", "a".repeat(600))),
        "t NO [CANNOT] this is no name for a mailbox"
    );
}

#[test]
fn renaming_inbox_leaves_an_empty_one() {
    let mut client = Provider::new().client();
    client.append("INBOX", &message("uno"));
    assert_eq!(client.say("RENAME INBOX Vecchia"), "t OK renamed\n");
    assert_eq!(client.say("STATUS Vecchia (MESSAGES)"), "* STATUS \"Vecchia\" (MESSAGES 1)\nt OK done\n");
    assert_eq!(client.say("STATUS INBOX (MESSAGES)"), "* STATUS \"INBOX\" (MESSAGES 0)\nt OK done\n");
}

#[test]
fn namespace_and_quota() {
    let provider = Provider::new();
    let mut client = provider.client();
    assert_eq!(client.say("NAMESPACE"), "* NAMESPACE ((\"\" \"/\")) NIL NIL\nt OK done\n");
    let limit = provider.account.quota_bytes / 1024;
    client.append("INBOX", &"x".repeat(2000));
    assert_eq!(client.say("GETQUOTA \"\""), format!("* QUOTA \"\" (STORAGE 2 {limit})\nt OK done\n"));
    assert_eq!(
        client.say("GETQUOTAROOT Sent"),
        format!("* QUOTAROOT \"Sent\" \"\"\n* QUOTA \"\" (STORAGE 2 {limit})\nt OK done\n")
    );
    assert_eq!(client.say("GETQUOTA altro"), "t NO [NONEXISTENT] there is no such quota root\n");
    assert_eq!(client.say("GETQUOTAROOT Niente"), "t NO [NONEXISTENT] there is no such mailbox\n");
    assert_eq!(client.say("SETQUOTA \"\" (STORAGE 5)"), "t NO [NOPERM] the provider sets the quota\n");
}

#[test]
fn select_says_what_there_is_to_know() {
    let provider = Provider::new();
    let mut client = provider.client();
    client.append("INBOX", &message("uno"));
    client.append("INBOX", &message("due"));
    let heard = client.say("SELECT INBOX");
    let validity = heard.split("UIDVALIDITY ").nth(1).unwrap().split(']').next().unwrap().to_owned();
    assert_eq!(
        heard,
        format!(
            "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\n\
             * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] flags that are kept\n* 2 EXISTS\n* 0 RECENT\n\
             * OK [UNSEEN 1] the first\n* OK [UIDVALIDITY {validity}] UIDs are valid\n* OK [UIDNEXT 3] the next\n\
             * OK [HIGHESTMODSEQ 3] the highest\nt OK [READ-WRITE] selected\n"
        )
    );
    let heard = client.say("EXAMINE Sent");
    assert!(heard.starts_with("* OK [CLOSED] "), "{heard}");
    assert!(heard.contains("PERMANENTFLAGS ()") && heard.ends_with("t OK [READ-ONLY] selected\n"), "{heard}");
    for command in ["STORE 1:* +FLAGS (\\Seen)", "MOVE 1:* INBOX", "EXPUNGE"] {
        assert_eq!(
            client.last(command),
            "t NO [READ-ONLY] the mailbox was opened to be read only",
            "{command}"
        );
    }
    // A SELECT that fails leaves nothing selected (RFC 9051 §6.3.2).
    client.say("SELECT Niente");
    assert_eq!(client.last("CHECK"), "t BAD select a mailbox first");
    client.say("ENABLE IMAP4rev2");
    let heard = client.say("SELECT INBOX");
    assert!(
        !heard.contains("RECENT")
            && heard.contains("* LIST (\\HasNoChildren \\Subscribed) \"/\" \"INBOX\"\n"),
        "{heard}"
    );
}
