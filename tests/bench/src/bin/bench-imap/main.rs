//! Reading by IMAP beside Dovecot: the same messages, the same client, the same machine, one after the other.

mod client;
mod servers;

use std::path::PathBuf;

use clap::Parser;
use client::Client;
use serde::Serialize;
use servers::{Dovecot, Server, Sigillo};
use sigillo_bench::Failure;

/// IMAP beside Dovecot.
///
/// Example: cargo xtask bench imap --messages 10000 --json
#[derive(Parser)]
struct Options {
    /// The sigillo binary.
    #[arg(long)]
    sigillo: PathBuf,
    /// Messages of the mailbox.
    #[arg(long, default_value_t = 10_000)]
    messages: usize,
    /// Messages whose bodies are fetched.
    #[arg(long, default_value_t = 1_000)]
    bodies: usize,
    /// Idle connections.
    #[arg(long, default_value_t = 200)]
    idle: usize,
    /// KB of a message.
    #[arg(long, default_value_t = 8)]
    size_kb: usize,
    /// How often each command is run; the median counts.
    #[arg(long, default_value_t = 7)]
    runs: usize,
    /// How Dovecot keeps mail: maildir, sdbox or mdbox.
    #[arg(long, default_value = "maildir")]
    dovecot_format: String,
    /// Without Dovecot.
    #[arg(long)]
    alone: bool,
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// One thing that was measured, of both; seconds, or octets.
#[derive(Serialize)]
struct Figure {
    what: &'static str,
    unit: &'static str,
    sigillo: f64,
    dovecot: Option<f64>,
}

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let dir = tempfile::tempdir()?;
    let (ours, theirs) = (dir.path().join("sigillo"), dir.path().join("dovecot"));
    let ours = measure(|| Sigillo::start(&options.sigillo, &ours), &options)?;
    let theirs = match options.alone {
        true => Vec::new(),
        false => measure(|| Dovecot::start(&theirs, &options.dovecot_format), &options)?,
    };
    let figures: Vec<Figure> = ours
        .into_iter()
        .enumerate()
        .map(|(n, (what, unit, sigillo))| Figure { what, unit, sigillo, dovecot: theirs.get(n).map(|t| t.2) })
        .collect();
    if options.json {
        println!("{}", serde_json::to_string(&figures)?);
        return Ok(());
    }
    println!(
        "{} messages of {} KB; Dovecot keeps them as {}",
        options.messages, options.size_kb, options.dovecot_format
    );
    println!("{:<44} {:>12} {:>12} {:>8}", "", "sigillo", "dovecot", "ratio");
    for figure in &figures {
        let (shown, unit): (fn(f64) -> String, _) = match figure.unit {
            "s" => (|s| format!("{:.2}", s * 1000.0), "ms"),
            _ => (|octets| format!("{:.0}", octets / 1024.0), "KiB"),
        };
        let theirs = figure.dovecot.map_or_else(|| "-".to_owned(), shown);
        // Above 1: we take less.
        let ratio = figure.dovecot.map_or_else(|| "-".to_owned(), |d| format!("{:.2}", d / figure.sigillo));
        println!("{:<40} {unit:>3} {:>12} {theirs:>12} {ratio:>8}", figure.what, shown(figure.sigillo));
    }
    Ok(())
}

type Measured = (&'static str, &'static str, f64);

