//! Datasets with one row for each record.

use std::ops::Range;

use hdf5::{Dataset, Group, H5Type, SimpleExtents};
use ndarray::{ArrayView, IxDyn, s};

use super::header::describe;
use super::schema::{DatasetColumn, RowGetter};
use crate::record::RunHeader;

/// The target size of a chunk of per-step rows in bytes: large enough for few chunks, small enough that a short run's
/// file stays small.
const CHUNK_BYTES: usize = 16 * 1024;

/// The most rows in a chunk of per-step rows.
pub const CHUNK_ROWS: usize = 1024;

/// Creates a growing dataset with shape `[0, axes…]`, chunked by rows.
pub fn create_series(
    path: &str,
    builder: hdf5::DatasetBuilderEmpty,
    axes: &[usize],
    chunk_rows: usize,
) -> hdf5::Result<Dataset> {
    // An axis may be empty (nothing traced), but HDF5 requires chunks of at least one element.
    let extents = std::iter::once(hdf5::Extent::resizable(0))
        .chain(axes.iter().map(|&n| hdf5::Extent::fixed(n)));
    let chunk: Vec<usize> = std::iter::once(chunk_rows)
        .chain(axes.iter().map(|&n| n.max(1)))
        .collect();
    builder
        .shape(SimpleExtents::new(extents))
        .chunk(chunk)
        .create(path)
}

/// Creates the datasets of a table, with at most `chunk_rows` rows per chunk.
pub fn create_columns<R>(
    file: &Group,
    columns: &[DatasetColumn<R>],
    header: &RunHeader,
    chunk_rows: usize,
) -> hdf5::Result<Vec<AnyGrowingDataset>> {
    columns
        .iter()
        .map(|column| {
            let (path, axes) = (column.path, column.axes.lengths(header));
            let series = match column.row {
                RowGetter::F64(_) => AnyGrowingDataset::F64(GrowingDataset::create(
                    file,
                    path,
                    axes,
                    f64::NAN,
                    chunk_rows,
                )?),
                RowGetter::F32(_) => AnyGrowingDataset::F32(GrowingDataset::create(
                    file,
                    path,
                    axes,
                    f32::NAN,
                    chunk_rows,
                )?),
                RowGetter::U64(_) => {
                    AnyGrowingDataset::U64(GrowingDataset::create(file, path, axes, 0, chunk_rows)?)
                }
                RowGetter::U32(_) => {
                    AnyGrowingDataset::U32(GrowingDataset::create(file, path, axes, 0, chunk_rows)?)
                }
            };
            describe(series.dataset(), column.unit, column.description)?;
            Ok(series)
        })
        .collect()
}

/// Opens the datasets of a table for writing after `rows` rows; rows that follow are overwritten.
pub fn open_columns<R>(
    file: &Group,
    columns: &[DatasetColumn<R>],
    header: &RunHeader,
    rows: usize,
) -> hdf5::Result<Vec<AnyGrowingDataset>> {
    columns
        .iter()
        .map(|column| {
            let axes = column.axes.lengths(header);
            let path = column.path;
            Ok(match column.row {
                RowGetter::F64(_) => {
                    AnyGrowingDataset::F64(GrowingDataset::open(file, path, axes, f64::NAN, rows)?)
                }
                RowGetter::F32(_) => {
                    AnyGrowingDataset::F32(GrowingDataset::open(file, path, axes, f32::NAN, rows)?)
                }
                RowGetter::U64(_) => {
                    AnyGrowingDataset::U64(GrowingDataset::open(file, path, axes, 0, rows)?)
                }
                RowGetter::U32(_) => {
                    AnyGrowingDataset::U32(GrowingDataset::open(file, path, axes, 0, rows)?)
                }
            })
        })
        .collect()
}

/// The number of rows of a growing dataset, whose other axes must be `axes`.
pub fn rows_of(dataset: &Dataset, axes: &[usize]) -> hdf5::Result<usize> {
    let shape = dataset.shape();
    match shape.split_first() {
        Some((&rows, rest)) if rest == axes => Ok(rows),
        _ => Err(format!(
            "{} of shape {shape:?} does not have rows of {axes:?}",
            dataset.name()
        )
        .into()),
    }
}

