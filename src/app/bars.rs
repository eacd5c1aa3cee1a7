//! Bars: a stretch of steps in columns whose sums are exact.
//!
//! ```text
//! entries   |-32-|-32-|-32-|-32-|-32-|-32-|-32-|-1|1|1|       never cut
//! columns   |-------64-----|------64-----| …                  as many entries in each as it takes
//! ```
//!
//! A line may show an entry in every column that it touches. A bar may not, or the bars would add up to more than the
//! total. So bars consist of whole entries, and there may be slightly fewer of them than the chart has columns.

use std::ops::Range;

use super::stretch::Stretch;

/// Columns of a stretch, in order and without gaps; together they cover it.
pub struct Bars<'a>(Vec<Stretch<'a>>);

impl<'a> Stretch<'a> {
    /// Returns about `most` columns or fewer, with exact sums.
    #[must_use]
    pub fn bars(&self, most: usize) -> Bars<'a> {
        let steps = self.steps();
        let count = steps.end - steps.start;
        let most = most.max(1) as u64;
        let coarsest = self.coarsest().max(1);
        // A multiple of the coarsest entry, so that all columns are equally wide.
        let width = count.div_ceil(most).div_ceil(coarsest).max(1) * coarsest;
        Bars(self.split(width))
    }
}

impl<'a> Bars<'a> {
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the stretch that a column covers.
    #[must_use]
    pub fn get(&self, column: usize) -> Option<&Stretch<'a>> {
        self.0.get(column)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Stretch<'a>> {
        self.0.iter()
    }

    /// Returns the boundaries, `[len + 1]`, ascending: column c covers the steps `edges[c] .. edges[c + 1]`.
    #[must_use]
    pub fn edges(&self) -> Vec<u64> {
        let ends = self.0.iter().map(|column| column.steps().end);
        let start = self.0.first().map(|column| column.steps().start);
        start.into_iter().chain(ends).collect()
    }

    /// Returns the steps of all columns.
    #[must_use]
    pub fn steps(&self) -> Range<u64> {
        match (self.0.first(), self.0.last()) {
            (Some(first), Some(last)) => first.steps().start..last.steps().end,
            _ => 0..0,
        }
    }

    /// Returns the column of a step.
    #[must_use]
    pub fn column_of(&self, step: u64) -> Option<usize> {
        let at = self.0.partition_point(|column| column.steps().end <= step);
        let column = self.0.get(at)?;
        column.steps().contains(&step).then_some(at)
    }

    /// Returns Σ A of a layer by column (`[len]`), in nats.
    #[must_use]
    pub fn layer(&self, layer: usize) -> Vec<f64> {
        let columns = self.0.iter();
        columns.map(|column| column.lca(layer)).collect()
    }
}
