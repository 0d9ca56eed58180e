//! IMAP (RFC 9051, and the clients of RFC 3501): a state machine without sockets, then a thin loop over it.
//!
//! ```text
//! octets ──► Receiver ──► Input: a command, a piece of a message, something that is none
//!                           │
//!            Session ◄──────┘  over the mailboxes of the stages; who signs in is asked of Accounts
//!               │
//!               └──► Outlet: answers, piece by piece; it waits while the client does not read
//! serve: the socket and the clock around them
//! ```
//! A session holds one command, some two hundred rows and 256 KB of a message, whatever is asked of it; what a folder
//! shows of its messages is shared by all sessions that have it open. `ENVELOPE` and `BODYSTRUCTURE` come from an
//! outline ([`mime::outline`]) that is kept in the row of the message, so that listing a folder reads no bodies.
//!
//! **Extensions.** LITERAL+, SASL-IR, ENABLE, ID, IDLE, NAMESPACE, CHILDREN, LIST-EXTENDED, LIST-STATUS, SPECIAL-USE,
//! CREATE-SPECIAL-USE, UIDPLUS, UNSELECT, MOVE, ESEARCH, SEARCHRES, SORT, ESORT, CONDSTORE, QRESYNC, BINARY, QUOTA,
//! STATUS=SIZE, APPENDLIMIT, UTF8=ACCEPT; docs/imap-door.md says what of each.
//!
//! **Why the grammar is ours.** imap-codec, the library that we would have taken, has no ESEARCH with `RETURN` and
//! SEARCHRES, no LIST-EXTENDED with LIST-STATUS, no parameters of QRESYNC in the form that IMAP4rev2 wants, and its
//! answers hold literals whole: a body would be in memory before its first octet goes out. Half of the grammar would
//! have been ours beside it, and with two parsers there are two opinions where a command ends.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod command;
mod fault;
mod grammar;
mod limits;
mod outlet;
mod pattern;
mod receiver;
mod serve;
mod session;
mod subject;
mod utf7;
mod views;
mod write;

pub use grammar::Bad;
pub use limits::Limits;
pub use outlet::{Gone, Outlet};
pub use receiver::{Input, Receiver};
pub use serve::{Times, serve};
pub use session::{Accounts, Host, NotIn, Session, Step};
pub use write::describe;
