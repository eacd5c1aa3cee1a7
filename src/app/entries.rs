//! Contiguous step summaries with sums over groups of them, so that any range is summed quickly.
//!
//! An *entry* is one summary: a single step, or several merged. Summing a range takes at most about a hundred additions
//! plus one for each group, however wide the range is. Counts are differences of running sums, which integers keep
//! exact.

use std::ops::Range;

use super::sums::GroupSums;
use crate::analysis::bins::Extent;
use crate::analysis::sum::Sum;
use crate::record::StepSummary;

/// Entries in a group.
const GROUP: usize = 64;

/// One number for each entry, and the sums of groups of them. A range is summed from its own values: a difference of
/// running sums would have lost its digits after a step of 10¹².
struct Sums {
    values: Vec<f64>,
    /// The sum of every complete group.
    groups: Vec<Sum>,
}

impl Sums {
    fn new() -> Self {
        Self {
            values: Vec::new(),
            groups: Vec::new(),
        }
    }

    fn push(&mut self, value: f64) {
        self.values.push(value);
        if self.values.len().is_multiple_of(GROUP) {
            let group = &self.values[self.values.len() - GROUP..];
            self.groups.push(group.iter().copied().collect());
        }
    }

    fn pop(&mut self) {
        self.values.pop();
        self.groups.truncate(self.values.len() / GROUP);
    }

    /// Returns the sum over a range; NaN if any value in it is not finite.
    fn of(&self, entries: &Range<usize>) -> f64 {
        let Range { start, end } = *entries;
        let (first, last) = (start.div_ceil(GROUP), end / GROUP);
        let mut all = Sum::default();
        if first < last {
            let ends = [start..first * GROUP, last * GROUP..end];
            let ends = ends.into_iter().flat_map(|range| &self.values[range]);
            ends.for_each(|&value| all.add(value));
            let groups = &self.groups[first..last];
            for &group in groups {
                all.merge(group);
            }
        } else {
            let values = &self.values[start..end];
            for &value in values {
                all.add(value);
            }
        }
        let all = all.value();
        if all.is_finite() { all } else { f64::NAN }
    }
}

/// The sums of a layer; in counts, element k covers the entries before k.
struct LayerSums {
    params: u64,
    lca: Sums,
    helped: Vec<u64>,
    hurt: Vec<u64>,
    update_flips: Vec<u64>,
    gradient_flips: Vec<u64>,
    error: Sums,
    held_out: Sums,
    /// Smallest and largest value of a single step, by entry: what charts show.
    extents: Vec<Extent>,
}

/// Summaries in order, without gaps.
pub struct Entries {
    list: Vec<StepSummary>,
    layers: Vec<LayerSums>,
    residual: Sums,
    gradient_evals: Vec<u64>,
    train_loss: Vec<Extent>,
    test_loss: Vec<Extent>,
}

impl Entries {
    /// An empty list for layers with these numbers of parameters.
    pub fn new(layer_params: impl Iterator<Item = u64>) -> Self {
        let layer = |params| LayerSums {
            params,
            lca: Sums::new(),
            helped: vec![0],
            hurt: vec![0],
            update_flips: vec![0],
            gradient_flips: vec![0],
            error: Sums::new(),
            held_out: Sums::new(),
            extents: Vec::new(),
        };
        Self {
            list: Vec::new(),
            layers: layer_params.map(layer).collect(),
            residual: Sums::new(),
            gradient_evals: vec![0],
            train_loss: Vec::new(),
            test_loss: Vec::new(),
        }
    }

