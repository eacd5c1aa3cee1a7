//! Resumes a run that was stopped, failed or was killed.

use std::fs;
use std::path::{Path, PathBuf};

use super::blocks::{Blocks, Totals};
use super::checkpoint::{self, CheckpointSlot, Slots};
use super::disk::{FileLocation, ReservedSpace};
use super::error::{Context, StoreError};
use super::growing_dataset::open_columns;
use super::lock::{self, WriterLock};
use super::open::{self, Writable};
use super::pyramid::{Pyramid, WIDTHS};
use super::reader::RunReader;
use super::recorded_totals::RecordedTotals;
use super::repair::cut_to;
use super::run_state::{RunState, unix_seconds};
use super::schema::{HELD_OUT, LOSSES, STEPS};
use super::text;
use super::writer::RunWriter;
use crate::layout::MAX_NAME;
use crate::record::{Checkpoint, RunHeader, SavedShape, Status, StepSummary};

/// A run file that can be resumed, examined but not changed yet.
pub struct Resumable {
    reader: RunReader,
    path: PathBuf,
    state: RunState,
}

/// The part of a run that is kept when it is resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptPart {
    /// Steps that stay unchanged. Those after the checkpoint are recomputed, and must come out the same.
    pub steps: u64,
    /// The checkpoint from which the run resumes; none to start from the beginning.
    pub checkpoint: Option<CheckpointSlot>,
    /// Whether a snapshot of the running totals belongs to the last of these steps, rather than having been made
    /// because the run ended there.
    pub totals: bool,
}

impl Resumable {
    /// Opens a run file for resuming.
    ///
    /// # Errors
    /// The file is not a run, is being written, has all its steps, or was recorded by an older program.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let reader = RunReader::open(path)?;
        let state = reader.refresh()?;
        if state.is_live() {
            return Err(StoreError::Live {
                path: path.to_owned(),
            });
        }
        // A run killed before it was closed has all its steps, but lacks what was still to be written.
        let planned = reader.header().planned_steps;
        let has_all = planned > 0 && state.committed >= planned;
        if has_all && state.status == Status::Finished && !state.marked {
            return Err(StoreError::Complete {
                path: path.to_owned(),
                steps: state.committed,
            });
        }
        let has_old_checkpoints = reader.has_object("checkpoint/0/last_update");
        let mut needed = (STEPS.iter().map(|column| column.path))
            .chain(has_old_checkpoints.then_some("checkpoint/0/last_signs"));
        if let Some(missing) = needed.find(|column| !reader.has_object(column)) {
            return Err(StoreError::Older {
                path: path.to_owned(),
                missing,
            });
        }
        Ok(Self {
            reader,
            path: path.to_owned(),
            state,
        })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    #[must_use]
    pub fn reader(&self) -> &RunReader {
        &self.reader
    }

    /// Complete steps in the file.
    #[must_use]
    pub fn committed(&self) -> u64 {
        self.state.committed
    }

    /// Reads the newest complete checkpoint, among those that fit if any does.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn checkpoint(
        &self,
        shape: &[SavedShape],
        fits: impl Fn(&Checkpoint) -> bool,
    ) -> Result<Option<(CheckpointSlot, Checkpoint)>, StoreError> {
        let committed = self.state.committed;
        checkpoint::newest(&self.path, self.reader.file(), shape, committed, fits)
    }

    /// Opens the file for writing after the steps that are kept. `header` is the result of the configuration, and must
    /// match the file's own.
    ///
    /// # Errors
    /// The file cannot be written, or its datasets do not fit the header.
    pub(super) fn write_on(
        self,
        keep: KeptPart,
        header: &RunHeader,
    ) -> Result<RunWriter, StoreError> {
        let Self {
            reader,
            path,
            state,
        } = self;
        let from = keep.checkpoint.map_or(0, |found| found.step);
        let known = if from < keep.steps {
            RecordedTotals {
                first: from,
                total: reader.totals(from..keep.steps)?,
            }
        } else {
            RecordedTotals::default()
        };
        // Steps since the last row of the pyramid.
        let tail = match keep.steps % WIDTHS[0] {
            0 => Vec::new(),
            rest => reader.steps(keep.steps - rest..keep.steps)?,
        };
        let disk = fs::OpenOptions::new().read(true).write(true).open(&path);
        let disk = disk.map_err(StoreError::io(&path))?;
        let lock = WriterLock::acquire(&disk, &path)?;
        // Another process may have continued the run before the lock was taken.
        reader.check_unchanged(&disk)?;
        reader.check_lists()?;
        drop(reader);
        lock.release_for_hdf5(&path)?;
        open::restore_abandoned(&path, &disk)?;
        // Everything from here on is undone if the program ends before a sync. Whatever follows the committed steps is
        // overwritten, not cut off.
        let (file, journal) = open::write(&path, &disk, false)?;
        if keep.steps < state.committed {
            cut_to(&file, header.held_out_lca, keep.steps)
                .and_then(|()| file.flush())
                .doing(&path, || "remove the steps to recompute".to_owned())?;
        }
        file.start_swmr()
            .doing(&path, || "start writing for readers".to_owned())?;
        let writer = reopen(
            &path,
            (file, journal),
            (disk, lock),
            header,
            keep,
            (known, tail),
        )
        .doing(&path, || "open the datasets for writing".to_owned())?;
        (writer.mark_running())
            .and_then(|()| writer.file.flush())
            .doing(&path, || "start writing for readers".to_owned())?;
        writer.sync()?;
        writer.lock.share(&path)?;
        Ok(writer)
    }
}

