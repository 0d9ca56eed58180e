//! The function `deliver`: the delivery point: files messages in mailboxes. Fed by queue `deliver`, FIFO by mailbox.

use aws::function::{Error, Name, Parts, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(Name::Deliver, Parts::default()).await
}