/// Measures a server: `start` starts it, and once more on what it has stored.
fn measure<S: Server>(
    start: impl Fn() -> Result<S, Failure>,
    options: &Options,
) -> Result<Vec<Measured>, Failure> {
    let mut figures: Vec<Measured> = Vec::new();
    let server = start()?;
    let mut client = Client::connect(&server)?;

    // 1. The same messages into both, the way clients put them.
    let texts: Vec<String> = (0..options.messages).map(|n| message(n, options.size_kb * 1024)).collect();
    let took = client.append_all(&texts)?;
    figures.push(("APPEND of all, pipelined", "s", took));

    // 2. Commands, each from a fresh selection where it matters; the first run warms what can be warmed.
    let mut time = |what, client: &mut Client, command: &str, least: usize| -> Result<(), Failure> {
        let mut times = Vec::new();
        for _ in 0..options.runs {
            let answer = client.command(command)?;
            if answer.octets < least {
                return Err(format!("{command}: only {} octets came", answer.octets).into());
            }
            times.push(answer.seconds);
        }
        figures.push((what, "s", middle(times)));
        Ok(())
    };
    let bodies = options.bodies.min(options.messages);
    time("SELECT", &mut client, "SELECT INBOX", 100)?;
    time("FETCH 1:* FLAGS", &mut client, "FETCH 1:* (FLAGS)", options.messages * 15)?;
    time("UID FETCH 1:* (FLAGS MODSEQ)", &mut client, "UID FETCH 1:* (FLAGS MODSEQ)", options.messages * 15)?;
    time("FETCH 1:* ENVELOPE", &mut client, "FETCH 1:* (ENVELOPE)", options.messages * 100)?;
    time("FETCH 1:* BODYSTRUCTURE", &mut client, "FETCH 1:* (BODYSTRUCTURE)", options.messages * 50)?;
    let least = bodies * options.size_kb * 900;
    time("FETCH of bodies", &mut client, &format!("FETCH 1:{bodies} (BODY.PEEK[])"), least)?;
    time("SEARCH UNSEEN", &mut client, "SEARCH UNSEEN", options.messages)?;
    time("SEARCH SUBJECT", &mut client, "SEARCH SUBJECT \"numero 77\"", 10)?;
    time("SEARCH BODY", &mut client, "SEARCH BODY \"parola che manca\"", 10)?;
    time("SORT (REVERSE DATE)", &mut client, "SORT (REVERSE DATE) UTF-8 ALL", options.messages)?;
    client.command("LOGOUT")?;

    drop(server);

    // 3. Idle connections on that mailbox, of a server that has done nothing else: what each adds to its memory.
    let server = start()?;
    let mut idle = vec![idle_client(&server)?];
    let before = server.memory()?;
    for _ in 0..options.idle {
        idle.push(idle_client(&server)?);
    }
    let added = server.memory()?.saturating_sub(before);
    figures.push(("memory of an idle connection", "octets", added as f64 / options.idle.max(1) as f64));
    Ok(figures)
}

fn idle_client(server: &dyn Server) -> Result<Client, Failure> {
    let mut client = Client::connect(server)?;
    client.command("SELECT INBOX")?;
    client.idle()?;
    Ok(client)
}

/// The median.
fn middle(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// A message of about so many octets, no two the same.
fn message(n: usize, octets: usize) -> String {
    let minute = n % 60;
    let mut text = format!(
        "Return-Path: <mittente{n}@pec.alfa.example>\r\nReceived: from posta.alfa.example by posta.beta.example with ESMTPS id {n:08x};\r\n\
         \tMon, 2 Mar 2026 09:{minute:02}:00 +0100\r\nDate: Mon, 2 Mar 2026 09:{minute:02}:00 +0100\r\n\
         From: \"Mittente numero {n}\" <mittente{n}@pec.alfa.example>\r\nTo: destinatario@pec.beta.example, altro{n}@pec.beta.example\r\n\
         Subject: POSTA CERTIFICATA: pratica numero {n}\r\nMessage-ID: <{n:08x}@pec.alfa.example>\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"parti{n}\"\r\n\r\n--parti{n}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\nPratica {n}, perch=C3=A9 s=C3=AC.\r\n"
    );
    while text.len() < octets / 2 {
        text.push_str(
            "Il testo della pratica va avanti con altre parole, tutte diverse da quella cercata.\r\n",
        );
    }
    text.push_str(&format!(
        "--parti{n}\r\nContent-Type: application/pdf; name=\"atto{n}.pdf\"\r\nContent-Disposition: attachment; filename=\"atto{n}.pdf\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n"
    ));
    while text.len() < octets {
        text.push_str("JVBERi0xLjQKJcOkw7zDtsOfCjIgMCBvYmoKPDwvTGVuZ3RoIDMgMCBSPj4KJVBERi0xLjQK\r\n");
    }
    text.push_str(&format!("--parti{n}--\r\n"));
    text
}
