//! Domains of this provider: made, checked, removed.
//!
//! A domain is active once its MX records name hosts of this provider and no other: then, and not before, it has the
//! row that all stages go by ([`Domain`]). It is looked at again every day; one whose records change stays active,
//! since what reaches us must not be lost, and raises an alarm until they are right again. A domain is certified or
//! ordinary, never both, and all of ours are certified.
//!
//! Rows of the `registry` table:
//! ```text
//! domains          <name>            what is watched: state, last look, what DNS said
//! domain#<name>    domain            an active domain
//! domain#<name>    mailbox#<local>   its mailboxes: a domain with one is not removed
//! ```
//! DNS is asked by whoever calls; what it said is passed in.

use pec::{Address, Instant};
use serde::{Deserialize, Serialize};

use crate::{
    Rim, StageError,
    accounts::{AuditEntry, AuditEvent},
    ids::MailboxId,
    ports::{RowKey, Table},
    registry::{Domain, Environment, Mailbox},
    rim::{Body, Draft, Found},
};

/// Between two looks at a domain.
const LOOK_EVERY_S: i64 = 24 * 3600;
/// How often a commit that others were faster than is tried again.
const RACES_MAX: usize = 5;
/// Names of hosts that are kept of an answer.
const HOSTS_MAX: usize = 20;

/// What DNS said of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its MX records.
    Hosts(Vec<String>),
    /// It has none.
    Nothing,
    /// Nobody knows now.
    Unknown(String),
}

/// What that means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every MX record names a host of this provider.
    Ours,
    /// At least one names somebody else's.
    Others,
    /// No MX record, or the null MX (RFC 7505).
    Nothing,
    /// DNS did not answer.
    Unknown,
}

impl Verdict {
    /// As it is shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Others => "others",
            Self::Nothing => "nothing",
            Self::Unknown => "unknown",
        }
    }

    /// Judges what DNS said: hosts are compared as names, without a final dot and whatever their case.
    #[must_use]
    pub fn of(answer: &Answer, own_hosts: &[String]) -> Self {
        let own = |host: &String| own_hosts.iter().any(|own| plain(own) == plain(host));
        match answer {
            Answer::Unknown(_) => Self::Unknown,
            Answer::Hosts(hosts) if hosts.iter().any(|host| !plain(host).is_empty()) => {
                if hosts.iter().all(own) { Self::Ours } else { Self::Others }
            }
            Answer::Hosts(_) | Answer::Nothing => Self::Nothing,
        }
    }
}

/// A domain that is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// Lower case.
    pub name: String,
    /// The environment that serves it.
    pub environment: String,
    /// The organisation that it belongs to.
    pub organisation: String,
    /// Since when it is active; `None` while it waits for its MX records.
    pub active_since: Option<Instant>,
    /// The last look.
    pub checked_at: Instant,
    /// What it said.
    pub verdict: Verdict,
    /// Hosts of the MX records, as far as they were known at the last look.
    pub exchangers: Vec<String>,
    /// Whether the provider index names this provider for it. Until it does, others take it for ordinary mail.
    pub indexed: bool,
}
impl Body for Watched {
    const TABLE: Table = Table::Registry;
    fn key(&self) -> RowKey {
        watched(&self.name)
    }
}

/// A mailbox of a domain, by its domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    address: Address,
    mailbox: MailboxId,
}
impl Member {
    pub(crate) fn of(mailbox: &Mailbox) -> Self {
        Self { address: mailbox.address.clone(), mailbox: mailbox.id.clone() }
    }
}
impl Body for Member {
    const TABLE: Table = Table::Registry;
    fn key(&self) -> RowKey {
        let pk = format!("domain#{}", self.address.domain());
        let local = local_part(&self.address).to_ascii_lowercase();
        RowKey { table: Table::Registry, pk, sk: format!("{MEMBER}{local}") }
    }
}

const MEMBER: &str = "mailbox#";
const WATCHED: &str = "domains";

fn watched(name: &str) -> RowKey {
    RowKey { table: Table::Registry, pk: WATCHED.to_owned(), sk: name.to_ascii_lowercase() }
}

