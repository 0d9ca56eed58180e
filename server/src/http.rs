//! The HTTPS door: submission and reading (docs/http-door.md). Everything that comes in is bounded.

mod account;
mod answer;
mod autoconfig;
pub(crate) mod index;
mod letters;
mod mailbox;
mod operator;
mod session;
pub mod wire;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};
use stages::{Rim, accounts::Accounts, rates::Rates};
use tokio::sync::Semaphore;

use crate::{
    doors::Ground,
    operator::{Office, Token},
    settings::Published,
};

pub use session::{limits, session};

/// Octets of one request's header, all fields: five hundred of the longest addresses fit, a thousand of usual ones.
const HEADER_BYTES_MAX: usize = 160 * 1024;
/// Fields of one request's header.
const HEADER_FIELDS_MAX: usize = 100;
/// Recipients of one request; the lawful limit is lower and makes a notice (spec 0.2 D3).
const RECIPIENTS_MAX: usize = 1000;
/// Octets of letters on their way in, over all requests, in KiB.
const INFLIGHT_KIB: usize = 256 * 1024;

/// What the handlers share.
struct Door {
    rim: Rim,
    accounts: Arc<Accounts>,
    rates: Arc<Rates>,
    operator: Token,
    office: Office,
    published: Published,
    index: index::Own,
    /// The name in the `Received:` field.
    name: String,
    /// One permit a KiB.
    inflight: Semaphore,
}

/// The routes of the door; our own record of the provider index is among them where its URL is known.
pub fn router(
    ground: Ground,
    operator: Token,
    office: Office,
    published: Published,
    ldif_location: Option<String>,
) -> Router {
    let Ground { rim, accounts, rates, name, .. } = ground;
    let inflight = Semaphore::new(INFLIGHT_KIB);
    let index = index::Own::at(ldif_location);
    let door = Door { rim, accounts, rates, operator, office, published, index, name, inflight };
    Router::new()
        .route("/v1/letters", post(letters::submit))
        .route("/v1/letters/{id}", get(letters::progress))
        .route("/v1/mailbox", get(mailbox::folders))
        .route("/v1/mailbox/{folder}", get(mailbox::list))
        .route("/v1/mailbox/{folder}/{uid}", get(mailbox::message))
        .route("/mail/config-v1.1.xml", get(autoconfig::config))
        .route("/.well-known/autoconfig/mail/config-v1.1.xml", get(autoconfig::config))
        .route(index::PATH, get(index::own))
        .route("/v1/operator", post(operator::operate))
        .fallback(answer::not_found)
        .method_not_allowed_fallback(answer::method_not_allowed)
        .with_state(Arc::new(door))
}
