//! Line ends: the canonical CRLF form, and the lines that RFC 5322 allows.

use bytes::Bytes;
use memchr::{memchr, memchr_iter};

use crate::{Limits, MimeError, cut};

/// Calls `visit` with pieces that together are `chunks` with every bare LF turned into CRLF (the canonical form over
/// which signatures of text are made, RFC 5751 §3.1.1). Copies nothing; a CR at the end of one chunk and the LF at the
/// start of the next are one line end. A bare CR stays.
pub fn canonical_line_ends<C: AsRef<[u8]>>(
    chunks: impl IntoIterator<Item = C>,
    mut visit: impl FnMut(&[u8]),
) {
    let mut last = 0;
    for chunk in chunks {
        let chunk = chunk.as_ref();
        let mut start = 0;
        for at in memchr_iter(b'\n', chunk) {
            let before = at.checked_sub(1).map_or(Some(&last), |i| chunk.get(i));
            if before != Some(&b'\r') {
                if start < at {
                    visit(cut(chunk, start, at));
                }
                visit(b"\r\n");
                start = at + 1;
            }
        }
        if start < chunk.len() {
            visit(cut(chunk, start, chunk.len()));
        }
        last = chunk.last().copied().unwrap_or(last);
    }
}

/// `bytes` with every bare LF turned into CRLF: the same memory if there is none, else one copy.
pub fn canonical(bytes: &Bytes) -> Bytes {
    if bare_lf(bytes).is_none() {
        return bytes.clone();
    }
    let mut flat = Vec::with_capacity(bytes.len() + memchr_iter(b'\n', bytes).count());
    canonical_line_ends([bytes], |piece| flat.extend_from_slice(piece));
    Bytes::from(flat)
}

/// Are the lines such as RFC 5322 §2.1.1 and §2.3 want them: at most [`Limits::line_bytes`] octets without the CRLF,
/// no NUL, no bare CR, no bare LF?
pub fn check(octets: &[u8], limits: &Limits) -> Result<(), MimeError> {
    let forbidden = [("NUL", memchr(0, octets)), ("bare CR", bare_cr(octets)), ("bare LF", bare_lf(octets))];
    for (what, offset) in forbidden {
        if let Some(offset) = offset {
            return Err(MimeError::ForbiddenOctet { offset, what });
        }
    }
    let max = limits.line_bytes;
    let mut offset = 0;
    for end in memchr_iter(b'\n', octets) {
        if end - offset > max + 1 {
            return Err(MimeError::LineTooLong { offset, max });
        }
        offset = end + 1;
    }
    if octets.len() - offset > max {
        return Err(MimeError::LineTooLong { offset, max });
    }
    Ok(())
}

fn bare_cr(octets: &[u8]) -> Option<usize> {
    memchr_iter(b'\r', octets).find(|&at| octets.get(at + 1) != Some(&b'\n'))
}

fn bare_lf(octets: &[u8]) -> Option<usize> {
    memchr_iter(b'\n', octets).find(|&at| at.checked_sub(1).and_then(|i| octets.get(i)) != Some(&b'\r'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn joined(chunks: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        canonical_line_ends(chunks, |piece| out.extend_from_slice(piece));
        out
    }

    #[test]
    fn a_bare_lf_becomes_crlf_and_a_crlf_stays() {
        assert_eq!(joined(&[b"a\nb\r\nc\n\n"]), b"a\r\nb\r\nc\r\n\r\n");
        assert_eq!(joined(&[b"\n"]), b"\r\n");
        assert_eq!(joined(&[b"a\r", b"", b"\nb", b"\n"]), b"a\r\nb\r\n");
        assert_eq!(joined(&[b"a\rb"]), b"a\rb");
    }

    #[test]
    fn canonical_text_is_not_copied() {
        let text = Bytes::from(b"a\r\nb\r\n".to_vec());
        assert_eq!(canonical(&text).as_ptr(), text.as_ptr());
        let mut pieces = 0;
        canonical_line_ends([&text], |_| pieces += 1);
        assert_eq!(pieces, 1);
    }

    #[test]
    fn lines_are_judged_as_rfc_5322_says() {
        let limits = Limits { line_bytes: 4, ..Limits::default() };
        assert_eq!(check(b"abcd\r\nabcd", &limits), Ok(()));
        assert_eq!(check(b"a\r\nabcde\r\n", &limits), Err(MimeError::LineTooLong { offset: 3, max: 4 }));
        assert_eq!(check(b"a\r\nabcde", &limits), Err(MimeError::LineTooLong { offset: 3, max: 4 }));
        for (octets, what) in [(&b"ab\0"[..], "NUL"), (b"ab\rc", "bare CR"), (b"ab\nc", "bare LF")] {
            assert_eq!(check(octets, &limits), Err(MimeError::ForbiddenOctet { offset: 2, what }));
        }
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(octets in prop::collection::vec(prop::sample::select(b"\r\na".to_vec()), 0..40), at in 0usize..40) {
            let at = at.min(octets.len());
            let whole = joined(&[&octets]);
            prop_assert_eq!(&joined(&[&octets[..at], &octets[at..]]), &whole);
            prop_assert_eq!(&canonical(&Bytes::from(octets))[..], &whole[..]);
            prop_assert_eq!(bare_lf(&whole), None);
        }
    }
}
