use proptest::prelude::*;

use super::*;
use crate::command::*;

fn parse(text: &str) -> Verb {
    let command = command(text.as_bytes()).unwrap_or_else(|bad| panic!("{text}: {}", bad.why));
    assert_eq!(command.tag, "a1");
    command.verb
}

fn refused(text: &str) -> &'static str {
    command(text.as_bytes()).expect_err(text).why
}

fn name(text: &str) -> Name {
    Name(text.as_bytes().to_vec())
}

fn ranges(ranges: &[(u32, u32)]) -> Set {
    let bound = |n: u32| if n == 0 { None } else { Some(n) };
    Set::Ranges(ranges.iter().map(|(a, b)| (bound(*a), bound(*b))).collect())
}

#[test]
fn commands_without_arguments() {
    for (text, verb) in [
        ("a1 CAPABILITY", Verb::Capability),
        ("a1 noop", Verb::Noop),
        ("a1 NoOp ", Verb::Noop),
        ("a1 LOGOUT", Verb::Logout),
        ("a1 STARTTLS", Verb::StartTls),
        ("a1 NAMESPACE", Verb::Namespace),
        ("a1 IDLE", Verb::Idle),
        ("a1 CHECK", Verb::Check),
        ("a1 CLOSE", Verb::Close),
        ("a1 UNSELECT", Verb::Unselect),
        ("a1 EXPUNGE", Verb::Expunge(None)),
    ] {
        assert_eq!(parse(text), verb, "{text}");
        assert!(command(format!("{text} x").as_bytes()).is_err());
    }
}

#[test]
fn strings_of_every_kind() {
    let login = |user: &[u8], password: &[u8]| Verb::Login {
        user: user.to_vec(),
        password: Secret(password.to_vec()),
    };
    for (text, verb) in [
        ("a1 LOGIN a@alfa.example segreta", login(b"a@alfa.example", b"segreta")),
        ("a1 LOGIN \"a\" \"se\\\"gr\\\\eta \"", login(b"a", b"se\"gr\\eta ")),
        ("a1 LOGIN {3}\r\na b {4+}\r\n(\"{)", login(b"a b", b"(\"{)")),
        ("a1 LOGIN \"è\" {0}\r\n", login("è".as_bytes(), b"")),
    ] {
        assert_eq!(parse(text), verb, "{text}");
    }
    for text in [
        "a1 LOGIN a",
        "a1 LOGIN a \"b",
        "a1 LOGIN a \"b\\c\"",
        "a1 LOGIN (a) b",
        "a1 LOGIN a b c",
        "a1 LOGIN {4}\r\na b",
        "a1 LOGIN \"a\r\nb\" c",
        "a1 LOGIN a\x07 b",
        "a1 LOGIN * b",
    ] {
        refused(text);
    }
    assert_eq!(format!("{:?}", parse("a1 LOGIN a segreta")), "Login { user: [97], password: Secret }");
}

#[test]
fn tags() {
    for (text, tag) in [
        ("", None),
        ("a1", None),
        (" a1 NOOP", None),
        ("+ NOOP", None),
        ("a1 XYZ", Some("a1")),
        ("a{ NOOP", None),
    ] {
        assert_eq!(command(text.as_bytes()).expect_err(text).tag.as_deref(), tag, "{text}");
    }
    assert_eq!(refused(&format!("{} NOOP", "t".repeat(65))), "a command starts with a tag and a space");
}

#[test]
fn authenticate() {
    let plain = |initial: Option<&[u8]>| Verb::Authenticate {
        mechanism: "PLAIN".to_owned(),
        initial: initial.map(<[u8]>::to_vec),
    };
    assert_eq!(parse("a1 AUTHENTICATE PLAIN"), plain(None));
    assert_eq!(parse("a1 AUTHENTICATE plain ="), plain(Some(b"")));
    assert_eq!(parse("a1 AUTHENTICATE PLAIN AGEAYg=="), plain(Some(b"\0a\0b")));
    refused("a1 AUTHENTICATE PLAIN A");
    refused("a1 AUTHENTICATE ");
}

