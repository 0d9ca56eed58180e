//! The function `directory`: the national provider index, fetched daily. A schedule ticks it each hour.

use aws::function::{Error, Name, Parts, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(Name::Directory, Parts::default()).await
}
