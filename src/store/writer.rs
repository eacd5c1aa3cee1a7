//! Writes a run file, record by record.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hdf5::{Dataset, File};

use super::blocks::{Blocks, Totals};
use super::compression::Compression;
use super::error::{Context, StoreError};
use super::header::{write_attributes, write_fixed, write_layout, write_rows};
use super::pyramid::Pyramid;
use super::reader::RunReader;
use super::schema::{HELD_OUT, LOSSES, STEPS};
use super::series::{AnySeries, CHUNK_ROWS, create_columns, take};
use super::text::{self, Message};
use crate::record::{RunEnd, RunHeader, StartRecord, Status, StepRecord, StepSummary};

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
    pyramid: Pyramid,
    /// The run's, for residuals.
    tolerance: f64,
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

        let losses = create_columns(&file, LOSSES, header, CHUNK_ROWS)?;
        let steps = create_columns(&file, STEPS, header, CHUNK_ROWS)?;
        let held_out = match header.held_out_lca {
            true => create_columns(&file, HELD_OUT, header, CHUNK_ROWS)?,
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
            pyramid: Pyramid::create(&file, header)?,
            tolerance: header.tolerance,
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
        self.pyramid.push(&StepSummary::of(record, self.tolerance));
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
        self.pyramid.write()?;
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
