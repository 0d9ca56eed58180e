//! What a world shows: acts, log, mailboxes, what was sent; and what of it must hold whatever happened.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use pec::{Document, Instant, Kind, document::Matter};
use stages::{
    BlobKey,
    ids::{Door, sha256_hex},
    log::{Event, LogEntry},
    ports::{Destination, StoredRow},
    rim::{self, Body},
    rows::{
        ActRow, DestinationHead, DispatchRow, FilingRow, Next, OriginHead, OriginRecipient, SpoolRow, Ticket,
    },
};

use super::World;

/// A message in a mailbox.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Filed {
    /// The folder's name.
    pub folder: String,
    /// Its blob.
    pub blob: String,
    /// Which of the twelve, by name.
    pub kind: Option<String>,
    /// Its subject as the mailbox shows it.
    pub subject: String,
}

/// Everything that a world has made, as an auditor finds it.
#[derive(Debug)]
pub struct Evidence {
    /// `providerName` of the world.
    pub provider: &'static str,
    /// Letters of our users, with accepted and refused ones.
    pub letters: Vec<OriginHead>,
    /// Their recipients.
    pub recipients: Vec<OriginRecipient>,
    /// Every act.
    pub acts: Vec<ActRow>,
    /// The legal log, by PEC id in order of commit.
    pub log: Vec<LogEntry>,
    /// Every filing owed or done.
    pub filings: Vec<FilingRow>,
    /// Messages of each mailbox with their UIDs, by mailbox and folder in order of UID.
    pub mailboxes: BTreeMap<(String, String), Vec<(u32, Filed)>>,
    /// Rows that still owe something.
    pub debts: Vec<StoredRow>,
    /// Every stored byte string.
    pub blobs: BTreeMap<BlobKey, Bytes>,
    /// What others took: destination, recipients, SHA-256 of the message.
    pub sent: Vec<(Destination, Vec<String>, String)>,
    dispatches: Vec<DispatchRow>,
    destinations: Vec<DestinationHead>,
    spools: Vec<SpoolRow>,
}

/// What is compared with a world where nothing went wrong: everything but instants, and what depends on them (seeds,
/// digests of our own messages, and the names made from those digests).
#[derive(Debug, PartialEq)]
pub struct Outline {
    /// Letters and their recipients with outcomes.
    pub outcomes: BTreeSet<String>,
    /// Acts with their inputs.
    pub acts: BTreeSet<String>,
    /// Log entries.
    pub log: BTreeSet<String>,
    /// Mailboxes without UIDs: the order may differ.
    pub mailboxes: BTreeSet<String>,
    /// What others took at least once.
    pub sent: BTreeSet<String>,
}

impl Outline {
    /// That nothing differs from what it is without trouble.
    ///
    /// # Panics
    /// With what is missing and what is too much.
    pub fn assert_is(&self, expected: &Self, what: &str) {
        let parts = [
            ("outcomes", &self.outcomes, &expected.outcomes),
            ("acts", &self.acts, &expected.acts),
            ("log", &self.log, &expected.log),
            ("mailboxes", &self.mailboxes, &expected.mailboxes),
            ("sent", &self.sent, &expected.sent),
        ];
        for (part, found, expected) in parts {
            let (more, missing): (Vec<_>, Vec<_>) =
                (found.difference(expected).collect(), expected.difference(found).collect());
            assert!(
                more.is_empty() && missing.is_empty(),
                "{what}: {part}\n more: {more:#?}\n missing: {missing:#?}"
            );
        }
    }
}

impl Evidence {
    pub(super) fn of(world: &World) -> Self {
        let rows = world.facts.rows();
        let debts = rows.iter().filter(|s| s.row.debt.is_some()).cloned().collect();
        let sent = world.carrier.carried().into_iter().map(|errand| {
            let recipients = errand.recipients.iter().map(pec::Address::key).collect();
            (errand.destination, recipients, sha256_hex(&errand.message))
        });
        let letters: Vec<OriginHead> = bodies(&rows, "origin#", "head");
        let destinations: Vec<DestinationHead> = bodies(&rows, "destination#", "head");
        Self {
            provider: world.provider.name,
            acts: acts(&rows, &letters, &destinations),
            letters,
            recipients: bodies(&rows, "origin#", "rcpt#"),
            filings: bodies(&rows, "", "file#"),
            dispatches: bodies(&rows, "", "send#"),
            destinations,
            spools: bodies(&rows, "spool#", "spool"),
            mailboxes: super::mailboxes::read(world),
            log: world.facts.entries(),
            blobs: world.blobs.all(),
            sent: sent.collect(),
            debts,
        }
    }