/// Why nothing was changed. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum DomainError {
    /// Not a name.
    #[error("understand the domain: expected a name as pec.alfa.example")]
    Name,
    /// It would be both.
    #[error(
        "serve an ordinary domain: a domain is certified or ordinary, never both, and every mailbox here is certified"
    )]
    Ordinary,
    /// The index has it elsewhere.
    #[error("serve the domain: in the provider index it is {0}'s")]
    OfAnother(String),
    /// Another environment of ours has it.
    #[error("serve the domain: environment {0} serves it already")]
    OfAnotherEnvironment(String),
    /// Not here.
    #[error("find the domain: it is not served here")]
    NotHere,
    /// Somebody lives there.
    #[error("remove the domain: {0} mailboxes are in it, and letters to them are still owed an answer")]
    Inhabited(usize),
    /// PEC ids end in it.
    #[error("remove the domain: it is the provider mail domain of environment {0}")]
    OfProvider(String),
    /// The registry.
    #[error(transparent)]
    Stage(#[from] StageError),
}

/// A domain to be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDomain {
    /// Its name.
    pub name: String,
    /// The environment that is to serve it.
    pub environment: String,
    /// The organisation that it belongs to.
    pub organisation: String,
}

/// What was seen of a domain in DNS, and who is asking.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// What DNS said.
    pub answer: &'a Answer,
    /// The names of this provider's incoming points.
    pub own_hosts: &'a [String],
    /// When.
    pub at: Instant,
}

/// Takes a domain: it is active at once if its MX records are right, else with the first look that finds them so. Doing
/// it again is a look.
///
/// # Errors
/// [`DomainError`]
pub async fn add(rim: &Rim, wanted: &NewDomain, look: Look<'_>) -> Result<Watched, DomainError> {
    let name = named(&wanted.name)?;
    for _ in 0..RACES_MAX {
        // 1. Nobody else's, in the index or here.
        let environment = rim.environment(&wanted.environment).await?;
        let indexed = indexed(rim, &name, &environment)?;
        let domain = rim.read::<Domain>(&Domain::key_of(&name)).await?;
        if let Some(other) = domain.as_ref().filter(|found| found.value.environment != environment.id) {
            return Err(DomainError::OfAnotherEnvironment(other.value.environment.clone()));
        }

        // 2. One commit.
        let before = rim.read::<Watched>(&watched(&name)).await?;
        let now = Watched {
            name: name.clone(),
            environment: environment.id.clone(),
            organisation: wanted.organisation.clone(),
            active_since: before.as_ref().and_then(|found| found.value.active_since),
            checked_at: look.at,
            verdict: Verdict::Unknown,
            exchangers: Vec::new(),
            indexed,
        };
        let event = before.is_none().then_some(AuditEvent::DomainAdded);
        match write(rim, before, domain, now, look, event).await {
            Err(DomainError::Stage(StageError::Raced)) => {}
            other => return other,
        }
    }
    Err(StageError::Raced.into())
}

/// Looks at a domain: one that waits becomes active if its MX records are right; one that is active and has lost them
/// raises an alarm. A domain that the provider was made with is looked at every day from the first time on.
///
/// # Errors
/// [`DomainError`]
pub async fn check(rim: &Rim, name: &str, look: Look<'_>) -> Result<Watched, DomainError> {
    let name = named(name)?;
    for _ in 0..RACES_MAX {
        let before = rim.read::<Watched>(&watched(&name)).await?;
        let domain = rim.read::<Domain>(&Domain::key_of(&name)).await?;
        let (environment, organisation, active_since) = match (&before, &domain) {
            (Some(w), _) => (&w.value.environment, &w.value.organisation, w.value.active_since),
            (None, Some(d)) => (&d.value.environment, &d.value.organisation, Some(look.at)),
            (None, None) => return Err(DomainError::NotHere),
        };
        let now = Watched {
            name: name.clone(),
            environment: environment.clone(),
            organisation: organisation.clone(),
            active_since,
            checked_at: look.at,
            verdict: Verdict::Unknown,
            exchangers: before.as_ref().map(|found| found.value.exchangers.clone()).unwrap_or_default(),
            indexed: indexed(rim, &name, &rim.environment(environment).await?)?,
        };
        match write(rim, before, domain, now, look, None).await {
            Err(DomainError::Stage(StageError::Raced)) => {}
            other => return other,
        }
    }
    Err(StageError::Raced.into())
}

