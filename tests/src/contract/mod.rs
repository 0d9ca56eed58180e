//! The contract suite: what `stages::ports` says in words, as cases that take any implementation.
//!
//! An implementation runs all of them with one line in a test file of this crate, which names an async function
//! that makes a fresh, empty port:
//!
//! ```text
//! async fn facts() -> Fresh<dyn Facts> { Fresh::new(Arc::new(MemoryFacts::default())) }
//! sigillo_tests::facts_contract!(facts);
//! sigillo_tests::blobs_contract!(blobs);
//! ```

use std::{any::Any, ops::Deref, sync::Arc};

pub mod blobs;
pub mod facts;

/// A fresh, empty port, with what must live as long as it (a folder, a server).
pub struct Fresh<T: ?Sized> {
    port: Arc<T>,
    _keep: Box<dyn Any + Send + Sync>,
}

impl<T: ?Sized> Fresh<T> {
    /// A port that needs nothing else.
    #[must_use]
    pub fn new(port: Arc<T>) -> Self {
        Self::with(port, ())
    }

    /// A port, and what is dropped after it.
    #[must_use]
    pub fn with(port: Arc<T>, keep: impl Any + Send + Sync) -> Self {
        Self { port, _keep: Box::new(keep) }
    }
}

impl<T: ?Sized> Deref for Fresh<T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        &self.port
    }
}

/// One test for each case of a module.
#[doc(hidden)]
#[macro_export]
macro_rules! contract_cases {
    ($module:ident, $fresh:ident, [$($case:ident),* $(,)?]) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let fresh = super::$fresh().await;
                    $crate::contract::$module::$case(std::sync::Arc::clone(&fresh)).await;
                }
            )*
        }
    };
}
