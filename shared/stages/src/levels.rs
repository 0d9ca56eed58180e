//! Service levels of a four-month period (DM 2 November 2005 art. 12, spec 8.5), from the legal log and nothing else.
//!
//! # What counts as unavailability
//! A provider promises its users an acceptance receipt within an agreed time (art. 12(6)). A user whose letter is in and
//! whose receipt is not there after that time has no service; so the service was down from `submission + agreed time`
//! until the receipt, or the notice of non-acceptance, was in the sender's mailbox. Where several letters waited, their
//! spans are united: an outage is one span without a gap, whoever waited. A letter that still waits counts until the end
//! of what is measured.
//!
//! The log speaks of letters. While no door was open nothing came in, and a log that is silent does not tell a quiet
//! night from a provider that is off: [`Levels::longest_silence_s`] is given beside the figures, for whoever knows how
//! quiet the nights are, and is part of none of them. Planned works count: the decree knows no exception.
//!
//! # Instants
//! Submission is in the PEC id, which the door makes when the letter has been transmitted ("excluding transmission
//! time"); decision and receipt are entries. All are whole seconds.

use std::collections::{BTreeMap, HashMap};

use pec::{Instant, Kind};
use serde::Serialize;

use crate::{
    SpoolId,
    ids::Side,
    log::{Event, LogEntry},
};

/// Of a period, the service may be down so much: 0.2 % (art. 12(3)).
const DOWN_PER_MILLE: i64 = 2;
/// A letter that was submitted before the period can still wait in it; so long before is looked at.
pub const AROUND_S: i64 = 2 * 24 * 3600;

/// A four-month period of Italian legal time (art. 12(4)): January to April, May to August, September to December.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    year: i32,
    third: u8,
    /// Its first second.
    pub from: Instant,
    /// The first second after it.
    pub to: Instant,
}

impl Period {
    /// Reads `2026-1` to `2026-3`.
    ///
    /// # Errors
    /// A sentence for whoever wrote it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "expected a four-month period as 2026-1, 2026-2 or 2026-3".to_owned();
        let (year, third) = text.split_once('-').ok_or_else(wrong)?;
        let year: i32 = year.parse().ok().filter(|y| (1970..9999).contains(y)).ok_or_else(wrong)?;
        let third: u8 = third.parse().ok().filter(|t| (1..=3).contains(t)).ok_or_else(wrong)?;
        let begin = |year, third| midnight(year, third * 4 + 1).ok_or_else(wrong);
        let to = if third == 3 { begin(year + 1, 0)? } else { begin(year, third)? };
        Ok(Self { year, third, from: begin(year, third - 1)?, to })
    }
}

impl std::fmt::Display for Period {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.year, self.third)
    }
}

/// The first second of a month in Italian legal time.
fn midnight(year: i32, month: u8) -> Option<Instant> {
    let instants = ["+01:00", "+02:00"].map(|zone| format!("{year:04}-{month:02}-01T00:00:00{zone}"));
    let instants = instants.iter().filter_map(|text| Instant::parse(text).ok());
    instants.into_iter().find(|instant| instant.legal().hour == "00:00:00")
}

/// How long something took, in seconds, over many letters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Times {
    /// Letters.
    pub count: u64,
    /// Half of them took so long at most.
    pub median_s: i64,
    /// 95 of a hundred.
    pub p95_s: i64,
    /// 99 of a hundred.
    pub p99_s: i64,
    /// All.
    pub max_s: i64,
}

/// A span in which somebody waited longer than agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Outage {
    /// Its first second.
    pub from: Instant,
    /// The first second after it.
    pub to: Instant,
}

impl Outage {
    const fn seconds(&self) -> i64 {
        self.to.unix_s() - self.from.unix_s()
    }
}