#[test]
fn select_with_parameters() {
    let select = |read_only, condstore, qresync| {
        Verb::Select(Select { mailbox: name("INBOX"), read_only, condstore, qresync })
    };
    assert_eq!(parse("a1 SELECT INBOX"), select(false, false, None));
    assert_eq!(parse("a1 EXAMINE \"INBOX\" (CONDSTORE)"), select(true, true, None));
    let resync = |known| Some(Resync { uidvalidity: 67_890_007, modseq: 90_060_115_194_045_000, known });
    assert_eq!(
        parse("a1 SELECT INBOX (QRESYNC (67890007 90060115194045000))"),
        select(false, false, resync(None))
    );
    let known = Some(ranges(&[(41, 211), (214, 541)]));
    assert_eq!(
        parse("a1 SELECT INBOX (QRESYNC (67890007 90060115194045000 41:211,214:541))"),
        select(false, false, resync(known.clone()))
    );
    assert_eq!(
        parse("a1 SELECT INBOX (QRESYNC (67890007 90060115194045000 41:211,214:541 (1:9 41:49)) CONDSTORE)"),
        select(false, true, resync(known))
    );
    assert_eq!(
        parse("a1 SELECT INBOX (QRESYNC (67890007 90060115194045000 (1 41)))"),
        select(false, false, resync(None))
    );
    for text in [
        "a1 SELECT",
        "a1 SELECT INBOX (",
        "a1 SELECT INBOX ()",
        "a1 SELECT INBOX (X)",
        "a1 SELECT INBOX (QRESYNC (1))",
        "a1 SELECT INBOX (QRESYNC (0 1))",
    ] {
        refused(text);
    }
}

#[test]
fn mailboxes() {
    assert_eq!(
        parse("a1 CREATE Archivio/2026"),
        Verb::Create { mailbox: name("Archivio/2026"), special_use: vec![] }
    );
    assert_eq!(
        parse("a1 CREATE Inviata (USE (\\Sent \\Archive))"),
        Verb::Create {
            mailbox: name("Inviata"),
            special_use: vec!["\\Sent".to_owned(), "\\Archive".to_owned()]
        }
    );
    assert_eq!(parse("a1 DELETE a]b"), Verb::Delete(name("a]b")));
    assert_eq!(parse("a1 RENAME a \"b c\""), Verb::Rename { from: name("a"), to: name("b c") });
    assert_eq!(parse("a1 SUBSCRIBE a"), Verb::Subscribe(name("a")));
    assert_eq!(parse("a1 UNSUBSCRIBE a"), Verb::Unsubscribe(name("a")));
    assert_eq!(parse("a1 LSUB \"\" *"), Verb::Lsub { reference: name(""), pattern: name("*") });
    assert_eq!(
        parse("a1 STATUS a (MESSAGES unseen HIGHESTMODSEQ)"),
        Verb::Status {
            mailbox: name("a"),
            items: vec![StatusItem::Messages, StatusItem::Unseen, StatusItem::HighestModSeq]
        }
    );
    assert_eq!(parse("a1 GETQUOTA \"\""), Verb::GetQuota(vec![]));
    assert_eq!(parse("a1 GETQUOTAROOT INBOX"), Verb::GetQuotaRoot(name("INBOX")));
    assert_eq!(parse("a1 SETQUOTA \"\" (STORAGE 512)"), Verb::SetQuota);
    assert_eq!(
        parse("a1 ENABLE QRESYNC condstore"),
        Verb::Enable(vec!["QRESYNC".to_owned(), "CONDSTORE".to_owned()])
    );
    assert_eq!(parse("a1 ID NIL"), Verb::Id);
    assert_eq!(parse("a1 ID (\"name\" \"x\" \"version\" NIL)"), Verb::Id);
    for text in [
        "a1 STATUS a ()",
        "a1 STATUS a (X)",
        "a1 CREATE a (X)",
        "a1 ENABLE",
        "a1 ID x",
        "a1 SUBSCRIBE \"\" x",
    ] {
        refused(text);
    }
}

