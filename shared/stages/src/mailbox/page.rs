//! Packed pages: what a folder shows of thousands of messages, in one row.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use pec::Instant;
use serde::{Deserialize, Serialize};

use super::{Flags, rows::row};
use crate::{
    ids::MailboxId,
    ports::{RowKey, Table},
    rim::Body,
};

/// A message as a folder shows it without reading its row: FLAGS, MODSEQ, RFC822.SIZE, INTERNALDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// RFC 9051 §2.3.1.1
    pub uid: u32,
    /// Octets.
    pub size_bytes: u32,
    /// Its flags now.
    pub flags: Flags,
    /// RFC 7162: of its last change.
    pub modseq: u64,
    /// INTERNALDATE.
    pub received_at: Instant,
}

/// Entries in one page, at most: at their longest they take 200 KB of the 350 that a row has, mostly some 55.
pub(super) const ENTRIES_MAX: usize = 4096;

/// The form of a packed page.
const FORM: u8 = 1;

/// Consecutive messages of a folder, from UID `lo` to the page after it. Only packing writes it, in place; what it
/// shows may be ahead of what its folder says was packed, never behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PageRow {
    pub mailbox: MailboxId,
    pub folder: String,
    /// The lowest UID it ever had: its place among the pages.
    pub lo: u32,
    /// Packed.
    entries: String,
}

impl PageRow {
    pub(super) fn new(mailbox: &MailboxId, folder: &str, lo: u32, entries: &[Entry]) -> Self {
        Self {
            mailbox: mailbox.clone(),
            folder: folder.to_owned(),
            lo,
            entries: BASE64.encode(pack(entries)),
        }
    }

    pub(super) fn prefix(folder: &str) -> String {
        format!("page#{folder}#")
    }

    /// What it holds; `None` if it is damaged.
    pub(super) fn entries(&self) -> Option<Vec<Entry>> {
        unpack(&BASE64.decode(&self.entries).ok()?)
    }
}
impl Body for PageRow {
    const TABLE: Table = Table::Mailboxes;
    fn key(&self) -> RowKey {
        row(&self.mailbox, format!("{}{:010}", Self::prefix(&self.folder), self.lo))
    }
}

/// Each field as its difference to the entry before, in groups of seven bits: some ten octets an entry.
fn pack(entries: &[Entry]) -> Vec<u8> {
    let mut out = vec![FORM];
    let (mut uid, mut modseq, mut at) = (0_u32, 0_i64, 0_i64);
    for entry in entries {
        put(&mut out, u64::from(entry.uid.wrapping_sub(uid)));
        put(&mut out, entry.flags.bits());
        put(&mut out, u64::from(entry.size_bytes));
        put(&mut out, zigzag(entry.modseq.cast_signed().wrapping_sub(modseq)));
        put(&mut out, zigzag(entry.received_at.unix_s().wrapping_sub(at)));
        (uid, modseq, at) = (entry.uid, entry.modseq.cast_signed(), entry.received_at.unix_s());
    }
    out
}

fn unpack(packed: &[u8]) -> Option<Vec<Entry>> {
    let (&FORM, mut rest) = packed.split_first()? else { return None };
    let mut entries = Vec::new();
    let (mut uid, mut modseq, mut at) = (0_u32, 0_i64, 0_i64);
    while !rest.is_empty() {
        if entries.len() == ENTRIES_MAX {
            return None;
        }
        uid = uid.checked_add(u32::try_from(take(&mut rest)?).ok().filter(|step| *step > 0)?)?;
        let flags = Flags::from_bits(take(&mut rest)?);
        let size_bytes = u32::try_from(take(&mut rest)?).ok()?;
        modseq = modseq.wrapping_add(unzigzag(take(&mut rest)?));
        at = at.wrapping_add(unzigzag(take(&mut rest)?));
        let received_at = Instant::from_unix_s(at);
        entries.push(Entry { uid, size_bytes, flags, modseq: modseq.cast_unsigned(), received_at });
    }
    Some(entries)
}

const fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)).cast_unsigned()
}

const fn unzigzag(n: u64) -> i64 {
    (n >> 1).cast_signed() ^ -((n & 1).cast_signed())
}

fn put(out: &mut Vec<u8>, mut n: u64) {
    while n > 0x7f {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut n = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        let seven = u64::from(byte & 0x7f);
        if shift == 63 && seven > 1 {
            return None;
        }
        n |= seven << shift;
        if byte < 0x80 {
            return Some(n);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn entries()(steps in proptest::collection::vec((1_u32..5000, any::<u32>(), any::<u64>(), any::<u64>(), -2_000_000_000_i64..8_000_000_000), 0..300)) -> Vec<Entry> {
            let mut uid = 0;
            steps.into_iter().map(|(step, size_bytes, bits, modseq, at)| {
                uid += step;
                Entry { uid, size_bytes, flags: Flags::from_bits(bits), modseq, received_at: Instant::from_unix_s(at) }
            }).collect()
        }
    }

    proptest! {
        #[test]
        fn a_page_is_read_back(entries in entries()) {
            let page = PageRow::new(&MailboxId("m".to_owned()), "inbox", 1, &entries);
            prop_assert_eq!(page.entries(), Some(entries));
        }

        #[test]
        fn any_octets_are_a_page_or_damage(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(entries) = unpack(&octets) {
                prop_assert!(entries.is_sorted_by(|a, b| a.uid < b.uid));
            }
        }
    }

    #[test]
    fn a_full_page_fits_into_a_row_at_its_worst_and_is_small_as_a_rule() {
        let worst = |n: u32| Entry {
            uid: n * 1_000_000 + u32::MAX / 2,
            size_bytes: u32::MAX,
            flags: Flags::from_bits(u64::MAX),
            modseq: if n.is_multiple_of(2) { 0 } else { u64::MAX / 2 + 1 },
            received_at: Instant::from_unix_s(if n.is_multiple_of(2) {
                -60_000_000_000
            } else {
                250_000_000_000
            }),
        };
        let bytes = |entries: &[Entry]| {
            let page = PageRow::new(&MailboxId("m".repeat(64)), &"f".repeat(64), u32::MAX, entries);
            serde_json::to_string(&page).unwrap().len()
        };
        let worst: Vec<Entry> = (0..2000).map(worst).collect();
        assert!(bytes(&worst) / 2000 * ENTRIES_MAX < 250_000, "{}", bytes(&worst));
        let rule = |n: u32| Entry {
            uid: n + 1,
            size_bytes: 20_000 + n * 37 % 9000,
            flags: Flags::SEEN,
            modseq: u64::from(n) * 2,
            received_at: Instant::from_unix_s(1_800_000_000 + i64::from(n) * 400),
        };
        let rule: Vec<Entry> = (0..4096).map(rule).collect();
        assert!(bytes(&rule) < 60_000, "{}", bytes(&rule));
    }

    #[test]
    fn damage_is_found() {
        assert_eq!(unpack(&[]), None);
        assert_eq!(unpack(&[2]), None, "another form");
        assert_eq!(unpack(&[FORM, 0, 0, 0, 0, 0]), None, "a UID twice");
        assert_eq!(unpack(&[FORM, 1, 0, 0, 0]), None, "cut off");
        assert_eq!(unpack(&[FORM, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
        let many: Vec<u8> = std::iter::once(FORM).chain([1, 0, 0, 0, 0].repeat(ENTRIES_MAX + 1)).collect();
        assert_eq!(unpack(&many), None, "more than a page has");
    }
}
