//! A mailbox of a provider as the commands reach it: by the HTTPS door of the embedded form, or on AWS with the
//! operator's own credentials. What is done with it is the same.

use mime::Rope;
use pec::{Address, Transaction};

use super::{CommandError, client::Client, deployment::Operator};
use crate::{
    cli::Provider,
    folder::Folder,
    http::wire::{Folders, Page, Progress, Submitted},
};

/// What a mailbox is asked for.
pub trait Account {
    /// Submits a letter: when it returns, the letter will not be lost.
    ///
    /// # Errors
    /// [`CommandError`]; after one that [`CommandError::is_passing`] the letter may have been taken or not.
    fn submit(
        &self,
        transaction: &Transaction,
        message: &Rope,
        idempotency_key: Option<&str>,
    ) -> Result<Submitted, CommandError>;

    /// How a letter of this account fares; `None` before it was looked at.
    ///
    /// # Errors
    /// [`CommandError`]
    fn progress(&self, id: &str) -> Result<Option<Progress>, CommandError>;

    /// The folders of the mailbox.
    ///
    /// # Errors
    /// [`CommandError`]
    fn folders(&self) -> Result<Folders, CommandError>;

    /// Messages of a folder after a UID; `None` without that folder.
    ///
    /// # Errors
    /// [`CommandError`]
    fn list(&self, folder: &str, after: u32) -> Result<Option<Page>, CommandError>;

    /// The stored octets of a message; `None` if it is not there.
    ///
    /// # Errors
    /// [`CommandError`]
    fn message(&self, folder: &str, uid: u32) -> Result<Option<Vec<u8>>, CommandError>;
}

/// The account of this address.
///
/// # Errors
/// [`CommandError`] when the provider cannot be reached, or has no such account.
pub fn open(provider: &Provider, address: &Address) -> Result<Box<dyn Account>, CommandError> {
    Ok(match &provider.aws {
        Some(description) => Box::new(Operator::open(description)?.account(address)?),
        None => Box::new(Client::open(&Folder::new(&provider.data), address)?),
    })
}
