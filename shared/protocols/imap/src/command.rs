//! Commands as they are understood (RFC 9051 §6, and the extensions that the crate's page lists).

/// A command with its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What its answer is known by.
    pub tag: String,
    /// What is asked.
    pub verb: Verb,
}

/// The name of a mailbox as it came: modified UTF-7 or UTF-8, which the session knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(pub Vec<u8>);

/// A sequence set (RFC 9051 §4.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Set {
    /// Ranges in either order; `None` is `*`.
    Ranges(Vec<(Option<u32>, Option<u32>)>),
    /// `$`: what SEARCH saved (RFC 9051 §6.4.4.1).
    Saved,
}

/// Whether numbers are sequence numbers or UIDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Sequence numbers.
    Sequence,
    /// UIDs, after `UID`.
    Uid,
}

/// What a command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the arguments of the sections that are named")]
pub enum Verb {
    /// §6.1.1
    Capability,
    /// §6.1.2
    Noop,
    /// §6.1.3
    Logout,
    /// RFC 2971
    Id,
    /// §6.2.1
    StartTls,
    /// §6.2.2
    Authenticate { mechanism: String, initial: Option<Vec<u8>> },
    /// §6.2.3
    Login { user: Vec<u8>, password: Secret },
    /// §6.3.1
    Enable(Vec<String>),
    /// §6.3.2
    Select(Select),
    /// §6.3.4; RFC 6154 §3
    Create { mailbox: Name, special_use: Vec<String> },
    /// §6.3.5
    Delete(Name),
    /// §6.3.6
    Rename { from: Name, to: Name },
    /// §6.3.7
    Subscribe(Name),
    /// §6.3.8
    Unsubscribe(Name),
    /// §6.3.9
    List(List),
    /// RFC 3501 §6.3.9
    Lsub { reference: Name, pattern: Name },
    /// §6.3.10
    Namespace,
    /// §6.3.11
    Status { mailbox: Name, items: Vec<StatusItem> },
    /// §6.3.13
    Idle,
    /// RFC 9208 §4.1.2
    GetQuota(Vec<u8>),
    /// RFC 9208 §4.1.3
    GetQuotaRoot(Name),
    /// RFC 9208 §4.1.1
    SetQuota,
    /// RFC 3501 §6.4.1
    Check,
    /// §6.4.1
    Close,
    /// §6.4.2
    Unselect,
    /// §6.4.3; with a set §6.4.9
    Expunge(Option<Set>),
    /// §6.4.4; RFC 5256 with an order
    Search(Search),
    /// §6.4.5
    Fetch(Fetch),
    /// §6.4.6
    Store(Store),
    /// §6.4.7, §6.4.8
    Copy { by: By, set: Set, to: Name, moves: bool },
}

/// A password: never in a log line.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// SELECT and EXAMINE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    /// Which one.
    pub mailbox: Name,
    /// EXAMINE.
    pub read_only: bool,
    /// RFC 7162 §3.1.8
    pub condstore: bool,
    /// RFC 7162 §3.2.5
    pub qresync: Option<Resync>,
}

/// What the client knows of a mailbox (RFC 7162 §3.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resync {
    /// UIDVALIDITY
    pub uidvalidity: u32,
    /// Of the last change it knows.
    pub modseq: u64,
    /// The UIDs it knows; all if `None`.
    pub known: Option<Set>,
}

/// LIST (RFC 9051 §6.3.9, RFC 5258, RFC 5819, RFC 6154).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Reference name.
    pub reference: Name,
    /// Patterns.
    pub patterns: Vec<Name>,
    /// Only what is subscribed, whether it exists or not.
    pub subscribed_only: bool,
    /// Only what has a special use.
    pub special_only: bool,
    /// Also what has children that match the other options.
    pub recursive: bool,
    /// Any option, or more than one pattern: the extended form.
    pub extended: bool,
    /// `RETURN (SUBSCRIBED)`
    pub return_subscribed: bool,
    /// `RETURN (STATUS (...))`
    pub return_status: Vec<StatusItem>,
}

/// What STATUS tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the names are those of RFC 9051 §6.3.11, RFC 3501 §6.3.10 and RFC 7162 §3.1.7"
)]
pub enum StatusItem {
    Messages,
    Recent,
    UidNext,
    UidValidity,
    Unseen,
    Deleted,
    Size,
    HighestModSeq,
}

/// SEARCH and SORT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// What the answer counts in.
    pub by: By,
    /// `RETURN (...)`; `None` is the old answer of RFC 3501.
    pub results: Option<Results>,
    /// What must hold, all of it.
    pub key: Key,
    /// RFC 5256
    pub order: Option<Vec<Order>>,
}

