//! `cargo xtask up`: a provider and its first letter.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use clap::Args;
use serde_json::Value;

use crate::run::{Build, Error, Result, output, root, sh};

/// The embedded provider and a first letter between its two demo accounts.
#[derive(Args)]
pub struct Up {
    /// The provider's folder.
    #[arg(long)]
    data: Option<PathBuf>,
    /// End after the letter.
    #[arg(long)]
    once: bool,
    /// Address and port of the HTTPS door; port 0 is any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
}

impl Up {
    /// As `cargo xtask up --once` in a fresh folder: what the tests run of the README.
    pub fn once_in_scratch() -> Result {
        let scratch = root().join("target").join("up-scratch");
        if scratch.exists() {
            fs::remove_dir_all(&scratch)?;
        }
        Self { data: Some(scratch), once: true, listen: "127.0.0.1:0".to_owned() }.built(Build::LikeTests)
    }

    /// Runs it.
    pub fn run(&self) -> Result {
        self.built(Build::Alone)
    }

    fn built(&self, build: Build) -> Result {
        // 1. Build and start.
        let sigillo = build.program("sigillo", "sigillo")?;
        let data = self.data.clone().unwrap_or_else(|| root().join("target").join("demo"));
        let mut provider = Provider::start(&sigillo, &data, &self.listen)?;

        // 2. A first letter between the two demo accounts.
        first_letter(&sigillo, &data)?;

        // 3. Stay, or end.
        if self.once {
            return provider.stop();
        }
        println!("\nThe provider stays up. Ctrl-C ends it; its folder is {}.", data.display());
        provider.wait()
    }
}

/// The running provider; killed if we leave early.
struct Provider {
    child: Child,
}

impl Provider {
    fn start(sigillo: &Path, data: &Path, listen: &str) -> Result<Self> {
        let doors = data.join("doors.json");
        if doors.exists() {
            fs::remove_file(&doors)?;
        }
        let mut command = Command::new(sigillo);
        command.arg("up").arg("--data").arg(data).args(["--listen", listen]).stdout(Stdio::piped());
        let child = command.spawn().map_err(|e| Error::Start("sigillo up".to_owned(), e))?;
        let mut provider = Self { child };
        // Its lines are shown as they come; the one that says `ready` ends the wait.
        let stdout =
            provider.child.stdout.take().ok_or_else(|| Error::Other("sigillo has no output".to_owned()))?;
        let mut lines = BufReader::new(stdout).lines();
        for line in lines.by_ref() {
            let line = line?;
            println!("{line}");
            if line.starts_with("ready") {
                std::thread::spawn(move || {
                    lines.map_while(std::result::Result::ok).for_each(|l| println!("{l}"))
                });
                return Ok(provider);
            }
        }
        Err(Error::Other("sigillo up ended before it was ready".to_owned()))
    }

    fn stop(mut self) -> Result {
        sh(Command::new("kill").args(["-TERM", &self.child.id().to_string()]))?;
        self.wait()
    }

    fn wait(&mut self) -> Result {
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(Error::Ended("sigillo up".to_owned(), status)) }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // It is ended from outside as well when we fail before it is told to stop; both are safe by design.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn first_letter(sigillo: &Path, data: &Path) -> Result {
    // 1. Who writes to whom.
    let demo: Value = serde_json::from_str(&fs::read_to_string(data.join("demo.json"))?)
        .map_err(|e| Error::Other(format!("demo.json: {e}")))?;
    let account = |n: usize| {
        demo.pointer(&format!("/accounts/{n}/address"))
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| Error::Other("demo.json names no two accounts".to_owned()))
    };
    let (from, to) = (account(0)?, account(1)?);

    // 2. The letter.
    let file = data.join("first-letter.eml");
    fs::write(&file, letter())?;
    println!("\nA first letter from {from} to {to}:");
    let ask = |args: &[&str]| {
        let mut command = Command::new(sigillo);
        command.args(args).arg("--data").arg(data);
        command
    };
    let file_name = file.to_string_lossy().into_owned();
    sh(ask(&["send", "--from", &from, "--to", &to]).arg(&file_name))?;

    // 3. What came of it: both mailboxes, and the evidence.
    for who in [&from, &to] {
        sh(ask(&["mailbox", "list"]).arg(who))?;
    }
    let list = output(ask(&["mailbox", "list", "--json"]).arg(&from))?;
    let rows: Vec<Value> = list
        .lines()
        .filter_map(|l| serde_json::from_str(l).ok())
        .flat_map(|v| match v {
            Value::Array(items) => items,
            other => vec![other],
        })
        .collect();
    let pec_id = rows
        .iter()
        .rev()
        .find_map(|r| r.get("pec_id").and_then(Value::as_str))
        .ok_or_else(|| Error::Other("the sender's mailbox names no letter".to_owned()))?;
    println!("\nThe journey of {pec_id} in the legal log:");
    sh(&mut ask(&["audit", "letter", pec_id]))?;

    // 4. Anybody can check the evidence.
    let out = data.join("evidence");
    sh(ask(&["mailbox", "export"]).arg(&from).arg(&out))?;
    let ca = data.join("ca.pem");
    let doors: Value = serde_json::from_str(&fs::read_to_string(data.join("doors.json"))?)
        .map_err(|e| Error::Other(format!("doors.json: {e}")))?;
    let ca = doors.get("ca").and_then(Value::as_str).map_or(ca, PathBuf::from);
    let mut files: Vec<PathBuf> = fs::read_dir(&out)?.filter_map(|e| e.ok().map(|e| e.path())).collect();
    files.sort();
    for file in &files {
        sh(Command::new(sigillo).arg("verify").arg(file).arg("--ca").arg(&ca))?;
    }
    println!("\nThe evidence lies in {}.", out.display());
    Ok(())
}

/// A small letter with an attachment, CRLF as on the wire.
fn letter() -> String {
    [
        "Subject: Prima lettera",
        "MIME-Version: 1.0",
        "Content-Type: multipart/mixed; boundary=\"parti\"",
        "",
        "--parti",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: quoted-printable",
        "",
        "Questa lettera =C3=A8 la prima.",
        "--parti",
        "Content-Type: text/plain; charset=us-ascii; name=\"nota.txt\"",
        "Content-Disposition: attachment; filename=\"nota.txt\"",
        "Content-Transfer-Encoding: base64",
        "",
        "VW4gYWxsZWdhdG8uDQo=",
        "--parti--",
        "",
    ]
    .join("\r\n")
}
