//! Makes a file whose writer was killed an ordinary HDF5 file again.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use hdf5::File;

use super::blocks::rows_before;
use super::disk;
use super::error::{Context, StoreError};
use super::lock::{self, Holder, WriterLock};
use super::open;
use super::pyramid;
use super::reader::RunReader;
use super::schema::{HELD_OUT, LOSSES, steps_of};
use super::series::cut;
use super::text;
use crate::record::Status;

/// What a repair has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// Steps in the file.
    pub steps: u64,
    /// Whether the file had been closed properly, and had nothing behind its committed steps.
    pub was_whole: bool,
}

/// Makes the file of a run that was killed an ordinary HDF5 file: clears the marks of its writer, cuts
/// what lies behind the committed steps off, and says how the run ended. It can still be resumed.
///
/// # Errors
/// The file is no run, is being written, or cannot be written.
pub fn repair(path: &Path) -> Result<Repaired, StoreError> {
    // Read first: what is no run stays as it is.
    let (reader, taken) = open_left(path)?;
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
        None => take(path)?,
    };
    // Before the lock was had, somebody may have gone on with the run.
    if reader.refresh()?.committed != steps {
        return Err(StoreError::Live {
            path: path.to_owned(),
        });
    }
    drop(reader);
    open::settle(path, &disk)?;
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

/// The file, open, and the right to write it.
type Taken = (fs::File, WriterLock);

/// Takes the right to write a file that has no writer any more.
fn take(path: &Path) -> Result<Taken, StoreError> {
    let disk = fs::File::options().read(true).write(true).open(path);
    let disk = disk.map_err(StoreError::io(path))?;
    let lock = WriterLock::take(&disk, path)?;
    lock.give_way(path)?;
    Ok((disk, lock))
}

/// Opens a run. Where a writer was killed while it opened it, its marks are cleared, and the right to
/// write comes with the run. A file that turns out to be something else is put back as it was.
fn open_left(path: &Path) -> Result<(RunReader, Option<Taken>), StoreError> {
    let closed = match RunReader::open(path) {
        Ok(reader) => return Ok((reader, None)),
        Err(closed @ StoreError::ClosedToAll { .. }) => closed,
        Err(error) => return Err(error),
    };
    let io = StoreError::io(path);
    // Where locks cannot tell whether there is a writer, the heartbeat would, and that cannot be read.
    if lock::holder(&fs::File::open(path).map_err(io)?) == Holder::Unknown {
        return Err(closed);
    }
    let (disk, lock) = take(path)?;
    // All that clearing the marks changes: the superblock, and the end of the file.
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

/// Bytes of a superblock of version 3 with addresses of 8 bytes.
const SUPERBLOCK: usize = 48;

/// Takes datasets out of a file.
#[cfg(test)]
pub(crate) fn without(path: &Path, datasets: &[&str]) {
    // The library knows a file that is open only as it was opened: not for writing.
    let copy = path.with_extension("copy");
    fs::copy(path, &copy).unwrap();
    let file = open::unlocked().open_rw(&copy).unwrap();
    for name in datasets {
        file.unlink(name).unwrap();
    }
    file.close().unwrap();
    fs::rename(copy, path).unwrap();
}

/// Cuts everything that has a row for a step off after `steps` steps. Readers see no more than that
/// from the first change on.
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
    // HDF5 wants to know of every group on the way; they are all there.
    for column in steps_of(|path| file.link_exists(path)) {
        cut(&file.dataset(column.path)?, rows)?;
    }
    for column in HELD_OUT.iter().filter(|_| held_out) {
        cut(&file.dataset(column.path)?, rows)?;
    }
    // Rows of their own steps: θ and the running totals also have those at the end.
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
