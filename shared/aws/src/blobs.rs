//! [`Blobs`] on S3: the data bucket, and the vault for keys that begin with `vault/`.
//!
//! Put-if-absent is S3's conditional write (`If-None-Match: *`), for copies too. S3 answers when the object is
//! durable. A put that is repeated because its answer was lost finds its own object: `Existing`, whose bytes are the
//! ones to go on with.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt::Write as _,
    pin::Pin,
    task::{Context, Poll},
};

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::{RequestId, get_object::GetObjectOutput},
    primitives::{ByteStream, SdkBody},
};
use bytes::{Bytes, BytesMut};
use hyper::body::{Frame, SizeHint};
use mime::Rope;
use pec::Instant;
use stages::{
    BlobKey,
    ports::{BlobError, Blobs, Put},
};

use crate::{clients::tell, config::Buckets};

/// What keys of the vault begin with.
pub const VAULT_PREFIX: &str = "vault/";

/// Keys of one page of a list.
const PAGE_MAX: usize = 1000;

/// Octets that are reserved for a blob before its first octet is there: more is grown as it comes.
const RESERVE_BYTES_MAX: usize = 128 << 20;

/// How often a blob is asked for whose body breaks off.
const BODIES_MAX: usize = 4;

/// The blobs on S3.
#[derive(Clone, Debug)]
pub struct S3Blobs {
    client: Client,
    buckets: Buckets,
}

impl S3Blobs {
    /// In these buckets.
    #[must_use]
    pub fn new(client: Client, buckets: Buckets) -> Self {
        Self { client, buckets }
    }

    fn bucket(&self, key: &BlobKey) -> &str {
        if key.as_str().starts_with(VAULT_PREFIX) { &self.buckets.vault } else { &self.buckets.data }
    }

    /// The whole blob with the instant when it was stored.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`]
    pub async fn get_dated(&self, key: &BlobKey) -> Result<Option<(Bytes, Instant)>, BlobError> {
        self.fetch(key, None).await
    }

    /// A blob or a range of it. A body that breaks off is asked for again: the SDK does that only until it begins.
    async fn fetch(
        &self,
        key: &BlobKey,
        range: Option<String>,
    ) -> Result<Option<(Bytes, Instant)>, BlobError> {
        let mut broken = BlobError::Missing(key.clone());
        for _ in 0..BODIES_MAX {
            let request = self.client.get_object().bucket(self.bucket(key)).key(key.as_str());
            let object = match request.set_range(range.clone()).send().await {
                Ok(object) => object,
                Err(error) if is_missing(&error) => return Ok(None),
                // A range that begins behind the end.
                Err(error) if status(&error) == Some(416) => {
                    return Ok(Some((Bytes::new(), Instant::from_unix_s(0))));
                }
                Err(error) => return Err(failed(&error)),
            };
            let stored = object.last_modified().map_or(0, aws_sdk_s3::primitives::DateTime::secs);
            match whole(key, object).await {
                Ok(bytes) => return Ok(Some((bytes, Instant::from_unix_s(stored)))),
                Err(error) => broken = error,
            }
        }
        Err(broken)
    }

    async fn list_in(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&BlobKey>,
        limit: usize,
    ) -> Result<Vec<BlobKey>, BlobError> {
        let mut objects = self
            .client
            .list_objects_v2()
            .bucket(bucket)
            .prefix(prefix)
            .set_start_after(after.map(|k| k.as_str().to_owned()))
            .max_keys(i32::try_from(limit.clamp(1, PAGE_MAX)).unwrap_or(1))
            .into_paginator()
            .send();
        let mut keys = Vec::new();
        while keys.len() < limit {
            let Some(page) = objects.next().await else { break };
            let page = page.map_err(|e| failed(&e))?;
            let names = page.contents.into_iter().flatten().filter_map(|object| object.key);
            keys.extend(names.take(limit - keys.len()).map(BlobKey::listed));
        }
        Ok(keys)
    }
}

