//! Period: whether a series oscillates, and how fast, tested against red noise.
//!
//! ```text
//! s    normal scores Φ⁻¹((rank − 3/8) / (n + 1/4)), less their least-squares line, 0 in gaps
//! P    |FFT(h s)|², h Hann's window, zero-padded to 4n or more
//! B    c / (1 − 2 φ cos 2πf + φ²), φ the lag-1 autocorrelation of s, 0 if that is negative
//! z    P / B, c such that the median of z over the searched f is ln 2
//! p    1 − (1 − e^−z)^n at the greatest z of all f from 3/n to 1/2
//!
//! x = (−1)^t of 64 steps: the greatest z is at f = 1/2, a period of 2 steps
//! ```
//!
//! A fast start, or one step of 10¹² nats, would hide or mimic an oscillation; ranks have no large values, and the line
//! takes away drift (van der Waerden's scores with Blom's constants). The null hypothesis is red noise, an
//! autoregressive process of first order with the series' own lag-1 autocorrelation, as in Torrence and Compo, *A
//! practical guide to wavelet analysis*, Bulletin of the American Meteorological Society 79, 1998, equation 16, and
//! Schulz and Mudelsee, *REDFIT*, Computers & Geosciences 28, 2002. Under it z is exponential at each frequency. The
//! level c comes from the median, which a peak hardly changes. Negative φ is not noise here: a series that alternates
//! from step to step oscillates.
//!
//! A period needs p < 0.01 and three cycles. A greatest z at the lowest frequency is drift, not a period. In noise of
//! 32 to 256 steps with φ from 0 to 0.9, about 2 in 100 series have p < 0.01: the level is an estimate too.

use realfft::RealFftPlanner;
use statrs::function::erf::erfc_inv;

use super::oscillation::autocorrelation;

/// Fewest finite values for a period.
pub const LEAST: usize = 16;

/// Largest p of a period.
pub const SIGNIFICANT: f64 = 0.01;

/// The period of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Period {
    /// In steps, with a fraction; at least 2.
    pub steps: f64,
    /// The autocorrelation of the scores at the nearest whole lag.
    pub strength: f64,
    /// The probability of such a peak in red noise.
    pub p: f64,
}

/// Returns the normal scores of a series without their trend; NaN in gaps. Empty if it does not have two different
/// values.
///
/// O(n log n).
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of steps")]
pub fn scores(x: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).filter(|&t| x[t].is_finite()).collect();
    order.sort_by(|a, b| x[*a].total_cmp(&x[*b]));
    let count = order.len() as f64;
    let mut scores = vec![f64::NAN; x.len()];
    let mut below = 0;
    // Equal values share their mean rank.
    for equal in order.chunk_by(|a, b| x[*a] == x[*b]) {
        if equal.len() == order.len() {
            return Vec::new();
        }
        let rank = below as f64 + 0.5 * (equal.len() + 1) as f64;
        let score = -std::f64::consts::SQRT_2 * erfc_inv(2.0 * (rank - 0.375) / (count + 0.25));
        for &t in equal {
            scores[t] = score;
        }
        below += equal.len();
    }
    detrend(&mut scores);
    scores
}

/// Subtracts the least-squares line of the finite values.
#[expect(clippy::cast_precision_loss, reason = "counts of steps")]
fn detrend(y: &mut [f64]) {
    let finite = || (0..).zip(&*y).filter(|(_, y)| y.is_finite());
    let count = finite().count() as f64;
    let mean_t = finite().map(|(t, _): (usize, _)| t as f64).sum::<f64>() / count;
    let mean_y = finite().map(|(_, y)| y).sum::<f64>() / count;
    let (mut ty, mut tt) = (0.0, 0.0);
    for (t, y) in finite() {
        let t = t as f64 - mean_t;
        ty += t * (y - mean_y);
        tt += t * t;
    }
    let slope = if tt > 0.0 { ty / tt } else { 0.0 };
    for (t, y) in y.iter_mut().enumerate() {
        *y -= mean_y + slope * (t as f64 - mean_t);
    }
}

/// Returns the period of a series, or `None` if noise would do.
#[must_use]
pub fn dominant_period(x: &[f64]) -> Option<Period> {
    strongest_period(x).filter(|period| period.p < SIGNIFICANT)
}

/// Returns the strongest period of a series, significant or not; `None` for drift, or if the series is too short.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "lengths in memory")]
pub fn strongest_period(x: &[f64]) -> Option<Period> {
    let (n, scores) = (x.len(), scores(x));
    if scores.iter().filter(|score| score.is_finite()).count() < LEAST {
        return None;
    }
    let r = autocorrelation(&scores, n / 2 + 1);
    let phi = r.get(1)?.clamp(0.0, 0.999);
    let (power, padded) = spectrum(&scores)?;
    let frequency = |bin: usize| bin as f64 / padded as f64;
    let first = (3 * padded).div_ceil(n);
    let whitened = |bin: usize| {
        let cosine = (std::f64::consts::TAU * frequency(bin)).cos();
        power[bin] * (1.0 - 2.0 * phi * cosine + phi * phi)
    };
    let z: Vec<f64> = (first..power.len()).map(whitened).collect();
    let level = median(&z) / std::f64::consts::LN_2;
    let peak = (0..z.len()).max_by(|a, b| z[*a].total_cmp(&z[*b]).then(b.cmp(a)))?;
    if peak == 0 || level <= 0.0 || level.is_nan() {
        return None;
    }
    // A parabola through three points gives the fraction; the last frequency, 1/2, has no neighbour.
    let shift = match z.get(peak - 1..=peak + 1) {
        Some(&[before, at, after]) => 0.5 * (before - after) / (before - 2.0 * at + after),
        _ => 0.0,
    };
    let steps = padded as f64 / ((first + peak) as f64 + shift);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 2 and n / 3"
    )]
    let lag = steps.round() as usize;
    let chance = (n as f64 * (-(-z[peak] / level).exp()).ln_1p()).exp_m1();
    Some(Period {
        steps,
        strength: r.get(lag).copied().unwrap_or(0.0),
        p: -chance,
    })
}

