//! The real binary on a folder of its own.
#![allow(dead_code, reason = "every test file uses a part of it")]

pub mod authority;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// How long anything may take that takes milliseconds: other tests run on the same cores.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// `sigillo` with arguments.
pub fn sigillo(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sigillo")).args(args).env_remove("SIGILLO_PASSWORD").output().unwrap()
}

/// The exit code, which a test compares; with both outputs in case it fails.
pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs a program that must succeed.
pub fn run(program: &str, args: &[&str]) -> Output {
    let output = Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(output.status.success(), "{program} {args:?}: {}", stderr(&output));
    output
}

/// Asks again until there is an answer.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited too long: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// dnsmasq, which knows what it is told and nothing else below `example`; it ends when it is dropped.
pub struct Dns {
    child: Child,
    /// On 127.0.0.1.
    pub port: u16,
}

impl Dns {
    /// Starts it with records, as options of dnsmasq.
    pub fn start(records: &[String]) -> Self {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::start_at(port, records)
    }

    /// The same where another one was before.
    pub fn start_at(port: u16, records: &[String]) -> Self {
        // It is a program for root, though not here.
        let program = Some("/usr/sbin/dnsmasq").filter(|path| Path::new(path).exists()).unwrap_or("dnsmasq");
        let mut command = Command::new(program);
        command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--no-resolv"]);
        command.args(["--no-hosts", "--bind-interfaces", "--listen-address=127.0.0.1", "--local=/example/"]);
        command.args(["--log-facility=-", &format!("--port={port}")]);
        if stdout(&run("id", &["-u"])).trim() == "0" {
            command.arg("--user=root");
        }
        let child = command.args(records).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut child = child.unwrap_or_else(|e| panic!("dnsmasq (Debian's dnsmasq-base): {e}"));
        until("dnsmasq", || {
            assert!(child.try_wait().unwrap().is_none(), "dnsmasq ended at once");
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self { child, port }
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running provider; it is killed when it is dropped.
pub struct Provider {
    child: Child,
    data: PathBuf,
    /// What `up --json` said.
    pub ready: Value,
}

impl Provider {
    /// Starts it and waits until its doors are open.
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// The same with more options.
    pub fn start_with(data: &Path, options: &[&str]) -> Self {
        Self::start_at(data, "127.0.0.1:0", options)
    }

    /// The same with its HTTPS door at this address.
    pub fn start_at(data: &Path, listen: &str, options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sigillo"))
            .args(["up", "--json", "--listen", listen, "--data"])
            .arg(data)
            .args(options)
            .env("SIGILLO_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        Self { child, data: data.to_owned(), ready }
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Like Ctrl-C: it drains and ends by itself, with success.
    pub fn stop(mut self) {
        run("kill", &["-TERM", &self.child.id().to_string()]);
        assert!(self.child.wait().unwrap().success());
        assert!(!self.data.join("doors.json").exists(), "doors that are closed");
    }

    /// SIGHUP: look at the certificate again.
    pub fn hang_up(&self) {
        run("kill", &["-HUP", &self.child.id().to_string()]);
    }

    /// Like a power cut, but for the page cache.
    pub fn kill(&self) {
        run("kill", &["-KILL", &self.child.id().to_string()]);
    }

    /// `sigillo` with this folder.
    pub fn sigillo(&self, args: &[&str]) -> Output {
        sigillo(&[args, &["--data", self.data.to_str().unwrap()]].concat())
    }

    /// The JSON of a command that must succeed.
    pub fn json(&self, args: &[&str]) -> Value {
        let output = self.sigillo(&[args, &["--json"]].concat());
        assert_eq!(code(&output), 0, "{args:?}: {}{}", stdout(&output), stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Addresses of the demo accounts.
    pub fn accounts(&self) -> [String; 2] {
        let demo: Value = serde_json::from_slice(&fs::read(self.data.join("demo.json")).unwrap()).unwrap();
        [0, 1].map(|n| demo["accounts"][n]["address"].as_str().unwrap().to_owned())
    }

    /// The list of a mailbox.
    pub fn list(&self, account: &str) -> Vec<Value> {
        self.json(&["mailbox", "list", account]).as_array().unwrap().clone()
    }

    /// The path that doors.json names.
    pub fn path(&self, name: &str) -> String {
        let doors: Value = serde_json::from_slice(&fs::read(self.data.join("doors.json")).unwrap()).unwrap();
        doors[name].as_str().unwrap().to_owned()
    }

    /// Writes a letter beside the data and gives its path.
    pub fn file(&self, name: &str, octets: impl AsRef<[u8]>) -> String {
        let path = self.data.with_file_name(name);
        fs::write(&path, octets).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // Both fail once it has ended, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How many entries have this kind.
pub fn count(list: &[Value], kind: &str) -> usize {
    list.iter().filter(|entry| entry["kind"] == kind).count()
}

/// A server that tests run against: it says a line when it listens, and is killed when it is dropped.
pub struct Helper {
    child: Child,
    pub line: String,
}

impl Helper {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, line }
    }

    /// A script for Python that serves this folder, and prints its port.
    pub fn python(script: &str, arguments: &[&Path]) -> Self {
        Self::start(Command::new("python3").args(["-c", script]).args(arguments))
    }

    pub fn port(&self) -> u16 {
        self.line.trim().parse().unwrap()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // Both fail once it has ended, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
