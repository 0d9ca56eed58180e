//! An operator's operation: asked of the provider that runs in the folder, done in the folder of one that does not, or
//! on the tables of a stack.

use std::sync::Arc;

use machine::{Argon2Passwords, BuiltinScanner};
use pec::check::Limits;
use stages::{
    accounts::{Accounts, ManageError},
    domains::DomainError,
};

use super::{CommandError, client::Operations, deployment::Operator, failed, now, up};
use crate::{
    cli::Provider,
    demo::Demo,
    folder::Folder,
    operator::{Done, Operation, perform},
};

/// On AWS with the operator's own credentials; else where the provider runs, it is asked, and where it does not, its
/// folder is opened for the operation.
pub(super) fn operate(provider: &Provider, operation: Operation) -> Result<Done, CommandError> {
    match &provider.aws {
        Some(description) => Operator::open(description)?.perform(operation),
        None => in_folder(&Folder::new(&provider.data), operation),
    }
}

fn in_folder(folder: &Folder, operation: Operation) -> Result<Done, CommandError> {
    // A demo that was never made is not made here.
    let demo = Demo::read(folder)?;
    match folder.claim() {
        Ok(_alone) => here(folder, &demo, operation),
        Err(_) => Ok(Operations::open(folder)?.perform(&operation)?),
    }
}

fn here(folder: &Folder, demo: &Demo, operation: Operation) -> Result<Done, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        // Nothing is scanned here: no letter moves.
        let scanner = Arc::new(BuiltinScanner::new("").map_err(failed)?);
        let config = up::config(folder, demo, scanner, Limits::default())?;
        let provider = embedded::Provider::open(folder.root(), config).map_err(failed)?;
        let accounts = Accounts::open(provider.rim().clone(), Arc::new(Argon2Passwords::default())).await;
        // What `up` would register is there before anything is changed.
        let accounts = Arc::new(accounts.map_err(failed)?);
        demo.register(provider.rim(), &accounts).await?;
        // MX records are compared with the provider mail domain alone: the doors' host is told to `up` only.
        let office = up::office(&accounts, None, None, demo)?;
        perform(&office, operation, now()).await.map_err(|error| match error {
            ManageError::Stage(error) | ManageError::Domain(DomainError::Stage(error)) => failed(error),
            error => CommandError::Account(error.to_string()),
        })
    })
}

/// An answer to another question.
pub(super) fn strange() -> CommandError {
    CommandError::Account("understand the provider's answer".to_owned())
}
