//! What one session may ask for.

/// Bounds of what comes from a client. Everything that a session keeps is a multiple of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a command without its literals, before sign-in.
    pub line_bytes_stranger: usize,
    /// The same after it: sets of UIDs are long (RFC 7162 §4 asks for 8192).
    pub line_bytes: usize,
    /// Octets of all literals of a command but the message of APPEND.
    pub literal_bytes: usize,
    /// Literals of a command.
    pub literals: usize,
    /// Octets of a message that is appended.
    pub append_bytes: u64,
    /// Commands that are none, or sign-ins that fail, before the session ends.
    pub mistakes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line_bytes_stranger: 4 * 1024,
            line_bytes: 64 * 1024,
            literal_bytes: 16 * 1024,
            literals: 64,
            append_bytes: 100 * 1024 * 1024,
            mistakes: 20,
        }
    }
}

/// Levels of parentheses in a command.
pub(crate) const NESTING_MAX: usize = 20;
/// Items of one FETCH.
pub(crate) const FETCH_ITEMS_MAX: usize = 64;
/// Keys of one SEARCH, over all levels.
pub(crate) const SEARCH_KEYS_MAX: usize = 256;
/// Things in any other list.
pub(crate) const LIST_MAX: usize = 256;
/// Octets of a tag.
pub(crate) const TAG_BYTES_MAX: usize = 64;
/// Octets of a mailbox name, as it is stored.
pub(crate) const NAME_BYTES_MAX: usize = 512;
/// Octets of all patterns of one LIST.
pub(crate) const PATTERN_BYTES_MAX: usize = 1024;
