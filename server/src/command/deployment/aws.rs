//! Every port with the operator's own credentials.

use std::{path::Path, sync::Arc};

use aws::deployment::{Deployment, Description};
use carrier::Dns;
use machine::Argon2Passwords;
use mime::Rope;
use pec::{Address, Instant, Transaction};
use stages::{
    StageError,
    accounts::{Accounts, ManageError},
    custody::{Audited, Copied},
    domains::DomainError,
    door::{self, Channel, DoorError, Submission},
    environments::{EnvironmentError, establish},
    log::LogEntry,
    registry::{Environment, Mailbox},
};
use tokio::runtime::Runtime;

use crate::{
    command::{CommandError, chain, failed, now, reach::Account},
    folder::read_bounded,
    http::wire::{Folders, Page, Progress, Submitted},
    operator::{Done, Office, Operation, perform},
    view,
};

/// Descriptions of stacks are smaller.
const DESCRIPTION_BYTES_MAX: u64 = 1 << 20;

/// Who runs a provider on AWS.
pub struct Operator {
    runtime: Runtime,
    deployment: Deployment,
}

impl Operator {
    /// With the description of the provider's stack, as `aws cloudformation describe-stacks` prints it.
    ///
    /// # Errors
    /// [`CommandError`]
    pub fn open(description: &Path) -> Result<Self, CommandError> {
        let unusable = |why: String| CommandError::File { path: description.to_owned(), why };
        let json =
            read_bounded(description, DESCRIPTION_BYTES_MAX).map_err(|error| unusable(error.to_string()))?;
        let description =
            Description::read(&json).map_err(|e| unusable(format!("failed to {}", chain(&e))))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| CommandError::Provider(error.to_string()))?;
        let deployment = runtime.block_on(Deployment::open(description)).map_err(|e| unreachable(&e))?;
        Ok(Self { runtime, deployment })
    }

    /// The account of an address.
    ///
    /// # Errors
    /// [`CommandError::Usage`] if there is none.
    pub fn account(self, address: &Address) -> Result<OperatorsAccount, CommandError> {
        let mailbox = self.run(self.deployment.rim().mailbox(address))?;
        let mailbox = mailbox.ok_or_else(|| CommandError::Usage(format!("{address} is no account")))?;
        Ok(OperatorsAccount { operator: self, mailbox })
    }

    /// The entries of a letter in the legal log, in the order of their commits.
    ///
    /// # Errors
    /// [`CommandError`]
    pub fn log(&self, pec_id: &str) -> Result<Vec<LogEntry>, CommandError> {
        self.run(async { Ok(self.deployment.rim().facts.log(pec_id).await?) })
    }

    /// The entries of every letter that was decided from one instant to before another.
    ///
    /// # Errors
    /// [`CommandError`]
    pub fn log_between(
        &self,
        from: Instant,
        to: Instant,
        take: impl FnMut(LogEntry),
    ) -> Result<(), CommandError> {
        // Nothing was decided after now.
        let to = to.min(now().plus_s(1));
        let tables = self.deployment.description.config.tables.clone();
        let facts = aws::DynamoFacts::new(self.deployment.clients.dynamodb.clone(), tables);
        self.run(async { Ok(facts.letters_between(from, to, take).await?) })
    }

    /// The provider's trust anchors, PEM.
    ///
    /// # Errors
    /// [`CommandError`]
    pub fn anchors(&self) -> Result<Vec<u8>, CommandError> {
        self.runtime.block_on(self.deployment.anchors()).map_err(|e| unreachable(&e))
    }

    /// The provider index in force, LDIF.
    ///
    /// # Errors
    /// [`CommandError`]
    pub fn index(&self) -> Result<Vec<u8>, CommandError> {
        self.runtime.block_on(self.deployment.index()).map_err(|e| unreachable(&e))
    }

    /// A certificate request for a key in KMS, the stack's own if none is named.
    ///
    /// # Errors
    /// [`CommandError`]
    pub fn certificate_request(
        &self,
        key: Option<&str>,
        subject: &str,
        mail: &Address,
    ) -> Result<String, CommandError> {
        let key = key.unwrap_or(&self.deployment.description.signing_key);
        let request = aws::csr::request(&self.deployment.clients.kms, key, subject, mail);
        self.runtime.block_on(request).map_err(|error| match error {
            aws::csr::CsrError::Request(error) => CommandError::Usage(format!("failed to {error}")),
            error => unreachable(&error),
        })
    }

    /// An operation on accounts and domains.
    ///
    /// # Errors
    /// [`CommandError`]
    pub fn perform(&self, operation: Operation) -> Result<Done, CommandError> {
        self.runtime.block_on(async {
            let rim = match operation {
                Operation::PublishIndex { .. } => self.deployment.with_key().await,
                _ => self.deployment.with_index().await,
            };
            let rim = rim.map_err(|e| unreachable(&e))?;
            let Description { environment, hosts, .. } = self.deployment.description.clone();
            let accounts = Accounts::open(rim, Arc::new(Argon2Passwords::default())).await;
            let accounts = Arc::new(accounts.map_err(|e| unreachable(&e))?);
            let names = Arc::new(Dns::new(None).map_err(failed)?);
            let office = Office { accounts, names, hosts, environment, backups: None };
            perform(&office, operation, now()).await.map_err(|error| match error {
                ManageError::Stage(error) | ManageError::Domain(DomainError::Stage(error)) => {
                    unreachable(&error)
                }
                error => CommandError::Account(error.to_string()),
            })
        })
    }

    /// Makes an environment, the stack's own if none is named.
    ///
    /// # Errors
    /// [`CommandError`]
    pub fn establish(&self, id: Option<&str>, mail_domain: &str) -> Result<Environment, CommandError> {
        let id = id.unwrap_or(&self.deployment.description.environment);
        self.runtime.block_on(async {
            let rim = self.deployment.with_index().await.map_err(|e| unreachable(&e))?;
            establish(&rim, id, mail_domain, now()).await.map_err(|error| match error {
                EnvironmentError::Stage(error) => unreachable(&error),
                error => CommandError::Account(error.to_string()),
            })
        })
    }

    /// Copies rows that are missing from restored tables, then compares every act with the log and with what is stored.
    ///
    /// # Errors
    /// [`CommandError`]
    pub fn restore(&self, suffix: &str, with_registry: bool) -> Result<(Vec<Copied>, Audited), CommandError> {
        let (client, tables) =
            (&self.deployment.clients.dynamodb, &self.deployment.description.config.tables);
        self.runtime.block_on(async {
            let copied = aws::restore::copy(client, tables, suffix, with_registry).await;
            let copied = copied.map_err(|error| unreachable(&error))?;
            let audited = aws::restore::audit(client, tables, self.deployment.rim()).await;
            Ok((copied, audited.map_err(|error| unreachable(&error))?))
        })
    }

    fn run<T>(&self, future: impl Future<Output = Result<T, StageError>>) -> Result<T, CommandError> {
        self.runtime.block_on(future).map_err(|error| unreachable(&error))
    }
}

