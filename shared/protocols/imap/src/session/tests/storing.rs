use super::*;

#[test]
fn store_in_every_way() {
    let mut client = Provider::new().inbox(&["1", "2"]);
    for (said, heard) in [
        ("STORE 1 FLAGS (\\Seen \\Flagged)", "* 1 FETCH (UID 1 FLAGS (\\Flagged \\Seen))\nt OK done\n"),
        ("STORE 1 -FLAGS \\Flagged", "* 1 FETCH (UID 1 FLAGS (\\Seen))\nt OK done\n"),
        ("STORE 1 +FLAGS (\\Seen)", "* 1 FETCH (UID 1 FLAGS (\\Seen))\nt OK done\n"),
        ("STORE 1:2 +FLAGS.SILENT (\\Answered)", "t OK done\n"),
        ("UID STORE 2 FLAGS ()", "* 2 FETCH (UID 2 FLAGS ())\nt OK done\n"),
        ("STORE 2 +FLAGS (\\Recent)", "* 2 FETCH (UID 2 FLAGS ())\nt OK done\n"),
        ("STORE 2 +FLAGS (\\Inventata)", "t NO [CANNOT] a message cannot have this flag\n"),
        ("UID STORE 99 +FLAGS (\\Seen)", "t OK done\n"),
    ] {
        assert_eq!(client.say(said), heard, "{said}");
    }
    let heard = client.say("STORE 2 +FLAGS (Lavoro)");
    assert!(heard.ends_with("* 2 FETCH (UID 2 FLAGS (Lavoro))\n* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft Lavoro)\n\
        * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft Lavoro \\*)] flags that are kept\nt OK done\n"), "{heard}");
}

#[test]
fn unchanged_since() {
    let mut client = Provider::new().inbox(&["1", "2", "3"]);
    assert_eq!(
        client.say("STORE 1:2 (UNCHANGEDSINCE 2) +FLAGS (\\Seen)"),
        "* 1 FETCH (UID 1 FLAGS (\\Seen) MODSEQ (5))\nt OK [MODIFIED 2] some had changed\n"
    );
    assert_eq!(
        client.say("UID STORE 3 (UNCHANGEDSINCE 4) +FLAGS.SILENT (\\Seen)"),
        "* 3 FETCH (UID 3 MODSEQ (6))\nt OK done\n"
    );
    assert_eq!(client.say("UID STORE 3 (UNCHANGEDSINCE 4) FLAGS ()"), "t OK [MODIFIED 3] some had changed\n");
}

#[test]
fn copy_and_move() {
    let mut client = Provider::new().inbox(&["uno", "due", "tre"]);
    client.say("STORE 2 +FLAGS.SILENT (\\Seen Lavoro)");
    let copied = client.say("COPY 2:3 Sent");
    assert!(copied.starts_with("t OK [COPYUID ") && copied.ends_with(" 2:3 1:2] copied\n"), "{copied}");
    let moved = client.say("MOVE 1,3 Sent");
    let lines: Vec<&str> = moved.lines().collect();
    assert!(lines[0].starts_with("* OK [COPYUID ") && lines[0].ends_with(" 1,3 3:4] moved"), "{moved}");
    assert_eq!(lines[1..], ["* 3 EXPUNGE", "* 1 EXPUNGE", "t OK moved"]);
    assert_eq!(client.say("UID COPY 1 Sent"), "t OK there was nothing to do\n");
    for command in ["COPY 1 Niente", "MOVE 1 Niente", "UID MOVE 2 Niente"] {
        assert_eq!(client.last(command), "t NO [TRYCREATE] there is no such mailbox", "{command}");
    }
    client.say("SELECT Sent");
    assert_eq!(
        client.say("FETCH 1:* (FLAGS BODY.PEEK[])"),
        "* 1 FETCH (FLAGS (\\Seen Lavoro) BODY[] {3}\ndue)\n* 2 FETCH (FLAGS () BODY[] {3}\ntre)\n* 3 FETCH (FLAGS () BODY[] {3}\nuno)\n\
         * 4 FETCH (FLAGS () BODY[] {3}\ntre)\nt OK done\n"
    );
}

