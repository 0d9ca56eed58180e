//! Running other programs: say what is run, stop at the first that fails.

use std::{
    fmt, io,
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    time::Instant,
};

/// The program with all that it can do; the AWS crates are built for the tests anyway.
pub const WITH_AWS: &str = "sigillo/aws";

/// Why a task ended.
#[derive(Debug)]
pub enum Error {
    /// A program could not be started.
    Start(String, io::Error),
    /// A program ended with something other than success.
    Ended(String, ExitStatus),
    /// Something else, in words.
    Other(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(what, error) => write!(f, "failed to start `{what}`: {error}"),
            Self::Ended(what, status) => write!(f, "`{what}` ended with {status}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Other(error.to_string())
    }
}

/// What tasks answer.
pub type Result<T = ()> = std::result::Result<T, Error>;

/// The root of the workspace.
pub fn root() -> PathBuf {
    let mut here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.pop();
    here
}

/// The cargo that runs us.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// How a command reads on a terminal.
pub fn words(command: &Command) -> String {
    let mut text = PathBuf::from(command.get_program())
        .file_name()
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}

fn say(words: &str) {
    eprintln!("\x1b[1m$ {words}\x1b[0m");
}

/// Runs a command, its output shown.
pub fn sh(command: &mut Command) -> Result {
    let words = words(command);
    say(&words);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Error::Ended(words, status)),
        Err(error) => Err(Error::Start(words, error)),
    }
}

/// Runs a part of a task, and says how long it took.
pub fn timed<T>(part: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    let begin = Instant::now();
    let result = run()?;
    eprintln!("\x1b[1m{part}: {} s\x1b[0m", begin.elapsed().as_secs());
    Ok(result)
}

/// Runs a command and gives its standard output.
pub fn output(command: &mut Command) -> Result<String> {
    let words = words(command);
    let out = command.output().map_err(|e| Error::Start(words.clone(), e))?;
    if !out.status.success() {
        eprint!("{}", String::from_utf8_lossy(&out.stderr));
        return Err(Error::Ended(words, out.status));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// How a program of ours is built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// By itself, with no more of its dependencies than it asks for: what a reader waits for least.
    Alone,
    /// With the features that dependencies have in the tests of the whole workspace: after them nothing is left to compile
    /// but the program. Built alone, tokio and der differ by a feature, and all that stands on them is compiled again.
    LikeTests,
    /// As it is measured.
    Release,
}

impl Build {
    /// Builds one program and gives its path, as cargo names it.
    pub fn program(self, package: &str, name: &str) -> Result<PathBuf> {
        let mut command = cargo();
        command.args(["build", "--locked", "--message-format=json-render-diagnostics", "--bin", name]);
        match self {
            Self::Alone => command.args(["--package", package]),
            // One test of the smallest kind: with it, cargo resolves features as for tests.
            Self::LikeTests => {
                command.args(["--workspace", "--features", WITH_AWS, "--test", "contract_memory"])
            }
            Self::Release => command.args(["--package", package, "--release"]),
        };
        say(&words(&command));
        let messages = output(command.stderr(Stdio::inherit()))?;
        messages
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|m| m.pointer("/target/name").is_some_and(|n| n == name))
            .find_map(|m| m.get("executable").and_then(|e| e.as_str()).map(PathBuf::from))
            .ok_or_else(|| Error::Other(format!("cargo named no executable {name}")))
    }
}
