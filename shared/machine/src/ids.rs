//! Randomness.

use std::sync::{Mutex, PoisonError};

use aws_lc_rs::rand;
use stages::ports::Ids;

/// The crypto library's random generator, drawn in blocks: it is asked for a seed with every act.
#[derive(Debug, Default)]
pub struct RandomIds {
    block: Mutex<Vec<u128>>,
}

impl RandomIds {
    /// With nothing drawn yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { block: Mutex::new(Vec::new()) }
    }
}

impl Ids for RandomIds {
    #[allow(
        clippy::panic,
        reason = "without randomness nothing may go on: an id that repeats would merge two letters"
    )]
    fn fresh(&self) -> u128 {
        let mut block = self.block.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = block.pop() {
            return one;
        }
        let mut bytes = [0; 16 * 64];
        if rand::fill(&mut bytes).is_err() {
            panic!("the random generator gives nothing");
        }
        block.extend(bytes.as_chunks::<16>().0.iter().map(|b| u128::from_be_bytes(*b)));
        block.pop().unwrap_or_default()
    }
}
