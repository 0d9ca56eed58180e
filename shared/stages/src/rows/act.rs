//! The row of an act.

use pec::{Address, Document, Instant, Issuer, Kind, Letter, document::Matter};
use serde::{Deserialize, Serialize, Serializer};

use super::{Filed, OriginRecipient, letters};
use crate::{
    BlobKey,
    ids::{CertificateId, MailboxId, Partition, blob_name},
    mailbox::MailboxHead,
    ports::{Destination, RowKey, Table},
    registry::Mailbox,
    rim::Body,
};

/// The key of an act (design §3 rule 2): the partition tells side and cause, the rest tells which act.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ActKey {
    /// Side and cause.
    pub partition: Partition,
    /// Which of the twelve, or a delivery status notification.
    pub kind: Kind,
    /// Recipient or transaction; empty where the kind occurs once.
    pub discriminator: String,
}
impl ActKey {
    /// The transport envelope of a letter of ours.
    #[must_use]
    pub fn envelope(pec_id: &str) -> Self {
        Self {
            partition: Partition::origin(pec_id),
            kind: Kind::TransportEnvelope,
            discriminator: String::new(),
        }
    }
    /// The key of its row.
    #[must_use]
    pub fn row(&self) -> RowKey {
        letters(&self.partition, self.parts().concat())
    }
    /// What the keys of rows of this kind begin with, after their partition.
    #[must_use]
    pub fn prefix(kind: Kind) -> String {
        Self::parts_of(kind, "").concat()
    }
    fn parts(&self) -> [&str; 4] {
        Self::parts_of(self.kind, &self.discriminator)
    }
    const fn parts_of(kind: Kind, discriminator: &str) -> [&str; 4] {
        ["act#", kind.name(), "#", discriminator]
    }
    /// The act of a row; `None` for the key of something else.
    #[must_use]
    pub fn of_row(key: &RowKey) -> Option<Self> {
        let (kind, discriminator) = key.sk.strip_prefix("act#")?.split_once('#')?;
        Some(Self {
            partition: Partition::of_row(key),
            kind: Kind::named(kind)?,
            discriminator: discriminator.to_owned(),
        })
    }
    /// The key of the head of its letter.
    #[must_use]
    pub fn head(&self) -> RowKey {
        letters(&self.partition, "head".to_owned())
    }
    /// The name of its blob: from the key, never from the bytes.
    #[must_use]
    pub fn blob_name(&self) -> String {
        let [act, kind, mark, discriminator] = self.parts();
        blob_name([self.partition.as_str(), "\0", act, kind, mark, discriminator].concat().as_bytes())
    }
}

/// What step (c) of an act owes next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "next")]
pub enum Next {
    /// File it into mailboxes of ours: M3, M1, M12, M11, ... to one; M8 to each that takes it.
    File {
        /// Into these.
        mailboxes: Vec<MailboxId>,
    },
    /// Send it to these, one transaction each. Fixed when the fact was made.
    Send {
        /// MAIL FROM.
        reverse_path: Option<Address>,
        /// Destinations with their recipients.
        parcels: Vec<Parcel>,
        /// When to stop trying.
        give_up_at: Instant,
    },
    /// M7 of ours to ourselves: record the take-charge in the log of the origin.
    RecordTakeCharge {
        /// The letter of ours.
        pec_id: String,
        /// The recipients that it covers.
        recipients: Vec<Address>,
    },
    /// M9 of ours to ourselves: make act M10 for this recipient of a letter of ours.
    RecordVirus {
        /// The letter of ours.
        pec_id: String,
        /// The recipient.
        recipient: Address,
        /// The scanner's name of what it found.
        virus: String,
    },
    /// Nothing: the addressee cannot be reached any more (a mailbox that is gone). The log has it.
    Nothing,
}

/// Recipients behind one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// Where to.
    pub destination: Destination,
    /// RCPT TO.
    pub recipients: Vec<Address>,
}

/// What was stored for an act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedBytes {
    /// SHA-256 of the stored bytes, hex.
    pub sha256: String,
    /// Their number.
    pub size_bytes: u64,
}

