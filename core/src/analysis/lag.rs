//! Lag: by how many steps one series follows another.
//!
//! ```text
//! c_k = corr(x_t, y_{t+k}) over all t where both exist,  k = −10 … 10
//!
//! c_k > 0 at k = 3: y does what x did, three steps later
//!
//! x = 0 0 1 0 0 0 0 …  y = 0 0 0 0 0 1 0 …      the best lag is 3, with c = 1
//! ```
//!
//! Each c is Pearson's correlation of the overlapping part, with the means and deviations of that part; pairs with a
//! gap (NaN, infinity) are left out. If fewer than [`LEAST_PAIRS`] pairs are left, or one series is constant over them,
//! c is NaN.
//!
//! With x a layer's negative gradient and y its movement, momentum m alone gives a delay of m/(1−m) steps on average (9
//! for 0.9). Source of this use: Lan, Liu, Zhou and Yosinski, *LCA*, `NeurIPS` 2019, whose hypothesis is that layers
//! that hurt lag behind in an oscillation.

/// Number of lags on either side of 0.
pub const LAGS: usize = 10;

/// Fewest pairs for a correlation: fewer correlate by chance.
pub const LEAST_PAIRS: usize = 16;

/// Correlations at the lags −10 ..= 10.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CrossCorrelation {
    /// `[21]`: c by lag, from −10 to 10; NaN where there is none.
    pub values: [f64; 2 * LAGS + 1],
}

/// A lag and the correlation at it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lag {
    /// Steps by which y follows x; negative where it leads.
    pub steps: i32,
    /// −1 to 1.
    pub correlation: f64,
}

impl CrossCorrelation {
    /// Correlates two series over the same steps. The tail of the longer one is ignored.
    #[must_use]
    pub fn between(x: &[f64], y: &[f64]) -> Self {
        let n = x.len().min(y.len());
        let (x, y) = (scaled(&x[..n]), scaled(&y[..n]));
        let mut values = [f64::NAN; 2 * LAGS + 1];
        for (index, value) in values.iter_mut().enumerate() {
            let (ahead, behind) = (index.saturating_sub(LAGS), LAGS.saturating_sub(index));
            if let (Some(y), Some(x)) = (y.get(ahead..), x.get(behind..)) {
                *value = pearson(x, y);
            }
        }
        Self { values }
    }

    /// Returns all lags in ascending order, for a chart.
    pub fn lags(&self) -> impl Iterator<Item = Lag> {
        (-10..)
            .zip(self.values)
            .map(|(steps, correlation)| Lag { steps, correlation })
    }

    /// Returns the lag of the largest correlation, sign included: opposite movement is not following. Ties go to the
    /// shorter lag, then to the positive one. `None` if there is no correlation at all.
    #[must_use]
    pub fn best(&self) -> Option<Lag> {
        let known = self.lags().filter(|lag| !lag.correlation.is_nan());
        known.max_by(|a, b| {
            let order = a.correlation.total_cmp(&b.correlation);
            order
                .then(b.steps.abs().cmp(&a.steps.abs()))
                .then(a.steps.cmp(&b.steps))
        })
    }
}

/// Scales to the largest magnitude, so that no square overflows or vanishes; gaps become NaN.
fn scaled(x: &[f64]) -> Vec<f64> {
    let finite = x.iter().filter(|value| value.is_finite());
    let largest = finite.fold(0.0, |most: f64, value| most.max(value.abs()));
    let unit = |value: &f64| {
        if value.is_finite() {
            value / largest
        } else {
            f64::NAN
        }
    };
    x.iter().map(unit).collect()
}

