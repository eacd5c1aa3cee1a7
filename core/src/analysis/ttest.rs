//! One-sample t test: does the mean of a few repeats differ from 0?
//!
//! ```text
//! mean   m = Σ x / n
//! error  e = s / √n,  s² = Σ (x − m)² / (n − 1)      standard error of the mean
//! t      m / e, with n − 1 degrees of freedom
//! p      P(|T| >= |t|) = I_{ν/(ν + t²)}(ν/2, 1/2),  ν = n − 1      two-sided
//!
//! x = 1 2 3      m = 2, s = 1, e = 0.577, t = 3.464, p = 0.0742
//! ```
//!
//! I is the regularized incomplete beta function. Source: Student, *The probable error of a mean*, Biometrika 6, 1908;
//! p by the beta function as in Abramowitz and Stegun, *Handbook of Mathematical Functions*, 26.7.1. A paired test of
//! two sets of repeats is this test applied to their differences.
//!
//! The test assumes that the repeats are independent and roughly normal. With two or three of them p is coarse: it says
//! whether a mean exceeds its scatter, and no more.

use statrs::function::beta::checked_beta_reg;

/// The mean of some repeats and its uncertainty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// Number of finite values; NaN and infinities are left out.
    pub n: usize,
    /// NaN without values.
    pub mean: f64,
    /// Standard error of the mean; NaN with fewer than two values.
    pub error: f64,
    /// The t statistic; NaN if there is no test: fewer than two values, or all of them equal.
    pub t: f64,
    /// Two-sided p-value for a mean of 0; NaN if t is.
    pub p: f64,
}

impl Mean {
    /// Tests the mean of the finite values.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a count of values")]
    pub fn of(values: &[f64]) -> Self {
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        let n = finite().count();
        let count = n as f64;
        // In units of the largest, so that no square overflows or vanishes.
        let scale = finite().fold(0.0, |most: f64, value| most.max(value.abs()));
        let scale = if scale > 0.0 { scale } else { 1.0 };
        let scaled = || finite().map(|value| value / scale);
        let first = scaled().sum::<f64>() / count;
        // Corrects the rounding error of the mean.
        let mean = first + scaled().map(|x| x - first).sum::<f64>() / count;
        let squares: f64 = scaled().map(|x| (x - mean) * (x - mean)).sum();
        let equal = finite().zip(finite().skip(1)).all(|(a, b)| a == b);
        let error = match n {
            0 | 1 => f64::NAN,
            _ if equal => 0.0,
            _ => (squares / (count - 1.0) / count).sqrt(),
        };
        let t = if error > 0.0 { mean / error } else { f64::NAN };
        Self {
            n,
            mean: mean * scale,
            error: error * scale,
            t,
            p: two_sided(t, count - 1.0),
        }
    }
}

/// Returns `P(|T| >= |t|)` for Student's distribution with `freedom` degrees of freedom; NaN if undefined.
#[must_use]
pub fn two_sided(t: f64, freedom: f64) -> f64 {
    if t.is_nan() || freedom.is_nan() || freedom <= 0.0 {
        return f64::NAN;
    }
    // ν/(ν + t²), written so that the square does not overflow.
    let ratio = t / freedom.sqrt();
    let x = 1.0 / (1.0 + ratio * ratio);
    checked_beta_reg(freedom / 2.0, 0.5, x).map_or(f64::NAN, |p| p.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_values_match_a_calculation_by_hand() {
        let mean = Mean::of(&[1.0, 2.0, 3.0]);
        assert_eq!((mean.n, mean.mean), (3, 2.0));
        assert!((mean.error - 1.0 / 3f64.sqrt()).abs() < 1e-15);
        assert!((mean.t - 12f64.sqrt()).abs() < 1e-14);
        // With two degrees of freedom p has a closed form: 1 − |t|/√(2 + t²).
        let p = 1.0 - (12.0 / 14.0_f64).sqrt();
        assert!((mean.p - p).abs() < 1e-14, "{} {p}", mean.p);
    }

    #[test]
    fn one_degree_of_freedom_matches_the_arc_tangent() {
        for t in [0.0, 1e-9, 0.3, 1.0, 12.7, 1e8, 1e200, f64::INFINITY] {
            let p = 2.0 / std::f64::consts::PI * 1.0_f64.atan2(t);
            let found = two_sided(-t, 1.0);
            assert!((found - p).abs() <= 1e-9 * p + 1e-15, "{t}: {found} {p}");
        }
    }

    #[test]
    fn undefined_tests_are_nan() {
        let nothing = Mean::of(&[f64::NAN, f64::INFINITY]);
        assert_eq!(nothing.n, 0);
        assert!(nothing.mean.is_nan() && nothing.error.is_nan() && nothing.p.is_nan());
        let one = Mean::of(&[f64::NAN, -4.0]);
        assert_eq!((one.n, one.mean), (1, -4.0));
        assert!(one.error.is_nan() && one.p.is_nan());
        let equal = Mean::of(&[0.1; 7]);
        assert_eq!((equal.mean, equal.error), (0.1, 0.0));
        assert!(equal.t.is_nan() && equal.p.is_nan());
        assert_eq!(Mean::of(&[0.0; 3]).mean, 0.0);
        assert!(two_sided(1.0, 0.0).is_nan());
    }

    #[test]
    fn no_square_overflows() {
        let huge = Mean::of(&[1e300, 2e300, 3e300]);
        let tiny = Mean::of(&[1e-300, 2e-300, 3e-300]);
        let plain = Mean::of(&[1.0, 2.0, 3.0]);
        for mean in [huge, tiny] {
            assert!((mean.t - plain.t).abs() < 1e-12 && (mean.p - plain.p).abs() < 1e-12);
        }
    }
}
