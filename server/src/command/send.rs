//! `sigillo send`: submits a letter and follows it to its last receipt.

mod follow;

use std::{path::Path, time::Duration};

use aws_lc_rs::rand;
use bytes::Bytes;
use serde::Serialize;

use self::follow::Follower;
use super::{CommandError, PENDING, client::Client, now, print_json};
use crate::{
    cli::Send,
    folder::{Folder, read_bounded},
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
    let letter = letter::prepare(&octets, &addressing, now(), unique()?)
        .map_err(|error| unusable(&args.file, &format!("failed to {error}")))?;

    // 2. Submission. The mailbox is looked at before, so that only what comes after it is read later.
    let client = Client::open(&Folder::new(&args.data.data), &args.from)?;
    let mut follower = Follower::new(&client, args.data.json)?;
    let key = args.idempotency_key.as_deref();
    let submitted = client.submit(&letter.transaction, &letter.message, key)?;
    follower.say(&format!("submitted        {}", submitted.pec_id));

    // 3. Its way.
    let seen = follower.follow(&submitted.pec_id, Duration::from_secs(args.wait_s))?;
    let state = state(seen.progress.as_ref(), seen.complete);
    let reason = seen.reasons.first().map(|(_, reason)| reason.clone());
    if state == State::Refused {
        let reason = reason.as_deref().unwrap_or("see the notice in the mailbox");
        eprintln!("sigillo: the letter was not accepted: {}", printable(reason));
    }
    if args.data.json {
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

fn unique() -> Result<u128, CommandError> {
    let mut octets = [0; 16];
    rand::fill(&mut octets).map_err(|_| CommandError::Provider("no randomness".to_owned()))?;
    Ok(u128::from_be_bytes(octets))
}
