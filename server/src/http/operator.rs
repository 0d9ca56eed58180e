//! The operator's operations: whoever can read the provider's folder knows the token.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequestParts, State, rejection::JsonRejection},
    http::{header, request::Parts},
};

use super::{Door, answer::Refused};
use crate::operator::{Done, Operation, perform};

/// Somebody who knows the operator's token.
pub(super) struct Operator;

impl FromRequestParts<Arc<Door>> for Operator {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, door: &Arc<Door>) -> Result<Self, Refused> {
        let value = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = value.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| {
            // RFC 6750 §2.1
            scheme.eq_ignore_ascii_case("bearer")
        });
        match token {
            Some((_, token)) if door.operator.is(token.trim()) => Ok(Self),
            // Nobody else is told that there is such a place.
            _ => Err(Refused::NotFound),
        }
    }
}

/// `POST /v1/operator`
pub(super) async fn operate(
    _operator: Operator,
    State(door): State<Arc<Door>>,
    operation: Result<Json<Operation>, JsonRejection>,
) -> Result<Json<Done>, Refused> {
    let Json(operation) = operation.map_err(|error| Refused::BadRequest(error.body_text()))?;
    Ok(Json(perform(&door.office, operation, door.rim.now()).await?))
}
