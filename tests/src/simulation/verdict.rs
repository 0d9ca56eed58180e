//! What the law wants of a year (spec 6.2, 7; RFC 6109 §3), said from what happened and not from what the providers say,
//! and whether they have it: in mailboxes, in acts, in the log.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use pec::{Address, Instant, Kind, read::PecMessage};
use stages::{
    BlobKey,
    door::Arrival,
    log::Event,
    rows::{OriginHead, Outcome},
};

use super::{
    is_vault,
    plan::{Flaw, Mailbox, ORDINARY, PROVIDERS, Planned, Recipient, SEES, number},
};
use crate::world::{Evidence, World};

const FIRST_S: i64 = 12 * 3600;
const LAST_S: i64 = 23 * 3600;

/// What came in where, and when by the clock there.
#[derive(Debug, Default)]
pub struct Seen {
    envelopes: BTreeSet<(usize, usize)>,
    receipts: BTreeMap<usize, Vec<Came>>,
    /// Ordinary mail: its number, where, whether it is taken there, and how often it was handed over.
    ordinary: Vec<(usize, usize, bool, usize)>,
}

/// A receipt or notice that came in at the sender's provider.
#[derive(Clone, Debug)]
struct Came {
    at: Instant,
    kind: Kind,
    about: Vec<String>,
}

impl Seen {
    /// Something came in at a provider.
    ///
    /// # Panics
    /// If what a provider of the simulation sent is no message of one.
    pub(super) fn arrived(
        &mut self,
        at_provider: usize,
        letter: Option<usize>,
        arrival: &Arrival,
        at: Instant,
    ) {
        let Some(letter) = letter else { return };
        let read = pec::read::read(&arrival.raw).expect("a message of a provider");
        if read.kind == Kind::TransportEnvelope {
            self.envelopes.insert((letter, at_provider));
            return;
        }
        let certification = read.certification.expect("certification data");
        let about = certification.delivery.into_iter().chain(certification.received).collect();
        self.receipts.entry(letter).or_default().push(Came { at, kind: read.kind, about });
    }

    /// Ordinary mail was sent to a mailbox that takes it, or to one that does not.
    pub(super) fn ordinary(&mut self, number: usize, to: usize, open: bool) {
        self.ordinary.push((number, to, open, 0));
    }

    /// It was handed over, perhaps again: nobody had answered.
    pub(super) fn ordinary_came(&mut self, number: usize) {
        self.ordinary.iter_mut().filter(|(n, ..)| *n == number).for_each(|(.., times)| *times += 1);
    }

    /// When the first of these kinds came in about a recipient.
    fn first(&self, letter: usize, about: &Address, kinds: &[Kind]) -> Option<Instant> {
        let all = self.receipts.get(&letter).into_iter().flatten();
        all.filter(|c| kinds.contains(&c.kind) && c.about.iter().any(|a| a == about.as_str()))
            .map(|c| c.at)
            .min()
    }
}

/// What is not as it must be.
#[derive(Debug)]
pub struct Verdict {
    /// What.
    what: String,
    /// What is known of the letter.
    story: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what)?;
        self.story.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl std::error::Error for Verdict {}

/// When a letter was accepted.
pub(super) fn accepted_at(world: &World, pec_id: &str) -> Option<Instant> {
    let rim = world.rim();
    let head = crate::world::exec::run(rim.read::<OriginHead>(&OriginHead::key_of(pec_id)));
    head.expect("no waiting").expect("whole").map(|found| found.value.accepted_at)
}

