//! Choices from a seed.

use crate::env::SplitMix;

/// Decides what is generated.
#[derive(Debug, Clone)]
pub struct Chance(SplitMix);

impl Chance {
    /// All choices follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(SplitMix::new(seed))
    }

    /// A seed for something that chooses by itself.
    pub fn seed(&mut self) -> u64 {
        self.0.next()
    }

    /// A number from 0, below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.0.below(bound as u64)).expect("it is below a usize")
    }

    /// A number from `least` to `most`.
    pub fn between(&mut self, least: i64, most: i64) -> i64 {
        let bound = u64::try_from(most - least + 1).expect("the least is not above the most");
        least + i64::try_from(self.0.below(bound)).expect("bounds are small")
    }

    /// Yes, once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of `items`.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// One of some texts.
    pub fn text(&mut self, texts: &[&'static str]) -> &'static str {
        texts[self.below(texts.len())]
    }
}
