use super::*;

const MIXED: &str = "Date: Mon, 2 Mar 2026 09:00:00 +0100\r\nFrom: Mittente <a@alfa.example>\r\nTo: b@beta.example\r\nSubject: =?utf-8?q?Perch=C3=A9?=\r\n\
Message-ID: <1@alfa.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain; charset=utf-8\r\n\
Content-Transfer-Encoding: quoted-printable\r\n\r\nPerch=C3=A9 =\r\nno\r\n--x\r\nContent-Type: message/rfc822; name=postacert.eml\r\n\r\nSubject: dentro\r\nX-Altro: si\r\n\r\n\
interno\r\n--x\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\nAwQ=\r\n--x--\r\n";

fn literal(name: &str, octets: &str) -> String {
    format!("{name} {{{}}}\n{}", octets.len(), octets.replace("\r\n", "\n"))
}

#[test]
fn whole_messages_come_back_byte_for_byte() {
    let mut client =
        Provider::new().inbox(&[MIXED, "\r\n", "", "solo testo\nsenza fine", "\u{e8}\r\n\r\n\u{e8}"]);
    for (n, message) in
        [MIXED, "\r\n", "", "solo testo\nsenza fine", "\u{e8}\r\n\r\n\u{e8}"].iter().enumerate()
    {
        let heard = client.send(format!("a FETCH {} BODY.PEEK[]\r\n", n + 1).as_bytes());
        assert_eq!(
            heard,
            format!("* {} FETCH (BODY[] {{{}}}\r\n{message})\r\na OK done\r\n", n + 1, message.len())
        );
    }
}

#[test]
fn simple_items_and_macros() {
    let mut client = Provider::new().client();
    let said = format!(
        "APPEND INBOX (\\Seen Lavoro) \"17-Jul-1996 02:44:25 -0700\" {{{}+}}\r\n{}",
        9, "a: b\r\n\r\nc"
    );
    client.say(&said);
    client.say("SELECT INBOX");
    assert_eq!(
        client.say("FETCH 1 (FLAGS UID INTERNALDATE RFC822.SIZE MODSEQ)"),
        "* 1 FETCH (FLAGS (\\Seen Lavoro) UID 1 INTERNALDATE \"17-Jul-1996 09:44:25 +0000\" RFC822.SIZE 9 MODSEQ (2))\nt OK done\n"
    );
    assert_eq!(
        client.say("FETCH 1 FAST"),
        "* 1 FETCH (FLAGS (\\Seen Lavoro) INTERNALDATE \"17-Jul-1996 09:44:25 +0000\" RFC822.SIZE 9)\nt OK done\n"
    );
    assert_eq!(
        client.say("UID FETCH 1 FULL"),
        "* 1 FETCH (UID 1 FLAGS (\\Seen Lavoro) INTERNALDATE \"17-Jul-1996 09:44:25 +0000\" RFC822.SIZE 9 \
         ENVELOPE (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) BODY (\"text\" \"plain\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 1 0))\nt OK done\n"
    );
    assert_eq!(client.say("UID FETCH 7 FLAGS"), "t OK done\n");
    assert_eq!(client.say("FETCH 7 FLAGS"), "t BAD there is no message of this number\n");
}

