//! The function `accept`: the access point: a submitted message becomes a letter, or is refused. Fed by queue `accept`.

use std::sync::Arc;

use aws::function::{Error, Name, Parts, run};
use machine::BuiltinScanner;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    // Where no clamd is named. It knows the EICAR test file, and says so in every log entry.
    let scanner = Arc::new(BuiltinScanner::new("")?);
    run(Name::Accept, Parts { scanner, ..Parts::default() }).await
}
