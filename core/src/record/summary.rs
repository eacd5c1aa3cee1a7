//! Summaries for the screen: of one step, or of several neighbouring steps merged.

use serde::{Deserialize, Serialize};

use super::step::StepRecord;

/// One layer over the steps of a summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LayerSummary {
    /// Σ A, in nats.
    pub lca: f64,
    /// The smallest and the largest Σ A of a single step, in nats.
    pub lca_min: f64,
    pub lca_max: f64,
    /// Σ of the estimated integration errors, in nats.
    pub lca_error: f64,
    /// Parameter-steps with A < 0.
    pub helped: u64,
    /// Parameter-steps with A > 0.
    pub hurt: u64,
    pub update_flips: u64,
    pub gradient_flips: u64,
    /// Σ A of the held-out loss, in nats; NaN if it is not allocated.
    pub held_out_lca: f64,
}

impl LayerSummary {
    fn merge(&mut self, later: &Self) {
        let Self {
            lca,
            lca_min,
            lca_max,
            lca_error,
            helped,
            hurt,
            update_flips,
            gradient_flips,
            held_out_lca,
        } = later;
        self.lca += lca;
        self.lca_min = self.lca_min.min(*lca_min);
        self.lca_max = self.lca_max.max(*lca_max);
        self.lca_error += lca_error;
        // A damaged file may contain any counts.
        self.helped = self.helped.saturating_add(*helped);
        self.hurt = self.hurt.saturating_add(*hurt);
        self.update_flips = self.update_flips.saturating_add(*update_flips);
        self.gradient_flips = self.gradient_flips.saturating_add(*gradient_flips);
        self.held_out_lca += held_out_lca;
    }
}

/// Summary of the steps `first .. end`, usually one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepSummary {
    pub first: u64,
    pub end: u64,
    /// Epoch of the first step.
    pub epoch: f64,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Mini-batch loss at the last step, in nats.
    pub batch_loss: f64,
    /// Time from the start of the run to the end of the last step.
    pub seconds: f64,
    /// Number of full gradients evaluated in all steps.
    pub gradient_evals: u64,
    /// Maximum over the steps.
    pub segments: u64,
    /// Training loss before the first step, in nats.
    pub loss_before: f64,
    /// Training loss after the last step, in nats; the next three are also after it.
    pub loss_after: f64,
    pub train_accuracy: f64,
    /// Held-out loss; NaN if not evaluated.
    pub test_loss: f64,
    pub test_accuracy: f64,
    /// The smallest and the largest training loss after a step.
    pub loss_min: f64,
    pub loss_max: f64,
    /// The smallest and the largest held-out loss after a step; NaN if it was evaluated after none.
    pub test_min: f64,
    pub test_max: f64,
    /// Σ of the steps' allocations, in nats.
    pub total: f64,
    /// Σ of the steps' residuals, in nats: `loss_after − loss_before − total`.
    pub residual: f64,
    /// The largest absolute residual of a single step.
    pub worst_residual: f64,
    /// Steps whose residual is above the run's tolerance.
    pub above_tolerance: u64,
    /// `[L]`
    pub layers: Vec<LayerSummary>,
}

impl StepSummary {
    /// Returns the summary of one step. `tolerance` is the run's residual tolerance, in nats.
    #[must_use]
    pub fn of(record: &StepRecord, tolerance: f64) -> Self {
        let lca = &record.lca;
        let motion = &record.motion;
        let held_out = record.lca_held_out.as_ref();
        let layers = (0..lca.layer.len()).map(|l| LayerSummary {
            lca: lca.layer[l],
            lca_min: lca.layer[l],
            lca_max: lca.layer[l],
            lca_error: lca.layer_error[l],
            helped: lca.helped[l],
            hurt: lca.hurt[l],
            update_flips: motion.update_flips[l],
            gradient_flips: motion.gradient_flips[l],
            held_out_lca: held_out.map_or(f64::NAN, |a| a.layer[l]),
        });
        Self {
            first: record.step,
            end: record.step + 1,
            epoch: record.epoch,
            learning_rate: record.learning_rate,
            batch_loss: record.batch_loss,
            seconds: record.seconds,
            gradient_evals: record.gradient_evals,
            segments: record.segments,
            loss_before: record.loss_before,
            loss_after: record.after.train,
            train_accuracy: record.after.train_accuracy,
            test_loss: record.after.test,
            test_accuracy: record.after.test_accuracy,
            loss_min: record.after.train,
            loss_max: record.after.train,
            test_min: record.after.test,
            test_max: record.after.test,
            total: lca.total,
            residual: lca.residual,
            worst_residual: lca.residual.abs(),
            above_tolerance: above(lca.residual, tolerance),
            layers: layers.collect(),
        }
    }

