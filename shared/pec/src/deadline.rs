//! The clocks of a letter, per certified recipient, at the sender's provider (RFC 6109 §3.1.6, spec 7, D18).

use serde::{Deserialize, Serialize};

use crate::Instant;

/// M5 is due from here on, in seconds after the acceptance (spec 0.2 D18).
pub const FIRST_NOTICE_AFTER_S: i64 = 12 * 3600;

/// M6 is due from here on, in seconds after the acceptance: an hour before the law's twenty-four, an hour after
/// the twenty-two before which it must not go out (spec 7, 0.2 D18).
pub const LAST_NOTICE_AFTER_S: i64 = 23 * 3600;

/// What has happened to one recipient of a letter, as far as the clocks care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clocks {
    /// The acceptance instant.
    pub accepted_at: Instant,
    /// A verified take-charge covers the recipient.
    pub taken_in_charge_at: Option<Instant>,
    /// A verified delivery receipt, non-delivery notice or virus notice came.
    pub settled_at: Option<Instant>,
    /// M5 was issued.
    pub first_notice_at: Option<Instant>,
    /// M6 was issued.
    pub last_notice_at: Option<Instant>,
}

/// Which notice is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// M5
    First,
    /// M6
    Last,
}

/// The notice that is due at `now`, if any. After a long outage both can be due: the first comes out first, and
/// the caller asks again.
///
/// A take-charge counts at its reception instant: one that came after the twelfth hour does not take back an M5
/// that a late scheduler still owes. A settled recipient gets no notice any more, however late the scheduler is
/// (spec 7: "none after it").
#[must_use]
pub fn due(clocks: &Clocks, now: Instant) -> Option<Notice> {
    let (notice, from) = pending(clocks)?;
    (now >= from).then_some(notice)
}

/// When these clocks have to be looked at next; `None` when they have stopped for good.
#[must_use]
pub fn next(clocks: &Clocks) -> Option<Instant> {
    pending(clocks).map(|(_, from)| from)
}

