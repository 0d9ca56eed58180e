//! Revocation lists from objects in S3 (docs/trust.md): the function `directory` fetches them and puts them there, those that
//! judge what comes in read them. Whoever reads one judges it anew.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_sdk_s3::{Client, error::ProvideErrorMetadata as _};
use directory::lists::wanted;
use pec::{Index, Instant};
use smime::{Verifier, Wanted};

use crate::{clients::tell, config::SETTINGS_PREFIX};

/// How often the objects are looked at.
const LOOK_EVERY_S: i64 = 300;

/// Key of a list in the data bucket.
pub(crate) fn key_of(wanted: &Wanted) -> String {
    format!("{SETTINGS_PREFIX}crl/{}.crl", wanted.name())
}

/// The lists in S3, handed to a verifier.
#[derive(Debug)]
pub struct S3Lists {
    client: Client,
    bucket: String,
    verifier: Arc<Verifier>,
    looked: Mutex<Looked>,
}

#[derive(Debug, Default)]
struct Looked {
    at: Option<Instant>,
    /// What was read last, by key.
    etags: HashMap<String, String>,
}

impl S3Lists {
    /// From now on the verifier asks for them; nothing is read yet.
    #[must_use]
    pub fn new(client: Client, bucket: String, verifier: Arc<Verifier>) -> Self {
        verifier.ask_for_revocation();
        Self { client, bucket, verifier, looked: Mutex::default() }
    }

    /// Looks whether there are newer ones, if the last look is five minutes past. Whatever is wrong, the last good
    /// lists stay.
    pub async fn refresh(&self, index: &Index, now: Instant) {
        {
            let mut looked = self.looked();
            if looked.at.is_some_and(|at| now < at.plus_s(LOOK_EVERY_S)) {
                return;
            }
            looked.at = Some(now);
        }
        for wanted in wanted(&self.verifier, index) {
            if let Err(why) = self.read(&wanted, now).await {
                tracing::error!(alarm = "revocation", why, "the last good list stays");
            }
        }
    }

    async fn read(&self, wanted: &Wanted, now: Instant) -> Result<(), String> {
        let key = key_of(wanted);
        let before = self.looked().etags.get(&key).cloned();
        let request = self.client.get_object().bucket(&self.bucket).key(&key).set_if_none_match(before);
        let object = match request.send().await {
            Ok(object) => object,
            Err(error) if error.raw_response().is_some_and(|r| r.status().as_u16() == 304) => return Ok(()),
            Err(error) if error.as_service_error().and_then(|e| e.code()) == Some("NoSuchKey") => {
                return Err(format!("{key} is not there yet"));
            }
            Err(error) => return Err(tell(&error)),
        };
        let etag = object.e_tag().map(str::to_owned);
        let list = object.body.collect().await.map_err(|error| error.to_string())?.into_bytes();
        self.verifier.take(wanted, &list, now.unix_s()).map_err(|error| error.to_string())?;
        if let Some(etag) = etag {
            self.looked().etags.insert(key, etag);
        }
        Ok(())
    }

    fn looked(&self) -> MutexGuard<'_, Looked> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
