//! Changing a few places of a message while sharing everything else.

use std::ops::Range;

use bytes::Bytes;
use mime::Rope;

/// Replacements in one byte string, to be applied together. They must not overlap: of two that do, the one that
/// starts later has no effect.
#[derive(Debug, Default)]
pub(crate) struct Splice {
    edits: Vec<(Range<usize>, Vec<u8>)>,
}

impl Splice {
    /// Puts `with` in the place of `range`.
    pub(crate) fn replace(&mut self, range: Range<usize>, with: impl Into<Vec<u8>>) {
        self.edits.push((range, with.into()));
    }

    /// Puts `with` before the octet at `at`; of several insertions at one place the first comes first.
    pub(crate) fn insert(&mut self, at: usize, with: impl Into<Vec<u8>>) {
        self.replace(at..at, with);
    }

    /// The changed byte string; whatever no edit touches is shared with `source`.
    pub(crate) fn apply(mut self, source: &Bytes) -> Rope {
        self.edits.sort_by_key(|(range, _)| range.start);
        let mut out = Rope::new();
        let mut at = 0;
        for (range, with) in self.edits {
            if range.start < at || range.end < range.start || range.end > source.len() {
                continue;
            }
            out.push(source.slice(at..range.start));
            out.push(with);
            at = range.end;
        }
        out.push(source.slice(at..));
        out
    }
}
