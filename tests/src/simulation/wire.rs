//! What lies between providers: delays, losses, repetitions, systems that are away, answers that get lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use pec::{Address, Instant};
use stages::{
    door::Arrival,
    ports::{Carrier, Destination, Errand, Relayed},
};

use super::{
    dice::Dice,
    plan::{ORDINARY, PROVIDERS, number},
};
use crate::world::letters;

const HOUR_S: i64 = 3600;
/// Nothing that stops a clock happens so near to where it would strike: a job that failed is tried again meanwhile.
pub const MARGIN_S: i64 = 5400;
/// Where clocks strike, in seconds after the acceptance (spec 7, 0.2 D18).
pub const STRIKES_S: [i64; 2] = [12 * HOUR_S, 23 * HOUR_S];

/// Something that is under way.
#[derive(Clone, Debug)]
pub struct UnderWay {
    /// When it comes in, in true time.
    pub at: Instant,
    /// Where.
    pub to: usize,
    /// What.
    pub arrival: Arrival,
    /// It comes in then, whatever the clocks.
    pub fixed: bool,
}

/// The wire, and what it knows.
pub struct Wire {
    dice: Dice,
    /// True time.
    pub now: Instant,
    /// How far each provider's clock is off, in seconds.
    pub skew: [i64; 3],
    /// When each provider is away.
    pub away: [Vec<(Instant, Instant)>; 3],
    /// When each letter was accepted, by its provider's clock.
    pub accepted: BTreeMap<usize, (usize, Instant)>,
    /// What was sent since somebody looked.
    pub sent: Vec<UnderWay>,
    /// Envelopes that came through, by letter and provider.
    through: BTreeSet<(usize, usize)>,
    /// Envelopes that are gone though they were taken.
    gone: BTreeSet<(usize, usize)>,
    /// Letters that a provider refuses for good, and since when by the sender's clock.
    pub refused: BTreeMap<(usize, usize), Instant>,
}

impl Wire {
    /// With its own chance.
    #[must_use]
    pub fn new(dice: Dice, now: Instant) -> Self {
        Self {
            dice,
            now,
            skew: [0; 3],
            away: [const { Vec::new() }; 3],
            accepted: BTreeMap::new(),
            sent: Vec::new(),
            through: BTreeSet::new(),
            gone: BTreeSet::new(),
            refused: BTreeMap::new(),
        }
    }

    /// What a provider's clock shows.
    #[must_use]
    pub fn clock(&self, provider: usize) -> Instant {
        self.now.plus_s(self.skew[provider])
    }

    /// Until when a provider is away, if it is.
    #[must_use]
    pub fn away_until(&self, provider: usize, at: Instant) -> Option<Instant> {
        self.away[provider].iter().find(|(from, to)| *from <= at && at < *to).map(|(_, to)| *to)
    }

    /// When something may happen that stops a clock of this letter, not before `at`.
    #[must_use]
    pub fn clear_of_strikes(&self, letter: usize, at: Instant) -> Instant {
        let Some((provider, accepted)) = self.accepted.get(&letter) else { return at };
        let age_s = at.plus_s(self.skew[*provider]).unix_s() - accepted.unix_s();
        let near = STRIKES_S.into_iter().find(|strike| (age_s - strike).abs() < MARGIN_S);
        near.map_or(at, |strike| at.plus_s(strike + MARGIN_S - age_s))
    }

    fn carry(&mut self, from: usize, errand: &Errand) -> Relayed {
        let letter = letter_of(&errand.message);
        let Destination::Provider { record, .. } = &errand.destination else {
            return self.carry_outside(errand);
        };
        let to = PROVIDERS.iter().position(|p| p.record == record).expect("one of three");
        let away = self.away_until(to, self.now).is_some();
        let envelope = holds(&errand.message, b"X-Trasporto: posta-certificata");
        match letter {
            Some(letter) if envelope => self.carry_envelope(from, to, letter, errand, away),
            _ => self.carry_receipt(to, errand, away),
        }
    }