#[test]
fn list_in_both_forms() {
    let plain = List {
        reference: name(""),
        patterns: vec![name("%")],
        subscribed_only: false,
        special_only: false,
        recursive: false,
        extended: false,
        return_subscribed: false,
        return_status: vec![],
    };
    assert_eq!(parse("a1 LIST \"\" %"), Verb::List(plain.clone()));
    let extended = List { extended: true, ..plain };
    assert_eq!(
        parse(
            "a1 LIST (SUBSCRIBED RECURSIVEMATCH SPECIAL-USE REMOTE) \"\" (% \"a*\") RETURN (CHILDREN SUBSCRIBED STATUS (MESSAGES))"
        ),
        Verb::List(List {
            subscribed_only: true,
            special_only: true,
            recursive: true,
            patterns: vec![name("%"), name("a*")],
            return_subscribed: true,
            return_status: vec![StatusItem::Messages],
            ..extended.clone()
        })
    );
    assert_eq!(parse("a1 LIST () \"\" % RETURN ()"), Verb::List(extended));
    for text in [
        "a1 LIST \"\"",
        "a1 LIST (RECURSIVEMATCH) \"\" %",
        "a1 LIST (X) \"\" %",
        "a1 LIST \"\" ()",
        "a1 LIST \"\" % RETURN (X)",
    ] {
        refused(text);
    }
}

#[test]
fn fetch_items_and_macros() {
    let fetch = |items| {
        Verb::Fetch(Fetch {
            by: By::Sequence,
            set: ranges(&[(1, 0)]),
            items,
            changed_since: None,
            vanished: false,
        })
    };
    let section = |part: &[u32], text, partial, peek, style| {
        Item::Section(Section { part: part.to_vec(), text, partial, peek, style })
    };
    for (items, expected) in [
        ("FLAGS", vec![Item::Flags]),
        ("FAST", vec![Item::Flags, Item::InternalDate, Item::Size]),
        ("ALL", vec![Item::Flags, Item::InternalDate, Item::Size, Item::Envelope]),
        ("FULL", vec![Item::Flags, Item::InternalDate, Item::Size, Item::Envelope, Item::Body]),
        ("(UID MODSEQ BODYSTRUCTURE BODY)", vec![Item::Uid, Item::ModSeq, Item::BodyStructure, Item::Body]),
        ("BODY[]", vec![section(&[], Text::Whole, None, false, Style::Body)]),
        ("BODY.PEEK[1.2]<0.100>", vec![section(&[1, 2], Text::Whole, Some((0, 100)), true, Style::Body)]),
        ("BODY[2.MIME]", vec![section(&[2], Text::Mime, None, false, Style::Body)]),
        ("BODY[3.1.HEADER]", vec![section(&[3, 1], Text::Header, None, false, Style::Body)]),
        ("BODY[TEXT]", vec![section(&[], Text::Text, None, false, Style::Body)]),
        (
            "BODY.PEEK[HEADER.FIELDS (From \"To\")]",
            vec![section(
                &[],
                Text::Fields(vec!["From".to_owned(), "To".to_owned()], false),
                None,
                true,
                Style::Body,
            )],
        ),
        (
            "BODY[1.HEADER.FIELDS.NOT (X)]<5.6>",
            vec![section(&[1], Text::Fields(vec!["X".to_owned()], true), Some((5, 6)), false, Style::Body)],
        ),
        ("RFC822", vec![section(&[], Text::Whole, None, false, Style::Rfc822)]),
        ("RFC822.HEADER", vec![section(&[], Text::Header, None, true, Style::Rfc822)]),
        ("RFC822.TEXT", vec![section(&[], Text::Text, None, false, Style::Rfc822)]),
        ("BINARY.PEEK[2]<0.5>", vec![section(&[2], Text::Whole, Some((0, 5)), true, Style::Binary)]),
        ("(BINARY.SIZE[1] RFC822.SIZE)", vec![Item::BinarySize(vec![1]), Item::Size]),
    ] {
        assert_eq!(parse(&format!("a1 FETCH 1:* {items}")), fetch(expected), "{items}");
    }
    for items in [
        "",
        "()",
        "X",
        "BODY[",
        "BODY[0]",
        "BODY[MIME]",
        "BODY[1.]",
        "BODY[1.X]",
        "BODY[1HEADER]",
        "BODY[HEADER.FIELDS]",
        "BODY[HEADER.FIELDS ()]",
        "BODY[]<0.0>",
        "BODY[]<5>",
        "BINARY[1.TEXT]",
        "(FLAGS",
        "FLAGS UID",
    ] {
        refused(&format!("a1 FETCH 1 {items}"));
    }
    assert_eq!(refused(&format!("a1 FETCH 1 ({})", "UID ".repeat(65).trim_end())), "a list is too long");
    assert_eq!(refused(&format!("a1 FETCH 1 BODY[{}]", "1.".repeat(70))), "a section is too deep");
}

