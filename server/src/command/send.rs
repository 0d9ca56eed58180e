//! `sigillo send`: submits a letter and follows it to its last receipt.

mod follow;

use std::{
    fs,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use aws_lc_rs::rand;
use bytes::Bytes;
use pec::Instant;
use serde::Serialize;

use self::follow::Follower;
use super::{CommandError, PENDING, now, print_json, reach};
use crate::{
    cli::Send,
    folder::read_bounded,
    http::wire::{Message, Outcome, Progress, Submitted},
    letter::{self, Addressing},
    text::printable,
};

/// Larger files are no letters: the door's technical bound is lower.
const FILE_BYTES_MAX: u64 = 512 << 20;

/// How it ended, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// To every certified recipient.
    Delivered,
    /// Not accepted.
    Refused,
    /// Not to every certified recipient.
    NotDelivered,
    /// Accepted or not yet looked at; the wait ended before.
    Pending,
}

impl State {
    const fn exit_code(self) -> u8 {
        match self {
            Self::Delivered => 0,
            Self::Refused | Self::NotDelivered => 1,
            Self::Pending => PENDING,
        }
    }
}

/// The JSON of `sigillo send`.
#[derive(Debug, Serialize)]
struct Sent<'s> {
    #[serde(flatten)]
    submitted: &'s Submitted,
    state: State,
    /// Why it is refused, or was not delivered: `errore-esteso` of the notice.
    reason: Option<String>,
    /// The last that was heard.
    progress: Option<Progress>,
    /// Receipts and notices in the sender's mailbox.
    receipts: Vec<Message>,
}

/// Submits, follows, prints.
///
/// # Errors
/// [`CommandError`]
pub fn run(args: &Send) -> Result<u8, CommandError> {
    // 1. The letter.
    let octets = Bytes::from(read_bounded(&args.file, FILE_BYTES_MAX).map_err(|e| unusable(&args.file, &e))?);
    let addressing = Addressing { from: args.from.clone(), to: args.to.clone(), cc: args.cc.clone() };
    let (at, unique) = added(args)?;
    let letter = letter::prepare(&octets, &addressing, at, unique)
        .map_err(|error| unusable(&args.file, &format!("failed to {error}")))?;

    // 2. Submission. The mailbox is looked at before, so that only what comes after it is read later.
    let account = reach::open(&args.provider, &args.from)?;
    let key = args.idempotency_key.as_deref();
    let mut follower = Follower::new(account.as_ref(), key.is_some(), args.provider.json)?;
    let submitted = account.submit(&letter.transaction, &letter.message, key)?;
    follower.say(&format!("submitted        {}", submitted.pec_id));

    // 3. Its way.
    let seen = follower.follow(&submitted.pec_id, Duration::from_secs(args.wait_s))?;
    let state = state(seen.progress.as_ref(), seen.complete);
    let reason = seen.reasons.first().map(|(_, reason)| reason.clone());
    if state == State::Refused {
        let reason = reason.as_deref().unwrap_or("see the notice in the mailbox");
        eprintln!("sigillo: the letter was not accepted: {}", printable(reason));
    }
    if args.provider.json {
        let (progress, receipts) = (seen.progress, seen.receipts);
        print_json(&Sent { submitted: &submitted, state, reason, progress, receipts })?;
    } else if state == State::Pending {
        follower.say("still under way: the receipts will be in the mailbox");
    }
    Ok(state.exit_code())
}

/// `complete` says that every receipt that will come is in the mailbox.
fn state(progress: Option<&Progress>, complete: bool) -> State {
    let Some(progress) = progress else { return State::Pending };
    if progress.refused.is_some() {
        return State::Refused;
    }
    let failed = |outcome: Option<Outcome>| {
        matches!(outcome, Some(Outcome::Failed | Outcome::Virus | Outcome::Expired))
    };
    if progress.recipients.iter().any(|r| r.certified && failed(r.outcome)) {
        return State::NotDelivered;
    }
    if complete { State::Delivered } else { State::Pending }
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> CommandError {
    CommandError::File { path: path.to_owned(), why: why.to_string() }
}

/// What Date and Message-ID are made from where the file lacks them. Under an idempotency key the same file makes the
/// same octets again: they are then of the file and of the key.
fn added(args: &Send) -> Result<(Instant, u128), CommandError> {
    let mut octets = [0; 16];
    let at = match &args.idempotency_key {
        None => {
            rand::fill(&mut octets).map_err(|_| CommandError::Provider("no randomness".to_owned()))?;
            now()
        }
        Some(key) => {
            let digest = smime::sha256([args.from.as_str(), "\0", key]);
            octets.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
            modified(&args.file).map_err(|error| unusable(&args.file, &error))?
        }
    };
    Ok((at, u128::from_be_bytes(octets)))
}

fn modified(path: &Path) -> std::io::Result<Instant> {
    let since = fs::metadata(path)?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Instant::from_unix_s(i64::try_from(since.as_secs()).unwrap_or(i64::MAX)))
}