    /// The acts of one kind, by its name.
    #[must_use]
    pub fn acts_of(&self, kind: Kind) -> Vec<&ActRow> {
        self.acts.iter().filter(|a| a.key.kind == kind).collect()
    }

    /// The stored bytes of an act.
    ///
    /// # Panics
    /// If there are none.
    #[must_use]
    pub fn bytes(&self, act: &ActRow) -> &Bytes {
        self.blobs.get(&act.target).unwrap_or_else(|| panic!("{} is not stored", act.target))
    }

    /// Log entries of one event.
    #[must_use]
    pub fn logged(&self, event: Event) -> Vec<&LogEntry> {
        self.log.iter().filter(|e| e.event == event).collect()
    }

    /// What must hold whatever went wrong, once nothing is owed any more (design §3).
    ///
    /// # Panics
    /// If it does not hold.
    pub fn assert_lawful(&self) {
        assert!(self.debts.is_empty(), "still owed: {:#?}", self.debts);
        self.assert_everything_spooled_is_handled();
        self.assert_every_certified_recipient_is_settled();
        self.assert_one_instant_per_transaction();
        self.assert_every_act_is_one_byte_string();
        self.assert_the_log_has_no_duplicates();
        self.assert_the_log_names_the_senders_provider();
        self.assert_every_filing_is_done_once();
        self.assert_uids_ascend();
    }

    fn assert_everything_spooled_is_handled(&self) {
        for (key, body) in self.blobs.iter().filter(|(k, _)| k.as_str().ends_with(".json")) {
            let ticket: Ticket = serde_json::from_slice(body).expect("a ticket");
            assert!(self.spools.iter().any(|s| s.spool == ticket.spool), "{key} has no outcome");
        }
    }

    /// Design §3 rule 1.
    fn assert_every_certified_recipient_is_settled(&self) {
        for recipient in &self.recipients {
            let letter = self.letters.iter().find(|l| l.letter.pec_id == recipient.pec_id);
            let letter = letter.expect("recipients have a head");
            assert!(letter.spread, "the debts of {} were spread", recipient.pec_id);
            assert!(recipient.outcome.is_some(), "{} is open", recipient.recipient.address);
        }
        for letter in self.letters.iter().filter(|l| l.refused.is_none()) {
            let rows = self.recipients.iter().filter(|r| r.pec_id == letter.letter.pec_id).count();
            assert_eq!(rows, letter.letter.recipients.len(), "a row for each recipient");
        }
    }

    /// Design §3 rule 5 (G9): acceptance, its receipt, its envelope, its clocks and its log entry have one instant; so
    /// have the receptions, and every act and its log entry.
    fn assert_one_instant_per_transaction(&self) {
        for letter in &self.letters {
            let (pec_id, at) = (&letter.letter.pec_id, letter.accepted_at);
            for recipient in self.recipients.iter().filter(|r| r.pec_id == *pec_id) {
                assert_eq!(recipient.clocks.accepted_at, at, "the clocks of {}", recipient.recipient.address);
            }
            let at_the_access_point =
                [Kind::Acceptance, Kind::TransportEnvelope, Kind::NonAcceptance, Kind::NonAcceptanceVirus];
            for act in self.acts.iter().filter(|a| a.document.letter.pec_id == *pec_id) {
                if at_the_access_point.contains(&act.key.kind) {
                    assert_eq!(act.document.at, at, "{}", act.key.kind.name());
                }
            }
            for entry in self.log.iter().filter(|e| e.pec_id == *pec_id) {
                if matches!(entry.event, Event::Accepted | Event::Refused) {
                    assert_eq!(entry.at, at, "{}", entry.event.name());
                }
            }
        }
        for act in &self.acts {
            let entry = self.log.iter().find(|e| {
                e.event == Event::Issued && e.sha256 == act.issued.as_ref().map(|i| i.sha256.clone())
            });
            assert_eq!(entry.map(|e| e.at), Some(act.document.at), "the log of {:?}", act.key);
        }
    }