/// What SEARCH returns (RFC 9051 §6.4.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 9051 §6.4.4")]
pub struct Results {
    pub min: bool,
    pub max: bool,
    pub all: bool,
    pub count: bool,
    pub save: bool,
}

/// A criterion of SORT (RFC 5256 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// What is compared.
    pub by: OrderBy,
    /// Downwards.
    pub reverse: bool,
}

/// What SORT compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 5256 §3")]
pub enum OrderBy {
    Arrival,
    Cc,
    Date,
    From,
    Size,
    Subject,
    To,
}

/// Before, on, or at and after a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 9051 §6.4.4")]
pub enum When {
    Before,
    On,
    Since,
}

/// An address field of the envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the header fields")]
pub enum Who {
    From,
    To,
    Cc,
    Bcc,
}

/// A search key (RFC 9051 §6.4.4). Texts are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the arguments of the keys")]
pub enum Key {
    All,
    Sequence(Set),
    Uid(Set),
    /// A flag or keyword is set.
    Flag(String),
    /// No message is ever recent here: RFC 3501's `\Recent` is not kept.
    Recent,
    Larger(u64),
    Smaller(u64),
    /// By the day of INTERNALDATE, in days since 1970.
    Internal(When, i32),
    /// By the day of the `Date` field.
    Sent(When, i32),
    Address(Who, String),
    Subject(String),
    Header(String, String),
    Body(String),
    Text(String),
    /// RFC 7162 §3.1.5
    ModSeq(u64),
    Not(Box<Key>),
    Or(Box<Key>, Box<Key>),
    And(Vec<Key>),
}

/// FETCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// What the set counts in.
    pub by: By,
    /// Which messages.
    pub set: Set,
    /// What of them.
    pub items: Vec<Item>,
    /// RFC 7162 §3.1.4.1
    pub changed_since: Option<u64>,
    /// RFC 7162 §3.2.6
    pub vanished: bool,
}

/// An item of FETCH (RFC 9051 §6.4.5).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the names are those of RFC 9051 §6.4.5, RFC 3501 §6.4.5 and RFC 7162 §3.1.4.2"
)]
pub enum Item {
    Flags,
    Uid,
    InternalDate,
    Size,
    Envelope,
    Body,
    BodyStructure,
    ModSeq,
    Section(Section),
    /// `BINARY.SIZE[...]`
    BinarySize(Vec<u32>),
}

/// Octets of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Which part; empty is the message.
    pub part: Vec<u32>,
    /// What of it.
    pub text: Text,
    /// From this octet on, so many.
    pub partial: Option<(u64, u64)>,
    /// `\Seen` stays as it is.
    pub peek: bool,
    /// How it is named in the answer.
    pub style: Style,
}

impl Section {
    /// `BINARY.PEEK[...]`
    pub(crate) fn binary(part: &[u32]) -> Self {
        Self { part: part.to_vec(), text: Text::Whole, partial: None, peek: true, style: Style::Binary }
    }
}

/// How octets were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `BODY[...]`
    Body,
    /// `BINARY[...]`
    Binary,
    /// `RFC822`, `RFC822.HEADER`, `RFC822.TEXT`
    Rfc822,
}

/// Header or text of a part (RFC 9051 §6.4.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// All of it.
    Whole,
    /// `HEADER`
    Header,
    /// `HEADER.FIELDS`, or with `true` `HEADER.FIELDS.NOT`
    Fields(Vec<String>, bool),
    /// `TEXT`
    Text,
    /// `MIME`
    Mime,
}

/// STORE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// What the set counts in.
    pub by: By,
    /// Which messages.
    pub set: Set,
    /// RFC 7162 §3.1.3
    pub unchanged_since: Option<u64>,
    /// `+FLAGS`, `-FLAGS`, `FLAGS`
    pub how: How,
    /// `.SILENT`
    pub silent: bool,
    /// The flags.
    pub flags: Vec<String>,
}

/// What STORE does with flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum How {
    Add,
    Remove,
    Replace,
}

/// The beginning of an APPEND up to its message (RFC 9051 §6.3.12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// What its answer is known by.
    pub tag: String,
    /// Where to.
    pub mailbox: Name,
    /// Its flags.
    pub flags: Vec<String>,
    /// INTERNALDATE in seconds since 1970.
    pub date: Option<i64>,
    /// Octets of the message.
    pub size: u64,
    /// The client waits until it may send them.
    pub waits: bool,
    /// `UTF8 (...)` (RFC 6855 §4): a parenthesis follows the message.
    pub utf8: bool,
}
