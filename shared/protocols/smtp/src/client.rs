//! The sending side (RFC 5321 §3).
