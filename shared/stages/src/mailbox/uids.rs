//! Sets of UIDs as ranges: what commands name, what has vanished.

use std::fmt;

use serde::{Deserialize, Serialize};

/// UIDs in ascending order, without doubles, as ranges.
///
/// ```
/// use sigillo_stages::mailbox::UidSet;
/// let set: UidSet = [4, 1, 2, 3, 9].into_iter().collect();
/// assert_eq!(set.to_string(), "1:4,9");
/// assert_eq!(UidSet::parse("1:4,9"), Some(set));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UidSet(Vec<(u32, u32)>);

impl UidSet {
    /// No UID.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// All from `first` to `last`, both included, in whichever order they come (RFC 9051 §9 `seq-range`); 0 is no
    /// UID.
    #[must_use]
    pub fn range(first: u32, last: u32) -> Self {
        Self::from_ranges([(first, last)])
    }

    /// The union of ranges in any order.
    #[must_use]
    pub fn from_ranges(ranges: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let ordered = |(a, b): (u32, u32)| (a.min(b).max(1), a.max(b));
        let mut ranges: Vec<_> = ranges.into_iter().map(ordered).filter(|(a, b)| a <= b).collect();
        ranges.sort_unstable();
        let mut set = Self::new();
        for (first, last) in ranges {
            set.push(first, last);
        }
        set
    }

    /// Adds a range that begins at or after the beginning of the last one.
    fn push(&mut self, first: u32, last: u32) {
        match self.0.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => self.0.push((first, last)),
        }
    }

    /// Whether this UID is in it.
    #[must_use]
    pub fn contains(&self, uid: u32) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= uid);
        after.checked_sub(1).and_then(|n| self.0.get(n)).is_some_and(|(_, last)| uid <= *last)
    }

    /// How many UIDs are in it.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.iter().map(|(first, last)| u64::from(last - first) + 1).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges, ascending, none touching the next.
    #[must_use]
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.0
    }

    /// Each UID, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// The lowest.
    #[must_use]
    pub fn first(&self) -> Option<u32> {
        self.0.first().map(|(first, _)| *first)
    }

    /// The highest.
    #[must_use]
    pub fn last(&self) -> Option<u32> {
        self.0.last().map(|(_, last)| *last)
    }

    /// Adds all of another one.
    pub fn extend(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        *self = Self::from_ranges(self.0.iter().chain(&other.0).copied());
    }

    /// These without those.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut left = Self::new();
        let mut others = other.0.iter().copied().peekable();
        for (mut first, last) in self.0.iter().copied() {
            while let Some((from, to)) = others.peek().copied().filter(|(from, _)| *from <= last) {
                if from > first {
                    left.push(first, from - 1);
                }
                first = first.max(to.saturating_add(1));
                if to > last {
                    break;
                }
                others.next();
            }
            // The highest UID has nothing above it.
            if first <= last && !other.contains(first) {
                left.push(first, last);
            }
        }
        left
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        self.without(&self.without(other))
    }

    /// What of `1..=last` is not among these UIDs.
    pub(super) fn gaps(uids: impl IntoIterator<Item = u32>, last: u32) -> Self {
        let all = if last == 0 { Self::new() } else { Self::range(1, last) };
        all.without(&uids.into_iter().collect())
    }

    /// Reads what [`fmt::Display`] writes: numbers and ranges of numbers, in any order.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::new());
        }
        let number = |text: &str| text.parse::<u32>().ok().filter(|n| *n > 0);
        let range = |part: &str| match part.split_once(':') {
            Some((first, last)) => Some((number(first)?, number(last)?)),
            None => number(part).map(|n| (n, n)),
        };
        Some(Self::from_ranges(text.split(',').map(range).collect::<Option<Vec<_>>>()?))
    }
}

impl FromIterator<u32> for UidSet {
    fn from_iter<I: IntoIterator<Item = u32>>(uids: I) -> Self {
        Self::from_ranges(uids.into_iter().map(|uid| (uid, uid)))
    }
}

impl fmt::Display for UidSet {
    /// RFC 9051 §9 `sequence-set`; nothing for no UID.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (first, last)) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}:{last}")?,
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for UidSet {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("no set of UIDs")
    }
}
impl From<UidSet> for String {
    fn from(set: UidSet) -> Self {
        set.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_that_touch_become_one_and_nought_is_no_uid() {
        assert_eq!(UidSet::from_ranges([(5, 3), (1, 2), (8, 8)]).ranges(), [(1, 5), (8, 8)]);
        assert_eq!(UidSet::range(0, 2).ranges(), [(1, 2)]);
        assert!(UidSet::range(0, 0).is_empty());
        assert_eq!(UidSet::range(1, u32::MAX).len(), u64::from(u32::MAX));
        for bad in ["0", "1,", ",", "1:", "a", "1:2:3", "-1", "4294967296", "1 "] {
            assert_eq!(UidSet::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_missing() {
        assert_eq!(UidSet::gaps([2, 3, 7], 9).to_string(), "1,4:6,8:9");
        assert_eq!(UidSet::gaps([], 0), UidSet::new());
        assert_eq!(UidSet::gaps([], 1).len(), 1);
        assert_eq!(UidSet::range(1, u32::MAX).without(&UidSet::range(5, u32::MAX)).ranges(), [(1, 4)]);
        assert_eq!(UidSet::range(5, u32::MAX).without(&UidSet::range(1, u32::MAX)), UidSet::new());
        assert_eq!(UidSet::gaps([u32::MAX], u32::MAX).last(), Some(u32::MAX - 1));
    }

    proptest! {
        #[test]
        fn it_is_a_set(uids in proptest::collection::vec(1_u32..60, 0..40), more in proptest::collection::vec(1_u32..60, 0..40)) {
            let plain: BTreeSet<u32> = uids.iter().copied().collect();
            let mut set: UidSet = uids.into_iter().collect();
            prop_assert!(set.iter().eq(plain.iter().copied()));
            prop_assert_eq!(set.len(), plain.len() as u64);
            prop_assert!((0..70).all(|n| set.contains(n) == plain.contains(&n)));
            prop_assert_eq!(UidSet::parse(&set.to_string()), Some(set.clone()));
            let gaps = UidSet::gaps(set.iter(), 60);
            prop_assert!((1..=60).all(|n| gaps.contains(n) != plain.contains(&n)));
            let other: UidSet = more.iter().copied().collect();
            let others: BTreeSet<u32> = more.iter().copied().collect();
            prop_assert!(set.without(&other).iter().eq(plain.difference(&others).copied()));
            prop_assert!(set.and(&other).iter().eq(plain.intersection(&others).copied()));
            set.extend(&other);
            let union: BTreeSet<u32> = plain.into_iter().chain(more).collect();
            prop_assert!(set.iter().eq(union));
        }
    }
}
