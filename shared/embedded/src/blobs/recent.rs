//! Bodies that were put lately: a letter's blobs are read again within milliseconds. By digest, so that a body can
//! never be taken for another one.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use mime::Rope;

use crate::HashMap;

/// Bytes of bodies in one of the two halves.
const HALF_BYTES: usize = 4 << 20;

/// Two halves: when the young one is full, the old one goes.
#[derive(Default)]
pub(super) struct Recent(Mutex<Halves>);

#[derive(Default)]
struct Halves {
    young: HashMap<[u8; 32], Bytes>,
    young_bytes: usize,
    old: HashMap<[u8; 32], Bytes>,
}

impl Recent {
    /// Keeps a copy, not the buffer that the pieces are cut from.
    pub(super) fn put(&self, sha256: [u8; 32], body: &Rope) {
        let mut copy = Vec::with_capacity(body.len());
        body.chunks().for_each(|chunk| copy.extend_from_slice(chunk));
        self.keep(sha256, Bytes::from(copy));
    }

    /// Keeps a body that has its buffer for itself.
    pub(super) fn keep(&self, sha256: [u8; 32], body: Bytes) {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        halves.young_bytes += body.len();
        halves.young.insert(sha256, body);
        if halves.young_bytes > HALF_BYTES {
            halves.young_bytes = 0;
            let halves = &mut *halves;
            halves.old.clear();
            std::mem::swap(&mut halves.young, &mut halves.old);
        }
    }

    /// The body with this digest, if it is still here.
    pub(super) fn get(&self, sha256: &[u8; 32]) -> Option<Bytes> {
        let halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        halves.young.get(sha256).or_else(|| halves.old.get(sha256)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_bodies_are_there_and_the_others_are_not() {
        let recent = Recent::default();
        let body = |n: u8| Rope::from(vec![n; 100_000]);
        for n in 0..200u8 {
            recent.put([n; 32], &body(n));
        }
        assert_eq!(recent.get(&[199; 32]), Some(body(199).to_bytes()));
        assert_eq!(recent.get(&[160; 32]), Some(body(160).to_bytes()));
        assert_eq!(recent.get(&[0; 32]), None);
        let halves = recent.0.lock().unwrap();
        assert!((halves.young.len() + halves.old.len()) * 100_000 <= 2 * HALF_BYTES + 100_000);
    }
}
