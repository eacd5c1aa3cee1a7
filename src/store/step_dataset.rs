//! Reads rows of any per-step dataset, for detailed queries.

use std::ops::Range;
use std::sync::Arc;

use hdf5::types::{FloatSize, IntSize, TypeDescriptor};
use hdf5::{Dataset, H5Type};
use ndarray::s;

use super::bounds::RowBound;
use super::error::{Context, StoreError};
use super::reader::RunReader;
use super::schema;

/// Values in a block of rows: a few megabytes.
const BLOCK_VALUES: u64 = 1 << 19;

/// A per-step dataset of an open run.
pub struct StepDataset<'a> {
    reader: &'a RunReader,
    dataset: Arc<Dataset>,
    name: &'static str,
    row_len: usize,
    rows: u64,
}

impl RunReader {
    /// The per-step dataset of this name in the format; `None` if the run has none.
    ///
    /// # Errors
    /// The file cannot be read, or the dataset does not fit the layout.
    pub fn table(&self, name: &'static str) -> Result<Option<StepDataset<'_>>, StoreError> {
        if !self.has_object(name) {
            return Ok(None);
        }
        let dataset = self.dataset(name)?;
        let shape = dataset.shape();
        let axes = schema::axes(name).map(|axes| axes.lengths(self.header()));
        if axes.is_none() || shape.get(1..) != axes.as_deref() {
            let what = format!("{name} of shape {shape:?} does not fit the layout");
            return Err(self.damaged(what));
        }
        let row_len = shape.iter().skip(1).product();
        let bound = RowBound::for_dataset(&dataset, row_len)
            .doing(&self.path, || format!("read the type of {name}"))?;
        let rows = (shape.first().copied().unwrap_or(0) as u64).min(bound.rows(&self.bounds()?));
        Ok(Some(StepDataset {
            reader: self,
            dataset,
            name,
            row_len,
            rows,
        }))
    }
}

impl RunReader {
    /// Steps done at the newest complete checkpoint in the file, at most `committed`; none if there is none, or if it
    /// cannot be read just now: one of its two slots may be being written.
    ///
    /// # Errors
    /// The file system does not report the file's length.
    pub fn checkpoint_step(&self, committed: u64) -> Result<Option<u64>, StoreError> {
        let bounds = self.bounds()?;
        let step = |slot: usize| {
            let name = |of: &str| format!("checkpoint/{slot}/{of}");
            let digest = bounds.vector::<u8>(self.file(), &name("digest")).ok()?;
            // A slot that is empty or half-written has no checksum.
            let whole = digest.iter().any(|&byte| byte != 0);
            let step = bounds.vector::<u64>(self.file(), &name("step")).ok()?;
            step.first().copied().filter(|_| whole)
        };
        let there = self.file().link_exists("checkpoint");
        let steps = (0..2).filter(|_| there).filter_map(step);
        Ok(steps.filter(|&step| step <= committed).max())
    }

    /// The current size of the file in bytes.
    ///
    /// # Errors
    /// The file system does not report it.
    pub fn bytes(&self) -> Result<u64, StoreError> {
        Ok(self.bounds()?.len())
    }
}

impl StepDataset<'_> {
    /// The number of values in a row.
    #[must_use]
    pub fn row_len(&self) -> usize {
        self.row_len
    }

    /// The number of rows; of losses one more than steps. Not all of them need be committed.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The existing ones of some rows, in blocks to be read at once.
    pub fn blocks(&self, rows: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
        self.blocks_of(rows, self.row_len)
    }

    /// Blocks for reading only `columns` values of every row.
    pub fn blocks_of(
        &self,
        rows: &Range<u64>,
        columns: usize,
    ) -> impl Iterator<Item = Range<u64>> + use<> {
        let end = rows.end.min(self.rows);
        let size = (BLOCK_VALUES / (columns.max(1) as u64)).max(1);
        let mut at = rows.start;
        std::iter::from_fn(move || {
            let block = at..at.saturating_add(size).min(end);
            at = block.end;
            (!block.is_empty()).then_some(block)
        })
    }