/// The figures of art. 12.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Levels {
    /// `2026-1`
    pub period: String,
    /// The period's first second.
    pub from: Instant,
    /// The first second after what was measured: the end of the period, or now.
    pub to: Instant,
    /// The time in which a receipt is promised, in seconds.
    pub agreed_s: i64,
    /// Letters of our users that were submitted in it and accepted.
    pub accepted: u64,
    /// Submitted in it and refused.
    pub refused: u64,
    /// From submission to the instant that the receipt certifies.
    pub decision: Times,
    /// From submission to the receipt in the sender's mailbox.
    pub receipt: Times,
    /// Letters whose receipt took longer than agreed, or is not there.
    pub over_agreed: u64,
    /// From submission to delivery, for recipients at this provider.
    pub delivery: Times,
    /// When it was down.
    pub outages: Vec<Outage>,
    /// So long in all, in seconds.
    pub down_s: i64,
    /// The longest outage, in seconds.
    pub longest_outage_s: i64,
    /// 0.2 % of what was measured, in seconds (art. 12(3)).
    pub down_s_max: i64,
    /// Half of it: what one outage may last (art. 12(5)).
    pub outage_s_max: i64,
    /// What is left of a hundred, to four places.
    pub available_percent: String,
    /// The longest span without a decision, in seconds; see above.
    pub longest_silence_s: i64,
    /// Whether both limits were kept.
    pub kept: bool,
}

/// Takes entries of the log: those of a letter in the order of their commits, letters in the order of their decisions.
pub struct Meter {
    period: Period,
    to: Instant,
    agreed_s: i64,
    accepted: u64,
    refused: u64,
    over_agreed: u64,
    decision: Histogram,
    receipt: Histogram,
    delivery: Histogram,
    /// Decided, and their receipt not in the mailbox yet.
    untold: HashMap<String, i64>,
    waits: Vec<(i64, i64)>,
    last: Option<i64>,
    longest_silence_s: i64,
}

impl Meter {
    /// For a period, as of an instant.
    #[must_use]
    pub fn new(period: Period, agreed_s: i64, now: Instant) -> Self {
        Self {
            period,
            to: period.to.min(now).max(period.from),
            agreed_s,
            accepted: 0,
            refused: 0,
            over_agreed: 0,
            decision: Histogram::default(),
            receipt: Histogram::default(),
            delivery: Histogram::default(),
            untold: HashMap::new(),
            waits: Vec::new(),
            last: None,
            longest_silence_s: 0,
        }
    }

    /// Of which instants entries are wanted: from the first to before the second.
    #[must_use]
    pub fn wants(&self) -> (Instant, Instant) {
        (self.period.from.plus_s(-AROUND_S), self.period.to.plus_s(AROUND_S))
    }

    /// One entry. Those that tell nothing are passed over.
    pub fn take(&mut self, entry: &LogEntry) {
        let Some(submitted) = submitted(&entry.pec_id) else { return };
        let at = entry.at.unix_s();
        let counts = self.is_within(submitted);
        match (entry.side, entry.event) {
            (Side::Origin, Event::Accepted | Event::Refused) => {
                self.heard(at);
                if counts {
                    let accepted = entry.event == Event::Accepted;
                    *(if accepted { &mut self.accepted } else { &mut self.refused }) += 1;
                    self.decision.add(at - submitted);
                }
                self.untold.insert(entry.pec_id.clone(), submitted);
            }
            (Side::Origin, Event::Filed) if answers(entry) => {
                // Once for each letter; another provider's letter with an id like ours was not decided here.
                if self.untold.remove(&entry.pec_id).is_none() {
                    return;
                }
                if counts {
                    self.receipt.add(at - submitted);
                }
                self.waited(submitted, at, counts);
            }
            (Side::Destination, Event::Delivered) if counts && entry.sending_provider == entry.issuer => {
                self.delivery.add(at - submitted);
            }
            _ => {}
        }
    }