/// Returns Pearson's correlation of the pairs without a gap; NaN if there is none.
#[expect(clippy::cast_precision_loss, reason = "a count of steps")]
fn pearson(x: &[f64], y: &[f64]) -> f64 {
    let pairs = || {
        let all = x.iter().copied().zip(y.iter().copied());
        all.filter(|(x, y)| x.is_finite() && y.is_finite())
    };
    let count = pairs().count();
    if count < LEAST_PAIRS {
        return f64::NAN;
    }
    let n = count as f64;
    let (sum_x, sum_y) = pairs().fold((0.0, 0.0), |sum, (x, y)| (sum.0 + x, sum.1 + y));
    let (mean_x, mean_y) = (sum_x / n, sum_y / n);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in pairs() {
        let (x, y) = (x - mean_x, y - mean_y);
        xx += x * x;
        yy += y * y;
        xy += x * y;
    }
    // Variation within the rounding error of equal values.
    let still = |squares: f64, mean: f64| squares <= n * (n * f64::EPSILON * mean).powi(2);
    if still(xx, mean_x) || still(yy, mean_y) {
        return f64::NAN;
    }
    (xy / xx.sqrt() / yy.sqrt()).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn noise(n: usize, seed: u64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..n).map(|_| rng.random::<f64>() - 0.5).collect()
    }

    /// `y_t = x_{t−by} + noise`, with 0 beyond the ends of x.
    fn follow(x: &[f64], by: i32, noise: &[f64]) -> Vec<f64> {
        let at = |t: usize| {
            let from = i64::try_from(t).unwrap() - i64::from(by);
            usize::try_from(from)
                .ok()
                .and_then(|t| x.get(t))
                .copied()
                .unwrap_or(0.0)
        };
        (0..x.len()).map(|t| at(t) + noise[t]).collect()
    }

    #[test]
    fn the_example_in_the_module_docs_holds() {
        let mut x = vec![0.0; 40];
        let mut y = x.clone();
        (x[12], y[15]) = (1.0, 1.0);
        let best = CrossCorrelation::between(&x, &y).best().unwrap();
        assert_eq!(best.steps, 3);
        assert!((best.correlation - 1.0).abs() < 1e-12);
    }

    #[test]
    fn planted_lags_are_found() {
        let x = noise(300, 1);
        let quiet: Vec<f64> = noise(300, 2).iter().map(|n| 0.5 * n).collect();
        for by in -10..=10 {
            let best = CrossCorrelation::between(&x, &follow(&x, by, &quiet))
                .best()
                .unwrap();
            assert_eq!(best.steps, by);
            assert!(best.correlation > 0.8 && best.correlation < 1.0, "{best:?}");
        }
        // Opposite at once, and the same three steps later.
        let mut y = follow(&x, 3, &quiet);
        y.iter_mut().zip(&x).for_each(|(y, x)| *y -= 3.0 * x);
        let found = CrossCorrelation::between(&x, &y);
        assert_eq!(found.best().unwrap().steps, 3);
        assert!(found.values[LAGS] < -0.8);
    }

    #[test]
    fn undefined_results_are_none() {
        let x = noise(40, 3);
        for y in [
            vec![],
            vec![0.0; 40],
            vec![0.1; 40],
            vec![f64::NAN; 40],
            noise(15, 4),
        ] {
            let found = CrossCorrelation::between(&x, &y);
            assert!(found.values.iter().all(|c| c.is_nan()));
            assert_eq!(found.best(), None);
        }
        // Some lags leave fewer than 16 pairs.
        let few = CrossCorrelation::between(&x[..20], &x[..20]);
        let known: Vec<i32> = few
            .lags()
            .filter(|l| !l.correlation.is_nan())
            .map(|l| l.steps)
            .collect();
        assert_eq!(known, (-4..=4).collect::<Vec<_>>());
        for scale in [1e-300, 1e300] {
            let large: Vec<f64> = x.iter().map(|x| x * scale).collect();
            let best = CrossCorrelation::between(&large, &x).best().unwrap();
            assert!(best.steps == 0 && (best.correlation - 1.0).abs() < 1e-12);
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            x in prop::collection::vec(prop_oneof![9 => -5.0..5.0_f64, 1 => Just(f64::NAN)], 0..80),
            y in prop::collection::vec(-5.0..5.0_f64, 0..80),
        ) {
            let found = CrossCorrelation::between(&x, &y);
            for lag in found.lags() {
                let n = i32::try_from(x.len().min(y.len())).unwrap();
                let pairs: Vec<(f64, f64)> = (0..n)
                    .filter(|t| (0..n).contains(&(t + lag.steps)))
                    .map(|t| (x[t.unsigned_abs() as usize], y[(t + lag.steps).unsigned_abs() as usize]))
                    .filter(|(x, _)| !x.is_nan())
                    .collect();
                if pairs.len() < LEAST_PAIRS {
                    prop_assert!(lag.correlation.is_nan());
                    continue;
                }
                #[expect(clippy::cast_precision_loss, reason = "few values")]
                let mean = |f: &dyn Fn(&(f64, f64)) -> f64| -> f64 {
                    pairs.iter().map(f).sum::<f64>() / pairs.len() as f64
                };
                let (mx, my) = (mean(&|p| p.0), mean(&|p| p.1));
                let xy = mean(&|p| (p.0 - mx) * (p.1 - my));
                let (xx, yy) = (mean(&|p| (p.0 - mx).powi(2)), mean(&|p| (p.1 - my).powi(2)));
                prop_assert!((lag.correlation - xy / (xx * yy).sqrt()).abs() < 1e-10);
            }
            // With the series swapped, it leads.
            if let Some(best) = found.best() {
                let back = CrossCorrelation::between(&y, &x).best().unwrap();
                prop_assert!((back.correlation - best.correlation).abs() < 1e-12);
            }
        }

        #[test]
        fn arbitrary_input_does_not_panic(
            x in prop::collection::vec(prop::num::f64::ANY, 0..60),
            y in prop::collection::vec(prop::num::f64::ANY, 0..60),
        ) {
            let found = CrossCorrelation::between(&x, &y);
            prop_assert!(found.values.iter().all(|c| c.is_nan() || c.abs() <= 1.0));
        }
    }
}
