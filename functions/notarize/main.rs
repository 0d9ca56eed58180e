//! The function `notarize`: copies the legal log to the vault, and raises an alarm for what is altered. Fed by the log's stream.

use aws::function::{Error, Name, Parts, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(Name::Notarize, Parts::default()).await
}
