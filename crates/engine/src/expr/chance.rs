//! `UUID()`, `RAND()` and `RAND_INTEGER()`.
//!
//! Without a seed of their own they draw from the batch's. With one they are a sequence that goes on
//! from row to row and begins anew with the process, on each shard, as Flink's on each subtask.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Float64Array, Int32Array, StringBuilder};
use datafusion::common::ScalarValue;
use millstream_core::{Error, Result};

use crate::function::{Args, Kernel};

/// A sequence of random numbers.
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
#[derive(Debug, Clone, Copy)]
pub struct SplitMix(u64);

impl SplitMix {
    /// The sequence that `seed` begins.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The sequence of `java.util.Random`.
/// Source: its documentation, which fixes the algorithm.
struct JavaRandom(u64);

const JAVA_FACTOR: u64 = 0x5_deec_e66d;
const JAVA_MASK: u64 = (1 << 48) - 1;
/// 2^-53: what the lowest of the 53 digits of a double in [0, 1) stands for.
const DOUBLE_UNIT: f64 = 1.0 / (1u64 << 53) as f64;

impl JavaRandom {
    fn new(seed: i64) -> Self {
        Self((seed.cast_unsigned() ^ JAVA_FACTOR) & JAVA_MASK)
    }

    fn bits(&mut self, count: u32) -> u64 {
        self.0 = self.0.wrapping_mul(JAVA_FACTOR).wrapping_add(0xb) & JAVA_MASK;
        self.0 >> (48 - count)
    }

    fn double(&mut self) -> f64 {
        let high = self.bits(26) << 27;
        (high + self.bits(27)) as f64 * DOUBLE_UNIT
    }

    /// A number from 0 to `bound - 1`; `bound` is positive.
    fn below(&mut self, bound: i32) -> i32 {
        let wide = i64::from(bound);
        loop {
            let drawn = self.bits(31).cast_signed();
            if bound & (bound - 1) == 0 {
                return narrow((wide * drawn) >> 31);
            }
            // The last, incomplete run of numbers would favour the small ones.
            let rest = drawn % wide;
            if drawn - rest + (wide - 1) <= i64::from(i32::MAX) {
                return narrow(rest);
            }
        }
    }
}

fn narrow(number: i64) -> i32 {
    i32::try_from(number).expect("it is below an INT")
}

/// What draws the numbers of a call for one batch.
enum Drawn<'a> {
    Batch(SplitMix),
    Own(std::sync::MutexGuard<'a, JavaRandom>),
}

impl Drawn<'_> {
    fn double(&mut self) -> f64 {
        match self {
            Self::Batch(chance) => (chance.draw() >> 11) as f64 * DOUBLE_UNIT,
            Self::Own(random) => random.double(),
        }
    }

    fn below(&mut self, bound: i32) -> i32 {
        match self {
            Self::Batch(chance) => {
                let drawn = i64::from(u32::try_from(chance.draw() >> 32).expect("32 bits"));
                narrow((drawn * i64::from(bound)) >> 32)
            }
            Self::Own(random) => random.below(bound),
        }
    }
}

/// The kernel of `function`; its last two arguments are the call's number and the batch's seed.
pub(super) fn kernel(function: &str, constants: &[Option<ScalarValue>]) -> Result<Kernel> {
    let given = constants.len() - 2;
    let own_seed = match (function, given) {
        ("RAND", 1) | ("RAND_INTEGER", 2) => Some(seed(constants)?),
        _ => None,
    };
    let own = own_seed.map(|seed| Mutex::new(JavaRandom::new(seed)));
    Ok(match function {
        "UUID" => Arc::new(move |args| {
            let mut chance = number_and_seed(args)?;
            Ok(uuids(&mut chance, args.rows))
        }),
        "RAND" => Arc::new(move |args| {
            let mut drawn = sequence(own.as_ref(), args)?;
            let values = (0..args.rows).map(|_| drawn.double());
            Ok(Arc::new(Float64Array::from_iter_values(values)))
        }),
        _ => Arc::new(move |args| {
            let mut drawn = sequence(own.as_ref(), args)?;
            let bounds = args.longs(given - 1)?;
            let values = (0..args.rows).map(|row| {
                let bound = i32::try_from(bounds.get(row)?).ok();
                Some(drawn.below(bound.filter(|bound| *bound > 0)?))
            });
            Ok(Arc::new(values.collect::<Int32Array>()))
        }),
    })
}

fn sequence<'a>(own: Option<&'a Mutex<JavaRandom>>, args: &Args<'_>) -> Result<Drawn<'a>> {
    Ok(match own {
        Some(own) => Drawn::Own(own.lock().expect("no panic while locked")),
        None => Drawn::Batch(number_and_seed(args)?),
    })
}

/// What the call draws from for this batch.
fn number_and_seed(args: &Args<'_>) -> Result<SplitMix> {
    let last = args.values.len() - 1;
    let (number, seed) = (args.longs(last - 1)?, args.longs(last)?);
    let (number, seed) = match args.rows {
        0 => (None, None),
        _ => (number.get(0), seed.get(0)),
    };
    let mut mixed = SplitMix::new(number.unwrap_or_default().cast_unsigned());
    Ok(SplitMix::new(
        mixed.draw() ^ seed.unwrap_or_default().cast_unsigned(),
    ))
}

/// The constant seed, which is the first argument; null is 0.
fn seed(constants: &[Option<ScalarValue>]) -> Result<i64> {
    match &constants[0] {
        Some(ScalarValue::Int64(seed)) => Ok(seed.unwrap_or_default()),
        Some(ScalarValue::Int32(seed)) => Ok(i64::from(seed.unwrap_or_default())),
        found => Err(Error::bug(format!(
            "seed: found {found:?}, expected a constant"
        ))),
    }
}

/// Random (version 4) UUIDs as text. Source: RFC 9562, section 5.4.
fn uuids(chance: &mut SplitMix, rows: usize) -> ArrayRef {
    let mut texts = StringBuilder::with_capacity(rows, rows * 36);
    for _ in 0..rows {
        let (high, low) = (chance.draw(), chance.draw());
        let (version, variant) = (0x4000 | (high & 0x0fff), 0x8000 | (low >> 48 & 0x3fff));
        let (first, second, last) = (high >> 32, high >> 16 & 0xffff, low & 0xffff_ffff_ffff);
        write!(
            texts,
            "{first:08x}-{second:04x}-{version:04x}-{variant:04x}-{last:012x}"
        )
        .expect("a builder takes everything");
        texts.append_value("");
    }
    Arc::new(texts.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that `java.util.Random` is documented to give.
    #[test]
    fn the_sequence_of_java() {
        let mut random = JavaRandom::new(42);
        assert_eq!(random.double(), 0.727_563_680_032_868_1);
        let mut random = JavaRandom::new(0);
        let drawn: Vec<i32> = (0..5).map(|_| random.below(10)).collect();
        assert_eq!(drawn, [0, 8, 9, 7, 5]);
    }

    #[test]
    fn uuids_are_of_version_4_and_different() {
        let texts = uuids(&mut SplitMix::new(7), 100);
        let texts = arrow::array::AsArray::as_string::<i32>(&texts);
        let mut all: Vec<&str> = texts.iter().flatten().collect();
        for text in &all {
            let parts: Vec<usize> = text.split('-').map(str::len).collect();
            assert_eq!(parts, [8, 4, 4, 4, 12], "{text}");
            assert_eq!(&text[14..15], "4");
            assert!(["8", "9", "a", "b"].contains(&&text[19..20]), "{text}");
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 100);
    }
}