/// A message in a mailbox: kind, whom it is about, whether the original is in it.
type InMailbox = (&'static str, Option<String>, bool);

/// What a provider shows, by letter.
struct Shown {
    evidence: Evidence,
    /// Messages by mailbox and letter.
    mailboxes: BTreeMap<(String, usize), Vec<InMailbox>>,
    /// Anomaly envelopes by mailbox, with their subjects.
    anomalies: BTreeMap<String, Vec<String>>,
    /// Receipts and notices that it has issued, by letter.
    issued: BTreeMap<usize, Vec<(Kind, Vec<String>)>>,
    heads: BTreeMap<usize, OriginHead>,
    delivered: BTreeMap<(usize, String), usize>,
}

impl Shown {
    fn of(world: &World) -> Self {
        let evidence = world.evidence();
        evidence.assert_lawful();
        let mut shown = Self {
            mailboxes: BTreeMap::new(),
            anomalies: BTreeMap::new(),
            issued: BTreeMap::new(),
            heads: BTreeMap::new(),
            delivered: BTreeMap::new(),
            evidence,
        };
        shown.read_mailboxes();
        shown.read_acts();
        shown
    }

    fn read_mailboxes(&mut self) {
        for ((mailbox, _), messages) in &self.evidence.mailboxes {
            for (_, message) in messages {
                let octets = &self.evidence.blobs[&BlobKey::listed(message.blob.clone())];
                let read = pec::read::read(octets).expect("a message of a provider");
                let subject = read.subject.clone().unwrap_or_default();
                if read.kind == Kind::AnomalyEnvelope {
                    self.anomalies.entry(mailbox.clone()).or_default().push(subject);
                } else {
                    let letter = number(&subject).expect("the number of a letter");
                    let about = read.certification.and_then(|c| c.delivery);
                    let found = (read.kind.name(), about, read.postacert.is_some());
                    self.mailboxes.entry((mailbox.clone(), letter)).or_default().push(found);
                }
            }
        }
    }

    fn read_acts(&mut self) {
        let messages = self.evidence.acts.iter().filter(|a| a.key.kind != Kind::DeliveryStatus);
        let all: Vec<PecMessage> =
            messages.map(|a| pec::read::read(self.evidence.bytes(a)).expect("a message of ours")).collect();
        for message in all {
            let Some(letter) = message.subject.as_deref().and_then(number) else { continue };
            let Some(certification) = message.certification else { continue };
            let about = certification.delivery.into_iter().chain(certification.received).collect();
            self.issued.entry(letter).or_default().push((message.kind, about));
        }
        for head in &self.evidence.letters {
            let letter = head.letter.subject.as_deref().and_then(number).expect("the number of a letter");
            assert!(self.heads.insert(letter, head.clone()).is_none(), "letter {letter} twice");
        }
        for entry in self.evidence.logged(Event::Delivered) {
            let letter = entry.subject.as_deref().and_then(number).expect("the number of a letter");
            for recipient in &entry.recipients {
                *self.delivered.entry((letter, recipient.clone())).or_default() += 1;
            }
        }
    }

    fn in_mailbox(&self, mailbox: &str, letter: usize) -> Vec<InMailbox> {
        let mut all = self.mailboxes.get(&(mailbox.to_owned(), letter)).cloned().unwrap_or_default();
        all.sort();
        all
    }

    /// How many messages of a kind it has issued about a recipient.
    fn issued_about(&self, letter: usize, kind: Kind, about: &Address) -> usize {
        let all = self.issued.get(&letter).into_iter().flatten();
        all.filter(|(k, of)| *k == kind && of.iter().any(|a| a == about.as_str())).count()
    }
}

/// Judges a year, and counts how letters ended.
///
/// # Errors
/// The first letter that did not end as it must.
pub(super) fn judge(
    letters: &[Planned],
    worlds: &[World; 3],
    seen: &Seen,
    refused: &BTreeMap<(usize, usize), Instant>,
) -> Result<BTreeMap<&'static str, usize>, Verdict> {
    let shown = [0, 1, 2].map(|n| Shown::of(&worlds[n]));
    let mut court = Court { seen, refused, shown: &shown, outcomes: BTreeMap::new(), reports: [0; 3] };
    for letter in letters {
        court.letter(letter).map_err(|what| Verdict { what, story: story(letter, seen, &shown) })?;
    }
    court.ordinary().map_err(|what| Verdict { what, story: Vec::new() })?;
    Ok(court.outcomes)
}

struct Court<'a> {
    seen: &'a Seen,
    refused: &'a BTreeMap<(usize, usize), Instant>,
    shown: &'a [Shown; 3],
    outcomes: BTreeMap<&'static str, usize>,
    /// Reports of ordinary mail that each provider's sender must have got.
    reports: [usize; 3],
}

