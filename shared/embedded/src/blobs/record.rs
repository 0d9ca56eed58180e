//! How a record lies in a segment: a head of 80 bytes, the key, and for a put the body.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `SgB1` |
//! | 1 | kind: 1 put, 2 at, 3 gone |
//! | 1 | 0 |
//! | 2 | length of the key |
//! | 8 | length of the body |
//! | 8 | segment of the body, 0 for a file of its own (kind at) |
//! | 8 | offset of the body in it, or number of the file (kind at) |
//! | 32 | SHA-256 of the body |
//! | 16 | the first half of SHA-256 over segment, offset, the 64 bytes above and the key |
//!
//! Numbers are little-endian. The digest at the end binds a record to its place, so that what an earlier life of the
//! disk left behind is never taken for one.

use aws_lc_rs::digest::{Context, SHA256};

/// Bytes of a head.
pub(super) const HEAD_BYTES: usize = 80;

/// The longest key. Ours have about 120 bytes.
pub(super) const KEY_BYTES_MAX: usize = 1024;

const MAGIC: &[u8; 4] = b"SgB1";

/// Where a body lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    /// The segment; [`Place::FILES`] for a file of its own.
    pub segment: u64,
    /// Offset of the body in the segment, or the number of the file.
    pub offset: u64,
}

impl Place {
    /// The number that stands for no segment but a file of its own.
    pub(super) const FILES: u64 = 0;

    /// The number of the file, if it is one.
    pub(super) const fn file(self) -> Option<u64> {
        if self.segment == Self::FILES { Some(self.offset) } else { None }
    }
}

/// What the index knows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where the body lies.
    pub place: Place,
    /// Its length.
    pub len: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

/// What a record says of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// The body follows; the place is that.
    Put(Entry),
    /// The body lies elsewhere.
    At(Entry),
    /// The key is free.
    Gone,
}

impl Word {
    /// What the key has after this record.
    pub(super) const fn entry(&self) -> Option<Entry> {
        match self {
            Self::Put(entry) | Self::At(entry) => Some(*entry),
            Self::Gone => None,
        }
    }

    /// Bytes of body after the key.
    pub(super) const fn body_bytes(&self) -> u64 {
        match self {
            Self::Put(entry) => entry.len,
            Self::At(_) | Self::Gone => 0,
        }
    }
}

/// Writes head and key of a record that begins at `offset` of `segment`. The body of a put is the caller's to add.
pub(super) fn write(into: &mut Vec<u8>, segment: u64, offset: u64, key: &str, word: &Word) {
    let (kind, entry) = match word {
        Word::Put(entry) => (1, Some(entry)),
        Word::At(entry) => (2, Some(entry)),
        Word::Gone => (3, None),
    };
    let mut head = Vec::with_capacity(HEAD_BYTES);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&[kind, 0]);
    head.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_le_bytes());
    head.extend_from_slice(&entry.map_or(0, |e| e.len).to_le_bytes());
    let elsewhere = if kind == 2 { entry } else { None };
    head.extend_from_slice(&elsewhere.map_or(0, |e| e.place.segment).to_le_bytes());
    head.extend_from_slice(&elsewhere.map_or(0, |e| e.place.offset).to_le_bytes());
    head.extend_from_slice(&entry.map_or([0; 32], |e| e.sha256));
    let check = check(segment, offset, &head, key.as_bytes());
    into.extend_from_slice(&head);
    into.extend_from_slice(&check);
    into.extend_from_slice(key.as_bytes());
}

/// A head that was read, before its key is.
pub(super) struct Head<'a> {
    bytes: &'a [u8; HEAD_BYTES],
    /// Bytes of the key that follows.
    pub key_len: usize,
}

impl<'a> Head<'a> {
    /// Looks at the head; `None` if it is none.
    pub(super) fn read(bytes: &'a [u8; HEAD_BYTES]) -> Option<Self> {
        let key_len = usize::from(u16::from_le_bytes(array(bytes, 6)?));
        (bytes.starts_with(MAGIC) && key_len <= KEY_BYTES_MAX).then_some(Self { bytes, key_len })
    }

    /// The whole record at this place, with its key; `None` if that is not what was written here.
    pub(super) fn with_key(&self, segment: u64, offset: u64, key: &[u8]) -> Option<(String, Word)> {
        let (head, written) = self.bytes.split_at(HEAD_BYTES - 16);
        if check(segment, offset, head, key) != written {
            return None;
        }
        let number = |at| array(head, at).map(u64::from_le_bytes);
        let (len, sha256) = (number(8)?, array(head, 32)?);
        let word = match head.get(4)? {
            1 => {
                let body = offset.checked_add((HEAD_BYTES + key.len()) as u64)?;
                Word::Put(Entry { place: Place { segment, offset: body }, len, sha256 })
            }
            2 => Word::At(Entry { place: Place { segment: number(16)?, offset: number(24)? }, len, sha256 }),
            3 => Word::Gone,
            _ => return None,
        };
        Some((String::from_utf8(key.to_vec()).ok()?, word))
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn check(segment: u64, offset: u64, head: &[u8], key: &[u8]) -> [u8; 16] {
    let mut context = Context::new(&SHA256);
    context.update(&segment.to_le_bytes());
    context.update(&offset.to_le_bytes());
    context.update(head);
    context.update(key);
    array(context.finish().as_ref(), 0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry { place: Place { segment: 7, offset: 4096 + 80 + 3 }, len: 12, sha256: [9; 32] }
    }

    fn written(word: &Word) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, 7, 4096, "a/b", word);
        bytes
    }

    fn read(bytes: &[u8], segment: u64, offset: u64) -> Option<(String, Word)> {
        let (head, key) = bytes.split_at(HEAD_BYTES);
        let head: &[u8; HEAD_BYTES] = head.try_into().unwrap();
        let head = Head::read(head)?;
        head.with_key(segment, offset, key.get(..head.key_len)?)
    }

    #[test]
    fn what_is_written_is_read() {
        let far = Entry { place: Place { segment: 0, offset: 99 }, ..entry() };
        for word in [Word::Put(entry()), Word::At(far), Word::Gone] {
            let bytes = written(&word);
            assert_eq!(bytes.len(), HEAD_BYTES + 3);
            assert_eq!(read(&bytes, 7, 4096), Some(("a/b".to_owned(), word)));
        }
    }

    #[test]
    fn no_bit_may_differ_and_no_other_place_will_do() {
        let bytes = written(&Word::Put(entry()));
        for bit in 0..bytes.len() * 8 {
            let mut bent = bytes.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&bent, 7, 4096), None, "bit {bit}");
        }
        assert_eq!(read(&bytes, 8, 4096), None);
        assert_eq!(read(&bytes, 7, 4097), None);
        assert_eq!(read(&[0; HEAD_BYTES], 7, 4096), None);
    }
}