#[test]
fn sections() {
    let mut client = Provider::new().inbox(&[MIXED]);
    let header = &MIXED[..MIXED.find("--x").unwrap()];
    let text = &MIXED[header.len()..];
    for (section, expected) in [
        ("BODY.PEEK[HEADER]", literal("BODY[HEADER]", header)),
        ("BODY.PEEK[TEXT]", literal("BODY[TEXT]", text)),
        ("RFC822.HEADER", literal("RFC822.HEADER", header)),
        (
            "BODY.PEEK[HEADER.FIELDS (subject \"To\" X)]",
            literal(
                "BODY[HEADER.FIELDS (subject To X)]",
                "To: b@beta.example\r\nSubject: =?utf-8?q?Perch=C3=A9?=\r\n\r\n",
            ),
        ),
        ("BODY.PEEK[HEADER.FIELDS (X)]", literal("BODY[HEADER.FIELDS (X)]", "\r\n")),
        (
            "BODY.PEEK[HEADER.FIELDS.NOT (Date From To Subject Message-ID Content-Type)]",
            literal(
                "BODY[HEADER.FIELDS.NOT (Date From To Subject Message-ID Content-Type)]",
                "MIME-Version: 1.0\r\n\r\n",
            ),
        ),
        ("BODY.PEEK[1]", literal("BODY[1]", "Perch=C3=A9 =\r\nno")),
        (
            "BODY.PEEK[1.MIME]",
            literal(
                "BODY[1.MIME]",
                "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
            ),
        ),
        ("BODY.PEEK[2]", literal("BODY[2]", "Subject: dentro\r\nX-Altro: si\r\n\r\ninterno")),
        ("BODY.PEEK[2.HEADER]", literal("BODY[2.HEADER]", "Subject: dentro\r\nX-Altro: si\r\n\r\n")),
        ("BODY.PEEK[2.TEXT]", literal("BODY[2.TEXT]", "interno")),
        ("BODY.PEEK[2.1]", literal("BODY[2.1]", "interno")),
        (
            "BODY.PEEK[2.HEADER.FIELDS (x-altro)]",
            literal("BODY[2.HEADER.FIELDS (x-altro)]", "X-Altro: si\r\n\r\n"),
        ),
        ("BODY.PEEK[3]", literal("BODY[3]", "AAEC\r\nAwQ=")),
        ("BODY.PEEK[4]", "BODY[4] NIL".to_owned()),
        ("BODY.PEEK[1.HEADER]", "BODY[1.HEADER] NIL".to_owned()),
        ("BODY.PEEK[]<6.3>", literal("BODY[]<6>", "Mon")),
        ("BODY.PEEK[1]<11.100>", literal("BODY[1]<11>", " =\r\nno")),
        ("BODY.PEEK[1]<1000.5>", literal("BODY[1]<1000>", "")),
        ("BODY.PEEK[TEXT]<0.3>", literal("BODY[TEXT]<0>", "--x")),
    ] {
        assert_eq!(
            client.say(&format!("FETCH 1 {section}")),
            format!("* 1 FETCH ({expected})\nt OK done\n"),
            "{section}"
        );
    }
}

#[test]
fn several_items_in_one_answer() {
    let mut client = Provider::new().inbox(&["a: b\r\n\r\nc"]);
    assert_eq!(
        client.say("FETCH 1 (BODY.PEEK[TEXT] UID BODY.PEEK[HEADER] RFC822.SIZE)"),
        "* 1 FETCH (UID 1 RFC822.SIZE 9 BODY[TEXT] {1}\nc BODY[HEADER] {8}\na: b\n\n)\nt OK done\n"
    );
}

#[test]
fn parts_without_their_transfer_encoding() {
    let mut client = Provider::new().inbox(&[MIXED]);
    let heard = client.send(b"a FETCH 1 (BINARY.PEEK[3] BINARY.SIZE[3] BINARY.SIZE[1])\r\n");
    assert_eq!(
        heard,
        "* 1 FETCH (BINARY[3] ~{5}\r\n\0\u{1}\u{2}\u{3}\u{4} BINARY.SIZE[3] 5 BINARY.SIZE[1] 10)\r\na OK done\r\n"
    );
    let heard = client.send(b"a FETCH 1 BINARY.PEEK[1]<5.100>\r\n");
    assert_eq!(heard, "* 1 FETCH (BINARY[1]<5> ~{5}\r\n\u{e9} no)\r\na OK done\r\n");
    let broken = "Content-Transfer-Encoding: x-mai-visto\r\n\r\nc";
    client.append("INBOX", broken);
    assert_eq!(
        client.last("FETCH 2 (UID BINARY.PEEK[1])"),
        "t NO [UNKNOWN-CTE] the transfer encoding is unknown or broken"
    );
    assert_eq!(client.say("FETCH 2 (BINARY.SIZE[7])"), "* 2 FETCH (BINARY.SIZE[7] 0)\nt OK done\n");
}

#[test]
fn envelope_and_structure() {
    let mut client = Provider::new().inbox(&[MIXED]);
    let expected = "* 1 FETCH (ENVELOPE (\"Mon, 2 Mar 2026 09:00:00 +0100\" \"=?utf-8?q?Perch=C3=A9?=\" \
        ((\"Mittente\" NIL \"a\" \"alfa.example\")) ((\"Mittente\" NIL \"a\" \"alfa.example\")) ((\"Mittente\" NIL \"a\" \"alfa.example\")) \
        ((NIL NIL \"b\" \"beta.example\")) NIL NIL NIL \"<1@alfa.example>\") BODYSTRUCTURE ((\"text\" \"plain\" (\"charset\" \"utf-8\") NIL NIL \
        \"quoted-printable\" 17 1 NIL NIL NIL NIL)(\"message\" \"rfc822\" (\"name\" \"postacert.eml\") NIL NIL \"7BIT\" 39 \
        (NIL \"dentro\" NIL NIL NIL NIL NIL NIL NIL NIL) (\"text\" \"plain\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 7 0 NIL NIL NIL NIL) 3 \
        NIL NIL NIL NIL)(\"application\" \"octet-stream\" NIL NIL NIL \"base64\" 10 NIL NIL NIL NIL) \"mixed\" (\"boundary\" \"x\") NIL NIL NIL))\n\
        t OK done\n";
    assert_eq!(client.say("FETCH 1 (ENVELOPE BODYSTRUCTURE)"), expected);
}