fn reopen(
    path: &Path,
    (file, journal): Writable,
    (disk, lock): (fs::File, WriterLock),
    header: &RunHeader,
    keep: KeptPart,
    (known, tail): (RecordedTotals, Vec<StepSummary>),
) -> hdf5::Result<RunWriter> {
    let steps = usize::try_from(keep.steps).map_err(|error| error.to_string())?;
    let held_out = if header.held_out_lca {
        open_columns(&file, HELD_OUT, header, steps)?
    } else {
        Vec::new()
    };
    let blocks = |wanted: u64, names: [&str; 2], end: u64| {
        (wanted > 0)
            .then(|| Blocks::open(&file, names, header, end))
            .transpose()
    };
    // Losses at θ_0 … θ_T. A run killed before its first commit has none.
    let losses = match file.dataset(LOSSES[0].path)?.shape().first() {
        Some(0) | None => 0,
        Some(_) => steps + 1,
    };
    Ok(RunWriter {
        path: path.to_owned(),
        journal,
        new: None,
        lock,
        space: ReservedSpace::default(),
        location: FileLocation::of(path),
        losses: open_columns(&file, LOSSES, header, losses)?,
        steps: open_columns(&file, STEPS, header, steps)?,
        held_out,
        lca_param: blocks(
            header.record_params,
            ["lca/param_step", "lca/param"],
            keep.steps,
        )?,
        // θ after up to `keep.steps` steps, inclusive.
        weights: blocks(
            header.record_weights,
            ["weight/step", "weight/value"],
            keep.steps + 1,
        )?,
        totals: Totals::open(&file, header, keep.steps, keep.totals)?,
        pyramid: Pyramid::reopen(&file, header, keep.steps, tail)?,
        tolerance: header.tolerance,
        slots: if file.link_exists("checkpoint") {
            Some(Slots::open(&file, &header.checkpoint, keep.checkpoint)?)
        } else {
            None
        },
        known,
        committed: file.dataset("state/committed")?,
        heartbeat: file.dataset("state/heartbeat")?,
        status: file.dataset("state/status")?,
        paused: file.dataset("state/paused").ok(),
        message: file.dataset("state/message")?,
        done: keep.steps,
        disk,
        file,
    })
}

impl RunWriter {
    /// Records that a run that had ended is running again.
    fn mark_running(&self) -> hdf5::Result<()> {
        // Missing in files from older versions.
        if let Ok(host) = self.file.dataset("state/host") {
            host.write_raw(&[text::fixed::<MAX_NAME>(&lock::host())])?;
        }
        if let Ok(process) = self.file.dataset("state/process") {
            process.write_raw(&[u64::from(std::process::id())])?;
        }
        if let Some(paused) = &self.paused {
            paused.write_raw(&[0_u8])?;
        }
        self.heartbeat.write_raw(&[unix_seconds()])?;
        self.message.write_raw(&[text::fixed::<1024>("")])?;
        self.status.write_raw(&[Status::Running.code()])
    }
}
