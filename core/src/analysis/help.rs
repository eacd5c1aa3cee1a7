//! The share of parameters that help, and of steps in which each one helps.
//!
//! ```text
//! p = 100 · #{A < 0} / n      in percent of n parameter-steps; likewise zero and hurt
//! h = #{A < 0} / (#{A < 0} + #{A > 0})      helping share of active
//! q_i = 100 · #{t : A_t,i < 0} / T          in percent of T steps, for parameter i
//!
//! A = -2 -1 0 0 3      helped 40 %, zero 40 %, hurt 20 %, h = 2/3
//! ```
//!
//! Source: Lan, Liu, Zhou and Yosinski, *LCA: Loss Change Allocation for Neural Network Training*,
//! `NeurIPS` 2019, which finds that barely over 50 % of the parameters help, each about half of the time.
//! All parameters have the same number of steps, so the mean of `p` over the steps is `p` of all their parameter-steps
//! together: counts are added up, then divided once.

/// Counts of parameter-steps, by their effect on the loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Help {
    /// A < 0.
    pub helped: u64,
    /// The rest: A = 0, or A is NaN, since the run file counts only the other two.
    pub zero: u64,
    /// A > 0.
    pub hurt: u64,
}

/// Percentages of all parameter-steps; they add up to 100.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percent {
    pub helped: f64,
    pub zero: f64,
    pub hurt: f64,
}

impl Help {
    /// From the counts of a run file; `all` is parameters × steps. `None` if helped and hurt together exceed it, as in
    /// a damaged file.
    #[must_use]
    pub fn from_counts(helped: u64, hurt: u64, all: u64) -> Option<Self> {
        let zero = all.checked_sub(helped)?.checked_sub(hurt)?;
        Some(Self { helped, zero, hurt })
    }

    /// Counts allocations one by one.
    #[must_use]
    pub fn count(allocations: impl IntoIterator<Item = f64>) -> Self {
        let mut help = Self::default();
        for a in allocations {
            help.helped += u64::from(a < 0.0);
            help.hurt += u64::from(a > 0.0);
            help.zero += u64::from(a == 0.0 || a.is_nan());
        }
        help
    }

    /// Returns the sum of both counts.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            helped: self.helped.saturating_add(other.helped),
            zero: self.zero.saturating_add(other.zero),
            hurt: self.hurt.saturating_add(other.hurt),
        }
    }

    /// Returns the counts as percentages; `None` if there are no parameter-steps.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a percentage of counts")]
    pub fn percent(self) -> Option<Percent> {
        let [helped, zero, hurt] = [self.helped, self.zero, self.hurt].map(|count| count as f64);
        let all = helped + zero + hurt;
        (all > 0.0).then(|| Percent {
            helped: 100.0 * (helped / all),
            zero: 100.0 * (zero / all),
            hurt: 100.0 * (hurt / all),
        })
    }

    /// Returns h, the helping share of active, 0 to 1; `None` if none helped or hurt.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share of counts")]
    pub fn helping_share(self) -> Option<f64> {
        let (helped, hurt) = (self.helped as f64, self.hurt as f64);
        (helped + hurt > 0.0).then(|| helped / (helped + hurt))
    }
}

/// Number of bins of [`iterations_helped`], each 2 % wide.
pub const BINS: usize = 50;

/// Returns the histogram of `q_i` over the parameters: `helped` holds the number of `steps` in which each one helped.
///
/// Bin b holds `2b <= q < 2b + 2`, computed in whole numbers, so that rounding never moves a value on an edge. The last
/// bin also holds q = 100. A count above `steps`, as in a damaged file, is in no bin; without steps there is no q, and
/// all bins are empty.
#[must_use]
pub fn iterations_helped(helped: &[u32], steps: u64) -> [u64; BINS] {
    let mut bins = [0; BINS];
    for &count in helped {
        let count = u64::from(count);
        if steps == 0 || count > steps {
            continue;
        }
        let scaled = u128::from(count) * BINS as u128 / u128::from(steps);
        let bin = usize::try_from(scaled).unwrap_or(BINS).min(BINS - 1);
        bins[bin] += 1;
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_in_the_module_docs_holds() {
        let help = Help::count([-2.0, -1.0, 0.0, -0.0, 3.0]);
        assert_eq!(Help::from_counts(2, 1, 5), Some(help));
        let percent = help.percent().unwrap();
        assert_eq!(
            (percent.helped, percent.zero, percent.hurt),
            (40.0, 40.0, 20.0)
        );
        assert_eq!(help.helping_share(), Some(2.0 / 3.0));
    }

    #[test]
    fn undefined_results_are_none() {
        assert_eq!(Help::default().percent(), None);
        assert_eq!(Help::from_counts(0, 0, 7).unwrap().helping_share(), None);
        assert_eq!(Help::from_counts(3, 2, 4), None);
        assert_eq!(Help::from_counts(u64::MAX, u64::MAX, u64::MAX), None);
        assert_eq!(Help::count([f64::NAN]).zero, 1);
        assert_eq!(
            Help::count([f64::INFINITY, f64::NEG_INFINITY]),
            Help::from_counts(1, 1, 2).unwrap()
        );
        let huge = Help::from_counts(u64::MAX, 0, u64::MAX).unwrap();
        assert_eq!(huge.merge(huge).percent().unwrap().helped, 100.0);
    }

    #[test]
    fn edges_belong_to_the_bin_above_and_the_last_to_the_last() {
        let bins = iterations_helped(&[0, 1, 2, 3, 99, 100, 101], 100);
        let mut expected = [0; BINS];
        expected[0] = 2;
        expected[1] = 2;
        expected[49] = 2;
        assert_eq!(bins, expected);
        assert_eq!(iterations_helped(&[0, 5], 0), [0; BINS]);
        assert_eq!(iterations_helped(&[u32::MAX], u64::MAX)[0], 1);
        // One step: each parameter helped never or always.
        let one = iterations_helped(&[0, 1, 1], 1);
        assert_eq!((one[0], one[49]), (1, 2));
    }

    proptest! {
        #[test]
        fn counting_and_merging_agree(
            a in prop::collection::vec(prop::num::f64::ANY, 0..50),
            b in prop::collection::vec(prop::num::f64::ANY, 0..50),
        ) {
            let both = Help::count(a.iter().chain(&b).copied());
            prop_assert_eq!(Help::count(a.clone()).merge(Help::count(b.clone())), both);
            let all = (a.len() + b.len()) as u64;
            prop_assert_eq!(Help::from_counts(both.helped, both.hurt, all), Some(both));
            if let Some(p) = both.percent() {
                prop_assert!((p.helped + p.zero + p.hurt - 100.0).abs() < 1e-9);
            }
        }

        #[test]
        fn every_parameter_is_in_the_bin_of_its_share(
            steps in 1_u64..5000,
            shares in prop::collection::vec(0.0..=1.0_f64, 0..50),
        ) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
                reason = "a share of at most 5000 steps")]
            let helped: Vec<u32> = shares.iter().map(|s| (s * steps as f64).round() as u32).collect();
            let bins = iterations_helped(&helped, steps);
            prop_assert_eq!(bins.iter().sum::<u64>(), helped.len() as u64);
            for (b, count) in bins.iter().enumerate() {
                let (low, high) = (2 * b as u64, 2 * b as u64 + 2);
                let inside = |h: &&u32| {
                    let scaled = 100 * u64::from(**h);
                    scaled >= low * steps && (scaled < high * steps || b == BINS - 1)
                };
                prop_assert_eq!(*count, helped.iter().filter(inside).count() as u64);
            }
        }
    }
}
