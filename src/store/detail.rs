//! Reads single parameters: some of them in some of the steps, or one of them over all steps.
//!
//! `lca/param` and `weight/value` have shape `[S, P]` and chunks of some steps by some parameters, so that a row and a
//! column each touch few chunks. The steps of their rows are stored beside them, as for the snapshots of the running
//! totals, `param/…`.

use std::ops::Range;
use std::sync::Arc;

use hdf5::{Dataset, H5Type};
use ndarray::s;

use super::blocks::rows_before;
use super::bounds::RowBound;
use super::error::{Context, StoreError};
use super::reader::RunReader;
use crate::record::ParamTotals;

/// One parameter over all recorded steps.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamHistory {
    /// Its index in the flat parameter vector.
    pub index: usize,
    /// `[S]`: the recorded steps, ascending.
    pub steps: Vec<u64>,
    /// `[S]`: its value at each of these steps.
    pub values: Vec<f32>,
}

/// A dataset over all parameters, and the dataset with the steps of its rows.
struct ParamDataset {
    values: &'static str,
    index: &'static str,
    /// The steps beyond its own number that a row requires to be done: the allocation of step t exists when t + 1 steps
    /// are done, the weights at `weight/step` t when t are.
    behind: u64,
}

const ALLOCATIONS: ParamDataset = ParamDataset {
    values: "lca/param",
    index: "lca/param_step",
    behind: 1,
};

const WEIGHTS: ParamDataset = ParamDataset {
    values: "weight/value",
    index: "weight/step",
    behind: 0,
};

// Running totals after a number of steps.
const fn totals(values: &'static str) -> ParamDataset {
    ParamDataset {
        values,
        index: "param/step",
        behind: 0,
    }
}

/// The available rows over all parameters, with their steps.
pub struct ParamRows<'a> {
    reader: &'a RunReader,
    values: Arc<Dataset>,
    name: &'static str,
    steps: Vec<u64>,
    params: usize,
}

impl ParamRows<'_> {
    /// The steps of the rows, ascending: for allocations the step itself, for weights the number of steps done.
    #[must_use]
    pub fn steps(&self) -> &[u64] {
        &self.steps
    }

    /// The indices of the rows whose steps are in a range.
    #[must_use]
    pub fn within(&self, steps: &Range<u64>) -> Range<usize> {
        let before = |end: u64| self.steps.partition_point(|&step| step < end);
        let from = before(steps.start);
        from..before(steps.end).max(from)
    }

    /// Values of some parameters in some rows, `[rows, params]`, row by row. Missing rows and parameters are left out.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self, rows: Range<usize>, params: &Range<usize>) -> Result<Vec<f32>, StoreError> {
        self.read_as(rows, params)
    }

    fn read_as<T: H5Type>(
        &self,
        rows: Range<usize>,
        params: &Range<usize>,
    ) -> Result<Vec<T>, StoreError> {
        let (end, last) = (rows.end.min(self.steps.len()), params.end.min(self.params));
        if rows.start >= end || params.start >= last {
            return Ok(Vec::new());
        }
        self.reader
            .check_room(&self.values, end - rows.start, last - params.start)?;
        let values = self
            .values
            .read_slice_2d::<T, _>(s![rows.start..end, params.start..last])
            .doing(&self.reader.path, || format!("read {}", self.name))?;
        Ok(values.into_raw_vec_and_offset().0)
    }
}

