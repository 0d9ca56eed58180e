//! The functions: read the environment, build clients once, feed the stage. One folder of `functions/` for each.

use std::{fmt, str::FromStr, sync::Arc};

use async_trait::async_trait;
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use bytes::Bytes;
use futures_util::future::try_join_all;
use lambda_runtime::{Context, LambdaEvent, service_fn};
use machine::{Clamd, NoCarrier, RandomIds, SystemClock};
use pec::Index;
use serde_json::Value;
use smime::{Anchors, CertificateError, Verifier};
use stages::{
    BlobKey, Rim, StageError,
    error::chain,
    ports::{BlobError, Blobs, Carrier, Clock, Directory, Scan, Scanner, ScannerError},
};

use crate::{
    Clients, Config, DynamoFacts, S3Blobs, SqsQueue,
    carrier::SesCarrier,
    config::ConfigError,
    directory::{DirectoryError, S3Directory},
    facts::remembered::Remembered,
    ingest::{self, Ingest},
    lists::S3Lists,
    notarize::{self, StreamEvent},
    refresh::Refresher,
    sealing::Notary,
    shell::{self, batch::Rule},
    signer::{KeyChain, KeysError, KmsSigner},
};

/// What a `main` answers.
pub use lambda_runtime::Error;

/// Debts that one tick hints at a time.
const HINTS_MAX: usize = 500;

/// The functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// SES events to spool entries.
    Ingest,
    /// Queue `accept`.
    Accept,
    /// Queue `seal`.
    Seal,
    /// Queue `dispatch`.
    Dispatch,
    /// Queue `receive`.
    Receive,
    /// Queue `deliver`.
    Deliver,
    /// Queue `certify`.
    Certify,
    /// Queue `watch`, and a tick each minute.
    Watch,
    /// The log's stream to the vault.
    Notarize,
    /// The provider index, fetched daily.
    Directory,
}

impl Name {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Ingest,
        Self::Accept,
        Self::Seal,
        Self::Dispatch,
        Self::Receive,
        Self::Deliver,
        Self::Certify,
        Self::Watch,
        Self::Notarize,
        Self::Directory,
    ];

    /// As its folder is named.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Accept => "accept",
            Self::Seal => "seal",
            Self::Dispatch => "dispatch",
            Self::Receive => "receive",
            Self::Deliver => "deliver",
            Self::Certify => "certify",
            Self::Watch => "watch",
            Self::Notarize => "notarize",
            Self::Directory => "directory",
        }
    }

    /// Which function a multi-call binary is: `SIGILLO_FUNCTION`, else the handler that Lambda names.
    ///
    /// # Errors
    /// [`StartError::Name`]
    pub fn from_env() -> Result<Self, StartError> {
        let name =
            ["SIGILLO_FUNCTION", "_HANDLER"].iter().find_map(|v| std::env::var(v).ok()).unwrap_or_default();
        name.parse()
    }
}

impl FromStr for Name {
    type Err = StartError;

