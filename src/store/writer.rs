//! Writes a run file, record by record.

use std::fs;
use std::io;
use std::path::PathBuf;

use hdf5::{Dataset, File};

use super::blocks::{Blocks, Totals};
use super::checkpoint::Slots;
use super::disk::{self, FileLocation, ReservedSpace};
use super::driver::SharedFile;
use super::error::{Context, Disappearance, RescueOutcome, StoreError};
use super::growing_dataset::{AnyGrowingDataset, push_record};
use super::lock::WriterLock;
use super::pyramid::Pyramid;
use super::recorded_totals::RecordedTotals;
use super::replace::NewFile;
use super::run_state::unix_seconds;
use super::schema::{HELD_OUT, LOSSES, STEPS};
use super::text;
use crate::record::{
    Checkpoint, ParamTotals, RunEnd, StartRecord, Status, StepRecord, StepSummary,
};

/// A run file being written. Only the thread that owns it may use it.
pub struct RunWriter {
    pub(super) path: PathBuf,
    /// Present while an older file still has the name.
    pub(super) new: Option<NewFile>,
    pub(super) file: File,
    /// The system's handle of the file, whatever its name is now.
    pub(super) disk: fs::File,
    /// The file below HDF5.
    pub(super) journal: SharedFile,
    pub(super) lock: WriterLock,
    pub(super) space: ReservedSpace,
    pub(super) location: FileLocation,
    pub(super) losses: Vec<AnyGrowingDataset>,
    pub(super) steps: Vec<AnyGrowingDataset>,
    pub(super) held_out: Vec<AnyGrowingDataset>,
    pub(super) lca_param: Option<Blocks>,
    pub(super) weights: Option<Blocks>,
    pub(super) totals: Totals,
    /// None in continued files from older versions.
    pub(super) pyramid: Option<Pyramid>,
    /// The run's tolerance for residuals.
    pub(super) tolerance: f64,
    pub(super) committed: Dataset,
    pub(super) heartbeat: Dataset,
    pub(super) status: Dataset,
    /// None in continued files from older versions.
    pub(super) paused: Option<Dataset>,
    pub(super) message: Dataset,
    /// None if no checkpoints are made.
    pub(super) slots: Option<Slots>,
    /// Recorded sums of the steps that are recomputed.
    pub(super) known: RecordedTotals,
    /// Complete steps received so far.
    pub(super) done: u64,
}

