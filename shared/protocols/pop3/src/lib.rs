//! POP3 (RFC 1939), with CAPA and response codes (RFC 2449, RFC 3206) and SASL PLAIN (RFC 5034), over implicit TLS
//! (RFC 8314).
//!
//! ```text
//! Machine   octets in, steps out: no socket, no clock, no store
//! Body      a stored message as it goes over the wire: dots doubled, lines counted for TOP
//! Door      the loop: Connection <-> Machine <-> accounts and the mailbox; one session of a mailbox at a time
//! ```
//! The maildrop is INBOX as it was at sign-in. Who reads by POP3 and wants receipts chooses to have them in INBOX.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod body;
mod command;
mod door;
mod lock;
mod machine;
mod maildrop;

pub use body::Body;
pub use door::{Door, limits};
pub use machine::{LINE_BYTES_MAX, Machine, Refused, Step};
pub use maildrop::Maildrop;
