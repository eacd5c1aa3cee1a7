//! Makes a file whose writer was killed an ordinary HDF5 file again.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use hdf5::File;

use super::blocks::rows_before;
use super::error::{Context, StoreError};
use super::lock::{self, WriterLock};
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
    clear_marks(path)?;
    let file = open_to_write(path)?;
    let finish = || {
        cut_to(&file, held_out, steps)?;
        if state.status == Status::Running {
            let message = format!("the program was killed after step {steps}");
            (file.dataset("state/message")?).write_raw(&[text::fixed::<1024>(&message)])?;
            (file.dataset("state/status")?).write_raw(&[Status::Failed.code()])?;
        }
        file.flush()
    };
    finish().doing(path, || "repair the file".to_owned())?;
    drop(file);
    disk.sync_all().map_err(StoreError::io(path))?;
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
    if lock::is_held(&fs::File::open(path).map_err(io)?).is_none() {
        return Err(closed);
    }
    let (disk, lock) = take(path)?;
    // All that clearing the marks changes: the superblock, and the end of the file.
    let mut superblock = [0; SUPERBLOCK];
    disk.read_exact_at(&mut superblock, 0).map_err(io)?;
    let length = disk.metadata().map_err(io)?.len();
    clear_marks(path)?;
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

/// Clears the marks of a writer that is gone, and lets the file end where it ends: what `h5clear -s`
/// and `h5clear --increment=0` do. A file that was closed stays as it is.
///
/// # Errors
/// The file cannot be opened for writing.
pub fn clear_marks(path: &Path) -> Result<(), StoreError> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| StoreError::Io {
        path: path.to_owned(),
        error: std::io::Error::other("a file name cannot have a zero byte"),
    })?;
    hdf5::sync::sync(|| ffi::clear(&name)).doing(path, || {
        "clear the marks of a writer that was killed".to_owned()
    })
}

/// Opens a file for writing on, outside SWMR.
pub fn open_to_write(path: &Path) -> Result<File, StoreError> {
    open::to_write()
        .open_as(path, hdf5::OpenMode::ReadWrite)
        .doing(path, || "open the file to write".to_owned())
}

/// Takes datasets out of a file.
#[cfg(test)]
pub(crate) fn without(path: &Path, datasets: &[&str]) {
    // The library knows a file that is open only as it was opened: not for writing.
    let copy = path.with_extension("copy");
    fs::copy(path, &copy).unwrap();
    let file = open_to_write(&copy).unwrap();
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

/// Calls and properties of the HDF5 library that the crate has no names for.
#[expect(
    unsafe_code,
    reason = "the properties are set by name, and the crate lacks H5Fincrement_filesize"
)]
mod ffi {
    use std::ffi::{CStr, c_void};

    use hdf5::globals::H5P_FILE_ACCESS;
    use hdf5::h5check;
    use hdf5_sys::h5f::{H5F_ACC_RDWR, H5Fclose, H5Fopen};
    use hdf5_sys::h5i::hid_t;
    use hdf5_sys::h5p::{H5Pclose, H5Pcreate, H5Pset, H5Pset_file_locking};

    unsafe extern "C" {
        /// In HDF5 from 1.10 on, and what `h5clear --increment` calls.
        fn H5Fincrement_filesize(file: hid_t, increment: u64) -> i32;
    }

    /// Must be called under the library's lock.
    pub fn clear(name: &CStr) -> hdf5::Result<()> {
        let mut on = true;
        // SAFETY: the names are properties of this class in every HDF5 from 1.10 on, each a C `bool`
        // that the call copies; identifiers are closed once, and used only while they are valid.
        unsafe {
            let access = h5check(H5Pcreate(*H5P_FILE_ACCESS))?;
            // Our own lock is on the file already.
            h5check(H5Pset_file_locking(access, 0, 1))?;
            for property in [c"clear_status_flags", c"skip_eof_check"] {
                let value = (&raw mut on).cast::<c_void>();
                h5check(H5Pset(access, property.as_ptr(), value))?;
            }
            let opened = h5check(H5Fopen(name.as_ptr(), H5F_ACC_RDWR, access));
            h5check(H5Pclose(access))?;
            let file = opened?;
            let incremented = h5check(H5Fincrement_filesize(file, 0));
            h5check(H5Fclose(file))?;
            incremented.map(|_| ())
        }
    }
}
