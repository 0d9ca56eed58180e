//! The carrier: what goes to other systems, by DNS and SMTP (RFC 5321 §5.1, RFC 6109 §5.3).
//!
//! ```text
//! Destination ── route: MX, or the domain itself; hosts by preference, each with its addresses
//!             ── place: so many transactions at the same time, others wait a little
//!             ── connection: one that is open already, or the first host that talks to us
//!             ── one transaction: an outcome for each recipient
//! ```
//! To providers of the index TLS is required, and the certificate must name the MX; to ordinary mail it is taken where it
//! is offered. The octets are sent as they are.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod carrier;
mod dns;
mod places;
mod pool;
mod route;

pub use carrier::{Config, ConfigError, SmtpCarrier};
pub use dns::{Dns, Names, Unresolved};
