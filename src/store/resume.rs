//! Going on with a run that was stopped, has failed or was killed.

use std::fs;
use std::path::{Path, PathBuf};

use super::blocks::{Blocks, Totals};
use super::checkpoint::{self, Found, Slots};
use super::disk::{Place, Room};
use super::error::{Context, StoreError};
use super::lock::{self, WriterLock};
use super::open::{self, Writable};
use super::pyramid::{Pyramid, WIDTHS};
use super::reader::RunReader;
use super::repair::cut_to;
use super::schema::{HELD_OUT, LOSSES, STEPS};
use super::series::open_columns;
use super::state::RunState;
use super::text;
use super::writer::{RunWriter, unix_seconds};
use crate::layout::MAX_NAME;
use crate::record::{Checkpoint, RunHeader, SavedShape, Status, StepRecord, StepSummary};

/// A run file that may be gone on with, looked at and not yet changed.
pub struct Resumable {
    reader: RunReader,
    path: PathBuf,
    state: RunState,
}

/// How much of a run is kept when it is gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Steps that stay as they are. Those among them that are computed again, because they follow the
    /// checkpoint, must come out the same.
    pub steps: u64,
    /// Where the checkpoint is that is gone on from; none starts from the beginning.
    pub checkpoint: Option<Found>,
    /// Whether a snapshot of the running totals belongs to the last of them, and is not one that was
    /// made because the run ended there.
    pub totals: bool,
}

impl Resumable {
    /// # Errors
    /// The file is no run, is being written, has all its steps, or was recorded by an older program.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let reader = RunReader::open(path)?;
        let state = reader.refresh()?;
        if state.is_live() {
            return Err(StoreError::Live {
                path: path.to_owned(),
            });
        }
        // One that was killed before it was closed has its steps, and lacks what was not written yet.
        let has_all = state.committed >= reader.header().planned_steps;
        if has_all && state.status == Status::Finished {
            return Err(StoreError::Complete {
                path: path.to_owned(),
                steps: state.committed,
            });
        }
        let mut needed = STEPS.iter().map(|column| column.path);
        if let Some(missing) = needed.find(|column| !reader.has(column)) {
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

    /// Whole steps in the file.
    #[must_use]
    pub fn committed(&self) -> u64 {
        self.state.committed
    }

    /// The newest whole checkpoint.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn checkpoint(
        &self,
        shape: &[SavedShape],
    ) -> Result<Option<(Found, Checkpoint)>, StoreError> {
        checkpoint::newest(&self.path, self.reader.file(), shape, self.state.committed)
    }

    /// Makes the file one that is being written again, after the steps that are kept. `header` is what
    /// the configuration came to, and must be the file's own.
    ///
    /// # Errors
    /// The file cannot be written, or its datasets do not fit the header.
    pub(super) fn write_on(self, keep: Kept, header: &RunHeader) -> Result<RunWriter, StoreError> {
        let Self {
            reader,
            path,
            state,
        } = self;
        let from = keep.checkpoint.map_or(0, |found| found.step);
        let known = match from < keep.steps {
            true => Known {
                first: from,
                total: reader.totals(from..keep.steps)?,
            },
            false => Known::default(),
        };
        // Steps since the last row of the pyramid.
        let tail = match keep.steps % WIDTHS[0] {
            0 => Vec::new(),
            rest => reader.steps(keep.steps - rest..keep.steps)?,
        };
        let disk = fs::OpenOptions::new().read(true).write(true).open(&path);
        let disk = disk.map_err(StoreError::io(&path))?;
        let lock = WriterLock::take(&disk, &path)?;
        // Before the lock was had, somebody else may have gone on with the run.
        if reader.refresh()?.committed != state.committed {
            return Err(StoreError::Live { path });
        }
        reader.check_lists()?;
        drop(reader);
        lock.give_way(&path)?;
        open::settle(&path, &disk)?;
        // All that follows is undone if the program ends before it is synced. What lies behind the committed
        // steps is written over, not cut off.
        let (file, journal) = open::write(&path, &disk, false)?;
        if keep.steps < state.committed {
            cut_to(&file, header.held_out_lca, keep.steps)
                .and_then(|()| file.flush())
                .doing(&path, || "cut the steps that are computed again".to_owned())?;
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
        .doing(&path, || "open the datasets to write on".to_owned())?;
        (writer.announce())
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
    keep: Kept,
    (known, tail): (Known, Vec<StepSummary>),
) -> hdf5::Result<RunWriter> {
    let steps = usize::try_from(keep.steps).map_err(|error| error.to_string())?;
    let held_out = match header.held_out_lca {
        true => open_columns(&file, HELD_OUT, header, steps)?,
        false => Vec::new(),
    };
    let blocks = |wanted: u64, names: [&str; 2], end: u64| {
        (wanted > 0)
            .then(|| Blocks::open(&file, names, header, end))
            .transpose()
    };
    // Losses at θ_0 … θ_T. A run that was killed before its first commit has none.
    let losses = match file.dataset(LOSSES[0].path)?.shape().first() {
        Some(0) | None => 0,
        Some(_) => steps + 1,
    };
    Ok(RunWriter {
        path: path.to_owned(),
        journal,
        new: None,
        lock,
        room: Room::default(),
        place: Place::of(path),
        losses: open_columns(&file, LOSSES, header, losses)?,
        steps: open_columns(&file, STEPS, header, steps)?,
        held_out,
        lca_param: blocks(
            header.record_params,
            ["lca/param_step", "lca/param"],
            keep.steps,
        )?,
        // θ after so many steps, all of them included.
        weights: blocks(
            header.record_weights,
            ["weight/step", "weight/value"],
            keep.steps + 1,
        )?,
        totals: Totals::open(&file, header, keep.steps, keep.totals)?,
        pyramid: Pyramid::reopen(&file, header, keep.steps, tail)?,
        tolerance: header.tolerance,
        slots: match file.link_exists("checkpoint") {
            true => Some(Slots::open(&file, &header.checkpoint, keep.checkpoint)?),
            false => None,
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
    /// Says that a run that had ended is going on.
    fn announce(&self) -> hdf5::Result<()> {
        // Files of older versions lack these.
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

    /// Whether the losses at `θ_0` are there.
    pub(super) fn has_started(&self) -> bool {
        self.done > 0 || self.losses.iter().any(|series| series.written() > 0)
    }
}

/// What the file says of steps that are computed again.
#[derive(Default)]
pub struct Known {
    first: u64,
    /// Σ A of each, in nats.
    total: Vec<f64>,
}

impl Known {
    /// Whether a step has come out as it did before.
    pub fn compare(&self, path: &Path, record: &StepRecord) -> Result<(), StoreError> {
        let index = record.step.checked_sub(self.first);
        let index = index.and_then(|index| usize::try_from(index).ok());
        match index.and_then(|index| self.total.get(index)) {
            Some(total) if total.to_bits() == record.lca.total.to_bits() => Ok(()),
            _ => Err(StoreError::Otherwise {
                path: path.to_owned(),
                step: record.step,
            }),
        }
    }
}
