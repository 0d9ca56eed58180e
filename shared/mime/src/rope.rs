//! A byte string in pieces.

use std::ops::Range;

use bytes::Bytes;

/// A byte string in pieces: appending and slicing share memory and never copy.
#[derive(Clone, Debug, Default)]
pub struct Rope {
    chunks: Vec<Bytes>,
    len: usize,
}

impl Rope {
    /// The empty rope.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a piece at the end. Empty pieces are dropped.
    pub fn push(&mut self, piece: impl Into<Bytes>) {
        let piece = piece.into();
        if !piece.is_empty() {
            self.len += piece.len();
            self.chunks.push(piece);
        }
    }

    /// Adds all pieces of `other` at the end.
    pub fn append(&mut self, other: Rope) {
        self.len += other.len;
        self.chunks.extend(other.chunks);
    }

    /// Octets in all pieces.
    pub fn len(&self) -> usize {
        self.len
    }

    /// No octet at all?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces in order; none of them is empty.
    pub fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        self.chunks.iter()
    }

    /// The octets of `range`, clamped to what exists: a range outside, or backwards, gives the empty rope.
    pub fn slice(&self, range: Range<usize>) -> Rope {
        let mut out = Rope::new();
        let mut start = 0;
        for chunk in &self.chunks {
            if start >= range.end {
                break;
            }
            let from = range.start.saturating_sub(start);
            out.push(crate::share(chunk, from, range.end - start));
            start += chunk.len();
        }
        out
    }

    /// All octets in one piece: no copy for one piece, else one allocation of the exact size.
    pub fn to_bytes(&self) -> Bytes {
        match self.chunks.as_slice() {
            [] => Bytes::new(),
            [only] => only.clone(),
            chunks => {
                let mut flat = Vec::with_capacity(self.len);
                chunks.iter().for_each(|chunk| flat.extend_from_slice(chunk));
                Bytes::from(flat)
            }
        }
    }

    /// The pieces themselves.
    pub fn into_chunks(self) -> Vec<Bytes> {
        self.chunks
    }
}

impl PartialEq for Rope {
    /// Equal octets, however they are cut into pieces.
    fn eq(&self, other: &Self) -> bool {
        if self.len != other.len {
            return false;
        }
        let (mut left, mut right) = (self.chunks.iter(), other.chunks.iter());
        let (mut a, mut b): (&[u8], &[u8]) = (&[], &[]);
        loop {
            if a.is_empty() {
                a = left.next().map_or(&[], |chunk| chunk);
            }
            if b.is_empty() {
                b = right.next().map_or(&[], |chunk| chunk);
            }
            let common = a.len().min(b.len());
            if common == 0 {
                return a.is_empty() && b.is_empty();
            }
            let ((a_head, a_tail), (b_head, b_tail)) = (a.split_at(common), b.split_at(common));
            if a_head != b_head {
                return false;
            }
            (a, b) = (a_tail, b_tail);
        }
    }
}

impl Eq for Rope {}

impl FromIterator<Bytes> for Rope {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        let mut rope = Rope::new();
        pieces.into_iter().for_each(|piece| rope.push(piece));
        rope
    }
}

macro_rules! from_one_piece {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Rope {
            fn from(piece: $kind) -> Self {
                Rope::from_iter([Bytes::from(piece)])
            }
        }
    )*};
}
from_one_piece!(Bytes, Vec<u8>, String, &'static str, &'static [u8]);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_piece_is_not_copied() {
        let piece = Bytes::from(vec![7; 100]);
        assert_eq!(Rope::from(piece.clone()).to_bytes().as_ptr(), piece.as_ptr());
    }

    #[test]
    fn a_slice_shares_the_memory_of_its_piece() {
        let piece = Bytes::from(vec![7; 100]);
        let mut rope = Rope::from("head");
        rope.push(piece.clone());
        let cut = rope.slice(14..20).into_chunks();
        assert_eq!(cut.len(), 1);
        assert_eq!(cut[0].as_ptr(), piece[10..].as_ptr());
    }

    #[test]
    #[expect(clippy::reversed_empty_ranges, reason = "the documented answer to a range that runs backwards")]
    fn a_range_outside_is_clamped() {
        let rope = Rope::from_iter([Bytes::from("ab"), Bytes::from("cd")]);
        assert_eq!(rope.slice(1..99), Rope::from("bcd"));
        assert!(rope.slice(4..9).is_empty());
        assert!(rope.slice(3..1).is_empty());
        assert_eq!(rope.slice(0..usize::MAX).len(), 4);
    }

    fn flat(pieces: &[Vec<u8>]) -> Vec<u8> {
        pieces.concat()
    }

    proptest! {
        #[test]
        fn a_slice_is_the_slice_of_the_flat_string(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..9),
            a in 0usize..80,
            b in 0usize..80,
        ) {
            let rope: Rope = pieces.iter().cloned().map(Bytes::from).collect();
            let flat = flat(&pieces);
            prop_assert_eq!(rope.len(), flat.len());
            prop_assert_eq!(&rope.to_bytes()[..], &flat[..]);
            prop_assert_eq!(&rope, &Rope::from(flat.clone()));
            let (from, to) = (a.min(b), a.max(b));
            let expected = &flat[from.min(flat.len())..to.min(flat.len())];
            prop_assert_eq!(&rope.slice(from..to).to_bytes()[..], expected);
        }

        #[test]
        fn equality_is_that_of_the_content(
            left in prop::collection::vec(prop::collection::vec(0u8..2, 0..3), 0..5),
            right in prop::collection::vec(prop::collection::vec(0u8..2, 0..3), 0..5),
        ) {
            let (l, r): (Rope, Rope) = (
                left.iter().cloned().map(Bytes::from).collect(),
                right.iter().cloned().map(Bytes::from).collect(),
            );
            prop_assert_eq!(l == r, flat(&left) == flat(&right));
        }
    }
}
