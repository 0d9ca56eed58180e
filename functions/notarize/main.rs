//! The function `notarize`: copies the legal log to the vault, raises an alarm for what is altered, and seals it each
//! day. Fed by the log's stream, and by a tick each hour.

use aws::function::{Error, Name, Parts, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(Name::Notarize, Parts::default()).await
}