/// An act: a fact that owes a signed document, with every input of it (design §4).
///
/// What its key says is not stored again, nor what the head of its letter has: a letter makes four acts, and each is
/// written at least twice.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Stored")]
pub struct ActRow {
    /// Which act.
    pub key: ActKey,
    /// Every input of the document. Of a letter that is in the head, only the id is here as the row is read; who issues
    /// the act reads it with the head (`acts::read`).
    pub document: Document,
    /// Whether the letter is that of the head of the partition, which never changes.
    pub letter_in_head: bool,
    /// The certificate to sign with.
    pub certificate: CertificateId,
    /// Source bytes for composing, for the kinds that carry a message.
    pub source: Option<BlobKey>,
    /// Where the sealed message is stored; the first one stays.
    pub target: BlobKey,
    /// What issuing it owes next.
    pub next: Next,
    /// The sender's provider, for the log (spec 0.2 D22).
    pub sending_provider: String,
    /// Set by step (c).
    pub issued: Option<IssuedBytes>,
    /// How its filing ended, where the act itself is what is [filed](ActRow::home).
    pub filed: Option<Filed>,
    /// Whom the last notice took off it, where it goes [inward](ActRow::inward) as it is.
    pub taken_off: Vec<Address>,
}
impl ActRow {
    /// The recipients of ours that are all it goes to: its row is the transaction with our own incoming point (spec 4.7).
    #[must_use]
    pub fn inward(&self) -> Option<&[Address]> {
        let Next::Send { parcels, .. } = &self.next else { return None };
        match parcels.as_slice() {
            [Parcel { destination: Destination::Own, recipients }] => Some(recipients),
            _ => None,
        }
    }
    /// The mailbox that is its only home: nothing else has to be known for filing it than what is in this row.
    #[must_use]
    pub fn home(&self) -> Option<&MailboxId> {
        let Next::File { mailboxes } = &self.next else { return None };
        let [mailbox] = mailboxes.as_slice() else { return None };
        self.target.is_of(mailbox).then_some(mailbox)
    }
    /// The id under which the legal log has its entry.
    #[must_use]
    pub fn logged_under(&self) -> String {
        crate::acts::about(self).pec_id
    }
}
impl Body for ActRow {
    const TABLE: Table = Table::Letters;
    fn key(&self) -> RowKey {
        self.key.row()
    }
    fn keyed(&mut self, key: &RowKey) {
        if let Some(known) = ActKey::of_row(key) {
            self.key = known;
        }
    }
    fn ahead(&self) -> Vec<RowKey> {
        let rows: Vec<RowKey> = match &self.next {
            Next::RecordVirus { pec_id, recipient, .. } => vec![OriginRecipient::key_of(pec_id, recipient)],
            Next::File { .. } => {
                let settings = Address::parse(&self.document.to).map(|to| Mailbox::key_of(to.as_str()));
                self.home().map(MailboxHead::key_of).into_iter().chain(settings.ok()).collect()
            }
            // The incoming point looks where its recipients' mailboxes are.
            Next::Send { .. } if self.issued.is_some() => {
                self.inward().into_iter().flatten().map(|r| Mailbox::key_of(r.as_str())).collect()
            }
            Next::Send { .. } | Next::RecordTakeCharge { .. } | Next::Nothing => Vec::new(),
        };
        let head = self.letter_in_head.then(|| self.key.head());
        [self.key()].into_iter().chain(head).chain(rows).collect()
    }
}

impl Serialize for ActRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { document, source, issued, filed, taken_off, .. } = self;
        Written {
            document: WrittenDocument {
                at: document.at,
                message_id: &document.message_id,
                seed: &document.seed,
                issuer: &document.issuer,
                to: &document.to,
                letter: (!self.letter_in_head).then_some(&document.letter),
                matter: &document.matter,
            },
            pec_id: self.letter_in_head.then_some(&document.letter.pec_id),
            certificate: &self.certificate,
            source: source.as_ref(),
            target: &self.target,
            next: &self.next,
            sending_provider: &self.sending_provider,
            issued: issued.as_ref(),
            filed: filed.as_ref(),
            taken_off,
        }
        .serialize(serializer)
    }
}

/// An act as it is written.
#[derive(Serialize)]
struct Written<'a> {
    document: WrittenDocument<'a>,
    /// Of the letter that is in the head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pec_id: Option<&'a String>,
    certificate: &'a CertificateId,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a BlobKey>,
    target: &'a BlobKey,
    next: &'a Next,
    sending_provider: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued: Option<&'a IssuedBytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filed: Option<&'a Filed>,
    #[serde(skip_serializing_if = "<[Address]>::is_empty")]
    taken_off: &'a [Address],
}

#[derive(Serialize)]
struct WrittenDocument<'a> {
    at: Instant,
    message_id: &'a str,
    seed: &'a str,
    issuer: &'a Issuer,
    to: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    letter: Option<&'a Letter>,
    matter: &'a Matter,
}

/// An act as it is read: the previous release wrote its letter and its key.
#[derive(Deserialize)]
struct Stored {
    document: StoredDocument,
    #[serde(default)]
    pec_id: Option<String>,
    certificate: CertificateId,
    #[serde(default)]
    source: Option<BlobKey>,
    target: BlobKey,
    next: Next,
    sending_provider: String,
    #[serde(default)]
    issued: Option<IssuedBytes>,
    #[serde(default)]
    filed: Option<Filed>,
    #[serde(default)]
    taken_off: Vec<Address>,
}

#[derive(Deserialize)]
struct StoredDocument {
    at: Instant,
    message_id: String,
    seed: String,
    issuer: Issuer,
    to: String,
    #[serde(default)]
    letter: Option<Letter>,
    matter: Matter,
}

