//! Pseudo-random numbers that are the same on every platform and in every version.

/// SplitMix64. Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators"
/// (2014); constants as in Java's `SplittableRandom`.
#[derive(Debug, Clone)]
pub struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Number `index` of the sequence of `seed`, without those before it.
    pub fn at(seed: u64, index: u64) -> u64 {
        let steps = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self::new(seed.wrapping_add(steps)).next()
    }

    /// The next number, any of 2^64.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    #[inline]
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 if that is 0. The bias is below `bound` / 2^64.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        scale(self.next(), bound)
    }

    /// A number in [0, 1) with 53 random bits.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        unit(self.next())
    }
}

/// Maps a random number to one below `bound`.
#[inline]
pub fn scale(random: u64, bound: u64) -> u64 {
    ((u128::from(random) * u128::from(bound)) >> 64) as u64
}

/// Maps a random number to [0, 1).
#[inline]
pub fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sequence() {
        let mut random = SplitMix64::new(1_234_567);
        let numbers: Vec<u64> = (0..3).map(|_| random.next()).collect();
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(numbers, published);
        assert_eq!(SplitMix64::at(1_234_567, 2), published[2]);
    }

    #[test]
    fn stays_in_bounds() {
        let mut random = SplitMix64::new(7);
        for bound in [0, 1, 2, 10, u64::MAX] {
            for _ in 0..100 {
                assert!(random.below(bound) < bound.max(1));
                assert!((0.0..1.0).contains(&random.unit()));
            }
        }
    }
}