/// A mailbox, opened without its holder's password.
pub struct OperatorsAccount {
    operator: Operator,
    mailbox: Mailbox,
}

impl OperatorsAccount {
    async fn take(&self, submission: Submission) -> Result<Submitted, DoorError> {
        let rim = self.operator.deployment.rim();
        let domain = view::pec_domain(rim, &self.mailbox).await?.ok_or(DoorError::NotOwner)?;
        let channel = Channel { by: domain.clone(), ..submission.channel };
        let spool = door::submit(rim, Submission { channel, ..submission }).await?;
        Ok(Submitted { spool_id: spool.to_string(), pec_id: spool.pec_id(&domain) })
    }
}

impl Account for OperatorsAccount {
    fn submit(
        &self,
        transaction: &Transaction,
        message: &Rope,
        idempotency_key: Option<&str>,
    ) -> Result<Submitted, CommandError> {
        let submission = Submission {
            account: self.mailbox.id.clone(),
            transaction: transaction.clone(),
            raw: message.to_bytes(),
            channel: Channel {
                by: String::new(), // the provider's mail domain
                with: "HTTPS".to_owned(),
                via: "operator".to_owned(),
                tls: "required".to_owned(),
            },
            idempotency_key: idempotency_key.map(str::to_owned),
        };
        self.operator.runtime.block_on(self.take(submission)).map_err(|error| match error {
            DoorError::Stage(error) => unreachable(&error),
            refused => CommandError::Refused(refused.to_string()),
        })
    }

    fn progress(&self, id: &str) -> Result<Option<Progress>, CommandError> {
        self.operator.run(view::progress(self.operator.deployment.rim(), &self.mailbox, id))
    }

    fn folders(&self) -> Result<Folders, CommandError> {
        self.operator.run(view::folders(self.operator.deployment.rim(), &self.mailbox))
    }

    fn list(&self, folder: &str, after: u32) -> Result<Option<Page>, CommandError> {
        let rim = self.operator.deployment.rim();
        self.operator.run(view::page(rim, &self.mailbox, folder, after, view::PAGE))
    }

    fn message(&self, folder: &str, uid: u32) -> Result<Option<Vec<u8>>, CommandError> {
        let rim = self.operator.deployment.rim();
        let message = self.operator.run(view::message(rim, &self.mailbox, folder, uid))?;
        Ok(message.map(Into::into))
    }
}

fn unreachable(error: &dyn std::error::Error) -> CommandError {
    CommandError::Aws(chain(error))
}