/// Truncates a growing dataset to `rows` rows.
pub fn cut(dataset: &Dataset, rows: usize) -> hdf5::Result<()> {
    let mut shape = dataset.shape();
    if shape.first().is_some_and(|&there| there > rows) {
        shape[0] = rows;
        dataset.resize(shape)?;
    }
    Ok(())
}

/// Appends a record's rows to their series.
pub fn push_record<R>(columns: &[DatasetColumn<R>], series: &mut [AnyGrowingDataset], record: &R) {
    for (column, series) in columns.iter().zip(series) {
        match (&column.row, series) {
            (RowGetter::F64(row), AnyGrowingDataset::F64(series)) => series.push(row(record)),
            (RowGetter::F32(row), AnyGrowingDataset::F32(series)) => series.push(row(record)),
            (RowGetter::U64(row), AnyGrowingDataset::U64(series)) => series.push(row(record)),
            (RowGetter::U32(row), AnyGrowingDataset::U32(series)) => series.push(row(record)),
            _ => unreachable!("a series has the type of its column"),
        }
    }
}

/// A growing dataset of any of the four types.
pub enum AnyGrowingDataset {
    F64(GrowingDataset<f64>),
    F32(GrowingDataset<f32>),
    U64(GrowingDataset<u64>),
    U32(GrowingDataset<u32>),
}

impl AnyGrowingDataset {
    fn dataset(&self) -> &Dataset {
        match self {
            Self::F64(series) => &series.dataset,
            Self::F32(series) => &series.dataset,
            Self::U64(series) => &series.dataset,
            Self::U32(series) => &series.dataset,
        }
    }

    /// Rows in the file.
    pub fn written(&self) -> usize {
        match self {
            Self::F64(series) => series.written,
            Self::F32(series) => series.written,
            Self::U64(series) => series.written,
            Self::U32(series) => series.written,
        }
    }

    /// An upper bound on the bytes that writing the waiting rows, and `more` rows, adds to the file.
    pub fn bytes_needed(&self, more: usize) -> u64 {
        match self {
            Self::F64(series) => series.bytes_needed(more),
            Self::F32(series) => series.bytes_needed(more),
            Self::U64(series) => series.bytes_needed(more),
            Self::U32(series) => series.bytes_needed(more),
        }
    }

    pub fn write(&mut self) -> hdf5::Result<()> {
        match self {
            Self::F64(series) => series.write(),
            Self::F32(series) => series.write(),
            Self::U64(series) => series.write(),
            Self::U32(series) => series.write(),
        }
    }
}

/// A growing dataset, and the rows not written to it yet.
pub struct GrowingDataset<T> {
    dataset: Dataset,
    axes: Vec<usize>,
    /// The value written for a row that was not measured.
    missing: T,
    /// Rows in a chunk.
    chunk: usize,
    written: usize,
    /// The number of rows in `rows`, whose length may be 0 if nothing is traced.
    waiting: usize,
    rows: Vec<T>,
}

impl<T: H5Type + Copy> GrowingDataset<T> {
    fn create(
        file: &Group,
        path: &str,
        axes: Vec<usize>,
        missing: T,
        most_rows: usize,
    ) -> hdf5::Result<Self> {
        let chunk = chunk_rows(row_bytes::<T>(&axes), most_rows);
        Ok(Self {
            dataset: create_series(path, file.new_dataset::<T>(), &axes, chunk)?,
            axes,
            missing,
            chunk,
            written: 0,
            waiting: 0,
            rows: Vec::new(),
        })
    }

    fn open(
        file: &Group,
        path: &str,
        axes: Vec<usize>,
        missing: T,
        rows: usize,
    ) -> hdf5::Result<Self> {
        let dataset = file.dataset(path)?;
        if rows_of(&dataset, &axes)? < rows {
            return Err(format!("{path} has fewer than {rows} rows").into());
        }
        // As created: another version may use other chunks.
        let chunk = dataset.chunk().and_then(|chunk| chunk.first().copied());
        Ok(Self {
            chunk: chunk.unwrap_or(1).max(1),
            dataset,
            axes,
            missing,
            written: rows,
            waiting: 0,
            rows: Vec::new(),
        })
    }

