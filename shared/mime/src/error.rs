//! What can go wrong while reading.

/// Why octets could not be read. Displays finish the sentence "failed to …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MimeError {
    /// No blank line within the bound.
    #[error("read the header: longer than {max} octets")]
    HeaderTooLong {
        /// [`crate::Limits::header_bytes`].
        max: usize,
    },
    /// More fields than the bound.
    #[error("read the header: more than {max} fields")]
    TooManyFields {
        /// [`crate::Limits::header_fields`].
        max: usize,
    },
    /// More body parts than the bound.
    #[error("split the body: more than {max} parts")]
    TooManyParts {
        /// [`crate::Limits::parts`], or what was left of it.
        max: usize,
    },
    /// Multiparts inside multiparts beyond the bound.
    #[error("split the body: nested deeper than {max} levels")]
    TooDeep {
        /// [`crate::Limits::depth`].
        max: usize,
    },
    /// A boundary that cannot delimit (RFC 2046 §5.1.1): empty, or with a line end in it.
    #[error("split the body: the boundary is empty or holds a line end")]
    Boundary,
    /// A line above the bound.
    #[error("accept the lines: the line at octet {offset} is longer than {max} octets")]
    LineTooLong {
        /// Where the line starts.
        offset: usize,
        /// [`crate::Limits::line_bytes`].
        max: usize,
    },
    /// An octet that RFC 5322 §2.3 does not allow.
    #[error("accept the lines: {what} at octet {offset}")]
    ForbiddenOctet {
        /// Where it is.
        offset: usize,
        /// `NUL`, `bare CR` or `bare LF`.
        what: &'static str,
    },
    /// Not an address list of RFC 5322 §3.4.
    #[error("read the address list at octet {offset}: expected {expected}")]
    Address {
        /// Offset within the given octets.
        offset: usize,
        /// What the grammar wants there.
        expected: &'static str,
    },
    /// More mailboxes than the caller's bound.
    #[error("read the address list: more than {max} addresses")]
    TooManyAddresses {
        /// The caller's bound.
        max: usize,
    },
    /// Not base64 (RFC 2045 §6.8).
    #[error("decode base64: {0}")]
    Base64(&'static str),
}