impl RunWriter {
    /// Adds the losses at `θ_0`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn start(&mut self, record: &StartRecord) -> Result<(), StoreError> {
        if !self.has_started() {
            push_record(LOSSES, &mut self.losses, &record.losses);
        }
        self.push(ParamArray::Weights, 0, record.weights.as_deref())
    }

    /// Whether the losses at `θ_0` have been recorded.
    fn has_started(&self) -> bool {
        self.done > 0 || self.losses.iter().any(|series| series.written() > 0)
    }

    /// Adds a step. It is safe in the file after the next [`commit`](Self::commit).
    ///
    /// # Errors
    /// The file cannot be written. If there is no room, nothing of the step has been added.
    pub fn step(&mut self, record: &StepRecord) -> Result<(), StoreError> {
        if let Err(error) = self.reserve_for_step(record) {
            if !matches!(error, StoreError::DiskFull { .. }) {
                return Err(error);
            }
            // Rows passed to HDF5 since its last flush may count twice, and the size of waiting rows is an upper bound.
            // Once both are written, there may be room.
            (self.file.flush()).doing(&self.path, || "write the latest rows".to_owned())?;
            self.space.flushed();
            self.commit()?;
            self.reserve_for_step(record)?;
        }
        let after = record.step + 1;
        if after <= self.done {
            self.known.compare(&self.path, record)?;
        } else {
            push_record(LOSSES, &mut self.losses, &record.after);
            push_record(STEPS, &mut self.steps, record);
            if let Some(held_out) = &record.lca_held_out {
                push_record(HELD_OUT, &mut self.held_out, held_out);
            }
            if let Some(pyramid) = &mut self.pyramid {
                pyramid.push(&StepSummary::from_step(record, self.tolerance));
            }
            self.done = after;
        }
        self.push(
            ParamArray::Allocations,
            record.step,
            record.lca_param.as_deref(),
        )?;
        self.push(ParamArray::Weights, after, record.weights.as_deref())?;
        if let Some(totals) = &record.totals {
            self.push_totals(totals)?;
        }
        match self.new {
            // At once: from now on it is worth more than the file that it replaces.
            Some(_) => self.commit(),
            None => Ok(()),
        }
    }

    /// Reserves room for everything waiting and for a step, so that whatever was added can be committed.
    fn reserve_for_step(&mut self, record: &StepRecord) -> Result<(), StoreError> {
        let need = self.bytes_needed(1)
            + record
                .totals
                .as_ref()
                .map_or(0, |_| self.totals.bytes_needed());
        self.reserve(need)?;
        // Part of it is written before the next commit.
        let arrays = [
            (&self.lca_param, record.lca_param.is_some()),
            (&self.weights, record.weights.is_some()),
        ];
        let full = arrays.into_iter().filter_map(|(blocks, pushed)| {
            let blocks = blocks.as_ref()?;
            (pushed && blocks.is_nearly_full()).then(|| blocks.bytes_needed(1))
        });
        let totals = record.totals.iter().map(|_| self.totals.bytes_needed());
        self.space.used(full.chain(totals).sum());
        Ok(())
    }

    /// Makes sure that `bytes` more can be written.
    fn reserve(&mut self, bytes: u64) -> Result<(), StoreError> {
        (self.space).reserve_for(&self.disk, &self.journal, &self.path, bytes)
    }

    /// An upper bound on the bytes that writing everything waiting, and `more` steps, adds to the file.
    fn bytes_needed(&self, more: usize) -> u64 {
        let rows = (self.losses.iter())
            .chain(&self.steps)
            .chain(&self.held_out)
            .map(|series| series.bytes_needed(more));
        let blocks = (self.lca_param.iter())
            .chain(&self.weights)
            .map(|blocks| blocks.bytes_needed(more));
        let pyramid = (self.pyramid.iter()).map(|pyramid| pyramid.bytes_needed(self.done, more));
        rows.chain(blocks).chain(pyramid).sum()
    }

    /// Adds a row of an array over all parameters, if both exist.
    fn push(
        &mut self,
        array: ParamArray,
        step: u64,
        row: Option<&[f32]>,
    ) -> Result<(), StoreError> {
        let (blocks, doing) = match array {
            ParamArray::Allocations => (&mut self.lca_param, "write allocations"),
            ParamArray::Weights => (&mut self.weights, "write weights"),
        };
        match (blocks, row) {
            (Some(blocks), Some(row)) => blocks
                .push(step, row)
                .doing(&self.path, || doing.to_owned()),
            _ => Ok(()),
        }
    }

    fn push_totals(&mut self, totals: &ParamTotals) -> Result<(), StoreError> {
        self.totals
            .push(totals)
            .doing(&self.path, || "write totals".to_owned())
    }

    /// Makes every step added so far readable: data first, then the committed length.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        self.check()?;
        self.make_room()?;
        self.try_commit()
            .doing(&self.path, || "commit steps".to_owned())?;
        self.space.flushed();
        match self.new.take_if(|_| self.done > 0) {
            Some(new) => self.sync().and_then(|()| new.move_into_place()),
            None => Ok(()),
        }
    }

    /// Reserves room for the next commit, and for the rows that wait for their block to be full, so that they can still
    /// be written when the disk is full.
    fn make_room(&mut self) -> Result<(), StoreError> {
        self.reserve(self.bytes_needed(0))?;
        for blocks in self.lca_param.iter_mut().chain(&mut self.weights) {
            blocks.rows_are_safe();
        }
        Ok(())
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
        if let Some(pyramid) = &mut self.pyramid {
            pyramid.write()?;
        }
        self.file.flush()?;
        self.committed.write_raw(&[self.done])?;
        self.write_heartbeat()
    }

    /// Stores the state after the last step, from which a run can be resumed, and syncs everything to the disk: what
    /// was recorded so far survives a power failure too.
    ///
    /// # Errors
    /// The file cannot be written; the previous checkpoint is then still there.
    pub fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        // The steps before it must be recorded first. The commit reserves room for the rows of unfinished chunks.
        self.commit()?;
        let Some(need) = self.slots.as_ref().map(Slots::bytes_needed) else {
            return Ok(());
        };
        self.reserve(need)?;
        self.write_blocks()
            .doing(&self.path, || "write the last rows".to_owned())?;
        let file = &self.file;
        (self.slots.as_mut())
            .map_or(Ok(()), |slots| slots.write(checkpoint, || file.flush()))
            .doing(&self.path, || "write a checkpoint".to_owned())?;
        self.sync()
    }

    /// Syncs everything that HDF5 has flushed to the disk, so that it survives a power failure.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let synced = self.journal.lock().sync();
        synced.map_err(|error| disk::full(&self.path, &self.disk, 0, error))
    }

    /// Checks that writes still reach a file with a name, and that nobody else has changed it.
    fn check(&self) -> Result<(), StoreError> {
        self.location.check(&self.disk)?;
        if self.is_overwritten() {
            return Err(StoreError::Disappeared {
                path: self.path.clone(),
                how: Disappearance::Overwritten,
                rescue: RescueOutcome::NotTried,
            });
        }
        Ok(())
    }

    fn is_overwritten(&self) -> bool {
        !self.journal.lock().is_ours().unwrap_or(true)
    }

    /// Adds to an error the cause, which HDF5 was told but does not pass on.
    fn explained(&self, error: StoreError) -> StoreError {
        if let Err(gone) = self.check() {
            return gone;
        }
        let told = self.journal.lock().take_error();
        match told {
            Some(told) => disk::full(&self.path, &self.disk, 0, told),
            None => error,
        }
    }

    /// Writes the rows of unfinished chunks.
    fn write_blocks(&mut self) -> hdf5::Result<()> {
        let blocks = [&mut self.lca_param, &mut self.weights];
        blocks.into_iter().flatten().try_for_each(Blocks::write)
    }

    /// Records whether the training is paused, and makes every earlier step readable.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn paused(&mut self, paused: bool) -> Result<(), StoreError> {
        self.commit()?;
        let Some(dataset) = &self.paused else {
            return Ok(());
        };
        (dataset.write_raw(&[u8::from(paused)]))
            .and_then(|()| self.file.flush())
            .doing(&self.path, || "write state/paused".to_owned())
    }

    /// Renews the heartbeat.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn heartbeat(&mut self) -> Result<(), StoreError> {
        self.check()?;
        self.write_heartbeat()
            .doing(&self.path, || "write a heartbeat".to_owned())
    }

    fn write_heartbeat(&mut self) -> hdf5::Result<()> {
        self.heartbeat.write_raw(&[unix_seconds()])?;
        self.file.flush()
    }

    /// Writes everything that is left, records how the run ended, and closes the file.
    ///
    /// # Errors
    /// The file cannot be written; or the run has no step, and therefore does not replace the older file.
    pub fn finish(mut self, end: &RunEnd) -> Result<(), StoreError> {
        if let Err(error) = self.try_finish(end) {
            return Err(self.abandon(error));
        }
        let waited = self.new.is_some();
        let (path, _, _, closed) = self.close();
        if waited {
            let why = end.message.clone();
            return Err(StoreError::NoStep { path, why });
        }
        closed.map_err(|error| StoreError::Io { path, error })
    }

    fn try_finish(&mut self, end: &RunEnd) -> Result<(), StoreError> {
        // Steps first: if there is no room for the rest, they are safe.
        self.commit()?;
        self.write_blocks()
            .doing(&self.path, || "write the last rows".to_owned())?;
        if let Some(totals) = &end.totals {
            let need = self.totals.bytes_needed();
            self.reserve(need)?;
            self.push_totals(totals)?;
        }
        self.write_status(end.status, &end.message)
            .doing(&self.path, || "finish".to_owned())
    }

    /// Records how the run ended, in place, so that it needs no room.
    fn write_status(&mut self, status: Status, message: &str) -> hdf5::Result<()> {
        self.message.write_raw(&[text::fixed::<1024>(message)])?;
        // Everything that the status implies must be in the file first.
        self.file.flush()?;
        self.write_heartbeat()?;
        self.status.write_raw(&[status.code()])?;
        self.file.flush()
    }

    /// Closes a file that cannot be written any further, with everything committed before and the reason. Returns the
    /// error, with the outcome of rescuing a file that was deleted meanwhile.
    #[must_use]
    pub fn abandon(mut self, error: StoreError) -> StoreError {
        let error = self.explained(error);
        if let StoreError::Disappeared {
            how: Disappearance::Overwritten,
            ..
        } = error
        {
            // The content there now belongs to somebody else.
            self.journal.lock().stop_writing();
            return error;
        }
        let full = matches!(error, StoreError::DiskFull { .. });
        if full && self.make_room().is_ok() {
            // Only a step that did not fit is missing: those before it may fit.
            let _ = self.try_commit();
        } else {
            // Whatever the last commit reserved room for fits.
            for blocks in self.lca_param.iter_mut().chain(&mut self.weights) {
                blocks.keep_safe_rows();
            }
        }
        // Each as far as possible: the error returned is the first one.
        let _ = self.write_blocks();
        let _ = self.write_status(Status::Failed, &error.to_string());
        let error = match &self.new {
            Some(new) => new.failed(error),
            None => error,
        };
        let (_, disk, location, _) = self.close();
        let _ = disk.sync_all();
        match error {
            StoreError::Disappeared { path, how, .. }
                if how == Disappearance::Deleted || disk::is_in_memory(&disk) =>
            {
                let rescue = location.rescue(&disk);
                StoreError::Disappeared { path, how, rescue }
            }
            error => error,
        }
    }

    /// Closes the file and releases the room beyond its end. The file stays locked while the returned handle lives.
    /// Also returns whether HDF5 could close it.
    fn close(self) -> (PathBuf, fs::File, FileLocation, io::Result<()>) {
        let Self {
            path,
            disk,
            journal,
            location,
            file,
            losses,
            steps,
            held_out,
            lca_param,
            weights,
            totals,
            pyramid,
            slots,
            committed,
            heartbeat,
            status,
            paused,
            message,
            ..
        } = self;
        // HDF5 closes a file when the last of its datasets is closed.
        drop((
            losses, steps, held_out, lca_param, weights, totals, pyramid, slots,
        ));
        drop((committed, heartbeat, status, paused, message, file));
        let mut journal = journal.lock();
        let mut closed = journal.take_error().map_or(Ok(()), Err);
        if closed.is_ok() && !journal.is_closed() {
            closed = Err(io::Error::other("HDF5 did not close the file"));
        }
        let _ = disk::release_reserved(&disk);
        (path, disk, location, closed)
    }
}

/// An array over all parameters.
#[derive(Clone, Copy)]
enum ParamArray {
    Allocations,
    Weights,
}
