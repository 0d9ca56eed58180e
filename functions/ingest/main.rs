//! The function `ingest`: what SES stored becomes a spool entry. Fed by the queue of SES events.

use aws::function::{Error, Name, Parts, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(Name::Ingest, Parts::default()).await
}
