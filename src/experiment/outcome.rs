//! Results of arms and of pairs of arms.

use super::numbers::{Quantity, QuantityGroup};
use crate::analysis::paired::{Paired, paired};
use crate::analysis::ttest::Mean;

/// The numbers of every complete run, by arm and seed.
#[derive(Clone, Debug, Default)]
pub struct ExperimentOutcome {
    /// Names of the arms.
    pub arms: Vec<String>,
    pub baseline: Option<usize>,
    /// Arm, seed, numbers.
    pub runs: Vec<(usize, u64, Vec<Quantity>)>,
}

/// The difference of a quantity between an arm and the baseline, over the seeds that both have.
#[derive(Clone, Debug, PartialEq)]
pub struct PairedValue {
    pub arm: usize,
    pub paired: Paired,
}

impl ExperimentOutcome {
    /// Returns every quantity that any run has, by group and then in order of appearance: group, name, unit.
    #[must_use]
    pub fn quantities(&self) -> Vec<(QuantityGroup, String, &'static str)> {
        let mut found: Vec<(QuantityGroup, String, &'static str)> = Vec::new();
        for (_, _, numbers) in &self.runs {
            for quantity in numbers {
                let same = |(group, name, _): &(QuantityGroup, String, _)| {
                    *group == quantity.group && *name == quantity.name
                };
                if !found.iter().any(same) {
                    found.push((quantity.group, quantity.name.clone(), quantity.unit));
                }
            }
        }
        // Stable: keeps the order of appearance within a group.
        found.sort_by_key(|(group, _, _)| *group);
        found
    }

    /// Returns seed and value of a quantity for each of an arm's runs that has it.
    #[must_use]
    pub fn values(&self, arm: usize, group: QuantityGroup, name: &str) -> Vec<(u64, f64)> {
        let runs = self.runs.iter().filter(|(of, _, _)| *of == arm);
        runs.filter_map(|(_, seed, numbers)| {
            let found = numbers
                .iter()
                .find(|q| q.group == group && q.name == name)?;
            Some((*seed, found.value))
        })
        .collect()
    }

    /// Returns mean, standard error and t test against 0 over an arm's runs.
    #[must_use]
    pub fn arm(&self, arm: usize, group: QuantityGroup, name: &str) -> Mean {
        let values: Vec<f64> = (self.values(arm, group, name).into_iter())
            .map(|(_, value)| value)
            .collect();
        Mean::of(&values)
    }

    /// Returns the differences of every other arm from the baseline, seed by seed.
    #[must_use]
    pub fn pairs(&self, group: QuantityGroup, name: &str) -> Vec<PairedValue> {
        let Some(baseline) = self.baseline else {
            return Vec::new();
        };
        let base = self.values(baseline, group, name);
        let others = (0..self.arms.len()).filter(|&arm| arm != baseline);
        others
            .map(|arm| {
                let values = self.values(arm, group, name);
                let pairs = values.iter().filter_map(|(seed, value)| {
                    let (_, base) = base.iter().find(|(other, _)| other == seed)?;
                    Some((*base, *value))
                });
                PairedValue {
                    arm,
                    paired: paired(pairs),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arm: usize, seed: u64, loss: f64) -> (usize, u64, Vec<Quantity>) {
        let quantity = |group, name: &str, value| Quantity {
            group,
            name: name.to_owned(),
            unit: "nats",
            value,
        };
        let layer = quantity(QuantityGroup::Layer, "fc", -loss);
        (
            arm,
            seed,
            vec![layer, quantity(QuantityGroup::Run, "loss", loss)],
        )
    }

    #[test]
    fn runs_are_paired_by_their_seed_and_not_by_their_order() {
        let outcome = ExperimentOutcome {
            arms: vec!["a".to_owned(), "b".to_owned()],
            baseline: Some(0),
            runs: vec![
                run(0, 0, 1.0),
                run(1, 2, 3.5),
                run(1, 1, 2.25),
                run(0, 1, 2.0),
                run(0, 2, 3.0),
                run(1, 7, 99.0),
            ],
        };
        let names: Vec<String> = outcome.quantities().into_iter().map(|q| q.1).collect();
        assert_eq!(names, ["loss", "fc"]);
        let pairs = outcome.pairs(QuantityGroup::Run, "loss");
        assert_eq!((pairs.len(), pairs[0].arm), (1, 1));
        let difference = &pairs[0].paired.difference;
        assert_eq!((difference.n, difference.mean), (2, 0.375));
        assert!((difference.error - 0.125).abs() < 1e-15);
        let arm = outcome.arm(0, QuantityGroup::Run, "loss");
        assert_eq!((arm.n, arm.mean), (3, 2.0));
        assert!((arm.error - (1.0_f64 / 3.0).sqrt()).abs() < 1e-15);
    }

    #[test]
    fn unmeasured_quantities_are_nan() {
        let outcome = ExperimentOutcome {
            arms: vec!["a".to_owned()],
            baseline: None,
            runs: vec![run(0, 0, f64::NAN), run(0, 1, 2.0)],
        };
        let arm = outcome.arm(0, QuantityGroup::Run, "loss");
        assert_eq!((arm.n, arm.mean), (1, 2.0));
        assert!(arm.error.is_nan());
        assert!(outcome.pairs(QuantityGroup::Run, "loss").is_empty());
        assert_eq!(outcome.arm(0, QuantityGroup::Run, "other").n, 0);
    }
}
