//! Reading of the mailbox that signed in.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::header,
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{Door, account::Account, answer::Refused, wire};
use crate::view;

#[derive(Debug, Deserialize)]
pub(super) struct Range {
    /// Messages with a higher UID.
    #[serde(default)]
    after: u32,
    /// At most so many; fewer may come before the end.
    limit: Option<usize>,
}

/// `GET /v1/mailbox`
pub(super) async fn folders(
    State(door): State<Arc<Door>>,
    Account(account): Account,
) -> Result<Json<wire::Folders>, Refused> {
    Ok(Json(view::folders(&door.rim, &account).await?))
}

/// `GET /v1/mailbox/{folder}?after=UID&limit=N`
pub(super) async fn list(
    State(door): State<Arc<Door>>,
    Account(account): Account,
    Path(name): Path<String>,
    range: Result<Query<Range>, QueryRejection>,
) -> Result<Json<wire::Page>, Refused> {
    let Query(range) = range.map_err(|_| Refused::BadRequest("after, limit: expected numbers".to_owned()))?;
    let limit = range.limit.unwrap_or(view::PAGE).clamp(1, view::PAGE);
    let page = view::page(&door.rim, &account, &name, range.after, limit).await?;
    page.map(Json).ok_or(Refused::NotFound)
}

/// `GET /v1/mailbox/{folder}/{uid}`: the stored octets.
pub(super) async fn message(
    State(door): State<Arc<Door>>,
    Account(account): Account,
    Path((name, uid)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let uid = uid.parse().map_err(|_| Refused::NotFound)?;
    let octets = view::message(&door.rim, &account, &name, uid).await?.ok_or(Refused::NotFound)?;
    Ok(([(header::CONTENT_TYPE, "message/rfc822")], Body::from(octets)).into_response())
}
