//! POP3 (RFC 1939): a state machine without sockets, then a thin loop over it.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]
