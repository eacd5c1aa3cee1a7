//! Oscillation: how often a series changes its sign or direction, and its autocorrelation. [`super::period`] has its
//! period.
//!
//! ```text
//! crossings  #{t : x_t · x_{t+1} < 0}          a zero in between hides a crossing
//! turns      crossings of the differences of x
//! every      T / count steps
//! r_k        Σ_t y_t y_{t+k} / Σ_t y_t²,  y = x − mean(x)
//!
//! x = 1 −1 2 3 −1      crossings 3 (every 1.67 steps), turns 2
//! y = 1 −1 1 −1        r = 1 −3/4 1/2 −1/4
//! ```
//!
//! Source of the counts: Lan, Liu, Zhou and Yosinski, *LCA*, `NeurIPS` 2019. A full oscillation has two turns.
//! Autocorrelation as in Box and Jenkins, *Time Series Analysis*, chapter 2: every lag is divided by the same sum, so
//! that `|r_k| <= 1` and r falls towards 0 as fewer pairs are left. It is computed by FFT, with enough zero padding
//! that the series does not wrap round onto itself.
//!
//! **Gaps** (NaN, infinities): a pair or triple with a gap counts as neither a crossing nor a turn. The autocorrelation
//! uses the mean of the finite values, and pairs with a gap are left out of both sums: r is smaller by about the share
//! of pairs that are missing.

use realfft::RealFftPlanner;

/// Counts the steps at which the sign changes. Zero has no sign.
#[must_use]
pub fn crossings(x: &[f64]) -> u64 {
    let crosses = |pair: &&[f64]| crosses([pair[0], pair[1]]);
    x.windows(2).filter(crosses).count() as u64
}

/// Returns true if the sign changes from one value to the next.
#[must_use]
pub fn crosses(pair: [f64; 2]) -> bool {
    let finite = pair[0].is_finite() && pair[1].is_finite();
    // Compares signs: the product may underflow.
    let falls = pair[0] > 0.0 && pair[1] < 0.0;
    let rises = pair[0] < 0.0 && pair[1] > 0.0;
    finite && (falls || rises)
}

/// Counts the values that are larger than both neighbours, or smaller than both.
#[must_use]
pub fn turns(x: &[f64]) -> u64 {
    let turns = |of: &&[f64]| is_turn([of[0], of[1], of[2]]);
    x.windows(3).filter(turns).count() as u64
}

/// Returns true if the middle value is larger than both neighbours, or smaller than both.
#[must_use]
pub fn is_turn(of: [f64; 3]) -> bool {
    let finite = of.iter().all(|value| value.is_finite());
    let peak = of[0] < of[1] && of[1] > of[2];
    let valley = of[0] > of[1] && of[1] < of[2];
    finite && (peak || valley)
}

/// Returns N of "every N steps": infinite if it never happened, NaN without steps. For the `count` of a whole layer,
/// `steps` is its number of parameters times the steps.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a mean of counts")]
pub fn every(steps: u64, count: u64) -> f64 {
    steps as f64 / count as f64
}

/// Returns `r_0 ..= r_lags` of the series, or up to its length − 1. Empty if the series does not have two different
/// values.
///
/// O(n log n).
#[must_use]
pub fn autocorrelation(x: &[f64], lags: usize) -> Vec<f64> {
    let Some(centred) = centred(x) else {
        return Vec::new();
    };
    let lags = lags.min(x.len() - 1);
    let sums = autocovariance(centred, lags);
    let Some(&squares) = sums.first().filter(|squares| **squares > 0.0) else {
        return Vec::new();
    };
    sums.iter()
        .map(|sum| (sum / squares).clamp(-1.0, 1.0))
        .collect()
}

/// Returns `x − mean(x)`, 0 in gaps, scaled so that the largest magnitude is 1; `None` if all are equal.
#[expect(clippy::cast_precision_loss, reason = "a count of steps")]
fn centred(x: &[f64]) -> Option<Vec<f64>> {
    let largest = |x: &[f64]| {
        let finite = x.iter().filter(|value| value.is_finite());
        finite.fold(0.0, |most: f64, value| most.max(value.abs()))
    };
    let scale = largest(x);
    let first = x.iter().find(|value| value.is_finite())?;
    if x.iter().all(|value| !value.is_finite() || value == first) {
        return None;
    }
    let present = x.iter().filter(|value| value.is_finite()).count() as f64;
    let mut y: Vec<f64> = x.iter().map(|value| value / scale).collect();
    // Twice, to remove the rounding error of the first mean.
    for _ in 0..2 {
        let mean = y.iter().filter(|value| value.is_finite()).sum::<f64>() / present;
        for value in &mut y {
            *value -= mean;
        }
    }
    let scale = largest(&y);
    for value in &mut y {
        *value = if value.is_finite() {
            *value / scale
        } else {
            0.0
        };
    }
    (scale > 0.0).then_some(y)
}

