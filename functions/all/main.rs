//! Every function in one binary, for tests: which one it is, `SIGILLO_FUNCTION` says, or the handler that Lambda names.

use std::sync::Arc;

use aws::function::{Error, Name, Parts, run};
use machine::BuiltinScanner;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    // It knows the EICAR test file and says so in every log entry; a provider brings a real one.
    let scanner = Arc::new(BuiltinScanner::new("")?);
    run(Name::from_env()?, Parts { scanner, ..Parts::default() }).await
}