    /// Returns an empty list for the same layers.
    pub fn empty(&self) -> Self {
        Self::new(self.layers.iter().map(|layer| layer.params))
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn list(&self) -> &[StepSummary] {
        &self.list
    }

    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Returns the steps from the first entry to the last.
    pub fn steps(&self) -> Range<u64> {
        match (self.list.first(), self.list.last()) {
            (Some(first), Some(last)) => first.first..last.end,
            _ => 0..0,
        }
    }

    /// Returns true if a summary can be the next entry.
    pub fn fits(&self, summary: &StepSummary) -> bool {
        let follows = (self.list.last()).is_none_or(|last| last.end == summary.first);
        follows && summary.first < summary.end && summary.layers.len() == self.layers.len()
    }

    /// Appends an entry, which must fit.
    pub fn push(&mut self, summary: StepSummary) {
        for (sums, layer) in self.layers.iter_mut().zip(&summary.layers) {
            sums.lca.push(layer.lca);
            sums.error.push(layer.lca_error);
            sums.held_out.push(layer.held_out_lca);
            // A damaged file may hold any counts; wrapping keeps differences over later ranges right.
            for (sums, count) in [
                (&mut sums.helped, layer.helped),
                (&mut sums.hurt, layer.hurt),
                (&mut sums.update_flips, layer.update_flips),
                (&mut sums.gradient_flips, layer.gradient_flips),
            ] {
                sums.push(last(sums).wrapping_add(count));
            }
            sums.extents.push(extent(layer.lca_min, layer.lca_max));
        }
        self.residual.push(summary.residual);
        self.gradient_evals
            .push(last(&self.gradient_evals).wrapping_add(summary.gradient_evals));
        self.train_loss
            .push(extent(summary.loss_min, summary.loss_max));
        self.test_loss
            .push(extent(summary.test_min, summary.test_max));
        self.list.push(summary);
    }

    /// Appends a summary, which must fit, or merges it into the last entry if both lie within the same `width` steps.
    pub fn absorb(&mut self, summary: StepSummary, width: u64) {
        match self.list.last() {
            Some(last) if together(last, &summary, width) => {
                if let Some(mut last) = self.pop() {
                    last.merge(&summary);
                    self.push(last);
                }
            }
            _ => self.push(summary),
        }
    }

    fn pop(&mut self) -> Option<StepSummary> {
        for sums in &mut self.layers {
            sums.lca.pop();
            sums.helped.pop();
            sums.hurt.pop();
            sums.update_flips.pop();
            sums.gradient_flips.pop();
            sums.error.pop();
            sums.held_out.pop();
            sums.extents.pop();
        }
        self.residual.pop();
        self.gradient_evals.pop();
        self.train_loss.pop();
        self.test_loss.pop();
        self.list.pop()
    }

    /// Merges the entries that lie within the same `width` steps.
    pub fn coarsen(&mut self, width: u64) {
        let mut coarse = self.empty();
        let mut open: Option<StepSummary> = None;
        for entry in std::mem::take(&mut self.list) {
            match &mut open {
                Some(merged) if together(merged, &entry, width) => merged.merge(&entry),
                _ => {
                    if let Some(merged) = open.replace(entry) {
                        coarse.push(merged);
                    }
                }
            }
        }
        if let Some(merged) = open {
            coarse.push(merged);
        }
        *self = coarse;
    }

    /// Drops all but the last `count` entries.
    pub fn keep_last(&mut self, count: usize) {
        let from = self.list.len().saturating_sub(count);
        let mut kept = self.empty();
        for entry in self.list.drain(from..) {
            kept.push(entry);
        }
        *self = kept;
    }

    /// Returns the entry that covers a step.
    pub fn at(&self, step: u64) -> Option<&StepSummary> {
        let entry = self.list.get(self.index_of(step))?;
        (entry.first <= step).then_some(entry)
    }

    /// Returns the index of the first entry that ends after a step.
    pub fn index_of(&self, step: u64) -> usize {
        self.list.partition_point(|entry| entry.end <= step)
    }

    /// Returns the indices of the entries that overlap the steps.
    pub fn indices(&self, steps: &Range<u64>) -> Range<usize> {
        let from = self.index_of(steps.start);
        let to = self.list.partition_point(|entry| entry.first < steps.end);
        from..to.max(from)
    }

    /// Returns a layer's sums over a range of entries; Σ A is NaN if one of them is not finite.
    pub fn layer_sums(&self, layer: usize, entries: &Range<usize>) -> GroupSums {
        let sums = &self.layers[layer];
        let Range { start, end } = *entries;
        let steps = match &self.list[entries.clone()] {
            [] => 0,
            [only] => only.steps(),
            [first, .., last] => last.end - first.first,
        };
        GroupSums {
            lca: sums.lca.of(entries),
            helped: sums.helped[end].wrapping_sub(sums.helped[start]),
            hurt: sums.hurt[end].wrapping_sub(sums.hurt[start]),
            update_flips: sums.update_flips[end].wrapping_sub(sums.update_flips[start]),
            gradient_flips: sums.gradient_flips[end].wrapping_sub(sums.gradient_flips[start]),
            param_steps: steps.saturating_mul(sums.params),
        }
    }

    /// Returns Σ A of a layer, in nats: only this number of [`Self::layer_sums`].
    pub fn lca(&self, layer: usize, entries: &Range<usize>) -> f64 {
        self.layers[layer].lca.of(entries)
    }

    /// Returns A of a layer in every entry, in nats.
    pub fn lca_values(&self, layer: usize) -> &[f64] {
        &self.layers[layer].lca.values
    }

    /// Returns A of the held-out loss for a layer in every entry, in nats; NaN if it is not allocated.
    pub fn held_out_lca_values(&self, layer: usize) -> &[f64] {
        &self.layers[layer].held_out.values
    }

    /// Returns Σ A of the held-out loss for a layer, in nats; NaN if it is not allocated.
    pub fn held_out_lca(&self, layer: usize, entries: &Range<usize>) -> f64 {
        self.layers[layer].held_out.of(entries)
    }

    /// Returns the sum of a layer's estimated integration errors, in nats.
    pub fn lca_error(&self, layer: usize, entries: &Range<usize>) -> f64 {
        self.layers[layer].error.of(entries)
    }

    pub fn residual(&self, entries: &Range<usize>) -> f64 {
        self.residual.of(entries)
    }

    pub fn gradient_evals(&self, entries: &Range<usize>) -> u64 {
        self.gradient_evals[entries.end].wrapping_sub(self.gradient_evals[entries.start])
    }

    /// Returns the smallest and largest A of a layer in a single step, by entry, in nats.
    pub fn layer_extents(&self, layer: usize) -> &[Extent] {
        &self.layers[layer].extents
    }

    /// Returns the smallest and largest training loss after a step, by entry, in nats.
    pub fn train_loss(&self) -> &[Extent] {
        &self.train_loss
    }

    /// Returns the smallest and largest held-out loss, by entry, in nats; NaN where it was not evaluated.
    pub fn test_loss(&self) -> &[Extent] {
        &self.test_loss
    }
}

/// Returns true if two neighbours lie within the same `width` steps.
fn together(earlier: &StepSummary, later: &StepSummary, width: u64) -> bool {
    earlier.first / width == (later.end - 1) / width
}

fn last<T: Copy + Default>(values: &[T]) -> T {
    values.last().copied().unwrap_or_default()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "charts need no more than f32"
)]
fn extent(min: f64, max: f64) -> Extent {
    Extent {
        min: min as f32,
        max: max as f32,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::timeline::tests::step;
    use super::*;

    fn odd() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => -1.0..1.0,
            1 => Just(f64::NAN),
            1 => Just(f64::INFINITY),
        ]
    }

    proptest! {
        /// Compared with integers, which are added exactly: a step of 10¹² takes no digits from another.
        #[test]
        fn a_divergence_does_not_cost_other_steps_precision(
            values in prop::collection::vec((-1_000_000_i64..1_000_000, 0_u32..30), 1..200),
            pops in 0_usize..3,
            ranges in prop::collection::vec((0_usize..200, 0_usize..200), 1..20),
        ) {
            let values: Vec<i128> = values.iter().map(|&(n, shift)| i128::from(n) << shift.saturating_sub(20).pow(2)).collect();
            #[expect(clippy::cast_precision_loss, reason = "20 bits, shifted")]
            let real = |n: i128| n as f64;
            let mut sums = Sums::new();
            for &value in &values {
                // Values that are popped again leave nothing behind.
                (0..pops).for_each(|_| sums.push(1e300));
                (0..pops).for_each(|_| sums.pop());
                sums.push(real(value));
            }
            for (a, b) in ranges {
                let (a, b) = (a.min(values.len()), b.min(values.len()));
                let range = a.min(b)..a.max(b);
                let exact = real(values[range.clone()].iter().sum());
                let found = sums.of(&range);
                let size: f64 = values[range.clone()].iter().map(|&n| real(n).abs()).sum();
                let most = 4.0 * f64::EPSILON * exact.abs() + 64.0 * f64::EPSILON.powi(2) * size;
                prop_assert!((found - exact).abs() <= most, "{found} {exact}");
                if range.len() == 1 {
                    prop_assert!(found.to_bits() == exact.to_bits());
                }
            }
        }

        /// A step without a finite number makes only the sums over it unknown, whatever was merged.
        #[test]
        fn sums_are_nan_only_where_a_value_is_nan(
            values in prop::collection::vec(odd(), 1..40),
            width in 1u64..5,
        ) {
            let mut entries = Entries::new([10, 5].into_iter());
            for (t, &value) in (0..).zip(&values) {
                let mut summary = step(t, [value, 0.25]);
                summary.residual = value;
                summary.layers[1].held_out_lca = value;
                summary.layers[0].lca_error = value;
                entries.absorb(summary, width);
            }
            let count = entries.len();
            for start in 0..=count {
                for end in start..=count {
                    let steps = entries.list()[start..end].iter();
                    let own = steps.flat_map(|entry| entry.first..entry.end);
                    let sum: f64 = own.map(|t| values[usize::try_from(t).unwrap()]).sum();
                    let range = start..end;
                    for found in [
                        entries.layer_sums(0, &range).lca,
                        entries.residual(&range),
                        entries.held_out_lca(1, &range),
                        entries.lca_error(0, &range),
                    ] {
                        if sum.is_finite() { prop_assert!((found - sum).abs() < 1e-9, "{found} {sum}") } else { prop_assert!(found.is_nan(), "{found} {sum}") }
                    }
                    prop_assert!(entries.layer_sums(1, &range).lca.is_finite());
                }
            }
        }
    }
}
