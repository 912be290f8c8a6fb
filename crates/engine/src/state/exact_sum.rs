//! Sums of doubles that do not depend on the order of the terms.
//!
//! Floating-point addition is not associative: a plain sum over shards, batches or after a restart
//! differs in the last digits. [`ExactSum`] keeps the sum without any rounding, as a list of doubles
//! whose bits do not overlap, and rounds once when it is read.
//! Source: J. R. Shewchuk, "Adaptive Precision Floating-Point Arithmetic and Fast Robust Geometric
//! Predicates" (1997), section 2.4; final rounding as in Python's `math.fsum`.

/// An exact sum. Terms of like magnitude need two or three parts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExactSum {
    /// Non-overlapping, in order of increasing magnitude.
    parts: Vec<f64>,
    /// The sum of the terms that are infinite or not a number, which have no exact sum.
    special: Option<f64>,
}

impl ExactSum {
    /// Adds a term.
    pub fn add(&mut self, term: f64) {
        if !term.is_finite() {
            self.special = Some(self.special.unwrap_or(0.0) + term);
            return;
        }
        let mut carry = term;
        let mut kept = 0;
        for index in 0..self.parts.len() {
            let (sum, error) = two_sum(carry, self.parts[index]);
            // A sum that leaves the range of doubles has no finite error.
            if error != 0.0 && sum.is_finite() {
                self.parts[kept] = error;
                kept += 1;
            }
            carry = sum;
        }
        self.parts.truncate(kept);
        if carry.is_finite() {
            self.parts.push(carry);
        } else {
            // The sum itself left the range of doubles.
            self.special = Some(self.special.unwrap_or(0.0) + carry);
        }
    }

    /// Adds every term of the other sum.
    pub fn merge(&mut self, parts: impl IntoIterator<Item = f64>) {
        for part in parts {
            self.add(part);
        }
    }

    /// Doubles whose exact sum is this one.
    pub fn parts(&self) -> impl Iterator<Item = f64> + '_ {
        self.parts.iter().copied().chain(self.special)
    }

    /// The sum, rounded once, to the nearest double, ties to even.
    pub fn value(&self) -> f64 {
        if let Some(special) = self.special {
            return special;
        }
        let mut rest = self.parts.iter().rev().copied();
        let Some(mut high) = rest.next() else {
            return 0.0;
        };
        let mut low = 0.0;
        for part in rest.by_ref() {
            let (sum, error) = two_sum(high, part);
            high = sum;
            low = error;
            if low != 0.0 {
                break;
            }
        }
        // Exactly half way: the next part decides, where rounding to even might have been wrong.
        if let Some(next) = rest.next()
            && ((low < 0.0 && next < 0.0) || (low > 0.0 && next > 0.0))
        {
            let doubled = low * 2.0;
            let rounded = high + doubled;
            if doubled == rounded - high {
                return rounded;
            }
        }
        high
    }
}

/// Sum and rounding error of two doubles.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let (large, small) = if a.abs() < b.abs() { (b, a) } else { (a, b) };
    let sum = large + small;
    (sum, small - (sum - large))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(terms: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        sum.merge(terms.iter().copied());
        sum.value()
    }

    #[test]
    fn rounds_once() {
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[1e100, 1.0, -1e100]), 1.0);
        assert_eq!(sum(&[1.0, 1e-16, 1e-16]), 1.000_000_000_000_000_2);
        assert_eq!(sum(&[]), 0.0);
        assert_eq!(sum(&[f64::INFINITY, 1.0]), f64::INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
    }

    #[test]
    fn does_not_depend_on_order_or_grouping() {
        let mut state = 7_u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state >> 33
        };
        for _ in 0..200 {
            let mut terms: Vec<f64> = (0..50)
                .map(|_| (random() as f64 - 1e9) * 10f64.powi(random() as i32 % 40 - 20))
                .collect();
            let expected = sum(&terms);
            for _ in 0..5 {
                let at = random() as usize % terms.len();
                terms.rotate_left(at);
                let (left, right) = terms.split_at(at);
                let mut halves = [ExactSum::default(), ExactSum::default()];
                halves[0].merge(left.iter().copied());
                halves[1].merge(right.iter().copied());
                let [mut whole, other] = halves;
                whole.merge(other.parts());
                assert_eq!(whole.value().to_bits(), expected.to_bits());
            }
        }
    }
}
