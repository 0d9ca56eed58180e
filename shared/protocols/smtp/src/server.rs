//! The receiving side: submission (RFC 6409) and exchange (RFC 5321).
//!
//! [`Machine`] is the protocol without sockets: octets in, replies and questions out. It knows neither accounts nor
//! mailboxes; whoever drives it asks its [`Ask`]s of somebody who does, and answers with a [`Reply`]. [`Door`] drives it
//! over a connection, and asks a [`Provider`].

mod auth;
mod command;
mod data;
mod door;
mod hold;
mod line;
mod machine;
mod path;
mod reply;
mod settings;

pub use auth::Credentials;
pub use door::{Door, Guest, Provider, Times};
pub use hold::Room;
pub use machine::{Ask, Machine, Step, Tls, Transaction};
pub use reply::Reply;
pub use settings::{Role, Settings};
