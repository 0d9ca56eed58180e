//! The sending side (RFC 5321 §3): a session as a state machine ([`Session`]), and the loop that gives it a connection
//! ([`Connection`]).
//!
//! One session makes transactions one after another; each says what became of every recipient. What a server says is
//! bounded before it is looked at. The octets of a message are sent as they are but for the dots of RFC 5321 §4.5.2.

mod connection;
mod data;
mod extensions;
mod reply;
mod session;
mod tls;

pub use connection::{Connection, Encryption, Settings, Timeouts};
pub use data::ends_early;
pub use extensions::Extensions;
pub use reply::Reply;
pub use session::{Failure, Outcome, Session, Starttls, Step, Transaction, Wait};
pub use tls::{RootsError, opportunistic, roots_of, verified, web_roots};