#[test]
fn fetch_modifiers() {
    let Verb::Fetch(fetch) = parse("a1 UID FETCH 300:500 (FLAGS) (CHANGEDSINCE 12345 VANISHED)") else {
        panic!()
    };
    assert_eq!((fetch.by, fetch.changed_since, fetch.vanished), (By::Uid, Some(12345), true));
    for text in [
        "a1 FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)",
        "a1 UID FETCH 1 FLAGS (VANISHED)",
        "a1 FETCH 1 FLAGS (X)",
        "a1 FETCH 1 FLAGS ()",
        "a1 FETCH 1 FLAGS (CHANGEDSINCE)",
        "a1 FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775808)",
    ] {
        refused(text);
    }
}

#[test]
fn sets() {
    let set = |text: &str| {
        let Verb::Copy { set, .. } = parse(&format!("a1 COPY {text} x")) else { panic!() };
        set
    };
    assert_eq!(set("1"), ranges(&[(1, 1)]));
    assert_eq!(set("5:2,*,7:*,4294967295"), ranges(&[(5, 2), (0, 0), (7, 0), (u32::MAX, u32::MAX)]));
    assert_eq!(set("$"), Set::Saved);
    for text in ["0", "1:", ":1", "1,", ",1", "-1", "4294967296", "1:2:3", "a", "1 :2"] {
        refused(&format!("a1 COPY {text} x"));
    }
}

#[test]
fn store_copy_move_and_expunge() {
    let store = |how, silent, flags: &[&str], unchanged_since| {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Verb::Store(Store { by: By::Sequence, set: ranges(&[(1, 1)]), unchanged_since, how, silent, flags })
    };
    assert_eq!(
        parse("a1 STORE 1 +FLAGS (\\Seen $Label)"),
        store(How::Add, false, &["\\Seen", "$Label"], None)
    );
    assert_eq!(
        parse("a1 STORE 1 -FLAGS.SILENT \\Seen Altro"),
        store(How::Remove, true, &["\\Seen", "Altro"], None)
    );
    assert_eq!(parse("a1 STORE 1 (UNCHANGEDSINCE 5) flags ()"), store(How::Replace, false, &[], Some(5)));
    assert_eq!(
        parse("a1 UID MOVE 1 a"),
        Verb::Copy { by: By::Uid, set: ranges(&[(1, 1)]), to: name("a"), moves: true }
    );
    assert_eq!(parse("a1 UID EXPUNGE 1:3"), Verb::Expunge(Some(ranges(&[(1, 3)]))));
    for text in [
        "a1 STORE 1 FLAGS",
        "a1 STORE 1 +X (a)",
        "a1 STORE 1 FLAGS (a",
        "a1 STORE 1 (X 1) FLAGS (a)",
        "a1 EXPUNGE 1",
        "a1 UID NOOP",
        "a1 UID",
    ] {
        refused(text);
    }
}