    fn push(&mut self, row: &[T]) {
        let len: usize = self.axes.iter().product();
        if row.is_empty() {
            self.rows.resize(self.rows.len() + len, self.missing);
        } else {
            assert_eq!(row.len(), len, "a row has the length of its axes");
            self.rows.extend_from_slice(row);
        }
        self.waiting += 1;
    }

    /// An upper bound on the bytes that the waiting rows, and `more` rows, add to the file: whole chunks, and their
    /// index.
    fn bytes_needed(&self, more: usize) -> u64 {
        let chunks = |rows: usize| rows.div_ceil(self.chunk);
        let new = chunks(self.written + self.waiting + more) - chunks(self.written);
        match new {
            0 => 0,
            new => {
                let bytes = new * self.chunk * row_bytes::<T>(&self.axes);
                bytes as u64 + index_bytes(chunks(self.written) + new)
            }
        }
    }

    /// Appends the waiting rows.
    pub fn write(&mut self) -> hdf5::Result<()> {
        if self.waiting == 0 {
            return Ok(());
        }
        let rows = self.written..self.written + self.waiting;
        append(&self.dataset, &self.axes, rows, &self.rows)?;
        self.written += std::mem::take(&mut self.waiting);
        self.rows.clear();
        Ok(())
    }
}

/// The size of a row with these axes in bytes.
fn row_bytes<T>(axes: &[usize]) -> usize {
    axes.iter().product::<usize>() * size_of::<T>()
}

/// The number of rows in a chunk, at most `most`, for rows of `row_bytes` bytes.
fn chunk_rows(row_bytes: usize, most: usize) -> usize {
    (CHUNK_BYTES / row_bytes.max(1)).clamp(1, most)
}

/// An upper bound on the bytes by which the index of a dataset's chunks grows at once. HDF5's extensible array grows by
/// blocks of about four times the square root of its length.
pub fn index_bytes(chunks: usize) -> u64 {
    4096 + 64 * (chunks as u64).isqrt()
}

/// Reads the values of some rows of a dataset with one to three axes, row by row.
pub fn read_rows<T: H5Type>(dataset: &Dataset, rows: Range<usize>) -> hdf5::Result<Vec<T>> {
    match dataset.ndim() {
        1 => dataset
            .read_slice_1d(s![rows])
            .map(|a| a.into_raw_vec_and_offset().0),
        2 => dataset
            .read_slice_2d(s![rows, ..])
            .map(|a| a.into_raw_vec_and_offset().0),
        _ => dataset
            .read_slice::<T, _, ndarray::Ix3>(s![rows, .., ..])
            .map(|a| a.into_raw_vec_and_offset().0),
    }
}

/// Extends a dataset to hold `rows`, and fills them with `values`, each row of shape `axes`.
pub fn append<T: H5Type>(
    dataset: &Dataset,
    axes: &[usize],
    rows: Range<usize>,
    values: &[T],
) -> hdf5::Result<()> {
    let shape = |rows| {
        std::iter::once(rows)
            .chain(axes.iter().copied())
            .collect::<Vec<usize>>()
    };
    // The rows may exist already, from before the run was resumed.
    if dataset
        .shape()
        .first()
        .is_none_or(|&there| there < rows.end)
    {
        dataset.resize(shape(rows.end))?;
    }
    if values.is_empty() {
        return Ok(());
    }
    let view = ArrayView::from_shape(IxDyn(&shape(rows.len())), values);
    let view = view.map_err(|error| hdf5::Error::Internal(error.to_string()))?;
    match axes.len() {
        0 => dataset.write_slice(view, s![rows]),
        1 => dataset.write_slice(view, s![rows, ..]),
        _ => dataset.write_slice(view, s![rows, .., ..]),
    }
}
