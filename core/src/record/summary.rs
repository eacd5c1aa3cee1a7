//! Summaries for the screen: of one step, or of several neighbouring steps merged.

use serde::{Deserialize, Serialize};

use super::step::{Losses, StepRecord};

/// Calls the macro `$then` with all fields of a summary: first those of the steps, then those of each layer. A new
/// quantity is a row here; its value in a single step is set in [`StepSummary::from_step`] and by the reader of run files.
///
/// A row is `name: type rule unit description`. The rules of merging with the next steps: `keep` the earlier value, take
/// the `last`, `sum` (a damaged file may contain any counts, so these saturate), `least`, `most` (of a number and NaN
/// the number), `worst` (NaN if either is).
#[macro_export]
macro_rules! summary_fields {
    ($then:ident) => {
        $then! {
            steps {
                epoch: f64 keep "epochs" "passes over the training set before the first step";
                learning_rate: f64 last "1" "at the last step";
                batch_loss: f64 last "nats" "mean cross-entropy of the last step's mini-batch";
                seconds: f64 last "seconds" "since the run began, when the last step was done";
                gradient_evals: u64 sum "gradients" "gradients of the whole training loss spent on all steps";
                segments: u64 most "segments" "the most that any step needed";
                loss_before: f64 keep "nats" "training loss before the first step";
                loss_after: f64 last "nats" "training loss after the last step";
                train_accuracy: f64 last "1" "after the last step";
                test_loss: f64 last "nats" "held-out loss after the last step; NaN where not evaluated";
                test_accuracy: f64 last "1" "the same of the accuracy";
                loss_min: f64 least "nats" "smallest training loss after a step";
                loss_max: f64 most "nats" "largest training loss after a step";
                test_min: f64 least "nats" "smallest held-out loss after a step; NaN if never evaluated";
                test_max: f64 most "nats" "largest held-out loss after a step; NaN if never evaluated";
                total: f64 sum "nats" "sum of the steps' allocations";
                residual: f64 sum "nats" "sum of the steps' residuals: loss_after - loss_before - total";
                worst_residual: f64 worst "nats" "largest residual of a step, without its sign";
                above_tolerance: u64 sum "steps" "steps whose residual is above the tolerance";
            }
            layers {
                lca: f64 sum "nats" "sum of the steps' allocations by layer";
                lca_min: f64 least "nats" "smallest allocation of a step by layer";
                lca_max: f64 most "nats" "largest allocation of a step by layer";
                lca_error: f64 sum "nats" "sum of the estimated integration errors by layer";
                helped: u64 sum "parameters" "sum over the steps of the parameters with A < 0";
                hurt: u64 sum "parameters" "sum over the steps of the parameters with A > 0";
                update_flips: u64 sum "parameters" "sum over the steps of motion/update_flips";
                gradient_flips: u64 sum "parameters" "sum over the steps of motion/gradient_flips";
                held_out_lca: f64 sum "nats" "sum of lca_test/layer; NaN where it is not allocated";
            }
        }
    };
}

macro_rules! define {
    (
        steps { $($step:ident: $step_number:ident $step_rule:ident $step_unit:literal $step_what:literal;)* }
        layers { $($layer:ident: $layer_number:ident $layer_rule:ident $layer_unit:literal $layer_what:literal;)* }
    ) => {
        /// One layer over the steps of a summary.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
        pub struct LayerSummary {
            $(#[doc = concat!("In ", $layer_unit, ": ", $layer_what)] pub $layer: $layer_number,)*
        }

        /// Summary of the steps `first .. end`, usually one.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        pub struct StepSummary {
            pub first: u64,
            pub end: u64,
            $(#[doc = concat!("In ", $step_unit, ": ", $step_what)] pub $step: $step_number,)*
            /// `[L]`
            pub layers: Vec<LayerSummary>,
        }

        impl LayerSummary {
            fn merge(&mut self, later: &Self) {
                $(rules::$layer_rule(&mut self.$layer, later.$layer);)*
            }
        }

        impl StepSummary {
            /// Merges the summary of the steps that follow, field by field. The merged summary closes as its parts did.
            pub fn merge(&mut self, later: &Self) {
                self.end = later.end;
                $(rules::$step_rule(&mut self.$step, later.$step);)*
                for (layer, later) in self.layers.iter_mut().zip(&later.layers) {
                    layer.merge(later);
                }
            }
        }
    };
}

summary_fields!(define);

/// Rules by which a field merges with its later value.
mod rules {
    pub trait Number: Copy {
        fn plus(self, other: Self) -> Self;
        fn smaller(self, other: Self) -> Self;
        fn greater(self, other: Self) -> Self;
    }

    impl Number for f64 {
        fn plus(self, other: Self) -> Self {
            self + other
        }
        fn smaller(self, other: Self) -> Self {
            self.min(other)
        }
        fn greater(self, other: Self) -> Self {
            self.max(other)
        }
    }

    impl Number for u64 {
        fn plus(self, other: Self) -> Self {
            self.saturating_add(other)
        }
        fn smaller(self, other: Self) -> Self {
            self.min(other)
        }
        fn greater(self, other: Self) -> Self {
            self.max(other)
        }
    }

    pub fn keep<T>(_: &mut T, _: T) {}

    pub fn last<T>(value: &mut T, later: T) {
        *value = later;
    }

    pub fn sum<T: Number>(value: &mut T, later: T) {
        *value = value.plus(later);
    }

    pub fn least<T: Number>(value: &mut T, later: T) {
        *value = value.smaller(later);
    }

    pub fn most<T: Number>(value: &mut T, later: T) {
        *value = value.greater(later);
    }

    pub fn worst(value: &mut f64, later: f64) {
        *value = super::larger(*value, later);
    }
}

impl LayerSummary {
    /// Returns the allocation of one step, in nats, as a summary without counts and errors.
    #[must_use]
    pub fn of_step(lca: f64) -> Self {
        Self {
            lca,
            lca_min: lca,
            lca_max: lca,
            ..Self::default()
        }
    }
}

impl StepSummary {
    /// Returns the summary of one step.
    #[must_use]
    pub fn from_step(record: &StepRecord, tolerance: f64) -> Self {
        let lca = &record.lca;
        let motion = &record.motion;
        let held_out = record.lca_held_out.as_ref();
        let layers = (0..lca.layer.len()).map(|l| LayerSummary {
            lca_error: lca.layer_error[l],
            helped: lca.helped[l],
            hurt: lca.hurt[l],
            update_flips: motion.update_flips[l],
            gradient_flips: motion.gradient_flips[l],
            held_out_lca: held_out.map_or(f64::NAN, |a| a.layer[l]),
            ..LayerSummary::of_step(lca.layer[l])
        });
        Self {
            epoch: record.epoch,
            learning_rate: record.learning_rate,
            batch_loss: record.batch_loss,
            seconds: record.seconds,
            gradient_evals: record.gradient_evals,
            segments: record.segments,
            loss_before: record.loss_before,
            total: lca.total,
            layers: layers.collect(),
            ..Self::default()
        }
        .at_step(record.step, &record.after, lca.residual, tolerance)
    }

    /// Sets the fields that follow from the losses after a single step and from its residual, in nats. `tolerance` is the
    /// run's residual tolerance.
    #[must_use]
    pub fn at_step(self, step: u64, after: &Losses, residual: f64, tolerance: f64) -> Self {
        Self {
            first: step,
            end: step + 1,
            loss_after: after.train,
            train_accuracy: after.train_accuracy,
            test_loss: after.test,
            test_accuracy: after.test_accuracy,
            loss_min: after.train,
            loss_max: after.train,
            test_min: after.test,
            test_max: after.test,
            residual,
            worst_residual: residual.abs(),
            above_tolerance: count_above(residual, tolerance),
            ..self
        }
    }

    /// Number of steps covered.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.end - self.first
    }
}

