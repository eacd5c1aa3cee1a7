//! Paired comparison, such as of two runs with the same seed.
//!
//! With d = other − base of each pair: the mean of d, its standard error, and two tests of the hypothesis that there is
//! no difference.
//!
//! - **Paired t test**: the one-sample t test of d ([`ttest`](super::ttest)), two-sided; it assumes that d is
//!   normally distributed.
//! - **Sign test**: of m pairs with d ≠ 0, the number with d > 0 is binomial with ½. Exact and two-sided: twice the
//!   smaller tail, at most 1 (Dixon and Mood, *The statistical sign test*, 1946). It assumes nothing about the
//!   distribution, and cannot be smaller than 2^(1 − m): 0.25 for three pairs, 0.06 for five.

use super::ttest::Mean;

/// Differences within pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Paired {
    /// Mean difference, other minus base, with its t test, over the pairs of two finite numbers.
    pub difference: Mean,
    /// Number of pairs whose difference is below 0, and above.
    pub below: usize,
    pub above: usize,
    /// p-value of the sign test; NaN if all differences are 0.
    pub sign_p: f64,
}

/// Compares pairs (base, other). A pair without a finite difference is left out.
#[must_use]
pub fn paired(pairs: impl IntoIterator<Item = (f64, f64)>) -> Paired {
    let pairs = pairs.into_iter();
    let differences: Vec<f64> = pairs
        .map(|(base, other)| other - base)
        .filter(|difference| difference.is_finite())
        .collect();
    let below = differences.iter().filter(|&&d| d < 0.0).count();
    let above = differences.iter().filter(|&&d| d > 0.0).count();
    Paired {
        difference: Mean::of(&differences),
        below,
        above,
        sign_p: sign_test(below, above),
    }
}

/// Returns the two-sided p-value of `below` against `above` equally likely signs; NaN if there are none.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 pairs")]
pub fn sign_test(below: usize, above: usize) -> f64 {
    let n = below + above;
    if n == 0 {
        return f64::NAN;
    }
    // In logarithms, since 2^-n underflows to 0 from n = 1075 on.
    let mut log_count = 0.0;
    let mut tail = 0.0;
    for k in 0..=below.min(above) {
        if k > 0 {
            log_count += ((n - k + 1) as f64 / k as f64).ln();
        }
        tail += (log_count - n as f64 * std::f64::consts::LN_2).exp();
    }
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_pairs_have_the_p_values_of_coin_flips() {
        for (below, above, p) in [
            (0, 1, 1.0),
            (0, 3, 0.25),
            (5, 0, 0.0625),
            (1, 4, 0.375),
            (2, 2, 1.0),
            (0, 10, 2.0 / 1024.0),
        ] {
            let found = sign_test(below, above);
            assert!((found - p).abs() < 1e-12, "{below} {above}: {found}");
        }
        assert!(sign_test(0, 0).is_nan());
        assert!((sign_test(1000, 1000) - 1.0).abs() < 1e-12);
        assert!(sign_test(0, 3000) == 0.0);
    }

    #[test]
    fn differences_that_do_not_vary_are_not_tested_by_t() {
        let same = paired([(1.0, 2.0), (2.0, 3.0), (3.0, 4.0)]);
        let mean = same.difference;
        assert_eq!((mean.n, mean.mean, mean.error), (3, 1.0, 0.0));
        assert!(mean.p.is_nan());
        assert_eq!((same.below, same.above), (0, 3));
        let none = paired([(f64::NAN, 1.0)]);
        assert_eq!((none.difference.n, none.below, none.above), (0, 0, 0));
        assert!(none.difference.mean.is_nan() && none.sign_p.is_nan());
    }
}