impl From<Stored> for ActRow {
    fn from(stored: Stored) -> Self {
        let StoredDocument { at, message_id, seed, issuer, to, letter, matter } = stored.document;
        let letter_in_head = letter.is_none();
        let letter = letter.unwrap_or_else(|| unread(stored.pec_id.unwrap_or_default()));
        let document = Document { at, message_id, seed, issuer, to, letter, matter };
        // The key of the row says the rest.
        let (partition, discriminator) = Default::default();
        let key = ActKey { partition, kind: document.kind(), discriminator };
        Self {
            key,
            document,
            letter_in_head,
            certificate: stored.certificate,
            source: stored.source,
            target: stored.target,
            next: stored.next,
            sending_provider: stored.sending_provider,
            issued: stored.issued,
            filed: stored.filed,
            taken_off: stored.taken_off,
        }
    }
}

/// A letter of which nothing was read but its id.
fn unread(pec_id: String) -> Letter {
    Letter {
        sender: String::new(),
        recipients: Vec::new(),
        replies: String::new(),
        subject: None,
        subject_raw: None,
        pec_id,
        client_id: None,
    }
}

#[cfg(test)]
mod tests {
    use pec::{Recipient, RecipientKind};
    use serde_json::{Value, json};

    use super::*;
    use crate::rim;

    fn act(letter_in_head: bool) -> ActRow {
        let address = Address::parse("a@alfa.example").unwrap();
        let key = ActKey {
            partition: Partition::origin("1@gestore.example"),
            kind: Kind::Delivery,
            discriminator: "b#c@beta.example".to_owned(),
        };
        ActRow {
            document: Document {
                at: Instant::from_unix_s(1_800_000_000),
                message_id: "<2@gestore.example>".to_owned(),
                seed: "0".repeat(32),
                issuer: Issuer { provider_name: "Gestore".to_owned(), address: address.clone() },
                to: address.to_string(),
                letter: Letter {
                    sender: address.to_string(),
                    recipients: vec![Recipient { address: address.clone(), kind: RecipientKind::Certified }],
                    replies: address.to_string(),
                    subject: Some("Oggetto".to_owned()),
                    ..unread("1@gestore.example".to_owned())
                },
                matter: Matter::Delivery {
                    recipient: address,
                    form_asked: pec::document::ReceiptForm::Brief,
                    form_due: pec::document::ReceiptForm::Synthetic,
                },
            },
            letter_in_head,
            certificate: CertificateId("c".repeat(64)),
            source: None,
            target: BlobKey::outbound(&key.blob_name()),
            next: Next::Nothing,
            sending_provider: "Gestore".to_owned(),
            issued: Some(IssuedBytes { sha256: "d".repeat(64), size_bytes: 7 }),
            filed: Some(Filed::Before),
            taken_off: vec![Address::parse("d@beta.example").unwrap()],
            key,
        }
    }

    #[test]
    fn an_act_is_read_as_it_was_written_and_its_key_is_written_once() {
        let act = act(false);
        let text = serde_json::to_string(&act).unwrap();
        assert_eq!(rim::body::<ActRow>(&act.key(), &text).unwrap(), act);
        assert!(!text.contains("b#c@beta.example") && !text.contains("origin#"), "{text}");
    }

    #[test]
    fn a_letter_that_is_in_the_head_is_not_written_again() {
        let act = act(true);
        let text = serde_json::to_string(&act).unwrap();
        assert!(!text.contains("Oggetto"), "{text}");
        let read = rim::body::<ActRow>(&act.key(), &text).unwrap();
        assert_eq!(read.document.letter, unread("1@gestore.example".to_owned()));
        assert_eq!(read.logged_under(), act.logged_under());
        assert!(act.ahead().contains(&act.key.head()));
        // Written back as it was read, nothing is lost.
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }

    #[test]
    fn an_act_of_the_previous_release_is_understood() {
        let act = act(false);
        let mut body: Value = serde_json::to_value(&act).unwrap();
        body["key"] = json!({"partition": "origin#1@gestore.example", "kind": "delivery", "discriminator": "b#c@beta.example"});
        body["source"] = Value::Null;
        assert_eq!(rim::body::<ActRow>(&act.key(), &body.to_string()).unwrap(), act);
    }

    #[test]
    fn keys_of_acts_are_read() {
        for kind in Kind::ALL.into_iter().chain([Kind::DeliveryStatus]) {
            let key = ActKey { kind, ..act(false).key };
            assert_eq!(ActKey::of_row(&key.row()), Some(key));
        }
        let other = RowKey { sk: "file#delivery#x".to_owned(), ..act(false).key() };
        assert_eq!(ActKey::of_row(&other), None);
        assert_eq!(ActKey::of_row(&RowKey { sk: "act#nothing#x".to_owned(), ..other }), None);
    }
}
