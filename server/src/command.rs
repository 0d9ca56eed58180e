//! The commands, one file each: they read arguments and files, print, and say how it ended.

pub mod account;
pub mod audit;
pub mod backup;
pub mod client;
pub mod clock;
pub mod deployment;
pub mod domain;
pub mod environment;
pub mod gateway;
pub mod index;
pub mod init;
pub mod keys;
pub mod mailbox;
mod operate;
pub mod reach;
pub mod send;
pub mod sla;
pub mod up;
pub mod verify;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use pec::Instant;
pub(crate) use stages::error::chain;

use crate::{demo::DemoError, folder::FolderError};

/// Exit code of a wrong usage, and of files that cannot be read (EX_USAGE of sysexits.h).
pub const USAGE: u8 = 64;
/// The provider cannot be reached (EX_UNAVAILABLE).
pub const UNAVAILABLE: u8 = 69;
/// Not settled yet (EX_TEMPFAIL).
pub const PENDING: u8 = 75;

/// Why a command ended early. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A file named on the command line, or one of the provider's folder.
    #[error("read {path}: {why}")]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file of the provider's folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The arguments contradict each other, or what is there.
    #[error("understand the command: {0}")]
    Usage(String),
    /// The door.
    #[error(transparent)]
    Client(#[from] client::ClientError),
    /// The provider.
    #[error("run the provider: {0}")]
    Provider(String),
    /// The account is not as the operation needs it.
    #[error("{0}")]
    Account(String),
    /// The door said no.
    #[error("submit the letter: {0}")]
    Refused(String),
    /// `--aws`, and this program knows nothing of AWS.
    #[error(
        "reach AWS: this sigillo was built without it; cargo build --release --package sigillo --features aws"
    )]
    WithoutAws,
    /// AWS, or what lies there.
    #[error("reach the provider on AWS: failed to {0}")]
    Aws(String),
    /// Printing.
    #[error("print: {0}")]
    Print(#[from] io::Error),
}

impl From<DemoError> for CommandError {
    fn from(error: DemoError) -> Self {
        failed(error)
    }
}

impl CommandError {
    /// The exit code that it ends the process with.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::File { .. } | Self::Usage(_) | Self::WithoutAws => USAGE,
            Self::Client(error) => error.exit_code(),
            Self::Aws(_) => UNAVAILABLE,
            Self::Folder(_) | Self::Provider(_) | Self::Account(_) | Self::Refused(_) | Self::Print(_) => 1,
        }
    }
}

impl CommandError {
    /// Whether trying again may help: the provider did not answer.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Client(client::ClientError::Unreachable(..)) | Self::Aws(_))
    }
}

/// Prints a line on stdout. Whoever stopped reading has read enough.
pub(crate) fn print(text: &str) -> io::Result<()> {
    write(&[text.as_bytes(), b"\n"].concat())
}

/// Writes octets to stdout.
pub(crate) fn write(octets: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(octets).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Prints a value as JSON on one line.
pub(crate) fn print_json(value: &impl serde::Serialize) -> io::Result<()> {
    print(&serde_json::to_string(value).map_err(io::Error::other)?)
}

/// The clock of this machine.
pub(crate) fn now() -> Instant {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Instant::from_unix_s(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// An error with its sources, on one line.
pub(crate) fn failed(error: impl std::error::Error) -> CommandError {
    CommandError::Provider(chain(&error))
}
