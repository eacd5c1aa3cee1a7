//! All steps of a run, kept so that any window of them is summed at once.
//!
//! An *entry* is one summary: a single step or, where the screen was too slow, several merged. Sums
//! over entries are differences of running sums, so a window costs the same however wide it is.

use std::ops::Range;

use crate::record::{Losses, StepSummary};

/// What a group of parameters did in a range of steps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GroupSums {
    /// Σ A, in nats.
    pub lca: f64,
    /// Parameter-steps that helped and hurt.
    pub helped: u64,
    pub hurt: u64,
    /// Parameter-steps whose movement changed sign.
    pub update_flips: u64,
    /// Parameter-steps there were.
    pub param_steps: u64,
}

impl GroupSums {
    /// Share of the parameter-steps that helped, 0 to 1; NaN without any.
    #[must_use]
    pub fn help_share(&self) -> f64 {
        ratio(self.helped, self.param_steps)
    }

    /// The same of those that hurt.
    #[must_use]
    pub fn hurt_share(&self) -> f64 {
        ratio(self.hurt, self.param_steps)
    }

    /// A parameter's movement changes sign every so many steps; infinite if it never does, NaN
    /// without any steps.
    #[must_use]
    pub fn steps_per_flip(&self) -> f64 {
        ratio(self.param_steps, self.update_flips)
    }

    /// Both groups, or both ranges of steps, together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let Self {
            lca,
            helped,
            hurt,
            update_flips,
            param_steps,
        } = other;
        Self {
            lca: self.lca + lca,
            helped: self.helped + helped,
            hurt: self.hurt + hurt,
            update_flips: self.update_flips + update_flips,
            param_steps: self.param_steps + param_steps,
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a count's first 15 digits are enough here"
)]
fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b as f64
}

/// Running sums of one layer: element k covers the entries before k.
struct LayerSums {
    params: u64,
    lca: Vec<f64>,
    helped: Vec<u64>,
    hurt: Vec<u64>,
    update_flips: Vec<u64>,
    /// Of each entry, a step's mean where it covers several: what charts show.
    values: Vec<f32>,
}

impl LayerSums {
    fn new(params: u64) -> Self {
        Self {
            params,
            lca: vec![0.0],
            helped: vec![0],
            hurt: vec![0],
            update_flips: vec![0],
            values: Vec::new(),
        }
    }
}

/// The steps of a run so far.
pub struct Timeline {
    initial: Option<Losses>,
    entries: Vec<StepSummary>,
    layers: Vec<LayerSums>,
    /// Running sums over entries.
    residual: Vec<f64>,
    gradient_evals: Vec<u64>,
    train_loss: Vec<f32>,
    test_loss: Vec<f32>,
}

impl Timeline {
    /// An empty timeline of layers with this many parameters each.
    #[must_use]
    pub fn new(layer_params: impl Iterator<Item = u64>) -> Self {
        Self {
            initial: None,
            entries: Vec::new(),
            layers: layer_params.map(LayerSums::new).collect(),
            residual: vec![0.0],
            gradient_evals: vec![0],
            train_loss: Vec::new(),
            test_loss: Vec::new(),
        }
    }

    /// Takes the losses at `θ_0`.
    pub fn start(&mut self, losses: Losses) {
        self.initial = Some(losses);
    }

    /// Appends the steps that follow those there are. A summary that does not follow is ignored, as
    /// is one of another number of layers.
    pub fn push(&mut self, summary: StepSummary) {
        if summary.first != self.end() || summary.layers.len() != self.layers.len() {
            return;
        }
        let steps = summary.steps();
        for (sums, layer) in self.layers.iter_mut().zip(&summary.layers) {
            sums.lca.push(last(&sums.lca) + layer.lca);
            sums.helped.push(last(&sums.helped) + layer.helped);
            sums.hurt.push(last(&sums.hurt) + layer.hurt);
            sums.update_flips
                .push(last(&sums.update_flips) + layer.update_flips);
            #[expect(clippy::cast_precision_loss, reason = "few steps are ever merged")]
            sums.values.push(single(layer.lca / steps as f64));
        }
        self.residual.push(last(&self.residual) + summary.residual);
        self.gradient_evals
            .push(last(&self.gradient_evals) + summary.gradient_evals);
        self.train_loss.push(single(summary.loss_after));
        self.test_loss.push(single(summary.test_loss));
        self.entries.push(summary);
    }