    fn carry_envelope(
        &mut self,
        from: usize,
        to: usize,
        letter: usize,
        errand: &Errand,
        away: bool,
    ) -> Relayed {
        let key = (letter, to);
        if self.refused.contains_key(&key) {
            return refusal();
        }
        if self.gone.contains(&key) {
            return Relayed::Taken;
        }
        if away || self.dice.happens(30) {
            return later();
        }
        if !self.through.contains(&key) {
            if self.dice.happens(20) && self.clear_of_strikes(letter, self.now) == self.now {
                self.refused.insert(key, self.clock(from));
                return refusal();
            }
            if self.dice.happens(20) {
                self.gone.insert(key);
                return Relayed::Taken;
            }
        }
        self.through.insert(key);
        self.send(to, errand);
        if self.dice.happens(20) { later() } else { Relayed::Taken }
    }

    fn carry_receipt(&mut self, to: usize, errand: &Errand, away: bool) -> Relayed {
        if away || self.dice.happens(30) {
            return later();
        }
        if self.dice.happens(40) {
            return if self.dice.happens(250) { refusal() } else { Relayed::Taken }; // lost
        }
        self.send(to, errand);
        if self.dice.happens(20) { later() } else { Relayed::Taken }
    }

    fn carry_outside(&mut self, errand: &Errand) -> Relayed {
        if self.dice.happens(100) {
            return later();
        }
        let nobody = errand.recipients.iter().any(|a| a.as_str() == ORDINARY[1]);
        if nobody { refusal() } else { Relayed::Taken }
    }

    /// It comes in some time, perhaps twice.
    fn send(&mut self, to: usize, errand: &Errand) {
        let times = if self.dice.happens(30) { 2 } else { 1 };
        for _ in 0..times {
            let delay_s = match self.dice.below(100) {
                0..70 => self.dice.seconds(1, 60),
                70..90 => self.dice.seconds(60, 1800),
                90..98 => self.dice.seconds(1800, 6 * HOUR_S),
                _ => self.dice.seconds(6 * HOUR_S, 30 * HOUR_S),
            };
            let arrival = letters::arrival(
                errand.reverse_path.clone(),
                errand.recipients.clone(),
                errand.message.clone(),
            );
            self.sent.push(UnderWay { at: self.now.plus_s(delay_s), to, arrival, fixed: false });
        }
    }
}

fn later() -> Relayed {
    Relayed::Later { answer: "421 4.3.2 not now".to_owned() }
}

fn refusal() -> Relayed {
    Relayed::Refused { code: "5.7.1".to_owned(), answer: "550 5.7.1 no".to_owned(), no_domain: false }
}

fn holds(message: &Bytes, what: &[u8]) -> bool {
    message.windows(what.len()).any(|w| w == what)
}

/// Which letter a message is about: its subject says it.
#[must_use]
pub fn letter_of(message: &Bytes) -> Option<usize> {
    subject_of(message).and_then(number)
}

/// The subject of ordinary mail.
#[must_use]
pub fn ordinary_subject(number: usize) -> String {
    format!("Ordinaria {number}")
}

/// Which ordinary mail it is.
#[must_use]
pub fn ordinary_of(message: &Bytes) -> Option<usize> {
    subject_of(message)?.strip_prefix("Ordinaria ")?.parse().ok()
}

fn subject_of(message: &Bytes) -> Option<&str> {
    let end = message.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(message.get(..end)?).ok()?;
    head.split("\r\n").find_map(|line| line.strip_prefix("Subject: "))
}

/// The carrier of one provider.
pub struct SimCarrier {
    /// Whose.
    pub from: usize,
    /// What it sends by.
    pub wire: Arc<Mutex<Wire>>,
}

#[async_trait]
impl Carrier for SimCarrier {
    async fn carry(&self, errand: Errand) -> Vec<Relayed> {
        let answer = self.wire.lock().unwrap().carry(self.from, &errand);
        let recipients: &[Address] = &errand.recipients;
        vec![answer; recipients.len()]
    }
}
