//! The function `watch`: deadlines, retries, what is overdue. Fed by queue `watch`, and by a tick each minute.

use aws::function::{Error, Name, Parts, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(Name::Watch, Parts::default()).await
}
