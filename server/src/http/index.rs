//! `GET /index.ldif.p7m`: our own record of the provider index, signed, at our LDIFLocationURL (RFC 6109 §4.5, §4.5.6).

use std::sync::Arc;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use pec::Instant;
use stages::environments;
use tokio::sync::Mutex;

use super::{Door, answer::Refused};

/// Where it is, below the door's host.
pub(crate) const PATH: &str = "/index.ldif.p7m";
/// A file serves everybody so long, in seconds: whoever asks often makes no signatures.
const SAME_S: i64 = 60;

/// What is served: nothing, where no LDIFLocationURL was set.
#[derive(Default)]
pub(super) struct Own {
    url: Option<String>,
    made: Mutex<Option<(Instant, Bytes)>>,
}

impl Own {
    pub(super) fn at(url: Option<String>) -> Self {
        Self { url, made: Mutex::default() }
    }
}

/// The signed file, as of this minute.
pub(super) async fn own(State(door): State<Arc<Door>>) -> Result<Response, Refused> {
    let url = door.index.url.as_ref().ok_or(Refused::NotFound)?;
    let now = door.rim.now();
    let mut made = door.index.made.lock().await;
    let file = match made.as_ref() {
        Some((at, file)) if (*at..at.plus_s(SAME_S)).contains(&now) => file.clone(),
        _ => {
            let file = environments::publish(&door.rim, &door.office.environment, url, now).await?;
            let file = Bytes::from(file);
            *made = Some((now, file.clone()));
            file
        }
    };
    let kind = "application/pkcs7-mime; smime-type=signed-data; name=index.ldif.p7m";
    Ok(([(header::CONTENT_TYPE, kind)], file).into_response())
}
