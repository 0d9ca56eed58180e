//! What the door answers when it does not do what was asked: one place for all statuses.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use stages::{StageError, accounts::ManageError, domains::DomainError, error::chain, rates::RateError};

/// Why a request is not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// Something in the request cannot be understood.
    #[error("{0}")]
    BadRequest(String),
    /// No credentials, or wrong ones.
    #[error("sign in with the address and a password of a mailbox")]
    Unauthorized,
    /// Too many wrong passwords.
    #[error("too many wrong passwords: try again in {0} s")]
    TooManyFailures(u64),
    /// The account or its organisation sends too much.
    #[error("{0}")]
    TooMuchSent(RateError),
    /// F7 (spec 4.1)
    #[error("the sender is not an address of this account")]
    ForeignSender,
    /// Nothing there, or nothing of this account's.
    #[error("there is no such thing here")]
    NotFound,
    /// Another method.
    #[error("this method does nothing here")]
    Method,
    /// The body did not come in time.
    #[error("the letter did not come in time")]
    TooSlow,
    /// The idempotency key is that of an earlier letter that differs.
    #[error("this idempotency key is that of another letter")]
    KeyOfAnother,
    /// Over the technical bound (spec 0.2 D3).
    #[error("the letter has more than {0} octets")]
    TooLarge(u64),
    /// An operator's operation that cannot be done.
    #[error("failed to {0}")]
    Operation(ManageError),
    /// Ours.
    #[error("not done, and not known whether it will be: try again")]
    Failed(#[from] StageError),
}

impl From<ManageError> for Refused {
    fn from(error: ManageError) -> Self {
        match error {
            ManageError::Stage(error) | ManageError::Domain(DomainError::Stage(error)) => Self::Failed(error),
            error => Self::Operation(error),
        }
    }
}

impl Refused {
    const fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "bad-request"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::TooManyFailures(_) => (StatusCode::TOO_MANY_REQUESTS, "too-many-failures"),
            Self::TooMuchSent(_) => (StatusCode::TOO_MANY_REQUESTS, "too-much-sent"),
            Self::ForeignSender => (StatusCode::FORBIDDEN, "foreign-sender"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too-slow"),
            Self::KeyOfAnother => (StatusCode::UNPROCESSABLE_ENTITY, "key-of-another"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
            Self::Operation(ManageError::NoAccount) => (StatusCode::NOT_FOUND, "no-account"),
            Self::Operation(ManageError::Domain(DomainError::NotHere)) => {
                (StatusCode::NOT_FOUND, "no-domain")
            }
            Self::Operation(ManageError::NoAppPassword) => (StatusCode::NOT_FOUND, "no-app-password"),
            Self::Operation(_) => (StatusCode::CONFLICT, "not-possible"),
            Self::Failed(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        if let Self::Failed(error) = &self {
            tracing::error!(error = format!("failed to {}", chain(error)), "request was not done");
        }
        let (status, code) = self.status();
        let body = Json(json!({ "error": { "code": code, "message": self.to_string() } }));
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        match self {
            Self::Unauthorized => {
                let challenge = HeaderValue::from_static("Basic realm=\"sigillo\", charset=\"UTF-8\"");
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            Self::TooManyFailures(seconds) | Self::TooMuchSent(RateError::Over { retry_s: seconds, .. }) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            Self::Failed(_) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(1));
            }
            _ => {}
        }
        response
    }
}

pub(super) async fn not_found() -> Refused {
    Refused::NotFound
}

pub(super) async fn method_not_allowed() -> Refused {
    Refused::Method
}
