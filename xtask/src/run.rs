//! Running other programs: say what is run, stop at the first that fails.

use std::{
    fmt, io,
    path::PathBuf,
    process::{Command, ExitStatus},
};

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

/// Runs a command, its output shown.
pub fn sh(command: &mut Command) -> Result {
    let words = words(command);
    eprintln!("\x1b[1m$ {words}\x1b[0m");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Error::Ended(words, status)),
        Err(error) => Err(Error::Start(words, error)),
    }
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

/// Builds one binary and gives its path, as cargo names it.
pub fn build(package: &str, bin: &[&str], release: bool) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--package", package]).args(bin);
    if release {
        command.arg("--release");
    }
    sh(&mut command)?;
    let mut command = cargo();
    command.args(["build", "--quiet", "--package", package]).args(bin).arg("--message-format=json");
    if release {
        command.arg("--release");
    }
    let messages = output(&mut command)?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|m| m.get("executable").and_then(|e| e.as_str()).map(PathBuf::from))
        .next_back()
        .ok_or_else(|| Error::Other(format!("cargo named no executable of {package}")))
}
