//! Several sessions on one mailbox: what each is told, and when.

use super::*;

/// Two clients with INBOX selected, where so many messages are.
fn pair(messages: usize) -> (Provider, Client, Client) {
    let provider = Provider::new();
    let texts: Vec<String> = (1..=messages).map(|n| format!("testo {n}")).collect();
    let one = provider.inbox(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let two = provider.inbox(&[]);
    (provider, one, two)
}

#[test]
fn news_of_others() {
    let (_provider, mut one, mut two) = pair(3);
    one.say("STORE 2 +FLAGS (\\Flagged)");
    one.say("STORE 1 +FLAGS (\\Deleted)");
    one.say("EXPUNGE");
    one.append("INBOX", "nuovo");
    assert_eq!(
        two.say("NOOP"),
        "* 1 EXPUNGE\n* 3 EXISTS\n* 0 RECENT\n* 1 FETCH (UID 2 FLAGS (\\Flagged))\nt OK done\n"
    );
    assert_eq!(two.say("NOOP"), "t OK done\n");
    assert_eq!(one.say("NOOP"), "t OK done\n");
}

/// RFC 9051 §7.5.1: no EXPUNGE while FETCH, STORE and SEARCH are answered; numbers stay what they were.
#[test]
fn sequence_numbers_stay_while_numbers_are_used() {
    let (_provider, mut one, mut two) = pair(4);
    one.say("STORE 2 +FLAGS.SILENT (\\Deleted)");
    one.say("EXPUNGE");
    one.append("INBOX", "quinto");
    // The search looks again, and hears of what is new; what is gone it does not tell.
    assert_eq!(two.say("SEARCH ALL"), "* 5 EXISTS\n* 0 RECENT\n* SEARCH 1 3 4 5\nt OK done\n");
    assert_eq!(two.say("FETCH 3 UID"), "* 3 FETCH (UID 3)\nt OK done\n");
    assert_eq!(
        two.say("FETCH 1:3 (UID BODY.PEEK[])"),
        "* 1 FETCH (UID 1 BODY[] {7}\ntesto 1)\n* 3 FETCH (UID 3 BODY[] {7}\ntesto 3)\n\
         t NO [EXPUNGEISSUED] some of the messages are not there any more\n"
    );
    assert_eq!(
        two.say("STORE 2:4 +FLAGS (\\Seen)"),
        "* 3 FETCH (UID 3 FLAGS (\\Seen))\n* 4 FETCH (UID 4 FLAGS (\\Seen))\n\
         t NO [EXPUNGEISSUED] some of the messages are not there any more\n"
    );
    assert_eq!(two.say("FETCH 5 UID"), "* 5 FETCH (UID 5)\nt OK done\n");
    // A command without numbers tells it.
    assert_eq!(two.say("NOOP"), "* 2 EXPUNGE\nt OK done\n");
    assert_eq!(two.say("FETCH 4 UID"), "* 4 FETCH (UID 5)\nt OK done\n");
}

#[test]
fn uid_commands_tell_of_what_is_gone() {
    let (_provider, mut one, mut two) = pair(3);
    one.say("STORE 2 +FLAGS.SILENT (\\Deleted)");
    one.say("EXPUNGE");
    assert_eq!(two.say("UID SEARCH ALL"), "* 2 EXPUNGE\n* SEARCH 1 3\nt OK done\n");
    one.say("STORE 1 +FLAGS.SILENT (\\Deleted)");
    one.say("EXPUNGE");
    assert_eq!(
        two.say("UID STORE 1:3 +FLAGS (\\Seen)"),
        "* 2 FETCH (UID 3 FLAGS (\\Seen))\n* 1 EXPUNGE\nt NO [EXPUNGEISSUED] some of the messages are not there any more\n"
    );
}

#[test]
fn what_came_and_went_was_never_there() {
    let (_provider, mut one, mut two) = pair(1);
    one.append("INBOX", "effimero");
    one.say("NOOP");
    one.say("STORE 2 +FLAGS.SILENT (\\Deleted)");
    one.say("EXPUNGE");
    assert_eq!(two.say("NOOP"), "t OK done\n");
}

#[test]
fn silent_is_silent_about_ones_own_change_only() {
    let (_provider, mut one, mut two) = pair(2);
    one.say("STORE 1 +FLAGS.SILENT (\\Flagged)");
    assert_eq!(
        two.say("STORE 1 +FLAGS.SILENT (\\Seen)"),
        "* 1 FETCH (UID 1 FLAGS (\\Flagged \\Seen))\nt OK done\n"
    );
    assert_eq!(one.say("NOOP"), "* 1 FETCH (UID 1 FLAGS (\\Flagged \\Seen))\nt OK done\n");
}

#[test]
fn idle_is_told_and_ends() {
    let (_provider, mut one, mut two) = pair(2);
    assert_eq!(two.say("IDLE"), "+ idling\n");
    assert!(two.session.is_idle());
    assert_eq!(exec::run(two.session.changed()), None);
    one.append("INBOX", "nuovo");
    one.say("STORE 1 +FLAGS.SILENT (\\Deleted)");
    one.say("EXPUNGE");
    assert_eq!(exec::run(two.session.changed()), Some(()));
    assert_eq!(two.update(), "* 1 EXPUNGE\n* 2 EXISTS\n* 0 RECENT\n");
    assert_eq!(two.update(), "");
    assert_eq!(two.send(b"done\r\n"), "t3 OK no more idle\r\n");
    assert!(!two.session.is_idle());
    two.say("IDLE");
    assert_eq!(two.send(b"NOOP\r\n"), "t4 BAD DONE ends IDLE\r\n");
}

#[test]
fn idle_tells_at_once_what_happened_before_it() {
    let (_provider, mut one, mut two) = pair(1);
    one.append("INBOX", "nuovo");
    assert_eq!(two.say("IDLE"), "+ idling\n* 2 EXISTS\n* 0 RECENT\n");
}

#[test]
fn a_mailbox_that_is_deleted_ends_the_sessions_on_it() {
    let provider = Provider::new();
    let (mut one, mut two) = (provider.client(), provider.client());
    one.say("CREATE Breve");
    two.say("SELECT Breve");
    one.say("DELETE Breve");
    assert_eq!(two.say("NOOP"), "* BYE the mailbox was deleted\n");
    assert!(two.ended);
    let mut own = provider.client();
    own.say("CREATE Breve");
    own.say("SELECT Breve");
    assert_eq!(own.say("DELETE Breve"), "t OK deleted\n");
    assert_eq!(own.say("CHECK"), "t BAD select a mailbox first\n");
}

#[test]
fn resynchronisation() {
    let (_provider, mut one, mut two) = pair(5);
    let before = two.say("SELECT INBOX");
    let word =
        |name: &str| before.split(&format!("[{name} ")).nth(1).unwrap().split(']').next().unwrap().to_owned();
    let (validity, modseq) = (word("UIDVALIDITY"), word("HIGHESTMODSEQ"));
    two.say("UNSELECT");
    one.say("STORE 2,4 +FLAGS.SILENT (\\Deleted)");
    one.say("EXPUNGE");
    one.say("STORE 1 +FLAGS.SILENT (\\Seen)");
    one.append("INBOX", "sesto");
    assert_eq!(
        two.last(&format!("SELECT INBOX (QRESYNC ({validity} {modseq}))")),
        "t BAD QRESYNC is not enabled"
    );
    two.say("ENABLE QRESYNC");
    let heard = two.say(&format!("SELECT INBOX (QRESYNC ({validity} {modseq}))"));
    assert!(
        heard.contains(
            "* VANISHED (EARLIER) 2,4\n* 1 FETCH (UID 1 FLAGS (\\Seen) MODSEQ (9))\n* 4 FETCH (UID 6 FLAGS () MODSEQ (10))\nt OK [READ-WRITE]"
        ),
        "{heard}"
    );
    let heard = two.say(&format!("SELECT INBOX (QRESYNC ({validity} {modseq} 1:3))"));
    assert!(
        heard.contains("* VANISHED (EARLIER) 2\n* 1 FETCH (UID 1 FLAGS (\\Seen) MODSEQ (9))\nt OK"),
        "{heard}"
    );
    let heard = two.say(&format!("SELECT INBOX (QRESYNC (1 {modseq}))"));
    assert!(!heard.contains("VANISHED") && !heard.contains("FETCH"), "another UIDVALIDITY: {heard}");
    assert_eq!(
        two.say(&format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq} VANISHED)")),
        "* VANISHED (EARLIER) 2,4\n* 1 FETCH (UID 1 FLAGS (\\Seen) MODSEQ (9))\n* 4 FETCH (UID 6 FLAGS () MODSEQ (10))\nt OK done\n"
    );
    // What vanishes while it is selected is told by UID.
    one.say("STORE 1 +FLAGS.SILENT (\\Deleted)");
    one.say("EXPUNGE");
    assert_eq!(two.say("NOOP"), "* VANISHED 1\nt OK done\n");
}

#[test]
fn uids_stay_over_sessions() {
    let (provider, mut one, two) = pair(3);
    one.say("STORE 3 +FLAGS.SILENT (\\Deleted)");
    one.say("EXPUNGE");
    drop((one, two));
    let mut later = provider.client();
    assert_eq!(later.append("INBOX", "quarto"), 4);
    later.say("SELECT INBOX");
    assert_eq!(
        later.say("FETCH 1:* UID"),
        "* 1 FETCH (UID 1)\n* 2 FETCH (UID 2)\n* 3 FETCH (UID 4)\nt OK done\n"
    );
}