/// What deliver files has no outline yet: it is made at the first look, and kept.
#[test]
fn an_outline_that_is_missing_is_made_once() {
    let provider = Provider::new();
    let first = provider.inbox(&[MIXED]).say("FETCH 1 BODYSTRUCTURE");
    let provider = provider.restarted();
    let (rim, id) = (provider.world.rim(), provider.account.id.clone());
    let row = || exec::run(stages::mailbox::message(&rim, &id, "inbox", 1)).unwrap().unwrap().unwrap();
    assert!(row().structure.unwrap().starts_with("1{"), "what is appended has one");
    exec::run(stages::mailbox::keep_structures(&rim, vec![(row(), "0{}".to_owned())])).unwrap().unwrap();
    assert_eq!(row().structure.as_deref(), Some("0{}"));
    assert_eq!(provider.inbox(&[]).say("FETCH 1 BODYSTRUCTURE"), first);
    assert!(row().structure.unwrap().starts_with("1{"));
    assert_eq!(provider.restarted().inbox(&[]).say("FETCH 1 BODYSTRUCTURE"), first);
}

#[test]
fn reading_marks_as_seen_and_peeking_does_not() {
    let mut client = Provider::new().inbox(&["a: b\r\n\r\nc", "a: b\r\n\r\nd"]);
    client.say("FETCH 1 (BODY.PEEK[] ENVELOPE RFC822.HEADER)");
    assert_eq!(client.say("FETCH 1 FLAGS"), "* 1 FETCH (FLAGS ())\nt OK done\n");
    assert_eq!(
        client.say("FETCH 1 BODY[TEXT]"),
        "* 1 FETCH (BODY[TEXT] {1}\nc)\n* 1 FETCH (UID 1 FLAGS (\\Seen))\nt OK done\n"
    );
    assert_eq!(client.say("FETCH 1 RFC822"), "* 1 FETCH (RFC822 {9}\na: b\n\nc)\nt OK done\n");
    client.say("EXAMINE INBOX");
    assert_eq!(client.say("FETCH 2 RFC822.TEXT"), "* 2 FETCH (RFC822.TEXT {1}\nd)\nt OK done\n");
    assert_eq!(client.say("FETCH 2 FLAGS"), "* 2 FETCH (FLAGS ())\nt OK done\n");
}

#[test]
fn changed_since() {
    let mut client = Provider::new().inbox(&["1", "2", "3"]);
    assert_eq!(
        client.say("FETCH 1:* FLAGS (CHANGEDSINCE 3)"),
        "* 3 FETCH (FLAGS () MODSEQ (4))\nt OK done\n"
    );
    // From here on MODSEQ is told with every change (RFC 7162 §3.1).
    assert_eq!(
        client.say("STORE 1 +FLAGS (\\Seen)"),
        "* 1 FETCH (UID 1 FLAGS (\\Seen) MODSEQ (5))\nt OK done\n"
    );
    assert_eq!(client.say("UID FETCH 1:* FLAGS (CHANGEDSINCE 1 VANISHED)"), "t BAD QRESYNC is not enabled\n");
}

#[test]
fn sets_in_every_order() {
    let mut client = Provider::new().inbox(&["1", "2", "3", "4", "5"]);
    let mut uids = |set: &str| {
        let heard = client.say(&format!("UID FETCH {set} UID"));
        heard
            .lines()
            .filter_map(|l| l.split("UID ").nth(1)?.split(')').next()?.parse().ok())
            .collect::<Vec<u32>>()
    };
    assert_eq!(uids("4:2,1"), [1, 2, 3, 4]);
    assert_eq!(uids("*"), [5]);
    assert_eq!(uids("9:*"), [5]);
    assert_eq!(uids("1:4294967295"), [1, 2, 3, 4, 5]);
    assert_eq!(
        client.say("FETCH 2:3,* UID"),
        "* 2 FETCH (UID 2)\n* 3 FETCH (UID 3)\n* 5 FETCH (UID 5)\nt OK done\n"
    );
}

#[test]
fn an_empty_mailbox_has_no_messages_to_name() {
    let mut client = Provider::new().inbox(&[]);
    for command in ["FETCH 1:* FLAGS", "UID FETCH 1:* FLAGS", "STORE 1:* +FLAGS (\\Seen)", "COPY 1:* Sent"] {
        assert!(client.last(command).starts_with("t OK"), "{command}");
    }
}
