//! The function `seal`: signs transport envelopes. Fed by queue `seal`.

use aws::function::{Error, Name, Parts, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(Name::Seal, Parts::default()).await
}
