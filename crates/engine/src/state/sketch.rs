//! APPROX_COUNT_DISTINCT: HyperLogLog with 2^14 registers, a standard error of 0.8 %.
//!
//! A group keeps the hashes themselves until there are more than [`SPARSE_MAX`] (so small numbers
//! are exact), then the registers: 16 KiB, however many values follow. Both only ever grow, so states
//! can be merged in any order and any number of times.
//! Source: P. Flajolet et al., "HyperLogLog" (2007); the estimate as in O. Ertl, "New cardinality
//! estimation algorithms for HyperLogLog sketches" (2017), algorithm 6, which needs no tables.
//!
//! A state as bytes: 0 and the hashes in ascending order, 8 bytes each, little-endian; or 1 and the
//! registers, a byte each.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array};
use arrow::datatypes::DataType;
use millstream_core::{Error, Result};
use xxhash_rust::xxh3::xxh3_64;

use super::accumulator::{Accumulator, Input};
use super::group_table::KeyEncoder;

/// Bits of a hash that choose the register.
const INDEX_BITS: u32 = 14;
const REGISTERS: usize = 1 << INDEX_BITS;
/// Bits of a hash that are left: the largest rank is one more.
const RANK_BITS: usize = 64 - INDEX_BITS as usize;
/// Most hashes that are kept as they are.
const SPARSE_MAX: usize = 1_024;

/// An accumulator for values of this type.
pub fn accumulator(argument: &DataType) -> Result<Box<dyn Accumulator>> {
    Ok(Box::new(ApproxCountDistinct {
        encoder: KeyEncoder::new(vec![argument.clone()])?,
        groups: vec![],
        sketch_bytes: 0,
    }))
}

struct ApproxCountDistinct {
    encoder: KeyEncoder,
    groups: Vec<Sketch>,
    sketch_bytes: usize,
}

#[derive(Debug, Clone)]
enum Sketch {
    /// Hashes in ascending order.
    Sparse(Vec<u64>),
    Dense(Box<[u8]>),
}

impl Default for Sketch {
    fn default() -> Self {
        Self::Sparse(vec![])
    }
}

impl Sketch {
    fn insert(&mut self, hash: u64) {
        match self {
            Self::Sparse(hashes) => {
                if let Err(at) = hashes.binary_search(&hash) {
                    hashes.insert(at, hash);
                }
                if hashes.len() > SPARSE_MAX {
                    let mut registers = vec![0; REGISTERS].into_boxed_slice();
                    hashes.iter().for_each(|hash| note(&mut registers, *hash));
                    *self = Self::Dense(registers);
                }
            }
            Self::Dense(registers) => note(registers, hash),
        }
    }

    fn merge(&mut self, state: &[u8]) -> Result<()> {
        match state.split_first() {
            None => {}
            Some((0, hashes)) => {
                let hashes = hashes.chunks_exact(8);
                hashes.for_each(|hash| {
                    self.insert(u64::from_le_bytes(hash.try_into().expect("chunks of 8")));
                });
            }
            Some((1, other)) if other.len() == REGISTERS => {
                if let Self::Sparse(hashes) = self {
                    let mut registers: Box<[u8]> = other.into();
                    hashes.iter().for_each(|hash| note(&mut registers, *hash));
                    *self = Self::Dense(registers);
                } else if let Self::Dense(registers) = self {
                    let pairs = registers.iter_mut().zip(other);
                    pairs.for_each(|(register, other)| *register = (*register).max(*other));
                }
            }
            Some((kind, _)) => {
                let message = format!("state of kind {kind} in APPROX_COUNT_DISTINCT");
                return Err(Error::corrupt(message));
            }
        }
        Ok(())
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Sparse(hashes) => {
                out.push(0);
                hashes
                    .iter()
                    .for_each(|hash| out.extend(hash.to_le_bytes()));
            }
            Self::Dense(registers) => {
                out.push(1);
                out.extend_from_slice(registers);
            }
        }
    }

    fn estimate(&self) -> i64 {
        match self {
            Self::Sparse(hashes) => i64::try_from(hashes.len()).expect("at most SPARSE_MAX"),
            Self::Dense(registers) => estimate(registers),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Sparse(hashes) => hashes.capacity() * 8,
            Self::Dense(_) => REGISTERS,
        }
    }
}

