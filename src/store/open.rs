//! Opens HDF5 files, and keeps their open datasets so that each is opened only once.
//!
//! HDF5 opens files so that child processes inherit them. A lock of HDF5's own would be inherited by every process
//! started meanwhile and held until that ends, long after the file was closed here. Files are therefore always opened
//! without one; [`mod@lock`] has ours.
//!
//! A dataset that is opened twice in a process and refreshed through only one of the two handles is read incorrectly:
//! HDF5 1.10.8 then takes values from another dataset, or reports `can't insert duplicate key`, in all chunks but the
//! first. All users of a dataset therefore share one handle.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use hdf5::file::FileBuilder;
use hdf5::{Dataset, File, OpenMode};

use super::disk;
use super::driver::{self, DriverMode, SharedFile};
use super::error::{Context, StoreError};
use super::foreign::refuse_foreign;
use super::journal::{self, AbandonedJournal, Journaled};
use super::lock;
use super::schema::Axes;
use crate::record::RunHeader;

/// Options for opening a file without a lock of HDF5's own.
pub fn unlocked() -> FileBuilder {
    let mut options = File::with_options();
    options.with_fapl(|access| access.file_locking(false));
    options
}

/// The number of times the library tries to read metadata that a writer may be changing. It waits 1 ns before the
/// second attempt and twice as long before each further one, a second in total; its default of 100 would wait for
/// centuries on a truncated file.
const READ_ATTEMPTS: u32 = 30;

/// Opens a file for reading. Also returns whether it has the marks of a writer, which is still writing or was killed. A
/// file that was being written when its machine died is read as last synced.
///
/// # Errors
/// HDF5 cannot open it, or the program that was creating it was killed.
pub fn read(path: &Path, disk: &fs::File) -> Result<(File, bool), StoreError> {
    let left = left_behind(path, disk)?;
    let is_left = left.is_some();
    let torn = match left {
        Some(left) if left.was_never_synced() => {
            return Err(StoreError::Unborn {
                path: path.to_owned(),
            });
        }
        Some(left) if left.is_torn() => {
            let disk = disk.try_clone().map_err(StoreError::io(path))?;
            Some(SharedFile::new(Journaled::view(disk, left)))
        }
        _ => None,
    };
    let open = |mode| match &torn {
        Some(file) if mode == OpenMode::Read => driver::open(file, path, DriverMode::Read),
        Some(file) => driver::open(file, path, DriverMode::ReadSwmr),
        None => {
            let mut options = unlocked();
            if mode == OpenMode::ReadSWMR {
                options.with_fapl(|access| access.metadata_read_attempts(READ_ATTEMPTS));
            }
            options.open_as(path, mode)
        }
    };
    if let Ok(file) = open(OpenMode::Read) {
        return Ok((file, is_left));
    }
    // A file that is being written, or whose writer was killed, opens only for SWMR reading.
    match open(OpenMode::ReadSWMR) {
        Ok(file) => Ok((file, true)),
        Err(_) if is_closed_to_all(disk) => Err(StoreError::ClosedToAll {
            path: path.to_owned(),
        }),
        failed @ Err(_) => Ok((failed.doing(path, || "open the file".to_owned())?, true)),
    }
}

/// The journal that a dead writer left in a file; none if a writer may be alive.
fn left_behind(path: &Path, disk: &fs::File) -> Result<Option<AbandonedJournal>, StoreError> {
    let io = StoreError::io(path);
    if !lock::is_without_writer(disk) {
        return Ok(None);
    }
    let left = AbandonedJournal::find(disk).map_err(io)?;
    // A writer may have started in the meantime.
    Ok(left.filter(|_| lock::is_without_writer(disk)))
}

/// Removes the journal that a dead writer left in a locked file, and restores the bytes that it saved.
///
/// # Errors
/// The file cannot be written, or the program that was creating it was killed.
pub fn restore_abandoned(path: &Path, disk: &fs::File) -> Result<(), StoreError> {
    let io = StoreError::io(path);
    match AbandonedJournal::find(disk).map_err(io)? {
        Some(left) if left.was_never_synced() => Err(StoreError::Unborn {
            path: path.to_owned(),
        }),
        Some(left) => left.restore_and_remove(disk).map_err(io),
        None => Ok(()),
    }
}

/// A file that HDF5 has open to write, and the journal below it.
pub type Writable = (File, SharedFile);

/// Opens a locked file for writing: an empty one (`create`), or an existing one, whose marks are cleared. Until the
/// journal is first synced, everything is undone if the program ends.
///
/// # Errors
/// There is no room for the journal, or HDF5 cannot open the file (see [`driver::open`]).
pub fn write(path: &Path, disk: &fs::File, create: bool) -> Result<Writable, StoreError> {
    let io = StoreError::io(path);
    let below = disk.try_clone().map_err(io)?;
    let journaled =
        Journaled::new(below).map_err(|error| disk::full(path, disk, journal::LEAST, error))?;
    let journal = SharedFile::new(journaled);
    let mode = if create {
        DriverMode::Create
    } else {
        DriverMode::ClearMarks
    };
    let file = driver::open(&journal, path, mode)
        .doing(path, || "open the file for writing".to_owned())?;
    if !create {
        refuse_foreign(path, &file)?;
    }
    Ok((file, journal))
}

/// Whether a file's superblock says that a writer has it open and that readers are not admitted yet (SWMR). Files of
/// HDF5 1.10 and later have these marks: signature, version 3, sizes of offsets and lengths, flags.
pub fn is_closed_to_all(disk: &std::fs::File) -> bool {
    const WRITTEN: u8 = 1;
    const SWMR: u8 = 4;
    let mut start = [0; 12];
    let read = rustix::io::pread(disk, &mut start[..], 0);
    read == Ok(start.len())
        && start.starts_with(b"\x89HDF\r\n\x1a\n\x03")
        && start[11] & (WRITTEN | SWMR) == WRITTEN
}

/// Open datasets by name. A handle is shared, not cloned: a refresh invalidates clones in the library.
#[derive(Default)]
pub struct OpenDatasets(RefCell<HashMap<String, Arc<Dataset>>>);

impl OpenDatasets {
    pub fn insert(&self, name: &str, dataset: &Arc<Dataset>) {
        self.0.borrow_mut().insert(name.to_owned(), dataset.clone());
    }

    /// Returns the dataset, and opens it first if necessary.
    pub fn get(&self, file: &File, name: &str) -> hdf5::Result<Arc<Dataset>> {
        if let Some(dataset) = self.0.borrow().get(name) {
            return Ok(dataset.clone());
        }
        let dataset = Arc::new(file.dataset(name)?);
        self.insert(name, &dataset);
        Ok(dataset)
    }
}

/// Opens a dataset of rows and checks its axes.
pub fn open_dataset(
    path: &Path,
    file: &File,
    name: &str,
    axes: Option<Axes>,
    header: &RunHeader,
) -> Result<Dataset, StoreError> {
    let dataset = (file.dataset(name)).doing(path, || format!("open the dataset {name}"))?;
    let shape = dataset.shape();
    let axes = axes.map(|axes| axes.lengths(header));
    if shape.get(1..) != axes.as_deref() {
        return Err(StoreError::Damaged {
            path: path.to_owned(),
            what: format!("{name} of shape {shape:?} does not fit the layout"),
        });
    }
    Ok(dataset)
}
