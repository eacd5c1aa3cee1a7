//! Writes a run file, record by record.

use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::SystemTime;

use hdf5::filters::BloscShuffle;
use hdf5::{Dataset, DatasetBuilderEmptyShape, File, Group, H5Type, SimpleExtents};
use ndarray::{ArrayView, IxDyn, s};

use super::error::{Context, StoreError};
use super::reader::RunReader;
use super::schema::{Column, FORMAT, HELD_OUT, LOSSES, Row, STEPS, UNITS, VERSION};
use super::text::{self, Message, Name};
use crate::record::{ParamTotals, RunEnd, RunHeader, StartRecord, Status, StepRecord};

/// Bytes that a chunk of per-step rows aims at: large enough for few chunks, small enough that a
/// short run's file stays small.
const CHUNK_BYTES: usize = 16 * 1024;

/// A chunk of per-parameter arrays: steps × parameters. Appended whole, because under SWMR a
/// compressed chunk that is rewritten leaks its old space.
const BLOCK_STEPS: usize = 32;
const BLOCK_PARAMS: usize = 2048;

/// How per-parameter arrays are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// blosc-lz4 with bit-shuffle: the fastest.
    #[default]
    Lz4,
    /// blosc-zstd with bit-shuffle: smaller.
    Zstd,
    /// shuffle and deflate: readable by any HDF5 without a plug-in.
    Deflate,
    None,
}

const COMPRESSIONS: [(Compression, &str); 4] = [
    (Compression::Lz4, "lz4"),
    (Compression::Zstd, "zstd"),
    (Compression::Deflate, "deflate"),
    (Compression::None, "none"),
];

/// Why a compression cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no compression: use lz4, zstd, deflate or none")]
pub struct CompressionError(String);

impl FromStr for Compression {
    type Err = CompressionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        (COMPRESSIONS.iter().find(|(_, name)| *name == text))
            .map(|(compression, _)| *compression)
            .ok_or_else(|| CompressionError(text.to_owned()))
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = COMPRESSIONS.iter().find(|(c, _)| c == self);
        f.pad(entry.map_or("", |(_, name)| name))
    }
}

impl Compression {
    fn apply(self, builder: DatasetBuilderEmptyShape) -> DatasetBuilderEmptyShape {
        match self {
            Self::Lz4 => builder.blosc_lz4(5, BloscShuffle::Bit),
            Self::Zstd => builder.blosc_zstd(3, BloscShuffle::Bit),
            Self::Deflate => builder.shuffle().deflate(1),
            Self::None => builder,
        }
    }
}

/// How a run file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// Replace a file that exists.
    pub force: bool,
    pub compression: Compression,
    /// Bits of precision kept of recorded allocations and weights, 1 to 24 (24 is all of f32's).
    pub mantissa_bits: u32,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            force: false,
            compression: Compression::default(),
            mantissa_bits: 24,
        }
    }
}

/// A run file that is being written. Only the thread that owns it may use it.
pub struct RunWriter {
    path: PathBuf,
    file: File,
    /// The same file as the system knows it, whatever its name may have become.
    disk: fs::File,
    losses: Vec<AnySeries>,
    steps: Vec<AnySeries>,
    held_out: Vec<AnySeries>,
    lca_param: Option<Blocks>,
    weights: Option<Blocks>,
    totals: Totals,
    committed: Dataset,
    heartbeat: Dataset,
    status: Dataset,
    message: Dataset,
    /// Whole steps handed over so far.
    done: u64,
}