    /// The figures.
    #[must_use]
    pub fn finish(mut self) -> Levels {
        let (from, to) = (self.period.from.unix_s(), self.to.unix_s());
        for (_, submitted) in std::mem::take(&mut self.untold) {
            let counts = self.is_within(submitted);
            self.waited(submitted, to, counts);
        }
        let outages = united(self.waits, from, to);
        let down_s = outages.iter().map(Outage::seconds).sum();
        let longest_outage_s = outages.iter().map(Outage::seconds).max().unwrap_or(0);
        let measured_s = to - from;
        let down_s_max = measured_s * DOWN_PER_MILLE / 1000;
        let outage_s_max = down_s_max / 2;
        Levels {
            period: self.period.to_string(),
            from: self.period.from,
            to: self.to,
            agreed_s: self.agreed_s,
            accepted: self.accepted,
            refused: self.refused,
            decision: self.decision.times(),
            receipt: self.receipt.times(),
            over_agreed: self.over_agreed,
            delivery: self.delivery.times(),
            outages,
            down_s,
            longest_outage_s,
            down_s_max,
            outage_s_max,
            available_percent: percent(measured_s - down_s, measured_s),
            longest_silence_s: self.longest_silence_s,
            kept: down_s <= down_s_max && longest_outage_s <= outage_s_max,
        }
    }

    fn is_within(&self, second: i64) -> bool {
        (self.period.from.unix_s()..self.to.unix_s()).contains(&second)
    }

    fn waited(&mut self, submitted: i64, until: i64, counts: bool) {
        let due = submitted.saturating_add(self.agreed_s);
        if until > due {
            self.over_agreed += u64::from(counts);
            self.waits.push((due, until));
        }
    }

    fn heard(&mut self, at: i64) {
        if !self.is_within(at) {
            return;
        }
        let last = *self.last.get_or_insert(at);
        self.longest_silence_s = self.longest_silence_s.max(at - last);
        self.last = Some(last.max(at));
    }
}

/// When a letter of ours came in: the left part of its PEC id.
fn submitted(pec_id: &str) -> Option<i64> {
    let (spool, _) = pec_id.split_once('@')?;
    Some(SpoolId::parse(spool)?.unix_s())
}

/// Whether what was filed answers a submission.
fn answers(entry: &LogEntry) -> bool {
    let kinds = [Kind::Acceptance, Kind::NonAcceptance, Kind::NonAcceptanceVirus].map(Kind::name);
    entry.detail.get("kind").is_some_and(|kind| kinds.contains(&kind.as_str()))
}

/// Spans within bounds, those that touch as one.
fn united(mut waits: Vec<(i64, i64)>, from: i64, to: i64) -> Vec<Outage> {
    waits.sort_unstable();
    let mut outages: Vec<Outage> = Vec::new();
    for (begin, end) in waits {
        let (begin, end) = (Instant::from_unix_s(begin.max(from)), Instant::from_unix_s(end.min(to)));
        match outages.last_mut() {
            _ if begin >= end => {}
            Some(last) if begin <= last.to => last.to = last.to.max(end),
            _ => outages.push(Outage { from: begin, to: end }),
        }
    }
    outages
}

/// To four places, rounded down: never more than there was.
fn percent(part: i64, whole: i64) -> String {
    let millionths = if whole > 0 { i128::from(part) * 1_000_000 / i128::from(whole) } else { 1_000_000 };
    format!("{}.{:04}", millionths / 10_000, millionths % 10_000)
}

/// Seconds and how often: exact, and small however many letters there are.
#[derive(Default)]
struct Histogram(BTreeMap<i64, u64>);

impl Histogram {
    fn add(&mut self, seconds: i64) {
        // A clock that was set back makes nothing negative.
        *self.0.entry(seconds.max(0)).or_default() += 1;
    }

    fn times(&self) -> Times {
        let count = self.0.values().sum();
        Times {
            count,
            median_s: self.at(count, 50),
            p95_s: self.at(count, 95),
            p99_s: self.at(count, 99),
            max_s: self.0.last_key_value().map_or(0, |(seconds, _)| *seconds),
        }
    }

    /// The seconds within which so many of a hundred are (the nearest rank).
    fn at(&self, count: u64, percent: u64) -> i64 {
        let rank = u128::from(count) * u128::from(percent);
        let mut below = 0;
        for (seconds, times) in &self.0 {
            below += times;
            if u128::from(below) * 100 >= rank {
                return *seconds;
            }
        }
        0
    }
}

#[cfg(test)]
mod tests;