/// Removes a domain that has no mailboxes.
///
/// # Errors
/// [`DomainError`]
pub async fn remove(rim: &Rim, name: &str, now: Instant) -> Result<(), DomainError> {
    let name = named(name)?;
    for _ in 0..RACES_MAX {
        // The row of the domain before its mailboxes: who makes one in between replaces it, and we are too late.
        let domain = rim.read::<Domain>(&Domain::key_of(&name)).await?;
        let before = rim.read::<Watched>(&watched(&name)).await?;
        let mut draft = Draft::new();
        if let Some(domain) = &domain {
            let environment = rim.environment(&domain.value.environment).await?;
            if environment.mail_domain.eq_ignore_ascii_case(&name) {
                return Err(DomainError::OfProvider(environment.id));
            }
            let mailboxes = rim.all::<Member>(Table::Registry, &domain.value.key().pk, MEMBER).await?.len();
            if mailboxes > 0 {
                return Err(DomainError::Inhabited(mailboxes));
            }
            draft.delete(domain.value.key(), domain.version);
            let postmaster =
                Mailbox::postmaster(&environment, &domain.value).map_err(|_| DomainError::Name)?;
            if let Some(found) = rim.read::<Mailbox>(&postmaster.key()).await? {
                draft.delete(postmaster.key(), found.version);
            }
        }
        if let Some(before) = &before {
            draft.delete(before.value.key(), before.version);
        }
        if draft.items() == 0 {
            return Err(DomainError::NotHere);
        }
        note(rim, &mut draft, &name, AuditEvent::DomainRemoved, now).await?;
        match rim.commit(draft).await {
            Err(StageError::Raced) => {}
            other => return Ok(other?),
        }
    }
    Err(StageError::Raced.into())
}

/// The domains that are looked at, by name.
///
/// # Errors
/// [`StageError`]
pub async fn list(rim: &Rim) -> Result<Vec<Watched>, StageError> {
    Ok(rim.all::<Watched>(Table::Registry, WATCHED, "").await?.into_iter().map(|found| found.value).collect())
}

/// The names of those that were not looked at for a day.
///
/// # Errors
/// [`StageError`]
pub async fn due(rim: &Rim, now: Instant) -> Result<Vec<String>, StageError> {
    let old = |w: &Watched| now.unix_s().saturating_sub(w.checked_at.unix_s()) >= LOOK_EVERY_S;
    Ok(list(rim).await?.into_iter().filter(old).map(|w| w.name).collect())
}

/// What happened to a domain in a month (`yyyy-mm`, UTC).
///
/// # Errors
/// [`StageError`]
pub async fn history(rim: &Rim, name: &str, month: &str) -> Result<Vec<AuditEntry>, StageError> {
    let pk = AuditEntry::partition(&audited(&name.to_ascii_lowercase()), month);
    Ok(rim.all::<AuditEntry>(Table::Registry, &pk, "").await?.into_iter().map(|f| f.value).collect())
}

/// What was seen, the row of an active domain if it becomes one, and the audit entries, in one commit.
async fn write(
    rim: &Rim,
    before: Option<Found<Watched>>,
    domain: Option<Found<Domain>>,
    mut now: Watched,
    look: Look<'_>,
    event: Option<AuditEvent>,
) -> Result<Watched, DomainError> {
    let mut draft = Draft::new();
    now.verdict = Verdict::of(look.answer, look.own_hosts);
    match look.answer {
        Answer::Hosts(hosts) => now.exchangers = hosts.iter().take(HOSTS_MAX).map(|h| plain(h)).collect(),
        Answer::Nothing => now.exchangers = Vec::new(),
        Answer::Unknown(_) => {}
    }
    let mut events: Vec<AuditEvent> = event.into_iter().collect();
    if domain.is_some() {
        now.active_since = now.active_since.or(Some(look.at));
    } else if now.verdict == Verdict::Ours {
        now.active_since = Some(look.at);
        let Watched { name, environment, organisation, .. } = now.clone();
        let active = Domain { name, environment, organisation };
        draft.insert(&active, None).map_err(StageError::from)?;
        if let Some(postmaster) = postmaster(rim, &active).await? {
            draft.insert(&postmaster, None).map_err(StageError::from)?;
        }
        events.push(AuditEvent::DomainActivated);
    }
    let was = before.as_ref().map(|found| found.value.verdict);
    if now.active_since.is_some() && was.is_some_and(|was| was != now.verdict) {
        events.push(AuditEvent::DomainChanged);
    }
    match &before {
        Some(found) => draft.replace(found.version, &now, None).map_err(StageError::from)?,
        None => draft.insert(&now, None).map_err(StageError::from)?,
    }
    for event in events {
        note(rim, &mut draft, &now.name, event, look.at).await?;
    }
    rim.commit(draft).await?;
    alarm(&now);
    Ok(now)
}

