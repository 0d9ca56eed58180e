//! Chance that is the same in every run of a seed.

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The sequence of a seed.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `0..sides`.
    ///
    /// # Panics
    /// Without sides.
    pub fn below(&mut self, sides: usize) -> usize {
        usize::try_from(self.roll() % sides as u64).expect("below a usize")
    }

    /// Seconds of a span, both ends among them.
    pub fn seconds(&mut self, from: i64, to: i64) -> i64 {
        let span = u64::try_from(to - from + 1).expect("a span");
        from + i64::try_from(self.roll() % span).expect("below a span")
    }

    /// So many times of a thousand.
    pub fn happens(&mut self, of_thousand: u64) -> bool {
        self.roll() % 1000 < of_thousand
    }

    /// One of these.
    ///
    /// # Panics
    /// If there are none.
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Puts them in some order.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for n in (1..all.len()).rev() {
            all.swap(n, self.below(n + 1));
        }
    }
}
