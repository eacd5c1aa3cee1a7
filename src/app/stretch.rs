//! Stretches: ranges of steps with their sums and chart data.

use std::ops::Range;

use super::entries::Entries;
use super::sums::GroupSums;
use crate::analysis::bins::{self, Extent};
use crate::analysis::sum::sum;
use crate::record::{StepSummary, larger};

/// Steps in pieces of different resolution, in order and without gaps. Its sums are exactly those of
/// [`steps`](Self::steps), which may be slightly more than requested, since an entry is never split.
#[derive(Clone)]
pub struct Stretch<'a> {
    pub(super) pieces: Vec<(&'a Entries, Range<usize>)>,
}

impl<'a> Stretch<'a> {
    /// An empty stretch.
    pub(super) fn new() -> Self {
        Self { pieces: Vec::new() }
    }

    pub(super) fn push(&mut self, entries: &'a Entries, indices: Range<usize>) {
        if indices.is_empty() {
            return;
        }
        match self.pieces.last_mut() {
            Some((last, range)) if std::ptr::eq(*last, entries) && range.end == indices.start => {
                range.end = indices.end;
            }
            _ => self.pieces.push((entries, indices)),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(super) fn summaries(&self) -> impl DoubleEndedIterator<Item = &'a StepSummary> {
        let pieces = self.pieces.iter();
        pieces.flat_map(|(entries, range)| &entries.list()[range.clone()])
    }

    /// Returns the steps that the stretch covers.
    #[must_use]
    pub fn steps(&self) -> Range<u64> {
        match (self.summaries().next(), self.summaries().next_back()) {
            (Some(first), Some(last)) => first.first..last.end,
            _ => 0..0,
        }
    }

    /// Returns the number of steps.
    #[must_use]
    pub fn len(&self) -> u64 {
        let steps = self.steps();
        steps.end - steps.start
    }

    /// Returns the largest number of steps in an entry.
    #[must_use]
    pub fn coarsest(&self) -> u64 {
        let steps = self.summaries().map(StepSummary::steps);
        steps.max().unwrap_or(0)
    }

    /// Returns a layer's sums.
    #[must_use]
    pub fn layer_sums(&self, layer: usize) -> GroupSums {
        let pieces = self.pieces.iter();
        let all = pieces.fold(GroupSums::default(), |all, (entries, range)| {
            all.plus(&entries.layer_sums(layer, range))
        });
        let lca = self.lca(layer);
        GroupSums { lca, ..all }
    }

    /// Returns the sums of all layers.
    #[must_use]
    pub fn total_sums(&self) -> GroupSums {
        let layers = self
            .pieces
            .first()
            .map_or(0, |(entries, _)| entries.layers());
        let all = (0..layers).fold(GroupSums::default(), |all, layer| {
            all.plus(&self.layer_sums(layer))
        });
        // Layers may have diverged in opposite directions, by 10¹² nats in a step.
        let lca = sum((0..layers).map(|layer| self.lca(layer)));
        GroupSums { lca, ..all }
    }

    /// Returns the actual change of the training loss, in nats.
    #[must_use]
    pub fn loss_change(&self) -> f64 {
        match (self.summaries().next(), self.summaries().next_back()) {
            (Some(first), Some(last)) => last.loss_after - first.loss_before,
            _ => 0.0,
        }
    }

    /// Returns the sum of the residuals, in nats.
    #[must_use]
    pub fn residual(&self) -> f64 {
        let pieces = self.pieces.iter();
        sum(pieces.map(|(entries, range)| entries.residual(range)))
    }

    /// Returns the number of full gradients evaluated.
    #[must_use]
    pub fn gradient_evals(&self) -> u64 {
        let pieces = self.pieces.iter();
        pieces
            .map(|(entries, range)| entries.gradient_evals(range))
            .fold(0, u64::saturating_add)
    }

    /// Returns the largest magnitude of a single step's residual, in nats.
    #[must_use]
    pub fn worst_residual(&self) -> f64 {
        let worst = self.summaries().map(|entry| entry.worst_residual);
        worst.fold(0.0, larger)
    }

    /// Returns the number of steps whose residual is above the run's tolerance.
    #[must_use]
    pub fn above_tolerance(&self) -> u64 {
        let above = self.summaries().map(|entry| entry.above_tolerance);
        above.fold(0, u64::saturating_add)
    }

    /// Returns the columns of a chart of the stretch. An entry may span several columns, or share one.
    #[must_use]
    pub fn columns(&self, columns: usize) -> Columns<'a> {
        self.columns_on(&self.steps(), columns)
    }