impl Court<'_> {
    fn count(&mut self, outcome: &'static str) {
        *self.outcomes.entry(outcome).or_default() += 1;
    }

    fn letter(&mut self, letter: &Planned) -> Result<(), String> {
        let (n, home) = (letter.number, &self.shown[letter.from]);
        let head = home.heads.get(&n).ok_or_else(|| format!("letter {n} is not on record"))?;
        let mut expected: Vec<InMailbox> = Vec::new();
        match letter.flaw {
            Flaw::Formal => {
                self.count("refused (M1)");
                expected.push((Kind::NonAcceptance.name(), None, false));
            }
            Flaw::Virus if SEES[letter.from] => {
                self.count("refused for a virus (M2)");
                expected.push((Kind::NonAcceptanceVirus.name(), None, false));
            }
            Flaw::None | Flaw::Virus => {
                expected.push((Kind::Acceptance.name(), None, false));
                for recipient in &letter.to {
                    expected.extend(self.recipient(letter, recipient, head)?);
                }
            }
        }
        let refusal = head.refused.is_some();
        let must_refuse = expected[0].0 != Kind::Acceptance.name();
        holds(refusal == must_refuse, || format!("letter {n} refused: {refusal}"))?;
        expected.sort();
        let found = self.shown[letter.from].in_mailbox("m-mittente", n);
        holds(found == expected, || format!("letter {n}: its sender got {found:?}, and not {expected:?}"))
    }

    /// What the sender must have got about a recipient.
    fn recipient(
        &mut self,
        letter: &Planned,
        recipient: &Recipient,
        head: &OriginHead,
    ) -> Result<Vec<InMailbox>, String> {
        let about = Some(recipient.address.to_string());
        let Some((at, mailbox)) = recipient.at else {
            self.count("to ordinary mail");
            self.reports[letter.from] += usize::from(recipient.address.as_str() == ORDINARY[1]);
            return Ok(Vec::new());
        };
        // 1. What the recipient's provider owes, if the envelope has reached it.
        let owes = match mailbox {
            _ if letter.flaw == Flaw::Virus && SEES[at] => Kind::VirusDetection,
            Mailbox::Open => Kind::Delivery,
            Mailbox::Fails => Kind::NonDelivery,
        };
        let reached = at == letter.from || self.seen.envelopes.contains(&(letter.number, at));
        self.at_destination(letter, recipient, at, owes, reached)?;
        let has_original = owes == Kind::Delivery && recipient.primary && letter.form != "sintetica";
        if at == letter.from {
            self.count(if owes == Kind::Delivery { "delivered at home" } else { "failed at home" });
            self.outcome(
                letter,
                recipient,
                if owes == Kind::Delivery { &Outcome::Delivered } else { &Outcome::Failed },
            )?;
            return Ok(vec![(owes.name(), about, has_original)]);
        }

        // 2. What reached the sender's provider, and when by its clock (spec 7).
        let n = letter.number;
        let charge = self.seen.first(n, &recipient.address, &[Kind::TakeCharge]);
        let answer = self.seen.first(n, &recipient.address, &[owes]);
        let own = self.refused.get(&(n, at)).copied();
        let is_before =
            |limit_s: i64, at: Option<Instant>| at.is_some_and(|at| at < head.accepted_at.plus_s(limit_s));
        let settled = [answer, own].into_iter().flatten().min();
        let first = !is_before(FIRST_S, charge) && !is_before(FIRST_S, settled);
        let last = !is_before(LAST_S, settled);

        // 3. What follows for the sender.
        let mut expected = Vec::new();
        if first {
            expected.push((Kind::TimeoutFirst.name(), about.clone(), false));
        }
        if last {
            expected.push((Kind::TimeoutLast.name(), about.clone(), false));
        }
        if own.is_some() {
            expected.push((Kind::NonDelivery.name(), about.clone(), false));
        }
        match (answer, owes) {
            (Some(_), Kind::VirusDetection) if !last => {
                expected.push((Kind::NonDeliveryVirus.name(), about, false));
            }
            // After the last notice nobody tracks the letter: spec 7.
            (None, _) | (Some(_), Kind::VirusDetection) => {}
            (Some(_), _) => expected.push((owes.name(), about, has_original)),
        }
        let (outcome, words) = match (last, own.is_some(), owes) {
            (true, _, _) if answer.is_some() => {
                (Outcome::Expired, "not delivered in time (M6), answered later")
            }
            (true, _, _) => (Outcome::Expired, "not delivered in time (M6)"),
            (_, true, _) => (Outcome::Failed, "refused by the other provider (M12)"),
            (_, _, Kind::Delivery) if first => {
                (Outcome::Delivered, "delivered after the first notice (M5, M11)")
            }
            (_, _, Kind::Delivery) => (Outcome::Delivered, "delivered (M11)"),
            (_, _, Kind::VirusDetection) => (Outcome::Virus, "a virus at the other provider (M10)"),
            _ => (Outcome::Failed, "not delivered there (M12)"),
        };
        self.count(words);
        self.outcome(letter, recipient, &outcome)?;
        Ok(expected)
    }

    /// What the sender's provider has on record of a recipient.
    fn outcome(&self, letter: &Planned, recipient: &Recipient, expected: &Outcome) -> Result<(), String> {
        let home = &self.shown[letter.from];
        let pec_id = &home.heads[&letter.number].letter.pec_id;
        let row = home
            .evidence
            .recipients
            .iter()
            .find(|r| r.pec_id == *pec_id && r.recipient.address == recipient.address);
        let found = row.and_then(|r| r.outcome.as_ref());
        holds(found == Some(expected), || {
            format!(
                "letter {} to {}: {found:?} on record, and not {expected:?}",
                letter.number, recipient.address
            )
        })
    }

    /// At the recipient's provider: one receipt of the right kind, one copy in the mailbox, one entry; or nothing.
    fn at_destination(
        &self,
        letter: &Planned,
        recipient: &Recipient,
        at: usize,
        owes: Kind,
        reached: bool,
    ) -> Result<(), String> {
        let (n, there, address) = (letter.number, &self.shown[at], &recipient.address);
        for kind in [Kind::Delivery, Kind::NonDelivery, Kind::VirusDetection] {
            let must = usize::from(reached && kind == owes);
            // A refusal is our own provider's notice.
            let found = there.issued_about(n, kind, address);
            holds(found == must, || {
                format!("letter {n} to {address}: {found} of {} issued, and not {must}", kind.name())
            })?;
        }
        let charges = there.issued_about(n, Kind::TakeCharge, address);
        holds((charges > 0) == reached, || {
            format!("letter {n} to {address}: taken in charge {charges} times")
        })?;
        let delivered = reached && owes == Kind::Delivery;
        let local = address.as_str().split('@').next().unwrap_or_default();
        let copies = there.in_mailbox(&format!("m-{local}"), n);
        let copies = copies.iter().filter(|(kind, _, _)| *kind == Kind::TransportEnvelope.name()).count();
        holds(copies == usize::from(delivered), || {
            format!("letter {n}: {copies} copies in the mailbox of {address}")
        })?;
        let entries = there.delivered.get(&(n, address.to_string())).copied().unwrap_or_default();
        holds(entries == usize::from(delivered), || {
            format!("letter {n}: {entries} entries of its delivery to {address}")
        })
    }

    /// Ordinary mail, reports, and what no user may see.
    fn ordinary(&mut self) -> Result<(), String> {
        for (number, to, open, times) in &self.seen.ordinary {
            let words = format!("Ordinaria {number}");
            let of = |mailbox: &str| {
                let all = self.shown[*to].anomalies.get(mailbox).into_iter().flatten();
                all.filter(|subject| subject.ends_with(&words)).count()
            };
            let (taken, refused) = (of("m-aperta"), of("m-destinatario"));
            // Whoever was not answered says it again, and nobody tells the one from the other (RFC 5321 §4.5.4.1).
            let lawful = if *open { 1..=*times } else { 0..=0 };
            holds(lawful.contains(&taken) && refused == 0, || {
                format!("{words}: {taken} taken, {refused} where it is refused")
            })?;
            let outcome = if *open { "ordinary mail taken (M8)" } else { "ordinary mail refused" };
            *self.outcomes.entry(outcome).or_default() += 1;
        }
        for (n, shown) in self.shown.iter().enumerate() {
            let reports = shown.anomalies.get("m-mittente").map_or(0, Vec::len);
            let must = self.reports[n];
            holds(reports == must, || {
                format!("{}: {reports} reports of ordinary mail, and not {must}", PROVIDERS[n].name)
            })?;
            let seen =
                shown.mailboxes.values().flatten().any(|(kind, _, _)| *kind == Kind::TakeCharge.name());
            holds(!seen, || format!("{}: a user sees a take-charge receipt", PROVIDERS[n].name))?;
            let infected = shown
                .evidence
                .logged(Event::VirusFound)
                .iter()
                .filter(|e| e.detail.contains_key("virus"))
                .count();
            let kept = shown.evidence.blobs.keys().filter(|key| is_vault(key)).count();
            holds((infected > 0) >= (kept > 0), || {
                format!("{}: {kept} in the vault, {infected} in the log", PROVIDERS[n].name)
            })?;
        }
        Ok(())
    }
}

fn holds(is: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if is { Ok(()) } else { Err(what()) }
}

/// What is known of a letter, for whoever looks for the fault.
fn story(letter: &Planned, seen: &Seen, shown: &[Shown; 3]) -> Vec<String> {
    let mut lines = vec![format!("{letter:?}")];
    lines.extend(seen.receipts.get(&letter.number).into_iter().flatten().map(|came| format!("{came:?}")));
    for (n, shown) in shown.iter().enumerate() {
        let reached = seen.envelopes.contains(&(letter.number, n));
        lines.push(format!(
            "at {}, which the envelope {}",
            PROVIDERS[n].name,
            if reached { "reached" } else { "did not reach" }
        ));
        let about = shown
            .evidence
            .log
            .iter()
            .filter(|e| e.subject.as_deref().and_then(number) == Some(letter.number));
        lines.extend(about.map(|e| format!("{} {} {:?} {:?}", e.at, e.event.name(), e.recipients, e.detail)));
    }
    lines
}
