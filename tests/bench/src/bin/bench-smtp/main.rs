//! Taking mail by SMTP beside Postfix: the same messages, the same clients, the same machine, one after the other; both
//! answer 250 when the message is on the disk.

mod load;
mod servers;

use std::path::PathBuf;

use clap::Parser;
use load::Load;
use serde::Serialize;
use servers::{Postfix, Server, Sigillo};
use sigillo_bench::Failure;

/// SMTP beside Postfix.
///
/// Example: cargo xtask bench smtp --messages 5000 --json
#[derive(Parser)]
struct Options {
    /// The sigillo binary.
    #[arg(long)]
    sigillo: PathBuf,
    /// Messages of each case.
    #[arg(long, default_value_t = 3_000)]
    messages: usize,
    /// KB of a message.
    #[arg(long, default_value_t = 10)]
    size_kb: usize,
    /// Sessions at the same time.
    #[arg(long, default_value_t = 32)]
    sessions: usize,
    /// Letters of a session of a user, who signs in first.
    #[arg(long, default_value_t = 25)]
    letters: usize,
    /// Without Postfix, and without its smtp-source: submission alone.
    #[arg(long)]
    alone: bool,
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// One thing that was measured, of both; messages a second.
#[derive(Serialize)]
struct Figure {
    what: String,
    sigillo: f64,
    postfix: Option<f64>,
}

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let dir = tempfile::tempdir()?;
    let (ours, theirs) = (dir.path().join("sigillo"), dir.path().join("postfix"));
    let ours = measure(&options, || Sigillo::start(&options.sigillo, &ours))?;
    let theirs = if options.alone { Vec::new() } else { measure(&options, || Postfix::start(&theirs))? };
    let figures: Vec<Figure> = ours
        .into_iter()
        .enumerate()
        .map(|(n, (what, sigillo))| Figure { what, sigillo, postfix: theirs.get(n).map(|t| t.1) })
        .collect();
    if options.json {
        println!("{}", serde_json::to_string(&figures)?);
        return Ok(());
    }
    println!("{} messages of {} KB in {} sessions", options.messages, options.size_kb, options.sessions);
    println!("{:<58} {:>9} {:>9} {:>7}", "messages a second", "sigillo", "postfix", "ratio");
    for Figure { what, sigillo, postfix } in &figures {
        let theirs = postfix.map_or_else(|| "-".to_owned(), |p| format!("{p:.0}"));
        // Above 1: we take more.
        let ratio = postfix.map_or_else(|| "-".to_owned(), |p| format!("{:.2}", sigillo / p));
        println!("{what:<58} {sigillo:>9.0} {theirs:>9} {ratio:>7}");
    }
    Ok(())
}

/// What was measured, in messages a second.
type Measured = (String, f64);

/// Measures a server, which starts anew for each case, with nothing to do.
fn measure<S: Server>(
    options: &Options,
    start: impl Fn() -> Result<S, Failure>,
) -> Result<Vec<Measured>, Failure> {
    let load =
        Load { messages: options.messages, octets: options.size_kb * 1024, sessions: options.sessions };
    let mut figures = Vec::new();
    let mut case = |what: &str, run: &dyn Fn(&S) -> Result<f64, Failure>| -> Result<(), Failure> {
        let server = start()?;
        let before = server.delivered()?;
        let began = std::time::Instant::now();
        let taken_s = run(&server)?;
        figures.push((what.to_owned(), options.messages as f64 / taken_s));
        while server.delivered()? < before + options.messages {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let delivered_s = began.elapsed().as_secs_f64();
        figures.push((format!("{what}, until delivered"), options.messages as f64 / delivered_s));
        Ok(())
    };
    if !options.alone {
        case("from other systems, sessions kept", &|server| load.exchange(server, true))?;
        case("from other systems, a session for each", &|server| load.exchange(server, false))?;
    }
    case("from users, TLS and AUTH", &|server| load.submit(server, options.letters))?;
    Ok(figures)
}
