//! Concentration: how few parameters do most of the work.
//!
//! Parameters that help have the helping totals `h_i = −Σ_t A_t,i > 0`, those that hurt the hurting totals
//! `Σ_t A_t,i > 0`; each side is measured separately. For its n totals, `x_1 ≤ … ≤ x_n`:
//!
//! ```text
//! Gini    G = Σ_i (2i − n − 1) x_i / (n Σ_i x_i)      0: all equal, 1 − 1/n: one does everything
//! top     share of Σ x that the largest 1 % hold (of n, rounded up)
//! ninety  k / n for the smallest k whose largest totals make up 90 % of Σ x
//!
//! x = 1 2 3 4      G = (−3·1 − 1·2 + 1·3 + 3·4) / (4·10) = 1/4
//!                  top = 4/10 (one of four), ninety = 3/4 (4 + 3 + 2 = 9 of 10)
//! ```
//!
//! Source of the formula: A. Sen, *On Economic Inequality*, 1973, ordered as in Damgaard and Weiner,
//! *Describing inequality in plant size or fecundity*, Ecology 81, 2000, without their correction n/(n − 1), so that
//! the number does not jump when a parameter joins a side.

use serde::{Deserialize, Serialize};

/// One side: the parameters that help, or those that hurt.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// n: number of parameters on this side.
    pub count: usize,
    /// Sum of the magnitudes of their totals, in nats.
    pub total: f64,
    /// Gini coefficient, 0 to 1. This and the next two are NaN if the side is empty.
    pub gini: f64,
    /// Share of the total that the top 1 % hold, 0 to 1.
    pub top: f64,
    /// Smallest share of the side's parameters that give 90 % of the total, 0 to 1.
    pub ninety: f64,
}

/// The concentration of both sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Concentration {
    pub helping: Side,
    pub hurting: Side,
    /// Number of totals that are 0.
    pub zero: usize,
    /// Number of totals that are NaN or infinite: on neither side.
    pub unknown: usize,
}

/// Measures the concentration of per-parameter totals (Σ A, in nats), which it sorts.
#[must_use]
pub fn concentration(totals: &mut [f64]) -> Concentration {
    totals.sort_unstable_by(f64::total_cmp);
    // NaN and infinities are at both ends.
    let finite = totals.partition_point(|x| x.total_cmp(&f64::MIN).is_lt())
        ..totals.partition_point(|x| x.total_cmp(&f64::MAX).is_le());
    let unknown = totals.len() - finite.len();
    let known = &totals[finite];
    let (helping, rest) = known.split_at(known.partition_point(|x| *x < 0.0));
    let (zero, hurting) = rest.split_at(rest.partition_point(|x| *x == 0.0));
    Concentration {
        helping: Side::of(&helping.iter().map(|x| -x)),
        hurting: Side::of(&hurting.iter().rev().copied()),
        zero: zero.len(),
        unknown,
    }
}

impl Side {
    /// Measures one side from its positive, finite totals, the largest first.
    #[expect(clippy::cast_precision_loss, reason = "counts of parameters")]
    fn of(values: &(impl ExactSizeIterator<Item = f64> + Clone)) -> Self {
        let n = values.len();
        let Some(largest) = values.clone().next() else {
            return Self {
                count: 0,
                total: 0.0,
                gini: f64::NAN,
                top: f64::NAN,
                ninety: f64::NAN,
            };
        };
        // In units of the largest, so that no sum overflows.
        let shares = || values.clone().map(|value| value / largest);
        let sum: f64 = shares().sum();
        let count = n as f64;
        // The i-th largest, from 0, is x_{n−i}.
        let weighted: f64 = (shares().enumerate())
            .map(|(i, share)| (count - 1.0 - 2.0 * i as f64) * share)
            .sum();
        let top: f64 = shares().take(n.div_ceil(100)).sum();
        let enough = 0.9 * sum * (1.0 - ROUNDING);
        let mut held = 0.0;
        let below = shares().take_while(|share| {
            held += share;
            held < enough
        });
        Self {
            count: n,
            total: sum * largest,
            gini: (weighted / (count * sum)).max(0.0),
            top: (top / sum).min(1.0),
            ninety: (below.count() + 1).min(n) as f64 / count,
        }
    }
}