    /// Losses at `θ_0`, once known.
    #[must_use]
    pub fn initial(&self) -> Option<&Losses> {
        self.initial.as_ref()
    }

    /// Steps so far.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.end)
    }

    #[must_use]
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// The entry that covers a step.
    #[must_use]
    pub fn entry(&self, step: u64) -> Option<&StepSummary> {
        let index = self.entries.partition_point(|entry| entry.end <= step);
        self.entries.get(index)
    }

    /// Indices of the entries that any of the steps lie in.
    #[must_use]
    pub fn entries(&self, steps: &Range<u64>) -> Range<usize> {
        let from = self
            .entries
            .partition_point(|entry| entry.end <= steps.start);
        let to = self
            .entries
            .partition_point(|entry| entry.first < steps.end);
        from..to.max(from)
    }

    /// Allocations of a layer in a range of entries, in nats a step, for charts.
    #[must_use]
    pub fn layer_values(&self, layer: usize, entries: Range<usize>) -> &[f32] {
        &self.layers[layer].values[entries]
    }

    /// Training losses after each entry of a range, in nats.
    #[must_use]
    pub fn train_loss(&self, entries: Range<usize>) -> &[f32] {
        &self.train_loss[entries]
    }

    /// Held-out losses after each entry of a range, in nats; NaN where not evaluated.
    #[must_use]
    pub fn test_loss(&self, entries: Range<usize>) -> &[f32] {
        &self.test_loss[entries]
    }

    /// What a layer did in a range of entries.
    #[must_use]
    pub fn layer_sums(&self, layer: usize, entries: &Range<usize>) -> GroupSums {
        let sums = &self.layers[layer];
        let steps = self.steps(entries);
        GroupSums {
            lca: sums.lca[entries.end] - sums.lca[entries.start],
            helped: sums.helped[entries.end] - sums.helped[entries.start],
            hurt: sums.hurt[entries.end] - sums.hurt[entries.start],
            update_flips: sums.update_flips[entries.end] - sums.update_flips[entries.start],
            param_steps: (steps.end - steps.start) * sums.params,
        }
    }

    /// What all layers did in a range of entries.
    #[must_use]
    pub fn total_sums(&self, entries: &Range<usize>) -> GroupSums {
        let layers = 0..self.layers.len();
        layers.fold(GroupSums::default(), |sum, layer| {
            sum.plus(&self.layer_sums(layer, entries))
        })
    }

    /// Actual change of the training loss over a range of entries, in nats.
    #[must_use]
    pub fn loss_change(&self, entries: &Range<usize>) -> f64 {
        match &self.entries[entries.clone()] {
            [] => 0.0,
            [first, .., end] => end.loss_after - first.loss_before,
            [only] => only.loss_after - only.loss_before,
        }
    }

    /// Σ of the residuals over a range of entries, in nats.
    #[must_use]
    pub fn residual(&self, entries: &Range<usize>) -> f64 {
        self.residual[entries.end] - self.residual[entries.start]
    }

    /// The largest residual of a single step, without its sign, in nats.
    #[must_use]
    pub fn worst_residual(&self) -> f64 {
        self.entries
            .iter()
            .map(|entry| entry.worst_residual)
            .fold(0.0, f64::max)
    }

    /// Entries in which a step's residual is above a limit, in nats.
    #[must_use]
    pub fn residuals_above(&self, limit: f64) -> usize {
        let above = |entry: &&StepSummary| entry.worst_residual > limit;
        self.entries.iter().filter(above).count()
    }

    /// Full gradients spent in a range of entries.
    #[must_use]
    pub fn gradient_evals(&self, entries: &Range<usize>) -> u64 {
        self.gradient_evals[entries.end] - self.gradient_evals[entries.start]
    }

    /// The steps that a range of entries covers.
    #[must_use]
    pub fn steps(&self, entries: &Range<usize>) -> Range<u64> {
        match &self.entries[entries.clone()] {
            [] => 0..0,
            [first, .., end] => first.first..end.end,
            [only] => only.first..only.end,
        }
    }

    /// All entries.
    #[must_use]
    pub fn all(&self) -> Range<usize> {
        0..self.entries.len()
    }

    /// Entries that cover more than one step, because the screen was slow.
    #[must_use]
    pub fn merged_entries(&self) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.steps() > 1)
            .count()
    }
}