#[test]
fn search_keys() {
    let key = |text: &str| {
        let Verb::Search(search) = parse(&format!("a1 SEARCH {text}")) else { panic!() };
        search.key
    };
    let seen = || Key::Flag("\\SEEN".to_owned());
    let not = |key| Key::Not(Box::new(key));
    for (text, expected) in [
        ("ALL", Key::All),
        ("seen", seen()),
        ("UNSEEN", not(seen())),
        ("RECENT", Key::Recent),
        ("OLD", not(Key::Recent)),
        ("NEW", Key::And(vec![Key::Recent, not(seen())])),
        ("KEYWORD Lavoro", Key::Flag("Lavoro".to_owned())),
        ("UNKEYWORD Lavoro", not(Key::Flag("Lavoro".to_owned()))),
        ("1:3,5", Key::Sequence(ranges(&[(1, 3), (5, 5)]))),
        ("$", Key::Sequence(Set::Saved)),
        ("UID 7:*", Key::Uid(ranges(&[(7, 0)]))),
        ("LARGER 5", Key::Larger(5)),
        ("SMALLER 5", Key::Smaller(5)),
        ("BEFORE 2-Jan-1970", Key::Internal(When::Before, 1)),
        ("ON \"1-feb-1970\"", Key::Internal(When::On, 31)),
        ("SINCE 31-Dec-1969", Key::Internal(When::Since, -1)),
        ("SENTBEFORE 1-Jan-1970", Key::Sent(When::Before, 0)),
        ("SENTON 29-Feb-2024", Key::Sent(When::On, 19782)),
        ("SENTSINCE 1-Jan-1970", Key::Sent(When::Since, 0)),
        ("FROM Rossi", Key::Address(Who::From, "rossi".to_owned())),
        ("TO a", Key::Address(Who::To, "a".to_owned())),
        ("CC a", Key::Address(Who::Cc, "a".to_owned())),
        ("BCC a", Key::Address(Who::Bcc, "a".to_owned())),
        ("SUBJECT \"CITTÀ \"", Key::Subject("città ".to_owned())),
        ("BODY {2}\r\nÀ", Key::Body("à".to_owned())),
        ("TEXT \"\"", Key::Text(String::new())),
        ("HEADER X-Ricevuta \"\"", Key::Header("X-Ricevuta".to_owned(), String::new())),
        ("MODSEQ 620162338", Key::ModSeq(620_162_338)),
        ("MODSEQ \"/flags/\\\\draft\" all 620162338", Key::ModSeq(620_162_338)),
        ("NOT NOT SEEN", not(not(seen()))),
        ("OR SEEN (ALL UNSEEN)", Key::Or(Box::new(seen()), Box::new(Key::And(vec![Key::All, not(seen())])))),
        ("CHARSET UTF-8 SEEN ALL", Key::And(vec![seen(), Key::All])),
    ] {
        assert_eq!(key(text), expected, "{text}");
    }
    for text in [
        "",
        "X",
        "(SEEN",
        "SEEN)",
        "()",
        "NOT",
        "OR SEEN",
        "FROM",
        "BEFORE 31-Feb-2024",
        "BEFORE 1-Foo-2024",
        "LARGER x",
        "SUBJECT {1}\r\n\u{e8}",
    ] {
        refused(&format!("a1 SEARCH {text}"));
    }
    let bad = command(b"a1 SEARCH CHARSET KOI8-R ALL").unwrap_err();
    assert!(bad.charset && bad.tag.as_deref() == Some("a1"));
    assert_eq!(refused(&format!("a1 SEARCH {}ALL", "NOT ".repeat(500))), "a search is nested too deeply");
    assert_eq!(refused(&format!("a1 SEARCH {}", "(".repeat(60_000))), "a search is nested too deeply");
    assert_eq!(refused(&format!("a1 SEARCH {}", "ALL ".repeat(500))), "a search has too many keys");
}

