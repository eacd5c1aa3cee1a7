//! Running sums up to each entry of a stretch, at the cost of one number for each entry and layer.

use std::ops::Range;

use super::entries::Entries;
use super::stretch::Stretch;
use crate::analysis::bins::Extent;
use crate::analysis::sum::{Sum, sum};

impl Stretch<'_> {
    /// Returns Σ A of a layer, in nats: only this number of [`Self::layer_sums`].
    #[must_use]
    pub fn lca(&self, layer: usize) -> f64 {
        let pieces = self.pieces.iter();
        sum(pieces.map(|(entries, range)| entries.lca(layer, range)))
    }

    /// Returns the steps of each entry, in order.
    pub fn entries(&self) -> impl Iterator<Item = Range<u64>> {
        self.summaries().map(|entry| entry.first..entry.end)
    }

    /// Returns the running Σ A of these layers together, from the first step to the end of each entry (`[entries]`), in
    /// nats. Not finite from the first entry that is not finite on.
    #[must_use]
    pub fn running_lca(&self, layers: &[usize]) -> Vec<f64> {
        self.running(layers, Entries::lca_values)
    }

    /// Returns the running Σ A of the held-out loss, as [`Self::running_lca`] does.
    #[must_use]
    pub fn running_held_out_lca(&self, layers: &[usize]) -> Vec<f64> {
        self.running(layers, Entries::held_out_lca_values)
    }

    /// Returns the actual change of the training loss from the first step to the end of each entry (`[entries]`), in
    /// nats.
    #[must_use]
    pub fn running_change(&self) -> Vec<f64> {
        let first = self.summaries().next();
        let before = first.map_or(f64::NAN, |entry| entry.loss_before);
        self.summaries()
            .map(|entry| entry.loss_after - before)
            .collect()
    }

    fn running(&self, layers: &[usize], values: impl Fn(&Entries, usize) -> &[f64]) -> Vec<f64> {
        let mut sums = Vec::new();
        for (entries, range) in &self.pieces {
            let from = sums.len();
            sums.resize(from + range.len(), 0.0);
            // Layer by layer, since the numbers of a layer are contiguous.
            for &layer in layers {
                let values = &values(entries, layer)[range.clone()];
                for (sum, value) in sums[from..].iter_mut().zip(values) {
                    *sum += value;
                }
            }
        }
        let mut all = Sum::default();
        for sum in &mut sums {
            all.add(*sum);
            *sum = all.value();
        }
        sums
    }

    /// Returns a layer's smallest and largest A in a single step, in nats; `None` if no number is finite.
    #[must_use]
    pub fn layer_extent(&self, layer: usize) -> Option<Extent> {
        let pieces = self.pieces.iter();
        let extents =
            pieces.flat_map(|(entries, range)| &entries.layer_extents(layer)[range.clone()]);
        extents
            .filter(|extent| extent.min.is_finite() && extent.max.is_finite())
            .copied()
            .reduce(Extent::merge)
    }
}