    /// Design §3 rule 2: the stored bytes are what the row and the log speak of.
    fn assert_every_act_is_one_byte_string(&self) {
        for act in &self.acts {
            let issued =
                act.issued.as_ref().unwrap_or_else(|| panic!("{} was never issued", act.key.kind.name()));
            let bytes = self.bytes(act);
            assert_eq!(
                (issued.sha256.as_str(), issued.size_bytes),
                (sha256_hex(bytes).as_str(), bytes.len() as u64)
            );
            let entries: Vec<_> = self
                .logged(Event::Issued)
                .into_iter()
                .filter(|e| e.sha256.as_deref() == Some(issued.sha256.as_str()))
                .collect();
            assert_eq!(entries.len(), 1, "{:?} is logged once as issued", act.key);
        }
        assert_eq!(self.logged(Event::Issued).len(), self.acts.len(), "nothing else is logged as issued");
        let targets: HashSet<_> = self.acts.iter().map(|a| &a.target).collect();
        assert_eq!(targets.len(), self.acts.len(), "each act has a blob of its own");
        let stored: HashSet<String> = self.acts.iter().map(|a| sha256_hex(self.bytes(a))).collect();
        for (destination, _, sha256) in &self.sent {
            assert!(stored.contains(sha256), "{destination:?} got bytes that are no act's");
        }
    }

    fn assert_the_log_has_no_duplicates(&self) {
        let keys: HashSet<_> = self.log.iter().map(|e| (&e.pec_id, e.sk())).collect();
        assert_eq!(keys.len(), self.log.len());
    }

    /// Spec 0.2 D22: "sending provider" is the sender's, whoever issued what the entry speaks of.
    fn assert_the_log_names_the_senders_provider(&self) {
        let ours = self.letters.iter().map(|l| (l.letter.pec_id.as_str(), self.provider));
        let others =
            self.destinations.iter().map(|d| (d.letter.pec_id.as_str(), d.origin.provider_name.as_str()));
        let providers: BTreeMap<&str, &str> = others.chain(ours).collect();
        for entry in &self.log {
            if let Some(provider) = providers.get(entry.pec_id.as_str()) {
                assert_eq!(&entry.sending_provider, provider, "{entry:?}");
                assert!(!entry.sender.is_empty(), "{entry:?}");
            }
        }
    }

    fn assert_every_filing_is_done_once(&self) {
        for filing in &self.filings {
            assert!(filing.filed.is_some(), "{} was never filed", filing.discriminator);
        }
        for act in self.acts.iter().filter(|a| a.home().is_some()) {
            assert!(act.filed.is_some(), "{:?} was never filed", act.key);
        }
        for ((mailbox, folder), messages) in &self.mailboxes {
            let blobs: HashSet<_> = messages.iter().map(|(_, m)| &m.blob).collect();
            assert_eq!(blobs.len(), messages.len(), "{mailbox} has a message twice in {folder}");
            for (_, message) in messages {
                let stored = self.blobs.contains_key(&BlobKey::listed(message.blob.clone()));
                assert!(stored, "{mailbox} shows {} that is not stored", message.blob);
            }
        }
    }

    /// In a folder that nobody touched each UID is given once, in order, and none is left out.
    fn assert_uids_ascend(&self) {
        for ((mailbox, folder), messages) in &self.mailboxes {
            let uids: Vec<u32> = messages.iter().map(|(uid, _)| *uid).collect();
            assert_eq!(uids, (1..).take(uids.len()).collect::<Vec<u32>>(), "UIDs of {folder} of {mailbox}");
        }
    }

    /// What can be compared between worlds that had different troubles.
    #[must_use]
    pub fn outline(&self) -> Outline {
        let names = self.names();
        let plain = |text: String| names.iter().fold(text, |text, (from, to)| text.replace(from, to));
        let heads = self.letters.iter().map(|l| format!("{} refused: {:?}", l.letter.pec_id, l.refused));
        let recipients =
            self.recipients.iter().map(|r| format!("{} {}: {:?}", r.pec_id, r.recipient.address, r.outcome));
        let acts = self.acts.iter().map(act_outline);
        let log = self.log.iter().map(|e| format!("{:?}", LogEntry { at: never(), ..e.clone() }));
        let messages =
            self.mailboxes.iter().flat_map(|(of, all)| all.iter().map(move |(_, m)| format!("{of:?} {m:?}")));
        let sent = self.sent.iter().map(|errand| format!("{errand:?}"));
        Outline {
            outcomes: heads.chain(recipients).collect(),
            acts: acts.map(plain).collect(),
            log: log.map(plain).collect(),
            mailboxes: messages.map(plain).collect(),
            sent: sent.map(plain).collect(),
        }
    }