/// The next notice that will be due if nothing else happens, and from when on.
fn pending(clocks: &Clocks) -> Option<(Notice, Instant)> {
    // After M6 the provider stops tracking (RFC 6109 §2.1.1.1.2).
    if clocks.settled_at.is_some() || clocks.last_notice_at.is_some() {
        return None;
    }
    let first_from = clocks.accepted_at.plus_s(FIRST_NOTICE_AFTER_S);
    // A take-charge stops the first notice only (RFC 6109 §3.1.6).
    let stopped = clocks.taken_in_charge_at.is_some_and(|t| t < first_from);
    if clocks.first_notice_at.is_none() && !stopped {
        return Some((Notice::First, first_from));
    }
    Some((Notice::Last, clocks.accepted_at.plus_s(LAST_NOTICE_AFTER_S)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR_S: i64 = 3600;

    fn t0() -> Instant {
        Instant::from_unix_s(1_772_438_400)
    }

    fn fresh() -> Clocks {
        Clocks {
            accepted_at: t0(),
            taken_in_charge_at: None,
            settled_at: None,
            first_notice_at: None,
            last_notice_at: None,
        }
    }

    /// Runs the clocks with a scheduler that looks at these offsets, and events at theirs; returns the offsets at
    /// which the notices went out. An event at the offset of a look is seen by it.
    fn run(taken_s: Option<i64>, settled_s: Option<i64>, looks_s: &[i64]) -> (Option<i64>, Option<i64>) {
        let mut clocks = fresh();
        let mut out = (None, None);
        for &look in looks_s {
            let seen = |event: Option<i64>| event.filter(|&e| e <= look).map(|e| t0().plus_s(e));
            clocks.taken_in_charge_at = seen(taken_s);
            clocks.settled_at = seen(settled_s);
            while let Some(notice) = due(&clocks, t0().plus_s(look)) {
                let (issued, slot) = match notice {
                    Notice::First => (&mut clocks.first_notice_at, &mut out.0),
                    Notice::Last => (&mut clocks.last_notice_at, &mut out.1),
                };
                assert_eq!(*issued, None, "a notice goes out once");
                *issued = Some(t0().plus_s(look));
                *slot = Some(look);
            }
        }
        out
    }

    fn each_minute() -> Vec<i64> {
        (0..=30 * 60).map(|m| m * 60).collect()
    }

    /// The rows of the table in spec 7, with a scheduler that looks each minute.
    #[test]
    fn the_table_of_spec_7() {
        let first = Some(12 * HOUR_S);
        let last = Some(23 * HOUR_S);
        let rows = [
            ("TC before 12 h, DL never", Some(60), None, (None, last)),
            ("TC never, DL between 12 h and 24 h", None, Some(13 * HOUR_S), (first, None)),
            ("neither", None, None, (first, last)),
            ("DL before 12 h without TC", None, Some(HOUR_S), (None, None)),
            ("DL before 12 h with TC", Some(60), Some(HOUR_S), (None, None)),
            ("DL before 12 h, TC after it", Some(2 * HOUR_S), Some(HOUR_S), (None, None)),
            ("TC between 12 h and 24 h, DL never", Some(15 * HOUR_S), None, (first, last)),
            ("KO after a TC", Some(60), Some(20 * HOUR_S), (None, None)),
            ("DL after M6", Some(60), Some(25 * HOUR_S), (None, last)),
        ];
        for (name, taken, settled, expected) in rows {
            assert_eq!(run(taken, settled, &each_minute()), expected, "{name}");
        }
    }

    /// Spec 0.2 D18: from the second on, never before it.
    #[test]
    fn notices_are_due_from_their_second_on() {
        let mut clocks = fresh();
        assert_eq!(next(&clocks), Some(t0().plus_s(12 * HOUR_S)));
        assert_eq!(due(&clocks, t0().plus_s(12 * HOUR_S - 1)), None);
        assert_eq!(due(&clocks, t0().plus_s(12 * HOUR_S)), Some(Notice::First));

        clocks.first_notice_at = Some(t0().plus_s(12 * HOUR_S));
        assert_eq!(next(&clocks), Some(t0().plus_s(23 * HOUR_S)));
        assert_eq!(due(&clocks, t0().plus_s(23 * HOUR_S - 1)), None);
        assert_eq!(due(&clocks, t0().plus_s(23 * HOUR_S)), Some(Notice::Last));

        clocks.last_notice_at = Some(t0().plus_s(23 * HOUR_S));
        assert_eq!(next(&clocks), None);
        assert_eq!(due(&clocks, t0().plus_s(99 * HOUR_S)), None);
    }

    #[test]
    fn a_take_charge_in_the_twelfth_hour_counts_by_the_second() {
        let just_before = Clocks { taken_in_charge_at: Some(t0().plus_s(12 * HOUR_S - 1)), ..fresh() };
        assert_eq!(next(&just_before), Some(t0().plus_s(23 * HOUR_S)));
        let at_it = Clocks { taken_in_charge_at: Some(t0().plus_s(12 * HOUR_S)), ..fresh() };
        assert_eq!(due(&at_it, t0().plus_s(14 * HOUR_S)), Some(Notice::First));
    }

    #[test]
    fn after_an_outage_both_come_out_in_order() {
        assert_eq!(run(None, None, &[30 * HOUR_S]), (Some(30 * HOUR_S), Some(30 * HOUR_S)));
    }

    proptest! {
        /// Whatever happens when, and however irregular the scheduler is: no notice before its hour, the last one
        /// exactly when nothing settled the recipient before, the first one only without a timely take-charge.
        #[test]
        fn any_order_of_events(
            taken in proptest::option::of(0..30 * HOUR_S),
            settled in proptest::option::of(0..30 * HOUR_S),
            mut looks in proptest::collection::vec(0..40 * HOUR_S, 0..60),
        ) {
            looks.sort_unstable();
            let (first, last) = run(taken, settled, &looks);
            let before_settled = |t: i64| settled.is_none_or(|s| t < s);

            let looked = |from: i64| looks.iter().copied().find(|&l| l >= from);
            let first_due = taken.is_none_or(|t| t >= 12 * HOUR_S);
            prop_assert_eq!(first, looked(12 * HOUR_S).filter(|&l| first_due && before_settled(l)));
            prop_assert_eq!(last, looked(23 * HOUR_S).filter(|&l| before_settled(l)));
        }

        /// `next` is exactly the instant at which `due` changes its answer.
        #[test]
        fn next_tells_when_due_changes(
            taken in proptest::option::of(0..30 * HOUR_S),
            first in proptest::option::of(12 * HOUR_S..30 * HOUR_S),
            settled in proptest::option::of(0..30 * HOUR_S),
        ) {
            let at = |o: Option<i64>| o.map(|s| t0().plus_s(s));
            let clocks = Clocks {
                taken_in_charge_at: at(taken), first_notice_at: at(first), settled_at: at(settled), ..fresh()
            };
            match next(&clocks) {
                Some(t) => {
                    prop_assert_eq!(due(&clocks, t.plus_s(-1)), None);
                    prop_assert!(due(&clocks, t).is_some());
                }
                None => prop_assert_eq!(due(&clocks, t0().plus_s(1000 * HOUR_S)), None),
            }
        }
    }
}
