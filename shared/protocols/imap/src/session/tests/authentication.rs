use super::*;

#[test]
fn greeting_and_capabilities() {
    let provider = Provider::new();
    let mut client = provider.stranger();
    assert_eq!(
        client.say("CAPABILITY"),
        "* CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ENABLE ID IDLE AUTH=PLAIN\nt OK that is all\n"
    );
    let heard = provider.client().say("capability");
    for word in [
        "UIDPLUS",
        "MOVE",
        "CONDSTORE",
        "QRESYNC",
        "SPECIAL-USE",
        "LIST-EXTENDED",
        "LIST-STATUS",
        "NAMESPACE",
        "UNSELECT",
        "QUOTA",
        "SORT",
        "ESEARCH",
        "SEARCHRES",
        "APPENDLIMIT=",
    ] {
        assert!(heard.contains(&format!(" {word}")), "{word}: {heard}");
    }
    assert!(!heard.contains("AUTH="));
}

#[test]
fn login() {
    let provider = Provider::new();
    let mut client = provider.stranger();
    assert_eq!(
        client.say("LOGIN mittente sbagliata"),
        "t NO [AUTHENTICATIONFAILED] name or password is wrong\n"
    );
    assert_eq!(
        client.say("LOGIN nessuno segreta"),
        "t NO [AUTHENTICATIONFAILED] name or password is wrong\n"
    );
    assert_eq!(
        client.say("LOGIN mittente troppe"),
        "t NO [LIMIT] there were too many failures, try again later\n"
    );
    assert_eq!(client.say("LOGIN mittente guasta"), "t NO [INUSE] the mailbox is very busy, try again\n");
    assert_eq!(client.send(b"a LOGIN {8}\r\n"), "+ go on\r\n");
    assert_eq!(client.send(b"mittente {7}\r\n"), "+ go on\r\n");
    assert!(client.send(b"segreta\r\n").starts_with("a OK [CAPABILITY "));
    assert_eq!(client.say("LOGIN mittente segreta"), "t BAD somebody has signed in already\n");
    assert_eq!(client.say("LOGOUT"), "* BYE\nt OK signed out\n");
    assert!(client.ended);
}

#[test]
fn authenticate_plain() {
    let provider = Provider::new();
    // NUL mittente NUL segreta
    let response = "AG1pdHRlbnRlAHNlZ3JldGE=";
    assert!(
        provider.stranger().say(&format!("AUTHENTICATE PLAIN {response}")).starts_with("t OK [CAPABILITY ")
    );
    let mut client = provider.stranger();
    assert_eq!(client.say("AUTHENTICATE PLAIN"), "+ \n");
    assert!(client.send(format!("{response}\r\n").as_bytes()).starts_with("t1 OK [CAPABILITY "));
    assert_eq!(client.say("AUTHENTICATE PLAIN"), "t BAD somebody has signed in already\n");

    let mut client = provider.stranger();
    for (said, heard) in [
        ("AUTHENTICATE PLAIN =", "t BAD this is no message of PLAIN\n"),
        ("AUTHENTICATE LOGIN", "t NO only PLAIN is known\n"),
        (
            "AUTHENTICATE PLAIN AG1pdHRlbnRlAHNiYWdsaWF0YQ==",
            "t NO [AUTHENTICATIONFAILED] name or password is wrong\n",
        ),
        // altro NUL mittente NUL segreta
        (
            "AUTHENTICATE PLAIN YWx0cm8AbWl0dGVudGUAc2VncmV0YQ==",
            "t NO [AUTHORIZATIONFAILED] nobody acts for somebody else here\n",
        ),
    ] {
        assert_eq!(client.say(said), heard, "{said}");
    }
    client.say("AUTHENTICATE PLAIN");
    assert_eq!(client.send(b"*\r\n"), "t5 BAD as you like\r\n");
    client.say("AUTHENTICATE PLAIN");
    assert_eq!(client.send(b"???\r\n"), "t6 BAD this is not base64\r\n");
}

#[test]
fn strangers_may_do_little() {
    let mut client = Provider::new().stranger();
    for command in [
        "SELECT INBOX",
        "EXAMINE INBOX",
        "CREATE a",
        "DELETE a",
        "RENAME a b",
        "SUBSCRIBE a",
        "UNSUBSCRIBE a",
        "LIST \"\" *",
        "LSUB \"\" *",
        "NAMESPACE",
        "STATUS INBOX (MESSAGES)",
        "IDLE",
        "ENABLE CONDSTORE",
        "GETQUOTA \"\"",
        "GETQUOTAROOT INBOX",
        "FETCH 1 FLAGS",
    ] {
        assert_eq!(client.say(command), "t BAD sign in first\n", "{command}");
    }
    assert_eq!(client.say("NOOP"), "t OK done\n");
    assert_eq!(client.say("ID (\"name\" \"prova\")"), "* ID (\"name\" \"Sigillo\")\nt OK done\n");
    assert_eq!(client.say("STARTTLS"), "t BAD TLS is there already\n");
    assert_eq!(client.send(b"a APPEND INBOX {3}\r\n"), "a BAD sign in first\r\n");
}

#[test]
fn nothing_is_done_to_messages_without_a_mailbox() {
    let mut client = Provider::new().client();
    for command in [
        "FETCH 1 FLAGS",
        "STORE 1 FLAGS ()",
        "SEARCH ALL",
        "SORT (DATE) UTF-8 ALL",
        "COPY 1 INBOX",
        "MOVE 1 INBOX",
        "EXPUNGE",
        "UID EXPUNGE 1",
        "CLOSE",
        "UNSELECT",
        "CHECK",
    ] {
        assert_eq!(client.say(command), "t BAD select a mailbox first\n", "{command}");
    }
}

#[test]
fn enable() {
    let mut client = Provider::new().client();
    assert_eq!(
        client.say("ENABLE CONDSTORE x-unknown IMAP4rev2 QRESYNC UTF8=ACCEPT"),
        "* ENABLED CONDSTORE IMAP4rev2 QRESYNC UTF8=ACCEPT\nt OK enabled\n"
    );
    assert_eq!(client.say("ENABLE X"), "* ENABLED\nt OK enabled\n");
}
