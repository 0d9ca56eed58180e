//! [`Directory`] from an object in S3: the LDIF that the function `directory` puts there after it has checked it.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use aws_sdk_s3::{Client, error::ProvideErrorMetadata as _};
use pec::{Index, Instant};
use stages::ports::Directory;

use crate::clients::tell;

/// How often the object is looked at.
const LOOK_EVERY_S: i64 = 300;

/// Why there is no index to start with. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It cannot be read.
    #[error("read the provider index {0}: {1}")]
    Unavailable(String, String),
    /// It is not there.
    #[error("find the provider index {0} in the data bucket")]
    Missing(String),
    /// It is no index.
    #[error("use the provider index {0}: {1}")]
    Unfit(String, pec::index::IndexError),
}

/// The provider index in S3, with the last good copy in memory.
#[derive(Debug)]
pub struct S3Directory {
    client: Client,
    bucket: String,
    key: String,
    index: RwLock<Arc<Index>>,
    looked: Mutex<Looked>,
}

#[derive(Clone, Debug)]
struct Looked {
    at: Instant,
    etag: Option<String>,
}

impl S3Directory {
    /// Reads the index: without one nothing starts, for everybody would be ordinary mail.
    ///
    /// # Errors
    /// [`DirectoryError`]
    pub async fn open(
        client: Client,
        bucket: String,
        key: String,
        now: Instant,
    ) -> Result<Self, DirectoryError> {
        let Some((index, etag)) = read(&client, &bucket, &key, None).await? else {
            return Err(DirectoryError::Missing(key));
        };
        let looked = Mutex::new(Looked { at: now, etag });
        Ok(Self { client, bucket, key, index: RwLock::new(Arc::new(index)), looked })
    }

    /// Looks whether there is a newer one, if the last look is five minutes past. Whatever is wrong with it, the
    /// last good copy stays in force.
    pub async fn refresh(&self, now: Instant) {
        let before = {
            let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
            if now < looked.at.plus_s(LOOK_EVERY_S) {
                return;
            }
            looked.at = now;
            looked.etag.clone()
        };
        match read(&self.client, &self.bucket, &self.key, before).await {
            Ok(None) => {}
            Ok(Some((index, etag))) => {
                tracing::info!(records = index.records().len(), "a new provider index is in force");
                *self.index.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(index);
                self.looked.lock().unwrap_or_else(PoisonError::into_inner).etag = etag;
            }
            Err(error) => tracing::error!(error = %error, "the last good provider index stays in force"),
        }
    }
}

impl Directory for S3Directory {
    fn index(&self) -> Arc<Index> {
        Arc::clone(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The index, if its object is not the one with this tag.
async fn read(
    client: &Client,
    bucket: &str,
    key: &str,
    not: Option<String>,
) -> Result<Option<(Index, Option<String>)>, DirectoryError> {
    let request = client.get_object().bucket(bucket).key(key).set_if_none_match(not);
    let object = match request.send().await {
        Ok(object) => object,
        Err(error) if error.raw_response().is_some_and(|r| r.status().as_u16() == 304) => return Ok(None),
        Err(error) if error.as_service_error().and_then(|e| e.code()) == Some("NoSuchKey") => {
            return Err(DirectoryError::Missing(key.to_owned()));
        }
        Err(error) => return Err(DirectoryError::Unavailable(key.to_owned(), tell(&error))),
    };
    let etag = object.e_tag().map(str::to_owned);
    let body = object.body.collect().await;
    let body = body.map_err(|e| DirectoryError::Unavailable(key.to_owned(), e.to_string()))?.into_bytes();
    let index = Index::from_ldif(&body).map_err(|e| DirectoryError::Unfit(key.to_owned(), e))?;
    for complaint in index.complaints() {
        tracing::warn!(complaint = %complaint, "a part of the provider index is left out");
    }
    Ok(Some((index, etag)))
}
