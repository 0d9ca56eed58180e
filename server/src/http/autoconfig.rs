//! `config-v1.1.xml`: what mail programs ask before anybody signs in.

use std::sync::Arc;

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use pec::Address;
use serde::Deserialize;
use stages::registry::Domain;

use super::{Door, answer::Refused};
use crate::settings::autoconfig;

/// Longer ones are nobody's (RFC 5321 §4.5.3.1).
const ADDRESS_BYTES_MAX: usize = 320;

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    emailaddress: Option<String>,
}

/// `GET /mail/config-v1.1.xml` at `autoconfig.DOMAIN`, or `GET /.well-known/autoconfig/mail/config-v1.1.xml` at the
/// domain itself; the domain of `emailaddress` counts more than the host that was asked.
pub(super) async fn config(
    State(door): State<Arc<Door>>,
    asked: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let Query(asked) = asked.map_err(|_| Refused::BadRequest("emailaddress: expected once".to_owned()))?;
    let named = match asked.emailaddress {
        Some(address) if address.len() > ADDRESS_BYTES_MAX => None,
        Some(address) => Address::parse(&address).ok().map(|address| address.domain()),
        None => headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(domain_of_host),
    };
    let named = named.ok_or(Refused::NotFound)?;
    let domain = door.rim.read::<Domain>(&Domain::key_of(&named)).await?.ok_or(Refused::NotFound)?;
    let xml = autoconfig(&door.published, &domain.value.name);
    Ok(([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], xml).into_response())
}

fn domain_of_host(host: &str) -> String {
    let name = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
    // A longer name is no domain; a key is bounded.
    let name = name.get(..name.len().min(255)).unwrap_or_default();
    name.strip_prefix("autoconfig.").unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_that_was_asked_names_the_domain() {
        assert_eq!(domain_of_host("autoconfig.PEC.alfa.example:8443"), "pec.alfa.example");
        assert_eq!(domain_of_host("pec.alfa.example"), "pec.alfa.example");
        assert_eq!(domain_of_host("[::1]:443"), "[");
        assert!(domain_of_host(&"a".repeat(100_000)).len() <= 255);
    }
}
