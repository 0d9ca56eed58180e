//! The receiving side: submission (RFC 6409) and exchange (RFC 5321).
//!
//! [`Machine`] is the protocol without sockets: octets in, replies and questions out. It knows neither accounts nor
//! mailboxes; whoever drives it asks its [`Ask`]s of somebody who does, and answers with a [`Reply`].

mod auth;
mod command;
mod data;
mod line;
mod machine;
mod path;
mod reply;
mod settings;

pub use auth::Credentials;
pub use machine::{Ask, Machine, Step, Transaction};
pub use reply::Reply;
pub use settings::{Role, Settings};
