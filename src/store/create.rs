//! Creates a run file, with everything that is known before the first step.

use std::fs;
use std::path::Path;

use hdf5::File;

use super::blocks::{Blocks, Totals};
use super::checkpoint::Slots;
use super::compression::WriteOptions;
use super::disk::{FileLocation, ReservedSpace};
use super::error::{Context, StoreError};
use super::growing_dataset::{CHUNK_ROWS, create_columns};
use super::header::{write_attributes, write_fixed, write_layout, write_rows, write_trajectory};
use super::lock::{self, WriterLock};
use super::open::{self, Writable};
use super::pyramid::Pyramid;
use super::recorded_totals::RecordedTotals;
use super::replace::{self, NewFile};
use super::run_state::unix_seconds;
use super::schema::{HELD_OUT, LOSSES, STEPS};
use super::text::{self, FileNameString, MessageString};
use super::writer::RunWriter;
use crate::layout::MAX_NAME;
use crate::record::{RunHeader, Status};

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
        let new = if options.force {
            replace::check_not_written(path)?;
            NewFile::replacing(path)?
        } else {
            NewFile::create(path)?
        };
        Self::begin(new, header, options)
    }

    /// Writes the header into a file created in advance, and starts SWMR mode.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begin(
        new: NewFile,
        header: &RunHeader,
        options: WriteOptions,
    ) -> Result<Self, StoreError> {
        let mut writer =
            Self::write_header(&new, header, options).map_err(|error| new.failed(error))?;
        if new.replaces_file() {
            writer.new = Some(new);
        } else {
            new.move_into_place()?;
        }
        Ok(writer)
    }

    fn write_header(
        new: &NewFile,
        header: &RunHeader,
        options: WriteOptions,
    ) -> Result<Self, StoreError> {
        let path = &new.path;
        let (disk, lock, at) = new.open()?;
        lock.release_for_hdf5(path)?;
        let writable = open::write(at, &disk, true)?;
        let mut space = ReservedSpace::default();
        space.reserve_for(&disk, &writable.1, path, header_bytes(header))?;
        let writer = Self::fill(path, writable, (disk, lock, space), header, options)
            .doing(path, || "write the header".to_owned())?;
        (writer.file.flush())
            .and_then(|()| writer.file.start_swmr())
            .and_then(|()| writer.file.flush())
            .doing(path, || "start writing for readers".to_owned())?;
        writer.sync()?;
        writer.lock.share(path)?;
        Ok(writer)
    }

    fn fill(
        path: &Path,
        (file, journal): Writable,
        (disk, lock, space): (fs::File, WriterLock, ReservedSpace),
        header: &RunHeader,
        options: WriteOptions,
    ) -> hdf5::Result<Self> {
        write_attributes(&file, header)?;
        write_layout(&file, header)?;
        write_rows(&file, header)?;
        write_trajectory(&file, header)?;
        write_tables(&file, header)?;
        let losses = create_columns(&file, LOSSES, header, CHUNK_ROWS)?;
        let steps = create_columns(&file, STEPS, header, CHUNK_ROWS)?;
        let held_out = if header.held_out_lca {
            create_columns(&file, HELD_OUT, header, CHUNK_ROWS)?
        } else {
            Vec::new()
        };
        let blocks = |wanted: u64, [index, values]: [&str; 2], [unit, what]: [&str; 2]| {
            (wanted > 0)
                .then(|| Blocks::create(&file, [index, values], [unit, what], header, options))
                .transpose()
        };
        write_writer(&file)?;
        Ok(Self {
            path: path.to_owned(),
            new: None,
            space,
            journal,
            lock,
            location: FileLocation::of(path),
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
            slots: (!header.checkpoint.is_empty())
                .then(|| Slots::create(&file, &header.checkpoint))
                .transpose()?,
            known: RecordedTotals::default(),
            pyramid: Some(Pyramid::create(&file, header)?),
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
            paused: Some(write_fixed(
                &file,
                "state/paused",
                &[0_u8],
                "",
                "1 while the training waits for the order to go on",
            )?),
            message: write_fixed(
                &file,
                "state/message",
                &[MessageString::default()],
                "",
                "why the run failed",
            )?,
            done: 0,
            disk,
            file,
        })
    }
}

/// Writes everything known before the first step that does not grow with the steps.
fn write_tables(file: &File, header: &RunHeader) -> hdf5::Result<()> {
    write_fixed(
        file,
        "trace/parameter",
        &header.traced,
        "parameters",
        "flat indices of the parameters traced at every step",
    )?;
    write_fixed(
        file,
        "lca/histogram_edges",
        &header.histogram_edges,
        "nats",
        "edges of lca/histogram; the outermost are infinite",
    )?;
    Ok(())
}

/// Records who writes the file, which readers need to know where the file system's locks do not reach.
fn write_writer(file: &File) -> hdf5::Result<()> {
    write_fixed(
        file,
        "state/host",
        &[text::fixed::<MAX_NAME>(&lock::host())],
        "",
        "host of the writer",
    )?;
    write_fixed(
        file,
        "state/process",
        &[u64::from(std::process::id())],
        "",
        "process of the writer on its host",
    )?;
    Ok(())
}

/// An upper bound on the bytes of everything before the first step: every number once, and every dataset with its
/// description.
fn header_bytes(header: &RunHeader) -> u64 {
    let rows = [
        &header.train_index,
        &header.lca_index,
        &header.test_index,
        &header.validation_index,
    ];
    let rows: usize = rows.iter().map(|rows| rows.len()).sum();
    let layout = &header.layout;
    let numbers = rows + header.traced.len() + header.histogram_edges.len() + 2 * layout.units();
    let numbers = numbers
        + header
            .data
            .as_ref()
            .map_or(0, |facts| 3 + 2 * facts.train.len());
    let names = 2 * layout.layers.len() + 2 * layout.tensors.len() + header.classes.len();
    let sizes = 8 * layout.tensors.len() + 2 * layout.layers.len();
    let files = size_of::<FileNameString>() * header.trajectory_files.len();
    (8 * (numbers + sizes) + MAX_NAME * names + files + header.config.len()) as u64 + (1 << 19)
}
