//! The function `certify`: composes and signs receipts and notices. Fed by queue `certify`.

use aws::function::{Error, Name, Parts, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(Name::Certify, Parts::default()).await
}
