//! The function `dispatch`: sends to other systems. Fed by queue `dispatch`.

use aws::function::{Error, Name, Parts, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(Name::Dispatch, Parts::default()).await
}
