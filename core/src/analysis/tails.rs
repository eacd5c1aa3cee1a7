//! Heaviness of the tails of a set of values. [`super::octaves`] computes it from a histogram.
//!
//! ```text
//! excess kurtosis   g = m4 / m2² − 3,  m_k = 1/n Σ (x_i − x̄)^k      0 for a normal distribution
//! tail index        1/α = 1/k Σ_{i=1..k} ln(x_(i) / x_(k+1)),  x_(1) >= x_(2) >= … the magnitudes
//!
//! x = 0 0 0 0 10       x̄ = 2, m2 = 16, m4 = 832, g = 832/256 − 3 = 1/4
//! x = 8 −4 2 1, k = 2  1/α = (ln 8/2 + ln 4/2) / 2 = (ln 8)/2, α = 0.96
//! ```
//!
//! Far out, the share of magnitudes above x falls like x^−α: the smaller α, the heavier the tail. Below 4 the kurtosis
//! diverges as values are added, below 2 the variance, below 1 the mean.
//!
//! Sources: the population's kurtosis without bias correction (`scipy.stats.kurtosis`); B. Hill, *A simple general
//! approach to inference about the tail of a distribution*, Annals of Statistics 3, 1975. The standard error of α is
//! about α/√k.
//!
//! A histogram leaves zeros out: leave them out here too for a comparison with one.

/// Returns how many of the largest of `n` values make up the tail: √n, rounded up. It grows more slowly than n, as the
/// estimate requires: 290 of 84,060, which gives α to 6 %; 1000 of a million, 3 %.
#[must_use]
pub fn tail_size(n: u64) -> u64 {
    let root = n.isqrt();
    root + u64::from(root * root < n)
}

/// Fewest values in a tail.
pub const LEAST_TAIL: u64 = 5;

/// Returns the excess kurtosis of the finite values; NaN if they are all equal.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a count of values")]
pub fn excess_kurtosis(values: &[f64]) -> f64 {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let largest = finite().fold(0.0, |most: f64, value| most.max(value.abs()));
    // In units of the largest, so that no power overflows or vanishes.
    let scaled = || finite().map(|value| value / largest);
    let n = finite().count() as f64;
    let mean = scaled().sum::<f64>() / n;
    // Corrects the rounding error of the mean.
    let mean = mean + scaled().map(|x| x - mean).sum::<f64>() / n;
    let (mut squares, mut fourths) = (0.0, 0.0);
    for x in scaled() {
        let square = (x - mean) * (x - mean);
        squares += square;
        fourths += square * square;
    }
    // Variation within the rounding error of equal values.
    if squares <= n * f64::EPSILON * f64::EPSILON {
        return f64::NAN;
    }
    n * (fourths / squares) / squares - 3.0
}

/// Returns Hill's estimate of the tail index from the [`tail_size`] largest magnitudes of the finite, non-zero values,
/// which it reorders. `None` if the tail has fewer than [`LEAST_TAIL`] values, or they are all equal.
#[must_use]
pub fn tail_index(values: &mut [f64]) -> Option<f64> {
    let n = values.iter().filter(|value| magnitude(**value) > 0.0);
    let k = tail_size(n.count() as u64);
    (k >= LEAST_TAIL).then(|| tail_index_of(values, k))?
}

/// Returns Hill's estimate from the `k` largest magnitudes; `None` if there are fewer than k + 1, k is 0, or the
/// largest k + 1 are equal. Reorders the values.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a count of values")]
pub fn tail_index_of(values: &mut [f64], k: u64) -> Option<f64> {
    let k = usize::try_from(k).ok()?;
    if k == 0 || k >= values.len() {
        return None;
    }
    let (tail, threshold, _) =
        values.select_nth_unstable_by(k, |a, b| magnitude(*b).total_cmp(&magnitude(*a)));
    let threshold = magnitude(*threshold);
    if threshold == 0.0 {
        return None;
    }
    let threshold = threshold.ln();
    let sum: f64 = tail.iter().map(|x| x.abs().ln() - threshold).sum();
    (sum > 0.0).then(|| k as f64 / sum)
}

/// The magnitude of a finite value, else 0.
fn magnitude(value: f64) -> f64 {
    if value.is_finite() { value.abs() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn the_examples_in_the_module_docs_hold() {
        assert!((excess_kurtosis(&[0.0, 0.0, 0.0, 0.0, 10.0]) - 0.25).abs() < 1e-14);
        let alpha = tail_index_of(&mut [8.0, -4.0, 2.0, 1.0], 2).unwrap();
        assert!((alpha - 2.0 / 8_f64.ln()).abs() < 1e-15);
        assert_eq!((tail_size(84_060), tail_size(1_000_000)), (290, 1000));
        assert_eq!((tail_size(0), tail_size(u64::MAX)), (0, 1 << 32));
    }

    #[test]
    fn undefined_results_are_none() {
        for values in [
            &mut [][..],
            &mut [3.0],
            &mut [0.1; 9],
            &mut [0.0; 4],
            &mut [f64::NAN, f64::INFINITY, 2.0],
        ] {
            assert!(excess_kurtosis(values).is_nan(), "{values:?}");
            assert_eq!(tail_index(values), None, "{values:?}");
        }
        // Two values on either side of 0 have the least possible kurtosis, at any scale.
        for scale in [5e-324, 1e-200, 1.0, f64::MAX] {
            let g = excess_kurtosis(&[-scale, f64::NAN, scale]);
            assert!((g + 2.0).abs() < 1e-12, "{scale}: {g}");
        }
        let (all_equal, large) = (
            tail_index_of(&mut [1.0; 9], 3),
            tail_index_of(&mut [1.0, 2.0], u64::MAX),
        );
        assert_eq!(
            (all_equal, large, tail_index_of(&mut [1.0, 2.0], 0)),
            (None, None, None)
        );
    }

    #[test]
    fn the_index_of_a_pareto_distribution_is_found() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for alpha in [0.7, 1.5, 3.0] {
            let mut values: Vec<f64> = (0..40_000)
                .map(|i| {
                    let x = (1.0 - rng.random::<f64>()).powf(-1.0 / alpha);
                    if i % 2 == 0 { x } else { -x }
                })
                .collect();
            let found = tail_index(&mut values).unwrap();
            // Four standard errors of k = 200.
            assert!((found / alpha - 1.0).abs() < 0.28, "{alpha}: {found}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definitions(x in prop::collection::vec(-5.0..5.0_f64, 5..200)) {
            #[expect(clippy::cast_precision_loss, reason = "few values")]
            let n = x.len() as f64;
            let mean = x.iter().sum::<f64>() / n;
            let m = |k: i32| x.iter().map(|x| (x - mean).powi(k)).sum::<f64>() / n;
            let expected = m(4) / (m(2) * m(2)) - 3.0;
            let found = excess_kurtosis(&x);
            prop_assert!((found - expected).abs() < 1e-9 * (expected.abs() + 1.0));
            // A million times as large, around another mean: equal up to rounding.
            let moved: Vec<f64> = x.iter().map(|x| 1e6 * x + 3.0).collect();
            prop_assert!((excess_kurtosis(&moved) - found).abs() < 1e-9 * (found.abs() + 1.0));
        }

        #[test]
        fn arbitrary_input_does_not_panic(mut values in prop::collection::vec(prop::num::f64::ANY, 0..60)) {
            let g = excess_kurtosis(&values);
            prop_assert!(g.is_nan() || g >= -2.0 - 1e-9);
            prop_assert!(tail_index(&mut values).is_none_or(|alpha| alpha > 0.0));
        }
    }
}