    /// Reads rows of a dataset of real numbers, row by row.
    ///
    /// # Errors
    /// The dataset does not hold real numbers, or the file cannot be read.
    pub fn reals(&self, rows: Range<u64>) -> Result<Vec<f64>, StoreError> {
        match self.kind()? {
            TypeDescriptor::Float(FloatSize::U4) => Ok(widened::<f32, _>(self.read(rows)?)),
            _ => self.read(rows),
        }
    }

    /// Reads some columns of rows of a dataset with one axis besides the steps, row by row.
    ///
    /// # Errors
    /// There are no such columns, they hold no real numbers, or the file cannot be read.
    pub fn reals_of(
        &self,
        rows: Range<u64>,
        columns: &Range<usize>,
    ) -> Result<Vec<f64>, StoreError> {
        match self.kind()? {
            TypeDescriptor::Float(FloatSize::U4) => {
                Ok(widened::<f32, _>(self.part(rows, columns)?))
            }
            _ => self.part(rows, columns),
        }
    }

    /// Reads rows of a dataset of counts, row by row.
    ///
    /// # Errors
    /// The dataset does not hold counts, or the file cannot be read.
    pub fn counts(&self, rows: Range<u64>) -> Result<Vec<u64>, StoreError> {
        match self.kind()? {
            TypeDescriptor::Unsigned(IntSize::U4) => Ok(widened::<u32, _>(self.read(rows)?)),
            _ => self.read(rows),
        }
    }

    /// Reads some columns of rows of a dataset of counts, as [`reals_of`](Self::reals_of) does of real numbers.
    ///
    /// # Errors
    /// There are no such columns, they hold no counts, or the file cannot be read.
    pub fn counts_of(
        &self,
        rows: Range<u64>,
        columns: &Range<usize>,
    ) -> Result<Vec<u64>, StoreError> {
        match self.kind()? {
            TypeDescriptor::Unsigned(IntSize::U4) => {
                Ok(widened::<u32, _>(self.part(rows, columns)?))
            }
            _ => self.part(rows, columns),
        }
    }

    fn kind(&self) -> Result<TypeDescriptor, StoreError> {
        let kind = self.dataset.dtype().and_then(|kind| kind.to_descriptor());
        kind.doing(&self.reader.path, || {
            format!("read the type of {}", self.name)
        })
    }

    fn read<T: H5Type>(&self, rows: Range<u64>) -> Result<Vec<T>, StoreError> {
        let rows = self.indices(rows)?;
        if self.row_len == 0 || rows.is_empty() {
            return Ok(Vec::new());
        }
        self.reader.rows(&self.dataset, rows)
    }

    fn part<T: H5Type>(
        &self,
        rows: Range<u64>,
        columns: &Range<usize>,
    ) -> Result<Vec<T>, StoreError> {
        if self.dataset.ndim() != 2 || columns.end > self.row_len {
            let what = format!("{} has no columns {columns:?}", self.name);
            return Err(self.reader.damaged(what));
        }
        let rows = self.indices(rows)?;
        if columns.is_empty() || rows.is_empty() {
            return Ok(Vec::new());
        }
        self.reader
            .check_room(&self.dataset, rows.len(), columns.len())?;
        let slice = s![rows, columns.start..columns.end];
        let values = (self.dataset.read_slice_2d(slice))
            .doing(&self.reader.path, || format!("read {}", self.name))?;
        Ok(values.into_raw_vec_and_offset().0)
    }

    /// The existing ones of some rows, as indices.
    fn indices(&self, rows: Range<u64>) -> Result<Range<usize>, StoreError> {
        let index = |row: u64| {
            usize::try_from(row.min(self.rows))
                .map_err(|_| self.reader.damaged(format!("row {row} of {}", self.name)))
        };
        Ok(index(rows.start)?..index(rows.end)?)
    }
}

fn widened<T: Into<U>, U>(values: Vec<T>) -> Vec<U> {
    values.into_iter().map(Into::into).collect()
}