    /// Returns its columns on a longer axis, which must contain all steps of the stretch.
    #[must_use]
    pub fn columns_on(&self, all: &Range<u64>, columns: usize) -> Columns<'a> {
        debug_assert!(self.is_empty() || all.start <= self.steps().start);
        let n = size(all.end - all.start);
        let of_entry = |entry: &StepSummary| {
            let at = |step: u64| bins::column_of(size(step - all.start), n, columns);
            at(entry.first).start..at(entry.end - 1).end
        };
        Columns {
            stretch: self.clone(),
            of_entries: self.summaries().map(of_entry).collect(),
            count: columns,
        }
    }

    /// Splits into pieces that each end with the first entry to reach or pass a multiple of `width` steps.
    pub(super) fn split(&self, width: u64) -> Vec<Self> {
        let mut columns = Vec::new();
        let mut column = Self::new();
        let mut boundary = self.steps().start / width * width + width;
        for (entries, range) in &self.pieces {
            let mut from = range.start;
            while from < range.end {
                let list = &entries.list()[from..range.end];
                // The first entry that reaches the boundary is the last of the column.
                let before = list.partition_point(|entry| entry.end < boundary);
                let to = (from + before + 1).min(range.end);
                column.push(entries, from..to);
                from = to;
                let end = entries.list()[to - 1].end;
                if end >= boundary {
                    columns.push(std::mem::replace(&mut column, Self::new()));
                    boundary = end / width * width + width;
                }
            }
        }
        if !column.is_empty() {
            columns.push(column);
        }
        columns
    }

    /// Returns Σ A of the held-out loss for a layer, in nats; NaN if it is not allocated.
    #[must_use]
    pub fn held_out_lca(&self, layer: usize) -> f64 {
        let pieces = self.pieces.iter();
        sum(pieces.map(|(entries, range)| entries.held_out_lca(layer, range)))
    }

    /// Returns the sum of a layer's estimated integration errors, in nats.
    #[must_use]
    pub fn lca_error(&self, layer: usize) -> f64 {
        let pieces = self.pieces.iter();
        sum(pieces.map(|(entries, range)| entries.lca_error(layer, range)))
    }

    /// Returns the first column of a step in such a chart, if the step is in the stretch.
    #[must_use]
    pub fn column_of(&self, step: u64, columns: usize) -> Option<usize> {
        self.column_on(&self.steps(), step, columns)
    }

    /// Returns the first column of a step on a longer axis.
    #[must_use]
    pub fn column_on(&self, all: &Range<u64>, step: u64, columns: usize) -> Option<usize> {
        let n = size(all.end - all.start);
        (self.steps().contains(&step))
            .then(|| bins::column_of(size(step - all.start), n, columns).start)
    }
}

/// The entries of a stretch by chart column. A column shows the extremes of its steps, in coarse entries too; where
/// there is no finite number there is a gap.
pub struct Columns<'a> {
    stretch: Stretch<'a>,
    of_entries: Vec<Range<usize>>,
    count: usize,
}

impl Columns<'_> {
    /// Returns a layer's A in a single step, in nats, by column.
    #[must_use]
    pub fn layer(&self, layer: usize) -> Vec<Option<Extent>> {
        self.spread(|entries| entries.layer_extents(layer))
    }

    /// Returns the training losses, in nats, by column.
    #[must_use]
    pub fn train_loss(&self) -> Vec<Option<Extent>> {
        self.spread(Entries::train_loss)
    }

    /// Returns the held-out losses, in nats, by column.
    #[must_use]
    pub fn test_loss(&self) -> Vec<Option<Extent>> {
        self.spread(Entries::test_loss)
    }

    fn spread(&self, values: impl Fn(&Entries) -> &[Extent]) -> Vec<Option<Extent>> {
        let mut columns = vec![None; self.count];
        let pieces = self.stretch.pieces.iter();
        let extents = pieces.flat_map(|(entries, range)| &values(entries)[range.clone()]);
        for (&extent, at) in extents.zip(&self.of_entries) {
            if !(extent.min.is_finite() && extent.max.is_finite()) {
                continue;
            }
            for column in &mut columns[at.clone()] {
                *column = Some(column.map_or(extent, |there: Extent| there.merge(extent)));
            }
        }
        columns
    }
}

fn size(steps: u64) -> usize {
    usize::try_from(steps).unwrap_or(usize::MAX)
}
