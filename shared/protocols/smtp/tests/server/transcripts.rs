//! Whole sessions, in files: `C:` is said with its CR LF, `R:` is said raw with escapes, `!` is something else that
//! happens; everything else is what the session must give. With `UPDATE=1` the files are written anew.

use std::{fmt::Write as _, fs, path::Path};

use sigillo_smtp::server::{Role, Settings, Tls};

use crate::talk::Talk;

#[test]
fn every_transcript_is_what_happens() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server/transcripts");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 10, "the transcripts are gone");
    for file in files {
        let expected = fs::read_to_string(&file).unwrap();
        let found = replay(&expected);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&file, found).unwrap();
        } else {
            assert_eq!(found, expected, "{}", file.display());
        }
    }
}

/// The transcript with what really happens.
fn replay(script: &str) -> String {
    let mut out = String::new();
    let mut settings = Settings::new(Role::Exchange, "mx.alfa.example");
    let mut tls = Tls::Offered;
    let mut lines = script.lines();
    for line in lines.by_ref() {
        writeln!(out, "{line}").unwrap();
        match line.split(' ').collect::<Vec<_>>()[..] {
            [""] => break,
            ["role", "submission"] => settings = Settings::new(Role::Submission, "invio.alfa.example"),
            ["role", "exchange"] => {}
            ["secure"] => tls = Tls::On,
            ["starttls", "off"] => tls = Tls::Absent,
            ["errors", n] => settings.errors_max = n.parse().unwrap(),
            ["recipients", n] => settings.recipients_max = n.parse().unwrap(),
            ["size", n] => settings.size_bytes_max = n.parse().unwrap(),
            ["idle", n] => settings.idle_commands_per_minute = n.parse().unwrap(),
            ["#", ..] => {}
            _ => panic!("{line}"),
        }
    }
    let mut talk = Talk::new(settings, tls);
    shown(&mut talk, &mut out);
    for line in lines {
        let Some((who, what)) = line.split_once(' ') else { continue };
        if who == "S:" || who == "*" {
            continue;
        }
        writeln!(out, "{line}").unwrap();
        match (who, what) {
            ("C:", text) => talk.say(format!("{text}\r\n").as_bytes()),
            ("R:", text) => talk.say(&unescape(text)),
            ("!", "secured") => talk.machine.secured(),
            ("!", "a minute later") => talk.machine.new_minute(),
            ("!", "no room") => talk.machine.no_room(),
            ("!", "drain") => {
                let step = talk.machine.drain();
                talk.does(step);
            }
            ("!", "silence") => {
                let step = talk.machine.too_slow();
                talk.does(step);
            }
            _ => panic!("{line}"),
        }
        shown(&mut talk, &mut out);
    }
    out
}

fn shown(talk: &mut Talk, out: &mut String) {
    talk.hear();
    let outcome = std::mem::take(&mut talk.outcome);
    for (transaction, content) in outcome.taken {
        let from = transaction.reverse_path.unwrap_or_default();
        let to = transaction.forward_paths.join("> <");
        writeln!(out, "* taken <{from}> to <{to}> \"{}\"", content.escape_ascii()).unwrap();
    }
    for line in outcome.said.split_terminator("\r\n") {
        writeln!(out, "S: {line}").unwrap();
    }
    if outcome.handshakes > 0 {
        writeln!(out, "* TLS begins").unwrap();
    }
    if outcome.closed {
        writeln!(out, "* closed").unwrap();
        talk.outcome.closed = true;
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut chars = text.bytes();
    while let Some(b) = chars.next() {
        octets.push(match b {
            b'\\' => match chars.next().unwrap() {
                b'r' => b'\r',
                b'n' => b'\n',
                b'0' => 0,
                b'e' => 0xe8,
                b'\\' => b'\\',
                other => panic!("\\{other}"),
            },
            b => b,
        });
    }
    octets
}
