//! Built without AWS: there is no operator, and asking for one says what to do.

use std::path::Path;

use mime::Rope;
use pec::{Address, Instant, Transaction};
use stages::{
    custody::{Audited, Copied},
    log::LogEntry,
    registry::Environment,
};

use crate::{
    cli::Gateway,
    command::{CommandError, reach::Account},
    http::wire::{Folders, Page, Progress, Submitted},
    operator::{Done, Operation},
};

/// Says that it is not there.
///
/// # Errors
/// [`CommandError::WithoutAws`], always.
pub const fn gateway(_: &Gateway) -> Result<(), CommandError> {
    Err(CommandError::WithoutAws)
}

/// Nobody.
pub enum Operator {}

impl Operator {
    /// Says that it is not there.
    ///
    /// # Errors
    /// [`CommandError::WithoutAws`], always.
    pub const fn open(_: &Path) -> Result<Self, CommandError> {
        Err(CommandError::WithoutAws)
    }

    /// Never called: there is nobody.
    ///
    /// # Errors
    /// None.
    pub fn account(self, _: &Address) -> Result<Self, CommandError> {
        match self {}
    }

    /// Never called: there is nobody.
    ///
    /// # Errors
    /// None.
    pub fn log(&self, _: &str) -> Result<Vec<LogEntry>, CommandError> {
        match *self {}
    }

    /// Never called: there is nobody.
    ///
    /// # Errors
    /// None.
    pub fn log_between(&self, _: Instant, _: Instant, _: impl FnMut(LogEntry)) -> Result<(), CommandError> {
        match *self {}
    }

    /// Never called: there is nobody.
    ///
    /// # Errors
    /// None.
    pub fn anchors(&self) -> Result<Vec<u8>, CommandError> {
        match *self {}
    }

    /// Never called: there is nobody.
    ///
    /// # Errors
    /// None.
    pub fn index(&self) -> Result<Vec<u8>, CommandError> {
        match *self {}
    }

    /// Never called: there is nobody.
    ///
    /// # Errors
    /// None.
    pub fn certificate_request(&self, _: Option<&str>, _: &str, _: &Address) -> Result<String, CommandError> {
        match *self {}
    }

    /// Never called: there is nobody.
    ///
    /// # Errors
    /// None.
    pub fn perform(&self, _: Operation) -> Result<Done, CommandError> {
        match *self {}
    }

    /// Never called: there is nobody.
    ///
    /// # Errors
    /// None.
    pub fn establish(&self, _: Option<&str>, _: &str) -> Result<Environment, CommandError> {
        match *self {}
    }

    /// Never called: there is nobody.
    ///
    /// # Errors
    /// None.
    pub fn restore(&self, _: &str, _: bool) -> Result<(Vec<Copied>, Audited), CommandError> {
        match *self {}
    }
}

impl Account for Operator {
    fn submit(&self, _: &Transaction, _: &Rope, _: Option<&str>) -> Result<Submitted, CommandError> {
        match *self {}
    }

    fn progress(&self, _: &str) -> Result<Option<Progress>, CommandError> {
        match *self {}
    }

    fn folders(&self) -> Result<Folders, CommandError> {
        match *self {}
    }

    fn list(&self, _: &str, _: u32) -> Result<Option<Page>, CommandError> {
        match *self {}
    }

    fn message(&self, _: &str, _: u32) -> Result<Option<Vec<u8>>, CommandError> {
        match *self {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_aws_the_command_says_how_to_get_it() {
        let error = Operator::open(Path::new("aws.json")).err().map(|e| (e.exit_code(), e.to_string()));
        let (code, text) = error.unwrap();
        assert_eq!(code, crate::command::USAGE);
        assert!(text.contains("--features aws"), "{text}");
    }
}
