//! Repairs a file whose writer was killed, so that it is an ordinary HDF5 file again.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use hdf5::File;

use super::blocks::rows_before;
use super::disk;
use super::error::{Context, StoreError};
use super::growing_dataset::cut;
use super::lock::{self, Holder, WriterLock};
use super::open;
use super::pyramid;
use super::reader::RunReader;
use super::schema::{HELD_OUT, LOSSES, steps_of};
use super::text;
use crate::record::Status;

/// The outcome of a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// Steps in the file.
    pub steps: u64,
    /// Whether the file was closed properly, with nothing after its committed steps.
    pub was_whole: bool,
}

/// Repairs the file of a run that was killed: clears its writer's marks, truncates it to the committed steps, and
/// records how the run ended. The run can still be resumed.
///
/// # Errors
/// The file is not a run, is being written, or cannot be written.
pub fn repair(path: &Path) -> Result<Repaired, StoreError> {
    // Read first: a file that is not a run stays unchanged.
    let (reader, taken) = open_abandoned(path)?;
    let state = reader.refresh()?;
    if state.is_live() && taken.is_none() {
        return Err(StoreError::Live {
            path: path.to_owned(),
        });
    }
    let steps = state.committed;
    let was_whole = taken.is_none()
        && state.status != Status::Running
        && !reader.is_marked()
        && !reader.has_more()?;
    if was_whole {
        return Ok(Repaired { steps, was_whole });
    }
    let held_out = reader.header().held_out_lca;
    reader.check_lists()?;
    let (disk, _lock) = match taken {
        Some(taken) => taken,
        None => lock_for_repair(path)?,
    };
    // Another process may have continued the run before the lock was taken.
    reader.check_unchanged(&disk)?;
    drop(reader);
    open::restore_abandoned(path, &disk)?;
    // All or nothing: the journal is never synced before the file is closed.
    let (file, journal) = open::write(path, &disk, false)?;
    let finish = || {
        cut_to(&file, held_out, steps)?;
        if state.status == Status::Running {
            let message = format!("the program was killed after step {steps}");
            (file.dataset("state/message")?).write_raw(&[text::fixed::<1024>(&message)])?;
            (file.dataset("state/status")?).write_raw(&[Status::Failed.code()])?;
        }
        file.flush()
    };
    let finished = finish().doing(path, || "repair the file".to_owned());
    drop(file);
    let io = StoreError::io(path);
    if let Some(error) = journal.lock().take_error() {
        return Err(disk::full(path, &disk, 0, error));
    }
    finished?;
    disk.sync_all().map_err(io)?;
    Ok(Repaired { steps, was_whole })
}

/// The open file, and the right to write it.
type LockedFile = (fs::File, WriterLock);

/// Takes the right to write a file that no longer has a writer.
fn lock_for_repair(path: &Path) -> Result<LockedFile, StoreError> {
    let disk = fs::File::options().read(true).write(true).open(path);
    let disk = disk.map_err(StoreError::io(path))?;
    let lock = WriterLock::acquire(&disk, path)?;
    lock.release_for_hdf5(path)?;
    Ok((disk, lock))
}

/// Opens a run. If a writer was killed while opening it, its marks are cleared, and the right to write it is returned
/// as well. A file that turns out to be something else is restored.
fn open_abandoned(path: &Path) -> Result<(RunReader, Option<LockedFile>), StoreError> {
    let closed = match RunReader::open(path) {
        Ok(reader) => return Ok((reader, None)),
        Err(closed @ StoreError::ClosedToAll { .. }) => closed,
        Err(error) => return Err(error),
    };
    let io = StoreError::io(path);
    // If locks cannot tell whether there is a writer, only the heartbeat could, and it cannot be read.
    if lock::holder(&fs::File::open(path).map_err(io)?) == Holder::Unknown {
        return Err(closed);
    }
    let (disk, lock) = lock_for_repair(path)?;
    // Everything that clearing the marks changes: the superblock, and the end of the file.
    let mut superblock = [0; SUPERBLOCK];
    disk.read_exact_at(&mut superblock, 0).map_err(io)?;
    let length = disk.metadata().map_err(io)?.len();
    open::write(path, &disk, false)?;
    match RunReader::open(path) {
        Ok(reader) => Ok((reader, Some((disk, lock)))),
        Err(error) => {
            disk.write_all_at(&superblock, 0).map_err(io)?;
            disk.set_len(length).map_err(io)?;
            Err(error)
        }
    }
}

/// The size of a superblock of version 3 with 8-byte addresses.
const SUPERBLOCK: usize = 48;

/// Removes datasets from a file.
#[cfg(test)]
pub(crate) fn remove_datasets(path: &Path, datasets: &[&str]) {
    // The library keeps an open file in its mode: it cannot be opened for writing as well.
    let copy = path.with_extension("copy");
    fs::copy(path, &copy).unwrap();
    let file = open::unlocked().open_rw(&copy).unwrap();
    for name in datasets {
        file.unlink(name).unwrap();
    }
    file.close().unwrap();
    fs::rename(copy, path).unwrap();
}

/// Truncates every dataset with one row per step to `steps` steps. From the first change on, readers see no more than
/// that.
pub fn cut_to(file: &File, held_out: bool, steps: u64) -> hdf5::Result<()> {
    let committed = file.dataset("state/committed")?;
    if committed
        .read_raw::<u64>()?
        .iter()
        .any(|&there| there > steps)
    {
        committed.write_raw(&[steps])?;
        file.flush()?;
    }
    let rows = usize::try_from(steps).map_err(|error| error.to_string())?;
    for column in LOSSES {
        cut(&file.dataset(column.path)?, rows + 1)?;
    }
    // HDF5 requires checking every group on the path; they all exist.
    for column in steps_of(|path| file.link_exists(path)) {
        cut(&file.dataset(column.path)?, rows)?;
    }
    for column in HELD_OUT.iter().filter(|_| held_out) {
        cut(&file.dataset(column.path)?, rows)?;
    }
    // Datasets with their own list of steps: θ and the running totals also have rows for the end.
    for (index, values, end) in [
        ("lca/param_step", &["lca/param"][..], steps),
        ("weight/step", &["weight/value"], steps.saturating_add(1)),
        (
            "param/step",
            &[
                "param/lca_sum",
                "param/helped",
                "param/update_flips",
                "param/gradient_flips",
            ],
            steps.saturating_add(1),
        ),
    ] {
        if !file.link_exists(index) {
            continue;
        }
        let index = file.dataset(index)?;
        let mut rows = rows_before(&index.read_raw::<u64>()?, end);
        for path in values {
            let there = file.dataset(path)?.shape();
            rows = rows.min(there.first().copied().unwrap_or(0));
        }
        for path in values {
            cut(&file.dataset(path)?, rows)?;
        }
        cut(&index, rows)?;
    }
    pyramid::cut_to(file, steps)
}