/// The register that `hash` chooses holds the largest rank: the zeros before the first one of the
/// hash's other bits, plus one.
fn note(registers: &mut [u8], hash: u64) {
    let register = usize::try_from(hash >> RANK_BITS).expect("14 bits");
    let rest = (hash << INDEX_BITS) | (1 << (INDEX_BITS - 1));
    let rank = u8::try_from(rest.leading_zeros() + 1).expect("at most 51");
    registers[register] = registers[register].max(rank);
}

fn estimate(registers: &[u8]) -> i64 {
    let mut counts = [0.0_f64; RANK_BITS + 2];
    registers
        .iter()
        .for_each(|rank| counts[usize::from(*rank)] += 1.0);
    let m = 16_384.0_f64;
    let mut z = m * tau(1.0 - counts[RANK_BITS + 1] / m);
    for count in counts[1..=RANK_BITS].iter().rev() {
        z = 0.5 * (z + count);
    }
    z += m * sigma(counts[0] / m);
    let estimate = m * m / (2.0 * std::f64::consts::LN_2 * z);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, far above any count"
    )]
    let rounded = estimate.round() as i64;
    rounded
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

impl Accumulator for ApproxCountDistinct {
    fn resize(&mut self, groups: usize) {
        self.groups.resize_with(groups, Sketch::default);
    }

    fn update(&mut self, input: &Input<'_>, groups: &[u32]) -> Result<()> {
        let column = input.column()?;
        let columns = std::slice::from_ref(column);
        let keys = self.encoder.encode(columns, &[0], column.len())?;
        let (sketches, bytes) = (&mut self.groups, &mut self.sketch_bytes);
        input.for_each(groups, |row, group| {
            let sketch = &mut sketches[group];
            *bytes -= sketch.size();
            sketch.insert(xxh3_64(keys.get(row)));
            *bytes += sketch.size();
        });
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Binary]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let states = groups.iter().map(|group| {
            let mut state = vec![];
            self.groups[*group as usize].write(&mut state);
            state
        });
        Ok(vec![Arc::new(BinaryArray::from_iter_values(states))])
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let states = state[0].as_binary::<i32>();
        for (row, group) in groups.iter().enumerate() {
            let sketch = &mut self.groups[*group as usize];
            self.sketch_bytes -= sketch.size();
            sketch.merge(states.value(row))?;
            self.sketch_bytes += sketch.size();
        }
        Ok(())
    }

    /// A sketch only ever grows, so the newest state holds the older ones.
    fn restore(&mut self, state: &[ArrayRef], groups: &[u32]) -> Result<()> {
        self.merge(state, groups)
    }

    fn finish(&self, groups: &[u32]) -> Result<ArrayRef> {
        let counts = groups
            .iter()
            .map(|group| self.groups[*group as usize].estimate());
        Ok(Arc::new(Int64Array::from_iter_values(counts)))
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Sketch>() + self.sketch_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_close_and_small_counts_exact() {
        for (count, allowed) in [
            (0, 0.0),
            (1, 0.0),
            (1_000, 0.0),
            (1_025, 0.02),
            (50_000, 0.02),
            (2_000_000, 0.02),
        ] {
            let mut sketch = Sketch::default();
            for value in 0..count {
                sketch.insert(xxh3_64(&i64::to_le_bytes(value)));
            }
            let error = (sketch.estimate() - count).abs() as f64;
            assert!(error <= count as f64 * allowed, "{count}: off by {error}");
        }
    }

    #[test]
    fn halves_that_overlap_merge_to_the_whole() {
        for count in [10_u64, 900, 1_500, 40_000] {
            let hash = |value: u64| xxh3_64(&value.to_le_bytes());
            let mut parts = [Sketch::default(), Sketch::default(), Sketch::default()];
            (0..count).for_each(|value| parts[0].insert(hash(value)));
            (0..count * 2 / 3).for_each(|value| parts[1].insert(hash(value)));
            (count / 3..count).for_each(|value| parts[2].insert(hash(value)));
            let [whole, mut left, right] = parts;
            let mut state = vec![];
            right.write(&mut state);
            left.merge(&state).unwrap();
            left.merge(&state).unwrap();
            assert_eq!(left.estimate(), whole.estimate(), "{count}");
        }
        assert!(Sketch::default().merge(&[7]).is_err());
    }
}