    /// What is named after bytes of ours, with names that stay: partitions of destinations, acts, their digests.
    fn names(&self) -> Vec<(String, String)> {
        let partitions: Vec<(String, String)> = self
            .destinations
            .iter()
            .map(|d| {
                (d.partition.as_str().to_owned(), format!("[to {} by {}]", d.letter.pec_id, d.origin.record))
            })
            .collect();
        let mut names = partitions.clone();
        for act in &self.acts {
            let partition = act.key.partition.as_str();
            let known = partitions.iter().find(|(from, _)| from == partition).map_or(partition, |(_, to)| to);
            let name = format!("[{} {} {known}]", act.key.kind.name(), act.key.discriminator);
            let blob = act.key.blob_name();
            let issued = act.issued.as_ref().map(|i| i.sha256.clone());
            names.extend(issued.map(|sha256| (sha256, format!("[digest of {name}]"))));
            names.push((blob[..32].to_owned(), name.clone()));
            names.push((format!("{name}{}", &blob[32..]), name));
        }
        names.splice(0..0, self.dispatch_names());
        names.extend(self.incoming_names());
        names
    }

    /// Dispatch rows are named after their acts: what our own incoming point gets, and what the log says of relaying.
    fn dispatch_names(&self) -> Vec<(String, String)> {
        let mut names = Vec::new();
        for row in &self.dispatches {
            let key = DispatchRow::key_of(&row.act, &row.destination);
            let hash = |text: String| sha256_hex(text.as_bytes());
            let (row_hash, act) = (hash(format!("{}\0{}", key.pk, key.sk)), row.act.blob_name());
            let name = format!("[{act} to {:?}]", row.destination);
            for entry in self.log.iter().filter(|e| !e.recipients.is_empty()) {
                let recipients = entry.recipients.join("\n").to_lowercase();
                if entry.discriminator == hash(format!("{row_hash}\0{recipients}")) {
                    names.push((entry.discriminator.clone(), format!("{name} for {recipients}")));
                }
            }
            names.push((row_hash, name));
        }
        // Before the acts' names, which are in these.
        names.sort();
        names
    }

    /// Spool ids tell when something came in: named by what came in, and which time it was.
    fn incoming_names(&self) -> Vec<(String, String)> {
        let mut incoming: Vec<&SpoolRow> = self.spools.iter().filter(|s| s.door == Door::Incoming).collect();
        incoming.sort_by_key(|s| &s.spool);
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        let name =
            |s: &SpoolRow, n: usize| (s.spool.to_string(), format!("[{} for the {n}. time]", s.sha256));
        let mut names = Vec::new();
        for row in incoming {
            let n = times.entry(&row.sha256).or_default();
            *n += 1;
            names.push(name(row, *n));
        }
        names
    }
}

fn never() -> Instant {
    Instant::from_unix_s(0)
}

/// An act without instants and seed: the same letter at another time.
fn act_outline(act: &ActRow) -> String {
    let mut document = Document { at: never(), seed: String::new(), ..act.document.clone() };
    if let Matter::DeliveryStatus { arrived_at, .. } = &mut document.matter {
        *arrived_at = never();
    }
    let mut next = act.next.clone();
    if let Next::Send { give_up_at, .. } = &mut next {
        *give_up_at = never();
    }
    format!("{:?} {document:?} {next:?} {} {:?}", act.key, act.target, act.source)
}

fn bodies<T: Body>(rows: &[StoredRow], pk: &str, sk: &str) -> Vec<T> {
    let wanted = |s: &&StoredRow| s.row.key.pk.starts_with(pk) && s.row.key.sk.starts_with(sk);
    let read = |s: &StoredRow| rim::body(&s.row.key, &s.row.body).expect("a body of this type");
    rows.iter().filter(wanted).map(read).collect()
}

/// Acts with their letters, wherever those are kept.
fn acts(rows: &[StoredRow], letters: &[OriginHead], destinations: &[DestinationHead]) -> Vec<ActRow> {
    let ours = letters.iter().map(|l| (l.key(), &l.letter));
    let heads: HashMap<_, _> = ours.chain(destinations.iter().map(|d| (d.key(), &d.letter))).collect();
    let mut acts: Vec<ActRow> = bodies(rows, "", "act#");
    for act in acts.iter_mut().filter(|a| a.letter_in_head) {
        let head = heads.get(&act.key.head()).expect("the head of an act");
        assert_eq!(head.pec_id, act.document.letter.pec_id);
        act.document.letter.clone_from(head);
    }
    acts
}