impl RunReader {
    /// The numbers of steps after which there are snapshots of the parameters' running totals.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn snapshot_steps(&self) -> Result<Vec<u64>, StoreError> {
        self.steps_there(&totals("param/lca_sum"))
    }

    /// A parameter's allocation in every recorded step; no steps without `--record-params`.
    ///
    /// # Errors
    /// There is no such parameter, or the file cannot be read.
    pub fn param_history(&self, index: usize) -> Result<ParamHistory, StoreError> {
        self.column(&ALLOCATIONS, index)
    }

    /// The recorded allocations of all parameters; none without `--record-params`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn param_rows(&self) -> Result<Option<ParamRows<'_>>, StoreError> {
        self.committed_rows(&ALLOCATIONS)
    }

    /// The recorded weights of all parameters; none without `--record-weights`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn weight_rows(&self) -> Result<Option<ParamRows<'_>>, StoreError> {
        self.committed_rows(&WEIGHTS)
    }

    /// The running totals of the parameters in `range`, from the latest snapshot after at most `at_most` steps; none
    /// before the first snapshot.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn totals_snapshot(
        &self,
        at_most: u64,
        range: &Range<usize>,
    ) -> Result<Option<ParamTotals>, StoreError> {
        let Some((sums, row)) = self.snapshot(at_most)? else {
            return Ok(None);
        };
        Ok(Some(ParamTotals {
            steps: sums.steps[row],
            lca_sum: sums.read_as(row..row + 1, range)?,
            helped: self.snapshot_counts("param/helped", row, range)?,
            update_flips: self.snapshot_counts("param/update_flips", row, range)?,
            gradient_flips: self.snapshot_counts("param/gradient_flips", row, range)?,
        }))
    }

    /// Only the sums of allocations, Σ A, of such a snapshot.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn lca_snapshot(
        &self,
        at_most: u64,
        range: &Range<usize>,
    ) -> Result<Option<Vec<f64>>, StoreError> {
        let found = self.snapshot(at_most)?;
        found
            .map(|(sums, row)| sums.read_as(row..row + 1, range))
            .transpose()
    }

    /// Only the numbers of steps with A < 0 of such a snapshot.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn helped_snapshot(
        &self,
        at_most: u64,
        range: &Range<usize>,
    ) -> Result<Option<Vec<u32>>, StoreError> {
        let found = self.snapshot(at_most)?;
        found
            .map(|(_, row)| self.snapshot_counts("param/helped", row, range))
            .transpose()
    }

    /// The latest snapshot after at most `at_most` steps, and its row.
    fn snapshot(&self, at_most: u64) -> Result<Option<(ParamRows<'_>, usize)>, StoreError> {
        let Some(sums) = self.committed_rows(&totals("param/lca_sum"))? else {
            return Ok(None);
        };
        let until = sums.within(&(0..at_most.saturating_add(1))).end;
        Ok(until.checked_sub(1).map(|row| (sums, row)))
    }

    fn snapshot_counts(
        &self,
        name: &'static str,
        row: usize,
        range: &Range<usize>,
    ) -> Result<Vec<u32>, StoreError> {
        match self.committed_rows(&totals(name))? {
            Some(rows) if row < rows.steps.len() => rows.read_as(row..row + 1, range),
            _ => Err(self.damaged(format!("{name} lacks a snapshot that param/lca_sum has"))),
        }
    }

    fn steps_there(&self, table: &ParamDataset) -> Result<Vec<u64>, StoreError> {
        Ok(self
            .committed_rows(table)?
            .map_or_else(Vec::new, |rows| rows.steps))
    }

    fn column(&self, table: &ParamDataset, index: usize) -> Result<ParamHistory, StoreError> {
        let params = self.header().layout.params();
        if index >= params {
            return Err(StoreError::NoParameter {
                path: self.path.clone(),
                index,
                params,
            });
        }
        let (steps, values) = match self.committed_rows(table)? {
            None => (Vec::new(), Vec::new()),
            Some(rows) => {
                let values = rows.read(0..rows.steps.len(), &(index..index + 1))?;
                (rows.steps, values)
            }
        };
        Ok(ParamHistory {
            index,
            steps,
            values,
        })
    }

    /// The committed rows and their steps; none if the dataset was not recorded.
    fn committed_rows(&self, table: &ParamDataset) -> Result<Option<ParamRows<'_>>, StoreError> {
        if !self.has_object(table.values) {
            return Ok(None);
        }
        let committed: u64 = self.latest("state/committed")?;
        let (values, index) = (self.dataset(table.values)?, self.dataset(table.index)?);
        let params = self.header().layout.params();
        let (shape, rows) = (values.shape(), index.shape());
        let rows = match (&shape[..], &rows[..]) {
            (&[rows, columns], &[steps]) if columns == params => rows.min(steps),
            _ => {
                let what = format!(
                    "{} of shape {shape:?} does not fit the layout or {} of shape {rows:?}",
                    table.values, table.index
                );
                return Err(self.damaged(what));
            }
        };
        // Ignore rows that the file cannot hold, whatever the datasets claim.
        let bounds = self.bounds()?;
        let most = |dataset, row_values| {
            let bound = RowBound::for_dataset(dataset, row_values);
            let bound = bound.doing(&self.path, || format!("read the type of {}", table.values))?;
            Ok::<_, StoreError>(usize::try_from(bound.rows(&bounds)).unwrap_or(usize::MAX))
        };
        let rows = rows.min(most(&values, params)?).min(most(&index, 1)?);
        let mut steps: Vec<u64> = self.rows(&index, 0..rows)?;
        // A row exists when `behind` steps more than its own number are done.
        let end = committed.saturating_add(1).saturating_sub(table.behind);
        steps.truncate(rows_before(&steps, end));
        Ok(Some(ParamRows {
            reader: self,
            values,
            name: table.values,
            steps,
            params,
        }))
    }
}