    /// Number of steps covered.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.end - self.first
    }

    /// Merges the summary of the steps that follow: sums add up, the final state is the later one's, extremes stay
    /// extremes. The merged summary closes as its parts did.
    pub fn merge(&mut self, later: &Self) {
        // Destructured without `..`, so that a new field cannot be forgotten here.
        let Self {
            first: _,
            end,
            epoch: _,
            learning_rate,
            batch_loss,
            seconds,
            gradient_evals,
            segments,
            loss_before: _,
            loss_after,
            train_accuracy,
            test_loss,
            test_accuracy,
            loss_min,
            loss_max,
            test_min,
            test_max,
            total,
            residual,
            worst_residual,
            above_tolerance,
            layers,
        } = later;
        self.end = *end;
        self.learning_rate = *learning_rate;
        self.batch_loss = *batch_loss;
        self.seconds = *seconds;
        self.gradient_evals = self.gradient_evals.saturating_add(*gradient_evals);
        self.segments = self.segments.max(*segments);
        self.loss_after = *loss_after;
        self.train_accuracy = *train_accuracy;
        self.test_loss = *test_loss;
        self.test_accuracy = *test_accuracy;
        // The minimum or maximum of a number and NaN is the number.
        self.loss_min = self.loss_min.min(*loss_min);
        self.loss_max = self.loss_max.max(*loss_max);
        self.test_min = self.test_min.min(*test_min);
        self.test_max = self.test_max.max(*test_max);
        self.total += total;
        self.residual += residual;
        self.worst_residual = larger(self.worst_residual, *worst_residual);
        self.above_tolerance = self.above_tolerance.saturating_add(*above_tolerance);
        for (layer, later) in self.layers.iter_mut().zip(layers) {
            layer.merge(later);
        }
    }
}

/// Returns 1 for a step with a residual above the tolerance, or that is not a number, otherwise 0.
#[must_use]
pub fn above(residual: f64, tolerance: f64) -> u64 {
    u64::from(residual.is_nan() || residual.abs() > tolerance)
}

/// Returns the larger value; NaN if either is.
#[must_use]
pub fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() {
        a
    } else if b.is_nan() {
        b
    } else {
        a.max(b)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_residual_that_is_not_a_number_is_neither_small_nor_lost() {
        assert_eq!(above(f64::NAN, 1e-3), 1);
        assert_eq!(above(1e-3, 1e-3), 0);
        for (a, b) in [(f64::NAN, 1.0), (1.0, f64::NAN)] {
            assert!(larger(a, b).is_nan());
        }
        assert_eq!(larger(1.0, f64::INFINITY), f64::INFINITY);
    }

    /// Returns neighbouring summaries along a path of losses, with whole numbers so that sums are exact.
    fn path(losses: &[i32], residuals: &[i32]) -> Vec<StepSummary> {
        (losses.windows(2).zip(residuals).zip(0_u64..))
            .map(|((ends, &residual), step)| {
                let (before, after) = (f64::from(ends[0]), f64::from(ends[1]));
                let total = after - before - f64::from(residual);
                StepSummary {
                    first: step,
                    end: step + 1,
                    epoch: 0.0,
                    learning_rate: 0.1,
                    batch_loss: before,
                    seconds: 1.0,
                    gradient_evals: 2,
                    segments: 2 + step % 3,
                    loss_before: before,
                    loss_after: after,
                    train_accuracy: 0.5,
                    test_loss: after,
                    test_accuracy: 0.5,
                    loss_min: after,
                    loss_max: after,
                    test_min: if step % 2 == 0 { after } else { f64::NAN },
                    test_max: if step % 2 == 0 { after } else { f64::NAN },
                    total,
                    residual: f64::from(residual),
                    worst_residual: f64::from(residual.abs()),
                    above_tolerance: above(residual.into(), 3.0),
                    layers: vec![
                        LayerSummary {
                            lca: total - 1.0,
                            lca_min: total - 1.0,
                            lca_max: total - 1.0,
                            helped: step,
                            ..LayerSummary::default()
                        },
                        LayerSummary {
                            lca: 1.0,
                            hurt: 3,
                            ..LayerSummary::default()
                        },
                    ],
                }
            })
            .collect()
    }

    fn merged(parts: &[StepSummary]) -> StepSummary {
        let mut whole = parts[0].clone();
        for part in &parts[1..] {
            whole.merge(part);
        }
        whole
    }

    proptest! {
        #[test]
        fn merging_is_associative_and_still_closes(
            losses in prop::collection::vec(-1000i32..1000, 4..12),
            residuals in prop::collection::vec(-9i32..9, 11),
            cut in 1usize..3,
        ) {
            let parts = path(&losses, &residuals);
            let whole = merged(&parts);
            let mut halves = merged(&parts[..cut]);
            halves.merge(&merged(&parts[cut..]));
            prop_assert_eq!(&whole, &halves);
            prop_assert_eq!(whole.loss_after - whole.loss_before, whole.total + whole.residual);
            prop_assert_eq!(whole.layers.iter().map(|l| l.lca).sum::<f64>(), whole.total);
            prop_assert_eq!(whole.steps(), parts.len() as u64);
            prop_assert_eq!(whole.gradient_evals, 2 * parts.len() as u64);

            let after = || losses[1..].iter().copied().map(f64::from);
            prop_assert_eq!(whole.loss_min, after().fold(f64::INFINITY, f64::min));
            prop_assert_eq!(whole.loss_max, after().fold(f64::NEG_INFINITY, f64::max));
            let evaluated = || after().step_by(2);
            prop_assert_eq!(whole.test_min, evaluated().fold(f64::INFINITY, f64::min));
            prop_assert_eq!(whole.test_max, evaluated().fold(f64::NEG_INFINITY, f64::max));
            let lca = || parts.iter().map(|part| part.layers[0].lca);
            prop_assert_eq!(whole.layers[0].lca_min, lca().fold(f64::INFINITY, f64::min));
            prop_assert_eq!(whole.layers[0].lca_max, lca().fold(f64::NEG_INFINITY, f64::max));
            let above = residuals[..parts.len()].iter().filter(|r| r.abs() > 3).count() as u64;
            prop_assert_eq!(whole.above_tolerance, above);
        }
    }
}
