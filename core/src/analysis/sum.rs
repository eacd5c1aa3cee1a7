//! Compensated sums, which large terms do not spoil.
//!
//! Neumaier's compensated summation (ZAMM 54, 39, 1974): beside the sum s it accumulates the rounding errors c of the
//! additions, and the result is s + c. The error is about one rounding of the result plus n ε² Σ|x|: for 10¹², 0.1 and
//! −10¹² plain addition gives 0.1000366, this 0.1.

/// A running compensated sum.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    sum: f64,
    rounded_off: f64,
}

impl Sum {
    pub fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        let (large, small) = if self.sum.abs() >= value.abs() {
            (self.sum, value)
        } else {
            (value, self.sum)
        };
        self.rounded_off += (large - sum) + small;
        self.sum = sum;
    }

    /// Adds another sum, including its rounding errors.
    pub fn merge(&mut self, other: Self) {
        self.add(other.sum);
        self.rounded_off += other.rounded_off;
    }

    /// Returns the sum so far; if it is not finite, the result of plain addition.
    #[must_use]
    pub fn value(self) -> f64 {
        if self.sum.is_finite() {
            self.sum + self.rounded_off
        } else {
            self.sum
        }
    }
}

impl FromIterator<f64> for Sum {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut sum = Self::default();
        values.into_iter().for_each(|value| sum.add(value));
        sum
    }
}

/// Returns the compensated sum of the values.
#[must_use]
pub fn sum(values: impl IntoIterator<Item = f64>) -> f64 {
    Sum::from_iter(values).value()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn large_terms_do_not_spoil_small_ones() {
        for (terms, right) in [
            (vec![1e12, 0.1, -1e12], 0.1),
            (vec![0.1, 1e12, -1e12], 0.1),
            (vec![1.7e24, 1e-3, -1.7e24, 2e-3], 3e-3),
            (vec![1.0, 1e100, 1.0, -1e100], 2.0),
            (vec![], 0.0),
        ] {
            let got = sum(terms.iter().copied());
            assert!(
                (got - right).abs() <= 1e-15 * right.abs(),
                "{terms:?}: {got}"
            );
        }
        assert!(sum([1.0, f64::INFINITY]) == f64::INFINITY);
        assert!(sum([f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert!(sum([1.0, f64::NAN, 1.0]).is_nan());
        assert!(sum([f64::MAX, f64::MAX]) == f64::INFINITY);
    }

    proptest! {
        /// Compared with multiples of 2⁻³⁰, which 128-bit integers add exactly.
        #[test]
        fn sums_are_exact_sums_rounded_once(
            terms in prop::collection::vec((-(1_i64 << 52)..1 << 52, 0_u32..40), 0..60),
        ) {
            let scale = 2_f64.powi(-30);
            #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
            let values = terms.iter().map(|&(n, shift)| n as f64 * 2_f64.powi(i32::try_from(shift).unwrap()) * scale);
            let exact: i128 = terms.iter().map(|&(n, shift)| i128::from(n) << shift).sum();
            #[expect(clippy::cast_precision_loss, reason = "rounded once, as the sum is")]
            let right = exact as f64 * scale;
            let got = sum(values);
            prop_assert!((got - right).abs() <= 4.0 * f64::EPSILON * right.abs() + 1e-12, "{got} {right}");
        }
    }
}