impl RunWriter {
    /// Creates the file with everything known before the first step, and starts SWMR mode.
    ///
    /// # Errors
    /// The file exists (unless `force`), or cannot be written.
    pub fn create(
        path: &Path,
        header: &RunHeader,
        options: WriteOptions,
    ) -> Result<Self, StoreError> {
        let io = |error| StoreError::Io {
            path: path.to_owned(),
            error,
        };
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(|error| StoreError::Folder {
                path: folder.to_owned(),
                error,
            })?;
        }
        // The system's own words are better than the HDF5 library's about why a file cannot be
        // made, and the exclusive creation leaves no gap between looking and writing.
        let mut open = fs::OpenOptions::new();
        open.write(true);
        if options.force {
            remove_old(path)?;
            open.create(true).truncate(false);
        } else {
            open.create_new(true);
        }
        let disk = open.open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => StoreError::Exists {
                path: path.to_owned(),
            },
            _ => io(error),
        })?;
        let file = File::with_options()
            .with_fapl(|access| {
                // "Latest" would give files that the HDF5 of stable distributions cannot read.
                let version = hdf5::file::LibraryVersion::V110;
                access.libver_bounds(version, version)
            })
            .create(path)
            .doing(path, || "create the file".to_owned())?;
        let writer = Self::fill(path, file, disk, header, options)
            .doing(path, || "write the header".to_owned())?;
        (writer.file.flush())
            .and_then(|()| writer.file.start_swmr())
            .doing(path, || "start writing for readers".to_owned())?;
        Ok(writer)
    }

    fn fill(
        path: &Path,
        file: File,
        disk: fs::File,
        header: &RunHeader,
        options: WriteOptions,
    ) -> hdf5::Result<Self> {
        write_attributes(&file, header)?;
        write_layout(&file, header)?;
        write_rows(&file, header)?;
        write_fixed(
            &file,
            "trace/parameter",
            &header.traced,
            "parameters",
            "flat indices of the parameters traced at every step",
        )?;
        write_fixed(
            &file,
            "lca/histogram_edges",
            &header.histogram_edges,
            "nats",
            "edges of lca/histogram; the outermost are infinite",
        )?;

        let losses = create_columns(&file, LOSSES, header)?;
        let steps = create_columns(&file, STEPS, header)?;
        let held_out = match header.held_out_lca {
            true => create_columns(&file, HELD_OUT, header)?,
            false => Vec::new(),
        };
        let blocks = |wanted: u64, [index, values]: [&str; 2], [unit, what]: [&str; 2]| {
            (wanted > 0)
                .then(|| Blocks::create(&file, [index, values], [unit, what], header, options))
                .transpose()
        };
        Ok(Self {
            path: path.to_owned(),
            losses,
            steps,
            held_out,
            lca_param: blocks(
                header.record_params,
                ["lca/param_step", "lca/param"],
                [
                    "nats",
                    "allocation of every parameter in the steps of lca/param_step",
                ],
            )?,
            weights: blocks(
                header.record_weights,
                ["weight/step", "weight/value"],
                [
                    "1",
                    "every parameter after as many steps as weight/step says",
                ],
            )?,
            totals: Totals::create(&file, header, options)?,
            committed: write_fixed(
                &file,
                "state/committed",
                &[0_u64],
                "steps",
                "whole steps that may be read",
            )?,
            heartbeat: write_fixed(
                &file,
                "state/heartbeat",
                &[unix_seconds()],
                "seconds",
                "Unix time of the writer's last sign of life",
            )?,
            status: write_fixed(
                &file,
                "state/status",
                &[Status::Running.code()],
                "",
                "0 running, 1 finished, 2 stopped by the user, 3 failed",
            )?,
            message: write_fixed(
                &file,
                "state/message",
                &[Message::default()],
                "",
                "why the run failed",
            )?,
            done: 0,
            disk,
            file,
        })
    }

    /// Takes the losses at `θ_0`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn start(&mut self, record: &StartRecord) -> Result<(), StoreError> {
        take(LOSSES, &mut self.losses, &record.losses);
        if let (Some(blocks), Some(weights)) = (&mut self.weights, &record.weights) {
            blocks
                .push(0, weights)
                .doing(&self.path, || "write weights".to_owned())?;
        }
        Ok(())
    }

    /// Takes a step. It is safe in the file after the next [`commit`](Self::commit).
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn step(&mut self, record: &StepRecord) -> Result<(), StoreError> {
        take(LOSSES, &mut self.losses, &record.after);
        take(STEPS, &mut self.steps, record);
        if let Some(held_out) = &record.lca_held_out {
            take(HELD_OUT, &mut self.held_out, held_out);
        }
        self.done = record.step + 1;
        let path = &self.path;
        if let (Some(blocks), Some(values)) = (&mut self.lca_param, &record.lca_param) {
            blocks
                .push(record.step, values)
                .doing(path, || "write allocations".to_owned())?;
        }
        if let (Some(blocks), Some(values)) = (&mut self.weights, &record.weights) {
            blocks
                .push(self.done, values)
                .doing(path, || "write weights".to_owned())?;
        }
        if let Some(totals) = &record.totals {
            self.totals
                .push(totals)
                .doing(path, || "write totals".to_owned())?;
        }
        Ok(())
    }

    /// Makes every step taken so far readable: data first, then the committed length.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        self.try_commit()
            .doing(&self.path, || "commit steps".to_owned())
    }

    fn try_commit(&mut self) -> hdf5::Result<()> {
        for series in self
            .losses
            .iter_mut()
            .chain(&mut self.steps)
            .chain(&mut self.held_out)
        {
            series.write()?;
        }
        self.file.flush()?;
        self.committed.write_raw(&[self.done])?;
        self.beat()
    }

    /// Says that the writer is alive.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn heartbeat(&mut self) -> Result<(), StoreError> {
        self.beat()
            .doing(&self.path, || "write a heartbeat".to_owned())
    }

    fn beat(&mut self) -> hdf5::Result<()> {
        self.heartbeat.write_raw(&[unix_seconds()])?;
        self.file.flush()
    }

    /// Writes everything that is left, says how the run ended, and closes the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(mut self, end: &RunEnd) -> Result<(), StoreError> {
        let path = self.path.clone();
        self.try_finish(end).doing(&path, || "finish".to_owned())?;
        // Closed first; then, as HDF5 only hands its bytes to the system, handed to the disk.
        let Self { file, disk, .. } = self;
        drop(file);
        disk.sync_all()
            .map_err(|error| StoreError::Io { path, error })
    }

    fn try_finish(&mut self, end: &RunEnd) -> hdf5::Result<()> {
        for blocks in [&mut self.lca_param, &mut self.weights]
            .into_iter()
            .flatten()
        {
            blocks.write()?;
        }
        if let Some(totals) = &end.totals {
            self.totals.push(totals)?;
        }
        self.message
            .write_raw(&[text::fixed::<1024>(&end.message)])?;
        self.try_commit()?;
        self.status.write_raw(&[end.status.code()])?;
        self.file.flush()
    }
}

