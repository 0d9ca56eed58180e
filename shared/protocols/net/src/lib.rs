//! What the mail doors share below their protocols: listeners with limits, TLS that is reloaded, draining.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]
