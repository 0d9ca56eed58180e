//! The receiving side: submission (RFC 6409) and exchange (RFC 5321).