/// Relative tolerance for rounding in sums of millions of values: nine of ten equal totals count as 90 %.
const ROUNDING: f64 = 1e-12;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Mean difference between all pairs, over twice the mean.
    #[expect(clippy::cast_precision_loss, reason = "few values")]
    fn gini_of_pairs(x: &[f64]) -> f64 {
        let pairs = x.iter().flat_map(|a| x.iter().map(move |b| (a - b).abs()));
        let (n, sum) = (x.len() as f64, x.iter().sum::<f64>());
        pairs.sum::<f64>() / (2.0 * n * sum)
    }

    #[test]
    fn the_example_in_the_module_docs_holds() {
        let found = concentration(&mut [3.0, 1.0, -7.0, 0.0, 4.0, 2.0, f64::NAN, f64::INFINITY]);
        let hurting = found.hurting;
        assert_eq!((hurting.count, hurting.total), (4, 10.0));
        assert!((hurting.gini - 0.25).abs() < 1e-15);
        assert_eq!((hurting.top, hurting.ninety), (0.4, 0.75));
        let helping = found.helping;
        assert_eq!((helping.count, helping.total, helping.gini), (1, 7.0, 0.0));
        assert_eq!((found.zero, found.unknown), (1, 2));
    }

    #[test]
    fn undefined_results_are_none() {
        for totals in [&mut [][..], &mut [0.0, f64::NAN, f64::NEG_INFINITY]] {
            let side = concentration(totals).helping;
            assert_eq!((side.count, side.total), (0, 0.0));
            assert!(side.gini.is_nan() && side.top.is_nan() && side.ninety.is_nan());
        }
        let ends = concentration(&mut [f64::MAX, f64::MAX, -5e-324, -5e-324]);
        assert_eq!((ends.hurting.gini, ends.helping.gini), (0.0, 0.0));
    }

    #[test]
    fn the_top_percent_is_rounded_up_and_ninety_percent_may_be_exact() {
        let one = |n: usize| -> Vec<f64> { (0..n).map(|_| -0.1).collect() };
        let equal = concentration(&mut one(200)).helping;
        assert!((equal.top - 0.01).abs() < 1e-12);
        assert_eq!(equal.ninety, 0.9);
        assert!((concentration(&mut one(201)).helping.top - 3.0 / 201.0).abs() < 1e-12);
        // One of a thousand does almost everything.
        let mut totals = vec![-1e-9; 1000];
        totals[500] = -1.0;
        let helping = concentration(&mut totals).helping;
        assert!(helping.gini > 0.998 && helping.top > 0.999 && helping.ninety == 0.001);
    }

    proptest! {
        #[test]
        fn agrees_with_the_definitions(
            x in prop::collection::vec(1e-6..10.0_f64, 1..300), scale in -200..200_i32,
        ) {
            let scale = 2_f64.powi(scale);
            let mut totals: Vec<f64> = x.iter().map(|x| -x * scale).collect();
            let side = concentration(&mut totals).helping;
            prop_assert!((side.gini - gini_of_pairs(&x)).abs() < 1e-12);
            let mut sorted = x.clone();
            sorted.sort_by(f64::total_cmp);
            sorted.reverse();
            let sum: f64 = sorted.iter().sum();
            let top = sorted[..x.len().div_ceil(100)].iter().sum::<f64>() / sum;
            prop_assert!((side.top - top).abs() < 1e-12);
            let enough = |k: &usize| sorted[..*k].iter().sum::<f64>() >= 0.9 * sum * (1.0 - ROUNDING);
            let k = (1..=x.len()).find(enough).unwrap();
            #[expect(clippy::cast_precision_loss, reason = "few values")]
            let share = k as f64 / x.len() as f64;
            prop_assert_eq!(side.ninety, share);
        }

        #[test]
        fn arbitrary_input_does_not_panic(mut totals in prop::collection::vec(prop::num::f64::ANY, 0..50)) {
            let found = concentration(&mut totals);
            let counted = found.helping.count + found.hurting.count + found.zero + found.unknown;
            prop_assert_eq!(counted, totals.len());
            for side in [found.helping, found.hurting] {
                for share in [side.gini, side.top, side.ninety] {
                    prop_assert!((side.count == 0) == share.is_nan());
                    prop_assert!(side.count == 0 || (0.0..=1.0).contains(&share));
                }
            }
        }
    }
}
