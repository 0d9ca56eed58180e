//! What the doors share below their protocols: listeners with limits, TLS that is reloaded, draining.
//!
//! ```text
//! Listener ── accepts, counts by peer, makes the TLS handshake ──► Connection { stream, peer, stop }
//!                                                                     │ one task each, bounded in time
//! Stopper ── stop() ──► Stop: no new connections, sessions are told, waited for, ended
//! Tls ── one certificate for all doors, swapped when its files change
//! ```
//! Nothing here knows a protocol. A session is a function of a [`Connection`]: it reads with [`Stream::fill`] or
//! [`Stream::line`], both bounded, and writes with [`Stream::send`].
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod listener;
mod peers;
mod stop;
mod stream;
mod tls;

pub use listener::{BindError, Connection, Limits, Listener, Security};
pub use peers::network;
pub use stop::{Stop, Stopper};
pub use stream::{Stream, StreamError};
pub use tls::{Reloaded, Tls, TlsError, client_config};