/// The postmaster of a domain, where it is not there yet (RFC 5321 §4.5.1).
async fn postmaster(rim: &Rim, domain: &Domain) -> Result<Option<Mailbox>, DomainError> {
    let environment = rim.environment(&domain.environment).await?;
    let postmaster = Mailbox::postmaster(&environment, domain).map_err(|_| DomainError::Name)?;
    Ok(rim.read::<Mailbox>(&postmaster.key()).await?.is_none().then_some(postmaster))
}

fn alarm(now: &Watched) {
    let (domain, verdict) = (now.name.as_str(), now.verdict.name());
    match now.verdict {
        Verdict::Ours => {}
        Verdict::Unknown => tracing::warn!(domain, "DNS does not answer about a domain"),
        Verdict::Others | Verdict::Nothing if now.active_since.is_some() => {
            tracing::error!(
                alarm = "domain",
                domain,
                verdict,
                "the MX records of an active domain are not ours"
            );
        }
        Verdict::Others | Verdict::Nothing => {
            tracing::warn!(domain, verdict, "a domain waits for its MX records");
        }
    }
}

pub(crate) async fn note(
    rim: &Rim,
    draft: &mut Draft,
    name: &str,
    event: AuditEvent,
    at: Instant,
) -> Result<(), StageError> {
    let entry = AuditEntry::of_operator(&MailboxId(audited(name)), event, None, at);
    let before = rim.read::<AuditEntry>(&entry.key()).await?;
    let after = entry.after(before.as_ref().map(|found| &found.value));
    match before {
        Some(found) => draft.replace(found.version, &after, None)?,
        None => draft.insert(&after, None)?,
    }
    Ok(())
}

/// Whether the index names this environment for the domain.
fn indexed(rim: &Rim, name: &str, environment: &Environment) -> Result<bool, DomainError> {
    match rim.directory.index().by_domain(name) {
        Some(record) if record.id == environment.id => Ok(true),
        Some(record) => Err(DomainError::OfAnother(record.provider_name.clone())),
        None => Ok(false),
    }
}

/// What stands for a mailbox id in audit entries: no mailbox id has a colon.
fn audited(name: &str) -> String {
    format!("domain:{name}")
}

/// In lower case, if mail can be addressed to it and it is no top-level domain.
fn named(name: &str) -> Result<String, DomainError> {
    let label = |l: &str| {
        let inner = l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        (1..=63).contains(&l.len()) && inner && !l.starts_with('-') && !l.ends_with('-')
    };
    let is_name = name.len() <= 253 && name.contains('.') && name.split('.').all(label);
    if is_name { Ok(name.to_ascii_lowercase()) } else { Err(DomainError::Name) }
}

fn plain(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// What stands before the last `@`.
pub(crate) fn local_part(address: &Address) -> &str {
    address.as_str().rsplit_once('@').map_or("", |(local, _)| local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_domain_whose_records_all_name_us_is_ours() {
        let own = ["mx.gestore.example".to_owned()];
        let hosts = |hosts: &[&str]| Answer::Hosts(hosts.iter().map(|h| (*h).to_owned()).collect());
        for (answer, verdict) in [
            (hosts(&["MX.gestore.example."]), Verdict::Ours),
            (hosts(&["mx.gestore.example.", "mx.altri.example."]), Verdict::Others),
            (hosts(&["mx.altri.example."]), Verdict::Others),
            (hosts(&["."]), Verdict::Nothing),
            (hosts(&[]), Verdict::Nothing),
            (Answer::Nothing, Verdict::Nothing),
            (Answer::Unknown("timeout".to_owned()), Verdict::Unknown),
        ] {
            assert_eq!(Verdict::of(&answer, &own), verdict, "{answer:?}");
        }
    }

    #[test]
    fn names_are_domains() {
        assert_eq!(named("PEC.alfa.example").unwrap(), "pec.alfa.example");
        for bad in ["", "alfa", "pec..alfa", "-a.example", "a b.example", "*.alfa.example", "a@b.example"] {
            assert!(named(bad).is_err(), "{bad}");
        }
    }
}
