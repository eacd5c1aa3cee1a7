//! How files are opened, and the datasets of one that are open, each of them once.
//!
//! HDF5 opens files so that children inherit them. A lock of its own would go to every process that is started
//! meanwhile, and be held until that ends, long after the file was closed here: so no file is ever opened
//! with one. [`lock`](super::lock) has ours.
//!
//! A dataset that is opened twice in a process and refreshed through one of the two is read wrong:
//! HDF5 1.10.8 then takes values from another dataset, or says `can't insert duplicate key`, in all chunks
//! but the first. So whoever wants a dataset gets the one that is open already.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use hdf5::file::{FileBuilder, LibraryVersion};
use hdf5::{Dataset, File};

/// Options to open a file for reading.
pub fn to_read() -> FileBuilder {
    let mut options = File::with_options();
    options.with_fapl(|access| access.file_locking(false));
    options
}

/// Options to create a file, or to open it for writing. "Latest" would give files that the HDF5 of stable
/// distributions cannot read.
pub fn to_write() -> FileBuilder {
    let version = LibraryVersion::V110;
    let mut options = to_read();
    options.with_fapl(|access| access.libver_bounds(version, version));
    options
}

/// Whether a file's superblock says that a writer has it open, and does not say that readers may come in (SWMR). Files
/// of HDF5 1.10 and later have these marks: signature, version 3, sizes of offsets and lengths, flags.
pub fn is_closed_to_all(disk: &std::fs::File) -> bool {
    const WRITTEN: u8 = 1;
    const SWMR: u8 = 4;
    let mut start = [0; 12];
    let read = rustix::io::pread(disk, &mut start[..], 0);
    read == Ok(start.len())
        && start.starts_with(b"\x89HDF\r\n\x1a\n\x03")
        && start[11] & (WRITTEN | SWMR) == WRITTEN
}

/// By name. A handle is shared, not cloned: refreshing makes the library forget clones.
#[derive(Default)]
pub struct OpenDatasets(RefCell<HashMap<String, Arc<Dataset>>>);

impl OpenDatasets {
    pub fn insert(&self, name: &str, dataset: &Arc<Dataset>) {
        self.0.borrow_mut().insert(name.to_owned(), dataset.clone());
    }

    /// Opens it if it is not open.
    pub fn get(&self, file: &File, name: &str) -> hdf5::Result<Arc<Dataset>> {
        if let Some(dataset) = self.0.borrow().get(name) {
            return Ok(dataset.clone());
        }
        let dataset = Arc::new(file.dataset(name)?);
        self.insert(name, &dataset);
        Ok(dataset)
    }
}