#[test]
fn search_results_and_sort() {
    let Verb::Search(search) = parse("a1 UID SEARCH RETURN (MIN MAX COUNT SAVE) CHARSET UTF-8 ALL") else {
        panic!()
    };
    assert_eq!(search.by, By::Uid);
    assert_eq!(search.results, Some(Results { min: true, max: true, all: false, count: true, save: true }));
    let Verb::Search(search) = parse("a1 SEARCH RETURN () ALL") else { panic!() };
    assert_eq!(search.results, Some(Results { all: true, ..Results::default() }));
    let Verb::Search(sort) = parse("a1 UID SORT (REVERSE DATE SUBJECT) UTF-8 UNSEEN") else { panic!() };
    let order =
        vec![Order { by: OrderBy::Date, reverse: true }, Order { by: OrderBy::Subject, reverse: false }];
    assert_eq!(sort.order, Some(order));
    for text in [
        "SORT () UTF-8 ALL",
        "SORT (REVERSE) UTF-8 ALL",
        "SORT (X) UTF-8 ALL",
        "SORT (DATE) ALL",
        "SORT (DATE) KOI8-R ALL",
        "SEARCH RETURN (X) ALL",
    ] {
        refused(&format!("a1 {text}"));
    }
}

#[test]
fn the_beginning_of_append() {
    let plain = Append {
        tag: "a1".to_owned(),
        mailbox: name("INBOX"),
        flags: vec![],
        date: None,
        size: 5,
        waits: true,
        utf8: false,
    };
    assert_eq!(append(b"a1 APPEND INBOX {5}"), Some(plain.clone()));
    assert_eq!(append(b"a1 append {5}\r\nINBOX {5+}"), Some(Append { waits: false, ..plain.clone() }));
    assert_eq!(
        append(b"a1 APPEND INBOX (\\Seen Altro) \"17-Jul-1996 02:44:25 -0700\" ~{5+}"),
        Some(Append {
            flags: vec!["\\Seen".to_owned(), "Altro".to_owned()],
            date: Some(837_596_665),
            waits: false,
            ..plain.clone()
        })
    );
    assert_eq!(append(b"a1 APPEND INBOX UTF8 (~{5}"), Some(Append { utf8: true, ..plain }));
    for text in [
        "a1 APPEND {5}",
        "a1 APPEND INBOX",
        "a1 LOGIN INBOX {5}",
        "a1 APPEND INBOX (x {5}",
        "a1 APPEND INBOX \"1-Jan-1970\" {5}",
    ] {
        assert_eq!(append(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn instants_are_printed_as_they_are_read() {
    assert_eq!(civil(837_596_665), "17-Jul-1996 09:44:25 +0000");
    assert_eq!(civil(0), " 1-Jan-1970 00:00:00 +0000");
    let date = |text: &str| append(format!("a1 APPEND x \"{text}\" {{1}}").as_bytes()).and_then(|a| a.date);
    assert_eq!(date(&civil(837_596_665)), Some(837_596_665));
    assert_eq!(date(&civil(0)), Some(0));
    assert_eq!(date("31-Dec-2016 23:59:60 +0000"), Some(1_483_228_799));
    for wrong in [
        "32-Jan-2020 00:00:00 +0000",
        "1-Jan-2020 24:00:00 +0000",
        "1-Jan-2020 00:00:00 0000",
        "1-Jan-99999 00:00:00 +0000",
        "1-Jan-2020 00:00:00 +9999",
    ] {
        assert_eq!(date(wrong), None, "{wrong}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(text in prop::collection::vec(prop::sample::select(vec![
        "a1 ", "SEARCH ", "FETCH ", "UID ", "LIST ", "1:*", "(", ")", "BODY[", "]", "<1.2>", "{3}\r\nabc", "\"", "NOT ", "OR ",
        "FLAGS", " ", "\\", "è", "*", "1-Jan-2020", "RETURN ", "STORE ", "HEADER.FIELDS ",
    ]), 0..30)) {
        let text = text.concat();
        let _ = command(text.as_bytes());
        let _ = append(text.as_bytes());
    }
}