    fn from_str(text: &str) -> Result<Self, StartError> {
        Self::ALL.into_iter().find(|n| n.as_str() == text).ok_or_else(|| StartError::Name(text.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a deployment brings that is not AWS.
#[derive(Clone)]
pub struct Parts {
    /// The virus scanner, where no clamd is named.
    pub scanner: Arc<dyn Scanner>,
    /// The way to other systems, but for what SES carries.
    pub carrier: Arc<dyn Carrier>,
}

impl Default for Parts {
    /// Neither scanner nor way out: letters wait, nothing passes unscanned, what goes to others stays owed.
    fn default() -> Self {
        Self { scanner: Arc::new(NoScanner), carrier: Arc::new(NoCarrier::default()) }
    }
}

/// Why a function does not start. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No such function.
    #[error("start function {0:?}: there is none of this name")]
    Name(String),
    /// The environment.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Something that operators put into the data bucket.
    #[error("find {0} in the data bucket")]
    Missing(String),
    /// S3 does not answer.
    #[error("read the settings")]
    Settings(#[from] BlobError),
    /// The anchors are no certificates.
    #[error("use the trust anchors")]
    Anchors(#[from] CertificateError),
    /// No index.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Keys or certificates.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

/// Everything that a function needs, made once.
pub struct Function {
    config: Config,
    rim: Rim,
    blobs: Arc<S3Blobs>,
    directory: Option<Arc<S3Directory>>,
    lists: Option<S3Lists>,
}

impl Function {
    /// For one of the functions: what it does not need it does not read, for its role may not.
    ///
    /// # Errors
    /// [`StartError`]
    pub async fn open(
        name: Name,
        config: Config,
        clients: Clients,
        parts: Parts,
    ) -> Result<Self, StartError> {
        let blobs = Arc::new(S3Blobs::new(clients.s3.clone(), config.buckets.clone()));
        let stage = !matches!(name, Name::Ingest | Name::Notarize | Name::Directory);

        // 1. Settings from the data bucket: index, anchors, certificates.
        let directory = if stage { Some(Arc::new(open_directory(&clients, &config).await?)) } else { None };
        let anchors = if stage { open_anchors(&blobs, &config).await? } else { Anchors::new() };
        let chains = if stage { open_chains(&blobs, &config).await? } else { Vec::new() };

        // 2. Keys: who signs makes sure of them first.
        let signer = KmsSigner::new(clients.kms, chains)?;
        if matches!(name, Name::Seal | Name::Certify) {
            signer.check().await?;
        }

        // 3. The rim.
        let scanner = match config.clamd.clone() {
            Some(address) => Arc::new(Clamd::new(address)) as Arc<dyn Scanner>,
            None => parts.scanner,
        };
        let carrier = match config.ses_ordinary {
            true => Arc::new(SesCarrier::new(clients.ses, parts.carrier)) as Arc<dyn Carrier>,
            false => parts.carrier,
        };
        let facts = DynamoFacts::new(clients.dynamodb, config.tables.clone());
        let rim = Rim {
            facts: Arc::new(Remembered::new(Arc::new(facts))),
            blobs: Arc::clone(&blobs) as Arc<dyn Blobs>,
            queue: Arc::new(SqsQueue::new(clients.sqs, config.queues.clone())),
            signer: Arc::new(signer),
            carrier,
            scanner,
            directory: match &directory {
                Some(directory) => Arc::clone(directory) as Arc<dyn Directory>,
                None => Arc::new(NoIndex),
            },
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds::new()),
            verifier: Arc::new(Verifier::new(anchors)),
            limits: config.limits,
            bells: stages::mailbox::Bells::default(),
            crowds: stages::mailbox::Crowds::default(),
        };
        let lists = config
            .revocation
            .then(|| S3Lists::new(clients.s3, config.buckets.data.clone(), Arc::clone(&rim.verifier)));
        let function = Self { config, rim, blobs, directory, lists };
        function.look_around().await;
        Ok(function)
    }

    /// All ports together.
    #[must_use]
    pub fn rim(&self) -> &Rim {
        &self.rim
    }

    /// A batch of jobs.
    pub async fn jobs(&self, event: SqsEvent, context: &Context) -> SqsBatchResponse {
        self.look_around().await;
        shell::jobs(&self.rim, event, self.rule(context)).await
    }

    /// A batch of SES events.
    pub async fn events(&self, event: SqsEvent, context: &Context) -> SqsBatchResponse {
        let ingest = &Ingest::new(self.rim.clone(), Arc::clone(&self.blobs), &self.config);
        let take = |batch: Vec<Vec<ingest::event::Event>>| async move {
            let mut results = Vec::with_capacity(batch.len());
            for events in batch {
                results.push(ingest.take(events).await);
            }
            results
        };
        shell::records(event, self.rule(context), ingest::event::parse, take).await
    }

    /// A tick: hints of what is overdue, spool entries that nobody handled. Answers how many hints were sent.
    ///
    /// # Errors
    /// [`StageError`]; the next tick finds what this one left.
    pub async fn tick(&self) -> Result<usize, StageError> {
        self.look_around().await;
        let now = self.rim.now();
        let mut sent = 0;
        loop {
            let hinted = stages::watch::hints(&self.rim, now, HINTS_MAX).await?;
            sent += hinted;
            if hinted < HINTS_MAX {
                break;
            }
        }
        Ok(sent + stages::watch::sweep(&self.rim, now).await?)
    }

    /// A batch of the log's stream. Answers the place of the first record that failed: the stream comes again from
    /// there.
    pub async fn stream(&self, event: StreamEvent) -> Option<String> {
        let stopped = notarize::copy(self.blobs.as_ref(), &event.records).await.err()?;
        tracing::error!(error = %stopped, sequence = stopped.sequence, "entries of the log are not in the vault yet");
        Some(stopped.sequence)
    }

    /// Looks whether there is a new provider index, and new revocation lists, at most as often as it is worth it.
    pub async fn look_around(&self) {
        if let Some(directory) = &self.directory {
            directory.refresh(self.rim.now()).await;
        }
        if let Some(lists) = &self.lists {
            lists.refresh(&self.rim.directory.index(), self.rim.now()).await;
        }
    }

    fn rule(&self, context: &Context) -> Rule {
        Rule { concurrency: self.config.concurrency, until: shell::until(context) }
    }
}

/// Runs a function until Lambda ends it: what each `main` calls.
///
/// # Errors
/// What keeps it from starting, or Lambda's runtime from answering.
pub async fn run(name: Name, parts: Parts) -> Result<(), Error> {
    lambda_runtime::tracing::init_default_subscriber();
    match name {
        Name::Directory => return keep_index().await,
        Name::Notarize => return notarize_log(parts).await,
        _ => {}
    }
    let function = open(name, parts).await.inspect_err(|error| {
        tracing::error!(error = %error, "the function does not start");
    })?;
    let function = &function;
    if matches!(name, Name::Accept | Name::Receive) {
        tracing::info!(scanner = function.rim.scanner.version(), "messages are scanned");
    }
    match name {
        Name::Ingest => {
            let serve = |event: LambdaEvent<SqsEvent>| async move {
                Ok::<_, Error>(function.events(event.payload, &event.context).await)
            };
            lambda_runtime::run(service_fn(serve)).await
        }
        Name::Watch => {
            let serve = |event: LambdaEvent<Value>| watch(function, event);
            lambda_runtime::run(service_fn(serve)).await
        }
        // Served above.
        Name::Notarize | Name::Directory => Ok(()),
        Name::Accept | Name::Seal | Name::Dispatch | Name::Receive | Name::Deliver | Name::Certify => {
            let serve = |event: LambdaEvent<SqsEvent>| async move {
                Ok::<_, Error>(function.jobs(event.payload, &event.context).await)
            };
            lambda_runtime::run(service_fn(serve)).await
        }
    }
}

/// The provider index: nothing else of a function is needed for it.
async fn keep_index() -> Result<(), Error> {
    let shared = Clients::environment(None).await;
    let secrets = aws_sdk_secretsmanager::Client::new(&shared);
    let refresher = Refresher::new(Clients::new(&shared).s3, secrets, Config::from_env()?)?;
    let refresher = &refresher;
    let serve = |_: LambdaEvent<Value>| async move {
        let fetched = refresher.tick(SystemClock.now()).await.inspect_err(|error| {
            tracing::error!(alarm = "directory", error = %error, "the provider index stays as it was");
        })?;
        Ok::<_, Error>(serde_json::json!({ "fetched": fetched }))
    };
    lambda_runtime::run(service_fn(serve)).await
}

/// The log's stream into the vault; on a tick, which has no records, the seal of the log.
async fn notarize_log(parts: Parts) -> Result<(), Error> {
    let config = Config::from_env()?;
    let clients = Clients::from_env().await;
    let notary = &Notary::new(clients.s3.clone(), clients.kms.clone(), config.clone());
    let function = &Function::open(Name::Notarize, config, clients, parts).await.inspect_err(|error| {
        tracing::error!(error = %error, "the function does not start");
    })?;
    let serve = |event: LambdaEvent<Value>| async move {
        if event.payload.get("Records").is_none() {
            let segments = notary.tick(SystemClock.now()).await.inspect_err(|error| {
                tracing::error!(alarm = "seal", error = %chain(error), "the log is not sealed");
            })?;
            return Ok::<_, Error>(serde_json::json!({ "segments": segments }));
        }
        let failed = function.stream(serde_json::from_value(event.payload)?).await;
        let items: Vec<Value> =
            failed.into_iter().map(|n| serde_json::json!({ "itemIdentifier": n })).collect();
        Ok(serde_json::json!({ "batchItemFailures": items }))
    };
    lambda_runtime::run(service_fn(serve)).await
}

async fn open(name: Name, parts: Parts) -> Result<Function, StartError> {
    let config = Config::from_env()?;
    Function::open(name, config, Clients::from_env().await, parts).await
}

/// Jobs of its queue, or a tick: whatever has no records.
async fn watch(function: &Function, event: LambdaEvent<Value>) -> Result<Value, Error> {
    if event.payload.get("Records").is_some() {
        let batch: SqsEvent = serde_json::from_value(event.payload)?;
        return Ok(serde_json::to_value(function.jobs(batch, &event.context).await)?);
    }
    let sent = function.tick().await.inspect_err(|error| {
        tracing::error!(error = %shell::Told::of(error), "a tick failed");
    })?;
    Ok(serde_json::json!({ "hints": sent }))
}

async fn open_directory(clients: &Clients, config: &Config) -> Result<S3Directory, DirectoryError> {
    let (bucket, key) = (config.buckets.data.clone(), config.index_key.clone());
    S3Directory::open(clients.s3.clone(), bucket, key, SystemClock.now()).await
}

async fn open_anchors(blobs: &S3Blobs, config: &Config) -> Result<Anchors, StartError> {
    Ok(Anchors::from_files([setting(blobs, &config.anchors_key).await?.as_slice()])?)
}

async fn open_chains(blobs: &S3Blobs, config: &Config) -> Result<Vec<KeyChain>, StartError> {
    try_join_all(config.keys.iter().map(|key| async move {
        Ok(KeyChain { key: key.clone(), chain: setting(blobs, &key.chain_key).await? })
    }))
    .await
}

async fn setting(blobs: &S3Blobs, key: &str) -> Result<Vec<u8>, StartError> {
    let found = blobs.get(&BlobKey::listed(key.to_owned())).await?;
    found.map(Into::into).ok_or_else(|| StartError::Missing(key.to_owned()))
}

/// A deployment without a scanner: never "clean" (RFC 6109 §5.4).
#[derive(Clone, Copy, Debug, Default)]
struct NoScanner;

#[async_trait]
impl Scanner for NoScanner {
    async fn scan(&self, _: &Bytes) -> Result<Scan, ScannerError> {
        Err(ScannerError("this deployment has no scanner".to_owned()))
    }

    fn version(&self) -> String {
        "none".to_owned()
    }
}

/// For functions that type no recipient.
struct NoIndex;

impl Directory for NoIndex {
    fn index(&self) -> Arc<Index> {
        Arc::new(Index::default())
    }
}