#[test]
fn expunge_close_and_unselect() {
    let mut client = Provider::new().inbox(&["1", "2", "3", "4", "5"]);
    client.say("STORE 2,4:5 +FLAGS.SILENT (\\Deleted)");
    assert_eq!(client.say("UID EXPUNGE 1:2"), "* 2 EXPUNGE\nt OK done\n");
    assert_eq!(client.say("EXPUNGE"), "* 4 EXPUNGE\n* 3 EXPUNGE\nt OK done\n");
    client.say("STORE 1 +FLAGS.SILENT (\\Deleted)");
    assert_eq!(client.say("UNSELECT"), "t OK closed\n");
    client.say("EXAMINE INBOX");
    assert_eq!(client.say("CLOSE"), "t OK closed\n");
    assert_eq!(
        client.say("STATUS INBOX (MESSAGES DELETED)"),
        "* STATUS \"INBOX\" (MESSAGES 2 DELETED 1)\nt OK done\n"
    );
    client.say("SELECT INBOX");
    assert_eq!(client.say("CLOSE"), "t OK closed\n");
    assert_eq!(
        client.say("STATUS INBOX (MESSAGES DELETED)"),
        "* STATUS \"INBOX\" (MESSAGES 1 DELETED 0)\nt OK done\n"
    );
}

#[test]
fn expunge_says_the_new_modseq_to_who_resynchronises() {
    let mut client = Provider::new().client();
    client.say("ENABLE QRESYNC");
    for n in 1..4 {
        client.append("INBOX", &n.to_string());
    }
    client.say("SELECT INBOX");
    client.say("STORE 1,3 +FLAGS.SILENT (\\Deleted)");
    assert_eq!(client.say("EXPUNGE"), "* VANISHED 1,3\nt OK [HIGHESTMODSEQ 6] done\n");
}

#[test]
fn append_and_its_refusals() {
    let mut client = Provider::with(Limits { append_bytes: 100, ..Limits::default() }).inbox(&[]);
    assert_eq!(client.send(b"a APPEND INBOX (\\Seen) {5}\r\n"), "+ go on\r\n");
    assert_eq!(client.send(b"uno"), "");
    let heard = client.send(b"23\r\n");
    assert!(
        heard.starts_with("* 1 EXISTS\r\n* 0 RECENT\r\na OK [APPENDUID ")
            && heard.ends_with(" 1] appended\r\n"),
        "{heard}"
    );
    for (said, heard) in [
        ("APPEND Niente {5}", "t NO [TRYCREATE] there is no such mailbox\n"),
        ("APPEND INBOX {101}", "t NO [TOOBIG] the message is too large\n"),
        ("APPEND Niente {1+}\r\nx", "t NO [TRYCREATE] there is no such mailbox\n"),
        ("APPEND INBOX (\\Inventata) {1+}\r\nx", "t NO [CANNOT] a message cannot have this flag\n"),
        ("APPEND INBOX {1+}\r\nx y", "t BAD APPEND takes one message\n"),
        ("APPEND INBOX {1+}\r\n\0", "t NO [UNKNOWN-CTE] NUL is not kept\n"),
        ("APPEND INBOX ~{2+}\r\n\0x", "t NO [UNKNOWN-CTE] NUL is not kept\n"),
        ("APPEND INBOX", "t BAD a space is missing\n"),
        ("APPEND INBOX \"testo\"", "t BAD a date is wrong\n"),
    ] {
        assert_eq!(client.say(said), heard, "{said}");
    }
    assert_eq!(client.say("STATUS INBOX (MESSAGES)"), "* STATUS \"INBOX\" (MESSAGES 1)\nt OK done\n");
    assert_eq!(
        client.say("FETCH 1 (FLAGS BODY.PEEK[])"),
        "* 1 FETCH (FLAGS (\\Seen) BODY[] {5}\nuno23)\nt OK done\n"
    );
    // RFC 6855 §4
    assert!(client.say("APPEND INBOX UTF8 (~{4+}\r\n\u{e8}ab)").contains("[APPENDUID "));
}

#[test]
fn over_the_quota_nothing_is_put_in() {
    let mut provider = Provider::new();
    provider.account.quota_bytes = 10;
    let mut client = provider.inbox(&["12345"]);
    assert_eq!(client.send(b"a APPEND INBOX {6}\r\n"), "a NO [OVERQUOTA] there is not enough room\r\n");
    client.append("INBOX", "12345");
    assert_eq!(client.last("COPY 1 Sent"), "t NO [OVERQUOTA] there is not enough room");
    assert!(client.last("MOVE 1 Sent").starts_with("t OK"));
}