/// Takes a file out of the way of a new run. A run that is being written stays: two writers in one
/// file would leave nothing readable. Whoever reads the old file keeps it until it is closed.
fn remove_old(path: &Path) -> Result<(), StoreError> {
    if !path.is_file() {
        return Ok(());
    }
    let state = RunReader::open(path).and_then(|reader| reader.refresh());
    if state.is_ok_and(|state| state.is_live()) {
        return Err(StoreError::Live {
            path: path.to_owned(),
        });
    }
    fs::remove_file(path).map_err(|error| StoreError::Io {
        path: path.to_owned(),
        error,
    })
}

/// Seconds since 1970.
pub(super) fn unix_seconds() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0.0, |d| d.as_secs_f64())
}

fn write_attributes(file: &File, header: &RunHeader) -> hdf5::Result<()> {
    for (name, value) in [
        ("format", FORMAT),
        ("producer", &header.producer),
        ("created", &header.created),
        ("config", &header.config),
        ("device", &header.device),
        ("dataset", &header.dataset),
        ("dataset_sha256", &header.dataset_sha256),
        ("integrator", &header.integrator),
        ("network", &header.network),
        ("units", UNITS),
    ] {
        text::write_attribute(file, name, value)?;
    }
    for (name, value) in [
        ("version", VERSION),
        ("seed", header.seed),
        ("slice_size", header.slice_size),
        ("planned_steps", header.planned_steps),
        ("steps_per_epoch", header.steps_per_epoch),
    ] {
        file.new_attr::<u64>().create(name)?.write_scalar(&value)?;
    }
    file.new_attr::<f64>()
        .create("tolerance")?
        .write_scalar(&header.tolerance)
}

/// Which rows of the source data set the run uses.
fn write_rows(file: &File, header: &RunHeader) -> hdf5::Result<()> {
    for (name, rows, what) in [
        (
            "train_index",
            &header.train_index,
            "rows of the source data set that are trained on",
        ),
        (
            "test_index",
            &header.test_index,
            "rows of the source's held-out part that are used",
        ),
        (
            "validation_index",
            &header.validation_index,
            "training rows that are set aside",
        ),
    ] {
        let rows: Vec<u64> = rows.iter().map(|&row| u64::from(row)).collect();
        write_fixed(file, &format!("data/{name}"), &rows, "rows", what)?;
    }
    Ok(())
}

