//! The function `directory`: fetches the provider index once a day, and puts it in force as the object that all other
//! functions read ([`crate::directory`]); and each hour the revocation lists that its certificates name ([`crate::lists`]). What does not hold is an error, hence an alarm, and the last good copy stays.

use std::{sync::Arc, time::Duration};

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_secretsmanager::Client as Secrets;
use directory::{
    FetchError, Fetched, Form, REFRESH, Settings, Source,
    lists::{Fetcher, ListsError, wanted},
};
use pec::{Index, Instant};
use smime::{Anchors, Verifier};
use tokio::task;

use crate::{
    Config,
    clients::tell,
    config::{ConfigError, IndexSource, SETTINGS_PREFIX},
    lists::key_of,
    secrets::{self, SecretError},
};

/// Authorities of the server, and of the signer, in the data bucket below [`SETTINGS_PREFIX`]: PEM, put there by operators.
const SERVER_CA: &str = "directory/server-ca.pem";
const SIGNER_CA: &str = "directory/signer-ca.pem";
/// A tick each hour sees to it that no copy is a day old: an hour of patience, and one of grace.
const EARLY: Duration = Duration::from_secs(2 * 3600);
/// How long a fetch may take: the function has five minutes for it and for lists.
const WAIT: Duration = Duration::from_secs(40);

/// Why there is no new index. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The data bucket.
    #[error("use {0} in the data bucket: {1}")]
    Bucket(String, String),
    /// Our client certificate.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The source.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A revocation list.
    #[error(transparent)]
    Lists(#[from] ListsError),
    /// The work was cut off.
    #[error("fetch the index: {0}")]
    Cut(String),
}

/// What fetches.
pub struct Refresher {
    s3: aws_sdk_s3::Client,
    secrets: Secrets,
    bucket: String,
    index_key: String,
    anchors_key: String,
    source: IndexSource,
}

impl Refresher {
    /// With these.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] where no source is set.
    pub fn new(s3: aws_sdk_s3::Client, secrets: Secrets, config: Config) -> Result<Self, ConfigError> {
        let missing = || ConfigError::Missing("SIGILLO_DIRECTORY_URL".to_owned());
        let source = config.index_source.ok_or_else(missing)?;
        let Config { buckets, index_key, anchors_key, .. } = config;
        Ok(Self { s3, secrets, bucket: buckets.data, index_key, anchors_key, source })
    }

    /// Fetches the index if it is about a day old, or not there, and then the revocation lists. Answers whether a new
    /// index is in force.
    ///
    /// # Errors
    /// [`RefreshError`]; the next tick tries again.
    pub async fn tick(&self, now: Instant) -> Result<bool, RefreshError> {
        // Neither waits for the other.
        let index = self.fetch_index(now).await;
        let lists = self.fetch_lists(now).await;
        let fetched = index?;
        lists?;
        Ok(fetched)
    }

    /// The lists that certificates of the index in force name. One that fails does not keep the others.
    async fn fetch_lists(&self, now: Instant) -> Result<(), RefreshError> {
        let unfit = |key: &str, why: String| RefreshError::Bucket(key.to_owned(), why);
        let index = self.read(&self.index_key).await?;
        let index = Index::from_ldif(&index).map_err(|error| unfit(&self.index_key, error.to_string()))?;
        let anchors = self.read(&self.anchors_key).await?;
        let anchors = Anchors::from_files([anchors.as_slice()]);
        let verifier = Verifier::new(anchors.map_err(|error| unfit(&self.anchors_key, error.to_string()))?);
        let fetch = move || {
            let fetcher = Fetcher::default();
            let fetched = wanted(&verifier, &index).into_iter().map(|wanted| {
                let list = fetcher.refresh(&verifier, &wanted, now.unix_s());
                (key_of(&wanted), list)
            });
            fetched.collect::<Vec<_>>()
        };
        let fetched =
            task::spawn_blocking(fetch).await.map_err(|error| RefreshError::Cut(error.to_string()))?;
        let mut failed = None;
        for (key, list) in fetched {
            match list {
                Ok(list) => self.write(&key, list).await?,
                Err(error) => {
                    tracing::error!(alarm = "revocation", error = %error, "the last good list stays");
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    async fn fetch_index(&self, now: Instant) -> Result<bool, RefreshError> {
        // 1. Only then: certificates and keys may have been replaced meanwhile, so they are read each time.
        let form = Form::of(&self.source.url)?;
        let copy = format!("{}{}", self.index_key, form.suffix());
        if self.written_at(&copy).await?.is_some_and(|at| now < at.plus_s(seconds(REFRESH - EARLY))) {
            return Ok(false);
        }
        let pair = secrets::pair(&self.secrets, &self.source.secret).await?;
        let signer_ca = match form {
            Form::Directory => None,
            Form::Signed => Some(self.read(&format!("{SETTINGS_PREFIX}{SIGNER_CA}")).await?),
        };
        let source = Source::new(&Settings {
            url: self.source.url.clone(),
            server_ca: self.read(&format!("{SETTINGS_PREFIX}{SERVER_CA}")).await?,
            signer_ca,
            certificate: pair.certificate.into_bytes(),
            key: pair.key.into_bytes(),
            wait: WAIT,
        })?;

        // 2. It blocks.
        let source = Arc::new(source);
        let fetched = task::spawn_blocking(move || source.fetch(now)).await;
        let Fetched { file, ldif, index, .. } =
            fetched.map_err(|error| RefreshError::Cut(error.to_string()))??;

        // 3. What came last: power fails between, and the next tick fetches again.
        self.write(&self.index_key, ldif).await?;
        self.write(&copy, file).await?;
        let (records, complaints) = (index.records().len(), index.complaints().len());
        tracing::info!(records, complaints, "the provider index was refreshed");
        Ok(true)
    }

    async fn written_at(&self, key: &str) -> Result<Option<Instant>, RefreshError> {
        match self.s3.head_object().bucket(&self.bucket).key(key).send().await {
            Ok(found) => Ok(found.last_modified().map(|at| Instant::from_unix_s(at.secs()))),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_not_found()) => Ok(None),
            Err(error) => Err(RefreshError::Bucket(key.to_owned(), tell(&error))),
        }
    }

    async fn read(&self, key: &str) -> Result<Vec<u8>, RefreshError> {
        let failed = |why: String| RefreshError::Bucket(key.to_owned(), why);
        let object = self.s3.get_object().bucket(&self.bucket).key(key).send().await;
        let object = object.map_err(|error| failed(tell(&error)))?;
        let body = object.body.collect().await.map_err(|error| failed(error.to_string()))?;
        Ok(body.to_vec())
    }

    async fn write(&self, key: &str, body: impl Into<ByteStream>) -> Result<(), RefreshError> {
        let put = self.s3.put_object().bucket(&self.bucket).key(key).body(body.into());
        put.send().await.map_err(|error| RefreshError::Bucket(key.to_owned(), tell(&error)))?;
        Ok(())
    }
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}