/// Returns the power of a series under Hann's window, 0 in gaps, from frequency 0 to 1/2, and the padded length.
#[expect(clippy::cast_precision_loss, reason = "lengths in memory")]
fn spectrum(scores: &[f64]) -> Option<(Vec<f64>, usize)> {
    let n = scores.len();
    let window = |t: usize| 0.5 - 0.5 * (std::f64::consts::TAU * t as f64 / n as f64).cos();
    let score = |(t, score): (usize, &f64)| {
        if score.is_nan() {
            0.0
        } else {
            score * window(t)
        }
    };
    let mut y: Vec<f64> = scores.iter().enumerate().map(score).collect();
    let padded = (4 * n).next_power_of_two();
    y.resize(padded, 0.0);
    let transform = RealFftPlanner::<f64>::new().plan_fft_forward(padded);
    let mut spectrum = transform.make_output_vec();
    transform.process(&mut y, &mut spectrum).ok()?;
    let mut power = Vec::with_capacity(spectrum.len());
    for bin in spectrum {
        power.push(bin.norm_sqr());
    }
    Some((power, padded))
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len => 0.5 * values[(len - 1) / 2] + 0.5 * values[len / 2],
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    /// Red noise with this lag-1 autocorrelation.
    fn red(n: usize, phi: f64, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let mut x = 0.0;
        let step = |_| {
            let e: f64 = StandardNormal.sample(rng);
            x = phi * x + e;
            x
        };
        (0..n + 200).map(step).skip(200).collect()
    }

    fn wave(n: u32, period: f64, noise: f64, seed: u64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let clean = |t: u32| (TAU * f64::from(t) / period).cos();
        (0..n)
            .map(|t| {
                let e: f64 = StandardNormal.sample(&mut rng);
                clean(t) + noise * e
            })
            .collect()
    }

    #[test]
    fn planted_periods_are_found_under_drift() {
        for period in [2.0, 3.0, 6.7, 13.05, 40.0, 100.0] {
            for (noise, within) in [(0.0, 0.02), (0.5, 0.03)] {
                let mut x = wave(1000, period, noise, 11);
                for (t, x) in (0..).zip(&mut x) {
                    *x += 3.0 - 9.0 * (-f64::from(t) / 20.0).exp() + 0.01 * f64::from(t);
                }
                let found = dominant_period(&x).unwrap();
                let error = found.steps / period - 1.0;
                assert!(error.abs() < within, "{period} {noise}: {found:?}");
                assert!(found.strength > 0.3 && found.p < 1e-6, "{found:?}");
            }
        }
        // One step in ten is missing, and one is enormous.
        let mut x = wave(1000, 13.0, 0.5, 5);
        x.iter_mut().step_by(10).for_each(|x| *x = f64::NAN);
        x[501] = 1e12;
        assert!((dominant_period(&x).unwrap().steps - 13.0).abs() < 0.3);
    }

    #[test]
    fn a_period_does_not_depend_on_where_the_window_begins() {
        let x = wave(200, 4.65, 0.7, 3);
        for start in 20..50 {
            let found = dominant_period(&x[start..130]).unwrap();
            assert!((found.steps - 4.65).abs() < 0.12, "{start}: {found:?}");
        }
    }

    #[test]
    fn red_noise_drift_and_decay_have_no_period() {
        let mut rng = ChaCha8Rng::seed_from_u64(17);
        for n in [32, 100, 256] {
            for phi in [0.0, 0.5, 0.9] {
                let found = (0..300).filter(|_| dominant_period(&red(n, phi, &mut rng)).is_some());
                let count = found.count();
                // 2 in 100 are expected, 14 have a probability below 0.5 %.
                assert!(count <= 14, "{n} {phi}: {count}");
            }
        }
        let decay = |t: u32| (-f64::from(t) / 30.0).exp();
        let decays = (0..100).filter(|_| {
            let noise = red(200, 0.0, &mut rng);
            let x: Vec<f64> = (0..)
                .zip(noise)
                .map(|(t, e)| -decay(t) * (1.0 + 0.3 * e))
                .collect();
            dominant_period(&x).is_some()
        });
        assert!(decays.count() <= 9);
        let line: Vec<f64> = (0..500).map(f64::from).collect();
        assert_eq!(dominant_period(&line), None);
    }

    #[test]
    fn undefined_results_are_none() {
        let gap = f64::NAN;
        for x in [&[][..], &[1.0], &[0.1; 50], &[gap; 40], &[gap, 2.0, 3.0]] {
            assert_eq!(dominant_period(x), None, "{x:?}");
        }
        assert!(scores(&[0.1; 50]).is_empty() && scores(&[gap; 4]).iter().all(|s| s.is_nan()));
        let alternating: Vec<f64> = (0..64).map(|t| f64::from(1 - 2 * (t % 2))).collect();
        let found = dominant_period(&alternating).unwrap();
        assert!((found.steps - 2.0).abs() < 1e-9, "{found:?}");
    }

    proptest! {
        #[test]
        fn arbitrary_input_does_not_panic(x in prop::collection::vec(prop::num::f64::ANY, 0..80)) {
            if let Some(found) = strongest_period(&x) {
                prop_assert!(found.steps >= 1.9, "{found:?}");
                prop_assert!((0.0..=1.0).contains(&found.p) && found.strength.abs() <= 1.0, "{found:?}");
            }
        }
    }
}