fn write_layout(file: &File, header: &RunHeader) -> hdf5::Result<()> {
    let layout = &header.layout;
    let names =
        |names: &mut dyn Iterator<Item = &str>| -> Vec<Name> { names.map(text::fixed).collect() };
    let count = |n: usize| n as u64;
    let text = |path: &str, values: Vec<Name>, what| write_fixed(file, path, &values, "", what);
    let numbers =
        |path: &str, values: Vec<u64>, unit, what| write_fixed(file, path, &values, unit, what);

    let layers = &layout.layers;
    text(
        "layout/layer/name",
        names(&mut layers.iter().map(|l| l.name.as_str())),
        "layers in network order",
    )?;
    text(
        "layout/layer/kind",
        names(&mut layers.iter().map(|l| l.kind.as_str())),
        "kind of layer",
    )?;
    numbers(
        "layout/layer/units",
        layers.iter().map(|l| count(l.units.len())).collect(),
        "units",
        "output neurons or channels",
    )?;
    numbers(
        "layout/layer/params",
        layers.iter().map(|l| count(l.range.len())).collect(),
        "parameters",
        "trainable parameters",
    )?;

    let tensors = &layout.tensors;
    text(
        "layout/tensor/name",
        names(&mut tensors.iter().map(|t| t.name.as_str())),
        "tensors in the order of the flat parameter vector",
    )?;
    text(
        "layout/tensor/kind",
        names(&mut tensors.iter().map(|t| t.kind.name())),
        "weight, bias, scale or shift",
    )?;
    numbers(
        "layout/tensor/layer",
        tensors.iter().map(|t| count(t.layer)).collect(),
        "",
        "owning layer",
    )?;
    numbers(
        "layout/tensor/offset",
        tensors.iter().map(|t| count(t.range.start)).collect(),
        "parameters",
        "first index in the flat parameter vector",
    )?;
    numbers(
        "layout/tensor/size",
        tensors.iter().map(|t| count(t.range.len())).collect(),
        "parameters",
        "parameters",
    )?;
    let shapes = tensors
        .iter()
        .flat_map(|t| (0..4).map(|axis| count(t.shape.get(axis).copied().unwrap_or(0))));
    let shapes = ndarray::Array2::from_shape_vec((tensors.len(), 4), shapes.collect());
    let shapes = shapes.map_err(|error| hdf5::Error::Internal(error.to_string()))?;
    let dataset = file
        .new_dataset_builder()
        .with_data(&shapes)
        .create("layout/tensor/shape")?;
    text::write_attribute(
        &dataset,
        "description",
        "axes, zero-padded to four; axis 0 is the unit (output) axis",
    )?;

    let units = || {
        layers
            .iter()
            .enumerate()
            .flat_map(|(l, layer)| (0..layer.units.len()).map(move |u| (count(l), count(u))))
    };
    numbers(
        "layout/unit/layer",
        units().map(|(layer, _)| layer).collect(),
        "",
        "owning layer",
    )?;
    numbers(
        "layout/unit/index",
        units().map(|(_, index)| index).collect(),
        "",
        "which neuron or channel of its layer",
    )?;
    text(
        "layout/class/name",
        names(&mut header.classes.iter().map(String::as_str)),
        "classes",
    )?;
    Ok(())
}

/// Writes a dataset that does not grow, with its attributes.
fn write_fixed<T: H5Type>(
    file: &Group,
    path: &str,
    values: &[T],
    unit: &str,
    what: &str,
) -> hdf5::Result<Dataset> {
    let builder = file.new_dataset_builder();
    let dataset = builder.with_data(ArrayView::from(values)).create(path)?;
    describe(&dataset, unit, what)?;
    Ok(dataset)
}

fn describe(dataset: &Dataset, unit: &str, what: &str) -> hdf5::Result<()> {
    text::write_attribute(dataset, "description", what)?;
    if !unit.is_empty() {
        text::write_attribute(dataset, "unit", unit)?;
    }
    Ok(())
}