fn last<T: Copy + Default>(values: &[T]) -> T {
    values.last().copied().unwrap_or_default()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "charts need no more than f32"
)]
fn single(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::LayerSummary;

    /// A step with two layers of 10 and 5 parameters.
    pub fn step(first: u64, lca: [f64; 2]) -> StepSummary {
        StepSummary {
            first,
            end: first + 1,
            epoch: 0.0,
            learning_rate: 0.1,
            batch_loss: 1.0,
            seconds: 0.0,
            gradient_evals: 2,
            segments: 2,
            loss_before: 1.0,
            loss_after: 1.0 + lca[0] + lca[1],
            train_accuracy: 0.5,
            test_loss: f64::NAN,
            test_accuracy: f64::NAN,
            total: lca[0] + lca[1],
            residual: 0.0,
            worst_residual: 0.0,
            layers: lca
                .map(|lca| LayerSummary {
                    lca,
                    helped: 3,
                    hurt: 2,
                    update_flips: 1,
                    ..LayerSummary::default()
                })
                .to_vec(),
        }
    }

    proptest! {
        #[test]
        fn a_windows_sums_are_the_sums_of_its_steps(
            values in prop::collection::vec((-100i32..100, -100i32..100), 1..40),
            ends in (0u64..50, 0u64..50),
        ) {
            let mut timeline = Timeline::new([10, 5].into_iter());
            for (t, &(a, b)) in (0..).zip(&values) {
                timeline.push(step(t, [f64::from(a), f64::from(b)]));
            }
            let (from, to) = (ends.0.min(ends.1), ends.0.max(ends.1));
            let entries = timeline.entries(&(from..to));
            let inside = |t: &u64| (from..to).contains(t);
            let steps = (0..values.len() as u64).filter(inside).count() as u64;
            let a: i32 = (0..).zip(&values).filter(|(t, _)| inside(t)).map(|(_, v)| v.0).sum();
            let sums = timeline.layer_sums(0, &entries);
            prop_assert_eq!(sums.lca, f64::from(a));
            prop_assert_eq!(sums.param_steps, 10 * steps);
            prop_assert_eq!(timeline.total_sums(&entries).helped, 6 * steps);
            prop_assert_eq!(timeline.gradient_evals(&entries), 2 * steps);
        }
    }

    #[test]
    fn merged_steps_count_as_many() {
        let mut timeline = Timeline::new([10, 5].into_iter());
        timeline.push(step(0, [-1.0, 0.5]));
        let mut merged = step(1, [-2.0, 0.0]);
        merged.merge(&step(2, [-4.0, 0.0]));
        timeline.push(merged);
        assert_eq!(timeline.end(), 3);
        assert_eq!(timeline.merged_entries(), 1);
        assert_eq!(timeline.layer_values(0, 0..2), [-1.0, -3.0]);
        assert_eq!(timeline.layer_sums(0, &(0..2)).lca, -7.0);
        assert_eq!(timeline.layer_sums(0, &(0..2)).param_steps, 30);
        assert_eq!(timeline.entry(2).unwrap().first, 1);
        assert_eq!(timeline.layer_sums(0, &(0..2)).steps_per_flip(), 10.0);
    }

    #[test]
    fn what_does_not_follow_is_ignored() {
        let mut timeline = Timeline::new([10, 5].into_iter());
        timeline.push(step(5, [0.0, 0.0]));
        timeline.push(StepSummary {
            layers: Vec::new(),
            ..step(0, [0.0, 0.0])
        });
        assert_eq!(timeline.end(), 0);
        assert_eq!(timeline.total_sums(&timeline.all()), GroupSums::default());
    }
}