/// Returns 1 for a step with a residual above the tolerance, or that is not a number, otherwise 0.
#[must_use]
pub fn count_above(residual: f64, tolerance: f64) -> u64 {
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
    use crate::record::{Allocation, HeldOutAllocation, Motion, Trace};

    #[test]
    fn a_nan_residual_is_above_tolerance_and_the_largest() {
        assert_eq!(count_above(f64::NAN, 1e-3), 1);
        assert_eq!(count_above(1e-3, 1e-3), 0);
        for (a, b) in [(f64::NAN, 1.0), (1.0, f64::NAN)] {
            assert!(larger(a, b).is_nan());
        }
        assert_eq!(larger(1.0, f64::INFINITY), f64::INFINITY);
    }

    /// A field that was forgotten would be 0.
    #[test]
    fn every_field_of_a_step_is_set() {
        let record = StepRecord {
            step: 3,
            epoch: 1.5,
            batch_loss: 2.0,
            learning_rate: 0.1,
            seconds: 4.0,
            gradient_evals: 2,
            segments: 2,
            loss_before: 5.0,
            after: Losses {
                train: 3.0,
                train_accuracy: 0.5,
                test: 6.0,
                test_accuracy: 0.4,
                ..Losses::default()
            },
            lca: Allocation {
                total: -1.0,
                residual: -1.0,
                layer: vec![-1.0],
                layer_error: vec![0.1],
                helped: vec![1],
                hurt: vec![2],
                ..Allocation::default()
            },
            lca_held_out: Some(HeldOutAllocation {
                layer: vec![-0.5],
                ..HeldOutAllocation::default()
            }),
            motion: Motion {
                update_flips: vec![1],
                gradient_flips: vec![2],
                ..Motion::default()
            },
            trace: Trace::default(),
            lca_param: None,
            weights: None,
            totals: None,
        };
        let summary = StepSummary::from_step(&record, 0.5);
        assert_eq!((summary.first, summary.end), (3, 4));
        macro_rules! assert_set {
            (
                steps { $($step:ident: $a:ident $b:ident $c:literal $d:literal;)* }
                layers { $($layer:ident: $e:ident $f:ident $g:literal $h:literal;)* }
            ) => {
                $(assert_ne!(summary.$step, $a::default(), stringify!($step));)*
                $(assert_ne!(summary.layers[0].$layer, $e::default(), stringify!($layer));)*
            };
        }
        summary_fields!(assert_set);
    }

    /// Returns neighbouring summaries along a path of losses, with whole numbers so that sums are exact.
    fn path(losses: &[i32], residuals: &[i32]) -> Vec<StepSummary> {
        (losses.windows(2).zip(residuals).zip(0_u64..))
            .map(|((ends, &residual), step)| {
                let (before, after) = (f64::from(ends[0]), f64::from(ends[1]));
                let total = after - before - f64::from(residual);
                let losses = Losses {
                    train: after,
                    test: after,
                    ..Losses::default()
                };
                let whole = StepSummary {
                    gradient_evals: 2,
                    segments: 2 + step % 3,
                    loss_before: before,
                    total,
                    layers: vec![
                        LayerSummary {
                            helped: step,
                            ..LayerSummary::of_step(total - 1.0)
                        },
                        LayerSummary {
                            hurt: 3,
                            ..LayerSummary::of_step(1.0)
                        },
                    ],
                    ..StepSummary::default()
                };
                let evaluated = if step % 2 == 0 { after } else { f64::NAN };
                StepSummary {
                    test_min: evaluated,
                    test_max: evaluated,
                    ..whole.at_step(step, &losses, residual.into(), 3.0)
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