/// Returns `Σ_t y_t y_{t+k}` for k = 0 ..= lags: the inverse transform of the power spectrum.
#[expect(clippy::cast_precision_loss, reason = "a length in memory")]
fn autocovariance(mut y: Vec<f64>, lags: usize) -> Vec<f64> {
    let padded = (y.len() + lags).next_power_of_two();
    y.resize(padded, 0.0);
    let mut planner = RealFftPlanner::<f64>::new();
    let forward = planner.plan_fft_forward(padded);
    let mut spectrum = forward.make_output_vec();
    if forward.process(&mut y, &mut spectrum).is_err() {
        // Lengths that do not match, which cannot be: they are the planner's own.
        return Vec::new();
    }
    for bin in &mut spectrum {
        *bin = (bin.norm_sqr() / padded as f64).into();
    }
    if planner
        .plan_fft_inverse(padded)
        .process(&mut spectrum, &mut y)
        .is_err()
    {
        return Vec::new();
    }
    y.truncate(lags + 1);
    y
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The autocorrelation straight from its definition.
    fn naive(x: &[f64]) -> Vec<f64> {
        let there: Vec<f64> = x.iter().copied().filter(|x| x.is_finite()).collect();
        #[expect(clippy::cast_precision_loss, reason = "few values")]
        let mean = there.iter().sum::<f64>() / there.len() as f64;
        let squares: f64 = there.iter().map(|x| (x - mean).powi(2)).sum();
        let pair = |a: f64, b: f64| {
            let both = a.is_finite() && b.is_finite();
            if both { (a - mean) * (b - mean) } else { 0.0 }
        };
        let sum = |k: usize| -> f64 { x.iter().zip(&x[k..]).map(|(a, b)| pair(*a, *b)).sum() };
        (0..x.len()).map(|k| sum(k) / squares).collect()
    }

    #[test]
    fn the_examples_in_the_module_docs_hold() {
        let x = [1.0, -1.0, 2.0, 3.0, -1.0];
        assert_eq!((crossings(&x), turns(&x)), (3, 2));
        assert!((every(5, 3) - 5.0 / 3.0).abs() < 1e-15);
        let r = autocorrelation(&[1.0, -1.0, 1.0, -1.0], 9);
        let expected = [1.0, -0.75, 0.5, -0.25];
        assert_eq!(r.len(), 4);
        assert!(
            r.iter().zip(expected).all(|(r, e)| (r - e).abs() < 1e-15),
            "{r:?}"
        );
    }

    #[test]
    fn only_signs_count_not_zeros_or_gaps() {
        assert_eq!(crossings(&[1.0, 0.0, -1.0, -0.0, 1.0]), 0);
        assert_eq!(crossings(&[1e-300, -1e-300, 1e-300]), 2);
        assert_eq!(crossings(&[1.0, f64::NAN, -1.0, f64::INFINITY, -1.0]), 0);
        assert_eq!(turns(&[0.0, 1.0, 1.0, 0.0]), 0);
        assert_eq!(
            turns(&[f64::MIN, f64::MAX, f64::MIN, f64::NAN, 0.0, 1.0]),
            1
        );
        assert_eq!(turns(&[1.0, f64::INFINITY, 1.0]), 0);
        assert!(every(7, 0).is_infinite() && every(0, 0).is_nan());
    }

    #[test]
    fn undefined_results_are_none() {
        let gap = f64::NAN;
        for x in [
            &[][..],
            &[1.0],
            &[0.1; 50],
            &[gap; 4],
            &[gap, 2.0, f64::INFINITY],
        ] {
            assert!(autocorrelation(x, 10).is_empty(), "{x:?}");
            assert_eq!((crossings(x), turns(x)), (0, 0), "{x:?}");
        }
        assert_eq!(autocorrelation(&[1.0, 2.0, 4.0], 0), [1.0]);
        assert_eq!(autocorrelation(&[1.0, 2.0, 4.0], usize::MAX).len(), 3);
        for scale in [5e-324, f64::MAX] {
            let r = autocorrelation(&[-scale, scale], 1);
            assert!((r[1] + 0.5).abs() < 1e-12, "{r:?}");
        }
    }

    proptest! {
        #[test]
        fn the_transform_equals_plain_sums(
            x in prop::collection::vec(prop_oneof![9 => -5.0..5.0_f64, 1 => Just(f64::NAN)], 2..150),
            lags in 0_usize..200,
        ) {
            let r = autocorrelation(&x, lags);
            if r.is_empty() {
                prop_assert!(x.iter().filter(|x| x.is_finite()).count() < 2);
            } else {
                prop_assert_eq!(r.len(), x.len().min(lags.saturating_add(1)));
                for (r, expected) in r.iter().zip(naive(&x)) {
                    prop_assert!((r - expected).abs() < 1e-12);
                }
            }
        }

        #[test]
        fn turns_are_crossings_of_the_differences(x in prop::collection::vec(-3_i8..3, 0..80)) {
            let x: Vec<f64> = x.into_iter().map(f64::from).collect();
            let products = |x: &[f64]| x.windows(2).filter(|p| p[0] * p[1] < 0.0).count() as u64;
            let differences: Vec<f64> = x.windows(2).map(|pair| pair[1] - pair[0]).collect();
            prop_assert_eq!(crossings(&x), products(&x));
            prop_assert_eq!(turns(&x), products(&differences));
        }

        #[test]
        fn arbitrary_input_does_not_panic(x in prop::collection::vec(prop::num::f64::ANY, 0..60), lags: usize) {
            prop_assert!(autocorrelation(&x, lags).iter().all(|r| r.abs() <= 1.0));
            prop_assert!(crossings(&x) + turns(&x) <= 2 * x.len() as u64);
        }
    }
}
