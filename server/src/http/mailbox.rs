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
use stages::mailbox::{self, Named};

use super::{Door, account::Account, answer::Refused, wire};

/// Messages of one answer.
const PAGE: usize = 200;

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
    let folders = mailbox::folders(&door.rim, &account.id).await?;
    let folders = folders
        .into_iter()
        .map(|folder| wire::Folder {
            name: folder.name,
            uidvalidity: folder.state.uidvalidity,
            uidnext: folder.state.uidnext,
            exists: u64::from(folder.state.exists),
        })
        .collect();
    Ok(Json(wire::Folders { folders }))
}

/// `GET /v1/mailbox/{folder}?after=UID&limit=N`
pub(super) async fn list(
    State(door): State<Arc<Door>>,
    Account(account): Account,
    Path(name): Path<String>,
    range: Result<Query<Range>, QueryRejection>,
) -> Result<Json<wire::Page>, Refused> {
    let Query(range) = range.map_err(|_| Refused::BadRequest("after, limit: expected numbers".to_owned()))?;
    let folder = named(&door, &account, &name).await?;
    let limit = range.limit.unwrap_or(PAGE).clamp(1, PAGE);
    let messages = mailbox::list(&door.rim, &account.id, &folder.id, range.after, limit).await?;
    let next = (messages.len() == limit).then(|| messages.last().map(|message| message.uid)).flatten();
    let messages = messages.into_iter().map(|message| shown(message, &folder.name)).collect();
    Ok(Json(wire::Page { messages, next }))
}

/// `GET /v1/mailbox/{folder}/{uid}`: the stored octets.
pub(super) async fn message(
    State(door): State<Arc<Door>>,
    Account(account): Account,
    Path((name, uid)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let uid = uid.parse().map_err(|_| Refused::NotFound)?;
    let folder = named(&door, &account, &name).await?;
    let message =
        mailbox::message(&door.rim, &account.id, &folder.id, uid).await?.ok_or(Refused::NotFound)?;
    let octets = door.rim.blob(&message.blob).await?;
    Ok(([(header::CONTENT_TYPE, "message/rfc822")], Body::from(octets)).into_response())
}

async fn named(door: &Door, account: &stages::registry::Mailbox, name: &str) -> Result<Named, Refused> {
    let tree = mailbox::tree(&door.rim, &account.id).await?;
    tree.find(name).cloned().ok_or(Refused::NotFound)
}

fn shown(message: mailbox::Message, folder: &str) -> wire::Message {
    let summary = message.summary;
    wire::Message {
        uid: message.uid,
        folder: folder.to_owned(),
        kind: summary.kind.map(|kind| kind.words().value.to_owned()),
        subject: summary.subject,
        message_id: summary.message_id,
        pec_id: summary.pec_id,
        size_bytes: summary.size_bytes,
        received_at: message.received_at,
    }
}