#[async_trait]
impl Blobs for S3Blobs {
    async fn put_if_absent(&self, key: &BlobKey, body: Rope) -> Result<Put, BlobError> {
        let request = self
            .client
            .put_object()
            .bucket(self.bucket(key))
            .key(key.as_str())
            .if_none_match("*")
            .body(stream(body));
        match request.send().await {
            Ok(_) => Ok(Put::New),
            Err(error) if is_there(&error) => Ok(Put::Existing),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn get(&self, key: &BlobKey) -> Result<Option<Bytes>, BlobError> {
        Ok(self.get_dated(key).await?.map(|(bytes, _)| bytes))
    }

    async fn get_range(&self, key: &BlobKey, from: u64, len: u64) -> Result<Option<Bytes>, BlobError> {
        if len == 0 {
            return Ok(self.size(key).await?.map(|_| Bytes::new()));
        }
        let last = from.saturating_add(len - 1).min(i64::MAX as u64);
        Ok(self.fetch(key, Some(format!("bytes={from}-{last}"))).await?.map(|(bytes, _)| bytes))
    }

    async fn size(&self, key: &BlobKey) -> Result<Option<u64>, BlobError> {
        match self.client.head_object().bucket(self.bucket(key)).key(key.as_str()).send().await {
            Ok(head) => Ok(Some(head.content_length().and_then(|n| u64::try_from(n).ok()).unwrap_or(0))),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn copy_if_absent(&self, from: &BlobKey, to: &BlobKey) -> Result<Put, BlobError> {
        // S3 refuses to copy an object to itself.
        if from == to {
            return match self.size(from).await? {
                Some(_) => Ok(Put::Existing),
                None => Err(BlobError::Missing(from.clone())),
            };
        }
        let request = self
            .client
            .copy_object()
            .copy_source(source(self.bucket(from), from.as_str()))
            .bucket(self.bucket(to))
            .key(to.as_str())
            .if_none_match("*");
        match request.send().await {
            Ok(_) => Ok(Put::New),
            Err(error) if is_there(&error) => Ok(Put::Existing),
            Err(error) if is_missing(&error) => Err(BlobError::Missing(from.clone())),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        let request = self.client.delete_object().bucket(self.bucket(key)).key(key.as_str());
        request.send().await.map(|_| ()).map_err(|e| failed(&e))
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&BlobKey>,
        limit: usize,
    ) -> Result<Vec<BlobKey>, BlobError> {
        if prefix.starts_with(VAULT_PREFIX) {
            return self.list_in(&self.buckets.vault, prefix, after, limit).await;
        }
        let mut keys = self.list_in(&self.buckets.data, prefix, after, limit).await?;
        // A prefix that does not say which bucket.
        if VAULT_PREFIX.starts_with(prefix) {
            keys.extend(self.list_in(&self.buckets.vault, VAULT_PREFIX, after, limit).await?);
            keys.sort_unstable();
            keys.truncate(limit);
        }
        Ok(keys)
    }
}

/// A body that is sent piece by piece, of known length, and again if need be; nothing is joined.
fn stream(rope: Rope) -> ByteStream {
    let left = rope.len() as u64;
    let pieces = rope.into_chunks();
    ByteStream::new(SdkBody::retryable(move || {
        SdkBody::from_body_1_x(Pieces { rest: pieces.iter().cloned().collect(), left })
    }))
}

struct Pieces {
    rest: VecDeque<Bytes>,
    left: u64,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.rest.pop_front();
        self.left -= piece.as_ref().map_or(0, |p| p.len() as u64);
        Poll::Ready(piece.map(|p| Ok(Frame::data(p))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// The body of an answer, in one allocation.
async fn whole(key: &BlobKey, object: GetObjectOutput) -> Result<Bytes, BlobError> {
    let length = object.content_length().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let mut bytes = BytesMut::with_capacity(length.min(RESERVE_BYTES_MAX));
    let mut body = object.body;
    // It breaks off, or its checksum is wrong: the SDK compares it with what was stored.
    while let Some(piece) =
        body.try_next().await.map_err(|e| BlobError::Unavailable(format!("{key}: {e}")))?
    {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

/// `bucket/key` as a header carries it.
fn source(bucket: &str, key: &str) -> String {
    let mut out = format!("{bucket}/");
    for octet in key.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                out.push(char::from(octet))
            }
            _ => {
                let _ = write!(out, "%{octet:02X}"); // a String takes all that is written
            }
        }
    }
    out
}

type Failure<E> = SdkError<E, aws_sdk_s3::config::http::HttpResponse>;

fn status<E>(error: &Failure<E>) -> Option<u16> {
    error.raw_response().map(|r| r.status().as_u16())
}

fn is_there<E>(error: &Failure<E>) -> bool {
    status(error) == Some(412)
}

fn is_missing<E: ProvideErrorMetadata>(error: &Failure<E>) -> bool {
    error.as_service_error().and_then(ProvideErrorMetadata::code) == Some("NoSuchKey")
}

fn failed<E: ProvideErrorMetadata>(error: &Failure<E>) -> BlobError
where
    Failure<E>: RequestId,
{
    BlobError::Unavailable(tell(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_escaped_but_for_its_slashes() {
        assert_eq!(source("b", "letters/a+b c/è.eml"), "b/letters/a%2Bb%20c/%C3%A8.eml");
    }

    #[tokio::test]
    async fn a_rope_is_sent_in_its_pieces_and_again() {
        let big = Bytes::from(vec![b'x'; 1000]);
        let rope = Rope::from_iter([Bytes::from_static(b"head"), big.clone(), Bytes::from_static(b"tail")]);
        let body = stream(rope).into_inner();
        for mut body in [body.try_clone().unwrap(), body] {
            assert_eq!(body.content_length(), Some(1008));
            let mut pieces = Vec::new();
            while let Some(frame) = http_body_util::BodyExt::frame(&mut body).await {
                pieces.push(frame.unwrap().into_data().unwrap());
            }
            assert_eq!(pieces.len(), 3);
            assert_eq!(pieces[1].as_ptr(), big.as_ptr(), "not copied");
        }
    }
}
