//! Reads steps at the required resolution: one by one, or as rows of the pyramid.

use std::ops::Range;

use hdf5::{Dataset, H5Type};

use super::error::StoreError;
use super::levels::{OpenLevel, rows_in};
use super::pyramid::ReadColumn;
use super::reader::RunReader;
use crate::record::StepSummary;

/// Rows read at once.
const BLOCK: u64 = 512;

/// The most summaries in which a file's steps are first shown: coarse ones for a long run. A screen asks for finer ones
/// where it zooms in.
pub const FIRST_LOOK: u64 = 4096;

impl OpenLevel {
    /// Whether the level has at least this many rows.
    fn has_rows(&self, reader: &RunReader, rows: u64) -> Result<bool, StoreError> {
        if self.rows.get() < rows {
            let bounds = reader.bounds()?;
            let mut least = u64::MAX;
            for (dataset, bound) in self.datasets.each().zip(&self.bounds) {
                reader.renew(dataset)?;
                // Ignore rows that the file cannot hold, whatever the dataset claims.
                least = least.min(rows_in(dataset)).min(bound.rows(&bounds));
            }
            self.rows.set(least);
        }
        Ok(self.rows.get() >= rows)
    }
}

/// Some rows of one level.
struct LevelSlice<'a> {
    reader: &'a RunReader,
    rows: Range<usize>,
}

impl ReadColumn for LevelSlice<'_> {
    type Error = StoreError;

    fn column<T: H5Type>(&self, dataset: &Dataset) -> Result<Vec<T>, StoreError> {
        self.reader.rows(dataset, self.rows.clone())
    }
}

impl RunReader {
    /// One summary of all the steps, which must be committed; none if there are none. `alive` is called whenever
    /// another part of them has been read.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn total(
        &self,
        steps: &Range<u64>,
        alive: &dyn Fn(),
    ) -> Result<Option<StepSummary>, StoreError> {
        let mut total: Option<StepSummary> = None;
        let mut from = steps.start;
        while from < steps.end {
            let to = steps.end.min(from + BLOCK);
            for step in self.steps(from..to)? {
                match &mut total {
                    None => total = Some(step),
                    Some(total) => total.merge(&step),
                }
            }
            alive();
            from = to;
        }
        Ok(total)
    }

    /// The finest resolution, in steps per summary, at which `steps` need at most `most` summaries; the coarsest in the
    /// file if none is coarse enough.
    #[must_use]
    pub fn resolution(&self, steps: &Range<u64>, most: u64) -> u64 {
        let count = steps.end.saturating_sub(steps.start);
        let widths = || std::iter::once(1).chain(self.levels.widths());
        let fits = widths().find(|width| count / width <= most);
        fits.or_else(|| widths().last()).unwrap_or(1)
    }

    /// Reads the next block of summaries of the committed steps `steps`, starting with the first step. Each covers as
    /// many steps as the pyramid allows, at most `width`; at the ends, which do not fill whole groups, they are finer.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next_summaries(
        &self,
        steps: Range<u64>,
        width: u64,
    ) -> Result<Vec<StepSummary>, StoreError> {
        let Range { start, end } = steps;
        // A coarser level may take over from here.
        let mut until = end;
        for level in self.levels.0.iter().rev() {
            let fits = level.width <= width;
            if fits && start.is_multiple_of(level.width) {
                let rows = ((until - start) / level.width).min(BLOCK);
                let first = start / level.width;
                if rows > 0 && level.has_rows(self, first + rows)? {
                    return self.rows_of(level, first..first + rows);
                }
            } else if fits {
                until = until.min(start.next_multiple_of(level.width));
            }
        }
        self.steps(start..until.min(start + BLOCK))
    }

    /// Summaries of `width` steps each, a power of two, over the committed steps that overlap `steps`; the first and
    /// the last may cover fewer. Empty if it would require reading more than `most` rows.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn merged(
        &self,
        steps: &Range<u64>,
        width: u64,
        committed: u64,
        most: u64,
    ) -> Result<Vec<StepSummary>, StoreError> {
        let width = width.max(1);
        let start = steps.start / width * width;
        let end = (steps.end.div_ceil(width).saturating_mul(width)).min(committed);
        let level = self.levels.0.iter().rev().find(|l| l.width <= width);
        let rows = end.saturating_sub(start) / level.map_or(1, |level| level.width);
        let mut merged: Vec<StepSummary> = Vec::new();
        if rows > most {
            return Ok(merged);
        }
        let mut at = start;
        while at < end {
            for summary in self.next_summaries(at..end, width)? {
                at = summary.end;
                match merged.last_mut() {
                    Some(last) if last.first / width == summary.first / width => {
                        last.merge(&summary);
                    }
                    _ => merged.push(summary),
                }
            }
        }
        Ok(merged)
    }

    /// Reads rows of the level of this width; `None` if it has fewer.
    pub(super) fn level_rows(
        &self,
        width: u64,
        rows: Range<u64>,
    ) -> Result<Option<Vec<StepSummary>>, StoreError> {
        let level = self.levels.0.iter().find(|level| level.width == width);
        match level {
            Some(level) if level.has_rows(self, rows.end)? => self.rows_of(level, rows).map(Some),
            _ => Ok(None),
        }
    }

    fn rows_of(&self, level: &OpenLevel, rows: Range<u64>) -> Result<Vec<StepSummary>, StoreError> {
        let index = |row: u64| usize::try_from(row).map_err(|_| self.damaged(format!("row {row}")));
        let slice = LevelSlice {
            reader: self,
            rows: index(rows.start)?..index(rows.end)?,
        };
        let read = level.datasets.read(&slice)?;
        let layers = self.header().layout.layers.len();
        let width = level.width;
        Ok((0..)
            .zip(rows)
            .map(|(at, row)| read.summary(at, row * width, width, layers))
            .collect())
    }
}