/// Creates one growing dataset, `[0 …, axes…]`, chunked in rows.
fn create_series(
    path: &str,
    builder: hdf5::DatasetBuilderEmpty,
    axes: &[usize],
    chunk_rows: usize,
) -> hdf5::Result<Dataset> {
    // A run may lack an axis (nothing traced); HDF5 wants chunks of at least one element.
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

fn create_columns<R>(
    file: &Group,
    columns: &[Column<R>],
    header: &RunHeader,
) -> hdf5::Result<Vec<AnySeries>> {
    columns
        .iter()
        .map(|column| {
            let axes = column.axes.lengths(header);
            let series = match column.row {
                Row::F64(_) => AnySeries::F64(Series::create(file, column.path, axes, f64::NAN)?),
                Row::F32(_) => AnySeries::F32(Series::create(file, column.path, axes, f32::NAN)?),
                Row::U64(_) => AnySeries::U64(Series::create(file, column.path, axes, 0)?),
                Row::U32(_) => AnySeries::U32(Series::create(file, column.path, axes, 0)?),
            };
            describe(series.dataset(), column.unit, column.description)?;
            Ok(series)
        })
        .collect()
}

/// Puts a record's rows into their series.
fn take<R>(columns: &[Column<R>], series: &mut [AnySeries], record: &R) {
    for (column, series) in columns.iter().zip(series) {
        match (&column.row, series) {
            (Row::F64(row), AnySeries::F64(series)) => series.push(row(record)),
            (Row::F32(row), AnySeries::F32(series)) => series.push(row(record)),
            (Row::U64(row), AnySeries::U64(series)) => series.push(row(record)),
            (Row::U32(row), AnySeries::U32(series)) => series.push(row(record)),
            _ => unreachable!("a series has the type of its column"),
        }
    }
}

/// A growing dataset of any of the four types.
enum AnySeries {
    F64(Series<f64>),
    F32(Series<f32>),
    U64(Series<u64>),
    U32(Series<u32>),
}

impl AnySeries {
    fn dataset(&self) -> &Dataset {
        match self {
            Self::F64(series) => &series.dataset,
            Self::F32(series) => &series.dataset,
            Self::U64(series) => &series.dataset,
            Self::U32(series) => &series.dataset,
        }
    }

    fn write(&mut self) -> hdf5::Result<()> {
        match self {
            Self::F64(series) => series.write(),
            Self::F32(series) => series.write(),
            Self::U64(series) => series.write(),
            Self::U32(series) => series.write(),
        }
    }
}

/// A growing dataset and the rows that are not in it yet.
struct Series<T> {
    dataset: Dataset,
    axes: Vec<usize>,
    /// What stands in a row that was not measured.
    missing: T,
    written: usize,
    /// Rows in `rows`: their length may be 0, where nothing is traced.
    waiting: usize,
    rows: Vec<T>,
}

impl<T: H5Type + Copy> Series<T> {
    fn create(file: &Group, path: &str, axes: Vec<usize>, missing: T) -> hdf5::Result<Self> {
        let row_bytes = axes.iter().product::<usize>() * size_of::<T>();
        let rows = (CHUNK_BYTES / row_bytes.max(1)).clamp(1, 1024);
        Ok(Self {
            dataset: create_series(path, file.new_dataset::<T>(), &axes, rows)?,
            axes,
            missing,
            written: 0,
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

    /// Appends the rows that are waiting.
    fn write(&mut self) -> hdf5::Result<()> {
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

/// Extends a dataset by `rows`, which `values` fills with shape `axes` each.
fn append<T: H5Type>(
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
    dataset.resize(shape(rows.end))?;
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

/// Arrays over all parameters, appended in whole compressed chunks.
struct Blocks {
    values: Dataset,
    index: Dataset,
    params: usize,
    written: usize,
    mantissa_bits: u32,
    waiting: Vec<f32>,
    waiting_index: Vec<u64>,
}

impl Blocks {
    fn create(
        file: &Group,
        [index, values]: [&str; 2],
        [unit, what]: [&str; 2],
        header: &RunHeader,
        options: WriteOptions,
    ) -> hdf5::Result<Self> {
        let params = header.layout.params();
        let builder = file
            .new_dataset::<f32>()
            .shape((0.., params))
            .chunk((BLOCK_STEPS, BLOCK_PARAMS.min(params)));
        let values = options.compression.apply(builder).create(values)?;
        describe(&values, unit, what)?;
        let bits = u64::from(options.mantissa_bits);
        values
            .new_attr::<u64>()
            .create("mantissa_bits")?
            .write_scalar(&bits)?;
        let index = create_series(index, file.new_dataset::<u64>(), &[], 1024)?;
        describe(&index, "steps", "steps of the rows beside it")?;
        Ok(Self {
            values,
            index,
            params,
            written: 0,
            mantissa_bits: options.mantissa_bits,
            waiting: Vec::new(),
            waiting_index: Vec::new(),
        })
    }

    fn push(&mut self, step: u64, values: &[f32]) -> hdf5::Result<()> {
        let bits = self.mantissa_bits;
        self.waiting
            .extend(values.iter().map(|&value| round_mantissa(value, bits)));
        self.waiting_index.push(step);
        if self.waiting_index.len() == BLOCK_STEPS {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> hdf5::Result<()> {
        if self.waiting_index.is_empty() {
            return Ok(());
        }
        let rows = self.written..self.written + self.waiting_index.len();
        append(&self.values, &[self.params], rows.clone(), &self.waiting)?;
        append(&self.index, &[], rows.clone(), &self.waiting_index)?;
        self.written = rows.end;
        self.waiting.clear();
        self.waiting_index.clear();
        Ok(())
    }
}

/// Rounds to `bits` bits of precision (the leading one included), to nearest, ties to even.
fn round_mantissa(value: f32, bits: u32) -> f32 {
    let drop = 24_u32.saturating_sub(bits);
    if drop == 0 || !value.is_finite() {
        return value;
    }
    let raw = value.to_bits();
    let half = (1 << (drop - 1)) - 1 + (raw >> drop & 1);
    let rounded = f32::from_bits((raw + half) >> drop << drop);
    // The largest numbers may round up to infinity.
    if rounded.is_finite() { rounded } else { value }
}

/// Snapshots of every parameter's running totals.
struct Totals {
    step: Dataset,
    lca_sum: Dataset,
    counts: [Dataset; 3],
    params: usize,
    written: usize,
}

impl Totals {
    fn create(file: &Group, header: &RunHeader, options: WriteOptions) -> hdf5::Result<Self> {
        let params = header.layout.params();
        // One row a chunk: a snapshot fills whole chunks.
        let chunk = (1, params.clamp(1, BLOCK_STEPS * BLOCK_PARAMS));
        let lca_sum = file.new_dataset::<f64>().shape((0.., params)).chunk(chunk);
        let lca_sum = options.compression.apply(lca_sum).create("param/lca_sum")?;
        describe(
            &lca_sum,
            "nats",
            "sum of a parameter's allocations in the steps before param/step",
        )?;
        let count = |name: &str, what| {
            let builder = file.new_dataset::<u32>().shape((0.., params)).chunk(chunk);
            let dataset = options
                .compression
                .apply(builder)
                .create(&*format!("param/{name}"))?;
            describe(&dataset, "steps", what)?;
            Ok::<_, hdf5::Error>(dataset)
        };
        let step = create_series("param/step", file.new_dataset::<u64>(), &[], 64)?;
        describe(
            &step,
            "steps",
            "steps done at each snapshot of the running totals",
        )?;
        Ok(Self {
            step,
            lca_sum,
            counts: [
                count("helped", "steps in which the parameter helped")?,
                count(
                    "update_flips",
                    "steps whose movement had the opposite sign of the step before",
                )?,
                count(
                    "gradient_flips",
                    "steps over which the full gradient changed sign",
                )?,
            ],
            params,
            written: 0,
        })
    }

    fn push(&mut self, totals: &ParamTotals) -> hdf5::Result<()> {
        let ParamTotals {
            steps,
            lca_sum,
            helped,
            update_flips,
            gradient_flips,
        } = totals;
        let row = self.written..self.written + 1;
        append(&self.lca_sum, &[self.params], row.clone(), lca_sum)?;
        for (dataset, values) in self
            .counts
            .iter()
            .zip([helped, update_flips, gradient_flips])
        {
            append(dataset, &[self.params], row.clone(), values)?;
        }
        append(&self.step, &[], row, &[*steps])?;
        self.written += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rounding_keeps_the_asked_precision(value in prop::num::f32::NORMAL, bits in 1u32..=24) {
            let rounded = round_mantissa(value, bits);
            let error = ((f64::from(rounded) - f64::from(value)) / f64::from(value)).abs();
            prop_assert!(error <= 2.0_f64.powi(-i32::try_from(bits).unwrap()) || rounded == value);
            prop_assert_eq!(round_mantissa(rounded, bits), rounded);
            if bits == 24 {
                prop_assert_eq!(rounded, value);
            }
        }
    }
}
