//! The use cases of a certified-mail provider: one file a stage, over ports (design §4).
//!
//! A stage reads, writes blobs, then commits once. The table is the truth, the queue is a hint. No stage knows
//! where it runs; none reads a clock or draws randomness but through [`Rim`].

pub mod accept;
pub mod accounts;
mod acts;
mod ahead;
mod bounds;
pub mod certify;
pub mod custody;
pub mod deliver;
pub mod dispatch;
pub mod domains;
pub mod door;
pub mod environments;
pub mod error;
pub mod ids;
pub mod issue;
pub mod jobs;
mod lay;
pub mod levels;
pub mod log;
pub mod mailbox;
mod origin;
pub mod ports;
pub mod rates;
pub mod receive;
pub mod registry;
pub mod rim;
pub mod rows;
mod scan;
pub mod seal;
pub mod sealing;
pub mod spread;
pub mod timekeeping;
pub mod watch;

pub use error::StageError;
pub use ids::{BlobKey, SpoolId};
pub use jobs::Job;
pub use rim::Rim;

/// How often a job is run anew when another copy was faster, before the queue has it again.
const RACES_MAX: usize = 5;

/// Runs one job. That its work is done already is success; running it again is always right.
///
/// # Errors
/// [`StageError`]; the debt stays, so the queue or `watch` brings the job again.
pub async fn run(rim: &Rim, job: &Job) -> Result<(), StageError> {
    let mut result = Err(StageError::Raced);
    for _ in 0..RACES_MAX {
        result = once(rim, job).await;
        if !matches!(result, Err(StageError::Raced)) {
            break;
        }
    }
    result
}

async fn once(rim: &Rim, job: &Job) -> Result<(), StageError> {
    match job {
        // The large ones each in a box of its own size: a job takes no more room than it needs.
        Job::Accept { spool } => Box::pin(accept::accept(rim, spool)).await,
        Job::Seal { act } => Box::pin(seal::seal(rim, act)).await,
        Job::Certify { act } => Box::pin(certify::certify(rim, act)).await,
        Job::Receive { spool } => Box::pin(receive::receive(rim, spool)).await,
        Job::ReceiveOwn { dispatch } => Box::pin(receive::receive_own(rim, dispatch)).await,
        Job::Deliver { mailbox, filing } => {
            let filed = Box::pin(deliver::batch(rim, mailbox, std::slice::from_ref(filing))).await.pop();
            filed.unwrap_or(Ok(()))
        }
        Job::Dispatch { dispatch } => Box::pin(dispatch::dispatch(rim, dispatch)).await,
        Job::Spread { head } => spread::spread(rim, head).await,
        Job::Deadline { recipient } => watch::deadline(rim, recipient).await,
        Job::Pack { row } => Box::pin(mailbox::pack(rim, row)).await,
        Job::Discard { row } => mailbox::discard(rim, row).await,
    }
}
